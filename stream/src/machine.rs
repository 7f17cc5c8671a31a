//! The state machine itself: who publishes, who is about to, who watches.

use std::collections::BTreeMap;
use std::time::Instant;

use media::{Codec, Kind};
use signaling::SessionId;

use crate::event::{Command, Event, Reason};

/// Where a stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No publisher has connected yet.
    Idle,
    /// A publisher is connecting, or connected without media yet.
    Starting,
    /// Media flows.
    Live,
    /// The publisher has left; viewers wait for the next.
    Ended,
}

/// One publisher.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Its session.
    pub session: SessionId,
    /// When it joined.
    pub since: Instant,
    /// What it may send, best first.
    pub codecs: Vec<Codec>,
    /// What it was last seen to send, by kind.
    audio: Option<Codec>,
    video: Option<Codec>,
}

/// One viewer.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// When it joined.
    pub since: Instant,
    /// What it can take.
    pub codecs: Vec<Codec>,
    /// Media can be sent to it.
    pub connected: bool,
}

/// The life of one stream. The contract is at the top of the crate.
#[derive(Debug, Default)]
pub struct Stream {
    /// The one that viewers are attached to; connected.
    publisher: Option<Publisher>,
    /// Accepted but not connected: takes over when it is.
    pending: Option<Publisher>,
    viewers: BTreeMap<SessionId, Viewer>,
    /// Why the last publisher went, if one was ever connected and none is now.
    ended: Option<String>,
    draining: bool,
}

