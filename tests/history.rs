//! What an operator sees of a stream while it runs: its last minutes, and what is wrong with it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::clip::{Clip, Codec};
use tests::publisher::Show;
use tests::viewer::Wish;
use tests::{Publisher, Viewer, Weir};

const HISTORY: &str = "/api/v1/streams/show/history";

/// Asks until the samples satisfy `good`.
#[track_caller]
fn until(weir: &Weir, what: &str, good: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let history = weir.get(HISTORY).json();
        assert_eq!(history["interval_ms"], 2000, "{history}");
        let samples = history["samples"].as_array().cloned().expect("a list");
        if good(&samples) {
            return samples;
        }
        assert!(Instant::now() < end, "never {what}: {samples:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The newest sample satisfies `good`.
fn newest(good: impl Fn(&Value) -> bool) -> impl Fn(&[Value]) -> bool {
    move |samples| samples.last().is_some_and(&good)
}

fn number(sample: &Value, name: &str) -> f64 {
    let number = sample[name].as_f64();
    assert!(number.is_some(), "no number {name}: {sample}");
    number.unwrap_or_default()
}

fn warning(stream: &Value, code: &str) -> Option<String> {
    let all = stream["warnings"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|w| w["code"] == code);
    found.and_then(|w| w["text"].as_str()).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_minutes_are_what_was_sent_and_watched() {
    let weir = Weir::start();
    weir.get(HISTORY).problem(404);
    let publisher = Publisher::showing(&weir, "show", Show::simulcast(Codec::Vp8)).await;
    let wish = Wish { transport_cc: false, ..Wish::default() };
    let viewer = Viewer::wishing(&weir, "show", wish).await;
    viewer.more_video(10).await;

    let watched = |s: &Value| {
        s["layers"] == json!({ "f": 1 })
            && s["viewers_loss"].is_number()
            && s["viewers_rtt_ms"].is_number()
            && number(s, "publisher_bitrate_bps") > 100_000.0
    };
    let samples = until(&weir, "three samples of a viewer", |samples| {
        samples.iter().rev().take_while(|s| watched(s)).count() >= 3
    });
    let times: Vec<&str> = samples.iter().filter_map(|s| s["at"].as_str()).collect();
    assert!(times.len() == samples.len() && times.is_sorted(), "oldest first: {times:?}");
    assert!(times.iter().all(|t| t.len() == 24 && t.ends_with('Z')), "RFC 3339: {times:?}");
    let last = samples.last().expect("three of them");
    assert_eq!((&last["viewers"], &last["publisher_lost"]), (&json!(1), &json!(0)), "{last}");
    assert_eq!(last["viewers_loss"], 0.0, "{last}");
    // Three encodings come in, one of them goes out.
    let (came, went) = (number(last, "publisher_bitrate_bps"), number(last, "viewers_bitrate_bps"));
    assert!(went > came * 0.3 && went < came * 0.98, "{came} in, {went} out");

    publisher.silence(2, true);
    let stream = weir.until("show", |s| warning(s, "encoding_silent").is_some());
    let text = warning(&stream, "encoding_silent").unwrap_or_default();
    assert!(text.contains("f (640x360)"), "{text}");
    until(&weir, "moved to h", newest(|s| s["layers"] == json!({ "h": 1 })));
    publisher.silence(2, false);
    weir.until("show", |s| warning(s, "encoding_silent").is_none());
    // The clip has a keyframe every eight seconds, and nobody has had to ask for one.
    let stream = weir.until("show", |s| warning(s, "keyframe_interval").is_some());
    let text = warning(&stream, "keyframe_interval").unwrap_or_default();
    assert!(text.contains("seconds apart") && text.contains("-g 60"), "{text}");

    viewer.leave().await;
    let alone = until(&weir, "alone", newest(|s| s["viewers"] == 0 && s["layers"] == json!({})));
    assert!(
        alone.len() > samples.len() && alone[..samples.len()] == samples,
        "nothing is rewritten"
    );
    assert_eq!(alone.last().expect("some")["viewers_loss"], Value::Null);
    publisher.leave().await;
    let end = Instant::now() + Duration::from_secs(20);
    while weir.get(HISTORY).status != 404 {
        assert!(Instant::now() < end, "{:?}", weir.stream("show"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_and_forgotten_when_it_is_right() {
    let weir = Weir::without_worker();
    let only = |codec| Wish { codecs: vec![codec], ..Wish::default() };
    let strange = Viewer::wishing(&weir, "show", only(Codec::Vp8)).await;
    let _good = Viewer::wishing(&weir, "show", only(Codec::H264)).await;
    weir.until("show", |s| s["viewers"]["whep"] == 2 && s["warnings"] == json!([]));
    let samples = until(&weir, "two who wait", newest(|s| s["viewers"] == 2));
    assert_eq!(samples.last().expect("some")["publisher_bitrate_bps"], 0);

    let mut publisher = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    let stream = weir.until("show", |s| warning(s, "no_common_codec").is_some());
    let text = warning(&stream, "no_common_codec").unwrap_or_default();
    assert!(text.starts_with("1 of 2 viewers cannot show H264"), "{text}");
    strange.leave().await;
    weir.until("show", |s| s["state"] == "live" && warning(s, "no_common_codec").is_none());

    // It stays connected, and says so, but sends nothing.
    publisher.stop();
    let stream = weir.until("show", |s| warning(s, "no_media").is_some());
    assert!(stream["publisher"].is_object(), "{stream}");
}
