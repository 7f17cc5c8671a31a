//! `/live/{stream}/…`: HLS (draft-pantos-hls-rfc8216bis). What a request gets is decided by `packager`; here it waits, within
//! bounds, and is written: whole, in part (RFC 9110 section 14), compressed, with how long caches may keep it.
//!
//! A viewer who needs a token gets playlists whose names carry it on; everybody else the same names, so that a cache holds each file once.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waker, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};
use media::Kind;
use packager::hls::{self, Answer, Directives, Reach};
use packager::name::File;
use packager::{Extent, RenditionId, View};
use signaling::Problem;
use tokio::sync::watch;
use tokio::time::timeout;

use super::caller::{Client, token_in};
use super::reply::{Failure, not_found};
use super::stored::Pieces;
use super::{Shared, endpoint};
use crate::access::{Action, Caller};
use crate::clock;
use crate::live::{Channel, Coding, Phase, Playlist, Sheet, Show, Text, What};

type Reply = Result<Response, Failure>;

/// So long the first request waits until there is a playlist.
const FIRST: Duration = Duration::from_secs(10);
/// Files never change, and their names are never used again.
const FOREVER: &str = "max-age=604800, immutable";

/// `/live/{stream}/index.m3u8`: the multivariant playlist. Begins to package the stream.
pub(super) async fn index(
    State(context): State<Shared>,
    Path(stream): Path<String>,
    request: Request,
) -> Reply {
    let (stream, guest, visit) = enter(&context, &stream, request)?;
    super::api::ready(&context)?;
    let channel = context.live.open(&stream);
    guest.is_seen(&channel);
    let show = first(&context, &channel).await?;
    let front = show.front().ok_or_else(not_yet)?;
    let text = front.text(&visit.query);
    let reply =
        visit.playlist(&text, (channel.terms().packager.segment / 2).as_secs().max(1)).await;
    Ok(count(&context, &channel, What::Playlist, reply))
}

/// `/live/{stream}/{epoch}/{file}`: everything else.
pub(super) async fn file(
    State(context): State<Shared>,
    Path((stream, epoch, name)): Path<(String, String, String)>,
    request: Request,
) -> Reply {
    let (stream, guest, visit) = enter(&context, &stream, request)?;
    let nothing = || not_found("there is no such file, or no longer");
    let file = File::parse(&name).ok_or_else(nothing)?;
    let channel = context.live.find(&stream).ok_or_else(nothing)?;
    let show = channel.show(&epoch).ok_or_else(nothing)?;
    let sheets = show.sheets(file.rendition()).ok_or_else(nothing)?;
    // Who waits must not hold up what waits for the epoch's end.
    drop(show);
    match file {
        File::Playlist(_) | File::Keyframes(_) => {
            guest.is_seen(&channel);
            drop(guest);
            playlist(&context, &channel, &visit, file, sheets).await
        }
        File::Init(..) | File::Segment(..) | File::Part(..) => {
            drop(guest);
            media(&context, &channel, &visit, file, sheets).await
        }
    }
}

/// A preflight of either; what it says of CORS is added around the routes.
pub(super) async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// What is needed of a request that was let in: thousands wait, so no more than that is kept.
struct Visit {
    /// What names in playlists are followed by: a token, or nothing.
    query: String,
    /// Whether only some may see it.
    guarded: bool,
    asked: Directives,
    coding: Coding,
    /// `Range`, where it is to be heard.
    range: Option<Box<str>>,
}

/// Who asks.
struct Guest {
    address: IpAddr,
    agent: Option<String>,
}

