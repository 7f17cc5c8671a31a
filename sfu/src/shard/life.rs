//! The life of a shard's sessions: who comes, who watches whom, who has to go, and which keyframes
//! are asked for meanwhile.

use std::time::{Duration, Instant};

use media::Activity;
use signaling::{DtlsRole, SessionId};

use super::exchange::Kind;
use super::session::{Role, Session};
use super::{Add, Closed, Command, Event, Key, Link, Shard, Word};
use crate::directory::Routed;
use crate::feed::Feed;
use crate::publisher::Publisher;
use crate::recorder::{Decision, Recorder, Report};
use crate::rtc::Output;
use crate::stats::{Drop, Origin};
use crate::transport::Failure;
use crate::viewer::Viewer;

/// How often silent layers, unserved keyframe requests and dead sessions are looked for.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often rates are measured.
pub(super) const RATES_INTERVAL: Duration = Duration::from_secs(1);

impl Shard {
    /// Does what the server wants, or has the session's own shard do it.
    pub fn command(&mut self, now: Instant, command: Command) {
        let command = match command {
            Command::Add(add) if matches!(add.link, Link::Local) => {
                return self.add_local(now, add);
            }
            Command::Add(add) => return self.directory.wait(now, *add),
            command => command,
        };
        let (session, packets) = (command.session(), command.packets());
        match self.directory.route(command) {
            Routed::To(shard, command) if shard == self.index => self.obey(now, command),
            Routed::To(shard, command) => self.tell(shard, Kind::Command(command)),
            Routed::Gone(recorder) => self.ended(session, Report::of_nobody(*recorder)),
            Routed::Kept | Routed::Done => {
                self.totals.drops.add(Drop::UnknownSource, packets as u64);
            }
        }
    }

    pub(super) fn obey(&mut self, now: Instant, command: Command) {
        let Some(key) = self.by_id.get(&command.session()).copied() else {
            return self.totals.drops.add(Drop::UnknownSource, command.packets() as u64);
        };
        match command {
            Command::Add(_) => {}
            Command::Attach { publisher, .. } => self.attach(now, key, publisher),
            Command::SetLayer { layer, .. } => {
                if let Some((_, viewer, recorder)) = self.sessions[key].viewing() {
                    viewer.want(layer);
                    recorder.record(now, Decision::Wish(layer));
                }
                self.choose(now, key);
            }
            Command::Restart { ice, .. } => {
                let session = &mut self.sessions[key];
                session.restart(now, ice);
                let gone = self.demux.name(key, session.ufrags());
                self.directory.unname(session.id, &gone);
            }
            Command::Note { at, decision, .. } => self.sessions[key].recorder.note(at, decision),
            Command::Remove(_) => self.remove(now, key),
            Command::Media(made) => self.take_made(now, key, *made),
            Command::Heard { media, held, .. } => {
                self.hear_local(now, key, media.then_some(held));
            }
            Command::Unbridge { kind, encoding, .. } => self.unbridge(now, key, kind, encoding),
            Command::WantKeyframe { encoding, .. } => self.want_own(now, key, encoding),
        }
    }

    /// A session begins: its first check has come to this shard.
    pub(super) fn add(
        &mut self,
        now: Instant,
        add: Add,
        created: Instant,
        recorder: Recorder,
    ) -> Key {
        if !matches!(add.link, Link::Viewer(_)) {
            let feed = Feed::new(self.index, self.config.history, self.config.settle);
            self.feeds.insert(add.session, feed);
        }
        let publisher = || Box::new(Publisher::new(&add.agreement));
        let role = match add.link {
            Link::Publisher(peer) => Role::Publisher(peer, publisher()),
            Link::Local => Role::Local(publisher()),
            Link::Viewer(transport) => {
                Role::Viewer(transport, Box::new(Viewer::new(&add.agreement)))
            }
        };
        let key = self.sessions.insert(Session {
            id: add.session,
            role,
            created,
            connected: false,
            last_heard: now,
            deadline: None,
            closed: None,
            foreign: Vec::new(),
            wires: Vec::new(),
            recorder,
            speaks_first: add.agreement.dtls == DtlsRole::Client,
        });
        self.by_id.insert(add.session, key);
        self.demux.name(key, self.sessions[key].ufrags());
        self.drain(now, key);
        key
    }

