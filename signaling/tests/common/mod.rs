//! Offers as real clients write them, our side of a negotiation, and ways to spoil an offer. Shared
//! by the tests of `signaling`, `whip` and `whep`.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use signaling::{Fingerprint, IceCredentials, Local};

/// Captured from Chromium: audio and three simulcast layers.
pub const CHROMIUM_PUBLISH: &str = include_str!("../../fixtures/chromium-publish-simulcast.sdp");
/// Captured from Chromium: one video m-line.
pub const CHROMIUM_VIDEO: &str = include_str!("../../fixtures/chromium-publish-video.sdp");
/// Captured from Chromium: recvonly audio and video.
pub const CHROMIUM_WATCH: &str = include_str!("../../fixtures/chromium-watch.sdp");
/// Captured from FFmpeg 9: `setup:passive`, no header extensions, a repair SSRC without its line.
pub const FFMPEG: &str = include_str!("../../fixtures/ffmpeg-publish.sdp");
/// Captured from libdatachannel, the stack inside OBS: session-level fingerprint, candidates inside.
pub const LIBDATACHANNEL: &str = include_str!("../../fixtures/libdatachannel-publish.sdp");
/// After Firefox: attributes sorted by name, rids and SSRCs at once, directed extensions.
pub const FIREFOX_PUBLISH: &str = include_str!("../../fixtures/firefox-publish-simulcast.sdp");
/// After Firefox: feedback for `*`, a bundle-only m-line with port 0, no retransmission of mode 0.
pub const FIREFOX_WATCH: &str = include_str!("../../fixtures/firefox-watch.sdp");
/// After GStreamer: mids `video0` and `audio1`, bundle-only audio, `sprop-` parameters.
pub const GSTREAMER_PUBLISH: &str = include_str!("../../fixtures/gstreamer-publish.sdp");
/// After GStreamer: H264 without a packetization mode.
pub const GSTREAMER_WATCH: &str = include_str!("../../fixtures/gstreamer-watch.sdp");
/// After Pion and webrtc-rs: LF only, sendrecv, one extension id with two meanings.
pub const PION: &str = include_str!("../../fixtures/pion-publish.sdp");
/// After Safari: H265, video first.
pub const SAFARI_WATCH: &str = include_str!("../../fixtures/safari-watch.sdp");

/// Every publisher's offer.
pub const PUBLISH: [&str; 7] = [
    CHROMIUM_PUBLISH,
    CHROMIUM_VIDEO,
    FFMPEG,
    LIBDATACHANNEL,
    FIREFOX_PUBLISH,
    GSTREAMER_PUBLISH,
    PION,
];
/// Every viewer's offer.
pub const WATCH: [&str; 4] = [CHROMIUM_WATCH, FIREFOX_WATCH, GSTREAMER_WATCH, SAFARI_WATCH];

/// Our side.
pub fn local() -> Local {
    Local {
        ice: IceCredentials { ufrag: "Wx1y".into(), pwd: "0123456789abcdefghijkl".into() },
        fingerprint: Fingerprint { algorithm: "sha-256".into(), digest: (0..32).collect() },
        candidates: vec!["192.0.2.1:8080".parse().unwrap(), "[2001:db8::1]:8080".parse().unwrap()],
        tcp: vec!["192.0.2.1:443".parse().unwrap()],
        session: u64::MAX,
        ssrcs: [1001, 2002, 3003],
    }
}

/// The lines of a description that begin so.
pub fn lines<'a>(sdp: &'a str, start: &str) -> Vec<&'a str> {
    sdp.lines().filter(|l| l.starts_with(start)).collect()
}

/// The part of a description from its n-th m-line to the next.
pub fn section(sdp: &str, n: usize) -> String {
    let part = sdp.split("\r\nm=").nth(n + 1).expect("the m-line is there");
    format!("m={}\r\n", part.trim_end())
}

/// One way to spoil an offer.
#[derive(Clone, Debug)]
pub enum Spoil {
    /// Leave a line out.
    Drop(prop::sample::Index),
    /// Say a line again somewhere else.
    Copy(prop::sample::Index, prop::sample::Index),
    /// Put another byte into the text.
    Byte(prop::sample::Index, u8),
    /// Cut the rest off.
    Cut(prop::sample::Index),
    /// Replace a number by another one.
    Number(prop::sample::Index, u64),
    /// Put in a line from elsewhere.
    Insert(prop::sample::Index, &'static str),
}

/// Lines that change what an offer means.
const STRANGE: &[&str] = &[
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "a=mid:0",
    "a=mid:1",
    "a=group:BUNDLE 1 0 1 0",
    "a=rid:h send pt=96;max-width=1280",
    "a=simulcast:send a,~b;~h recv x;y",
    "a=simulcast:send 1;2;3;4;5;6;7;8",
    "a=ssrc-group:FID 1 1",
    "a=ssrc:4294967295 cname:x",
    "a=extmap:15 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=extmap:1/sendrecv urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "a=rtcp-fb:* transport-cc",
    "a=fmtp:97 apt=97",
    "a=fmtp:96 packetization-mode=0",
    "a=rtpmap:96 H264/90000",
    "a=inactive",
    "a=sendrecv",
    "a=setup:active",
    "a=bundle-only",
    "a=fingerprint:sha-1 00:11",
];

/// A fixture with a few things spoilt, valid UTF-8.
pub fn spoilt(fixtures: &'static [&'static str]) -> impl Strategy<Value = String> {
    let index = any::<prop::sample::Index>;
    let one = prop_oneof![
        3 => index().prop_map(Spoil::Drop),
        2 => (index(), index()).prop_map(|(a, b)| Spoil::Copy(a, b)),
        2 => (index(), any::<u8>()).prop_map(|(a, b)| Spoil::Byte(a, b)),
        1 => index().prop_map(Spoil::Cut),
        2 => (index(), any::<u64>()).prop_map(|(a, n)| Spoil::Number(a, n)),
        3 => (index(), prop::sample::select(STRANGE)).prop_map(|(a, l)| Spoil::Insert(a, l)),
    ];
    (prop::sample::select(fixtures), prop::collection::vec(one, 0..6))
        .prop_map(|(text, spoils)| spoils.iter().fold(text.to_owned(), |text, s| s.apply(&text)))
}

impl Spoil {
    fn apply(&self, text: &str) -> String {
        let mut lines: Vec<&str> = text.lines().collect();
        if lines.is_empty() {
            return String::new();
        }
        let len = lines.len();
        match self {
            Self::Drop(i) => drop(lines.remove(i.index(len))),
            Self::Copy(from, to) => lines.insert(to.index(len), lines[from.index(len)]),
            Self::Insert(to, line) => lines.insert(to.index(len), line),
            Self::Byte(at, byte) => {
                let mut bytes = text.as_bytes().to_vec();
                let at = at.index(bytes.len());
                bytes[at] = *byte;
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Self::Cut(at) => return lines[..at.index(len)].join("\n"),
            Self::Number(at, number) => {
                let at = at.index(len);
                let digits = |c: char| c.is_ascii_digit();
                let Some(start) = lines[at].find(digits) else { return text.to_owned() };
                let rest = lines[at][start..].trim_start_matches(digits);
                let line = format!("{}{number}{rest}", &lines[at][..start]);
                lines[at] = &line;
                return lines.join("\r\n");
            }
        }
        lines.join("\r\n")
    }
}
