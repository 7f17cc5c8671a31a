//! The hub's task: it owns the streams, takes requests and events in turn, and passes on to the
//! media threads what the streams want.

mod admission;
mod bridges;
mod files;
mod live;
mod local;
mod restart;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use media::Codec;
use sfu::{Add, Closed, Link};
use signaling::patch::IceState;
use signaling::{Agreement, Problem, SessionId};
use stream::{Command, Event, Stream};
use tokio::sync::mpsc;
use transcode::Counters;
use whep::events::{Reason, Wanted};

use self::bridges::Bridges;
use self::live::Audiences;
pub(crate) use self::live::Stage;
use super::health::End;
use super::history::Subject;
use super::local::{Intake, Local, Totals};
use super::news::{Desk, Listener};
use super::sessions::Book;
use super::{Config, Join, Protocol, Request, Role, view};
use crate::net::{self, Media};
use crate::status::{self, StateCounts};
use crate::units::WeakBus;

/// So many departed sessions are remembered; their DELETE comes within a second or never.
const DEPARTED: usize = 256;

/// Everything the hub knows.
pub(super) struct Actor {
    config: Config,
    media: Media,
    streams: BTreeMap<stream::Name, Entry>,
    /// When which stream wants to be woken.
    deadlines: BTreeSet<(Instant, stream::Name)>,
    sessions: HashMap<SessionId, Session>,
    /// Sessions that ended by DTLS: many clients close their transport first and send the DELETE
    /// after it, which is then no mistake.
    departed: VecDeque<(SessionId, stream::Name, Role)>,
    /// Those that come over a connection of this server's own.
    locals: HashMap<SessionId, Local>,
    /// Units of publishers that send packets, while somebody wants them.
    taps: HashMap<SessionId, WeakBus>,
    bridges: Bridges,
    audiences: Audiences,
    /// For tasks that tell us something later.
    requests: mpsc::WeakSender<Request>,
    /// What viewers are told.
    news: Desk,
    /// What happened to each session.
    book: Book,
    tally: Tally,
    /// For the media threads, in order; sent after each request or event.
    outbox: Vec<sfu::Command>,
    draining: bool,
}

/// One stream and who is on it.
struct Entry {
    stream: Stream,
    /// As it stands in the actor's set.
    deadline: Option<Instant>,
    /// Who published it when that was last told.
    publisher: Option<SessionId>,
}

/// What the hub knows of one session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) stream: stream::Name,
    pub(super) role: Role,
    pub(super) protocol: Protocol,
    pub(super) since: SystemTime,
    pub(super) address: SocketAddr,
    pub(super) user_agent: Option<String>,
    pub(super) video_line: Option<whep::events::Line>,
    /// Of who came by WebRTC. Cheap to clone.
    pub(super) ice: Option<Arc<IceState>>,
}

/// What the hub knows of one stream, for the API.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) name: stream::Name,
    pub(super) state: stream::State,
    /// The publisher that is forwarded, else the one that is connecting.
    pub(super) publisher: Option<(SessionId, Session)>,
    /// Publishers that stand by.
    pub(super) standbys: usize,
    /// It is forwarded.
    pub(super) connected: bool,
    pub(super) viewers: Vec<(SessionId, Session, Vec<Codec>)>,
    /// What a publisher over a connection of ours sends: not all of it goes by the media threads.
    pub(super) source: Option<Intake>,
    pub(super) players: Vec<(SessionId, Session, Totals, Vec<Codec>)>,
    pub(super) bridges: Vec<status::Bridge>,
    /// There is a worker program.
    pub(super) worker: bool,
    /// Why some of the publisher's tracks are not carried.
    pub(super) refused: Vec<String>,
}

/// How many there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) streams: StateCounts,
    pub(super) publishers: usize,
    pub(super) viewers: usize,
    /// Of the viewers, those by RTMP.
    pub(super) players: usize,
    /// The state of each.
    pub(super) bridges: Vec<&'static str>,
    /// What bridges have counted since the start.
    pub(super) bridged: Counters,
    pub(super) tally: Tally,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Bridges that were given up.
    pub(super) failures: u64,
    /// Units left out for players that were too slow.
    pub(super) lost: u64,
}

