//! A bridge: units of one codec go in, units of another come out. The handle is here; behind it a task owns
//! the worker process (`run`), which comes and goes without the ends noticing more than a gap.
//!
//! Everything between is bounded: what waits for the worker by `ring`, what waits for the reader by `outbox`.

mod outbox;
mod probe;
mod process;
mod ring;
mod run;

use std::ops::AddAssign;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use media::{AccessUnit, Format};
use tokio::sync::Notify;

use self::outbox::Outbox;
pub use self::probe::{About, probe};
use self::ring::Ring;
use crate::protocol::{Spec, Stats, VERSION};
use crate::{Policy, State};

/// What is configured about workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The program; `None`: the one beside the server, see [`crate::find()`].
    pub worker: Option<PathBuf>,
    /// How far workers stand back for the server, 0 to 19 as for `nice`.
    pub nice: u8,
    /// Memory of one worker in MiB, 0: no limit.
    pub memory_mb: u32,
    /// Threads of one codec, 0: as many as it finds useful.
    pub threads: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { worker: None, nice: 5, memory_mb: 1024, threads: 0 }
    }
}

/// The program to start, and the limits that it puts on itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Where it is.
    pub path: PathBuf,
    /// See [`Config::nice`].
    pub nice: u8,
    /// See [`Config::memory_mb`].
    pub memory_mb: u32,
    /// See [`Config::threads`].
    pub threads: u16,
}

impl Worker {
    /// The program at `path` with the configured limits.
    pub fn new(path: PathBuf, config: &Config) -> Self {
        let Config { nice, memory_mb, threads, .. } = *config;
        Self { path, nice, memory_mb, threads }
    }

    /// What it is started with.
    pub fn arguments(&self) -> [String; 6] {
        [
            "--nice".to_owned(),
            self.nice.to_string(),
            "--memory-mb".to_owned(),
            self.memory_mb.to_string(),
            "--threads".to_owned(),
            self.threads.to_string(),
        ]
    }
}

/// How much a bridge holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Media that may wait for the worker, and for the reader of [`Bridge::next`].
    pub behind: Duration,
    /// Bytes of the group of pictures that a restarted worker gets. Also bounds what waits for the reader.
    pub ring_bytes: usize,
    /// The same in time.
    pub ring_time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            behind: Duration::from_secs(1),
            ring_bytes: 16 << 20,
            ring_time: Duration::from_secs(12),
        }
    }
}

/// What comes out of a bridge, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The units from here on are of this format. Before the first unit, and when it changes.
    Format(Format),
    /// One unit. Its times are those of its source; dts rises always.
    Unit(AccessUnit),
    /// How the bridge fares has changed.
    State(State),
    /// What the worker of now has done since it was started; about once a second.
    Stats(Stats),
}

/// What became of the units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Units pushed.
    pub units_in: u64,
    /// Units that came out.
    pub units_out: u64,
    /// Decoded, but not encoded: to catch up after a restart or with a worker that is too slow, by its own
    /// account too.
    pub skipped: u64,
    /// Not even decoded: the worker was too slow or not there, up to the next keyframe.
    pub dropped: u64,
    /// Came out and were not read in time.
    pub late: u64,
    /// Came out with a time that cannot be.
    pub astray: u64,
    /// Empty, too large for any worker, or shown far from when they are decoded.
    pub unusable: u64,
    /// The decoder refused them.
    pub undecodable: u64,
    /// Restarts of the worker.
    pub restarts: u64,
}

impl Counters {
    /// What was left out, by the reason.
    pub const fn left_out(&self) -> [(&'static str, u64); 6] {
        [
            ("skipped", self.skipped),
            ("dropped", self.dropped),
            ("late", self.late),
            ("astray", self.astray),
            ("unusable", self.unusable),
            ("undecodable", self.undecodable),
        ]
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, more: Self) {
        self.units_in += more.units_in;
        self.units_out += more.units_out;
        self.skipped += more.skipped;
        self.dropped += more.dropped;
        self.late += more.late;
        self.astray += more.astray;
        self.unusable += more.unusable;
        self.undecodable += more.undecodable;
        self.restarts += more.restarts;
    }
}

/// Reads what a bridge counts, from anywhere, after its end too.
#[derive(Clone, Debug)]
pub struct Gauge {
    shared: Arc<Shared>,
}

impl Gauge {
    /// What became of the units so far. What a worker itself counts is up to a second old.
    pub fn counters(&self) -> Counters {
        let inner = self.shared.lock();
        let counted = inner.ring.counters;
        Counters {
            units_out: inner.units_out,
            late: inner.outbox.late,
            astray: inner.astray,
            restarts: inner.restarts,
            skipped: counted.skipped + inner.before.skipped + inner.stats.skipped,
            undecodable: inner.before.undecodable + inner.stats.undecodable,
            ..counted
        }
    }
}

/// The handle. Dropped, the worker is killed.
#[derive(Debug)]
pub struct Bridge {
    shared: Arc<Shared>,
}

impl Bridge {
    /// Starts a worker at once. To be called within a tokio runtime with time and I/O.
    pub fn start(worker: &Worker, spec: Spec, bounds: Bounds) -> Self {
        Self::start_with(worker, spec, bounds, Policy::default())
    }

