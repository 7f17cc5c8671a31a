//! What a publisher sends, counted unit by unit as it comes in: also what the media threads never see, because
//! WebRTC does not carry it or only a bridge gets it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use media::{AccessUnit, Codec, EncodingId, Format, Kind, MediaTime};
use sfu::Origin;
use sfu::stats::{EncodingSnapshot, Intake};

use super::Track;

/// Rates are means over this.
const WINDOW: Duration = Duration::from_secs(1);
/// Nothing for so long: the track is silent, and its rates are zero.
const SILENT: Duration = Duration::from_secs(2);

/// Counts of one publisher, shared by its connection and the hub.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Vec<Gauge>>);

#[derive(Debug)]
struct Gauge {
    track: Track,
    id: EncodingId,
    format: Format,
    units: u64,
    bytes: u64,
    keyframes: u64,
    keyframe: Option<MediaTime>,
    keyframe_interval: Option<Duration>,
    newest: Option<MediaTime>,
    b_frames: bool,
    first: Option<Instant>,
    last: Option<Instant>,
    /// When the window began, and what had come until then.
    window: Option<(Instant, u64, u64)>,
    bits_per_second: f64,
    units_per_second: f64,
}

impl Meter {
    /// What a track's units are from now on.
    pub(crate) fn format(&self, track: Track, id: EncodingId, format: &Format) {
        let mut gauges = self.gauges();
        match gauges.iter_mut().find(|g| g.track == track) {
            Some(gauge) => {
                gauge.b_frames &= gauge.format.config == format.config;
                gauge.format = format.clone();
            }
            None => gauges.push(Gauge::new(track, id, format.clone())),
        }
    }

    /// A unit has come. True if it shows that the track has pictures that are shown before others that
    /// came earlier.
    pub(crate) fn count(&self, now: Instant, track: Track, unit: &AccessUnit) -> bool {
        let mut gauges = self.gauges();
        let Some(gauge) = gauges.iter_mut().find(|g| g.track == track) else { return false };
        gauge.count(now, unit);
        gauge.b_frames
    }

    /// The track is over.
    pub(crate) fn end(&self, track: Track) {
        self.gauges().retain(|g| g.track != track);
    }

    /// How long pictures have come of which none is a keyframe.
    pub(crate) fn blind(&self, now: Instant) -> Duration {
        let blind = |g: &Gauge| {
            let began = g.first.filter(|_| g.track.0 == Kind::Video && g.keyframes == 0);
            began.map(|began| now.saturating_duration_since(began))
        };
        self.gauges().iter().filter_map(blind).max().unwrap_or_default()
    }

    /// Every track, as the API shows it.
    pub(crate) fn snapshot(&self, now: Instant) -> Vec<EncodingSnapshot> {
        self.gauges().iter().map(|g| g.snapshot(now)).collect()
    }

    /// What a track is now.
    pub(crate) fn codec(&self, track: Track) -> Option<Codec> {
        self.gauges().iter().find(|g| g.track == track).map(|g| g.format.codec)
    }

    /// Hz of the sound, as its format says.
    pub(crate) fn sample_rate(&self) -> Option<u32> {
        self.gauges().iter().find_map(|g| g.format.sound).map(|(rate, _)| rate)
    }

    /// All tracks together.
    pub(crate) fn intake(&self, now: Instant) -> Intake {
        let gauges = self.gauges();
        let bits = gauges.iter().map(|g| g.rates(now).0 as u64).sum();
        Intake { bitrate_bps: bits, packets: gauges.iter().map(|g| g.units).sum(), lost: 0 }
    }

    fn gauges(&self) -> MutexGuard<'_, Vec<Gauge>> {
        // Numbers only: a panic in between leaves nothing that could mislead for long.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gauge {
    fn new(track: Track, id: EncodingId, format: Format) -> Self {
        Self {
            track,
            id,
            format,
            units: 0,
            bytes: 0,
            keyframes: 0,
            keyframe: None,
            keyframe_interval: None,
            newest: None,
            b_frames: false,
            first: None,
            last: None,
            window: None,
            bits_per_second: 0.0,
            units_per_second: 0.0,
        }
    }

