//! What is wrong with a stream, in plain words, each with what to set. Evidence in, warnings out: a
//! pure function. A track that is not there is no fault: sound alone and pictures alone are streams.

use std::time::Duration;

use media::{Codec, Kind};
use sfu::Origin;
use sfu::stats::EncodingSnapshot;

use super::history::Recent;
use crate::status::{Bridge, Warning};

/// So many packets without a keyframe are no start-up any more.
const BLIND_PACKETS: u64 = 300;
/// A publisher that has connected may take so long to start its encoder.
const START: Duration = Duration::from_secs(5);
/// Viewers who find no keyframe in the ring wait for up to as long as the interval.
const LONG_INTERVAL: Duration = Duration::from_secs(4);
/// An encoder that answers a request within this needs no interval at all.
const OBEYED: Duration = Duration::from_secs(1);
/// More than that of the packets lost cannot be hidden.
const LOSS: f64 = 0.02;
/// Fewer packets say nothing of a percentage.
const ENOUGH: u64 = 100;

/// What the warnings are made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence<'a> {
    pub(super) encodings: &'a [EncodingSnapshot],
    /// The time since its offer, if a publisher is connected.
    pub(super) connected: Option<Duration>,
    /// What the publisher calls itself.
    pub(super) user_agent: Option<&'a str>,
    pub(super) recent: Recent,
    /// Who watches, and for each of them the codecs that are published and that it lacks.
    pub(super) viewers: Vec<&'a [Codec]>,
    pub(super) bridges: &'a [Bridge],
    /// There is a worker program, so bridges can be.
    pub(super) worker: bool,
    /// Why tracks are not carried.
    pub(super) refused: &'a [String],
}

/// Everything that an operator should know, what hides most first.
pub(super) fn all(evidence: &Evidence<'_>) -> Vec<Warning> {
    let rules = [
        no_media,
        no_keyframe,
        codec_refused,
        bridge_failed,
        no_worker,
        no_common_codec,
        loss_in,
        keyframe_interval,
        b_frames,
        silent,
    ];
    rules.iter().filter_map(|rule| rule(evidence)).collect()
}

fn warning(code: &str, text: impl Into<String>) -> Option<Warning> {
    Some(Warning { code: code.into(), text: text.into() })
}

fn video<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = &'a EncodingSnapshot> + use<'a> {
    source(evidence).filter(|e| e.kind == Kind::Video)
}

/// What the publisher itself sends.
fn source<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = &'a EncodingSnapshot> + use<'a> {
    evidence.encodings.iter().filter(|e| e.origin == Origin::Source)
}

fn no_media(evidence: &Evidence<'_>) -> Option<Warning> {
    let age = evidence.connected?;
    let nothing = evidence.encodings.is_empty() && age > START;
    if !nothing && !evidence.recent.quiet {
        return None;
    }
    warning(
        "no_media",
        "The publisher is connected but sends nothing. Check that its encoder runs and that a camera, \
         a screen or a microphone is chosen and allowed; OBS: stop streaming and start again.",
    )
}

fn no_keyframe(evidence: &Evidence<'_>) -> Option<Warning> {
    let blind = |e: &EncodingSnapshot| e.keyframes == 0 && e.packets > BLIND_PACKETS;
    if !video(evidence).any(blind) || video(evidence).any(|e| e.keyframes > 0) {
        return None;
    }
    warning(
        "no_keyframe",
        "No keyframe has come yet, so nobody can see the picture. Set a keyframe interval of 1 to 2 \
         seconds in the encoder (OBS: Keyframe Interval 2 s; ffmpeg at 30 fps: -g 60).",
    )
}

fn codec_refused(evidence: &Evidence<'_>) -> Option<Warning> {
    if evidence.refused.is_empty() {
        return None;
    }
    let reasons = evidence.refused.join(". ");
    warning(
        "codec_refused",
        format!("Nobody gets all that the publisher sends: {reasons}. What else it sends goes on."),
    )
}

