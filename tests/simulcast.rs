//! Three encodings in, one out to each viewer, and no decoder notices a switch.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::clip::Codec;
use tests::compare::{Stretch, seamless, stretches};
use tests::publisher::{Sent, Show};
use tests::{Publisher, Viewer, Weir, sdp};

const RIDS: [&str; 3] = ["q", "h", "f"];

/// The stretches of what a viewer has got, once nothing is missing.
async fn seen(codec: Codec, publisher: &Publisher, viewer: &Viewer) -> Vec<Stretch> {
    viewer.until_video("nothing missing", |t| !t.is_empty() && t.missing().is_empty()).await;
    let got = viewer.video().in_order();
    stretches(codec, &sent(publisher), &got)
}

fn sent(publisher: &Publisher) -> Vec<Vec<Sent>> {
    (0..RIDS.len()).map(|i| publisher.sent(i)).collect()
}

/// Waits until the viewer's last stretch is this encoding, some pictures long.
async fn shows(codec: Codec, publisher: &Publisher, viewer: &Viewer, encoding: usize) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        viewer.more_video(3).await;
        let got = seen(codec, publisher, viewer).await;
        let last = got.last().expect("something came");
        if last.encoding == encoding && last.packets.iter().filter(|p| p.marker).count() >= 15 {
            return;
        }
        assert!(Instant::now() < end, "still {} and not {}", RIDS[last.encoding], RIDS[encoding]);
    }
}

async fn chooses_each(codec: Codec) {
    let weir = Weir::start();
    let publisher = Publisher::showing(&weir, "show", Show::simulcast(codec)).await;
    let video = sdp::section(&publisher.session.sdp, "video").expect("video was offered");
    assert_eq!(sdp::attributes(video, "rid"), ["q recv", "h recv", "f recv"]);
    assert_eq!(sdp::attributes(video, "simulcast"), ["recv q;h;f"]);
    let best_first = |s: &Value| {
        let encodings = s["tracks"][0]["encodings"].as_array();
        encodings.into_iter().flatten().map(|e| e["id"].clone()).eq(["f", "h", "q"])
    };
    weir.until("show", best_first);

    let viewer = Viewer::join(&weir, "show").await;
    shows(codec, &publisher, &viewer, 2).await;
    for encoding in [0, 1, 2, 1, 0] {
        let answer = viewer.choose(Some(RIDS[encoding])).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        shows(codec, &publisher, &viewer, encoding).await;
        let viewers = weir.get("/api/v1/streams/show/viewers").json();
        assert_eq!(viewers[0]["wanted_layer"], RIDS[encoding]);
        assert_eq!(viewers[0]["layer"], RIDS[encoding]);
    }
    let answer = viewer.choose(None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    shows(codec, &publisher, &viewer, 2).await;

    seamless(codec, &seen(codec, &publisher, &viewer).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn vp8_viewers_choose_each_layer_and_nothing_breaks() {
    chooses_each(Codec::Vp8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vp9_viewers_choose_each_layer_and_nothing_breaks() {
    chooses_each(Codec::Vp9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_viewers_choose_each_layer_and_nothing_breaks() {
    chooses_each(Codec::H264).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn av1_viewers_choose_each_layer_and_nothing_breaks() {
    chooses_each(Codec::Av1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_do_not_share_their_choice() {
    let weir = Weir::start();
    let codec = Codec::Vp8;
    let publisher = Publisher::showing(&weir, "show", Show::simulcast(codec)).await;
    let viewers = [
        Viewer::join(&weir, "show").await,
        Viewer::join(&weir, "show").await,
        Viewer::join(&weir, "show").await,
    ];
    for (encoding, viewer) in viewers.iter().enumerate() {
        assert_eq!(viewer.choose(Some(RIDS[encoding])).await.status, 200);
    }
    for (encoding, viewer) in viewers.iter().enumerate() {
        shows(codec, &publisher, viewer, encoding).await;
    }
    for viewer in &viewers {
        seamless(codec, &seen(codec, &publisher, viewer).await);
    }
    // One request per encoding and half second, whatever the viewers want.
    let asked: usize = (0..3).map(|i| publisher.keyframe_requests(i)).sum();
    assert!(asked < 30, "{asked} keyframe requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoding_that_falls_silent_moves_its_viewers_within_a_second_and_back() {
    let weir = Weir::start();
    let codec = Codec::Vp8;
    let publisher = Publisher::showing(&weir, "show", Show::simulcast(codec)).await;
    let viewer = Viewer::join(&weir, "show").await;
    shows(codec, &publisher, &viewer, 2).await;

    for (falls, next) in [(2, 1), (1, 0)] {
        publisher.silence(falls, true);
        let silent = Instant::now();
        shows(codec, &publisher, &viewer, next).await;
        let got = seen(codec, &publisher, &viewer).await;
        let moved = got.last().expect("something came").packets[0].at;
        let took = moved.saturating_duration_since(silent);
        assert!(took < Duration::from_secs(1), "moved to {} after {took:?}", RIDS[next]);
        weir.until("show", |s| {
            let encodings = s["tracks"][0]["encodings"].as_array();
            encodings.into_iter().flatten().any(|e| e["id"] == RIDS[falls] && e["active"] == false)
        });
    }
    publisher.silence(2, false);
    shows(codec, &publisher, &viewer, 2).await;
    seamless(codec, &seen(codec, &publisher, &viewer).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_does_not_exist_is_refused_and_changes_nothing() {
    let weir = Weir::start();
    let codec = Codec::Vp8;
    let publisher = Publisher::showing(&weir, "show", Show::simulcast(codec)).await;
    let viewer = Viewer::join(&weir, "show").await;
    shows(codec, &publisher, &viewer, 2).await;
    let answer = viewer.choose(Some("no/such/layer")).await;
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    answer.problem(answer.status);
    viewer.more_video(30).await;
    assert_eq!(seen(codec, &publisher, &viewer).await.len(), 1);
}
