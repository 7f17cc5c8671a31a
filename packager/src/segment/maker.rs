//! From placed units to parts and segments of one rendition. A part is closed before the frame that would make
//! it too long, and as soon as it is long enough: nothing waits longer than it must. The file format is
//! [`cmaf`]'s.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::{Kind, MediaTime};

use super::Counters;
use super::cuts::{Cut, Cuts};
use super::follow::{self, NEAR, Step};
use crate::cmaf::{self, Sample};
use crate::store::{Part, Segment, Shelf};
use crate::timeline::nanos;
use crate::track::{Init, RenditionId};

/// Of its target, a part that is not a segment's last has at least this much, in percent.
const FULL: i64 = 85;
/// No picture is moved further for the sake of a part: nobody sees that, or hears it against the sound.
const MOVED: Duration = Duration::from_millis(40);
/// No publisher has reason for more units in a part.
const MOST_SAMPLES: usize = 2_000;
/// Pictures of different encoders that are one: their keyframes lie so near to each other.
const SAME: MediaTime = MediaTime::from_millis(10);
/// More than a tick of any clock.
const TICK: MediaTime = MediaTime::from_millis(1);

/// What makes a part long enough.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The picture behind it begins only then, in ticks.
    Later(i64),
    /// Its last picture ends then already.
    Shorter(i64),
}

/// A unit whose place is known.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// When it is decoded, on the stream's timeline, in ticks of `init`.
    pub(super) at: i64,
    /// How many ticks later it is shown.
    pub(super) composition: i32,
    pub(super) keyframe: bool,
    /// How many ticks it lasts, where it says so itself.
    pub(super) span: Option<i64>,
    pub(super) data: Bytes,
    pub(super) init: Arc<Init>,
}

impl Placed {
    pub(super) fn time(&self) -> MediaTime {
        MediaTime::new(self.at, self.init.timescale)
    }

    /// Where it ends, if it says so.
    fn end(&self) -> Option<MediaTime> {
        self.span.map(|span| MediaTime::new(self.at.saturating_add(span), self.init.timescale))
    }
}

/// One rendition's.
#[derive(Debug)]
pub(super) struct Maker {
    id: RenditionId,
    queue: VecDeque<Placed>,
    /// The segment that its next part goes into, once it has begun.
    msn: Option<u64>,
    segment: Option<Segment>,
    samples: Vec<Sample>,
    /// Where the samples begin and end, in ticks.
    start: i64,
    end: i64,
    sequence: u32,
    /// Where the newest part ends.
    reached: Option<MediaTime>,
    /// Pictures were left out since the last keyframe.
    pub(super) lost: bool,
    pub(super) shelf: Shelf,
}

/// What a turn needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'a> {
    pub(super) cuts: &'a Cuts,
    /// No cut will come that is not later than this. `None`: none will come at all.
    pub(super) settled: Option<MediaTime>,
    /// The longest that a part may be.
    pub(super) part: Duration,
    /// The longest that a segment may be: what lasts longer is cut off there.
    pub(super) segment: MediaTime,
    /// The time of day of the timeline's zero.
    pub(super) zero: Duration,
    /// Where a last unit ends that does not say so, if nothing follows it.
    pub(super) last: Option<MediaTime>,
    /// These are pictures, and others lead: see [`follow`].
    pub(super) follows: bool,
}

impl Maker {
    pub(super) fn new(id: RenditionId) -> Self {
        Self {
            id,
            queue: VecDeque::new(),
            msn: None,
            segment: None,
            samples: Vec::new(),
            start: 0,
            end: 0,
            sequence: 0,
            reached: None,
            lost: false,
            shelf: Shelf::default(),
        }
    }

    pub(super) fn push(&mut self, placed: Placed) {
        self.queue.push_back(placed);
    }

    pub(super) fn msn(&self) -> Option<u64> {
        self.msn
    }

    /// The unit before the newest, as long as it waits.
    pub(super) fn pending(&self) -> Option<&Placed> {
        self.queue.len().checked_sub(2).and_then(|index| self.queue.get(index))
    }