    fn count(&mut self, now: Instant, unit: &AccessUnit) {
        self.units += 1;
        self.bytes += unit.data.len() as u64;
        self.first.get_or_insert(now);
        self.last = Some(now);
        let (began, units, bytes) = *self.window.get_or_insert((now, self.units, self.bytes));
        let elapsed = now.saturating_duration_since(began);
        if elapsed >= WINDOW {
            let seconds = elapsed.as_secs_f64();
            self.units_per_second = (self.units - units) as f64 / seconds;
            self.bits_per_second = (self.bytes - bytes) as f64 * 8.0 / seconds;
            self.window = Some((now, self.units, self.bytes));
        }
        if self.track.0 == Kind::Audio {
            return;
        }
        self.b_frames |= !unit.keyframe && self.newest.is_some_and(|newest| unit.pts < newest);
        self.newest = Some(self.newest.map_or(unit.pts, |newest| newest.max(unit.pts)));
        if unit.keyframe {
            self.keyframes += 1;
            // A keyframe is shown after all that came before it.
            self.newest = Some(unit.pts);
            if let Some(before) = self.keyframe.replace(unit.dts) {
                let nanos = unit.dts.since(before).nanos();
                self.keyframe_interval = u64::try_from(nanos).ok().map(Duration::from_nanos);
            }
        }
    }

    fn silent(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) > SILENT)
    }

    /// Bits and units per second.
    fn rates(&self, now: Instant) -> (f64, f64) {
        if self.silent(now) { (0.0, 0.0) } else { (self.bits_per_second, self.units_per_second) }
    }

    fn snapshot(&self, now: Instant) -> EncodingSnapshot {
        let (bits, units) = self.rates(now);
        EncodingSnapshot {
            id: self.id,
            origin: Origin::Source,
            kind: self.track.0,
            codec: self.format.codec,
            channels: self.format.sound.map_or(1, |(_, channels)| channels),
            dimensions: self.format.dimensions,
            fps: if self.track.0 == Kind::Video { units } else { 0.0 },
            bitrate_bps: bits as u64,
            keyframes: self.keyframes,
            keyframe_interval: self.keyframe_interval,
            keyframe_wait: None,
            packets: self.units,
            bytes: self.bytes,
            lost: 0,
            b_frames: self.b_frames,
            active: !self.silent(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AUDIO, VIDEO};
    use super::*;

    fn format(codec: Codec) -> Format {
        let sound = (codec.kind() == Kind::Audio).then_some((44_100, 2));
        Format { codec, config: bytes::Bytes::new(), dimensions: Some((640, 360)), sound }
    }

    fn unit(dts: i64, pts: i64, keyframe: bool) -> AccessUnit {
        let (dts, pts) = (MediaTime::from_millis(dts), MediaTime::from_millis(pts));
        AccessUnit { dts, pts, keyframe, data: vec![0; 500].into() }
    }

    #[test]
    fn rates_are_of_the_last_second_and_end_with_the_track() {
        let meter = Meter::default();
        let start = crate::clock::now();
        let at = |ms: i64| start + Duration::from_millis(ms as u64);
        meter.format(VIDEO, EncodingId::MAIN, &format(Codec::H264));
        meter.format(AUDIO, EncodingId::MAIN, &format(Codec::Aac));
        for ms in (0..=3000).step_by(20) {
            meter.count(at(ms), VIDEO, &unit(ms, ms, ms % 1000 == 0));
            meter.count(at(ms), AUDIO, &unit(ms, ms, true));
        }
        let [video, audio] = &meter.snapshot(at(3000))[..] else { panic!() };
        assert_eq!((video.fps, video.bitrate_bps), (50.0, 200_000));
        assert_eq!((video.keyframes, video.keyframe_interval), (4, Some(Duration::from_secs(1))));
        assert!(video.active && !video.b_frames);
        assert_eq!((audio.channels, audio.packets), (2, 151));
        assert_eq!(meter.sample_rate(), Some(44_100));
        assert_eq!(meter.intake(at(3000)).bitrate_bps, 400_000);
        let late = &meter.snapshot(at(6000))[0];
        assert_eq!((late.fps, late.bitrate_bps, late.active), (0.0, 0, false));
        meter.end(VIDEO);
        assert_eq!(meter.snapshot(at(6000)).len(), 1);
    }

    #[test]
    fn pictures_that_are_shown_before_others_are_b_frames_and_a_constant_offset_is_none() {
        let now = crate::clock::now();
        let seen = |times: &[(i64, i64, bool)]| {
            let meter = Meter::default();
            meter.format(VIDEO, EncodingId::MAIN, &format(Codec::H264));
            times.iter().any(|(dts, pts, key)| meter.count(now, VIDEO, &unit(*dts, *pts, *key)))
        };
        assert!(seen(&[(0, 80, true), (40, 240, false), (80, 160, false)]));
        assert!(!seen(&[(0, 80, true), (40, 120, false), (80, 160, false)]));
        assert!(!seen(&[(0, 0, true), (40, 40, false), (80, 20, true)]), "a keyframe begins anew");
    }
}
