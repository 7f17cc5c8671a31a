//! The life of a stream, scene by scene.

use std::time::Instant;

use media::{Codec, Kind};
use signaling::SessionId;
use stream::{Command, Event, Reason, State, Stream};

const ALICE: SessionId = SessionId::from_random(1);
const BOB: SessionId = SessionId::from_random(2);
const CAROL: SessionId = SessionId::from_random(3);
const VIEWER: SessionId = SessionId::from_random(10);
const OTHER: SessionId = SessionId::from_random(11);

/// A stream and a clock that stands still.
struct Scene {
    now: Instant,
    stream: Stream,
}

impl Scene {
    #[expect(clippy::disallowed_methods, reason = "a fake clock starts somewhere")]
    fn new() -> Self {
        Self { now: Instant::now(), stream: Stream::new() }
    }

    fn on(&mut self, event: Event) -> Vec<Command> {
        let mut out = Vec::new();
        self.stream.handle(self.now, event, &mut out);
        out
    }

    fn publishes(&mut self, session: SessionId) -> Vec<Command> {
        let mut out = self.on(joins(session));
        out.extend(self.on(Event::PublisherConnected { session }));
        out
    }

    fn watches(&mut self, session: SessionId, codecs: &[Codec]) -> Vec<Command> {
        self.on(Event::ViewerJoined { session, codecs: codecs.to_vec() })
    }
}

fn joins(session: SessionId) -> Event {
    Event::PublisherJoined { session, codecs: vec![Codec::Opus, Codec::H264, Codec::Vp8] }
}

fn leaves(session: SessionId) -> Event {
    Event::PublisherLeft { session, reason: "it said goodbye".into() }
}

fn attach(viewer: SessionId, publisher: SessionId) -> Command {
    Command::Attach { viewer, publisher }
}

fn close(session: SessionId, reason: Reason) -> Command {
    Command::Close { session, reason }
}

#[test]
fn a_viewer_that_comes_first_is_attached_when_a_publisher_connects() {
    let mut scene = Scene::new();
    assert_eq!(scene.watches(VIEWER, &[Codec::Vp8]), []);
    assert_eq!(scene.stream.state(), State::Idle);
    assert_eq!(scene.on(joins(ALICE)), []);
    assert_eq!(scene.stream.state(), State::Starting);
    let connected = scene.on(Event::PublisherConnected { session: ALICE });
    assert_eq!(connected, [attach(VIEWER, ALICE)]);
    assert_eq!(scene.stream.state(), State::Starting);
    scene.on(Event::MediaStarted { session: ALICE, codec: Codec::Vp8 });
    assert_eq!(scene.stream.state(), State::Live);
    assert_eq!(scene.watches(OTHER, &[]), [attach(OTHER, ALICE)]);
}

#[test]
fn a_new_publisher_takes_over_only_when_it_is_connected() {
    let mut scene = Scene::new();
    scene.watches(VIEWER, &[]);
    scene.publishes(ALICE);
    scene.on(Event::MediaStarted { session: ALICE, codec: Codec::Vp8 });

    assert_eq!(scene.on(joins(BOB)), []);
    assert_eq!(scene.stream.state(), State::Live);
    assert_eq!(scene.stream.publisher().map(|p| p.session), Some(ALICE));
    assert_eq!(scene.stream.pending().map(|p| p.session), Some(BOB));

    let taken = scene.on(Event::PublisherConnected { session: BOB });
    assert_eq!(taken, [attach(VIEWER, BOB), close(ALICE, Reason::Replaced)]);
    assert_eq!(scene.stream.state(), State::Starting, "no media from the new one yet");
    assert_eq!(scene.on(leaves(ALICE)), [], "the old one is known no more");
    assert_eq!(scene.stream.publisher().map(|p| p.session), Some(BOB));
}

#[test]
fn a_publisher_that_never_connects_changes_nothing() {
    let mut scene = Scene::new();
    scene.watches(VIEWER, &[]);
    scene.publishes(ALICE);
    scene.on(joins(BOB));
    assert_eq!(scene.on(leaves(BOB)), []);
    assert_eq!(scene.stream.publisher().map(|p| p.session), Some(ALICE));
    assert!(scene.stream.pending().is_none());
}

#[test]
fn of_two_that_are_connecting_the_newer_one_stays() {
    let mut scene = Scene::new();
    scene.publishes(ALICE);
    scene.on(joins(BOB));
    assert_eq!(scene.on(joins(CAROL)), [close(BOB, Reason::Replaced)]);
    assert_eq!(scene.on(Event::PublisherConnected { session: BOB }), []);
    assert_eq!(scene.stream.publisher().map(|p| p.session), Some(ALICE));
}

