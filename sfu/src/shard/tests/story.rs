//! What the log of a session tells afterwards: each story in its order.

use super::*;
use crate::recorder::{Report, Who};
use crate::test::peer::{Offer, Peer};
use crate::transport::Failure;

const H264: Content = Content::H264 { sets: true };

fn live(world: &World, number: u32) -> Report {
    let id = World::id(number);
    world.shards.iter().find_map(|s| s.session(id, world.now)).expect("it lives")
}

fn ended(world: &World, number: u32) -> &Report {
    let of = |event: &'_ Event| match event {
        Event::Ended { session, .. } => *session == World::id(number),
        _ => false,
    };
    assert_eq!(world.events.iter().filter(|e| of(e)).count(), 1, "told once");
    match world.events.iter().find(|e| of(e)) {
        Some(Event::Ended { report, .. }) => report,
        _ => panic!("not ended: {:?}", world.events),
    }
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.recorder.entries().iter().map(|(_, d)| d.code()).collect()
}

fn text(report: &Report, who: Who) -> String {
    let entries = report.recorder.entries();
    let lines = entries.into_iter().map(|(_, d)| format!("{}\n", report.recorder.text(who, d)));
    lines.collect()
}

/// True if `codes` has these in this order, others between them.
fn in_order(codes: &[&str], wanted: &[&str]) -> bool {
    let mut rest = codes.iter();
    wanted.iter().all(|w| rest.any(|c| c == w))
}

#[test]
fn a_viewer_that_plays_has_its_story_told_in_order() {
    let mut world = World::new();
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::Opus, H264]);
    studio.video_mut().obeys = false;
    play(&mut world, &mut studio, SECOND * 2);
    world.watch(VIEWER, PUBLISHER);
    play(&mut world, &mut studio, SECOND * 3);

    let report = live(&world, VIEWER);
    let all = codes(&report);
    let story = [
        "stun_check",
        "candidate_pair",
        "dtls_begun",
        "dtls_up",
        "layer_shown",
        "catch_up",
        "caught_up",
    ];
    assert!(in_order(&all, &story), "{}", text(&report, Who::Viewer));
    assert!(in_order(&all, &["attached", "layer_selected", "layer_shown"]), "{all:?}");
    let said = text(&report, Who::Viewer);
    for line in [
        "first STUN check came from 10.0.1.1:10100",
        "between 10.0.0.1:8080 and 10.0.1.1:10100",
        ", SRTP AES-",
        "watches the publisher 00000001",
        "main was selected: it is the highest that flows",
        "from the keyframe in the ring",
        "sound goes out",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    assert!(all.len() < 20, "a quiet log:\n{said}");
    let viewer = report.viewer.as_ref().expect("a viewer");
    assert!(viewer.attached && viewer.awaiting.is_none());

    let publisher = live(&world, PUBLISHER);
    let story = ["stun_check", "candidate_pair", "dtls_begun", "dtls_up", "encoding", "keyframe"];
    assert!(in_order(&codes(&publisher), &story), "{}", text(&publisher, Who::Publisher));
    assert!(publisher.media.is_some() && publisher.encodings.len() == 2);

    // Nothing more to tell is nothing more told.
    let before = all.len();
    play(&mut world, &mut studio, SECOND * 5);
    assert_eq!(codes(&live(&world, VIEWER)).len(), before, "{}", text(&report, Who::Viewer));
}

#[test]
fn the_log_outlives_its_session() {
    let (mut world, mut camera) = publisher_and_viewer(&[(None, 640)]);
    world.run(SECOND, |w| camera.shoot(w));
    world.command(Command::Remove(World::id(VIEWER)));
    let report = ended(&world, VIEWER);
    assert!(in_order(&codes(report), &["dtls_up", "layer_shown"]), "{:?}", codes(report));
    assert!(report.viewer.as_ref().is_some_and(|v| v.packets > 10));
    assert!(world.shards[0].session(World::id(VIEWER), world.now).is_none());
    world.command(Command::Remove(World::id(PUBLISHER)));
    assert!(codes(ended(&world, PUBLISHER)).contains(&"encoding"));
}

#[test]
fn what_a_session_dropped_is_in_the_totals_after_its_end() {
    let mut world = World::new();
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.watch(VIEWER, PUBLISHER);
    world.connect();
    world.run(SECOND / 2, |w| {
        let peer = w.peer(VIEWER);
        let ufrag = peer.agreement.local_ice.ufrag.clone();
        peer.throw(Peer::check(&ufrag, "another-password-of-22", true));
    });
    world.run(SECOND / 20, |_| {});
    let before = world.totals().drops.get(Drop::NotAuthentic);
    assert_eq!(before, 500);
    world.command(Command::Remove(World::id(VIEWER)));
    assert_eq!(world.totals().drops.get(Drop::NotAuthentic), before);
    let report = ended(&world, VIEWER);
    assert_eq!(report.recorder.facts().forged, 500);
    assert!(codes(report).contains(&"dropped"), "{}", text(report, Who::Viewer));
}

