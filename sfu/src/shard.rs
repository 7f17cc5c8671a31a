//! One shard: all sessions of one thread, sans-IO. Datagrams, commands, messages of other shards and
//! the time go in; runs of datagrams, events, messages and the next deadline come out.
//!
//! The contract: after a batch of [`Shard::receive`], [`Shard::command`] or [`Shard::message`] calls,
//! call [`Shard::flush`] once, then drain [`Shard::poll_event`], [`Shard::poll_message`],
//! [`Shard::poll_tap`] and [`Shard::poll_wire`], then wait for input or until [`Shard::poll_timeout`], and call [`Shard::handle_timeout`] when it has come.

mod command;
mod exchange;
mod forward;
mod life;
mod local;
mod session;
mod taps;
#[cfg(test)]
mod tests;
mod wires;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signaling::SessionId;
use slab::Slab;

pub use self::command::{Add, Closed, Command, Event, Link};
pub use self::exchange::Message;
use self::exchange::{Datagram, Kind};
use self::session::{Role, Session};
pub use self::taps::TapId;
pub use self::wires::{Pressure, Word};
use crate::audience::Audience;
use crate::demux::Demux;
use crate::directory::Directory;
use crate::egress::{Egress, Sink};
use crate::feed::{Batch, Feed};
use crate::history;
use crate::path::Path;
use crate::recorder::Report;
use crate::rtcp;
use crate::stats::{Drop, EncodingSnapshot, Intake, Totals, ViewerSnapshot};
use crate::transport;

/// A session's place in its shard.
pub type Key = usize;

/// Time limits and bounds.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// A session whose DTLS is not up by then is closed.
    pub connect_timeout: Duration,
    /// A publisher of whom nothing authentic has been heard for this long is closed.
    pub publisher_timeout: Duration,
    /// See `publisher_timeout`.
    pub viewer_timeout: Duration,
    /// Encoders such as FFmpeg begin with what they have made while they were connecting, half a second
    /// at once. Viewers begin so long after a publisher's first packet, or their clients would take its
    /// haste for the stream's pace.
    pub settle: Duration,
    /// What each video encoding keeps for retransmissions and for viewers that join.
    pub history: history::Limits,
    /// The wall clock when the shard begins, since the Unix epoch: sender reports carry it.
    pub wall_clock: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            publisher_timeout: Duration::from_secs(10),
            viewer_timeout: Duration::from_secs(15),
            settle: Duration::from_millis(100),
            history: history::Limits::default(),
            wall_clock: Duration::ZERO,
        }
    }
}

/// All sessions of one thread.
#[derive(Debug)]
pub struct Shard {
    config: Config,
    /// Which of the server's shards this is.
    index: usize,
    directory: Directory,
    began: Instant,
    sessions: Slab<Session>,
    by_id: HashMap<SessionId, Key>,
    demux: Demux,
    /// Publishers that are watched here, and those that live here.
    feeds: HashMap<SessionId, Feed>,
    timers: BTreeSet<(Instant, Key)>,
    egress: Egress,
    events: VecDeque<Event>,
    messages: VecDeque<(usize, Message)>,
    /// What taps are to get; `None`: nothing more.
    tapped: VecDeque<(TapId, Option<Arc<Batch>>)>,
    /// What becomes of TCP connections.
    words: VecDeque<(u32, Word)>,
    /// Batches of publishers on other shards that wait for the flush.
    arrived: Vec<Arc<Batch>>,
    /// Datagrams for other shards that wait for the flush.
    strays: Vec<(usize, Vec<Datagram>)>,
    /// Addresses, by UDP, whose sessions live on other shards.
    foreign: HashMap<SocketAddr, usize>,
    /// Publishers with something to say.
    dirty: Vec<Key>,
    totals: Totals,
    next_look: Instant,
    /// The last look came late.
    held_up: bool,
    next_rates: Instant,
}

