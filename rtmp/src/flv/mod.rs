//! FLV tags as RTMP's audio and video messages carry them (Adobe FLV 10.1 annex E, Enhanced RTMP v2),
//! read and written.

use std::time::Instant;

use bytes::Bytes;
use media::{AccessUnit, Codec, Format, Kind, MediaTime};

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Track {
    /// Kind.
    pub kind: Kind,
    /// 0 is the main one.
    pub id: u8,
}

/// What messages say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// Format.
    Track {
        /// Which.
        track: Track,
        /// What.
        format: Format,
    },
    /// Unit.
    Unit {
        /// Which.
        track: Track,
        /// What.
        unit: AccessUnit,
    },
    /// End.
    End {
        /// Which.
        track: Track,
    },
    /// Not carried.
    Refused {
        /// Which.
        track: Track,
        /// Why.
        refusal: Refusal,
    },
    /// Odd.
    Notice {
        /// Which.
        track: Track,
        /// What.
        notice: Notice,
    },
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Codec.
    Codec,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("codec")
    }
}

/// Odd things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {}

/// Counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {}

/// Reads.
#[derive(Debug, Default)]
pub struct Ingest {
    formats: u8,
}

impl Ingest {
    /// New.
    pub fn new() -> Self {
        Self::default()
    }

    /// Read.
    pub fn message(
        &mut self,
        now: Instant,
        kind: Kind,
        timestamp: u32,
        body: Bytes,
        out: &mut Vec<Item>,
    ) {
        let _ = now;
        let track = Track { kind, id: 0 };
        let head = if kind == Kind::Video { 5 } else { 2 };
        if body.len() <= head {
            return;
        }
        if body[1] == 0 {
            let codec = if kind == Kind::Video { Codec::H264 } else { Codec::Aac };
            let format =
                Format { codec, config: body.slice(head..), dimensions: None, sound: None };
            self.formats += 1;
            out.push(Item::Track { track, format });
        } else {
            let time = MediaTime::from_millis(timestamp.into());
            let keyframe = kind == Kind::Audio || body[0] >> 4 == 1;
            let unit = AccessUnit { dts: time, pts: time, keyframe, data: body.slice(head..) };
            out.push(Item::Unit { track, unit });
        }
    }

    /// Counts.
    pub fn counters(&self) -> Counters {
        Counters {}
    }
}

/// The few bytes in front.
pub type Head = Vec<u8>;

/// To send.
#[derive(Clone, Debug)]
pub struct Message {
    /// Kind.
    pub kind: Kind,
    /// Milliseconds.
    pub timestamp: u32,
    /// Front.
    pub head: Head,
    /// Rest.
    pub data: Bytes,
}

/// What a peer can.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {}

impl Peer {
    /// All.
    pub fn everything() -> Self {
        Self {}
    }

    /// Name.
    pub fn add_fourcc(&mut self, _name: &str) {}

    /// Flags.
    pub fn caps_ex(&mut self, _flags: u32) {}
}

/// Names.
pub const VIDEO_FOURCC: [&str; 5] = ["avc1", "hvc1", "av01", "vp09", "vp08"];
/// Names.
pub const AUDIO_FOURCC: [&str; 2] = ["mp4a", "Opus"];
/// Flags.
pub const CAPS_EX: u32 = 14;

/// Writes.
#[derive(Debug)]
pub struct Writer {}

impl Writer {
    /// New.
    pub fn new(_peer: Peer) -> Self {
        Self {}
    }

    /// Sequence header.
    pub fn format(&mut self, _track: u8, format: &Format) -> Result<Message, Refusal> {
        let kind = format.codec.kind();
        let head = if kind == Kind::Video { vec![0x17, 0, 0, 0, 0] } else { vec![0xAF, 0] };
        Ok(Message { kind, timestamp: 0, head, data: format.config.clone() })
    }

    /// Unit.
    pub fn unit(&mut self, track: Track, unit: &AccessUnit) -> Option<Message> {
        let head = match (track.kind, unit.keyframe) {
            (Kind::Video, true) => vec![0x17, 1, 0, 0, 0],
            (Kind::Video, false) => vec![0x27, 1, 0, 0, 0],
            _ => vec![0xAF, 1],
        };
        let timestamp = unit.dts.millis() as u32;
        Some(Message { kind: track.kind, timestamp, head, data: unit.data.clone() })
    }

    /// End.
    pub fn end(&mut self, _track: Track) -> Option<Message> {
        None
    }
}
