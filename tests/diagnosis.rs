//! What an operator can find out about one session: its state, what is wrong with it in plain words,
//! and what happened to it, also after its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::clip::{Clip, Codec};
use tests::publisher::Show;
use tests::viewer::Wish;
use tests::{Impairment, Publisher, Viewer, Weir, http};
use webrtc::peer_connection::RTCPeerConnectionState;

/// The form of a session's id that the API shows: the beginning of the secret one.
fn short(resource: &str) -> String {
    let secret = resource.rsplit('/').next().expect("an absolute URL");
    assert_eq!(secret.len(), 32, "{resource}");
    secret[..8].to_owned()
}

fn ask(weir: &Weir, id: &str, what: &str) -> Value {
    let answer = weir.get(&format!("/api/v1/sessions/{id}/{what}"));
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    answer.json()
}

/// Asks until the session's `what` satisfies `good`.
#[track_caller]
fn until(weir: &Weir, id: &str, what: &str, good: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let answer = ask(weir, id, what);
        if good(&answer) {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "never: {answer:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Codes of a log or of problems.
fn codes(list: &Value) -> Vec<String> {
    let rows = list.as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row["code"].as_str().unwrap_or_default().to_owned()).collect()
}

fn has(problems: &Value, code: &str) -> bool {
    codes(&problems["problems"]).iter().any(|c| c == code)
}

/// The text of a problem or of the first log line of this code.
#[track_caller]
fn text(list: &Value, code: &str) -> String {
    let rows = list.as_array().cloned().unwrap_or_default();
    let row = rows.iter().find(|row| row["code"] == code);
    let text = row.and_then(|row| row["text"].as_str());
    assert!(text.is_some(), "no {code} in {list:#}");
    text.unwrap_or_default().to_owned()
}

/// These codes stand in the log in this order, others between them.
#[track_caller]
fn tells(log: &Value, story: &[&str]) {
    let all = codes(&log["entries"]);
    let mut rest = all.iter();
    let told = story.iter().all(|wanted| rest.any(|code| code == wanted));
    assert!(told, "{story:?} is not told by\n{log:#}");
}

/// What holds for every log: a stable name, words, times that do not go back.
#[track_caller]
fn is_a_log(log: &Value) {
    let entries = log["entries"].as_array().expect("a list");
    assert!(!entries.is_empty() && entries.len() <= 200);
    let mut before = String::new();
    for entry in entries {
        let at = entry["at"].as_str().expect("a time").to_owned();
        // 2026-01-01T00:00:00.000Z
        assert!(at.len() == 24 && at.ends_with('Z') && at.contains('.'), "{at}");
        assert!(at >= before, "{at} after {before}");
        before = at;
        let code = entry["code"].as_str().expect("a code");
        assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
        assert!(entry["text"].as_str().is_some_and(|t| t.len() > 5), "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_gets_through_can_be_told_why_after_it_is_gone() {
    let weir = Weir::start();
    let _publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let relayed = |weather| Wish { network: Some((weather, 9)), ..Wish::default() };
    // Nothing of one comes through, another one's handshake never ends, and the third shows another
    // certificate than its offer names.
    let cut = Viewer::offering(&weir, "show", relayed(Impairment::CUT)).await;
    let deaf = Impairment { no_dtls: true, ..Impairment::NONE };
    let endless = Viewer::offering(&weir, "show", relayed(deaf)).await;
    let mut stranger = Viewer::silent(&Wish::default()).await;
    let offer = stranger.offer().await;
    let (head, print) = offer.split_once("a=fingerprint:sha-256 ").expect("a fingerprint");
    // Turned round it is somebody else's.
    let digest: String = print.lines().next().expect("a digest").trim().to_owned();
    let other: Vec<&str> = digest.split(':').rev().collect();
    let forged = format!("{head}a=fingerprint:sha-256 {print}").replace(&digest, &other.join(":"));
    let answer = weir.offer("/whep/show", &forged);
    assert_eq!(answer.status, 201, "{}", answer.text());
    stranger.take_answer(&answer.text()).await;

    let id = short(answer.header("location").expect("a 201 has a Location"));
    let gone = until(&weir, &id, "status", |s| {
        s["state"] == "ended" && s["transport"]["remote"].is_string()
    });
    assert!(gone["ended"].is_string(), "{gone:#}");
    let health = ask(&weir, &id, "health");
    assert_eq!(codes(&health["problems"]), ["fingerprint_mismatch"], "{health:#}");
    let log = ask(&weir, &id, "logs");
    tells(&log, &["offer", "stun_check", "dtls_begun", "dtls_failed", "closed"]);

    // Already while it tries one can see that nothing comes.
    let id = short(&cut.session.resource);
    let health = until(&weir, &id, "health", |h| h["ok"] == false);
    assert_eq!(codes(&health["problems"]), ["no_candidate_pair"], "{health:#}");
    assert_eq!(ask(&weir, &id, "status")["state"], "connecting");
    let gone = until(&weir, &id, "status", |s| s["state"] == "ended");
    assert!(gone["ended_because"].as_str().is_some_and(|t| t.contains("never connected")));
    assert_eq!((&gone["role"], &gone["protocol"]), (&"viewer".into(), &"whep".into()));
    assert_eq!((&gone["stream"], &gone["session"]), (&"show".into(), &id.as_str().into()));
    assert_eq!(
        gone["transport"],
        serde_json::json!({"local": null, "protocol": null, "remote": null, "srtp": null})
    );
    let health = ask(&weir, &id, "health");
    let said = text(&health["problems"], "no_candidate_pair");
    let server = tests::peer::first_candidate(&cut.session.sdp).to_string();
    assert!(said.contains(&server) && said.contains("webrtc.advertise"), "{said}");
    let log = ask(&weir, &id, "logs");
    is_a_log(&log);
    assert_eq!(codes(&log["entries"]), ["offer", "closed"], "{log:#}");
    assert!(text(&log["entries"], "offer").contains("weir-tests/1"), "{log:#}");

    let id = short(&endless.session.resource);
    until(&weir, &id, "status", |s| s["state"] == "ended");
    let log = until(&weir, &id, "logs", |l| codes(&l["entries"]).len() > 2);
    tells(&log, &["offer", "stun_check", "candidate_pair", "dtls_begun", "closed"]);
    assert!(!codes(&log["entries"]).contains(&"dtls_up".to_owned()), "{log:#}");
    let health = ask(&weir, &id, "health");
    assert_eq!(codes(&health["problems"]), ["dtls_unfinished"], "{health:#}");

    // It is gone for who knew its secret, too.
    assert_eq!(cut.session.delete().await.status, 404);
    assert_eq!(weir.stream("show").expect("live")["viewers"]["whep"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_viewer_tells_its_story_in_order() {
    let weir = Weir::start();
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    let live = weir.until("show", |s| s["state"] == "live");
    let source = short(&publisher.session.resource);
    assert_eq!(live["publisher"]["session"], source, "{live:#}");
    let wish = Wish { transport_cc: false, ..Wish::default() };
    let viewer = Viewer::wishing(&weir, "show", wish).await;
    viewer.until_video("the show", |t| t.len() >= 60).await;

    let id = short(&viewer.session.resource);
    let rows = weir.get("/api/v1/streams/show/viewers").json();
    assert_eq!(rows[0]["session"], id, "{rows:#}");
    let status = until(&weir, &id, "status", |s| s["state"] == "playing" && s["bitrate_bps"] != 0);
    for field in ["protocol", "since", "address", "user_agent", "layer", "wanted_layer"] {
        assert_eq!(status[field], rows[0][field], "{field} of {status:#}");
    }
    assert!(status["packets"].as_u64() > Some(0) && status["tracks"] == serde_json::json!([]));
    let server = tests::peer::first_candidate(&viewer.session.sdp).to_string();
    assert_eq!(status["transport"]["local"], server, "{status:#}");
    assert!(status["transport"]["remote"].as_str().is_some_and(|a| a.starts_with("127.0.0.1:")));
    assert!(status["transport"]["srtp"].as_str().is_some_and(|s| s.starts_with("AES-")));
    let health = ask(&weir, &id, "health");
    assert_eq!(health, serde_json::json!({"ok": true, "problems": []}));

    let log = ask(&weir, &id, "logs");
    is_a_log(&log);
    tells(&log, &["offer", "stun_check", "candidate_pair", "dtls_begun", "dtls_up", "layer_shown"]);
    tells(&log, &["offer", "attached", "layer_selected", "layer_shown"]);
    let remote = status["transport"]["remote"].as_str().expect("just seen");
    let first = text(&log["entries"], "stun_check");
    assert!(first.starts_with("the viewer's first STUN check came from 127.0.0.1:"), "{first}");
    assert!(text(&log["entries"], "candidate_pair").contains(remote), "{log:#}");
    let up = text(&log["entries"], "dtls_up");
    assert!(up.starts_with("DTLS is up after ") && up.contains(" ms, SRTP AES-"), "{up}");
    assert!(text(&log["entries"], "attached").contains(&source), "{log:#}");

    let status = ask(&weir, &source, "status");
    assert_eq!((&status["role"], &status["state"]), (&"publisher".into(), &"live".into()));
    let live = weir.stream("show").expect("live");
    assert_eq!(status["tracks"][0]["kind"], live["tracks"][0]["kind"]);
    let log = ask(&weir, &source, "logs");
    is_a_log(&log);
    tells(&log, &["offer", "stun_check", "candidate_pair", "dtls_begun", "dtls_up", "encoding"]);
    tells(&log, &["offer", "publishes"]);
    assert!(log.to_string().contains("320 x 180 pixels"), "{log:#}");

    publisher.leave().await;
    let log = until(&weir, &id, "logs", |l| codes(&l["entries"]).contains(&"detached".into()));
    tells(&log, &["layer_shown", "detached"]);
    assert!(has(&ask(&weir, &id, "health"), "no_publisher"));
    let log = until(&weir, &source, "logs", |l| codes(&l["entries"]).contains(&"dtls_up".into()));
    tells(&log, &["encoding", "closed"]);
    assert!(text(&log["entries"], "closed").contains("it said goodbye"), "{log:#}");
    // Nowhere is what would let somebody end the session.
    let secret = viewer.session.resource.rsplit('/').next().expect("a URL");
    for what in ["status", "health", "logs"] {
        assert!(!ask(&weir, &id, what).to_string().contains(secret), "{what}");
    }
    viewer.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_without_keyframes_is_told_so_and_so_is_who_waits_for_one() {
    let weir = Weir::start();
    let good = Publisher::start(&weir, "good", Clip::small(Codec::Vp8)).await;
    let whole = Clip::small(Codec::Vp8);
    let blind = Arc::new(Clip {
        codec: whole.codec,
        width: whole.width,
        height: whole.height,
        frames: whole.frames[1..].to_vec(),
    });
    let mut show = Show::of(blind);
    show.audio = false;
    let bad = Publisher::showing(&weir, "bad", show).await;
    let waiting = Viewer::join(&weir, "bad").await;
    let playing = Viewer::join(&weir, "good").await;
    playing.until_video("the good show", |t| t.len() >= 60).await;

    let id = short(&bad.session.resource);
    let health = until(&weir, &id, "health", |h| has(h, "no_keyframe"));
    assert_eq!(health["ok"], false);
    assert!(text(&health["problems"], "no_keyframe").contains("1 to 2 seconds"), "{health:#}");
    let log = ask(&weir, &id, "logs");
    tells(&log, &["dtls_up", "encoding"]);
    assert!(!codes(&log["entries"]).contains(&"keyframe".to_owned()), "{log:#}");
    assert!(text(&log["entries"], "keyframes_wanted").contains("was asked for a keyframe"));

    let id = short(&waiting.session.resource);
    let health = until(&weir, &id, "health", |h| has(h, "awaiting_keyframe"));
    assert!(text(&health["problems"], "awaiting_keyframe").contains("of main"), "{health:#}");
    let log = until(&weir, &id, "logs", |l| l.to_string().contains(": a keyframe is awaited"));
    tells(&log, &["attached", "layer_selected"]);
    // It stands where the second began in which the first was dropped, perhaps before all else.
    assert!(codes(&log["entries"]).contains(&"dropped".to_owned()), "{log:#}");
    assert!(waiting.video().is_empty());

    let id = short(&good.session.resource);
    let health = ask(&weir, &id, "health");
    assert_eq!(health["problems"], serde_json::json!([]), "{health:#}");
    tells(&ask(&weir, &id, "logs"), &["encoding", "keyframe"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_disconnects_one_session_and_can_read_of_it_afterwards() {
    let weir = Weir::start();
    let mut publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let stays = Viewer::join(&weir, "show").await;
    let goes = Viewer::join(&weir, "show").await;
    goes.more_video(10).await;
    weir.until("show", |s| s["viewers"]["whep"] == 2);

    let kick =
        |id: &str| http::send("DELETE", &weir.at(&format!("/api/v1/sessions/{id}")), &[], &[]);
    let id = short(&goes.session.resource);
    assert_eq!(kick(&id).status, 204);
    weir.until("show", |s| s["viewers"]["whep"] == 1);
    kick(&id).problem(404);
    assert_eq!(goes.session.delete().await.status, 404, "its session has ended");
    let status = until(&weir, &id, "status", |s| s["packets"].as_u64() > Some(0));
    assert_eq!(status["state"], "ended");
    assert!(status["ended_because"].as_str().is_some_and(|t| t.contains("operator")), "{status:#}");
    let log = ask(&weir, &id, "logs");
    tells(&log, &["offer", "dtls_up", "layer_shown", "closed"]);
    assert_eq!(
        ask(&weir, &id, "health")["ok"],
        true,
        "it was well: {:#}",
        ask(&weir, &id, "health")
    );
    stays.more_video(10).await;

    let id = short(&publisher.session.resource);
    assert_eq!(kick(&id).status, 204);
    publisher.stop();
    weir.until("show", |s| s["publisher"].is_null() || s["state"] != "live");
    assert_eq!(publisher.session.delete().await.status, 404, "its session has ended");
    assert_eq!(*stays.peer.state.borrow(), RTCPeerConnectionState::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_use_the_api_learns_nothing_and_unknown_ids_are_unknown() {
    let weir = Weir::start();
    for id in ["00000000", "ffffffff", "abc", "ABCDEF01", "%00", &"0".repeat(32), "show"] {
        for what in ["status", "health", "logs"] {
            weir.get(&format!("/api/v1/sessions/{id}/{what}")).problem(404);
        }
        http::send("DELETE", &weir.at(&format!("/api/v1/sessions/{id}")), &[], &[]).problem(404);
    }
    http::send("POST", &weir.at("/api/v1/sessions/00000000"), &[], b"x").problem(405);

    let rules = "[[access]]\naction = \"api\"\nstream = \"show-*\"\ntoken = \"ask-me\"\n\
                 [[access]]\naction = \"api\"\ntoken = \"ask-all\"\n";
    let weir = Weir::configured(rules);
    let ours = Publisher::start(&weir, "show-1", Clip::small(Codec::Vp8)).await;
    let theirs = Publisher::start(&weir, "other", Clip::small(Codec::Vp8)).await;
    let status =
        |id: &str, token: &str| weir.get(&format!("/api/v1/sessions/{id}/status?token={token}"));
    let (ours, theirs) = (short(&ours.session.resource), short(&theirs.session.resource));
    assert_eq!(status(&ours, "ask-me").status, 200);
    assert_eq!(status(&theirs, "ask-all").status, 200);
    // The session of another stream and none at all look the same.
    for id in [theirs.as_str(), "00000000"] {
        status(id, "ask-me").problem(403);
        status(id, "nonsense").problem(403);
        weir.get(&format!("/api/v1/sessions/{id}/logs")).problem(401);
        http::send("DELETE", &weir.at(&format!("/api/v1/sessions/{id}")), &[], &[]).problem(401);
    }
    status("00000000", "ask-all").problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_whose_network_goes_is_told_to_have_fallen_silent() {
    let weir = Weir::start();
    let _publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let wish = Wish { network: Some((Impairment::NONE, 9)), ..Wish::default() };
    let viewer = Viewer::wishing(&weir, "show", wish).await;
    viewer.more_video(10).await;
    viewer.session.relay.as_ref().expect("asked for").set(Impairment::CUT);
    let id = short(&viewer.session.resource);
    until(&weir, &id, "health", |h| has(h, "silent"));
    until(&weir, &id, "status", |s| s["state"] == "ended");
    let health = until(&weir, &id, "health", |h| has(h, "went_silent"));
    assert!(text(&health["problems"], "went_silent").contains("so it was closed"), "{health:#}");
    let log = ask(&weir, &id, "logs");
    is_a_log(&log);
    tells(&log, &["dtls_up", "layer_shown", "closed"]);
}
