//! The state machine itself: who publishes, who is about to or stands by, who watches, and how long a
//! publisher that was lost is waited for.

mod people;
mod policy;
mod wants;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use media::{Activity, Codec};
use signaling::SessionId;

pub use self::people::{Publisher, Viewer};
pub use self::policy::{Conflict, MAX_PENDING, MAX_STANDBYS, Refusal, STEADY};
use crate::bridges::Bridges;
use crate::event::{Command, Event, Reason};

/// The rules of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// A publisher that was lost is waited for so long until the stream has ended.
    pub grace: Duration,
    /// What happens when there is more than one publisher.
    pub on_conflict: Conflict,
    /// There is somebody who can make one codec of another.
    pub bridges: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), on_conflict: Conflict::default(), bridges: false }
    }
}

/// Where a stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No publisher has connected yet.
    Idle,
    /// A publisher is connecting, or connected without media yet.
    Starting,
    /// Media flows.
    Live,
    /// The publisher is lost, and waited for.
    Interrupted,
    /// The publisher has left; viewers wait for the next.
    Ended,
}

/// The life of one stream. The contract is at the top of the crate.
#[derive(Debug)]
pub struct Stream {
    config: Config,
    /// All that are known, in the order of their coming.
    publishers: Vec<Publisher>,
    /// The one that viewers are attached to.
    active: Option<SessionId>,
    viewers: BTreeMap<SessionId, Viewer>,
    /// Who takes it by another protocol, and in which codecs.
    players: BTreeMap<SessionId, Vec<Codec>>,
    /// Somebody takes it as files.
    audience: bool,
    bridges: Bridges,
    absence: Absence,
    draining: bool,
}

/// What has become of the publisher that served last.
#[derive(Clone, Debug)]
enum Absence {
    /// It is there, or there never was one.
    None,
    /// It is lost, and waited for.
    Grace { until: Instant, reason: String },
    /// It is not waited for any more.
    Over { reason: String },
}

