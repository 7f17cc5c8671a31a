//! ICE restart (RFC 8445 section 2.4): a session has several names for a while, and media goes on.

use signaling::IceCredentials;

use super::*;
use crate::test::peer::{Offer, Peer};

const H264: Content = Content::H264 { sets: true };

fn credentials(name: &str) -> IceCredentials {
    IceCredentials { ufrag: format!("ours{name}"), pwd: format!("{name}-password-of-22-chars") }
}

fn restart(world: &mut World, number: u32, name: &str) {
    let (session, ice) = (World::id(number), credentials(name));
    world.command(Command::Restart { session, ice });
    world.run(SECOND / 1000, |_| {});
}

/// The client uses its new names, from another port: first for checks alone, as all do.
fn follow(world: &mut World, number: u32, name: &str, step: u16) {
    let old = World::address(number);
    let new = SocketAddr::new(old.ip(), old.port() + step);
    let peer = world.peer(number);
    peer.agreement.local_ice = credentials(name);
    peer.address = new;
    let check = peer.own_check(false);
    peer.throw(check);
    peer.address = old;
    world.run(SECOND / 100, |_| {});
    world.peer(number).moves(new);
}

fn watched(shards: usize) -> (World, Studio) {
    let mut world = World::with_shards(shards);
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    world.watch(VIEWER, PUBLISHER);
    world.connect();
    let studio = Studio::new(&world, PUBLISHER, &[Content::Opus, H264]);
    (world, studio)
}

fn assert_whole(world: &World, studio: &Studio) {
    let peer = &world.peers[&VIEWER];
    assert_all(&peer.stream(peer.audio()), &studio.streams[0].sent);
    assert_all(&peer.stream(peer.video()), &studio.streams[1].sent);
}

#[test]
fn media_goes_on_before_during_and_after_a_restart_of_either_side() {
    for (who, shards) in [(VIEWER, 1), (VIEWER, 3), (PUBLISHER, 1), (PUBLISHER, 3)] {
        let (mut world, mut studio) = watched(shards);
        play(&mut world, &mut studio, SECOND);
        let before = world.len();
        restart(&mut world, who, "next");
        assert_eq!(world.len().1, before.1 + 1, "two names");
        // Longer than an old pair would live without checks.
        play(&mut world, &mut studio, SECOND * 20);
        // What is on its way to the old address while it moves is lost there.
        world.run(SECOND / 10, |_| {});
        follow(&mut world, who, "next", 402);
        play(&mut world, &mut studio, SECOND * 20);
        world.run(SECOND / 10, |_| {});
        assert_whole(&world, &studio);
        // The next restart forgets the names that the nomination has made obsolete.
        restart(&mut world, who, "more");
        assert_eq!(world.len().1, before.1 + 1, "the newest and the one before");
        let mut events = world.events.iter();
        assert!(!events.any(|e| matches!(e, Event::Closed { .. })), "{:?}", world.events);
        world.command(Command::Remove(World::id(VIEWER)));
        world.command(Command::Remove(World::id(PUBLISHER)));
        world.run(SECOND / 10, |_| {});
        assert_eq!(world.len(), (0, 0, 0), "nothing stays behind");
        assert!(world.peer(who).closed(), "goodbye came to the new address");
    }
}

#[test]
fn a_restart_before_the_first_check_is_found_by_either_name() {
    for (name, shards) in [("next", 1), ("next", 3), ("00000100", 3)] {
        let (mut world, mut studio) = watched(shards);
        world.command(Command::Remove(World::id(VIEWER)));
        world.run(SECOND / 10, |_| {});
        world.watch(VIEWER, PUBLISHER);
        restart(&mut world, VIEWER, "next");
        if name == "next" {
            world.peer(VIEWER).agreement.local_ice = credentials("next");
        }
        world.connect();
        play(&mut world, &mut studio, SECOND);
        let peer = world.peer(VIEWER);
        let video = peer.video();
        assert!(!peer.stream(video).is_empty(), "{name} on {shards} shards");
        world.command(Command::Remove(World::id(VIEWER)));
        world.command(Command::Remove(World::id(PUBLISHER)));
        world.run(SECOND / 10, |_| {});
        assert_eq!(world.len(), (0, 0, 0), "nothing stays behind");
    }
}

#[test]
fn restarts_without_end_leave_four_names_and_nothing_behind() {
    let (mut world, _) = watched(2);
    world.join_peer(VIEWER + 1, &Offer::viewer(VIEWER + 1));
    world.peer(VIEWER + 1).silent = true;
    let before = world.len().1;
    for n in 0..200 {
        for who in [PUBLISHER, VIEWER, VIEWER + 1] {
            restart(&mut world, who, &format!("{who}n{n}"));
        }
    }
    assert_eq!(world.len().1, before + 9);
    // Who is not there any more is not there under a new name.
    for who in [PUBLISHER, VIEWER, VIEWER + 1] {
        world.command(Command::Remove(World::id(who)));
        restart(&mut world, who, "late");
    }
    world.run(SECOND / 10, |_| {});
    assert_eq!(world.len(), (0, 0, 0));
}

#[test]
fn a_wrong_password_under_a_new_name_moves_nothing() {
    let (mut world, mut studio) = watched(1);
    restart(&mut world, VIEWER, "next");
    let forged = Peer::check("oursnext", "not-the-password-of-22", true);
    let mut elsewhere = World::address(VIEWER);
    elsewhere.set_port(elsewhere.port() + 77);
    world.inject(elsewhere, &forged);
    play(&mut world, &mut studio, SECOND);
    world.run(SECOND / 10, |_| {});
    assert_whole(&world, &studio);
}
