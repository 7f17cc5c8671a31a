//! The offers of a browser (RFC 8866, RFC 8829), and what any answer to them says.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Result, bail};
use media::{Codec, Kind};

use crate::ice::Credentials;

/// URI of the header extension that transport-wide congestion control counts with.
const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// What we put into an offer.
pub struct Local<'a> {
    /// Ours.
    pub ice: &'a Credentials,
    /// As `a=fingerprint` has it.
    pub fingerprint: &'a str,
    /// Where our socket is.
    pub candidate: SocketAddr,
}

/// SSRCs of what a publisher sends.
#[derive(Clone, Copy, Debug)]
pub struct Ssrcs {
    /// Of the video.
    pub video: u32,
    /// Of its retransmissions.
    pub rtx: u32,
    /// Of the audio.
    pub audio: u32,
}

/// `(payload type, its RTX, name, fmtp)`: what Chromium offers to receive.
const VIDEO: &[(u8, u8, &str, &str)] = &[
    (96, 97, "VP8", ""),
    (102, 103, "H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
    (104, 105, "H264", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f"),
    (106, 107, "H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    (108, 109, "H264", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f"),
    (127, 125, "H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"),
    (39, 40, "H264", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=4d001f"),
    (112, 113, "H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"),
    (45, 46, "AV1", "level-idx=5;profile=0;tier=0"),
    (98, 99, "VP9", "profile-id=0"),
    (100, 101, "VP9", "profile-id=2"),
];

/// The payload type that a publisher of ours uses, per codec.
const PUBLISHED: [(Codec, u8); 4] =
    [(Codec::H264, 106), (Codec::Vp8, 96), (Codec::Vp9, 98), (Codec::Av1, 45)];

/// An offer to watch.
pub fn watch(local: &Local<'_>) -> String {
    let mut text = head(local);
    section(&mut text, local, Kind::Audio, "recvonly", None, &[]);
    section(&mut text, local, Kind::Video, "recvonly", None, VIDEO);
    text
}

/// An offer to publish this codec and Opus.
pub fn publish(local: &Local<'_>, ssrcs: Ssrcs, codec: Codec) -> String {
    let mut text = head(local);
    let pt = PUBLISHED.iter().find(|(c, _)| *c == codec).map_or(0, |(_, pt)| *pt);
    let at = VIDEO.iter().position(|v| v.0 == pt).unwrap_or_default();
    section(&mut text, local, Kind::Audio, "sendonly", Some(ssrcs), &[]);
    section(&mut text, local, Kind::Video, "sendonly", Some(ssrcs), &VIDEO[at..=at]);
    text
}

fn head(local: &Local<'_>) -> String {
    let session = u64::from(local.candidate.port()) * 1_000_003;
    format!(
        "v=0\r\no=- {session} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
         a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n"
    )
}

fn section(
    text: &mut String,
    local: &Local<'_>,
    kind: Kind,
    direction: &str,
    ssrcs: Option<Ssrcs>,
    video: &[(u8, u8, &str, &str)],
) {
    let (name, mid) = if kind == Kind::Audio { ("audio", 0) } else { ("video", 1) };
    let mut types: Vec<String> =
        video.iter().flat_map(|v| [v.0, v.1]).map(|n| n.to_string()).collect();
    if kind == Kind::Audio {
        types.push("111".into());
    }
    let Local { ice, fingerprint, candidate } = local;
    let version = if candidate.is_ipv4() { "IP4" } else { "IP6" };
    let _ = write!(
        text,
        "m={name} {port} UDP/TLS/RTP/SAVPF {types}\r\nc=IN {version} {ip}\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
         a=candidate:1 1 udp 2122260223 {ip} {port} typ host generation 0\r\n\
         a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na=ice-options:trickle\r\na=fingerprint:{fingerprint}\r\n\
         a=setup:actpass\r\na=mid:{mid}\r\n\
         a=extmap:3 {TRANSPORT_CC}\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
         a={direction}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n",
        port = candidate.port(),
        types = types.join(" "),
        ip = candidate.ip(),
        ufrag = ice.ufrag,
        pwd = ice.pwd,
    );
    if kind == Kind::Audio {
        text.push_str(
            "a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n\
             a=fmtp:111 minptime=10;useinbandfec=1\r\n",
        );
    }
    for (pt, rtx, codec, fmtp) in video {
        let _ = write!(text, "a=rtpmap:{pt} {codec}/90000\r\n");
        for feedback in ["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"] {
            let _ = write!(text, "a=rtcp-fb:{pt} {feedback}\r\n");
        }
        if !fmtp.is_empty() {
            let _ = write!(text, "a=fmtp:{pt} {fmtp}\r\n");
        }
        let _ = write!(text, "a=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={pt}\r\n");
    }
    let Some(ssrcs) = ssrcs else { return };
    let _ = write!(text, "a=msid:weir-bench {name}\r\n");
    if kind == Kind::Audio {
        let _ = write!(text, "a=ssrc:{} cname:weir-bench\r\n", ssrcs.audio);
    } else {
        let Ssrcs { video, rtx, .. } = ssrcs;
        let _ = write!(
            text,
            "a=ssrc-group:FID {video} {rtx}\r\na=ssrc:{video} cname:weir-bench\r\na=ssrc:{rtx} cname:weir-bench\r\n"
        );
    }
}

/// What a payload type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The payload type.
    pub pt: u8,
    /// `None` for what we cannot look into.
    pub codec: Option<Codec>,
    /// The payload type whose lost packets this one carries again.
    pub repairs: Option<u8>,
    /// `a=rtcp-fb … nack`
    pub nack: bool,
    /// From the section of audio, or of video.
    pub kind: Kind,
}

/// What an answer says, of what matters to a client.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Theirs.
    pub ice: Credentials,
    /// Hash name and digest.
    pub fingerprint: String,
    /// They are the DTLS client (`a=setup:active`).
    pub active: bool,
    /// UDP candidates, the best first.
    pub candidates: Vec<SocketAddr>,
    /// Of all accepted sections.
    pub payloads: Vec<Payload>,
    /// Id of the header extension of transport-wide congestion control.
    pub transport_cc: Option<u8>,
    /// RTCP may come without a report before it.
    pub rsize: bool,
}

impl Answer {
    /// Reads any answer that follows the RFCs; what stands at the session level counts for all sections.
    ///
    /// # Errors
    /// If something is missing without which nothing can be received.
    pub fn parse(text: &str) -> Result<Self> {
        let mut answer = Self::default();
        let mut candidates = Vec::new();
        let mut kind = None;
        for line in text.lines().map(str::trim_end) {
            if let Some(rest) = line.strip_prefix("m=") {
                kind = answer.section(rest);
            } else if let Some(rest) = line.strip_prefix("a=") {
                let (name, value) = rest.split_once(':').unwrap_or((rest, ""));
                answer.attribute(name, value.trim(), kind, &mut candidates);
            }
        }
        candidates.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        for (_, address) in candidates {
            if !answer.candidates.contains(&address) {
                answer.candidates.push(address);
            }
        }
        for (there, what) in [
            (!answer.ice.ufrag.is_empty() && !answer.ice.pwd.is_empty(), "ICE credentials"),
            (!answer.fingerprint.is_empty(), "fingerprint"),
            (!answer.candidates.is_empty(), "UDP candidate"),
            (!answer.payloads.is_empty(), "accepted media"),
        ] {
            if !there {
                bail!("the answer has no {what}");
            }
        }
        Ok(answer)
    }

    /// `audio 9 UDP/TLS/RTP/SAVPF 111`; `None` for a section that was refused.
    fn section(&mut self, line: &str) -> Option<Kind> {
        let mut words = line.split_ascii_whitespace();
        let kind = match words.next()? {
            "audio" => Kind::Audio,
            "video" => Kind::Video,
            _ => return None,
        };
        if words.next()? == "0" {
            return None;
        }
        let types = words.skip(1).filter_map(|w| w.parse().ok());
        let plain = |pt| Payload { pt, codec: None, repairs: None, nack: false, kind };
        self.payloads.extend(types.map(plain));
        Some(kind)
    }

    fn attribute(
        &mut self,
        name: &str,
        value: &str,
        kind: Option<Kind>,
        candidates: &mut Vec<(u32, SocketAddr)>,
    ) {
        let first = |place: &mut String| {
            if place.is_empty() {
                value.clone_into(place);
            }
        };
        match name {
            "ice-ufrag" => first(&mut self.ice.ufrag),
            "ice-pwd" => first(&mut self.ice.pwd),
            "fingerprint" => first(&mut self.fingerprint),
            "setup" => self.active = value == "active",
            "candidate" => candidates.extend(candidate(value)),
            "rtcp-rsize" => self.rsize = true,
            "extmap" if kind.is_some() => {
                if let Some((id, uri)) = value.split_once(' ')
                    && uri.split(' ').next() == Some(TRANSPORT_CC)
                {
                    self.transport_cc = id.split('/').next().and_then(|id| id.parse().ok());
                }
            }
            "rtpmap" | "fmtp" | "rtcp-fb" => {
                let Some((pt, rest)) = value.split_once(' ') else { return };
                for payload in self
                    .payloads
                    .iter_mut()
                    .filter(|p| kind == Some(p.kind) && (pt == "*" || pt.parse() == Ok(p.pt)))
                {
                    payload.attribute(name, rest.trim());
                }
            }
            _ => {}
        }
    }
}

impl Payload {
    fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "rtpmap" => {
                self.codec = value.split('/').next().and_then(Codec::from_rtpmap_name);
            }
            "fmtp" => {
                let apt = value.split(';').find_map(|p| p.trim().strip_prefix("apt="));
                self.repairs = apt.and_then(|pt| pt.parse().ok()).or(self.repairs);
            }
            _ => self.nack |= value == "nack",
        }
    }
}

