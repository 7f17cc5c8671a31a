//! More than one publisher, scene by scene, for each value of `stream.on_conflict`.

mod scene;

use media::{Activity, Codec};
use scene::*;
use signaling::SessionId;
use stream::{Command, Conflict, Event, MAX_PENDING, MAX_STANDBYS, Reason, Refusal, STEADY, State};

fn number(n: usize) -> SessionId {
    SessionId::from_random(1000 + n as u128)
}

#[test]
fn a_new_publisher_takes_over_with_its_first_media() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.watches(VIEWER, &[]);
    scene.shows(ALICE);
    assert_eq!(scene.publishes(BOB), [], "it has nothing to show yet");
    assert_eq!(scene.stream.state(), State::Live);
    assert_eq!(scene.active(), Some(ALICE));
    assert_eq!(scene.stream.pending().map(|p| p.session), Some(BOB));
    assert_eq!(scene.is(ALICE, Activity::Quiet), [], "a still picture is a picture");

    assert_eq!(scene.sends(BOB, Codec::H264), []);
    let taken = scene.is(BOB, Activity::Media);
    assert_eq!(taken, [attach(VIEWER, BOB), close(ALICE, Reason::Replaced)]);
    assert_eq!(scene.stream.state(), State::Live);
    assert_eq!(scene.on(leaves(ALICE)), [], "the old one is known no more");
    assert_eq!(scene.active(), Some(BOB));
}

#[test]
fn of_one_that_is_silent_a_new_publisher_takes_over_as_soon_as_it_is_connected() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.watches(VIEWER, &[]);
    scene.shows(ALICE);
    scene.is(ALICE, Activity::Silent);
    let taken = [attach(VIEWER, BOB), close(ALICE, Reason::Replaced)];
    assert_eq!(scene.publishes(BOB), taken);
    assert_eq!(scene.stream.state(), State::Starting);
    assert_eq!(scene.stream.deadline(), None);
    // Also where the silence comes after it.
    scene.sends(BOB, Codec::Vp8);
    scene.is(BOB, Activity::Media);
    assert_eq!(scene.publishes(CAROL), []);
    let taken = [attach(VIEWER, CAROL), close(BOB, Reason::Replaced)];
    assert_eq!(scene.is(BOB, Activity::Silent), taken);
}

#[test]
fn one_that_waits_takes_over_at_once_when_the_publisher_leaves() {
    for goes in [leaves(ALICE), is_lost(ALICE)] {
        let mut scene = Scene::new(Conflict::Takeover);
        scene.watches(VIEWER, &[]);
        scene.shows(ALICE);
        scene.publishes(BOB);
        assert_eq!(scene.on(goes), [attach(VIEWER, BOB)], "no detaching in between");
        assert_eq!(scene.stream.state(), State::Starting);
    }
}

#[test]
fn a_publisher_that_never_connects_changes_nothing() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.watches(VIEWER, &[]);
    scene.shows(ALICE);
    scene.on(joins(BOB));
    assert_eq!(scene.on(is_lost(BOB)), []);
    assert_eq!(scene.active(), Some(ALICE));
    assert_eq!(scene.stream.state(), State::Live);
    assert!(scene.stream.pending().is_none());
}

#[test]
fn of_two_that_wait_the_first_with_media_wins_and_an_older_one_is_closed() {
    let mut scene = Scene::new(Conflict::Takeover);
    scene.shows(ALICE);
    assert_eq!(scene.publishes(BOB), []);
    assert_eq!(scene.publishes(CAROL), []);
    let won = [close(ALICE, Reason::Replaced), close(BOB, Reason::Replaced)];
    assert_eq!(scene.is(CAROL, Activity::Media), won);
    assert_eq!(scene.is(BOB, Activity::Media), []);
    assert_eq!(scene.active(), Some(CAROL));

    let mut scene = Scene::new(Conflict::Takeover);
    scene.shows(ALICE);
    scene.publishes(BOB);
    scene.publishes(CAROL);
    assert_eq!(scene.is(BOB, Activity::Media), [close(ALICE, Reason::Replaced)]);
    assert_eq!(scene.stream.pending().map(|p| p.session), Some(CAROL), "it came later");
    assert_eq!(scene.is(CAROL, Activity::Media), [close(BOB, Reason::Replaced)]);
}