impl Stream {
    /// A stream that nobody publishes or watches.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what happened at `now` and appends what is to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event, out: &mut Vec<Command>) {
        match event {
            Event::PublisherJoined { session, codecs } => {
                self.publisher_joined(now, session, codecs, out);
            }
            Event::PublisherConnected { session } => self.publisher_connected(session, out),
            Event::MediaStarted { session, codec } => self.media_started(session, codec),
            Event::PublisherLeft { session, reason } => self.publisher_left(session, reason, out),
            Event::ViewerJoined { session, codecs } => {
                self.viewer_joined(now, session, codecs, out);
            }
            Event::ViewerConnected { session } => {
                if let Some(viewer) = self.viewers.get_mut(&session) {
                    viewer.connected = true;
                }
            }
            Event::ViewerLeft { session } => {
                self.viewers.remove(&session);
            }
            Event::PublisherKicked => self.close_publishers(Reason::Kicked, out),
            Event::Drain => self.drain(out),
        }
    }

    /// Where the stream is in its life. A publisher that is connecting while another one is live
    /// changes nothing yet.
    pub fn state(&self) -> State {
        match (&self.publisher, &self.pending) {
            (Some(active), _) if active.has_media() => State::Live,
            (None, None) if self.ended.is_some() => State::Ended,
            (None, None) => State::Idle,
            _ => State::Starting,
        }
    }

    /// Nobody publishes, is about to, or watches: the stream can be dropped.
    pub fn is_empty(&self) -> bool {
        self.publisher.is_none() && self.pending.is_none() && self.viewers.is_empty()
    }

    /// Who publishes now: connected, media or not.
    pub fn publisher(&self) -> Option<&Publisher> {
        self.publisher.as_ref()
    }

    /// Who is connecting and takes over when it is connected.
    pub fn pending(&self) -> Option<&Publisher> {
        self.pending.as_ref()
    }

    /// One viewer.
    pub fn viewer(&self, session: SessionId) -> Option<&Viewer> {
        self.viewers.get(&session)
    }

    /// Every viewer, in the order of their sessions.
    pub fn viewers(&self) -> impl ExactSizeIterator<Item = (SessionId, &Viewer)> {
        self.viewers.iter().map(|(session, viewer)| (*session, viewer))
    }

    /// Why the last publisher went, while there is none connected.
    pub fn ended_because(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// What the publisher sends and this viewer cannot take, at most one codec per kind. Before
    /// media: the publisher's first choice, if the viewer can take none of its choices. A kind for
    /// which the viewer has no codec at all it does not want, so nothing is missing.
    pub fn missing_codec(&self, viewer: SessionId) -> Vec<Codec> {
        let (Some(viewer), Some(publisher)) = (self.viewers.get(&viewer), &self.publisher) else {
            return Vec::new();
        };
        [Kind::Audio, Kind::Video]
            .into_iter()
            .filter(|kind| viewer.codecs.iter().any(|c| c.kind() == *kind))
            .filter_map(|kind| publisher.untakeable(kind, &viewer.codecs))
            .collect()
    }

    fn publisher_joined(
        &mut self,
        now: Instant,
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
        let joined = Publisher { session, since: now, codecs, audio: None, video: None };
        if let Some(older) = self.pending.replace(joined) {
            out.push(Command::Close { session: older.session, reason: Reason::Replaced });
        }
    }

    fn publisher_connected(&mut self, session: SessionId, out: &mut Vec<Command>) {
        let Some(next) = self.pending.take_if(|p| p.session == session) else {
            return;
        };
        self.ended = None;
        // The new one first: a viewer then never stands without a publisher.
        for viewer in self.viewers.keys() {
            out.push(Command::Attach { viewer: *viewer, publisher: session });
        }
        if let Some(old) = self.publisher.replace(next) {
            out.push(Command::Close { session: old.session, reason: Reason::Replaced });
        }
    }

    fn media_started(&mut self, session: SessionId, codec: Codec) {
        let publishers = [&mut self.publisher, &mut self.pending];
        for publisher in publishers.into_iter().flatten().filter(|p| p.session == session) {
            match codec.kind() {
                Kind::Audio => publisher.audio = Some(codec),
                Kind::Video => publisher.video = Some(codec),
            }
        }
    }

    fn publisher_left(&mut self, session: SessionId, reason: String, out: &mut Vec<Command>) {
        self.pending.take_if(|p| p.session == session);
        if self.publisher.take_if(|p| p.session == session).is_some() {
            self.ended = Some(reason);
            self.detach_all(out);
        }
    }

    fn viewer_joined(
        &mut self,
        now: Instant,
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
        self.viewers.insert(session, Viewer { since: now, codecs, connected: false });
        if let Some(publisher) = &self.publisher {
            out.push(Command::Attach { viewer: session, publisher: publisher.session });
        }
    }

    fn drain(&mut self, out: &mut Vec<Command>) {
        self.draining = true;
        for (session, _) in std::mem::take(&mut self.viewers) {
            out.push(Command::Close { session, reason: Reason::Draining });
        }
        self.close_publishers(Reason::Draining, out);
    }

    fn close_publishers(&mut self, reason: Reason, out: &mut Vec<Command>) {
        if let Some(pending) = self.pending.take() {
            out.push(Command::Close { session: pending.session, reason });
        }
        if let Some(active) = self.publisher.take() {
            self.ended = Some(reason.to_string());
            self.detach_all(out);
            out.push(Command::Close { session: active.session, reason });
        }
    }

    fn detach_all(&self, out: &mut Vec<Command>) {
        out.extend(self.viewers.keys().map(|viewer| Command::Detach { viewer: *viewer }));
    }

    fn knows(&self, session: SessionId) -> bool {
        let publishers = [&self.publisher, &self.pending];
        self.viewers.contains_key(&session)
            || publishers.into_iter().flatten().any(|p| p.session == session)
    }
}

impl Publisher {
    /// At least one packet has come.
    pub fn has_media(&self) -> bool {
        self.audio.is_some() || self.video.is_some()
    }

    /// The codec of this kind that it was last seen to send.
    pub fn sends(&self, kind: Kind) -> Option<Codec> {
        match kind {
            Kind::Audio => self.audio,
            Kind::Video => self.video,
        }
    }

    /// What it sends of `kind` (before media: would like to) and `codecs` does not hold.
    fn untakeable(&self, kind: Kind, codecs: &[Codec]) -> Option<Codec> {
        if let Some(codec) = self.sends(kind) {
            return (!codecs.contains(&codec)).then_some(codec);
        }
        let mut choices = self.codecs.iter().copied().filter(|c| c.kind() == kind);
        let first = choices.clone().next()?;
        (!choices.any(|c| codecs.contains(&c))).then_some(first)
    }
}
