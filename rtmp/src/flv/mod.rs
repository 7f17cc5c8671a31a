//! What RTMP's audio and video messages hold, both ways: FLV tags (Adobe FLV 10.1 annex E) and Enhanced
//! RTMP v1 and v2 (Veovera). [`Ingest`] makes tracks, formats and units of a publisher's messages, on one
//! timeline; [`Writer`] makes messages of them for players and other servers.
//!
//! Nothing a peer sends is an error here: what cannot be used is dropped and counted, what nobody can
//! mend for the publisher is said. Units share the bytes of their messages. No sockets, chunks or commands enter.

mod codec;
mod counters;
mod ingest;
mod nal;
mod obu;
mod opus;
mod peer;
mod reader;
mod refusal;
mod tag;
#[cfg(test)]
mod tests;
mod track;
mod vpx;
mod writer;

use std::fmt;

use media::{AccessUnit, Format, Kind};

pub use self::counters::{Counters, Dropped};
pub use self::ingest::Ingest;
pub use self::peer::{AUDIO_FOURCC, CAPS_EX, Peer, VIDEO_FOURCC};
pub use self::refusal::Refusal;
pub use self::writer::{Head, Message, Writer};

/// Tracks of one kind that a publisher may have: eight encodings are more than any viewer is offered.
pub const MAX_TRACKS: usize = 8;

/// One track of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Track {
    /// Sound or pictures.
    pub kind: Kind,
    /// 0 is the main one, and the only one that is not Enhanced RTMP's multitrack.
    pub id: u8,
}

impl Track {
    /// The main track of sound or pictures.
    pub const fn main(kind: Kind) -> Self {
        Self { kind, id: 0 }
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Audio => "audio",
            Kind::Video => "video",
        };
        match self.id {
            0 => f.write_str(kind),
            id => write!(f, "{kind} track {id}"),
        }
    }
}

/// What a message said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// What a track is from its next unit on: at its beginning, and at each change.
    Track {
        /// Which.
        track: Track,
        /// Its format now.
        format: Format,
    },
    /// One unit, of the format that was said before it.
    Unit {
        /// Whose.
        track: Track,
        /// The unit.
        unit: AccessUnit,
    },
    /// The publisher says that the track ends. More may follow all the same.
    End {
        /// Which.
        track: Track,
    },
    /// The track cannot be carried; what comes of it is dropped. Once per track and reason.
    Refused {
        /// Which.
        track: Track,
        /// Why, and what to set instead.
        refusal: Refusal,
    },
    /// What whoever runs the encoder should know.
    Notice {
        /// Where.
        track: Track,
        /// What.
        notice: Notice,
    },
}

/// Something that is wrong with what a publisher sends. Its `Display` is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Units come without the configuration that decoders need, and are dropped. Once per track.
    NoConfig,
    /// The track's configuration cannot be read. Once per track.
    BadConfig,
    /// Timestamps jumped by so many milliseconds, which was taken out for all tracks. At most every 10 s.
    Jump {
        /// Forward if positive.
        by: i64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConfig => f.write_str(
                "media came without its sequence header and cannot be decoded; start the encoder's stream again",
            ),
            Self::BadConfig => f.write_str("the sequence header cannot be read"),
            Self::Jump { by } => {
                let seconds = by.unsigned_abs() as f64 / 1000.0;
                let direction = if *by < 0 { "back" } else { "forward" };
                write!(f, "timestamps jumped {direction} by {seconds:.1} s; viewers do not notice")
            }
        }
    }
}