/// `1 1 udp 2130706431 192.0.2.1 8080 typ host …` (RFC 8839 section 5.1).
fn candidate(value: &str) -> Option<(u32, SocketAddr)> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let rtp = words.get(1) == Some(&"1");
    let udp = words.get(2)?.eq_ignore_ascii_case("udp");
    let priority = words.get(3)?.parse().ok()?;
    let address = SocketAddr::new(words.get(4)?.parse().ok()?, words.get(5)?.parse().ok()?);
    (rtp && udp).then_some((priority, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=ice-lite\r\n\
        a=fingerprint:sha-256 AA:BB\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=setup:passive\r\na=rtpmap:111 opus/48000/2\r\n\
        a=candidate:1 1 udp 100 ::1 8080 typ host\r\na=candidate:2 1 UDP 200 192.0.2.1 8080 typ host\r\n\
        a=candidate:3 1 tcp 900 192.0.2.1 8080 typ host tcptype passive\r\na=candidate:4 1 udp 50 x.local 1 typ host\r\n\
        a=end-of-candidates\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 102 103\r\na=rtcp-rsize\r\na=rtpmap:102 H264/90000\r\na=rtcp-fb:* nack\r\n\
        a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n\
        a=extmap:3/sendonly http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
        m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n";

    #[test]
    fn an_answer_is_read_wherever_its_lines_stand() {
        let answer = Answer::parse(ANSWER).unwrap();
        assert_eq!(answer.ice.ufrag, "abcd");
        assert_eq!(answer.fingerprint, "sha-256 AA:BB");
        assert!(!answer.active && answer.rsize);
        let shown: Vec<String> = answer.candidates.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1:8080", "[::1]:8080"], "the best first, no TCP, no names");
        assert_eq!(answer.transport_cc, Some(3));
        let types: Vec<_> =
            answer.payloads.iter().map(|p| (p.pt, p.codec, p.repairs, p.nack)).collect();
        let expected = [
            (111, Some(Codec::Opus), None, false),
            (102, Some(Codec::H264), None, true),
            (103, None, Some(102), true),
        ];
        assert_eq!(types, expected);
    }

    #[test]
    fn what_is_missing_is_named() {
        for (without, what) in
            [("a=ice-pwd", "ICE"), ("a=fingerprint", "fingerprint"), ("a=candidate", "candidate")]
        {
            let lines = ANSWER.lines().filter(|l| !l.starts_with(without));
            let text: String = lines.map(|l| format!("{l}\r\n")).collect();
            assert!(Answer::parse(&text).unwrap_err().to_string().contains(what));
        }
    }

    #[test]
    fn our_offers_are_understood() {
        let ice = Credentials { ufrag: "abcd".into(), pwd: "0123456789012345678901".into() };
        let candidate = SocketAddr::from(([127, 0, 0, 1], 4000));
        let digest = vec!["AB"; 32].join(":");
        let local = Local { ice: &ice, fingerprint: &format!("sha-256 {digest}"), candidate };
        let watched = signaling::sdp::Offer::parse(&watch(&local)).unwrap();
        assert_eq!(watched.sections.len(), 2);
        assert_eq!(watched.sections[1].formats.len(), 22);
        let published = publish(&local, Ssrcs { video: 5, rtx: 6, audio: 7 }, Codec::H264);
        let published = signaling::sdp::Offer::parse(&published).unwrap();
        let ssrcs = published.sections[1].ssrcs.clone();
        assert_eq!((ssrcs.len(), ssrcs[0].main, ssrcs[0].rtx), (1, 5, Some(6)));
    }
}
