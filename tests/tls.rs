//! HTTPS and HTTP/2 on the port of HTTP, of the real program: to OpenSSL, curl, rustls and webrtc-rs' sessions, with what a
//! stranger may do to it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tests::clip::{Clip, Codec};
use tests::http::{self, Answer};
use tests::peer::Post;
use tests::publisher::Show;
use tests::tls::{self, Identity};
use tests::viewer::Wish;
use tests::{Publisher, Viewer, Weir};

const HTTPS: &str = "https://";

/// WHIP and WHEP by HTTP/1.1 and by HTTP/2: what the answers name is HTTPS too, and media flows.
#[tokio::test(flavor = "multi_thread")]
async fn whip_and_whep_come_by_https() {
    let identity = Identity::new();
    let weir = Weir::configured(&identity.toml());
    assert!(weir.url.starts_with(HTTPS), "{}\n{}", weir.url, weir.log());
    for by_two in [false, true] {
        let post = Post { by_two, ..Post::default() };
        let show = Show { post, ..Show::of(Clip::small(Codec::Vp8)) };
        let publisher = Publisher::showing(&weir, "show", show).await;
        let viewer = Viewer::wishing(&weir, "show", Wish { post, ..Wish::default() }).await;
        viewer.more_video(30).await;
        for (session, path) in [(&publisher.session, "/whip/"), (&viewer.session, "/whep/")] {
            let begin = weir.at(path);
            assert!(session.resource.starts_with(&begin), "{} {begin}", session.resource);
        }
        let send = if by_two { http::by_two } else { http::send };
        for session in [&viewer.session, &publisher.session] {
            let deleted = send("DELETE", &session.resource, &[], &[]);
            assert_eq!(deleted.status, 200, "{}", deleted.text());
        }
        weir.until("show", |s| s["state"] != "live");
    }
}

#[test]
fn alpn_says_what_is_spoken() {
    let identity = Identity::new();
    let weir = Weir::configured(&identity.toml());
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = tls::connect(weir.host(), offered).expect("a handshake");
        assert_eq!(stream.ssl().selected_alpn_protocol(), chosen, "{offered:?}");
    }
    let refused = tls::connect(weir.host(), &["smtp"]).expect_err("nobody speaks that here");
    assert!(refused.contains("no application protocol"), "{refused}");
}

