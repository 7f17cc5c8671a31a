//! The loop of the media thread: wait, receive, forward, send. No locks, no awaits.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sfu::{Event, Shard};
use tokio::sync::mpsc;

use super::runs::Runs;
use super::udp::{Batch, Socket};
use super::{Command, Counters};

const SOCKET: mio::Token = mio::Token(0);
const WAKER: mio::Token = mio::Token(1);
/// Batches received before commands and timers get their turn.
const BATCHES_PER_TURN: usize = 16;
/// Commands done before datagrams get their turn.
const COMMANDS_PER_TURN: usize = 64;
/// While events wait for the hub, it is tried again this often.
const EVENT_RETRY: Duration = Duration::from_millis(5);

/// Everything the media thread owns.
pub(super) struct Thread {
    poll: mio::Poll,
    socket: Socket,
    batch: Batch,
    shard: Shard,
    runs: Runs,
    counters: Counters,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    waiting: VecDeque<Event>,
}

impl Thread {
    pub(super) fn new(
        mut socket: Socket,
        config: sfu::Config,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> io::Result<(Self, Arc<mio::Waker>)> {
        let poll = mio::Poll::new()?;
        socket.register(poll.registry(), SOCKET)?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKER)?);
        let thread = Self {
            batch: Batch::new(&socket),
            runs: Runs::new(socket.max_segments()),
            poll,
            socket,
            shard: Shard::new(config, super::now()),
            counters: Counters::default(),
            commands,
            events,
            waiting: VecDeque::new(),
        };
        Ok((thread, waker))
    }

    pub(super) fn run(mut self) {
        let _guard = AbortOnPanic;
        let mut ready = mio::Events::with_capacity(8);
        let mut more = false;
        loop {
            let timeout = if more { Some(Duration::ZERO) } else { self.timeout() };
            match self.poll.poll(&mut ready, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    tracing::error!(%error, "the media thread cannot wait for its socket; weir ends");
                    std::process::abort();
                }
                _ => {}
            }
            more = match self.turn() {
                Turn::Idle => false,
                Turn::More => true,
                Turn::End => return,
            };
        }
    }

    /// One turn of everything, each bounded so that none starves the others.
    fn turn(&mut self) -> Turn {
        let received = self.receive();
        let commanded = match self.obey() {
            Some(more) => more,
            None => return Turn::End,
        };
        let now = super::now();
        if self.shard.poll_timeout().is_some_and(|due| due <= now) {
            self.shard.handle_timeout(now);
        }
        self.send();
        self.report();
        if received || commanded { Turn::More } else { Turn::Idle }
    }

    /// True if there may be more to receive.
    fn receive(&mut self) -> bool {
        for _ in 0..BATCHES_PER_TURN {
            match self.batch.receive(&self.socket) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // ICMP errors of earlier sends surface here; none of them is about this socket.
                Err(_) => continue,
            }
            let now = super::now();
            for (source, destination, bytes) in self.batch.datagrams(&self.socket) {
                self.shard.receive(now, source, destination, bytes);
            }
            self.shard.flush(now);
            self.send();
        }
        true
    }

    /// True if there may be more commands; `None` if it is time to end.
    fn obey(&mut self) -> Option<bool> {
        for _ in 0..COMMANDS_PER_TURN {
            match self.commands.try_recv() {
                Ok(Command::Shard(command)) => self.shard.command(super::now(), *command),
                Ok(Command::Look(look)) => look(&self.shard, self.counters, super::now()),
                Ok(Command::Stop(done)) => {
                    self.send();
                    // Whoever asked may have gone away.
                    let _ = done.send(());
                    return None;
                }
                Err(mpsc::error::TryRecvError::Empty) => return Some(false),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
            }
        }
        Some(true)
    }

    fn send(&mut self) {
        while let Some(transmit) = self.shard.poll_transmit() {
            if let Some(run) = self.runs.push(transmit) {
                self.counters.send(&self.socket, &run);
            }
        }
        if let Some(run) = self.runs.finish() {
            self.counters.send(&self.socket, &run);
        }
    }

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
        let retry = (!self.waiting.is_empty()).then_some(EVENT_RETRY);
        let due = self.shard.poll_timeout().map(|due| until(due, super::now()));
        match (retry, due) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

enum Turn {
    Idle,
    More,
    End,
}

/// The kernel's timers count in milliseconds here: rounding up keeps a near deadline from spinning.
fn until(due: Instant, now: Instant) -> Duration {
    let left = due.saturating_duration_since(now);
    Duration::from_millis(left.as_micros().div_ceil(1000) as u64)
}

/// Without its media thread the server is a web page that does nothing: better to end, loudly, and
/// be started again.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the media thread panicked; weir ends so that it can be restarted");
            std::process::abort();
        }
    }
}
