//! Where segments begin: decided once, by the rendition that leads, and carried out by all. The decisions are
//! pure; nothing of media enters here.

use std::collections::VecDeque;

use media::MediaTime;

use super::Cadence;
use super::follow::{NEAR, is_near};
use crate::track::RenditionId;

/// A longer segment rounds up to more than the target duration; sound ends a packet later than pictures.
const OVER: MediaTime = MediaTime::from_millis(400);
/// A keyframe may come so much early and still begin a segment, see [`Event::Keyframe`](super::Event).
const ASK_AHEAD: MediaTime = MediaTime::from_millis(300);
/// Between two requests for the same keyframe.
const ASK_AGAIN: MediaTime = MediaTime::from_millis(500);
/// Where a rendition is so far behind, its cuts are kept for it; more are not needed by anybody.
const KEPT: usize = 64;

/// Where a segment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Of the segment that begins here.
    pub(super) msn: u64,
    /// On the stream's timeline.
    pub(super) at: MediaTime,
    /// What is to be added to the timeline's times for this segment's time of day.
    pub(super) wall: MediaTime,
    pub(super) discontinuity: bool,
    /// Whose keyframe lies here: other pictures should have one, too.
    pub(super) key: Option<RenditionId>,
    /// How many discontinuities there were before this one.
    pub(super) before: u64,
}

/// What segments should be like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How long they should be, on a fine scale.
    pub(super) segment: MediaTime,
    /// How long they may be.
    pub(super) limit: MediaTime,
    pub(super) cadence: Cadence,
}

impl Rules {
    /// `target`: TARGETDURATION.
    pub(super) fn new(segment: MediaTime, target: u32, cadence: Cadence) -> Self {
        let limit = OVER.plus(MediaTime::new(i64::from(target), 1));
        Self { segment, limit, cadence }
    }

    /// Whether a segment begins with a keyframe that comes after `elapsed`, where the one before came `gop`
    /// earlier: of all keyframes the one that makes the segment's length right.
    pub(super) fn is_due(&self, elapsed: MediaTime, gop: Option<MediaTime>) -> bool {
        if elapsed >= self.segment {
            return true;
        }
        let next = gop.map(|gop| elapsed.plus(gop));
        let short = self.segment.since(elapsed);
        let nearest = next.is_none_or(|next| next.since(self.segment) > short);
        let last = next.is_some_and(|next| next > self.limit) && self.cadence == Cadence::Own;
        last || nearest && short <= self.slack()
    }

    /// Whether it is time to ask for the keyframe of the next segment.
    pub(super) fn asks(&self, elapsed: MediaTime) -> bool {
        self.cadence == Cadence::OnRequest && elapsed.plus(ASK_AHEAD) >= self.segment
    }

    fn slack(&self) -> MediaTime {
        let asked = ASK_AHEAD.plus(MediaTime::from_millis(20));
        match self.cadence {
            // What comes earlier was asked for by others, and other encodings may have no keyframe there.
            Cadence::OnRequest => asked,
            Cadence::Own => MediaTime::from_nanos(self.segment.nanos() / 5).max(asked),
        }
    }
}

/// The cuts that somebody may still need; the last is that of the running segment.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    kept: VecDeque<Cut>,
    /// The last number given.
    msn: u64,
    discontinuities: u64,
    /// A rendition cannot go on without a discontinuity.
    pub(super) forced: bool,
    /// Pictures that follow others have another format: the next boundary with a keyframe is a discontinuity.
    pub(super) marked: bool,
    /// No media lies behind the last cut: the next one takes its number.
    pub(super) unused: bool,
    asked: Option<MediaTime>,
}

