//! One reader of a bus: a place in its log, which tracks it wants, and what it has to wait for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use media::{AccessUnit, Format, Kind};
use tokio::sync::watch;

use super::log::{Entry, Log};
use super::{LAG, Shared, Start, Track, is_layer, is_own};

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// What the track's units need from now on. Always before the first of them.
    Format(Track, Arc<Format>),
    /// A unit, and when it was captured.
    Unit(Track, AccessUnit, Instant),
}

/// Reads a bus.
#[derive(Debug)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
    head: watch::Receiver<u64>,
    /// The number of the next unit to look at.
    next: u64,
    tracks: Vec<Seat>,
    /// It has once read all there was: from then on it may not fall behind by more than [`LAG`].
    caught_up: bool,
    lost: u64,
}

/// One wanted track.
#[derive(Debug)]
struct Seat {
    track: Track,
    /// What its reader was told last.
    format: Option<Arc<Format>>,
    /// Pictures are left out until a keyframe comes.
    blind: bool,
}

impl Reader {
    pub(super) fn new(
        shared: Arc<Shared>,
        head: watch::Receiver<u64>,
        start: Start,
        tracks: &[Track],
    ) -> Self {
        // First of all: who is asked for a keyframe below is to know of whom.
        if tracks.iter().any(|track| is_layer(*track)) {
            shared.layered.fetch_add(1, Ordering::Relaxed);
        }
        let next = {
            let log = shared.log();
            let keyframe = match start {
                Start::Keyframe => log.beginning_of(tracks),
                Start::Group => log.beginning_before(tracks),
                Start::Live => None,
            };
            if keyframe.is_none() && tracks.iter().any(|track| is_own(*track)) {
                shared.keyframe.notify_one();
            }
            keyframe.unwrap_or_else(|| log.head())
        };
        let seat = |track: &Track| Seat { track: *track, format: None, blind: true };
        let tracks = tracks.iter().map(seat).collect();
        Self { shared, head, next, tracks, caught_up: false, lost: 0 }
    }

    /// Waits for the next item; `None` when the publisher has gone and all is read. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Option<Item> {
        loop {
            // Before looking: what comes in between then wakes us.
            self.head.borrow_and_update();
            if let Some(item) = self.read() {
                return Some(item);
            }
            if self.ended() || self.head.changed().await.is_err() {
                return None;
            }
        }
    }

    /// The next item that is there already.
    pub(crate) fn read(&mut self) -> Option<Item> {
        let shared = Arc::clone(&self.shared);
        let log = shared.log();
        self.keep_up(&log);
        while let Some(entry) = log.get(self.next) {
            let item = self.take(entry);
            match item {
                // The unit itself is read the next time.
                Some(Item::Format(..)) => return item,
                _ => self.next += 1,
            }
            if item.is_some() {
                return item;
            }
        }
        self.caught_up = true;
        None
    }

    /// Units of its tracks that this reader lost, all together, because it was too slow.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// How long a keyframe of a track was waited for of late, at most; `None` if that was not seen for long enough.
    pub(crate) fn cadence(&self, track: Track) -> Option<Duration> {
        self.shared.log().cadence(track)
    }

    /// From here on pictures are left out until a keyframe comes.
    pub(crate) fn await_keyframe(&mut self) {
        self.tracks.iter_mut().for_each(|seat| seat.blind = true);
    }

    /// Has the publisher asked for a keyframe, if it can be; what comes until then is read all the same.
    pub(crate) fn ask_keyframe(&self) {
        self.shared.keyframe.notify_one();
    }

    /// How many encodings of pictures the publisher sends now, where it sends packets.
    pub(crate) fn layers(&self) -> usize {
        self.shared.layers.load(Ordering::Relaxed)
    }

    fn ended(&self) -> bool {
        let log = self.shared.log();
        log.ended && self.next >= log.head()
    }

    fn take(&mut self, entry: &Entry) -> Option<Item> {
        let seat = self.tracks.iter_mut().find(|seat| seat.track == entry.track)?;
        if seat.blind && entry.track.0 == Kind::Video && !entry.unit.keyframe {
            // With each again: who was asked may not have heard.
            if is_own(entry.track) {
                self.shared.keyframe.notify_one();
            }
            return None;
        }
        if !seat.format.as_ref().is_some_and(|known| Arc::ptr_eq(known, &entry.format)) {
            seat.format = Some(Arc::clone(&entry.format));
            return Some(Item::Format(entry.track, Arc::clone(&entry.format)));
        }
        seat.blind = false;
        Some(Item::Unit(entry.track, entry.unit.clone(), entry.captured))
    }

    /// Jumps where the place is gone, or too far behind: to the newest keyframe that lies ahead, else to
    /// what comes next.
    fn keep_up(&mut self, log: &Log) {
        let gone = self.next < log.first();
        let late = self.caught_up && log.get(self.next).is_some_and(|entry| log.late(entry) > LAG);
        if !gone && !late {
            return;
        }
        let tracks: Vec<Track> = self.tracks.iter().map(|seat| seat.track).collect();
        let ahead = log.beginning_of(&tracks).filter(|number| *number > self.next);
        let fresh = |number: &u64| log.get(*number).is_some_and(|entry| log.late(entry) <= LAG);
        let to = ahead.filter(|number| gone || fresh(number)).unwrap_or_else(|| log.head());
        self.lost += self.between(log, to);
        self.next = to;
        self.await_keyframe();
    }

    /// How many units of its tracks lie between its place and that one; those that are gone count all.
    fn between(&self, log: &Log, to: u64) -> u64 {
        let gone = log.first().saturating_sub(self.next);
        let mine = |entry: &Entry| self.tracks.iter().any(|seat| seat.track == entry.track);
        let there = (self.next.max(log.first())..to).filter_map(|number| log.get(number));
        gone + there.filter(|entry| mine(entry)).count() as u64
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.tracks.iter().any(|seat| is_layer(seat.track)) {
            self.shared.layered.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
