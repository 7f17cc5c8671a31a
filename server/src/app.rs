//! From a configuration to a running server, and from the signal to stop to its end.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::access::Access;
use crate::advertise::{self, Advertised, Lookout};
use crate::config::{self, Config, Sources};
use crate::greeting::Facts;
use crate::http::{Context, Info, Limits, Listener, Routes, Site};
use crate::hub::{self, Hub};
use crate::net::Socket;
use crate::self_test::judge::Reach;
use crate::self_test::{self, SelfTest};
use crate::tls::{self, Tls};
use crate::{listen, rtmp, serve, token};

/// Running requests may take so long after the sessions are closed.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A socket cannot be opened.
    #[error(transparent)]
    Listen(#[from] listen::Error),
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The system refuses something else.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Serves until a signal says stop. `sources` are read again on SIGHUP.
pub async fn run(config: Config, sources: Sources) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    let http = listen::tcp("http.listen", config.http.listen)?;
    let admin = listen::tcp("admin.listen", config.admin.listen)?;
    let shards = shards(config.webrtc.shards);
    let media = listen::udp("webrtc.listen", config.webrtc.listen, shards)?;
    let http = http.map(TcpListener::from_std).transpose()?;
    let admin = admin.map(TcpListener::from_std).transpose()?;
    let data = config.data.dir(|name| std::env::var_os(name));
    let tls = Tls::open(&config.tls, &data)?;
    let rtmp = Rtmp::open(&config, tls.as_ref())?;
    let webrtc =
        media.as_ref().and_then(|all| all.first()).map(UdpSocket::local_addr).transpose()?;
    // Without `webrtc.listen` the routes turn everybody away, and the hub gets a socket that the
    // network does not reach.
    let media = match media {
        Some(media) => media,
        None => vec![UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?],
    };
    let shards = media.len();

    let made = token::obtain(&data);
    if let Some(warning) = &made.warning {
        tracing::warn!("{warning}");
    }
    let access = Arc::new(Access::new(config.access.clone(), made.token));
    let address =
        |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::local_addr).transpose();
    let (http_address, admin_address) = (address(&http)?, address(&admin)?);
    let tcp = webrtc.and(http_address).filter(|_| config.webrtc.tcp);
    let (advertised, lookout) = advertised(&config, webrtc, tcp).await;
    let worker = worker(&config);
    let media = media.into_iter().map(Socket::new).collect::<Result<Vec<_>, _>>()?;
    let buffers = media.first().and_then(Socket::granted);
    let hub = start_hub(&config, media, (&advertised, tcp), worker.as_ref().ok().cloned())?;

    let (rtmp_address, rtmps_address) = rtmp.addresses()?;
    let listeners = [
        ("http.listen", "tcp", http_address),
        ("admin.listen", "tcp", admin_address),
        ("rtmp.listen", "tcp", rtmp_address),
        ("rtmp.tls_listen", "tcp", rtmps_address),
        ("webrtc.listen", "udp", webrtc),
    ];
    let found = worker.clone().map_err(|missing| missing.to_string());
    let info = info(&config, &listeners, shards, found);
    let context = Arc::new(Context::new(hub.clone(), access, &config, info));

    let (stop, stopped) = watch::channel(false);
    let mut servers = JoinSet::new();
    let routes = if admin.is_some() { Routes::Public } else { Routes::All };
    for (listener, routes) in [(http, routes), (admin, Routes::Admin)] {
        if let Some(listener) = listener {
            // A cap for each: a flood of viewers must not lock out the operator.
            let places = serve::Places::new(&config.http, context.closed());
            let site = Site::new(&context, routes, tls.clone());
            servers.spawn(serve::serve(listener, site, places, stopped.clone()));
        }
    }

    rtmp.serve(&config, &context, &stopped, &mut servers);
    if let Some(tls) = tls.clone() {
        servers.spawn(tls.run(stopped.clone()));
    }

    let reach =
        Reach { webrtc, advertised: !config.webrtc.advertise.is_empty(), own: own_addresses() };
    greet(&Facts {
        config: &config,
        http: http_address,
        admin: admin_address,
        rtmp: rtmp_address,
        rtmps: rtmps_address,
        reach: reach.clone(),
        tls: tls.is_some(),
        missing: worker.as_ref().err().map(ToString::to_string),
        token: context.access().made_token(),
        token_file: made.kept,
    });
    let web = [http_address, admin_address].into_iter().flatten().count();
    let any_rtmp = rtmp_address.or(rtmps_address).is_some();
    let files = self_test::files(&config, web, shards, any_rtmp);
    let test = SelfTest { hub: hub.clone(), advertised, reach, tcp, buffers, files };
    let look = Arc::<Notify>::default();
    let looked = Arc::<Notify>::default();
    tokio::spawn(lookout.run(Arc::clone(&look), Arc::clone(&looked), stopped.clone()));
    tokio::spawn(test.run(context.self_test(), looked, stopped.clone()));
    let reload = Reload { context: &context, tls: tls.as_deref(), sources: &sources, look: &look };
    reload.until_stop(&mut signals, config.clone()).await;
    tracing::info!("stopping: no new publishers or viewers, closing sessions");
    context.drain();
    let goodbye = async {
        hub.drain().await;
        let _ = stop.send(true);
        let finished = async { while servers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_REQUESTS, finished).await;
    };
    tokio::select! {
        () = goodbye => tracing::info!("stopped"),
        () = tokio::time::sleep(config.server.drain_timeout) => {
            tracing::warn!("server.drain_timeout is over; closing what is left");
        }
        () = signals.stop() => tracing::warn!("second signal; stopping at once"),
    }
    // What is left lies there until the next start.
    let _ = tokio::time::timeout(LAST_REQUESTS, context.close()).await;
    Ok(())
}

