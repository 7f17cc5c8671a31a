//! The segments of one rendition that are kept, and what they measure.

use std::collections::VecDeque;
use std::sync::Arc;

use media::{Kind, MediaTime};

use super::{Bandwidth, Segment, Targets, View};
use crate::track::{Epoch, Init, Rendition};

/// What a part costs beside its bytes.
const COST: usize = 256;
/// So many segments must have begun with a keyframe before that is called proven.
const PROOF: usize = 3;
/// A keyframe alone says little of what follows it: a shorter segment counts as one of this length, and what
/// has just begun as the other, in nanoseconds.
const SECOND: i64 = 1_000_000_000;
/// See [`SECOND`].
const LEAST: i64 = 100_000_000;
/// So many segments that have left the list can still be fetched.
const SPARE: usize = 3;
/// And more, while they take no more than this part of the bytes of the list.
pub(crate) const SPARE_PART: usize = 8;

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes in memory, what is known of each segment included.
    pub memory: usize,
    /// Bytes that are stored elsewhere.
    pub stored: u64,
}

impl Held {
    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { memory: self.memory + other.memory, stored: self.stored + other.stored }
    }

    /// Without what is a part of it.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            memory: self.memory.saturating_sub(other.memory),
            stored: self.stored.saturating_sub(other.stored),
        }
    }

    pub(crate) fn of(segment: &Segment) -> Self {
        match &segment.stored {
            Some(stored) => Self { memory: COST + stored.cost(), stored: stored.len() },
            None => {
                let bytes: usize = segment.parts.iter().map(|part| part.bytes.len()).sum();
                Self { memory: bytes + COST * (1 + segment.parts.len()), stored: 0 }
            }
        }
    }
}

/// Segments whose bytes are in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Here {
    count: usize,
    bytes: usize,
}

impl Here {
    /// Of one segment.
    fn of(segment: &Segment) -> Self {
        match &segment.stored {
            Some(_) => Self::default(),
            None => Self { count: 1, bytes: Held::of(segment).memory },
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { count: self.count + other.count, bytes: self.bytes + other.bytes }
    }

    fn minus(self, other: Self) -> Self {
        Self { count: self.count - other.count, bytes: self.bytes - other.bytes }
    }
}

/// One rendition's.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    first_msn: u64,
    segments: Arc<Vec<Arc<Segment>>>,
    running: Option<Arc<Segment>>,
    /// What has left the list and can still be fetched, oldest first: RFC 8216 section 6.2.2 wants that for as long as the
    /// segment and the list last that it was in. Until when, on the stream's timeline.
    spare: Arc<Vec<Arc<Segment>>>,
    until: VecDeque<MediaTime>,
    spare_held: Held,
    /// Of that, what is in memory: how many, and what they take.
    spare_here: Here,
    discontinuity_sequence: u64,
    /// What the complete ones take.
    held: Held,
    /// Of those before this one nothing is to be stored any more.
    here: u64,
    /// Of those with media: file bytes and nanoseconds.
    payload: u64,
    nanos: i64,
    /// How many begin without a keyframe.
    dependent: usize,
    /// Bits per second, of any segment that there was.
    peak: u64,
    /// Pictures, and how long they lasted.
    frames: u64,
    shown: i64,
    rate: Option<u32>,
    view: Option<Arc<View>>,
    stale: bool,
}

impl Shelf {
    /// The first segment has this number, and so many discontinuities were before it.
    pub(crate) fn begin(&mut self, msn: u64, before: u64) {
        self.first_msn = msn;
        self.discontinuity_sequence = before;
    }

    /// The running segment is this now.
    pub(crate) fn grow(&mut self, segment: Segment) {
        self.running = Some(Arc::new(segment));
        self.stale = true;
    }

    /// The running segment is complete.
    pub(crate) fn close(&mut self, segment: Segment) {
        self.running = None;
        self.stale = true;
        self.held = self.held.plus(Held::of(&segment));
        self.payload += segment.len();
        self.nanos = self.nanos.saturating_add(played(&segment));
        self.dependent += usize::from(depends(&segment));
        self.peak = self.peak.max(bits(segment.len(), segment.duration.nanos().max(SECOND)));
        self.rate = self.measured().or(self.rate);
        (self.frames, self.shown) = (0, 0);
        let now = segment.start.plus(segment.duration);
        Arc::make_mut(&mut self.segments).push(Arc::new(segment));
        self.clear_up(now);
    }

