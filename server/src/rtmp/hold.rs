//! How much is to come of a publisher before it is read again. While nobody takes what it sends there is no hurry,
//! and what costs is the wake-up for each picture: so the kernel collects some of it first (SO_RCVLOWAT, `socket(7)`).
//! Decisions only.

use std::time::{Duration, Instant};

/// So much of what nobody waits for comes at once.
const COLLECT: Duration = Duration::from_millis(80);
/// How fast it comes is measured over this, before anything is held.
const WINDOW: Duration = Duration::from_secs(1);
/// What changes by less than this part stays as it is.
const STEADY: usize = 4;

/// Of one connection.
#[derive(Debug)]
pub(super) struct Hold {
    /// Never more.
    most: usize,
    /// Bytes that are to come now.
    bytes: usize,
    since: Instant,
    came: usize,
    /// Something has come since the last look.
    read: bool,
}

impl Hold {
    /// Everything is read at once, and never more is held than `most` bytes.
    pub(super) fn new(now: Instant, most: usize) -> Self {
        Self { most, bytes: 1, since: now, came: 0, read: false }
    }

    /// So many bytes have come, and somebody waits for them or not. What the kernel is to be told, if anything.
    pub(super) fn came(&mut self, now: Instant, bytes: usize, urgent: bool) -> Option<usize> {
        self.read = true;
        self.came += bytes;
        if urgent {
            return self.release(now);
        }
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < WINDOW {
            return None;
        }
        let share = COLLECT.as_secs_f64() / elapsed.as_secs_f64();
        let wanted = ((self.came as f64 * share) as usize).clamp(1, self.most);
        (self.since, self.came) = (now, 0);
        if wanted.abs_diff(self.bytes) <= self.bytes / STEADY {
            return None;
        }
        self.set(wanted)
    }

    /// A while has passed. What there is now is to be read, if nothing was.
    pub(super) fn look(&mut self, now: Instant) -> Option<usize> {
        if std::mem::take(&mut self.read) { None } else { self.release(now) }
    }

    /// It may be a while until it is read again.
    pub(super) fn holds(&self) -> bool {
        self.bytes > 1
    }

    /// Somebody waits for what comes.
    pub(super) fn release(&mut self, now: Instant) -> Option<usize> {
        (self.since, self.came) = (now, 0);
        self.set(1)
    }

    fn set(&mut self, bytes: usize) -> Option<usize> {
        (std::mem::replace(&mut self.bytes, bytes) != bytes).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 32 * 1024;

    /// What the kernel was told while so many bytes came every 10 ms for so many ms.
    fn told(hold: &mut Hold, from: Instant, bytes: usize, ms: u64, urgent: bool) -> Vec<usize> {
        let at = |ms| from + Duration::from_millis(ms);
        (10..=ms).step_by(10).filter_map(|ms| hold.came(at(ms), bytes, urgent)).collect()
    }

    #[test]
    fn what_nobody_waits_for_is_collected_for_80_ms_and_stays_so() {
        let start = crate::clock::now();
        let mut hold = Hold::new(start, MOST);
        let told = told(&mut hold, start, 2500, 5000, false);
        assert_eq!(told, [20_000], "2 Mbit/s, once a second of it has come");
    }

    #[test]
    fn it_follows_the_rate_and_has_a_bound() {
        let start = crate::clock::now();
        let mut hold = Hold::new(start, MOST);
        assert_eq!(told(&mut hold, start, 50_000, 1000, false), [MOST]);
        let later = start + Duration::from_secs(1);
        assert_eq!(told(&mut hold, later, 160, 1000, false), [1280], "sound alone");
    }

    #[test]
    fn who_comes_gets_all_at_once() {
        let start = crate::clock::now();
        let mut hold = Hold::new(start, MOST);
        assert!(told(&mut hold, start, 2500, 1500, true).is_empty());
        let later = start + Duration::from_millis(1500);
        assert_eq!(told(&mut hold, later, 2500, 1500, false), [20_000]);
        let later = later + Duration::from_millis(1500);
        assert_eq!(told(&mut hold, later, 2500, 1500, true), [1]);
        assert_eq!(hold.release(later), None, "it is so already");
    }

    #[test]
    fn a_publisher_that_falls_silent_is_read_to_the_last_byte() {
        let start = crate::clock::now();
        let mut hold = Hold::new(start, MOST);
        told(&mut hold, start, 2500, 1000, false);
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(hold.look(at(1100)), None, "something came");
        assert_eq!(hold.look(at(1300)), Some(1));
        assert_eq!(told(&mut hold, at(1300), 2500, 1000, false), [20_000], "it goes on");
    }
}