/// There is a lane between every two of them.
const MAX_SHARDS: usize = 256;

/// How many media threads: one per core that this process may use, or as many as are asked for.
fn shards(wanted: u16) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        wanted => usize::from(wanted),
    }
    .min(MAX_SHARDS)
}

/// Sockets and settings go in, the hub comes out.
fn start_hub(
    config: &Config,
    sockets: Vec<Socket>,
    (advertised, tcp): (&Advertised, Option<SocketAddr>),
    worker: Option<transcode::Worker>,
) -> std::io::Result<Hub> {
    let settings = hub::Config {
        max_publishers: config.webrtc.max_publishers,
        max_viewers: config.webrtc.max_viewers,
        wait_for_publisher: config.webrtc.wait_for_publisher,
        stream: stream::Config {
            grace: config.stream.grace,
            on_conflict: config.stream.on_conflict.into(),
            bridges: worker.is_some(),
        },
        worker,
        bridges: config.transcode.bridges(),
        advertise: advertised.clone(),
        tcp: tcp.map(|bound| hub::Tcp { bound, connections: config.webrtc.tcp_connections }),
        sfu: sfu::Config {
            history: sfu::history::Limits {
                bytes: config.webrtc.ring_bytes,
                age: config.webrtc.ring_time,
            },
            wall_clock: crate::clock::since_epoch(),
            ..sfu::Config::default()
        },
    };
    hub::start(settings, sockets)
}

/// The addresses behind `webrtc.advertise`, and who looks after them. There is nothing by TCP without
/// `webrtc.listen`: there is no media then.
async fn advertised(
    config: &Config,
    webrtc: Option<SocketAddr>,
    tcp: Option<SocketAddr>,
) -> (Advertised, Lookout<impl advertise::Lookup + use<>>) {
    let entries = if webrtc.is_some() { &config.webrtc.advertise[..] } else { &[] };
    let ports = (webrtc.map_or(0, |address| address.port()), tcp.map(|address| address.port()));
    advertise::open(entries, ports, advertise::lookup).await
}

/// The program that bridges codecs.
fn worker(config: &Config) -> Result<transcode::Worker, transcode::find::Missing> {
    let own = std::env::current_exe().ok();
    let path = transcode::find(config.transcode.program(), own.as_deref())?;
    Ok(transcode::Worker::new(path, &config.transcode.limits()))
}

/// The listeners of RTMP.
struct Rtmp {
    plain: Option<TcpListener>,
    tls: Option<(TcpListener, Arc<Tls>)>,
}