impl Stream {
    /// A stream that nobody publishes or watches.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            publishers: Vec::new(),
            active: None,
            viewers: BTreeMap::new(),
            players: BTreeMap::new(),
            audience: false,
            bridges: Bridges::new(config.bridges),
            absence: Absence::None,
            draining: false,
        }
    }

    /// Takes what happened at `now` and appends what is to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event, out: &mut Vec<Command>) {
        self.handle_timeout(now, out);
        match event {
            Event::PublisherJoined { session, codecs } => {
                self.publisher_joined(now, session, codecs, out);
            }
            Event::PublisherConnected { session } => {
                if let Some(publisher) = self.known(session) {
                    publisher.connected = true;
                }
            }
            Event::PublisherActivity { session, activity } => {
                self.publisher_is(now, session, activity);
            }
            Event::MediaStarted { session, codec } => self.media_started(session, codec, out),
            Event::Reorders { session, reorders } => {
                if let Some(publisher) = self.known(session) {
                    publisher.reorders = reorders;
                }
            }
            Event::BridgeIs { publisher, from, to, state } => {
                self.bridge_is(now, publisher, (from, to), state, out);
            }
            Event::PublisherLeft { session, reason, goodbye } => {
                self.publisher_left(now, session, reason, goodbye);
            }
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
            Event::PlayerJoined { session, codecs } => self.player_joined(session, codecs, out),
            Event::PlayerLeft { session } => {
                self.players.remove(&session);
            }
            Event::Audience { present } => self.audience = present && !self.draining,
            Event::PublisherKicked => self.close_publishers(Reason::Kicked, out),
            Event::Drain => self.drain(out),
        }
        self.handle_timeout(now, out);
    }

    /// To be called when [`Stream::deadline`] has come; earlier it does nothing.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Command>) {
        if let Absence::Grace { until, reason } = &mut self.absence
            && *until <= now
        {
            self.absence = Absence::Over { reason: std::mem::take(reason) };
        }
        let next = self.config.on_conflict.serving(&self.publishers, self.active, now);
        if next != self.active {
            self.switch(next, out);
        }
        for (session, reason) in self.config.on_conflict.superfluous(&self.publishers, self.active)
        {
            self.close(session, reason, out);
        }
        self.settle_bridges(now, out);
    }

    /// When to call [`Stream::handle_timeout`] next.
    pub fn deadline(&self) -> Option<Instant> {
        let grace = match self.absence {
            Absence::Grace { until, .. } => Some(until),
            Absence::None | Absence::Over { .. } => None,
        };
        let change = self.config.on_conflict.deadline(&self.publishers, self.active);
        [grace, change, self.bridges.deadline()].into_iter().flatten().min()
    }

    /// Where the stream is in its life. A publisher that is connecting while another one is live
    /// changes nothing yet.
    pub fn state(&self) -> State {
        let connecting = !self.publishers.is_empty();
        match (&self.absence, self.publisher()) {
            (Absence::Grace { .. }, _) => State::Interrupted,
            (Absence::Over { .. }, None) if connecting => State::Starting,
            (Absence::Over { .. }, _) => State::Ended,
            (Absence::None, Some(active)) if active.has_media() => State::Live,
            (Absence::None, Some(_)) => State::Starting,
            (Absence::None, None) if connecting => State::Starting,
            (Absence::None, None) => State::Idle,
        }
    }

    /// Nobody publishes, is about to, is waited for, or watches: the stream can be dropped.
    pub fn is_empty(&self) -> bool {
        let waiting = matches!(self.absence, Absence::Grace { .. });
        let nobody = self.viewers.is_empty() && self.players.is_empty() && !self.audience;
        self.publishers.is_empty() && nobody && !waiting
    }

    /// Whether one more publisher may come.
    ///
    /// # Errors
    /// Says why not. Who joins nevertheless is closed at once.
    pub fn admits_publisher(&self) -> Result<(), Refusal> {
        self.config.on_conflict.admits(&self.publishers, self.active)
    }

    /// Who publishes now: connected, media or not.
    pub fn publisher(&self) -> Option<&Publisher> {
        policy::find(&self.publishers, self.active)
    }

    /// All publishers, the one that serves among them, in the order of their coming.
    pub fn publishers(&self) -> &[Publisher] {
        &self.publishers
    }

    /// The newest of those who do not serve.
    pub fn pending(&self) -> Option<&Publisher> {
        self.publishers.iter().rev().find(|p| Some(p.session) != self.active)
    }

    /// How many stand by: connected, and ready to serve when those before them fall silent.
    pub fn standbys(&self) -> usize {
        let waits = |p: &&Publisher| p.connected && Some(p.session) != self.active;
        match self.config.on_conflict {
            Conflict::Standby => self.publishers.iter().filter(waits).count(),
            Conflict::Takeover | Conflict::Reject => 0,
        }
    }

    /// One viewer.
    pub fn viewer(&self, session: SessionId) -> Option<&Viewer> {
        self.viewers.get(&session)
    }

    /// Every viewer, in the order of their sessions.
    pub fn viewers(&self) -> impl ExactSizeIterator<Item = (SessionId, &Viewer)> {
        self.viewers.iter().map(|(session, viewer)| (*session, viewer))
    }

    /// Why the last publisher went, while the stream is interrupted or has ended.
    pub fn ended_because(&self) -> Option<&str> {
        match &self.absence {
            Absence::None => None,
            Absence::Grace { reason, .. } | Absence::Over { reason } => Some(reason),
        }
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
        let refusal = self.admits_publisher().err().map(|_| Reason::Refused);
        if let Some(reason) = self.draining.then_some(Reason::Draining).or(refusal) {
            out.push(Command::Close { session, reason });
            return;
        }
        self.publishers.push(Publisher::new(session, now, codecs));
        if let Some(oldest) = self.config.on_conflict.crowded_out(&self.publishers, self.active) {
            self.close(oldest, Reason::Replaced, out);
        }
    }

    fn publisher_is(&mut self, now: Instant, session: SessionId, activity: Activity) {
        let Some(publisher) = self.known(session).filter(|p| p.connected) else { return };
        if publisher.activity == activity {
            return;
        }
        publisher.activity = activity;
        publisher.steady_since = (activity == Activity::Media).then_some(now);
        let has_media = publisher.has_media();
        if self.active != Some(session) {
            return;
        }
        match (activity, &self.absence) {
            (Activity::Media | Activity::Quiet, _) => self.absence = Absence::None,
            // One that has shown nothing yet is still starting.
            (Activity::Silent, Absence::None) if has_media => {
                self.wait(now, "nothing is heard from it".to_owned());
            }
            (Activity::Silent, _) => {}
        }
    }

    fn media_started(&mut self, session: SessionId, codec: Codec, out: &mut Vec<Command>) {
        let Some(publisher) = self.known(session) else { return };
        let changed = publisher.starts(codec);
        if changed && self.active == Some(session) {
            self.reconnect(codec.kind(), out);
        }
    }

    fn publisher_left(&mut self, now: Instant, session: SessionId, reason: String, goodbye: bool) {
        if self.known(session).is_none() {
            return;
        }
        self.publishers.retain(|p| p.session != session);
        if self.active != Some(session) {
            return;
        }
        match &mut self.absence {
            _ if goodbye => self.absence = Absence::Over { reason },
            Absence::None => self.wait(now, reason),
            // It has been lost since it fell silent; now there is a better reason.
            Absence::Grace { reason: known, .. } | Absence::Over { reason: known } => {
                *known = reason;
            }
        }
    }

    fn wait(&mut self, now: Instant, reason: String) {
        // A grace that no clock can hold is for ever; a century is.
        const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
        let until = now + self.config.grace.min(LONGEST);
        self.absence = Absence::Grace { until, reason };
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
        let viewer = Viewer { since: now, codecs, connected: false };
        if let Some(publisher) = self.publisher() {
            self.attach(session, &viewer, publisher, out);
        }
        self.viewers.insert(session, viewer);
    }

    /// Another publisher serves, or none does.
    fn switch(&mut self, next: Option<SessionId>, out: &mut Vec<Command>) {
        let before = std::mem::replace(&mut self.active, next);
        let Some(publisher) = policy::find(&self.publishers, next) else {
            return self.detach_all(out);
        };
        if publisher.is_there() {
            self.absence = Absence::None;
        }
        // The new one first: a viewer then never stands without a publisher.
        for (session, viewer) in &self.viewers {
            self.attach(*session, viewer, publisher, out);
        }
        if let Some(before) = before.filter(|_| self.config.on_conflict != Conflict::Standby) {
            self.close(before, Reason::Replaced, out);
        }
    }

    fn drain(&mut self, out: &mut Vec<Command>) {
        self.draining = true;
        self.audience = false;
        for (session, _) in std::mem::take(&mut self.viewers) {
            out.push(Command::Close { session, reason: Reason::Draining });
        }
        for (session, _) in std::mem::take(&mut self.players) {
            out.push(Command::Close { session, reason: Reason::Draining });
        }
        self.close_publishers(Reason::Draining, out);
    }

    /// Ends all publishers, and the wait for one that was lost.
    fn close_publishers(&mut self, reason: Reason, out: &mut Vec<Command>) {
        let active = self.active.take();
        if active.is_some() {
            self.detach_all(out);
        }
        if active.is_some() || matches!(self.absence, Absence::Grace { .. }) {
            self.absence = Absence::Over { reason: reason.to_string() };
        }
        for publisher in std::mem::take(&mut self.publishers) {
            out.push(Command::Close { session: publisher.session, reason });
        }
    }

    /// Closes a publisher that is known; one that is gone already needs no closing.
    fn close(&mut self, session: SessionId, reason: Reason, out: &mut Vec<Command>) {
        let known = self.publishers.len();
        self.publishers.retain(|p| p.session != session);
        if self.publishers.len() < known {
            out.push(Command::Close { session, reason });
        }
    }

    fn detach_all(&self, out: &mut Vec<Command>) {
        out.extend(self.viewers.keys().map(|viewer| Command::Detach { viewer: *viewer }));
    }

    fn known(&mut self, publisher: SessionId) -> Option<&mut Publisher> {
        self.publishers.iter_mut().find(|p| p.session == publisher)
    }

    fn knows(&self, session: SessionId) -> bool {
        let consumes = self.viewers.contains_key(&session) || self.players.contains_key(&session);
        consumes || self.publishers.iter().any(|p| p.session == session)
    }
}
