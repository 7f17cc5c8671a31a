//! How much is kept, and where: the window ends with a segment, the same for all renditions. What lies beyond a bound
//! of memory may be stored elsewhere by the owner: it asks for what is to be stored, and says when it is.

use std::sync::Arc;

use super::Packager;
use crate::store::{Held, SPARE_PART, Segment, Shelf};
use crate::timeline::nanos;
use crate::track::RenditionId;

/// A playlist has at least so many segments, and so many are always in memory.
const LEAST_SEGMENTS: usize = 6;

/// How much may be kept, all renditions together: the window shrinks to it, to six segments at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in memory. What has left the window, and can still be fetched, may take an eighth more, and so may what is
    /// known of those of them that are stored elsewhere.
    pub memory: usize,
    /// Bytes that are stored elsewhere.
    pub stored: u64,
}

impl Packager {
    /// May change at any time; until it is said, what the configuration has in memory, and nothing elsewhere.
    pub fn limit(&mut self, limits: Limits) {
        if std::mem::replace(&mut self.limits, limits) != limits {
            self.publish();
        }
    }

    /// How much there is, with what has left the window and can still be fetched.
    pub fn held(&self) -> Held {
        let spare = self.lanes.iter().map(|lane| lane.maker.shelf.spare_held());
        spare.fold(self.listed(), Held::plus)
    }

    /// How much there is in the window.
    pub(super) fn listed(&self) -> Held {
        let all = self.lanes.iter().map(|lane| lane.maker.shelf.held());
        all.fold(Held::default(), Held::plus)
    }

    /// How many bytes of memory the segments take that are there whatever the limits say.
    pub fn least(&self) -> usize {
        let all = self.lanes.iter().map(|lane| lane.maker.shelf.newest(LEAST_SEGMENTS));
        all.fold(Held::default(), Held::plus).memory
    }

    /// The oldest segment that is in memory and need not be, if the window takes more than `memory` bytes there.
    /// The owner stores its bytes and then says so ([`Packager::stored`]).
    pub fn surplus(&self, memory: usize) -> Option<(RenditionId, Arc<Segment>)> {
        if self.listed().memory <= memory {
            return None;
        }
        let end = self.most_first();
        let all = self.lanes.iter().filter_map(|lane| Some((lane.id(), lane.maker.shelf.here()?)));
        let oldest = all.min_by_key(|(_, segment)| segment.msn);
        oldest.filter(|(_, segment)| segment.msn < end).map(|(id, s)| (id, Arc::clone(s)))
    }

    /// The bytes of this segment are stored, and not needed in memory any more. False if it has left the window
    /// meanwhile: then nobody will ask for them.
    pub fn stored(&mut self, id: RenditionId, msn: u64) -> bool {
        let lane = self.lanes.iter_mut().find(|lane| lane.id() == id);
        let stored = lane.is_some_and(|lane| lane.maker.shelf.store(msn));
        self.publish();
        stored
    }

    /// Whether the window is shorter than is wanted because there was no room for more of it.
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// What is older than this segment of a rendition will not be asked for any more.
    pub fn oldest(&self, id: RenditionId) -> u64 {
        self.lane(id).map_or(0, |lane| lane.maker.shelf.oldest())
    }

    /// Lets go of what is too old, or too much.
    pub(super) fn trim(&mut self) {
        let newest = self.cuts.last().map_or(0, |cut| cut.msn);
        let held = self.listed();
        if newest != self.trimmed || !self.fits(held) {
            self.trimmed = newest;
            self.shorten(held);
        }
        if let Some(first) = self.least_spare() {
            self.lanes.iter_mut().for_each(|lane| lane.maker.shelf.forget(first));
        }
    }

    fn shorten(&mut self, held: Held) {
        let (within, fits) = (self.oldest_within(), self.oldest_that_fits(held));
        let first = within.max(fits);
        // Once something goes because of its age all is there that is wanted.
        let aged = self.longest().first().is_some_and(|oldest| oldest.msn < within);
        self.short = fits > within || self.short && !aged;
        self.lanes.iter_mut().for_each(|lane| lane.maker.shelf.trim(first));
    }

    fn fits(&self, held: Held) -> bool {
        held.memory <= self.limits.memory && held.stored <= self.limits.stored
    }

    /// What has left the window and has a number below this is too much, elsewhere or in the index of what lies there.
    fn least_spare(&self) -> Option<u64> {
        let shelves = || self.lanes.iter().map(|lane| &lane.maker.shelf);
        let index = shelves().map(Shelf::spare_index).sum();
        let mut held = Held { memory: index, stored: self.held().stored };
        let most = Held { memory: self.limits.memory / SPARE_PART, stored: self.limits.stored };
        let fits = |held: Held| held.memory <= most.memory && held.stored <= most.stored;
        if fits(held) {
            return None;
        }
        let first = shelves().filter_map(Shelf::spare_numbers).map(|(first, _)| first).min()?;
        let last = shelves().filter_map(Shelf::spare_numbers).map(|(_, last)| last).max()?;
        for msn in first..=last {
            held = shelves().fold(held, |held, shelf| held.minus(shelf.spare_weight(msn)));
            if fits(held) {
                return Some(msn + 1);
            }
        }
        Some(last + 1)
    }

    /// The rendition with the longest window.
    fn longest(&self) -> &[Arc<Segment>] {
        let all = self.lanes.iter().map(|lane| lane.maker.shelf.segments());
        all.max_by_key(|segments| segments.len()).unwrap_or_default()
    }

    /// With this number the window may begin at the latest.
    fn most_first(&self) -> u64 {
        let longest = self.longest();
        let index = longest.len().saturating_sub(LEAST_SEGMENTS);
        longest.get(index).map_or(0, |segment| segment.msn)
    }

    /// The number of the oldest segment with which everything is within the limits.
    fn oldest_that_fits(&self, mut held: Held) -> u64 {
        let first = |segments: &[Arc<Segment>]| segments.first().map(|segment| segment.msn);
        let all = self.lanes.iter().filter_map(|lane| first(lane.maker.shelf.segments()));
        let mut msn = all.min().unwrap_or(0);
        let end = self.most_first();
        while msn < end && !self.fits(held) {
            for lane in &self.lanes {
                held = held.minus(lane.maker.shelf.weight(msn));
            }
            msn += 1;
        }
        msn
    }

    /// The number of the oldest segment that the window has room for.
    fn oldest_within(&self) -> u64 {
        let all = self.longest();
        let Some(last) = all.last() else { return 0 };
        let (end, window) = (last.start.plus(last.duration), nanos(self.config.window));
        // The newest one that begins so far back, or the one that is the sixth.
        let begin = all.partition_point(|segment| end.since(segment.start) >= window);
        let least = all.len().saturating_sub(LEAST_SEGMENTS);
        all.get(begin.saturating_sub(1).min(least)).map_or(0, |segment| segment.msn)
    }
}
