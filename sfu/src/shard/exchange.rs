//! What shards say to each other: media of publishers that live elsewhere, datagrams that the
//! kernel gave to the wrong one, and who wants what.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use signaling::SessionId;

use super::{Add, Command, Key, Shard, Word};
use crate::demux::ufrags;
use crate::directory::Found;
use crate::feed::{Batch, Feed, Snapshot};
use crate::path::{Over, Path};
use crate::stats::Drop;

/// Addresses of sessions on other shards that one shard knows: beyond that, datagrams from them are
/// dropped until one leaves.
const MAX_FOREIGN: usize = 65_536;
/// Routes that other shards keep for one session; the one that was used least lately goes first.
const MAX_ROUTES: usize = 8;

/// From one shard to another.
#[derive(Debug)]
pub struct Message(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    /// What one wake brought from a publisher.
    Batch(Arc<Batch>),
    /// For a session that lives there.
    Command(Command),
    /// This shard has viewers of that publisher from now on.
    Subscribe { publisher: SessionId, shard: usize },
    /// It has none any more.
    Unsubscribe { publisher: SessionId, shard: usize },
    /// What there is so far.
    Feed(Box<Snapshot>),
    /// That publisher is gone.
    Gone(SessionId),
    /// A viewer needs a keyframe.
    Keyframe { publisher: SessionId, encoding: usize },
    /// Datagrams for sessions that live there, received by that shard.
    Datagrams(usize, Vec<Datagram>),
    /// The session at this address has proven that it lives on that shard.
    Route(SocketAddr, usize),
    /// The session of that shard is not there any more.
    Unroute(SocketAddr, usize),
}

/// A datagram that landed on the wrong shard.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) path: Path,
    pub(super) bytes: Vec<u8>,
}

impl Message {
    /// Media may be dropped where the lane is full; everything else has to arrive.
    pub fn is_media(&self) -> bool {
        match &self.0 {
            Kind::Batch(_) | Kind::Datagrams(..) => true,
            Kind::Command(command) => matches!(command, Command::Media(_)),
            _ => false,
        }
    }

    fn packets(&self) -> usize {
        match &self.0 {
            Kind::Batch(batch) => batch.packets.len(),
            Kind::Datagrams(_, datagrams) => datagrams.len(),
            Kind::Command(command) => command.packets(),
            _ => 0,
        }
    }
}

impl Shard {
    /// The next message to another shard, by its index.
    pub fn poll_message(&mut self) -> Option<(usize, Message)> {
        self.messages.pop_front()
    }

    /// A message that found its lane full.
    pub fn dropped(&mut self, message: &Message) {
        self.totals.drops.add(Drop::LaneFull, message.packets() as u64);
    }

    /// Another shard says something. Media waits for [`Shard::flush`].
    pub fn message(&mut self, now: Instant, message: Message) {
        match message.0 {
            Kind::Batch(batch) => self.arrived.push(batch),
            Kind::Command(command) => self.command(now, command),
            Kind::Subscribe { publisher, shard } => self.subscribe(publisher, shard),
            Kind::Unsubscribe { publisher, shard } => {
                let key = self.by_id.get(&publisher).copied();
                if let Some(publisher) = key.and_then(|k| self.sessions[k].publisher_mut()) {
                    publisher.subscribers.remove(&shard);
                }
            }
            Kind::Feed(snapshot) => {
                let publisher = snapshot.publisher;
                if let Some(feed) = self.feeds.get_mut(&publisher) {
                    feed.restore(*snapshot);
                    self.choose_all(now, publisher, &[]);
                }
            }
            Kind::Gone(publisher) => self.lose(now, publisher),
            Kind::Keyframe { publisher, encoding } => {
                if let Some(key) = self.by_id.get(&publisher).copied() {
                    self.want_local_keyframe(now, key, encoding);
                }
            }
            Kind::Datagrams(from, datagrams) => {
                for mut d in datagrams {
                    self.take_over(now, from, d.path, &mut d.bytes);
                }
            }
            Kind::Route(address, home) => {
                if self.foreign.len() < MAX_FOREIGN {
                    self.foreign.insert(address, home);
                }
            }
            Kind::Unroute(address, home) => {
                // Unless a session of a third shard is there by now.
                if self.foreign.get(&address) == Some(&home) {
                    self.foreign.remove(&address);
                }
            }
        }
    }