impl Actor {
    pub(super) fn new(config: Config, media: Media, requests: mpsc::WeakSender<Request>) -> Self {
        Self {
            config,
            media,
            streams: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            sessions: HashMap::new(),
            departed: VecDeque::new(),
            locals: HashMap::new(),
            taps: HashMap::new(),
            bridges: Bridges::default(),
            audiences: Audiences::default(),
            requests,
            news: Desk::default(),
            book: Book::default(),
            tally: Tally::default(),
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
            let woken = self.deadlines.first().map(|(due, _)| *due);
            let counted = self.news.due();
            tokio::select! {
                Some(request) = requests.recv() => request(&mut self),
                Some(event) = events.recv() => self.event(event),
                () = until(woken), if woken.is_some() => self.wake(),
                () = until(counted), if counted.is_some() => self.news.count(net::now()),
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
        self.may_publish(&join.stream)?;
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
        self.gone(id, "it said goodbye", None, true);
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
        media: Option<&str>,
        layer: sfu::Wanted,
    ) -> Result<(), Problem> {
        let line = &self.viewing(name, viewer).ok_or_else(no_session)?.video_line;
        if let Some(id) = media.filter(|id| !line.as_ref().is_some_and(|line| line.is(id))) {
            let shown: String = id.chars().take(40).collect();
            let detail = format!("mediaId {shown:?} is not the mid of the answer's video");
            let title = "There is no such m-line to choose for";
            return Err(Problem::new(422, "not-the-video", title, detail));
        }
        self.outbox.push(sfu::Command::SetLayer { viewer, layer });
        Ok(())
    }

    /// A viewer makes another event stream, or ends it.
    pub(super) fn want(
        &mut self,
        name: &stream::Name,
        viewer: SessionId,
        wanted: Option<Wanted>,
    ) -> bool {
        let here = self.viewing(name, viewer).is_some();
        if here {
            self.news.want(viewer, wanted);
        }
        here
    }

    pub(super) fn listen(&mut self, name: &stream::Name, viewer: SessionId) -> Option<Listener> {
        let line = self.viewing(name, viewer)?.video_line.as_ref().map(|line| line.index);
        let codecs = self.streams.get(name)?.stream.viewer(viewer)?.codecs.clone();
        self.news.listen(name, viewer, codecs, line)
    }

    fn viewing(&self, name: &stream::Name, viewer: SessionId) -> Option<&Session> {
        let session = self.sessions.get(&viewer)?;
        (&session.stream == name && session.role == Role::Viewer).then_some(session)
    }

    pub(super) fn kick(&mut self, name: &stream::Name) -> bool {
        let Some(entry) = self.streams.get(name) else { return false };
        let lost = entry.stream.state() == stream::State::Interrupted;
        let any = lost || !entry.stream.publishers().is_empty();
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
        let mut streams = StateCounts::default();
        self.streams.values().for_each(|e| streams.count(view::state(e.stream.state())));
        let bridges = self.streams.values().flat_map(|e| self.bridges_of(&e.stream, None));
        let (players, lost) = self.players();
        Counts {
            streams,
            publishers: self.count(Role::Publisher),
            viewers: self.count(Role::Viewer),
            players,
            bridges: bridges.map(|bridge| bridge.state).collect(),
            bridged: self.bridges.counters(),
            tally: Tally { lost: self.tally.lost + lost, ..self.tally },
        }
    }

    /// Of one stream, or of all by name.
    pub(super) fn facts(&mut self, only: Option<&stream::Name>) -> Vec<Facts> {
        let chosen = self.streams.iter().filter(|(name, _)| only.is_none_or(|o| o == *name));
        chosen.map(|(name, entry)| self.facts_of(name, &entry.stream)).collect()
    }

    /// Every stream, as the history counts it: nothing is copied but names.
    pub(super) fn subjects(&mut self) -> Vec<Subject> {
        let subject = |(name, entry): (&stream::Name, &Entry)| {
            let stream = &entry.stream;
            let publisher = stream.publisher().or(stream.pending()).map(|p| p.session);
            let viewers = stream.viewers().filter(|(_, viewer)| viewer.connected).count();
            let viewers = u32::try_from(viewers + stream.players()).unwrap_or(u32::MAX);
            let intake = publisher.and_then(|id| self.intake(id)).map(|source| source.sums);
            Subject { name: name.clone(), publisher, viewers, intake }
        };
        self.streams.iter().map(subject).collect()
    }

    /// True if somebody publishes or watches it.
    pub(super) fn knows(&self, name: &stream::Name) -> bool {
        self.streams.contains_key(name)
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
        let (state, standbys) = (stream.state(), stream.standbys());
        let connected = stream.publisher().is_some();
        let refused = publisher.as_ref().map(|(id, _)| self.book.reasons(*id)).unwrap_or_default();
        Facts {
            name: name.clone(),
            state,
            source: publisher.as_ref().and_then(|(id, _)| self.intake(*id)),
            publisher,
            standbys,
            connected,
            viewers,
            players: self.players_of(name, stream),
            bridges: self.bridges_of(stream, None),
            worker: self.config.worker.is_some(),
            refused,
        }
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
                // One of ours says itself what its main tracks are; this may be of a further one.
                if self.locals.contains_key(&session) {
                    return;
                }
                tracing::info!(%stream, %session, %codec, "media flows");
                self.apply(&stream, Event::MediaStarted { session, codec });
            }
            sfu::Event::Activity { session, activity } => {
                let Some((stream, _)) = self.find(session) else { return };
                tracing::debug!(%stream, %session, ?activity, "heard of a publisher");
                self.apply(&stream, Event::PublisherActivity { session, activity });
            }
            sfu::Event::KeyframeWanted { session, encoding, .. } => {
                self.bridged_keyframe(session, encoding);
            }
            sfu::Event::Encodings { session, encodings } => {
                let Some((stream, _)) = self.find(session) else { return };
                self.note_order(session, &stream, &encodings);
                self.news.encodings(session, &encodings);
                self.tell(&stream);
            }
            sfu::Event::Closed { session, reason } => {
                let Some((stream, role)) = self.find(session) else { return };
                tracing::info!(%stream, %session, ?role, reason = why(reason), "a session ended");
                if reason == Closed::ByPeer {
                    self.departed.truncate(DEPARTED - 1);
                    self.departed.push_front((session, stream, role));
                }
                // Whom a new session does not help is not asked to make one.
                self.news.end(session, (reason == Closed::Silent).then_some(Reason::Lost));
                let goodbye = reason == Closed::ByPeer;
                self.gone(session, why(reason), Some(reason), goodbye);
            }
            sfu::Event::Ended { session, report } => self.book.left(session, report),
        }
    }

