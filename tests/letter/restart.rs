//! Lines 15, 18 and 19: ICE restart by PATCH (RFC 9725 section 4.3); and clients whose address changes without
//! a word.

use std::time::{Duration, Instant};

use tests::clip::{Clip, Codec};
use tests::http::{self, Answer};
use tests::peer::{By, Session};
use tests::publisher::Show;
use tests::restart::{FRAGMENT, stranger};
use tests::viewer::Wish;
use tests::{Impairment, Publisher, Viewer, Weir, sdp};

const PWD: &str = "a-password/of+22-chars";

fn clip() -> std::sync::Arc<Clip> {
    Clip::new(Codec::Vp8, 320, 180, 300)
}

/// What the API says of a session.
fn known(weir: &Weir, session: &Session) -> serde_json::Value {
    let secret = session.resource.rsplit('/').next().expect("an absolute URL");
    weir.get(&format!("/api/v1/sessions/{}/status", &secret[..8])).json()
}

/// Where the server sends to.
fn remote(weir: &Weir, session: &Session) -> String {
    known(weir, session)["transport"]["remote"].as_str().expect("it is connected").to_owned()
}

/// Waits until the server sends somewhere else than there.
fn moved(weir: &Weir, session: &Session, from: &str) {
    let started = Instant::now();
    while remote(weir, session) == from {
        assert!(started.elapsed() < Duration::from_secs(20), "it still sends to {from}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the 200 of a restart has to say.
#[track_caller]
fn is_a_restart(answer: &Answer, session: &Session, before: &str) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some(FRAGMENT));
    let tag = answer.header("etag").expect("a restart has a new ETag");
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag != before, "{tag} after {before}");
    let text = answer.text();
    assert!(sdp::has_line(&text, "a=ice-lite"), "{text}");
    assert_eq!(sdp::attributes(&text, "group"), sdp::attributes(&session.offer, "group"));
    let first = sdp::attributes(&session.offer, "mid")[0];
    assert_eq!(sdp::attributes(&text, "mid"), [first], "the tagged m-line alone");
    let first = first_answer(session);
    for name in ["ice-ufrag", "ice-pwd"] {
        let (new, old) = (sdp::attributes(&text, name), sdp::attributes(&first, name));
        assert_eq!(new.len(), 1);
        assert_ne!(new[0], old[0], "{name}");
    }
    assert_eq!(sdp::candidates(&text), sdp::candidates(&first));
    assert!(sdp::has_line(&text, "a=end-of-candidates"), "{text}");
}

/// As the 201 had it.
fn first_answer(session: &Session) -> String {
    session.answer.text()
}

/// Everything that was sent has come, and more comes.
async fn plays(viewer: &Viewer) {
    flows(viewer).await;
    viewer.until_video("nothing missing", |t| t.missing().is_empty()).await;
}

