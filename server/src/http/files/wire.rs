//! HTTP/1.1 (RFC 9112) for files of streams, and for nothing else: thousands of players ask for the next playlist and
//! the next part several times a second, on connections that are kept. One that waits holds no buffer, and a request
//! costs one read and one write. Whatever is not a plain `GET` or `HEAD` of such a file, and whatever is odd about a
//! request, goes to hyper with all that was read, and the connection with it.

use std::cell::RefCell;
use std::future::{Future as _, pending, poll_fn};
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{self, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use axum::http::StatusCode;
use hyper::body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;

use super::super::stored::Pieces;
use super::answer::{Answer, Chain, Content};
use super::ask::{Ask, Fields};
use super::{Shared, Visit};
use crate::clock;
use crate::pace;

/// What HTTP/2 begins with (RFC 9113 section 3.4). All of it has the time of a head: hyper would wait for the rest for ever.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// One read: longer than what players send.
const READ: usize = 4 * 1024;
/// Fields of a head; who sends more is read by hyper.
const FIELDS: usize = 48;
/// Pieces of a file in one write.
const PIECES: usize = 32;

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// For the whole head of a request; also how long an idle connection stays open.
    pub(crate) head: Duration,
    /// Bytes of a head, and of what is sent behind it before it is answered.
    pub(crate) bytes: usize,
}

/// Answers files on a connection until it ends (`None`), or until somebody asks for something else: what was read of
/// that, from its first byte on. Without a `context` everything is something else.
///
/// # Errors
/// What the connection says.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    context: Option<&Shared>,
    peer: SocketAddr,
    bounds: Bounds,
    stop: &watch::Receiver<bool>,
    asked: impl Fn(),
) -> io::Result<Option<Vec<u8>>> {
    let mut listener = stop.clone();
    let mut stopped = pin!(listener.wait_for(|stop| *stop));
    let mut reader = Reader::new(bounds);
    loop {
        let heard = poll_fn(|cx| {
            // Who has asked is answered first.
            match reader.poll(stream, cx, |bytes| heard(context, peer, bytes)) {
                Poll::Pending => stopped.as_mut().poll(cx).map(|_| Ok(Heard::End)),
                done => done,
            }
        });
        let (context, visit) = match heard.await? {
            Heard::Visit(context, visit) => (context, visit),
            Heard::Other => return Ok(Some(reader.kept)),
            Heard::End => return Ok(None),
        };
        asked();
        let (route, head) = (visit.route, visit.head);
        let answer = tokio::select! {
            biased;
            answer = visit.answer(context) => answer,
            () = reader.gone(stream) => return Ok(None),
        };
        context.requests.count_file(route, head, answer.status.as_u16());
        let last = *stop.borrow();
        reader.alarm.due = pace::due(clock::now(), bounds.head, answer.body.length());
        Writer::new(answer, head, last).write(stream, &mut reader.alarm).await?;
        if last {
            return Ok(None);
        }
        reader.alarm.due = clock::now() + bounds.head;
    }
}

/// What was read.
enum Heard<'c> {
    /// A request for a file, and what is needed to answer it.
    Visit(&'c Shared, Visit),
    /// Something else, or nothing that can be read here.
    Other,
    /// Nothing: nothing comes any more, it is too late for it, or the server stops.
    End,
}

/// Reads a head; how long it is. `None` if it is not whole.
fn heard<'c>(
    context: Option<&'c Shared>,
    peer: SocketAddr,
    bytes: &[u8],
) -> Option<(usize, Heard<'c>)> {
    if bytes.len() < PREFACE.len() && PREFACE.starts_with(bytes) {
        return None;
    }
    // Empty lines before a request may be many, and would be read again and again.
    if bytes.starts_with(b"\r") || bytes.starts_with(b"\n") {
        return Some((0, Heard::Other));
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return None,
        Err(_) => return Some((0, Heard::Other)),
    };
    let Some((context, ask)) = context.zip(ask(&request, peer)) else {
        return Some((0, Heard::Other));
    };
    Some((length, Heard::Visit(context, Visit::new(context, &ask))))
}

