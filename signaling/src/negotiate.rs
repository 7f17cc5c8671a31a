//! From an offer to an answer and the agreement behind it (RFC 8829 section 5.3.1, RFC 9725
//! section 4.4). WHIP and WHEP differ only in their [`Rules`].

use media::{Codec, Kind};

use crate::agreement::{
    Agreement, DtlsRole, Extension, IceCredentials, Local, Media, Payload, Ssrcs,
};
use crate::http::Problem;
use crate::sdp::{
    Accepted, Answer, AnswerLine, AnswerPayload, Direction, Error, Feedback, Format, Offer,
    Section, Setup, Transport,
};

/// What sets one of the two protocols apart.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// For messages: `WHIP`.
    pub protocol: &'static str,
    /// Of our m-lines: `RecvOnly` or `SendOnly`.
    pub answer: Direction,
    /// Header extensions that we accept.
    pub extensions: &'static [Extension],
    /// Whether to take H264 of this `packetization-mode` from an offer that has none of mode 1.
    pub h264_without_mode_1: fn(mode: Option<&str>) -> bool,
    /// Format parameters of our answer for the offered ones of Opus.
    pub opus: fn(fmtp: &str) -> String,
    /// An m-line that we cannot take is refused alone and the rest still works.
    pub partial: bool,
}

/// Reads an offer and answers it: the answer's text and what was agreed.
pub fn negotiate(
    offer: &str,
    local: &Local,
    rules: &Rules,
) -> Result<(String, Agreement), Problem> {
    let offer = Offer::parse(offer)?;
    check_directions(&offer, rules)?;
    check_streams(&offer, rules)?;
    let chosen = choose(&offer, rules)?;
    let bundle = bundle(&offer, &chosen)?;
    let (remote, dtls) = transport(&offer, &chosen, &bundle)?;

    let mut lines = Vec::with_capacity(offer.sections.len());
    let mut media: Vec<Media> = Vec::new();
    for (i, section) in offer.sections.iter().enumerate() {
        let accepted = match chosen.iter().find(|c| c.index == i) {
            Some(choice) => {
                if !section.rtcp_mux {
                    return Err(missing(&offer, i, "a=rtcp-mux"));
                }
                let accepted = accept(section, choice, local, rules, &media);
                media.push(accepted.media.clone());
                Some(accepted)
            }
            None => None,
        };
        lines.push(AnswerLine { section, accepted });
    }
    let group = bundle.iter().map(|mid| (*mid).to_owned()).collect();
    let answer = Answer { local, dtls, direction: rules.answer, bundle, lines }.to_string();
    let agreement = Agreement {
        local_ice: local.ice.clone(),
        remote_ice: remote.0,
        remote_fingerprint: remote.1,
        dtls,
        media,
        bundle: group,
    };
    Ok((answer, agreement))
}

/// The payloads that we take of one m-line.
struct Choice<'a> {
    index: usize,
    kind: Kind,
    formats: Vec<(&'a Format, Codec)>,
}

fn missing(offer: &Offer, index: usize, what: &'static str) -> Problem {
    Error::Missing { what, section: offer.describe(index) }.into()
}

fn unsupported(detail: impl Into<String>) -> Problem {
    Problem::new(422, "unsupported-media", "The offered media cannot be taken", detail)
}

/// WHIP: RFC 9725 section 4.2. WHEP: mirrored.
fn check_directions(offer: &Offer, rules: &Rules) -> Result<(), Problem> {
    for (i, section) in offer.sections.iter().enumerate().filter(|(_, s)| s.enabled()) {
        let offered = section.direction;
        let (ok, wanted) = match rules.answer {
            Direction::RecvOnly => (offered.sends(), "sendonly"),
            _ => (offered.receives(), "recvonly"),
        };
        if section.kind.media().is_some() && !ok {
            let (line, was) = (offer.describe(i), offered.name());
            let detail =
                format!("{line} is {was}; a {} offer is {wanted} or sendrecv", rules.protocol);
            return Err(Problem::new(400, "bad-direction", "Wrong media direction", detail));
        }
    }
    Ok(())
}

