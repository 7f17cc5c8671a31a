//! SDP (RFC 8866) as WebRTC uses it (RFC 8829, RFC 9725): the offer as a value, the answer as text.
//!
//! Offers are hostile and sloppy at once: parsing is bounded by the `MAX_*` constants, ignores what
//! it does not need, and refuses with the number of the line what it needs and cannot read.

mod answer;
mod fragment;
mod parse;

use media::{Codec, EncodingId};

use crate::agreement::{Extension, Fingerprint, Ssrcs, parameter};

pub use answer::CNAME;
pub(crate) use answer::{Accepted, Answer, AnswerLine, AnswerPayload};
pub(crate) use fragment::Restart;
pub use fragment::{FragmentMedia, SdpFragment};

/// Longest text taken, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// Most m-lines of one offer.
pub const MAX_SECTIONS: usize = 16;
/// Most payload types of one m-line; there are no more than this.
pub const MAX_PAYLOADS: usize = 128;
/// Most `a=extmap` lines kept of one m-line; the one-byte form has ids 1 to 14.
pub const MAX_EXTMAPS: usize = 64;
/// Most SSRCs of one m-line: eight encodings, each with retransmission and FEC, twice over.
pub const MAX_SSRCS: usize = 48;
/// Most simulcast streams of one m-line.
pub const MAX_RIDS: usize = 8;
/// Longest `a=mid`: what fits a one-byte header extension (RFC 8285).
pub const MAX_MID: usize = 16;

/// Why a text is not an offer that we can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Longer than [`MAX_TEXT`].
    #[error("the SDP is {0} bytes long, at most {MAX_TEXT} are taken")]
    TooLong(usize),
    /// Nothing in it.
    #[error("the SDP is empty")]
    Empty,
    /// A line that we need and cannot read.
    #[error("line {number}, {text:?}: {why}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// Its beginning.
        text: String,
        /// In plain words.
        why: &'static str,
    },
    /// A line that should be there.
    #[error("{what} is missing for {section}")]
    Missing {
        /// `a=ice-ufrag`
        what: &'static str,
        /// `m-line 2 (video)`
        section: String,
    },
}

/// Direction of media, from the writer's point of view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways; what a description without a direction means.
    #[default]
    SendRecv,
    /// From the writer only.
    SendOnly,
    /// To the writer only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// The writer receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The attribute's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// From the attribute's name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|d| d.name() == name)
    }
}

/// `a=setup` (RFC 8842).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Either side may send the ClientHello.
    ActPass,
    /// The writer sends it.
    Active,
    /// The writer waits for it.
    Passive,
}

/// What an m-line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// `m=audio`
    Audio,
    /// `m=video`
    Video,
    /// Anything else, by its name: `application`.
    Other(String),
}

impl SectionKind {
    /// The name in the m-line.
    pub fn name(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Other(name) => name,
        }
    }

    /// Audio or video.
    pub fn media(&self) -> Option<media::Kind> {
        match self {
            Self::Audio => Some(media::Kind::Audio),
            Self::Video => Some(media::Kind::Video),
            Self::Other(_) => None,
        }
    }
}

/// RTCP feedback that we know (RFC 4585, RFC 5104); the rest is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// `nack`
    Nack,
    /// `nack pli`
    Pli,
    /// `ccm fir`
    Fir,
    /// `transport-cc`
    TransportCc,
}

impl Feedback {
    /// All of them, in the order in which an answer lists them.
    pub const ALL: [Self; 4] = [Self::TransportCc, Self::Fir, Self::Nack, Self::Pli];

    /// As SDP writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nack => "nack",
            Self::Pli => "nack pli",
            Self::Fir => "ccm fir",
            Self::TransportCc => "transport-cc",
        }
    }
}

/// One payload type of an m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The number.
    pub pt: u8,
    /// Encoding name of the rtpmap; empty without one.
    pub name: String,
    /// Clock of the rtpmap in Hz.
    pub clock: u32,
    /// Channels of the rtpmap, where it says any.
    pub channels: Option<u8>,
    /// Format parameters; may be empty.
    pub fmtp: String,
    /// Feedback offered.
    pub feedback: Vec<Feedback>,
}

