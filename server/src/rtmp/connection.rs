//! One RTMP connection: its socket and its session, from the handshake to the last byte. Everything that a peer
//! can make us wait for has an end, and everything that it can make us hold has a bound.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use rtmp::session::{Event, Phase, Refusal, Session};
use signaling::Problem;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::server::TlsStream;

use super::hold::Hold;
use super::play::Player;
use super::publish::{Publisher, Told};
use super::{Closed, Door};
use crate::access::Action;
use crate::hub::{Protocol, Said};
use crate::net;

/// What one read takes at most.
const READ: usize = 32 * 1024;

thread_local! {
    /// What was read last: all connections of a thread share it, so that it stays in the core's cache.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A player gets no more, and nothing more is read of it, while so much waits to be sent.
const BACKLOG: usize = 128 * 1024;
/// The same of everybody else, who gets nothing but answers.
const ANSWERS: usize = 16 * 1024;
/// Slices that go into one write.
const SLICES: usize = 16;
/// At least so often is looked whether something that is held has to be read.
const LOOK: Duration = Duration::from_millis(200);
/// A player is asked for a sign of life so often.
const PING: Duration = Duration::from_secs(10);

/// What a connection runs over.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Its TCP socket, if what comes there are the bytes that it speaks.
    fn tcp(&self) -> Option<BorrowedFd<'_>>;
}

impl Socket for TcpStream {
    fn tcp(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// What it has become.
enum Role {
    Nobody,
    Publisher(Box<Publisher>),
    Player(Box<Player>),
}

/// One connection.
pub(super) struct Connection<S> {
    door: Arc<Door>,
    peer: SocketAddr,
    stream: S,
    session: Session,
    role: Role,
    /// Of a player: taken from what players may have.
    place: Option<OwnedSemaphorePermit>,
    pending: VecDeque<Bytes>,
    /// Bytes in there.
    waiting: usize,
    hold: Hold,
    /// Nothing comes any more.
    hung_up: bool,
    /// What it ends with, once that is known.
    closed: Option<Closed>,
    began: Instant,
    /// When a unit came of a publisher.
    moved: Instant,
    /// When bytes went out, or there were none to go.
    wrote: Instant,
    pinged: Instant,
    /// Since when nothing but the last words is to go out.
    ended: Option<Instant>,
}

/// What woke it.
enum Woken {
    /// So many bytes, which the session has taken.
    Read(std::io::Result<usize>, Result<(), rtmp::Error>),
    Written(std::io::Result<usize>),
    Play,
    Watched,
    Told(String),
    Tick,
    Stop,
}

/// Speaks with a peer until one of the two has had enough.
pub(super) async fn run<S>(
    door: Arc<Door>,
    stream: S,
    peer: SocketAddr,
    mut stop: watch::Receiver<bool>,
) -> Closed
where
    S: Socket,
{
    let now = net::now();
    let session = Session::new(door.session.clone(), &super::random());
    let mut connection = Connection {
        door,
        peer,
        stream,
        session,
        role: Role::Nobody,
        place: None,
        pending: VecDeque::new(),
        waiting: 0,
        hold: Hold::new(now, READ),
        hung_up: false,
        closed: None,
        began: now,
        moved: now,
        wrote: now,
        pinged: now,
        ended: None,
    };
    let mut clock = interval(connection.door.patience.look.min(LOOK));
    let mut stopped = pin!(stop.wait_for(|stop| *stop));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let over = connection.is_over();
        if over {
            connection.leave().await;
            if connection.pending.is_empty() {
                break;
            }
        }
        // While our answers wait, TCP keeps back who asks for them.
        let room = connection.has_room();
        let Connection { role, stream, session, pending, hung_up, .. } = &mut connection;
        let listens = !*hung_up && (over || room);
        let mut taker = (!over).then_some(session);
        let io = poll_fn(|cx| {
            // First: who sends without a pause gets its answers all the same.
            if !pending.is_empty()
                && let Poll::Ready(written) = write(cx, stream, pending)
            {
                return Poll::Ready(written);
            }
            if listens { read(cx, stream, &mut taker) } else { Poll::Pending }
        });
        let woken = tokio::select! {
            woken = io => woken,
            woken = role.next(room), if !over => woken,
            _ = clock.tick() => Woken::Tick,
            _ = &mut stopped, if !over => Woken::Stop,
        };
        connection.handle(woken).await;
    }
    connection.close().await
}

/// Reads what is there, and gives it to who takes it.
fn read<S: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    taker: &mut Option<&mut Session>,
) -> Poll<Woken> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        let result = ready!(Pin::new(stream).poll_read(cx, &mut buffer));
        let bytes = buffer.filled();
        let take = |session: &mut &mut Session| session.receive(net::now(), bytes);
        let taken = taker.as_mut().filter(|_| !bytes.is_empty()).map_or(Ok(()), take);
        Poll::Ready(Woken::Read(result.map(|()| bytes.len()), taken))
    })
}