/// What a request asks for, if that is a file and there is nothing else to it.
fn ask<'r>(request: &'r httparse::Request<'_, 'r>, peer: SocketAddr) -> Option<Ask<'r>> {
    let fields: &[httparse::Header<'r>] = request.headers;
    let named = |field: &httparse::Header<'_>, name: &str| field.name.eq_ignore_ascii_case(name);
    let strange = |field: &httparse::Header<'_>| {
        const STRANGE: [&str; 4] = ["content-length", "transfer-encoding", "expect", "upgrade"];
        STRANGE.iter().any(|name| named(field, name))
            || named(field, "connection") && !field.value.eq_ignore_ascii_case(b"keep-alive")
    };
    let hosts = fields.iter().filter(|field| named(field, "host")).count();
    if request.version != Some(1) || hosts != 1 || fields.iter().any(strange) {
        return None;
    }
    Ask::of(request.method?, request.path?, Fields::Raw(fields), peer)
}

/// Reads heads, one after the other.
struct Reader {
    bounds: Bounds,
    /// What was read and not answered; mostly nothing.
    kept: Vec<u8>,
    /// Nobody has looked yet whether that is a whole head.
    unread: bool,
    alarm: Alarm,
}

/// Goes off when something is overdue: a head, or an answer that is not taken. It is set again only when it would go off too
/// early, so a request sets none.
struct Alarm {
    due: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    fn new(time: Duration) -> Self {
        Self { due: clock::now() + time, sleep: Box::pin(tokio::time::sleep(time)) }
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        // It may be set for the end of a long answer.
        if self.sleep.deadline() > self.due.into() {
            self.sleep.as_mut().reset(self.due.into());
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if clock::now() >= self.due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.due.into());
        }
    }
}

impl Reader {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, kept: Vec::new(), unread: false, alarm: Alarm::new(bounds.head) }
    }

    fn poll<'c, S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut task::Context<'_>,
        heard: impl Fn(&[u8]) -> Option<(usize, Heard<'c>)>,
    ) -> Poll<io::Result<Heard<'c>>> {
        if std::mem::take(&mut self.unread)
            && let Some((length, heard)) = heard(&self.kept)
        {
            self.forget(length);
            return Poll::Ready(Ok(heard));
        }
        loop {
            let mut space = [MaybeUninit::uninit(); READ];
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut *stream).poll_read(cx, &mut read) {
                Poll::Ready(done) => done?,
                Poll::Pending => return self.alarm.poll(cx).map(|()| Ok(Heard::End)),
            }
            let new = read.filled();
            if new.is_empty() {
                return Poll::Ready(Ok(Heard::End));
            }
            if self.kept.is_empty()
                && let Some((length, heard)) = heard(new)
            {
                self.kept.extend_from_slice(&new[length..]);
                self.unread = !self.kept.is_empty();
                return Poll::Ready(Ok(heard));
            }
            let (whole, before) = (new.contains(&b'\n'), self.kept.len());
            self.kept.extend_from_slice(new);
            // A head ends with a line: bytes that come one by one are not read again for each.
            if before > 0
                && whole
                && let Some((length, heard)) = heard(&self.kept)
            {
                self.forget(length);
                return Poll::Ready(Ok(heard));
            }
            if self.kept.len() >= self.bounds.bytes {
                return Poll::Ready(Ok(Heard::Other));
            }
        }
    }

    /// So many bytes have become a request. What waits for the next holds none.
    fn forget(&mut self, length: usize) {
        self.kept.drain(..length);
        self.unread = !self.kept.is_empty();
        if self.kept.is_empty() {
            self.kept = Vec::new();
        }
    }

    /// Returns when the other side has gone. What it sends meanwhile is kept.
    async fn gone<S: AsyncRead + Unpin>(&mut self, stream: &mut S) {
        while self.kept.len() < READ {
            let more = poll_fn(|cx| {
                let mut space = [MaybeUninit::uninit(); READ];
                let mut read = ReadBuf::uninit(&mut space);
                let done = ready!(Pin::new(&mut *stream).poll_read(cx, &mut read));
                self.kept.extend_from_slice(read.filled());
                self.unread = true;
                Poll::Ready(done.is_ok() && !read.filled().is_empty())
            });
            if !more.await {
                return;
            }
        }
        pending().await
    }
}

