//! What goes into a worker: the units that wait, and those behind them that a worker started anew needs to
//! decode first. Pure; one queue with a mark in it, so that both share what they hold.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use media::{AccessUnit, Format, Kind};

use super::{Bounds, Counters};
use crate::protocol::{MAX_UNIT, Unit};

/// Packets of sound that a new decoder gets before the first that counts: AAC overlaps with the one before,
/// Opus converges within 80 ms (RFC 7845 section 4.6).
const SOUND_PREROLL: usize = 4;

/// Between decoding and showing lies never more, forwards or back; who says so has lost count.
const FARTHEST: u64 = 10_000_000_000;

/// Units at the most: what bounds streams of tiny ones.
const MAX_UNITS: usize = 8192;

/// The units of the current group of pictures, or the last few packets of sound.
#[derive(Debug)]
pub(super) struct Ring {
    bounds: Bounds,
    kind: Kind,
    format: Arc<Format>,
    entries: VecDeque<Entry>,
    /// So many of `entries` has the worker of now.
    sent: usize,
    bytes: usize,
    /// What is sent is only decoded until nothing waits behind it.
    catching_up: bool,
    /// Nothing is taken until a keyframe comes.
    waiting: bool,
    /// The newest pts that came in, and that came back.
    newest: i64,
    produced: Option<i64>,
    pub(super) counters: Counters,
}

#[derive(Debug)]
struct Entry {
    unit: AccessUnit,
    dts: i64,
    format: Arc<Format>,
}

impl Ring {
    pub(super) fn new(bounds: Bounds, kind: Kind, format: Format) -> Self {
        Self {
            bounds,
            kind,
            format: Arc::new(format),
            entries: VecDeque::new(),
            sent: 0,
            bytes: 0,
            catching_up: true,
            waiting: kind == Kind::Video,
            newest: i64::MIN,
            produced: None,
            counters: Counters::default(),
        }
    }

    /// Units from here on are of this format. A decoder cannot go on then: a keyframe must follow.
    pub(super) fn format(&mut self, format: Format) {
        if *self.format != format {
            self.format = Arc::new(format);
            self.waiting = self.kind == Kind::Video;
        }
    }

    /// Takes a unit, if need be at the cost of others.
    pub(super) fn push(&mut self, unit: AccessUnit) {
        self.counters.units_in += 1;
        let (dts, pts) = (unit.dts.nanos(), unit.pts.nanos());
        let size = unit.data.len();
        if size == 0 || size > MAX_UNIT || pts.abs_diff(dts) > FARTHEST {
            self.counters.unusable += 1;
            self.waiting |= self.kind == Kind::Video;
            return;
        }
        if self.waiting && !unit.keyframe {
            self.counters.dropped += 1;
            return;
        }
        self.waiting = false;
        self.newest = self.newest.max(pts);
        self.bytes += size;
        let format = Arc::clone(&self.format);
        self.entries.push_back(Entry { unit, dts, format });
        if !self.catching_up && self.span(self.sent) > self.bounds.behind {
            self.catching_up = true;
        }
        self.trim();
        self.bound();
    }

    /// Another worker begins: it gets the newest group of pictures.
    pub(super) fn restart(&mut self) {
        self.catching_up = true;
        let Some(start) = self.newest_start(self.entries.len()) else {
            self.drop_to(self.entries.len());
            self.waiting = self.kind == Kind::Video;
            return;
        };
        self.drop_to(start);
        self.sent = 0;
    }

    /// The next unit for the worker, and its format.
    pub(super) fn next(&mut self) -> Option<(Unit, Arc<Format>)> {
        let entry = self.entries.get(self.sent)?;
        self.sent += 1;
        let last = self.sent == self.entries.len();
        // Only a worker that began anew gets what has come out before.
        let known = self.produced.is_some_and(|produced| entry.unit.pts.nanos() <= produced);
        let preroll = known || (self.catching_up && !last);
        let next = (Unit::new(&entry.unit, preroll), Arc::clone(&entry.format));
        self.catching_up &= !last;
        self.counters.skipped += u64::from(preroll && !known);
        self.trim();
        Some(next)
    }

    /// The format that a worker is opened with: that of the next unit.
    pub(super) fn next_format(&self) -> Arc<Format> {
        Arc::clone(self.entries.get(self.sent).map_or(&self.format, |entry| &entry.format))
    }

