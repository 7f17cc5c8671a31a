//! `/live/{stream}/…`: HLS (draft-pantos-hls-rfc8216bis). What a request gets is decided by `packager`; here it waits, within
//! bounds, and is answered: whole, in part (RFC 9110 section 14), compressed, with how long caches may keep it.
//!
//! The way of a request: an [`Ask`] (`ask`) is let in and becomes a [`Visit`], which holds nothing of the request any
//! more and may wait; that becomes an [`Answer`] (`answer`). Requests by HTTP/1.1 come and go by `wire`, thousands a second; what
//! hyper has read comes to [`visit`], and only odd names come by the routes.
//!
//! A viewer who needs a token gets playlists whose names carry it on; everybody else the same names, so that a cache holds each file once.

mod answer;
mod ask;
pub(crate) mod wire;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::future::{Future as _, poll_fn};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use media::Kind;
use packager::hls::{self, Directives, Reach};
use packager::name::File;
use packager::{Extent, RenditionId, View};
use signaling::Problem;
use tokio::sync::watch;
use tokio::time::timeout;

pub(super) use self::answer::Cors;
use self::answer::{Answer, Chain, Content, Wanted, wanted};
use self::ask::{Ask, Fields, Target};
use super::caller::{Client, Peer, nobody, token_in};
use super::reply::{self, not_found};
use super::stored::Pieces;
use super::{Shared, endpoint, layers};
use crate::access::{Action, Caller};
use crate::clock;
use crate::live::{Channel, Coding, Phase, Playlist, Sheet, Show, Text, What, over};
use crate::metrics::Route;

/// So long the first request waits until there is a playlist.
const FIRST: Duration = Duration::from_secs(10);
/// Files never change, and their names are never used again.
const FOREVER: (&str, &str) =
    ("public, max-age=604800, immutable", "private, max-age=604800, immutable");
/// RFC 8216 section 10.
const PLAYLIST: &str = "application/vnd.apple.mpegurl";

/// `/live/{stream}/index.m3u8` by the routes: a name with `%` in it.
pub(super) async fn index(
    State(context): State<Shared>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let visit = match &path {
        Ok(Path(stream)) => unusual(&context, stream, Target::Index, &request),
        Err(_) => Visit::illegible(&context, Route::Index, &request),
    };
    drop(request);
    visit.response(&context).await
}

