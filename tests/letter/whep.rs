//! What WHEP alone has: lines 27 and 29 to 31.

use tests::clip::{Clip, Codec};
use tests::events::EventStream;
use tests::http::{Answer, send};
use tests::letter::{FRAGMENT, SDP, Stage, etag, offers, retry_after, shows, watches};
use tests::publisher::Show;
use tests::viewer::LAYER;
use tests::{Publisher, Viewer, Weir};

const EVENTS: &str = "urn:ietf:params:whep:ext:core:server-sent-events";

fn post(url: &str, body: &str) -> Answer {
    send("POST", url, &[("content-type", "application/json")], body.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn whep_27_the_201_has_a_link_for_each_extension() {
    let stage = Stage::new("").await;
    let session = &stage.viewer.session;
    let links = session.answer.all("link");
    for extension in [LAYER, EVENTS] {
        let named = links.iter().filter(|l| l.contains(&format!("rel=\"{extension}\""))).count();
        assert_eq!(named, 1, "{extension}: {links:?}");
        let url = session.link(extension).expect("just seen");
        assert!(url.starts_with(&format!("{}/", session.resource)), "{url}");
        assert_eq!(send("OPTIONS", &url, &[], &[]).status, 204, "{url}");
    }
    assert_eq!(stage.publisher.session.answer.all("link"), [""; 0], "WHIP has none");
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whep_29_no_counter_offer_is_made_so_none_is_answered() {
    let stage = Stage::new("").await;
    let session = &stage.viewer.session;
    // 406 with an offer would be one; what cannot be taken gets a problem.
    for (path, offer) in offers().await {
        let strange = offer.replace("/90000", "/12345").replace("opus/48000", "speex/48000");
        let answer = stage.weir.offer(path, &strange);
        assert_ne!(answer.header("content-type"), Some(SDP));
        assert_eq!(answer.header("location"), None);
        answer.problem(422);
    }
    let fields = [("content-type", SDP), ("if-match", etag(session))];
    let answer = send("PATCH", &session.resource, &fields, session.offer.as_bytes());
    answer.problem(415);
    assert_eq!(answer.header("accept-patch"), Some(FRAGMENT));
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whep_30_without_a_publisher_viewers_wait_or_are_told_when_to_come_back() {
    let weir = Weir::configured("webrtc.wait_for_publisher = false");
    let [_, (path, offer)] = offers().await;
    let answer = weir.offer(path, &offer);
    answer.problem(409);
    retry_after(&answer);
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    weir.until("show", |s| s["state"] == "live");
    watches(&weir, "show", str::to_owned).await;
    drop(publisher);

    let patient = Weir::start();
    let viewer = Viewer::join(&patient, "show").await;
    let _publisher = Publisher::start(&patient, "show", Clip::small(Codec::Vp8)).await;
    viewer.more_video(30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whep_31_events_are_told_to_who_asks_for_them() {
    let stage = Stage::new("").await;
    let session = &stage.viewer.session;
    let url = session.link(EVENTS).expect("announced");
    for unknown in [r#"["active","scte35"]"#, r#"{"events":["active"]}"#, "["] {
        post(&url, unknown).problem(400);
    }
    let made = post(&url, r#"["active","inactive","layers","viewercount"]"#);
    assert_eq!(made.status, 201, "{}", made.text());
    let location = made.header("location").expect("a 201 has a Location");
    assert!(location.starts_with("http://"), "{location}");
    let events = EventStream::open(location);
    assert_eq!(events.next("active"), serde_json::json!({}));
    assert!(events.next("layers")["1"].is_array());
    let second = watches(&stage.weir, "show", str::to_owned).await;
    events.until("viewercount", |data| data["viewercount"] == 2);
    second.leave().await;
    stage.goes_on().await;
    stage.publisher.leave().await;
    assert_eq!(events.next("inactive"), serde_json::json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn whep_31_layers_are_chosen_by_name_or_by_size() {
    let weir = Weir::start();
    let _publisher = Publisher::showing(&weir, "show", Show::simulcast(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    let url = viewer.session.link(LAYER).expect("announced");
    // 160 x 90, 320 x 180 and 640 x 360 pixels; the video is the second m-line.
    for (body, rid) in [
        (r#"{"mediaId":"1","encodingId":"q"}"#, "q"),
        (r#"{"mediaId":"1","rid":"h"}"#, "h"),
        (r#"{"mediaId":"1"}"#, "f"),
        (r#"{"mediaId":"1","maxWidth":639}"#, "h"),
        (r#"{"maxHeight":179}"#, "q"),
        (r#"{"maxWidth":640,"maxHeight":360}"#, "f"),
        (r#"{"maxWidth":1,"maxHeight":1}"#, "q"),
        ("{}", "f"),
    ] {
        let answer = post(&url, body);
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        shows(&weir, "show", rid).await;
        viewer.more_video(10).await;
    }
    for (body, status) in [
        (r#"{"mediaId":"0","encodingId":"q"}"#, 422),
        (r#"{"mediaId":"7","maxWidth":160}"#, 422),
        (r#"{"mediaId":"","encodingId":"q"}"#, 422),
        (r#"{"mediaId":1}"#, 400),
        (r#"{"mediaId":"1","spatialLayerId":0}"#, 422),
        (r#"{"mediaId":"1","encodingId":"q","temporalLayerId":1}"#, 422),
        (r#"{"mediaId":"1","maxSpatialLayerId":1}"#, 422),
        (r#"{"mediaId":"1","maxTemporalLayerId":0,"maxWidth":160}"#, 422),
        (r#"{"mediaId":"1","maxWidth":-1}"#, 400),
        (r#"["1"]"#, 400),
    ] {
        post(&url, body).problem(status);
    }
    viewer.more_video(30).await;
    shows(&weir, "show", "f").await;
}
