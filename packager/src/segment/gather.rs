//! What comes before anything can be decided: units wait here until it is known who leads, and, the first time,
//! how long parts and segments are to be. All decisions are pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use media::{AccessUnit, Kind, MediaTime};

use super::{Cadence, Config};
use crate::store::Targets;
use crate::track::RenditionId;

/// Enough to know how far apart pictures are, where somebody waits.
const GLANCE: MediaTime = MediaTime::from_millis(300);
/// So much more is waited for renditions that have not begun.
const COMPANY: MediaTime = MediaTime::from_millis(500);
/// Enough to know how far apart keyframes are, where nobody waits.
const STUDY: MediaTime = MediaTime::from_millis(2500);
/// For so long sound waits for pictures that are announced.
const PATIENCE: MediaTime = MediaTime::from_millis(2000);
/// A publisher that begins in haste lets so much go at once.
const BURST: Duration = Duration::from_secs(2);
/// Before a declared duration counts as proven, so much must have been seen.
const PROVEN: MediaTime = MediaTime::from_millis(1900);
/// Target duration where nothing is proven, in seconds.
const USUAL: u32 = 6;
/// Units that wait at most.
const MOST: usize = 4_096;
/// Parts that the 85 % rule would make longer are as long as the longest frame instead.
const LONG_PART: u64 = 1000;
/// Longer parts are not promised: frames that are further apart exceed them.
const LONGEST_PART: u64 = 3000;
/// Where no parts are shown, media is put into the store in pieces of this length.
pub(super) const PIECE: Duration = Duration::from_secs(1);

/// A unit that waits.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) id: RenditionId,
    pub(super) unit: AccessUnit,
    pub(super) captured: Instant,
    /// How long it lasts, where that is known.
    pub(super) span: Option<MediaTime>,
}

/// How long frames are.
#[derive(Clone, Copy, Debug)]
struct Frame {
    mean: Duration,
    longest: Duration,
}

/// Units that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    pub(super) held: VecDeque<Held>,
    bytes: usize,
}

/// What is known of those who could come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// Renditions that are declared; true if their format is known.
    pub(super) renditions: &'a [(RenditionId, bool)],
    /// Somebody waits to be shown something.
    pub(super) shown: bool,
    /// The targets are known already.
    pub(super) known: bool,
    /// So far apart keyframes came before the first unit.
    pub(super) gop: Option<Duration>,
    /// As many bytes may wait.
    pub(super) bytes: usize,
}

impl Gathering {
    /// Takes a unit; returns how many were let go of because there is no room.
    pub(super) fn push(&mut self, held: Held, expected: &Expected<'_>) -> u64 {
        self.bytes += held.unit.data.len();
        self.held.push_back(held);
        let mut gone = 0;
        while self.held.len() > MOST || self.held.len() > 1 && self.bytes > expected.bytes {
            let oldest = self.held.pop_front();
            self.bytes -= oldest.map_or(0, |held| held.unit.data.len());
            gone += 1;
        }
        gone
    }

    /// Who leads, as soon as enough is known.
    pub(super) fn lead(&self, expected: &Expected<'_>) -> Option<RenditionId> {
        let lead = self.candidate(expected)?;
        let full = self.held.len() + 1 >= MOST || self.bytes * 2 > expected.bytes;
        let span = self.span(lead);
        let complete =
            expected.renditions.iter().all(|(id, _)| self.held.iter().any(|held| held.id == *id));
        let enough = match (expected.known, expected.shown) {
            (true, _) => MediaTime::ZERO,
            (false, true) if complete => GLANCE,
            (false, true) => COMPANY,
            (false, false) => STUDY,
        };
        (full || span >= enough).then_some(lead)
    }

    /// Who would lead if nothing more came.
    pub(super) fn candidate(&self, expected: &Expected<'_>) -> Option<RenditionId> {
        let of = |kind: Kind| {
            let begins =
                |id: &RenditionId| self.held.iter().any(|h| h.id == *id && h.unit.keyframe);
            let all = expected.renditions.iter().map(|(id, _)| *id).filter(|id| id.kind == kind);
            all.filter(begins).min()
        };
        of(Kind::Video).or_else(|| {
            let pictures = expected.renditions.iter().any(|(id, _)| id.kind == Kind::Video);
            let sound = of(Kind::Audio)?;
            (!pictures || self.span(sound) >= PATIENCE).then_some(sound)
        })
    }

    /// The unit that everything begins with.
    pub(super) fn first(&self, lead: RenditionId) -> Option<&Held> {
        self.held.iter().find(|held| held.id == lead && held.unit.keyframe)
    }

    /// The unit that came most promptly, measured by what its rendition's first one says: `captured` of the
    /// first, had that one been as prompt.
    pub(super) fn promptest(&self, lead: RenditionId) -> Option<Instant> {
        let first = self.first(lead)?;
        let earliest = |held: &Held| {
            let later = held.unit.pts.since(first.unit.pts).nanos();
            media::clock::at(held.captured, later.saturating_neg())
        };
        let all = self.held.iter().filter(|held| held.id == lead);
        // What is further off than a burst explains is another time altogether.
        let near = |at: &Instant| first.captured.saturating_duration_since(*at) <= BURST;
        all.filter_map(earliest).filter(near).min()
    }