/// `/live/{stream}/{epoch}/{file}`, likewise.
pub(super) async fn file(
    State(context): State<Shared>,
    path: Result<Path<(String, String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let visit = match &path {
        Ok(Path((stream, epoch, name))) => {
            unusual(&context, stream, Target::File { epoch, name }, &request)
        }
        Err(_) => Visit::illegible(&context, Route::File, &request),
    };
    drop(request);
    visit.response(&context).await
}

fn unusual(context: &Shared, stream: &str, target: Target<'_>, request: &Request) -> Visit {
    let peer = request.extensions().get::<Peer>().map_or_else(nobody, |peer| peer.0);
    let (head, fields) = (request.method() == Method::HEAD, Fields::Read(request.headers()));
    let query = request.uri().query().unwrap_or_default();
    Visit::new(context, &Ask { peer, head, stream, target, query, fields })
}

/// A request that hyper has read, if it is for a file as it stands there: as those that `wire` reads, it goes past the
/// routes.
pub(crate) fn visit<B>(context: &Shared, peer: SocketAddr, request: &Request<B>) -> Option<Visit> {
    let line = request.uri().path_and_query()?.as_str();
    let fields = Fields::Read(request.headers());
    let ask = Ask::of(request.method().as_str(), line, fields, peer)?;
    Some(Visit::new(context, &ask))
}

/// A preflight of either; what it says of CORS is added around the routes.
pub(super) async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// A request that was read. It may have to wait, and thousands do, so it holds what is needed to answer and no more.
pub(crate) struct Visit {
    route: Route,
    head: bool,
    cors: Cors,
    /// Why it is not let in.
    errand: Result<Errand, Problem>,
}

/// One that was let in.
struct Errand {
    /// Who asks.
    client: IpAddr,
    channel: Arc<Channel>,
    matter: Matter,
    /// Whether only some may see it, and what names in playlists are followed by then: a token, or nothing.
    guarded: bool,
    query: String,
    coding: Coding,
}

/// What it is about.
enum Matter {
    Index,
    Playlist {
        which: Which,
        asked: Directives,
        sheet: Wait,
    },
    /// With its `Range`, where that is to be heard.
    Media {
        file: File,
        range: Option<Box<str>>,
        sheet: Wait,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Segments,
    Keyframes,
}

/// The newest of a rendition, or those that follow it.
enum Wait {
    No(Arc<Sheet>),
    For(watch::Receiver<Arc<Sheet>>),
}

impl Visit {
    /// Lets a request in, or not. Nothing is waited for.
    fn new(context: &Shared, ask: &Ask<'_>) -> Self {
        let cors = Cors::of(&context.http.cors_origins, ask.fields.get("origin"));
        let route = match ask.target {
            Target::Index => Route::Index,
            Target::File { .. } => Route::File,
        };
        // A panic, here or below, ends this request with 500; all others go on.
        let errand = catch_unwind(AssertUnwindSafe(|| Errand::new(context, ask)));
        let errand = errand.unwrap_or_else(|reason| Err(layers::mistake(&*reason)));
        Self { route, head: ask.head, cors, errand }
    }

    /// One whose path is no text.
    fn illegible(context: &Shared, route: Route, request: &Request) -> Self {
        let asking = Fields::Read(request.headers()).get("origin");
        let cors = Cors::of(&context.http.cors_origins, asking);
        let head = request.method() == Method::HEAD;
        Self { route, head, cors, errand: Err(layers::illegible()) }
    }

    /// What it gets, once it is there.
    async fn answer(self, context: &Shared) -> Answer {
        let answer = match self.errand {
            Ok(errand) => {
                let mut answer = pin!(errand.answer(context, self.head));
                let polled = poll_fn(|cx| {
                    let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx)));
                    polled.unwrap_or_else(|reason| Poll::Ready(Err(layers::mistake(&*reason))))
                });
                polled.await
            }
            Err(problem) => Err(problem),
        };
        let mut answer = answer.unwrap_or_else(|problem| Answer::refusal(&problem));
        answer.says("x-content-type-options", "nosniff");
        self.cors.tell(&mut answer);
        answer
    }

    /// The same as hyper sends it; it is counted here, and not by the routes.
    pub(crate) async fn counted(self, context: &Shared) -> Response {
        let (route, head) = (self.route, self.head);
        let answer = self.answer(context).await;
        context.requests.count_file(route, head, answer.status.as_u16());
        answer.response(head)
    }

    /// The same, behind the routes.
    async fn response(self, context: &Shared) -> Response {
        let head = self.head;
        self.answer(context).await.response(head)
    }
}

impl Errand {
    fn new(context: &Shared, ask: &Ask<'_>) -> Result<Self, Problem> {
        let guest = Guest::new(context, ask)?;
        let coding = Coding::of(ask.fields.get("accept-encoding"));
        let (channel, matter) = match ask.target {
            Target::Index => {
                let stream = endpoint::stream_name(ask.stream)?;
                super::api::ready(context)?;
                (context.live.open(&stream), Matter::Index)
            }
            Target::File { epoch, name } => found(context, ask, epoch, name)?,
        };
        if !matches!(matter, Matter::Media { .. }) {
            let agent = ask.fields.find("user-agent").unwrap_or_default();
            channel.saw(clock::now(), guest.address, agent);
        }
        let Guest { address: client, guarded, query } = guest;
        Ok(Self { client, channel, matter, guarded, query, coding })
    }

