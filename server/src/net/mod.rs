//! The media threads: one per core, each with a UDP socket of its own on the port of all
//! (SO_REUSEPORT) and one [`sfu::Shard`], the TCP connections of its sessions, and the bounded lanes between them and to
//! the hub.

pub mod addresses;
mod lanes;
mod out;
mod plug;
mod send;
mod taps;
mod thread;
pub mod udp;
mod ways;
mod wires;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sfu::feed::Batch;
use sfu::{Directory, Event, Link, Made, Shard};
use signaling::SessionId;
use tokio::sync::{mpsc, oneshot};

use self::lanes::{Bell, Lanes};
pub(crate) use self::plug::Refused;
use self::plug::{Desk, Plug};
pub(crate) use self::send::collect;
pub use out::Counters;
pub use udp::Socket;

/// Commands that may wait for a media thread; a sender beyond that waits.
const COMMANDS: usize = 1024;
/// Places of those that media leaves free: the hub does not wait for it.
const RESERVED: usize = COMMANDS / 2;
/// So many may wait without waking the thread, where they are not urgent.
const UNRUNG: usize = 32;
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
    /// What this publisher sends goes here too; says whether it lives in this thread.
    Tap(SessionId, mpsc::Sender<Arc<Batch>>, oneshot::Sender<bool>),
    /// This connection is for a session that lives here, or may begin here.
    Plug(Box<Plug>),
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
    /// Packets that found their lane full.
    lost: Arc<AtomicU64>,
    desk: Arc<Desk>,
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
            // It has no client that could be waited for.
            sfu::Command::Add(add) if matches!(add.link, Link::Local) => {
                let home = sfu::local::home(add.session, self.threads.len());
                let home = self.directory.settle(add.session, home);
                let lane = self.threads.get(home).ok_or(Ended)?;
                return lane.send(Command::Shard(Box::new(sfu::Command::Add(add)))).await;
            }
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

    /// Hands over packets that were made in this server, without ever waiting. False: they are lost and
    /// counted, because too many wait already; whoever made them goes on with the next keyframe.
    pub(crate) fn try_media(&self, made: Made) -> bool {
        let home = self.directory.home(made.publisher).unwrap_or_default();
        let packets = made.packets.len() as u64;
        let lane = self.threads.get(home).filter(|lane| lane.commands.capacity() > RESERVED);
        let command = Command::Shard(Box::new(sfu::Command::Media(Box::new(made))));
        let sent = lane.is_some_and(|lane| {
            let sent = lane.commands.try_send(command).is_ok();
            lane.bell.ring();
            sent
        });
        if !sent {
            self.lost.fetch_add(packets, Ordering::Relaxed);
        }
        sent
    }

    /// Media of a publisher of ours came that became no packet. While there is much room nobody is woken for it: a
    /// thread reads what waits before it looks who is silent. Where there is none, the next one counts.
    pub(crate) fn try_heard(&self, publisher: SessionId, held: bool) {
        let home = self.directory.home(publisher).unwrap_or_default();
        if let Some(lane) = self.threads.get(home).filter(|l| l.commands.capacity() > RESERVED) {
            let heard = sfu::Command::Heard { publisher, media: true, held };
            // It has room; without media threads the server ends.
            let _ = lane.commands.try_send(Command::Shard(Box::new(heard)));
            if lane.commands.capacity() < COMMANDS - UNRUNG {
                lane.bell.ring();
            }
        }
    }

    /// How many packets [`Media::try_media`] has lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// What this publisher itself sends goes to `tap` too, from the newest keyframe on that is kept; what
    /// finds it full is dropped and counted. It ends when its receiver is dropped, and its sender is
    /// dropped when the publisher is gone. False: the publisher does not live in a thread (yet).
    pub(crate) async fn tap(
        &self,
        publisher: SessionId,
        tap: mpsc::Sender<Arc<Batch>>,
    ) -> Result<bool, Ended> {
        let Some(home) = self.directory.home(publisher) else { return Ok(false) };
        let (reply, answer) = oneshot::channel();
        let lane = self.threads.get(home).ok_or(Ended)?;
        lane.send(Command::Tap(publisher, tap, reply)).await?;
        answer.await.map_err(|_| Ended)
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

    /// Waits until the thread where this session lives has done all that it was sent.
    pub(crate) async fn settled(&self, session: SessionId) -> Result<(), Ended> {
        let Some(home) = self.directory.home(session) else { return Ok(()) };
        let (reply, done) = oneshot::channel();
        self.threads.get(home).ok_or(Ended)?.send(Command::Settle(reply)).await?;
        done.await.map_err(|_| Ended)
    }

    /// This probe's checks are answered; see [`sfu::probe`].
    pub(crate) fn probe(&self, probe: Option<sfu::Probe>) {
        self.directory.probe(probe);
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
    let directory = Directory::default();
    let (outbox, events) = mpsc::channel(EVENTS);
    let polls = sockets.iter_mut().map(thread::poll).collect::<Result<Vec<_>, _>>()?;
    let bells: Vec<Arc<Bell>> = polls.iter().map(|(_, bell, _)| bell.clone()).collect();
    let mut threads = Vec::with_capacity(sockets.len());
    let parts = sockets.into_iter().zip(polls).zip(Lanes::between(&bells));
    for (index, ((socket, poll), lanes)) in parts.enumerate() {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let shard = Shard::new(config, index, directory.clone(), now());
        let thread = thread::Thread::new(poll, socket, shard, inbox, lanes, outbox.clone());
        std::thread::Builder::new().name(format!("media-{index}")).spawn(move || thread.run())?;
        threads.push(Lane { commands, bell: bells[index].clone() });
    }
    let (threads, lost) = (threads.into(), Arc::default());
    Ok((Media { threads, directory, lost, desk: Desk::new() }, events))
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

    fn threads(count: usize) -> (Media, mpsc::Receiver<Event>) {
        let bound = listen::udp("webrtc.listen", "127.0.0.1:0".parse().unwrap(), count).unwrap();
        let sockets =
            bound.unwrap().into_iter().map(|socket| Socket::new(socket).unwrap()).collect();
        start(sockets, sfu::Config::default()).unwrap()
    }

    async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await;
        event.unwrap().expect("the threads go on")
    }

    /// So many packets of sound.
    fn made(publisher: SessionId, count: u32) -> Made {
        let packet = |number: u32| sfu::Packet {
            encoding: media::EncodingId::MAIN,
            codec: media::Codec::Opus,
            timestamp: number * 960,
            marker: false,
            payload: vec![0x7c; 100].into(),
            captured: Some(now()),
            arrived: None,
        };
        let packets = (0..count).map(packet).collect();
        Made { publisher, origin: sfu::Origin::Source, source: 1, packets }
    }

    #[tokio::test]
    async fn packets_that_are_made_here_reach_their_thread_and_whoever_taps_them() {
        let (media, mut events) = threads(3);
        for bits in 0..6_u128 {
            let session = SessionId::from_random(bits << 96);
            let add = sfu::Command::Add(Box::new(sfu::Add::local(session)));
            media.send(add).await.unwrap();
            while next(&mut events).await != Event::Connected(session) {}
            let (tap, mut tapped) = mpsc::channel(64);
            assert!(media.tap(session, tap).await.unwrap());
            assert!(media.try_media(made(session, 5)));
            let mut packets = 0;
            while packets < 5 {
                packets += tapped.recv().await.expect("it is there").packets.len();
            }
            let lives = move |shard: &Shard, _, _| shard.publisher(session).is_some();
            let lives = media.look_all(lives).await.unwrap();
            assert_eq!(lives.iter().position(|lives| *lives), Some(bits as usize % 3));
            media.send(sfu::Command::Remove(session)).await.unwrap();
            while let Some(batch) = tapped.recv().await {
                assert!(batch.packets.is_empty(), "there was nothing more to send");
            }
        }
        let (tap, _tapped) = mpsc::channel(1);
        assert!(!media.tap(SessionId::from_random(7), tap).await.unwrap(), "nobody");
        media.stop().await;
    }

    #[tokio::test]
    async fn media_that_finds_the_lane_half_full_is_lost_and_the_hub_does_not_wait() {
        let (media, mut events) = threads(1);
        let session = SessionId::from_random(1);
        media.send(sfu::Command::Add(Box::new(sfu::Add::local(session)))).await.unwrap();
        assert_eq!(next(&mut events).await, Event::Connected(session));
        // The thread stands still until it is let go.
        let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let (stands, standing) = oneshot::channel();
        let stop = move |_: &Shard, _, _| {
            let _ = stands.send(());
            let _ = wait.recv();
        };
        let look = Command::Look(Box::new(stop));
        media.threads[0].send(look).await.unwrap();
        standing.await.unwrap();
        let taken = (0..COMMANDS).filter(|_| media.try_media(made(session, 2))).count();
        assert_eq!(taken, COMMANDS - RESERVED);
        assert_eq!(media.lost(), 2 * RESERVED as u64);
        let heard = sfu::Command::Heard { publisher: session, media: false, held: false };
        let sent = tokio::time::timeout(Duration::from_secs(10), media.send(heard)).await;
        sent.expect("there is room").unwrap();
        go.send(()).unwrap();
        let packets = move |shard: &Shard, _, _| shard.intake(session).map(|i| i.packets);
        let packets = media.look_all(packets).await.unwrap();
        assert_eq!(packets, [Some(2 * taken as u64)]);
        assert!(media.try_media(made(session, 1)), "there is room again");
        media.stop().await;
    }

    #[tokio::test]
    async fn a_tap_that_nobody_reads_loses_batches_and_stops_nothing() {
        let (media, mut events) = threads(1);
        let session = SessionId::from_random(1);
        media.send(sfu::Command::Add(Box::new(sfu::Add::local(session)))).await.unwrap();
        assert_eq!(next(&mut events).await, Event::Connected(session));
        let (tap, tapped) = mpsc::channel(1);
        assert!(media.tap(session, tap).await.unwrap());
        // What there was before fills it.
        assert!(media.try_media(made(session, 9)));
        let dropped = |shard: &Shard, _, _| shard.totals().drops.get(sfu::stats::Drop::LaneFull);
        while media.look_all(dropped).await.unwrap() != [9] {
            tokio::task::yield_now().await;
        }
        drop(tapped);
        assert!(media.try_media(made(session, 1)));
        media.stop().await;
    }

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
