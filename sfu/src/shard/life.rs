//! The life of a shard's sessions: who comes, who watches whom, who has to go, and which keyframes
//! are asked for meanwhile.

use std::time::{Duration, Instant};

use super::session::{Role, Session};
use super::{Add, Closed, Event, Key, Shard};
use crate::rtc::Output;

/// How often silent layers, unserved keyframe requests and dead sessions are looked for.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often rates are measured.
pub(super) const RATES_INTERVAL: Duration = Duration::from_secs(1);

impl Shard {
    pub(super) fn add(&mut self, now: Instant, add: Add, role: Role) {
        let ufrag = add.agreement.local_ice.ufrag;
        let key = self.sessions.insert(Session {
            id: add.session,
            ufrag: ufrag.clone(),
            peer: add.peer,
            role,
            created: now,
            connected: false,
            last_heard: now,
            deadline: None,
            closed: None,
        });
        self.by_id.insert(add.session, key);
        self.demux.insert(&ufrag, key);
        self.drain(now, key);
    }

    /// Says goodbye and forgets the session.
    pub(super) fn remove(&mut self, key: Key) {
        self.sessions[key].peer.close();
        // The goodbye goes out; events of a session that ends are nobody's any more.
        loop {
            match self.sessions[key].peer.poll() {
                Output::Transmit(transmit) => self.transmits.push_back(transmit),
                Output::Event(_) => {}
                Output::Timeout(_) => break,
            }
        }
        let session = self.sessions.remove(key);
        self.by_id.remove(&session.id);
        self.demux.remove(&session.ufrag);
        self.dirty.retain(|dirty| *dirty != key);
        if let Some(deadline) = session.deadline {
            self.timers.remove(&(deadline, key));
        }
        match session.role {
            Role::Publisher(publisher) => {
                for viewer in publisher.viewers {
                    if let Some(viewer) = self.sessions[viewer].viewer_mut() {
                        viewer.attach(None);
                    }
                }
            }
            Role::Viewer(viewer) => self.unlist(viewer.publisher, key),
        }
    }

    fn unlist(&mut self, publisher: Option<Key>, viewer: Key) {
        if let Some(publisher) = publisher.and_then(|key| self.sessions[key].publisher_mut()) {
            publisher.viewers.retain(|known| *known != viewer);
        }
    }

    pub(super) fn attach(&mut self, now: Instant, key: Key, publisher: Option<Key>) {
        let Some(viewer) = self.sessions[key].viewer_mut() else { return };
        let before = viewer.publisher;
        viewer.attach(publisher);
        self.unlist(before, key);
        if let Some(publisher) = publisher.and_then(|key| self.sessions[key].publisher_mut()) {
            publisher.viewers.push(key);
        }
        self.choose(now, key);
    }

    /// The viewer chooses anew, and the keyframe that it then needs is asked for.
    pub(super) fn choose(&mut self, now: Instant, key: Key) {
        let Some(from) = self.sessions[key].viewer().and_then(|v| v.publisher) else { return };
        let Some((Role::Publisher(publisher), Role::Viewer(viewer))) = self
            .sessions
            .get2_mut(from, key)
            .map(|(from, viewer)| (&mut from.role, &mut viewer.role))
        else {
            return;
        };
        let awaited: Vec<usize> = viewer.choose(publisher).collect();
        // Before DTLS is up a keyframe would only be lost; then this runs again.
        if viewer.connected {
            for encoding in awaited {
                self.want_keyframe(now, from, encoding);
            }
        }
    }

    pub(super) fn choose_all(&mut self, now: Instant, publisher: Key) {
        let viewers = self.sessions[publisher].publisher().map(|p| p.viewers.clone());
        for viewer in viewers.unwrap_or_default() {
            self.choose(now, viewer);
        }
    }

    pub(super) fn want_keyframe(&mut self, now: Instant, publisher: Key, encoding: usize) {
        let session = &mut self.sessions[publisher];
        let wanted = session.publisher_mut().and_then(|p| p.encodings.get_mut(encoding));
        if let Some(encoding) = wanted {
            encoding.keyframes.want();
            self.request_keyframes(now, publisher);
        }
    }

    /// Sends the keyframe requests that are due.
    fn request_keyframes(&mut self, now: Instant, key: Key) {
        let session = &mut self.sessions[key];
        let Role::Publisher(publisher) = &mut session.role else { return };
        let mut sent = false;
        for encoding in &mut publisher.encodings {
            if encoding.keyframes.due(now) && session.peer.request_keyframe(encoding.id) {
                self.totals.keyframe_requests += 1;
                sent = true;
            }
        }
        if sent {
            // Not drained here: this may run in the middle of the same peer's drain.
            self.schedule(key, Some(now));
        }
    }

    /// Looks after everybody.
    pub(super) fn look(&mut self, now: Instant) {
        let keys: Vec<Key> = self.sessions.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(reason) = self.verdict(now, key) {
                let session = self.sessions[key].id;
                self.remove(key);
                self.events.push_back(Event::Closed { session, reason });
                continue;
            }
            if self.sessions[key].publisher_mut().is_some_and(|p| p.look_for_silence()) {
                self.choose_all(now, key);
            }
            self.repeat_wants(now, key);
        }
    }

    /// A viewer that still awaits a keyframe asks again; so does a publisher's unserved request.
    fn repeat_wants(&mut self, now: Instant, key: Key) {
        match &self.sessions[key].role {
            Role::Publisher(_) => self.request_keyframes(now, key),
            Role::Viewer(viewer) => {
                let Some(publisher) = viewer.publisher.filter(|_| viewer.connected) else { return };
                let awaited: Vec<usize> = viewer.awaited().collect();
                for encoding in awaited {
                    self.want_keyframe(now, publisher, encoding);
                }
            }
        }
    }

    /// Whether the session has to go.
    fn verdict(&self, now: Instant, key: Key) -> Option<Closed> {
        let session = &self.sessions[key];
        if session.closed.is_some() {
            return session.closed;
        }
        if !session.peer.is_alive() {
            return Some(Closed::Failed);
        }
        let silence = now.saturating_duration_since(session.last_heard);
        let limit = match session.role {
            Role::Publisher(_) => self.config.publisher_timeout,
            Role::Viewer(_) => self.config.viewer_timeout,
        };
        if session.connected {
            return (silence > limit).then_some(Closed::Silent);
        }
        let age = now.saturating_duration_since(session.created);
        (age > self.config.connect_timeout).then_some(Closed::NeverConnected)
    }

    pub(super) fn update_rates(&mut self, now: Instant) {
        for (_, session) in &mut self.sessions {
            match &mut session.role {
                Role::Publisher(p) => p.encodings.iter_mut().for_each(|e| e.update_rates(now)),
                Role::Viewer(viewer) => viewer.update_rates(now),
            }
        }
    }
}
