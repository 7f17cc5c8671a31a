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
const SPARE_PART: usize = 8;

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
    spare_bytes: usize,
    discontinuity_sequence: u64,
    /// Of the complete ones.
    bytes: usize,
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
        self.bytes += cost(&segment);
        self.payload += segment.len() as u64;
        self.nanos = self.nanos.saturating_add(played(&segment));
        self.dependent += usize::from(!segment.independent());
        self.peak = self.peak.max(bits(segment.len() as u64, segment.duration.nanos().max(SECOND)));
        self.rate = self.measured().or(self.rate);
        (self.frames, self.shown) = (0, 0);
        let now = segment.start.plus(segment.duration);
        Arc::make_mut(&mut self.segments).push(Arc::new(segment));
        self.clear_up(now);
    }

    /// Lets go of what nobody fetches any more, or there is no room for.
    fn clear_up(&mut self, now: MediaTime) {
        while let Some(until) = self.until.front() {
            let much = self.spare_bytes > self.bytes / SPARE_PART && self.spare.len() > SPARE;
            if *until > now && !much {
                return;
            }
            self.until.pop_front();
            let gone = Arc::make_mut(&mut self.spare).remove(0);
            self.spare_bytes -= cost(&gone);
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

    /// How many bytes are in its list, and in the segment that grows.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.running.as_deref().map_or(0, cost)
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
            self.bytes -= cost(&segment);
            self.spare_bytes += cost(&segment);
            self.until.push_back(end.plus(length).plus(segment.duration));
            Arc::make_mut(&mut self.spare).push(Arc::clone(&segment));
            self.payload -= segment.len() as u64;
            self.nanos -= played(&segment);
            self.dependent -= usize::from(!segment.independent());
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
            Some(running) if self.nanos == 0 => (running.len() as u64, played(running)),
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

fn cost(segment: &Segment) -> usize {
    segment.len() + COST * (1 + segment.parts.len())
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
        let held = shelf.spare.iter().map(|segment| cost(segment)).sum::<usize>();
        assert_eq!(shelf.spare_bytes, held);
    }
}