#[test]
fn who_never_comes_leaves_an_empty_log_and_who_forges_a_full_one() {
    let mut world = World::new();
    let address = World::address(VIEWER);
    world.join_peer(VIEWER, &Offer::viewer(VIEWER));
    world.join_peer(VIEWER + 1, &Offer::viewer(VIEWER + 1));
    world.peer(VIEWER).silent = true;
    world.peer(VIEWER + 1).silent = true;
    let ufrag = world.peer(VIEWER).agreement.local_ice.ufrag.clone();
    world.inject(address, &Peer::check(&ufrag, "another-password-of-22", true));
    assert_eq!(codes(&live(&world, VIEWER)), ["stun_not_authentic"]);
    assert!(live(&world, VIEWER + 1).recorder.entries().is_empty());
    world.run(SECOND * 16, |_| {});
    for (number, forged) in [(VIEWER, 1), (VIEWER + 1, 0)] {
        let id = World::id(number);
        let reason = Closed::NeverConnected;
        assert!(world.events.contains(&Event::Closed { session: id, reason }));
        let report = ended(&world, number);
        assert_eq!(report.recorder.facts().forged, forged);
        assert_eq!((report.heard, report.recorder.facts().checked), (None, None));
    }
    // Ended by the server while nobody has come.
    world.join_peer(VIEWER + 2, &Offer::viewer(VIEWER + 2));
    world.peer(VIEWER + 2).silent = true;
    world.command(Command::Remove(World::id(VIEWER + 2)));
    assert!(codes(ended(&world, VIEWER + 2)).is_empty());
}

#[test]
fn a_certificate_that_is_not_the_offers_is_told() {
    for number in [PUBLISHER, VIEWER] {
        let mut world = World::new();
        let mut offer = Offer::viewer(VIEWER);
        offer.send = number == PUBLISHER;
        world.join_stranger(number, &offer);
        world.run(SECOND * 2, |_| {});
        let report = ended(&world, number);
        let who = if offer.send { Who::Publisher } else { Who::Viewer };
        let said = text(report, who);
        assert_eq!(report.recorder.facts().failure, Some(Failure::Fingerprint), "{said}");
        assert!(said.contains(&format!("the {who}'s certificate is not the one of its offer")));
        assert!(in_order(&codes(report), &["stun_check", "dtls_begun", "dtls_failed"]), "{said}");
    }
}

#[test]
fn layers_and_why_are_told() {
    let (mut world, mut camera) = publisher_and_viewer(&simulcast());
    world.run(SECOND * 2, |w| camera.shoot(w));
    let wish = Command::SetLayer { viewer: World::id(VIEWER), layer: Wanted::Encoding(rid("h")) };
    world.command(wish);
    world.run(SECOND, |w| camera.shoot(w));
    camera.layers[1].on = false;
    world.run(SECOND * 2, |w| camera.shoot(w));
    camera.layers[1].on = true;
    world.run(SECOND * 2, |w| camera.shoot(w));
    let said = text(&live(&world, VIEWER), Who::Viewer);
    let mut rest = said.as_str();
    for line in [
        "the viewer asked for h",
        "h was selected: the viewer asked for it",
        "h is shown",
        "q was selected: what the viewer asked for is silent",
        "q is shown",
        "h was selected: the viewer asked for it",
        "h is shown",
    ] {
        let found = rest.find(line).unwrap_or_else(|| panic!("{line:?} is missing in\n{said}"));
        rest = &rest[found + line.len()..];
    }
    let said = text(&live(&world, PUBLISHER), Who::Publisher);
    for line in ["h has fallen silent", "h is back", "asked for a keyframe", "1280 x 640 pixels"] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
}

#[test]
fn a_publisher_that_goes_is_told_to_its_viewers() {
    let (mut world, mut camera) = publisher_and_viewer(&[(None, 640)]);
    world.run(SECOND, |w| camera.shoot(w));
    world.command(Command::Remove(World::id(PUBLISHER)));
    world.run(SECOND / 10, |_| {});
    let report = live(&world, VIEWER);
    assert_eq!(codes(&report).last(), Some(&"detached"), "{}", text(&report, Who::Viewer));
    assert!(report.viewer.is_some_and(|v| !v.attached));
}

#[test]
fn loss_either_way_is_summed_up() {
    let mut world = World::new();
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.watch(VIEWER, PUBLISHER);
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::Opus, H264]);
    play(&mut world, &mut studio, SECOND * 2);
    world.weather = Weather { loss_percent: 10, ..Weather::default() };
    play(&mut world, &mut studio, SECOND * 5);
    world.weather = Weather::default();
    play(&mut world, &mut studio, SECOND);
    let publisher = live(&world, PUBLISHER);
    let said = text(&publisher, Who::Publisher);
    assert!(said.contains("never came"), "{said}");
    let share = publisher.recorder.facts().lost.get().expect("enough packets");
    assert!(share > 0.01, "{share}");
    let viewer = live(&world, VIEWER);
    let said = text(&viewer, Who::Viewer);
    assert!(said.contains("again in") && said.contains("were sent"), "{said}");
    assert!(viewer.recorder.entries().len() < 40, "{said}");
}
