//! What `weir` and its worker `weir-transcoder` say to each other, over one socket pair: framed, versioned,
//! and the same code on both sides. Pure: bytes in, messages out, and the reverse; no socket enters here.
//!
//! # Framing
//! A frame is a length in four bytes (of what follows it), one byte that says which message it is, and
//! its fields in the order in which they stand below. Numbers are big-endian, texts and bytes have their
//! length in front. A side that gets what it does not understand gives up: the two come from one release.
//!
//! # Order
//! 1. Both begin with [`Hello`], without waiting for the other's. Its first bytes are the same in every
//!    version, so that each can say which one the other speaks.
//! 2. The host: [`Message::Open`], then units in the order of their dts, [`Message::Format`] before a unit of
//!    another format, [`Message::Keyframe`] at any time, at last [`Message::Drain`]. It may close at any
//!    time instead; the worker then ends at once.
//! 3. The worker: [`Message::Heartbeat`] once the codecs are open, then after each unit that it is done
//!    with and at the latest [`HEARTBEAT`] after the last one. It comes from the thread that drives the codecs, so a
//!    codec that hangs stops it. The host sends no more than [`WINDOW`] units ahead of it.
//!    [`Message::Format`] before the first unit and whenever it changes, [`Message::Unit`], [`Message::Stats`]
//!    once a second. After [`Message::Drain`] whatever it held back, then [`Message::Bye`].
//!    [`Message::Failed`] when it cannot go on; it ends after it.
//!
//! Times are nanoseconds on the publisher's timeline, and what comes out keeps the times of what went in.

mod reader;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use media::{AccessUnit, Format, Kind, MediaTime};

pub use reader::Reader;

/// The version that this code speaks. Both sides must speak the same.
pub const VERSION: u16 = 1;

/// Bytes of the longest frame behind its length. No picture of a live stream comes near.
pub const MAX_FRAME: usize = 16 << 20;

/// Bytes of the longest coded unit.
pub const MAX_UNIT: usize = MAX_FRAME - 64;

/// Bytes of the longest decoder configuration.
pub const MAX_CONFIG: usize = 64 << 10;

/// Bytes of the longest text. What is longer is cut when it is sent.
pub const MAX_TEXT: usize = 1024;

/// Encoders that a [`Hello`] may name.
pub const MAX_ENCODERS: usize = 64;

/// Units that the host sends before the worker's heartbeat says that they are done with.
pub const WINDOW: u64 = 8;

/// A worker that lives is heard at least so often.
pub const HEARTBEAT: Duration = Duration::from_millis(200);

/// One message of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Both: who speaks.
    Hello(Hello),
    /// Host: what is to be done. Once, before the first unit.
    Open(Spec),
    /// Host: the units from here on are of this format; a decoder is opened anew for it. Worker: so are
    /// those that it makes.
    Format(Format),
    /// Both: one coded unit.
    Unit(Unit),
    /// Host: the next picture that is encoded shall be a keyframe.
    Keyframe,
    /// Host: no more units come. The worker makes what it still can, says [`Message::Bye`] and ends.
    Drain,
    /// Worker: what it did so far.
    Stats(Stats),
    /// Worker: it lives, and is done with so many of the units that it got in this run, prerolled and
    /// undecodable ones counted too. Done with: handed to the decoder, and what came out of that encoded.
    Heartbeat {
        /// Units, never fewer than before.
        taken: u64,
    },
    /// Worker: it cannot go on.
    Failed(Failed),
    /// Worker: all that there was has been sent.
    Bye,
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Of the protocol, see [`VERSION`].
    pub version: u16,
    /// Name and version of the program, in plain words: `weir-transcoder 0.1.0`.
    pub program: String,
    /// Worker: the encoders that its libraries have, by their names there (`libx264`, `libopus`). Host: none.
    pub encoders: Vec<String>,
}

impl Hello {
    /// Of this version.
    pub fn new(program: impl Into<String>, encoders: Vec<String>) -> Self {
        Self { version: VERSION, program: program.into(), encoders }
    }
}

/// What a worker is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What goes in, at first.
    pub from: Format,
    /// What comes out.
    pub to: Target,
    /// How.
    pub options: Options,
}

/// What comes out of a worker. Pictures keep their size and have no B-frames, sound keeps its channels up to
/// two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Opus at 48 kHz, 20 ms a packet.
    Opus,
    /// AAC-LC.
    Aac,
    /// H.264 as WebRTC takes it: constrained baseline or what is near, without B-frames.
    H264,
    /// VP8.
    Vp8,
}

impl Target {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Opus, Self::Aac, Self::H264, Self::Vp8];

    /// Its codec.
    pub const fn codec(self) -> media::Codec {
        match self {
            Self::Opus => media::Codec::Opus,
            Self::Aac => media::Codec::Aac,
            Self::H264 => media::Codec::H264,
            Self::Vp8 => media::Codec::Vp8,
        }
    }

    /// Pictures or sound.
    pub const fn kind(self) -> Kind {
        self.codec().kind()
    }
}

/// How the worker encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bits per second that are not passed; `None`: the worker chooses by size and rate.
    pub bitrate: Option<u32>,
    /// Pictures per second to expect, a hint for the encoder's rate control; `None`: not known.
    pub frame_rate: Option<u16>,
    /// From keyframe to keyframe at the most, in steps of a millisecond.
    pub keyframe_interval: Duration,
    /// Threads of one codec; 0: what the program was started with.
    pub threads: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bitrate: None,
            frame_rate: None,
            keyframe_interval: Duration::from_secs(2),
            threads: 0,
        }
    }
}

/// One coded unit; what `data` holds is said at [`AccessUnit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Shown at, in nanoseconds.
    pub pts: i64,
    /// Decoded at, in nanoseconds.
    pub dts: i64,
    /// A decoder can start here.
    pub keyframe: bool,
    /// Host: decode only, nothing shall come of it. May be set on any unit, not only on the first ones: so a
    /// worker that came back or that fell behind catches up. What is encoded next simply goes on from there.
    pub preroll: bool,
    /// The coded bytes, never empty, at most [`MAX_UNIT`].
    pub data: Bytes,
}

impl Unit {
    /// To be sent; times are rounded to nanoseconds.
    pub fn new(unit: &AccessUnit, preroll: bool) -> Self {
        Self {
            pts: unit.pts.nanos(),
            dts: unit.dts.nanos(),
            keyframe: unit.keyframe,
            preroll,
            data: unit.data.clone(),
        }
    }
}

impl From<Unit> for AccessUnit {
    fn from(unit: Unit) -> Self {
        Self {
            dts: MediaTime::from_nanos(unit.dts),
            pts: MediaTime::from_nanos(unit.pts),
            keyframe: unit.keyframe,
            data: unit.data,
        }
    }
}

/// What a worker did since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Units that came in, prerolled ones too.
    pub units_in: u64,
    /// Units that went out.
    pub units_out: u64,
    /// Units that the decoder refused.
    pub undecodable: u64,
    /// Pictures that were decoded and not encoded because the worker was late itself.
    pub skipped: u64,
    /// Nanoseconds spent decoding, and in scaling or resampling.
    pub decode_ns: u64,
    /// Nanoseconds spent encoding.
    pub encode_ns: u64,
    /// Units, pictures and packets that wait inside the worker now.
    pub queued: u32,
}

/// Why a worker gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// In plain words, for the operator: what is missing or wrong.
    pub reason: String,
    /// Another start may help. False where it cannot, such as for a codec that its libraries lack.
    pub again: bool,
}
