//! Accepts TCP connections, those of RTMP too, and speaks HTTP on its own, within bounds: so many connections, so long for
//! a request's head, so long without an acknowledgement. A connection begins with files of streams, which are answered
//! without a framework (`http::files::wire`); hyper gets it with the first request for something else: HTTP/1.1, and HTTP/2
//! for who begins with it (RFC 9113 section 3.3): players of HLS ask for several things at once, and so do caches. Where
//! there is a certificate the same port speaks TLS in front of that, as the first byte says, and HTTP/2 by ALPN.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::begun::Begun;
use crate::clock;
use crate::config;
use crate::crowd::{Addresses, Refrain};
use crate::first::{self, First};
use crate::http::files::{self, wire, wire::Bounds};
use crate::http::{Peer, Site, Way};
use crate::pace::Pace;
use crate::young::{Newcomer, Young};

/// For the first byte of a connection.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// For the whole head of a request; also how long an idle connection stays open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that acknowledges nothing for so long is gone.
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// A peer that says nothing for so long is asked whether it is there, and again until [`DEAD_AFTER`]: one that went
/// without a word leaves nothing behind.
const ASK_AFTER: Duration = Duration::from_secs(15);
/// See [`ASK_AFTER`].
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// For a head: request line and header fields.
const HEAD_BYTES: usize = 32 * 1024;
/// What a connection by HTTP/1.1 may hold of what it reads, and of what it has still to write before more is made.
const BUFFER: usize = 64 * 1024;
/// After an error of `accept`, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What an answer by HTTP/2 may have on its way, so that one from disk holds no more than two pieces of its file.
const PIECE: usize = 128 * 1024;
/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 64;
/// For the last words of TLS.
const GOODBYE: Duration = Duration::from_secs(1);
/// A peer by HTTP/2 that says nothing is asked after so long whether it is there.
const PING_AFTER: Duration = Duration::from_secs(20);

/// Connections that the server has closed before anything was asked for, since the start.
#[derive(Debug, Default)]
pub(crate) struct Closed {
    crowded: AtomicU64,
    silent: AtomicU64,
    displaced: AtomicU64,
}

impl Closed {
    /// How many, by the reason: too many of its address are here; nothing came; somebody else needed the place.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 3] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = [&self.crowded, &self.silent, &self.displaced].map(read);
        [("crowded", counts[0]), ("silent", counts[1]), ("displaced", counts[2])]
    }
}

/// The places of one listener.
pub(crate) struct Places {
    connections: Arc<Semaphore>,
    young: Arc<Young>,
    addresses: Arc<Addresses>,
    closed: Arc<Closed>,
    refrain: Mutex<Refrain>,
}

impl Places {
    pub(crate) fn new(config: &config::Http, closed: Arc<Closed>) -> Self {
        let connections = config.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            connections: Arc::new(Semaphore::new(connections)),
            young: Arc::default(),
            addresses: Addresses::new(connections, &config.trusted_proxies),
            closed,
            refrain: Mutex::default(),
        }
    }

    /// One place: where there is none, the oldest connection that has asked for nothing yet makes room.
    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        let connections = || Arc::clone(&self.connections);
        if let Ok(place) = connections().try_acquire_owned() {
            return Some(place);
        }
        if self.young.make_room() {
            self.closed.displaced.fetch_add(1, Ordering::Relaxed);
        }
        connections().acquire_owned().await.ok()
    }

    /// There is none for who has just come. Who comes again and again fills no log.
    fn turn_away(&self, peer: SocketAddr) {
        self.closed.crowded.fetch_add(1, Ordering::Relaxed);
        let mut refrain = self.refrain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = refrain.say(clock::now()) {
            tracing::warn!(
                %peer, connections,
                "HTTP connections are closed as they come: one address has at most a quarter of http.max_connections; \
                 a proxy or CDN, behind which are many clients, belongs in http.trusted_proxies"
            );
        }
    }
}

