//! What those who take a stream want and cannot take as it is: bridges for them, and word to those whom
//! none helps.

use std::time::Instant;

use media::{Codec, Kind};
use signaling::SessionId;

use super::people::{Publisher, Viewer};
use super::{Stream, policy};
use crate::bridges::{self, AUDIENCE, Bridge, By, Consumer};
use crate::event::{Command, Reason};

const KINDS: [Kind; 2] = [Kind::Audio, Kind::Video];

impl Stream {
    /// What the publisher sends and this viewer gets in no form that it can take, at most one codec per
    /// kind. Before media: the publisher's first choice, if none of its choices suits. A kind for which
    /// the viewer has no codec at all it does not want, so nothing is missing.
    pub fn missing_codec(&self, viewer: SessionId) -> Vec<Codec> {
        let viewer = self.viewers.get(&viewer);
        viewer.map(|viewer| self.untakeable(&viewer.codecs)).unwrap_or_default()
    }

    /// The same of a viewer who has not joined.
    pub fn untakeable(&self, codecs: &[Codec]) -> Vec<Codec> {
        let consumer = Consumer { codecs, by: By::Rtp };
        let Some(publisher) = self.publisher() else { return Vec::new() };
        KINDS.into_iter().filter_map(|kind| self.lacking(&consumer, publisher, kind)).collect()
    }

    /// The bridges that run, are about to, or have failed while somebody needs them.
    pub fn bridges(&self) -> &[Bridge] {
        self.bridges.all()
    }

    /// How many take it by another protocol than WebRTC.
    pub fn players(&self) -> usize {
        self.players.len()
    }

    /// What of this kind comes from `publisher`, and the consumer wants and cannot have.
    fn lacking(&self, consumer: &Consumer<'_>, publisher: &Publisher, kind: Kind) -> Option<Codec> {
        if !consumer.codecs.iter().any(|codec| codec.kind() == kind) {
            return None;
        }
        let serves = |sent| self.bridges.serves(publisher.session, sent, consumer);
        match publisher.sent(kind) {
            Some(sent) => (!serves(sent)).then_some(sent.codec),
            None => {
                publisher.untakeable(kind, |codec| serves(bridges::Sent { codec, reorders: false }))
            }
        }
    }

    /// Forwards, and tells a viewer who cannot take what comes.
    pub(super) fn attach(
        &self,
        session: SessionId,
        viewer: &Viewer,
        publisher: &Publisher,
        out: &mut Vec<Command>,
    ) {
        out.push(Command::Attach { viewer: session, publisher: publisher.session });
        if KINDS.into_iter().any(|kind| self.may_help(viewer, publisher, kind)) {
            out.push(Command::Reconnect { viewer: session });
        }
    }

    /// What comes of this kind is another codec now: tells those who lack it.
    pub(super) fn reconnect(&self, kind: Kind, out: &mut Vec<Command>) {
        let Some(publisher) = self.publisher() else { return };
        let lacking = self.viewers.iter().filter(|(_, v)| self.may_help(v, publisher, kind));
        out.extend(lacking.map(|(viewer, _)| Command::Reconnect { viewer: *viewer }));
    }

    /// A viewer lacks what is sent, and another offer could have it.
    fn may_help(&self, viewer: &Viewer, publisher: &Publisher, kind: Kind) -> bool {
        let sends = publisher.sends(kind).is_some_and(|codec| Codec::WEBRTC.contains(&codec));
        sends && self.lacking(&viewer.consumer(), publisher, kind).is_some()
    }

    /// What became of a bridge: whom it served and it serves no more is told.
    pub(super) fn bridge_is(
        &mut self,
        now: Instant,
        publisher: SessionId,
        codecs: (Codec, Codec),
        state: bridges::State,
        out: &mut Vec<Command>,
    ) {
        let failed = self.bridges.is(now, publisher, codecs, state);
        let active = policy::find(&self.publishers, self.active);
        let Some(active) = active.filter(|p| failed && p.session == publisher) else { return };
        let (from, to) = codecs;
        let Some(sent) = active.sent(from.kind()).filter(|sent| sent.codec == from) else { return };
        for (session, viewer) in &self.viewers {
            let served = bridges::needs(&viewer.consumer(), sent) == Some(to);
            if served && self.may_help(viewer, active, from.kind()) {
                out.push(Command::Reconnect { viewer: *session });
            }
        }
    }

    pub(super) fn player_joined(
        &mut self,
        session: SessionId,
        codecs: Vec<Codec>,
        out: &mut Vec<Command>,
    ) {
        if self.knows(session) {
            return;
        }
        if self.draining {
            out.push(Command::Close { session, reason: Reason::Draining });
            return;
        }
        self.players.insert(session, codecs);
    }

    /// Begins and ends bridges as they are needed.
    pub(super) fn settle_bridges(&mut self, now: Instant, out: &mut Vec<Command>) {
        let Self { publishers, active, viewers, players, audience, bridges, .. } = self;
        let sent = |p: &Publisher| (p.session, KINDS.map(|kind| p.sent(kind)));
        let active = policy::find(publishers, *active).map(sent);
        let sends = |session, kind| policy::find(publishers, Some(session))?.sends(kind);
        let viewers = viewers.values().map(Viewer::consumer);
        let players = players.values().map(|codecs| Consumer { codecs, by: By::Rtmp });
        let audience = AUDIENCE.into_iter().filter(|_| *audience);
        bridges.settle(now, active, sends, viewers.chain(players).chain(audience), out);
    }
}
