//! The media threads: one per core, each with a UDP socket of its own on the port of all
//! (SO_REUSEPORT) and one [`sfu::Shard`], and the bounded lanes between them and to the hub.

pub mod addresses;
mod lanes;
mod out;
mod send;
mod thread;
pub mod udp;

use std::sync::Arc;
use std::time::Instant;

use sfu::{Directory, Event, Shard};
use tokio::sync::{mpsc, oneshot};

use self::lanes::{Bell, Lanes};
pub use out::Counters;
pub use udp::Socket;

/// Commands that may wait for a media thread; a sender beyond that waits.
const COMMANDS: usize = 1024;
/// Events that may wait for the hub; more of them wait in the media threads, which have at most a
/// few per session.
const EVENTS: usize = 4096;

/// Reads something off a shard.
type Look = Box<dyn FnOnce(&Shard, Counters, Instant) + Send>;

/// What a media thread is asked to do.
enum Command {
    /// For the shard.
    Shard(Box<sfu::Command>),
    /// A look at the shard from inside its thread.
    Look(Look),
    /// Say so when everything before this is done and passed on to the other shards.
    Settle(oneshot::Sender<()>),
    /// Do what the other shards have said, and end.
    Stop(oneshot::Sender<()>),
}

/// Handle on the media threads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Media {
    threads: Arc<[Lane]>,
    directory: Directory,
}

/// To one media thread.
struct Lane {
    commands: mpsc::Sender<Command>,
    bell: Arc<Bell>,
}

/// A media thread is gone.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the media threads have ended")]
pub(crate) struct Ended;

impl Media {
    /// Waits for room, then hands the command to the thread where its session is at home.
    pub(crate) async fn send(&self, command: sfu::Command) -> Result<(), Ended> {
        let command = match command {
            // Its client may be quicker than the lane: the directory has it before the answer is out.
            sfu::Command::Add(add) => {
                self.directory.wait(now(), *add);
                // The first thread looks after those who never come.
                self.threads.first().ok_or(Ended)?.bell.ring();
                return Ok(());
            }
            command => command,
        };
        let Some((home, command)) = self.directory.keep(command) else { return Ok(()) };
        let lane = self.threads.get(home).or(self.threads.first()).ok_or(Ended)?;
        lane.send(Command::Shard(Box::new(command))).await
    }

    /// Reads something off every shard, in their order.
    pub(crate) async fn look_all<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shard, Counters, Instant) -> T + Clone + Send + 'static,
    ) -> Result<Vec<T>, Ended> {
        self.ask_all(|reply| {
            let read = read.clone();
            Command::Look(Box::new(move |shard, counters, now| {
                // Whoever asked may have gone away.
                let _ = reply.send(read(shard, counters, now));
            }))
        })
        .await
    }

    /// Ends all threads, when everything sent before is done wherever it had to go.
    pub(crate) async fn stop(&self) {
        // They may be gone already. A command that came to a shard where its session is no more has
        // been passed on when all have settled, and is done before they end.
        if self.ask_all(Command::Settle).await.is_ok() {
            let _ = self.ask_all(Command::Stop).await;
        }
    }

    /// Asks every thread before it waits for the first answer.
    async fn ask_all<T>(
        &self,
        question: impl Fn(oneshot::Sender<T>) -> Command,
    ) -> Result<Vec<T>, Ended> {
        let mut answers = Vec::with_capacity(self.threads.len());
        for lane in self.threads.iter() {
            let (reply, answer) = oneshot::channel();
            lane.send(question(reply)).await?;
            answers.push(answer);
        }
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers {
            all.push(answer.await.map_err(|_| Ended)?);
        }
        Ok(all)
    }
}

impl Lane {
    async fn send(&self, command: Command) -> Result<(), Ended> {
        self.commands.send(command).await.map_err(|_| Ended)?;
        self.bell.ring();
        Ok(())
    }
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media").finish_non_exhaustive()
    }
}

/// Starts a media thread on each of `sockets`, which share a port.
///
/// # Errors
/// If the kernel gives no poll or no thread.
pub(crate) fn start(
    mut sockets: Vec<Socket>,
    config: sfu::Config,
) -> std::io::Result<(Media, mpsc::Receiver<Event>)> {
    if let Some(text) = sockets.first().and_then(udp::small_buffers) {
        tracing::warn!("{text}");
    }
    let directory = Directory::default();
    let (outbox, events) = mpsc::channel(EVENTS);
    let polls = sockets.iter_mut().map(thread::poll).collect::<Result<Vec<_>, _>>()?;
    let bells: Vec<Arc<Bell>> = polls.iter().map(|(_, bell)| bell.clone()).collect();
    let mut threads = Vec::with_capacity(sockets.len());
    let parts = sockets.into_iter().zip(polls).zip(Lanes::between(&bells));
    for (index, ((socket, poll), lanes)) in parts.enumerate() {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let shard = Shard::new(config, index, directory.clone(), now());
        let thread = thread::Thread::new(poll, socket, shard, inbox, lanes, outbox.clone());
        std::thread::Builder::new().name(format!("media-{index}")).spawn(move || thread.run())?;
        threads.push(Lane { commands, bell: bells[index].clone() });
    }
    Ok((Media { threads: threads.into(), directory }, events))
}

/// The clock of the media threads.
#[expect(clippy::disallowed_methods, reason = "this is the shell whose clock the sfu gets passed")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;
    use crate::listen;

    #[tokio::test]
    async fn every_thread_hears_its_clients_answers_and_ends() {
        let bound = listen::udp("webrtc.listen", "127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let sockets: Vec<Socket> =
            bound.unwrap().into_iter().map(|socket| Socket::new(socket).unwrap()).collect();
        let to = sockets[0].local();
        let (media, mut events) = start(sockets, sfu::Config::default()).unwrap();
        let strangers: Vec<UdpSocket> =
            (0..60).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for stranger in &strangers {
            stranger.send_to(&[0x80; 40], to).unwrap();
        }
        let heard = async {
            loop {
                let dropped = |shard: &Shard, _, _| shard.totals().drops.iter().map(|d| d.1).sum();
                let heard: Vec<u64> = media.look_all(dropped).await.unwrap();
                if heard.iter().sum::<u64>() >= 60 {
                    return heard;
                }
                tokio::task::yield_now().await;
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(10), heard).await.unwrap();
        assert_eq!((heard.len(), heard.iter().sum::<u64>()), (3, 60));
        assert!(heard.iter().all(|one| *one > 0), "{heard:?}");
        media.stop().await;
        assert!(media.look_all(|_, _, _| ()).await.is_err());
        let ended = tokio::time::timeout(Duration::from_secs(10), events.recv()).await;
        assert_eq!(ended.unwrap(), None, "all threads have let go of the hub");
    }
}
