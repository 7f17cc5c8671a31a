//! What is wrong with one session, in plain words with what to do about it: a pure function over what
//! was recorded and what is measured now.

mod connecting;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use media::Codec;
use sfu::recorder::{Asks, Facts, Report};
use sfu::stats::{EncodingSnapshot, ViewerSnapshot};

use super::Role;
use super::local::{Intake, Totals};
use super::opening::Opening;
use super::sessions::{Numbers, list};
use super::warnings::{self, Evidence};
use crate::status::{Bridge, Warning};

/// Connecting takes some hundred milliseconds; after so long it is worth a word.
const CONNECTING: Duration = Duration::from_secs(3);
/// A publisher is quiet after this.
const QUIET: Duration = Duration::from_secs(2);
/// A viewer says something every second or so.
const DEAF: Duration = Duration::from_secs(6);
/// A keyframe that was asked for comes within this.
const KEYFRAME: Duration = Duration::from_secs(2);
/// Losses that retransmissions did not repair hurt soon; those of a viewer are repaired first.
const LOSS_IN: f32 = 0.02;
const LOSS_OUT: f32 = 0.05;
/// A viewer asks for keyframes again and again: so many within a line of its log or two, more often than
/// every other second, and not long ago.
const BEGS: u32 = 5;
const BEGS_NOW: Duration = Duration::from_secs(10);
/// A link that was too thin so long ago may be another one by now.
const THIN: Duration = Duration::from_secs(60);

/// How a session ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) at: Instant,
    /// In plain words.
    pub(super) why: String,
    /// Where it was not the server's wish.
    pub(super) closed: Option<sfu::Closed>,
}

/// What is known of a session.
pub(super) struct Case<'a> {
    pub(super) role: Role,
    pub(super) joined: Instant,
    /// Now, or when it ended.
    pub(super) now: Instant,
    pub(super) end: Option<&'a End>,
    /// What offer and answer said of addresses.
    pub(super) opening: &'a Opening,
    /// A codec of the stream that this viewer did not offer.
    pub(super) missing: Option<Codec>,
    /// What the client calls itself.
    pub(super) user_agent: Option<&'a str>,
    pub(super) report: Option<&'a Report>,
    /// What a connection of ours has counted, where it came by one.
    pub(super) local: Option<&'a Numbers>,
    pub(super) setting: &'a Setting,
    /// Why tracks of it are not carried.
    pub(super) refused: &'a [String],
}

/// What this server can do for a publisher, and does.
#[derive(Clone, Debug, Default)]
pub(super) struct Setting {
    /// There is a worker program.
    pub(super) worker: bool,
    /// What is made of its media.
    pub(super) bridges: Vec<Bridge>,
}

/// Everything that is wrong, the most basic first.
pub(super) fn problems(case: &Case<'_>) -> Vec<Warning> {
    let facts = case.report.map(|r| *r.recorder.facts()).unwrap_or_default();
    let mut out = Vec::new();
    match case.local {
        Some(Numbers::Publisher(intake)) => return sending(case, intake),
        Some(Numbers::Player(sent)) => return playing(case, *sent),
        None => {}
    }
    match (facts.up, case.report) {
        (Some(_), Some(report)) => {
            gone(case, &mut out);
            match (case.role, &report.viewer) {
                (Role::Publisher, _) => publisher(case, report, &mut out),
                (Role::Viewer, Some(viewer)) => watching(case, report, viewer, &mut out),
                (Role::Viewer, None) => {}
            }
        }
        _ => connecting::connecting(case, &facts, &mut out),
    }
    out
}

/// A publisher over a connection of ours: that it is there shows that it reaches us.
fn sending(case: &Case<'_>, intake: &Intake) -> Vec<Warning> {
    let mut out = Vec::new();
    let active = intake.encodings.iter().any(|e| e.active);
    let age = case.now.saturating_duration_since(case.joined);
    if case.end.is_none() && !active && age > CONNECTING {
        let (code, what) = if intake.encodings.is_empty() {
            ("no_media", "It is connected and has sent no media.")
        } else {
            ("media_stopped", "It is connected, and no media has come for some seconds.")
        };
        let advice = "Look whether its encoder runs and whether its network carries the bitrate.";
        out.push(problem(code, format!("{what} {advice}")));
    }
    out.extend(published(case, &intake.encodings));
    out
}