/// What a publisher sends is one stream (RFC 9725 section 4.4.2).
fn check_streams(offer: &Offer, rules: &Rules) -> Result<(), Problem> {
    if rules.answer != Direction::RecvOnly {
        return Ok(());
    }
    let enabled = offer.sections.iter().filter(|s| s.enabled());
    let mut ids = enabled.flat_map(|s| &s.streams);
    let first = ids.next();
    match ids.find(|id| Some(*id) != first) {
        None => Ok(()),
        Some(other) => {
            let shown = |id: &str| id.chars().take(40).collect::<String>();
            let (first, other) = (shown(first.map_or("", String::as_str)), shown(other));
            Err(unsupported(format!(
                "its m-lines belong to two streams, by a=msid {first:?} and {other:?}; one is taken"
            )))
        }
    }
}

/// Which m-lines to take, and what of them.
fn choose<'a>(offer: &'a Offer, rules: &Rules) -> Result<Vec<Choice<'a>>, Problem> {
    let mut chosen: Vec<Choice<'a>> = Vec::new();
    let mut refusal = None;
    for (index, section) in offer.sections.iter().enumerate().filter(|(_, s)| s.enabled()) {
        let line = offer.describe(index);
        let Some(kind) = section.kind.media() else {
            refusal.get_or_insert(unsupported(format!(
                "{line}: a {} offer has audio and video only",
                rules.protocol
            )));
            continue;
        };
        if chosen.iter().any(|c| c.kind == kind) {
            return Err(unsupported(format!(
                "{line} is the second of its kind; at most one audio and one video are taken"
            )));
        }
        if !section.is_rtp() {
            let protocol: String = section.protocol.chars().take(40).collect();
            refusal.get_or_insert(unsupported(format!(
                "{line} is {protocol:?}, not UDP/TLS/RTP/SAVPF"
            )));
            continue;
        }
        let formats = formats(section, kind, rules);
        if formats.is_empty() {
            refusal.get_or_insert(no_common_codec(&line, section, kind));
            continue;
        }
        chosen.push(Choice { index, kind, formats });
    }
    match refusal {
        Some(problem) if !rules.partial || chosen.is_empty() => Err(problem),
        None if chosen.is_empty() => Err(unsupported("the offer has no audio and no video m-line")),
        _ => Ok(chosen),
    }
}

/// What the m-line offers and we forward, in the offer's order.
fn formats<'a>(section: &'a Section, kind: Kind, rules: &Rules) -> Vec<(&'a Format, Codec)> {
    let mode = |f: &'a Format| f.parameter("packetization-mode");
    let known = || {
        let all = section.formats.iter().filter_map(|f| Some((f, f.codec()?)));
        all.filter(move |(_, c)| c.kind() == kind)
    };
    let mode_1 = known().any(|(f, c)| c == Codec::H264 && mode(f) == Some("1"));
    let takes = |f: &'a Format| match mode_1 {
        true => mode(f) == Some("1"),
        false => (rules.h264_without_mode_1)(mode(f)),
    };
    known().filter(|(f, c)| *c != Codec::H264 || takes(f)).collect()
}

