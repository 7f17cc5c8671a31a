//! PATCH on a session (RFC 9725 section 4.3): every row of the decision, and the fragment that answers a
//! restart.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{FIREFOX_WATCH, local};
use proptest::prelude::*;
use signaling::patch::{IceState, Patch, Wish, restarted};
use signaling::{Agreement, IceCredentials, Problem, Request, SdpFragment, SessionId};

const SESSION: SessionId = SessionId::from_random(0x1234_5678 << 96 | 0xabcd);
const FIRST: &str = "\"12345678-0\"";
const SECOND: &str = "\"12345678-1\"";

fn agreed() -> Agreement {
    let ice = |ufrag: &str, pwd: &str| IceCredentials { ufrag: ufrag.into(), pwd: pwd.into() };
    let mut agreement = whole(FIREFOX_WATCH);
    agreement.remote_ice = ice("f1432010", "96d6df9109da5da123ea81d370a2cfec");
    agreement
}

/// An agreement by rules that take anything.
fn whole(offer: &str) -> Agreement {
    let rules = signaling::negotiate::Rules {
        protocol: "WHEP",
        answer: signaling::sdp::Direction::SendOnly,
        extensions: &[],
        h264_without_mode_1: |_| true,
        opus: str::to_owned,
        partial: true,
    };
    signaling::negotiate::negotiate(offer, &local(), &rules).unwrap().1
}

fn fragment(ufrag: &str, pwd: &str) -> String {
    format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
         a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
         a=end-of-candidates\r\n"
    )
}

fn old() -> String {
    fragment("f1432010", "96d6df9109da5da123ea81d370a2cfec")
}

fn new() -> String {
    fragment("next", "another-password-of-22")
}

fn request<'a>(if_match: Option<&'a str>, body: &'a [u8]) -> Request<'a> {
    let content_type = Some("application/trickle-ice-sdpfrag");
    Request { method: "PATCH", content_type, if_match, body }
}

fn decide(state: &IceState, if_match: &str, body: &str) -> Result<Wish, Problem> {
    Patch::read(&request(Some(if_match), body.as_bytes())).unwrap().decide(SESSION, state)
}

#[test]
fn the_table() {
    let (trickle, restart) = (Ok(204), Ok(200));
    let (old, new) = (old(), new());
    let half = [
        fragment("next", "96d6df9109da5da123ea81d370a2cfec"),
        fragment("f1432010", "another-password-of-22"),
    ];
    // Candidates that no agent can use are dropped in silence.
    let odd = old.replace("192.0.2.1", "3f0b6f1e-3f9e.local").replace(" udp ", " tcp ");
    let listed = format!("\"other\", {FIRST}");
    let weak = format!("W/{FIRST}");
    let rows: &[(&str, &str, Result<u16, u16>)] = &[
        (FIRST, &old, trickle),
        (FIRST, &odd, trickle),
        (&listed, &old, trickle),
        ("*", &old, trickle),
        (FIRST, &new, restart),
        (&listed, &new, restart),
        ("*", &new, restart),
        // RFC 9725's own example has it in quotes.
        ("\"*\"", &new, restart),
        (" * ", &new, restart),
        (FIRST, &half[0], Err(400)),
        (FIRST, &half[1], Err(400)),
        ("*", &half[0], Err(400)),
        ("*", &half[1], Err(400)),
        (SECOND, &old, Err(412)),
        (SECOND, &new, Err(412)),
        (SECOND, &half[0], Err(412)),
        (SECOND, "nonsense", Err(412)),
        (&weak, &old, Err(412)),
        ("", &old, Err(412)),
        ("*", "nonsense", Err(400)),
        (FIRST, "", Err(400)),
        (FIRST, "hello", Err(400)),
        (FIRST, "a=ice-ufrag:abcd\r\n", Err(400)),
        (FIRST, "a=mid:0\r\n", Err(400)),
        (FIRST, "m=audio\r\n", Err(400)),
    ];
    let state = IceState::new(&agreed());
    for (if_match, body, wanted) in rows {
        let got = match decide(&state, if_match, body) {
            Ok(Wish::Trickle) => Ok(204),
            Ok(Wish::Restart(theirs)) => {
                assert_eq!(theirs.ufrag, "next");
                Ok(200)
            }
            Err(problem) => Err(problem.status),
        };
        assert_eq!(got, *wanted, "{if_match} {body:?}");
    }
}