/// What its encoder makes, and what becomes of that here, is the stream's, and told in the same words.
fn published(case: &Case<'_>, encodings: &[EncodingSnapshot]) -> Vec<Warning> {
    warnings::all(&Evidence {
        encodings,
        user_agent: case.user_agent,
        bridges: &case.setting.bridges,
        worker: case.setting.worker,
        refused: case.refused,
        ..Evidence::default()
    })
}

/// A player over a connection of ours.
fn playing(case: &Case<'_>, sent: Totals) -> Vec<Warning> {
    let mut out = Vec::new();
    if let Some(codec) = case.missing {
        out.push(problem(
            "no_common_codec",
            format!(
                "The stream is {}, which this player did not say that it can take. Publish H.264 and \
                 AAC, or play with a program that speaks Enhanced RTMP.",
                codec.rtpmap_name()
            ),
        ));
    } else if !sent.plays && case.end.is_none() {
        out.push(problem(
            "no_publisher",
            "Nobody publishes this stream now, or no keyframe has come yet. The player waits, and plays \
             as soon as there is something."
                .into(),
        ));
    }
    if sent.lost > 0 {
        out.push(problem(
            "too_slow",
            format!(
                "It was too slow for the stream: {} pictures and packets of sound were left out for it. Its network, or the program that plays, takes less than is \
                 published.",
                sent.lost
            ),
        ));
    }
    out
}

fn problem(code: &str, text: String) -> Warning {
    Warning { code: code.into(), text }
}

