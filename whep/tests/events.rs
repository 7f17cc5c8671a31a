//! The server-sent-events extension: requests in, and the events as they stand in the stream.
#![allow(clippy::unwrap_used, clippy::panic)]

use media::EncodingId;
use proptest::prelude::*;
use signaling::endpoint::Outcome;
use signaling::{Reply, Request};
use whep::events::{self, Action, Kind, Line, Message, Reason, Rendition, Wanted};

const ALL: [Kind; 5] =
    [Kind::Active, Kind::Inactive, Kind::Layers, Kind::Reconnect, Kind::ViewerCount];

fn post(content_type: Option<&str>, body: &[u8]) -> Outcome<Action> {
    events::request(&Request { method: "POST", content_type, if_match: None, body })
}

fn ask(method: &str) -> Outcome<Action> {
    events::request(&Request { method, ..Request::default() })
}

fn wanted(content_type: Option<&str>, body: &str) -> Vec<Kind> {
    match post(content_type, body.as_bytes()) {
        Outcome::Do(Action::Subscribe(wanted)) => {
            ALL.into_iter().filter(|kind| wanted.has(*kind)).collect()
        }
        other => panic!("{body}: {other:?}"),
    }
}

fn reply(outcome: Outcome<Action>) -> Reply {
    match outcome {
        Outcome::Reply(reply) => reply,
        other => panic!("not a reply: {other:?}"),
    }
}