    /// Units that wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.entries.len() - self.sent
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        self.drop_to(self.entries.len());
    }

    /// Notes that this pts came out. False if it cannot be: a worker does not see the future.
    pub(super) fn produced(&mut self, pts: i64) -> bool {
        const AHEAD: i64 = 1_000_000_000;
        if pts > self.newest.saturating_add(AHEAD) {
            return false;
        }
        self.produced = Some(self.produced.map_or(pts, |produced| produced.max(pts)));
        true
    }

    /// Forgets what no worker needs any more. One that catches up begins again where it can, nearest to now.
    fn trim(&mut self) {
        let end = if self.catching_up { self.entries.len() } else { self.sent };
        if let Some(start) = self.newest_start(end) {
            self.drop_to(start);
        }
    }

    /// Where a decoder can begin among the first `end` entries, to have the last of them soonest.
    fn newest_start(&self, end: usize) -> Option<usize> {
        match self.kind {
            Kind::Audio => Some(end.saturating_sub(SOUND_PREROLL + 1)),
            Kind::Video => self.entries.range(..end).rposition(|entry| entry.unit.keyframe),
        }
    }

    /// A group of pictures that is too long starts nobody; units that nobody takes go to the next keyframe.
    fn bound(&mut self) {
        if self.fits() {
            return;
        }
        self.drop_to(self.sent);
        while !self.fits() {
            let keyframe = self.entries.iter().skip(1).position(|entry| entry.unit.keyframe);
            match keyframe {
                Some(before) => self.drop_to(before + 1),
                None => {
                    self.drop_to(self.entries.len());
                    self.waiting = self.kind == Kind::Video;
                }
            }
        }
    }

    fn fits(&self) -> bool {
        self.entries.is_empty()
            || (self.bytes <= self.bounds.ring_bytes
                && self.entries.len() <= MAX_UNITS
                && self.span(0) <= self.bounds.ring_time)
    }

    /// From this entry to the last.
    fn span(&self, from: usize) -> Duration {
        let ends = self.entries.get(from).zip(self.entries.back());
        let nanos = ends.map_or(0, |(first, last)| last.dts.saturating_sub(first.dts));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    fn drop_to(&mut self, start: usize) {
        self.counters.dropped += start.saturating_sub(self.sent) as u64;
        self.sent = self.sent.saturating_sub(start);
        let gone: usize = self.entries.drain(..start).map(|entry| entry.unit.data.len()).sum();
        self.bytes -= gone;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::{Codec, MediaTime};
    use proptest::prelude::*;

    use super::*;

    fn format(codec: Codec) -> Format {
        Format { codec, config: Bytes::new(), dimensions: None, sound: None }
    }

    fn unit(millis: i64, keyframe: bool) -> AccessUnit {
        let time = MediaTime::from_millis(millis);
        AccessUnit { dts: time, pts: time, keyframe, data: Bytes::from_static(b"data") }
    }

    fn video() -> Ring {
        Ring::new(Bounds::default(), Kind::Video, format(Codec::H264))
    }

    /// 25 pictures a second, a keyframe every `gop`.
    fn push(ring: &mut Ring, numbers: std::ops::Range<i64>, gop: i64) {
        numbers.for_each(|n| ring.push(unit(n * 40, n % gop == 0)));
    }

    /// All that the worker gets now: pts in milliseconds, and whether it is preroll.
    fn sent(ring: &mut Ring) -> Vec<(i64, bool)> {
        std::iter::from_fn(|| ring.next())
            .map(|(unit, _)| (unit.pts / 1_000_000, unit.preroll))
            .collect()
    }

    #[test]
    fn a_new_worker_decodes_the_group_and_shows_its_newest_picture() {
        let mut ring = video();
        ring.push(unit(-40, false));
        assert_eq!(ring.counters.dropped, 1, "no decoder can begin with it");
        push(&mut ring, 0..3, 10);
        assert_eq!(sent(&mut ring), [(0, true), (40, true), (80, false)]);
        push(&mut ring, 3..5, 10);
        assert_eq!(sent(&mut ring), [(120, false), (160, false)]);
        assert!(ring.produced(120_000_000));
        ring.restart();
        assert_eq!(sent(&mut ring), [(0, true), (40, true), (80, true), (120, true), (160, false)]);
        // Nothing new: nothing comes twice.
        assert!(ring.produced(160_000_000));
        ring.restart();
        assert!(sent(&mut ring).iter().all(|(_, preroll)| *preroll));
        push(&mut ring, 5..6, 10);
        assert_eq!(sent(&mut ring), [(200, false)]);
        push(&mut ring, 6..12, 10);
        ring.restart();
        assert_eq!(sent(&mut ring), [(400, true), (440, false)], "only the newest group");
    }

    #[test]
    fn who_falls_behind_decodes_only_or_begins_at_a_newer_keyframe() {
        let mut ring = video();
        push(&mut ring, 0..1, 100);
        sent(&mut ring);
        push(&mut ring, 1..26, 100);
        assert!(!ring.catching_up);
        push(&mut ring, 26..28, 100);
        assert!(ring.catching_up, "more than a second waits");
        let all = sent(&mut ring);
        assert_eq!((all.len(), all[0], all[26]), (27, (40, true), (1080, false)));
        assert_eq!((ring.counters.dropped, ring.counters.skipped), (0, 26));

        push(&mut ring, 28..60, 100);
        push(&mut ring, 60..101, 100);
        assert_eq!(sent(&mut ring), [(4000, false)]);
        assert_eq!(ring.counters.dropped, 72);
    }

    #[test]
    fn a_group_that_is_too_long_starts_nobody_but_goes_on() {
        let bounds = Bounds { ring_time: Duration::from_secs(2), ..Bounds::default() };
        let mut ring = Ring::new(bounds, Kind::Video, format(Codec::H264));
        for n in 0..100 {
            push(&mut ring, n..n + 1, 1000);
            assert_eq!(sent(&mut ring), [(n * 40, false)]);
        }
        assert_eq!(ring.counters.dropped, 0);
        ring.restart();
        assert_eq!(sent(&mut ring), []);
        push(&mut ring, 100..110, 1000);
        assert_eq!(sent(&mut ring), [], "waits for a keyframe");
        push(&mut ring, 1000..1001, 1000);
        assert_eq!(sent(&mut ring), [(40_000, false)]);
    }

    #[test]
    fn sound_goes_on_with_the_newest() {
        let mut ring = Ring::new(Bounds::default(), Kind::Audio, format(Codec::Aac));
        for n in 0..10 {
            ring.push(unit(n * 20, true));
        }
        let expected = [(100, true), (120, true), (140, true), (160, true), (180, false)];
        assert_eq!(sent(&mut ring), expected);
        assert!(ring.entries.len() <= SOUND_PREROLL + 1);
        for n in 10..70 {
            ring.push(unit(n * 20, true));
        }
        let newest = sent(&mut ring);
        assert!(newest.len() < 15 && newest.last() == Some(&(1380, false)), "{newest:?}");
    }

    #[test]
    fn another_format_travels_with_its_units() {
        let mut ring = video();
        push(&mut ring, 0..2, 10);
        ring.format(format(Codec::H265));
        push(&mut ring, 2..4, 10);
        assert_eq!(ring.counters.dropped, 2, "a keyframe must follow");
        assert_eq!(ring.next_format().codec, Codec::H264);
        sent(&mut ring);
        push(&mut ring, 10..11, 10);
        assert_eq!(ring.next_format().codec, Codec::H265);
        assert_eq!(ring.next().unwrap().1.codec, Codec::H265);
    }

    #[test]
    fn times_that_cannot_be_do_not_silence_the_rest() {
        let mut ring = video();
        push(&mut ring, 0..1, 10);
        sent(&mut ring);
        assert!(!ring.produced(i64::MAX));
        push(&mut ring, 1..2, 10);
        assert_eq!(sent(&mut ring), [(40, false)]);
        let far = AccessUnit { pts: MediaTime::from_millis(8_388_607), ..unit(80, true) };
        ring.push(far);
        assert_eq!((sent(&mut ring), ring.counters.unusable), (vec![], 1));
    }

    proptest! {
        /// Whatever comes in whatever order, with times of anybody: bounded, and a worker of any age can decode
        /// what it gets.
        #[test]
        fn it_is_bounded_and_every_worker_begins_with_a_keyframe(
            events in proptest::collection::vec((0u8..12, any::<i64>(), 0usize..3000), 0..400),
            sane in any::<bool>(),
        ) {
            let bounds = Bounds {
                behind: Duration::from_millis(500),
                ring_bytes: 20_000,
                ring_time: Duration::from_secs(3),
            };
            let mut ring = Ring::new(bounds.clone(), Kind::Video, format(Codec::H264));
            let mut fresh = true;
            for (n, (event, time, size)) in events.into_iter().enumerate() {
                let time = if sane { n as i64 * 40_000_000 } else { time };
                match event {
                    0 => { ring.restart(); fresh = true; }
                    1..4 => while let Some((sent, _)) = ring.next() {
                        prop_assert!(!fresh || sent.keyframe);
                        fresh = false;
                        if !sent.preroll { ring.produced(sent.pts); }
                    },
                    4 => { ring.next().inspect(|_| fresh = false); }
                    _ => {
                        let at = MediaTime::from_nanos(time);
                        let data = Bytes::from(vec![0; size]);
                        ring.push(AccessUnit { dts: at, pts: at, keyframe: event == 5, data });
                    }
                }
                let held: usize = ring.entries.iter().map(|entry| entry.unit.data.len()).sum();
                prop_assert_eq!(held, ring.bytes);
                prop_assert!(ring.bytes <= bounds.ring_bytes);
                prop_assert!(!sane || ring.span(0) <= bounds.ring_time);
                prop_assert!(ring.sent <= ring.entries.len());
            }
        }
    }
}
