//! Segments that memory does not hold, in files below `data.dir`. Whatever blocks is done off the async threads, a bounded
//! number at once. Some space stays free for others; what does not work is tried again, and said.

mod files;
mod trouble;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use packager::{Epoch, RenditionId, Segment, name};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

use self::files::Space;
pub(super) use self::trouble::Refusal;
use self::trouble::Trouble;
use super::pool::Pool;
use crate::clock;

/// Files that are written at once.
const WRITERS: usize = 4;
/// Pieces that are read at once: a slow disk must not take all threads that may block.
const READERS: usize = 32;
/// How often it is looked how much is free.
const LOOK: Duration = Duration::from_secs(2);
/// With less room than this there is none.
const NEAR: u64 = 16 << 20;
/// After a quota was met, of which the file system says nothing, no more than then is stored for so long.
const CAPPED: Duration = Duration::from_secs(300);

/// The folder for all streams. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    state: Mutex<State>,
    /// How much may be stored.
    pool: Pool,
    writers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    refused: [AtomicU64; Refusal::ALL.len()],
}

#[derive(Debug, Default)]
struct State {
    /// The folder is ours as long as this is open.
    lock: Option<File>,
    /// Something is being found out.
    busy: bool,
    looked: Option<Instant>,
    trouble: Option<Trouble>,
    /// No more than this, until then.
    cap: Option<(u64, Instant)>,
    /// What stays free.
    reserve: u64,
    closed: bool,
}

impl Disk {
    /// `root`: the folder that belongs to live streams alone. What an earlier run has left there is removed.
    pub(super) fn new(root: PathBuf) -> Self {
        let disk = Self(Arc::new(Inner {
            root,
            state: Mutex::default(),
            pool: Pool::new(0),
            writers: Arc::new(Semaphore::new(WRITERS)),
            readers: Arc::new(Semaphore::new(READERS)),
            refused: Default::default(),
        }));
        disk.0.state().busy = true;
        let start = disk.clone();
        spawn_blocking(move || start.claim(false));
        disk
    }

    /// How much may be stored, and by whom.
    pub(super) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Why it does not hold more, and what to do about it.
    pub(super) fn shortage(&self) -> String {
        let (root, state) = (self.0.root.display(), self.0.state());
        match &state.trouble {
            Some(Trouble { why: Refusal::Full, text, .. }) => {
                format!(
                    "there is no room for more in {root}: {text}; free some, or set data.dir to another disk"
                )
            }
            Some(Trouble { text, .. }) => {
                format!(
                    "nothing can be stored in {root}: {text}; set data.dir to a folder that can be written"
                )
            }
            None if state.looked.is_some() && self.0.pool.limit() < self.0.pool.held() + NEAR => {
                format!(
                    "there is no room for more in {root}: {} MiB of its disk stay free for others; free some, or set data.dir to another disk",
                    state.reserve >> 20,
                )
            }
            None => format!("{root} has been too slow, or there was no room in it for a while"),
        }
    }

    /// Counts what was not stored, or cannot be read.
    pub(super) fn refuse(&self, why: Refusal) {
        self.0.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What was not stored, by reason.
    pub(super) fn refused(&self) -> Vec<(&'static str, u64)> {
        let count = |why: Refusal| self.0.refused[why as usize].load(Ordering::Relaxed);
        Refusal::ALL.map(|why| (why.name(), count(why))).to_vec()
    }

    /// Something can be stored soon, as far as is known: where it is full, what is oldest makes room.
    pub(super) fn is_hopeful(&self, now: Instant) -> bool {
        let state = self.0.state();
        let makes_room = |why: Refusal| why == Refusal::Full && self.0.pool.held() > 0;
        let trouble = state.trouble.as_ref();
        !state.closed
            && trouble.is_none_or(|trouble| now >= trouble.until || makes_room(trouble.why))
    }

    /// Whether something may be written now. Finds out how much may be, now and then.
    pub(super) fn ready(&self, now: Instant) -> bool {
        let mut state = self.0.state();
        let pauses = state.trouble.as_ref().is_some_and(|trouble| now < trouble.until);
        if state.closed || pauses {
            return false;
        }
        let due = state.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK);
        if due && !state.busy {
            state.busy = true;
            let disk = self.clone();
            let claimed = state.lock.is_some();
            spawn_blocking(move || if claimed { disk.look() } else { disk.claim(true) });
        }
        state.looked.is_some()
    }

    /// Takes the folder, and tidies it up. Blocks.
    fn claim(&self, make: bool) {
        let claimed = files::claim(&self.0.root, make);
        // Whatever lies there before it is ours to write to is old.
        let old = files::epochs(&self.0.root);
        match claimed {
            Ok(Some(lock)) => {
                self.0.state().lock = Some(lock);
                self.look();
                old.iter().for_each(|epoch| files::remove(epoch));
                if !old.is_empty() {
                    tracing::info!(epochs = old.len(), "removed what an earlier run had stored");
                }
            }
            Ok(None) => self.0.state().busy = false,
            // At the start nobody needs it yet.
            Err(_) if !make => self.0.state().busy = false,
            Err(e) => self.failed(&e),
        }
    }

