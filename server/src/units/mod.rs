//! The units bus: what one publisher sends as access units, for everybody in this process who wants them
//! in that form: RTMP players, bridges. One log, kept from the keyframe before the newest on and bounded in bytes and
//! time; readers are places in it, so a slow one costs nothing and holds nobody up. It jumps to the next
//! keyframe and knows what it lost. The bytes are shared, never copied. No clock is read here.

mod keyframes;
mod log;
mod meter;
mod reader;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use media::{AccessUnit, Codec, Format, Kind};
use tokio::sync::{Notify, watch};

pub(crate) use self::log::Entry;
use self::log::Log;
pub(crate) use self::meter::Meter;
pub(crate) use self::reader::{Item, Reader};

/// Pictures or sound, and which of several; 0 is the main one.
pub(crate) type Track = (Kind, u8);

/// The track that a bridge to this codec makes: beside those of the publisher, so that players find it.
pub(crate) const fn bridged(to: Codec) -> Track {
    let index = match to {
        Codec::H264 => 0x80,
        Codec::Vp8 => 0x81,
        Codec::Opus => 0x82,
        Codec::Aac => 0x83,
        _ => 0x8f,
    };
    (to.kind(), index)
}

/// Encodings of pictures that have a track of their own: no publisher has reason for more.
pub(crate) const LAYERS: u8 = 4;

/// The track of one of several encodings of a publisher by WebRTC, by its place among them: beside [`VIDEO`], which is the
/// best of them at any time. Only while somebody reads one of these tracks.
pub(crate) const fn layer(place: u8) -> Track {
    (Kind::Video, 0x40 + place)
}

/// Whether it is one of those.
pub(crate) const fn is_layer((kind, index): Track) -> bool {
    matches!(kind, Kind::Video) && layer(0).1 <= index && index < layer(LAYERS).1
}

/// Whether the publisher itself sends it, and is to be asked for its keyframes.
pub(crate) const fn is_own((kind, index): Track) -> bool {
    matches!(kind, Kind::Video) && index < bridged(Codec::H264).1
}

/// The main tracks.
pub(crate) const VIDEO: Track = (Kind::Video, 0);
/// See [`VIDEO`].
pub(crate) const AUDIO: Track = (Kind::Audio, 0);

/// A reader that has once caught up may be so far behind, as units come, before it jumps.
pub(crate) const LAG: Duration = Duration::from_secs(2);

/// What is kept for readers who come between two keyframes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Coded bytes, and what each unit costs beside them.
    pub(crate) bytes: usize,
    /// From when the oldest unit came to when the newest did.
    pub(crate) time: Duration,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the newest keyframe that is still there; without one at the next.
    Keyframe,
    /// The same, but a whole group of pictures before it where that is still there.
    Group,
    /// With what comes next; pictures from the next keyframe on.
    Live,
}

/// Makes readers of one publisher's units. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bus(Arc<Shared>);

/// The publisher's side. When it is dropped, readers come to an end.
#[derive(Debug)]
pub(crate) struct Writer(Annex);

/// A bridge's side: more tracks on the same bus.
#[derive(Debug)]
pub(crate) struct Annex(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    log: Mutex<Log>,
    /// How many units have come in all; readers wait on it.
    head: watch::Sender<u64>,
    /// A reader cannot go on without a keyframe of what the publisher itself sends.
    keyframe: Notify,
    /// How many readers want encodings one by one.
    layered: AtomicUsize,
    /// How many encodings of pictures the publisher sends now, each of which has its track.
    layers: AtomicUsize,
}

/// See [`Bus::downgrade`].
#[derive(Clone, Debug)]
pub(crate) struct WeakBus(Weak<Shared>);

impl WeakBus {
    /// The bus, unless it has ended.
    pub(crate) fn upgrade(&self) -> Option<Bus> {
        self.0.upgrade().map(Bus).filter(|bus| !bus.0.log().ended)
    }