/// Serves until `stop` becomes true, then lets running requests finish.
pub(crate) async fn serve(
    listener: TcpListener,
    site: Site,
    places: Places,
    mut stop: watch::Receiver<bool>,
) {
    let http = Arc::new(Http::new(Arc::clone(&places.closed)));
    let graceful = GracefulShutdown::new();
    loop {
        // Taken before accepting: beyond the cap, newcomers wait in the kernel's queue.
        let permit = tokio::select! {
            permit = places.take() => permit,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Some(permit) = permit else { break };
        let Some((stream, peer)) = accept(&listener, &mut stop).await else { break };
        let Some(seat) = places.addresses.enter(peer.ip()) else {
            places.turn_away(peer);
            continue;
        };
        let (newcomer, leave) = places.young.begin();
        let connection = Arc::clone(&http).connection(
            stream,
            (peer, newcomer),
            site.clone(),
            graceful.watcher(),
            stop.clone(),
        );
        tokio::spawn(async move {
            tokio::select! {
                () = connection => {}
                // Once it has asked nobody tells it to go.
                Ok(()) = leave => {}
            }
            drop((permit, seat));
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// How connections are served.
struct Http {
    closed: Arc<Closed>,
    one: http1::Builder,
    two: http2::Builder<TokioExecutor>,
}

impl Http {
    fn new(closed: Arc<Closed>) -> Self {
        let mut one = http1::Builder::new();
        one.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(BUFFER);
        let mut two = http2::Builder::new(TokioExecutor::new());
        two.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES as u32)
            .max_send_buf_size(PIECE)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(DEAD_AFTER);
        Self { closed, one, two }
    }

    /// One connection until its end.
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: (SocketAddr, Newcomer),
        site: Site,
        watcher: Watcher,
        mut stop: watch::Receiver<bool>,
    ) {
        // Whoever connects and says nothing costs a place: that is too cheap to have it for long.
        let mut byte = [0];
        let came = tokio::select! {
            biased;
            first = timeout(FIRST_BYTE, stream.peek(&mut byte)) => first,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let first = match came {
            Ok(Ok(count @ 1..)) => first::kind(&byte[..count]),
            // Gone again.
            Ok(_) => return,
            Err(_) => {
                self.closed.silent.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        match (first, &site.tls) {
            (Some(First::Frames), _) => Box::pin(media(stream, peer.0, &site)).await,
            (Some(First::Tls), Some(_)) => {
                Box::pin(self.encrypted(stream, peer, site.by(Way::Tls), watcher, stop)).await;
            }
            (_, None) => self.talk(stream, peer, site, watcher, stop).await,
            (_, Some(tls)) => {
                let way = if tls.is_ready() { Way::Misplaced } else { Way::Early };
                self.talk(stream, peer, site.by(way), watcher, stop).await;
            }
        }
    }

    /// TLS, and what is in it.
    async fn encrypted(
        &self,
        stream: TcpStream,
        peer: (SocketAddr, Newcomer),
        site: Site,
        watcher: Watcher,
        mut stop: watch::Receiver<bool>,
    ) {
        let Some(tls) = site.tls.clone() else { return };
        let accepted = tokio::select! {
            biased;
            accepted = Box::pin(tls.http(stream)) => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok(None) => {
                tracing::debug!(peer = %peer.0, "a certificate authority has seen its proof")
            }
            Ok(Some((stream, true))) => {
                self.rest(Box::new(stream), Vec::new(), true, peer, site, watcher).await;
            }
            Ok(Some((stream, false))) => {
                self.talk(Box::new(stream), peer, site, watcher, stop).await
            }
            Err(e) => tracing::debug!(peer = %peer.0, "no TLS: {e}"),
        }
    }

    /// A connection that begins with files.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        mut stream: S,
        (peer, newcomer): (SocketAddr, Newcomer),
        site: Site,
        watcher: Watcher,
        stop: watch::Receiver<bool>,
    ) {
        let bounds = Bounds { head: HEAD_TIMEOUT, bytes: HEAD_BYTES };
        let context = site.files.as_ref();
        let asked = || newcomer.asked();
        match wire::serve(&mut stream, context, peer, bounds, &stop, asked).await {
            Ok(None) => _ = timeout(GOODBYE, stream.shutdown()).await,
            // Not a part of this future: connections that wait for files are many, and small.
            Ok(Some(read)) => {
                let by_two = first::kind(&read) == Some(First::Http2);
                let peer = (peer, newcomer);
                Box::pin(self.rest(stream, read, by_two, peer, site, watcher)).await;
            }
            Err(e) => tracing::debug!(%peer, "connection ended: {e}"),
        }
    }

    /// What is not for files: `read` of it has come already.
    async fn rest<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        read: Vec<u8>,
        by_two: bool,
        (peer, newcomer): (SocketAddr, Newcomer),
        site: Site,
        watcher: Watcher,
    ) {
        let pace = Pace::new(clock::now(), HEAD_TIMEOUT);
        let turns = Arc::clone(&pace);
        let service = service_fn(move |request| {
            newcomer.asked();
            let (site, turn) = (site.clone(), turns.begin());
            async move {
                let response = site.answer(peer, request).await?;
                Ok::<_, Infallible>(response.map(|body| turn.answer(body)))
            }
        });
        let stream = TokioIo::new(Begun::new(read, stream));
        let served = async {
            match by_two {
                true => watcher.watch(self.two.serve_connection(stream, service)).await,
                false => watcher.watch(self.one.serve_connection(stream, service)).await,
            }
        };
        let ended = tokio::select! {
            ended = served => ended,
            () = pace.over() => {
                return tracing::debug!(%peer, "connection ended: it was idle, or took nothing of an answer");
            }
        };
        if let Err(e) = ended {
            tracing::debug!(%peer, "connection ended: {e}");
        }
    }
}

/// It is not HTTP: media by TCP, whose place is elsewhere from here on.
async fn media(stream: TcpStream, peer: SocketAddr, site: &Site) {
    let Some(context) = &site.files else { return };
    if let Err(refused) = context.plug(stream, peer).await {
        tracing::debug!(%peer, "a TCP connection of media is not taken: {refused}");
    }
}

impl Site {
    /// Files go past the routes here, too.
    async fn answer(
        self,
        peer: SocketAddr,
        mut request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        if let Some(context) = &self.files
            && let Some(visit) = files::visit(context, peer, &request)
        {
            drop(request);
            return Ok(visit.counted(context).await);
        }
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(self.way);
        self.router.oneshot(request).await
    }
}

/// The next connection; `None` once `stop` is true.
pub(crate) async fn accept(
    listener: &TcpListener,
    stop: &mut watch::Receiver<bool>,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return None,
        };
        match accepted {
            Ok((stream, peer)) => {
                tune(&stream);
                return Some((stream, peer));
            }
            Err(e) => {
                tracing::warn!("cannot accept a connection: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Small answers go out at once; a dead peer does not hold its connection for hours, whether something is under way to it
/// or not.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_user_timeout(Some(DEAD_AFTER));
    let asks = TcpKeepalive::new().with_time(ASK_AFTER).with_interval(ASK_AGAIN);
    let _ = socket.set_tcp_keepalive(&asks);
}