impl Rtmp {
    fn open(config: &Config, tls: Option<&Arc<Tls>>) -> Result<Self, Error> {
        let open = |key, listen| -> Result<_, Error> {
            Ok(listen::tcp(key, listen)?.map(TcpListener::from_std).transpose()?)
        };
        let plain = open("rtmp.listen", config.rtmp.listen)?;
        let tls = open("rtmp.tls_listen", config.rtmp.tls_listen)?.zip(tls.cloned());
        Ok(Self { plain, tls })
    }

    fn addresses(&self) -> std::io::Result<(Option<SocketAddr>, Option<SocketAddr>)> {
        let tls = self.tls.as_ref().map(|(listener, _)| listener);
        let address = |listener: Option<&TcpListener>| listener.map(TcpListener::local_addr);
        Ok((address(self.plain.as_ref()).transpose()?, address(tls).transpose()?))
    }

    fn serve(
        self,
        config: &Config,
        context: &Context,
        stopped: &watch::Receiver<bool>,
        servers: &mut JoinSet<()>,
    ) {
        let door = Arc::new(context.door(&config.rtmp));
        if let Some(listener) = self.plain {
            servers.spawn(rtmp::serve(Arc::clone(&door), listener, None, stopped.clone()));
        }
        if let Some((listener, tls)) = self.tls {
            servers.spawn(rtmp::serve(door, listener, Some(tls), stopped.clone()));
        }
    }
}

fn info(
    config: &Config,
    listeners: &[(&'static str, &'static str, Option<SocketAddr>)],
    shards: usize,
    worker: Result<transcode::Worker, String>,
) -> Info {
    let open = listeners.iter().filter_map(|(key, transport, address)| {
        address.map(|address| Listener { key, transport, address })
    });
    Info {
        listeners: open.collect(),
        shards,
        worker,
        limits: Limits {
            publishers: config.webrtc.max_publishers,
            viewers: config.webrtc.max_viewers,
            body_bytes: config.http.body_limit,
            requests_per_second: config.http.rate,
            connections: config.http.max_connections,
            rtmp_connections: config.rtmp.max_connections,
        },
    }
}

fn own_addresses() -> Vec<IpAddr> {
    let link_local = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses = interfaces.iter().map(if_addrs::Interface::ip);
    addresses.filter(|ip| !ip.is_loopback() && !link_local(ip)).collect()
}

fn greet(facts: &Facts<'_>) {
    let mut out = std::io::stdout().lock();
    // Whoever closed our stdout does not want to read it; that is no reason not to serve.
    let _ = writeln!(out, "{}", facts.lines().join("\n"));
    let _ = out.flush();
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// SIGTERM or SIGINT.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What SIGHUP reaches.
struct Reload<'a> {
    context: &'a Context,
    tls: Option<&'a Tls>,
    sources: &'a Sources,
    /// Names are looked up again, and then the self-test runs.
    look: &'a Notify,
}

impl Reload<'_> {
    /// Reloads on SIGHUP until a signal says stop.
    async fn until_stop(self, signals: &mut Signals, mut config: Config) {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return,
                _ = signals.interrupt.recv() => return,
                _ = signals.hang_up.recv() => {
                    self.reload(&mut config);
                    self.look.notify_one();
                }
            }
        }
    }

    /// The access rules and the certificate take effect; what else changed is said.
    fn reload(&self, config: &mut Config) {
        let new = match config::load(self.sources) {
            Ok(new) => new,
            Err(e) => return tracing::error!("not reloaded, everything stays as it was: {e}"),
        };
        self.context.access().reload(new.access.clone());
        tracing::info!("reloaded: {} access rules in force", new.access.len());
        let by_files = config.tls.files().and(new.tls.files());
        if let Some((tls, (cert, key))) = self.tls.zip(by_files) {
            match tls.reload(cert, key) {
                Ok(()) => tracing::info!("reloaded: the certificate of {}", cert.display()),
                Err(e) => tracing::error!("the certificate stays as it was: {e}"),
            }
            config.tls = new.tls.clone();
        }
        for key in config.needs_restart(&new) {
            tracing::warn!("{key} has changed; it takes effect at the next start");
        }
        config.access = new.access;
    }
}