    /// Makes what can be made.
    pub(super) fn turn(&mut self, turn: &Turn<'_>, counters: &mut Counters) {
        while let Some(first) = self.queue.front() {
            match self.step(first, turn) {
                Step::Add => {}
                Step::Wait => break,
                Step::Leave => {
                    self.queue.pop_front();
                    self.lost = true;
                    counters.unaligned += 1;
                    continue;
                }
                Step::Close => {
                    let Some(cut) = self.next_cut(turn.cuts).copied() else { break };
                    self.close(turn, &cut, counters);
                    continue;
                }
            }
            if self.segment.as_ref().is_some_and(|s| !Arc::ptr_eq(&s.init, &first.init)) {
                // Its cut comes with the next unit of the rendition that leads.
                break;
            }
            let Some(end) = self.end_of_first(turn) else { break };
            if turn.settled.is_some_and(|settled| end > settled) {
                break;
            }
            if self.waits(turn, first, end) {
                break;
            }
            if self.segment.is_none() && !self.begin(turn, counters) {
                self.queue.pop_front();
                continue;
            }
            let Some(first) = self.queue.pop_front() else { break };
            self.add(turn, first, end, counters);
        }
        self.close_what_is_full(turn, counters);
    }

    /// Goes on without media up to the running segment: what is here is closed, the rest are gaps. The last picture lasts
    /// up to the boundary, in a part that is as long as that: a hole in the media would stall players.
    pub(super) fn lapse(&mut self, turn: &Turn<'_>, counters: &mut Counters) {
        if let Some(cut) = self.next_cut(turn.cuts).copied() {
            self.queue.retain(|unit| unit.time() < cut.at);
            self.turn(&Turn { settled: None, last: Some(cut.at), ..*turn }, counters);
            self.queue.clear();
            self.lost = true;
        }
        self.catch_up(turn, counters);
    }

    /// Nothing more comes of this publisher: all units become parts.
    pub(super) fn drain(&mut self, turn: &Turn<'_>, counters: &mut Counters) {
        self.turn(&Turn { settled: None, ..*turn }, counters);
        self.queue.clear();
        self.flush();
    }

    /// Closes what lies before the last cut; true if there is media behind it.
    pub(super) fn has_last(&mut self, turn: &Turn<'_>, counters: &mut Counters) -> bool {
        self.catch_up(turn, counters);
        self.segment.is_some()
    }

    /// Closes the last segment of a publisher, which ends at `end` in all renditions.
    pub(super) fn finish(&mut self, turn: &Turn<'_>, end: MediaTime, counters: &mut Counters) {
        if let (Some(msn), Some(last)) = (self.msn, turn.cuts.last()) {
            self.close(turn, &Cut { msn: msn + 1, at: end, ..*last }, counters);
        }
    }

    /// Where its parts end.
    pub(super) fn reached(&self) -> Option<MediaTime> {
        self.reached
    }

    fn catch_up(&mut self, turn: &Turn<'_>, counters: &mut Counters) {
        while let Some(cut) = self.next_cut(turn.cuts).copied() {
            self.close(turn, &cut, counters);
        }
    }

    fn is_video(&self) -> bool {
        self.id.kind == Kind::Video
    }

