//! The life of a stream with one publisher after the other, scene by scene. Where there are several at
//! once: `conflict.rs`.

mod scene;

use std::time::Duration;

use media::{Activity, Codec, Kind};
use scene::*;
use stream::{Command, Conflict, Event, Reason, State};

#[test]
fn a_viewer_that_comes_first_is_attached_when_a_publisher_connects() {
    let mut scene = Scene::new(Conflict::Takeover);
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
fn viewers_stay_when_the_publisher_says_goodbye_and_the_stream_has_ended_at_once() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.shows(ALICE);
    scene.watches(VIEWER, &[]);
    assert_eq!(scene.on(leaves(ALICE)), [Command::Detach { viewer: VIEWER }]);
    assert_eq!(scene.stream.state(), State::Ended);
    assert_eq!(scene.stream.ended_because(), Some("it said goodbye"));
    assert_eq!(scene.stream.deadline(), None);
    assert!(!scene.stream.is_empty());

    assert_eq!(scene.publishes(BOB), [attach(VIEWER, BOB)]);
    assert_eq!(scene.stream.ended_because(), None);
    scene.on(leaves(BOB));
    assert_eq!(scene.on(Event::ViewerLeft { session: VIEWER }), []);
    assert!(scene.stream.is_empty());
}

#[test]
fn a_publisher_that_falls_silent_interrupts_the_stream_and_goes_on_when_it_is_heard_again() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.shows(ALICE);
    scene.watches(VIEWER, &[]);
    assert_eq!(scene.is(ALICE, Activity::Quiet), []);
    assert_eq!(scene.stream.state(), State::Live, "a still picture is no interruption");
    assert_eq!(scene.is(ALICE, Activity::Silent), []);
    assert_eq!(scene.stream.state(), State::Interrupted);
    assert_eq!(scene.after(GRACE - MS), []);
    assert_eq!(scene.stream.state(), State::Interrupted);
    assert_eq!(scene.is(ALICE, Activity::Quiet), [], "its viewers were never taken from it");
    assert_eq!(scene.stream.state(), State::Live);
    assert_eq!(scene.stream.deadline(), None);

    scene.is(ALICE, Activity::Silent);
    assert_eq!(scene.stream.deadline(), Some(scene.now + GRACE), "a whole one again");
    scene.after(GRACE);
    assert_eq!(scene.stream.state(), State::Ended);
    scene.is(ALICE, Activity::Media);
    assert_eq!(scene.stream.state(), State::Live, "its session is still there");
}

#[test]
fn grace_counts_from_the_silence_and_not_from_the_end_of_the_session() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.shows(ALICE);
    scene.watches(VIEWER, &[]);
    scene.is(ALICE, Activity::Silent);
    let until = scene.now + GRACE;
    scene.after(GRACE / 2);
    assert_eq!(scene.on(is_lost(ALICE)), [Command::Detach { viewer: VIEWER }]);
    assert_eq!(scene.stream.state(), State::Interrupted);
    assert_eq!(scene.stream.ended_because(), Some("its transport failed"));
    assert_eq!(scene.stream.deadline(), Some(until));
    scene.after(GRACE / 2 - MS);
    assert_eq!(scene.stream.state(), State::Interrupted);
    assert_eq!(scene.after(MS), []);
    assert_eq!(scene.stream.state(), State::Ended);
    assert_eq!(scene.publishes(BOB), [attach(VIEWER, BOB)]);
}

#[test]
fn a_session_that_ends_after_its_grace_gets_no_second_one() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.shows(ALICE);
    scene.is(ALICE, Activity::Silent);
    scene.after(GRACE);
    assert_eq!(scene.stream.state(), State::Ended);
    assert!(!scene.stream.is_empty(), "the session is still there");
    scene.on(is_lost(ALICE));
    assert_eq!(scene.stream.state(), State::Ended);
    assert!(scene.stream.is_empty());
}

#[test]
fn an_interrupted_stream_is_kept_without_anybody_for_its_grace() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.shows(ALICE);
    scene.on(is_lost(ALICE));
    assert!(!scene.stream.is_empty());
    scene.after(GRACE - MS);
    assert!(!scene.stream.is_empty());
    scene.after(MS);
    assert!(scene.stream.is_empty());
}

#[test]
fn a_lost_publisher_that_says_goodbye_is_not_waited_for() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.shows(ALICE);
    scene.is(ALICE, Activity::Silent);
    scene.on(leaves(ALICE));
    assert_eq!(scene.stream.state(), State::Ended);
    assert!(scene.stream.is_empty());
}