    /// A datagram of nobody that is known here.
    pub(super) fn stranger(&mut self, now: Instant, path: Path, bytes: &mut [u8]) {
        // A check says itself whose it is: the address may have been another session's.
        let stun = matches!(bytes.first(), Some(0..=3));
        let udp = path.over == Over::Udp;
        let elsewhere = if stun || !udp { None } else { self.foreign.get(&path.remote).copied() };
        if let Some(shard) = elsewhere {
            return self.hand_over(shard, path, bytes);
        }
        let authentic = |add: &Add| add.link.authentic(bytes);
        let names = if stun { ufrags(bytes) } else { None };
        let from = (now, path.remote);
        match names.and_then(|(ours, _)| self.directory.find(self.index, ours, from, authentic)) {
            Some(Found::Claimed(add, since, commands, recorder)) => {
                let key = self.add(now, *add, since, *recorder);
                commands.into_iter().for_each(|command| self.obey(now, command));
                self.deliver(now, key, path, bytes);
            }
            Some(Found::Elsewhere(shard)) if shard != self.index && udp => {
                self.hand_over(shard, path, bytes);
            }
            None if stun && self.answer_probe(path, bytes) => {}
            found => {
                self.totals.drops.count(Drop::UnknownSource);
                if let (None, Some(names)) = (&found, names) {
                    self.directory.strange(now, names, path.remote);
                }
                // Its session came to another shard by UDP meanwhile: it has no need of this.
                if let (Some(Found::Elsewhere(_)), Over::Tcp(wire)) = (found, path.over) {
                    self.words.push_back((wire, Word::Over));
                }
            }
        }
    }

    /// The server asks itself whether it is there.
    fn answer_probe(&mut self, path: Path, check: &[u8]) -> bool {
        let answer = self.directory.answer(check, path.remote);
        answer.iter().for_each(|answer| self.egress.push(path, answer));
        answer.is_some()
    }

    pub(super) fn tell(&mut self, shard: usize, kind: Kind) {
        self.messages.push_back((shard, Message(kind)));
    }

    /// Keeps a datagram for the shard where its session lives, until the batch ends.
    pub(super) fn hand_over(&mut self, shard: usize, path: Path, bytes: &[u8]) {
        let datagram = Datagram { path, bytes: bytes.to_vec() };
        match self.strays.iter_mut().find(|(to, _)| *to == shard) {
            Some((_, datagrams)) => datagrams.push(datagram),
            None => self.strays.push((shard, vec![datagram])),
        }
    }

    /// Ends a batch of datagrams for others.
    pub(super) fn send_strays(&mut self) {
        for (shard, datagrams) in std::mem::take(&mut self.strays) {
            self.tell(shard, Kind::Datagrams(self.index, datagrams));
        }
    }

    /// A datagram that another shard has received for one of our sessions.
    fn take_over(&mut self, now: Instant, from: usize, path: Path, bytes: &mut [u8]) {
        let Some(key) = self.demux.find(path.sender(), bytes) else {
            return self.totals.drops.count(Drop::UnknownSource);
        };
        let proven = self.deliver(now, key, path, bytes);
        // Only who has proven to be there gets a route, or anybody could have one.
        let Some(session) = self.sessions.get_mut(key).filter(|_| proven) else { return };
        let route = (from, path.remote);
        if let Some(known) = session.foreign.iter().position(|r| *r == route) {
            return session.foreign[known..].rotate_left(1);
        }
        let oldest = (session.foreign.len() >= MAX_ROUTES).then(|| session.foreign.remove(0));
        session.foreign.push(route);
        self.tell(from, Kind::Route(path.remote, self.index));
        if let Some((shard, address)) = oldest {
            self.unroute(shard, address, key);
        }
    }

    /// A session of ours has left an address that another shard knows, unless another one of ours is
    /// there by now.
    pub(super) fn unroute(&mut self, shard: usize, address: SocketAddr, session: Key) {
        if self.demux.at((address, Over::Udp)).is_none_or(|key| key == session) {
            self.tell(shard, Kind::Unroute(address, self.index));
        }
    }

    fn subscribe(&mut self, publisher: SessionId, shard: usize) {
        let key = self.by_id.get(&publisher).copied();
        let known = key.and_then(|key| self.sessions[key].publisher_mut());
        let Some((known, feed)) = known.zip(self.feeds.get(&publisher)) else {
            return self.tell(shard, Kind::Gone(publisher));
        };
        known.subscribers.insert(shard);
        let snapshot = Box::new(feed.snapshot(publisher));
        self.tell(shard, Kind::Feed(snapshot));
    }

    /// The feed of a publisher for a viewer that wants it; subscribes where it lives elsewhere.
    pub(super) fn feed_for(&mut self, publisher: SessionId) -> Option<&mut Feed> {
        if !self.feeds.contains_key(&publisher) {
            let home = self.directory.home(publisher)?;
            self.tell(home, Kind::Subscribe { publisher, shard: self.index });
            self.feeds.insert(publisher, Feed::new(home, self.config.history, self.config.settle));
        }
        self.feeds.get_mut(&publisher)
    }

    /// Nobody here watches that publisher any more.
    pub(super) fn release(&mut self, publisher: SessionId) {
        let Some(feed) = self.feeds.get(&publisher) else { return };
        let home = feed.home;
        if feed.viewers.is_empty() && home != self.index {
            self.feeds.remove(&publisher);
            self.tell(home, Kind::Unsubscribe { publisher, shard: self.index });
        }
    }

    /// A publisher is gone: its viewers here wait for another one.
    pub(super) fn lose(&mut self, now: Instant, publisher: SessionId) {
        let Some(feed) = self.feeds.remove(&publisher) else { return };
        for viewer in feed.viewers {
            if let Some((_, viewer, recorder)) = self.sessions[viewer].viewing() {
                viewer.attach(now, None, recorder);
            }
        }
    }
}
