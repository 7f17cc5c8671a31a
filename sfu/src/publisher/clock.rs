//! When a packet was captured, on the server's clock: the publisher's sender reports (RFC 3550
//! section 6.4) relate its RTP timestamps to one wall clock, so that audio, video and all layers of
//! a simulcast fall into step; before the first report a packet counts as captured on arrival.

use std::time::{Duration, Instant, SystemTime};

/// A capture time further than this from the arrival is a lie or a jump: the arrival counts then.
const CREDIBLE: Duration = Duration::from_secs(5);

/// One publisher's wall clock against ours.
#[derive(Debug, Default)]
pub struct WallClock {
    /// The first report's wall clock, and when it came.
    anchor: Option<(SystemTime, Instant)>,
}

impl WallClock {
    /// When the packet with `timestamp` was captured. `report`: the sender report that holds for
    /// it; `rate`: ticks per second.
    pub fn captured(
        &mut self,
        arrival: Instant,
        timestamp: u32,
        rate: u32,
        report: Option<(SystemTime, u32)>,
    ) -> Instant {
        let Some((wall, at)) = report else { return arrival };
        let (anchor_wall, anchor) = *self.anchor.get_or_insert((wall, arrival));
        // Signed distance of the timestamp from the report's, wraps included.
        let ticks = timestamp.wrapping_sub(at).cast_signed();
        let offset = Duration::from_secs_f64(f64::from(ticks.unsigned_abs()) / f64::from(rate));
        let base = match wall.duration_since(anchor_wall) {
            Ok(later) => anchor.checked_add(later),
            Err(earlier) => anchor.checked_sub(earlier.duration()),
        };
        let time = base
            .and_then(|t| if ticks < 0 { t.checked_sub(offset) } else { t.checked_add(offset) });
        match time {
            Some(time) if distance(time, arrival) <= CREDIBLE => time,
            _ => arrival,
        }
    }
}

fn distance(a: Instant, b: Instant) -> Duration {
    a.saturating_duration_since(b).max(b.saturating_duration_since(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_with_different_timestamps_fall_into_step() {
        let now = crate::test::epoch();
        let mut clock = WallClock::default();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let low = clock.captured(now, 5_000, 90_000, Some((wall, 1_000)));
        let late = now + Duration::from_millis(15);
        let high = clock.captured(late, 904_000, 90_000, Some((wall, 900_000)));
        assert_eq!(low, high);
    }

    #[test]
    fn timestamps_that_wrap_between_report_and_packet_are_read_right() {
        let now = crate::test::epoch();
        let mut clock = WallClock::default();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let time = clock.captured(now, 45_000, 90_000, Some((wall, u32::MAX - 44_999)));
        assert_eq!(time, now + Duration::from_secs(1));
    }

    #[test]
    fn without_or_with_absurd_reports_the_arrival_counts() {
        let now = crate::test::epoch();
        let mut clock = WallClock::default();
        assert_eq!(clock.captured(now, 7, 90_000, None), now);
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        assert_eq!(clock.captured(now, 1 << 31, 90_000, Some((wall, 0))), now);
        let jumped = wall + Duration::from_secs(3600);
        assert_eq!(clock.captured(now, 0, 90_000, Some((jumped, 0))), now);
    }
}
