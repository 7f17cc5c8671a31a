//! How many requests per second one client may send: token buckets, and no more of them than fit in
//! a few megabytes however many addresses a flood comes from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Seconds' worth of requests that may come at once.
const BURST: f64 = 10.0;
const MAX_BUCKETS: usize = 50_000;
/// Full buckets are forgotten this often: a bucket that nobody touched for `BURST` seconds is full.
const SWEEP: Duration = Duration::from_secs(10);

/// Buckets by client address.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: f64,
    loopback_rate: f64,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    by_client: HashMap<IpAddr, Bucket>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limiter {
    /// Requests per second; 0: any number.
    pub(crate) fn new(rate: u32, loopback_rate: u32) -> Self {
        let buckets = Mutex::default();
        Self { rate: rate.into(), loopback_rate: loopback_rate.into(), buckets }
    }

    /// Takes one request of `client`; on `Err` it is one too many, and may be tried again after so
    /// many seconds.
    pub(crate) fn take(&self, client: IpAddr, now: Instant) -> Result<(), u32> {
        let client = client.to_canonical();
        let rate = if client.is_loopback() { self.loopback_rate } else { self.rate };
        if rate == 0.0 {
            return Ok(());
        }
        let mut buckets = self.buckets.lock().expect("nobody panics while holding this lock");
        if buckets.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP) {
            let fresh = |at: Instant| now.saturating_duration_since(at).as_secs_f64() < BURST;
            buckets.by_client.retain(|_, bucket| fresh(bucket.at));
            buckets.swept = Some(now);
        }
        let mut key = group(client);
        if buckets.by_client.len() >= MAX_BUCKETS && !buckets.by_client.contains_key(&key) {
            // Newcomers of a flood share one bucket.
            key = Ipv4Addr::UNSPECIFIED.into();
        }
        let full = rate * BURST;
        let bucket = buckets.by_client.entry(key).or_insert(Bucket { tokens: full, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * rate).min(full);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(((1.0 - bucket.tokens) / rate).ceil().max(1.0) as u32);
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

/// An IPv6 client has a whole /64 to choose addresses from.
pub(crate) fn group(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        crate::clock::now()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_passes_then_the_rate() {
        let limiter = Limiter::new(2, 0);
        let now = start();
        let client = ip("192.0.2.1");
        for _ in 0..20 {
            assert_eq!(limiter.take(client, now), Ok(()));
        }
        assert_eq!(limiter.take(client, now), Err(1));
        assert_eq!(limiter.take(ip("192.0.2.2"), now), Ok(()), "another client is not meant");
        let later = now + Duration::from_secs(1);
        assert_eq!(limiter.take(client, later), Ok(()));
        assert_eq!(limiter.take(client, later), Ok(()));
        assert_eq!(limiter.take(client, later), Err(1));
    }

    #[test]
    fn loopback_has_its_own_rate_and_zero_means_any() {
        let limiter = Limiter::new(1, 0);
        let now = start();
        for _ in 0..10_000 {
            assert_eq!(limiter.take(ip("::ffff:127.0.0.1"), now), Ok(()));
            assert_eq!(limiter.take(ip("::1"), now), Ok(()));
        }
    }

    #[test]
    fn a_v6_client_is_its_network() {
        let limiter = Limiter::new(1, 0);
        let now = start();
        for last in 1..=10 {
            assert_eq!(limiter.take(ip(&format!("2001:db8::{last}")), now), Ok(()));
        }
        assert_eq!(limiter.take(ip("2001:db8::ffff"), now), Err(1));
        assert_eq!(limiter.take(ip("2001:db8:0:1::1"), now), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let limiter = Limiter::new(1, 0);
        let now = start();
        let nth = |n: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + n));
        for n in 0..MAX_BUCKETS as u32 {
            assert_eq!(limiter.take(nth(n), now), Ok(()));
        }
        let more = (0..100).filter(|n| limiter.take(nth(1_000_000 + n), now).is_ok()).count();
        assert_eq!(more, 10, "newcomers share one bucket");
        assert!(limiter.buckets.lock().unwrap().by_client.len() <= MAX_BUCKETS + 1);
        limiter.take(nth(0), now + SWEEP).unwrap();
        assert_eq!(limiter.buckets.lock().unwrap().by_client.len(), 1);
    }
}
