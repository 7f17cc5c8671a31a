//! Streams by HLS and LL-HLS, of the real program: what FFmpeg publishes by RTMP and webrtc-rs by WHIP, fetched as players and caches do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::clip::{self, Clip};
use tests::http::{self, Answer};
use tests::publisher::Show;
use tests::{Encoder, Film, Publisher, Recipe, Weir};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server with a stream by RTMP that is live: H.264 with a keyframe every second, and AAC.
fn show(toml: &str) -> (Weir, Encoder) {
    let weir = Weir::configured(toml);
    let encoder = publish(&weir);
    (weir, encoder)
}

fn publish(weir: &Weir) -> Encoder {
    let film = Film::small(Recipe::PLAIN);
    let encoder = Encoder::publish(&film, &weir.rtmp_url("show"));
    weir.until("show", |s| s["state"] == "live");
    encoder
}

/// A file of the stream, as playlists name it.
fn file(weir: &Weir, name: &str) -> Answer {
    weir.get(&format!("/live/show/{name}"))
}

fn index(weir: &Weir) -> String {
    let answer = file(weir, "index.m3u8");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// The lines of a playlist that are no tags: what it names.
fn names(playlist: &str) -> Vec<&str> {
    playlist.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// What a tag's attribute says, without quotes, on each line that has the tag.
fn said<'p>(playlist: &'p str, tag: &str, attribute: &str) -> Vec<&'p str> {
    let of = |line: &'p str| {
        let rest = line.strip_prefix(tag)?;
        let at = rest.find(&format!("{attribute}="))? + attribute.len() + 1;
        match rest[at..].strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => rest[at..].split(',').next(),
        }
    };
    playlist.lines().filter_map(of).collect()
}

/// The folder of the present epoch, and the pictures' playlist in it.
fn pictures(weir: &Weir) -> (String, String) {
    let index = index(weir);
    let name = names(&index).into_iter().find(|name| name.contains("/v0.m3u8"));
    let name = name.expect("there are pictures");
    let (epoch, _) = name.split_once('/').expect("an epoch and a file");
    (epoch.to_owned(), name.to_owned())
}

/// Segment and part that a playlist says come next.
fn hinted(playlist: &str) -> (u64, u64) {
    let hint = *said(playlist, "#EXT-X-PRELOAD-HINT:", "URI").first().expect("a hint");
    let numbers = hint.split_once('-').expect("a rendition").1;
    let mut numbers = numbers.split('.').map(str::parse::<u64>);
    let mut next = || numbers.next().expect("a number").expect("a number");
    (next(), next())
}

fn kept(answer: &Answer) -> &str {
    answer.header("cache-control").expect("every answer says how long it may be kept")
}

#[test]
fn what_is_published_by_rtmp_is_there_within_a_second_and_flows() {
    let (weir, _encoder) = show("");
    let asked = Instant::now();
    let index = index(&weir);
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    for part in ["CODECS=\"avc1.", "mp4a.40.2", "RESOLUTION=320x180", "BANDWIDTH=", "AUDIO="] {
        assert!(index.contains(part), "no {part}:\n{index}");
    }
    let (epoch, media) = pictures(&weir);
    let first = file(&weir, &media).text();
    assert!(first.contains("CAN-BLOCK-RELOAD=YES"), "{first}");
    assert!(first.contains("#EXT-X-PROGRAM-DATE-TIME:"), "{first}");
    assert!(first.contains("#EXT-X-RENDITION-REPORT:URI=\"a0.m3u8\""), "{first}");

    // Ten reloads in a row, each of which waits for one more part.
    let begun = Instant::now();
    let (mut msn, mut part) = hinted(&first);
    for _ in 0..10 {
        let answer = file(&weir, &format!("{media}?_HLS_msn={msn}&_HLS_part={part}"));
        let text = answer.text();
        assert_eq!(answer.status, 200, "{text}");
        let after = hinted(&text);
        assert!(after > (msn, part), "{after:?} after {msn}.{part}:\n{text}");
        (msn, part) = after;
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1500) && took < Duration::from_secs(4), "{took:?}");

    // The hinted part is held back until it is there.
    let part = file(&weir, &format!("{epoch}/v0-{msn}.{part}.m4s"));
    assert_eq!((part.status, &part.body[4..8]), (200, &b"moof"[..]));
    let init = file(&weir, &format!("{epoch}/v0-0.mp4"));
    assert_eq!((init.status, &init.body[4..8]), (200, &b"ftyp"[..]));
    let sound = file(&weir, &format!("{epoch}/a0.m3u8?_HLS_msn={msn}"));
    assert_eq!(sound.status, 200, "{}", sound.text());

    let stream = weir.stream("show").expect("it is live");
    assert_eq!(stream["viewers"]["hls"], 1, "{stream:#}");
    assert!(stream["hls"]["window_seconds"].as_f64() > Some(1.0), "{stream:#}");
    assert!(stream["hls"]["window_bytes"].as_u64() > Some(10_000), "{stream:#}");
    assert!(stream["bridges"].as_array().is_some_and(Vec::is_empty), "{stream:#}");
    assert!(weir.metric("weir_hls_requests_total") >= 15.0);
    assert!(weir.metric("weir_hls_bytes_total") > 10_000.0);
}

