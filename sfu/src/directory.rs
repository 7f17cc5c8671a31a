//! Which shard is home to which session, and the sessions that wait for their first check. The one
//! thing that shards share: it is locked for commands and for STUN of unknown names, never for media.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use signaling::SessionId;

use crate::shard::{Add, Command};

/// Commands that wait with one session: what a client can cause before its first check.
const MAX_COMMANDS: usize = 64;

/// Shared by all shards of a server; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// How many sessions wait, readable without the lock.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: HashMap<SessionId, Place>,
    ufrags: HashMap<String, SessionId>,
}

#[derive(Debug)]
enum Place {
    /// Nobody has heard from the peer yet. What the server wants of it meanwhile waits too.
    Waiting { add: Box<Add>, since: Instant, commands: Vec<Command> },
    /// It lives on this shard.
    Home { shard: usize, ufrag: String },
}

/// Where an unknown name leads.
#[derive(Debug)]
pub(crate) enum Found {
    /// The session begins here and now, and this is what was wanted of it meanwhile.
    Claimed(Box<Add>, Instant, Vec<Command>),
    /// It lives on another shard.
    Elsewhere(usize),
}

/// What is left to do with a command.
#[derive(Debug)]
pub(crate) enum Routed {
    /// Nothing: it waits with its session.
    Kept,
    /// It is for a session of this shard.
    To(usize, Command),
    /// Its session was never claimed and is gone now, or is not known at all.
    Done,
}

impl Directory {
    /// A shard that knows, or will find out, what this command is about.
    pub fn home_of(&self, command: &Command) -> usize {
        match self.lock().sessions.get(&command.session()) {
            Some(Place::Home { shard, .. }) => *shard,
            _ => 0,
        }
    }

    /// Puts a session up for its first check.
    pub fn wait(&self, now: Instant, add: Add) {
        let mut inner = self.lock();
        let id = add.session;
        inner.ufrags.insert(add.agreement.local_ice.ufrag.clone(), id);
        let place = Place::Waiting { add: Box::new(add), since: now, commands: Vec::new() };
        inner.sessions.insert(id, place);
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Where a command goes.
    pub(crate) fn route(&self, command: Command) -> Routed {
        let id = command.session();
        let mut inner = self.lock();
        match inner.sessions.get_mut(&id) {
            Some(Place::Home { shard, .. }) => Routed::To(*shard, command),
            Some(Place::Waiting { .. }) if matches!(command, Command::Remove(_)) => {
                inner.forget(id);
                self.0.waiting.fetch_sub(1, Ordering::Relaxed);
                Routed::Done
            }
            Some(Place::Waiting { commands, .. }) => {
                // Newer wishes overrule older ones.
                if commands.len() == MAX_COMMANDS {
                    commands.remove(0);
                }
                commands.push(command);
                Routed::Kept
            }
            None => Routed::Done,
        }
    }

    /// Whose name this is. A waiting session is claimed for `shard` if the check is `authentic`.
    pub(crate) fn find(
        &self,
        shard: usize,
        ufrag: &str,
        authentic: impl FnOnce(&Add) -> bool,
    ) -> Option<Found> {
        let mut inner = self.lock();
        let id = *inner.ufrags.get(ufrag)?;
        match inner.sessions.get(&id)? {
            Place::Home { shard, .. } => Some(Found::Elsewhere(*shard)),
            Place::Waiting { add, .. } => {
                if !authentic(add) {
                    return None;
                }
                let home = Place::Home { shard, ufrag: ufrag.to_owned() };
                match inner.sessions.insert(id, home)? {
                    Place::Waiting { add, since, commands } => {
                        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
                        Some(Found::Claimed(add, since, commands))
                    }
                    Place::Home { .. } => None,
                }
            }
        }
    }

    /// The shard where a session lives.
    pub(crate) fn home(&self, id: SessionId) -> Option<usize> {
        match self.lock().sessions.get(&id)? {
            Place::Home { shard, .. } => Some(*shard),
            Place::Waiting { .. } => None,
        }
    }

    /// A session that has lived on a shard is over.
    pub(crate) fn remove(&self, id: SessionId) {
        self.lock().forget(id);
    }

    /// Takes out the sessions that have waited for too long.
    pub(crate) fn expire(&self, now: Instant, limit: Duration) -> Vec<SessionId> {
        if self.waiting() == 0 {
            return Vec::new();
        }
        let mut inner = self.lock();
        let late = |place: &Place| match place {
            Place::Waiting { since, .. } => now.saturating_duration_since(*since) > limit,
            Place::Home { .. } => false,
        };
        let ids: Vec<SessionId> =
            inner.sessions.iter().filter(|(_, p)| late(p)).map(|(id, _)| *id).collect();
        ids.iter().for_each(|id| inner.forget(*id));
        self.0.waiting.fetch_sub(ids.len(), Ordering::Relaxed);
        ids
    }

    /// How many sessions wait for their first check. Takes no lock.
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// How many sessions there are, waiting or not, and how many names lead to them.
    pub fn len(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.sessions.len(), inner.ufrags.len())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that runs under the lock can leave the maps half changed by a panic.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget(&mut self, id: SessionId) {
        let ufrag = match self.sessions.remove(&id) {
            Some(Place::Home { ufrag, .. }) => ufrag,
            Some(Place::Waiting { add, .. }) => add.agreement.local_ice.ufrag,
            None => return,
        };
        self.ufrags.remove(&ufrag);
    }
}
