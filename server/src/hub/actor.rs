//! The hub's task: it owns the streams, takes requests and events in turn, and passes on to the
//! media threads what the streams want.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::SystemTime;

use media::{Codec, EncodingId, Kind};
use sfu::{Add, Closed, Link};
use signaling::{Agreement, Problem, SessionId};
use stream::{Command, Event, Stream};
use tokio::sync::mpsc;

use super::{Config, Join, Request, Role, stopping};
use crate::net::{self, Media};

/// So many departed sessions are remembered; their DELETE comes within a second or never.
const DEPARTED: usize = 256;

/// Everything the hub knows.
pub(super) struct Actor {
    config: Config,
    media: Media,
    streams: BTreeMap<stream::Name, Entry>,
    sessions: HashMap<SessionId, Session>,
    /// Sessions that ended by DTLS: many clients close their transport first and send the DELETE
    /// after it, which is then no mistake.
    departed: VecDeque<(SessionId, stream::Name, Role)>,
    /// For the media threads, in order; sent after each request or event.
    outbox: Vec<sfu::Command>,
    draining: bool,
}

/// One stream and who is on it.
#[derive(Default)]
struct Entry {
    stream: Stream,
}

/// What the hub knows of one session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) stream: stream::Name,
    pub(super) role: Role,
    pub(super) since: SystemTime,
    pub(super) address: SocketAddr,
    pub(super) user_agent: Option<String>,
}

/// What the hub knows of one stream, for the API.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) name: stream::Name,
    pub(super) state: stream::State,
    /// The publisher that is forwarded, else the one that is connecting.
    pub(super) publisher: Option<(SessionId, Session)>,
    pub(super) viewers: Vec<(SessionId, Session, Vec<Codec>)>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) live: usize,
    pub(super) publishers: usize,
    pub(super) viewers: usize,
}

