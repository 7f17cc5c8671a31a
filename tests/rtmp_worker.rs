//! The worker program dies or hangs in the middle of a show: what does not need it goes on untouched, and what does is back within two
//! seconds.

use std::time::{Duration, Instant};

use tests::film::{Film, Recipe};
use tests::track::Packet;
use tests::{Encoder, Track, Viewer, Weir, encoder, seen};

/// What bridged viewers may miss.
const BACK: Duration = Duration::from_secs(2);
/// What nobody notices: a few pictures late on a busy machine.
const UNTOUCHED: Duration = Duration::from_millis(250);

/// The longest time without a packet between these moments.
fn longest_gap(track: &Track, from: Instant, to: Instant) -> Duration {
    let mut times: Vec<Instant> = track.packets.values().map(|p| p.at).collect();
    times.sort_unstable();
    let window: Vec<Instant> = times.into_iter().filter(|at| (from..to).contains(at)).collect();
    let ends = [from, to];
    let edges = window.iter().chain(&ends[1..]);
    let starts = ends[..1].iter().chain(&window);
    starts.zip(edges).map(|(a, b)| b.saturating_duration_since(*a)).max().unwrap_or_default()
}

/// `signal` to every worker; `plain` has H.264 that passes, `reordered` has B-frames.
async fn survives(signal: &str) {
    let weir = Weir::start();
    let (plain, reordered) = (Film::small(Recipe::PLAIN), Film::small(Recipe::DEFAULTS));
    let _one = Encoder::publish(&plain, &weir.rtmp_url("plain"));
    let _two = Encoder::publish(&reordered, &weir.rtmp_url("reordered"));
    for name in ["plain", "reordered"] {
        weir.until(name, |s| s["state"] == "live");
    }
    let plain_viewer = Viewer::join(&weir, "plain").await;
    let viewer = Viewer::join(&weir, "reordered").await;
    for one in [&plain_viewer, &viewer] {
        one.until_video("pictures", |t| t.len() > 120).await;
        one.until_audio("sound", |t| t.len() > 150).await;
    }
    let workers = encoder::children(weir.pid(), "weir-transcoder");
    assert_eq!(workers.len(), 3, "AAC twice and B-frames once: a process each");

    let hit = Instant::now();
    workers.iter().for_each(|pid| encoder::signal(*pid, signal));
    let later = |after: Duration| move |p: &&Packet| p.at > hit + after;
    for one in [&plain_viewer, &viewer] {
        let after = |t: &Track| t.packets.values().filter(later(BACK)).count() > 60;
        one.until_video("pictures again", after).await;
        one.until_audio("sound again", after).await;
    }
    let end = hit + BACK + Duration::from_secs(1);
    let gap = |track: &Track| longest_gap(track, hit - Duration::from_millis(500), end);
    let passed = gap(&plain_viewer.video());
    assert!(passed < UNTOUCHED, "pictures that pass stood still for {passed:?}");
    for (what, track) in [
        ("sound beside pictures that pass", plain_viewer.audio()),
        ("sound", viewer.audio()),
        ("pictures", viewer.video()),
    ] {
        let gap = gap(&track);
        eprintln!("{signal}: {what} back after {gap:?}");
        assert!(gap <= BACK, "{what} was gone for {gap:?}");
        assert!(gap > Duration::from_millis(60), "{what} was never gone: nothing was hit");
    }
    // Whole pictures before and after, and time that goes on.
    for pair in seen::shown(&seen::h264(&viewer.video())).windows(2) {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
        assert!(step > 0, "time goes back by {step}: {pair:?}");
    }
    let got = seen::h264(&plain_viewer.video());
    seen::identical(&got[seen::settled(&plain_viewer.video(), &got)..], &plain.tags());
    let now = encoder::children(weir.pid(), "weir-transcoder");
    assert!(now.iter().all(|pid| !workers.contains(pid)), "the old ones are gone: {now:?}");
    assert_eq!(now.len(), 3, "new ones are there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_back_within_two_seconds() {
    survives("KILL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_worker_is_replaced_within_two_seconds() {
    survives("STOP").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_again_and_again_is_given_up_and_said() {
    let weir = Weir::configured("[transcode]\nworker = \"/bin/false\"\n");
    let _encoder = Encoder::publish(&Film::small(Recipe::PLAIN), &weir.rtmp_url("show"));
    weir.until("show", |s| s["state"] == "live");
    let viewer = Viewer::join(&weir, "show").await;
    let failed = weir.until("show", |s| s["bridges"][0]["state"] == "failed");
    assert!(!failed["warnings"].as_array().expect("a list").is_empty(), "{failed:#}");
    // What is wrong is said with the stream's name, and when it is tried again.
    let next = failed["bridges"][0]["next_try_seconds"].as_u64();
    assert!(next.is_some_and(|seconds| seconds <= 60), "{failed:#}");
    assert_eq!(failed["bridges"][0]["restarts"], 3, "{failed:#}");
    assert_eq!(weir.metric("weir_bridge_restarts_total"), 3.0);
    let log = weir.log();
    let of = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(of("a bridge has failed stream=show"), 1, "{log}");
    // It goes wrong each time in the same way.
    assert_eq!(of("a bridge starts again stream=show"), 1, "{log}");
    assert_eq!(of("lost its worker"), 0, "each once:\n{log}");
    // Pictures pass all the same.
    viewer.more_video(60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_watches_and_no_worker_runs() {
    let weir = Weir::start();
    let _encoder = Encoder::publish(&Film::small(Recipe::DEFAULTS), &weir.rtmp_url("show"));
    weir.until("show", |s| s["state"] == "live");
    let workers = || encoder::children(weir.pid(), "weir-transcoder").len();
    assert_eq!(workers(), 0, "on demand");
    let viewers = [Viewer::join(&weir, "show").await, Viewer::join(&weir, "show").await];
    for viewer in &viewers {
        viewer.until_audio("sound", |t| t.len() > 50).await;
        viewer.until_video("pictures", |t| t.len() > 30).await;
    }
    assert_eq!(workers(), 2, "one for sound and one for pictures, for both viewers");
    for viewer in viewers {
        viewer.leave().await;
    }
    let end = Instant::now() + Duration::from_secs(15);
    while workers() > 0 {
        assert!(Instant::now() < end, "they still run, and nobody watches");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_after_a_bridge_has_ended_sees_and_hears_all_the_same() {
    let weir = Weir::start();
    let film = Film::small(Recipe::DEFAULTS);
    let _encoder = Encoder::publish(&film, &weir.rtmp_url("demo"));
    weir.until("demo", |s| s["state"] == "live");
    for _ in 0..2 {
        let viewer = Viewer::join(&weir, "demo").await;
        viewer.until_video("pictures", |t| t.len() > 60).await;
        viewer.until_audio("sound", |t| t.len() > 60).await;
        viewer.leave().await;
        // Nobody needs them any more, and after a while they end.
        weir.until("demo", |s| s["bridges"].as_array().is_some_and(Vec::is_empty));
    }
}
