//! A connection that began with frames (RFC 4571) on the HTTP port, on its way to the media thread of its session:
//! its first frame is a check (RFC 8445), whose user name says whose it is. What is forged in it the thread finds.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sfu::demux::ufrags;
use sfu::recorder::{Decision, Refusal};
use sfu::{Over, Path, frames};
use signaling::SessionId;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Command, Media, udp};
use crate::crowd::{Addresses, Seat};

/// For the whole first frame.
const FIRST_FRAME: Duration = Duration::from_secs(10);
/// One read while it is not whole.
const READ: usize = 2048;
/// What the kernel takes and cannot send yet: all else waits where it can be left out.
const UNSENT: u32 = 16 * 1024;
/// What may be on its way.
const FLYING: usize = 256 * 1024;

/// One connection, until it is dropped.
pub(super) struct Plug {
    pub(super) path: Path,
    pub(super) stream: mio::net::TcpStream,
    /// What has come of it.
    pub(super) read: Vec<u8>,
    pub(super) _seat: (OwnedSemaphorePermit, Seat),
}

/// Why a connection was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// See `webrtc.tcp_connections`.
    #[error("too many connections of media")]
    Full,
    /// So many has no other address.
    #[error("too many connections of media from its address")]
    Crowded,
    /// Not a frame in time.
    #[error("no frame in time")]
    Late,
    /// It ended, or sent what is no check.
    #[error("no check")]
    Malformed,
    /// No session has that user name.
    #[error("a check for nobody")]
    Unknown,
}

impl Refused {
    const ALL: [Self; 5] = [Self::Full, Self::Crowded, Self::Late, Self::Malformed, Self::Unknown];

    /// The label in `/metrics`.
    const fn name(self) -> &'static str {
        match self {
            Self::Full => "wire_no_place",
            Self::Crowded => "wire_crowded",
            Self::Late => "wire_late",
            Self::Malformed => "wire_malformed",
            Self::Unknown => "wire_unknown",
        }
    }
}

/// Who comes in by TCP.
#[derive(Debug)]
pub(super) struct Desk {
    /// Places of all, and of each address; empty where nothing is taken.
    places: OnceLock<(Arc<Semaphore>, Arc<Addresses>)>,
    next: AtomicU32,
    refused: [AtomicU64; Refused::ALL.len()],
}

impl Desk {
    /// Takes nobody yet.
    pub(super) fn new() -> Arc<Self> {
        let (next, refused) = (AtomicU32::new(0), Default::default());
        Arc::new(Self { places: OnceLock::new(), next, refused })
    }

    /// A place, once it is known for whom: who says nothing takes none from those who do.
    fn enter(&self, peer: SocketAddr) -> Result<(OwnedSemaphorePermit, Seat), Refused> {
        let (places, addresses) = self.places.get().ok_or(Refused::Full)?;
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| Refused::Full)?;
        Ok((place, addresses.enter(peer.ip()).ok_or(Refused::Crowded)?))
    }
}

impl Media {
    /// From now on so many connections may carry media, a quarter of them from one address.
    pub(crate) fn take_wires(&self, connections: usize) {
        let connections = connections.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(connections));
        // Said once, at the start.
        let _ = self.desk.places.set((places, Addresses::new(connections, &[])));
    }

    /// Hands a connection over to its session.
    ///
    /// # Errors
    /// Why it was closed instead, which is counted.
    pub(crate) async fn plug(&self, stream: TcpStream, peer: SocketAddr) -> Result<(), Refused> {
        let plugged = self.hand_over(stream, peer).await;
        if let Err(refused) = plugged {
            self.desk.refused[refused as usize].fetch_add(1, Ordering::Relaxed);
        }
        plugged
    }

    /// How many connections were not taken, by reason.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.desk.refused.iter().map(|count| count.load(Ordering::Relaxed));
        Refused::ALL.into_iter().map(Refused::name).zip(counts)
    }

    /// What the server gets in a frame that asks itself; see [`sfu::probe`].
    fn answer_probe(&self, read: &[u8], peer: SocketAddr) -> Option<Vec<u8>> {
        let question = frames::first(read).ok()??;
        let answer = self.directory.answer(question, udp::canonical(peer))?;
        let head = frames::head(answer.len())?;
        Some([&head[..], &answer].concat())
    }

    async fn hand_over(&self, mut stream: TcpStream, peer: SocketAddr) -> Result<(), Refused> {
        if self.desk.places.get().is_none() {
            return Err(Refused::Full);
        }
        let mut read = Vec::new();
        let names = tokio::time::timeout(FIRST_FRAME, names(&mut stream, &mut read));
        let (ours, theirs) = names.await.map_err(|_| Refused::Late)??;
        let Some((session, home)) = self.directory.whose(&ours, self.threads.len()) else {
            if let Some(answer) = self.answer_probe(&read, peer) {
                return stream.write_all(&answer).await.map_err(|_| Refused::Malformed);
            }
            self.directory.strange(super::now(), (&ours, &theirs), udp::canonical(peer));
            return Err(Refused::Unknown);
        };
        let _seat = match self.desk.enter(peer) {
            Ok(seat) => seat,
            Err(refused) => {
                self.tell(session, peer, refused).await;
                return Err(refused);
            }
        };
        let number = self.desk.next.fetch_add(1, Ordering::Relaxed);
        let (path, stream) = settle(stream, peer, number).map_err(|_| Refused::Malformed)?;
        let plug = Plug { path, stream, read, _seat };
        let lane = self.threads.get(home).ok_or(Refused::Unknown)?;
        lane.send(Command::Plug(Box::new(plug))).await.map_err(|_| Refused::Unknown)
    }

    /// The session's log says why a connection of its client was closed.
    async fn tell(&self, session: SessionId, peer: SocketAddr, refused: Refused) {
        let why = match refused {
            Refused::Full => Refusal::Full,
            Refused::Crowded => Refusal::Crowded,
            Refused::Late | Refused::Malformed | Refused::Unknown => return,
        };
        let decision = Decision::TurnedAway { from: udp::canonical(peer).into(), why };
        // Without media threads the server ends.
        let _ = self.send(sfu::Command::Note { session, at: super::now(), decision }).await;
    }
}

/// Reads until the first frame is whole: whose it says it is, and who says so.
async fn names(stream: &mut TcpStream, read: &mut Vec<u8>) -> Result<(String, String), Refused> {
    loop {
        match frames::first(read) {
            Ok(None) => {}
            Ok(Some(frame)) => {
                let (ours, theirs) = ufrags(frame).ok_or(Refused::Malformed)?;
                return Ok((ours.to_owned(), theirs.to_owned()));
            }
            Err(_) => return Err(Refused::Malformed),
        }
        let mut more = [0; READ];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return Err(Refused::Malformed),
            Ok(count) => read.extend_from_slice(&more[..count]),
        }
    }
}

/// Off tokio's hands.
fn settle(
    stream: TcpStream,
    peer: SocketAddr,
    number: u32,
) -> io::Result<(Path, mio::net::TcpStream)> {
    let (local, remote) = (udp::canonical(stream.local_addr()?), udp::canonical(peer));
    // Without these it carries media too, only later.
    let socket = SockRef::from(&stream);
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    let _ = socket.set_send_buffer_size(FLYING);
    let stream = mio::net::TcpStream::from_std(stream.into_std()?);
    Ok((Path { local, remote, over: Over::Tcp(number) }, stream))
}