/// Writes one answer.
struct Writer {
    head: Vec<u8>,
    /// Of the head.
    sent: usize,
    body: Chain,
    /// What follows it.
    disk: Option<Pieces>,
}

impl Writer {
    fn new(answer: Answer, without_body: bool, last: bool) -> Self {
        let mut head = Vec::with_capacity(512);
        status_line(answer.status, &mut head);
        let mut say = |name: &str, value: &[u8]| {
            for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
                head.extend_from_slice(piece);
            }
        };
        for (name, value) in &answer.fields {
            say(name, value.as_bytes());
        }
        if last {
            say("connection", b"close");
        }
        date(|now| say("date", now));
        // Writing into memory does not fail.
        let _ = write!(head, "content-length: {}\r\n\r\n", answer.body.length());
        let (body, disk) = match answer.body {
            _ if without_body => (Chain::default(), None),
            Content::Memory(chain) => (chain, None),
            Content::Disk(pieces) => (Chain::default(), Some(pieces)),
        };
        Self { head, sent: 0, body, disk }
    }

    async fn write<S: AsyncWrite + Unpin>(
        mut self,
        stream: &mut S,
        alarm: &mut Alarm,
    ) -> io::Result<()> {
        let mut disk = self.disk.take();
        loop {
            // The first piece goes out with the head. What cannot be read ends the connection before the length that was
            // promised.
            let piece = match &mut disk {
                Some(pieces) => poll_fn(|cx| Pin::new(&mut *pieces).poll_frame(cx)).await,
                None => None,
            };
            let last = piece.is_none();
            if let Some(frame) = piece {
                self.body = frame?.into_data().map(Chain::from).unwrap_or_default();
            }
            self.flush(stream, alarm).await?;
            if last {
                return Ok(());
            }
        }
    }

    async fn flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        alarm: &mut Alarm,
    ) -> io::Result<()> {
        poll_fn(|cx| {
            while self.sent < self.head.len() || self.body.left > 0 {
                let mut slices = [IoSlice::new(&[]); PIECES];
                let pieces = std::iter::once(&self.head[self.sent..]).chain(self.body.slices());
                let pieces = pieces.filter(|piece| !piece.is_empty());
                let count =
                    slices.iter_mut().zip(pieces).map(|(s, p)| *s = IoSlice::new(p)).count();
                let slices = &slices[..count];
                let done = match Pin::new(&mut *stream).poll_write_vectored(cx, slices) {
                    Poll::Ready(done) => done?,
                    Poll::Pending => {
                        return alarm.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
                    }
                };
                if done == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                let head = done.min(self.head.len() - self.sent);
                self.sent += head;
                self.body.advance(done - head);
            }
            // TLS holds back what the socket did not take.
            match Pin::new(&mut *stream).poll_flush(cx) {
                Poll::Ready(done) => Poll::Ready(done),
                Poll::Pending => alarm.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            }
        })
        .await
    }
}

fn status_line(status: StatusCode, out: &mut Vec<u8>) {
    if status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    let reason = status.canonical_reason().unwrap_or_default();
    let _ = write!(out, "HTTP/1.1 {} {reason}\r\n", status.as_u16());
}

