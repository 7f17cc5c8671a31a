//! Publishers are lost, come back, are replaced and stand by, and viewers stay in one session.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use tests::clip::{Clip, Codec};
use tests::publisher::Show;
use tests::track::Packet;
use tests::{Impairment, Publisher, Track, Viewer, Weir};

const VP8: u8 = Codec::Vp8.payload_type();
const H264: u8 = Codec::H264.payload_type();

/// Behind a network that can be cut.
async fn on_a_wire(weir: &Weir, clip: Arc<Clip>) -> Publisher {
    let show = Show { network: Some((Impairment::NONE, 1)), ..Show::of(clip) };
    Publisher::showing(weir, "show", show).await
}

fn wire(publisher: &Publisher, impairment: Impairment) -> Instant {
    publisher.session.relay.as_ref().expect("it is on a wire").set(impairment);
    Instant::now()
}

/// Asks the API until the stream is in this state; returns when it was.
fn until(weir: &Weir, state: &str) -> Instant {
    weir.until("show", |s| s["state"] == state);
    Instant::now()
}

fn of(track: &Track, pt: u8) -> usize {
    track.packets.values().filter(|p| p.pt == pt).count()
}

/// Time never goes back, whoever sends.
fn time_goes_on(viewer: &Viewer) {
    for pair in viewer.video().in_order().windows(2) {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
        assert!(step >= 0, "time goes back by {step} at packet {}", pair[1].seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_publisher_is_noticed_within_two_seconds_and_goes_on_in_its_session() {
    let weir = Weir::start();
    let publisher = on_a_wire(&weir, Clip::small(Codec::H264)).await;
    let viewer = Viewer::join(&weir, "show").await;
    viewer.until_video("the show", |t| t.len() >= 30).await;
    for _ in 0..2 {
        let cut = wire(&publisher, Impairment::CUT);
        let took = until(&weir, "interrupted") - cut;
        assert!(took <= Duration::from_secs(2), "noticed after {took:?}");
        assert!(took >= Duration::from_secs(1), "not even lost for {took:?}");
        wire(&publisher, Impairment::NONE);
        until(&weir, "live");
        viewer.more_video(60).await;
    }
    time_goes_on(&viewer);
    publisher.leave().await;
    until(&weir, "ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_grace_the_stream_has_ended_and_its_viewers_wait_for_whoever_comes() {
    let weir = Weir::configured("[stream]\ngrace = \"2s\"\n");
    let publisher = on_a_wire(&weir, Clip::small(Codec::H264)).await;
    let viewer = Viewer::join(&weir, "show").await;
    viewer.until_video("the show", |t| t.len() >= 30).await;
    wire(&publisher, Impairment::CUT);
    let lost = until(&weir, "interrupted");
    let grace = until(&weir, "ended") - lost;
    let exact = Duration::from_millis(1800)..Duration::from_millis(2500);
    assert!(exact.contains(&grace), "a grace of {grace:?}");
    assert_eq!(weir.stream("show").expect("viewers wait")["viewers"]["whep"], 1);

    let _second = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    viewer.more_video(60).await;
    time_goes_on(&viewer);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_stream_nobody_watches_is_kept_for_its_grace_and_then_forgotten() {
    let weir = Weir::configured("[stream]\ngrace = \"1s\"\n");
    let publisher = on_a_wire(&weir, Clip::small(Codec::Vp8)).await;
    until(&weir, "live");
    wire(&publisher, Impairment::CUT);
    until(&weir, "interrupted");
    until(&weir, "ended");
    // The session itself goes after its ten seconds of silence, and the stream with it.
    weir.until("show", |s| s.is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_who_returns_with_another_session_and_codec_goes_on_for_the_same_viewers() {
    let weir = Weir::start();
    let first = on_a_wire(&weir, Clip::small(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    viewer.until_video("VP8", |t| of(t, VP8) >= 30).await;
    wire(&first, Impairment::CUT);
    until(&weir, "interrupted");
    let second = Publisher::start(&weir, "show", Clip::new(Codec::H264, 480, 270, 500)).await;
    viewer.until_video("H264", |t| of(t, H264) >= 60).await;
    let all = viewer.video().in_order();
    let changes: Vec<_> = all.windows(2).filter(|p| p[0].pt != p[1].pt).collect();
    assert_eq!(changes.len(), 1, "payload types change {} times", changes.len());
    assert_eq!((changes[0][0].pt, changes[0][1].pt), (VP8, H264));
    time_goes_on(&viewer);
    until(&weir, "live");
    assert_eq!(first.session.delete().await.status, 404, "the lost session was closed");
    assert_eq!(second.session.delete().await.status / 100, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_does_so_with_media_and_until_then_the_old_picture_goes_on() {
    let weir = Weir::start();
    let first = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    viewer.until_video("VP8", |t| of(t, VP8) >= 30).await;
    let show = Show { paused: true, ..Show::of(Clip::small(Codec::H264)) };
    let second = Publisher::showing(&weir, "show", show).await;
    viewer.more_video(60).await;
    assert_eq!(of(&viewer.video(), H264), 0);
    assert_eq!(weir.state("show"), "live");

    second.pause(false);
    viewer.until_video("H264", |t| of(t, H264) >= 60).await;
    let all = viewer.video().in_order();
    let at = all.iter().position(|p| p.pt == H264).expect("it has come");
    let gap = all[at].at.saturating_duration_since(all[at - 1].at);
    assert!(gap < Duration::from_millis(500), "no picture for {gap:?}");
    assert!(all[at..].iter().all(|p| p.pt == H264), "the old one came back");
    time_goes_on(&viewer);
    assert_eq!(first.session.delete().await.status, 404, "the first one was closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn reject_says_no_to_a_second_publisher_and_yes_once_the_first_is_lost() {
    let weir = Weir::configured("[stream]\non_conflict = \"reject\"\n");
    let first = on_a_wire(&weir, Clip::small(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    viewer.until_video("VP8", |t| of(t, VP8) >= 30).await;
    let refused = weir.offer("/whip/show", &first.session.offer);
    let problem = refused.problem(409);
    assert!(problem["type"].as_str().is_some_and(|t| t.contains("publisher-exists")), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|d| d.contains("stream.on_conflict")));
    assert!(refused.header("retry-after").is_some(), "{:?}", refused.headers);
    viewer.more_video(30).await;

    wire(&first, Impairment::CUT);
    until(&weir, "interrupted");
    let second = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    viewer.until_video("H264", |t| of(t, H264) >= 30).await;
    second.leave().await;
    let _third = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let before = of(&viewer.video(), VP8);
    viewer.until_video("VP8 again", |t| of(t, VP8) >= before + 30).await;
}

/// Packets that only the first of the two has sent; H264 is forwarded byte for byte.
fn from((publisher, other): (&Publisher, &Publisher), viewer: &Viewer) -> Vec<Packet> {
    let sent =
        |by: &Publisher| -> HashSet<Bytes> { by.sent(0).into_iter().map(|p| p.payload).collect() };
    let (own, others) = (sent(publisher), sent(other));
    let mut all = viewer.video().in_order();
    all.retain(|p| own.contains(&p.payload) && !others.contains(&p.payload));
    all
}

/// Waits until the first of the two is seen; returns its first packet after `since`.
async fn shows(pair: (&Publisher, &Publisher), viewer: &Viewer, since: Instant) -> Packet {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        viewer.more_video(5).await;
        let seen = from(pair, viewer).into_iter().find(|p| p.at > since);
        let others = from((pair.1, pair.0), viewer);
        if let Some(seen) = seen.filter(|s| others.iter().all(|o| o.seq < s.seq)) {
            return seen;
        }
        assert!(Instant::now() < end, "it never serves");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_within_500_ms_of_the_last_packet_and_gives_back() {
    let weir = Weir::configured("[stream]\non_conflict = \"standby\"\n");
    let first = on_a_wire(&weir, Clip::new(Codec::H264, 480, 270, 500)).await;
    let viewer = Viewer::join(&weir, "show").await;
    viewer.until_video("the first", |t| t.len() >= 30).await;
    let second = Publisher::start(&weir, "show", Clip::new(Codec::H264, 320, 180, 300)).await;
    weir.until("show", |s| s["standbys"] == 1);
    viewer.more_video(60).await;
    assert!(from((&second, &first), &viewer).is_empty(), "the first one has never paused");

    // Once it only pauses, once it is cut off.
    for cut in [false, true] {
        let lost = if cut {
            wire(&first, Impairment::CUT)
        } else {
            first.pause(true);
            Instant::now()
        };
        let taken = shows((&second, &first), &viewer, lost).await;
        let sent = first.sent(0).into_iter().chain(first.sang());
        let last = sent.map(|p| p.at).filter(|at| *at <= lost).max().expect("it was first");
        let took = taken.at.saturating_duration_since(last);
        println!("cut {cut}: fail-over after {took:?}");
        assert!(took <= Duration::from_millis(500), "fail-over after {took:?}");
        assert_eq!(weir.state("show"), "live");

        let back = if cut {
            wire(&first, Impairment::NONE)
        } else {
            first.pause(false);
            Instant::now()
        };
        let given = shows((&first, &second), &viewer, back).await;
        let took = given.at.saturating_duration_since(back);
        println!("cut {cut}: given back after {took:?}");
        assert!(took >= Duration::from_millis(900), "given back after {took:?} already");
        assert!(took <= Duration::from_secs(3), "given back after {took:?}");
    }
    time_goes_on(&viewer);
    // A goodbye is no reason to wait for the pause that follows it.
    assert_eq!(first.session.delete().await.status / 100, 2);
    let left = Instant::now();
    shows((&second, &first), &viewer, left).await;
    until(&weir, "live");
}
