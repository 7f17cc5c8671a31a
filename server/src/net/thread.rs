//! The loop of a media thread: wait, receive, forward, send. No locks, no awaits.
//!
//! It is not pinned to a core: in a container the cores that it may use are the scheduler's to
//! know, and two servers on one machine would pin themselves to the same ones.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sfu::{Event, Message, Shard};
use tokio::sync::{mpsc, oneshot};

use super::Command;
use super::lanes::{self, Bell, Lanes};
use super::taps::Taps;
use super::udp::{Batch, Socket};
use super::ways::Ways;
use super::wires::{News, Wires};

const SOCKET: mio::Token = mio::Token(0);
const WAKER: mio::Token = mio::Token(1);
/// What one wait says; the next one says the rest.
const EVENTS: usize = 256;
/// Batches received before commands and timers get their turn.
const BATCHES_PER_TURN: usize = 16;
/// Commands done before datagrams get their turn.
const COMMANDS_PER_TURN: usize = 64;
/// While events wait for the hub or messages for room, it is tried again this often.
const RETRY: Duration = Duration::from_millis(5);

/// Everything one media thread owns.
pub(super) struct Thread {
    poll: mio::Poll,
    bell: Arc<Bell>,
    ways: Ways,
    batch: Batch,
    shard: Shard,
    commands: mpsc::Receiver<Command>,
    lanes: Lanes<Message>,
    events: mpsc::Sender<Event>,
    waiting: VecDeque<Event>,
    taps: Taps,
    /// Who is told at the end of this turn.
    settled: Vec<oneshot::Sender<()>>,
    ending: bool,
}

/// A poll that watches the socket, the bell that ends its wait, and TCP connections, none yet.
pub(super) fn poll(socket: &mut Socket) -> io::Result<(mio::Poll, Arc<Bell>, Wires)> {
    let poll = mio::Poll::new()?;
    socket.register(poll.registry(), SOCKET)?;
    let bell = Bell::new(mio::Waker::new(poll.registry(), WAKER)?);
    let wires = Wires::new(poll.registry().try_clone()?);
    Ok((poll, bell, wires))
}

