//! Publishers to feed a packager with, and the rules that whatever it shows must keep.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::config::{aac, avc};
use media::{AccessUnit, Codec, Format, Kind, MediaTime};
use mp4_atom::{Moof, ReadFrom};

use crate::*;

pub(super) const VIDEO: RenditionId = RenditionId::VIDEO;
pub(super) const AUDIO: RenditionId = RenditionId::AUDIO;
pub(super) const SECOND_AUDIO: RenditionId = RenditionId { kind: Kind::Audio, index: 1 };

/// An instant without a clock's meaning: tests count from here.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can only be made by a clock; all tests count from it"
)]
static BEGINNING: LazyLock<Instant> =
    LazyLock::new(|| Instant::now() + Duration::from_secs(86_400));

pub(super) fn at(micros: i64) -> Instant {
    media::clock::at(*BEGINNING, micros * 1000).unwrap()
}

pub(super) fn ms(ms: i64) -> MediaTime {
    MediaTime::from_millis(ms)
}

pub(super) fn h264(last: u8) -> Format {
    let sps = [
        0x67, 0x42, 0xc0, 0x16, 0xda, 2, 0x80, 0xbf, 0xe2, 0x30, 0x11, 0, 0, 3, 0, 1, 0, 0, 3, 0,
        0x14, 0x0f, 0x16, 0x2e, 0xa0,
    ];
    let pps = [0x68, 0xce, 0x0f, last];
    let sets = |set: &[u8]| vec![Bytes::copy_from_slice(set)];
    let record = avc::Record::from_sets(sets(&sps), sets(&pps)).unwrap();
    media::config::format(Codec::H264, record.build()).unwrap()
}

pub(super) fn aac(rate: u32) -> Format {
    media::config::format(Codec::Aac, aac::Config::lc(rate, 2).unwrap().build().unwrap()).unwrap()
}

pub(super) fn opus() -> Format {
    let head = media::config::opus::Head::stereo().build();
    media::config::format(Codec::Opus, head).unwrap()
}

pub(super) fn near() -> Config {
    Config {
        segment: Duration::from_secs(2),
        part: Some(Duration::from_millis(200)),
        window: Duration::from_secs(30),
        bytes: 64 << 20,
    }
}

/// A packager, everything that it has shown, and how long frames were that it was given.
pub(super) struct Stream {
    pub(super) packager: Packager,
    pub(super) events: Vec<(Event, Instant)>,
    version: u64,
    /// Everything that was ever complete, by rendition and number.
    pub(super) complete: BTreeMap<(RenditionId, u64), Arc<Segment>>,
    seen: BTreeMap<RenditionId, Arc<View>>,
    /// Parts that were hinted at and never came.
    pub(super) broken_hints: usize,
    serial: u32,
}

impl Stream {
    pub(super) fn new(config: Config) -> Self {
        let anchor = Anchor { instant: at(0), unix: Duration::from_secs(1_700_000_000) };
        let mut packager = Packager::new(config, Epoch::new("e1").unwrap(), anchor);
        packager.show();
        Self {
            packager,
            events: Vec::new(),
            version: 0,
            complete: BTreeMap::new(),
            seen: BTreeMap::new(),
            broken_hints: 0,
            serial: 0,
        }
    }

    pub(super) fn with(formats: &[(RenditionId, Format)]) -> Self {
        let mut stream = Self::new(near());
        formats.iter().for_each(|(id, format)| stream.add(*id, format));
        stream
    }

    pub(super) fn add(&mut self, id: RenditionId, format: &Format) {
        self.packager.add(Rendition { id, label: id.to_string(), language: None });
        self.packager.format(id, format).unwrap();
    }

    /// A unit that was captured when it is shown.
    pub(super) fn unit(&mut self, id: RenditionId, dts: MediaTime, key: bool) {
        self.unit_at(id, dts, dts, key, at(dts.nanos() / 1000));
    }

    pub(super) fn unit_at(
        &mut self,
        id: RenditionId,
        dts: MediaTime,
        pts: MediaTime,
        keyframe: bool,
        captured: Instant,
    ) {
        self.serial += 1;
        // As Opus: one frame of 20 ms.
        let mut data = vec![0xfc];
        data.extend(self.serial.to_be_bytes().repeat(8));
        let data = data.into();
        self.packager.unit(id, &AccessUnit { dts, pts, keyframe, data }, captured);
        self.look(captured);
    }

    pub(super) fn view(&self, id: RenditionId) -> Arc<View> {
        let views = self.packager.views();
        views.into_iter().find(|view| view.rendition.id == id).expect("it is shown")
    }

    /// Of all segments that were ever complete: number and length in ms.
    pub(super) fn lengths(&self, id: RenditionId) -> Vec<i64> {
        let mine = self.complete.iter().filter(|((of, _), _)| *of == id);
        mine.map(|(_, segment)| segment.duration.millis()).collect()
    }

    pub(super) fn look(&mut self, now: Instant) {
        while let Some(event) = self.packager.poll() {
            self.events.push((event, now));
        }
        if self.packager.version() == self.version {
            return;
        }
        self.version = self.packager.version();
        for view in self.packager.views() {
            self.compare(&view);
            for segment in view.segments.iter() {
                let key = (view.rendition.id, segment.msn);
                let known = self.complete.entry(key).or_insert_with(|| Arc::clone(segment));
                if segment.stored.is_some() {
                    assert_eq!(known.without_bytes().as_ref(), Some(&**segment));
                } else {
                    assert!(Arc::ptr_eq(known, segment), "what is complete does not change");
                }
            }
            self.seen.insert(view.rendition.id, view);
        }
    }

