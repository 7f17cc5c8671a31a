//! Which bridges are asked for, for whom, and when they end, scene by scene.

mod scene;

use media::{Activity, Codec};
use scene::*;
use signaling::SessionId;
use stream::bridges::{AGAIN, AGAIN_MOST, LINGER, State, Why};
use stream::{Command, Config, Conflict, Event, Reason};

const CHROMIUM: [Codec; 4] = [Codec::Opus, Codec::H264, Codec::Vp8, Codec::Av1];
const FIREFOX: [Codec; 3] = [Codec::Opus, Codec::Vp8, Codec::Vp9];

fn scene() -> Scene {
    Scene::with(Config { grace: GRACE, on_conflict: Conflict::Takeover, bridges: true })
}

fn bridges(from: Codec, to: Codec, viewers: usize) -> Command {
    let why = Why { viewers, ..Why::default() };
    Command::Bridge { publisher: ALICE, from, to, why }
}

fn unbridges(from: Codec, to: Codec) -> Command {
    Command::Unbridge { publisher: ALICE, from, to }
}

/// Alice publishes by RTMP: these codecs.
fn rtmp(scene: &mut Scene, codecs: &[Codec]) {
    assert_eq!(scene.publishes(ALICE), []);
    for codec in codecs {
        scene.sends(ALICE, *codec);
    }
    scene.is(ALICE, Activity::Media);
}

fn is(scene: &mut Scene, from: Codec, to: Codec, state: State) -> Vec<Command> {
    scene.on(Event::BridgeIs { publisher: ALICE, from, to, state })
}

#[test]
fn sound_in_aac_is_made_opus_once_for_all_who_watch_and_a_little_longer() {
    let mut scene = scene();
    rtmp(&mut scene, &[Codec::H264, Codec::Aac]);
    assert_eq!(scene.stream.bridges(), []);
    let first = scene.watches(VIEWER, &CHROMIUM);
    assert_eq!(first, [attach(VIEWER, ALICE), bridges(Codec::Aac, Codec::Opus, 1)]);
    assert_eq!(scene.watches(OTHER, &CHROMIUM), [attach(OTHER, ALICE)]);
    assert_eq!(scene.stream.bridges()[0].why.to_string(), "whep viewers");
    assert_eq!(scene.stream.bridges()[0].state, State::Starting);
    is(&mut scene, Codec::Aac, Codec::Opus, State::Running);
    assert_eq!(scene.stream.bridges()[0].state, State::Running);

    scene.on(Event::ViewerLeft { session: VIEWER });
    assert_eq!(scene.stream.deadline(), None);
    scene.on(Event::ViewerLeft { session: OTHER });
    assert_eq!(scene.after(LINGER - MS), []);
    // Who reloads the page finds it running.
    assert_eq!(scene.watches(OTHER, &CHROMIUM), [attach(OTHER, ALICE)]);
    scene.on(Event::ViewerLeft { session: OTHER });
    assert_eq!(scene.after(LINGER), [unbridges(Codec::Aac, Codec::Opus)]);
    assert_eq!(scene.stream.bridges(), []);
}

#[test]
fn each_viewer_is_bridged_to_the_best_that_it_can_take() {
    let mut scene = scene();
    rtmp(&mut scene, &[Codec::H265, Codec::Opus]);
    scene.watches(VIEWER, &CHROMIUM);
    scene.watches(OTHER, &FIREFOX);
    let ways = |s: &Scene| s.stream.bridges().iter().map(|b| (b.from, b.to)).collect::<Vec<_>>();
    assert_eq!(ways(&scene), [(Codec::H265, Codec::H264), (Codec::H265, Codec::Vp8)]);
    assert_eq!(scene.stream.missing_codec(OTHER), []);
    // Another codec: what was made of the one before ends at once.
    let out = scene.sends(ALICE, Codec::H264);
    assert_eq!(
        out,
        [
            unbridges(Codec::H265, Codec::H264),
            unbridges(Codec::H265, Codec::Vp8),
            bridges(Codec::H264, Codec::Vp8, 1),
        ]
    );
}

