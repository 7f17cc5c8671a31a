//! Who is there: how many different clients have lately asked for a stream's playlists, and how many requests wait.
//! Behind a cache only those are seen whose requests it passes on.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Who has not asked for so long is gone, at least.
const RECENT: Duration = Duration::from_secs(15);
/// Who has not asked for so long is forgotten: players of plain HLS ask once per segment, and none is longer.
const LONGEST: Duration = Duration::from_secs(60);
/// So many clients are told apart; more are counted as so many.
const LIMIT: usize = 50_000;

/// The clients of one stream.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    seen: HashMap<u64, Instant>,
    hasher: RandomState,
    swept: Option<Instant>,
}

impl Crowd {
    /// One has asked.
    pub(crate) fn saw(&mut self, now: Instant, address: IpAddr, agent: &[u8]) {
        let client = self.hasher.hash_one((address, agent));
        let due = self.swept.is_none_or(|at| now.saturating_duration_since(at) >= RECENT);
        if due {
            self.sweep(now);
        }
        if self.seen.len() < LIMIT || self.seen.contains_key(&client) {
            self.seen.insert(client, now);
        }
    }

    /// How many there are, where players of plain HLS ask at least every `target`.
    pub(crate) fn count(&mut self, now: Instant, target: Duration) -> usize {
        self.sweep(now);
        let recent = (target * 2).max(RECENT);
        let is_there = |at: &&Instant| now.saturating_duration_since(**at) < recent;
        self.seen.values().filter(is_there).count()
    }

    fn sweep(&mut self, now: Instant) {
        self.swept = Some(now);
        self.seen.retain(|_, at| now.saturating_duration_since(*at) < LONGEST);
    }
}

/// Requests that wait, and how many may.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

/// One place, until dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Room {
    pub(crate) fn new(limit: usize) -> Self {
        Self { taken: Arc::default(), limit }
    }

    /// How many wait now.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// A place, if there is one.
    pub(crate) fn enter(&self) -> Option<Place> {
        let place = Place(Arc::clone(&self.taken));
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.limit).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_apart_and_forgotten() {
        let now = crate::clock::now();
        let later = now + Duration::from_secs(10);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut crowd = Crowd::default();
        for _ in 0..3 {
            crowd.saw(now, one, b"hls.js");
            crowd.saw(now, one, b"VLC");
            crowd.saw(now, other, b"");
        }
        let target = Duration::from_secs(2);
        assert_eq!(crowd.count(now, target), 3);
        crowd.saw(later, other, b"");
        assert_eq!(crowd.count(now + RECENT, target), 1);
        assert_eq!(crowd.count(later + RECENT, target), 0);
        assert_eq!(crowd.count(now + RECENT, Duration::from_secs(20)), 3, "one segment is longer");
        assert_eq!(crowd.count(later + Duration::from_secs(40), Duration::from_secs(20)), 0);
        assert_eq!(crowd.count(later + LONGEST, target), 0);
        assert!(crowd.seen.is_empty());
    }

    #[test]
    fn no_more_than_a_bounded_number_is_remembered() {
        let now = crate::clock::now();
        let mut crowd = Crowd::default();
        for number in 0..LIMIT as u32 + 100 {
            crowd.saw(now, IpAddr::from(number.to_be_bytes()), b"");
        }
        assert_eq!(crowd.count(now, RECENT), LIMIT);
    }

    #[test]
    fn places_are_given_back() {
        let room = Room::new(2);
        let (one, two) = (room.enter(), room.enter());
        assert!(one.is_some() && two.is_some() && room.enter().is_none());
        assert_eq!(room.taken(), 2);
        drop(one);
        assert!(room.enter().is_some());
        drop(two);
        assert_eq!(room.taken(), 0);
    }
}