    /// Looks how much may be stored. Blocks.
    fn look(&self) {
        let space = match Space::of(&self.0.root) {
            Ok(space) => space,
            Err(e) => return self.failed(&e),
        };
        let now = clock::now();
        let held = self.0.pool.held();
        let room = space.room(held);
        let mut state = self.0.state();
        // It was too little for anything: only trying shows what fits now.
        state.cap = state.cap.filter(|(_, until)| now < *until && held > 0);
        self.0.pool.set(state.cap.map_or(room, |(most, _)| room.min(most)));
        state.reserve = space.reserve();
        state.looked = Some(now);
        state.busy = false;
    }

    fn failed(&self, error: &io::Error) {
        let trouble = {
            let mut state = self.0.state();
            let now = clock::now();
            let trouble = Trouble::after(state.trouble.as_ref(), error, now);
            if trouble.why == Refusal::Full {
                let held = self.0.pool.held();
                state.cap = Some((held, now + CAPPED));
                self.0.pool.set(self.0.pool.limit().min(held));
            }
            state.busy = false;
            // The same again is not news.
            let known = state.trouble.replace(trouble.clone());
            known.is_none_or(|known| known.why != trouble.why).then_some(trouble)
        };
        if let Some(trouble) = trouble {
            let (root, text) = (self.0.root.display(), trouble.text);
            tracing::warn!("segments cannot be stored in {root}: {text}; windows become shorter");
        }
    }

    fn succeeded(&self) {
        if self.0.state().trouble.take().is_some() {
            tracing::info!("segments are stored in {} again", self.0.root.display());
        }
    }

    /// Opens a stored segment's file, of so many bytes.
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) async fn open(
        &self,
        epoch: &Epoch,
        file: name::File,
        length: u64,
    ) -> io::Result<Arc<File>> {
        let path = files::folder(&self.0.root, epoch).join(file.to_string());
        let opened = self.reading(move || files::open(&path, length)).await;
        opened.map(Arc::new).inspect_err(|e| self.refuse(Refusal::of(e)))
    }

    /// Reads so many bytes of an open file.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn read(
        &self,
        file: Arc<File>,
        from: u64,
        length: usize,
    ) -> io::Result<Bytes> {
        let read = self.reading(move || files::read(&file, from, length)).await;
        read.inspect_err(|e| self.refuse(Refusal::of(e)))
    }

    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let readers = Arc::clone(&self.0.readers);
        let place = readers.acquire_owned().await.map_err(io::Error::other)?;
        let blocking = move || {
            let _place = place;
            read()
        };
        spawn_blocking(blocking).await.map_err(io::Error::other)?
    }

    /// Nothing is stored any more, and what is goes. Blocks.
    fn close(&self) {
        let mut state = self.0.state();
        state.closed = true;
        let ours = state.lock.is_some();
        drop(state);
        if ours {
            files::epochs(&self.0.root).iter().for_each(|epoch| files::remove(epoch));
        }
    }

    /// The server ends.
    pub(crate) async fn closed(&self) {
        let disk = self.clone();
        let _ = spawn_blocking(move || disk.close()).await;
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock leaves it half changed by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder of one epoch. What lies there is removed when nobody needs it any more.
#[derive(Debug)]
pub(super) struct Folder {
    disk: Disk,
    path: PathBuf,
    used: AtomicBool,
}

impl Folder {
    pub(super) fn new(disk: &Disk, epoch: &Epoch) -> Self {
        let path = files::folder(&disk.0.root, epoch);
        Self { disk: disk.clone(), path, used: false.into() }
    }

    /// Writes a segment, as soon as it is its turn: the file is complete, or is not there.
    pub(super) fn write(
        self: &Arc<Self>,
        id: RenditionId,
        segment: Arc<Segment>,
    ) -> JoinHandle<bool> {
        let folder = Arc::clone(self);
        tokio::spawn(async move {
            let writers = Arc::clone(&folder.disk.0.writers);
            let Ok(place) = writers.acquire_owned().await else { return false };
            let blocking = move || {
                let _place = place;
                folder.write_now(id, &segment)
            };
            spawn_blocking(blocking).await.unwrap_or(false)
        })
    }

    fn write_now(&self, id: RenditionId, segment: &Segment) -> bool {
        if self.disk.0.state().closed {
            return false;
        }
        self.used.store(true, Ordering::Relaxed);
        let written = files::write(&self.path, &self.file(id, segment.msn), segment);
        match &written {
            Ok(()) => self.disk.succeeded(),
            Err(e) => {
                self.disk.refuse(Refusal::of(e));
                self.disk.failed(e);
            }
        }
        written.is_ok()
    }

    /// Removes segments, in a while.
    pub(super) fn discard(&self, segments: Vec<(RenditionId, u64)>) {
        let files: Vec<PathBuf> =
            segments.into_iter().map(|(id, msn)| self.file(id, msn)).collect();
        spawn_blocking(move || files.iter().for_each(|file| files::discard(file)));
    }

    fn file(&self, id: RenditionId, msn: u64) -> PathBuf {
        self.path.join(name::File::Segment(id, msn).to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        // Without a runtime the server has ended; the next start finds what is left.
        if self.used.load(Ordering::Relaxed)
            && let Ok(handle) = Handle::try_current()
        {
            handle.spawn_blocking(move || files::remove(&path));
        }
    }
}
