//! From access units to parts and segments on media time: where they begin is decided once and is the same in
//! all renditions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{AccessUnit, Format};

use crate::Error;
use crate::store::View;
use crate::timeline::Anchor;
use crate::track::{Epoch, Rendition, RenditionId};

/// What a stream's packaging is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long segments should be.
    pub segment: Duration,
    /// How long parts should be at least; `None`: no parts are shown.
    pub part: Option<Duration>,
    /// How much is kept for seeking back. Six segments at least are.
    pub window: Duration,
    /// How many bytes are kept at most, all renditions together; the window shrinks to it, to six segments at
    /// least.
    pub bytes: usize,
}

/// Who decides when keyframes come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cadence {
    /// The publisher's encoder: segments follow it.
    #[default]
    Own,
    /// We do: the publisher sends one when asked.
    OnRequest,
}

/// What the owner has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A boundary is near: ask the publisher for a keyframe of this rendition now. Only with
    /// [`Cadence::OnRequest`].
    Keyframe(RenditionId),
}

/// What was not taken as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Units of a rendition that was not declared or has no format.
    pub strange: u64,
    /// Units before the first keyframe, or after a jump and before the next one.
    pub blind: u64,
    /// Units before the beginning of a publisher's timeline, or of what has been closed already.
    pub early: u64,
    /// Units that waited for pictures to begin and were too many.
    pub overflow: u64,
    /// Units that were not later than the one before, and were put right behind it.
    pub held: u64,
    /// Jumps of time that became discontinuities.
    pub jumps: u64,
    /// Packets of silence put into gaps of sound.
    pub filled: u64,
    /// Segments that began without the keyframe they should have had.
    pub dependent: u64,
    /// Parts longer than promised, because a frame alone was.
    pub long_parts: u64,
    /// Segments named as gaps, because their rendition had no media.
    pub gaps: u64,
}

/// The packager of one stream, for one epoch.
#[derive(Debug)]
pub struct Packager {
    config: Config,
    epoch: Epoch,
    anchor: Anchor,
}

impl Packager {
    /// An empty one. `anchor` relates instants to the calendar, for the whole epoch.
    pub fn new(config: Config, epoch: Epoch, anchor: Anchor) -> Self {
        Self { config, epoch, anchor }
    }

    /// Declares a rendition: to be done for all of them before the first unit, so that all begin together. One
    /// that is declared later begins with the segment that is running then.
    pub fn add(&mut self, rendition: Rendition) {
        let _ = rendition;
    }

    /// Who decides when keyframes come, for the present publisher.
    pub fn cadence(&mut self, cadence: Cadence) {
        let _ = cadence;
    }

    /// Somebody waits to be shown a playlist: the targets are to be frozen as soon as enough is known (300 ms
    /// of media), not after two seconds.
    pub fn show(&mut self) {
        let _ = (&self.config, &self.epoch, &self.anchor);
    }

    /// What the units of a rendition are from now on. The same again changes nothing; another one takes effect
    /// with the next keyframe, as a discontinuity of all renditions.
    ///
    /// # Errors
    /// If CMAF does not carry it, or its configuration is none: the rendition's units are then left out.
    pub fn format(&mut self, id: RenditionId, format: &Format) -> Result<(), Error> {
        let _ = (id, format);
        Ok(())
    }

    /// The next unit of a rendition, and when it was captured. Units of different renditions may come in any
    /// order.
    pub fn unit(&mut self, id: RenditionId, unit: &AccessUnit, captured: Instant) {
        let _ = (id, unit, captured);
    }

    /// Another publisher begins, or the same one anew: its formats and units follow, on times of its own.
    pub fn discontinuity(&mut self) {}

    /// Nothing comes any more: what is there is closed.
    pub fn end(&mut self) {}

    /// What is to be done after any of the calls above, until `None`.
    pub fn poll(&mut self) -> Option<Event> {
        None
    }

    /// Changes with the views.
    pub fn version(&self) -> u64 {
        0
    }

    /// All renditions that have something to show, in the order of their names. Empty until the targets are
    /// frozen and every rendition that is there has its first part. Cheap.
    pub fn views(&self) -> Vec<Arc<View>> {
        Vec::new()
    }

    /// What was not taken as it came, so far.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