    /// Lets go of what nobody fetches any more, or there is no room for.
    fn clear_up(&mut self, now: MediaTime) {
        // What is stored elsewhere may stay as long as it should.
        let (mut left, mut gone) = (self.spare_here, 0);
        for (segment, until) in self.spare.iter().zip(&self.until) {
            let much = left.count > SPARE && left.bytes > self.held.memory / SPARE_PART;
            if *until > now && !much {
                break;
            }
            left = left.minus(Here::of(segment));
            gone += 1;
        }
        self.drop_spare(gone);
    }

    /// Lets go of what has left the list and has a number below this.
    pub(crate) fn forget(&mut self, first: u64) {
        self.drop_spare(self.spare.iter().take_while(|segment| segment.msn < first).count());
    }

    fn drop_spare(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.stale = true;
        self.until.drain(..count);
        for segment in Arc::make_mut(&mut self.spare).drain(..count) {
            self.spare_held = self.spare_held.minus(Held::of(&segment));
            self.spare_here = self.spare_here.minus(Here::of(&segment));
        }
    }

    /// So many pictures lasted so long.
    pub(crate) fn count(&mut self, frames: u64, duration: MediaTime) {
        self.frames += frames;
        self.shown = self.shown.saturating_add(duration.nanos());
    }

    /// What its newest segment is coded like.
    pub(crate) fn init(&self) -> Option<&Arc<Init>> {
        self.running.as_ref().or(self.segments.last()).map(|segment| &segment.init)
    }

    /// How much is in its list, and in the segment that grows.
    pub(crate) fn held(&self) -> Held {
        self.held.plus(self.running.as_deref().map_or(Held::default(), Held::of))
    }

    /// How much has left the list and can still be fetched.
    pub(crate) fn spare_held(&self) -> Held {
        self.spare_held
    }

    /// What of that memory holds though its bytes are stored elsewhere.
    pub(crate) fn spare_index(&self) -> usize {
        self.spare_held.memory - self.spare_here.bytes
    }

    /// The numbers of what has left the list and can still be fetched.
    pub(crate) fn spare_numbers(&self) -> Option<(u64, u64)> {
        Some((self.spare.first()?.msn, self.spare.last()?.msn))
    }

    /// What the one with this number takes elsewhere, and in memory if it is stored there.
    pub(crate) fn spare_weight(&self, msn: u64) -> Held {
        let first = self.spare.first().map_or(msn, |first| first.msn);
        let index = msn.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        let segment = index.and_then(|index| self.spare.get(index));
        segment.filter(|segment| segment.stored.is_some()).map_or(Held::default(), |s| Held::of(s))
    }

    /// What its newest complete segments take, and the running one.
    pub(crate) fn newest(&self, count: usize) -> Held {
        let complete = self.segments.iter().rev().take(count).chain(&self.running);
        complete.fold(Held::default(), |held, segment| held.plus(Held::of(segment)))
    }

    /// What one of its complete segments takes.
    pub(crate) fn weight(&self, msn: u64) -> Held {
        let index = self.index(msn);
        index.map_or(Held::default(), |index| Held::of(&self.segments[index]))
    }

    /// The oldest complete segment whose bytes are in memory.
    pub(crate) fn here(&self) -> Option<&Arc<Segment>> {
        let first = self.segments.first()?.msn;
        let from = usize::try_from(self.here.saturating_sub(first)).ok()?;
        self.segments.get(from..)?.iter().find(|segment| !segment.parts.is_empty())
    }

    /// The bytes of a segment are stored elsewhere; false if it is not here any more.
    pub(crate) fn store(&mut self, msn: u64) -> bool {
        self.here = self.here.max(msn.saturating_add(1));
        let Some(index) = self.index(msn) else { return false };
        let Some(without) = self.segments[index].without_bytes() else { return false };
        self.held = self.held.minus(Held::of(&self.segments[index])).plus(Held::of(&without));
        Arc::make_mut(&mut self.segments)[index] = Arc::new(without);
        self.stale = true;
        true
    }

    /// The number of the oldest segment that can be fetched.
    pub(crate) fn oldest(&self) -> u64 {
        self.spare.first().or(self.segments.first()).map_or(self.first_msn, |segment| segment.msn)
    }

    fn index(&self, msn: u64) -> Option<usize> {
        let first = self.segments.first()?.msn;
        let index = usize::try_from(msn.checked_sub(first)?).ok()?;
        (index < self.segments.len()).then_some(index)
    }