    async fn answer(self, context: &Shared, head: bool) -> Result<Answer, Problem> {
        let (channel, client) = (&self.channel, self.client);
        let (what, answer) = match self.matter {
            Matter::Index => {
                let show = first(context, channel, client).await?;
                let front = show.front().ok_or_else(not_yet)?;
                let age = (channel.terms().packager.segment / 2).as_secs().max(1);
                let text = front.text(&self.query).await.map_err(unwritten)?;
                (What::Playlist, playlist(&text, self.coding, self.guarded, age).await?)
            }
            Matter::Playlist { which, ref asked, sheet } => {
                let ready = |sheet: &Sheet| is_written(sheet, which, asked);
                let sheet = until(context, channel, client, sheet, ready).await?;
                let (text, age) = text(&sheet, which, asked, &self.query).await?;
                (What::Playlist, playlist(&text, self.coding, self.guarded, age).await?)
            }
            Matter::Media { file, ref range, sheet } => {
                let sheet =
                    until(context, channel, client, sheet, |sheet| is_known(sheet, file)).await?;
                let (what, body) = match stored(&sheet.view, file)? {
                    None => bytes(&sheet.view, file)?,
                    // Seldom, and not a part of each request's future.
                    Some(extent) => Box::pin(disk(context, &sheet.view, file, extent)).await?,
                };
                let mut answer = media(file.rendition(), body, range.as_deref(), self.guarded)?;
                if let (Content::Disk(pieces), false) = (&mut answer.body, head) {
                    Box::pin(pieces.ready()).await.map_err(|_| unreadable())?;
                }
                (what, answer)
            }
        };
        let sent = !head && answer.status.is_success();
        context.live.answered(channel, what, if sent { answer.body.length() } else { 0 });
        Ok(answer)
    }
}

/// Who asks, and what that means.
struct Guest {
    address: IpAddr,
    guarded: bool,
    query: String,
}

