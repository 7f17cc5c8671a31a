//! Somebody who is many: what one address may take of a server's places, and what is left to everybody else.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tests::{Encoder, Film, Recipe, Weir};

const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

/// Whether a connection is answered; one that is not has been closed.
fn is_answered(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    match stream.write_all(ASK).and_then(|()| stream.read(&mut byte)) {
        Ok(read) => read == 1,
        Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
        Err(e) => unreachable!("neither answered nor closed: {e}"),
    }
}

fn closed(weir: &Weir, reason: &str) -> f64 {
    let label = format!("reason=\"{reason}\"");
    let all = tests::weir::samples(&weir.get("/metrics").text());
    let is = |s: &&(String, String, f64)| s.0 == "weir_http_closed_total" && s.1 == label;
    all.iter().find(is).expect("it is always there").2
}

#[test]
fn one_address_has_a_quarter_of_the_connections() {
    let weir = Weir::on_all_addresses("http.max_connections = 80");
    let address = weir.elsewhere();
    let mut held: Vec<TcpStream> = (0..20).map(|_| connect(address)).collect();
    assert!(!is_answered(&mut connect(address)), "the twenty-first");
    assert!(held.iter_mut().all(is_answered), "those that were there");
    // Load tests and proxies on this machine are many.
    let local: SocketAddr = weir.url.trim_start_matches("http://").parse().expect("an address");
    let mut own: Vec<TcpStream> = (0..40).map(|_| connect(local)).collect();
    assert!(own.iter_mut().all(is_answered));
    assert_eq!(closed(&weir, "crowded"), 1.0);
    let log = weir.log();
    assert!(log.contains("http.trusted_proxies"), "it is said what to do: {log}");
    // What is given back can be had.
    held.pop();
    let start = Instant::now();
    while !is_answered(&mut connect(address)) {
        assert!(start.elapsed() < Duration::from_secs(10), "a place is free");
    }
}

#[test]
fn a_trusted_proxy_is_many_clients() {
    let own = Weir::on_all_addresses("").elsewhere().ip();
    let toml = format!("[http]\nmax_connections = 80\ntrusted_proxies = [\"{own}\"]");
    let weir = Weir::on_all_addresses(&toml);
    let mut held: Vec<TcpStream> = (0..60).map(|_| connect(weir.elsewhere())).collect();
    assert!(held.iter_mut().all(is_answered));
    assert_eq!(closed(&weir, "crowded"), 0.0);
}

#[test]
fn who_connects_and_says_nothing_has_ten_seconds() {
    let weir = Weir::start();
    let address: SocketAddr = weir.url.trim_start_matches("http://").parse().expect("an address");
    let (mut slow, mut silent) = (connect(address), connect(address));
    slow.write_all(&ASK[..1]).expect("a new connection takes a byte");
    let read = silent.read(&mut [0]).expect("closed by the server before a head's time is over");
    assert_eq!(read, 0);
    assert_eq!(closed(&weir, "silent"), 1.0);
    slow.write_all(&ASK[1..]).expect("who has begun has longer");
    assert_eq!(slow.read(&mut [0]).expect("an answer"), 1);
}

/// Requests by HTTP/2 for a file, all on one connection.
fn ask_by_two(address: SocketAddr, path: &str, count: u32) -> TcpStream {
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).expect("a short one").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    let mut text = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    text.extend(frame(4, 0, 0, &[]));
    for n in 0..count {
        // GET, http, its path and its host (RFC 7541 appendix A and section 6.2.2).
        let length = u8::try_from(path.len()).expect("a short one");
        let fields = [&[0x82, 0x86, 0x04, length][..], path.as_bytes(), &[0x01, 9], b"localhost"];
        text.extend(frame(1, 5, 2 * n + 1, &fields.concat()));
    }
    let mut stream = connect(address);
    stream.write_all(&text).expect("a new connection takes a few bytes");
    stream
}

/// The playlist of a live stream's pictures with the segment behind the next, which comes in six seconds or more.
fn what_is_to_come(weir: &Weir) -> String {
    let text = |path: &str| {
        let answer = weir.get(path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    let index = text("/live/show/index.m3u8");
    let name = index.lines().find(|line| line.contains("/v0.m3u8")).expect("there are pictures");
    let playlist = text(&format!("/live/show/{name}"));
    let hint = playlist.split("#EXT-X-PRELOAD-HINT:").nth(1).expect("more is to come");
    let number = hint.split('-').nth(1).and_then(|rest| rest.split('.').next());
    let msn: u64 = number.and_then(|number| number.parse().ok()).expect("a segment's number");
    format!("/live/show/{name}?_HLS_msn={}", msn + 1)
}

/// Each request counts, however many come on one connection.
#[test]
fn one_address_has_a_quarter_of_the_places_to_wait() {
    let weir = Weir::on_all_addresses("http.max_connections = 80\nlive.segment = '6s'");
    let _encoder = Encoder::publish(&Film::small(Recipe::PLAIN), &weir.rtmp_url("show"));
    weir.until("show", |stream| stream["state"] == "live");
    let until = |name: &str, expected: f64| {
        let start = Instant::now();
        while weir.metric(name) != expected {
            let now = weir.metric(name);
            assert!(start.elapsed() < Duration::from_secs(5), "{name} is {now}, not {expected}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let path = what_is_to_come(&weir);
    let _many = ask_by_two(weir.elsewhere(), &path, 30);
    until("weir_hls_refused_total", 10.0);
    until("weir_hls_waiting", 20.0);
    let local = weir.url.trim_start_matches("http://").parse().expect("an address");
    let _other = ask_by_two(local, &path, 30);
    until("weir_hls_waiting", 50.0);
    assert_eq!(weir.metric("weir_hls_refused_total"), 10.0);
}