impl Thread {
    pub(super) fn new(
        (poll, bell, wires): (mio::Poll, Arc<Bell>, Wires),
        socket: Socket,
        shard: Shard,
        commands: mpsc::Receiver<Command>,
        lanes: Lanes<Message>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            poll,
            bell,
            batch: Batch::new(&socket),
            ways: Ways::new(socket, wires),
            shard,
            commands,
            lanes,
            events,
            waiting: VecDeque::new(),
            taps: Taps::default(),
            settled: Vec::new(),
            ending: false,
        }
    }

    pub(super) fn run(mut self) {
        let _guard = AbortOnPanic;
        let mut ready = mio::Events::with_capacity(EVENTS);
        let mut more = false;
        while !self.ending {
            if let Err(error) = self.wait(&mut ready, more) {
                tracing::error!(%error, "a media thread cannot wait for its socket; weir ends");
                std::process::abort();
            }
            self.ways.wires.note(&ready);
            more = self.turn();
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, ready: &mut mio::Events, more: bool) -> io::Result<()> {
        let mut timeout = if more { Some(Duration::ZERO) } else { self.timeout() };
        if timeout != Some(Duration::ZERO) {
            self.bell.rest();
            if !self.lanes.is_empty() || !self.commands.is_empty() {
                timeout = Some(Duration::ZERO);
            }
        }
        let waited = self.poll.poll(ready, timeout);
        self.bell.rise();
        match waited {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// One turn of everything, each bounded so that none starves the others; true if there may be
    /// more to do already.
    fn turn(&mut self) -> bool {
        let received = self.receive() | self.receive_wires();
        let commanded = self.obey();
        let heard = self.hear();
        for _ in 0..lanes::TURNS {
            // The last goodbyes may come by way of another shard.
            if !self.ending || !self.hear() {
                break;
            }
        }
        let now = super::now();
        self.flush(now);
        if self.shard.poll_timeout().is_some_and(|due| due <= now) {
            self.shard.handle_timeout(now, &mut self.ways);
            self.pass_on();
        }
        self.tend(now);
        self.report();
        if !self.lanes.holds() || self.ending {
            for done in self.settled.drain(..) {
                // Whoever asked may have gone away.
                let _ = done.send(());
            }
        }
        received || commanded || heard
    }

    /// True if there may be more to receive.
    fn receive(&mut self) -> bool {
        let local = self.ways.udp.local();
        for _ in 0..BATCHES_PER_TURN {
            match self.batch.receive(&self.ways.udp) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // ICMP errors of earlier sends surface here; none of them is about this socket.
                Err(_) => continue,
            }
            let now = super::now();
            for (path, bytes) in self.batch.datagrams(local) {
                self.shard.receive(now, path, bytes);
            }
            self.flush(now);
        }
        true
    }

    /// The same of TCP connections.
    fn receive_wires(&mut self) -> bool {
        let (now, shard) = (super::now(), &mut self.shard);
        self.ways.wires.receive(|path, bytes| shard.receive(now, path, bytes))
    }

    /// Looks after TCP connections: what became of them, and what becomes of them now.
    fn tend(&mut self, now: Instant) {
        self.ways.wires.look(now);
        self.ways.wires.flush(now);
        let news = self.ways.wires.news();
        if news.is_empty() {
            return;
        }
        for news in news {
            match news {
                News::Pressed(path, pressure) => self.shard.pressed(now, path, pressure),
                News::Gone(path) => self.shard.unplugged(path),
            }
        }
        self.flush(now);
    }

    /// True if there may be more commands.
    fn obey(&mut self) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            match self.commands.try_recv() {
                Ok(Command::Shard(command)) => self.shard.command(super::now(), *command),
                Ok(Command::Look(look)) => {
                    look(&self.shard, self.ways.counters(), super::now());
                }
                Ok(Command::Tap(publisher, tap, done)) => {
                    // Whoever asked may have gone away; so has its receiver then.
                    let _ = done.send(self.taps.add(&mut self.shard, publisher, tap));
                }
                Ok(Command::Plug(plug)) => {
                    let (now, shard) = (super::now(), &mut self.shard);
                    self.ways.wires.add(now, *plug, |path, frame| shard.receive(now, path, frame));
                }
                Ok(Command::Settle(done)) => self.settled.push(done),
                Ok(Command::Stop(done)) => {
                    self.settled.push(done);
                    self.ending = true;
                    return false;
                }
                Err(mpsc::error::TryRecvError::Empty) => return false,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.ending = true;
                    return false;
                }
            }
        }
        true
    }

    /// What other shards say; true if there may be more of it.
    fn hear(&mut self) -> bool {
        let now = super::now();
        let shard = &mut self.shard;
        self.lanes.receive(|message| shard.message(now, message))
    }

    /// Everything that came so far goes out.
    fn flush(&mut self, now: Instant) {
        self.shard.flush(now, &mut self.ways);
        self.pass_on();
    }

    /// To the other shards.
    fn pass_on(&mut self) {
        while let Some((to, message)) = self.shard.poll_message() {
            let may_be_lost = message.is_media();
            if let Some(lost) = self.lanes.send(to, message, may_be_lost) {
                self.shard.dropped(&lost);
            }
        }
        while let Some((wire, word)) = self.shard.poll_wire() {
            self.ways.wires.hear(wire, word);
        }
        self.lanes.ring();
        self.taps.drain(&mut self.shard);
    }

    /// To the hub.
    fn report(&mut self) {
        while let Some(event) = self.shard.poll_event() {
            self.waiting.push_back(event);
        }
        while let Some(event) = self.waiting.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.waiting.push_front(event);
                    return;
                }
                // The hub is gone: the server ends.
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let retry = (!self.waiting.is_empty() || self.lanes.holds()).then_some(RETRY);
        let due = self.shard.poll_timeout().map(|due| until(due, super::now()));
        let now = super::now();
        let wires = self.ways.wires.deadline(now).map(|due| until(due, now));
        [retry, due, wires].into_iter().flatten().min()
    }
}

/// The kernel's timers count in milliseconds here: rounding up keeps a near deadline from spinning.
fn until(due: Instant, now: Instant) -> Duration {
    let left = due.saturating_duration_since(now);
    Duration::from_millis(left.as_micros().div_ceil(1000) as u64)
}

/// Without one of its media threads the server loses the datagrams of many: better to end, loudly,
/// and be started again.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a media thread panicked; weir ends so that it can be restarted");
            std::process::abort();
        }
    }
}