impl Format {
    /// A parameter of the fmtp line, by its name in any case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.fmtp, name)
    }

    /// The payload type that these retransmissions are of (RFC 4588).
    pub fn apt(&self) -> Option<u8> {
        if !self.name.eq_ignore_ascii_case("rtx") {
            return None;
        }
        self.parameter("apt")?.parse().ok()
    }

    /// The codec, if we forward it in this profile.
    pub fn codec(&self) -> Option<Codec> {
        let codec = Codec::from_rtpmap_name(&self.name)?;
        let zero = |name| self.parameter(name).is_none_or(|v| v == "0");
        let fits = match codec {
            Codec::Vp9 => zero("profile-id"),
            Codec::Av1 => zero("profile"),
            Codec::H265 => self.parameter("tx-mode").is_none_or(|v| v.eq_ignore_ascii_case("srst")),
            _ => true,
        };
        (fits && self.clock == codec.clock_rate()).then_some(codec)
    }
}

/// An `a=extmap` whose URI we know (RFC 8285).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extmap {
    /// 1 to 14 where the one-byte form can carry it; others are kept as they were offered.
    pub id: u16,
    /// Where the line names one.
    pub direction: Option<Direction>,
    /// Which extension.
    pub extension: Extension,
}

/// What ICE and DTLS need; an m-line inherits what it lacks from the session level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// `a=ice-ufrag`
    pub ufrag: Option<String>,
    /// `a=ice-pwd`
    pub pwd: Option<String>,
    /// The first `a=fingerprint` with a hash that we take: SHA-256, SHA-384 or SHA-512.
    pub fingerprint: Option<Fingerprint>,
    /// `a=setup`
    pub setup: Option<Setup>,
}

/// One m-line with its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Audio, video or something else.
    pub kind: SectionKind,
    /// 0 disables the m-line, unless it is `a=bundle-only`.
    pub port: u16,
    /// `UDP/TLS/RTP/SAVPF`
    pub protocol: String,
    /// The format list as it was written, for refusing the m-line.
    pub format_list: String,
    /// `a=mid`, or the m-line's index where the offer has none.
    pub mid: String,
    /// The offer has an `a=mid`, so the answer must have it too (RFC 5888).
    pub has_mid: bool,
    /// Session-level direction unless the m-line has its own.
    pub direction: Direction,
    /// Empty unless it is RTP.
    pub formats: Vec<Format>,
    /// Of extensions that we know.
    pub extmaps: Vec<Extmap>,
    /// `a=rid:… send`
    pub send_rids: Vec<EncodingId>,
    /// `a=simulcast:send`: the streams, each with its alternatives; pause marks are dropped.
    pub simulcast: Vec<Vec<EncodingId>>,
    /// Media SSRCs with their retransmission SSRCs.
    pub ssrcs: Vec<Ssrcs>,
    /// The ids of the streams that it belongs to, by `a=msid`, each once, the first two only; `-` is none (RFC 8830
    /// section 2).
    pub streams: Vec<String>,
    /// `a=rtcp-mux`
    pub rtcp_mux: bool,
    /// `a=rtcp-rsize`
    pub rtcp_rsize: bool,
    /// `a=bundle-only`
    pub bundle_only: bool,
    /// ICE and DTLS.
    pub transport: Transport,
}

impl Section {
    /// False for an m-line that the offer itself switches off.
    pub fn enabled(&self) -> bool {
        self.port != 0 || self.bundle_only
    }

    /// RTP over DTLS-SRTP, under one of the names that JSEP (RFC 8829 section 5.1.2) takes.
    pub fn is_rtp(&self) -> bool {
        is_rtp(&self.protocol)
    }
}

fn is_rtp(protocol: &str) -> bool {
    const NAMES: [&str; 4] =
        ["UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF"];
    NAMES.contains(&protocol)
}

/// An SDP offer, as far as we need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The mids of each `a=group:BUNDLE`.
    pub bundles: Vec<Vec<String>>,
    /// The m-lines, in their order.
    pub sections: Vec<Section>,
}

impl Offer {
    /// Reads an offer. Errors name the line in plain words.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::offer(text)
    }

    /// How a message names an m-line: `m-line 2 (video)`.
    pub fn describe(&self, index: usize) -> String {
        let kind = self.sections.get(index).map_or("unknown", |s| s.kind.name());
        format!("m-line {} ({kind})", index + 1)
    }
}
