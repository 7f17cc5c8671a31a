//! The media thread: one UDP socket, one [`sfu::Shard`], and the bounded lanes to and from the hub.

pub mod addresses;
mod runs;
mod thread;
pub mod udp;

use std::sync::Arc;
use std::time::Instant;

use sfu::{Event, Shard};
use tokio::sync::{mpsc, oneshot};

pub use udp::Socket;

/// Commands that may wait for the media thread; a sender beyond that waits.
const COMMANDS: usize = 1024;
/// Events that may wait for the hub; more of them wait in the media thread, which has at most a few
/// per session.
const EVENTS: usize = 4096;

/// Reads something off the shard.
type Look = Box<dyn FnOnce(&Shard, Counters, Instant) + Send>;

/// What the media thread is asked to do.
pub(crate) enum Command {
    /// For the shard.
    Shard(Box<sfu::Command>),
    /// A look at the shard from inside its thread.
    Look(Look),
    /// Say goodbye to everybody and end.
    Stop(oneshot::Sender<()>),
}

/// What the socket itself counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Datagrams dropped because the kernel's send buffer was full.
    pub send_blocked: u64,
    /// Datagrams that the kernel refused to send (no route, too large).
    pub send_failed: u64,
}

/// Handle on the media thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Media {
    commands: mpsc::Sender<Command>,
    waker: Arc<mio::Waker>,
}

/// The media thread is gone.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the media thread has ended")]
pub(crate) struct Ended;

impl Media {
    /// Waits for room, then hands the command over.
    pub(crate) async fn send(&self, command: Command) -> Result<(), Ended> {
        self.commands.send(command).await.map_err(|_| Ended)?;
        // Fails only if the poll is gone, and then so is the receiver.
        let _ = self.waker.wake();
        Ok(())
    }

    /// Reads something off the shard.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shard, Counters, Instant) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let (reply, answer) = oneshot::channel();
        let look = move |shard: &Shard, counters: Counters, now: Instant| {
            // Whoever asked may have gone away.
            let _ = reply.send(read(shard, counters, now));
        };
        self.send(Command::Look(Box::new(look))).await?;
        answer.await.map_err(|_| Ended)
    }
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media").finish_non_exhaustive()
    }
}

/// Starts the media thread on `socket`.
///
/// # Errors
/// If the kernel gives no poll or no thread.
pub(crate) fn start(
    socket: Socket,
    config: sfu::Config,
) -> std::io::Result<(Media, mpsc::Receiver<Event>)> {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (outbox, events) = mpsc::channel(EVENTS);
    let (thread, waker) = thread::Thread::new(socket, config, inbox, outbox)?;
    std::thread::Builder::new().name("media-0".into()).spawn(move || thread.run())?;
    Ok((Media { commands, waker }, events))
}

/// The clock of the media thread.
#[expect(clippy::disallowed_methods, reason = "this is the shell whose clock the sfu gets passed")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
