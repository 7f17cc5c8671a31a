//! The audience path of the real program, held against the checklist of what validators, players and caches want: one named rule per line,
//! see `tests::hls::rules`. 20 s each; two minutes with WEIR_HLS=long.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::clip::{Clip, Codec};
use tests::film::{self, Ffmpeg, Film, Recipe};
use tests::hls::playlist::{Multivariant, Playlist, resolve};
use tests::hls::rules::{Rule, broken, ending, watching};
use tests::hls::{Recording, Watch};
use tests::publisher::Show;
use tests::tls::Identity;
use tests::{Encoder, Publisher, Weir, http};

/// As `make soak` asks for it.
fn long() -> bool {
    std::env::var_os("WEIR_HLS").is_some_and(|value| value == "long")
}

fn length() -> Duration {
    Duration::from_secs(if long() { 120 } else { 20 })
}

#[track_caller]
fn hold<'r>(recording: &Recording, rules: impl Iterator<Item = &'r Rule>) {
    let found = broken(recording, rules);
    assert!(found.is_empty(), "broken:\n  {}", found.join("\n  "));
    read_by_others(recording);
    if long() {
        for text in recording.renditions.iter().filter_map(|r| Some(r.reloads.last()?.text())) {
            doctor(&text);
        }
        recording.multivariant.iter().for_each(|answer| doctor(&answer.text()));
    }
}

/// media-doctor finds nothing; its exit status is always 0.
#[track_caller]
fn doctor(playlist: &str) {
    let program = tests::weir::target().join("../tools/bin/media-doctor");
    let file = std::env::temp_dir().join(format!("weir-doctor-{}.m3u8", std::process::id()));
    std::fs::write(&file, playlist).expect("a writable temporary folder");
    let output = Command::new(program).arg("check-hls").arg("--input").arg(&file).output();
    let _ = std::fs::remove_file(&file);
    let said = output.expect("`scripts/setup.sh obs` installs media-doctor").stdout;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("No issues found"), "{said}\n{playlist}");
}

/// m3u8-rs reads back every playlist, and finds the same in it.
#[track_caller]
fn read_by_others(recording: &Recording) {
    for answer in &recording.multivariant {
        let read = m3u8_rs::parse_master_playlist_res(&answer.body).expect("m3u8-rs reads it");
        let text = answer.text();
        let ours = Multivariant::parse(&text).expect("it is read");
        let theirs = (read.variants.len(), read.alternatives.len());
        let all = ours.variants.len() + ours.keyframes.len();
        assert_eq!(theirs, (all, ours.media.len()), "{text}");
    }
    let reloads = recording.renditions.iter().flat_map(|rendition| &rendition.reloads);
    let playlists: Vec<_> = reloads.filter(|answer| answer.status == 200).collect();
    assert!(playlists.len() > 10, "only {} playlists", playlists.len());
    for answer in playlists {
        let read = m3u8_rs::parse_media_playlist_res(&answer.body).expect("m3u8-rs reads it");
        let text = answer.text();
        let ours = Playlist::parse(&text).expect("it is read");
        let theirs = (Some(read.media_sequence), read.segments.len(), read.end_list);
        assert_eq!(theirs, (ours.msn, ours.segments.len(), ours.ended), "{text}");
    }
}

/// Publishes a film by FFmpeg, live on return.
fn publish(weir: &Weir, film: &Film) -> Encoder {
    let encoder = Encoder::publish(film, &weir.rtmp_url("show"));
    weir.until("show", |s| s["state"] == "live");
    encoder
}

/// The encoder is killed in the middle, and another one takes its place; then the stream ends.
#[test]
fn an_rtmp_stream_is_as_the_checklist_wants_across_a_change_of_publishers() {
    let weir = Weir::configured("[live]\nstart = \"always\"\nwindow = \"16s\"\n");
    let film = Film::small(Recipe::PLAIN);
    let mut encoder = Some(publish(&weir, &film));
    // The target duration is told when two seconds have been seen; before that it would be 6 s, and a delta would have
    // nothing to leave out.
    weir.until("show", |s| s["hls"]["window_seconds"].as_f64() > Some(3.0));
    let mut watch = Watch::start(&weir.url, "show");
    watch.watch(length(), || {
        std::thread::sleep(length() * 2 / 3);
        encoder.take();
        encoder = Some(publish(&weir, &film));
    });
    hold(&watch.recording, watching());
    assert!(cuts(&watch.recording) > 0, "the change of publishers is a discontinuity");

    drop(encoder);
    watch.stalled();
    watch.ended();
    hold(&watch.recording, ending());
}