/// More comes of both.
async fn flows(viewer: &Viewer) {
    viewer.more_video(60).await;
    let heard = viewer.audio().len();
    viewer.until_audio("sound", |t| t.len() >= heard + 25).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whep_18_a_viewer_restarts_ice_and_plays_on() {
    let weir = Weir::start();
    let _publisher = Publisher::start(&weir, "show", clip()).await;
    let mut viewer = Viewer::join(&weir, "show").await;
    plays(&viewer).await;
    let mut tag = viewer.session.etag();
    for if_match in ["*", "its tag", "*"] {
        let if_match = if if_match == "*" { "*".to_owned() } else { tag.clone() };
        let answer = viewer.peer.restart(&mut viewer.session, &if_match).await;
        is_a_restart(&answer, &viewer.session, &tag);
        // webrtc-rs throws away what comes between its offer and the answer, and never asks for it.
        flows(&viewer).await;
        let old = std::mem::replace(&mut tag, answer.header("etag").expect("seen").to_owned());
        // Candidates of the generation before are late.
        let late = tests::restart::fragment(&viewer.session.offer);
        assert_eq!(viewer.session.patch(Some(&old), &late).await.status, 412);
    }
    let viewers = weir.get("/api/v1/streams/show/viewers").json();
    assert_eq!(viewers.as_array().map(Vec::len), Some(1), "the same session");
    viewer.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whep_18_a_viewer_in_another_network_restarts_ice_and_plays_on() {
    let weir = Weir::start();
    let _publisher = Publisher::start(&weir, "show", clip()).await;
    let wish = Wish { by: By::Roaming, ..Wish::default() };
    let mut viewer = Viewer::wishing(&weir, "show", wish).await;
    for _ in 0..3 {
        flows(&viewer).await;
        let before = remote(&weir, &viewer.session);
        viewer.peer.restart(&mut viewer.session, "*").await;
        moved(&weir, &viewer.session, &before);
    }
    flows(&viewer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_18_a_publisher_in_another_network_restarts_ice_and_is_seen_on() {
    let weir = Weir::start();
    let show = Show { by: By::Roaming, ..Show::of(clip()) };
    let mut publisher = Publisher::showing(&weir, "show", show).await;
    let viewer = Viewer::join(&weir, "show").await;
    let mut tag = publisher.session.etag();
    for _ in 0..3 {
        flows(&viewer).await;
        let before = remote(&weir, &publisher.session);
        let answer = publisher.peer.restart(&mut publisher.session, "*").await;
        is_a_restart(&answer, &publisher.session, &tag);
        answer.header("etag").expect("seen").clone_into(&mut tag);
        moved(&weir, &publisher.session, &before);
    }
    flows(&viewer).await;
    let stream = weir.stream("show").expect("it is live");
    assert_eq!(stream["state"], "live", "{stream}");
    publisher.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_15_trickle_and_restart_are_told_apart_by_their_credentials() {
    let weir = Weir::start();
    let _publisher = Publisher::start(&weir, "show", clip()).await;
    let viewer = Viewer::join(&weir, "show").await;
    let fragment = stranger("newufrag", PWD);
    let answer = viewer.session.patch(Some("*"), &fragment).await;
    is_a_restart(&answer, &viewer.session, &viewer.session.etag());
    let tag = answer.header("etag").expect("seen").to_owned();
    for if_match in [tag.as_str(), "*"] {
        let trickle = viewer.session.patch(Some(if_match), &fragment).await;
        assert_eq!((trickle.status, trickle.body.len()), (204, 0), "{}", trickle.text());
    }
    plays(&viewer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_19_a_restart_that_nobody_follows_costs_nothing() {
    let weir = Weir::start();
    let publisher = Publisher::start(&weir, "show", clip()).await;
    let viewer = Viewer::join(&weir, "show").await;
    let before = [remote(&weir, &publisher.session), remote(&weir, &viewer.session)];
    for n in 0..6 {
        for session in [&publisher.session, &viewer.session] {
            let answer = session
                .patch(Some("*"), &stranger(&format!("name{n}"), &format!("{PWD}{n}")))
                .await;
            is_a_restart(&answer, session, &session.etag());
        }
        plays(&viewer).await;
    }
    assert_eq!([remote(&weir, &publisher.session), remote(&weir, &viewer.session)], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_19_a_refused_restart_leaves_the_session_as_it_was() {
    let weir = Weir::start();
    let mut publisher = Publisher::start(&weir, "show", clip()).await;
    let mut viewer = Viewer::join(&weir, "show").await;
    for session in [&publisher.session, &viewer.session] {
        let tag = session.etag();
        let ufrag = sdp::attributes(&session.offer, "ice-ufrag")[0];
        let pwd = sdp::attributes(&session.offer, "ice-pwd")[0];
        let weak = format!("W/{tag}");
        let rows: [(Option<&str>, String, u16); 9] = [
            (None, stranger("newufrag", PWD), 428),
            (Some("\"another\""), stranger("newufrag", PWD), 412),
            (Some("\"another\""), stranger(ufrag, pwd), 412),
            (Some(&weak), stranger("newufrag", PWD), 412),
            (Some("*"), stranger("newufrag", pwd), 400),
            (Some("*"), stranger(ufrag, PWD), 400),
            (Some(&tag), stranger(ufrag, PWD), 400),
            (Some("*"), "nonsense".to_owned(), 400),
            (Some("*"), String::new(), 400),
        ];
        for (if_match, fragment, status) in rows {
            let answer = session.patch(if_match, &fragment).await;
            answer.problem(status);
            assert_eq!(answer.header("etag"), None, "{fragment}");
        }
        let headers = vec![
            ("content-type".to_owned(), "application/sdp".to_owned()),
            ("if-match".to_owned(), "*".to_owned()),
        ];
        let body = stranger("newufrag", PWD).into_bytes();
        let answer = http::send_async("PATCH", session.resource.clone(), headers, body).await;
        answer.problem(415);
        assert_eq!(answer.header("accept-patch"), Some(FRAGMENT));
        // The tag is the one that it was.
        let answer = session.patch(Some(&tag), &stranger(ufrag, pwd)).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        plays(&viewer).await;
    }
    let nobody = format!("{}0", &viewer.session.resource[..viewer.session.resource.len() - 1]);
    if nobody != viewer.session.resource {
        let gone = Session { resource: nobody, ..stranded(&viewer.session) };
        gone.patch(Some("*"), &stranger("newufrag", PWD)).await.problem(404);
    }
    viewer.peer.restart(&mut viewer.session, "*").await;
    flows(&viewer).await;
    publisher.peer.restart(&mut publisher.session, "*").await;
    flows(&viewer).await;
}

/// The same session without its network.
fn stranded(session: &Session) -> Session {
    Session {
        answer: session.answer.clone(),
        offer: session.offer.clone(),
        sdp: session.sdp.clone(),
        resource: session.resource.clone(),
        relay: None,
        wire: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nat_that_gives_viewer_and_publisher_other_ports_is_survived_without_a_word() {
    let weir = Weir::start();
    let show = Show { network: Some((Impairment::NONE, 1)), ..Show::of(clip()) };
    let publisher = Publisher::showing(&weir, "show", show).await;
    let wish = Wish { network: Some((Impairment::NONE, 2)), ..Wish::default() };
    let viewer = Viewer::wishing(&weir, "show", wish).await;
    plays(&viewer).await;
    for session in [&viewer.session, &publisher.session] {
        for _ in 0..2 {
            let before = remote(&weir, session);
            let relay = session.relay.as_ref().expect("asked for");
            assert!(before.ends_with(&format!(":{}", relay.port())), "{before}");
            relay.rebind().await;
            moved(&weir, session, &before);
            flows(&viewer).await;
        }
    }
    assert_eq!(known(&weir, &publisher.session)["state"], "live");
    assert_eq!(known(&weir, &viewer.session)["state"], "playing");
}
