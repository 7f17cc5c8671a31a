//! The folder `live` in `data.dir`: a folder for each epoch, a file for each segment. All here blocks, and is called where that
//! is allowed. What is in there belongs to the one server that holds the lock: whatever an earlier one has left is removed, and
//! nothing that is not named as ours is ever touched.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use packager::{Epoch, Segment, name};

/// Whoever has it locked owns the folder. The system lets go of it however its owner ends.
const LOCK: &str = "lock";
/// What folders of epochs begin with, and nobody else's.
const PREFIX: &str = "epoch-";

/// The folder of an epoch.
pub(super) fn folder(root: &Path, epoch: &Epoch) -> PathBuf {
    root.join(format!("{PREFIX}{epoch}"))
}

/// Takes the folder; `None` if there is none, and none is to be made.
///
/// # Errors
/// What the system says; `WouldBlock` if another server has it.
pub(super) fn claim(root: &Path, make: bool) -> io::Result<Option<File>> {
    if make {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
    } else if !root.is_dir() {
        return Ok(None);
    }
    let mut options = OpenOptions::new();
    let lock =
        options.create(true).truncate(false).write(true).mode(0o600).open(root.join(LOCK))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(ErrorKind::WouldBlock, "another server uses this folder"))
        }
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// The epochs that lie in the folder.
pub(super) fn epochs(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let ours = |entry: &fs::DirEntry| {
        let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let name = entry.file_name();
        let epoch = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        folder && epoch.and_then(Epoch::new).is_some()
    };
    entries.flatten().filter(ours).map(|entry| entry.path()).collect()
}

/// Removes an epoch: its segments and, if nothing else lies there, the folder.
pub(super) fn remove(epoch: &Path) {
    for entry in fs::read_dir(epoch).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours = name.to_str().and_then(name::File::parse);
        if matches!(ours, Some(name::File::Segment(..))) {
            discard(&entry.path());
        }
    }
    let _ = fs::remove_dir(epoch);
}

/// Removes a file. Where it cannot be, the next start tries again.
pub(super) fn discard(file: &Path) {
    if let Err(e) = fs::remove_file(file)
        && e.kind() != ErrorKind::NotFound
    {
        tracing::debug!("{} cannot be removed: {e}", file.display());
    }
}

/// Writes a segment's file, whole or not at all.
///
/// # Errors
/// What the system says.
pub(super) fn write(epoch: &Path, file: &Path, segment: &Segment) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let opened = match options.open(file) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(epoch)?;
            options.open(file)
        }
        opened => opened,
    };
    let mut out = opened?;
    let written = segment.chain().try_for_each(|piece| out.write_all(piece));
    if written.is_err() {
        drop(out);
        discard(file);
    }
    written
}

/// Opens a segment's file, which is so long.
///
/// # Errors
/// What the system says; `UnexpectedEof` if somebody has cut it short.
pub(super) fn open(file: &Path, length: u64) -> io::Result<File> {
    let open = File::open(file)?;
    if open.metadata()?.len() != length {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "it has another length"));
    }
    Ok(open)
}

/// Reads so many bytes from there on.
///
/// # Errors
/// What the system says.
pub(super) fn read(file: &File, from: u64, length: usize) -> io::Result<Bytes> {
    let mut piece = vec![0; length];
    file.read_exact_at(&mut piece, from)?;
    Ok(piece.into())
}

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    /// Its size in bytes.
    pub(super) total: u64,
    /// What we may still write.
    pub(super) free: u64,
}

impl Space {
    /// Of the file system that a folder lies in.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
    }

    /// What stays free for others: 5 %, and 1 GiB at least; but never more than half.
    pub(super) fn reserve(self) -> u64 {
        (self.total / 20).max(1 << 30).min(self.total / 2)
    }

    /// How much may be stored, when so much is already.
    pub(super) fn room(self, stored: u64) -> u64 {
        stored.saturating_add(self.free).saturating_sub(self.reserve())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn so_much_stays_free() {
        for (total, free, stored, room) in [
            (100 * GIB, 50 * GIB, 0, 45 * GIB),
            (100 * GIB, 50 * GIB, 10 * GIB, 55 * GIB),
            (100 * GIB, 5 * GIB, 10 * GIB, 10 * GIB),
            (100 * GIB, 2 * GIB, 10 * GIB, 7 * GIB),
            (100 * GIB, 0, 3 * GIB, 0),
            (10 * GIB, 4 * GIB, 0, 3 * GIB),
            (GIB, GIB, 0, GIB / 2),
            (GIB, GIB / 2, GIB / 2, GIB / 2),
            (0, 0, 0, 0),
            (u64::MAX, u64::MAX, u64::MAX, u64::MAX - u64::MAX / 20),
        ] {
            assert_eq!(Space { total, free }.room(stored), room, "{total} {free} {stored}");
        }
    }

    #[test]
    fn only_what_is_ours_is_removed() {
        let root = std::env::temp_dir().join(format!("weir-files-{}", std::process::id()));
        let epoch = folder(&root, &Epoch::new("abc").unwrap());
        fs::create_dir_all(&epoch).unwrap();
        fs::create_dir_all(root.join("archive")).unwrap();
        for name in ["v0-1.m4s", "a0-12.m4s"] {
            fs::write(epoch.join(name), "").unwrap();
        }
        fs::write(epoch.join("diary.txt"), "").unwrap();
        fs::write(root.join("notes"), "").unwrap();
        let lock = claim(&root, false).unwrap().unwrap();
        assert_eq!(claim(&root, true).unwrap_err().kind(), ErrorKind::WouldBlock);
        let found = epochs(&root);
        assert_eq!(found, std::slice::from_ref(&epoch));
        found.iter().for_each(|epoch| remove(epoch));
        let left: Vec<_> = fs::read_dir(&epoch).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["diary.txt"]);
        fs::remove_file(epoch.join("diary.txt")).unwrap();
        remove(&epoch);
        assert!(!epoch.exists() && root.join("notes").exists() && root.join("archive").exists());
        drop(lock);
        assert!(claim(&root, true).unwrap().is_some());
        fs::remove_dir_all(&root).unwrap();
        assert!(claim(&root, false).unwrap().is_none() && !root.exists());
    }
}
