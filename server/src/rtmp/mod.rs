//! RTMP and RTMPS: listeners, and a task for each connection. What is said on it is `rtmp`'s, what becomes of the
//! media is the hub's and the lines'.

mod connection;
mod crowd;
mod hold;
mod play;
mod publish;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::access::{Access, Action, By, Caller};
use crate::config::Apps;
use crate::crowd::Refrain;
use crate::http::token_in;
use crate::hub::{Guest, Hub};
use crate::tls::Tls;
use crate::{net, serve};
use crowd::Crowd;

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the first byte until it publishes or plays.
    start: Duration,
    /// A publisher that sends no media for so long is gone. The media threads wait a second longer, so that it
    /// is we who end it, and say why.
    silence: Duration,
    /// A player that takes nothing of its media for so long is gone.
    deaf: Duration,
    /// And everybody else that takes no answer: below the two others, for it is not read meanwhile.
    answers: Duration,
    /// Nobody can see pictures of which none is a keyframe.
    blind: Duration,
    /// For the last words to go out, and then for the peer to close.
    goodbye: Duration,
    /// How often these are looked at, at least.
    look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(10),
            silence: Duration::from_secs(9),
            deaf: Duration::from_secs(30),
            answers: Duration::from_secs(5),
            blind: Duration::from_secs(20),
            goodbye: Duration::from_secs(2),
            look: Duration::from_secs(1),
        }
    }
}

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Door {
    hub: Hub,
    access: Arc<Access>,
    session: rtmp::session::Config,
    crowd: Crowd,
    counts: Arc<Counts>,
    /// What is said of those whom there is no place for, by the reason.
    refrains: Mutex<[Refrain; 2]>,
    patience: Patience,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The peer said that it is done.
    Goodbye,
    /// The peer closed it, or its network did.
    HungUp,
    /// The peer may not do what it asked for.
    Refused,
    /// The hub's wish: an operator, another publisher.
    Ended,
    /// What came is no RTMP, or not any that is taken.
    Protocol,
    /// It neither published nor played in time.
    SlowStart,
    /// No media came from a publisher.
    Silent,
    /// It does not read what it is sent.
    Deaf,
    /// No keyframe came.
    Blind,
    /// There was no TLS.
    Tls,
    /// As many players are here as may be.
    Full,
    /// As many connections of its address are here as may be.
    Crowded,
    /// As many connections are here as may be.
    NoPlace,
    /// The server stops.
    Stopped,
}

impl Closed {
    const ALL: [Self; 14] = [
        Self::Goodbye,
        Self::HungUp,
        Self::Refused,
        Self::Ended,
        Self::Protocol,
        Self::SlowStart,
        Self::Silent,
        Self::Deaf,
        Self::Blind,
        Self::Tls,
        Self::Full,
        Self::Crowded,
        Self::NoPlace,
        Self::Stopped,
    ];

    /// As `/metrics` names it.
    const fn name(self) -> &'static str {
        match self {
            Self::Goodbye => "goodbye",
            Self::HungUp => "hung_up",
            Self::Refused => "refused",
            Self::Ended => "ended",
            Self::Protocol => "protocol",
            Self::SlowStart => "slow_start",
            Self::Silent => "silent",
            Self::Deaf => "deaf",
            Self::Blind => "no_keyframe",
            Self::Tls => "tls",
            Self::Full => "full",
            Self::Crowded => "crowded",
            Self::NoPlace => "no_place",
            Self::Stopped => "stopped",
        }
    }

    /// In plain words.
    const fn text(self) -> &'static str {
        match self {
            Self::Goodbye => "it said goodbye",
            Self::HungUp => "its connection broke off",
            Self::Refused => "it was refused",
            Self::Ended => "the server ended it",
            Self::Protocol => "what it sent is no RTMP that this server takes",
            Self::SlowStart => "it neither published nor played within 10 seconds",
            Self::Silent => "no media came over its connection for 9 seconds",
            Self::Deaf => "it did not read what it was sent",
            Self::Blind => {
                "no keyframe came for 20 seconds: set a keyframe interval of 1 to 2 seconds in the \
                 encoder (OBS: Settings, Output, Output Mode Advanced: Keyframe Interval 2 s)"
            }
            Self::Tls => "the TLS handshake failed",
            Self::Full => "as many players are here as may be",
            Self::Crowded => "too many connections come from its address",
            Self::NoPlace => "as many connections are here as may be (rtmp.max_connections)",
            Self::Stopped => "the server is shutting down",
        }
    }

    /// Nobody waits for whom this happened to. Encoders come back at once from everything else, a message that
    /// broke on the way included.
    const fn is_goodbye(self) -> bool {
        matches!(self, Self::Goodbye | Self::Refused | Self::Ended | Self::Full | Self::Stopped)
    }
}

