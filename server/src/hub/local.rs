//! Sessions that come over a connection of this server's own, as RTMP's do: what the hub and such a connection
//! have of each other. The media itself never passes the hub.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use media::Codec;
use sfu::stats::EncodingSnapshot;
use signaling::SessionId;
use tokio::sync::{oneshot, watch};

use super::Protocol;
use super::rate::Rate;
use crate::line::Line;
use crate::units::{Bus, Meter, Track, Writer};

/// Who comes.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) stream: stream::Name,
    /// Fresh and random.
    pub(crate) session: SessionId,
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    /// What the client calls itself.
    pub(crate) user_agent: Option<String>,
}

/// What a publisher's connection needs from here on.
#[derive(Debug)]
pub(crate) struct Publishing {
    pub(crate) writer: Writer,
    pub(crate) line: Line,
    pub(crate) meter: Arc<Meter>,
    /// A bridge stands ready for pictures that reorder: they need not go out as they are.
    pub(crate) bridged: Arc<AtomicBool>,
    /// Says once that somebody gets it by WebRTC: only from then on are packets made of it.
    pub(crate) watched: oneshot::Receiver<()>,
    /// The hub ends the session, and says why.
    pub(crate) end: oneshot::Receiver<String>,
}

/// What a player's connection needs from here on.
#[derive(Debug)]
pub(crate) struct Playing {
    /// What there is to play now: another one when another publisher serves, `None` while none does.
    pub(crate) source: watch::Receiver<Option<Source>>,
    pub(crate) played: Arc<Played>,
    /// See [`Publishing::end`].
    pub(crate) end: oneshot::Receiver<String>,
}

/// One publisher's units.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) publisher: SessionId,
    pub(crate) bus: Bus,
}

/// What a publisher's connection tells the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It sends this codec now.
    Codec(Codec),
    /// Its pictures are shown in another order than they come in, or not any more.
    Reorders(bool),
    /// It calls itself so.
    Agent(String),
    /// For its log: a stable name, and what happened.
    Note(&'static str, String),
    /// A track is not carried, and why; `None`: it is now, or is gone.
    Refused(Track, Option<String>),
}

/// What has been sent to a player; its connection counts, the API reads.
#[derive(Debug)]
pub(crate) struct Played {
    units: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    plays: AtomicBool,
    rate: Rate,
}

impl Played {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            units: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            plays: AtomicBool::new(false),
            rate: Rate::new(now),
        }
    }

    /// A unit of so many bytes goes out.
    pub(crate) fn sent(&self, now: Instant, bytes: usize) {
        self.units.fetch_add(1, Ordering::Relaxed);
        let sum = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.plays.store(true, Ordering::Relaxed);
        self.rate.update(now, sum);
    }

    /// So many units were left out, all together, because it was too slow.
    pub(crate) fn lost(&self, units: u64) {
        self.lost.store(units, Ordering::Relaxed);
    }

    /// There is nothing to play now.
    pub(crate) fn waits(&self) {
        self.plays.store(false, Ordering::Relaxed);
    }

    pub(super) fn totals(&self, now: Instant) -> Totals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals {
            units: read(&self.units),
            bytes: read(&self.bytes),
            lost: read(&self.lost),
            plays: self.plays.load(Ordering::Relaxed),
            bitrate_bps: self.rate.per_second(now).saturating_mul(8),
        }
    }
}

/// [`Played`] at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) units: u64,
    pub(super) bytes: u64,
    pub(super) lost: u64,
    pub(super) plays: bool,
    pub(super) bitrate_bps: u64,
}

/// What a publisher sends, as its connection counts it.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    pub(super) encodings: Vec<EncodingSnapshot>,
    /// Hz of its sound.
    pub(super) sample_rate: Option<u32>,
    pub(super) sums: sfu::stats::Intake,
}

impl Intake {
    pub(super) fn of(meter: &Meter, now: Instant) -> Self {
        Self {
            encodings: meter.snapshot(now),
            sample_rate: meter.sample_rate(),
            sums: meter.intake(now),
        }
    }
}

/// What the hub keeps of such a session.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) role: Role,
    pub(super) end: oneshot::Sender<String>,
}

/// See [`Local`].
#[derive(Debug)]
pub(super) enum Role {
    Publisher {
        bus: Bus,
        meter: Arc<Meter>,
        bridged: Arc<AtomicBool>,
        watched: Option<oneshot::Sender<()>>,
    },
    Player {
        source: watch::Sender<Option<Source>>,
        played: Arc<Played>,
        codecs: Vec<Codec>,
    },
}