#[test]
fn one_that_has_shown_nothing_yet_is_starting_however_silent() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.publishes(ALICE);
    scene.is(ALICE, Activity::Silent);
    assert_eq!(scene.stream.state(), State::Starting);
    scene.on(is_lost(ALICE));
    assert_eq!(scene.stream.state(), State::Interrupted);
}

#[test]
fn a_grace_of_nothing_ends_the_stream_at_once_and_an_endless_one_never() {
    for (grace, state) in [(Duration::ZERO, State::Ended), (Duration::MAX, State::Interrupted)] {
        let mut scene =
            Scene::with(stream::Config { grace, on_conflict: Conflict::Takeover, bridges: false });
        scene.shows(ALICE);
        scene.on(is_lost(ALICE));
        assert_eq!(scene.stream.state(), state);
    }
}

#[test]
fn a_kick_ends_the_publisher_and_all_that_wait() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.publishes(ALICE);
    scene.watches(VIEWER, &[]);
    scene.on(joins(BOB));
    let kicked = [
        Command::Detach { viewer: VIEWER },
        close(ALICE, Reason::Kicked),
        close(BOB, Reason::Kicked),
    ];
    assert_eq!(scene.on(Event::PublisherKicked), kicked);
    assert_eq!(scene.stream.state(), State::Ended);
    assert_eq!(scene.stream.ended_because(), Some("disconnected by an operator"));
    assert_eq!(scene.on(Event::PublisherKicked), []);
    assert_eq!(scene.publishes(CAROL), [attach(VIEWER, CAROL)], "another may come");
}

#[test]
fn a_kick_ends_the_wait_for_a_publisher() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.shows(ALICE);
    scene.on(is_lost(ALICE));
    assert_eq!(scene.on(Event::PublisherKicked), []);
    assert_eq!(scene.stream.state(), State::Ended);
    assert!(scene.stream.is_empty());
}

#[test]
fn nobody_stays_or_joins_a_draining_stream() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.shows(ALICE);
    scene.watches(VIEWER, &[]);
    let drained = [close(VIEWER, Reason::Draining), close(ALICE, Reason::Draining)];
    assert_eq!(scene.on(Event::Drain), drained);
    assert!(scene.stream.is_empty());
    assert_eq!(scene.on(joins(BOB)), [close(BOB, Reason::Draining)]);
    assert_eq!(scene.watches(OTHER, &[]), [close(OTHER, Reason::Draining)]);
    assert!(scene.stream.is_empty());
}

#[test]
fn what_a_viewer_cannot_take_is_named_and_it_is_told_once() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.watches(VIEWER, &[Codec::Opus, Codec::Vp8]);
    scene.watches(OTHER, &[Codec::Opus, Codec::Vp9]);
    assert_eq!(scene.stream.missing_codec(OTHER), [], "no publisher yet");
    scene.publishes(ALICE);
    assert_eq!(scene.stream.missing_codec(VIEWER), [], "it may still send VP8");
    assert_eq!(scene.stream.missing_codec(OTHER), [Codec::H264], "its first choice");

    let reconnect = |viewer| Command::Reconnect { viewer };
    assert_eq!(scene.sends(ALICE, Codec::Opus), []);
    assert_eq!(scene.sends(ALICE, Codec::H264), [reconnect(VIEWER), reconnect(OTHER)]);
    assert_eq!(scene.sends(ALICE, Codec::H264), []);
    assert_eq!(scene.stream.missing_codec(VIEWER), [Codec::H264]);
    assert_eq!(scene.sends(ALICE, Codec::Vp9), [reconnect(VIEWER)]);
    assert_eq!(scene.stream.missing_codec(OTHER), []);
    let publisher = scene.stream.publisher().expect("it is connected");
    assert_eq!(publisher.sends(Kind::Video), Some(Codec::Vp9));
    assert_eq!(publisher.sends(Kind::Audio), Some(Codec::Opus));
}

#[test]
fn a_kind_that_a_viewer_does_not_want_is_not_missing() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.publishes(ALICE);
    scene.watches(VIEWER, &[Codec::Opus]);
    assert_eq!(scene.sends(ALICE, Codec::H264), []);
    assert_eq!(scene.stream.missing_codec(VIEWER), []);
    assert_eq!(scene.stream.missing_codec(BOB), [], "nobody");
}

#[test]
fn a_viewer_is_connected_when_it_says_so() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.watches(VIEWER, &[]);
    assert!(!scene.stream.viewer(VIEWER).expect("it joined").connected);
    scene.on(Event::ViewerConnected { session: VIEWER });
    assert!(scene.stream.viewer(VIEWER).expect("it joined").connected);
    assert_eq!(scene.stream.viewers().len(), 1);
}
