//! Which stream lives where. The HTTP side asks here, the media threads report here; between them
//! one task owns every [`stream::Stream`] and carries out what it wants.

mod actor;
mod health;
mod history;
mod local;
mod negotiation;
mod news;
mod opening;
mod rate;
mod sessions;
mod tap;
mod view;
mod warnings;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sfu::transport::Context;
use sfu::{Certificate, Link, Peer, Transport};
use signaling::patch::Patch;
use signaling::{Agreement, Local, Problem, Reply, SessionId};
use tokio::sync::{mpsc, oneshot, watch};
use whep::events::Wanted;

use self::actor::Actor;
pub(crate) use self::actor::Stage;
use self::history::History;
pub(crate) use self::local::{Guest, Playing, Publishing, Said, Source};
pub(crate) use self::news::Listener;
pub(crate) use self::opening::{Offered, Opening};
pub(crate) use self::sessions::File;
use crate::advertise::Advertised;
use crate::net::{self, Media, Socket};
use crate::status;

/// Requests that may wait for the hub; a sender beyond that waits.
const REQUESTS: usize = 1024;

/// What the hub needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Publishers at once.
    pub max_publishers: usize,
    /// Viewers at once.
    pub max_viewers: usize,
    /// A viewer without a publisher waits for one, instead of being told 409.
    pub wait_for_publisher: bool,
    /// The rules of every stream.
    pub stream: stream::Config,
    /// The program that bridges codecs, if there is one.
    pub worker: Option<transcode::Worker>,
    /// How many of them may run.
    pub bridges: crate::bridges::Limit,
    /// More candidates than the machine's own addresses.
    pub advertise: Advertised,
    /// Media by TCP, if it is taken.
    pub tcp: Option<Tcp>,
    /// Time limits of sessions.
    pub sfu: sfu::Config,
}

/// Media by TCP (RFC 6544), on the port of HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Tcp {
    /// Where connections come in.
    pub bound: SocketAddr,
    /// How many of them may carry media at once.
    pub connections: usize,
}

/// One accepted offer on its way to a media thread.
#[derive(Debug)]
pub struct Join {
    /// Which stream.
    pub stream: stream::Name,
    /// Fresh and random.
    pub session: SessionId,
    /// What the SDP said.
    pub agreement: Agreement,
    /// Where the HTTP request came from.
    pub address: SocketAddr,
    /// What the client calls itself, at most 256 bytes.
    pub user_agent: Option<String>,
    /// A viewer's video among the m-lines, by which events and choices of layers name it.
    pub video_line: Option<whep::events::Line>,
    /// What offer and answer said of addresses.
    pub opening: Opening,
}

/// Publisher or viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends.
    Publisher,
    /// Receives.
    Viewer,
}

/// What a session came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A publisher by WebRTC.
    Whip,
    /// A viewer by WebRTC.
    Whep,
    /// Either, by RTMP or RTMPS.
    Rtmp,
}

impl Protocol {
    /// As the API names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whip => "whip",
            Self::Whep => "whep",
            Self::Rtmp => "rtmp",
        }
    }
}

/// Handle on the hub. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    requests: mpsc::Sender<Request>,
    media: Media,
    history: History,
    shared: Arc<Shared>,
}

/// Something to do inside the hub's task.
type Request = Box<dyn FnOnce(&mut Actor) + Send>;

#[derive(Debug)]
struct Shared {
    certificate: Certificate,
    /// What every viewer's DTLS has in common.
    context: Context,
    bound: SocketAddr,
    advertised: Advertised,
    tcp: Option<Tcp>,
}

/// Starts a media thread on each of `sockets`, which share a port, and the hub's task on the current
/// tokio runtime.
///
/// # Errors
/// If there is no socket, the kernel gives no thread, or the crypto library no certificate.
pub fn start(config: Config, sockets: Vec<Socket>) -> io::Result<Hub> {
    let bound = sockets.first().map(Socket::local).ok_or(io::ErrorKind::InvalidInput)?;
    let certificate = Certificate::generate(net::now()).map_err(io::Error::other)?;
    let context = Context::new(&certificate).map_err(io::Error::other)?;
    let (advertised, tcp) = (config.advertise.clone(), config.tcp);
    let (media, events) = net::start(sockets, config.sfu)?;
    tcp.iter().for_each(|tcp| media.take_wires(tcp.connections));
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let actor = Actor::new(config, media.clone(), requests.downgrade());
    tokio::spawn(actor.run(inbox, events));
    let history = History::default();
    tokio::spawn(history::run(requests.downgrade(), media.clone(), history.clone()));
    let shared = Arc::new(Shared { certificate, context, bound, advertised, tcp });
    Ok(Hub { requests, media, history, shared })
}