#[test]
fn viewers_stay_when_the_publisher_leaves() {
    let mut scene = Scene::new();
    scene.publishes(ALICE);
    scene.watches(VIEWER, &[]);
    assert_eq!(scene.on(leaves(ALICE)), [Command::Detach { viewer: VIEWER }]);
    assert_eq!(scene.stream.state(), State::Ended);
    assert_eq!(scene.stream.ended_because(), Some("it said goodbye"));
    assert!(!scene.stream.is_empty());

    assert_eq!(scene.publishes(BOB), [attach(VIEWER, BOB)]);
    assert_eq!(scene.stream.ended_because(), None);
    scene.on(leaves(BOB));
    assert_eq!(scene.on(Event::ViewerLeft { session: VIEWER }), []);
    assert!(scene.stream.is_empty());
}

#[test]
fn a_kick_ends_the_publisher_and_the_one_that_waits() {
    let mut scene = Scene::new();
    scene.publishes(ALICE);
    scene.watches(VIEWER, &[]);
    scene.on(joins(BOB));
    let kicked = [
        close(BOB, Reason::Kicked),
        Command::Detach { viewer: VIEWER },
        close(ALICE, Reason::Kicked),
    ];
    assert_eq!(scene.on(Event::PublisherKicked), kicked);
    assert_eq!(scene.stream.state(), State::Ended);
    assert_eq!(scene.stream.ended_because(), Some("disconnected by an operator"));
    assert_eq!(scene.on(Event::PublisherKicked), []);
    assert_eq!(scene.publishes(CAROL), [attach(VIEWER, CAROL)], "another may come");
}

#[test]
fn nobody_stays_or_joins_a_draining_stream() {
    let mut scene = Scene::new();
    scene.publishes(ALICE);
    scene.watches(VIEWER, &[]);
    let drained = [close(VIEWER, Reason::Draining), close(ALICE, Reason::Draining)];
    assert_eq!(scene.on(Event::Drain), drained);
    assert!(scene.stream.is_empty());
    assert_eq!(scene.on(joins(BOB)), [close(BOB, Reason::Draining)]);
    assert_eq!(scene.watches(OTHER, &[]), [close(OTHER, Reason::Draining)]);
    assert!(scene.stream.is_empty());
}

#[test]
fn what_a_viewer_cannot_take_is_named() {
    let mut scene = Scene::new();
    scene.watches(VIEWER, &[Codec::Opus, Codec::Vp8]);
    scene.watches(OTHER, &[Codec::Opus, Codec::Vp9]);
    assert_eq!(scene.stream.missing_codec(OTHER), [], "no publisher yet");
    scene.publishes(ALICE);
    assert_eq!(scene.stream.missing_codec(VIEWER), [], "it may still send VP8");
    assert_eq!(scene.stream.missing_codec(OTHER), [Codec::H264], "its first choice");

    scene.on(Event::MediaStarted { session: ALICE, codec: Codec::H264 });
    assert_eq!(scene.stream.missing_codec(VIEWER), [Codec::H264]);
    scene.on(Event::MediaStarted { session: ALICE, codec: Codec::Vp9 });
    assert_eq!(scene.stream.missing_codec(OTHER), []);
    let publisher = scene.stream.publisher().expect("it is connected");
    assert_eq!(publisher.sends(Kind::Video), Some(Codec::Vp9));
    assert_eq!(publisher.sends(Kind::Audio), None);
}

#[test]
fn a_kind_that_a_viewer_does_not_want_is_not_missing() {
    let mut scene = Scene::new();
    scene.publishes(ALICE);
    scene.watches(VIEWER, &[Codec::Opus]);
    scene.on(Event::MediaStarted { session: ALICE, codec: Codec::H264 });
    assert_eq!(scene.stream.missing_codec(VIEWER), []);
    assert_eq!(scene.stream.missing_codec(BOB), [], "nobody");
}

#[test]
fn a_viewer_is_connected_when_it_says_so() {
    let mut scene = Scene::new();
    scene.watches(VIEWER, &[]);
    assert!(!scene.stream.viewer(VIEWER).expect("it joined").connected);
    scene.on(Event::ViewerConnected { session: VIEWER });
    assert!(scene.stream.viewer(VIEWER).expect("it joined").connected);
    assert_eq!(scene.stream.viewers().len(), 1);
}