#[test]
fn b_frames_are_taken_out_for_webrtc_and_left_for_players() {
    let mut scene = scene();
    rtmp(&mut scene, &[Codec::H264, Codec::Opus]);
    scene.watches(VIEWER, &CHROMIUM);
    let player = SessionId::from_random(20);
    scene.on(Event::PlayerJoined { session: player, codecs: vec![Codec::H264, Codec::Aac] });
    let [sound] = scene.stream.bridges() else { panic!("{:?}", scene.stream.bridges()) };
    assert_eq!(
        (sound.from, sound.to, sound.why.to_string().as_str()),
        (Codec::Opus, Codec::Aac, "rtmp players")
    );
    let out = scene.on(Event::Reorders { session: ALICE, reorders: true });
    let why = Why { viewers: 1, players: 0, audience: false, reorders: true };
    let (publisher, from) = (ALICE, Codec::H264);
    assert_eq!(out, [Command::Bridge { publisher, from, to: from, why }]);
    assert_eq!(why.to_string(), "whep viewers, b-frames");
    // Should that fail, the viewer still gets what it knows how to show.
    assert_eq!(is(&mut scene, from, from, State::Failed), []);
    assert_eq!(scene.stream.missing_codec(VIEWER), []);
    scene.on(Event::Reorders { session: ALICE, reorders: false });
    assert_eq!(scene.after(LINGER), [unbridges(from, from)]);
    let left = scene.on(Event::PlayerLeft { session: player });
    assert_eq!(left, []);
    assert_eq!(scene.after(LINGER), [unbridges(Codec::Opus, Codec::Aac)]);
}

#[test]
fn who_is_bridged_is_not_told_to_come_anew_unless_the_bridge_fails() {
    let mut scene = scene();
    rtmp(&mut scene, &[Codec::H264]);
    let reconnect = Command::Reconnect { viewer: VIEWER };
    let out = scene.watches(VIEWER, &FIREFOX);
    assert_eq!(out, [attach(VIEWER, ALICE), bridges(Codec::H264, Codec::Vp8, 1)]);
    assert_eq!(scene.stream.missing_codec(VIEWER), []);
    assert_eq!(is(&mut scene, Codec::H264, Codec::Vp8, State::Failed), [reconnect]);
    assert_eq!(scene.stream.missing_codec(VIEWER), [Codec::H264]);
    assert_eq!(is(&mut scene, Codec::H264, Codec::Vp8, State::Failed), [], "told once");
    let out = scene.watches(OTHER, &FIREFOX);
    assert_eq!(out, [attach(OTHER, ALICE), Command::Reconnect { viewer: OTHER }]);
    assert_eq!(scene.stream.untakeable(&FIREFOX), [Codec::H264]);
    // It is tried again for who comes when those are gone.
    scene.on(Event::ViewerLeft { session: VIEWER });
    scene.on(Event::ViewerLeft { session: OTHER });
    assert_eq!(scene.after(LINGER), [unbridges(Codec::H264, Codec::Vp8)]);
    let out = scene.watches(VIEWER, &FIREFOX);
    assert_eq!(out, [attach(VIEWER, ALICE), bridges(Codec::H264, Codec::Vp8, 1)]);
}

#[test]
fn one_that_failed_is_tried_again_while_somebody_needs_it_and_more_and_more_seldom() {
    let mut scene = scene();
    rtmp(&mut scene, &[Codec::H264]);
    let wanted = [bridges(Codec::H264, Codec::Vp8, 1)];
    let fails = |scene: &mut Scene| is(scene, Codec::H264, Codec::Vp8, State::Failed);
    scene.watches(VIEWER, &FIREFOX);
    assert_eq!(fails(&mut scene), [Command::Reconnect { viewer: VIEWER }]);
    let mut wait = AGAIN;
    for _ in 0..6 {
        assert_eq!(scene.after(wait - MS), []);
        assert_eq!(scene.after(MS), wanted);
        // Nobody counts on it before it runs, and who was told once is not told each time.
        assert_eq!(scene.stream.missing_codec(VIEWER), [Codec::H264]);
        assert_eq!(fails(&mut scene), []);
        wait = (wait * 2).min(AGAIN_MOST);
    }
    assert_eq!(wait, AGAIN_MOST);
    assert_eq!(scene.after(wait), wanted);
    is(&mut scene, Codec::H264, Codec::Vp8, State::Running);
    assert_eq!(scene.stream.missing_codec(VIEWER), []);
    assert_eq!(scene.stream.deadline(), None);
    // After a long run it is as at first.
    scene.after(AGAIN);
    assert_eq!(fails(&mut scene), [Command::Reconnect { viewer: VIEWER }]);
    assert_eq!(scene.after(AGAIN), wanted);
    // While nobody needs it, it is not tried.
    fails(&mut scene);
    scene.on(Event::ViewerLeft { session: VIEWER });
    assert_eq!(scene.after(AGAIN_MOST), [unbridges(Codec::H264, Codec::Vp8)]);
}

