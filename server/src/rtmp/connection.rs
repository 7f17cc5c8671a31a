//! One RTMP connection: its socket and its session, from the handshake to the last byte. Everything that a peer
//! can make us wait for has an end, and everything that it can make us hold has a bound.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use rtmp::session::{Event, Phase, Refusal, Session};
use signaling::Problem;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, WriteHalf};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::play::Player;
use super::publish::{Publisher, Sign};
use super::{Closed, Door};
use crate::access::Action;
use crate::hub::{Protocol, Said};
use crate::net;

/// What one read takes at most.
const READ: usize = 32 * 1024;
/// A player gets no more while so much waits to be sent.
const BACKLOG: usize = 128 * 1024;
/// Slices that go into one write.
const SLICES: usize = 16;
/// A player is asked for a sign of life so often.
const PING: Duration = Duration::from_secs(10);

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
    writer: WriteHalf<S>,
    session: Session,
    role: Role,
    pending: VecDeque<Bytes>,
    /// What it ends with, once that is known.
    closed: Option<Closed>,
    began: Instant,
    /// When a unit came of a publisher, or bytes went to a player.
    moved: Instant,
    pinged: Instant,
    /// Since when nothing but the last words is to go out.
    ended: Option<Instant>,
}

/// What woke it.
enum Woken {
    Read(std::io::Result<usize>),
    Written(std::io::Result<usize>),
    Play,
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
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut reader, writer) = tokio::io::split(stream);
    let now = net::now();
    let session = Session::new(door.session.clone(), &super::random());
    let mut connection = Connection {
        door,
        peer,
        writer,
        session,
        role: Role::Nobody,
        pending: VecDeque::new(),
        closed: None,
        began: now,
        moved: now,
        pinged: now,
        ended: None,
    };
    let mut buffer = vec![0; READ];
    let mut clock = interval(connection.door.patience.look);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let over = connection.is_over();
        if over && connection.pending.is_empty() {
            break;
        }
        let Connection { role, writer, pending, .. } = &mut connection;
        let room = pending.iter().map(Bytes::len).sum::<usize>() < BACKLOG;
        let woken = tokio::select! {
            read = reader.read(&mut buffer), if !over => Woken::Read(read),
            written = write(writer, pending), if !pending.is_empty() => Woken::Written(written),
            woken = role.next(room), if !over => woken,
            _ = clock.tick() => Woken::Tick,
            _ = stop.wait_for(|stop| *stop), if !over => Woken::Stop,
        };
        connection.handle(woken, &buffer).await;
    }
    connection.leave().await
}

impl Role {
    /// The next thing that does not come from the peer. Safe to cancel.
    async fn next(&mut self, room: bool) -> Woken {
        match self {
            Self::Nobody => std::future::pending().await,
            Self::Publisher(publisher) => Woken::Told(publisher.ended().await),
            Self::Player(player) => match player.next(room).await {
                Ok(()) => Woken::Play,
                Err(why) => Woken::Told(why),
            },
        }
    }
}