impl Guest {
    /// Nothing is read of who asks where everybody may see everything.
    fn new(context: &Shared, ask: &Ask<'_>) -> Result<Self, Problem> {
        let proxies = &context.http.trusted_proxies;
        if proxies.is_empty() && context.access.is_open(Action::Watch) {
            let address = ask.peer.ip().to_canonical();
            return Ok(Self { address, guarded: false, query: String::new() });
        }
        let stream = endpoint::stream_name(ask.stream)?;
        let parts = ask.parts().ok_or_else(|| {
            Problem::new(400, "bad-request", "Bad request", "the query or a header is no text")
        })?;
        let Client { caller, .. } = Client::new(&parts, proxies);
        context.access.authorize(Action::Watch, Some(&stream), &caller)?;
        let nobody = Caller { token: None, ..caller };
        let guarded = context.access.authorize(Action::Watch, Some(&stream), &nobody).is_err();
        // Who sends it in a header sends it so again.
        let by_query = guarded && ask.fields.find("authorization").is_none();
        let token = by_query.then(|| token_in(ask.query)).flatten();
        let query = token.map(|token| format!("token={}", encoded(&token))).unwrap_or_default();
        Ok(Self { address: nobody.address, guarded, query })
    }
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

/// The channel that has a file, and what there is to be known of the file now.
fn found(
    context: &Shared,
    ask: &Ask<'_>,
    epoch: &str,
    name: &str,
) -> Result<(Arc<Channel>, Matter), Problem> {
    let file = File::parse(name);
    let nothing = || match file {
        Some(File::Playlist(_) | File::Keyframes(_)) => over(ask.stream),
        _ => not_found("there is no such file, or no longer").0,
    };
    let Some(channel) = context.live.find(ask.stream) else {
        endpoint::stream_name(ask.stream)?;
        return Err(nothing());
    };
    let file = file.ok_or_else(nothing)?;
    let show = channel.show(epoch).ok_or_else(nothing)?;
    // Who waits must not hold up what waits for the epoch's end: it gets no share of the show.
    let wait = |ready: &dyn Fn(&Sheet) -> bool| {
        let sheet = show.sheet(file.rendition()).ok_or_else(nothing)?;
        if ready(&sheet) {
            return Ok(Wait::No(sheet));
        }
        show.sheets(file.rendition()).map(Wait::For).ok_or_else(nothing)
    };
    let matter = match file {
        File::Playlist(_) | File::Keyframes(_) => {
            let keyframes = matches!(file, File::Keyframes(_));
            let which = if keyframes { Which::Keyframes } else { Which::Segments };
            let asked = Directives::parse(ask.query);
            let sheet = wait(&|sheet| is_written(sheet, which, &asked))?;
            Matter::Playlist { which, asked, sheet }
        }
        File::Init(..) | File::Segment(..) | File::Part(..) => {
            let sheet = wait(&|sheet| is_known(sheet, file))?;
            // There is nothing by which a client could know that it is the same file.
            let heard = !ask.head && ask.fields.find("if-range").is_none();
            let range = Some(ask.fields.get("range")).filter(|range| heard && !range.is_empty());
            Matter::Media { file, range: range.map(Box::from), sheet }
        }
    };
    Ok((channel, matter))
}

fn decide(sheet: &Sheet, which: Which, asked: &Directives) -> hls::Answer {
    match which {
        Which::Segments => hls::decide(&sheet.view, asked),
        Which::Keyframes => hls::decide_keyframes(&sheet.view, asked),
    }
}

/// What is asked for can be answered, if only with a refusal.
fn is_written(sheet: &Sheet, which: Which, asked: &Directives) -> bool {
    !matches!(decide(sheet, which, asked), hls::Answer::WaitFor { .. })
}

/// Likewise of a media file.
fn is_known(sheet: &Sheet, file: File) -> bool {
    hls::reach(&sheet.view, file) != Reach::Soon
}

/// What there is to be seen of a stream that may just have been begun.
async fn first(context: &Shared, channel: &Channel, client: IpAddr) -> Result<Arc<Show>, Problem> {
    let mut phase = channel.phase();
    let known = |phase: &Phase| !matches!(phase, Phase::Starting);
    let now = phase.borrow().clone();
    let now = if known(&now) {
        now
    } else {
        let _places = context.live.wait(channel, client)?;
        let waited = timeout(FIRST, phase.wait_for(known)).await;
        waited.map_err(|_| not_yet())?.map_err(|_| not_yet())?.clone()
    };
    match now {
        Phase::On(show) => Ok(show),
        Phase::Over(problem) => Err(problem),
        Phase::Starting => Err(not_yet()),
    }
}

/// Waits until a rendition is so far; no longer than players may be kept.
async fn until(
    context: &Shared,
    channel: &Channel,
    client: IpAddr,
    wait: Wait,
    ready: impl Fn(&Sheet) -> bool,
) -> Result<Arc<Sheet>, Problem> {
    let mut sheets = match wait {
        Wait::No(sheet) => return Ok(sheet),
        Wait::For(sheets) => sheets,
    };
    let patience = hls::patience(&sheets.borrow().view);
    let _places = context.live.wait(channel, client)?;
    match timeout(patience, sheets.wait_for(|sheet| ready(sheet))).await {
        Ok(Ok(sheet)) => Ok(Arc::clone(&sheet)),
        Ok(Err(_)) => Err(not_found("the stream is not packaged any more").0),
        Err(_) => Err(late()),
    }
}

/// A playlist, and for how many seconds it may be kept.
async fn text(
    sheet: &Sheet,
    which: Which,
    asked: &Directives,
    query: &str,
) -> Result<(Arc<Text>, u64), Problem> {
    let form = match decide(sheet, which, asked) {
        hls::Answer::Now(form) => form,
        hls::Answer::BadRequest(fault) => {
            let detail = format!("{fault}; the playlist says how far it is");
            return Err(Problem::new(400, "bad-directive", "Not a reload", detail));
        }
        hls::Answer::WaitFor { .. } => return Err(late()),
    };
    let playlist = match which {
        Which::Segments => Playlist::Media(form),
        Which::Keyframes => Playlist::Keyframes(form),
    };
    let text = sheet.text(playlist, query).await.map_err(unwritten)?;
    // Where it waits for its number its URL is asked for once; else it is asked again and again.
    let targets = &sheet.view.targets;
    let once = asked.msn.is_some() && targets.part.is_some() && !sheet.view.ended;
    Ok((text, if once { 6 * u64::from(targets.segment) } else { 1 }))
}

/// A playlist that may be kept for so many seconds.
async fn playlist(text: &Text, coding: Coding, guarded: bool, age: u64) -> Result<Answer, Problem> {
    let body = text.coded(coding).await.map_err(unwritten)?;
    let mut answer = Answer::new(StatusCode::OK, Chain::from(body));
    answer.says("content-type", PLAYLIST);
    answer.says("vary", "Accept-Encoding");
    if let Some(coding) = coding.name() {
        answer.says("content-encoding", coding);
    }
    // In shared caches only what everybody may see: not all of them look at who asks.
    let kept: Cow<'static, str> = match (guarded, age) {
        (false, 1) => "public, max-age=1".into(),
        (false, age) => format!("public, max-age={age}").into(),
        (true, age) => format!("private, max-age={age}").into(),
    };
    answer.says("cache-control", kept);
    Ok(answer)
}