/// Our own reader of HTTP/1.1 for files, and hyper behind it, on one connection; then the server says goodbye in TLS.
#[test]
fn one_connection_takes_files_and_all_else() {
    let identity = Identity::new();
    let weir = Weir::configured(&identity.toml());
    let mut stream = tls::connect(weir.host(), &["http/1.1"]).expect("a handshake");
    for (path, status) in [
        ("/live/nobody/0/v0.m3u8", "404"),
        ("/live/nobody/0/v1.m3u8", "404"),
        ("/healthz", "200"),
        ("/api/v1/streams", "200"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request goes out");
        let answer = head_and_body(&mut stream);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    let mut files = tls::connect(weir.host(), &["http/1.1"]).expect("a handshake");
    files
        .write_all(b"GET /live/nobody/0/v0.m3u8 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("sent");
    head_and_body(&mut files);
    weir.terminate(Duration::from_secs(15));
    // OpenSSL tells an end without close_notify from one with it.
    for mut stream in [stream, files] {
        stream.read_to_end(&mut Vec::new()).expect("an end that TLS has said");
    }
}

/// One answer with a Content-Length.
fn head_and_body(stream: &mut impl Read) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    let length = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let head = head.to_ascii_lowercase();
        let (_, value) = head.split_once("content-length: ")?;
        let value: usize = value.lines().next()?.parse().ok()?;
        Some(value - body.len())
    };
    while length(&text) != Some(0) {
        stream.read_exact(&mut byte).expect("an answer");
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// What comes in clear is told where to go, and nothing is done; who watches over the program is answered.
#[test]
fn in_clear_there_is_only_the_way_to_https() {
    let identity = Identity::new();
    let weir = Weir::configured(&identity.toml());
    let clear = |path: &str| format!("http://{}{path}", weir.host());
    for path in ["/", "/watch/show?token=a%20b", "/live/show/index.m3u8", "/api/v1/streams"] {
        for method in ["GET", "HEAD"] {
            for answer in both(method, &clear(path)) {
                assert_eq!(answer.status, 308, "{method} {path}: {}", answer.text());
                assert_eq!(answer.header("location"), Some(&*weir.at(path)), "{method}");
            }
        }
    }
    for (method, path) in [
        ("POST", "/whip/show"),
        ("POST", "/whep/show"),
        ("PATCH", "/whip/show/x"),
        ("DELETE", "/api/v1/streams/show/publisher"),
        ("OPTIONS", "/whep/show"),
        ("POST", "/healthz/x"),
    ] {
        for answer in both(method, &clear(path)) {
            let problem = answer.problem(426);
            assert_eq!(problem["type"], "urn:weir:problem:https-only", "{problem}");
        }
        let one = http::send(method, &clear(path), &[], &[]);
        assert_eq!(one.header("upgrade"), Some("TLS/1.2, HTTP/1.1"));
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(http::send("GET", &clear(path), &[], &[]).status, 200, "{path}");
    }
    let mut socket = TcpStream::connect(weir.host()).expect("it listens");
    socket.write_all(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n").expect("a request goes out");
    let answer = head_and_body(&mut socket);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("bad-host"), "{answer}");
}

/// By HTTP/1.1 and by HTTP/2.
fn both(method: &str, url: &str) -> [Answer; 2] {
    [http::send(method, url, &[], &[]), http::by_two(method, url, &[], &[])]
}

/// A hello that comes byte by byte, one that is cut, one that is none: each has its ten seconds, and others none of them.
#[test]
fn slow_and_broken_hellos_hold_nobody_up() {
    let identity = Identity::new();
    let weir = Weir::configured(&identity.toml());
    // A record of the handshake of 512 bytes, with a ClientHello of 508.
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 400]].concat();
    let begun = Instant::now();
    let mut slow: Vec<TcpStream> = (0..50)
        .map(|i| {
            let mut socket = TcpStream::connect(weir.host()).expect("it listens");
            // Some have said nothing, some a byte, some half of it.
            let said = [0, 1, 5, 6, 200][i % 5];
            socket.write_all(&hello[..said]).expect("a few bytes");
            socket
        })
        .collect();
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(8) {
        let before = Instant::now();
        assert_eq!(weir.get("/healthz").status, 200);
        assert!(before.elapsed() < Duration::from_secs(2), "held up for {:?}", before.elapsed());
        asked += 1;
        for (i, socket) in slow.iter_mut().enumerate().filter(|(i, _)| i % 5 == 2) {
            assert!(socket.write_all(&hello[5 + asked..][..1]).is_ok(), "{i} after {asked} bytes");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    for (i, mut socket) in slow.into_iter().enumerate().filter(|(i, _)| i % 5 != 0) {
        let left = Duration::from_secs(14).saturating_sub(begun.elapsed());
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("a time");
        let mut said = Vec::new();
        let end = socket.read_to_end(&mut said);
        let over = |e: &std::io::Error| e.kind() == ErrorKind::ConnectionReset;
        assert!(end.as_ref().map_or_else(over, |_| true), "{i}: {end:?}");
        assert!(begun.elapsed() > Duration::from_secs(9), "{i} was given up at once");
    }
    // What is no hello ends at once.
    for bytes in [&[0x16][..], &[0x16, 0xff], &[0x16, 3, 1, 0xff, 0xff], &[0x16; 2000]] {
        let mut socket = TcpStream::connect(weir.host()).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(12))).expect("a time");
        let _ = socket.write_all(bytes);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let mut said = Vec::new();
        let end = socket.read_to_end(&mut said);
        assert!(!matches!(&end, Err(e) if e.kind() == ErrorKind::WouldBlock), "{bytes:?}: {end:?}");
    }
    assert_eq!(weir.get("/healthz").status, 200);
}

/// SIGHUP shows the new certificate to who comes next. Who is here stays; files that cannot be used change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_without_a_restart() {
    let identity = Identity::new();
    let weir = Weir::configured(&identity.toml());
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    viewer.more_video(30).await;
    let mut open = tls::connect(weir.host(), &["http/1.1"]).expect("a handshake");
    let first = tls::serial_in(&identity.certificate());
    assert_eq!(tls::shown(weir.host()), first);

    identity.renew();
    let second = tls::serial_in(&identity.certificate());
    assert_ne!(first, second);
    assert_eq!(tls::shown(weir.host()), first, "nobody has said so yet");
    weir.reload("reloaded: the certificate");
    assert_eq!(tls::shown(weir.host()), second);

    open.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is still open");
    assert!(head_and_body(&mut open).starts_with("HTTP/1.1 200 "));
    viewer.more_video(30).await;

    std::fs::write(identity.key(), "no key").expect("the test's own file");
    weir.reload("the certificate stays as it was");
    assert_eq!(tls::shown(weir.host()), second);
    viewer.more_video(30).await;
    viewer.leave().await;
    publisher.leave().await;
}

/// The operator's listener has the same certificate.
#[test]
fn the_listener_of_the_api_speaks_https_too() {
    let identity = Identity::new();
    let toml = format!("{}[admin]\nlisten = \"127.0.0.1:0\"\n", identity.toml());
    let weir = Weir::configured(&toml);
    let log = weir.log();
    let line = log.lines().find(|line| line.contains("admin    https://")).expect("it says where");
    let url = &line[line.find(HTTPS).expect("a URL")..];
    let url = url.strip_suffix("/admin").expect("the page");
    let answer = http::send("GET", &format!("{url}/api/v1/server"), &[], &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(tls::shown(url.trim_start_matches(HTTPS)), tls::shown(weir.host()));
}

/// What cannot be used is said before anybody is served.
#[test]
fn a_certificate_that_cannot_be_used_is_no_start() {
    let (one, other) = (Identity::new(), Identity::new());
    let toml = |cert: &str, key: &str| format!("[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
    let file = |path: std::path::PathBuf| path.display().to_string();
    for (text, why) in [
        (toml("/nowhere/cert.pem", &file(one.key())), "there is no such file"),
        (toml(&file(one.key()), &file(one.key())), "holds none in PEM form"),
        (toml(&file(one.certificate()), &file(other.key())), "cannot be used together"),
        (toml(&file(one.certificate()), ""), "tls.cert needs tls.key"),
    ] {
        let listen = ["--http-listen", "127.0.0.1:0", "--webrtc-listen", "127.0.0.1:0"];
        let flags = [&["--config", "weir.toml", "--rtmp-listen", ""][..], &listen].concat();
        let (status, _, said) = tests::weir::run(&flags, &[("weir.toml", &text)]);
        assert!(!status.success() && said.contains(why), "{status} {said}");
    }
}