/// Versions of the first rendition's playlist that have a discontinuity.
fn cuts(recording: &Recording) -> usize {
    let texts = recording.renditions[0].reloads.iter().map(|reload| reload.text());
    let lists = texts.filter_map(|text| Playlist::parse(&text).ok());
    lists.filter(|list| list.all().any(|segment| segment.discontinuity)).count()
}

/// Opus as it is, and as AAC by the worker; keyframes come when they are asked for. Packaged from the first request on, so the
/// target duration may be one with which a delta has nothing to leave out.
#[tokio::test(flavor = "multi_thread")]
async fn a_whip_stream_is_as_the_checklist_wants() {
    let weir = Weir::configured("[live]\nwindow = \"16s\"\n");
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    let url = weir.url.clone();
    let watched = tokio::task::spawn_blocking(move || {
        let mut watch = Watch::start(&url, "show");
        watch.watch(length(), || {});
        watch.recording
    });
    let recording = watched.await.expect("a player does not panic");
    hold(&recording, watching().filter(|rule| rule.name != "delta-is-shorter-and-true"));
    let list = Multivariant::parse(&recording.multivariant[0].text()).expect("it is read");
    let groups: Vec<_> = list.media.iter().filter_map(|media| media.get("GROUP-ID")).collect();
    assert_eq!(groups, ["aac", "opus"], "{list:?}");
    publisher.leave().await;
}

/// The same rules hold over TLS, with HTTP/2 by ALPN; and FFmpeg plays it.
#[test]
fn by_https_a_stream_is_as_the_checklist_wants() {
    let identity = Identity::new();
    let weir = Weir::configured(&format!("{}[live]\nwindow = \"16s\"\n", identity.toml()));
    let _encoder = publish(&weir, &Film::small(Recipe::PLAIN));
    let mut watch = Watch::start(&weir.url, "show");
    watch.watch(length(), || {});
    hold(&watch.recording, watching().filter(|rule| rule.name != "delta-is-shorter-and-true"));
    ffmpeg_plays(&weir, "https");
}

/// What a browser sends with simulcast: each encoding is a rendition, cut where the others are, without an encoder of ours.
#[tokio::test(flavor = "multi_thread")]
async fn three_encodings_are_three_renditions_with_the_same_segments() {
    let weir = Weir::start();
    let show = Show { audio: true, ..Show::simulcast(Codec::H264) };
    let publisher = Publisher::showing(&weir, "show", show).await;
    let complete = |s: &Value| {
        let encodings = s["tracks"][0]["encodings"].as_array().cloned().unwrap_or_default();
        encodings.len() == 3 && encodings.iter().all(|e| e["active"] == true)
    };
    weir.until("show", complete);
    let url = weir.url.clone();
    let watched = tokio::task::spawn_blocking(move || {
        let mut watch = Watch::start(&url, "show");
        watch.watch(length(), || {});
        watch.recording
    });
    let recording = watched.await.expect("a player does not panic");
    hold(&recording, watching().filter(|rule| rule.name != "delta-is-shorter-and-true"));
    let list = Multivariant::parse(&recording.multivariant[0].text()).expect("it is read");
    let sizes: Vec<_> = list.variants.iter().filter_map(|(v, _)| v.get("RESOLUTION")).collect();
    assert_eq!(sizes, ["640x360", "640x360", "320x180", "320x180", "160x90", "160x90"], "{list:?}");
    let renditions = weir.stream("show").expect("it is live")["hls"]["renditions"].clone();
    let names: Vec<_> = renditions.as_array().into_iter().flatten().map(|r| &r["name"]).collect();
    assert_eq!(names, ["a0", "a1", "v0", "v1", "v2"], "{renditions}");

    // A player that knows nothing of the others takes each.
    let index = weir.at("/live/show/index.m3u8");
    let mut lengths = Vec::new();
    for (number, (_, name)) in list.variants.iter().step_by(2).enumerate() {
        let (url, file) = (resolve(&index, name), scratch(&format!("layer-{number}")));
        let played = tokio::task::spawn_blocking(move || {
            let mut player = Encoder::pull(Ffmpeg::Old, &url, 3, &file);
            let status = player.ended(Duration::from_secs(60));
            let length = std::fs::metadata(&file).map_or(0, |file| file.len());
            let _ = std::fs::remove_file(&file);
            assert!(status.success() && length > 10_000, "{url}: {}", player.log());
            length
        });
        lengths.push(played.await.expect("FFmpeg reads it"));
    }
    assert!(lengths.is_sorted_by(|one, next| one > next), "{lengths:?}");
    publisher.leave().await;
}

