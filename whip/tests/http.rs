//! What a publisher's HTTP requests get (RFC 9725 section 4).
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../signaling/tests/common/mod.rs"]
mod common;

use common::{FFMPEG, local};
use signaling::endpoint::{self, Accepted, Act, CORS, Outcome, created, deleted};
use signaling::{ETag, Link, Reply, Request, SessionId};

fn reply<T: std::fmt::Debug>(outcome: Outcome<T>) -> Reply {
    match outcome {
        Outcome::Reply(reply) => reply,
        other => panic!("not a reply: {other:?}"),
    }
}

fn etag() -> ETag {
    ETag::new(SessionId::from_random(0x1234_5678 << 96 | 0xabcd), 0)
}

fn post<'a>(content_type: Option<&'a str>, body: &'a [u8]) -> Request<'a> {
    Request { method: "POST", content_type, if_match: None, body }
}

#[test]
fn post_of_an_offer() {
    for content_type in ["application/sdp", "Application/SDP ; charset=utf-8"] {
        match whip::endpoint(&post(Some(content_type), FFMPEG.as_bytes()), local) {
            Outcome::Do(Accepted { answer, agreement }) => {
                assert!(answer.starts_with("v=0\r\n"));
                assert_eq!(agreement.media.len(), 2);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_201() {
    let link = Link::new("turn:turn.example:3478?transport=udp", "ice-server")
        .with("username", "u\"ser")
        .with("credential-type", "password");
    let location = "http://h/whip/s/1".to_owned();
    let reply = created("v=0\r\n".into(), location, &etag(), &[link]);
    assert_eq!((reply.status, reply.body.as_str()), (201, "v=0\r\n"));
    assert_eq!(reply.header("content-type"), Some("application/sdp"));
    assert_eq!(reply.header("location"), Some("http://h/whip/s/1"));
    assert_eq!(reply.header("etag"), Some("\"12345678-0\""));
    assert_eq!(
        reply.header("link"),
        Some(
            "<turn:turn.example:3478?transport=udp>; rel=\"ice-server\"; username=\"u\\\"ser\"; \
             credential-type=\"password\""
        )
    );
    assert_eq!(deleted(), Reply::empty(200));
    assert!(CORS[1].1.contains("Location") && CORS[1].1.contains("ETag"));
}

#[test]
fn post_of_something_else() {
    let wrong = [None, Some("text/plain"), Some("application/sdpx"), Some("")];
    for content_type in wrong {
        let no_local = || panic!("nothing to negotiate");
        let reply = reply(whip::endpoint(&post(content_type, FFMPEG.as_bytes()), no_local));
        assert_eq!(reply.status, 415, "{content_type:?}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert_eq!(reply.header("accept-post"), Some("application/sdp"));
    }
    for body in [&b""[..], b"v=0\r\n\xff", b"not sdp", b"\0\0"] {
        let reply = reply(whip::endpoint(&post(Some("application/sdp"), body), local));
        assert_eq!(reply.status, 400, "{body:?}");
        let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(problem["type"], "urn:weir:problem:bad-sdp");
        assert_eq!(problem["status"], 400);
        assert!(problem["title"].is_string() && problem["detail"].is_string());
    }
}

#[test]
fn problem_bodies_are_json_whatever_they_quote() {
    let offer = "v=0\r\na=ice-ufrag:\"\\\u{2028}{}\"\r\n";
    let reply = reply(whip::endpoint(&post(Some("application/sdp"), offer.as_bytes()), local));
    let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("line 2"), "{problem}");
}

#[test]
fn other_methods_of_the_endpoint() {
    let ask = |method| {
        let request = Request { method, ..Request::default() };
        reply(whip::endpoint(&request, || panic!("nothing to negotiate")))
    };
    let got = ask("GET");
    assert!((200..300).contains(&got.status) && got.body.is_empty());
    let got = ask("HEAD");
    assert_eq!((got.status, got.header("content-type")), (200, Some("application/sdp")));
    let got = ask("OPTIONS");
    assert_eq!((got.status, got.header("accept-post")), (204, Some("application/sdp")));
    assert!(got.header("access-control-allow-methods").unwrap().contains("POST"));
    let headers = got.header("access-control-allow-headers").unwrap();
    assert!(["Authorization", "Content-Type", "If-Match"].iter().all(|h| headers.contains(h)));
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
        let got = ask(method);
        assert_eq!((got.status, got.header("allow")), (405, Some("OPTIONS, GET, HEAD, POST")));
    }
}

#[test]
fn methods_of_a_session() {
    let ask = |method| endpoint::session(&Request { method, ..Request::default() });
    // Whatever the entity tag.
    let delete = Request { method: "DELETE", if_match: Some("\"old\""), ..Request::default() };
    assert_eq!(endpoint::session(&delete), Outcome::Do(Act::Delete));
    let got = reply(ask("OPTIONS"));
    assert_eq!(got.status, 204);
    assert!(got.header("access-control-allow-methods").unwrap().contains("PATCH"));
    for method in ["GET", "HEAD"] {
        assert_eq!(reply(ask(method)), Reply::empty(204), "{method}");
    }
    for method in ["POST", "PUT"] {
        assert_eq!(reply(ask(method)).status, 405, "{method}");
    }
}

#[test]
fn patches_that_cannot_be_taken() {
    let right = Request {
        method: "PATCH",
        content_type: Some("application/trickle-ice-sdpfrag"),
        if_match: Some("*"),
        body: b"what it says is for the session to judge",
    };
    assert!(matches!(endpoint::session(&right), Outcome::Do(Act::Patch(_))));
    let refused = |request: Request<'_>| reply(endpoint::session(&request));
    assert_eq!(refused(Request { if_match: None, ..right }).status, 428);
    for content_type in [None, Some("application/sdp")] {
        let got = refused(Request { content_type, ..right });
        assert_eq!(got.status, 415);
        assert_eq!(got.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
    }
}