    /// What was there is there still, and goes on.
    fn compare(&mut self, view: &View) {
        let Some(before) = self.seen.get(&view.rendition.id) else { return };
        let constant = |view: &View| (view.targets.segment, view.targets.part);
        assert_eq!(constant(before), constant(view));
        assert!(view.next() >= before.next(), "{:?} after {:?}", view.next(), before.next());
        assert!(view.first() >= before.first());
        if let Some(old) = &before.running {
            let new = view.segment(old.msn).expect("what runs is not let go of");
            assert_eq!(new.parts[..old.parts.len()], old.parts[..]);
            assert_eq!((new.start, new.unix), (old.start, old.unix));
        }
        let (msn, part) = before.next();
        let goes_on = !view.ended;
        self.broken_hints +=
            usize::from(goes_on && view.next().0 > msn && view.part(msn, part).is_none());
        let order = view.all().map(|segment| segment.msn);
        assert!(order.eq(view.first()..=view.all().next_back().unwrap().msn));
    }

    pub(super) fn end(&mut self) {
        self.packager.end();
        self.look(at(0));
        for (id, view) in &self.seen {
            assert!(view.ended && view.running.is_none(), "{id}");
        }
    }

    /// The rules for one rendition. `longest`: no frame that it was given lasted longer.
    pub(super) fn check(&self, id: RenditionId, longest: MediaTime) {
        let Some(view) = self.seen.get(&id) else { return };
        let target = super::super::super::timeline::nanos(view.targets.part.unwrap());
        let fits = longest.nanos() * 100 <= target.nanos() * 15;
        let mut decoded = None;
        let mut sequence = None;
        for (_, segment) in self.complete.iter().filter(|((of, _), _)| *of == id) {
            let seconds = (segment.duration.nanos() + 499_999_999) / 1_000_000_000;
            assert!(
                seconds <= view.targets.segment.into(),
                "{} {} {:?} is longer than promised",
                segment.msn,
                segment.gap,
                segment.duration
            );
            assert_eq!(segment.gap, segment.parts.is_empty());
            for (index, part) in segment.parts.iter().enumerate() {
                let last = index + 1 == segment.parts.len();
                assert!(longest > target || part.duration <= target, "{part:?}");
                let full = part.duration.nanos() * 100 >= target.nanos() * 85;
                assert!(
                    last || full || !fits,
                    "{:?} of {target:?} in {}",
                    part.duration,
                    segment.msn
                );
                let moof = Moof::read_from(&mut &part.bytes[..]).unwrap();
                let traf = &moof.traf[0];
                assert!(
                    sequence.replace(moof.mfhd.sequence_number) < Some(moof.mfhd.sequence_number)
                );
                let base = traf.tfdt.as_ref().unwrap().base_media_decode_time;
                assert_eq!(i64::try_from(base), Ok(part.start.ticks()));
                assert!(decoded <= Some(base), "{decoded:?} {base}");
                let spans = traf.trun[0]
                    .samples
                    .iter()
                    .map(|entry| entry.duration.or(traf.tfhd.default_sample_duration));
                let sum: u64 = spans.map(|span| u64::from(span.unwrap())).sum();
                assert_eq!(i64::try_from(sum), Ok(part.duration.ticks()));
                decoded = Some(base + sum);
                if let Some(bytes) = part.keyframe {
                    assert!(bytes as usize <= part.bytes.len() && part.independent);
                }
            }
            if let (Some(first), Some(last)) = (segment.parts.first(), segment.parts.last()) {
                assert_eq!(segment.start, first.start);
                assert_eq!(last.start.plus(last.duration).since(first.start), segment.duration);
            }
        }
    }

    /// How many samples there are in all that was ever complete.
    pub(super) fn samples(&self, id: RenditionId) -> usize {
        let mine = self.complete.iter().filter(|((of, _), _)| *of == id);
        let parts = mine.flat_map(|(_, segment)| &segment.parts);
        let count = |part: &Part| {
            Moof::read_from(&mut &part.bytes[..]).unwrap().traf[0].trun[0].samples.len()
        };
        parts.map(count).sum()
    }

    /// When all samples that were ever complete are decoded, in microseconds.
    pub(super) fn decoded(&self, id: RenditionId) -> Vec<i64> {
        let mut all = Vec::new();
        for part in self.complete.range((id, 0)..(id, u64::MAX)).flat_map(|(_, s)| &s.parts) {
            let moof = Moof::read_from(&mut &part.bytes[..]).unwrap();
            let mut time = part.start.ticks();
            for sample in &moof.traf[0].trun[0].samples {
                all.push(time * 1_000_000 / i64::from(part.start.scale()));
                let usual = moof.traf[0].tfhd.default_sample_duration;
                time += i64::from(sample.duration.or(usual).unwrap());
            }
        }
        all
    }

    /// The same boundaries in two renditions, but for `apart`.
    pub(super) fn agree(&self, one: RenditionId, other: RenditionId, apart: MediaTime) {
        let mut compared = 0;
        for ((_, msn), segment) in self.complete.iter().filter(|((of, _), _)| *of == one) {
            let Some(sibling) = self.complete.get(&(other, *msn)) else { continue };
            assert_eq!(segment.discontinuity, sibling.discontinuity, "{msn}");
            let off = MediaTime::from_nanos(sibling.start.nanos() - segment.start.nanos());
            assert!(off.nanos().abs() <= apart.nanos(), "{msn}: {off:?}");
            let off = sibling.unix.as_nanos().abs_diff(segment.unix.as_nanos());
            assert!(off <= apart.nanos() as u128, "{msn}: {off}");
            compared += 1;
        }
        let shared = |id| self.complete.range((id, 0)..(id, u64::MAX)).count();
        assert!(compared == shared(one).min(shared(other)), "{compared}");
    }
}
