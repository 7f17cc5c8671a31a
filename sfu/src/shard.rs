//! One shard: all sessions of one thread, sans-IO. Datagrams, commands and the time go in;
//! datagrams, events and the next deadline come out.
//!
//! The contract: after a batch of [`Shard::receive`] or [`Shard::command`] calls, call
//! [`Shard::flush`] once, then drain [`Shard::poll_transmit`] and [`Shard::poll_event`], then wait
//! for input or until [`Shard::poll_timeout`], and call [`Shard::handle_timeout`] when it has come.

mod life;
mod session;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::{Codec, EncodingId};
use signaling::{Agreement, SessionId};
use slab::Slab;

use self::session::{Role, Session};
use crate::demux::Demux;
use crate::publisher::Publisher;
use crate::rtc::{Event as PeerEvent, Output, Packet, Peer, Reject, Taken, Transmit};
use crate::stats::{Drop, EncodingSnapshot, Totals, ViewerSnapshot};
use crate::viewer::Viewer;

/// A session's place in its shard.
pub type Key = usize;

/// Time limits.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// A session whose DTLS is not up by then is closed.
    pub connect_timeout: Duration,
    /// A publisher of whom nothing authentic has been heard for this long is closed.
    pub publisher_timeout: Duration,
    /// See `publisher_timeout`.
    pub viewer_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            publisher_timeout: Duration::from_secs(10),
            viewer_timeout: Duration::from_secs(15),
        }
    }
}

/// What the server wants.
#[derive(Debug)]
pub enum Command {
    /// A publisher's session begins.
    AddPublisher(Add),
    /// A viewer's session begins.
    AddViewer(Add),
    /// A viewer watches this publisher from now on; `None`: nobody.
    Attach {
        /// Who watches.
        viewer: SessionId,
        /// Whom.
        publisher: Option<SessionId>,
    },
    /// A viewer chooses an encoding; `None`: the highest.
    SetLayer {
        /// Whose choice.
        viewer: SessionId,
        /// The choice.
        layer: Option<EncodingId>,
    },
    /// Ends a session with a goodbye. No [`Event::Closed`] follows.
    Remove(SessionId),
}

/// A new session. The peer is built by the caller, so that its cost is not the shard's.
#[derive(Debug)]
pub struct Add {
    /// Its name.
    pub session: SessionId,
    /// What was negotiated.
    pub agreement: Agreement,
    /// Built from that.
    pub peer: Box<Peer>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// DTLS is up.
    Connected(SessionId),
    /// The first packet of a codec: at the start, and at each change of codec.
    MediaStarted {
        /// Whose.
        session: SessionId,
        /// What it sends now of that codec's kind.
        codec: Codec,
    },
    /// The session is gone.
    Closed {
        /// Which.
        session: SessionId,
        /// Why.
        reason: Closed,
    },
}

/// Why a session ended without the server's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer said goodbye (DTLS close_notify).
    ByPeer,
    /// ICE and DTLS did not come up in time.
    NeverConnected,
    /// Nothing authentic was heard for too long.
    Silent,
    /// The transport failed (fingerprint mismatch, broken handshake).
    Failed,
}

/// All sessions of one thread.
#[derive(Debug)]
pub struct Shard {
    config: Config,
    sessions: Slab<Session>,
    by_id: HashMap<SessionId, Key>,
    demux: Demux,
    timers: BTreeSet<(Instant, Key)>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    /// Publishers with packets in their outbox.
    dirty: Vec<Key>,
    totals: Totals,
    next_look: Instant,
    next_rates: Instant,
}