#[test]
fn without_anybody_to_do_it_nothing_is_bridged() {
    let mut scene = Scene::new(Conflict::Takeover);
    rtmp(&mut scene, &[Codec::H265, Codec::Aac]);
    let out = scene.watches(VIEWER, &CHROMIUM);
    assert_eq!(out, [attach(VIEWER, ALICE), Command::Reconnect { viewer: VIEWER }]);
    assert_eq!(scene.stream.missing_codec(VIEWER), [Codec::Aac, Codec::H265]);
    // No offer can hold AAC.
    let out = scene.watches(OTHER, &[Codec::Opus]);
    assert_eq!(out, [attach(OTHER, ALICE)]);
}

#[test]
fn bridges_end_with_their_publisher() {
    let mut scene = scene();
    rtmp(&mut scene, &[Codec::H265]);
    scene.watches(VIEWER, &CHROMIUM);
    let out = scene.on(leaves(ALICE));
    assert_eq!(out, [Command::Detach { viewer: VIEWER }, unbridges(Codec::H265, Codec::H264)]);

    rtmp_again(&mut scene);
    let out = scene.on(Event::PublisherKicked);
    assert_eq!(out.last(), Some(&unbridges(Codec::H265, Codec::H264)));

    rtmp_again(&mut scene);
    scene.publishes(BOB);
    scene.sends(BOB, Codec::Vp8);
    let out = scene.is(BOB, Activity::Media);
    let closed = close(ALICE, Reason::Replaced);
    assert_eq!(out, [attach(VIEWER, BOB), closed, unbridges(Codec::H265, Codec::H264)]);
    assert_eq!(scene.stream.deadline(), None);
}

fn rtmp_again(scene: &mut Scene) {
    scene.publishes(ALICE);
    let out = scene.sends(ALICE, Codec::H265);
    assert_eq!(out, [bridges(Codec::H265, Codec::H264, 1)]);
}

#[test]
fn a_standby_takes_over_with_a_bridge_of_its_own() {
    let mut scene =
        Scene::with(Config { grace: GRACE, on_conflict: Conflict::Standby, bridges: true });
    rtmp(&mut scene, &[Codec::H265]);
    scene.publishes(BOB);
    scene.sends(BOB, Codec::Av1);
    scene.is(BOB, Activity::Media);
    scene.watches(VIEWER, &[Codec::H264]);
    let ways = |s: &Scene| s.stream.bridges().iter().map(|b| b.publisher).collect::<Vec<_>>();
    assert_eq!(ways(&scene), [ALICE]);
    scene.is(ALICE, Activity::Quiet);
    assert_eq!(ways(&scene), [ALICE, BOB], "the one before may come back in a moment");
    assert_eq!(scene.after(LINGER), [unbridges(Codec::H265, Codec::H264)]);
    assert_eq!(ways(&scene), [BOB]);
}

#[test]
fn players_keep_a_stream_and_are_sent_away_when_the_server_stops() {
    let mut scene = scene();
    let session = VIEWER;
    scene.on(Event::PlayerJoined { session, codecs: vec![Codec::H264] });
    assert!(!scene.stream.is_empty());
    assert_eq!(scene.stream.players(), 1);
    assert_eq!(scene.on(Event::Drain), [close(VIEWER, Reason::Draining)]);
    assert!(scene.stream.is_empty());
    let late = scene.on(Event::PlayerJoined { session: OTHER, codecs: Vec::new() });
    assert_eq!(late, [close(OTHER, Reason::Draining)]);
}
