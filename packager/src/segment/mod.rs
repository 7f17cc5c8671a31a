//! From access units to parts and segments on media time: where they begin is decided once and is the same in
//! all renditions.
//!
//! Units wait (`gather`) until it is known who leads and how long parts and segments are to be. From then on
//! each gets its place on the timeline (`lane`); the rendition that leads decides where segments begin (`cuts`);
//! and each makes its parts as far as that is decided (`maker`). Who does what when is in `run`.
//!
//! What comes of what is not as it should be:
//! - A frame longer than a part may be is a part of its own, and longer than promised.
//! - Pictures that come unevenly: one that lies where a part would end too early or too late is moved by up to half of
//!   itself, and 40 ms at most.
//! - A segment whose keyframe does not come is cut anyway, before it is longer than promised.
//! - Times that go back by more than half a second, or ahead by more than a segment or than their capture times
//!   confirm: everything ends there and goes on, as a discontinuity, with the next keyframe.
//! - Another format: a discontinuity at its first keyframe, of all renditions.
//! - Pictures that do not come for a second: sound goes on and decides where segments begin. Segments without
//!   pictures are gaps; pictures come back with a keyframe, which begins a segment.
//! - Pictures beside those that lead (other encodings) have a keyframe within 100 ms of each boundary, or their segment is a
//!   gap: it is then theirs to come back at a later one. Another format of theirs begins at a boundary, which is then a
//!   discontinuity. Where those that lead do not come for 300 ms others lead from then on.
//! - Sound that does not come for half a second is filled with silence, as are its gaps; what cannot be filled
//!   becomes gaps.

mod cuts;
mod follow;
mod gather;
mod keep;
mod lane;
mod maker;
mod run;
mod sound;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{AccessUnit, Format, Kind, MediaTime};

use self::cuts::Cuts;
use self::gather::{Gathering, Held as Waits};
pub use self::keep::Limits;
use self::lane::Lane;
use self::run::Running;
use crate::Error;
pub use crate::store::Held;
use crate::store::{Targets, View};
use crate::timeline::{Anchor, Line};
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
    /// How many bytes of the window are kept in memory at most, until [`Packager::limit`] says otherwise. What has left the
    /// window takes an eighth of that beside it, or three segments.
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
    /// Units of a rendition that was not declared or has no format; empty ones; and times that no clock has.
    pub strange: u64,
    /// Units before the first keyframe, or after a jump and before the next one.
    pub blind: u64,
    /// Units before the beginning of a publisher's timeline, or of what has been closed already.
    pub early: u64,
    /// Units that waited for pictures to begin and were too many, or for the next segment to begin and would
    /// have made theirs too long.
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
    /// Units of pictures that follow others, left out because no keyframe of theirs lies at a boundary.
    pub unaligned: u64,
    /// Segments named as gaps, because their rendition had no media.
    pub gaps: u64,
}

/// From decoding to showing, or back: 16 frames at two per second are less. In nanoseconds.
const MOST_COMPOSITION: u64 = 10_000_000_000;

/// No publisher's clock is further from its zero, in seconds: 68 years.
const MOST_TIME: i64 = 1 << 31;

/// The packager of one stream, for one epoch.
#[derive(Debug)]
pub struct Packager {
    config: Config,
    limits: Limits,
    epoch: Epoch,
    anchor: Anchor,
    cadence: Cadence,
    /// So far apart the publisher's keyframes came before the first unit that is seen here.
    gop: Option<Duration>,
    /// Somebody waits, or has been shown something.
    shown: bool,
    /// Pictures first.
    lanes: Vec<Lane>,
    targets: Option<Targets>,
    line: Option<Line>,
    cuts: Cuts,
    /// Until the present publisher's media begins.
    gathering: Gathering,
    running: Option<Running>,
    /// Behind all media of the publishers before.
    end: MediaTime,
    /// When a keyframe was last asked for that is needed at once, as units are captured.
    asked: Option<Instant>,
    events: VecDeque<Event>,
    counters: Counters,
    version: u64,
    /// The number of the segment after which the window was last looked at.
    trimmed: u64,
    /// The window has become shorter than is wanted, for want of room.
    short: bool,
    /// There is enough to show something.
    ready: bool,
    ended: bool,
}

