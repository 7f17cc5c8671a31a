//! A pipeline: coded units of one format in, of another out, on the same timeline. It knows neither sockets nor
//! processes; the clock it measures its own work with is an argument.

use std::time::Duration;

use media::{AccessUnit, Format, Kind};
use transcode::Target;

use crate::pictures::Pictures;
use crate::sound::Sound;
use crate::{Error, av};

/// Units in a row without anything decoded after which a pipeline gives up: 8 s of pictures, 5 s of AAC.
pub(crate) const BARREN: u32 = 250;

/// How a pipeline works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bits per second at the most; `None`: near the source's.
    pub bitrate: Option<u32>,
    /// Pictures per second, where known; else they are counted.
    pub frame_rate: Option<u16>,
    /// From keyframe to keyframe at the most, of media time.
    pub keyframe_interval: Duration,
    /// Threads within one picture.
    pub threads: u16,
    /// Any clock that does not go back, to measure how long the codecs take.
    pub clock: fn() -> Duration,
}

impl Settings {
    /// As the server wants it, with `threads` where it leaves the choice.
    pub fn new(of: &transcode::Options, threads: u16, clock: fn() -> Duration) -> Self {
        Self {
            bitrate: of.bitrate,
            frame_rate: of.frame_rate,
            keyframe_interval: of.keyframe_interval,
            threads: if of.threads > 0 { of.threads } else { threads },
            clock,
        }
    }
}

/// How a unit is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Push {
    /// Only decoded: nothing shall come of it.
    pub preroll: bool,
    /// It waited too long: what it shows is not encoded, to catch up.
    pub late: bool,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The units from here on are of this format.
    Format(Format),
    /// One coded unit.
    Unit(AccessUnit),
}

/// What a pipeline did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Units that came in.
    pub units_in: u64,
    /// Units that went out.
    pub units_out: u64,
    /// Units that the decoder refused.
    pub undecodable: u64,
    /// Pictures not encoded: late, or without a time of their own.
    pub skipped: u64,
    /// Samples (at 48 kHz) of silence that filled gaps.
    pub filled: u64,
    /// Samples (at 48 kHz) thrown away because they overlapped.
    pub trimmed: u64,
    /// Nanoseconds spent decoding, scaling and resampling.
    pub decode_ns: u64,
    /// Nanoseconds spent encoding.
    pub encode_ns: u64,
}

/// One bridge.
pub struct Pipeline(Inner);

enum Inner {
    Pictures(Box<Pictures>),
    Sound(Box<Sound>),
}

impl Pipeline {
    /// Opens the decoder and looks for the encoder, which itself opens with the first picture or samples.
    pub fn open(from: &Format, to: Target, settings: &Settings) -> Result<Self, Error> {
        if from.codec.kind() != to.kind() {
            return Err(Error::Pair { from: from.codec, to });
        }
        if av::found(to).next().is_none() {
            return Err(Error::NoEncoder { to, looked_for: av::encoders(to).join(", ") });
        }
        Ok(Self(match to.kind() {
            Kind::Video => Inner::Pictures(Box::new(Pictures::open(from, to, settings)?)),
            Kind::Audio => Inner::Sound(Box::new(Sound::open(from, to, settings)?)),
        }))
    }

    /// The units from here on are of this format. What the decoder holds comes out first.
    pub fn format(&mut self, from: &Format, out: &mut Vec<Output>) -> Result<(), Error> {
        match &mut self.0 {
            Inner::Pictures(pictures) => pictures.format(from, out),
            Inner::Sound(sound) => sound.format(from, out),
        }
    }

    /// Takes one unit and appends what comes of it. An error is the end: broken units are counted, not errors,
    /// until there are too many in a row.
    pub fn push(
        &mut self,
        unit: &AccessUnit,
        how: Push,
        out: &mut Vec<Output>,
    ) -> Result<(), Error> {
        match &mut self.0 {
            Inner::Pictures(pictures) => pictures.push(unit, how, out),
            Inner::Sound(sound) => sound.push(unit, how, out),
        }
    }

    /// The next picture that is encoded shall be a keyframe.
    pub fn keyframe(&mut self) {
        if let Inner::Pictures(pictures) = &mut self.0 {
            pictures.keyframe();
        }
    }

    /// Nothing more comes: all that is held back comes out.
    pub fn flush(&mut self, out: &mut Vec<Output>) -> Result<(), Error> {
        match &mut self.0 {
            Inner::Pictures(pictures) => pictures.flush(out),
            Inner::Sound(sound) => sound.flush(out),
        }
    }

    /// What it did so far.
    pub fn stats(&self) -> Stats {
        match &self.0 {
            Inner::Pictures(pictures) => pictures.stats,
            Inner::Sound(sound) => sound.stats,
        }
    }
}

/// Nanoseconds since `start` on the same clock.
pub(crate) fn since(clock: fn() -> Duration, start: Duration) -> u64 {
    u64::try_from(clock().saturating_sub(start).as_nanos()).unwrap_or(u64::MAX)
}
