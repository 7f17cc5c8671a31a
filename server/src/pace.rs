//! How long a connection that hyper serves may do nothing, and how long an answer may lie there: what is being sent is
//! held on to, and hyper has no bound for either by HTTP/2. Files by HTTP/1.1 have the same in `http::files::wire`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::sleep_until;

use crate::clock;

/// An answer is taken at least so fast, in bytes a second, which is less than the poorest encoding has: who takes less holds
/// on to files that nobody else needs any more.
const SLOWEST: u64 = 16 << 10;
/// How often it is looked when nothing is due.
const LOOK: Duration = Duration::from_secs(5);

/// By when an answer of so many bytes is out, if it begins now.
pub(crate) fn due(now: Instant, patience: Duration, length: u64) -> Instant {
    now + patience + Duration::from_secs(length / SLOWEST)
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Pace {
    patience: Duration,
    turns: Mutex<Turns>,
}

#[derive(Debug)]
struct Turns {
    next: u64,
    /// By when each answer is to be out; `None` while it is made, and if it has no length.
    open: BTreeMap<u64, Option<Instant>>,
    /// Since when there is none.
    idle: Instant,
}

impl Pace {
    pub(crate) fn new(now: Instant, patience: Duration) -> Arc<Self> {
        let turns = Mutex::new(Turns { next: 0, open: BTreeMap::new(), idle: now });
        Arc::new(Self { patience, turns })
    }

    /// Somebody asks.
    pub(crate) fn begin(self: &Arc<Self>) -> Turn {
        let mut turns = self.turns();
        turns.next += 1;
        let id = turns.next;
        turns.open.insert(id, None);
        drop(turns);
        Turn { pace: Arc::clone(self), id }
    }

    /// Returns when nothing was asked for too long, or an answer is not taken.
    pub(crate) async fn over(&self) {
        loop {
            let (due, now) = (self.due(), clock::now());
            if due.is_some_and(|due| due <= now) {
                return;
            }
            let look = now + LOOK;
            sleep_until(due.map_or(look, |due| due.min(look)).into()).await;
        }
    }

    fn due(&self) -> Option<Instant> {
        let turns = self.turns();
        match turns.open.is_empty() {
            true => Some(turns.idle + self.patience),
            false => turns.open.values().flatten().min().copied(),
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, until the last byte of its answer has gone.
#[derive(Debug)]
pub(crate) struct Turn {
    pace: Arc<Pace>,
    id: u64,
}

impl Turn {
    /// The body of its answer, which is to be taken from now on.
    pub(crate) fn answer(self, body: Body) -> Body {
        let length = body.size_hint().exact();
        let due = length.map(|length| due(clock::now(), self.pace.patience, length));
        self.pace.turns().open.insert(self.id, due);
        Body::new(Sent { body, turn: Arc::new(self) })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.pace.turns();
        turns.open.remove(&self.id);
        if turns.open.is_empty() {
            turns.idle = clock::now();
        }
    }
}

/// A body whose bytes keep the turn: hyper has taken all of it long before it has sent it.
struct Sent {
    body: Body,
    turn: Arc<Turn>,
}

/// See [`Sent`].
struct Held {
    bytes: Bytes,
    _turn: Arc<Turn>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let held = |bytes| Bytes::from_owner(Held { bytes, _turn: Arc::clone(&self.turn) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(held))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A body of which nobody knows how long it is.
    struct Events;

    impl HttpBody for Events {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Poll::Pending
        }
    }

    #[test]
    fn idle_is_who_has_asked_for_nothing() {
        let start = clock::now();
        let pace = Pace::new(start, PATIENCE);
        assert_eq!(pace.due(), Some(start + PATIENCE));
        let (one, other) = (pace.begin(), pace.begin());
        assert_eq!(pace.due(), None, "they are being answered");
        drop(one);
        assert_eq!(pace.due(), None);
        let before = clock::now();
        drop(other);
        assert!(pace.due().unwrap() >= before + PATIENCE);
    }

    #[tokio::test]
    async fn an_answer_has_its_time_until_its_last_byte_has_gone() {
        let pace = Pace::new(clock::now(), PATIENCE);
        let before = clock::now();
        let mut slow = pace.begin().answer(Body::from(vec![0; 160 << 10]));
        let events = pace.begin().answer(Body::new(Events));
        let due = pace.due().unwrap();
        let least = before + PATIENCE + Duration::from_secs(10);
        assert!(least <= due && due < least + PATIENCE);
        let bytes = slow.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(slow);
        assert_eq!(pace.due(), Some(due), "its bytes are still there");
        drop(bytes);
        assert_eq!(pace.due(), None, "events have no length");
        drop(events);
        assert!(pace.due().is_some());
    }

    #[tokio::test]
    async fn who_takes_nothing_is_found_out() {
        let pace = Pace::new(clock::now(), Duration::from_millis(20));
        let lying = pace.begin().answer(Body::from("here"));
        pace.over().await;
        drop(lying);
        pace.over().await;
    }
}