impl Actor {
    pub(super) fn new(config: Config, media: Media) -> Self {
        Self {
            config,
            media,
            streams: BTreeMap::new(),
            sessions: HashMap::new(),
            departed: VecDeque::new(),
            outbox: Vec::new(),
            draining: false,
        }
    }

    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut events: mpsc::Receiver<sfu::Event>,
    ) {
        loop {
            tokio::select! {
                Some(request) = requests.recv() => request(&mut self),
                Some(event) = events.recv() => self.event(event),
                else => return,
            }
            for command in std::mem::take(&mut self.outbox) {
                if self.media.send(command).await.is_err() {
                    return;
                }
            }
        }
    }

    pub(super) fn publish(&mut self, join: Join, link: Link) -> Result<(), Problem> {
        self.admit(Role::Publisher)?;
        let codecs = codecs(&join.agreement);
        let (stream, session) = (join.stream.clone(), join.session);
        tracing::info!(%stream, %session, from = %join.address, "a publisher joins");
        let add = self.register(Role::Publisher, join, link);
        self.outbox.push(sfu::Command::Add(Box::new(add)));
        self.apply(&stream, Event::PublisherJoined { session, codecs });
        Ok(())
    }

    pub(super) fn watch(&mut self, join: Join, link: Link) -> Result<(), Problem> {
        self.admit(Role::Viewer)?;
        let codecs = codecs(&join.agreement);
        self.can_show(&join.stream, &join.agreement, &codecs)?;
        let (stream, session) = (join.stream.clone(), join.session);
        tracing::info!(%stream, %session, from = %join.address, "a viewer joins");
        let add = self.register(Role::Viewer, join, link);
        self.outbox.push(sfu::Command::Add(Box::new(add)));
        self.apply(&stream, Event::ViewerJoined { session, codecs });
        Ok(())
    }

    pub(super) fn leave(&mut self, name: &stream::Name, role: Role, id: SessionId) -> bool {
        if let Some(index) = self.departed(name, role, id) {
            self.departed.remove(index);
            return true;
        }
        if !self.exists(name, role, id) {
            return false;
        }
        tracing::info!(stream = %name, session = %id, ?role, "left");
        self.outbox.push(sfu::Command::Remove(id));
        self.gone(id, "it said goodbye");
        true
    }

    pub(super) fn exists(&self, name: &stream::Name, role: Role, id: SessionId) -> bool {
        let here = self.sessions.get(&id).is_some_and(|s| (&s.stream, s.role) == (name, role));
        here || self.departed(name, role, id).is_some()
    }

    fn departed(&self, name: &stream::Name, role: Role, id: SessionId) -> Option<usize> {
        self.departed.iter().position(|(i, n, r)| (*i, n, *r) == (id, name, role))
    }

    pub(super) fn set_layer(
        &mut self,
        name: &stream::Name,
        viewer: SessionId,
        layer: Option<EncodingId>,
    ) -> Result<(), Problem> {
        if !self.sessions.contains_key(&viewer) || !self.exists(name, Role::Viewer, viewer) {
            return Err(no_session());
        }
        self.outbox.push(sfu::Command::SetLayer { viewer, layer });
        Ok(())
    }

    pub(super) fn kick(&mut self, name: &stream::Name) -> bool {
        let Some(entry) = self.streams.get(name) else { return false };
        let any = entry.stream.publisher().is_some() || entry.stream.pending().is_some();
        self.apply(name, Event::PublisherKicked);
        any
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
        let names: Vec<stream::Name> = self.streams.keys().cloned().collect();
        for name in names {
            self.apply(&name, Event::Drain);
        }
    }

    pub(super) fn counts(&mut self) -> Counts {
        let live = |e: &&Entry| e.stream.state() == stream::State::Live;
        Counts {
            live: self.streams.values().filter(live).count(),
            publishers: self.count(Role::Publisher),
            viewers: self.count(Role::Viewer),
        }
    }

    /// Of one stream, or of all by name.
    pub(super) fn facts(&mut self, only: Option<&stream::Name>) -> Vec<Facts> {
        let chosen = self.streams.iter().filter(|(name, _)| only.is_none_or(|o| o == *name));
        chosen.map(|(name, entry)| self.facts_of(name, &entry.stream)).collect()
    }

    fn facts_of(&self, name: &stream::Name, stream: &Stream) -> Facts {
        let publisher = stream.publisher().or(stream.pending()).and_then(|p| {
            self.sessions.get(&p.session).map(|session| (p.session, session.clone()))
        });
        let viewer = |id| {
            let session = self.sessions.get(&id)?.clone();
            Some((id, session, stream.missing_codec(id)))
        };
        let mut viewers: Vec<_> = stream.viewers().filter_map(|(id, _)| viewer(id)).collect();
        viewers.sort_by_key(|(id, session, _)| (session.since, *id));
        Facts { name: name.clone(), state: stream.state(), publisher, viewers }
    }

    fn event(&mut self, event: sfu::Event) {
        match event {
            sfu::Event::Connected(session) => {
                let Some((stream, role)) = self.find(session) else { return };
                tracing::info!(%stream, %session, "connected");
                self.apply(
                    &stream,
                    match role {
                        Role::Publisher => Event::PublisherConnected { session },
                        Role::Viewer => Event::ViewerConnected { session },
                    },
                );
            }
            sfu::Event::MediaStarted { session, codec } => {
                let Some((stream, _)) = self.find(session) else { return };
                tracing::info!(%stream, %session, %codec, "media flows");
                self.apply(&stream, Event::MediaStarted { session, codec });
            }
            sfu::Event::Closed { session, reason } => {
                let Some((stream, role)) = self.find(session) else { return };
                tracing::info!(%stream, %session, ?role, reason = why(reason), "a session ended");
                if reason == Closed::ByPeer {
                    self.departed.truncate(DEPARTED - 1);
                    self.departed.push_front((session, stream, role));
                }
                self.gone(session, why(reason));
            }
        }
    }

    fn find(&self, session: SessionId) -> Option<(stream::Name, Role)> {
        self.sessions.get(&session).map(|s| (s.stream.clone(), s.role))
    }

    fn register(&mut self, role: Role, join: Join, link: Link) -> Add {
        let Join { stream, session, agreement, address, user_agent } = join;
        let since = wall_clock();
        self.sessions.insert(session, Session { stream, role, since, address, user_agent });
        Add { session, agreement, link }
    }

    /// A session is over: forget it and tell its stream.
    fn gone(&mut self, id: SessionId, reason: &str) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.apply(
            &session.stream,
            match session.role {
                Role::Publisher => Event::PublisherLeft { session: id, reason: reason.to_owned() },
                Role::Viewer => Event::ViewerLeft { session: id },
            },
        );
    }

    /// Tells the stream, and carries out what it wants.
    fn apply(&mut self, name: &stream::Name, event: Event) {
        let entry = self.streams.entry(name.clone()).or_default();
        let mut commands = Vec::new();
        entry.stream.handle(net::now(), event, &mut commands);
        let empty = entry.stream.is_empty();
        for command in commands {
            match command {
                Command::Attach { viewer, publisher } => {
                    let publisher = Some(publisher);
                    self.outbox.push(sfu::Command::Attach { viewer, publisher });
                }
                Command::Detach { viewer } => {
                    self.outbox.push(sfu::Command::Attach { viewer, publisher: None });
                }
                Command::Close { session, reason } => {
                    tracing::info!(stream = %name, %session, %reason, "closed");
                    self.sessions.remove(&session);
                    self.outbox.push(sfu::Command::Remove(session));
                }
            }
        }
        if empty {
            self.streams.remove(name);
        }
    }

    fn count(&self, role: Role) -> usize {
        self.sessions.values().filter(|s| s.role == role).count()
    }

    fn admit(&self, role: Role) -> Result<(), Problem> {
        if self.draining {
            return Err(stopping());
        }
        let (limit, key, who) = match role {
            Role::Publisher => (self.config.max_publishers, "webrtc.max_publishers", "publishers"),
            Role::Viewer => (self.config.max_viewers, "webrtc.max_viewers", "viewers"),
        };
        if self.count(role) < limit {
            return Ok(());
        }
        let detail = format!("This server takes {limit} {who} at once ({key}) and has them.");
        let mut problem = Problem::new(503, "server-full", "The server is full", detail);
        problem.retry_after = Some(5);
        Err(problem)
    }

    /// A viewer that could never show what is published is told so at once.
    fn can_show(
        &self,
        name: &stream::Name,
        agreement: &Agreement,
        codecs: &[Codec],
    ) -> Result<(), Problem> {
        let publisher = self.streams.get(name).and_then(|e| e.stream.publisher());
        let Some(publisher) = publisher else {
            return if self.config.wait_for_publisher { Ok(()) } else { Err(no_publisher(name)) };
        };
        for kind in [Kind::Video, Kind::Audio] {
            let sent = publisher.sends(kind).filter(|_| agreement.media(kind).is_some());
            if let Some(sent) = sent.filter(|sent| !codecs.contains(sent)) {
                return Err(no_common_codec(sent, kind, codecs));
            }
        }
        Ok(())
    }
}

