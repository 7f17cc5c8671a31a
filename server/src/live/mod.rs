//! Streams as files, for audiences by HLS: each stream that is asked for has a task (`run`) that reads the units of whoever
//! publishes it and has `packager` make parts and segments of them; what is there to be seen lies on a [`Channel`],
//! from where requests take it and wait for more. No HTTP enters here.

mod cast;
mod channel;
mod crowd;
mod disk;
mod hold;
#[cfg(test)]
mod long;
mod pool;
mod run;
mod spill;
mod text;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use packager::hls::Preset;
use signaling::Problem;
use tokio::sync::mpsc;

pub(crate) use self::channel::{Channel, Phase, Playlist, Sheet, Show};
use self::crowd::{Place, Room};
pub(crate) use self::disk::Disk;
use self::pool::Pool;
pub(crate) use self::run::over;
pub(crate) use self::text::{Coding, Text};
use crate::config::{self, LiveStart};
use crate::crowd::{Addresses, Seat};
use crate::hub::Hub;
use crate::{clock, status};

/// A stream that nobody asks for is packaged for so long.
const LINGER: Duration = Duration::from_secs(30);
/// What has ended can be seen for so long.
const KEPT: Duration = Duration::from_secs(60);
/// Before a stream begins no more of it waits than a part of this.
const BYTES: usize = 256 << 20;
/// Below `data.dir`.
const FOLDER: &str = "live";
/// Names of live streams that wait to be packaged.
const HERALDED: usize = 256;

/// All streams that are packaged. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    hub: Hub,
    config: config::Live,
    channels: RwLock<Channels>,
    /// Requests that wait, of all streams.
    room: Room,
    /// How many of one stream may.
    room_each: usize,
    /// And of one address.
    addresses: Arc<Addresses>,
    counts: Counts,
    /// What the files of all streams may take in memory.
    memory: Arc<Pool>,
    disk: Disk,
}

type Channels = HashMap<stream::Name, Arc<Channel>>;

/// The places of a request that waits, until dropped.
#[derive(Debug)]
pub(crate) struct Waits {
    _places: [Place; 2],
    _seat: Seat,
}

/// What was answered, since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    requests: [AtomicU64; What::ALL.len()],
    bytes: AtomicU64,
    /// Requests that had to wait, and found no place.
    refused: AtomicU64,
    dropped: [AtomicU64; Drop::ALL.len()],
}

/// Why a unit is in no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drop {
    /// The task was too slow, and jumped to the next keyframe.
    Slow,
    /// Nobody has said what it is.
    Strange,
    /// It needs a keyframe that did not come.
    Blind,
    /// What it belongs to was closed already.
    Early,
    /// Too much of it waited for pictures.
    Overflow,
}

impl Drop {
    const ALL: [Self; 5] = [Self::Slow, Self::Strange, Self::Blind, Self::Early, Self::Overflow];

    const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Strange => "strange",
            Self::Blind => "blind",
            Self::Early => "early",
            Self::Overflow => "overflow",
        }
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Playlist,
    Part,
    Segment,
    Init,
}

impl What {
    const ALL: [Self; 4] = [Self::Playlist, Self::Part, Self::Segment, Self::Init];

    const fn name(self) -> &'static str {
        match self {
            Self::Playlist => "playlist",
            Self::Part => "part",
            Self::Segment => "segment",
            Self::Init => "init",
        }
    }
}