    /// Complete segments, oldest first.
    pub(crate) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// Something can be shown.
    pub(crate) fn has_media(&self) -> bool {
        self.running.is_some() || !self.segments.is_empty()
    }

    /// Lets go of all segments before this one.
    pub(crate) fn trim(&mut self, first: u64) {
        let gone = self.segments.iter().take_while(|segment| segment.msn < first).count();
        if gone == 0 {
            return;
        }
        self.stale = true;
        let end = self.segments.last().map(|last| last.start.plus(last.duration));
        let length = end.map_or(0, |end| end.since(self.segments[0].start).nanos());
        let (end, length) = (end.unwrap_or(MediaTime::ZERO), MediaTime::from_nanos(length));
        for segment in Arc::make_mut(&mut self.segments).drain(..gone) {
            self.held = self.held.minus(Held::of(&segment));
            self.spare_held = self.spare_held.plus(Held::of(&segment));
            self.spare_here = self.spare_here.plus(Here::of(&segment));
            self.until.push_back(end.plus(length).plus(segment.duration));
            Arc::make_mut(&mut self.spare).push(Arc::clone(&segment));
            self.payload -= segment.len();
            self.nanos -= played(&segment);
            self.dependent -= usize::from(depends(&segment));
            self.discontinuity_sequence += u64::from(segment.discontinuity);
        }
        self.first_msn = self.first_msn.max(first);
        self.clear_up(end);
    }

    /// What there is to see; true if it is another than before.
    pub(crate) fn show(
        &mut self,
        epoch: &Epoch,
        rendition: &Arc<Rendition>,
        targets: Targets,
        ended: bool,
    ) -> bool {
        let known = self.view.as_ref().is_some_and(|view| view.ended == ended);
        if known && !self.stale {
            return false;
        }
        let Some(init) = self.init() else { return false };
        let view = View {
            epoch: epoch.clone(),
            rendition: Arc::clone(rendition),
            targets: Targets { independent: self.independent(), ..targets },
            init: Arc::clone(init),
            frame_rate: self.rate.or_else(|| self.measured()),
            bandwidth: self.bandwidth(),
            discontinuity_sequence: self.discontinuity_sequence,
            segments: Arc::clone(&self.segments),
            running: self.running.clone(),
            spare: Arc::clone(&self.spare),
            first_msn: self.first_msn,
            ended,
        };
        self.view = Some(Arc::new(view));
        self.stale = false;
        true
    }

    /// As it was shown last.
    pub(crate) fn view(&self) -> Option<&Arc<View>> {
        self.view.as_ref()
    }

    fn measured(&self) -> Option<u32> {
        let shown = u128::try_from(self.shown).ok().filter(|shown| *shown > 0)?;
        let frames = u128::from(self.frames) * 1_000_000_000_000;
        u32::try_from((frames + shown / 2) / shown).ok().filter(|rate| *rate > 0)
    }

    fn bandwidth(&self) -> Bandwidth {
        let (bytes, nanos) = match &self.running {
            Some(running) if self.nanos == 0 => (running.len(), played(running)),
            _ => (self.payload, self.nanos),
        };
        let average = bits(bytes, nanos.max(LEAST));
        Bandwidth { peak: self.peak.max(average), average }
    }

    fn independent(&self) -> bool {
        let sound = self.init().is_some_and(|init| init.codec().kind() == Kind::Audio);
        sound || self.segments.len() >= PROOF && self.dependent == 0
    }
}

/// Its pictures need some of before it. In a gap there are none.
fn depends(segment: &Segment) -> bool {
    !segment.gap && !segment.independent()
}

/// How long there is media, in nanoseconds.
fn played(segment: &Segment) -> i64 {
    if segment.gap { 0 } else { segment.duration.nanos() }
}

