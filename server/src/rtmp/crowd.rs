//! Who finds a place: how many connections there may be, how many of one address (`crate::crowd`), and how many of them
//! may be players. Publishers are few, and nobody is to keep them out by being many. Who finds none is closed at once: in
//! the kernel's queue it would wait without knowing what for.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Closed;
use crate::crowd::{self, Addresses};

/// The places of all listeners together.
#[derive(Debug)]
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    /// Those that players may have: the rest is kept for publishers.
    players: Arc<Semaphore>,
    addresses: Arc<Addresses>,
}

/// A connection has its place, and counts for its address, until this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    _place: OwnedSemaphorePermit,
    _of_address: crowd::Seat,
}

impl Crowd {
    pub(super) fn new(connections: usize) -> Self {
        let connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(connections)),
            players: Arc::new(Semaphore::new(connections - connections / 4)),
            addresses: Addresses::new(connections, &[]),
        }
    }

    /// A player's place, if there is one.
    pub(super) fn player(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.players).try_acquire_owned().ok()
    }

    /// Lets an address in once more, unless all places are taken or it has its share.
    pub(super) fn enter(&self, address: IpAddr) -> Result<Seat, Closed> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let _place = place.map_err(|_| Closed::NoPlace)?;
        let _of_address = self.addresses.enter(address).ok_or(Closed::Crowded)?;
        Ok(Seat { _place, _of_address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_and_all_together_what_there_is() {
        let ip = |text: &str| text.parse().unwrap();
        let crowd = Crowd::new(400);
        let refused = |address| crowd.enter(ip(address)).unwrap_err();
        let seats: Vec<Seat> = (0..100).map(|_| crowd.enter(ip("192.0.2.1")).unwrap()).collect();
        assert_eq!(refused("192.0.2.1"), Closed::Crowded);
        drop(seats);
        let own: Vec<Seat> = (0..400).map(|_| crowd.enter(ip("127.0.0.1")).unwrap()).collect();
        assert_eq!(refused("127.0.0.1"), Closed::NoPlace);
        assert_eq!(refused("192.0.2.1"), Closed::NoPlace);
        drop(own);
        assert!(crowd.enter(ip("192.0.2.1")).is_ok());
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
