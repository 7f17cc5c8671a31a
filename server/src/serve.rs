//! Accepts TCP connections, those of RTMP too, and speaks HTTP on its own, within bounds: so many connections, so long for
//! a request's head, so long without an acknowledgement. HTTP/1.1, and HTTP/2 for who begins with it (RFC 9113 section
//! 3.3): players of HLS ask for several things at once, and so do caches.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::http::Peer;

/// For the whole head of a request; also how long an idle connection stays open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that acknowledges nothing for so long is gone.
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// For a head: request line and header fields.
const HEAD_BYTES: usize = 32 * 1024;
/// What a connection by HTTP/1.1 may hold of what it reads, and of what it has still to write before more is made.
const BUFFER: usize = 64 * 1024;
/// After an error of `accept`, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What HTTP/2 begins with (RFC 9113 section 3.4), as far as it cannot be a request of HTTP/1.1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 64;
/// A peer by HTTP/2 that says nothing is asked after so long whether it is there.
const PING_AFTER: Duration = Duration::from_secs(20);

/// Serves until `stop` becomes true, then lets running requests finish.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    let http = Arc::new(Http::new());
    let graceful = GracefulShutdown::new();
    loop {
        // Taken before accepting: beyond the cap, newcomers wait in the kernel's queue.
        let permit = tokio::select! {
            permit = connections.clone().acquire_owned() => permit,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok(permit) = permit else { break };
        let Some((stream, peer)) = accept(&listener, &mut stop).await else { break };
        let connection = Arc::clone(&http).connection(
            stream,
            peer,
            router.clone(),
            graceful.watcher(),
            stop.clone(),
        );
        tokio::spawn(async move {
            connection.await;
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// How connections are served.
struct Http {
    one: http1::Builder,
    two: http2::Builder<TokioExecutor>,
}

impl Http {
    fn new() -> Self {
        let mut one = http1::Builder::new();
        one.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(BUFFER);
        let mut two = http2::Builder::new(TokioExecutor::new());
        two.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES as u32)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(DEAD_AFTER);
        Self { one, two }
    }

    /// One connection until its end.
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        router: Router,
        watcher: Watcher,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut first = [0; PREFACE.len()];
        let length = tokio::select! {
            peeked = timeout(HEAD_TIMEOUT, stream.peek(&mut first)) => match peeked {
                Ok(Ok(length)) => length,
                Ok(Err(_)) | Err(_) => return,
            },
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request)
        });
        let stream = TokioIo::new(stream);
        let ended = match first[..length] == *PREFACE {
            true => watcher.watch(self.two.serve_connection(stream, service)).await,
            false => watcher.watch(self.one.serve_connection(stream, service)).await,
        };
        if let Err(e) = ended {
            tracing::debug!(%peer, "connection ended: {e}");
        }
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

/// Small answers go out at once; a dead peer does not hold its connection for hours.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(DEAD_AFTER));
}