impl Shard {
    /// An empty shard, the `index`-th of those that share `directory`.
    pub fn new(config: Config, index: usize, directory: Directory, now: Instant) -> Self {
        Self {
            config,
            index,
            directory,
            began: now,
            sessions: Slab::new(),
            by_id: HashMap::new(),
            demux: Demux::default(),
            feeds: HashMap::new(),
            timers: BTreeSet::new(),
            egress: Egress::default(),
            events: VecDeque::new(),
            messages: VecDeque::new(),
            tapped: VecDeque::new(),
            words: VecDeque::new(),
            arrived: Vec::new(),
            strays: Vec::new(),
            foreign: HashMap::new(),
            dirty: Vec::new(),
            totals: Totals::default(),
            next_look: now,
            held_up: false,
            next_rates: now,
        }
    }

    /// A datagram that came this way; decrypted in place.
    pub fn receive(&mut self, now: Instant, path: Path, bytes: &mut [u8]) {
        match self.demux.find(path.sender(), bytes) {
            Some(key) => {
                self.deliver(now, key, path, bytes);
            }
            None => self.stranger(now, path, bytes),
        }
    }

    /// A datagram for one of our sessions; true if it was an authentic check.
    fn deliver(&mut self, now: Instant, key: Key, path: Path, bytes: &mut [u8]) -> bool {
        let first = bytes.first().copied();
        let proven = match &self.sessions[key].role {
            Role::Publisher(..) => self.publisher_says(now, key, path, bytes),
            // It has no address.
            Role::Local(_) => false,
            Role::Viewer(..) => self.viewer_says(now, key, path, bytes),
        };
        if let Some(session) = self.sessions.get_mut(key) {
            session.heard(now, path.remote, first, proven);
            if proven {
                session.last_heard = now;
                self.demux.route(key, path.sender());
                self.plugged(key, path);
            }
        }
        proven
    }

    fn viewer_says(&mut self, now: Instant, key: Key, path: Path, bytes: &mut [u8]) -> bool {
        let ntp = self.ntp(now);
        let Self { sessions, egress, totals, feeds, .. } = self;
        let session = &mut sessions[key];
        let Role::Viewer(transport, viewer) = &mut session.role else { return false };
        let recorder = &mut session.recorder;
        let mut keyframe = None;
        // A viewer has no business sending media.
        let media = is_rtp(bytes);
        let (mut proven, mut released) = (false, false);
        match transport.receive(now, path, bytes, egress) {
            Ok(transport::Taken::Stun { moved, .. }) => {
                proven = true;
                // What was behind is the way before.
                released = moved && viewer.hold(false);
            }
            Ok(transport::Taken::Rtcp(compound)) => {
                // Shortens the borrow of the transport, which repairs go out by.
                let compound = compound.len();
                session.last_heard = now;
                let feed = viewer.publisher.and_then(|id| feeds.get(&id));
                let plain = &bytes[..compound];
                let asked = viewer.listen((now, ntp), plain, feed, transport, egress, recorder);
                totals.repaired += asked.repaired;
                keyframe = viewer.publisher.zip(asked.keyframe);
            }
            Ok(transport::Taken::Dtls) => {}
            Ok(transport::Taken::Ignored) if media => recorder.drops.count(Drop::RtpUnusable),
            Ok(transport::Taken::Ignored) => {}
            Err(transport::Reject::Malformed) => recorder.drops.count(Drop::Malformed),
            Err(transport::Reject::NotAuthentic) => recorder.drops.count(Drop::NotAuthentic),
            Err(transport::Reject::Replayed) => recorder.drops.count(Drop::Replayed),
            Err(transport::Reject::Dtls) => recorder.drops.count(Drop::Transport),
        }
        if let Some((publisher, encoding)) = keyframe {
            self.want_keyframe(now, publisher, encoding);
        }
        if released {
            self.choose(now, key);
        }
        self.drain(now, key);
        proven
    }

