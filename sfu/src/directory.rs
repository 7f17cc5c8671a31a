//! Which shard is home to which session, and the sessions that wait for their first check. The one
//! thing that shards share: it is locked for commands and for STUN of unknown names, never for media.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use signaling::SessionId;

use crate::local;
use crate::probe::Probe;
use crate::recorder::{Decision, Recorder};
use crate::shard::{Add, Command};

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
    /// The server asks itself.
    probe: Option<Probe>,
    /// What the peers of those who wait call themselves: who checks with another name of ours than its own is known by it.
    theirs: HashMap<String, SessionId>,
}

#[derive(Debug)]
enum Place {
    /// Nobody has heard from the peer yet. What the server wants of it meanwhile waits too.
    Waiting { add: Box<Add>, since: Instant, commands: Vec<Command>, recorder: Box<Recorder> },
    /// It lives on this shard. A session without a client has no names.
    Home { shard: usize, ufrags: Vec<String> },
}

/// Where an unknown name leads.
#[derive(Debug)]
pub(crate) enum Found {
    /// The session begins here and now, and this is what was wanted of it meanwhile.
    Claimed(Box<Add>, Instant, Vec<Command>, Box<Recorder>),
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
    /// Its session was never claimed and is gone now; this is what happened to it.
    Gone(Box<Recorder>),
    /// Its session is not known at all.
    Done,
}

impl Directory {
    /// The shard that this command is for, or that knows what to do with it; `None` where it waits with
    /// its session now. One step: between two, the session could be claimed, and the next command overtake.
    ///
    /// What a restart calls the session leads to it from now on: its client may be quicker than the lane.
    pub fn keep(&self, command: Command) -> Option<(usize, Command)> {
        let mut inner = self.lock();
        inner.name(&command);
        match inner.sessions.get_mut(&command.session()) {
            Some(Place::Home { shard, .. }) => Some((*shard, command)),
            Some(Place::Waiting { recorder, .. }) if matches!(command, Command::Note { .. }) => {
                note(recorder, command);
                None
            }
            Some(Place::Waiting { commands, .. }) if !matches!(command, Command::Remove(_)) => {
                wish(commands, command);
                None
            }
            _ => Some((0, command)),
        }
    }