/// A codec per line of text: picture and sound may both be strange to somebody.
fn no_common_codec(evidence: &Evidence<'_>) -> Option<Warning> {
    let mut codecs: Vec<Codec> = Vec::new();
    for codec in evidence.viewers.iter().copied().flatten() {
        if !codecs.contains(codec) {
            codecs.push(*codec);
        }
    }
    let all = evidence.viewers.len();
    let line = |codec: &Codec| {
        let lack = evidence.viewers.iter().filter(|missing| missing.contains(codec)).count();
        let (what, instead) = match codec.kind() {
            Kind::Video => ("show", "H264 or VP8, which every browser has"),
            Kind::Audio => ("play", "Opus, which every browser has"),
        };
        let name = codec.rtpmap_name();
        format!(
            "{lack} of {all} viewers cannot {what} {name}, which is published. Publish {instead}."
        )
    };
    let text = codecs.iter().map(line).collect::<Vec<_>>().join(" ");
    if text.is_empty() { None } else { warning("no_common_codec", text) }
}

fn loss_in(evidence: &Evidence<'_>) -> Option<Warning> {
    let Recent { packets, lost, .. } = evidence.recent;
    let fraction = lost as f64 / (packets + lost).max(1) as f64;
    if packets + lost < ENOUGH || fraction <= LOSS {
        return None;
    }
    let percent = fraction * 100.0;
    warning(
        "loss_in",
        format!(
            "{percent:.0} % of the publisher's packets were lost on the way to this server in the last \
             ten seconds, and every viewer sees that. Lower the bitrate in the encoder (OBS: Output, \
             Video Bitrate; ffmpeg: -b:v), or give the publisher a better line: a cable instead of \
             Wi-Fi."
        ),
    )
}

fn keyframe_interval(evidence: &Evidence<'_>) -> Option<Warning> {
    // A browser sends keyframes when they are asked for, and otherwise next to none.
    let browser = |name: &str| name.contains("Gecko") || name.contains("AppleWebKit");
    if evidence.user_agent.is_some_and(browser) {
        return None;
    }
    let disobeys = |e: &&EncodingSnapshot| e.keyframe_wait.is_none_or(|wait| wait > OBEYED);
    let interval = video(evidence).filter(disobeys).filter_map(|e| e.keyframe_interval).max()?;
    if interval <= LONG_INTERVAL {
        return None;
    }
    let seconds = interval.as_secs_f64();
    warning(
        "keyframe_interval",
        format!(
            "Keyframes come {seconds:.0} seconds apart: joining and repairing a picture can take as \
             long. Set 1 to 2 seconds in the encoder (OBS: Settings, Output, Output Mode Advanced: Keyframe \
             Interval 2 s; its 0 means every 250 pictures; ffmpeg at 30 fps: -g 60 -keyint_min 60, with x264 also -sc_threshold 0)."
        ),
    )
}

fn b_frames(evidence: &Evidence<'_>) -> Option<Warning> {
    let codec = source(evidence).find(|e| e.b_frames)?.codec;
    let mut made = Vec::new();
    let mut failed = false;
    let of_it = |b: &&Bridge| b.from == codec.name() && matches!(&*b.to, "h264" | "vp8");
    for bridge in evidence.bridges.iter().filter(of_it) {
        match bridge.state {
            "failed" => failed = true,
            _ => made.push(spelled(&bridge.to)),
        }
    }
    let name = spelled(codec.name());
    let made = made.join(" and as ");
    let does = match (evidence.worker && !(failed && made.is_empty()), made.is_empty()) {
        (false, _) => {
            "viewers by WebRTC get only those pictures that can do without, with many encoders no more \
             than the keyframes."
                .to_owned()
        }
        (true, false) => format!(
            "this server encodes it again as {made} without them for viewers by WebRTC, which takes \
             processor time, a tenth of a second and some quality."
        ),
        // Nobody watches who needs it.
        (true, true) => "this server has to encode it again without them as soon as somebody watches by \
                         WebRTC, which then takes processor time, a tenth of a second and some quality."
            .to_owned(),
    };
    let advice = if codec == Codec::H264 {
        "Set B-frames to 0 in the encoder (OBS: Settings, Output, Output Mode Advanced: Max B-frames 0, \
         or with x264 write bframes=0 under x264 Options; ffmpeg: -bf 0)."
    } else {
        "Publish H.264 without B-frames instead (OBS: Settings, Output, Output Mode Advanced: an \
         H.264 encoder with Max B-frames 0; ffmpeg: -c:v libx264 -bf 0)."
    };
    warning(
        "b_frames",
        format!("The video is {name} with B-frames, which WebRTC cannot show: {does} {advice}"),
    )
}

