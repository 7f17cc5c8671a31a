//! A bad network on one machine: a UDP relay that loses, reorders and delays by a seeded die.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::random::Random;

/// What happens to each datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// Probability of loss.
    pub loss: f64,
    /// Probability of being overtaken: held back for [`Impairment::HOLD`].
    pub reorder: f64,
    /// Every datagram is this late.
    pub delay: Duration,
    /// The server's side of the DTLS handshake (RFC 6347) never arrives.
    pub no_dtls: bool,
}

impl Impairment {
    /// How long a reordered datagram waits: some packets of the same frame and often the next
    /// frame pass it.
    pub const HOLD: Duration = Duration::from_millis(25);

    /// Nothing.
    pub const NONE: Self = Self { loss: 0.0, reorder: 0.0, delay: Duration::ZERO, no_dtls: false };

    /// Nothing arrives any more.
    pub const CUT: Self = Self { loss: 1.0, ..Self::NONE };
}

/// The content type of an alert.
const ALERT: u8 = 21;

/// What one direction has done.
#[derive(Debug, Default)]
pub struct Counts {
    /// Datagrams in.
    pub seen: AtomicU64,
    /// Of them lost.
    pub lost: AtomicU64,
    /// Of them held back.
    pub held: AtomicU64,
    /// DTLS alerts (RFC 6347 section 4.1), sealed or not: a goodbye is one.
    pub alerts: AtomicU64,
}

/// One relay stands between one client and one server address.
#[derive(Debug)]
pub struct Relay {
    /// Where the client sends to.
    pub address: SocketAddr,
    /// Both directions share it.
    impairment: Arc<Mutex<Impairment>>,
    /// Client to server.
    pub up: Arc<Counts>,
    /// Server to client.
    pub down: Arc<Counts>,
    back: watch::Sender<Arc<UdpSocket>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Listens on a free port of the server's address family and forwards to `server`.
    pub async fn new(server: SocketAddr, impairment: Impairment, seed: u64) -> Self {
        let any = SocketAddr::new(server.ip(), 0);
        let front = UdpSocket::bind(any).await.expect("a free UDP port");
        Self::behind(front, server, impairment, seed).await
    }

    /// The same behind a port that is open already.
    pub async fn behind(
        front: UdpSocket,
        server: SocketAddr,
        impairment: Impairment,
        seed: u64,
    ) -> Self {
        let front = Arc::new(front);
        let (back, backs) = watch::channel(behind(server).await);
        let client = Arc::new(Mutex::new(None));
        let address = front.local_addr().expect("a bound socket has an address");
        let impairment = Arc::new(Mutex::new(impairment));
        let (up, down) = (Arc::new(Counts::default()), Arc::new(Counts::default()));

        let upward = {
            let (front, backs, client) = (front.clone(), backs.clone(), client.clone());
            let mut die = Die::new(seed, &impairment, &up);
            tokio::spawn(async move {
                let mut buffer = [0; 2048];
                while let Ok((len, from)) = front.recv_from(&mut buffer).await {
                    *client.lock().unwrap() = Some(from);
                    let Some(wait) = die.throw(false) else { continue };
                    let (back, datagram) = (backs.borrow().clone(), buffer[..len].to_vec());
                    later(wait, async move { drop(back.send(&datagram).await) }).await;
                }
            })
        };
        let downward = {
            let (mut backs, mut die) = (backs, Die::new(seed ^ 0xd0, &impairment, &down));
            let counts = down.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 2048];
                loop {
                    let back = backs.borrow_and_update().clone();
                    let received = tokio::select! {
                        received = back.recv(&mut buffer) => received,
                        _ = backs.changed() => continue,
                    };
                    // A refused port (server gone) is an error to a connected socket; go on.
                    let Ok(len) = received else { continue };
                    let Some(to) = *client.lock().unwrap() else { continue };
                    let dtls = (20..64).contains(&buffer[0]);
                    if buffer[0] == ALERT {
                        counts.alerts.fetch_add(1, Ordering::Relaxed);
                    }
                    let Some(wait) = die.throw(dtls) else { continue };
                    let (front, datagram) = (front.clone(), buffer[..len].to_vec());
                    later(wait, async move { drop(front.send_to(&datagram, to).await) }).await;
                }
            })
        };
        Self { address, impairment, up, down, back, tasks: vec![upward, downward] }
    }

    /// Sends the server something of ours from the client's own address.
    pub async fn forge(&self, datagram: &[u8]) {
        let back = self.back.borrow().clone();
        back.send(datagram).await.expect("the server listens");
    }

    /// Does as a NAT that has forgotten the client: from another port to the server, and nothing that
    /// the server sends to the old one arrives any more.
    pub async fn rebind(&self) {
        let server = self.back.borrow().peer_addr().expect("it is connected");
        self.back.send_replace(behind(server).await);
    }

    /// The port that the server sees.
    pub fn port(&self) -> u16 {
        self.back.borrow().local_addr().expect("a bound socket has an address").port()
    }

    /// Changes the weather.
    pub fn set(&self, impairment: Impairment) {
        *self.impairment.lock().unwrap() = impairment;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A socket that speaks to this server.
async fn behind(server: SocketAddr) -> Arc<UdpSocket> {
    let any = SocketAddr::new(server.ip(), 0);
    let socket = UdpSocket::bind(any).await.expect("a free UDP port");
    socket.connect(server).await.expect("a UDP socket connects to anything");
    Arc::new(socket)
}

struct Die {
    random: Random,
    impairment: Arc<Mutex<Impairment>>,
    counts: Arc<Counts>,
}

impl Die {
    fn new(seed: u64, impairment: &Arc<Mutex<Impairment>>, counts: &Arc<Counts>) -> Self {
        Self {
            random: Random::seeded(seed),
            impairment: impairment.clone(),
            counts: counts.clone(),
        }
    }

    /// How late this datagram is; `None`: never comes.
    fn throw(&mut self, dtls: bool) -> Option<Duration> {
        let now = *self.impairment.lock().unwrap();
        self.counts.seen.fetch_add(1, Ordering::Relaxed);
        if dtls && now.no_dtls {
            return None;
        }
        if self.random.chance(now.loss) {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if self.random.chance(now.reorder) {
            self.counts.held.fetch_add(1, Ordering::Relaxed);
            return Some(now.delay + Impairment::HOLD);
        }
        Some(now.delay)
    }
}

async fn later(wait: Duration, send: impl Future<Output = ()> + Send + 'static) {
    if wait.is_zero() {
        send.await;
    } else {
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            send.await;
        });
    }
}
