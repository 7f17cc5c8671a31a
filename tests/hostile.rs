//! Bad input from every side while somebody watches: a clear answer or a counted drop, and the
//! one who watches misses nothing.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use tests::clip::{Clip, Codec};
use tests::compare::follow;
use tests::peer::first_candidate;
use tests::random::Random;
use tests::viewer::Wish;
use tests::{Impairment, Publisher, Viewer, Weir, sdp};
use webrtc::peer_connection::RTCPeerConnectionState;

/// Why a datagram is not taken, as `/metrics` names it.
const NOT_TAKEN: [&str; 5] =
    ["unknown_source", "malformed", "not_authentic", "transport", "rtp_unusable"];

/// A server with a stream and somebody who watches it.
struct Scene {
    weir: Weir,
    publisher: Publisher,
    watcher: Viewer,
}

impl Scene {
    async fn new(toml: &str) -> Self {
        let weir = Weir::configured(toml);
        let publisher = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
        let watcher = Viewer::join(&weir, "show").await;
        // It has caught up: whoever makes the server ask for a keyframe before that cuts its backlog short.
        let live = |track: &tests::Track| {
            let newest = track.in_order().pop();
            let sent = publisher.sent(0);
            newest.is_some_and(|n| sent.iter().rev().take(5).any(|s| s.payload == n.payload))
        };
        watcher.until_video("what is sent now", live).await;
        Self { weir, publisher, watcher }
    }

    /// Nobody has noticed anything.
    async fn untouched(&mut self) {
        self.watcher.more_video(30).await;
        let whole = |t: &tests::Track| t.missing().is_empty();
        self.watcher.until_video("nothing missing", whole).await;
        let got = self.watcher.video();
        follow(Some(Codec::H264), &self.publisher.sent(0), &got.in_order());
        assert_eq!(got.packets.values().filter(|p| p.repaired).count(), 0);
        assert_eq!(*self.watcher.peer.state.borrow(), RTCPeerConnectionState::Connected);
        assert!(self.weir.alive());
    }

    fn server(&self) -> SocketAddr {
        first_candidate(&self.watcher.session.sdp)
    }

