//! FLV tags as RTMP's audio and video messages carry them (Adobe FLV 10.1 annex E, Enhanced RTMP v2),
//! read and written. No times of the message enter here: `timeline` places them.

use bytes::Bytes;
use media::{Format, Kind};

use crate::Error;

/// What one audio or video message says about one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A sequence header: what a decoder must know from here on.
    Format {
        /// 0 is the main one.
        track: u8,
        /// The format; its dimensions are those of the configuration, where it says them.
        format: Format,
    },
    /// One coded picture or packet of sound, as [`media::AccessUnit`] holds them.
    Unit {
        /// 0 is the main one.
        track: u8,
        /// From decoding to showing, in nanoseconds. Zero for sound.
        composition: i64,
        /// To be added to the message's timestamp, in nanoseconds (ModEx).
        offset: u32,
        /// A decoder can start here.
        keyframe: bool,
        /// The coded bytes, shared with the message.
        data: Bytes,
    },
    /// The track ends.
    End {
        /// Which.
        track: u8,
    },
}

/// Reads the messages of one publisher: it remembers each track's format.
#[derive(Debug, Default)]
pub struct Reader {}

impl Reader {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the body of one message and appends what it says.
    pub fn read(&mut self, kind: Kind, body: &Bytes, out: &mut Vec<Tag>) -> Result<(), Error> {
        let _ = (kind, body, out);
        Ok(())
    }
}

/// The body of a message to be sent: a few bytes, then the unit's, which are not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The tag's header.
    pub head: Bytes,
    /// What follows it.
    pub data: Bytes,
}

/// Writes the messages of one stream that is played or published.
#[derive(Debug, Default)]
pub struct Writer {}

impl Writer {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The sequence header; `None` for a codec that has none.
    pub fn format(&mut self, track: u8, format: &Format) -> Option<Body> {
        let _ = (track, format);
        None
    }

    /// One unit; `None` before its track's format. `composition` and `offset` as in [`Tag::Unit`].
    pub fn unit(
        &mut self,
        kind: Kind,
        track: u8,
        keyframe: bool,
        composition: i64,
        offset: u32,
        data: &Bytes,
    ) -> Option<Body> {
        let _ = (kind, track, keyframe, composition, offset, data);
        None
    }
}
