//! Codecs by the names that SDP (RFC 8866 `a=rtpmap`) and our API use.

use std::fmt;

/// Audio or video: one m-line of an SDP session each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// A codec that Weir carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Codec {
    /// H.264 / AVC, RFC 6184 packetization mode 1 (or 0 from senders that know no other).
    H264,
    /// H.265 / HEVC, RFC 7798.
    H265,
    /// VP8, RFC 7741.
    Vp8,
    /// VP9 profile 0, RFC 9628.
    Vp9,
    /// AV1, AOM "RTP Payload Format For AV1".
    Av1,
    /// Opus, RFC 7587.
    Opus,
    /// AAC, as RTMP and HLS carry it. WebRTC does not.
    Aac,
}

impl Codec {
    /// Those that WebRTC carries, in the order in which we like them in an answer.
    pub const WEBRTC: [Self; 6] =
        [Self::H264, Self::Vp8, Self::Vp9, Self::Av1, Self::H265, Self::Opus];

    /// Audio or video.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Opus | Self::Aac => Kind::Audio,
            _ => Kind::Video,
        }
    }

    /// RTP clock in Hz. AAC has its own in each stream.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus | Self::Aac => 48_000,
            _ => 90_000,
        }
    }

    /// The encoding name of `a=rtpmap`, as the registry spells it.
    pub const fn rtpmap_name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::Opus => "opus",
            Self::Aac => "mpeg4-generic",
        }
    }

    /// From an `a=rtpmap` encoding name, in any case; `None` for what WebRTC does not carry.
    pub fn from_rtpmap_name(name: &str) -> Option<Self> {
        Self::WEBRTC.into_iter().find(|c| c.rtpmap_name().eq_ignore_ascii_case(name))
    }

    /// The lower-case name of the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
            Self::Opus => "opus",
            Self::Aac => "aac",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