/// Sends what one write takes.
fn write<S: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    pending: &VecDeque<Bytes>,
) -> Poll<Woken> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = pending.len().min(SLICES);
    for (slice, bytes) in slices.iter_mut().zip(pending) {
        *slice = IoSlice::new(bytes);
    }
    Pin::new(stream).poll_write_vectored(cx, &slices[..count]).map(Woken::Written)
}

impl Role {
    /// The next thing that does not come from the peer. Safe to cancel.
    async fn next(&mut self, room: bool) -> Woken {
        match self {
            Self::Nobody => std::future::pending().await,
            Self::Publisher(publisher) => match publisher.told().await {
                Told::Ended(why) => Woken::Told(why),
                Told::Watched => Woken::Watched,
            },
            Self::Player(player) => match player.next(room).await {
                Ok(()) => Woken::Play,
                Err(why) => Woken::Told(why),
            },
        }
    }
}

impl<S: Socket> Connection<S> {
    async fn handle(&mut self, woken: Woken) {
        let now = net::now();
        match woken {
            Woken::Read(Ok(0), _) => self.fell_silent(),
            Woken::Read(Ok(count), taken) => {
                self.received(now, taken).await;
                self.pace(now, count);
            }
            Woken::Written(Ok(count)) if count > 0 => self.written(now, count),
            Woken::Read(Err(_), _) | Woken::Written(_) => self.broke_off(Closed::HungUp),
            Woken::Play => self.play(now),
            Woken::Watched => {
                if let Role::Publisher(publisher) = &mut self.role {
                    publisher.watch(now);
                }
                let bytes = self.hold.release(now);
                self.collect(bytes);
            }
            Woken::Told(why) => {
                self.session.end(&why);
                self.end(Closed::Ended);
            }
            Woken::Tick => {
                let bytes = self.hold.look(now);
                self.collect(bytes);
                self.look(now);
            }
            Woken::Stop => {
                self.session.end("the server is shutting down");
                self.end(Closed::Stopped);
            }
        }
        if self.pending.is_empty() {
            self.wrote = now;
        }
        while let Some(bytes) = self.session.poll_output() {
            self.waiting += bytes.len();
            self.pending.push_back(bytes);
        }
    }

    /// So many bytes have come: how many are to come before the next are read.
    fn pace(&mut self, now: Instant, count: usize) {
        let taken = match &self.role {
            Role::Publisher(publisher) => publisher.is_taken(),
            _ => true,
        };
        let bytes = self.hold.came(now, count, taken || self.is_over());
        self.collect(bytes);
    }

    /// Tells the kernel. Where it does not do so, everything is read as it comes.
    fn collect(&self, bytes: Option<usize>) {
        if let (Some(bytes), Some(socket)) = (bytes, self.stream.tcp()) {
            let _ = net::collect(socket, bytes);
        }
    }

    /// Something has come, and what the session made of it.
    async fn received(&mut self, now: Instant, result: Result<(), rtmp::Error>) {
        while let Some(event) = self.session.poll_event() {
            self.event(now, event).await;
        }
        if let Role::Publisher(publisher) = &mut self.role {
            publisher.flush(now, self.hold.holds());
            let said = publisher.news();
            let session = publisher.session();
            for said in said {
                self.door.hub.said(session, said).await;
            }
        }
        if let Err(error) = result {
            tracing::debug!(peer = %self.peer, "an RTMP connection is closed: {error}");
            self.note("protocol", error.to_string()).await;
            match error {
                rtmp::Error::Deaf(_) => self.broke_off(Closed::Deaf),
                _ => self.end(Closed::Protocol),
            }
        }
    }