/// Nobody has asked for it before: what was seen of it meanwhile is known all the same.
#[test]
fn who_comes_first_to_a_stream_by_rtmp_has_a_whole_segment_and_its_true_target_at_once() {
    let (weir, _encoder) = show("");
    let seen = |s: &Value| s["tracks"][0]["encodings"][0]["packets"].as_u64();
    weir.until("show", |s| seen(s) > Some(120));
    let asked = Instant::now();
    let (_, media) = pictures(&weir);
    let answer = file(&weir, &media);
    let took = asked.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(took < Duration::from_millis(800), "{took:?}");
    let playlist = answer.text();
    assert!(!names(&playlist).is_empty(), "{playlist}");
    assert!(playlist.contains("#EXT-X-TARGETDURATION:2\n"), "{playlist}");
}

#[test]
fn a_segment_is_its_parts_and_so_is_every_range_of_it() {
    let (weir, _encoder) = show("");
    let (epoch, media) = pictures(&weir);
    let playlist = file(&weir, &media).text();
    let segment = *names(&playlist).last().expect("a segment");
    let whole = file(&weir, &format!("{epoch}/{segment}"));
    let stem = segment.strip_suffix(".m4s").expect("a segment");
    let parts: Vec<&str> = said(&playlist, "#EXT-X-PART:", "URI");
    let parts = parts.into_iter().filter(|part| part.starts_with(&format!("{stem}.")));
    let joined: Vec<u8> =
        parts.flat_map(|part| file(&weir, &format!("{epoch}/{part}")).body).collect();
    assert!(whole.body == joined && joined.len() > 1000, "{} bytes", joined.len());

    let url = weir.at(&format!("/live/show/{epoch}/{segment}"));
    let range = |range: &str| http::send("GET", &url, &[("range", range)], &[]);
    let length = joined.len();
    for (asked, from, to) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=100-2000".to_owned(), 100, 2001),
        ("bytes=-10".to_owned(), length - 10, length),
        (format!("bytes=5-{}", u64::MAX), 5, length),
    ] {
        let answer = range(&asked);
        assert_eq!(answer.status, 206, "{asked}");
        assert!(answer.body == joined[from..to], "{asked}");
        let says = format!("bytes {from}-{}/{length}", to - 1);
        assert_eq!(answer.header("content-range"), Some(says.as_str()));
    }
    let sent = weir.metric("weir_hls_bytes_total");
    let beyond = range(&format!("bytes={length}-"));
    beyond.problem(416);
    assert_eq!(beyond.header("content-range"), Some(format!("bytes */{length}").as_str()));
    assert_eq!(kept(&beyond), "no-store");

    let head = http::send("HEAD", &url, &[], &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(length.to_string().as_str()));
    assert_eq!(head.header("accept-ranges"), Some("bytes"));
    assert_eq!(weir.metric("weir_hls_bytes_total"), sent, "neither has sent any of it");
}

