//! What a request for a file gets: a status, the fields of a head, and bytes that are shared with all who ask for the
//! same. Written by axum, or by our own HTTP/1.1 (`wire`).

use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Buf as _;
use hyper::body::{Frame, SizeHint};
use signaling::Problem;

use super::super::stored::Pieces;
use crate::config::Origin;

/// What pages of other sites may read of a head: how old an answer is, and what part of a file.
const EXPOSED: &str = "Age, Date, Content-Length, Content-Range, Retry-After";

/// One answer.
pub(crate) struct Answer {
    pub(super) status: StatusCode,
    /// Names in small letters, and what they say; no `content-length`.
    pub(super) fields: Vec<(&'static str, Cow<'static, str>)>,
    pub(super) body: Content,
}

/// What follows a head.
pub(super) enum Content {
    /// As it lies in memory.
    Memory(Chain),
    /// Read when it is sent.
    Disk(Pieces),
}

impl From<Chain> for Content {
    fn from(chain: Chain) -> Self {
        Self::Memory(chain)
    }
}

impl Content {
    /// Its length in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Memory(chain) => chain.left,
            Self::Disk(pieces) => pieces.length(),
        }
    }

    /// What lies within this range of it.
    pub(super) fn within(self, within: &Range<u64>) -> Self {
        match self {
            Self::Memory(chain) => Self::Memory(chain.within(within)),
            Self::Disk(pieces) => Self::Disk(pieces.within(within)),
        }
    }
}

impl Answer {
    /// With this body, and with room for the fields of its head.
    pub(super) fn new(status: StatusCode, body: impl Into<Content>) -> Self {
        Self { status, fields: Vec::with_capacity(8), body: body.into() }
    }

    /// A refusal (RFC 9457).
    pub(super) fn refusal(problem: &Problem) -> Self {
        let reply = problem.to_reply();
        let status = StatusCode::from_u16(reply.status);
        let mut answer = Self::new(
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            Chain::from(Bytes::from(reply.body)),
        );
        answer.says("content-type", "application/problem+json");
        let mut retry = reply.headers.into_iter().filter(|(name, _)| *name == "Retry-After");
        if let Some((_, seconds)) = retry.next() {
            answer.says("retry-after", seconds);
        }
        answer.says("cache-control", "no-store");
        if reply.status == 401 {
            answer.says("www-authenticate", "Bearer");
        }
        answer
    }

    /// One field more.
    pub(super) fn says(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.fields.push((name, value.into()));
    }

    /// The whole of it as the framework sends it.
    pub(super) fn response(self, head: bool) -> Response {
        let length = self.body.length();
        let body = match self.body {
            _ if head => Body::empty(),
            Content::Memory(Chain { first, rest, .. }) if rest.is_empty() => Body::from(first),
            Content::Memory(chain) => Body::new(chain),
            Content::Disk(pieces) => Body::new(pieces),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in self.fields {
            let value = match value {
                Cow::Borrowed(text) => HeaderValue::from_static(text),
                // Ours, or an origin that the configuration has: always printable.
                Cow::Owned(text) => match HeaderValue::try_from(text) {
                    Ok(value) => value,
                    Err(_) => continue,
                },
            };
            headers.append(HeaderName::from_static(name), value);
        }
        headers.insert(axum::http::header::CONTENT_LENGTH, length.into());
        response
    }
}

/// Which pages of other sites may read an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Cors {
    /// Those of all.
    Any,
    /// The one that asks, since it is in `http.cors_origins`.
    Site(String),
    /// No other.
    Own,
}

impl Cors {
    /// `asking`: the request's `Origin`, or empty.
    pub(in crate::http) fn of(origins: &[Origin], asking: &str) -> Self {
        if origins.contains(&Origin::Any) {
            return Self::Any;
        }
        let is = |origin: &&Origin| matches!(origin, Origin::Site(site) if site == asking);
        origins.iter().find(is).map_or(Self::Own, |_| Self::Site(asking.to_owned()))
    }

    /// Says so. Where it depends on who asks, caches are told that it does.
    pub(super) fn tell(self, answer: &mut Answer) {
        if self != Self::Any {
            answer.says("vary", "Origin");
        }
        match self {
            Self::Any => answer.says("access-control-allow-origin", "*"),
            Self::Site(site) => answer.says("access-control-allow-origin", site),
            Self::Own => return,
        }
        answer.says("access-control-expose-headers", EXPOSED);
    }
}

/// What of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    Some(Range<u64>),
    Nothing,
}

/// Reads a `Range` for a file of `length` bytes. What is none, or several, asks for all.
pub(super) fn wanted(range: &str, length: u64) -> Wanted {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|r| r.split_once('-'))
    else {
        return Wanted::All;
    };
    let (first, last) = (first.trim(), last.trim());
    // A number that no `u64` holds is beyond every file.
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let within = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(count)) if first.is_empty() => length.saturating_sub(count)..length,
        _ => return Wanted::All,
    };
    if within.start >= within.end { Wanted::Nothing } else { Wanted::Some(within) }
}

