//! Publishers whose packets are made in this server, and bridged encodings beside a publisher's own.

use std::time::Instant;

use media::{Activity, EncodingId, Kind};

use super::exchange::Kind as Said;
use super::session::Role;
use super::{Add, Command, Event, Key, Shard};
use crate::local::Made;
use crate::recorder::{Decision, Recorder};
use crate::stats::{Drop, Origin};

impl Shard {
    /// A session without a client begins: here, or where the directory has it.
    pub(super) fn add_local(&mut self, now: Instant, add: Box<Add>) {
        let session = add.session;
        let home = self.directory.settle(session, self.index);
        if home != self.index {
            return self.tell(home, Said::Command(Command::Add(add)));
        }
        if self.by_id.contains_key(&session) {
            return;
        }
        let mut recorder = Recorder::new(now);
        recorder.record(now, Decision::Local);
        let key = self.add(now, *add, now, recorder);
        self.sessions[key].connected = true;
        self.events.push_back(Event::Connected(session));
    }

    /// Packets for a publisher; they wait for the flush.
    pub(super) fn take_made(&mut self, now: Instant, key: Key, made: Made) {
        let Made { origin, source, packets, .. } = made;
        let replayed = packets.iter().any(|packet| packet.arrived.is_some());
        for packet in packets {
            let session = &mut self.sessions[key];
            let own = origin == Origin::Source;
            let bytes = packet.payload.len() as u64;
            let recorder = &mut session.recorder;
            let publisher = match &mut session.role {
                Role::Local(publisher) => publisher,
                Role::Publisher(_, publisher) if !own => publisher,
                Role::Publisher(..) | Role::Viewer(..) => {
                    recorder.drops.count(Drop::UnknownPayload);
                    continue;
                }
            };
            match publisher.make(now, packet, (origin, source), recorder) {
                Ok(change) => {
                    if own {
                        session.last_heard = now;
                        self.totals.packets_in += 1;
                        self.totals.bytes_in += bytes;
                    }
                    self.changed(key, change);
                }
                Err(reason) => recorder.drops.count(reason),
            }
        }
        // Viewers begin with it at once, and how fast depends on its bitrate.
        if let Some(publisher) = self.sessions[key].publisher_mut().filter(|_| replayed) {
            publisher.measure(now);
        }
    }

    /// It lives, though nothing of it became a packet. `media`: some came, and whether it is held.
    pub(super) fn hear_local(&mut self, now: Instant, key: Key, media: Option<bool>) {
        let session = &mut self.sessions[key];
        let Role::Local(publisher) = &mut session.role else { return };
        session.last_heard = now;
        if media.is_some_and(|held| publisher.heard_media(now, held)) {
            let activity = Activity::Media;
            self.events.push_back(Event::Activity { session: session.id, activity });
        }
    }

    /// A bridge has ended: who watched what it made chooses anew.
    pub(super) fn unbridge(&mut self, now: Instant, key: Key, kind: Kind, encoding: EncodingId) {
        let session = &mut self.sessions[key];
        let recorder = &mut session.recorder;
        if let Role::Publisher(_, publisher) | Role::Local(publisher) = &mut session.role
            && publisher.unbridge(now, (kind, encoding), recorder)
        {
            self.mark(key);
        }
    }

    /// Who decodes what a publisher sends needs a keyframe.
    pub(super) fn want_own(&mut self, now: Instant, key: Key, encoding: EncodingId) {
        let Some(publisher) = self.sessions[key].publisher_mut() else { return };
        let wanted = (Kind::Video, Origin::Source, encoding);
        if let Some(index) = publisher.find(wanted) {
            self.want_local_keyframe(now, key, index);
        }
    }
}