fn no_common_codec(line: &str, section: &Section, kind: Kind) -> Problem {
    const SHOWN: usize = 12;
    let mut names: Vec<String> = Vec::new();
    for format in &section.formats {
        let mut name: String = format.name.chars().take(24).collect();
        if name.is_empty() {
            name = format!("payload type {}", format.pt);
        } else if Codec::from_rtpmap_name(&name).is_some() && !format.fmtp.is_empty() {
            // A codec that we know in a form that we do not take: the parameters say why.
            name.push(' ');
            name.extend(format.fmtp.chars().take(80));
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > SHOWN {
        names.truncate(SHOWN);
        names.push("…".to_owned());
    }
    let ours = match kind {
        Kind::Audio => "opus/48000",
        Kind::Video => "H264 packetization-mode=1, VP8, VP9 profile 0, AV1 profile 0, H265",
    };
    let detail = format!("{line} offers {}; taken are {ours}", names.join(", "));
    Problem::new(422, "no-common-codec", "No common codec", detail)
}

/// The accepted mids in the order of the offer's BUNDLE group; empty without one.
fn bundle<'a>(offer: &'a Offer, chosen: &[Choice<'_>]) -> Result<Vec<&'a str>, Problem> {
    let mids: Vec<&str> = chosen.iter().map(|c| offer.sections[c.index].mid.as_str()).collect();
    let all_in = |group: &&Vec<String>| mids.iter().all(|mid| group.iter().any(|m| m == mid));
    let Some(group) = offer.bundles.iter().find(all_in) else {
        if mids.len() < 2 {
            return Ok(Vec::new());
        }
        let detail = "audio and video must be in one a=group:BUNDLE: there is one transport only";
        return Err(Problem::new(422, "bundle-required", "The offer is not bundled", detail));
    };
    let mut order = mids;
    order.sort_by_key(|mid| group.iter().position(|m| m == mid));
    Ok(order)
}

type Remote = (IceCredentials, crate::Fingerprint);

/// ICE and DTLS of the one transport: of the group's first accepted m-line, else of whichever of the
/// group has them, a refused one too (`a=bundle-only` ones have none, RFC 8843 section 7.1.3).
fn transport(
    offer: &Offer,
    chosen: &[Choice<'_>],
    bundle: &[&str],
) -> Result<(Remote, DtlsRole), Problem> {
    let tagged =
        bundle.first().and_then(|m| chosen.iter().find(|c| offer.sections[c.index].mid == **m));
    let first = tagged.or(chosen.first()).map_or(0, |c| c.index);
    let group = offer.bundles.iter().find(|g| g.contains(&offer.sections[first].mid));
    let grouped = |s: &&Section| group.is_some_and(|g| g.contains(&s.mid));
    let in_order = || {
        let accepted = std::iter::once(first).chain(chosen.iter().map(|c| c.index));
        let accepted = accepted.map(|i| &offer.sections[i]);
        accepted.chain(offer.sections.iter().filter(grouped)).map(|s| &s.transport)
    };
    let missing = |what| missing(offer, first, what);
    let ice: &Transport = in_order()
        .find(|t| t.ufrag.is_some() || t.pwd.is_some())
        .ok_or_else(|| missing("a=ice-ufrag"))?;
    let ice = IceCredentials {
        ufrag: ice.ufrag.clone().ok_or_else(|| missing("a=ice-ufrag"))?,
        pwd: ice.pwd.clone().ok_or_else(|| missing("a=ice-pwd"))?,
    };
    let fingerprint = in_order().find_map(|t| t.fingerprint.clone());
    let fingerprint = fingerprint.ok_or_else(|| missing("a=fingerprint with sha-256"))?;
    let setup = in_order().find_map(|t| t.setup).ok_or_else(|| missing("a=setup"))?;
    let dtls = match setup {
        Setup::Passive => DtlsRole::Client,
        Setup::ActPass | Setup::Active => DtlsRole::Server,
    };
    Ok(((ice, fingerprint), dtls))
}

/// One m-line's part of the agreement and of the answer. `before` are the m-lines accepted so far.
fn accept<'a>(
    section: &'a Section,
    choice: &Choice<'a>,
    local: &Local,
    rules: &Rules,
    before: &[Media],
) -> Accepted<'a> {
    let extensions = extensions(section, choice, rules, before);
    let has = |e| extensions.iter().any(|(_, accepted)| *accepted == e);
    let (with_rid, with_transport_cc) = (has(Extension::Rid), has(Extension::TransportCc));
    let publishes = rules.answer == Direction::RecvOnly;
    let rids = if publishes && with_rid { rids(section) } else { Vec::new() };
    // Read once: searching the formats anew for each payload would be quadratic in hostile offers.
    let repairs: Vec<(u8, u8)> =
        section.formats.iter().filter_map(|f| Some((f.apt()?, f.pt))).collect();
    let payloads: Vec<Payload> =
        choice.formats.iter().map(|(f, codec)| payload(&repairs, f, *codec)).collect();
    let [audio, video, rtx] = local.ssrcs;
    let local_ssrcs = match choice.kind {
        Kind::Audio => Ssrcs { main: audio, rtx: None },
        Kind::Video => {
            let resends = payloads.iter().any(|p| p.rtx.is_some());
            Ssrcs { main: video, rtx: resends.then_some(rtx) }
        }
    };
    let remote = publishes && rids.is_empty();
    let media = Media {
        mid: section.mid.clone(),
        kind: choice.kind,
        rids,
        remote_ssrcs: if remote { section.ssrcs.clone() } else { Vec::new() },
        local_ssrcs: (!publishes).then_some(local_ssrcs),
        payloads,
        extensions,
    };
    let feedback = |f: &Format| {
        let ours = |fb: &Feedback| match fb {
            Feedback::TransportCc => with_transport_cc,
            _ => choice.kind == Kind::Video,
        };
        Feedback::ALL.into_iter().filter(|fb| f.feedback.contains(fb) && ours(fb)).collect()
    };
    let payloads = answer_payloads(section, choice, &media, rules, feedback);
    Accepted { media, payloads }
}

/// The payload lines of the answer, in the order of the offer's m-line.
fn answer_payloads<'a>(
    section: &'a Section,
    choice: &Choice<'a>,
    media: &Media,
    rules: &Rules,
    feedback: impl Fn(&Format) -> Vec<Feedback>,
) -> Vec<AnswerPayload<'a>> {
    let line = |format: &'a Format| {
        let chosen = choice.formats.iter().find(|(f, _)| f.pt == format.pt);
        let rtx = media.payloads.iter().any(|p| p.rtx == Some(format.pt));
        let (fmtp, feedback) = match chosen {
            Some((f, Codec::Opus)) => ((rules.opus)(&f.fmtp), feedback(f)),
            Some((f, _)) => (without_sprop(&f.fmtp), feedback(f)),
            None if rtx => (format.fmtp.clone(), Vec::new()),
            None => return None,
        };
        let Format { pt, name, clock, channels, .. } = format;
        Some(AnswerPayload { pt: *pt, name, clock: *clock, channels: *channels, fmtp, feedback })
    };
    section.formats.iter().filter_map(line).collect()
}

