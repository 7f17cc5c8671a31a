//! Junk, half-open connections and clients that never come to the point on the RTMP port: each is closed within a bound, costs
//! little while it lasts and nothing afterwards.

#![allow(clippy::panic, reason = "a panic with its reason is how a test says no")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tests::film::{Film, Recipe};
use tests::flv::Tag;
use tests::random::Random;
use tests::rtmp::Air;
use tests::{Encoder, Rtmp, Weir};

/// How long a connection may take until it publishes or plays.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// When the server closed this connection.
#[track_caller]
fn closed(socket: &mut TcpStream, limit: Duration) -> Duration {
    let began = Instant::now();
    socket.set_read_timeout(Some(limit)).expect("a socket of ours");
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return began.elapsed(),
            Ok(_) => {}
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                panic!("still open after {limit:?}")
            }
            Err(_) => return began.elapsed(),
        }
        assert!(began.elapsed() < limit, "still open after {limit:?}");
    }
}

/// Encoders still come in.
fn serves(weir: &Weir) {
    let encoder = Encoder::publish(&Film::small(Recipe::PLAIN), &weir.rtmp_url("check"));
    weir.until("check", |s| s["state"] == "live");
    encoder.stop();
}

#[test]
fn junk_is_closed_at_once() {
    let weir = Weir::start();
    let mut random = Random::seeded(5);
    let noise = random.bytes::<4096>();
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    for junk in [http, vec![6; 1537], noise.to_vec(), b"\x16\x03\x01\x02\0\x01\0".to_vec()] {
        let mut socket = TcpStream::connect(weir.rtmp()).unwrap();
        socket.write_all(&junk).unwrap();
        let took = closed(&mut socket, HANDSHAKE);
        println!("{:02x}…: closed after {took:?}", junk[0]);
    }
    // Behind a good handshake: random bytes, a message of 16 MB that never comes, chunks of 2^31 and of no bytes.
    let set_size =
        |size: u32| [&b"\x02\0\0\0\0\0\x04\x01\0\0\0\0"[..], &size.to_be_bytes()].concat();
    let long = b"\x04\0\0\0\xff\xff\xff\x09\x01\0\0\0".to_vec();
    for junk in [noise.to_vec(), set_size(0), [set_size(1 << 31), long.clone()].concat(), long] {
        let mut rtmp = Rtmp::connect(&weir.rtmp()).unwrap();
        let _ = rtmp.raw(&junk);
        rtmp.closed(HANDSHAKE);
    }
    serves(&weir);
}

#[test]
fn thousands_of_chunk_streams_cost_little() {
    let weir = Weir::start();
    let before = weir.memory();
    let mut all = Vec::new();
    for _ in 0..8 {
        let mut rtmp = Rtmp::connect(&weir.rtmp()).unwrap();
        // Each begins a message of a megabyte and never goes on with it.
        for id in 64u32..20_000 {
            let header = [
                &[1, (id - 64) as u8, ((id - 64) >> 8) as u8][..],
                b"\0\0\0\x0f\xff\xff\x09\x01\0\0\0",
                &[0; 128],
            ]
            .concat();
            if rtmp.raw(&header).is_err() {
                break;
            }
        }
        all.push(rtmp);
    }
    let grown = weir.memory().saturating_sub(before);
    println!("{} KB for {} connections", grown / 1024, all.len());
    assert!(grown < 64 << 20, "{grown} bytes for eight connections");
    for rtmp in &all {
        rtmp.closed(HANDSHAKE);
    }
    serves(&weir);
}

