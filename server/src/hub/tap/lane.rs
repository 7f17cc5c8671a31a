//! One encoding that is taken apart, and the tracks that its frames go to: each has its own time, which only goes on, and
//! begins with a keyframe.

use std::time::{Duration, Instant};

use media::depacketize::{Depacketizer, Frame};
use media::{AccessUnit, Codec, EncodingId, Format, Kind, MediaTime};
use sfu::feed::Info;

use crate::units::{Track, Writer};

/// One encoding.
pub(super) struct Lane {
    /// Among all of its publisher.
    pub(super) index: usize,
    pub(super) id: EncodingId,
    codec: Codec,
    generation: u32,
    pub(super) depacketizer: Depacketizer,
    /// What it is, as far as it has said.
    pub(super) format: Option<Format>,
    /// Its own track, where somebody wants it by itself.
    pub(super) layer: Place,
    /// A reader needs a keyframe of it, and none has come since.
    pub(super) wanted: bool,
}

/// A track on the bus that frames go to, if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) track: Option<Track>,
    pub(super) newest: Option<MediaTime>,
    /// Pictures are left out until a keyframe comes.
    pub(super) blind: bool,
}

/// A main track, and the encoding that stands for it.
pub(super) struct Seat {
    pub(super) track: Track,
    pub(super) of: Option<usize>,
    pub(super) place: Place,
}

impl Seat {
    pub(super) fn new(track: Track) -> Self {
        let place = Place { track: Some(track), newest: None, blind: true };
        Self { track, of: None, place }
    }

    /// From its next frame on this encoding stands for the track.
    pub(super) fn take(&mut self, lane: &Lane, writer: &mut Writer) {
        self.of = Some(lane.index);
        self.place.blind = true;
        lane.announce(Some(self.track), writer);
    }
}

impl Lane {
    pub(super) fn new(index: usize, info: &Info) -> Self {
        Self {
            index,
            id: info.id,
            codec: info.payload.codec,
            generation: info.generation,
            depacketizer: Depacketizer::new(info.payload.codec),
            format: None,
            layer: Place { track: None, newest: None, blind: true },
            wanted: false,
        }
    }

    pub(super) fn is(&self, info: &Info) -> bool {
        (self.codec, self.generation) == (info.payload.codec, info.generation)
    }

    /// Says on the bus what it is, where it has said so already.
    pub(super) fn announce(&self, track: Option<Track>, writer: &mut Writer) {
        if let Some((track, format)) = track.zip(self.format.clone()) {
            writer.format(track, format);
        }
    }
}

impl Place {
    /// A frame as a unit of the track; `None` where it cannot be decoded, or nobody wants it.
    pub(super) fn unit(&mut self, frame: &Frame, epoch: Instant) -> Option<(Track, AccessUnit)> {
        let track = self.track?;
        // What is missing before it may be what it needs.
        self.blind |= frame.gap;
        if track.0 == Kind::Video && self.blind && !frame.keyframe {
            return None;
        }
        self.blind = false;
        let mut time = since(epoch, frame.time);
        // The stream's clock is slewed, a little and slowly; decoders want time to go on.
        if let Some(newest) = self.newest.filter(|newest| time <= *newest) {
            time = newest.plus(MediaTime::from_nanos(1));
        }
        self.newest = Some(time);
        let keyframe = frame.keyframe || track.0 == Kind::Audio;
        Some((track, AccessUnit { dts: time, pts: time, keyframe, data: frame.data.clone() }))
    }
}

fn since(epoch: Instant, time: Instant) -> MediaTime {
    let nanos = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    MediaTime::from_nanos(match time.checked_duration_since(epoch) {
        Some(later) => nanos(later),
        None => -nanos(epoch.saturating_duration_since(time)),
    })
}