    /// Waits until so many more datagrams are counted as dropped for one of these reasons.
    fn counted(&self, reasons: &[&str], before: f64, more: usize) {
        let end = Instant::now() + Duration::from_secs(5);
        while self.of(reasons) < before + more as f64 {
            let now = self.of(reasons);
            assert!(Instant::now() < end, "{reasons:?}: {before} before, {now} after {more} more");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Datagrams dropped until now for one of these reasons.
    fn of(&self, reasons: &[&str]) -> f64 {
        tests::weir::samples(&self.weir.get("/metrics").text())
            .into_iter()
            .filter(|(name, labels, _)| {
                let wanted = |r: &&str| *labels == format!("reason=\"{r}\"");
                name == "weir_dropped_total" && reasons.iter().any(wanted)
            })
            .map(|(_, _, value)| value)
            .sum()
    }
}

async fn offer(codecs: &[Codec]) -> String {
    let wish = Wish { codecs: codecs.to_vec(), ..Wish::default() };
    Viewer::silent(&wish).await.offer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_offers_get_a_reason() {
    let mut scene = Scene::new("").await;
    let good = offer(&[Codec::Vp8]).await;
    let cut: String = good.lines().take(5).map(|l| format!("{l}\r\n")).collect();
    let without = |what: &str| -> String {
        good.lines().filter(|l| !l.starts_with(what)).map(|l| format!("{l}\r\n")).collect()
    };
    let long = format!("{good}a=x:{}\r\n", "y".repeat(60_000));
    let many = good.clone() + &"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(1_000);
    let bad: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("words", "hello, server".into()),
        ("nul bytes", "v=0\0\0\0\r\n".into()),
        ("no version", good.replacen("v=0", "v=7", 1)),
        ("no media", cut),
        ("no ufrag", without("a=ice-ufrag")),
        ("no password", without("a=ice-pwd")),
        ("no fingerprint", without("a=fingerprint")),
        ("broken fingerprint", good.replace("sha-256 ", "sha-256 zz:")),
        ("a thousand m-lines", many),
        ("JSON", serde_json::json!({ "sdp": good }).to_string()),
    ];
    for path in ["/whep/show", "/whip/other"] {
        for (what, body) in &bad {
            let answer = scene.weir.offer(path, body);
            assert!((400..500).contains(&answer.status), "{path} {what}: {}", answer.text());
            answer.problem(answer.status);
        }
        let answer = scene.weir.offer(path, &long);
        assert_ne!(answer.status, 500, "{}", answer.text());
        let binary: Vec<u8> = (0..=255).collect();
        let headers = [("content-type", "application/sdp")];
        let answer = tests::http::send("POST", &scene.weir.at(path), &headers, &binary);
        answer.problem(400);
    }
    // The wrong way round: a viewer's offer to WHIP, a publisher's to WHEP.
    let answer = scene.weir.offer("/whip/other", &good);
    answer.problem(answer.status);
    let sending = good.replace("a=recvonly", "a=sendonly");
    let answer = scene.weir.offer("/whep/show", &sending);
    answer.problem(answer.status);
    assert_eq!(scene.weir.state("other"), "gone");
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bodies_are_refused_by_type_and_size() {
    let mut scene = Scene::new("").await;
    let good = offer(&[Codec::Vp8]).await;
    for path in ["/whep/show", "/whip/other"] {
        let url = scene.weir.at(path);
        for media in ["application/json", "text/plain", "application/sdpx", ""] {
            let answer =
                tests::http::send("POST", &url, &[("content-type", media)], good.as_bytes());
            answer.problem(415);
        }
        let huge = format!("{good}{}", "a=x:y\r\n".repeat(20_000));
        scene.weir.offer(path, &huge).problem(413);
        for name in ["sh%20ow", "sh%2Fow", &"x".repeat(129), "%00"] {
            let path = format!("{}/{name}", &path[..5]);
            scene.weir.offer(&path, &good).problem(400);
        }
    }
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_without_a_codec_of_ours_is_told_so() {
    let mut scene = Scene::new("").await;
    let good = offer(&[Codec::Vp8]).await;
    let strange = good.replace(" VP8/90000", " H266/90000").replace(" opus/48000", " speex/48000");
    let answer = scene.weir.offer("/whep/show", &strange);
    assert!([400, 406, 422].contains(&answer.status), "{}", answer.text());
    let problem = answer.problem(answer.status);
    assert!(problem["type"].as_str().is_some_and(|t| t.contains("codec")), "{problem}");
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_posts_is_told_to_wait() {
    let mut scene = Scene::new("[http]\nloopback_rate = 2\n").await;
    let mut refused = 0;
    for i in 0..200 {
        let answer = scene.weir.offer("/whep/show", "v=0");
        if answer.status == 429 {
            answer.problem(429);
            let wait = answer.header("retry-after").and_then(|s| s.parse::<u32>().ok());
            assert!(wait.is_some_and(|s| s > 0), "{:?}", answer.headers);
            refused += 1;
        } else {
            assert!([400, 422].contains(&answer.status), "request {i}: {}", answer.text());
        }
    }
    assert!(refused > 100, "only {refused} of 200 were refused");
    assert_eq!(scene.weir.get("/healthz").status, 200, "reading is not limited");
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_datagrams_are_counted_and_forgotten() {
    let mut scene = Scene::new("").await;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let mut random = Random::seeded(42);
    let before = scene.of(&NOT_TAKEN);
    let mut sent = 0;
    for first in 0..=255u8 {
        for len in [1usize, 2, 11, 12, 19, 20, 21, 28, 60, 200, 1_200] {
            let mut datagram: Vec<u8> = (0..len).map(|_| random.bits() as u8).collect();
            datagram[0] = first;
            socket.send_to(&datagram, scene.server()).expect("loopback takes it");
            sent += 1;
        }
        // Not faster than a socket buffer can take: a datagram that the kernel drops is not counted.
        std::thread::sleep(Duration::from_millis(2));
    }
    socket.send_to(&[], scene.server()).expect("loopback takes it");
    scene.counted(&NOT_TAKEN, before, sent);
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_and_forged_packets_from_a_clients_own_address_are_dropped() {
    let mut scene = Scene::new("").await;
    let wish = Wish { network: Some((Impairment::NONE, 1)), ..Wish::default() };
    let victim = Viewer::wishing(&scene.weir, "show", wish).await;
    victim.until_video("the show", |t| t.len() >= 10).await;
    let relay = victim.session.relay.as_ref().expect("asked for");
    let ssrc = sdp::ssrcs(sdp::section(&victim.session.sdp, "video").expect("video"))[0];
    let mut random = Random::seeded(7);

    let before = scene.of(&NOT_TAKEN);
    let mut sent = 0;
    // RTP and RTCP headers cut short, with absurd counts, with nonsense behind them.
    for kind in [0x80u8, 0x8f, 0x90, 0xbf] {
        for second in [96u8, 224, 200, 201, 205, 206, 207] {
            for len in [1usize, 2, 3, 4, 8, 11, 12, 16, 28, 40, 100] {
                let mut datagram = vec![kind, second, 0xff, 0xff];
                datagram.extend_from_slice(&ssrc.to_be_bytes());
                datagram.resize_with(len.max(8), || random.bits() as u8);
                datagram.truncate(len);
                relay.forge(&datagram).await;
                // Of longer RTCP only decryption knows that it is none of the client's.
                let rtcp = (200..208).contains(&second);
                sent += usize::from(!rtcp || len < 8 + 4 + 10);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    // DTLS records that lie about their length, and an alert that is not sealed: close_notify.
    for length in [0u16, 1, 0x0fff, 0xffff] {
        for content in [20u8, 21, 22, 23, 63] {
            let mut record = vec![content, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
            record.extend_from_slice(&length.to_be_bytes());
            record.extend_from_slice(&[1, 0]);
            relay.forge(&record).await;
        }
    }
    scene.counted(&NOT_TAKEN, before, sent);
    victim.more_video(30).await;
    victim.until_video("nothing missing", |t| t.missing().is_empty()).await;
    scene.untouched().await;
}

/// A check that lacks nothing but the password.
fn forged_binding(ufrag: &str, random: &mut Random) -> Vec<u8> {
    tests::stun::check((ufrag, "mine"), "not the password", true, random)
}

#[tokio::test(flavor = "multi_thread")]
async fn stun_with_a_wrong_integrity_moves_nobody() {
    let mut scene = Scene::new("").await;
    let ufrag = sdp::attributes(&scene.watcher.session.sdp, "ice-ufrag")[0].to_owned();
    let thief = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    thief.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let mut random = Random::seeded(3);
    let before = scene.of(&["not_authentic"]);
    for _ in 0..50 {
        thief.send_to(&forged_binding(&ufrag, &mut random), scene.server()).expect("loopback");
    }
    scene.counted(&["not_authentic"], before, 50);
    // Cut short anywhere it is not even that.
    let whole = forged_binding(&ufrag, &mut random);
    let before = scene.of(&NOT_TAKEN);
    for len in 1..whole.len() {
        thief.send_to(&whole[..len], scene.server()).expect("loopback");
    }
    scene.counted(&NOT_TAKEN, before, whole.len() - 1);
    let mut buffer = [0; 2_048];
    while let Ok((len, _)) = thief.recv_from(&mut buffer) {
        // A 401 may come back (RFC 8489 section 9.1.3); a success or media may not.
        assert_eq!(buffer[..2], [0x01, 0x11], "the thief got {len} bytes: {:x?}", &buffer[..len]);
    }
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_never_finish_or_go_silent_are_freed() {
    let mut scene = Scene::new("").await;
    let relayed = |weather| Wish { network: Some((weather, 9)), ..Wish::default() };

    // One whose DTLS handshake never ends, one who never sends anything, one who falls silent.
    let deaf = Impairment { no_dtls: true, ..Impairment::NONE };
    let endless = Viewer::offering(&scene.weir, "show", relayed(deaf)).await;
    let never = Viewer::offering(&scene.weir, "show", relayed(Impairment::CUT)).await;
    let silent = Viewer::wishing(&scene.weir, "show", relayed(Impairment::NONE)).await;
    silent.until_video("the show", |t| t.len() >= 10).await;
    scene.weir.until("show", |s| s["viewers"]["whep"] == 4);
    let clip = Clip::small(Codec::Vp8);
    let show = tests::publisher::Show {
        network: Some((Impairment::NONE, 9)),
        ..tests::publisher::Show::of(clip)
    };
    let lost = Publisher::showing(&scene.weir, "lost", show).await;
    scene.weir.until("lost", |s| s["state"] == "live");
    silent.session.relay.as_ref().expect("asked for").set(Impairment::CUT);
    lost.session.relay.as_ref().expect("asked for").set(Impairment::CUT);

    let start = Instant::now();
    let mut left = Vec::new();
    while start.elapsed() < Duration::from_secs(40) {
        let viewers = scene.weir.metric("weir_viewers") as u64;
        let publishers = scene.weir.metric("weir_publishers") as u64;
        left = vec![viewers, publishers];
        if left == [1, 1] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(left, [1, 1], "viewers and publishers left after {:?}", start.elapsed());
    assert_eq!(endless.session.delete().await.status, 404);
    assert_eq!(never.session.delete().await.status, 404);
    assert_eq!(silent.session.delete().await.status, 404);
    assert_ne!(scene.weir.state("lost"), "live");
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_broken_http_connections_hold_nobody_up() {
    use std::io::{Read, Write};
    let mut scene = Scene::new("").await;
    let address = scene.weir.url.trim_start_matches("http://").to_owned();
    let mut open = Vec::new();
    for text in [
        "POST /whep/show HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n",
        "POST /whep/show HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/sdp\r\ncontent-length: 100\r\n\r\nv=0",
        "GET / HT",
        "",
        "\x16\x03\x01\x02\x00\x01\x00",
    ] {
        for _ in 0..20 {
            let mut stream = std::net::TcpStream::connect(&address).expect("the server listens");
            stream.write_all(text.as_bytes()).expect("a new connection takes a few bytes");
            open.push(stream);
        }
    }
    assert_eq!(scene.weir.get("/healthz").status, 200);
    let late = Viewer::join(&scene.weir, "show").await;
    late.more_video(10).await;
    // A request that is none gets an answer or an end, not silence.
    let mut broken = std::net::TcpStream::connect(&address).expect("the server listens");
    broken.write_all(b"nonsense\r\n\r\n").expect("a new connection takes a few bytes");
    broken.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut reply = Vec::new();
    broken.read_to_end(&mut reply).expect("closed by the server");
    scene.untouched().await;
}

/// HTTP/2 of a client that is alive, answers PINGs, and asks nothing, or takes nothing of its answer.
#[tokio::test(flavor = "multi_thread")]
async fn http_2_without_a_request_or_a_reader_has_its_end() {
    let mut scene = Scene::new("").await;
    let address = scene.weir.url.trim_start_matches("http://").to_owned();
    // SETTINGS without a field, and with SETTINGS_INITIAL_WINDOW_SIZE = 0 (RFC 9113 section 6.5.2).
    let idle = frame(4, 0, 0, &[]);
    // GET / (RFC 7541 appendix A): its end of the stream and of its header fields is here.
    let fields = [&[0x82, 0x86, 0x84, 0x41, 9][..], b"localhost"].concat();
    let deaf = [frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]), frame(1, 5, 1, &fields)].concat();
    let (idle, deaf) =
        tokio::join!(frames_until_end(&address, idle), frames_until_end(&address, deaf));
    assert!(!idle.contains(&1), "nothing was asked: {idle:?}");
    assert!(deaf.contains(&1) && !deaf.contains(&0), "a head and no body: {deaf:?}");
    scene.untouched().await;
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short one").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The kinds of frames that come until the server ends the connection.
async fn frames_until_end(address: &str, hello: Vec<u8>) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the server listens");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    stream.write_all(&[&preface[..], &hello].concat()).await.expect("a new connection");
    let mut kinds = Vec::new();
    let whole = async {
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            if stream.read_exact(&mut payload).await.is_err() {
                break;
            }
            kinds.push(head[3]);
            // SETTINGS and PING want an answer.
            let answer = match (head[3], head[4] & 1) {
                (4, 0) => frame(4, 1, 0, &[]),
                (6, 0) => frame(6, 1, 0, &payload),
                _ => continue,
            };
            if stream.write_all(&answer).await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(90), whole).await.expect("the server ends it");
    kinds
}
