//! The life of a session and what holds for HTTP: lines 20 to 28.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tests::clip::{Clip, Codec};
use tests::http::{self, send};
use tests::letter::{SDP, Stage, fragment, offers, retry_after};
use tests::peer::{PATIENCE, Peer};
use tests::publisher::Show;
use tests::viewer::Wish;
use tests::{Impairment, Publisher, Viewer, Weir, sdp};
use webrtc::peer_connection::RTCPeerConnectionState;

/// Waits until a client has noticed that its connection is over: by a goodbye of RTCP or DTLS, or because nobody answers
/// its checks any more.
async fn notices_the_end(peer: &Peer) {
    let mut states = peer.state.clone();
    let end = async {
        tokio::select! {
            _ = states.wait_for(|state| *state != RTCPeerConnectionState::Connected) => {}
            () = peer.ear.until("a goodbye", |i| i.goodbyes.first().map(|_| ())) => {}
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("told, or left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_20_delete_ends_the_session_whatever_the_entity_tag() {
    let stage = Stage::new("").await;
    let other = Viewer::join(&stage.weir, "show").await;
    for (session, peer) in [
        (&stage.viewer.session, &stage.viewer.peer),
        (&stage.publisher.session, &stage.publisher.peer),
    ] {
        let fields = [("if-match", "\"another\"")];
        assert_eq!(send("DELETE", &session.resource, &fields, &[]).status, 200);
        notices_the_end(peer).await;
        send("DELETE", &session.resource, &[], &[]).problem(404);
        send("GET", &session.resource, &[], &[]).problem(404);
        let fields = [("content-type", tests::letter::FRAGMENT), ("if-match", "*")];
        let late = fragment(session, &[]);
        send("PATCH", &session.resource, &fields, late.as_bytes()).problem(404);
    }
    assert_eq!(*other.peer.state.borrow(), RTCPeerConnectionState::Connected);
    stage.weir.until("show", |s| s["publisher"].is_null() && s["viewers"]["whep"] == 1);
}

/// close_notify (RFC 6347, RFC 9725 section 4.2) goes out at once, whoever wanted the end. webrtc-rs takes it and says nothing
/// of it in its connection's state, so what counts here is what the server has sent.
#[tokio::test(flavor = "multi_thread")]
async fn whip_20_whose_session_ends_hears_it_by_dtls_within_a_second() {
    let weir = Weir::start();
    let network = Some((Impairment::NONE, 20));
    let kick = |session: &tests::peer::Session| {
        let id = &session.resource.rsplit('/').next().expect("a URL")[..8];
        send("DELETE", &weir.at(&format!("/api/v1/sessions/{id}")), &[], &[]).status
    };
    let delete =
        |session: &tests::peer::Session| send("DELETE", &session.resource, &[], &[]).status;
    for (by_api, name) in [(false, "own"), (true, "api")] {
        let show = Show { network, ..Show::of(Clip::small(Codec::Vp8)) };
        let publisher = Publisher::showing(&weir, name, show).await;
        let viewer = Viewer::wishing(&weir, name, Wish { network, ..Wish::default() }).await;
        viewer.more_video(30).await;
        for session in [&viewer.session, &publisher.session] {
            let alerts = &session.relay.as_ref().expect("asked for").down.alerts;
            let heard = || alerts.load(std::sync::atomic::Ordering::Relaxed);
            assert_eq!(heard(), 0, "nothing was wrong until now");
            let status = if by_api { kick(session) } else { delete(session) };
            assert!([200, 204].contains(&status), "{status}");
            let end = Instant::now() + Duration::from_secs(1);
            while heard() == 0 {
                assert!(Instant::now() < end, "no alert of DTLS within a second");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_21_a_session_without_consent_ends() {
    let weir = Weir::start();
    let network = Some((Impairment::NONE, 21));
    let show = Show { network, ..Show::of(Clip::small(Codec::Vp8)) };
    let publisher = Publisher::showing(&weir, "show", show).await;
    let viewer = Viewer::wishing(&weir, "show", Wish { network, ..Wish::default() }).await;
    viewer.more_video(30).await;
    let sessions = [&publisher.session, &viewer.session];
    for session in sessions {
        assert_eq!(send("GET", &session.resource, &[], &[]).status, 204);
        session.relay.as_ref().expect("asked for").set(Impairment::CUT);
    }
    let end = Instant::now() + Duration::from_secs(30);
    while sessions.iter().any(|s| send("GET", &s.resource, &[], &[]).status != 404) {
        assert!(Instant::now() < end, "still there, 30 s after the last check");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_22_the_server_is_an_ice_lite_agent() {
    let stage = Stage::new("").await;
    for (_, session) in stage.sessions() {
        let head = session.sdp.split("\r\nm=").next().expect("a session part");
        assert!(sdp::has_line(head, "a=ice-lite"), "{head}");
    }
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_23_offers_for_another_node_are_sent_there_by_307() {
    let far = Weir::configured(RULES);
    let near = Weir::configured(&format!("http.elsewhere = ['show*={}']\n{RULES}", far.url));
    for ((path, offer), token) in offers().await.into_iter().zip(["write-me", "read-me"]) {
        let path = path.replace("other", "show");
        let url = near.at(&format!("{path}?x=1"));
        // Who may not come is not told where to go.
        let moved = |fields: &[(&str, &str)]| {
            let fields = [&[("content-type", SDP)], fields].concat();
            send("POST", &url, &fields, offer.as_bytes())
        };
        moved(&[]).problem(401);
        let bearer = format!("Bearer {token}");
        let answer = moved(&[("authorization", &bearer)]);
        answer.problem(307);
        let location = format!("{}{path}?x=1&token={token}&hops=1", far.url);
        assert_eq!(answer.header("location"), Some(&*location));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        near.offer(&format!("{path}?token={token}&hops=3"), &offer).problem(503);
        // Others are for this node, and a session's URL always is.
        let here = near.offer(&format!("{}?token={token}", path.replace("show", "mine")), &offer);
        assert_eq!(here.status, 201, "{}", here.text());
        send("DELETE", &near.at(&format!("{path}/00000000000000000000000000000000")), &[], &[])
            .problem(404);
    }
    let (show, wish) = (Show::of(Clip::small(Codec::Vp8)), Wish::default());
    let go = |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let fields = [("content-type", SDP), ("authorization", &*bearer)];
        let answer = send("POST", &near.at(path), &fields, b"v=0");
        answer.header("location").expect("sent elsewhere").to_owned()
    };
    let _publisher = Publisher::to(&go("/whip/show", "write-me"), show).await;
    let watch = go("/whep/show", "read-me");
    let path = watch.strip_prefix(&far.at("/whep/")).expect("the other node");
    let viewer = Viewer::wishing(&far, path, wish).await;
    viewer.more_video(30).await;
    assert!(viewer.session.resource.starts_with(&far.url), "{}", viewer.session.resource);
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_24_a_full_server_says_when_to_come_back() {
    let stage = Stage::new("webrtc.max_publishers = 1\nwebrtc.max_viewers = 1\n").await;
    for (path, offer) in offers().await {
        let answer = stage.weir.offer(path, &offer);
        answer.problem(503);
        retry_after(&answer);
    }
    stage.goes_on().await;
    let Stage { weir, viewer, .. } = stage;
    viewer.leave().await;
    tests::letter::watches(&weir, "show", str::to_owned).await;
}

const RULES: &str = r#"
[[access]]
action = "publish"
token = "write-me"
[[access]]
action = "watch"
token = "read-me"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn whip_25_bearer_tokens_are_asked_for_and_not_of_preflights() {
    let weir = Weir::configured(RULES);
    for ((path, offer), wrong) in offers().await.into_iter().zip(["read-me", "write-me"]) {
        let url = weir.at(path);
        let answer = weir.offer(path, &offer);
        answer.problem(401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let bearer = format!("Bearer {wrong}");
        let fields = [("content-type", SDP), ("authorization", &*bearer)];
        send("POST", &url, &fields, offer.as_bytes()).problem(403);
        let asks = [("origin", "https://a.example"), ("access-control-request-method", "POST")];
        assert_eq!(send("OPTIONS", &url, &asks, &[]).status, 204);
        assert_eq!(send("GET", &url, &[], &[]).status, 204);
    }
    let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
    let show = Show { headers: bearer("write-me"), ..Show::of(Clip::small(Codec::Vp8)) };
    let publisher = Publisher::showing(&weir, "show", show).await;
    let wish = Wish { headers: bearer("read-me"), ..Wish::default() };
    let viewer = Viewer::wishing(&weir, "show", wish).await;
    viewer.more_video(30).await;
    // The session's URL is its own key.
    for session in [&viewer.session, &publisher.session] {
        assert_eq!(send("DELETE", &session.resource, &[], &[]).status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_28_nobody_guesses_a_session_and_nobody_asks_too_often() {
    let stage = Stage::new("").await;
    let [_, (path, offer)] = offers().await;
    let mut secrets = HashSet::new();
    for _ in 0..20 {
        let answer = stage.weir.offer(path, &offer);
        let location = answer.header("location").expect("accepted").to_owned();
        let secret = location.rsplit('/').next().expect("a path").to_owned();
        // 128 bits, RFC 9725 section 5 asks for a CSPRNG.
        assert!(secret.len() == 32 && secret.bytes().all(|b| b.is_ascii_hexdigit()), "{secret}");
        let tag = answer.header("etag").expect("an entity tag").trim_matches('"').to_owned();
        assert!(!tag.contains(&secret), "the entity tag tells the secret");
        assert!(secrets.insert(secret), "twice the same");
        assert_eq!(send("DELETE", &location, &[], &[]).status, 200);
    }
    stage.goes_on().await;

    let slow = Stage::new("http.loopback_rate = 2").await;
    for (_, session) in slow.sessions() {
        let fields = [("content-type", tests::letter::FRAGMENT), ("if-match", "\"x\"")];
        let gone = session.resource.replace(|c: char| c.is_ascii_hexdigit(), "0");
        let gone = format!(
            "{}/{}",
            session.resource.rsplit_once('/').expect("a path").0,
            &gone[gone.len() - 32..]
        );
        for (method, url) in [
            ("POST", slow.weir.at("/whep/show")),
            ("PATCH", session.resource.clone()),
            ("DELETE", gone),
        ] {
            let refused =
                (0..100).map(|_| send(method, &url, &fields, b"x")).find(|a| a.status == 429);
            let refused = refused.unwrap_or_else(|| panic!("100 times {method} and no end"));
            refused.problem(429);
            retry_after(&refused);
        }
        // Reading is not limited, nor are others in what they have.
        assert_eq!(http::send("GET", &session.resource, &[], &[]).status, 204);
    }
    slow.goes_on().await;
}
