//! Pictures beside those that lead: other encodings of the same. Where segments begin is decided without them, so each
//! has to have a keyframe there, or its segment is a gap. The decision is pure.
//!
//! Encoders that are asked together answer at about the same time, and clocks of two encodings agree only so far: a
//! keyframe within [`NEAR`] of a boundary is that boundary's, and pictures before it belong to the segment before.

use std::collections::VecDeque;
use std::sync::Arc;

use media::MediaTime;

use super::cuts::{Cut, Cuts};
use super::maker::Placed;
use crate::track::Init;

/// So far from a boundary a keyframe may lie that is meant to be there: three pictures of 30 per second.
pub(super) const NEAR: MediaTime = MediaTime::from_millis(100);

/// What becomes of the oldest unit that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It goes into the segment that runs, or begins one.
    Add,
    /// The segment that runs ends before it.
    Close,
    /// More must be known first.
    Wait,
    /// It is left out: nobody could begin with it, or nobody could say where it belongs.
    Leave,
}

/// How far a rendition is.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'a> {
    pub(super) cuts: &'a Cuts,
    /// See [`Turn::settled`](super::maker::Turn).
    pub(super) settled: Option<MediaTime>,
    /// It leads by now, and no boundary comes that it has no keyframe for.
    pub(super) leads: bool,
    /// The segment that its next part goes into.
    pub(super) msn: Option<u64>,
    /// What that segment is coded like, once it has begun.
    pub(super) open: Option<&'a Arc<Init>>,
    /// What its segments were coded like so far.
    pub(super) known: Option<&'a Arc<Init>>,
    /// Pictures were left out since the last keyframe.
    pub(super) lost: bool,
}

impl State<'_> {
    /// Whether a boundary may still come that is not later than this.
    fn may_come(&self, at: MediaTime) -> bool {
        self.settled.is_some_and(|settled| settled < at)
    }
}

/// What becomes of the first of `queue`.
pub(super) fn step(queue: &VecDeque<Placed>, state: &State<'_>) -> Step {
    let Some(first) = queue.front() else { return Step::Wait };
    let at = first.time();
    let next = state.msn.and_then(|msn| state.cuts.get(msn + 1));
    match next {
        Some(cut) if first.keyframe && is_near(at, cut) || at >= cut.at.plus(NEAR) => Step::Close,
        Some(cut) if at >= cut.at => around(queue, state, cut),
        // A boundary may come that is meant to be here.
        None if first.keyframe && !state.leads && state.may_come(at.plus(NEAR)) => Step::Wait,
        _ => inside(first, state),
    }
}

/// A unit right behind a boundary, which is no keyframe.
fn around(queue: &VecDeque<Placed>, state: &State<'_>, cut: &Cut) -> Step {
    if cut.key.is_none() && !state.lost {
        return Step::Close;
    }
    if queue.iter().any(|unit| unit.keyframe && is_near(unit.time(), cut)) {
        return if state.open.is_some() { Step::Add } else { Step::Leave };
    }
    let beyond = cut.at.plus(NEAR);
    let none_comes = queue.back().is_some_and(|newest| newest.time() >= beyond);
    if none_comes || state.settled.is_none() { Step::Close } else { Step::Wait }
}

/// A unit with which no segment ends.
fn inside(first: &Placed, state: &State<'_>) -> Step {
    if let Some(open) = state.open {
        // Another format has its beginning at a boundary, too.
        return if Arc::ptr_eq(open, &first.init) { Step::Add } else { Step::Leave };
    }
    let same = state.known.is_none_or(|known| Arc::ptr_eq(known, &first.init));
    let begins = |cut: &Cut| {
        let fits = same || cut.discontinuity;
        let goes_on = cut.key.is_none() && !state.lost && same;
        fits && first.keyframe && is_near(first.time(), cut) || goes_on
    };
    let cut = match state.msn {
        Some(msn) => state.cuts.get(msn),
        None => state.cuts.of(first.time().plus(NEAR)).filter(|cut| cut.key.is_some()),
    };
    if cut.is_some_and(begins) { Step::Add } else { Step::Leave }
}

/// Whether a keyframe that lies there is meant to be at this boundary.
pub(super) fn is_near(at: MediaTime, cut: &Cut) -> bool {
    let apart = at.nanos().saturating_sub(cut.at.nanos());
    apart.abs() < NEAR.nanos()
}