/// Sends what one write takes.
async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    pending: &VecDeque<Bytes>,
) -> std::io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = pending.len().min(SLICES);
    for (slice, bytes) in slices.iter_mut().zip(pending) {
        *slice = IoSlice::new(bytes);
    }
    writer.write_vectored(&slices[..count]).await
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn handle(&mut self, woken: Woken, buffer: &[u8]) {
        let now = net::now();
        match woken {
            Woken::Read(Ok(0)) => self.hung_up(),
            Woken::Read(Ok(count)) => self.received(now, &buffer[..count]).await,
            Woken::Written(Ok(count)) if count > 0 => self.written(now, count),
            Woken::Read(Err(_)) | Woken::Written(_) => self.hung_up(),
            Woken::Play => self.play(now),
            Woken::Told(why) => {
                self.session.end(&why);
                self.end(Closed::Ended);
            }
            Woken::Tick => self.look(now),
            Woken::Stop => {
                self.session.end("the server is shutting down");
                self.end(Closed::Stopped);
            }
        }
        while let Some(bytes) = self.session.poll_output() {
            self.pending.push_back(bytes);
        }
    }

    async fn received(&mut self, now: Instant, bytes: &[u8]) {
        let result = self.session.receive(now, bytes);
        while let Some(event) = self.session.poll_event() {
            self.event(now, event).await;
        }
        if let Role::Publisher(publisher) = &mut self.role {
            let sign = publisher.flush(now);
            let said = publisher.news();
            if sign == Sign::Heard {
                publisher.heard().await;
            }
            let session = publisher.session();
            for said in said {
                self.door.hub.said(session, said).await;
            }
        }
        if let Err(error) = result {
            tracing::debug!(peer = %self.peer, "an RTMP connection is closed: {error}");
            self.note("protocol", error.to_string()).await;
            self.end(Closed::Protocol);
        }
    }

    async fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Publish { name, query, .. } => {
                if let Err(problem) = self.publish(now, &name, &query).await {
                    self.refuse(&problem);
                }
            }
            Event::Play { name, query, .. } => {
                if let Err(problem) = self.start_play(now, &name, &query).await {
                    self.refuse(&problem);
                }
            }
            Event::Ended { reason } => self.end(match reason {
                rtmp::session::Reason::NoSuchApp => Closed::Refused,
                _ => Closed::Goodbye,
            }),
            Event::Refused { refusal, .. } => self.note("refused", refusal.to_string()).await,
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

    async fn start_play(&mut self, now: Instant, name: &str, query: &str) -> Result<(), Problem> {
        let guest = self.door.guest(Action::Watch, name, query, self.session.peer(), self.peer)?;
        let session = guest.session;
        let codecs = super::play::codecs(&self.session);
        let playing = self.door.hub.play_local(guest, codecs.clone()).await?;
        self.role = Role::Player(Box::new(Player::new(session, playing, codecs)));
        (self.moved, self.pinged) = (now, now);
        self.session.accept();
        Ok(())
    }

    fn refuse(&mut self, problem: &Problem) {
        let refusal = match (problem.status, problem.code) {
            (401 | 403, _) => Refusal::Denied,
            (_, "bad-stream-name" | "no-publisher") => Refusal::NotFound,
            _ => Refusal::BadName,
        };
        tracing::info!(peer = %self.peer, "refused by RTMP: {}", problem.detail);
        self.session.refuse(refusal, &problem.detail);
        self.end(Closed::Refused);
    }

    /// A player has something to be sent.
    fn play(&mut self, now: Instant) {
        if let Role::Player(player) = &mut self.role {
            player.send(now, &mut self.session);
        }
    }

    fn written(&mut self, now: Instant, mut count: usize) {
        if matches!(self.role, Role::Player(_)) {
            self.moved = now;
        }
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
            self.pending.clear();
            return;
        }
        if self.ended.is_some() {
            return;
        }
        match &self.role {
            Role::Nobody if since(self.began) > patience.start => self.end(Closed::SlowStart),
            Role::Publisher(_) if since(self.moved) > patience.silence => {
                self.session.end(Closed::Silent.text());
                self.end(Closed::Silent);
            }
            Role::Publisher(publisher) if publisher.blind(now) > patience.blind => {
                self.session.end(Closed::Blind.text());
                self.end(Closed::Blind);
            }
            Role::Player(_) if since(self.moved) > patience.silence => self.end(Closed::Silent),
            Role::Player(_) if since(self.pinged) > PING => {
                self.pinged = now;
                self.session.ping(now);
            }
            _ => {}
        }
    }

    fn hung_up(&mut self) {
        self.end(Closed::HungUp);
        self.pending.clear();
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

    /// The connection ends.
    async fn leave(mut self) -> Closed {
        let closed = self.closed.unwrap_or(Closed::HungUp);
        let session = match &self.role {
            Role::Nobody => None,
            Role::Publisher(publisher) => Some(publisher.session()),
            Role::Player(player) => Some(player.session()),
        };
        if let Some(session) = session {
            // Who was told something by the hub is forgotten there already.
            let goodbye = !matches!(closed, Closed::HungUp | Closed::Silent);
            self.door.hub.hung_up(session, closed.text().to_owned(), goodbye).await;
        }
        // The peer may be gone.
        let _ = tokio::time::timeout(self.door.patience.goodbye, self.writer.shutdown()).await;
        closed
    }
}

/// What its protocol is called.
pub(super) const PROTOCOL: Protocol = Protocol::Rtmp;