fn who(case: &Case<'_>) -> &'static str {
    match case.role {
        Role::Publisher => "publisher",
        Role::Viewer => "viewer",
    }
}

/// It was there, and went without a word.
fn gone(case: &Case<'_>, out: &mut Vec<Warning>) {
    let Some(report) = case.report else { return };
    let Some(heard) = report.heard else { return };
    let silence = case.now.saturating_duration_since(heard);
    let (who, seconds) = (who(case), silence.as_secs());
    let over = case.end.map(|end| end.closed);
    let silent =
        matches!(over, Some(Some(sfu::Closed::Silent))) || over.is_none() && silence > DEAF;
    if silent && restart(case, report.recorder.facts(), out) {
        return;
    }
    match over {
        Some(Some(sfu::Closed::Silent)) => out.push(problem(
            "went_silent",
            format!(
                "Nothing was heard from the {who} for {seconds} s, so it was closed. Its network went, \
                 it sleeps, or its program ended without a goodbye. It has to connect anew."
            ),
        )),
        None if silence > DEAF => out.push(problem(
            "silent",
            format!(
                "Nothing has been heard from the {who} for {seconds} s, not even a STUN check. Its \
                 network may have changed or gone; it will be closed soon."
            ),
        )),
        _ => {}
    }
}

/// Of who has fallen silent: whether that is an ICE restart that did not get through.
fn restart(case: &Case<'_>, facts: &Facts, out: &mut Vec<Warning>) -> bool {
    let Some(at) = facts.restart else { return false };
    let (who, ago) = (who(case), case.now.saturating_duration_since(at).as_secs());
    let by_tcp = match case.opening.tcp.is_empty() {
        true => "nothing by TCP (webrtc.tcp)".to_owned(),
        false => format!("by TCP {}", list(&case.opening.tcp)),
    };
    let turned_away = facts.refusal.map(|why| connecting::refused(who, facts.turned_away, why));
    out.push(problem(
        "restart_unheard",
        format!(
            "The {who} restarted ICE {ago} s ago, and no check with the new credentials has come; the way \
             before is silent. Its new network does not reach the addresses that it was told: {}, and \
             {by_tcp}. It has to connect anew, from a network that lets one of them through.{}",
            list(&case.opening.udp),
            turned_away.map(|text| format!(" {text}")).unwrap_or_default()
        ),
    ));
    true
}

fn publisher(case: &Case<'_>, report: &Report, out: &mut Vec<Warning>) {
    let up = report.recorder.facts().up.unwrap_or(case.now);
    let quiet = case.now.saturating_duration_since(report.media.unwrap_or(up));
    match report.media {
        None if quiet > CONNECTING => out.push(problem(
            "no_media",
            format!(
                "It has been connected for {} s and has sent no media. Look whether its camera, \
                 microphone or encoder runs.",
                quiet.as_secs()
            ),
        )),
        Some(_) if quiet > QUIET && case.end.is_none() => out.push(problem(
            "media_stopped",
            format!(
                "No media has come for {} s, though it is connected. Look whether its encoder still \
                 runs and whether its network carries more than STUN.",
                quiet.as_secs()
            ),
        )),
        _ => {}
    }
    if let Some(loss) = report.recorder.facts().lost.get().filter(|l| *l > LOSS_IN) {
        out.push(problem(
            "loss_in",
            format!(
                "{} of what it sends is lost on the way in and could not be had again: viewers see \
                 that. Lower the encoder's bitrate, use a cable instead of Wi-Fi, or publish to a \
                 server that is nearer.",
                percent(loss)
            ),
        ));
    }
    out.extend(published(case, &report.encodings));
}

fn watching(case: &Case<'_>, report: &Report, viewer: &ViewerSnapshot, out: &mut Vec<Warning>) {
    let live = case.end.is_none();
    if !viewer.attached && live {
        out.push(problem(
            "no_publisher",
            "Nobody publishes this stream now. The viewer waits, and plays as soon as somebody does."
                .into(),
        ));
    }
    if let Some(codec) = viewer.missing.or(case.missing) {
        out.push(problem(
            "no_common_codec",
            format!(
                "The stream is {}, which this viewer did not offer, so nothing of it can be sent. \
                 Publish in a codec that every viewer has (H.264 or VP8), or watch with another \
                 browser.",
                codec.rtpmap_name()
            ),
        ));
    }
    if let Some((id, waited)) = viewer.awaiting.filter(|(_, waited)| *waited > KEYFRAME) {
        let ends = if live { "has waited" } else { "had waited" };
        out.push(problem(
            "awaiting_keyframe",
            format!(
                "It {ends} for a keyframe of {id} for {:.0} s; until then its picture is black or \
                 stands. The publisher was asked and sends none: set a keyframe interval of 1 to 2 \
                 seconds in its encoder.",
                waited.as_secs_f64()
            ),
        ));
    }
    if let Some(often) = cannot_decode(viewer, report.recorder.asks(case.now)) {
        out.push(problem(
            "cannot_decode",
            format!(
                "The browser asks for keyframes again and again, {often}, though they are sent and \
                 next to nothing is lost: it cannot decode this stream. Try another browser, or \
                 publish plain H.264 (profile baseline or main, 8 bit, 4:2:0, no B-frames) or VP8."
            ),
        ));
    }
    let facts = report.recorder.facts();
    let loss = viewer.loss.into_iter().chain(facts.lost.get()).fold(0.0, f32::max);
    if loss > LOSS_OUT {
        out.push(problem(
            "loss_out",
            format!(
                "{} of what is sent to it is lost on the way. Its network, or this server's way out, \
                 carries less than the stream: let it choose a lower layer, publish with simulcast, \
                 or lower the bitrate.",
                percent(loss)
            ),
        ));
    }
    thin(case, facts, out);
}

/// How often it asks for a keyframe, where keyframes come, all of them arrive, and it asks for the next.
pub(super) fn cannot_decode(viewer: &ViewerSnapshot, asks: Asks) -> Option<String> {
    let starved = viewer.awaiting.is_some_and(|(_, waited)| waited > KEYFRAME);
    if starved || viewer.loss.into_iter().chain(asks.again).any(|loss| loss > LOSS_IN) {
        return None;
    }
    let (times, seconds) = (asks.keyframes, asks.within.as_secs());
    let begs = times >= BEGS && u64::from(times) * 2 >= seconds && asks.ago <= BEGS_NOW;
    begs.then(|| format!("{times} times in {seconds} s"))
}

/// The picture could not be caught up with.
fn thin(case: &Case<'_>, facts: &Facts, out: &mut Vec<Warning>) {
    let Some((at, capacity)) = facts.gave_up else { return };
    if case.now.saturating_duration_since(at) > THIN {
        return;
    }
    let carries = match capacity {
        Some(kbps) => format!("about {kbps} kbit/s"),
        None => "too little, or loses too much".to_owned(),
    };
    out.push(problem(
        "thin_link",
        format!(
            "It could not catch up with the stream when it joined: its link carries {carries}. It \
             stood still until the next keyframe, and may again. Publish with simulcast so that it \
             can have a lower layer, or lower the bitrate or the keyframe interval."
        ),
    ));
}

fn percent(share: f32) -> String {
    format!("{:.1} %", share * 100.0)
}