/// Sums for `/metrics`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) streams: usize,
    pub(crate) viewers: usize,
    pub(crate) waiting: usize,
    pub(crate) window_bytes: u64,
    pub(crate) stored_bytes: u64,
    /// Segments that could not be stored or read, by reason.
    pub(crate) store_failed: Vec<(&'static str, u64)>,
    pub(crate) requests: Vec<(&'static str, u64)>,
    pub(crate) bytes: u64,
    /// Requests that had to wait, and found no place.
    pub(crate) refused: u64,
    pub(crate) dropped: Vec<(&'static str, u64)>,
}

impl Live {
    /// None yet. `data`: the folder for what memory does not hold; `http`: how many clients there may be, each of which
    /// may wait.
    pub(crate) fn new(hub: Hub, config: &config::Live, data: &Path, http: &config::Http) -> Self {
        let connections = http.max_connections;
        let shared = Arc::new(Shared {
            hub,
            config: config.clone(),
            channels: RwLock::default(),
            room: Room::new(connections.saturating_mul(2)),
            room_each: connections,
            addresses: Addresses::new(connections, &http.trusted_proxies),
            counts: Counts::default(),
            memory: Arc::new(Pool::new(config.memory_mb.saturating_mul(1 << 20))),
            disk: Disk::new(data.join(FOLDER)),
        });
        let live = Self(shared);
        if config.always() {
            tokio::spawn(live.clone().follow());
        }
        live
    }

    /// The stream's channel, for somebody who waits; begins to package it where nobody does.
    pub(crate) fn open(&self, name: &stream::Name) -> Arc<Channel> {
        let channel = self.begin(name);
        channel.want();
        channel
    }

    fn begin(&self, name: &stream::Name) -> Arc<Channel> {
        if let Some(channel) = self.find(name.as_str()) {
            return channel;
        }
        let mut channels = self.0.channels_mut();
        if let Some(channel) = channels.get(name) {
            // Under the lock: it is not let go of from now on.
            channel.touch(clock::now());
            return Arc::clone(channel);
        }
        let terms = Terms::of(&self.0.config.of(name));
        let room = self.0.room_each;
        let channel = Arc::new(Channel::new(name.clone(), terms, clock::now(), room));
        channels.insert(name.clone(), Arc::clone(&channel));
        tokio::spawn(run::run(Arc::clone(&self.0), Arc::clone(&channel)));
        channel
    }

    /// The stream's channel, if it is packaged.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Channel>> {
        let channels = self.0.channels();
        let channel = channels.get(name)?;
        // Under the lock, as above.
        channel.touch(clock::now());
        Some(Arc::clone(channel))
    }

    /// Where the segments are that memory does not hold.
    pub(crate) fn disk(&self) -> &Disk {
        &self.0.disk
    }

    /// A place for a request of this client that has to wait: for each one, since a connection by HTTP/2 has many.
    ///
    /// # Errors
    /// 503 if too many do, of the server, the stream or the client.
    pub(crate) fn wait(&self, channel: &Channel, client: IpAddr) -> Result<Waits, Problem> {
        let places = (self.0.room.enter(), channel.room().enter());
        if let (Some(here), Some(there)) = places
            && let Some(seat) = self.0.addresses.enter(client)
        {
            return Ok(Waits { _places: [here, there], _seat: seat });
        }
        self.0.counts.refused.fetch_add(1, Ordering::Relaxed);
        let detail =
            "too many requests wait, of this stream or of your address; ask for what is there";
        Err(Problem::new(503, "too-many-waiting", "Too many requests wait", detail).retry_after(1))
    }

    /// A request is answered with so many bytes of what it is for.
    pub(crate) fn answered(&self, channel: &Channel, what: What, bytes: u64) {
        self.0.counts.requests[what as usize].fetch_add(1, Ordering::Relaxed);
        self.0.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        channel.answered(bytes);
    }

    /// Says what is known of a stream's audience.
    pub(crate) fn tell(&self, stream: &mut status::Stream) {
        let Ok(name) = stream::Name::new(&stream.name) else { return };
        let channel = self.0.channels().get(&name).cloned();
        let Some(channel) = channel else { return };
        if let Some(hls) = channel.status(clock::now()) {
            stream.viewers.hls = hls.viewers;
            stream.warnings.extend(self.0.shortened(&hls, channel.terms().packager.window));
            stream.hls = Some(hls);
        }
    }

    /// Sums over everything.
    pub(crate) fn totals(&self) -> Totals {
        let now = clock::now();
        let channels: Vec<Arc<Channel>> = self.0.channels().values().cloned().collect();
        let all: Vec<status::Hls> = channels.iter().filter_map(|c| c.status(now)).collect();
        let counts = &self.0.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals {
            streams: all.len(),
            viewers: all.iter().map(|hls| hls.viewers).sum(),
            waiting: self.0.room.taken(),
            window_bytes: all.iter().map(|hls| hls.window_bytes).sum(),
            stored_bytes: self.0.disk.pool().held(),
            store_failed: self.0.disk.refused(),
            requests: What::ALL
                .map(|what| (what.name(), read(&counts.requests[what as usize])))
                .to_vec(),
            bytes: read(&counts.bytes),
            refused: read(&counts.refused),
            dropped: Drop::ALL
                .map(|why| (why.name(), read(&counts.dropped[why as usize])))
                .to_vec(),
        }
    }

    /// Packages whatever goes live.
    async fn follow(self) {
        let (herald, mut names) = mpsc::channel(HERALDED);
        self.0.hub.announce(herald).await;
        while let Some(name) = names.recv().await {
            if Terms::of(&self.0.config.of(&name)).always {
                self.begin(&name);
            }
        }
    }
}

impl Shared {
    // Nothing that runs under the lock can leave the map half changed by a panic.
    fn channels(&self) -> RwLockReadGuard<'_, Channels> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn channels_mut(&self) -> RwLockWriteGuard<'_, Channels> {
        self.channels.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Units that are in no file.
    fn dropped(&self, why: Drop, units: u64) {
        self.counts.dropped[why as usize].fetch_add(units, Ordering::Relaxed);
    }

    /// What is to be said where there is no room for the window that is wanted.
    fn shortened(&self, hls: &status::Hls, window: Duration) -> Option<status::Warning> {
        let wanted = window.as_secs_f64();
        if !hls.window_short || hls.window_seconds >= wanted * 0.9 {
            return None;
        }
        let memory = self.memory.limit() >> 20;
        let text = format!(
            "players can seek back {:.0} s and not {wanted:.0} s (live.window): all streams together may take {memory} MiB of memory \
             (live.memory_mb), and {}",
            hls.window_seconds,
            self.disk.shortage(),
        );
        Some(status::Warning { code: "live_window".to_owned(), text })
    }

    /// Lets go of a channel if `really` holds: from then on whoever asks gets another one.
    fn close(&self, channel: &Arc<Channel>, really: impl FnOnce() -> bool) -> bool {
        let mut channels = self.channels_mut();
        let mine = channels.get(channel.name()).is_some_and(|c| Arc::ptr_eq(c, channel));
        let closes = really();
        if mine && closes {
            channels.remove(channel.name());
        }
        closes
    }
}

/// What holds for one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// What it is cut into.
    pub(crate) packager: packager::Config,
    /// It is packaged as long as it is live, whether somebody asks for it or not.
    pub(super) always: bool,
}

impl Terms {
    fn of(config: &config::Live) -> Self {
        Self { packager: packaging(config), always: config.start == LiveStart::Always }
    }
}

fn packaging(config: &config::Live) -> packager::Config {
    let preset = Preset::from(config.preset);
    let chosen = |value: Duration| Some(value).filter(|value| !value.is_zero());
    packager::Config {
        segment: chosen(config.segment).unwrap_or(preset.segment()),
        part: preset.part().map(|part| chosen(config.part).unwrap_or(part)),
        window: config.window,
        bytes: BYTES,
    }
}