#[test]
fn caches_are_told_how_long_and_pages_of_other_sites_may_read() {
    let (weir, _encoder) = show("");
    let (epoch, media) = pictures(&weir);
    let plain = file(&weir, &media);
    let (msn, part) = hinted(&plain.text());
    let target: u64 = plain
        .text()
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-TARGETDURATION:")?.parse().ok())
        .expect("a target duration");
    let forever = "public, max-age=604800, immutable".to_owned();
    for (name, expected) in [
        ("index.m3u8".to_owned(), "public, max-age=1".to_owned()),
        (media.clone(), "public, max-age=1".to_owned()),
        (format!("{media}?_HLS_skip=YES"), "public, max-age=1".to_owned()),
        (
            format!("{media}?_HLS_msn={msn}&_HLS_part={part}"),
            format!("public, max-age={}", 6 * target),
        ),
        (format!("{epoch}/v0-0.mp4"), forever.clone()),
        (format!("{epoch}/v0-{}.m4s", msn - 1), forever.clone()),
        (format!("{epoch}/v0-{}.0.m4s", msn - 1), forever),
        (format!("{epoch}/v0-99.0.m4s"), "no-store".to_owned()),
        (format!("{media}?_HLS_msn=99999"), "no-store".to_owned()),
    ] {
        let answer = file(&weir, &name);
        assert_eq!(kept(&answer), expected, "{name}");
        assert!(answer.header("date").is_some(), "{name}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{name}");
        let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
        assert!(exposed.contains("Age") && exposed.contains("Date"), "{name}: {exposed}");
    }
    for (coding, magic) in [("gzip", &b"\x1f\x8b"[..]), ("br", &b""[..])] {
        let url = weir.at(&format!("/live/show/{media}"));
        let output = Command::new("curl")
            .args(["-s", "-D", "-", "-H", &format!("Accept-Encoding: {coding}"), &url])
            .output()
            .expect("curl runs");
        let end = output.stdout.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
        let (head, body) = output.stdout.split_at(end);
        let head = String::from_utf8_lossy(head);
        assert!(head.contains(&format!("content-encoding: {coding}")), "{head}");
        assert!(head.contains("vary: Accept-Encoding"), "{head}");
        assert!(body.starts_with(magic) && body.len() < plain.body.len(), "{}", body.len());
    }
}

#[test]
fn http_2_is_spoken_without_tls() {
    let (weir, _encoder) = show("");
    let output = Command::new("curl")
        .args(["-s", "--http2-prior-knowledge", "-o", "/dev/null"])
        .args(["-w", "%{http_version} %{http_code}", &weir.at("/live/show/index.m3u8")])
        .output()
        .expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2 200");
}