/// Per second.
fn bits(bytes: u64, nanos: i64) -> u64 {
    let nanos = u128::from(nanos.unsigned_abs().max(1));
    u64::try_from(u128::from(bytes) * 8_000_000_000 / nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::{Codec, Format};

    use super::*;
    use crate::Part;

    /// Two seconds with so many bytes.
    fn segment(msn: u64, bytes: usize) -> Segment {
        let config = media::config::opus::Head::stereo().build();
        let format = Format { codec: Codec::Opus, config, dimensions: None, sound: None };
        let (start, duration) = (MediaTime::new(2 * (msn as i64 - 1), 1), MediaTime::new(2, 1));
        let bytes = Bytes::from(vec![0; bytes]);
        let part = Part { start, duration, independent: true, keyframe: None, bytes };
        Segment {
            msn,
            start,
            duration,
            unix: std::time::Duration::ZERO,
            discontinuity: false,
            gap: false,
            complete: true,
            init: Arc::new(Init::new(0, &format).unwrap()),
            parts: vec![part],
            stored: None,
        }
    }

    fn spare(shelf: &Shelf) -> Vec<u64> {
        shelf.spare.iter().map(|segment| segment.msn).collect()
    }

    #[test]
    fn what_has_left_the_list_stays_as_long_as_the_list_was_if_there_is_room() {
        let mut shelf = Shelf::default();
        (1..=4).for_each(|msn| shelf.close(segment(msn, 10)));
        (5..=14).for_each(|msn| shelf.close(segment(msn, 1_000_000)));
        shelf.trim(5);
        assert_eq!(spare(&shelf), [1, 2, 3, 4]);
        // It was 28 s long.
        (15..=28).for_each(|msn| shelf.close(segment(msn, 1_000_000)));
        assert_eq!(spare(&shelf), [1, 2, 3, 4]);
        shelf.close(segment(29, 1_000_000));
        assert_eq!(spare(&shelf), [0; 0]);
    }

    #[test]
    fn where_there_is_little_room_three_stay() {
        let mut shelf = Shelf::default();
        for msn in 1..=100 {
            shelf.close(segment(msn, 1000));
            shelf.trim(msn.saturating_sub(5));
        }
        assert_eq!((shelf.segments.len(), spare(&shelf)), (6, vec![92, 93, 94]));
        let held = shelf.spare.iter().map(|segment| Held::of(segment));
        assert_eq!(shelf.spare_held, held.fold(Held::default(), Held::plus));
        assert_eq!((shelf.spare_index(), shelf.spare_here.count), (0, 3));
    }

    #[test]
    fn what_is_stored_elsewhere_stays_as_long_as_it_should_until_memory_is_short() {
        let mut shelf = Shelf::default();
        for msn in 1..=100 {
            shelf.close(segment(msn, 1000));
            assert!(msn <= 6 || shelf.store(msn - 6));
            shelf.trim(msn.saturating_sub(19));
        }
        assert_eq!(
            (shelf.segments.len(), spare(&shelf).len()),
            (20, 22),
            "its 21 segments, and itself"
        );
        assert_eq!(shelf.oldest(), 59);
        // Nothing is stored any more: what follows in memory may not pile up behind what is.
        for msn in 101..=140 {
            shelf.close(segment(msn, 1000));
            shelf.trim(msn.saturating_sub(5));
        }
        let here = shelf.spare.iter().filter(|segment| segment.stored.is_none()).count();
        assert!(here <= SPARE, "{here}");
        shelf.forget(1000);
        assert_eq!((shelf.spare.len(), shelf.spare_held), (0, Held::default()));
        assert_eq!(shelf.spare_here, Here::default());
    }

    /// What a segment costs its stream's task where the window is long, printed: everything else is held to elsewhere.
    #[test]
    fn long_windows() {
        for hours in [1, 6, 24] {
            let count = hours * 1800;
            let mut shelf = Shelf::default();
            let (epoch, id) = (Epoch::new("e1").unwrap(), crate::RenditionId::VIDEO);
            let rendition = Arc::new(Rendition { id, label: String::new(), language: None });
            let targets = Targets { segment: 2, part: None, independent: false };
            let next = |shelf: &mut Shelf, msn: u64| {
                shelf.close(segment(msn, 10));
                shelf.store(msn);
                shelf.trim(msn.saturating_sub(count));
            };
            (1..=2 * count).for_each(|msn| next(&mut shelf, msn));
            let show = |shelf: &mut Shelf| assert!(shelf.show(&epoch, &rendition, targets, false));
            show(&mut shelf);
            let seen = shelf.view().cloned();
            let start = now();
            for msn in 2 * count + 1..=2 * count + 20 {
                next(&mut shelf, msn);
                show(&mut shelf);
            }
            let took = now().saturating_duration_since(start) / 20;
            println!("{hours:>2} h: {took:?} a segment, {} listed", shelf.segments.len());
            assert!(seen.is_some() && shelf.segments.len() as u64 == count + 1);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "it measures")]
    fn now() -> std::time::Instant {
        std::time::Instant::now()
    }
}
