//! Connections that have asked for nothing yet. When there is no place left, the one that has waited the longest makes
//! room: who is many and silent keeps nobody out, whatever address it comes from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// All of one listener, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Young {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

/// One of them, until it asks for something or is dropped.
#[derive(Debug)]
pub(crate) struct Newcomer {
    young: Arc<Young>,
    number: u64,
    /// It is one no more.
    old: AtomicBool,
}

/// Says that it has to go; never, once it has asked.
pub(crate) type Leave = oneshot::Receiver<()>;

impl Young {
    /// A connection begins.
    pub(crate) fn begin(self: &Arc<Self>) -> (Newcomer, Leave) {
        let (tell, leave) = oneshot::channel();
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        inner.waiting.insert(number, tell);
        (Newcomer { young: Arc::clone(self), number, old: AtomicBool::new(false) }, leave)
    }

    /// The oldest one has to go; false if there is none.
    pub(crate) fn make_room(&self) -> bool {
        // It may have ended a moment ago: its place is free then, too.
        self.lock().waiting.pop_first().is_some_and(|(_, tell)| tell.send(()).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under the lock leaves it half changed by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Newcomer {
    /// It has asked for something: it stays.
    pub(crate) fn asked(&self) {
        if !self.old.swap(true, Ordering::Relaxed) {
            self.young.lock().waiting.remove(&self.number);
        }
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.asked();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_has_asked_for_nothing_makes_room() {
        let young = Arc::new(Young::default());
        let mut all: Vec<_> = (0..4).map(|_| young.begin()).collect();
        all[0].0.asked();
        drop(all.remove(1));
        assert!(young.make_room());
        let told: Vec<bool> = all.iter_mut().map(|(_, leave)| leave.try_recv().is_ok()).collect();
        assert_eq!(told, [false, true, false]);
        assert!(young.make_room() && !young.make_room(), "those who have asked stay");
        assert!(all[2].1.try_recv().is_ok());
        drop(all);
        assert!(young.lock().waiting.is_empty(), "nobody is remembered");
    }
}