#[test]
fn bad_requests_get_a_reason_and_none_waits_for_ever() {
    let (weir, _encoder) = show("");
    let (epoch, media) = pictures(&weir);
    let (msn, part) = hinted(&file(&weir, &media).text());
    let begun = Instant::now();
    for query in [
        format!("_HLS_msn={}", msn + 3),
        format!("_HLS_msn={}", u64::MAX),
        "_HLS_msn=99999999999999999999999999999".to_owned(),
        "_HLS_msn=-1".to_owned(),
        "_HLS_msn=".to_owned(),
        "_HLS_msn=1e9".to_owned(),
        "_HLS_part=0".to_owned(),
        format!("_HLS_msn={msn}&_HLS_part=-1"),
        format!("_HLS_msn={msn}&_HLS_part={}", part + 50),
        format!("_HLS_msn={msn}&_HLS_part={}", u64::MAX),
        format!("_HLS_msn={msn}&_HLS_msn={msn}"),
    ] {
        let answer = file(&weir, &format!("{media}?{query}"));
        answer.problem(400);
        assert_eq!(kept(&answer), "no-store", "{query}");
    }
    for name in [
        format!("{epoch}/v0-{}.m4s", u64::MAX),
        format!("{epoch}/v0-99999999999999999999999.m4s"),
        format!("{epoch}/v0-1.99999.m4s"),
        format!("{epoch}/v0--1.m4s"),
        format!("{epoch}/v7.m3u8"),
        format!("{epoch}/..%2fv0.m3u8"),
        format!("{epoch}/%2e%2e%2f%2e%2e%2fetc%2fpasswd"),
        format!("{epoch}/v0.m3u8%00"),
        "0000/v0.m3u8".to_owned(),
        "..%2f..%2fv0.m3u8/x".to_owned(),
        format!("{epoch}/{}", "v".repeat(8000)),
    ] {
        let answer = file(&weir, &name);
        answer.problem(404);
        assert_eq!(kept(&answer), "no-store", "{name}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    weir.get("/live/nobody/index.m3u8").problem(404);
    assert_eq!(weir.metric("weir_hls_waiting"), 0.0);
}

/// Asks and does not wait for the answer.
fn ask(weir: &Weir, path: &str) -> TcpStream {
    let authority = weir.url.strip_prefix("http://").expect("a URL of ours");
    let mut socket = TcpStream::connect(authority).expect("it listens");
    write!(socket, "GET {path} HTTP/1.1\r\nhost: {authority}\r\n\r\n").expect("it reads");
    socket
}

fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn ten_thousand_blocked_requests_that_vanish_leave_nothing_behind() {
    let (weir, encoder) = show("[stream]\ngrace = \"60s\"\n");
    let (_, media) = pictures(&weir);
    let (msn, _) = hinted(&file(&weir, &media).text());
    // The publisher is lost: nothing more comes, and everybody waits.
    tests::encoder::signal(encoder.pid(), "STOP");
    std::thread::sleep(Duration::from_millis(500));
    let (next, _) = hinted(&file(&weir, &format!("{media}?_HLS_msn={}", msn - 1)).text());
    let path = format!("/live/show/{media}?_HLS_msn={}", next + 1);
    let round = |count: usize| {
        let sockets: Vec<TcpStream> = (0..count).map(|_| ask(&weir, &path)).collect();
        until("all wait", || weir.metric("weir_hls_waiting") >= count as f64 * 0.9);
        drop(sockets);
        until("nobody waits", || weir.metric("weir_hls_waiting") == 0.0);
    };
    // By then the allocator has what it keeps for itself.
    (0..4).for_each(|_| round(2500));
    let (files, memory) = (weir.files(), weir.memory());
    (0..4).for_each(|_| round(2500));
    until("files are closed", || weir.files() <= files + 5);
    let more = weir.memory().saturating_sub(memory);
    assert!(more < 16 << 20, "{more} bytes more than after the first rounds");
    tests::encoder::signal(encoder.pid(), "CONT");
    let (msn, part) = hinted(&file(&weir, &media).text());
    let answer = file(&weir, &format!("{media}?_HLS_msn={msn}&_HLS_part={part}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn who_returns_goes_on_behind_a_discontinuity_and_the_next_life_has_other_names() {
    let (weir, encoder) = show("[stream]\ngrace = \"20s\"\n");
    let (epoch, media) = pictures(&weir);
    assert_eq!(file(&weir, &media).status, 200);
    drop(encoder);
    weir.until("show", |s| s["state"] != "live");
    let encoder = publish(&weir);
    let end = Instant::now() + PATIENCE;
    loop {
        let playlist = file(&weir, &media).text();
        assert!(!playlist.contains("#EXT-X-ENDLIST"), "{playlist}");
        let after = playlist.split("#EXT-X-DISCONTINUITY\n").nth(1);
        if after.is_some_and(|after| !names(after).is_empty()) {
            break;
        }
        assert!(Instant::now() < end, "{playlist}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(pictures(&weir).0, epoch);

    // Goodbye: nobody waits for it, the stream has ended.
    encoder.stop();
    weir.until("show", |s| s["state"] == "ended" || s.is_null());
    until("the end", || file(&weir, &media).text().contains("#EXT-X-ENDLIST"));
    let ended = file(&weir, &format!("{media}?_HLS_msn=99999&_HLS_part=7"));
    assert_eq!(ended.status, 200, "after the end directives are ignored: {}", ended.text());
    let last = names(&ended.text()).last().map(|name| format!("{epoch}/{name}"));
    let last = last.expect("a segment");
    assert_eq!(file(&weir, &last).status, 200);

    let _encoder = publish(&weir);
    until("another life", || pictures(&weir).0 != epoch);
    assert_eq!(file(&weir, &last).status, 200, "what has ended can still be seen");
}

#[test]
fn a_token_is_carried_on_where_one_is_needed() {
    let (weir, _encoder) = show("[[access]]\naction = \"watch\"\ntoken = \"a b&c\"\n");
    file(&weir, "index.m3u8").problem(401);
    file(&weir, "index.m3u8?token=wrong").problem(403);
    let answer = file(&weir, "index.m3u8?token=a%20b%26c");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(kept(&answer).starts_with("private"), "{}", kept(&answer));
    let index = answer.text();
    let media = names(&index).into_iter().next().expect("a playlist");
    assert!(media.ends_with(".m3u8?token=a%20b%26c"), "{index}");
    let playlist = file(&weir, media).text();
    let (epoch, _) = media.split_once('/').expect("a folder");
    let named = names(&playlist).into_iter().chain(said(&playlist, "#EXT-X-PART:", "URI"));
    let named = named.chain(said(&playlist, "#EXT-X-MAP:", "URI"));
    for name in named.chain(said(&playlist, "#EXT-X-PRELOAD-HINT:", "URI")) {
        assert!(name.ends_with("?token=a%20b%26c"), "{name}");
        let answer = file(&weir, &format!("{epoch}/{name}"));
        assert!(matches!(answer.status, 200), "{name}: {}", answer.status);
    }
    let bare = media.split_once('?').expect("a query").0;
    file(&weir, bare).problem(401);
    let bearer = [("authorization", "Bearer a b&c")];
    let answer = http::send("GET", &weir.at(&format!("/live/show/{bare}")), &bearer, &[]);
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("token="), "who sends a header sends it again");
}

#[test]
fn always_needs_no_request() {
    let (weir, _encoder) = show("[live]\nstart = \"always\"\npreset = \"far\"\n");
    let stream = weir.until("show", |s| !s["hls"].is_null());
    assert_eq!(stream["viewers"]["hls"], 0, "{stream:#}");
    let (_, media) = pictures(&weir);
    let target = said(&file(&weir, &media).text(), "#EXT-X-PART-INF:", "PART-TARGET")
        .first()
        .and_then(|target| target.parse::<f64>().ok());
    assert!(target >= Some(0.5), "{target:?}");
}

#[test]
fn who_waits_when_the_server_stops_hears_that_it_is_over() {
    let (weir, _encoder) = show("");
    let (_, media) = pictures(&weir);
    let (msn, _) = hinted(&file(&weir, &media).text());
    let mut waits = ask(&weir, &format!("/live/show/{media}?_HLS_msn={}", msn + 1));
    until("it waits", || weir.metric("weir_hls_waiting") == 1.0);
    assert!(weir.terminate(Duration::from_secs(5)).success());
    let mut answer = String::new();
    waits.read_to_string(&mut answer).expect("the connection is closed in order");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("#EXT-X-ENDLIST"), "{answer}");
}

#[test]
fn plain_hls_has_no_parts() {
    let (weir, _encoder) = show("[live]\npreset = \"safe\"\nsegment = \"1s\"\n");
    let (epoch, media) = pictures(&weir);
    let playlist = file(&weir, &media).text();
    for tag in ["#EXT-X-PART", "CAN-BLOCK-RELOAD", "#EXT-X-PRELOAD-HINT"] {
        assert!(!playlist.contains(tag), "{playlist}");
    }
    let segment = *names(&playlist).first().expect("a segment");
    assert_eq!(file(&weir, &format!("{epoch}/{segment}")).status, 200);
}

/// Other values for some streams, by their names; only those are packaged though nobody asks.
#[test]
fn each_stream_is_cut_as_the_first_pattern_says_that_its_name_fits() {
    let rules = "[live]\nsegment = \"1s\"\n\
                 [[live.streams]]\nstream = \"*-plain\"\npreset = \"safe\"\nsegment = \"1s\"\n\
                 [[live.streams]]\nstream = \"sho*\"\nstart = \"always\"\n";
    let (weir, _encoder) = show(rules);
    weir.until("show", |s| s["hls"]["renditions"].is_array());
    let _plain = Encoder::publish(&Film::small(Recipe::PLAIN), &weir.rtmp_url("show-plain"));
    weir.until("show-plain", |s| s["state"] == "live");
    let text = |path: &str| weir.get(&format!("/live/{path}")).text();
    let parts = |stream: &str| {
        let index = text(&format!("{stream}/index.m3u8"));
        let media = names(&index).into_iter().find(|name| name.contains("/v0.m3u8"));
        text(&format!("{stream}/{}", media.expect("pictures"))).contains("#EXT-X-PART")
    };
    let packaged = weir.stream("show-plain").expect("it is live")["hls"]["renditions"].is_array();
    assert!(!packaged, "nobody has asked for it");
    assert!(parts("show") && !parts("show-plain"));
}

/// By WHIP: Opus as it is, and as AAC for those who have nothing else.
async fn by_whip(codec: clip::Codec, pictures_are: &'static str) {
    let weir = Weir::start();
    let publish = Show { audio: true, ..Show::of(Clip::small(codec)) };
    let _publisher = Publisher::showing(&weir, "show", publish).await;
    let look = move || {
        weir.until("show", |s| s["state"] == "live");
        let asked = Instant::now();
        let text = file(&weir, "index.m3u8").text();
        let first = asked.elapsed();
        let media = names(&text).into_iter().find(|name| name.contains("/v0.m3u8"));
        let media = media.expect("pictures are waited for");
        let media = file(&weir, media).text();
        let whole = asked.elapsed();
        assert!(!names(&media).is_empty(), "{media}");
        assert!(whole < Duration::from_millis(1500), "{first:?}, and a segment after {whole:?}");
        until("AAC", || index(&weir).contains("mp4a.40.2"));
        let index = index(&weir);
        for part in [pictures_are, "opus", "mp4a.40.2"] {
            assert!(index.contains(part), "no {part}:\n{index}");
        }
        let stream = weir.stream("show").expect("it is live");
        let bridges = stream["bridges"].as_array().expect("a list");
        assert!(bridges.iter().all(|b| b["why"] == "hls audience"), "{stream:#}");
        let (epoch, media) = pictures(&weir);
        let playlist = file(&weir, &media).text();
        let (msn, _) = hinted(&playlist);
        for name in ["v0", "a0", "a1"] {
            let reload = file(&weir, &format!("{epoch}/{name}.m3u8?_HLS_msn={msn}"));
            assert_eq!(reload.status, 200, "{}", reload.text());
            let segment = file(&weir, &format!("{epoch}/{name}-{msn}.m4s"));
            assert_eq!(segment.status, 200, "{name}: {}", reload.text());
            assert!(segment.body.len() > 500, "{name}");
        }
    };
    tokio::task::spawn_blocking(look).await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_with_h264_and_opus_has_aac_too() {
    by_whip(clip::Codec::H264, "avc1.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vp8_is_there_as_h264() {
    by_whip(clip::Codec::Vp8, "avc1.").await;
}

/// Who was told of sound alone would never look for the pictures.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_bridge_of_pictures_is_waited_for() {
    let worker = std::env::temp_dir().join(format!("weir-slow-{}", std::process::id()));
    let real = tests::weir::target().join("weir-transcoder");
    let script = format!("#!/bin/sh\nsleep 4\nexec {} \"$@\"\n", real.display());
    std::fs::write(&worker, script).expect("the temporary folder can be written");
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&worker, all).expect("it is ours");
    let weir = Weir::with(&["--transcode-worker", &worker.to_string_lossy()], "");
    let publish = Show { audio: true, ..Show::of(Clip::small(clip::Codec::Vp8)) };
    let _publisher = Publisher::showing(&weir, "show", publish).await;
    let look = move || {
        weir.until("show", |s| s["state"] == "live");
        let asked = Instant::now();
        let text = index(&weir);
        assert!(text.contains("avc1."), "after {:?}:\n{text}", asked.elapsed());
        assert!(asked.elapsed() > Duration::from_secs(3), "{:?}", asked.elapsed());
        let (_, media) = pictures(&weir);
        assert!(!names(&file(&weir, &media).text()).is_empty());
    };
    tokio::task::spawn_blocking(look).await.expect("it ends");
    std::fs::remove_file(&worker).expect("it is there");
}

#[test]
fn a_slow_reader_of_a_segment_holds_nobody_up() {
    let (weir, _encoder) = show("");
    let (epoch, media) = pictures(&weir);
    let playlist = file(&weir, &media).text();
    let segment = *names(&playlist).last().expect("a segment");
    let mut slow = ask(&weir, &format!("/live/show/{epoch}/{segment}"));
    let mut first = [0; 1];
    slow.read_exact(&mut first).expect("the head begins");
    let (msn, part) = hinted(&playlist);
    let answer = file(&weir, &format!("{media}?_HLS_msn={msn}&_HLS_part={part}"));
    assert_eq!(answer.status, 200);
}