/// A codec's name as people know it.
fn spelled(codec: &str) -> String {
    match codec {
        "h264" => "H.264".to_owned(),
        "h265" => "H.265".to_owned(),
        other => other.to_uppercase(),
    }
}

fn bridge_failed(evidence: &Evidence<'_>) -> Option<Warning> {
    let failed = evidence.bridges.iter().filter(|b| b.state == "failed");
    let line = |b: &Bridge| {
        let reason = b.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("The bridge from {} to {} for {} has failed{reason}.", b.from, b.to, b.why)
    };
    let lines: Vec<String> = failed.map(line).collect();
    if lines.is_empty() {
        return None;
    }
    let advice = "Who needs it gets nothing of that kind, or fewer pictures. Publish what every viewer \
                  has (H.264 without B-frames, Opus), or look into this server's log.";
    warning("bridge_failed", format!("{} {advice}", lines.join(" ")))
}

fn no_worker(evidence: &Evidence<'_>) -> Option<Warning> {
    let strange = |e: &&EncodingSnapshot| e.b_frames || !Codec::WEBRTC.contains(&e.codec);
    let strange: Vec<&EncodingSnapshot> = source(evidence).filter(strange).collect();
    if evidence.worker || strange.is_empty() {
        return None;
    }
    let deaf = strange.iter().find(|e| !Codec::WEBRTC.contains(&e.codec));
    let what = match deaf {
        Some(e) => {
            format!("viewers by WebRTC get nothing of its {}", e.codec.name().to_uppercase())
        }
        None => "viewers by WebRTC get few pictures of its video".to_owned(),
    };
    warning(
        "no_worker",
        format!(
            "The worker program weir-transcoder was not found, so {what}. Put it beside weir or name \
             it by transcode.worker, and start weir again."
        ),
    )
}