/// `sprop-…` describe the offerer's own stream; in an answer they would describe ours.
fn without_sprop(fmtp: &str) -> String {
    let kept = fmtp.split(';').map(str::trim).filter(|p| !p.starts_with("sprop-"));
    kept.collect::<Vec<_>>().join(";")
}

/// `repairs` are pairs of a payload type and the one of its retransmissions.
fn payload(repairs: &[(u8, u8)], format: &Format, codec: Codec) -> Payload {
    // There is one retransmission SSRC, for video.
    let rtx = repairs.iter().find(|(apt, _)| *apt == format.pt).map(|(_, pt)| *pt);
    Payload {
        pt: format.pt,
        rtx: rtx.filter(|_| codec.kind() == Kind::Video),
        codec,
        fmtp: format.fmtp.clone(),
        channels: format.channels.unwrap_or(1),
    }
}

/// Ids are one number space for the whole transport (RFC 8843 section 9.2), but some clients number
/// each m-line by itself: an id that means something else already is not accepted again.
fn extensions(
    section: &Section,
    choice: &Choice<'_>,
    rules: &Rules,
    before: &[Media],
) -> Vec<(u8, Extension)> {
    let feedback = |fb| choice.formats.iter().any(|(f, _)| f.feedback.contains(&fb));
    let taken = |id: u8, extension| {
        let mut others = before.iter().flat_map(|m| &m.extensions);
        others.any(|(i, e)| *i == id && *e != extension)
    };
    let usable = |map: &&crate::sdp::Extmap| {
        let way = map.direction.unwrap_or_default();
        let flows = if rules.answer == Direction::RecvOnly { way.sends() } else { way.receives() };
        let answered = map.extension != Extension::TransportCc || feedback(Feedback::TransportCc);
        rules.extensions.contains(&map.extension) && flows && answered
    };
    let usable = section.extmaps.iter().filter(usable);
    let numbered = usable.filter_map(|map| Some((u8::try_from(map.id).ok()?, map.extension)));
    numbered.filter(|(id, e)| (1..=14).contains(id) && !taken(*id, *e)).collect()
}

/// One rid per simulcast stream: its first alternative that an `a=rid` line declares
/// (RFC 8853 section 5.3.2).
fn rids(section: &Section) -> Vec<media::EncodingId> {
    let declared = |id: &&media::EncodingId| section.send_rids.contains(id);
    let streams = section.simulcast.iter();
    streams.filter_map(|alternatives| alternatives.iter().find(declared).copied()).collect()
}
