//! Viewers who come before the publisher wait in their session, whatever codec it then brings, and
//! stay in it when another publisher brings another one.

use tests::clip::{Clip, Codec};
use tests::compare::follow;
use tests::peer::MID;
use tests::{Publisher, Track, Viewer, Weir, sdp};

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_waited_gets_the_stream_and_then_another_codec() {
    let weir = Weir::start();
    let viewer = Viewer::join(&weir, "show").await;
    let idle = weir.until("show", |s| s["viewers"]["whep"] == 1);
    assert_eq!(idle["state"], "idle");
    assert!(idle["publisher"].is_null(), "{idle}");
    assert!(viewer.video().is_empty());

    let first = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let vp8 = Codec::Vp8.payload_type();
    viewer.until_video("2 s of VP8", |t| of(t, vp8) >= 60 && t.missing().is_empty()).await;
    follow(Some(Codec::Vp8), &first.sent(0), &viewer.video().in_order());
    assert_eq!(weir.state("show"), "live");
    first.leave().await;

    let second = Publisher::start(&weir, "show", Clip::new(Codec::H264, 480, 270, 500)).await;
    let h264 = Codec::H264.payload_type();
    viewer.until_video("2 s of H264", |t| of(t, h264) >= 60 && t.missing().is_empty()).await;
    seamless_change(&viewer.video(), vp8, h264);
    let got: Vec<_> = viewer.video().in_order().into_iter().filter(|p| p.pt == h264).collect();
    let sent = second.sent(0);
    let start = follow(Some(Codec::H264), &sent, &got);
    assert!(sent[start].key, "H264 starts with no keyframe");
    assert!(start == 0 || sent[start - 1].marker, "the keyframe lacks its first packet");
    weir.until("show", |s| {
        s["state"] == "live" && s["tracks"].to_string().contains(r#""codec":"h264""#)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_publisher_takes_over_without_a_new_session() {
    let weir = Weir::start();
    let first = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    let (vp8, vp9) = (Codec::Vp8.payload_type(), Codec::Vp9.payload_type());
    viewer.until_video("VP8", |t| of(t, vp8) >= 30).await;
    let second = Publisher::start(&weir, "show", Clip::small(Codec::Vp9)).await;
    viewer.until_video("VP9", |t| of(t, vp9) >= 60 && t.missing().is_empty()).await;
    seamless_change(&viewer.video(), vp8, vp9);
    let gone = first.session.delete().await;
    assert_eq!(gone.status, 404, "the first publisher's session has ended: {}", gone.text());
    assert!(second.keyframe_requests(0) < 20, "a storm of keyframe requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_who_is_lost_comes_back_to_the_same_viewers() {
    let weir = Weir::start();
    let viewer = Viewer::join(&weir, "show").await;
    let first = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    viewer.until_video("the first time", |t| t.len() >= 30).await;
    first.leave().await;
    let before = viewer.video().len();
    let _second = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    viewer.until_video("again", |t| t.len() >= before + 60 && t.missing().is_empty()).await;
    let all = viewer.video().in_order();
    for pair in all.windows(2) {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
        assert!(step >= 0, "time goes back by {step} at packet {}", pair[1].seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_a_codec_of_the_publisher_is_told_so() {
    let weir = Weir::without_worker();
    let wish = tests::viewer::Wish { codecs: vec![Codec::Vp8], ..Default::default() };
    let viewer = Viewer::wishing(&weir, "show", wish).await;
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    viewer.until_audio("sound goes on", |t| t.len() >= 50).await;
    assert!(viewer.video().is_empty());
    weir.until("show", |s| s["state"] == "live");
    let viewers = weir.get("/api/v1/streams/show/viewers").json();
    let problem = viewers[0]["problem"].as_str().unwrap_or_default().to_lowercase();
    assert!(problem.contains("h264"), "{viewers:#}");
    drop(publisher);
}

#[test]
fn a_server_that_does_not_hold_viewers_says_when_to_try_again() {
    let weir = Weir::configured("[webrtc]\nwait_for_publisher = false\n");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let offer = runtime
        .block_on(async { Viewer::silent(&tests::viewer::Wish::default()).await.offer().await });
    assert!(sdp::section(&offer, "video").is_some_and(|v| v.contains(MID)));
    let answer = weir.offer("/whep/show", &offer);
    answer.problem(409);
    let seconds = answer.header("retry-after").and_then(|s| s.parse::<u32>().ok());
    assert!(seconds.is_some_and(|s| s > 0), "{:?}", answer.headers);
}

fn of(track: &Track, pt: u8) -> usize {
    track.packets.values().filter(|p| p.pt == pt).count()
}

/// One change of payload type, at a picture's end, with time and sequence going on.
fn seamless_change(track: &Track, from: u8, to: u8) {
    let all = track.in_order();
    let changes: Vec<_> = all.windows(2).filter(|p| p[0].pt != p[1].pt).collect();
    assert_eq!(changes.len(), 1, "payload types change {} times", changes.len());
    let (last, first) = (&changes[0][0], &changes[0][1]);
    assert_eq!((last.pt, first.pt), (from, to));
    assert!(first.timestamp.wrapping_sub(last.timestamp) as i32 > 0, "time goes back");
}