    fn find(&self, session: SessionId) -> Option<(stream::Name, Role)> {
        self.sessions.get(&session).map(|s| (s.stream.clone(), s.role))
    }

    fn register(&mut self, role: Role, join: Join, link: Link) -> Add {
        self.book.joined(net::now(), &join, &codecs(&join.agreement));
        let Join { stream, session, agreement, address, user_agent, video_line, .. } = join;
        let since = wall_clock();
        let protocol = match role {
            Role::Publisher => Protocol::Whip,
            Role::Viewer => Protocol::Whep,
        };
        let ice = Some(Arc::new(IceState::new(&agreement)));
        let known = Session { stream, role, protocol, since, address, user_agent, video_line, ice };
        self.sessions.insert(session, known);
        Add { session, agreement, link }
    }

    /// A session is over: forget it and tell its stream. Nobody waits for who said `goodbye`, or was sent
    /// away.
    fn gone(&mut self, id: SessionId, reason: &str, closed: Option<Closed>, goodbye: bool) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.news.end(id, None);
        let player = session.role == Role::Viewer && self.locals.contains_key(&id);
        let numbers = self.hang_up(id, reason);
        let end = End { at: net::now(), why: reason.to_owned(), closed };
        self.book.closed(id, session.clone(), end, numbers);
        self.apply(
            &session.stream,
            match session.role {
                Role::Viewer if player => Event::PlayerLeft { session: id },
                Role::Publisher => {
                    let reason = reason.to_owned();
                    Event::PublisherLeft { session: id, reason, goodbye }
                }
                Role::Viewer => Event::ViewerLeft { session: id },
            },
        );
    }

    /// Tells the stream, and carries out what it wants.
    fn apply(&mut self, name: &stream::Name, event: Event) {
        let rules = self.config.stream;
        let new = || Entry { stream: Stream::new(rules), deadline: None, publisher: None };
        let entry = self.streams.entry(name.clone()).or_insert_with(new);
        let before = entry.stream.state();
        let mut commands = Vec::new();
        entry.stream.handle(net::now(), event, &mut commands);
        self.settle(name, before, commands);
    }

    /// Wakes every stream whose time has come.
    fn wake(&mut self) {
        let now = net::now();
        while let Some((due, name)) = self.deadlines.pop_first() {
            if due > now {
                self.deadlines.insert((due, name));
                return;
            }
            let Some(entry) = self.streams.get_mut(&name) else { continue };
            entry.deadline = None;
            let before = entry.stream.state();
            let mut commands = Vec::new();
            entry.stream.handle_timeout(now, &mut commands);
            self.settle(&name, before, commands);
        }
    }

    /// After a stream was told something: does what it wants, and notes when to wake it.
    fn settle(&mut self, name: &stream::Name, before: stream::State, commands: Vec<Command>) {
        self.obey(name, commands);
        let Some(entry) = self.streams.get_mut(name) else { return };
        let (state, empty) = (entry.stream.state(), entry.stream.is_empty());
        if state != before {
            let because = entry.stream.ended_because();
            tracing::info!(stream = %name, ?state, because, "the stream's state has changed");
        }
        let deadline = entry.stream.deadline().filter(|_| !empty);
        if entry.deadline != deadline {
            if let Some(old) = std::mem::replace(&mut entry.deadline, deadline) {
                self.deadlines.remove(&(old, name.clone()));
            }
            self.deadlines.extend(deadline.map(|due| (due, name.clone())));
        }
        self.note_publisher(name);
        self.note_watched(name);
        self.tell_audience(name);
        self.tell(name);
        if empty {
            self.streams.remove(name);
        }
    }

    fn obey(&mut self, name: &stream::Name, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Attach { viewer, publisher } => {
                    let publisher = Some(publisher);
                    self.outbox.push(sfu::Command::Attach { viewer, publisher });
                }
                Command::Detach { viewer } => {
                    self.outbox.push(sfu::Command::Attach { viewer, publisher: None });
                }
                Command::Bridge { publisher, from, to, .. } => {
                    self.bridge(name, (publisher, from, to));
                }
                Command::Unbridge { publisher, from, to } => {
                    self.unbridge(name, (publisher, from, to));
                }
                Command::Reconnect { viewer } => self.should_reconnect(name, viewer),
                Command::Close { session, reason } => {
                    tracing::info!(stream = %name, %session, %reason, "closed");
                    let numbers = self.hang_up(session, &reason.to_string());
                    if let Some(known) = self.sessions.remove(&session) {
                        let end = End { at: net::now(), why: reason.to_string(), closed: None };
                        self.book.closed(session, known, end, numbers);
                    }
                    let stopping = reason == stream::Reason::Draining;
                    self.news.end(session, stopping.then_some(Reason::Stopping));
                    self.outbox.push(sfu::Command::Remove(session));
                }
            }
        }
    }

    /// What comes for this viewer now is in a codec that it did not offer: a new offer may help. Its
    /// event stream says so by itself.
    fn should_reconnect(&mut self, name: &stream::Name, viewer: SessionId) {
        let text = "a viewer lacks the codec that comes now";
        tracing::info!(stream = %name, session = %viewer, "{text}");
        self.book.note(net::now(), viewer, "reconnect", format!("{text}: told to come anew"));
    }

    /// Tells viewers what is different with their stream.
    fn tell(&mut self, name: &stream::Name) {
        if let Some(entry) = self.streams.get(name) {
            self.news.update(net::now(), name, &entry.stream);
        }
    }

    pub(super) fn count(&self, role: Role) -> usize {
        self.sessions.values().filter(|s| s.role == role).count()
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

async fn until(due: Option<std::time::Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}

fn no_session() -> Problem {
    let detail = "There is no such session; it may have ended.";
    Problem::new(404, "no-such-session", "No such session", detail)
}

/// In plain words.
fn why(reason: Closed) -> &'static str {
    match reason {
        Closed::ByPeer => "the peer closed the connection",
        Closed::NeverConnected => {
            "it never connected: nothing came through by UDP or TCP, or the DTLS handshake did not end"
        }
        Closed::Silent => "nothing has been heard from it for too long",
        Closed::Failed => "its transport failed: wrong certificate or a broken handshake",
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the shell's wall clock, shown as `since` in the API"
)]
pub(super) fn wall_clock() -> SystemTime {
    SystemTime::now()
}