    /// Says goodbye and forgets the session.
    pub(super) fn remove(&mut self, now: Instant, key: Key) {
        let id = self.sessions[key].id;
        let drops = self.sessions[key].roll(now);
        self.totals.drops.merge(&drops);
        let report = self.sessions[key].report(self.viewer(id, now));
        self.ended(id, report);
        match &mut self.sessions[key].role {
            Role::Viewer(transport, viewer) => {
                viewer.goodbye(transport, &mut self.egress);
                transport.close(&mut self.egress);
            }
            Role::Local(_) => {}
            Role::Publisher(peer, _) => {
                peer.close();
                // The goodbye goes out; events of a session that ends are nobody's any more.
                loop {
                    match peer.poll() {
                        Output::Transmit(t) => {
                            self.egress.push(t.path, &t.contents);
                        }
                        Output::Event(_) => {}
                        Output::Timeout(_) => break,
                    }
                }
            }
        }
        let session = self.sessions.remove(key);
        self.by_id.remove(&session.id);
        self.directory.remove(session.id);
        self.demux.remove(key);
        self.dirty.retain(|dirty| *dirty != key);
        if let Some(deadline) = session.deadline {
            self.timers.remove(&(deadline, key));
        }
        self.words.extend(session.wires.iter().map(|wire| (*wire, Word::Over)));
        for (shard, address) in session.foreign {
            self.unroute(shard, address, key);
        }
        match session.role {
            Role::Publisher(_, publisher) | Role::Local(publisher) => {
                for shard in publisher.subscribers {
                    self.tell(shard, Kind::Gone(session.id));
                }
                self.tapped.extend(publisher.taps.iter().map(|tap| (*tap, None)));
                self.lose(now, session.id);
            }
            Role::Viewer(_, viewer) => self.unlist(viewer.publisher, key),
        }
    }

    fn ended(&mut self, session: SessionId, report: Report) {
        self.events.push_back(Event::Ended { session, report: Box::new(report) });
    }

    fn unlist(&mut self, publisher: Option<SessionId>, viewer: Key) {
        let Some(publisher) = publisher else { return };
        if let Some(feed) = self.feeds.get_mut(&publisher) {
            feed.viewers.retain(|known| *known != viewer);
            self.release(publisher);
        }
    }

    fn attach(&mut self, now: Instant, key: Key, publisher: Option<SessionId>) {
        let Some((_, viewer, recorder)) = self.sessions[key].viewing() else { return };
        let before = viewer.publisher;
        viewer.attach(now, publisher, recorder);
        if before != publisher {
            self.unlist(before, key);
        }
        let feed = publisher.and_then(|id| self.feed_for(id));
        match feed {
            Some(feed) if !feed.viewers.contains(&key) => feed.viewers.push(key),
            Some(_) => {}
            None => {
                if let Some((_, viewer, recorder)) = self.sessions[key].viewing() {
                    viewer.attach(now, None, recorder);
                }
            }
        }
        self.choose(now, key);
    }

    /// The viewer chooses anew, and the keyframe that it then needs is asked for.
    pub(super) fn choose(&mut self, now: Instant, key: Key) {
        self.choose_but(now, key, &[]);
    }

