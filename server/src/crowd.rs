//! How much of what there is one address may have, so that nobody keeps everybody else out by being many: connections of
//! HTTP and of RTMP, requests that wait. And how often it is said that somebody found no place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Network;
use crate::http;

/// So many of one address are always taken: a studio behind one router.
const FAIR: usize = 16;
/// How often it is said that somebody found no place.
const SAID: Duration = Duration::from_secs(10);

/// Places by address (IPv6: by /64): one has a quarter of them.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// Taken places; an entry only while there is one.
    taken: Mutex<HashMap<IpAddr, usize>>,
    of_one: usize,
    /// Proxies: behind one of their addresses are many clients.
    proxies: Vec<Network>,
}

/// One place of an address, until dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    addresses: Arc<Addresses>,
    /// `None` for who may have any number.
    address: Option<IpAddr>,
}

impl Addresses {
    /// Of so many places. Programs on this machine (load tests, proxies) and `proxies` may have all of them.
    pub(crate) fn new(places: usize, proxies: &[Network]) -> Arc<Self> {
        let of_one = (places / 4).max(FAIR);
        Arc::new(Self { taken: Mutex::default(), of_one, proxies: proxies.to_vec() })
    }

    /// One place more for an address, unless it has its share.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = address.to_canonical();
        let many = || self.proxies.iter().any(|network| network.contains(address));
        let addresses = Arc::clone(self);
        if address.is_loopback() || many() {
            return Some(Seat { addresses, address: None });
        }
        let address = http::group(address);
        let mut taken = self.taken();
        let count = taken.entry(address).or_default();
        if *count >= self.of_one {
            return None;
        }
        *count += 1;
        Some(Seat { addresses, address: Some(address) })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that runs under the lock leaves a count half changed by a panic.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        if let Entry::Occupied(mut entry) = self.addresses.taken().entry(address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// Says the same only so often.
#[derive(Debug, Default)]
pub(crate) struct Refrain {
    said: Option<Instant>,
    more: u64,
}

impl Refrain {
    /// It happened once more: how often since it was last said, if it is to be said now.
    pub(crate) fn say(&mut self, now: Instant) -> Option<u64> {
        self.more += 1;
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < SAID) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// As many places as an address gets, a thousand at most.
    fn all(addresses: &Arc<Addresses>, address: &str) -> Vec<Seat> {
        (0..1000).map_while(|_| addresses.enter(ip(address))).collect()
    }

    #[test]
    fn one_address_has_a_quarter_and_a_few_where_that_is_nothing() {
        let addresses = Addresses::new(400, &[]);
        let mut seats = all(&addresses, "192.0.2.1");
        assert_eq!(seats.len(), 100);
        assert!(addresses.enter(ip("::ffff:192.0.2.1")).is_none(), "the same one");
        assert!(addresses.enter(ip("192.0.2.2")).is_some());
        seats.pop();
        assert!(addresses.enter(ip("192.0.2.1")).is_some(), "it was given back");
        drop(seats);
        assert!(addresses.taken().is_empty(), "nobody is remembered");
        assert_eq!(all(&Addresses::new(10, &[]), "192.0.2.1").len(), FAIR);
    }

    #[test]
    fn a_whole_64_is_one_client() {
        let addresses = Addresses::new(400, &[]);
        let six = |n: usize| ip(&format!("2001:db8::{n:x}"));
        let seats: Vec<Seat> = (0..400).filter_map(|n| addresses.enter(six(n))).collect();
        assert_eq!(seats.len(), 100);
        assert!(addresses.enter(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn this_machine_and_proxies_are_many() {
        let proxies = ["198.51.100.0/24", "2001:db8::/32"].map(|text| text.parse().unwrap());
        let addresses = Addresses::new(400, &proxies);
        for many in ["127.0.0.1", "::1", "::ffff:127.0.0.9", "198.51.100.7", "2001:db8::7"] {
            assert_eq!(all(&addresses, many).len(), 1000, "{many}");
        }
        assert_eq!(all(&addresses, "198.51.101.7").len(), 100);
    }

    #[test]
    fn the_same_is_said_once_in_ten_seconds_with_how_often_it_was() {
        let (start, mut refrain) = (crate::clock::now(), Refrain::default());
        let said: Vec<(u64, u64)> = (0..25_000)
            .step_by(100)
            .filter_map(|ms| Some((ms, refrain.say(start + Duration::from_millis(ms))?)))
            .collect();
        assert_eq!(said, [(0, 1), (10_000, 100), (20_000, 100)]);
    }
}