impl Shard {
    /// An empty shard.
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            config,
            sessions: Slab::new(),
            by_id: HashMap::new(),
            demux: Demux::default(),
            timers: BTreeSet::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            dirty: Vec::new(),
            totals: Totals::default(),
            next_look: now,
            next_rates: now,
        }
    }

    /// Does what the server wants.
    pub fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::AddPublisher(add) => {
                let role = Role::Publisher(Publisher::new(&add.agreement));
                self.add(now, add, role);
            }
            Command::AddViewer(add) => {
                let role = Role::Viewer(Viewer::new(&add.agreement));
                self.add(now, add, role);
            }
            Command::Attach { viewer, publisher } => {
                let publisher = publisher.and_then(|id| self.by_id.get(&id).copied());
                if let Some(viewer) = self.by_id.get(&viewer).copied() {
                    self.attach(now, viewer, publisher);
                }
            }
            Command::SetLayer { viewer, layer } => {
                if let Some(key) = self.by_id.get(&viewer).copied() {
                    if let Some(viewer) = self.sessions[key].viewer_mut() {
                        viewer.want(layer);
                    }
                    self.choose(now, key);
                }
            }
            Command::Remove(id) => {
                if let Some(key) = self.by_id.get(&id).copied() {
                    self.remove(key);
                }
            }
        }
    }

    /// A datagram from `source` that arrived at our address `destination`.
    pub fn receive(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
    ) {
        let Some(key) = self.demux.find(source, bytes) else {
            return self.totals.drops.count(Drop::UnknownSource);
        };
        let session = &mut self.sessions[key];
        match session.peer.receive(now, source, destination, bytes) {
            Ok(Taken::Stun) => {
                session.last_heard = now;
                self.demux.route(&session.ufrag, source);
            }
            Ok(Taken::Other) => {}
            Err(Reject::Malformed) => self.totals.drops.count(Drop::Malformed),
            Err(Reject::NotAuthentic) => self.totals.drops.count(Drop::NotAuthentic),
            Err(Reject::Transport) => self.totals.drops.count(Drop::Transport),
        }
        let packets = self.drain(now, key);
        if packets == 0 && is_rtp(bytes) {
            self.totals.drops.count(Drop::RtpUnusable);
        }
    }

    /// Ends a batch: what publishers sent goes out to their viewers.
    pub fn flush(&mut self, now: Instant) {
        for key in std::mem::take(&mut self.dirty) {
            self.fan_out(now, key);
        }
    }

    /// The time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, key)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, key));
            let session = &mut self.sessions[key];
            session.deadline = None;
            session.peer.handle_timeout(now);
            self.drain(now, key);
        }
        if self.next_look <= now {
            self.next_look = now + life::LOOK_INTERVAL;
            self.look(now);
        }
        if self.next_rates <= now {
            self.next_rates = now + life::RATES_INTERVAL;
            self.update_rates(now);
        }
        self.flush(now);
    }

    /// When to call [`Shard::handle_timeout`] next; `None` while there is nobody.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.sessions.is_empty() {
            return None;
        }
        let look = self.next_look.min(self.next_rates);
        Some(self.timers.first().map_or(look, |(due, _)| look.min(*due)))
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sums since the start.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How many sessions, routes by name and by address there are.
    pub fn len(&self) -> (usize, usize, usize) {
        let (ufrags, addresses) = self.demux.len();
        (self.sessions.len(), ufrags, addresses)
    }

    /// What a publisher sends; empty for unknown sessions.
    pub fn publisher(&self, id: SessionId) -> Vec<EncodingSnapshot> {
        let publisher = self.by_id.get(&id).and_then(|key| self.sessions[*key].publisher());
        publisher.map_or_else(Vec::new, |p| p.encodings.iter().map(|e| e.snapshot()).collect())
    }

    /// What a viewer gets.
    pub fn viewer(&self, id: SessionId, now: Instant) -> Option<ViewerSnapshot> {
        let viewer = self.sessions[*self.by_id.get(&id)?].viewer()?;
        let publisher = viewer.publisher.and_then(|key| self.sessions[key].publisher());
        Some(viewer.snapshot(publisher, now))
    }

    /// Polls a peer until it has nothing more to say; returns how many media packets came.
    fn drain(&mut self, now: Instant, key: Key) -> usize {
        let mut packets = 0;
        loop {
            match self.sessions[key].peer.poll() {
                Output::Transmit(transmit) => self.transmits.push_back(transmit),
                Output::Timeout(deadline) => {
                    self.schedule(key, deadline);
                    break;
                }
                Output::Event(PeerEvent::Packet(packet)) => {
                    packets += 1;
                    self.sessions[key].last_heard = now;
                    self.media(now, key, packet);
                }
                Output::Event(event) => {
                    if event.proves_life() {
                        self.sessions[key].last_heard = now;
                    }
                    self.peer_event(now, key, event);
                }
            }
        }
        packets
    }

    fn peer_event(&mut self, now: Instant, key: Key, event: PeerEvent) {
        let session = &mut self.sessions[key];
        match event {
            PeerEvent::Connected => {
                session.connected = true;
                self.events.push_back(Event::Connected(session.id));
                if let Some(viewer) = session.viewer_mut() {
                    viewer.connected = true;
                    self.choose(now, key);
                }
            }
            PeerEvent::Closed => session.closed = Some(Closed::ByPeer),
            PeerEvent::KeyframeRequest => {
                let Some(viewer) = session.viewer() else { return };
                if let Some((publisher, encoding)) = viewer.publisher.zip(viewer.shown()) {
                    self.want_keyframe(now, publisher, encoding);
                }
            }
            PeerEvent::Feedback { kind, loss, rtt } => {
                if let Some(viewer) = session.viewer_mut() {
                    viewer.feedback(kind, loss, rtt);
                }
            }
            PeerEvent::Packet(_) => unreachable!("packets are taken by drain"),
        }
    }

    fn media(&mut self, now: Instant, key: Key, packet: Packet) {
        let session = &mut self.sessions[key];
        let id = session.id;
        let bytes = packet.payload.len() as u64;
        // A viewer has no business sending media.
        let Some(publisher) = session.publisher_mut() else {
            return self.totals.drops.count(Drop::UnknownPayload);
        };
        match publisher.receive(packet) {
            Ok(change) => {
                self.totals.packets_in += 1;
                self.totals.bytes_in += bytes;
                if publisher.outbox.len() == 1 {
                    self.dirty.push(key);
                }
                if let Some(codec) = change.codec {
                    self.events.push_back(Event::MediaStarted { session: id, codec });
                }
                if change.encodings {
                    self.choose_all(now, key);
                }
            }
            Err(reason) => self.totals.drops.count(reason),
        }
    }

    /// One run per viewer: everything that came for it since the last flush.
    fn fan_out(&mut self, now: Instant, key: Key) {
        let Some(publisher) = self.sessions.get_mut(key).and_then(Session::publisher_mut) else {
            return;
        };
        // Taken out and put back, so that the viewers can be changed meanwhile.
        let mut outbox = std::mem::take(&mut publisher.outbox);
        let viewers = std::mem::take(&mut publisher.viewers);
        let encodings = std::mem::take(&mut publisher.encodings);
        for viewer in viewers.iter().copied() {
            let Some((viewer, peer)) = self.sessions[viewer].viewer_and_peer() else { continue };
            for outgoing in &outbox {
                match viewer.forward(outgoing, &encodings, peer) {
                    Ok(sent) => self.totals.sent += sent,
                    Err(reason) => self.totals.drops.count(reason),
                }
            }
        }
        outbox.clear();
        if let Some(publisher) = self.sessions[key].publisher_mut() {
            publisher.outbox = outbox;
            publisher.encodings = encodings;
        }
        for viewer in viewers.iter().copied() {
            self.drain(now, viewer);
        }
        if let Some(publisher) = self.sessions[key].publisher_mut() {
            publisher.viewers = viewers;
        }
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
}

/// RTP and not RTCP, by RFC 5761 section 4.
fn is_rtp(bytes: &[u8]) -> bool {
    matches!(bytes, [128..=191, pt, ..] if !(64..=95).contains(&(pt & 0x7f)))
}