    async fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Publish { name, query, .. } => {
                if let Err(problem) = self.publish(now, &name, &query).await {
                    self.refuse(&name, &problem, Closed::Refused);
                }
            }
            Event::Play { name, query, .. } => {
                let Some(place) = self.door.crowd.player() else {
                    return self.refuse(&name, &full(), Closed::Full);
                };
                if let Err(problem) = self.start_play(now, &name, &query, place).await {
                    self.refuse(&name, &problem, Closed::Refused);
                }
            }
            Event::Ended { reason: rtmp::session::Reason::NoSuchApp } => {
                let app = shown(&self.session.peer().app);
                tracing::info!(peer = %self.peer, app, "refused by RTMP: there is no such application");
                self.end(Closed::Refused);
            }
            Event::Ended { .. } => self.end(Closed::Goodbye),
            Event::Notice { notice, .. } => self.note("notice", notice.to_string()).await,
            Event::Metadata(metadata) => {
                if let (Role::Publisher(publisher), Some(encoder)) = (&self.role, metadata.encoder)
                {
                    self.door.hub.said(publisher.session(), Said::Agent(encoder)).await;
                }
            }
            event => {
                let Role::Publisher(publisher) = &mut self.role else { return };
                match event {
                    Event::Track { track, format } => {
                        publisher.format((track.kind, track.id), &format);
                    }
                    Event::Unit { track, unit } => {
                        self.moved = now;
                        publisher.unit(now, (track.kind, track.id), unit);
                    }
                    Event::TrackEnd { track } => publisher.end((track.kind, track.id)),
                    Event::Refused { track, refusal } => {
                        publisher.refused((track.kind, track.id), &refusal);
                    }
                    _ => {}
                }
            }
        }
    }

    async fn publish(&mut self, now: Instant, name: &str, query: &str) -> Result<(), Problem> {
        let guest =
            self.door.guest(Action::Publish, name, query, self.session.peer(), self.peer)?;
        let session = guest.session;
        let publishing = self.door.hub.publish_local(guest).await?;
        self.role = Role::Publisher(Box::new(Publisher::new(session, publishing)));
        self.moved = now;
        // What it has sent meanwhile comes as events, which are taken next.
        self.session.accept();
        Ok(())
    }

    async fn start_play(
        &mut self,
        now: Instant,
        name: &str,
        query: &str,
        place: OwnedSemaphorePermit,
    ) -> Result<(), Problem> {
        let guest = self.door.guest(Action::Watch, name, query, self.session.peer(), self.peer)?;
        let session = guest.session;
        let codecs = super::play::codecs(&self.session);
        let playing = self.door.hub.play_local(guest, codecs.clone()).await?;
        self.role = Role::Player(Box::new(Player::new(session, playing, codecs)));
        self.place = Some(place);
        self.pinged = now;
        self.session.accept();
        Ok(())
    }

    fn refuse(&mut self, name: &str, problem: &Problem, closed: Closed) {
        let refusal = match (problem.status, problem.code) {
            (401 | 403, _) => Refusal::Denied,
            (_, "bad-stream-name" | "no-publisher") => Refusal::NotFound,
            _ => Refusal::BadName,
        };
        let stream = shown(name);
        tracing::info!(peer = %self.peer, %stream, "refused by RTMP: {}", problem.detail);
        self.session.refuse(refusal, &problem.detail);
        self.end(closed);
    }

    /// A player has something to be sent.
    fn play(&mut self, now: Instant) {
        if let Role::Player(player) = &mut self.role {
            player.send(now, &mut self.session);
        }
    }

    fn written(&mut self, now: Instant, mut count: usize) {
        self.wrote = now;
        self.waiting = self.waiting.saturating_sub(count);
        while let Some(first) = self.pending.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.pending.pop_front();
        }
    }

    /// Looks whether it has taken too long over something.
    fn look(&mut self, now: Instant) {
        let since = |at: Instant| now.saturating_duration_since(at);
        let patience = self.door.patience;
        if self.ended.is_some_and(|at| since(at) > patience.goodbye) {
            return self.forget();
        }
        if self.ended.is_some() {
            return;
        }
        // Who does not read our answers is not read either, and so cannot show that it lives.
        let deaf = match &self.role {
            Role::Player(_) => patience.deaf,
            _ => patience.answers,
        };
        match &self.role {
            _ if self.waiting > 0 && since(self.wrote) > deaf => self.broke_off(Closed::Deaf),
            Role::Nobody if since(self.began) > patience.start => self.end(Closed::SlowStart),
            Role::Publisher(_) if since(self.moved) > patience.silence => {
                self.dismiss(Closed::Silent);
            }
            Role::Publisher(publisher) if publisher.blind(now) > patience.blind => {
                self.dismiss(Closed::Blind);
            }
            Role::Player(_) if since(self.pinged) > PING => {
                self.pinged = now;
                self.session.ping(now);
            }
            _ => {}
        }
    }

    /// Ends a publisher, and tells it why.
    fn dismiss(&mut self, closed: Closed) {
        self.session.end(closed.text());
        self.end(closed);
    }

    /// The peer sends no more. Who was told to go may still read why.
    fn fell_silent(&mut self) {
        self.hung_up = true;
        if !self.is_over() {
            self.end(Closed::HungUp);
            self.forget();
        }
    }

    /// There is nobody to say anything to.
    fn broke_off(&mut self, closed: Closed) {
        self.hung_up = true;
        self.end(closed);
        self.forget();
    }

    /// What waits will not be sent.
    fn forget(&mut self) {
        self.pending.clear();
        self.waiting = 0;
    }

    /// Whether there may be more that waits to be sent.
    fn has_room(&self) -> bool {
        let player = matches!(self.role, Role::Player(_));
        self.waiting < if player { BACKLOG } else { ANSWERS }
    }

    /// Nothing but the last words goes out from here on. The first reason counts.
    fn end(&mut self, closed: Closed) {
        self.closed.get_or_insert(closed);
        self.ended.get_or_insert_with(net::now);
    }

    fn is_over(&self) -> bool {
        self.ended.is_some() || self.session.phase() == Phase::Ended
    }

    /// Into the log of its session.
    async fn note(&self, code: &'static str, text: String) {
        let session = match &self.role {
            Role::Nobody => return,
            Role::Publisher(publisher) => publisher.session(),
            Role::Player(player) => player.session(),
        };
        self.door.hub.said(session, Said::Note(code, text)).await;
    }

    /// Its stream goes on without it, while the last words are still on their way.
    async fn leave(&mut self) {
        let role = std::mem::replace(&mut self.role, Role::Nobody);
        drop(self.place.take());
        let session = match &role {
            Role::Nobody => return,
            Role::Publisher(publisher) => publisher.session(),
            Role::Player(player) => player.session(),
        };
        // Who was told something by the hub is forgotten there already.
        let closed = self.closed.unwrap_or(Closed::HungUp);
        self.door.hub.hung_up(session, closed.text().to_owned(), closed.is_goodbye()).await;
    }

    /// The connection ends. A socket that is closed with something unread in it is reset, and the peer then loses
    /// what it was told: so it is read until the peer has closed.
    async fn close(mut self) -> Closed {
        let end = async {
            // The peer may be gone.
            let mut open = self.stream.shutdown().await.is_ok() && !self.hung_up;
            let mut buffer = vec![0; READ];
            while open {
                open = matches!(self.stream.read(&mut buffer).await, Ok(1..));
            }
        };
        let _ = tokio::time::timeout(self.door.patience.goodbye, end).await;
        self.closed.unwrap_or(Closed::HungUp)
    }
}

/// What a peer has called something, fit for a log.
fn shown(name: &str) -> String {
    name.chars().take(stream::name::MAX_LEN).flat_map(char::escape_debug).collect()
}

fn full() -> Problem {
    let detail = "As many players are connected as this server takes by RTMP. Try again later, or raise \
                  rtmp.max_connections on the server.";
    Problem::new(503, "server-full", "The server is full", detail)
}

/// What its protocol is called.
pub(super) const PROTOCOL: Protocol = Protocol::Rtmp;
