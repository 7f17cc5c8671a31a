//! Sound at exact times: timestamps are whole milliseconds, and 1024 samples at 48 kHz are 21⅓ of them.

use media::MediaTime;

/// Timestamps may be off by a rounding here and one at the beginning: no reason to move, in µs.
const ROUNDING: i64 = 1_500;
/// Further off than this is no clock that drifts, but a gap or another beginning, in µs.
const ASTRAY: i64 = 15_000;
/// What is over [`ROUNDING`] is mended in so many units.
const MENDED_IN: i64 = 16;

/// The sound of one track, by the count of its samples.
///
/// Each unit begins where the one before it ended. Where the sampling clock is not that of the timestamps, it is
/// moved after them by a few samples per unit: at least one, which at 48 kHz and 1024 samples is 1000 ppm.
#[derive(Debug)]
pub(super) struct Sound {
    rate: u32,
    /// Where the next unit begins, in samples.
    next: Option<i64>,
}

impl Sound {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, next: None }
    }

    /// Samples per second.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Where `samples` begin whose timestamp is `at`, in samples, and whether they had to be set anew.
    pub(super) fn place(&mut self, at: MediaTime, samples: u32) -> (i64, bool) {
        let wanted = at.in_scale(self.rate);
        let Some(next) = self.next else {
            self.next = Some(wanted.saturating_add(i64::from(samples)));
            return (wanted, false);
        };
        let off = wanted.saturating_sub(next);
        let over = off.saturating_abs() - self.ticks(ROUNDING);
        let astray = off.saturating_abs() > self.ticks(ASTRAY);
        let begins = if astray {
            wanted
        } else if over > 0 {
            next + (over / MENDED_IN).max(1) * off.signum()
        } else {
            next
        };
        self.next = Some(begins.saturating_add(i64::from(samples)));
        (begins, astray)
    }

    fn ticks(&self, micros: i64) -> i64 {
        micros * i64::from(self.rate) / 1_000_000
    }
}