impl Cuts {
    /// A segment begins; `key`: with a keyframe of this rendition. Nothing happens where it would not be
    /// later than the one before.
    pub(super) fn push(
        &mut self,
        at: MediaTime,
        wall: MediaTime,
        discontinuity: bool,
        key: Option<RenditionId>,
    ) {
        if self.kept.back().is_some_and(|last| at <= last.at) {
            return;
        }
        if self.unused
            && let Some(last) = self.kept.pop_back()
        {
            self.msn -= 1;
            self.discontinuities = last.before;
        }
        let marked = key.is_some() && std::mem::take(&mut self.marked);
        let discontinuity = (discontinuity || self.forced || marked) && self.msn > 0;
        self.forced = false;
        self.unused = false;
        self.asked = None;
        self.msn += 1;
        let before = self.discontinuities;
        self.discontinuities += u64::from(discontinuity);
        self.kept.push_back(Cut { msn: self.msn, at, wall, discontinuity, key, before });
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    pub(super) fn last(&self) -> Option<&Cut> {
        self.kept.back()
    }

    /// Whether there is a discontinuity that a keyframe there belongs to.
    pub(super) fn breaks_near(&self, at: MediaTime) -> bool {
        self.of(at.plus(NEAR)).is_some_and(|cut| cut.discontinuity && is_near(at, cut))
    }

    pub(super) fn get(&self, msn: u64) -> Option<&Cut> {
        let first = self.kept.front()?.msn;
        self.kept.get(usize::try_from(msn.checked_sub(first)?).ok()?)
    }

    /// The segment that a moment lies in; the oldest that is known for what is earlier.
    pub(super) fn of(&self, at: MediaTime) -> Option<&Cut> {
        self.kept.iter().rev().find(|cut| cut.at <= at).or(self.kept.front())
    }

    /// True once when a keyframe is to be asked for, and again when it does not come.
    pub(super) fn ask(&mut self, rules: &Rules, now: MediaTime) -> bool {
        let Some(last) = self.kept.back() else { return false };
        let again = self.asked.is_none_or(|asked| now >= asked.plus(ASK_AGAIN));
        let asks = again && rules.asks(now.since(last.at));
        if asks {
            self.asked = Some(now);
        }
        asks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(target: u32, cadence: Cadence) -> Rules {
        Rules::new(MediaTime::from_millis(2000), target, cadence)
    }

    /// How long segments get with a keyframe every so often, all in ms.
    fn length(rules: &Rules, gop: i64) -> Option<i64> {
        let gop = MediaTime::from_millis(gop);
        let keyframes = (1..100).map(|n| MediaTime::from_millis(gop.millis() * n));
        let mut possible = keyframes.take_while(|elapsed| *elapsed <= rules.limit);
        possible.find(|elapsed| rules.is_due(*elapsed, Some(gop))).map(MediaTime::millis)
    }

    #[test]
    fn segments_follow_the_cadence_that_there_is() {
        let own = rules(6, Cadence::Own);
        let lengths = [33, 500, 1000, 1200, 1500, 1700, 1999, 2000, 4000, 5000, 6000];
        let found = lengths.map(|gop| length(&own, gop).unwrap());
        assert_eq!(found, [2013, 2000, 2000, 2400, 3000, 1700, 1999, 2000, 4000, 5000, 6000]);
        assert_eq!(length(&own, 10_000), None, "cut anyway");
        assert_eq!(length(&rules(2, Cadence::Own), 1500), Some(1500), "the next would be too late");
    }

    #[test]
    fn who_is_asked_may_answer_at_once_but_not_unasked() {
        let rules = rules(2, Cadence::OnRequest);
        let gop = Some(MediaTime::new(2, 1));
        assert!(!rules.asks(MediaTime::from_millis(1699)));
        assert!(rules.asks(MediaTime::from_millis(1700)));
        assert!(rules.is_due(MediaTime::from_millis(1700), gop));
        assert!(!rules.is_due(MediaTime::from_millis(1000), gop));
    }

    #[test]
    fn numbers_begin_at_one_and_a_beginning_is_no_discontinuity() {
        let mut cuts = Cuts::default();
        cuts.push(MediaTime::ZERO, MediaTime::ZERO, true, None);
        cuts.push(MediaTime::ZERO, MediaTime::ZERO, true, None);
        cuts.push(MediaTime::new(2, 1), MediaTime::ZERO, true, None);
        cuts.push(MediaTime::new(4, 1), MediaTime::ZERO, false, None);
        let all: Vec<_> = cuts.kept.iter().map(|c| (c.msn, c.discontinuity, c.before)).collect();
        assert_eq!(all, [(1, false, 0), (2, true, 0), (3, false, 1)]);
        assert_eq!(cuts.of(MediaTime::from_millis(2500)).unwrap().msn, 2);
    }
}