fn silent(evidence: &Evidence<'_>) -> Option<Warning> {
    if !video(evidence).any(|e| e.active) {
        return None;
    }
    let name = |e: &EncodingSnapshot| match e.dimensions {
        Some((width, height)) => format!("{} ({width}x{height})", e.id),
        None => e.id.to_string(),
    };
    let silent: Vec<String> = video(evidence).filter(|e| !e.active).map(name).collect();
    if silent.is_empty() {
        return None;
    }
    warning(
        "encoding_silent",
        format!(
            "The publisher has stopped sending {}, and its viewers got another encoding. Browsers do so \
             when the line or the processor is too slow: lower the bitrate or the size of the largest \
             encoding, or close other programs.",
            silent.join(" and ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use media::EncodingId;
    use sfu::Origin;

    use super::*;

    fn encoding(id: &str) -> EncodingSnapshot {
        EncodingSnapshot {
            id: EncodingId::new(id).unwrap(),
            origin: Origin::Source,
            kind: Kind::Video,
            codec: Codec::H264,
            channels: 1,
            dimensions: Some((640, 360)),
            fps: 30.0,
            bitrate_bps: 1_000_000,
            keyframes: 3,
            keyframe_interval: Some(Duration::from_secs(2)),
            keyframe_wait: None,
            packets: 1_000,
            bytes: 1_000_000,
            lost: 0,
            b_frames: false,
            active: true,
        }
    }

    fn sound() -> EncodingSnapshot {
        let no_pictures =
            EncodingSnapshot { keyframes: 0, keyframe_interval: None, ..encoding("a") };
        EncodingSnapshot { kind: Kind::Audio, codec: Codec::Opus, dimensions: None, ..no_pictures }
    }

    /// A publisher that has been there for a minute.
    fn evidence(encodings: &[EncodingSnapshot]) -> Evidence<'_> {
        let recent = Recent { packets: 3_000, lost: 0, quiet: false };
        let connected = Some(Duration::from_secs(60));
        Evidence { encodings, connected, recent, worker: true, ..Evidence::default() }
    }

    fn codes(evidence: &Evidence<'_>) -> Vec<String> {
        all(evidence).into_iter().map(|w| w.code).collect()
    }

    #[test]
    fn sound_alone_pictures_alone_and_nobody_are_no_fault() {
        let (audio, video) = ([sound()], [encoding("main")]);
        for encodings in [&audio[..], &video, &[sound(), encoding("main")]] {
            assert_eq!(codes(&evidence(encodings)), [""; 0]);
        }
        assert_eq!(codes(&Evidence::default()), [""; 0], "viewers wait, nobody publishes");
    }

    #[test]
    fn b_frames_are_named_with_their_switch() {
        let all = all(&evidence(&[EncodingSnapshot { b_frames: true, ..encoding("main") }]));
        assert_eq!(all[0].code, "b_frames");
        assert!(all[0].text.contains("-bf 0") && all[0].text.contains("OBS"), "{}", all[0].text);
    }

    #[test]
    fn what_becomes_of_b_frames_is_told_as_it_is() {
        let h265 = [EncodingSnapshot { codec: Codec::H265, b_frames: true, ..encoding("main") }];
        let to = |to: &str, state| {
            let (from, why) = ("h265".into(), "whep viewers".into());
            Bridge { from, to: to.into(), why, state, ..Bridge::default() }
        };
        let told = |bridges: &[Bridge]| {
            let all = all(&Evidence { bridges, ..evidence(&h265) });
            all.into_iter().find(|w| w.code == "b_frames").unwrap().text
        };
        let nobody = told(&[]);
        assert!(nobody.contains("as soon as somebody watches"), "{nobody}");
        assert!(nobody.contains("Publish H.264 without B-frames"), "{nobody}");
        assert!(!nobody.contains("this server encodes it again"), "nothing runs: {nobody}");
        let both = told(&[to("h264", "running"), to("vp8", "starting")]);
        assert!(both.contains("H.265") && both.contains("as H.264 and as VP8"), "{both}");
        assert!(told(&[to("h264", "failed"), to("vp8", "running")]).contains("again as VP8"));
        assert!(told(&[to("h264", "failed")]).contains("get only those pictures"));
    }

    #[test]
    fn what_is_not_carried_is_named_with_what_to_set() {
        let refused = ["MP3 audio is not carried: set the audio encoder to AAC".to_owned()];
        let told = all(&Evidence { refused: &refused, ..evidence(&[encoding("main")]) });
        assert_eq!(told[0].code, "codec_refused");
        assert!(told[0].text.contains(&refused[0]) && told[0].text.ends_with("goes on."));
    }

    #[test]
    fn what_a_missing_worker_costs_is_told_where_it_costs_something() {
        let aac = EncodingSnapshot { codec: Codec::Aac, ..sound() };
        let with = |worker, encodings: &[EncodingSnapshot]| {
            all(&Evidence { worker, ..evidence(encodings) })
        };
        assert_eq!(with(true, std::slice::from_ref(&aac)), []);
        assert_eq!(with(false, &[sound(), encoding("main")]), [], "nobody needs one");
        let told = with(false, &[aac, encoding("main")]);
        assert_eq!(told[0].code, "no_worker");
        assert!(told[0].text.contains("AAC") && told[0].text.contains("transcode.worker"));
        let b = with(false, &[EncodingSnapshot { b_frames: true, ..encoding("main") }]);
        let codes: Vec<&str> = b.iter().map(|w| w.code.as_str()).collect();
        assert_eq!(codes, ["no_worker", "b_frames"]);
        assert!(b[1].text.contains("keyframes"), "{}", b[1].text);
    }

    #[test]
    fn a_bridge_that_failed_is_named_with_its_reason() {
        let bridge = |state| Bridge {
            from: "aac".into(),
            to: "opus".into(),
            why: "whep viewers".into(),
            state,
            reason: Some("it crashed".into()),
            ..Bridge::default()
        };
        let good = [encoding("main")];
        let with = |state| {
            let bridges = [bridge(state)];
            all(&Evidence { bridges: &bridges, ..evidence(&good) })
        };
        assert_eq!(with("restarting"), []);
        let told = with("failed");
        assert_eq!(told[0].code, "bridge_failed");
        assert!(told[0].text.contains("aac to opus") && told[0].text.contains("it crashed"));
    }

    #[test]
    fn what_a_bridge_makes_is_not_the_publishers_fault() {
        let made = EncodingSnapshot {
            origin: Origin::Bridge,
            keyframe_interval: Some(Duration::from_secs(60)),
            active: false,
            ..encoding("h264")
        };
        assert_eq!(codes(&evidence(&[encoding("main"), made])), [""; 0]);
    }

    #[test]
    fn no_keyframe_is_told_after_the_start_only_and_never_of_sound() {
        let blind = |packets| EncodingSnapshot { keyframes: 0, packets, ..encoding("main") };
        assert_eq!(codes(&evidence(&[blind(300), sound()])), [""; 0]);
        assert_eq!(codes(&evidence(&[blind(301), sound()])), ["no_keyframe"]);
        assert_eq!(codes(&evidence(&[blind(301), encoding("f")])), [""; 0], "one can be seen");
    }

    #[test]
    fn a_long_keyframe_interval_is_told_where_requests_do_not_help() {
        let every = |seconds| EncodingSnapshot {
            keyframe_interval: Some(Duration::from_secs_f64(seconds)),
            ..encoding("main")
        };
        assert_eq!(codes(&evidence(&[every(4.0)])), [""; 0]);
        let text = &all(&evidence(&[every(10.0)]))[0].text;
        assert!(text.contains("10 seconds") && text.contains("OBS") && text.contains("-g 60"));
        let waited =
            |ms| EncodingSnapshot { keyframe_wait: Some(Duration::from_millis(ms)), ..every(10.0) };
        assert_eq!(codes(&evidence(&[waited(8_000)])), ["keyframe_interval"]);
        assert_eq!(codes(&evidence(&[waited(80)])), [""; 0], "it sends one when asked");
        let by = |user_agent| {
            let ten = [every(10.0)];
            codes(&Evidence { user_agent: Some(user_agent), ..evidence(&ten) })
        };
        assert_eq!(by("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"), [""; 0]);
        assert_eq!(by("Mozilla/5.0 (OBS-Studio/31.0; Linux x86_64; en-US)"), ["keyframe_interval"]);
    }

    #[test]
    fn loss_on_the_way_in_is_told_above_two_percent_of_enough() {
        let good = [encoding("main")];
        let with = |packets, lost| {
            all(&Evidence { recent: Recent { packets, lost, quiet: false }, ..evidence(&good) })
        };
        assert_eq!(with(980, 20), []);
        assert_eq!(with(50, 40), [], "too few to say");
        let told = with(900, 100);
        assert_eq!(told[0].code, "loss_in");
        assert!(told[0].text.starts_with("10 %") && told[0].text.contains("bitrate"));
    }

    #[test]
    fn a_publisher_that_sends_nothing_is_told_once_it_is_late() {
        let after = |seconds, quiet| {
            let connected = Some(Duration::from_secs(seconds));
            codes(&Evidence {
                connected,
                recent: Recent { quiet, ..Recent::default() },
                ..evidence(&[])
            })
        };
        assert_eq!(after(3, false), [""; 0]);
        assert_eq!(after(6, false), ["no_media"]);
        let sent = [encoding("main")];
        let quiet = Recent { quiet: true, ..Recent::default() };
        let fell_silent = Evidence { recent: quiet, ..evidence(&sent) };
        assert_eq!(codes(&fell_silent), ["no_media"]);
        assert_eq!(codes(&Evidence { connected: None, ..fell_silent }), [""; 0], "nobody is there");
    }

    #[test]
    fn a_silent_encoding_is_named_while_others_go_on() {
        let stopped = |id| EncodingSnapshot { active: false, ..encoding(id) };
        let text = &all(&evidence(&[encoding("q"), stopped("h"), stopped("f")]))[0].text;
        assert!(text.contains("h (640x360) and f (640x360)"), "{text}");
        assert_eq!(codes(&evidence(&[encoding("q"), stopped("h")])), ["encoding_silent"]);
        assert_eq!(codes(&evidence(&[stopped("h")])), [""; 0], "no other goes on");
        let quiet_sound = EncodingSnapshot { active: false, ..sound() };
        assert_eq!(codes(&evidence(&[encoding("q"), quiet_sound])), [""; 0]);
    }

    #[test]
    fn viewers_without_the_codec_are_counted() {
        let good = [encoding("main")];
        let lacking = [Codec::Av1];
        let both = [Codec::Av1, Codec::Opus];
        let with = |viewers: &[&'static [Codec]]| {
            all(&Evidence { viewers: viewers.to_vec(), ..evidence(&good) })
        };
        assert_eq!(with(&[&[], &[]]), []);
        let viewers: Vec<&[Codec]> = vec![&[], &lacking, &both, &[]];
        let told = all(&Evidence { viewers, ..evidence(&good) });
        assert_eq!(told[0].code, "no_common_codec");
        assert!(told[0].text.contains("2 of 4 viewers cannot show AV1"), "{}", told[0].text);
        assert!(told[0].text.contains("1 of 4 viewers cannot play opus"), "{}", told[0].text);
    }
}