    /// Ends a batch: what publishers sent goes out to their viewers, and everything to `sink`.
    pub fn flush(&mut self, now: Instant, sink: &mut dyn Sink) {
        for key in std::mem::take(&mut self.dirty) {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            let id = session.id;
            let Some(publisher) = session.publisher_mut() else { continue };
            let Some(batch) = publisher.batch(id).map(Arc::new) else { continue };
            for shard in &publisher.subscribers {
                self.messages.push_back((*shard, Message(Kind::Batch(Arc::clone(&batch)))));
            }
            publisher.tap(&batch, &mut self.tapped);
            self.fan_out(now, &batch, sink);
        }
        for batch in std::mem::take(&mut self.arrived) {
            self.fan_out(now, &batch, sink);
        }
        self.send_strays();
        self.egress.drain(sink);
    }

    /// The time has come.
    pub fn handle_timeout(&mut self, now: Instant, sink: &mut dyn Sink) {
        while let Some((due, key)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, key));
            self.wake(now, key);
            if self.egress.is_full() {
                self.egress.drain(sink);
            }
        }
        if self.next_look <= now {
            let late = now.saturating_duration_since(self.next_look) > life::LOOK_INTERVAL;
            self.next_look = now + life::LOOK_INTERVAL;
            self.look(now, late && !self.held_up);
            self.held_up = late;
        }
        if self.next_rates <= now {
            self.next_rates = now + life::RATES_INTERVAL;
            self.update_rates(now);
        }
        self.flush(now, sink);
    }

    /// When to call [`Shard::handle_timeout`] next; `None` while there is nobody.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // The first shard looks after those whom nobody has heard of yet.
        let waiting = self.index == 0 && self.directory.waiting() > 0;
        if self.sessions.is_empty() && !waiting {
            return None;
        }
        let look = self.next_look.min(self.next_rates);
        Some(self.timers.first().map_or(look, |(due, _)| look.min(*due)))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sums since the start.
    pub fn totals(&self) -> Totals {
        let mut totals = self.totals;
        // What is of one session is with it until the next roll.
        self.sessions.iter().for_each(|(_, s)| totals.drops.merge(&s.recorder.drops));
        totals
    }

    /// How many sessions, routes by name and by address there are.
    pub fn len(&self) -> (usize, usize, usize) {
        let (ufrags, addresses) = self.demux.len();
        (self.sessions.len(), ufrags, addresses + self.foreign.len())
    }

    /// What a publisher sends; `None` if it does not live here.
    pub fn publisher(&self, id: SessionId) -> Option<Vec<EncodingSnapshot>> {
        let publisher = self.sessions[*self.by_id.get(&id)?].publisher()?;
        Some(publisher.snapshots())
    }

    /// The same in sums; `None` if it does not live here.
    pub fn intake(&self, id: SessionId) -> Option<Intake> {
        let publisher = self.sessions[*self.by_id.get(&id)?].publisher()?;
        let mut sum = Intake::default();
        publisher.own().for_each(|e| sum += e.intake());
        Some(sum)
    }

    /// Who watches a publisher on this shard, as of the last second; `None` if nobody does.
    pub fn audience(&self, publisher: SessionId) -> Option<Audience> {
        let feed = self.feeds.get(&publisher)?;
        (!feed.viewers.is_empty()).then(|| feed.audience.clone())
    }

    /// What a viewer gets; `None` if it does not live here.
    pub fn viewer(&self, id: SessionId, now: Instant) -> Option<ViewerSnapshot> {
        let session = &self.sessions[*self.by_id.get(&id)?];
        let viewer = session.viewer()?;
        let feed = viewer.publisher.and_then(|id| self.feeds.get(&id));
        Some(ViewerSnapshot { asks: session.recorder.asks(now), ..viewer.snapshot(feed, now) })
    }

    /// What has happened to a session, and what it sends or gets; `None` if it does not live here.
    /// The first shard knows those too that nobody has heard of yet.
    pub fn session(&self, id: SessionId, now: Instant) -> Option<Report> {
        if let Some(key) = self.by_id.get(&id) {
            return Some(self.sessions[*key].report(self.viewer(id, now)));
        }
        let waits = if self.index == 0 { self.directory.peek(id) } else { None };
        waits.map(Report::of_nobody)
    }

    /// Asks a peer until it has nothing more to say; returns how many media packets came.
    fn drain(&mut self, now: Instant, key: Key) -> usize {
        match &self.sessions[key].role {
            Role::Publisher(..) => self.drain_publisher(now, key),
            Role::Local(_) => 0,
            Role::Viewer(..) => {
                self.drain_viewer(now, key);
                0
            }
        }
    }

    fn drain_viewer(&mut self, now: Instant, key: Key) {
        loop {
            let session = &mut self.sessions[key];
            let Role::Viewer(transport, viewer) = &mut session.role else { return };
            match transport.poll_event() {
                Some(transport::Event::Connected { profile }) => {
                    tracing::debug!(session = %session.id, ?profile, "DTLS is up");
                    session.connected = true;
                    session.last_heard = now;
                    session.recorder.dtls_up(now, Some(profile));
                    viewer.settle(now);
                    self.events.push_back(Event::Connected(session.id));
                }
                Some(transport::Event::Ready) => {
                    if viewer.has_settled(now, true) {
                        self.choose(now, key);
                    }
                }
                Some(transport::Event::Closed) => session.closed = Some(Closed::ByPeer),
                Some(transport::Event::Failed(failure)) => {
                    tracing::debug!(session = %session.id, ?failure, "DTLS failed");
                    session.recorder.dtls_failed(now, failure);
                    session.closed = Some(Closed::Failed);
                }
                None => break,
            }
        }
        self.schedule_viewer(key);
    }

    /// A session's timer has come.
    fn wake(&mut self, now: Instant, key: Key) {
        let ntp = self.ntp(now);
        let session = &mut self.sessions[key];
        session.deadline = None;
        match &mut session.role {
            Role::Publisher(peer, _) => peer.handle_timeout(now),
            Role::Local(_) => {}
            Role::Viewer(transport, viewer) => {
                if transport.deadline().is_some_and(|due| due <= now) {
                    transport.handle_timeout(now, &mut self.egress);
                }
                viewer.report(now, ntp, transport, &mut self.egress);
                if viewer.has_settled(now, false) {
                    self.choose(now, key);
                }
                self.pump(now, key);
            }
        }
        self.drain(now, key);
    }

    /// Sends what may go out of a viewer's backlog.
    fn pump(&mut self, now: Instant, key: Key) {
        let Self { sessions, feeds, egress, totals, .. } = self;
        let Some((transport, viewer, recorder)) = sessions[key].viewing() else { return };
        let Some(feed) = viewer.publisher.and_then(|id| feeds.get(&id)) else { return };
        totals.sent += viewer.pump(now, feed, transport, egress, recorder);
        self.schedule_viewer(key);
    }

    fn schedule_viewer(&mut self, key: Key) {
        let session = &mut self.sessions[key];
        let Some((transport, viewer, _)) = session.viewing() else { return };
        let deadline = [transport.deadline(), viewer.deadline()].into_iter().flatten().min();
        self.schedule(key, deadline);
    }

    /// Keeps the earlier of two deadlines: a peer that is woken too early only says so.
    fn schedule(&mut self, key: Key, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        let session = &mut self.sessions[key];
        if session.deadline.is_some_and(|known| known <= deadline) {
            return;
        }
        if let Some(known) = session.deadline.replace(deadline) {
            self.timers.remove(&(known, key));
        }
        self.timers.insert((deadline, key));
    }

    /// The wall clock, as RTCP writes it.
    fn ntp(&self, now: Instant) -> u64 {
        rtcp::ntp(self.config.wall_clock + now.saturating_duration_since(self.began))
    }
}

/// RTP and not RTCP, by RFC 5761 section 4.
fn is_rtp(bytes: &[u8]) -> bool {
    matches!(bytes, [128..=191, pt, ..] if !(64..=95).contains(&(pt & 0x7f)))
}
