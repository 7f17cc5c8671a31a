//! What one epoch keeps in memory and what on disk: it asks the packager for the oldest segments beyond its share of the
//! memory, has them written one at a time, and removes the files of those that have left the window.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use packager::{Epoch, Held, Limits, Packager, RenditionId};
use tokio::task::JoinHandle;

use super::disk::{Disk, Folder, Refusal};
use super::pool::{Account, Pool};

/// How often shares are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Storing begins when so much of the memory is used, in eighths: a slow disk has the rest as time.
const EIGHTHS: u64 = 7;

/// What an epoch holds, as long as anything of it can be seen.
#[derive(Debug)]
pub(super) struct Holding {
    folder: Arc<Folder>,
    memory: Arc<Account>,
    stored: Arc<Account>,
    /// The window has become shorter than is wanted, for want of room.
    short: AtomicBool,
}

impl Holding {
    /// Whether its window is shorter than is wanted, for want of room.
    pub(super) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    fn set(&self, held: Held) {
        self.memory.set(held.memory as u64);
        self.stored.set(held.stored);
    }
}

/// One epoch's.
#[derive(Debug)]
pub(super) struct Spill {
    disk: Disk,
    memory: Arc<Pool>,
    holding: Arc<Holding>,
    writing: Option<Writing>,
    /// Numbers of the segments that have files, oldest first.
    files: BTreeMap<RenditionId, VecDeque<u64>>,
    due: Option<Instant>,
    /// The newest segment that was refused, so that each is counted once.
    refused: Option<(RenditionId, u64)>,
}

#[derive(Debug)]
struct Writing {
    id: RenditionId,
    msn: u64,
    task: JoinHandle<bool>,
}

/// A segment was written, or could not be.
#[derive(Debug)]
pub(super) struct Written {
    id: RenditionId,
    msn: u64,
    whole: bool,
}

impl Spill {
    pub(super) fn new(disk: &Disk, memory: &Arc<Pool>, epoch: &Epoch) -> Self {
        let folder = Arc::new(Folder::new(disk, epoch));
        let (here, there) = (memory.open(), disk.pool().open());
        let holding = Holding { folder, memory: here, stored: there, short: false.into() };
        Self {
            disk: disk.clone(),
            memory: Arc::clone(memory),
            holding: Arc::new(holding),
            writing: None,
            files: BTreeMap::new(),
            due: None,
            refused: None,
        }
    }

    /// To be kept as long as anything of the epoch can be seen.
    pub(super) fn holding(&self) -> Arc<Holding> {
        Arc::clone(&self.holding)
    }

    /// What was being written.
    pub(super) async fn written(&mut self) -> Written {
        let Some(Writing { id, msn, task }) = &mut self.writing else { return pending().await };
        let (id, msn) = (*id, *msn);
        let whole = task.await.unwrap_or(false);
        self.writing = None;
        Written { id, msn, whole }
    }

    /// Takes note of it.
    pub(super) fn note(&mut self, written: &Written, packager: &mut Packager) {
        self.due = None;
        let Written { id, msn, whole } = *written;
        if whole && packager.stored(id, msn) {
            self.files.entry(id).or_default().push_back(msn);
        } else if whole {
            self.holding.folder.discard(vec![(id, msn)]);
        }
    }

    /// Keeps what there is within this epoch's shares; true if that has just begun to make the window short.
    pub(super) fn turn(&mut self, packager: &mut Packager, now: Instant) -> bool {
        if self.due.is_some_and(|due| now < due) {
            return false;
        }
        self.due = Some(now + LOOK);
        self.share(packager, now);
        let short = packager.is_short();
        !self.holding.short.swap(short, Ordering::Relaxed) && short
    }

    fn share(&mut self, packager: &mut Packager, now: Instant) {
        let holding = Arc::clone(&self.holding);
        holding.set(packager.held());
        let all = self.memory.limit();
        // What has left the window takes its part.
        let window = |share: u64| bytes(share / 9 * 8);
        let soft = window(self.memory.share(&holding.memory, all / 8 * EIGHTHS));
        // What is on its way to disk may take as much again as what stays in memory whatever happens.
        let way = if self.disk.is_hopeful(now) { packager.least() * 2 } else { 0 };
        let memory = window(self.memory.share(&holding.memory, all)).max(way);
        let stored = self.disk.pool().share(&holding.stored, self.disk.pool().limit());
        let next = packager.surplus(soft);
        let length = next.as_ref().map_or(0, |(_, segment)| segment.len());
        packager.limit(Limits { memory, stored: stored.saturating_sub(length) });
        self.forget(packager);
        if let Some((id, segment)) = packager.surplus(soft).filter(|_| self.writing.is_none()) {
            let msn = segment.msn;
            if !self.disk.ready(now) {
                return;
            }
            if packager.held().stored.saturating_add(segment.len()) <= stored {
                let task = holding.folder.write(id, segment);
                self.writing = Some(Writing { id, msn, task });
            } else if self.refused.replace((id, msn)) != Some((id, msn)) {
                self.disk.refuse(Refusal::Space);
            }
        } else if packager.held().stored > 0 {
            // What is free changes by others, too.
            self.disk.ready(now);
        }
        holding.set(packager.held());
    }

    /// Removes the files of what has left the window.
    fn forget(&mut self, packager: &Packager) {
        let mut gone = Vec::new();
        for (id, files) in &mut self.files {
            let first = packager.oldest(*id);
            while let Some(msn) = files.pop_front_if(|msn| *msn < first) {
                gone.push((*id, msn));
            }
        }
        if !gone.is_empty() {
            self.holding.folder.discard(gone);
        }
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.holding.memory.fix();
        self.holding.stored.fix();
    }
}

fn bytes(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