    /// Its writer and all who held it are gone.
    #[cfg(test)]
    pub(crate) fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// A bus, and the one who writes on it.
pub(crate) fn bus(limits: Limits) -> (Writer, Bus) {
    let (head, _) = watch::channel(0);
    let (layered, layers) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let log = Mutex::new(Log::new(limits));
    let shared = Arc::new(Shared { log, head, keyframe: Notify::new(), layered, layers });
    (Writer(Annex(Arc::clone(&shared))), Bus(shared))
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        // Nothing that runs under the lock can leave the log half changed by a panic.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Annex {
    /// What decoders must know of a track from its next unit on.
    pub(crate) fn format(&mut self, track: Track, format: Format) {
        self.0.log().format(track, format);
    }

    /// The next unit of a track, which has come `now`, captured then on the server's clock. Without a format
    /// it is nobody's and dropped.
    pub(crate) fn unit(&mut self, now: Instant, track: Track, unit: AccessUnit, captured: Instant) {
        let read = self.0.head.receiver_count() > 0;
        let head = self.0.log().push(now, (track, unit, captured), read);
        // Who comes counts first, and then looks under the log's lock.
        if let Some(head) = head.filter(|_| self.0.head.receiver_count() > 0) {
            self.0.head.send_replace(head);
        }
    }
}

impl Writer {
    /// See [`Annex::format`].
    pub(crate) fn format(&mut self, track: Track, format: Format) {
        self.0.format(track, format);
    }

    /// See [`Annex::unit`].
    pub(crate) fn unit(&mut self, now: Instant, track: Track, unit: AccessUnit, captured: Instant) {
        self.0.unit(now, track, unit, captured);
    }

    /// Nothing more comes of a track for now: nobody begins with what there was of it.
    pub(crate) fn silence(&mut self, track: Track) {
        self.0.0.log().silence(track);
    }

    /// Whether somebody reads encodings one by one, see [`layer`].
    pub(crate) fn is_layered(&self) -> bool {
        self.0.0.layered.load(Ordering::Relaxed) > 0
    }

    /// So many encodings of pictures come now that have a track of their own.
    pub(crate) fn layers(&mut self, layers: usize) {
        self.0.0.layers.store(layers, Ordering::Relaxed);
    }

    /// What is kept from the newest keyframe on, in what is now the format of its track.
    pub(crate) fn kept(&self) -> Vec<Entry> {
        let log = self.0.0.log();
        let begins = log.beginning().unwrap_or_else(|| log.head());
        let entries = (begins..log.head()).filter_map(|number| log.get(number));
        entries.filter(|entry| log.is_current(entry)).cloned().collect()
    }

    /// True while there are readers.
    pub(crate) fn is_read(&self) -> bool {
        self.0.0.head.receiver_count() > 0
    }

    /// True while somebody reads, or may: a bus is held.
    pub(crate) fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.0.0) > 1
    }

    /// Ends the bus if nobody holds it; from then on [`WeakBus::upgrade`] gives it to nobody. True if it has
    /// ended.
    pub(crate) fn end_if_unwanted(&self) -> bool {
        // Who takes it counts first, and then looks under this lock whether it has ended.
        let mut log = self.0.0.log();
        log.ended |= !self.is_wanted();
        log.ended
    }

    /// Waits until a reader needs a keyframe of what the publisher itself sends. Safe to cancel.
    pub(crate) async fn keyframe_wanted(&self) {
        self.0.0.keyframe.notified().await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let shared = &self.0.0;
        shared.log().ended = true;
        // Wakes those who wait; there is nothing new.
        shared.head.send_modify(|_| {});
    }
}

impl Bus {
    /// A reader of these tracks.
    pub(crate) fn subscribe(&self, start: Start, tracks: &[Track]) -> Reader {
        let head = self.0.head.subscribe();
        Reader::new(Arc::clone(&self.0), head, start, tracks)
    }

    /// Where a bridge puts what it makes.
    pub(crate) fn annex(&self) -> Annex {
        Annex(Arc::clone(&self.0))
    }

    /// The same bus for as long as somebody else holds it.
    pub(crate) fn downgrade(&self) -> WeakBus {
        WeakBus(Arc::downgrade(&self.0))
    }
}