#[test]
fn what_needs_no_session() {
    let body = old();
    let right = request(Some(FIRST), body.as_bytes());
    let status = |request: Request<'_>| Patch::read(&request).unwrap_err().status;
    assert_eq!(status(Request { content_type: Some("application/sdp"), ..right }), 415);
    assert_eq!(status(Request { content_type: None, ..right }), 415);
    assert_eq!(status(Request { if_match: None, ..right }), 428);
    let bad = Patch::read(&Request { body: b"\xff", ..right }).unwrap();
    assert_eq!(bad.decide(SESSION, &IceState::new(&agreed())).unwrap_err().status, 400);
}

#[test]
fn a_restart_changes_the_tag_and_whose_candidates_are_current() {
    let mut state = IceState::new(&agreed());
    let Ok(Wish::Restart(theirs)) = decide(&state, "*", &new()) else { panic!("no restart") };
    state.restart(theirs, &local().ice, &[], &[]);
    assert_eq!(state.tag(SESSION).to_string(), SECOND);
    assert_eq!(decide(&state, SECOND, &new()), Ok(Wish::Trickle));
    assert_eq!(decide(&state, FIRST, &new()).unwrap_err().status, 412, "late candidates");
    assert!(matches!(decide(&state, "*", &old()), Ok(Wish::Restart(_))), "any other is a new one");
}

#[test]
fn the_answer_says_what_the_first_answer_said_and_no_more() {
    let mut state = IceState::new(&agreed());
    let ours = IceCredentials { ufrag: "ours".into(), pwd: "0123456789abcdefghijkl".into() };
    let text = state.restart(ours.clone(), &ours, &local().candidates, &[]);
    assert_eq!(
        text,
        "a=ice-lite\r\na=group:BUNDLE 0 1\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
         a=ice-ufrag:ours\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
         a=candidate:1 1 udp 2130706431 192.0.2.1 8080 typ host\r\n\
         a=candidate:2 1 udp 2130706175 2001:db8::1 8080 typ host\r\na=end-of-candidates\r\n"
    );
    let reply = restarted(text.clone(), &state.tag(SESSION));
    assert_eq!((reply.status, reply.body), (200, text));
}

#[test]
fn the_tagged_line_is_the_first_of_the_group() {
    let turned = FIREFOX_WATCH.replace("BUNDLE 0 1", "BUNDLE 1 0");
    assert_ne!(turned, FIREFOX_WATCH);
    let agreement = whole(&turned);
    assert_eq!(agreement.bundle, ["1", "0"]);
    assert_eq!(agreement.tagged().map(|m| m.mid.as_str()), Some("1"));
}

proptest! {
    #[test]
    fn what_is_written_can_be_read(
        ufrag in "[A-Za-z0-9+/]{4,256}",
        pwd in "[A-Za-z0-9+/]{22,256}",
        ports in prop::collection::vec(1..u16::MAX, 0..16),
    ) {
        let ours = IceCredentials { ufrag, pwd };
        let at: Vec<_> = ports.iter().map(|port| ([192, 0, 2, 1], *port).into()).collect();
        let text = IceState::new(&agreed()).restart(ours.clone(), &ours, &at, &[]);
        let read = SdpFragment::parse(&text).unwrap();
        prop_assert_eq!(&read.ice, &ours);
        prop_assert!(read.complete && read.candidates.is_empty());
        prop_assert_eq!(read.media.len(), 1);
        prop_assert_eq!(read.media[0].mid.as_str(), "0");
        prop_assert_eq!(read.media[0].candidates.len(), at.len());
    }
}
