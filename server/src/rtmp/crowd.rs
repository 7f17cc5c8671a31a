//! Who finds a place: how many connections there may be, how many of one address, and how many of them may be
//! players. Publishers are few, and nobody is to keep them out by being many. Who finds none is closed at once: in
//! the kernel's queue it would wait without knowing what for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Closed;
use crate::http;

/// So many of one address are always taken: a studio behind one router.
const FAIR: usize = 16;

/// How often it is said that somebody found no place.
const SAID: Duration = Duration::from_secs(10);

/// The places of all listeners together.
#[derive(Debug)]
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    /// Those that players may have: the rest is kept for publishers.
    players: Arc<Semaphore>,
    /// Open connections; an entry only while there is one.
    addresses: Mutex<HashMap<IpAddr, usize>>,
    of_one_address: usize,
}

/// Says the same only so often.
#[derive(Debug, Default)]
pub(super) struct Refrain {
    said: Option<Instant>,
    more: u64,
}

impl Refrain {
    /// It happened once more: how often since it was last said, if it is to be said now.
    pub(super) fn say(&mut self, now: Instant) -> Option<u64> {
        self.more += 1;
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < SAID) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.more))
    }
}

/// A connection has its place, and counts for its address, until this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    _place: OwnedSemaphorePermit,
    /// None on this machine: load tests and proxies are many behind one address.
    address: Option<IpAddr>,
}

impl Crowd {
    pub(super) fn new(connections: usize) -> Self {
        let connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(connections)),
            players: Arc::new(Semaphore::new(connections - connections / 4)),
            addresses: Mutex::default(),
            of_one_address: (connections / 4).max(FAIR),
        }
    }

    /// A player's place, if there is one.
    pub(super) fn player(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.players).try_acquire_owned().ok()
    }

    /// Lets an address in once more, unless all places are taken or it has its share.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Closed> {
        let crowd = Arc::clone(self);
        let _place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Closed::NoPlace)?;
        let address = address.to_canonical();
        if address.is_loopback() {
            return Ok(Seat { crowd, _place, address: None });
        }
        let address = http::group(address);
        let mut addresses = self.addresses.lock().expect("nobody panics while holding this lock");
        let count = addresses.entry(address).or_default();
        if *count >= self.of_one_address {
            return Err(Closed::Crowded);
        }
        *count += 1;
        Ok(Seat { crowd, _place, address: Some(address) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let addresses = self.crowd.addresses.lock();
        let mut addresses = addresses.expect("nobody panics while holding this lock");
        if let Entry::Occupied(mut entry) = addresses.entry(address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_has_a_quarter_and_this_machine_any_number() {
        let crowd = Arc::new(Crowd::new(400));
        let mut seats: Vec<Seat> =
            (0..100).map(|_| crowd.enter(ip("192.0.2.1")).unwrap()).collect();
        let refused = |address| crowd.enter(ip(address)).unwrap_err();
        assert_eq!(refused("192.0.2.1"), Closed::Crowded);
        assert_eq!(refused("::ffff:192.0.2.1"), Closed::Crowded, "the same one");
        assert!(crowd.enter(ip("192.0.2.2")).is_ok());
        seats.pop();
        assert!(crowd.enter(ip("192.0.2.1")).is_ok());
        seats.clear();
        assert!(crowd.addresses.lock().unwrap().is_empty(), "nobody is remembered");
        let own: Vec<Seat> = (0..400).map(|_| crowd.enter(ip("127.0.0.1")).unwrap()).collect();
        assert_eq!(own.len(), 400);
        assert_eq!(refused("127.0.0.1"), Closed::NoPlace);
        assert_eq!(refused("192.0.2.1"), Closed::NoPlace);
        drop(own);
        // A whole /64 is one client.
        let six = |n| ip(&format!("2001:db8::{n:x}"));
        let seats: Vec<Seat> = (0..400).filter_map(|n| crowd.enter(six(n)).ok()).collect();
        assert_eq!(seats.len(), 100);
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

    #[test]
    fn players_leave_places_for_publishers() {
        for (connections, players) in [(1, 1), (4, 3), (1000, 750)] {
            let crowd = Crowd::new(connections);
            let seats: Vec<_> = std::iter::from_fn(|| crowd.player()).collect();
            assert_eq!(seats.len(), players, "of {connections}");
        }
        assert!(Crowd::new(0).player().is_some());
        Crowd::new(usize::MAX);
    }
}
