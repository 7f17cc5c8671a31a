//! When a certificate is asked for: at once where there is none for these names, else when a third of its life is left, as
//! authorities advise. Who fails waits longer and longer, and nobody asks more than five times an hour, restarts included:
//! that is what authorities allow. Pure: all times are arguments.

use std::collections::VecDeque;
use std::time::Duration;

/// Orders within [`HOUR`].
const ORDERS: usize = 5;
const HOUR: Duration = Duration::from_secs(3600);
/// After the first failure, and twice that after each further one.
const PATIENCE: Duration = Duration::from_secs(60);
/// And no longer than that.
const MOST: Duration = Duration::from_secs(12 * 3600);

/// How long a certificate is good, since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) from: Duration,
    pub(super) until: Duration,
}

impl Life {
    /// From when on another one is wanted.
    fn late(self) -> Duration {
        let life = self.until.saturating_sub(self.from);
        self.until.saturating_sub(life / 3)
    }
}

/// What was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// When, of those within the last hour.
    orders: VecDeque<Duration>,
    /// Since the last success.
    failures: u32,
}

impl Plan {
    /// With the orders of former runs.
    pub(super) fn new(orders: impl IntoIterator<Item = Duration>, now: Duration) -> Self {
        let mut plan = Self::default();
        // A clock that was wrong then must not forbid orders for years.
        let mut orders: Vec<_> = orders.into_iter().filter(|order| *order <= now).collect();
        orders.sort_unstable();
        plan.orders = orders.into();
        plan.forget(now);
        plan
    }

    /// How long to wait with the next order, where there is a certificate of this life for all names, or none.
    pub(super) fn wait(&self, now: Duration, life: Option<Life>) -> Duration {
        let wanted = life.map_or(Duration::ZERO, Life::late);
        let patient = match (self.failures, self.orders.back()) {
            (0, _) | (_, None) => Duration::ZERO,
            (failures, Some(last)) => *last + patience(failures),
        };
        let allowed = match self.orders.len().checked_sub(ORDERS) {
            Some(first) => self.orders[first] + HOUR,
            None => Duration::ZERO,
        };
        wanted.max(patient).max(allowed).saturating_sub(now)
    }

    /// One goes out; the times that are to be kept.
    pub(super) fn order(&mut self, now: Duration) -> impl Iterator<Item = Duration> + '_ {
        self.orders.push_back(now);
        self.forget(now);
        self.orders.iter().copied()
    }

    /// It brought a certificate.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// It did not.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    fn forget(&mut self, now: Duration) {
        // The last one stays: the next is counted from there.
        while self.orders.len() > ORDERS
            || self.orders.len() > 1
                && self.orders.front().is_some_and(|first| *first + HOUR <= now)
        {
            self.orders.pop_front();
        }
    }
}

fn patience(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    PATIENCE.checked_mul(doubled).map_or(MOST, |wait| wait.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn life(age: Duration, whole: Duration) -> Option<Life> {
        Some(Life { from: NOW - age, until: NOW - age + whole })
    }

    #[test]
    fn a_third_of_its_life_before_the_end() {
        let plan = Plan::default();
        for (life, wait) in [
            (None, Duration::ZERO),
            (life(Duration::ZERO, 90 * DAY), 60 * DAY),
            (life(59 * DAY, 90 * DAY), DAY),
            (life(60 * DAY, 90 * DAY), Duration::ZERO),
            (life(100 * DAY, 90 * DAY), Duration::ZERO),
            (life(DAY, 6 * DAY), 3 * DAY),
            (Some(Life { from: NOW, until: NOW - DAY }), Duration::ZERO),
        ] {
            assert_eq!(plan.wait(NOW, life), wait, "{life:?}");
        }
    }

    #[test]
    fn who_fails_waits_longer_and_longer() {
        let mut plan = Plan::default();
        let (mut now, mut waits) = (NOW, Vec::new());
        for _ in 0..14 {
            plan.order(now).for_each(drop);
            plan.failed();
            let wait = plan.wait(now, None);
            waits.push(wait.as_secs() / 60);
            now += wait;
        }
        // The fifth is followed by what is left of the hour.
        assert_eq!(waits, [1, 2, 4, 8, 45, 32, 64, 128, 256, 512, 720, 720, 720, 720]);
        plan.succeeded();
        assert_eq!(plan.wait(now, None), Duration::ZERO);
        assert_eq!(plan.wait(now, Some(Life { from: now, until: now + 9 * DAY })), 6 * DAY);
    }

    #[test]
    fn never_more_than_five_an_hour_whatever_comes() {
        let minute = Duration::from_secs(60);
        let mut plan = Plan::default();
        let (mut now, mut orders) = (NOW, Vec::new());
        while now < NOW + DAY {
            if plan.wait(now, None).is_zero() {
                orders.push(now);
                let kept: Vec<_> = plan.order(now).collect();
                assert!(kept.len() <= ORDERS);
                // A certificate that is never good enough, and a restart after each.
                plan = Plan::new(kept, now);
            }
            now += minute;
        }
        assert_eq!(orders.len(), 24 * ORDERS);
        for six in orders.windows(ORDERS + 1) {
            assert!(six[ORDERS] - six[0] >= HOUR, "{six:?}");
        }
    }

    #[test]
    fn times_from_the_future_are_forgotten() {
        let plan = Plan::new([NOW + DAY; 9], NOW);
        assert_eq!(plan, Plan::default());
        let plan = Plan::new([NOW - DAY, NOW - DAY / 2], NOW);
        assert_eq!(plan.wait(NOW, None), Duration::ZERO);
    }
}