/// The best of three stops and comes back: it is a gap meanwhile, and the others go on as if nothing were.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoding_that_stops_is_a_gap_and_holds_nobody_up() {
    let weir = Weir::start();
    let show = Show { audio: true, ..Show::simulcast(Codec::H264) };
    let publisher = Publisher::showing(&weir, "show", show).await;
    weir.until("show", |s| s["tracks"][0]["encodings"].as_array().is_some_and(|e| e.len() == 3));
    let url = weir.url.clone();
    let publisher = std::sync::Arc::new(publisher);
    let stops = publisher.clone();
    let watched = tokio::task::spawn_blocking(move || {
        let mut watch = Watch::start(&url, "show");
        watch.watch(length(), || {
            std::thread::sleep(length() * 2 / 5);
            stops.silence(2, true);
            std::thread::sleep(length() / 4);
            stops.silence(2, false);
        });
        watch.recording
    });
    let recording = watched.await.expect("a player does not panic");
    // The last picture before the silence lasts until the segment ends: its part is as long as that.
    let other = ["delta-is-shorter-and-true", "part-at-most-target", "part-at-least-85-percent"];
    hold(&recording, watching().filter(|rule| !other.contains(&rule.name)));
    let gaps = |of: usize| {
        let lists = recording.renditions[of].reloads.iter().map(|reload| reload.text());
        lists.filter_map(|text| Playlist::parse(&text).ok()).any(|list| list.all().any(|s| s.gap))
    };
    assert_eq!([gaps(0), gaps(1), gaps(2)], [true, false, false]);
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("weir-hls-{}-{name}.flv", std::process::id()))
}

/// Six seconds by a player that knows nothing of low latency: every picture once, in order.
fn ffmpeg_plays(weir: &Weir, name: &str) {
    let file = scratch(name);
    let url = weir.at("/live/show/index.m3u8");
    let mut player = Encoder::pull(Ffmpeg::Old, &url, 6, &file);
    let status = player.ended(Duration::from_secs(60));
    let bytes = std::fs::read(&file).unwrap_or_default();
    let _ = std::fs::remove_file(&file);
    assert!(status.success() && !bytes.is_empty(), "{}", player.log());
    let numbers = film::numbers("flv", &bytes);
    assert!(numbers.len() > 150, "only {} pictures: {}", numbers.len(), player.log());
    let shown: Vec<u16> = numbers.iter().copied().flatten().collect();
    assert_eq!(shown.len(), numbers.len(), "spoiled pictures: {numbers:?}");
    let in_order = shown.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 600);
    assert!(in_order, "{shown:?}");
}

#[test]
fn ffmpeg_plays_it_picture_by_picture() {
    let weir = Weir::start();
    let _encoder = publish(&weir, &Film::small(Recipe::PLAIN));
    ffmpeg_plays(&weir, "near");
}

/// B-frames stay what they are: files can have them.
#[test]
fn ffmpeg_plays_b_frames_in_order() {
    let weir = Weir::start();
    let _encoder = publish(&weir, &Film::small(Recipe::FLAT));
    ffmpeg_plays(&weir, "flat");
}

#[test]
fn the_safe_preset_is_plain_hls() {
    let weir = Weir::configured("[live]\npreset = \"safe\"\n");
    let _encoder = publish(&weir, &Film::small(Recipe::PLAIN));
    ffmpeg_plays(&weir, "safe");
    let (path, list) = first_playlist(&weir);
    let text = weir.get(&path).text();
    assert!(!list.segments.is_empty() && !text.contains("PART"), "{text}");
}

/// The first media playlist.
fn first_playlist(weir: &Weir) -> (String, Playlist) {
    let index = "/live/show/index.m3u8";
    let list = Multivariant::parse(&weir.get(index).text()).expect("it is read");
    let path = resolve(index, &list.playlists()[0]);
    let answer = http::send("GET", &weir.at(&path), &[], &[]);
    (path, Playlist::parse(&answer.text()).expect("it is read"))
}

/// A cache in front may keep a file for days: another run must not give its name to another file.
#[test]
fn no_name_is_used_again_after_a_restart() {
    let film = Film::small(Recipe::PLAIN);
    let name = || {
        let weir = Weir::start();
        let _encoder = publish(&weir, &film);
        let (path, list) = first_playlist(&weir);
        resolve(&path, &list.segments[0].uri)
    };
    let (before, after) = (name(), name());
    assert_ne!(before, after);
}