/// A file as it lies in memory: pieces one after the other, none of them copied. Mostly there is one.
#[derive(Debug, Default)]
pub(super) struct Chain {
    first: Bytes,
    /// In reverse order.
    rest: Vec<Bytes>,
    /// Bytes of all of them.
    pub(super) left: u64,
}

impl From<Bytes> for Chain {
    fn from(first: Bytes) -> Self {
        Self { left: first.len() as u64, first, rest: Vec::new() }
    }
}

impl Chain {
    /// What is left, in order.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.first[..]).chain(self.rest.iter().rev().map(|piece| &piece[..]))
    }

    /// These pieces.
    pub(super) fn of<'p>(pieces: impl Iterator<Item = &'p Bytes>) -> Self {
        let mut all: Vec<Bytes> = pieces.filter(|piece| !piece.is_empty()).cloned().collect();
        let left = all.iter().map(|piece| piece.len() as u64).sum();
        all.reverse();
        Self { first: all.pop().unwrap_or_default(), rest: all, left }
    }

    /// What lies within this range of them.
    pub(super) fn within(mut self, within: &Range<u64>) -> Self {
        let mut start = 0;
        let mut kept = Vec::new();
        while let Some(piece) = self.next() {
            let end = start + piece.len() as u64;
            let (from, to) = (within.start.clamp(start, end), within.end.clamp(start, end));
            let at = |position: u64| usize::try_from(position - start).unwrap_or(usize::MAX);
            kept.push(piece.slice(at(from)..at(to)));
            start = end;
        }
        Self::of(kept.iter())
    }

    /// So many of the first bytes have been sent.
    pub(super) fn advance(&mut self, mut sent: usize) {
        while sent >= self.first.len() && self.left > 0 {
            sent -= self.first.len();
            self.next();
        }
        self.first.advance(sent.min(self.first.len()));
        self.left -= sent.min(self.left as usize) as u64;
    }

    /// Takes the next piece; an empty one is never given.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let next = std::mem::replace(&mut self.first, self.rest.pop().unwrap_or_default());
        self.left -= next.len() as u64;
        (!next.is_empty()).then_some(next)
    }
}

impl hyper::body::Body for Chain {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn a_range_is_what_lies_in_the_file() {
        for (range, expected) in [
            ("", Wanted::All),
            ("bytes=0-0", Wanted::Some(0..1)),
            ("bytes=0-99", Wanted::Some(0..100)),
            ("bytes=10-", Wanted::Some(10..100)),
            ("bytes=-10", Wanted::Some(90..100)),
            ("bytes=-1000", Wanted::Some(0..100)),
            ("bytes=90-1000", Wanted::Some(90..100)),
            ("bytes=0-99999999999999999999999999", Wanted::Some(0..100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=100-200", Wanted::Nothing),
            ("bytes=99999999999999999999999999-", Wanted::Nothing),
            ("bytes=18446744073709551615-18446744073709551615", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=20-10", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=--1", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=1-2,4-5", Wanted::All),
            ("lines=1-2", Wanted::All),
            ("bytes=a-b", Wanted::All),
        ] {
            assert_eq!(wanted(range, 100), expected, "{range}");
        }
    }

    #[tokio::test]
    async fn a_chain_is_the_file_or_a_part_of_it_and_copies_nothing() {
        let pieces = ["abc", "", "defg", "hi"].map(|text| Bytes::from_static(text.as_bytes()));
        for start in 0..=9 {
            for end in start..=9 {
                let chain = Chain::of(pieces.iter()).within(&(start..end));
                assert_eq!(chain.left, end - start);
                let at = |position: u64| usize::try_from(position).unwrap();
                let body = chain.collect().await.unwrap().to_bytes();
                assert_eq!(body, "abcdefghi"[at(start)..at(end)]);
            }
        }
        for sent in 0..=9 {
            let mut chain = Chain::of(pieces.iter());
            chain.advance(sent);
            assert_eq!(chain.left, 9 - sent as u64);
            assert_eq!(chain.collect().await.unwrap().to_bytes(), "abcdefghi"[sent..]);
        }
        let first = Chain::of(pieces.iter()).within(&(1..9)).first;
        assert_eq!(first.as_ptr(), pieces[0][1..].as_ptr());
    }

    #[test]
    fn only_the_listed_sites_read_it_and_caches_are_told() {
        let told = |origins: &[&str], asking| {
            let origins: Vec<Origin> = origins.iter().map(|o| o.parse().unwrap()).collect();
            let mut answer = Answer::new(StatusCode::OK, Chain::default());
            Cors::of(&origins, asking).tell(&mut answer);
            let says = |name| answer.fields.iter().find(|f| f.0 == name).map(|f| f.1.to_string());
            (says("access-control-allow-origin"), says("vary"))
        };
        let shop = "https://shop.example";
        assert_eq!(told(&["*"], shop), (Some("*".to_owned()), None));
        assert_eq!(told(&[shop], shop), (Some(shop.to_owned()), Some("Origin".to_owned())));
        for other in ["", "*", "null", "https://evil.example"] {
            assert_eq!(told(&[shop], other), (None, Some("Origin".to_owned())), "{other}");
        }
    }
}
