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
    /// Files of what has left the window, to be removed in the next turn: lists without them are shown by then.
    gone: Vec<(RenditionId, u64)>,
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
            gone: Vec::new(),
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

    /// Keeps what there is within this epoch's shares, once what was made of the turn before is shown; true if that has just begun to make the window short.
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

    /// Removes the files of what had left the window in the turn before, and remembers those of what has since.
    fn forget(&mut self, packager: &Packager) {
        if !self.gone.is_empty() {
            self.holding.folder.discard(std::mem::take(&mut self.gone));
        }
        for (id, files) in &mut self.files {
            let first = packager.oldest(*id);
            while let Some(msn) = files.pop_front_if(|msn| *msn < first) {
                self.gone.push((*id, msn));
            }
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

#[cfg(test)]
mod tests {
    use media::{AccessUnit, Codec, Kind, MediaTime};
    use packager::{Anchor, Config, Rendition};

    use super::*;
    use crate::clock;

    const SOUND: RenditionId = RenditionId { kind: Kind::Audio, index: 0 };

    fn packager(epoch: &Epoch) -> Packager {
        let (segment, window) = (Duration::from_secs(1), Duration::from_secs(8));
        let config = Config { segment, part: None, window, bytes: 1 << 20 };
        let anchor = Anchor { instant: clock::now(), unix: Duration::from_secs(1_700_000_000) };
        let mut packager = Packager::new(config, epoch.clone(), anchor);
        packager.add(Rendition { id: SOUND, label: String::new(), language: None });
        let head = media::config::opus::Head::stereo().build();
        packager.format(SOUND, &media::config::format(Codec::Opus, head).unwrap()).unwrap();
        packager
    }

    /// What the blocking threads were given is done.
    async fn settled() {
        for _ in 0..50 {
            tokio::task::spawn_blocking(|| {}).await.unwrap();
        }
    }

    /// Who has the list that was shown last finds every file that it names.
    #[tokio::test]
    async fn a_file_goes_only_after_the_list_without_it_is_shown() {
        let root = std::env::temp_dir().join(format!("weir-spill-{}", std::process::id()));
        let (disk, memory) = (Disk::new(root.clone()), Arc::new(Pool::new(1)));
        let epoch = Epoch::new("e1").unwrap();
        let (mut packager, start) = (packager(&epoch), clock::now());
        let mut spill = Spill::new(&disk, &memory, &epoch);
        let mut removed = 0;
        for second in 0..40_u32 {
            // What requests see during this turn was shown after the turn before.
            let shown = packager.views();
            for n in 0..50 {
                let passed = Duration::from_millis(20) * (second * 50 + n);
                let at = MediaTime::from_millis(passed.as_millis() as i64);
                let data = vec![0xfc; 100].into();
                let unit = AccessUnit { dts: at, pts: at, keyframe: true, data };
                packager.unit(SOUND, &unit, start + passed);
            }
            for step in 0..4 {
                if step > 0 {
                    // Later turns of this second are behind what it has made.
                    removed += usize::from(spill.gone.is_empty());
                }
                spill.turn(&mut packager, start + Duration::from_secs(second.into()) + LOOK * step);
                settled().await;
                if step == 0 {
                    for segment in
                        shown.iter().flat_map(|view| view.spare.iter().chain(view.segments.iter()))
                    {
                        let file = packager::name::File::Segment(SOUND, segment.msn);
                        let length = segment.stored.as_ref().map(packager::Stored::len);
                        let Some(length) = length else { continue };
                        disk.open(&epoch, file, length).await.expect("it is named");
                    }
                }
                if spill.writing.is_some() {
                    let written = spill.written().await;
                    spill.note(&written, &mut packager);
                }
            }
        }
        assert!(removed > 0 && packager.oldest(SOUND) > 10, "{removed}");
        let folders = std::fs::read_dir(&root).unwrap().flatten().filter(|e| e.path().is_dir());
        let files: usize = folders.map(|f| std::fs::read_dir(f.path()).unwrap().count()).sum();
        let held = spill.files.values().map(VecDeque::len).sum::<usize>() + spill.gone.len();
        assert!(held > 0 && files == held, "{files} files for {held}");
        drop((spill, packager, disk));
        let _ = std::fs::remove_dir_all(&root);
    }
}