    /// The same, but keyframes of these encodings are on their way to it.
    fn choose_but(&mut self, now: Instant, key: Key, coming: &[usize]) {
        let Self { sessions, feeds, .. } = self;
        let Some((_, viewer, recorder)) = sessions[key].viewing() else { return };
        let Some(publisher) = viewer.publisher else { return };
        let Some(feed) = feeds.get(&publisher) else { return };
        viewer.choose(now, feed, recorder);
        // Before DTLS is up a keyframe would only be lost, and one that came in a publisher's first moments
        // is in the ring; then this runs again.
        let connected = viewer.connected && !feed.settles(now);
        let awaited: Vec<usize> = viewer.awaited().filter(|_| connected).collect();
        for encoding in awaited.into_iter().filter(|encoding| !coming.contains(encoding)) {
            self.want_keyframe(now, publisher, encoding);
        }
        self.pump(now, key);
    }

    /// All viewers choose anew. `coming`: encodings of which keyframes are on their way to them.
    pub(super) fn choose_all(&mut self, now: Instant, publisher: SessionId, coming: &[usize]) {
        let viewers = self.feeds.get(&publisher).map(|feed| feed.viewers.clone());
        for viewer in viewers.unwrap_or_default() {
            self.choose_but(now, viewer, coming);
        }
    }

    pub(super) fn want_keyframe(&mut self, now: Instant, publisher: SessionId, encoding: usize) {
        if let Some(key) = self.by_id.get(&publisher).copied() {
            return self.want_local_keyframe(now, key, encoding);
        }
        let Some(feed) = self.feeds.get_mut(&publisher) else { return };
        let home = feed.home;
        if feed.asks(now, encoding) {
            self.tell(home, Kind::Keyframe { publisher, encoding });
        }
    }

    pub(super) fn want_local_keyframe(&mut self, now: Instant, publisher: Key, encoding: usize) {
        let session = &mut self.sessions[publisher];
        let wanted = session.publisher_mut().and_then(|p| p.encodings.get_mut(encoding));
        if let Some(encoding) = wanted.filter(|encoding| !encoding.gone) {
            encoding.keyframes.want();
            self.request_keyframes(now, publisher);
        }
    }

    /// Sends the keyframe requests that are due: to the peer, or to whoever makes the encoding.
    pub(super) fn request_keyframes(&mut self, now: Instant, key: Key) {
        let session = &mut self.sessions[key];
        let (mut peer, publisher) = match &mut session.role {
            Role::Publisher(peer, publisher) => (Some(peer), publisher),
            Role::Local(publisher) => (None, publisher),
            Role::Viewer(..) => return,
        };
        let mut sent = false;
        for encoding in &mut publisher.encodings {
            if !encoding.keyframes.due(now) {
                continue;
            }
            let asked = match peer.as_mut().filter(|_| encoding.origin == Origin::Source) {
                Some(peer) => {
                    let asked = peer.request_keyframe(encoding.id);
                    sent |= asked;
                    asked
                }
                None => {
                    let (session, origin) = (session.id, encoding.origin);
                    let encoding = encoding.id;
                    self.events.push_back(Event::KeyframeWanted { session, encoding, origin });
                    true
                }
            };
            if asked {
                self.totals.keyframe_requests += 1;
                session.recorder.keyframe_wanted();
            }
        }
        if sent {
            // Not drained here: this may run in the middle of the same peer's drain.
            self.schedule(key, Some(now));
        }
    }