    fn next_cut<'a>(&self, cuts: &'a Cuts) -> Option<&'a Cut> {
        cuts.get(self.msn? + 1)
    }

    /// What becomes of the oldest unit.
    fn step(&self, first: &Placed, turn: &Turn<'_>) -> Step {
        let open = self.segment.as_ref().map(|segment| &segment.init);
        let next = self.next_cut(turn.cuts);
        let here = self.msn.filter(|_| open.is_none()).and_then(|msn| turn.cuts.get(msn));
        let mut keys = next.into_iter().chain(here).filter_map(|cut| cut.key);
        if turn.follows || self.is_video() && keys.any(|key| key != self.id) {
            let Turn { cuts, settled, follows, .. } = *turn;
            let (msn, known, lost) = (self.msn, self.shelf.init(), self.lost);
            let state = follow::State { cuts, settled, leads: !follows, msn, open, known, lost };
            return follow::step(&self.queue, &state);
        }
        match next {
            Some(cut) if self.belongs(first, cut) => Step::Close,
            _ if self.lost && open.is_none() && !first.keyframe => Step::Leave,
            _ => Step::Add,
        }
    }

    /// Whether a unit belongs behind a cut.
    fn belongs(&self, unit: &Placed, cut: &Cut) -> bool {
        let other =
            self.segment.as_ref().is_some_and(|segment| !Arc::ptr_eq(&segment.init, &unit.init));
        let near = self.is_video() && unit.keyframe && unit.time().plus(SAME) >= cut.at;
        unit.time() >= cut.at || near || other
    }

    fn end_of_first(&self, turn: &Turn<'_>) -> Option<MediaTime> {
        let first = self.queue.front()?;
        let next = self.queue.get(1).map(Placed::time);
        first.end().or(next).or(turn.last.map(|last| last.max(first.time())))
    }

    /// Begins the segment that the first unit lies in; false if that has been closed already.
    fn begin(&mut self, turn: &Turn<'_>, counters: &mut Counters) -> bool {
        let Some(first) = self.queue.front() else { return false };
        let cut = match self.msn {
            Some(msn) => turn.cuts.get(msn),
            // Ticks of different clocks do not meet exactly.
            None => turn.cuts.of(first.time().plus(if turn.follows { NEAR } else { TICK })),
        };
        let Some(cut) = cut else { return false };
        if self.msn.is_none() {
            self.shelf.begin(cut.msn, cut.before);
            self.msn = Some(cut.msn);
        }
        if self.is_video() && !first.keyframe {
            counters.dependent += 1;
        }
        self.lost &= !first.keyframe;
        self.start = first.at;
        self.end = first.at;
        let start = first.time();
        self.segment = Some(blank(cut, start, turn.zero, &first.init));
        true
    }

    fn add(&mut self, turn: &Turn<'_>, mut unit: Placed, end: MediaTime, counters: &mut Counters) {
        let scale = unit.init.timescale;
        let most_end = self.segment.as_ref().map_or(end, |s| s.start.plus(turn.segment));
        if unit.time() >= most_end {
            counters.overflow += 1;
            return;
        }
        let end = end.min(most_end).in_scale(scale).max(unit.at + 1);
        let most = ticks(turn.part, scale);
        let end = self.retime(turn, &mut unit, end);
        if !self.samples.is_empty() && (end - self.start > most || unit.at > self.end) {
            self.flush();
        }
        if self.samples.is_empty() {
            self.start = unit.at;
        }
        self.samples.push(Sample {
            duration: u32::try_from(end - unit.at).unwrap_or(u32::MAX),
            composition: unit.composition,
            keyframe: unit.keyframe,
            data: unit.data,
        });
        self.end = end;
        counters.long_parts += u64::from(end - self.start > most);
        let full = (end - self.start) * 100 >= most * FULL;
        if full || self.samples.len() >= MOST_SAMPLES {
            self.flush();
        }
    }

    /// Pictures that come unevenly: none ends within the last 15 % of a part, for that one is too long which begins at
    /// `at` and ends at `end`. It may be shown later, and so may the one before it be longer; else it may be shorter.
    /// Nearly always one of them is possible by half a picture: `None` if not.
    fn uneven(&self, turn: &Turn<'_>, unit: &Placed, end: i64) -> Option<Move> {
        let most = ticks(turn.part, unit.init.timescale);
        let (last, least) = (self.start + most, self.start + (most * FULL + 99) / 100);
        if !self.is_video() || self.samples.is_empty() || unit.at > self.end || end <= last {
            return None;
        }
        let bound = ((end - unit.at) / 2).min(ticks(MOVED, unit.init.timescale));
        let is_small = |ticks: i64| (1..=bound).contains(&ticks);
        match (is_small(least - unit.at), is_small(end - last)) {
            (true, _) => Some(Move::Later(least)),
            (false, true) => Some(Move::Shorter(last)),
            (false, false) => None,
        }
    }

    /// The picture that waits behind the one `before` it, and may begin earlier than it came if its own end is known: so
    /// it gets longer.
    fn next<'q>(&'q self, turn: &Turn<'_>, before: &Placed, behind: usize) -> Option<&'q Placed> {
        let cut = self.next_cut(turn.cuts).copied();
        let free = |next: &&Placed| {
            Arc::ptr_eq(&next.init, &before.init)
                && !cut.is_some_and(|cut| self.belongs(next, &cut))
                && !(turn.follows && next.keyframe)
        };
        self.queue.get(behind).filter(free)
    }

    /// Whether it is to be known first where the next picture ends, for that one would have to begin earlier. Once that
    /// is more than a part away it cannot.
    fn waits(&self, turn: &Turn<'_>, first: &Placed, end: MediaTime) -> bool {
        let scale = first.init.timescale;
        let Some(Move::Shorter(last)) = self.uneven(turn, first, end.in_scale(scale)) else {
            return false;
        };
        let beyond = MediaTime::new(last, scale).plus(nanos(turn.part));
        self.queue.len() == 2
            && turn.settled.is_some_and(|settled| settled <= beyond)
            && self.next(turn, first, 1).is_some()
    }

    /// See [`Maker::uneven`]. Returns where `unit` ends.
    fn retime(&mut self, turn: &Turn<'_>, unit: &mut Placed, end: i64) -> i64 {
        match (self.uneven(turn, unit, end), self.samples.last_mut()) {
            (Some(Move::Later(at)), Some(before)) => {
                let longer = u32::try_from(at - unit.at).unwrap_or(0);
                before.duration = before.duration.saturating_add(longer);
                (unit.at, self.end) = (at, at);
            }
            (Some(Move::Shorter(last)), _) => {
                let most = ticks(turn.part, unit.init.timescale);
                let next = self.next(turn, unit, 0).filter(|next| next.at == end);
                let then = self.queue.get(1).map(|then| then.time().in_scale(unit.init.timescale));
                if next.is_some() && then.is_some_and(|then| then - last <= most) {
                    self.queue.front_mut().into_iter().for_each(|next| next.at = last);
                    return last;
                }
            }
            (Some(Move::Later(_)) | None, _) => {}
        }
        end
    }

    /// Closes the part.
    fn flush(&mut self) {
        let video = self.is_video();
        let Some(segment) = &mut self.segment else { return };
        if self.samples.is_empty() {
            return;
        }
        let scale = segment.init.timescale;
        self.sequence = self.sequence.wrapping_add(1);
        let base = u64::try_from(self.start).unwrap_or(0);
        let bytes = cmaf::fragment(self.sequence, base, &self.samples);
        let header = cmaf::header_len(&self.samples);
        let first = self.samples.first().filter(|sample| video && sample.keyframe);
        let keyframe = first.and_then(|sample| u32::try_from(header + sample.data.len()).ok());
        let part = Part {
            start: MediaTime::new(self.start, scale),
            duration: MediaTime::new(self.end - self.start, scale),
            independent: self.samples.iter().any(|sample| sample.keyframe),
            keyframe,
            bytes,
        };
        let frames = if video { self.samples.len() as u64 } else { 0 };
        self.shelf.count(frames, part.duration);
        segment.parts.push(part);
        let end = MediaTime::new(self.end, scale);
        segment.duration = end.since(segment.start);
        self.reached = Some(end);
        self.samples.clear();
        self.start = self.end;
        self.shelf.grow(segment.clone());
    }

    /// The segment ends here; without media it is a gap.
    fn close(&mut self, turn: &Turn<'_>, next: &Cut, counters: &mut Counters) {
        self.flush();
        let number = self.msn.replace(next.msn);
        let segment = match self.segment.take() {
            Some(segment) => Some(segment),
            None => {
                let (next_init, known) =
                    (self.queue.front().map(|unit| &unit.init), self.shelf.init());
                let init = if turn.follows { known.or(next_init) } else { next_init.or(known) };
                let cut = number.and_then(|msn| turn.cuts.get(msn));
                cut.zip(init).map(|(cut, init)| {
                    let duration = next.at.since(cut.at).min(turn.segment);
                    counters.gaps += 1;
                    Segment { gap: true, duration, ..blank(cut, cut.at, turn.zero, init) }
                })
            }
        };
        if let Some(segment) = segment {
            self.shelf.close(Segment { complete: true, ..segment });
        }
    }

    /// Sound whose end has reached the cut is complete; nothing more can belong there.
    fn close_what_is_full(&mut self, turn: &Turn<'_>, counters: &mut Counters) {
        while let Some(cut) = self.next_cut(turn.cuts).copied() {
            let Some(segment) = &self.segment else { return };
            let reached = MediaTime::new(self.end, segment.init.timescale) >= cut.at;
            if self.is_video() || !reached {
                return;
            }
            self.close(turn, &cut, counters);
        }
    }
}

fn blank(cut: &Cut, start: MediaTime, zero: Duration, init: &Arc<Init>) -> Segment {
    let wall = start.nanos().saturating_add(cut.wall.nanos());
    let moved = Duration::from_nanos(wall.unsigned_abs());
    Segment {
        msn: cut.msn,
        start,
        duration: MediaTime::new(0, init.timescale),
        unix: if wall < 0 { zero.saturating_sub(moved) } else { zero.saturating_add(moved) },
        discontinuity: cut.discontinuity,
        gap: false,
        complete: false,
        init: Arc::clone(init),
        parts: Vec::new(),
        stored: None,
    }
}

/// How many whole ticks a duration has.
fn ticks(duration: Duration, scale: u32) -> i64 {
    let ticks = duration.as_nanos() * u128::from(scale) / 1_000_000_000;
    i64::try_from(ticks).unwrap_or(i64::MAX / 100)
}
