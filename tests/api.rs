//! The API and the program itself: what it says is what happens, and who may ask.

use std::time::Duration;

use serde_json::Value;
use tests::clip::{Clip, Codec};
use tests::publisher::Show;
use tests::viewer::Wish;
use tests::weir::{run, samples};
use tests::{Publisher, Viewer, Weir, http};
use webrtc::peer_connection::RTCPeerConnectionState;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_told_from_idle_to_gone() {
    let weir = Weir::start();
    weir.get("/api/v1/streams/show").problem(404);
    weir.get("/api/v1/streams/show/viewers").problem(404);
    assert_eq!(weir.get("/api/v1/streams").json(), serde_json::json!([]));

    let viewer = Viewer::join(&weir, "show").await;
    let idle = weir.until("show", |s| s["state"] == "idle");
    assert_eq!(idle["viewers"]["whep"], 1);
    assert_eq!(idle["tracks"], serde_json::json!([]));
    assert!(idle["publisher"].is_null());
    let viewers = weir.get("/api/v1/streams/show/viewers").json();
    assert_eq!(viewers[0]["state"], "waiting", "{viewers}");

    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    let live = weir.until("show", |s| {
        s["state"] == "live" && s["tracks"].as_array().is_some_and(|t| t.len() == 2)
    });
    assert_eq!(live["name"], "show");
    assert_eq!(live["publisher"]["protocol"], "whip");
    assert_eq!(live["publisher"]["user_agent"], "weir-tests/1");
    let since = live["publisher"]["since"].as_str().unwrap_or_default();
    assert!(since.len() >= 20 && since.ends_with('Z') && since.contains('T'), "{since:?}");
    let live = weir.until("show", |s| {
        let video = encoding(s);
        video["width"] == 320 && video["fps"].as_f64().is_some_and(|f| (25.0..35.0).contains(&f))
    });
    let video = encoding(&live);
    assert_eq!((&video["height"], &video["origin"]), (&180.into(), &"source".into()), "{video}");
    assert_eq!(video["b_frames"], false);
    assert!(video["bitrate_bps"].as_u64().is_some_and(|b| b > 20_000), "{video}");
    viewer.until_video("the show", |t| t.len() > 10).await;
    let viewers = weir.get("/api/v1/streams/show/viewers").json();
    assert_eq!(viewers[0]["state"], "playing", "{viewers}");
    assert_eq!(viewers[0]["protocol"], "whep");
    assert_eq!(weir.get("/api/v1/streams").json()[0]["name"], "show");

    publisher.leave().await;
    let ended = weir.until("show", |s| s["state"] != "live");
    assert!(["idle", "ended", "interrupted"].contains(&ended["state"].as_str().unwrap_or("")));
    assert_eq!(ended["viewers"]["whep"], 1, "the viewer stays");
    viewer.leave().await;
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while weir.state("show") != "gone" && weir.state("show") != "ended" {
        assert!(std::time::Instant::now() < end, "{:?}", weir.stream("show"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn encoding(stream: &Value) -> Value {
    let tracks = stream["tracks"].as_array().cloned().unwrap_or_default();
    let video = tracks.iter().find(|t| t["kind"] == "video").cloned().unwrap_or_default();
    video["encodings"][0].clone()
}

fn sound(stream: &Value) -> Value {
    let tracks = stream["tracks"].as_array().cloned().unwrap_or_default();
    tracks.iter().find(|t| t["kind"] == "audio").cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_what_the_clients_counted() {
    let weir = Weir::start();
    let mut publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    viewer.until_video("3 s of video", |t| t.len() >= 120).await;
    let early = encoding(&weir.stream("show").expect("it is live"))["packets"].as_u64();
    viewer.more_video(60).await;
    let late = encoding(&weir.stream("show").expect("it is live"))["packets"].as_u64();
    assert!(late > early, "{early:?} then {late:?}");

    publisher.stop();
    let (sent, sang) = (publisher.sent(0), publisher.sang());
    let bytes: usize = sent.iter().map(|p| p.payload.len()).sum();
    weir.until("show", |s| {
        encoding(s)["packets"] == sent.len() && sound(s)["packets"] == sang.len()
    });
    let stream = weir.stream("show").expect("the publisher is still there");
    assert_eq!(encoding(&stream)["lost"], 0);
    assert_eq!(sound(&stream)["bytes"], sang.iter().map(|p| p.payload.len()).sum::<usize>());
    assert_eq!(weir.metric("weir_packets_in_total"), (sent.len() + sang.len()) as f64);
    let sounds: usize = sang.iter().map(|p| p.payload.len()).sum();
    assert_eq!(weir.metric("weir_bytes_in_total"), (bytes + sounds) as f64);

    let all = |v: &Viewer| v.video().len() + v.audio().len();
    let end = std::time::Instant::now() + Duration::from_secs(5);
    loop {
        let row = weir.get("/api/v1/streams/show/viewers").json()[0].clone();
        let (packets, bytes) = (all(&viewer), viewer.video().bytes + viewer.audio().bytes);
        if row["packets"] == packets && row["bytes"] == bytes {
            break;
        }
        assert!(std::time::Instant::now() < end, "{row} and {packets} packets, {bytes} bytes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(weir.metric("weir_packets_out_total"), all(&viewer) as f64);
    let asked = publisher.keyframe_requests(0) as f64;
    assert_eq!(weir.metric("weir_keyframe_requests_total"), asked);
}

fn reporting() -> Wish {
    Wish { transport_cc: false, ..Wish::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_viewers_is_who_watches() {
    let weir = Weir::start();
    let _publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let first = Viewer::wishing(&weir, "show", reporting()).await;
    let second = Viewer::wishing(&weir, "show", reporting()).await;
    second.more_video(60).await;
    first.more_video(60).await;
    weir.until("show", |s| s["viewers"]["whep"] == 2);
    let end = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let rows = weir.get("/api/v1/streams/show/viewers").json();
        let rows = rows.as_array().cloned().unwrap_or_default();
        assert_eq!(rows.len(), 2);
        let reported = |r: &Value| {
            r["bitrate_bps"].as_u64().is_some_and(|b| b > 20_000)
                && r["loss"].as_f64() == Some(0.0)
                && r["rtt_ms"].as_f64().is_some_and(|r| (0.0..1_000.0).contains(&r))
        };
        if rows.iter().all(reported) {
            break;
        }
        assert!(std::time::Instant::now() < end, "{rows:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ids: Vec<_> =
        weir.get("/api/v1/streams/show/viewers").json().as_array().map_or(Vec::new(), |rows| {
            rows.iter().map(|r| r["session"].as_str().unwrap_or_default().to_owned()).collect()
        });
    let secret = first.session.resource.rsplit('/').next().expect("an absolute URL").to_owned();
    assert!(ids.iter().any(|id| secret.starts_with(id.as_str()) && id.len() < secret.len()));
    first.leave().await;
    weir.until("show", |s| s["viewers"]["whep"] == 1);
    second.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_after_the_goodbye_of_dtls_is_no_mistake() {
    let weir = Weir::start();
    let _publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    weir.until("show", |s| s["viewers"]["whep"] == 1);
    viewer.peer.connection.close().await.expect("webrtc-rs closes");
    weir.until("show", |s| s["viewers"]["whep"] == 0);
    assert_eq!(viewer.session.delete().await.status, 200);
    assert_eq!(viewer.session.delete().await.status, 404, "a second DELETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_disconnects_the_publisher() {
    let weir = Weir::start();
    let mut publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    weir.until("show", |s| s["state"] == "live");
    let url = weir.at("/api/v1/streams/show/publisher");
    let answer = http::send("DELETE", &url, &[], &[]);
    assert_eq!(answer.status, 204, "{}", answer.text());
    weir.until("show", |s| s["publisher"].is_null() && s["viewers"]["whep"] == 1);
    publisher.stop();
    assert_eq!(publisher.session.delete().await.status, 404, "its session has ended");
    http::send("DELETE", &url, &[], &[]).problem(404);
    assert_eq!(*viewer.peer.state.borrow(), RTCPeerConnectionState::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_and_description_are_there() {
    let weir = Weir::start();
    assert_eq!(weir.get("/healthz").status, 200);
    assert_eq!(weir.get("/readyz").status, 200);

    let server = weir.get("/api/v1/server").json();
    for listener in server["listeners"].as_array().expect("a list") {
        let port = listener["address"].as_str().and_then(|a| a.rsplit_once(':')).map(|a| a.1);
        assert!(port.is_some_and(|p| p != "0"), "{listener}");
    }
    assert!(server["listeners"].to_string().contains(weir.url.trim_start_matches("http://")));
    assert!(server["version"].is_string() && server["uptime_seconds"].is_number(), "{server}");
    let encoders: Vec<_> = server["encoders"].as_array().expect("a list").iter().collect();
    for encoder in ["libx264", "libopus", "aac", "libvpx"] {
        assert!(encoders.iter().any(|found| *found == encoder), "{encoder}: {server}");
    }
    assert!(
        server["worker"].as_str().is_some_and(|w| w.starts_with("weir-transcoder ")),
        "{server}"
    );
    assert!(tests::encoder::children(weir.pid(), "weir-transcoder").is_empty(), "and it has gone");

    let metrics = weir.get("/metrics");
    assert!(metrics.header("content-type").is_some_and(|t| t.starts_with("text/plain")));
    let all = samples(&metrics.text());
    assert!(all.len() > 10 && all.iter().all(|(n, _, v)| n.starts_with("weir_") && v.is_finite()));

    let openapi = weir.get("/api/v1/openapi.json").json();
    assert!(openapi["openapi"].as_str().is_some_and(|v| v.starts_with("3.")), "{openapi}");
    for path in [
        "/api/v1/server",
        "/api/v1/streams",
        "/api/v1/streams/{stream}",
        "/api/v1/streams/{stream}/publisher",
        "/api/v1/streams/{stream}/history",
        "/api/v1/streams/{stream}/viewers",
        "/api/v1/sessions/{id}",
        "/api/v1/sessions/{id}/status",
        "/api/v1/sessions/{id}/health",
        "/api/v1/sessions/{id}/logs",
        "/metrics",
        "/healthz",
        "/readyz",
    ] {
        assert!(openapi["paths"][path].is_object(), "{path}");
    }
    weir.get("/no/such/page").problem(404);
    http::send("PUT", &weir.at("/api/v1/streams"), &[], b"x").problem(405);
    weir.get("/api/v1/streams/not%20a%20name").problem(400);
}

const RULES: &str = r#"
[[access]]
action = "publish"
stream = "show-*"
token = "write-me"

[[access]]
action = "watch"
token = "read-me"

[[access]]
action = "api"
token = "ask-me"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_gets_401_and_who_has_a_wrong_one_403() {
    let weir = Weir::configured(RULES);
    let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
    let mut show = Show::of(Clip::small(Codec::Vp8));
    show.headers = bearer("write-me");
    let publisher = Publisher::showing(&weir, "show-1", show).await;
    let wish = Wish { headers: bearer("read-me"), ..Wish::default() };
    let viewer = Viewer::wishing(&weir, "show-1", wish).await;
    viewer.more_video(10).await;

    let (publish, watch) = (&publisher.session.offer, &viewer.session.offer);
    let cases = [
        ("POST", "/whip/show-1", publish.as_str()),
        ("POST", "/whep/show-1", watch.as_str()),
        ("GET", "/api/v1/streams", ""),
        ("GET", "/api/v1/server", ""),
        ("GET", "/metrics", ""),
        ("DELETE", "/api/v1/streams/show-1/publisher", ""),
    ];
    for (method, path, body) in cases {
        let media = ("content-type", "application/sdp");
        let answer = http::send(method, &weir.at(path), &[media], body.as_bytes());
        answer.problem(401);
        assert!(answer.header("www-authenticate").is_some_and(|h| h.starts_with("Bearer")));
        let wrong = ("authorization", "Bearer nonsense");
        http::send(method, &weir.at(path), &[media, wrong], body.as_bytes()).problem(403);
        let query = format!("{path}?token=nonsense");
        http::send(method, &weir.at(&query), &[media], body.as_bytes()).problem(403);
    }
    // A token is good for what its rule says, and for nothing else.
    let read = ("authorization", "Bearer read-me");
    let media = ("content-type", "application/sdp");
    let url = weir.at("/whip/show-1");
    http::send("POST", &url, &[media, read], publish.as_bytes()).problem(403);
    let write = ("authorization", "Bearer write-me");
    let url = weir.at("/whip/other");
    http::send("POST", &url, &[media, write], publish.as_bytes()).problem(403);
    http::send("POST", &url, &[media], publish.as_bytes()).problem(401);
    assert_eq!(weir.get("/api/v1/streams?token=ask-me").status, 200);
    let url = weir.at("/whep/show-1?token=read-me");
    assert_eq!(http::send("POST", &url, &[media], watch.as_bytes()).status, 201);
    assert_eq!(weir.get("/healthz").status, 200, "health needs no token");
}

#[test]
fn an_unknown_key_ends_the_program_and_names_the_nearest() {
    for arguments in [&["--config", "weir.toml"][..], &["check", "--config", "weir.toml"]] {
        let file = "[webrtc]\nmax_viewer = 3\n";
        let (status, out, err) = run(arguments, &[("weir.toml", file)]);
        assert_eq!(status.code(), Some(2), "{out}{err}");
        let said = format!("{out}{err}");
        assert!(said.contains("max_viewer") && said.contains("webrtc.max_viewers"), "{said}");
    }
    let (status, _, err) = run(&["--config", "missing.toml"], &[]);
    assert_eq!(status.code(), Some(2), "{err}");
    assert!(err.contains("missing.toml"), "{err}");
}

#[test]
fn check_prints_the_effective_configuration() {
    let file = "[http]\nlisten = \"127.0.0.1:9001\"\nbody_limit = 4242\n\
                [[access]]\naction = \"publish\"\ntoken = \"hush-hush\"\n";
    let arguments = ["check", "--config", "weir.toml", "--http-listen", "127.0.0.1:9002"];
    let (status, out, err) = run(&arguments, &[("weir.toml", file)]);
    assert_eq!(status.code(), Some(0), "{err}");
    assert!(out.contains("127.0.0.1:9002") && !out.contains("9001"), "flags beat the file: {out}");
    assert!(out.contains("4242"), "{out}");
    assert!(!out.contains("hush-hush") && !err.contains("hush-hush"), "the token shows: {out}");
    for bad in ["[http]\nbody_limit = \"many\"\n", "[http\n", "[webrtc]\nlisten = \"nowhere\"\n"] {
        let (status, out, err) = run(&["check", "--config", "weir.toml"], &[("weir.toml", bad)]);
        assert_eq!(status.code(), Some(2), "{bad}: {out}{err}");
        assert!(!err.trim().is_empty());
    }
}

#[test]
fn help_and_version_are_told() {
    let (status, out, _) = run(&["--version"], &[]);
    assert!(status.success() && out.contains(char::is_numeric), "{out}");
    let (status, out, _) = run(&["--help"], &[]);
    assert!(status.success() && out.contains("--http-listen"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_tells_the_viewers_and_ends_in_time() {
    let weir = Weir::configured("[server]\ndrain_timeout = \"5s\"\n");
    let _publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    viewer.more_video(10).await;
    let ended = tokio::task::spawn_blocking(move || weir.terminate(Duration::from_secs(6)));
    assert!(ended.await.expect("ends").success());
    // Without a goodbye webrtc-rs would notice nothing for five seconds.
    let mut states = viewer.peer.state.clone();
    let told = async {
        loop {
            let bye = viewer.ear().look(|i| !i.goodbyes.is_empty());
            let closed = *states.borrow_and_update() != RTCPeerConnectionState::Connected;
            if bye || closed {
                return;
            }
            tokio::select! {
                _ = states.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(3), told).await.expect("the viewer was not told");
}

#[tokio::test(flavor = "multi_thread")]
async fn full_is_full_and_says_when_to_come_back() {
    let weir = Weir::configured("[webrtc]\nmax_viewers = 2\nmax_publishers = 1\n");
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let first = Viewer::join(&weir, "show").await;
    let second = Viewer::join(&weir, "show").await;
    let files = weir.at("/live/show/index.m3u8");
    let refusals = [
        (weir.offer("/whep/show", &first.session.offer), serde_json::json!([files])),
        (weir.offer("/whip/other", &publisher.session.offer), Value::Null),
    ];
    for (answer, alternatives) in refusals {
        let problem = answer.problem(503);
        assert_eq!(problem["type"], "urn:weir:problem:server-full");
        assert_eq!(problem["alternatives"], alternatives, "where a viewer may go: {problem}");
        let seconds = answer.header("retry-after").and_then(|s| s.parse::<u32>().ok());
        assert!(seconds.is_some_and(|s| s > 0), "{:?}", answer.headers);
    }
    first.leave().await;
    let third = Viewer::join(&weir, "show").await;
    third.more_video(10).await;
    second.more_video(10).await;
}

#[test]
fn two_servers_never_share_a_port() {
    let weir = Weir::start();
    let address = weir.url.trim_start_matches("http://").to_owned();
    let (status, out, err) =
        run(&["--http-listen", &address, "--webrtc-listen", "127.0.0.1:0"], &[]);
    assert!(!status.success(), "{out}");
    assert!(err.contains(&address), "{err}");
    let server = weir.get("/api/v1/server").json();
    let udp = server["listeners"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|l| l["transport"] == "udp")
        .and_then(|l| l["address"].as_str().map(str::to_owned))
        .expect("a UDP listener");
    let (status, out, err) = run(&["--http-listen", "127.0.0.1:0", "--webrtc-listen", &udp], &[]);
    assert!(!status.success(), "{out}");
    assert!(err.contains(&udp), "{err}");
}
