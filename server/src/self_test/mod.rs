//! At the start this server asks itself whether it is where clients are told that it is: a check (RFC 8445) through each
//! address, by UDP and by TCP, beside what the kernel granted. What that means is said by [`judge`].

pub(crate) mod judge;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use sfu::{Probe, frames};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) use self::judge::Check;
use self::judge::{Files, Found, Heard, OUTSIDE, Reach, Tried, Verdict};
use crate::config::{Config, Protocol};
use crate::hub::Hub;
use crate::net;

/// For an answer.
const LIMIT: Duration = Duration::from_secs(1);
/// A datagram may be lost: from one check to the next.
const AGAIN: Duration = Duration::from_millis(150);
/// An answer in its frame.
const ANSWER: usize = 512;
/// Files of each media thread: its socket, its poll, its bell.
const FILES_OF_A_SHARD: u64 = 3;
/// Listeners, logs, files of streams, workers.
const FILES_BESIDE: u64 = 200;

/// What was found last; `None` until then.
pub(crate) type Results = watch::Sender<Option<Arc<[Check]>>>;

/// What there is to try.
pub(crate) struct SelfTest {
    pub(crate) hub: Hub,
    pub(crate) advertised: crate::advertise::Advertised,
    pub(crate) reach: Reach,
    /// Where media comes in by TCP.
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) buffers: Option<(usize, usize)>,
    pub(crate) files: Files,
}

impl SelfTest {
    /// Now and whenever `again` says so, until `stop`.
    pub(crate) async fn run(
        self,
        results: Arc<Results>,
        again: Arc<Notify>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut first = true;
        loop {
            let checks = tokio::select! {
                found = self.once() => judge::judge(&found),
                _ = stop.wait_for(|stop| *stop) => return,
            };
            say(&checks, first);
            first = false;
            results.send_replace(Some(checks.into()));
            tokio::select! {
                () = again.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn once(&self) -> Found {
        Found {
            reach: Reach { own: net::addresses::own(), ..self.reach.clone() },
            tried: self.try_all().await,
            nowhere: self.advertised.now().nowhere,
            tcp: self.tcp,
            buffers: self.buffers.map(|granted| (granted, net::udp::BUFFER)),
            files: self.files.clone(),
        }
    }

    async fn try_all(&self) -> Vec<Tried> {
        let Some(webrtc) = self.reach.webrtc else { return Vec::new() };
        let Some(probe) = self.hub.probe(true) else { return Vec::new() };
        let told = self.advertised.now();
        let (udp, tcp) = self.hub.candidates(OUTSIDE);
        let udp = udp.into_iter().map(|a| (Protocol::Udp, a, told.udp.contains(&a), webrtc));
        let tcp = tcp.into_iter().zip(self.tcp.into_iter().cycle());
        let tcp = tcp.map(|(a, bound)| (Protocol::Tcp, a, told.tcp.contains(&a), bound));
        let mut trials = JoinSet::new();
        for (place, (protocol, address, advertised, bound)) in udp.chain(tcp).enumerate() {
            let (probe, number) = (probe.clone(), self.hub.transaction());
            trials.spawn(async move {
                let heard = hear(&probe, number, protocol, address).await;
                (place, Tried { protocol, address, advertised, bound, heard })
            });
        }
        let mut tried = trials.join_all().await;
        self.hub.probe(false);
        tried.sort_by_key(|(place, _)| *place);
        tried.into_iter().map(|(_, tried)| tried).collect()
    }
}

/// Who may open files here, with so many listeners of HTTP.
pub(crate) fn files(config: &Config, http: usize, shards: usize, rtmp: bool) -> Files {
    let each = config.http.max_connections as u64;
    let names = ["http.max_connections", "the same at admin.listen"];
    let mut places: Vec<_> = names.into_iter().take(http).map(|name| (name, each)).collect();
    if config.webrtc.tcp {
        places.push(("webrtc.tcp_connections", config.webrtc.tcp_connections as u64));
    }
    if rtmp {
        places.push(("rtmp.max_connections", config.rtmp.max_connections as u64));
    }
    let limit = getrlimit(Resource::Nofile).current;
    Files { limit, places, rest: FILES_BESIDE + FILES_OF_A_SHARD * shards as u64 }
}

/// In the log; what the first lines at the start have not said yet, behind them too.
fn say(checks: &[Check], first: bool) {
    if let Some(well) = judge::well(checks) {
        return tracing::info!("{well}");
    }
    let warnings = checks.iter().filter(|check| check.result == Verdict::Warning);
    let mut out = io::stdout().lock();
    for check in warnings {
        tracing::warn!("self-test: {check}");
        if first && check.what != judge::EARLY {
            // Whoever closed our stdout does not want to read it.
            let _ = writeln!(out, "  warning  {check}");
        }
    }
    let _ = out.flush();
}

/// What a check through this address gets.
async fn hear(probe: &Probe, number: [u8; 12], protocol: Protocol, to: SocketAddr) -> Heard {
    let Some(question) = probe.question(number) else { return Heard::Stranger };
    let heard = async {
        match protocol {
            Protocol::Udp => by_udp(probe, number, &question, to).await,
            Protocol::Tcp => by_tcp(probe, number, &question, to).await,
        }
    };
    match timeout(LIMIT, heard).await {
        Err(_) => Heard::Nothing,
        Ok(Ok(true)) => Heard::Answer,
        Ok(Ok(false)) => Heard::Stranger,
        Ok(Err(e)) => Heard::Refused(why(&e)),
    }
}

/// True: this server's answer has come.
async fn by_udp(
    probe: &Probe,
    number: [u8; 12],
    question: &[u8],
    to: SocketAddr,
) -> io::Result<bool> {
    let socket = match to {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?,
    };
    socket.connect(to).await?;
    let mut answer = [0; ANSWER];
    loop {
        socket.send(question).await?;
        if let Ok(received) = timeout(AGAIN, socket.recv(&mut answer)).await {
            let bytes = answer.get(..received?).unwrap_or_default();
            return Ok(probe.seen(number, bytes).is_some());
        }
    }
}

/// See [`by_udp`].
async fn by_tcp(
    probe: &Probe,
    number: [u8; 12],
    question: &[u8],
    to: SocketAddr,
) -> io::Result<bool> {
    let mut stream = TcpStream::connect(to).await?;
    let Some(head) = frames::head(question.len()) else { return Ok(false) };
    stream.write_all(&[&head[..], question].concat()).await?;
    let mut read = Vec::new();
    loop {
        match frames::first(&read) {
            Ok(Some(answer)) => return Ok(probe.seen(number, answer).is_some()),
            Ok(None) if read.len() < ANSWER => {}
            _ => return Ok(false),
        }
        let mut more = [0; ANSWER];
        match stream.read(&mut more).await? {
            0 => return Ok(false),
            count => read.extend_from_slice(more.get(..count).unwrap_or_default()),
        }
    }
}

fn why(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "there is no way there".to_owned()
        }
        _ => e.to_string(),
    }
}
