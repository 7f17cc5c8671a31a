//! Where decoded sound lies on the source's timeline, and what to do when its timestamps and its number of
//! samples disagree. Pure: positions in, a decision out.
//!
//! Sound is counted in samples of 48 kHz from the first one on. A difference of more than [`SLACK`] is a gap or
//! an overlap and is mended at once; a smaller one is jitter of the timestamps (RTMP's are whole milliseconds)
//! or two clocks that drift apart, and is taken back softly by stretching, slower than anybody hears.

/// Samples per second of everything that comes out.
pub(crate) const RATE: u32 = 48_000;

/// Samples of difference up to which nothing is cut or filled: 40 ms.
const SLACK: u64 = 1920;

/// Samples of the longest gap that is filled with silence: a second. A longer one stays a gap in the timestamps;
/// filling it at once would send a flood.
const LONGEST_FILL: i64 = 48_000;

/// Seconds over which the difference is averaged: far above the jitter of a millisecond.
const AVERAGE: f64 = 1.0;

/// Seconds in which the averaged difference would be gone. With [`AVERAGE`] it settles without swinging
/// (damping 1.1), and 200 ppm of drift leave a difference of 1 ms.
const CORRECTION: f64 = 5.0;

/// Parts per million that sound is stretched at most: a twelfth of a semitone.
const MOST_STRETCH: f64 = 5000.0;

/// What is to be done before the samples of a frame are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// Take them, and make so many parts per million more (or fewer) samples of them from here on.
    Next {
        /// Parts per million.
        stretch: i32,
    },
    /// Something is missing: so many samples of silence come first.
    Gap {
        /// Samples.
        samples: u64,
    },
    /// They overlap with what was taken: so many of the next samples are thrown away.
    Overlap {
        /// Samples.
        samples: u64,
    },
    /// Far ahead of what was taken: go on at this sample.
    Jump {
        /// Index of a sample, counted from the first one.
        to: u64,
    },
}

/// The timeline of one source.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// Nanoseconds of sample 0.
    origin: Option<i64>,
    /// Averaged difference in samples; positive: the timestamps are ahead.
    difference: f64,
}

impl Timeline {
    /// A frame of `samples` (at [`RATE`]) is said to begin at `pts`, in nanoseconds; the sample after the last one
    /// that was taken is number `next`.
    pub(crate) fn place(&mut self, pts: i64, samples: u64, next: u64) -> Placed {
        if self.origin.is_none() {
            self.origin = Some(pts.saturating_sub(nanos(next)));
        }
        let said = self.sample_at(pts);
        let difference = said.saturating_sub(i64::try_from(next).unwrap_or(i64::MAX));
        if difference > LONGEST_FILL {
            self.difference = 0.0;
            return Placed::Jump { to: said.unsigned_abs() };
        }
        if difference.unsigned_abs() > SLACK {
            self.difference = 0.0;
            let samples = difference.unsigned_abs();
            return if difference > 0 {
                Placed::Gap { samples }
            } else {
                Placed::Overlap { samples }
            };
        }
        let weight = (samples as f64 / f64::from(RATE) / AVERAGE).min(1.0);
        self.difference += (difference as f64 - self.difference) * weight;
        let stretch = self.difference / f64::from(RATE) / CORRECTION * 1e6;
        Placed::Next { stretch: stretch.clamp(-MOST_STRETCH, MOST_STRETCH) as i32 }
    }

    /// Nanoseconds of sample number `index`, which may lie before the first.
    pub(crate) fn pts(&self, index: i64) -> i64 {
        let distance = i128::from(index) * 1_000_000_000 / i128::from(RATE);
        self.origin.unwrap_or(0).saturating_add(i64::try_from(distance).unwrap_or(i64::MAX))
    }

    fn sample_at(&self, pts: i64) -> i64 {
        let distance = i128::from(pts) - i128::from(self.origin.unwrap_or(pts));
        let samples = (distance * i128::from(RATE) + 500_000_000).div_euclid(1_000_000_000);
        i64::try_from(samples).unwrap_or(if samples < 0 { i64::MIN } else { i64::MAX })
    }
}

fn nanos(samples: u64) -> i64 {
    let nanos = u128::from(samples) * 1_000_000_000 / u128::from(RATE);
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = 1_000_000;

    /// Frames of 1024 samples; what place() answers to a source whose own clock is off by `ppm` and whose
    /// timestamps are whole milliseconds. Returns the largest difference after the first 30 s, in milliseconds.
    fn drift(ppm: f64, minutes: u32) -> f64 {
        let mut timeline = Timeline::default();
        let (mut next, mut most) = (0.0_f64, 0.0_f64);
        let frames = minutes * 60 * RATE / 1024;
        for frame in 0..frames {
            let time = f64::from(frame) * 1024.0 / f64::from(RATE) * (1.0 + ppm / 1e6);
            let pts = (time * 1000.0).floor() as i64 * MS;
            if frame > 30 * RATE / 1024 {
                most = most.max((time * f64::from(RATE) - next).abs() / 48.0);
            }
            let placed = timeline.place(pts, 1024, next as u64);
            let Placed::Next { stretch } = placed else { panic!("{placed:?} in frame {frame}") };
            next += 1024.0 * (1.0 + f64::from(stretch) / 1e6);
        }
        most
    }

    #[test]
    fn drift_is_held_for_two_hours() {
        for ppm in [0.0, 200.0, -200.0, 1000.0] {
            let most = drift(ppm, 120);
            assert!(most < 6.5, "{most} ms at {ppm} ppm");
        }
        assert!(drift(200.0, 10) < 2.5);
    }

    #[test]
    fn gaps_are_filled_overlaps_cut_and_long_gaps_kept() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.place(5000 * MS, 1024, 0), Placed::Next { stretch: 0 });
        assert_eq!(timeline.place(5100 * MS, 1024, 1024), Placed::Gap { samples: 4800 - 1024 });
        assert_eq!(
            timeline.place(5100 * MS, 1024, 4800 + 1024 + 2000),
            Placed::Overlap { samples: 3024 }
        );
        assert_eq!(timeline.place(9000 * MS, 1024, 1024), Placed::Jump { to: 192_000 });
        assert_eq!(timeline.pts(-312), 5_000_000_000 - 6_500_000);
        assert_eq!(timeline.pts(192_000), 9_000_000_000);
    }

    proptest! {
        #[test]
        fn no_times_overflow(times: Vec<(i64, u64, u64)>) {
            let mut timeline = Timeline::default();
            for (pts, samples, next) in times {
                let _ = timeline.place(pts, samples, next);
                let _ = timeline.pts(next as i64);
            }
        }
    }
}