#[test]
fn no_more_than_so_many_wait_to_take_over() {
    for conflict in [Conflict::Takeover, Conflict::Reject] {
        let mut scene = Scene::new(conflict);
        for n in 0..MAX_PENDING {
            assert_eq!(scene.on(joins(number(n))), []);
        }
        let crowded = [close(number(0), Reason::Replaced)];
        assert_eq!(scene.on(joins(number(MAX_PENDING))), crowded);
        assert_eq!(scene.stream.publishers().len(), MAX_PENDING);
    }
}

#[test]
fn reject_turns_a_second_one_away_while_the_first_is_heard() {
    let mut scene = Scene::new(Conflict::Reject);
    scene.watches(VIEWER, &[]);
    assert_eq!(scene.stream.admits_publisher(), Ok(()));
    scene.shows(ALICE);
    for activity in [Activity::Media, Activity::Quiet] {
        scene.is(ALICE, activity);
        assert_eq!(scene.stream.admits_publisher(), Err(Refusal::Taken));
        assert_eq!(scene.on(joins(BOB)), [close(BOB, Reason::Refused)]);
    }
    scene.is(ALICE, Activity::Silent);
    assert_eq!(scene.stream.state(), State::Interrupted);
    assert_eq!(scene.stream.admits_publisher(), Ok(()));
    let taken = [attach(VIEWER, BOB), close(ALICE, Reason::Replaced)];
    assert_eq!(scene.publishes(BOB), taken);
    scene.on(is_lost(BOB));
    assert_eq!(scene.stream.state(), State::Interrupted);
    assert_eq!(scene.publishes(CAROL), [attach(VIEWER, CAROL)]);
}

#[test]
fn reject_closes_one_that_connects_after_the_first_is_heard_again() {
    let mut scene = Scene::new(Conflict::Reject);
    scene.shows(ALICE);
    scene.is(ALICE, Activity::Silent);
    scene.on(joins(BOB));
    scene.is(ALICE, Activity::Media);
    let refused = [close(BOB, Reason::Refused)];
    assert_eq!(scene.on(Event::PublisherConnected { session: BOB }), refused);
    assert_eq!(scene.active(), Some(ALICE));
}

#[test]
fn a_standby_serves_while_the_first_sends_no_media_and_gives_back() {
    let mut scene = Scene::new(Conflict::Standby);
    scene.watches(VIEWER, &[]);
    scene.shows(ALICE);
    assert_eq!(scene.shows(BOB), []);
    assert_eq!((scene.active(), scene.stream.standbys()), (Some(ALICE), 1));

    for pause in [Activity::Quiet, Activity::Silent] {
        assert_eq!(scene.is(ALICE, pause), [attach(VIEWER, BOB)]);
        assert_eq!(scene.stream.state(), State::Live);
        assert_eq!(scene.stream.standbys(), 1, "the first one");
        assert_eq!(scene.is(ALICE, Activity::Media), []);
        assert_eq!(scene.after(STEADY - MS), []);
        assert_eq!(scene.after(MS), [attach(VIEWER, ALICE)]);
    }
}

#[test]
fn one_whose_media_comes_and_goes_does_not_get_its_viewers_back() {
    let mut scene = Scene::new(Conflict::Standby);
    scene.watches(VIEWER, &[]);
    scene.shows(ALICE);
    scene.shows(BOB);
    scene.is(ALICE, Activity::Quiet);
    for _ in 0..10 {
        scene.is(ALICE, Activity::Media);
        assert_eq!(scene.after(STEADY - MS), []);
        scene.is(ALICE, Activity::Quiet);
        assert_eq!(scene.after(STEADY), []);
    }
    // Unless there is nobody else.
    scene.is(ALICE, Activity::Media);
    assert_eq!(scene.is(BOB, Activity::Quiet), [attach(VIEWER, ALICE)]);
}

