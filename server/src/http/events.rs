//! `/whep/{stream}/{session}/events`, the server-sent-events extension: the connection on which a
//! viewer is told what becomes of its stream. What is told is `hub/news.rs`, how it looks is
//! `whep::events`.
//!
//! Who has the session's URL may listen, as with the layer extension. The time limit of the other
//! signalling routes ends with the head of the answer; what follows lasts as long as the session.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use hyper::body::Frame;
use signaling::Problem;
use signaling::endpoint::{Outcome, deleted};
use whep::events::{self, Action};

use super::Shared;
use super::endpoint::{Answer, Incoming, existing};
use super::path::Path;
use super::reply::{not_found, reply};
use crate::hub::{Listener, Role};

/// After so long without an event a comment goes out: proxies cut what is silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// nginx holds answers back unless told otherwise.
const NO_BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// `/whep/{stream}/{session}/events`
pub(super) async fn whep_events(
    State(context): State<Shared>,
    Path((stream, session)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let (stream, session) =
        existing(&context, Role::Viewer, &stream, &session, request.method()).await?;
    let incoming = Incoming::read(&context, request).await?;
    let gone = || not_found("there is no such event stream, or it has ended");
    match events::request(&incoming.request()) {
        Outcome::Reply(it) => Ok(reply(it)),
        Outcome::Do(Action::Subscribe(wanted)) => {
            let location = incoming.location(&context, "whep", &stream, session)?;
            if !context.hub.want(&stream, session, Some(wanted)).await {
                return Err(gone());
            }
            Ok(reply(events::created(events::location(&location))))
        }
        Outcome::Do(Action::Unsubscribe) => match context.hub.want(&stream, session, None).await {
            true => Ok(reply(deleted())),
            false => Err(gone()),
        },
        Outcome::Do(Action::Listen) => {
            let seat = context.events.enter()?;
            let listener = context.hub.listen(&stream, session).await.ok_or_else(gone)?;
            Ok(answer(listener, seat, KEEP_ALIVE))
        }
    }
}

/// How many listen now, and how many may.
#[derive(Debug)]
pub(super) struct Hall {
    seats: Arc<AtomicUsize>,
    limit: usize,
}

/// One listener's place, until dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<AtomicUsize>);

impl Hall {
    /// Event streams may take half of a listener's connections: signalling needs the others.
    pub(super) fn new(connections: usize) -> Self {
        Self { seats: Arc::default(), limit: (connections / 2).max(1) }
    }

    /// How many listen now.
    pub(super) fn taken(&self) -> usize {
        self.seats.load(Ordering::Relaxed)
    }

    /// Takes a place, or says that there is none.
    pub(super) fn enter(&self) -> Result<Seat, Problem> {
        let seat = Seat(Arc::clone(&self.seats));
        if self.seats.fetch_add(1, Ordering::Relaxed) < self.limit {
            return Ok(seat);
        }
        let detail = format!("{} viewers listen to events already; watching goes on", self.limit);
        let problem = Problem::new(503, "too-many-event-streams", "Too many event streams", detail);
        Err(problem.retry_after(30))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The head, and an event stream that is never silent for longer than `keep_alive`.
pub(super) fn answer(listener: Listener, seat: Seat, keep_alive: Duration) -> Response {
    let telling = Telling { listener, keep_alive, _seat: seat };
    // At once, so that whoever asked knows that it is connected.
    let begin = Box::pin(async { Some((telling, Bytes::from_static(b":\n\n"))) });
    let mut response = Response::new(Body::new(EventStream { next: Some(begin) }));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(events::STREAM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend([NO_BUFFERING]);
    response
}

/// One viewer that listens.
struct Telling {
    listener: Listener,
    keep_alive: Duration,
    _seat: Seat,
}

impl Telling {
    async fn next(mut self) -> Option<(Self, Bytes)> {
        let text = match tokio::time::timeout(self.keep_alive, self.listener.next()).await {
            Ok(text) => text?.into(),
            Err(_) => Bytes::from_static(b":\n\n"),
        };
        Some((self, text))
    }
}

type Next = Pin<Box<dyn Future<Output = Option<(Telling, Bytes)>> + Send>>;

/// The body of an answer. It asks for the next event only when the one before has gone out, and
/// ends with the connection: there is no task and no queue beside it.
struct EventStream {
    next: Option<Next>,
}

impl hyper::body::Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let told = ready!(next.as_mut().poll(context));
        let (next, frame) = match told {
            Some((telling, text)) => {
                let next: Next = Box::pin(telling.next());
                (Some(next), Some(Ok(Frame::data(text))))
            }
            None => (None, None),
        };
        self.next = next;
        Poll::Ready(frame)
    }
}