fn enter(
    context: &Shared,
    stream: &str,
    request: Request,
) -> Result<(stream::Name, Guest, Visit), Failure> {
    let stream = endpoint::name(stream)?;
    let (parts, _) = request.into_parts();
    let client = Client::new(&parts, &context.http.trusted_proxies);
    context.access.authorize(Action::Watch, Some(&stream), &client.caller)?;
    let nobody = Caller { token: None, ..client.caller };
    let guarded = context.access.authorize(Action::Watch, Some(&stream), &nobody).is_err();
    // Who sends it in a header sends it so again.
    let by_query = guarded && !parts.headers.contains_key(header::AUTHORIZATION);
    let asked = parts.uri.query().unwrap_or_default();
    let token = by_query.then(|| token_in(asked)).flatten();
    // There is nothing by which a client could know that it is the same file.
    let ranged = !parts.headers.contains_key(header::IF_RANGE);
    let visit = Visit {
        query: token.map(|token| format!("token={}", encoded(&token))).unwrap_or_default(),
        guarded,
        asked: Directives::parse(asked),
        coding: Coding::of(field(&parts.headers, &header::ACCEPT_ENCODING)),
        range: Some(field(&parts.headers, &header::RANGE)).filter(|_| ranged).map(Box::from),
    };
    let guest = Guest { address: nobody.address, agent: client.user_agent };
    Ok((stream, guest, visit))
}

/// Percent-encoded (RFC 3986 section 2.1), so that it can stand in a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

/// What there is to be seen of a stream that may just have been begun.
async fn first(context: &Shared, channel: &Channel) -> Result<Arc<Show>, Failure> {
    let mut phase = channel.phase();
    let known = |phase: &Phase| !matches!(phase, Phase::Starting);
    let now = phase.borrow().clone();
    let now = if known(&now) {
        now
    } else {
        let _places = context.live.wait(channel)?;
        let waited = timeout(FIRST, phase.wait_for(known)).await;
        waited.map_err(|_| not_yet())?.map_err(|_| not_yet())?.clone()
    };
    match now {
        Phase::On(show) => Ok(show),
        Phase::Over(problem) => Err(problem.into()),
        Phase::Starting => Err(not_yet().into()),
    }
}

async fn playlist(
    context: &Shared,
    channel: &Channel,
    visit: &Visit,
    file: File,
    sheets: watch::Receiver<Arc<Sheet>>,
) -> Reply {
    let asked = visit.asked;
    let keyframes = matches!(file, File::Keyframes(_));
    let decide = |view: &View| match keyframes {
        true => hls::decide_keyframes(view, &asked),
        false => hls::decide(view, &asked),
    };
    let ready = |sheet: &Sheet| !matches!(decide(&sheet.view), Answer::WaitFor { .. });
    let sheet = until(context, channel, sheets, ready).await?;
    let form = match decide(&sheet.view) {
        Answer::Now(form) => form,
        Answer::BadRequest(fault) => {
            let detail = format!("{fault}; the playlist says how far it is");
            return Err(Problem::new(400, "bad-directive", "Not a reload", detail).into());
        }
        Answer::WaitFor { .. } => return Err(late().into()),
    };
    let which = if keyframes { Playlist::Keyframes(form) } else { Playlist::Media(form) };
    let text = sheet.text(which, &visit.query);
    // Where it waits for its number its URL is asked for once; else it is asked again and again.
    let targets = &sheet.view.targets;
    let once = asked.msn.is_some() && targets.part.is_some() && !sheet.view.ended;
    let age = if once { 6 * u64::from(targets.segment) } else { 1 };
    let reply = visit.playlist(&text, age).await;
    Ok(count(context, channel, What::Playlist, reply))
}