#[test]
fn standbys_serve_in_the_order_of_their_coming() {
    let mut scene = Scene::new(Conflict::Standby);
    scene.watches(VIEWER, &[]);
    scene.shows(ALICE);
    scene.publishes(BOB);
    scene.shows(CAROL);
    assert_eq!(scene.on(is_lost(ALICE)), [attach(VIEWER, CAROL)], "BOB has no media");
    assert_eq!(scene.stream.state(), State::Live);
    scene.is(BOB, Activity::Media);
    assert_eq!(scene.after(STEADY), [attach(VIEWER, BOB)]);
    assert_eq!(scene.on(leaves(BOB)), [attach(VIEWER, CAROL)]);
    assert_eq!(scene.on(leaves(CAROL)), [Command::Detach { viewer: VIEWER }]);
    assert_eq!(scene.stream.state(), State::Ended);
}

#[test]
fn only_so_many_stand_by() {
    let mut scene = Scene::new(Conflict::Standby);
    scene.shows(ALICE);
    for n in 0..MAX_STANDBYS {
        assert_eq!(scene.shows(number(n)), []);
    }
    assert_eq!(scene.stream.standbys(), MAX_STANDBYS);
    assert_eq!(scene.stream.admits_publisher(), Err(Refusal::Full));
    assert_eq!(scene.on(joins(BOB)), [close(BOB, Reason::Refused)]);
    scene.on(leaves(ALICE));
    assert_eq!(scene.stream.admits_publisher(), Ok(()));
}

#[test]
fn a_stream_without_media_from_anybody_is_interrupted() {
    let mut scene = Scene::new(Conflict::Standby);
    scene.watches(VIEWER, &[]);
    scene.shows(ALICE);
    scene.shows(BOB);
    scene.is(BOB, Activity::Silent);
    assert_eq!(scene.is(ALICE, Activity::Silent), []);
    assert_eq!(scene.stream.state(), State::Interrupted);
    assert_eq!(scene.is(BOB, Activity::Media), [attach(VIEWER, BOB)]);
    assert_eq!(scene.stream.state(), State::Live);
}

#[test]
fn a_viewer_is_told_at_each_change_to_a_codec_that_it_lacks() {
    let mut scene = Scene::new(Conflict::Standby);
    scene.watches(VIEWER, &[Codec::Vp8]);
    scene.shows(ALICE);
    scene.publishes(BOB);
    assert_eq!(scene.sends(BOB, Codec::H264), [], "nobody watches it yet");
    scene.is(BOB, Activity::Media);
    let told = [attach(VIEWER, BOB), Command::Reconnect { viewer: VIEWER }];
    assert_eq!(scene.is(ALICE, Activity::Quiet), told);
    scene.is(ALICE, Activity::Media);
    assert_eq!(scene.after(STEADY), [attach(VIEWER, ALICE)]);
}

#[test]
fn one_that_is_silent_itself_ends_no_interruption() {
    for conflict in [Conflict::Takeover, Conflict::Reject, Conflict::Standby] {
        let mut scene = Scene::new(conflict);
        scene.shows(ALICE);
        scene.is(ALICE, Activity::Silent);
        let until = scene.stream.deadline();
        scene.on(joins(BOB));
        scene.after(GRACE / 2);
        if conflict == Conflict::Standby {
            // It has shown something, and fell silent while it stood by.
            scene.is(ALICE, Activity::Media);
            scene.shows(BOB);
            scene.is(BOB, Activity::Silent);
            scene.on(is_lost(ALICE));
            assert_eq!(scene.active(), Some(BOB));
            assert_eq!(scene.stream.deadline(), Some(scene.now + GRACE));
        } else {
            assert_eq!(scene.stream.deadline(), until, "it is not even connected");
        }
        assert_eq!(scene.stream.state(), State::Interrupted);
    }
}