/// The moment as `Date` says it, written once a second.
fn date(say: impl FnOnce(&[u8])) {
    thread_local! {
        static WRITTEN: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = clock::since_epoch();
    WRITTEN.with_borrow_mut(|(second, text)| {
        if *second != now.as_secs() {
            *second = now.as_secs();
            *text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + now);
        }
        say(text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::http::tests::Server;

    const PEER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5);
    const BOUNDS: Bounds = Bounds { head: Duration::from_secs(30), bytes: 1024 };
    const NOTHING: &str = "GET /live/show/e1/v0.m3u8 HTTP/1.1\r\nHost: localhost\r\n\r\n";

    /// What becomes of a connection on which this is written in pieces of `size`: what was answered, and what was not.
    async fn talk(text: &[u8], size: usize) -> (String, Option<Vec<u8>>) {
        let server = Server::new("");
        let (mut ours, mut theirs) = duplex(64 * 1024);
        let (_stop, stopped) = watch::channel(false);
        let asking = async {
            for piece in text.chunks(size) {
                theirs.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            theirs.shutdown().await.unwrap();
            theirs
        };
        let serving = serve(&mut ours, Some(&server.context), PEER, BOUNDS, &stopped, || ());
        let (mut theirs, rest) = tokio::join!(asking, serving);
        drop(ours);
        let mut answers = Vec::new();
        while theirs.read_buf(&mut answers).await.unwrap() > 0 {}
        (String::from_utf8(answers).unwrap(), rest.unwrap())
    }

    #[tokio::test]
    async fn requests_in_pieces_of_every_size_and_several_at_once() {
        let head = NOTHING
            .replace("GET", "HEAD")
            .replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n");
        let text = [NOTHING, &head, NOTHING].concat();
        for size in [1, 2, 3, 7, 50, text.len()] {
            let (answers, rest) = talk(text.as_bytes(), size).await;
            assert_eq!(rest, None);
            assert_eq!(answers.matches("HTTP/1.1 404 Not Found\r\n").count(), 3, "{answers}");
            assert_eq!(answers.matches("\"status\":404").count(), 2, "HEAD has no body: {answers}");
            for field in ["content-length: ", "date: ", "cache-control: no-store\r\n"] {
                assert_eq!(answers.matches(field).count(), 3, "{answers}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_odd_is_left_to_hyper_from_its_first_byte_on() {
        let with = |field: &str| NOTHING.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
        for odd in [
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            "nonsense\r\n\r\n".to_owned(),
            "\u{16}\u{3}\u{1}\u{2}".to_owned(),
            "x".repeat(2000),
            NOTHING.replace("GET", "OPTIONS"),
            NOTHING.replace("1.1", "1.0"),
            NOTHING.replace("Host", "Ghost"),
            NOTHING.replace("show", "sh%6fw"),
            with("Host: localhost"),
            with("Content-Length: 5"),
            with("Transfer-Encoding: chunked"),
            with("Connection: close"),
            with("Upgrade: h2c"),
            with("Expect: 100-continue"),
            with(&"x: y\r\n".repeat(FIELDS)),
        ] {
            for size in [1, 5, odd.len()] {
                let (answers, rest) = talk(format!("{NOTHING}{odd}").as_bytes(), size).await;
                let rest = rest.unwrap_or_else(|| panic!("taken: {odd}"));
                assert!(odd.as_bytes().starts_with(&rest) && !rest.is_empty(), "{odd}");
                assert_eq!(answers.matches("HTTP/1.1 404").count(), 1, "{odd}");
            }
        }
    }

    #[tokio::test]
    async fn the_preface_of_http_2_may_come_in_pieces() {
        for size in 1..PREFACE.len() {
            let (_, rest) = talk(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", size).await;
            assert!(rest.unwrap().starts_with(PREFACE), "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn a_head_has_its_time_and_no_byte_makes_it_longer() {
        let server = Server::new("");
        let (mut ours, mut theirs) = duplex(1024);
        let (_stop, stopped) = watch::channel(false);
        let dribble = async {
            for byte in NOTHING.bytes().cycle().filter(|byte| *byte != b'\n') {
                theirs.write_all(&[byte]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let bounds = Bounds { head: Duration::from_millis(50), bytes: 1 << 20 };
        let served = tokio::select! {
            served = serve(&mut ours, Some(&server.context), PEER, bounds, &stopped, || ()) => served,
            () = dribble => unreachable!(),
        };
        assert_eq!(served.unwrap(), None);
    }

    #[test]
    fn a_connection_that_waits_is_small() {
        let server = tokio::runtime::Runtime::new().unwrap().block_on(async { Server::new("") });
        let (mut ours, _theirs) = duplex(1);
        let (_stop, stopped) = watch::channel(false);
        let serving = serve(&mut ours, Some(&server.context), PEER, BOUNDS, &stopped, || ());
        assert!(size_of_val(&serving) < 2048, "{}", size_of_val(&serving));
    }

    /// What is being sent is held on to.
    #[tokio::test]
    async fn who_takes_nothing_of_an_answer_is_let_go_of() {
        let server = Server::new("");
        let (mut ours, mut theirs) = duplex(100);
        let (_stop, stopped) = watch::channel(false);
        let bounds = Bounds { head: Duration::from_millis(50), bytes: 1024 };
        let serving = serve(&mut ours, Some(&server.context), PEER, bounds, &stopped, || ());
        let (served, _) = tokio::join!(serving, theirs.write_all(NOTHING.as_bytes()));
        assert_eq!(served.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_comes_byte_by_byte_is_looked_at_once_for_each_line() {
        let (mut ours, mut theirs) = duplex(8);
        let looks = std::cell::Cell::new(0);
        let mut reader = Reader::new(BOUNDS);
        let text = "x".repeat(500);
        let reading = poll_fn(|cx| {
            reader.poll(&mut ours, cx, |_| {
                looks.set(looks.get() + 1);
                None
            })
        });
        let writing = async {
            for byte in text.bytes() {
                theirs.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(theirs);
        };
        let (read, ()) = tokio::join!(reading, writing);
        assert!(matches!(read.unwrap(), Heard::End));
        assert!(looks.get() < 3, "{} looks at {} bytes", looks.get(), text.len());
    }

    /// A connection that remembers what each write brought.
    #[derive(Default)]
    struct Written(Vec<Vec<u8>>);

    impl AsyncWrite for Written {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut task::Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut task::Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let length = all.len();
            self.0.push(all);
            Poll::Ready(Ok(length))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn the_first_piece_from_disk_goes_out_with_the_head() {
        let server = Server::new("");
        let path = std::env::temp_dir().join(format!("weir-wire-{}", std::process::id()));
        std::fs::write(&path, "x".repeat(200_000)).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let pieces = Pieces::new(server.context.live.disk().clone(), file.into(), 0..200_000);
        let answer = Answer::new(StatusCode::OK, Content::Disk(pieces));
        let (mut out, mut alarm) = (Written::default(), Alarm::new(BOUNDS.head));
        Writer::new(answer, false, false).write(&mut out, &mut alarm).await.unwrap();
        let first = String::from_utf8_lossy(&out.0[0]);
        assert!(first.starts_with("HTTP/1.1 200") && first.len() > 128 << 10, "{}", first.len());
        let body = out.0.iter().flatten().filter(|byte| **byte == b'x').count();
        assert_eq!((out.0.len(), body), (2, 200_000));
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn who_is_idle_hears_the_end_when_the_server_stops() {
        let server = Server::new("");
        let (mut ours, _theirs) = duplex(1024);
        let (stop, stopped) = watch::channel(false);
        let serving = serve(&mut ours, Some(&server.context), PEER, BOUNDS, &stopped, || ());
        let (served, _) = tokio::join!(serving, async { stop.send(true).unwrap() });
        assert_eq!(served.unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = heard(None, PEER, &bytes);
        }
    }
}