/// How many connections there are and were.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    closed: [AtomicU64; Closed::ALL.len()],
}

impl Counts {
    /// All that were ever accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Those that are over, by the reason.
    pub(crate) fn closed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |reason: Closed| self.closed[reason as usize].load(Ordering::Relaxed);
        Closed::ALL.into_iter().map(move |reason| (reason.name(), count(reason)))
    }

    fn close(&self, reason: Closed) {
        self.closed[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Door {
    pub(crate) fn new(
        hub: Hub,
        access: Arc<Access>,
        config: &crate::config::Rtmp,
        counts: Arc<Counts>,
    ) -> Self {
        let session =
            rtmp::session::Config { apps: names(&config.app), ..rtmp::session::Config::default() };
        let crowd = Crowd::new(config.max_connections);
        let (refrains, patience) = (Mutex::default(), Patience::default());
        Self { hub, access, session, crowd, counts, refrains, patience }
    }

    /// There is no place for somebody who has just come. Who comes again and again fills no log.
    fn turn_away(&self, peer: SocketAddr, closed: Closed) {
        self.counts.close(closed);
        let mut refrains = self.refrains.lock().expect("nobody panics while holding this lock");
        let said = refrains[usize::from(closed == Closed::NoPlace)].say(net::now());
        if let Some(connections) = said {
            tracing::warn!(%peer, connections, "RTMP connections are closed as they come: {}", closed.text());
        }
    }

    /// Somebody who may do what it wants.
    fn guest(
        &self,
        action: Action,
        name: &str,
        query: &str,
        peer: &rtmp::session::Peer,
        address: SocketAddr,
    ) -> Result<Guest, signaling::Problem> {
        let stream = crate::http::stream_name(name)?;
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let caller = Caller {
            address: address.ip(),
            local: local(address, &peer.tc_url),
            token: token_in(query),
            by: By::Rtmp,
        };
        self.access.authorize(action, Some(&stream), &caller)?;
        let user_agent = Some(peer.agent.clone()).filter(|agent| !agent.is_empty());
        let session = crate::http::random_session();
        Ok(Guest { stream, session, protocol: connection::PROTOCOL, address, user_agent })
    }
}

/// All names that the session takes; none of them: any.
fn names(apps: &Apps) -> Vec<String> {
    if apps.any() { Vec::new() } else { apps.names().to_vec() }
}

/// Whether a program on this machine has connected, with nothing in between: a proxy passes on by which name its
/// clients know it.
fn local(address: SocketAddr, tc_url: &str) -> Result<(), &'static str> {
    if !address.ip().is_loopback() {
        return Err("the connection does not come from the server's own machine");
    }
    let Some(url) = rtmp::Url::parse(&format!("{}/x", tc_url.trim_end_matches('/'))) else {
        return Err("the connection does not say for which host it is");
    };
    let loopback = |ip: std::net::IpAddr| ip.to_canonical().is_loopback();
    if url.host.eq_ignore_ascii_case("localhost") || url.host.parse().is_ok_and(loopback) {
        return Ok(());
    }
    Err("the connection is for another host than localhost")
}

/// Serves a listener until `stop` becomes true; open connections are told by the hub, or stop by themselves.
pub(crate) async fn serve(
    door: Arc<Door>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let Some((stream, peer)) = serve::accept(&listener, &mut stop).await else { break };
        door.counts.accepted.fetch_add(1, Ordering::Relaxed);
        let seat = match door.crowd.enter(peer.ip()) {
            Ok(seat) => seat,
            Err(closed) => {
                door.turn_away(peer, closed);
                continue;
            }
        };
        let (door, tls, stop) = (Arc::clone(&door), tls.clone(), stop.clone());
        tasks.spawn(async move {
            let counts = Arc::clone(&door.counts);
            let closed = connection(door, stream, peer, tls, stop).await;
            tracing::debug!(%peer, "an RTMP connection has ended: {}", closed.text());
            drop(seat);
            counts.close(closed);
        });
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

async fn connection(
    door: Arc<Door>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Tls>>,
    stop: watch::Receiver<bool>,
) -> Closed {
    let Some(tls) = tls else { return connection::run(door, stream, peer, stop).await };
    match tls.rtmp(stream).await {
        Ok(stream) => connection::run(door, stream, peer, stop).await,
        Err(e) => {
            tracing::debug!(%peer, "no TLS: {e}");
            Closed::Tls
        }
    }
}

/// For a handshake.
fn random() -> [u8; rtmp::RANDOM] {
    let mut bytes = [0; rtmp::RANDOM];
    rand::fill(&mut bytes).expect("the system's random source does not fail");
    bytes
}
