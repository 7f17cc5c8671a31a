//! What a viewer's HTTP requests get; what is the same as for a publisher is tested in `whip`.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../signaling/tests/common/mod.rs"]
mod common;

use common::{CHROMIUM_WATCH, local};
use media::EncodingId;
use proptest::prelude::*;
use signaling::endpoint::{self, Accepted, Act, Outcome, created};
use signaling::{ETag, Reply, Request, SessionId};
use whep::{Choice, Layer};

fn reply<T: std::fmt::Debug>(outcome: Outcome<T>) -> Reply {
    match outcome {
        Outcome::Reply(reply) => reply,
        other => panic!("not a reply: {other:?}"),
    }
}

#[test]
fn the_endpoint() {
    let post = |content_type, body| {
        let request =
            Request { method: "POST", content_type: Some(content_type), if_match: None, body };
        whep::endpoint(&request, local)
    };
    match post("application/sdp", CHROMIUM_WATCH.as_bytes()) {
        Outcome::Do(Accepted { answer, agreement }) => {
            assert!(answer.starts_with("v=0\r\n") && agreement.media.len() == 2);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(reply(post("application/json", b"{}")).status, 415);
    assert_eq!(reply(post("application/sdp", b"nonsense")).status, 400);
    let ask = |method| reply(whep::endpoint(&Request { method, ..Request::default() }, local));
    let head = ask("HEAD");
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/sdp")));
    assert_eq!(ask("OPTIONS").header("accept-post"), Some("application/sdp"));
    assert!((200..300).contains(&ask("GET").status));
    assert_eq!(ask("PUT").status, 405);
}

#[test]
fn a_session() {
    let ask = |method| endpoint::session(&Request { method, ..Request::default() });
    assert_eq!(ask("DELETE"), Outcome::Do(Act::Delete));
    for method in ["GET", "HEAD"] {
        assert_eq!(reply(ask(method)), Reply::empty(204));
    }
    assert_eq!(reply(ask("PUT")).header("allow"), Some("OPTIONS, GET, HEAD, PATCH, DELETE"));
    // Nobody gets a counter-offer, so nobody has an answer to bring.
    let answer = Request {
        method: "PATCH",
        content_type: Some("application/sdp"),
        if_match: Some("*"),
        body: b"v=0",
    };
    let refused = reply(endpoint::session(&answer));
    assert_eq!(refused.status, 415);
    assert_eq!(refused.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
}

#[test]
fn the_201_announces_the_extensions() {
    let url = "https://h/whep/s/0123";
    let tag = ETag::new(SessionId::from_random(7), 0);
    let reply = created("v=0\r\n".into(), url.into(), &tag, &whep::links(url));
    let links: Vec<&str> =
        reply.headers.iter().filter(|(n, _)| *n == "Link").map(|(_, v)| v.as_str()).collect();
    assert_eq!(
        links,
        [
            "<https://h/whep/s/0123/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"",
            "<https://h/whep/s/0123/events>; \
             rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; \
             events=\"active,inactive,layers,reconnect,viewercount\"",
        ]
    );
}

fn post_layer(content_type: Option<&str>, body: &[u8]) -> Outcome<Layer> {
    whep::layer(&Request { method: "POST", content_type, if_match: None, body })
}

#[test]
fn layer() {
    let chosen = |body: &str| match post_layer(Some("application/json"), body.as_bytes()) {
        Outcome::Do(layer) => layer,
        other => panic!("{body}: {other:?}"),
    };
    let layer = chosen(r#"{"mediaId":"1","encodingId":"h"}"#);
    assert_eq!(layer.media_id.as_deref(), Some("1"));
    assert_eq!(layer.encoding, EncodingId::new("h"));
    let h = Choice::Encoding(EncodingId::new("h").unwrap());
    assert_eq!(layer.choice(), Ok(h));
    // As drafts since 2024-10 call it.
    assert_eq!(chosen(r#"{"mediaId":"1","rid":"h"}"#).encoding, EncodingId::new("h"));
    for automatic in [r#"{"mediaId":"1"}"#, r#"{"mediaId":"1","encodingId":null}"#, "{}"] {
        assert_eq!(chosen(automatic).choice(), Ok(Choice::Automatic), "{automatic}");
    }
    let all = chosen(
        r#"{"spatialLayerId":1,"temporalLayerId":2,"maxSpatialLayerId":3,"maxTemporalLayerId":4,
            "maxWidth":640,"maxHeight":360,"somethingNew":[]}"#,
    );
    let wanted = Layer {
        spatial: Some(1),
        temporal: Some(2),
        max_spatial: Some(3),
        max_temporal: Some(4),
        max_width: Some(640),
        max_height: Some(360),
        ..Layer::default()
    };
    assert_eq!(all, wanted);
    for (body, choice) in [
        (r#"{"maxWidth":640,"maxHeight":360}"#, Choice::Within { width: 640, height: 360 }),
        (r#"{"maxHeight":360}"#, Choice::Within { width: u16::MAX, height: 360 }),
        (r#"{"maxWidth":4294967295}"#, Choice::Within { width: u16::MAX, height: u16::MAX }),
        (r#"{"encodingId":"h","maxWidth":1}"#, h),
    ] {
        assert_eq!(chosen(body).choice(), Ok(choice), "{body}");
    }
    for inside in ["spatialLayerId", "temporalLayerId", "maxSpatialLayerId", "maxTemporalLayerId"] {
        for with in ["", r#","encodingId":"h""#, r#","maxWidth":640"#] {
            let body = format!(r#"{{"{inside}":0{with}}}"#);
            assert_eq!(chosen(&body).choice().unwrap_err().status, 422, "{body}");
        }
    }
}

#[test]
fn layers_that_cannot_be_used() {
    let long = format!(r#"{{"mediaId":"{}"}}"#, "x".repeat(5000));
    let bad = [
        "",
        "{",
        "[]",
        r#"["1","h",0,0,0,0,0,0]"#,
        "null",
        "\"h\"",
        r#"{"encodingId":7}"#,
        r#"{"encodingId":""}"#,
        r#"{"encodingId":"no spaces"}"#,
        r#"{"encodingId":"seventeen-letters"}"#,
        r#"{"maxWidth":-1}"#,
        r#"{"maxWidth":1e99}"#,
        &long,
    ];
    for body in bad {
        let reply = reply(post_layer(Some("application/json"), body.as_bytes()));
        assert_eq!(reply.status, 400, "{body}");
        let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(problem["type"], "urn:weir:problem:bad-layer");
    }
    assert_eq!(reply(post_layer(None, b"{}")).status, 415);
    let get = Request { method: "GET", ..Request::default() };
    assert_eq!(reply(whep::layer(&get)).header("allow"), Some("OPTIONS, POST"));
    let options = Request { method: "OPTIONS", ..Request::default() };
    assert_eq!(reply(whep::layer(&options)).status, 204);
}

proptest! {
    #[test]
    fn layer_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(problem) = Layer::parse(&body) {
            prop_assert_eq!(problem.status, 400);
        }
    }
}