async fn media(
    context: &Shared,
    channel: &Channel,
    visit: &Visit,
    file: File,
    sheets: watch::Receiver<Arc<Sheet>>,
) -> Reply {
    let ready = |sheet: &Sheet| hls::reach(&sheet.view, file) != Reach::Soon;
    let sheet = until(context, channel, sheets, ready).await?;
    match hls::reach(&sheet.view, file) {
        Reach::There => {}
        Reach::Soon => return Err(late().into()),
        Reach::Gone => return Err(gone().into()),
        Reach::Never => return Err(not_found("there is no such file, or not yet")),
    }
    let view = &sheet.view;
    if let Some(extent) = view.stored(file) {
        return stored(context, channel, visit, (view, file), extent).await;
    }
    let (what, pieces): (_, VecDeque<Bytes>) = match file {
        File::Part(_, msn, part) => {
            let part = view.part(msn, usize::try_from(part).unwrap_or(usize::MAX));
            (What::Part, part.map(|part| part.bytes.clone()).into_iter().collect())
        }
        File::Segment(_, msn) => {
            let segment = view.segment(msn).map(|segment| segment.chain().cloned().collect());
            (What::Segment, segment.unwrap_or_default())
        }
        File::Init(_, number) => {
            let init = view.init(number).map(|init| init.bytes.clone());
            (What::Init, init.into_iter().collect())
        }
        File::Playlist(_) | File::Keyframes(_) => return Err(not_found("not a media file")),
    };
    if pieces.is_empty() {
        return Err(not_found("there is no media here: the playlist names it as a gap"));
    }
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    let chain = |within| Body::new(Chain::new(pieces, within));
    Ok(count(context, channel, what, visit.media(file.rendition(), length, chain)))
}

/// What lies on disk.
async fn stored(
    context: &Shared,
    channel: &Channel,
    visit: &Visit,
    (view, file): (&View, File),
    extent: Extent,
) -> Reply {
    let (disk, rendition) = (context.live.disk(), file.rendition());
    let segment = File::Segment(rendition, extent.msn);
    // It may have left the window since, or somebody has removed it.
    let open = disk.open(&view.epoch, segment, extent.file).await.map_err(|_| gone())?;
    let reply = visit.media(rendition, extent.within.end - extent.within.start, |within| {
        let start = extent.within.start;
        let range = start + within.start..start + within.end;
        Body::new(Pieces::new(disk.clone(), open, range))
    });
    let what = if matches!(file, File::Part(..)) { What::Part } else { What::Segment };
    Ok(count(context, channel, what, reply))
}

/// Waits until a rendition is so far; no longer than players may be kept.
async fn until(
    context: &Shared,
    channel: &Channel,
    mut sheets: watch::Receiver<Arc<Sheet>>,
    ready: impl Fn(&Sheet) -> bool,
) -> Result<Arc<Sheet>, Failure> {
    let now = Arc::clone(&sheets.borrow_and_update());
    if ready(&now) {
        return Ok(now);
    }
    let patience = hls::patience(&now.view);
    drop(now);
    let _places = context.live.wait(channel)?;
    match timeout(patience, sheets.wait_for(|sheet| ready(sheet))).await {
        Ok(Ok(sheet)) => Ok(Arc::clone(&sheet)),
        Ok(Err(_)) => Err(not_found("the stream is not packaged any more")),
        Err(_) => Err(late().into()),
    }
}

impl Guest {
    /// It asks for playlists.
    fn is_seen(&self, channel: &Channel) {
        channel.saw(clock::now(), self.address, self.agent.as_deref());
    }
}