    /// Puts a session up for its first check.
    pub fn wait(&self, now: Instant, add: Add) {
        let mut inner = self.lock();
        let id = add.session;
        inner.ufrags.extend(add.link.ufrags().into_iter().map(|ufrag| (ufrag, id)));
        let recorder = Box::new(Recorder::new(now));
        inner.theirs.insert(add.agreement.remote_ice.ufrag.clone(), id);
        let (add, commands) = (Box::new(add), Vec::new());
        let place = Place::Waiting { add, since: now, commands, recorder };
        inner.sessions.insert(id, place);
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// A session without a client begins on `shard`, unless it has begun elsewhere already: where it lives.
    pub fn settle(&self, session: SessionId, shard: usize) -> usize {
        let mut inner = self.lock();
        let new = || Place::Home { shard, ufrags: Vec::new() };
        match inner.sessions.entry(session).or_insert_with(new) {
            Place::Home { shard, .. } => *shard,
            // Two sessions of one name: the first one keeps it.
            Place::Waiting { .. } => shard,
        }
    }

    /// Where a command goes.
    pub(crate) fn route(&self, command: Command) -> Routed {
        let id = command.session();
        let mut inner = self.lock();
        inner.name(&command);
        match inner.sessions.get_mut(&id) {
            Some(Place::Home { shard, .. }) => Routed::To(*shard, command),
            Some(Place::Waiting { .. }) if matches!(command, Command::Remove(_)) => {
                self.0.waiting.fetch_sub(1, Ordering::Relaxed);
                inner.forget(id).map_or(Routed::Done, Routed::Gone)
            }
            Some(Place::Waiting { recorder, .. }) if matches!(command, Command::Note { .. }) => {
                note(recorder, command);
                Routed::Kept
            }
            Some(Place::Waiting { commands, .. }) => {
                wish(commands, command);
                Routed::Kept
            }
            None => Routed::Done,
        }
    }

    /// Whose name this is. A waiting session is claimed for `shard` if the check that came from there
    /// is `authentic`.
    pub(crate) fn find(
        &self,
        shard: usize,
        ufrag: &str,
        (now, source): (Instant, SocketAddr),
        authentic: impl FnOnce(&Add) -> bool,
    ) -> Option<Found> {
        let mut inner = self.lock();
        let id = *inner.ufrags.get(ufrag)?;
        match inner.sessions.get_mut(&id)? {
            Place::Home { shard, .. } => Some(Found::Elsewhere(*shard)),
            Place::Waiting { add, recorder, .. } => {
                if !authentic(add) {
                    recorder.check(now, source, false);
                    return None;
                }
                let home = Place::Home { shard, ufrags: add.link.ufrags() };
                match inner.sessions.insert(id, home)? {
                    Place::Waiting { add, since, commands, recorder } => {
                        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
                        inner.checked(id, &add);
                        Some(Found::Claimed(add, since, commands, recorder))
                    }
                    Place::Home { .. } => None,
                }
            }
        }
    }

    /// The session of this name, and of so many shards the one where it lives, or begins if its first check comes by
    /// TCP; `None`: there is no such name.
    pub fn whose(&self, ufrag: &str, shards: usize) -> Option<(SessionId, usize)> {
        let inner = self.lock();
        let id = *inner.ufrags.get(ufrag)?;
        match inner.sessions.get(&id)? {
            Place::Home { shard, .. } => Some((id, *shard)),
            Place::Waiting { .. } => Some((id, local::home(id, shards))),
        }
    }

    /// A check came for a name of ours that leads to nobody. If whoever calls itself `theirs` is waited for, its log tells.
    pub fn strange(&self, now: Instant, (ours, theirs): (&str, &str), source: SocketAddr) {
        if self.waiting() == 0 {
            return;
        }
        let mut inner = self.lock();
        if inner.ufrags.contains_key(ours) {
            return;
        }
        let Some(id) = inner.theirs.get(theirs).copied() else { return };
        if let Some(Place::Waiting { recorder, .. }) = inner.sessions.get_mut(&id) {
            recorder.note(now, Decision::Strange { from: source.into() });
        }
    }

    /// From now on this one's checks are answered wherever they come in; `None`: nobody asks any more.
    pub fn probe(&self, probe: Option<Probe>) {
        self.lock().probe = probe;
    }

    /// What a check gets that is no session's; `None`: nothing, nobody knows it.
    pub fn answer(&self, check: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        self.lock().probe.as_ref()?.answer(check, from)
    }

    /// The shard where a session lives; `None` before its first check.
    pub fn home(&self, id: SessionId) -> Option<usize> {
        match self.lock().sessions.get(&id)? {
            Place::Home { shard, .. } => Some(*shard),
            Place::Waiting { .. } => None,
        }
    }

    /// These names lead to nobody any more.
    pub(crate) fn unname(&self, id: SessionId, gone: &[String]) {
        if gone.is_empty() {
            return;
        }
        let mut inner = self.lock();
        if let Some(Place::Home { ufrags, .. }) = inner.sessions.get_mut(&id) {
            ufrags.retain(|ufrag| !gone.contains(ufrag));
        }
        for ufrag in gone {
            inner.ufrags.remove(ufrag);
        }
    }

    /// A session that has lived on a shard is over.
    pub(crate) fn remove(&self, id: SessionId) {
        self.lock().forget(id);
    }

    /// What has happened to a session that still waits for its first check.
    pub(crate) fn peek(&self, id: SessionId) -> Option<Recorder> {
        match self.lock().sessions.get(&id)? {
            Place::Waiting { recorder, .. } => Some(Recorder::clone(recorder)),
            Place::Home { .. } => None,
        }
    }

    /// Takes out the sessions that have waited for too long, with what has happened to them.
    pub(crate) fn expire(
        &self,
        now: Instant,
        limit: Duration,
    ) -> Vec<(SessionId, Option<Box<Recorder>>)> {
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
        self.0.waiting.fetch_sub(ids.len(), Ordering::Relaxed);
        ids.into_iter().map(|id| (id, inner.forget(id))).collect()
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

fn note(recorder: &mut Recorder, command: Command) {
    if let Command::Note { at, decision, .. } = command {
        recorder.note(at, decision);
    }
}

/// A newer wish overrules the older one of its kind. What belongs to this moment, or is done, is none.
fn wish(commands: &mut Vec<Command>, command: Command) {
    if matches!(command, Command::Media(_) | Command::Heard { .. } | Command::Restart { .. }) {
        return;
    }
    commands.retain(|c| std::mem::discriminant(c) != std::mem::discriminant(&command));
    commands.push(command);
}

impl Inner {
    /// Who waits restarts at once; whose shard has to be told is found under the new name too.
    fn name(&mut self, command: &Command) {
        let Command::Restart { session, ice } = command else { return };
        match self.sessions.get_mut(session) {
            Some(Place::Waiting { add, .. }) => {
                let before = add.link.ufrags();
                add.link.restart(ice.clone());
                let after = add.link.ufrags();
                for gone in before.iter().filter(|ufrag| !after.contains(ufrag)) {
                    self.ufrags.remove(gone);
                }
            }
            Some(Place::Home { ufrags, .. }) if !ufrags.contains(&ice.ufrag) => {
                ufrags.push(ice.ufrag.clone());
            }
            Some(Place::Home { .. }) => {}
            None => return,
        }
        self.ufrags.insert(ice.ufrag.clone(), *session);
    }

    /// It waits no more.
    fn checked(&mut self, id: SessionId, add: &Add) {
        let theirs = &add.agreement.remote_ice.ufrag;
        if self.theirs.get(theirs) == Some(&id) {
            self.theirs.remove(theirs);
        }
    }

    /// What has happened to it, where it still waited.
    fn forget(&mut self, id: SessionId) -> Option<Box<Recorder>> {
        let (ufrags, recorder) = match self.sessions.remove(&id)? {
            Place::Home { ufrags, .. } => (ufrags, None),
            Place::Waiting { add, recorder, .. } => {
                self.checked(id, &add);
                (add.link.ufrags(), Some(recorder))
            }
        };
        for ufrag in ufrags {
            self.ufrags.remove(&ufrag);
        }
        recorder
    }
}