#[test]
fn a_viewer_says_which_events_it_wants() {
    let json = Some("application/json");
    assert_eq!(wanted(json, r#"["viewercount","active"]"#), [Kind::Active, Kind::ViewerCount]);
    assert_eq!(wanted(json, r#"["layers","layers"]"#), [Kind::Layers]);
    assert_eq!(wanted(Some("application/json; charset=utf-8"), "[]"), []);
    assert_eq!(wanted(json, ""), ALL);
    assert_eq!(wanted(None, ""), ALL);
    assert!(ALL.into_iter().all(|kind| Wanted::ALL.has(kind)));
}

#[test]
fn what_cannot_be_wanted_is_refused_with_a_reason() {
    let json = Some("application/json");
    for (body, says) in [
        (r#"["active","scte35"]"#, "scte35"),
        (r#"["ACTIVE"]"#, "active,inactive,layers,reconnect,viewercount"),
        (r#"{"active":true}"#, "array"),
        (r#""active""#, "array"),
        ("[1]", "array"),
        ("[\"active\"", "array"),
        ("\u{0}", "array"),
        ("null", "array"),
    ] {
        let reply = reply(post(json, body.as_bytes()));
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.body.contains(says), "{body}: {}", reply.body);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    }
    let long = format!("[{}\"active\"]", " ".repeat(5000));
    assert_eq!(reply(post(json, long.as_bytes())).status, 400);
    let name = format!("[\"{}\"]", "x".repeat(3000));
    assert!(reply(post(json, name.as_bytes())).body.len() < 500, "a name is cut short");
    for content_type in [None, Some("application/sdp"), Some("text/plain")] {
        let refused = reply(post(content_type, b"[]"));
        assert_eq!(refused.status, 415, "{content_type:?}");
        assert_eq!(refused.header("accept-post"), Some("application/json"));
    }
}

#[test]
fn the_other_methods() {
    assert_eq!(ask("GET"), Outcome::Do(Action::Listen));
    assert_eq!(ask("DELETE"), Outcome::Do(Action::Unsubscribe));
    let preflight = reply(ask("OPTIONS"));
    assert_eq!(preflight.status, 204);
    let methods = preflight.header("access-control-allow-methods").unwrap();
    assert!(["GET", "POST", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    assert_eq!(preflight.header("accept-post"), Some("application/json"));
    assert_eq!(reply(ask("PUT")).status, 405);
    assert_eq!(reply(ask("HEAD")).status, 405);
    let created = events::created("https://h/whep/s/0123/events".into());
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), Some("https://h/whep/s/0123/events"));
}

#[test]
fn every_event_as_it_is_sent() {
    assert_eq!(Message::Active.to_string(), "event: active\ndata: {}\n\n");
    assert_eq!(Message::Inactive.to_string(), "event: inactive\ndata: {}\n\n");
    assert_eq!(
        Message::ViewerCount(3).to_string(),
        "event: viewercount\ndata: {\"viewercount\":3}\n\n"
    );
    for (reason, name) in
        [(Reason::Codec, "codec"), (Reason::Lost, "lost"), (Reason::Stopping, "stopping")]
    {
        let expected = format!("event: reconnect\ndata: {{\"reason\":\"{name}\"}}\n\n");
        assert_eq!(Message::Reconnect(reason).to_string(), expected);
    }
    assert_eq!(Message::Layers(1, &[]).to_string(), "event: layers\ndata: {\"1\":[]}\n\n");
}

#[test]
fn layers_name_what_can_be_chosen() {
    let rendition = |id, dimensions, bitrate_bps, active| Rendition {
        id: EncodingId::new(id).unwrap(),
        dimensions,
        bitrate_bps,
        active,
    };
    let layers = [
        rendition("f", Some((1280, 720)), 1_500_000, true),
        rendition("h", Some((640, 360)), 400_000, false),
        rendition("q", None, 0, true),
    ];
    let data = Message::Layers(0, &layers).data();
    assert!(!data.contains('\n'), "one line");
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    let expected = serde_json::json!({ "0": [
        { "rid": "f", "encodingId": "f", "width": 1280, "height": 720, "bitrate": 1_500_000,
          "active": true },
        { "rid": "h", "encodingId": "h", "width": 640, "height": 360, "active": false },
        { "rid": "q", "encodingId": "q", "active": true },
    ]});
    assert_eq!(data, expected);
}

#[test]
fn the_line_of_the_video_is_counted_in_our_answer() {
    let answer = |lines: &[&str]| {
        let lines: Vec<String> =
            lines.iter().map(|line| format!("m={line} 1\r\na=x\r\n")).collect();
        format!("v=0\r\n{}", lines.concat())
    };
    for (lines, expected) in [
        (&["audio 9 P", "video 9 P"][..], Some(1)),
        (&["video 9 P", "audio 9 P"], Some(0)),
        (&["application 0 P", "video 0 P", "video 9 P"], Some(2)),
        (&["audio 9 P", "video 0 P"], None),
        (&["audio 9 P"], None),
    ] {
        let line = Line::of_video(&answer(lines));
        assert_eq!(line.map(|line| line.index), expected, "{lines:?}");
    }
    assert_eq!(Line::of_video(""), None);
}

#[test]
fn the_line_of_the_video_is_named_by_its_mid_or_else_its_index() {
    let line = |mids: [Option<&str>; 2]| {
        let of = |kind, mid: Option<&str>| {
            let mid = mid.map_or(String::new(), |mid| format!("a=mid:{mid}\r\n"));
            format!("m={kind} 9 P 1\r\n{mid}a=x\r\n")
        };
        Line::of_video(&format!("v=0\r\n{}{}", of("audio", mids[0]), of("video", mids[1]))).unwrap()
    };
    for (mids, names, others) in [
        ([Some("0"), Some("1")], &["1"][..], &["0", "2", "", "video"][..]),
        ([Some("1"), Some("0")], &["0"], &["1", ""]),
        ([Some("a"), Some("v")], &["v", "1"], &["a", "0", ""]),
        ([None, None], &["1", ""], &["0"]),
    ] {
        let line = line(mids);
        assert!(names.iter().all(|name| line.is(name)), "{mids:?}");
        assert!(!others.iter().any(|name| line.is(name)), "{mids:?}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = post(Some("application/json"), &body);
    }

    #[test]
    fn an_array_of_names_is_taken_if_all_are_known(names in proptest::collection::vec(
        prop_oneof![Just("active".to_owned()), Just("layers".to_owned()), "[a-z]{1,8}"], 0..6,
    )) {
        let body = serde_json::to_vec(&names).unwrap();
        let known = |name: &String| ALL.iter().any(|kind| kind.name() == name);
        let taken = matches!(post(Some("application/json"), &body), Outcome::Do(_));
        prop_assert_eq!(taken, names.iter().all(known));
    }
}