#[test]
fn who_does_not_come_to_the_point_is_closed_and_costs_no_time() {
    let weir = Weir::start();
    let files = weir.files();
    let open = || TcpStream::connect(weir.rtmp()).unwrap();
    // Silent ones; those that stop in the middle of the handshake, and behind it; one that sends a byte a second.
    let mut all: Vec<TcpStream> = (0..50).map(|_| open()).collect();
    for _ in 0..50 {
        let mut socket = open();
        socket.write_all(&[3; 700]).unwrap();
        all.push(socket);
    }
    for _ in 0..50 {
        let mut socket = open();
        socket.write_all(&[[3].to_vec(), vec![0; 1536 + 1536]].concat()).unwrap();
        all.push(socket);
    }
    let idle: Vec<Rtmp> = (0..20).map(|_| Rtmp::connect(&weir.rtmp()).unwrap()).collect();
    let mut slow = open();
    let drip = std::thread::spawn(move || {
        let began = Instant::now();
        while began.elapsed() < 2 * HANDSHAKE && slow.write_all(&[3]).is_ok() {
            std::thread::sleep(Duration::from_secs(1));
        }
        began.elapsed()
    });
    let cpu = weir.cpu_time();
    std::thread::sleep(Duration::from_secs(2));
    let spent = weir.cpu_time() - cpu;
    assert!(spent < Duration::from_millis(200), "{spent:?} of CPU in two seconds, for nothing");
    serves(&weir);
    for socket in &mut all {
        closed(socket, HANDSHAKE);
    }
    for rtmp in &idle {
        rtmp.closed(HANDSHAKE);
    }
    let dripped = drip.join().unwrap();
    assert!(
        dripped < HANDSHAKE + Duration::from_secs(3),
        "a byte a second held it for {dripped:?}"
    );
    drop((all, idle));
    let end = Instant::now() + Duration::from_secs(10);
    while weir.files() > files + 3 {
        assert!(Instant::now() < end, "{} files, {files} before", weir.files());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(weir.metric("weir_rtmp_closed_total") >= 170.0, "all of them are counted");
}

#[test]
fn half_open_connections_that_are_dropped_leave_nothing_behind() {
    let weir = Weir::start();
    serves(&weir);
    let (files, memory) = (weir.files(), weir.memory());
    for round in 0..500 {
        let mut socket = TcpStream::connect(weir.rtmp()).unwrap();
        let _ = socket.write_all(&vec![3; round * 13 % 3000]);
    }
    let cpu = weir.cpu_time();
    std::thread::sleep(Duration::from_secs(1));
    let spent = weir.cpu_time() - cpu;
    assert!(spent < Duration::from_millis(200), "{spent:?} of CPU in a second: it spins");
    assert!(weir.files() <= files + 3, "{} files, {files} before", weir.files());
    let grown = weir.memory().saturating_sub(memory);
    assert!(grown < 8 << 20, "{grown} bytes stay of 500 connections");
}

#[test]
fn a_show_without_keyframes_is_ended_with_a_reason() {
    let weir = Weir::start();
    let film = Film::small(Recipe::PLAIN);
    let tags: Vec<Tag> =
        film.tags().into_iter().filter(|t| !(t.is_picture() && t.is_keyframe())).collect();
    let rtmp = Rtmp::publish(&weir, "live", "show").expect("it may publish");
    let air = Air::start(rtmp, tags, film.length(), 0);
    let end = Instant::now() + Duration::from_secs(60);
    while air.goes_on() {
        assert!(Instant::now() < end, "it goes on without a keyframe: {:#?}", weir.stream("show"));
        std::thread::sleep(Duration::from_millis(100));
    }
    let rtmp = air.stop();
    rtmp.closed(Duration::from_secs(5));
    let last = rtmp.statuses().pop().expect("it is told why");
    assert!(last.description.contains("keyframe"), "{last:?}");
}

#[test]
fn who_publishes_twice_on_one_connection_is_told_no() {
    use serde_json::{Value, json};
    let weir = Weir::start();
    let mut rtmp = Rtmp::publish(&weir, "live", "one").expect("it may publish");
    rtmp.command(1, &[json!("publish"), json!(9.0), Value::Null, json!("two"), json!("live")]);
    let said = rtmp.until_status(|s| s.level == "error");
    assert!(said.is_ok() || !rtmp.is_open(), "{said:?}");
    assert_eq!(weir.state("two"), "gone");
}

#[test]
fn a_publisher_that_falls_silent_is_lost_and_then_closed() {
    let weir = Weir::start();
    let film = Film::small(Recipe::PLAIN);
    let rtmp = Rtmp::publish(&weir, "live", "show").expect("it may publish");
    let air = Air::start(rtmp, film.tags(), film.length(), 0);
    weir.until("show", |s| s["state"] == "live");
    let rtmp = air.stop();
    weir.until("show", |s| s["state"] == "interrupted" || s.is_null() || s["state"] == "ended");
    rtmp.closed(Duration::from_secs(60));
}
