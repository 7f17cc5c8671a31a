//! Peers that harm by what they do not do, or do too often: nothing grows, nobody else is kept out, and who is sent
//! away can read why.

use std::time::Duration;

use rtmp::client::{Event, Mode, Phase};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::Studio;
use super::studio::{Peer, h264, now, picture};
use crate::rtmp::{Closed, Patience, local};

/// What a connection's two sockets and its queues may hold, with much to spare.
const HELD: usize = 32 << 20;

/// Asks for answers without reading any, until nothing more is taken. How many bytes were.
async fn flood(peer: &mut Peer) -> usize {
    let _ = SockRef::from(&peer.socket).set_recv_buffer_size(4096);
    let ping = [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0];
    let pings = ping.repeat(4096);
    let mut sent = 0;
    while sent < HELD {
        // A whole number of them, as far as it goes.
        let write = timeout(Duration::from_secs(2), peer.socket.write_all(&pings));
        match write.await {
            Ok(Ok(())) => sent += pings.len(),
            _ => break,
        }
    }
    sent
}

#[tokio::test]
async fn who_asks_and_does_not_listen_is_not_read_and_then_closed() {
    let patience = Patience {
        deaf: Duration::from_millis(300),
        answers: Duration::from_millis(300),
        look: Duration::from_millis(20),
        ..Patience::default()
    };
    for known in [None, Some(Mode::Publish), Some(Mode::Play)] {
        let studio = Studio::with("", patience).await;
        let mut peer = match known {
            Some(mode) => studio.connect("live/demo", mode, true).await.ready().await,
            None => stranger(&studio).await,
        };
        let sent = flood(&mut peer).await;
        assert!(sent < HELD, "{known:?}: {sent} bytes");
        studio.closed("deaf").await;
    }
}

/// Connected, and nobody yet.
async fn stranger(studio: &Studio) -> Peer {
    let mut peer = studio.publish("live/demo").await;
    let mut buffer = [0; 4096];
    while matches!(peer.client.phase(), Phase::Handshake | Phase::Connect) {
        peer.flush().await;
        let count = peer.socket.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0);
        peer.client.receive(now(), &buffer[..count]).unwrap();
    }
    peer
}

#[tokio::test]
async fn players_leave_places_for_publishers() {
    let studio = Studio::new("[rtmp]\nmax_connections = 4").await;
    let mut players = Vec::new();
    for _ in 0..3 {
        players.push(studio.play("live/demo").await.ready().await);
    }
    let (code, words) = studio.play("live/demo").await.refused().await;
    assert_eq!(code, "NetStream.Play.Failed");
    assert!(words.contains("rtmp.max_connections"), "{words}");
    studio.closed("full").await;
    studio.publish("live/demo").await.ready().await;
    // A place is given back with its player.
    players.clear();
    studio.closed("hung_up").await;
    studio.play("live/demo").await.ready().await;
}

#[tokio::test]
async fn who_finds_no_place_is_closed_at_once() {
    let studio = Studio::new("[rtmp]\nmax_connections = 1").await;
    let here = studio.publish("live/demo").await.ready().await;
    studio.publish("live/other").await.hung_up().await;
    studio.closed("no_place").await;
    drop(here);
    studio.closed("hung_up").await;
    studio.publish("live/other").await.ready().await;
}

#[tokio::test]
async fn who_is_sent_away_amid_its_media_still_reads_why() {
    let studio = Studio::new("").await;
    let mut peer = studio.publish("live/demo").await.ready().await;
    peer.formats(&[h264()]).await;
    peer.send(picture(0, 0, true)).await;
    studio.stream("demo", |s| s.state.name() == "live").await;
    assert!(studio.hub.kick_publisher(&stream::Name::new("demo").unwrap()).await);
    // The words are there, and it sends on before it looks.
    peer.socket.readable().await.unwrap();
    for n in 1..20_000 {
        peer.send(picture(n * 40, n * 40, false)).await;
    }
    assert_eq!(peer.next().await, Event::Ended);
    drop(peer);
    studio.closed("ended").await;
}

#[tokio::test]
async fn a_broken_message_is_a_loss_and_no_goodbye() {
    let studio = Studio::new("").await;
    let mut peer = studio.publish("live/demo").await.ready().await;
    peer.formats(&[h264()]).await;
    peer.send(picture(0, 0, true)).await;
    studio.stream("demo", |s| s.state.name() == "live").await;
    // A chunk size of nothing.
    peer.socket.write_all(&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
    peer.hung_up().await;
    studio.closed("protocol").await;
    studio.stream("demo", |s| s.state.name() == "interrupted").await;
    let mut next = studio.publish("live/demo").await.ready().await;
    next.formats(&[h264()]).await;
    next.send(picture(0, 0, true)).await;
    studio.stream("demo", |s| s.state.name() == "live").await;
}

#[test]
fn only_programs_that_meant_this_machine_are_local() {
    for (address, tc_url, expected) in [
        ("127.0.0.1:5", "rtmp://localhost/live", true),
        ("127.0.0.1:5", "rtmps://LOCALHOST:1936/live/", true),
        ("127.0.0.1:5", "rtmp://127.0.0.1:1935/live", true),
        ("[::1]:5", "rtmp://[::1]:1935/live", true),
        ("[::ffff:127.0.0.1]:5", "rtmp://[::ffff:127.0.0.1]/live", true),
        ("127.0.0.1:5", "", false),
        ("127.0.0.1:5", "live", false),
        ("127.0.0.1:5", "http://localhost/live", false),
        ("127.0.0.1:5", "rtmp://example.org/live", false),
        ("127.0.0.1:5", "rtmp://localhost.example.org/live", false),
        ("127.0.0.1:5", "rtmp://203.0.113.7/live", false),
        ("127.0.0.1:5", "rtmp://192.168.0.2/live", false),
        ("203.0.113.9:5", "rtmp://localhost/live", false),
    ] {
        let address: std::net::SocketAddr = address.parse().unwrap();
        let address = std::net::SocketAddr::new(address.ip().to_canonical(), address.port());
        assert_eq!(local(address, tc_url).is_ok(), expected, "{address} {tc_url:?}");
    }
}

#[test]
fn the_words_name_the_limits_that_hold() {
    let Patience { start, silence, blind, .. } = Patience::default();
    for (closed, limit) in
        [(Closed::SlowStart, start), (Closed::Silent, silence), (Closed::Blind, blind)]
    {
        let words = format!("{} seconds", limit.as_secs());
        assert!(closed.text().contains(&words), "{}", closed.text());
    }
    assert!(silence < sfu::Config::default().publisher_timeout, "ours comes first");
}