impl Hub {
    /// Our side of a negotiation: fresh credentials and SSRCs, and the host candidates to announce
    /// to a client at `client` (loopback addresses only to clients on this machine).
    pub fn local(&self, client: IpAddr) -> Local {
        let (udp, tcp) = self.candidates(client);
        negotiation::local(self.shared.certificate.fingerprint().clone(), udp, tcp)
    }

    /// What a client at `client` is told: by UDP and by TCP.
    pub(crate) fn candidates(&self, client: IpAddr) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let (shared, own) = (&self.shared, net::addresses::own());
        let told = shared.advertised.now();
        let udp = net::addresses::candidates(client, shared.bound, &told.udp, &own);
        let tcp = shared.tcp.map(|tcp| net::addresses::by_tcp(client, tcp.bound, &told.tcp, &own));
        (udp, tcp.unwrap_or_default())
    }

    /// A name that nobody else knows, under which this server may ask itself whether it is there; `None`: it does no more.
    pub(crate) fn probe(&self, asks: bool) -> Option<sfu::Probe> {
        let probe = asks.then(|| sfu::Probe::new(negotiation::credentials()));
        self.media.probe(probe.clone());
        probe
    }

    /// The number of one such question.
    pub(crate) fn transaction(&self) -> [u8; 12] {
        negotiation::random()
    }

    /// A connection that begins with frames (RFC 4571).
    pub(crate) async fn plug(
        &self,
        stream: tokio::net::TcpStream,
        peer: SocketAddr,
    ) -> Result<(), net::Refused> {
        self.media.plug(stream, peer).await
    }

    /// A publisher comes. When it becomes the stream's source is for the stream to say.
    ///
    /// # Errors
    /// 503 if there are too many publishers, or the server stops; 409 if another publisher of the
    /// stream is in the way.
    pub async fn publish(&self, join: Join) -> Result<(), Problem> {
        // Built here, on the caller's thread, so that its cost is not a media thread's.
        let peer = Peer::new(&join.agreement, &self.shared.certificate, net::now());
        let link = Link::Publisher(Box::new(peer));
        self.ask(move |actor| actor.publish(join, link)).await?
    }

    /// A viewer comes. Waits without a publisher.
    ///
    /// # Errors
    /// 503 if there are too many viewers or the server stops, 422 if this viewer cannot show what
    /// is published, 409 if there is no publisher and viewers are not to wait.
    pub async fn watch(&self, join: Join) -> Result<(), Problem> {
        let transport = Transport::new(&self.shared.context, &join.agreement, net::now())
            .map_err(|error| unusable(&error.to_string()))?;
        let link = Link::Viewer(Box::new(transport));
        self.ask(move |actor| actor.watch(join, link)).await?
    }

    /// A publisher comes over a connection of ours. Returns when media can follow.
    ///
    /// # Errors
    /// See [`Hub::publish`].
    pub(crate) async fn publish_local(&self, guest: Guest) -> Result<Publishing, Problem> {
        let publishing = self.ask(move |actor| actor.publish_local(guest)).await??;
        // By then its media thread knows of it, or what comes first would be lost.
        self.barrier().await;
        Ok(publishing)
    }

    /// A player of these codecs comes over a connection of ours. Waits without a publisher.
    ///
    /// # Errors
    /// See [`Hub::watch`].
    pub(crate) async fn play_local(
        &self,
        guest: Guest,
        codecs: Vec<media::Codec>,
    ) -> Result<Playing, Problem> {
        self.ask(move |actor| actor.play_local(guest, codecs)).await?
    }

    /// Somebody packages a stream as files, until what is returned is dropped and [`Hub::audience_left`] is said.
    ///
    /// # Errors
    /// 404 if nobody publishes it, 503 if the server stops.
    pub(crate) async fn audience(
        &self,
        stream: &stream::Name,
    ) -> Result<watch::Receiver<Stage>, Problem> {
        let stream = stream.clone();
        self.ask(move |actor| actor.audience(&stream)).await?
    }

    /// See [`Hub::audience`].
    pub(crate) async fn audience_left(&self, stream: &stream::Name) {
        let stream = stream.clone();
        // Whoever stops has no audience.
        let _ = self.ask(move |actor| actor.audience_left(&stream)).await;
    }

    /// An audience needs a keyframe of the pictures that are bridged for it.
    pub(crate) async fn audience_keyframe(&self, stream: &stream::Name) {
        let stream = stream.clone();
        let _ = self.ask(move |actor| actor.audience_keyframe(&stream)).await;
    }

    /// Has `herald` told of every stream that goes live.
    pub(crate) async fn announce(&self, herald: mpsc::Sender<stream::Name>) {
        let _ = self.ask(move |actor| actor.announce(herald)).await;
    }

    /// A publisher of ours says something about what it sends.
    pub(crate) async fn said(&self, session: SessionId, said: Said) {
        // Whoever stops needs no news.
        let _ = self.ask(move |actor| actor.said(session, said)).await;
    }

    /// A connection of ours is over, by its peer's wish or not.
    pub(crate) async fn hung_up(&self, session: SessionId, why: String, goodbye: bool) {
        // The hub may have ended it itself.
        let _ = self.ask(move |actor| actor.hung_up(session, &why, goodbye)).await;
    }

    /// Ends a session; false if there is none of that stream, role and id.
    pub async fn leave(&self, stream: &stream::Name, role: Role, session: SessionId) -> bool {
        let stream = stream.clone();
        self.ask(move |actor| actor.leave(&stream, role, session)).await.unwrap_or(false)
    }

    /// Trickle or an ICE restart of this session, by a client at `client`: the reply.
    ///
    /// # Errors
    /// See [`Patch::decide`]; 404 if there is no such session, 503 if the server stops.
    pub async fn patch(
        &self,
        stream: &stream::Name,
        (role, session): (Role, SessionId),
        patch: Patch,
        client: IpAddr,
    ) -> Result<Reply, Problem> {
        let (stream, ours) = (stream.clone(), self.local(client));
        let work = move |actor: &mut Actor| actor.patch(&stream, (role, session), &patch, ours);
        let reply = self.ask(work).await??;
        if reply.status == 200 {
            // The client's first check may be quicker than the lane: its new name is known before it hears it.
            self.barrier().await;
            self.media.settled(session).await.map_err(|_| stopping())?;
        }
        Ok(reply)
    }

    /// True if this session exists.
    pub async fn exists(&self, stream: &stream::Name, role: Role, session: SessionId) -> bool {
        let stream = stream.clone();
        self.ask(move |actor| actor.exists(&stream, role, session)).await.unwrap_or(false)
    }

    /// A viewer chooses an encoding, of the m-line `media` where it says of which.
    ///
    /// # Errors
    /// 404 if there is no such viewer, 422 if that is not the m-line of its video.
    pub async fn set_layer(
        &self,
        stream: &stream::Name,
        session: SessionId,
        media: Option<String>,
        wanted: sfu::Wanted,
    ) -> Result<(), Problem> {
        let stream = stream.clone();
        self.ask(move |actor| actor.set_layer(&stream, session, media.as_deref(), wanted)).await?
    }

    /// A viewer wants these events from now on; `None`: none. False if there is no such viewer.
    pub async fn want(
        &self,
        stream: &stream::Name,
        session: SessionId,
        wanted: Option<Wanted>,
    ) -> bool {
        let stream = stream.clone();
        self.ask(move |actor| actor.want(&stream, session, wanted)).await.unwrap_or(false)
    }

    /// A viewer listens to the events that it wants; `None` if it wants none or is not there.
    pub(crate) async fn listen(
        &self,
        stream: &stream::Name,
        session: SessionId,
    ) -> Option<Listener> {
        let stream = stream.clone();
        self.ask(move |actor| actor.listen(&stream, session)).await.ok()?
    }

    /// Every stream, by name.
    pub async fn streams(&self) -> Vec<status::Stream> {
        let facts = self.ask(|actor| actor.facts(None)).await.unwrap_or_default();
        view::streams(&self.media, &self.history, facts).await
    }

    /// One stream.
    pub async fn stream(&self, name: &stream::Name) -> Option<status::Stream> {
        let name = name.clone();
        let facts = self.ask(move |actor| actor.facts(Some(&name))).await.ok()?;
        view::streams(&self.media, &self.history, facts).await.pop()
    }

    /// Its last five minutes.
    pub async fn history(&self, name: &stream::Name) -> Option<status::History> {
        let asked = name.clone();
        let known = self.ask(move |actor| actor.knows(&asked)).await.unwrap_or(false);
        known.then(|| status::History {
            interval_ms: u64::try_from(history::INTERVAL.as_millis()).unwrap_or(u64::MAX),
            samples: self.history.samples(name),
        })
    }

    /// Its viewers.
    pub async fn viewers(&self, name: &stream::Name) -> Option<Vec<status::Viewer>> {
        let name = name.clone();
        let facts = self.ask(move |actor| actor.facts(Some(&name))).await.ok()?;
        Some(view::viewers(&self.media, facts.into_iter().next()?).await)
    }

    /// Disconnects the publisher; false if there is none.
    pub async fn kick_publisher(&self, name: &stream::Name) -> bool {
        let name = name.clone();
        self.ask(move |actor| actor.kick(&name)).await.unwrap_or(false)
    }

    /// The stream of a session, live or lately ended, by the short form of its id.
    pub(crate) async fn session_stream(&self, short: u32) -> Option<stream::Name> {
        self.ask(move |actor| actor.stream_of(short)).await.ok()?
    }

    /// Everything about a session, live or lately ended, by the short form of its id.
    pub(crate) async fn session(&self, short: u32) -> Option<File> {
        let mut file = self.ask(move |actor| actor.file(short)).await.ok()??;
        if file.is_live() {
            let id = file.id();
            let read = move |shard: &sfu::Shard, _, now| shard.session(id, now);
            let reports = self.media.look_all(read).await.unwrap_or_default();
            if let Some(report) = reports.into_iter().flatten().next() {
                file.learn(report);
            }
        }
        Some(file)
    }

    /// Disconnects a publisher or viewer; false if it has ended.
    pub(crate) async fn kick_session(&self, file: File) -> bool {
        self.ask(move |actor| actor.kick_session(file.id())).await.unwrap_or(false)
    }

    /// Sums since the start.
    pub async fn totals(&self) -> status::Totals {
        let counts = self.ask(|actor| actor.counts()).await.unwrap_or_default();
        view::totals(&self.media, counts).await
    }

    /// No new sessions from now on; closes every session and returns when the goodbyes are sent.
    pub async fn drain(&self) {
        // If the hub or a media thread is gone already, so are all sessions.
        let _ = self.ask(Actor::drain).await;
        if self.barrier().await {
            self.media.stop().await;
        }
    }

    /// Waits until the hub has passed on all that it wanted from the media threads so far.
    async fn barrier(&self) -> bool {
        self.ask(|_| ()).await.is_ok()
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Actor) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        ask(&self.requests, work).await
    }
}

/// Has the hub's task do something, and waits for what comes of it.
async fn ask<T: Send + 'static>(
    requests: &mpsc::Sender<Request>,
    work: impl FnOnce(&mut Actor) -> T + Send + 'static,
) -> Result<T, Problem> {
    let (reply, answer) = oneshot::channel();
    let request = move |actor: &mut Actor| {
        // Whoever asked may have gone away.
        let _ = reply.send(work(actor));
    };
    requests.send(Box::new(request)).await.map_err(|_| stopping())?;
    answer.await.map_err(|_| stopping())
}

fn unusable(detail: &str) -> Problem {
    Problem::new(422, "unusable-offer", "The offer's DTLS cannot be used", detail)
}

fn stopping() -> Problem {
    let detail = "The server is shutting down. Try again in a few seconds.";
    let mut problem = Problem::new(503, "shutting-down", "The server is shutting down", detail);
    problem.retry_after = Some(5);
    problem
}