    /// How much is there of a rendition, from its first keyframe on.
    fn span(&self, id: RenditionId) -> MediaTime {
        let first = self.first(id).map(|held| held.unit.dts);
        let last = self.held.iter().rev().find(|held| held.id == id).map(|held| held.unit.dts);
        first.zip(last).map_or(MediaTime::ZERO, |(first, last)| last.since(first))
    }

    /// What can be promised after what was seen.
    pub(super) fn targets(
        &self,
        lead: RenditionId,
        config: &Config,
        cadence: Cadence,
        expected: &Expected<'_>,
    ) -> Targets {
        let mut ids: Vec<RenditionId> = self.held.iter().map(|held| held.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let frames: Vec<Frame> = ids.into_iter().map(|id| self.frame(id)).collect();
        let most = |of: fn(&Frame) -> Duration| frames.iter().map(of).max().unwrap_or_default();
        let frame = Frame { mean: most(|frame| frame.mean), longest: most(|frame| frame.longest) };
        Targets {
            segment: self.target_duration(lead, config.segment, cadence, expected),
            part: config.part.map(|preset| part_target(preset, frame)),
            independent: false,
        }
    }

    /// How long the frames of a rendition are. What is three times as long as usual is a stall, no frame rate.
    fn frame(&self, id: RenditionId) -> Frame {
        let of = self.held.iter().filter(|held| held.id == id);
        let mut spans: Vec<i64> = match id.kind {
            Kind::Audio => of.filter_map(|held| held.span).map(MediaTime::nanos).collect(),
            Kind::Video => {
                let times: Vec<MediaTime> = of.map(|held| held.unit.dts).collect();
                times.windows(2).map(|pair| pair[1].since(pair[0]).nanos()).collect()
            }
        };
        spans.retain(|span| *span > 0);
        spans.sort_unstable();
        let most = spans.get(spans.len() / 2).map_or(0, |usual| usual.saturating_mul(3));
        spans.retain(|span| *span <= most);
        let sum = spans.iter().fold(0_i64, |sum, span| sum.saturating_add(*span));
        let mean = sum / i64::try_from(spans.len()).unwrap_or(i64::MAX).max(1);
        let duration = |nanos: i64| Duration::from_nanos(nanos.unsigned_abs());
        Frame { mean: duration(mean), longest: duration(spans.last().copied().unwrap_or(0)) }
    }

    fn target_duration(
        &self,
        lead: RenditionId,
        segment: Duration,
        cadence: Cadence,
        expected: &Expected<'_>,
    ) -> u32 {
        let wanted = whole(segment);
        if expected.renditions.iter().all(|(id, _)| id.kind == Kind::Audio) {
            return wanted;
        }
        if lead.kind == Kind::Audio {
            // The pictures are still to come.
            return wanted.max(USUAL);
        }
        if cadence == Cadence::OnRequest {
            // Who is asked may take its time, and still be waited for.
            return wanted + 1;
        }
        let keyframes = self.held.iter().filter(|held| held.id == lead && held.unit.keyframe);
        let times: Vec<MediaTime> = keyframes.map(|held| held.unit.pts).collect();
        let gops = times.windows(2).map(|pair| pair[1].since(pair[0]).nanos());
        let gops = gops.filter_map(|gop| u64::try_from(gop).ok()).filter(|gop| *gop > 0);
        let seen = gops.max().filter(|_| self.span(lead) >= PROVEN || expected.gop.is_some());
        let Some(gop) = seen.map(Duration::from_nanos).max(expected.gop) else {
            return wanted.max(USUAL);
        };
        // A keyframe that comes a little early is taken.
        let least = segment.as_nanos() * 4 / 5;
        let count = least.div_ceil(gop.as_nanos().max(1)).max(1);
        let length = gop.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        // The last tenth is rounding of a publisher's timestamps.
        whole(length.saturating_sub(Duration::from_millis(100))).clamp(wanted, wanted.max(USUAL))
    }
}

/// The smallest that is no less than the preset and of which a frame is 15 %: where some are longer than others, they
/// are moved a little to where a part ends. Where that would be longer than a second, what a part needs at least for
/// the longest frame.
fn part_target(preset: Duration, frame: Frame) -> Duration {
    let up = |nanos: u128| u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX);
    let preset = up(preset.as_nanos()).max(1);
    let fits = up((frame.mean.as_nanos() * 100).div_ceil(15)).max(preset);
    let most = preset.max(LONG_PART);
    let holds = up(frame.longest.as_nanos() * 11 / 10).clamp(most, most.max(LONGEST_PART));
    Duration::from_millis(if fits <= most { fits } else { holds })
}

/// Whole seconds, rounded up; at least one.
fn whole(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).clamp(1, 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_as_short_as_its_frames_allow() {
        let target = |preset: u64, micros: u64| {
            let frame = Duration::from_micros(micros);
            let frame = Frame { mean: frame, longest: frame };
            part_target(Duration::from_millis(preset), frame).as_millis()
        };
        assert_eq!(target(200, 16_667), 200, "60 fps");
        assert_eq!(target(200, 33_334), 223, "30 fps");
        assert_eq!(target(200, 41_667), 278, "24 fps");
        assert_eq!(target(500, 41_667), 500);
        assert_eq!(target(200, 100_000), 667, "10 fps");
        assert_eq!(target(200, 500_000), 1000, "a frame fits, and that is all");
        assert_eq!(target(200, 1_000_000), 1100, "1 fps");
        assert_eq!(target(200, 60_000_000), 3000, "nobody waits for that");
    }
}
