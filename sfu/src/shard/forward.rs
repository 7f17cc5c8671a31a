//! The way of media through a shard: out of a publisher's peer, into a batch, into the rings, to
//! every viewer.

use std::time::Instant;

use media::Activity;

use super::session::Role;
use super::{Closed, Event, Key, Shard, is_rtp};
use crate::egress::Sink;
use crate::feed::Batch;
use crate::packet::Packet;
use crate::path::Path;
use crate::publisher::Change;
use crate::rtc::{Event as PeerEvent, Output, Reject, Taken};
use crate::stats::Drop;

impl Shard {
    pub(super) fn publisher_says(
        &mut self,
        now: Instant,
        key: Key,
        path: Path,
        bytes: &[u8],
    ) -> bool {
        let Self { sessions, egress, .. } = self;
        let session = &mut sessions[key];
        let Role::Publisher(peer, _) = &mut session.role else { return false };
        let taken = peer.receive(now, path, bytes, egress);
        match taken {
            Ok(_) => {}
            Err(Reject::Malformed) => session.recorder.drops.count(Drop::Malformed),
            Err(Reject::NotAuthentic) => session.recorder.drops.count(Drop::NotAuthentic),
            Err(Reject::Transport) => session.recorder.drops.count(Drop::Transport),
        }
        let packets = self.drain(now, key);
        if packets == 0 && is_rtp(bytes) {
            self.sessions[key].recorder.drops.count(Drop::RtpUnusable);
        }
        taken == Ok(Taken::Stun)
    }

    pub(super) fn drain_publisher(&mut self, now: Instant, key: Key) -> usize {
        let mut packets = 0;
        loop {
            let session = &mut self.sessions[key];
            let Role::Publisher(peer, _) = &mut session.role else { return packets };
            match peer.poll() {
                Output::Transmit(t) => self.egress.push(t.path, &t.contents),
                Output::Timeout(deadline) => {
                    self.schedule(key, deadline);
                    return packets;
                }
                Output::Event(PeerEvent::Packet(packet)) => {
                    packets += 1;
                    session.last_heard = now;
                    self.media(key, packet);
                }
                Output::Event(event) => {
                    if event.proves_life() {
                        session.last_heard = now;
                    }
                    match event {
                        PeerEvent::Connected => {
                            session.connected = true;
                            session.recorder.dtls_up(now, None);
                            self.events.push_back(Event::Connected(session.id));
                        }
                        PeerEvent::Closed => session.closed = Some(Closed::ByPeer),
                        // Nobody asks a publisher for what it receives: it receives nothing.
                        _ => {}
                    }
                }
            }
        }
    }

    fn media(&mut self, key: Key, packet: Packet) {
        let session = &mut self.sessions[key];
        let bytes = packet.payload.len() as u64;
        let Role::Publisher(_, publisher) = &mut session.role else { return };
        match publisher.receive(packet, &mut session.recorder) {
            Ok(change) => {
                self.totals.packets_in += 1;
                self.totals.bytes_in += bytes;
                self.changed(key, change);
            }
            Err(reason) => session.recorder.drops.count(reason),
        }
    }

    /// A packet has gone into the outbox of a publisher.
    pub(super) fn changed(&mut self, key: Key, change: Change) {
        let session = self.sessions[key].id;
        if change.first {
            self.mark(key);
        }
        if let Some(codec) = change.codec {
            self.events.push_back(Event::MediaStarted { session, codec });
        }
        if change.resumed {
            let activity = Activity::Media;
            self.events.push_back(Event::Activity { session, activity });
        }
    }

    /// The publisher has something to say at the next flush.
    pub(super) fn mark(&mut self, publisher: Key) {
        if !self.dirty.contains(&publisher) {
            self.dirty.push(publisher);
        }
    }

    /// Into the rings, then one run per viewer: everything that came for it in this batch.
    pub(super) fn fan_out(&mut self, now: Instant, batch: &Batch, sink: &mut dyn Sink) {
        let Some(feed) = self.feeds.get_mut(&batch.publisher) else { return };
        if feed.learn(batch) {
            let starts = batch.packets.iter().filter(|p| p.start).map(|p| p.encoding);
            let coming: Vec<usize> = starts.collect();
            self.choose_all(now, batch.publisher, &coming);
        }
        let Some(feed) = self.feeds.get_mut(&batch.publisher) else { return };
        let new = feed.insert(batch);
        let batch = new.as_ref().unwrap_or(batch);
        // Taken out and put back, so that timers can be set meanwhile.
        let viewers = std::mem::take(&mut feed.viewers);
        for key in &viewers {
            let Self { sessions, feeds, egress, totals, .. } = self;
            let Some(feed) = feeds.get(&batch.publisher) else { break };
            let Some((transport, viewer, recorder)) = sessions[*key].viewing() else { continue };
            totals.sent += viewer.forward(now, batch, feed, transport, egress, recorder);
            self.schedule_viewer(*key);
            if self.egress.is_full() {
                self.egress.drain(sink);
            }
        }
        if let Some(feed) = self.feeds.get_mut(&batch.publisher) {
            feed.viewers = viewers;
        }
    }
}
