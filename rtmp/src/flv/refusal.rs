//! Why a track is not carried, in words for who set the encoder or the player up.

use std::borrow::Cow;
use std::fmt;

use media::{Codec, Kind};

/// A track that cannot be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A codec that Weir does not carry.
    Codec {
        /// Sound or pictures.
        kind: Kind,
        /// Its name as people know it.
        name: Cow<'static, str>,
    },
    /// A codec in the form of MPEG-2 transport streams.
    TransportStream,
    /// The other side of the connection has not said that it knows the codec by Enhanced RTMP.
    Peer {
        /// What there is to send.
        codec: Codec,
    },
    /// The other side has not said that it knows more than one track of a kind.
    Multitrack,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec { kind: Kind::Video, name } => write!(
                f,
                "{name} video is not carried: set the video encoder to H.264 (OBS: x264 or a hardware H.264 encoder; FFmpeg: -c:v libx264)"
            ),
            Self::Codec { kind: Kind::Audio, name } => write!(
                f,
                "{name} audio is not carried: set the audio encoder to AAC (FFmpeg: -c:a aac) or Opus"
            ),
            Self::TransportStream => f.write_str(
                "video in MPEG-2 TS form is not carried: let the encoder send an ordinary sequence start",
            ),
            Self::Peer { codec } => write!(
                f,
                "{codec} needs Enhanced RTMP, which the other side did not announce for it"
            ),
            Self::Multitrack => f.write_str(
                "more than one track needs Enhanced RTMP's multitrack, which the other side did not announce",
            ),
        }
    }
}