/// Where on disk a media file lies, unless it is in memory.
fn stored(view: &View, file: File) -> Result<Option<Extent>, Problem> {
    match hls::reach(view, file) {
        Reach::There => Ok(view.stored(file)),
        Reach::Soon => Err(late()),
        Reach::Gone => Err(gone()),
        Reach::Never => Err(not_found("there is no such file, or not yet").0),
    }
}

/// The bytes of one that lies on disk.
async fn disk(
    context: &Shared,
    view: &View,
    file: File,
    extent: Extent,
) -> Result<(What, Content), Problem> {
    let disk = context.live.disk();
    let segment = File::Segment(file.rendition(), extent.msn);
    let open = disk.open(&view.epoch, segment, extent.file).await.map_err(|e| match e.kind() {
        // It may have left the window since, or somebody has removed it.
        ErrorKind::NotFound | ErrorKind::UnexpectedEof => gone(),
        _ => unreadable(),
    })?;
    let what = if matches!(file, File::Part(..)) { What::Part } else { What::Segment };
    Ok((what, Content::Disk(Pieces::new(disk.clone(), open, extent.within))))
}

/// The bytes of one in memory, none of them copied.
fn bytes(view: &View, file: File) -> Result<(What, Content), Problem> {
    let (what, chain) = match file {
        File::Part(_, msn, part) => {
            let part = view.part(msn, usize::try_from(part).unwrap_or(usize::MAX));
            (What::Part, part.map(|part| Chain::from(part.bytes.clone())))
        }
        File::Segment(_, msn) => {
            (What::Segment, view.segment(msn).map(|segment| Chain::of(segment.chain())))
        }
        File::Init(_, number) => {
            (What::Init, view.init(number).map(|init| Chain::from(init.bytes.clone())))
        }
        File::Playlist(_) | File::Keyframes(_) => (What::Playlist, None),
    };
    let there = chain.filter(|chain| chain.left > 0);
    let gap = "there is no media here: the playlist names it as a gap";
    Ok((what, there.ok_or_else(|| not_found(gap).0)?.into()))
}

/// A file, or the part of it that is asked for.
fn media(
    rendition: RenditionId,
    body: Content,
    range: Option<&str>,
    guarded: bool,
) -> Result<Answer, Problem> {
    let length = body.length();
    let mut answer = match wanted(range.unwrap_or_default(), length) {
        Wanted::All => Answer::new(StatusCode::OK, body),
        Wanted::Some(within) => {
            let mut part = Answer::new(StatusCode::PARTIAL_CONTENT, body.within(&within));
            let says = format!("bytes {}-{}/{length}", within.start, within.end - 1);
            part.says("content-range", says);
            part
        }
        Wanted::Nothing => {
            let detail = format!("the file has {length} bytes, the range begins behind them");
            let problem = Problem::new(416, "bad-range", "No such range", detail);
            let mut none = Answer::refusal(&problem);
            none.says("content-range", format!("bytes */{length}"));
            return Ok(none);
        }
    };
    let kind = match rendition.kind {
        Kind::Video => "video/mp4",
        Kind::Audio => "audio/mp4",
    };
    answer.says("content-type", kind);
    answer.says("accept-ranges", "bytes");
    answer.says("cache-control", if guarded { FOREVER.1 } else { FOREVER.0 });
    Ok(answer)
}

fn not_yet() -> Problem {
    let detail = "the stream has no playlist yet: it waits for a keyframe, or for its publisher";
    Problem::new(503, "not-ready", "Not ready", detail).retry_after(1)
}

fn unwritten(error: io::Error) -> Problem {
    reply::mistake(&format!("writing a playlist: {error}"))
}

fn unreadable() -> Problem {
    let detail =
        "this file lies on disk and cannot be read now; weir_hls_store_failed_total counts why";
    Problem::new(503, "unreadable", "Cannot be read", detail).retry_after(1)
}

fn gone() -> Problem {
    let detail = "this file has left the window; reload the playlist";
    Problem::new(410, "gone", "No longer there", detail)
}

fn late() -> Problem {
    let detail = "what this request waits for has not come in time";
    Problem::new(503, "late", "The stream is late", detail).retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_can_stand_in_a_query() {
        assert_eq!(encoded("aZ0-._~"), "aZ0-._~");
        assert_eq!(encoded("a b&c=d\"\n/ä"), "a%20b%26c%3Dd%22%0A%2F%C3%A4");
    }
}
