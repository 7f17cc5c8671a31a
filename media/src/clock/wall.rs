//! The publisher's wall clock against ours: one offset for all its sources, which keeps them exactly in
//! step whatever each one's delay. It follows one source, the reference, slowly; all others are told how
//! much later than that their packets come. A source that contradicts it by more than encoders
//! differ goes by its arrivals.

use super::{MILLISECOND, MOST_EXTRA, SECOND, slewed};

/// How fast all sources move together: what clocks drift, and 25 times that.
const FOLLOW_PER_SECOND: i64 = 5 * MILLISECOND;
/// A reference without a packet for so long is replaced.
const QUIET: i64 = 5 * SECOND;
/// An offset that no report has agreed with for so long is forgotten.
const STALE: i64 = 30 * SECOND;
/// Sources show the same step of the wall clock within this time and distance: each needs several reports.
const SAME_STEP: (i64, i64) = (60 * SECOND, 50 * MILLISECOND);
/// Reports overtake each other by less.
const MARGIN: i64 = SECOND;

/// Server less wall time, by a source's shortest delay, is called its delay here.
#[derive(Debug, Default)]
pub(super) struct Wall {
    /// Counts how often the offset was founded anew, against what was believed before.
    pub(super) founded: u32,
    offset: i64,
    /// Who moves the offset; 0: nobody yet.
    reference: u32,
    /// How much later than captured its packets come.
    reference_extra: i64,
    /// When the reference moved it last.
    moved: i64,
    /// When a report agreed last, if one has.
    agreed: Option<i64>,
    /// When one of another source than the reference did.
    supported: Option<i64>,
    /// When reports of a source that agrees went on last.
    confirmed: Option<i64>,
    /// A source that contradicts: which, its delay, and when.
    rival: Option<(u32, i64, i64)>,
    /// The last step of the publisher's wall clock, and when it was noticed.
    step: Option<(i64, i64)>,
}

impl Wall {
    /// True if the reports of a source with this delay can be believed beside the others'. `extra`: how much
    /// later than captured its packets are taken to come now; `joins`: it did not agree before.
    pub(super) fn agrees(
        &mut self,
        source: u32,
        delay: i64,
        extra: i64,
        joins: bool,
        now: i64,
    ) -> bool {
        let within = |time: Option<i64>| time.is_some_and(|time| now - time <= STALE);
        if !within(self.agreed) {
            self.found(source, delay, extra, now);
            return true;
        }
        if !credible(delay, self.offset) {
            let other = self.rival.filter(|(who, theirs, when)| {
                *who != source && now - when <= STALE && credible(delay, *theirs)
            });
            self.rival = Some((source, delay, now));
            // Two against one that has nobody on its side.
            if other.is_some() && !within(self.supported) {
                self.found(source, delay, extra, now);
                self.founded += 1;
                self.supported = Some(now);
                return true;
            }
            return false;
        }
        self.agreed = Some(now);
        if source != self.reference {
            self.supported = Some(now);
            // Prompter than all so far: the others are the late ones.
            if joins && delay < self.offset {
                self.found(source, delay, 0, now);
            }
        }
        true
    }

    /// How much later than captured the packets of this source come, which has just had one.
    pub(super) fn extra(&mut self, source: u32, delay: i64, now: i64) -> i64 {
        if source == self.reference {
            let most = slewed(FOLLOW_PER_SECOND, now - self.moved);
            self.offset += (delay - self.reference_extra - self.offset).clamp(-most, most);
            self.moved = self.moved.max(now);
        } else if self.reference == 0 || now - self.moved > QUIET {
            (self.reference, self.moved) = (source, now);
            self.reference_extra = (delay - self.offset).clamp(0, MOST_EXTRA);
        } else if delay < self.offset {
            (self.reference, self.reference_extra, self.moved) = (source, 0, now);
        }
        delay - self.offset
    }

    /// Reports of a source that agrees went on as before.
    pub(super) fn confirm(&mut self, now: i64) {
        self.confirmed = Some(now);
    }

    /// A source's reports have moved by so much since then, and give it this delay now. True if that was
    /// a step of the publisher's wall clock, and says nothing about the media; false if the source
    /// itself has moved: others that go on as before are the witnesses.
    pub(super) fn stepped(&mut self, by: i64, since: i64, now: i64, delay: i64) -> bool {
        let same = |(step, when): (i64, i64)| {
            now - when <= SAME_STEP.0 && (step - by).abs() <= SAME_STEP.1
        };
        let witnessed = self.confirmed.is_some_and(|time| time > since + MARGIN);
        if !self.step.is_some_and(same) {
            if witnessed && credible(delay, self.offset) {
                return false;
            }
            self.step = Some((by, now));
        }
        true
    }

    /// This source is the reference no longer: it has moved, and the others have not.
    pub(super) fn release(&mut self, source: u32) {
        if self.reference == source {
            self.reference = 0;
        }
    }

    fn found(&mut self, source: u32, delay: i64, extra: i64, now: i64) {
        (self.reference, self.reference_extra) = (source, extra);
        (self.offset, self.moved) = (delay - extra, now);
        self.agreed = Some(now);
        self.rival = None;
    }
}

/// Two delays that encoders of one publisher can have.
fn credible(one: i64, other: i64) -> bool {
    one.abs_diff(other) <= MOST_EXTRA.unsigned_abs()
}
