//! Encoders publish by RTMP, and WebRTC viewers see and hear: FFmpeg 5.1 and 9 as people run them, against the real program.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::clip::{self, Clip, Codec};
use tests::film::{self, Ffmpeg, Film, Recipe};
use tests::flv::{self, Tag};
use tests::pictures::pictures;
use tests::rtmp::Air;
use tests::viewer::Wish;
use tests::{Encoder, Publisher, Rtmp, Track, Viewer, Weir, seen};

/// Ten seconds of pictures.
const ENOUGH: usize = 300;

fn track<'a>(stream: &'a Value, kind: &str) -> &'a Value {
    let tracks = stream["tracks"].as_array().expect("a list");
    tracks.iter().find(|t| t["kind"] == kind).unwrap_or(&Value::Null)
}

fn bridges(stream: &Value) -> Vec<(&str, &str)> {
    let all = stream["bridges"].as_array().expect("a list").iter();
    all.map(|b| (b["from"].as_str().unwrap_or_default(), b["to"].as_str().unwrap_or_default()))
        .collect()
}

fn warns(stream: &Value, code: &str) -> bool {
    stream["warnings"].as_array().expect("a list").iter().any(|w| w["code"] == code)
}

/// Publishes a film by FFmpeg, live on return.
fn publish(weir: &Weir, film: &Film) -> Encoder {
    let encoder = Encoder::publish(film, &weir.rtmp_url("show"));
    weir.until("show", |s| s["state"] == "live");
    encoder
}

fn ended(track: &Track) -> usize {
    track.packets.values().filter(|p| p.marker).count()
}

