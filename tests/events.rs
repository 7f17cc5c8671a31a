//! WHEP's server-sent events: a viewer is told what becomes of its stream, hears it once, and loses
//! its event stream with its session.

use std::time::{Duration, Instant};

use tests::clip::{Clip, Codec};
use tests::events::EventStream;
use tests::http::{self, Answer};
use tests::publisher::Show;
use tests::viewer::Wish;
use tests::{Publisher, Viewer, Weir};

const EVENTS: &str = "urn:ietf:params:whep:ext:core:server-sent-events";

fn url(viewer: &Viewer) -> String {
    viewer.session.link(EVENTS).expect("the 201 links the events extension")
}

fn post(url: &str, body: &str) -> Answer {
    http::send("POST", url, &[("content-type", "application/json")], body.as_bytes())
}

/// Wants all events, and listens.
fn listen(viewer: &Viewer) -> EventStream {
    let made = post(&url(viewer), r#"["active","inactive","layers","reconnect","viewercount"]"#);
    assert_eq!(made.status, 201, "{}", made.text());
    EventStream::open(made.header("location").expect("where the event stream is"))
}

fn empty(data: &serde_json::Value) -> bool {
    *data == serde_json::json!({})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_hears_of_publishers_and_other_viewers() {
    let weir = Weir::start();
    let viewer = Viewer::join(&weir, "show").await;
    let link = viewer.session.answer.all("link").join(", ");
    assert!(link.contains("events=\"active,inactive,layers,reconnect,viewercount\""), "{link}");
    let events = listen(&viewer);
    assert!(events.head.contains("\r\ncontent-type: text/event-stream\r\n"), "{}", events.head);
    assert!(events.head.contains("\r\naccess-control-allow-origin: *\r\n"), "{}", events.head);
    assert!(events.head.contains("\r\ncache-control: no-store\r\n"), "{}", events.head);
    assert_eq!(events.next("viewercount")["viewercount"], 1);

    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    assert!(empty(&events.next("active")));
    // The offer's first m-line is the audio.
    let layers = events.until("layers", |data| data["1"][0]["bitrate"].as_u64() > Some(20_000));
    let layer = &layers["1"][0];
    assert_eq!((&layer["width"], &layer["height"]), (&320.into(), &180.into()), "{layers}");
    assert_eq!(layer["active"], true);

    let second = Viewer::join(&weir, "show").await;
    assert_eq!(events.next("viewercount")["viewercount"], 2);
    let late = listen(&second);
    assert!(empty(&late.next("active")));
    assert_eq!(late.next("layers")["1"][0]["rid"], layer["rid"]);
    assert_eq!(late.next("viewercount")["viewercount"], 2);
    assert_eq!(weir.metric("weir_event_streams"), 2.0);

    publisher.leave().await;
    assert!(empty(&events.next("inactive")));
    assert_eq!(events.next("layers")["1"], serde_json::json!([]));
    assert!(empty(&late.next("inactive")));
    second.leave().await;
    let rest = late.rest();
    assert!(!rest.contains(&"reconnect".to_owned()), "it left by itself: {rest:?}");
    assert_eq!(events.next("viewercount")["viewercount"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_are_those_of_the_publisher_and_can_be_chosen() {
    let weir = Weir::start();
    let viewer = Viewer::join(&weir, "show").await;
    let events = listen(&viewer);
    let publisher = Publisher::showing(&weir, "show", Show::simulcast(Codec::Vp8)).await;
    let rids = |data: &serde_json::Value| -> Vec<String> {
        let all = data["1"].as_array().cloned().unwrap_or_default();
        all.iter().map(|l| l["rid"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let measured = |data: &serde_json::Value| {
        let all = data["1"].as_array().cloned().unwrap_or_default();
        all.len() == 3 && all.iter().all(|l| l["bitrate"].is_u64() && l["width"].is_u64())
    };
    let layers = events.until("layers", measured);
    assert_eq!(rids(&layers), ["f", "h", "q"], "best first");
    assert_eq!(layers["1"][2]["width"], 160);

    // The name in the event is the one to choose by.
    let layer = viewer.session.link(tests::viewer::LAYER).expect("the 201 links the layers");
    assert_eq!(post(&layer, r#"{"mediaId":"1","rid":"q"}"#).status, 200);
    let end = Instant::now() + Duration::from_secs(10);
    while weir.get("/api/v1/streams/show/viewers").json()[0]["layer"] != "q" {
        assert!(Instant::now() < end, "{}", weir.get("/api/v1/streams/show/viewers").text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    publisher.silence(2, true);
    let paused = events.until("layers", |data| data["1"][0]["active"] == false);
    assert!(paused["1"][0]["bitrate"].is_null(), "{paused}");
    publisher.silence(2, false);
    events.until("layers", |data| data["1"][0]["active"] == true);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lacks_the_codec_is_asked_to_come_again() {
    let weir = Weir::without_worker();
    let vp8 = || Wish { codecs: vec![Codec::Vp8], ..Wish::default() };
    let viewer = Viewer::wishing(&weir, "show", vp8()).await;
    let events = listen(&viewer);
    let first = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    events.next("active");
    viewer.more_video(10).await;
    let second = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    assert_eq!(events.next("reconnect")["reason"], "codec");
    drop(events);
    // Who was not there when it happened is told as well.
    assert_eq!(EventStream::open(&url(&viewer)).next("reconnect")["reason"], "codec");
    viewer.leave().await;

    let again = Viewer::join(&weir, "show").await;
    let events = listen(&again);
    again.more_video(10).await;
    second.leave().await;
    events.next("inactive");
    again.leave().await;
    assert!(!events.rest().contains(&"reconnect".to_owned()));
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_change_nothing() {
    let weir = Weir::start();
    let viewer = Viewer::join(&weir, "show").await;
    let events = EventStream::open(&url(&viewer));
    assert_eq!(events.next("viewercount")["viewercount"], 1, "without a POST: all events");
    for body in [r#"["active","scte35"]"#, r#"{"events":["active"]}"#, "active", "[[]]", "["] {
        post(&url(&viewer), body).problem(400);
    }
    let long = format!("[{}]", vec!["\"active\""; 10_000].join(","));
    assert!((400..500).contains(&post(&url(&viewer), &long).status));
    let text = [("content-type", "text/plain")];
    http::send("POST", &url(&viewer), &text, b"[\"active\"]").problem(415);
    http::send("PATCH", &url(&viewer), &[], b"").problem(405);
    let elsewhere = url(&viewer).replace("/show/", "/other/");
    post(&elsewhere, "[]").problem(404);
    let unknown = weir.at("/whep/show/00000000000000000000000000000000/events");
    http::send("GET", &unknown, &[], &[]).problem(404);
    // The stream that was open has heard of none of that.
    let second = Viewer::join(&weir, "show").await;
    assert_eq!(events.next("viewercount")["viewercount"], 2);
    second.leave().await;

    assert_eq!(http::send("DELETE", &url(&viewer), &[], &[]).status, 200);
    events.rest();
    http::send("GET", &url(&viewer), &[], &[]).problem(404);
    let only = post(&url(&viewer), r#"["inactive"]"#);
    let silent = EventStream::open(only.header("location").expect("the new stream"));
    silent.comment();
    viewer.leave().await;
    assert_eq!(silent.rest(), [] as [String; 0], "it wanted only what did not happen");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_ends_with_its_session_and_with_the_server() {
    let weir = Weir::start();
    let silent = Viewer::join(&weir, "show").await;
    let stays = Viewer::join(&weir, "show").await;
    let (lost, stopped) = (listen(&silent), listen(&stays));
    let gone = url(&silent);
    // Nothing is heard of it any more: no goodbye, no checks.
    silent.peer.connection.close().await.expect("a connection can be closed");
    lost.rest();
    http::send("GET", &gone, &[], &[]).problem(404);
    stopped.until("viewercount", |data| data["viewercount"] == 1);
    let status = weir.terminate(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    assert_eq!(stopped.next("reconnect")["reason"], "stopping");
    assert_eq!(stopped.rest(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_outlives_the_time_limits_of_requests() {
    let weir = Weir::start();
    let viewer = Viewer::join(&weir, "show").await;
    let events = listen(&viewer);
    events.comment();
    assert_eq!(events.next("viewercount")["viewercount"], 1);
    // 15 s apart: beyond the 10 s of a request and the 30 s of a connection without one.
    events.comment();
    events.comment();
    let second = Viewer::join(&weir, "show").await;
    assert_eq!(events.next("viewercount")["viewercount"], 2);
    second.leave().await;
}

/// So many listen, and nothing happens.
const IDLE: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn idle_event_streams_cost_little() {
    let weir = Weir::start();
    let offer = Viewer::silent(&Wish::default()).await.offer().await;
    let sessions: Vec<String> = (0..IDLE)
        .map(|_| {
            let answer = weir.offer("/whep/show", &offer);
            assert_eq!(answer.status, 201, "{}", answer.text());
            format!("{}/events", answer.header("location").expect("a session"))
        })
        .collect();
    let (memory, files) = (weir.memory(), weir.files());
    let open: Vec<EventStream> = sessions.iter().map(|url| EventStream::open(url)).collect();
    open.iter().for_each(EventStream::comment);
    for events in &open {
        events.until("viewercount", |data| data["viewercount"] == IDLE);
    }
    assert_eq!(weir.metric("weir_event_streams"), IDLE as f64);
    let each = weir.memory().saturating_sub(memory) / IDLE as u64;
    let before = weir.cpu_time();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let busy = weir.cpu_time() - before;
    eprintln!("{IDLE} idle event streams: {each} bytes each, {busy:?} of CPU time in 3 s");
    assert!(each < 100_000, "{each} bytes each");
    assert!(busy < Duration::from_millis(300), "{busy:?} in 3 s");

    drop(open);
    let end = Instant::now() + Duration::from_secs(10);
    while weir.metric("weir_event_streams") > 0.0 || weir.files() > files + 5 {
        assert!(Instant::now() < end, "{} files, {files} before", weir.files());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
