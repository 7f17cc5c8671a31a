//! How many bits and pictures per second a source has, and how many bits its copy may have. Pure.

use std::collections::VecDeque;

use media::Codec;

/// Nanoseconds of media that are looked at.
const WINDOW: i64 = 4_000_000_000;

/// Nanoseconds of media below which nothing is said.
const ENOUGH: i64 = 1_000_000_000;

/// Bits per second that no copy passes.
const MOST: u64 = 40_000_000;

/// Units kept at most, whatever their times say.
const MOST_UNITS: usize = 1024;

/// Measures coded units by their own times.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    units: VecDeque<(i64, usize)>,
    bytes: u64,
}

impl Meter {
    /// One unit of `bytes`, to be decoded at `dts` (nanoseconds).
    pub(crate) fn push(&mut self, dts: i64, bytes: usize) {
        if self.units.back().is_some_and(|(last, _)| dts < *last) {
            *self = Self::default();
        }
        self.units.push_back((dts, bytes));
        self.bytes += bytes as u64;
        while let Some((first, bytes)) = self.units.front().copied() {
            if dts.saturating_sub(first) <= WINDOW && self.units.len() <= MOST_UNITS {
                break;
            }
            self.bytes -= bytes as u64;
            self.units.pop_front();
        }
    }

    fn span(&self) -> Option<i64> {
        let span = self.units.back()?.0.saturating_sub(self.units.front()?.0);
        (span >= ENOUGH).then_some(span)
    }

    /// Bits per second, once a second of media was seen.
    pub(crate) fn bitrate(&self) -> Option<u64> {
        let (span, last) = (self.span()?, self.units.back()?.1 as u64);
        let bits = u128::from(self.bytes.saturating_sub(last)) * 8;
        u64::try_from(bits * 1_000_000_000 / span.unsigned_abs() as u128).ok()
    }

    /// Pictures per second, once a second of media was seen.
    pub(crate) fn frame_rate(&self) -> Option<u32> {
        let pictures = i64::try_from(self.units.len()).ok()?.saturating_sub(1);
        let span = self.span()?;
        u32::try_from((pictures * 1_000_000_000 + span / 2) / span).ok()
    }
}

/// Bits per second that the copy may have: near the source's, for more would only keep its artefacts, and
/// somewhat above it, for an encoder without B-frames and lookahead needs more for the same picture (half more
/// for H.264, three quarters for VP8, and a third on top where the source's codec is a newer one). Without a measure
/// of the source: 2.8 Mbit/s for 720p at 30, and less per pixel the more there are.
pub(crate) fn cap(
    source: Option<u64>,
    from: Codec,
    to: Codec,
    pixels: u64,
    frame_rate: u32,
) -> u32 {
    let frame_rate = u64::from(frame_rate.clamp(1, 120));
    let root = (pixels as f64).powf(0.75) as u64;
    let usual = root.saturating_mul(93 * frame_rate) / 30;
    let newer = matches!(from, Codec::H265 | Codec::Av1 | Codec::Vp9);
    let quarters = if to == Codec::Vp8 { 7 } else { 6 };
    let wanted = source.map_or(usual, |rate| {
        let rate = rate.min(MOST) * quarters / 4;
        if newer { rate * 4 / 3 } else { rate }
    });
    u32::try_from(wanted.max(usual / 5).clamp(100_000, MOST)).unwrap_or(u32::MAX)
}

/// An encoder that was opened for `has` should be opened anew for `wants`: another keyframe's worth.
pub(crate) fn worth_it(has: u32, wants: u32) -> bool {
    let (has, wants) = (u64::from(has), u64::from(wants));
    wants * 10 > has * 14 || wants * 10 < has * 6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_pictures_are_counted_by_media_time() {
        let mut meter = Meter::default();
        for picture in 0..25 {
            assert_eq!(meter.bitrate(), None);
            meter.push(picture * 40_000_000, 5000);
        }
        for picture in 25..500 {
            meter.push(picture * 40_000_000, 5000);
        }
        assert_eq!((meter.bitrate(), meter.frame_rate()), (Some(1_000_000), Some(25)));
        meter.push(0, 1);
        assert_eq!(meter.bitrate(), None, "times that go back begin anew");
        for _ in 0..5000 {
            meter.push(i64::MAX, 1);
        }
        assert!(meter.units.len() <= MOST_UNITS);
    }

    #[test]
    fn the_cap_lies_near_the_source() {
        let pixels = 1280 * 720;
        let of = |source, from| cap(source, from, Codec::H264, pixels, 30);
        assert_eq!(of(Some(2_000_000), Codec::H264), 3_000_000);
        assert_eq!(of(Some(2_000_000), Codec::H265), 4_000_000);
        assert_eq!(cap(Some(2_000_000), Codec::H264, Codec::Vp8, pixels, 30), 3_500_000);
        assert_eq!(of(None, Codec::H264) / 10_000, 276);
        assert_eq!(of(Some(1000), Codec::H264) / 1000, 553);
        assert_eq!(of(Some(u64::MAX), Codec::H264), 40_000_000);
        assert_eq!(cap(None, Codec::H264, Codec::H264, u64::MAX, 500), 40_000_000);
        assert!(worth_it(1000, 1500) && worth_it(1000, 500) && !worth_it(1000, 1300));
    }
}