    /// Looks after everybody. `late`: the thread was held up, and what came meanwhile may not all be
    /// read yet, so nobody's silence counts.
    pub(super) fn look(&mut self, now: Instant, late: bool) {
        let keys: Vec<Key> = self.sessions.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(reason) = self.verdict(now, key) {
                self.note_failure(now, key);
                let session = self.sessions[key].id;
                self.remove(now, key);
                self.events.push_back(Event::Closed { session, reason });
                continue;
            }
            let session = &mut self.sessions[key];
            let recorder = &mut session.recorder;
            if let Role::Publisher(_, publisher) | Role::Local(publisher) = &mut session.role
                && publisher.look_for_silence(now, recorder)
            {
                self.mark(key);
            }
            if !late {
                self.look_for_life(now, key);
            }
            self.tell_encodings(key);
            self.repeat_wants(now, key);
        }
        if self.index == 0 {
            for (session, recorder) in self.directory.expire(now, self.config.connect_timeout) {
                if let Some(recorder) = recorder {
                    self.ended(session, Report::of_nobody(*recorder));
                }
                self.events.push_back(Event::Closed { session, reason: Closed::NeverConnected });
            }
        }
    }

    /// Says so where less is heard of a publisher than before, or more.
    fn look_for_life(&mut self, now: Instant, key: Key) {
        let session = &mut self.sessions[key];
        if !session.connected {
            return;
        }
        let (id, heard) = (session.id, session.last_heard);
        let Some(publisher) = session.publisher_mut() else { return };
        if let Some(activity) = publisher.look_for_life(now, heard) {
            if activity == Activity::Silent {
                session.recorder.silent(now);
            }
            self.events.push_back(Event::Activity { session: id, activity });
        }
    }

    fn tell_encodings(&mut self, key: Key) {
        let session = &mut self.sessions[key];
        if let Some(encodings) = session.publisher_mut().and_then(Publisher::news) {
            self.events.push_back(Event::Encodings { session: session.id, encodings });
        }
    }

    /// A viewer that still awaits a picture asks again; so does a publisher's unserved request.
    fn repeat_wants(&mut self, now: Instant, key: Key) {
        match &self.sessions[key].role {
            Role::Publisher(..) | Role::Local(_) => self.request_keyframes(now, key),
            Role::Viewer(_, viewer) => {
                // Also looks into the ring again: a packet that was missing there may have come.
                if viewer.connected && viewer.awaited().next().is_some() {
                    self.choose(now, key);
                }
            }
        }
    }

    /// A publisher's transport says only that it is dead; its log shall say why.
    fn note_failure(&mut self, now: Instant, key: Key) {
        let session = &mut self.sessions[key];
        if let Role::Publisher(peer, _) = &session.role
            && !session.connected
            && !peer.is_alive()
        {
            session.recorder.dtls_failed(now, peer.failure().unwrap_or(Failure::Handshake));
        }
    }

    /// Whether the session has to go.
    fn verdict(&self, now: Instant, key: Key) -> Option<Closed> {
        let session = &self.sessions[key];
        if session.closed.is_some() {
            return session.closed;
        }
        let limit = match &session.role {
            Role::Publisher(peer, _) if !peer.is_alive() => return Some(Closed::Failed),
            Role::Publisher(..) | Role::Local(_) => self.config.publisher_timeout,
            Role::Viewer(..) => self.config.viewer_timeout,
        };
        let silence = now.saturating_duration_since(session.last_heard);
        if session.connected {
            // The next look would be too late.
            return (silence + LOOK_INTERVAL > limit).then_some(Closed::Silent);
        }
        let age = now.saturating_duration_since(session.created);
        (age > self.config.connect_timeout).then_some(Closed::NeverConnected)
    }

    pub(super) fn update_rates(&mut self, now: Instant) {
        let Self { sessions, feeds, totals, .. } = self;
        let mut publishers = Vec::new();
        feeds.values_mut().for_each(|feed| feed.audience.clear());
        for (key, session) in sessions {
            let drops = session.roll(now);
            totals.drops.merge(&drops);
            match &mut session.role {
                Role::Publisher(_, publisher) | Role::Local(publisher) => {
                    publisher.update_rates(now);
                    publishers.push(key);
                }
                Role::Viewer(_, viewer) => {
                    viewer.update_rates(now);
                    if let Some(feed) = viewer.publisher.and_then(|id| feeds.get_mut(&id)) {
                        let snapshot = viewer.snapshot(Some(feed), now);
                        feed.audience.count(&snapshot);
                    }
                }
            }
        }
        publishers.into_iter().for_each(|key| self.mark(key));
    }
}