fn codecs(agreement: &Agreement) -> Vec<Codec> {
    let mut codecs: Vec<Codec> =
        agreement.media.iter().flat_map(|m| &m.payloads).map(|p| p.codec).collect();
    let mut seen = Vec::new();
    codecs.retain(|codec| {
        let new = !seen.contains(codec);
        seen.push(*codec);
        new
    });
    codecs
}

fn no_session() -> Problem {
    let detail = "There is no such session; it may have ended.";
    Problem::new(404, "no-such-session", "No such session", detail)
}

fn no_publisher(name: &stream::Name) -> Problem {
    let detail = format!("Nobody publishes {name} now.");
    let mut problem = Problem::new(409, "no-publisher", "No publisher", detail);
    problem.retry_after = Some(2);
    problem
}

fn no_common_codec(sent: Codec, kind: Kind, codecs: &[Codec]) -> Problem {
    let offered: Vec<&str> =
        codecs.iter().filter(|c| c.kind() == kind).map(|c| c.rtpmap_name()).collect();
    let detail = format!(
        "The stream is {}; this viewer offers {}. Publish in a codec that the viewer has, or watch \
         with another browser.",
        sent.rtpmap_name(),
        offered.join(", "),
    );
    Problem::new(422, "no-common-codec", "No common codec", detail)
}

/// In plain words.
fn why(reason: Closed) -> &'static str {
    match reason {
        Closed::ByPeer => "the peer closed the connection",
        Closed::NeverConnected => {
            "it never connected: no UDP came through, or the DTLS handshake did not end"
        }
        Closed::Silent => "nothing has been heard from it for too long",
        Closed::Failed => "its transport failed: wrong certificate or a broken handshake",
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the shell's wall clock, shown as `since` in the API"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