    /// With another policy than the default.
    pub fn start_with(worker: &Worker, spec: Spec, bounds: Bounds, policy: Policy) -> Self {
        let kind = spec.to.kind();
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                ring: Ring::new(bounds.clone(), kind, spec.from.clone()),
                outbox: Outbox::new(bounds, kind),
                state: State::Starting,
                worker: None,
                restarts: 0,
                units_out: 0,
                astray: 0,
                stats: Stats::default(),
                before: Counters::default(),
                keyframe: false,
                finishing: false,
                closed: false,
                ended: false,
            }),
            to_worker: Notify::new(),
            to_reader: Notify::new(),
        });
        tokio::spawn(run::run(Arc::clone(&shared), worker.clone(), spec, policy));
        Self { shared }
    }

    /// Takes a unit; never waits, from any thread. Their dts must not go back. What the worker cannot take in time
    /// is dropped and counted.
    pub fn push(&self, unit: AccessUnit) {
        let mut inner = self.shared.lock();
        if !matches!(inner.state, State::Failed { .. }) {
            inner.ring.push(unit);
        }
        drop(inner);
        self.shared.to_worker.notify_one();
    }

    /// The units pushed from here on are of this format, perhaps of another codec of the same kind. Pictures go
    /// on with the next keyframe.
    pub fn format(&self, format: Format) {
        self.shared.lock().ring.format(format);
    }

    /// Somebody needs a keyframe: the next picture shall be one.
    pub fn keyframe(&self) {
        self.shared.lock().keyframe = true;
        self.shared.to_worker.notify_one();
    }

    /// No more units come. What is held back still comes out, then [`Bridge::next`] ends.
    pub fn finish(&self) {
        self.shared.lock().finishing = true;
        self.shared.to_worker.notify_one();
    }

    /// The next of what comes out; `None` once the bridge has finished or failed and all was read. May be
    /// cancelled at any time; one reader only.
    pub async fn next(&self) -> Option<Output> {
        loop {
            {
                let mut inner = self.shared.lock();
                if let Some(output) = inner.outbox.pop() {
                    return Some(output);
                }
                if inner.ended {
                    return None;
                }
            }
            self.shared.to_reader.notified().await;
        }
    }

    /// How it fares.
    pub fn state(&self) -> State {
        self.shared.lock().state.clone()
    }

    /// What became of the units so far.
    pub fn counters(&self) -> Counters {
        self.gauge().counters()
    }

    /// Reads the same without the handle.
    pub fn gauge(&self) -> Gauge {
        Gauge { shared: Arc::clone(&self.shared) }
    }

    /// The process of the worker of now.
    pub fn worker_id(&self) -> Option<u32> {
        self.shared.lock().worker
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.to_worker.notify_one();
    }
}

/// What the handle and the task share.
#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    /// Wakes the task.
    to_worker: Notify,
    /// Wakes the reader.
    to_reader: Notify,
}

#[derive(Debug)]
struct Inner {
    ring: Ring,
    outbox: Outbox,
    state: State,
    worker: Option<u32>,
    restarts: u64,
    units_out: u64,
    astray: u64,
    /// Of the worker of now.
    stats: Stats,
    /// What those before it had counted themselves.
    before: Counters,
    keyframe: bool,
    finishing: bool,
    /// The handle is gone.
    closed: bool,
    /// Nothing more comes out.
    ended: bool,
}

impl Inner {
    /// The worker has ended: what it counted stays.
    fn settle(&mut self) {
        let Stats { skipped, undecodable, .. } = std::mem::take(&mut self.stats);
        self.before += Counters { skipped, undecodable, ..Counters::default() };
    }
}

impl Shared {
    /// Nobody panics while holding it, and what it holds would be whole even then.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something out for the reader.
    fn put(&self, output: Output) {
        self.lock().outbox.push(output);
        self.to_reader.notify_one();
    }
}

/// What is wrong with a worker of another version.
fn other_version(worker: &Worker, version: u16) -> String {
    format!(
        "{} speaks version {version} of the workers' protocol, this server version {VERSION}: install both \
         from one release",
        worker.path.display(),
    )
}

/// A text of the worker's as it may stand in a log or on a page: no control characters, no blanks around.
fn plain(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.trim().to_owned()
}