impl Packager {
    /// An empty one. `anchor` relates instants to the calendar, for the whole epoch.
    pub fn new(config: Config, epoch: Epoch, anchor: Anchor) -> Self {
        Self {
            config,
            limits: Limits { memory: config.bytes, stored: 0 },
            epoch,
            anchor,
            cadence: Cadence::default(),
            gop: None,
            shown: false,
            lanes: Vec::new(),
            targets: None,
            line: None,
            cuts: Cuts::default(),
            gathering: Gathering::default(),
            running: None,
            end: MediaTime::ZERO,
            asked: None,
            events: VecDeque::new(),
            counters: Counters::default(),
            version: 0,
            trimmed: 0,
            short: false,
            ready: false,
            ended: false,
        }
    }

    /// Declares a rendition: to be done for all of them before the first unit, so that all begin together. One
    /// that is declared later begins with the segment that is running then. The same name again is ignored.
    pub fn add(&mut self, rendition: Rendition) {
        if self.lane(rendition.id).is_some() {
            return;
        }
        let mut lane = Lane::new(rendition);
        lane.heard = self.running.as_ref().map_or(MediaTime::ZERO, |running| running.newest);
        self.lanes.push(lane);
        self.lanes.sort_by_key(|lane| (Reverse(lane.kind()), lane.id()));
    }

    /// Who decides when keyframes come, for the present publisher.
    pub fn cadence(&mut self, cadence: Cadence) {
        self.cadence = cadence;
    }

    /// What was seen of the publisher before its first unit here: keyframes came at most so far apart. Said before the
    /// targets are frozen, it saves the two seconds that would have to be watched for it.
    pub fn expect(&mut self, gop: Duration) {
        self.gop = Some(gop);
    }

    /// Somebody waits to be shown a playlist: the targets are to be frozen as soon as enough is known (300 ms
    /// of media), not after two seconds.
    pub fn show(&mut self) {
        if !std::mem::replace(&mut self.shown, true) && self.running.is_none() {
            self.try_begin();
            self.publish();
        }
    }

    /// What the units of a rendition are from now on. The same again changes nothing; another one takes effect
    /// with the next keyframe, as a discontinuity of all renditions.
    ///
    /// # Errors
    /// If CMAF does not carry it, or its configuration is none: the rendition's units are then left out, as are
    /// those of a rendition that was not declared.
    pub fn format(&mut self, id: RenditionId, format: &Format) -> Result<(), Error> {
        match self.lanes.iter_mut().find(|lane| lane.id() == id) {
            Some(lane) => lane.format(format),
            None => Ok(()),
        }
    }

    /// The next unit of a rendition, and when it was captured. Units of different renditions may come in any
    /// order.
    pub fn unit(&mut self, id: RenditionId, unit: &AccessUnit, captured: Instant) {
        let usable = !unit.data.is_empty() && unit.dts.in_scale(1).abs() <= MOST_TIME;
        let lane = self.lane(id).filter(|lane| lane.has_format() && usable);
        let Some(lane) = lane.filter(|_| !self.ended) else {
            self.counters.strange += 1;
            return;
        };
        let gathers = self.running.is_none() && id.kind == Kind::Audio;
        let span = if gathers { lane.span(&unit.data) } else { None };
        self.take(Waits { id, unit: sane(unit), captured, span });
        self.publish();
    }

    /// Another publisher begins, or the same one anew: its formats and units follow, on times of its own.
    pub fn discontinuity(&mut self) {
        self.gathering = Gathering::default();
        self.close();
        self.publish();
    }

    /// Nothing comes any more: what is there is closed.
    pub fn end(&mut self) {
        if let Some(lead) = self.gathering.candidate(&self.expected(&self.renditions())) {
            self.begin(lead);
        }
        self.discontinuity();
        self.ended = true;
        self.publish();
    }

    /// What is to be done after any of the calls above, until `None`.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Changes with the views.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All renditions that have something to show, pictures first, in the order of their names. Empty until the
    /// targets are frozen and every rendition has its first part, or the first of them has media for a second.
    /// Cheap.
    pub fn views(&self) -> Vec<Arc<View>> {
        self.lanes.iter().filter_map(|lane| lane.maker.shelf.view().cloned()).collect()
    }

    /// What was not taken as it came, so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn lane(&self, id: RenditionId) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.id() == id)
    }
}

/// Where decoding and showing lie further apart than any encoder puts them, it is shown when it is decoded.
fn sane(unit: &AccessUnit) -> AccessUnit {
    let apart = unit.pts.nanos().abs_diff(unit.dts.nanos());
    let pts = if apart > MOST_COMPOSITION { unit.dts } else { unit.pts };
    AccessUnit { pts, ..unit.clone() }
}