async fn watch(viewer: &Viewer, pictures: usize) {
    viewer.until_video("pictures", |t| ended(t) >= pictures).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_without_b_frames_passes_byte_for_byte_and_aac_becomes_opus() {
    let weir = Weir::start();
    let film = Film::small(Recipe::PLAIN);
    let _encoder = publish(&weir, &film);
    let viewer = Viewer::join(&weir, "show").await;
    watch(&viewer, ENOUGH).await;

    let stream = weir.stream("show").expect("it is live");
    assert_eq!(stream["publisher"]["protocol"], "rtmp", "{stream:#}");
    let video = track(&stream, "video");
    assert_eq!(video["codec"], "h264", "{stream:#}");
    assert_eq!(
        (&video["encodings"][0]["width"], &video["encodings"][0]["height"]),
        (&320.into(), &180.into())
    );
    assert_eq!(track(&stream, "audio")["codec"], "aac", "{stream:#}");
    assert_eq!(bridges(&stream), [("aac", "opus")], "{stream:#}");
    assert!(!warns(&stream, "b_frames"), "{stream:#}");

    let got = seen::h264(&viewer.video());
    let settled = seen::settled(&viewer.video(), &got);
    seen::identical(&got[settled..], &film.tags());
    seen::in_step(&seen::shown(&got), settled);
    seen::beeps_in_step(&viewer);
    viewer.leave().await;
    weir.until("show", |s| bridges(s).is_empty());
}

/// While nobody watches, no packets are made of what comes, and it is read in larger pieces.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_to_what_nobody_watched_gets_all_of_it() {
    let weir = Weir::start();
    let film = Film::small(Recipe::PLAIN);
    let _encoder = publish(&weir, &film);
    let came = |s: &Value| track(s, "video")["encodings"][0]["packets"].as_u64().unwrap_or(0);
    // The second comes into the group of pictures that the first has left.
    for unwatched in [100, 0, 100] {
        let before = weir.stream("show").map_or(0, |s| came(&s));
        weir.until("show", |s| came(s) >= before + unwatched);
        let viewer = Viewer::join(&weir, "show").await;
        watch(&viewer, ENOUGH / 2).await;
        let got = seen::h264(&viewer.video());
        let settled = seen::settled(&viewer.video(), &got);
        seen::identical(&got[settled..], &film.tags());
        seen::in_step(&seen::shown(&got), settled);
        seen::beeps_in_step(&viewer);
        viewer.leave().await;
        let stream = weir.until("show", |s| s["viewers"]["whep"] == 0);
        assert_eq!(stream["state"], "live", "{stream:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn x264_as_it_is_with_b_frames_and_aac_is_seen_without_a_jump() {
    let weir = Weir::start();
    let film = Film::small(Recipe::DEFAULTS);
    assert!(film.tags().iter().any(|t| t.is_picture() && t.composition() > 0), "it has B-frames");
    let _encoder = publish(&weir, &film);
    let viewer = Viewer::join(&weir, "show").await;
    watch(&viewer, ENOUGH).await;

    let stream = weir.stream("show").expect("it is live");
    let mut running = bridges(&stream);
    running.sort_unstable();
    assert_eq!(running, [("aac", "opus"), ("h264", "h264")], "{stream:#}");
    assert!(warns(&stream, "b_frames"), "{stream:#}");
    let source = &track(&stream, "video")["encodings"];
    let source = source.as_array().expect("a list").iter().find(|e| e["origin"] == "source");
    assert_eq!(source.expect("the publisher's own")["b_frames"], true, "{stream:#}");

    let got = seen::h264(&viewer.video());
    seen::in_step(&seen::shown(&got), seen::settled(&viewer.video(), &got));
    seen::beeps_in_step(&viewer);
}

/// What is shown where no worker can take the B-frames out: fewer pictures, each of them whole, in order.
async fn left_out(recipe: Recipe, pictures: usize) {
    let weir = Weir::without_worker();
    let film = Film::small(recipe);
    assert!(film.tags().iter().any(|t| t.is_picture() && t.composition() > 0), "it has B-frames");
    let _encoder = publish(&weir, &film);
    let viewer = Viewer::join(&weir, "show").await;
    watch(&viewer, pictures).await;
    let stream = weir.stream("show").expect("it is live");
    assert!(warns(&stream, "b_frames"), "{stream:#}");
    for pair in seen::shown(&seen::h264(&viewer.video())).windows(2) {
        assert!(pair[1].number > pair[0].number || pair[1].number < 30, "{pair:?}");
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
        assert!(step > 0, "time goes back by {step}: {pair:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_worker_b_frames_are_left_out() {
    left_out(Recipe::FLAT, ENOUGH / 6).await;
}

/// Others need the B-frames of a pyramid: little more than keyframes are left.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_worker_and_with_a_pyramid_no_picture_is_spoiled_or_jumps() {
    left_out(Recipe { video: "-c:v libx264 -g 60", ..Recipe::DEFAULTS }, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enhanced_hevc_becomes_h264_for_who_lacks_it_and_its_opus_passes() {
    let weir = Weir::start();
    let _encoder = publish(&weir, &Film::small(Recipe::HEVC));
    let viewer = Viewer::join(&weir, "show").await;
    watch(&viewer, ENOUGH).await;
    let stream = weir.stream("show").expect("it is live");
    assert_eq!(track(&stream, "video")["codec"], "h265", "{stream:#}");
    assert_eq!(track(&stream, "audio")["codec"], "opus", "{stream:#}");
    assert_eq!(bridges(&stream), [("h265", "h264")], "{stream:#}");
    let got = seen::h264(&viewer.video());
    seen::in_step(&seen::shown(&got), seen::settled(&viewer.video(), &got));
    seen::beeps_in_step(&viewer);
}

/// AV1 or VP9 reaches the viewer as it was published.
async fn passes(recipe: Recipe, codec: Codec) {
    let weir = Weir::start();
    let film = Film::small(recipe);
    let _encoder = publish(&weir, &film);
    let viewer = Viewer::join(&weir, "show").await;
    watch(&viewer, ENOUGH).await;
    let stream = weir.stream("show").expect("it is live");
    assert_eq!(track(&stream, "video")["codec"], codec.api(), "{stream:#}");
    assert!(bridges(&stream).is_empty(), "{stream:#}");
    let video = viewer.video();
    assert_eq!(video.missing(), [0u64; 0], "packets lost on loopback");
    let got = pictures(codec, &video.in_order());
    let settled = seen::settled(&video, &got);
    let data: Vec<_> = got.into_iter().map(|p| p.data).collect();
    let seen = clip::decoded(codec, 320, 180, &data);
    assert_eq!(seen.len(), data.len(), "every picture decodes");
    let (seen, all) = (&seen[settled..], film.hashes());
    let first = all.iter().position(|hash| *hash == seen[0]).expect("the first one is of the film");
    for (at, hash) in seen.iter().enumerate() {
        let number = (first + at) % all.len();
        assert_eq!(*hash, all[number], "picture {number} does not look as it did");
    }
    seen::beeps_in_step(&viewer);
}

#[tokio::test(flavor = "multi_thread")]
async fn enhanced_av1_and_opus_pass() {
    passes(Recipe::AV1, Codec::Av1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enhanced_vp9_and_opus_pass() {
    passes(Recipe::VP9, Codec::Vp9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lacks_h264_gets_vp8() {
    let weir = Weir::start();
    let _encoder = publish(&weir, &Film::small(Recipe::PLAIN));
    let wish = Wish { codecs: vec![Codec::Vp8], ..Wish::default() };
    let viewer = Viewer::wishing(&weir, "show", wish).await;
    watch(&viewer, ENOUGH / 3).await;
    let stream = weir.stream("show").expect("it is live");
    assert!(bridges(&stream).contains(&("h264", "vp8")), "{stream:#}");
    let data: Vec<_> =
        pictures(Codec::Vp8, &viewer.video().in_order()).into_iter().map(|p| p.data).collect();
    assert_eq!(clip::decoded(Codec::Vp8, 320, 180, &data).len(), data.len());
}

/// An encoder that the test has in its hand, live on return.
fn air(weir: &Weir, film: &Film, first: u32) -> Air {
    let rtmp = Rtmp::publish(weir, "live", "show").expect("it may publish");
    let air = Air::start(rtmp, film.tags(), film.length(), first);
    weir.until("show", |s| s["state"] == "live");
    air
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_that_wrap_are_not_seen() {
    let weir = Weir::start();
    let film = Film::small(Recipe::PLAIN);
    let air = air(&weir, &film, u32::MAX - 5000);
    let viewer = Viewer::join(&weir, "show").await;
    watch(&viewer, ENOUGH).await;
    let first = air.sent()[0].timestamp;
    assert!(air.sent().iter().any(|s| s.timestamp < first), "they have wrapped");
    let got = seen::h264(&viewer.video());
    let settled = seen::settled(&viewer.video(), &got);
    seen::identical(&got[settled..], &film.tags());
    seen::in_step(&seen::shown(&got), settled);
    seen::beeps_in_step(&viewer);
    assert!(air.goes_on());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_picture_size_in_mid_stream_is_shown() {
    let weir = Weir::start();
    let small = Film::new(Recipe::PLAIN, "320x180", 90);
    let large = Film::new(Recipe::PLAIN, "640x360", 90);
    let later = |tag: Tag| Tag { time: tag.time + small.length(), ..tag };
    let tags: Vec<Tag> =
        small.tags().into_iter().chain(large.tags().into_iter().map(later)).collect();
    let rtmp = Rtmp::publish(&weir, "live", "show").expect("it may publish");
    let air = Air::start(rtmp, tags, small.length() + large.length(), 0);
    let width = |s: &Value, is: u64| track(s, "video")["encodings"][0]["width"] == is;
    weir.until("show", |s| width(s, 320));
    let viewer = Viewer::join(&weir, "show").await;
    weir.until("show", |s| width(s, 640));
    weir.until("show", |s| width(s, 320));
    watch(&viewer, 200).await;
    let got = seen::h264(&viewer.video());
    for pair in seen::shown(&got)[seen::settled(&viewer.video(), &got)..].windows(2) {
        assert!(pair[1].number == pair[0].number + 1 || pair[1].number == 0, "{pair:?}");
    }
    assert!(air.goes_on());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_sequence_in_mid_stream_ends_nothing() {
    let weir = Weir::start();
    let film = Film::new(Recipe::PLAIN, "320x180", 90);
    let mut tags = film.tags();
    tags.push(Tag::end_of_pictures(film.length() - 1));
    let rtmp = Rtmp::publish(&weir, "live", "show").expect("it may publish");
    let air = Air::start(rtmp, tags, film.length(), 0);
    weir.until("show", |s| track(s, "video")["codec"] == "h264");
    let viewer = Viewer::join(&weir, "show").await;
    // Two ends lie in between.
    watch(&viewer, 240).await;
    let stream = weir.stream("show").expect("it is live");
    assert_eq!(track(&stream, "video")["codec"], "h264", "{stream:#}");
    let got = seen::h264(&viewer.video());
    seen::identical(&got[seen::settled(&viewer.video(), &got)..], &film.tags());
    assert!(air.goes_on());
}

/// What a player's file holds.
fn played(weir: &Weir, by: Ffmpeg, seconds: u32) -> (Vec<Tag>, bytes::Bytes) {
    let name = format!("weir-test-{}-{by:?}-{seconds}.flv", std::process::id());
    let file = std::env::temp_dir().join(name);
    let mut player = Encoder::play(by, &weir.rtmp_url("show"), seconds, &file);
    let status = player.ended(Duration::from_secs(seconds as u64 + 20));
    assert!(status.success(), "{}", player.log());
    let bytes = bytes::Bytes::from(std::fs::read(&file).expect("it was just written"));
    let _ = std::fs::remove_file(&file);
    (flv::tags(&bytes), bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_by_rtmp_what_was_published_by_rtmp() {
    let weir = Weir::start();
    let film = Film::small(Recipe::DEFAULTS);
    let _encoder = publish(&weir, &film);
    let (tags, file) =
        tokio::task::spawn_blocking(move || played(&weir, Ffmpeg::Old, 4)).await.unwrap();
    let all: Vec<_> = film.tags().into_iter().filter(Tag::is_picture).collect();
    let got: Vec<_> = tags.into_iter().filter(Tag::is_picture).collect();
    let first = all.iter().position(|t| t.slices() == got[0].slices()).expect("of the film");
    assert!(got[0].is_keyframe() && got.len() > 60, "{} pictures", got.len());
    for (at, tag) in got.iter().enumerate() {
        let sent = &all[(first + at) % all.len()];
        assert!(tag.slices() == sent.slices(), "picture {at} is not as it was sent");
        assert_eq!(tag.composition(), sent.composition(), "picture {at} is shown at another time");
    }
    assert!(film::numbers("flv", &file).iter().all(Option::is_some), "all of them decode");
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_by_rtmp_what_was_published_by_whip() {
    let weir = Weir::start();
    let _publisher = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    weir.until("show", |s| s["state"] == "live");
    let (tags, _) =
        tokio::task::spawn_blocking(move || played(&weir, Ffmpeg::Old, 3)).await.unwrap();
    assert!(tags.iter().filter(|t| t.is_picture()).count() > 60);
    assert!(tags.iter().any(|t| t.kind == 8 && t.is_config()), "its Opus came as AAC");
    assert!(tags.iter().filter(|t| t.kind == 8).count() > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_leaves_rtmp_takes_over_and_back_in_one_session_of_the_viewer() {
    let weir = Weir::start();
    let clip = Clip::new(Codec::H264, 480, 270, 500);
    let whip = Publisher::start(&weir, "show", clip.clone()).await;
    let viewer = Viewer::join(&weir, "show").await;
    watch(&viewer, 60).await;
    whip.leave().await;
    weir.until("show", |s| s["state"] != "live");

    let left = Instant::now();
    let encoder = Encoder::publish(&Film::small(Recipe::DEFAULTS), &weir.rtmp_url("show"));
    weir.until("show", |s| s["publisher"]["protocol"] == "rtmp" && s["state"] == "live");
    let since =
        |t: &Track, at: Instant| t.packets.values().filter(|p| p.marker && p.at > at).count();
    viewer.until_video("RTMP's pictures", |t| since(t, left) >= 90).await;
    encoder.stop();
    weir.until("show", |s| s["state"] != "live");

    let left = Instant::now();
    let _back = Publisher::start(&weir, "show", clip).await;
    viewer.until_video("WHIP's pictures again", |t| since(t, left) >= 60).await;
    let packets = viewer.video().in_order();
    for pair in packets.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq + 1, "a packet is missing");
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
        assert!(step >= 0, "time goes back by {step} at packet {}", pair[1].seq);
    }
    assert_eq!(weir.stream("show").expect("it is live")["viewers"]["whep"], 1);
}
