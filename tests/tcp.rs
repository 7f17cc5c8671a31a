//! Media over TCP on the port of HTTP (RFC 6544, RFC 4571), where UDP does not come through: by a client of others, and
//! by raw connections that say what nobody should.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tests::clip::{Clip, Codec};
use tests::compare::follow;
use tests::peer::{By, PATIENCE};
use tests::publisher::Show;
use tests::viewer::Wish;
use tests::{Publisher, Track, Viewer, Weir, sdp};

fn by(by: By) -> Wish {
    Wish { by, ..Wish::default() }
}

async fn show() -> (Weir, Publisher) {
    let weir = Weir::start();
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    (weir, publisher)
}

/// Waits until it is so.
#[track_caller]
fn until(what: &str, mut now: impl FnMut() -> f64, good: impl Fn(f64) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !good(now()) {
        assert!(Instant::now() < end, "{what}: {}", now());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wires(weir: &Weir, good: impl Fn(f64) -> bool) {
    until("connections", || weir.metric("weir_wires"), good);
}

fn dropped(weir: &Weir, reason: &str) -> f64 {
    let (name, label) = ("weir_dropped_total", format!("reason=\"{reason}\""));
    let all = tests::weir::samples(&weir.get("/metrics").text());
    all.into_iter().filter(|(n, l, _)| n == name && l.contains(&label)).map(|(.., v)| v).sum()
}

fn whole(publisher: &Publisher, got: &Track) {
    assert_eq!(got.missing(), Vec::<u64>::new(), "TCP loses nothing");
    follow(Some(Codec::H264), &publisher.sent(0), &got.in_order());
}

/// Clients that take the first candidate, whatever it is, have one by UDP.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_names_tcp_behind_udp() {
    let (weir, _publisher) = show().await;
    let viewer = Viewer::join(&weir, "show").await;
    let lines = sdp::attributes(&viewer.session.sdp, "candidate");
    let by_tcp: Vec<bool> = lines.iter().map(|line| line.contains(" tcp ")).collect();
    assert!(by_tcp.contains(&true) && !by_tcp[0], "{lines:?}");
    for line in lines.iter().filter(|line| line.contains(" tcp ")) {
        let port = weir.at("").rsplit(':').next().map(str::to_owned).unwrap_or_default();
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((words[5], &words[6..]), (&*port, &["typ", "host", "tcptype", "passive"][..]));
        // RFC 6544 section 4.2: below every candidate by UDP.
        let udp: u64 = lines[0].split(' ').nth(3).and_then(|n| n.parse().ok()).expect("a number");
        assert!(words[3].parse::<u64>().expect("a number") < udp, "{lines:?}");
    }
    let off = Weir::configured("[webrtc]\ntcp = false\n");
    let _publisher = Publisher::start(&off, "show", Clip::small(Codec::H264)).await;
    let viewer = Viewer::join(&off, "show").await;
    assert!(sdp::candidates_by(&viewer.session.sdp, "tcp").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_udp_plays_by_its_own_tcp_candidates() {
    let (weir, publisher) = show().await;
    let viewer = Viewer::wishing(&weir, "show", by(By::Tcp)).await;
    viewer.until_video("the show by TCP", |t| t.len() >= 60).await;
    whole(&publisher, &viewer.video());
    wires(&weir, |count| count >= 1.0);
    let id = &viewer.session.resource.rsplit('/').next().expect("a URL")[..8];
    let status = weir.get(&format!("/api/v1/sessions/{id}/status")).json();
    assert_eq!(status["transport"]["protocol"], "tcp", "{status:#}");
    viewer.session.delete().await;
    wires(&weir, |count| count == 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_carry_what_datagrams_would_and_a_cut_connection_is_made_anew() {
    let (weir, publisher) = show().await;
    let mut viewer = Viewer::wishing(&weir, "show", by(By::Wire)).await;
    viewer.until_video("the show by TCP", |t| t.len() >= 60).await;
    whole(&publisher, &viewer.video());
    let wire = viewer.session.wire.take().expect("it was asked for");
    assert_eq!(wire.made(), 1);
    let before = viewer.video().len();
    wire.cut();
    viewer.until_video("more by another connection", |t| t.len() >= before + 60).await;
    // One that begins with something else than a check is not taken.
    assert!(wire.made() >= 2);
    wires(&weir, |count| count == 1.0);
}

/// Both ways by TCP, and the publisher's connection is made anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_without_udp_publishes_by_tcp() {
    for way in [By::Tcp, By::Wire] {
        let weir = Weir::start();
        let show = Show { by: way, ..Show::of(Clip::small(Codec::H264)) };
        let mut publisher = Publisher::showing(&weir, "show", show).await;
        let viewer = Viewer::wishing(&weir, "show", by(By::Wire)).await;
        viewer.until_video("the show by TCP", |t| t.len() >= 60).await;
        whole(&publisher, &viewer.video());
        if let Some(wire) = publisher.session.wire.take() {
            wire.cut();
            let before = viewer.video().len();
            viewer.until_video("more by another connection", |t| t.len() >= before + 60).await;
            assert!(wire.made() >= 2);
        }
    }
}

/// How often something was left out: whole pictures, up to a keyframe.
#[track_caller]
fn jumps(publisher: &Publisher, got: &Track) -> usize {
    let (sent, got) = (publisher.sent(0), got.in_order());
    let run = |from: usize, at: usize| {
        let pairs = sent[at..].iter().zip(&got[from..]);
        pairs.take_while(|(s, p)| s.payload == p.payload).count()
    };
    let (mut done, mut next, mut stretches) = (0, 0, 0);
    while done < got.len() {
        // Clips begin anew with each keyframe: of those that begin alike it is the one that goes on as this does.
        let may_begin = |at: &usize| done == 0 || sent[*at].key;
        let all = (next..sent.len()).filter(may_begin).map(|at| (run(done, at), at));
        let (length, at) = all.rev().max_by_key(|(length, _)| *length).unwrap_or_default();
        assert!(length > 0, "packet {done} goes on from nothing that was sent, and is no keyframe");
        assert!(done == 0 || got[done - 1].marker, "packet {done} cuts a picture in two");
        (done, next, stretches) = (done + length, at + length, stretches + 1);
    }
    stretches - 1
}

/// What a slow reader misses it misses as pictures, from the moment on that it is behind to the next keyframe.
#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_does_not_read_misses_pictures_and_goes_on_with_a_keyframe() {
    let (weir, publisher) = show().await;
    let fast = Viewer::join(&weir, "show").await;
    let mut slow = Viewer::wishing(&weir, "show", by(By::Wire)).await;
    slow.until_video("the show by TCP", |t| t.len() >= 30).await;
    let wire = slow.session.wire.take().expect("it was asked for");
    wire.sleep(true);
    until("pictures are left out", || dropped(&weir, "wire_full"), |count| count >= 20.0);
    let asleep = slow.video();
    wire.sleep(false);
    // Numbers go on without a gap. What was on its way comes first and at once, and between this wire and webrtc-rs,
    // where it is UDP again, some of that may be lost and repaired.
    let jumped = |t: &Track| t.missing().is_empty() && jumps(&publisher, t) > 0;
    slow.until_video("pictures left out, and nothing missing", jumped).await;
    assert!(slow.video().len() > asleep.len());
    assert!(fast.video().missing().is_empty(), "nobody else has noticed");
    assert_eq!(dropped(&weir, "send_blocked"), 0.0);
}

/// One connection that says `bytes`; what comes back until the server ends it.
fn say(to: SocketAddr, bytes: &[u8], end: bool) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    if end {
        stream.shutdown(std::net::Shutdown::Write)?;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// A check (RFC 8489) in a frame, for this user name, without integrity.
fn check(name: &str) -> Vec<u8> {
    let padded = name.len().next_multiple_of(4);
    let mut stun = vec![0, 1, 0, (4 + padded) as u8, 0x21, 0x12, 0xa4, 0x42];
    stun.extend([7; 12]);
    stun.extend([0, 6, 0, name.len() as u8]);
    stun.extend(name.bytes().chain(std::iter::repeat_n(0, padded - name.len())));
    tests::wire::frame(&stun)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_frames_of_a_session_end_their_connection_and_nothing_else() {
    let (weir, publisher) = show().await;
    let watcher = Viewer::wishing(&weir, "show", by(By::Wire)).await;
    let to = *sdp::candidates_by(&watcher.session.sdp, "tcp").first().expect("it is told");
    let files = weir.files();
    let ufrag = sdp::attributes(&watcher.session.sdp, "ice-ufrag")[0].to_owned();
    let forged = check(&format!("{ufrag}:they"));
    let rows: [(&str, Vec<u8>, bool, &str); 7] = [
        ("half a frame", check("nobody:they")[..9].to_vec(), true, "wire_malformed"),
        ("half a length", vec![0], true, "wire_malformed"),
        ("an empty frame", vec![0, 0], false, "wire_malformed"),
        ("no check", tests::wire::frame(&[0x80, 0x60, 1, 2]), false, "wire_malformed"),
        ("too long", vec![5, 0xff].into_iter().chain([0; 4096]).collect(), false, "wire_malformed"),
        ("for nobody", check("nobody:they"), false, "wire_unknown"),
        ("65,535", [&forged[..], &[0xff, 0xff, 1]].concat(), false, "malformed"),
    ];
    for (what, bytes, end, reason) in rows {
        let before = dropped(&weir, reason);
        let answer = tokio::task::spawn_blocking(move || say(to, &bytes, end)).await.expect("runs");
        // A reset is an end, too.
        assert!(answer.as_ref().map_or(true, Vec::is_empty), "{what}: {answer:?}");
        until(reason, || dropped(&weir, reason), |count| count > before);
    }
    // 0xff begins nothing that is spoken here.
    let other = tokio::task::spawn_blocking(move || say(to, &[0xff, 0xff, 0, 0], true)).await;
    let other = other.expect("runs").unwrap_or_default();
    assert!(!other.starts_with(&[0xff]), "{other:?}");
    let before = watcher.video().len();
    watcher.until_video("the show goes on", |t| t.len() >= before + 30).await;
    whole(&publisher, &watcher.video());
    let end = Instant::now() + PATIENCE;
    while weir.files() > files {
        assert!(Instant::now() < end, "{} files are open, {files} were", weir.files());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