impl Visit {
    /// A playlist that may be kept for so many seconds.
    async fn playlist(&self, text: &Text, age: u64) -> Response {
        let (body, coding) = match text.coded(self.coding).await {
            Ok(body) => (body, self.coding.name()),
            Err(problem) => return super::reply::broken(&format!("compressing: {problem}")),
        };
        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PLAYLIST));
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        self.kept(&mut response, &format!("max-age={age}"));
        response
    }

    /// A file of so many bytes, or the part of it that is asked for.
    fn media(
        &self,
        rendition: RenditionId,
        length: u64,
        body: impl FnOnce(Range<u64>) -> Body,
    ) -> Response {
        let (status, within) = match wanted(self.range.as_deref().unwrap_or_default(), length) {
            Wanted::All => (StatusCode::OK, 0..length),
            Wanted::Some(within) => (StatusCode::PARTIAL_CONTENT, within),
            Wanted::Nothing => return unsatisfiable(length),
        };
        let mut response = Response::new(body(within.clone()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let kind = match rendition.kind {
            Kind::Video => "video/mp4",
            Kind::Audio => "audio/mp4",
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {}-{}/{length}", within.start, within.end - 1);
            headers.extend(HeaderValue::from_str(&range).ok().map(|r| (header::CONTENT_RANGE, r)));
        }
        self.kept(&mut response, FOREVER);
        response
    }

    /// How long it may be kept; in shared caches only what everybody may see: not all of them look at who asks.
    fn kept(&self, response: &mut Response, how: &str) {
        let how = format!("{}, {how}", if self.guarded { "private" } else { "public" });
        if let Ok(value) = HeaderValue::from_str(&how) {
            response.headers_mut().insert(header::CACHE_CONTROL, value);
        }
    }
}

/// RFC 8216 section 10.
const PLAYLIST: &str = "application/vnd.apple.mpegurl";

fn field<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn count(context: &Shared, channel: &Channel, what: What, reply: Response) -> Response {
    use hyper::body::Body as _;
    let bytes = reply.body().size_hint().exact().unwrap_or(0);
    context.live.answered(channel, what, bytes);
    reply
}

fn not_yet() -> Problem {
    let detail = "the stream has no playlist yet: it waits for a keyframe, or for its publisher";
    Problem::new(503, "not-ready", "Not ready", detail).retry_after(1)
}

fn late() -> Problem {
    let detail = "what this request waits for has not come in time";
    Problem::new(503, "late", "The stream is late", detail).retry_after(1)
}

fn gone() -> Problem {
    let detail = "this file has left the window; reload the playlist";
    Problem::new(410, "gone", "No longer there", detail)
}

fn unsatisfiable(length: u64) -> Response {
    let detail = format!("the file has {length} bytes, the range begins behind them");
    let problem = Problem::new(416, "bad-range", "No such range", detail);
    let mut response = Failure(problem).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// What of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Some(Range<u64>),
    Nothing,
}

/// Reads a `Range` for a file of `length` bytes. What is none, or several, asks for all.
fn wanted(range: &str, length: u64) -> Wanted {
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

/// A file as it lies in memory: pieces one after the other, none of them copied.
struct Chain {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl Chain {
    /// What lies within this range of them.
    fn new(pieces: VecDeque<Bytes>, within: Range<u64>) -> Self {
        let mut start = 0;
        let mut kept = VecDeque::with_capacity(pieces.len());
        for piece in pieces {
            let end = start + piece.len() as u64;
            let (from, to) = (within.start.clamp(start, end), within.end.clamp(start, end));
            if from < to {
                let at = |position: u64| usize::try_from(position - start).unwrap_or(usize::MAX);
                kept.push_back(piece.slice(at(from)..at(to)));
            }
            start = end;
        }
        let left = kept.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces: kept, left }
    }
}

impl hyper::body::Body for Chain {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Waker<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
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
        let pieces: VecDeque<Bytes> =
            ["abc", "", "defg", "hi"].map(|text| Bytes::from_static(text.as_bytes())).into();
        for start in 0..=9 {
            for end in start..=9 {
                let chain = Chain::new(pieces.clone(), start..end);
                assert_eq!(chain.left, end - start);
                let at = |position: u64| usize::try_from(position).unwrap();
                let body = chain.collect().await.unwrap().to_bytes();
                assert_eq!(body, "abcdefghi"[at(start)..at(end)]);
            }
        }
        let first = Chain::new(pieces.clone(), 1..9).pieces[0].clone();
        assert_eq!(first.as_ptr(), pieces[0][1..].as_ptr());
    }

    #[test]
    fn a_token_can_stand_in_a_query() {
        assert_eq!(encoded("aZ0-._~"), "aZ0-._~");
        assert_eq!(encoded("a b&c=d\"\n/ä"), "a%20b%26c%3Dd%22%0A%2F%C3%A4");
    }
}
