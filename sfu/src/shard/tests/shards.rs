//! Several shards: who plays where, what they tell each other, and that nothing stays behind.

use super::*;
use crate::path::Path;
use crate::test::peer::{Offer, Peer};

const H264: Content = Content::H264 { sets: true };

/// A publisher on shard 1 and a viewer on each shard, all up, nothing sent yet.
fn everywhere(shards: usize, contents: &[Content]) -> (World, Studio) {
    let mut world = World::with_shards(shards);
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    for viewer in 0..shards as u32 {
        world.watch(VIEWER + viewer, PUBLISHER);
    }
    world.connect();
    let studio = Studio::new(&world, PUBLISHER, contents);
    (world, studio)
}

fn feeds(world: &World) -> usize {
    world.shards.iter().map(|s| s.feeds.len()).sum()
}

#[test]
fn viewers_of_all_shards_get_every_packet_bit_for_bit() {
    for shards in 2..=4 {
        let (mut world, mut studio) = everywhere(shards, &[Content::Opus, H264]);
        play(&mut world, &mut studio, SECOND * 2);
        world.run(SECOND / 10, |_| {});
        let homes: Vec<usize> = world.shards.iter().map(|s| s.sessions.len()).collect();
        assert!(homes.iter().all(|n| *n > 0), "nobody lives on some shard: {homes:?}");
        for viewer in 0..shards as u32 {
            let peer = &world.peers[&(VIEWER + viewer)];
            assert_all(&peer.stream(peer.audio()), &studio.streams[0].sent);
            assert_all(&peer.stream(peer.video()), &studio.streams[1].sent);
        }
        assert_eq!(world.totals().drops.get(Drop::LaneFull), 0);
        assert_eq!(said(&world, "subscribe"), shards - 1, "once for each other shard");
    }
}

#[test]
fn a_later_viewer_on_another_shard_begins_with_what_the_ring_holds() {
    let mut world = World::with_shards(2);
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[H264]);
    studio.video_mut().obeys = false;
    play(&mut world, &mut studio, SECOND * 2);
    assert_eq!(feeds(&world), 1);
    world.watch(VIEWER, PUBLISHER);
    play(&mut world, &mut studio, SECOND * 2);
    world.run(SECOND / 10, |_| {});
    assert_eq!(studio.video().keyframes, 1);
    let peer = &world.peers[&VIEWER];
    assert_all(&peer.stream(peer.video()), &studio.video().sent);
}

#[test]
fn wants_of_all_shards_become_one_request_in_half_a_second() {
    let (mut world, mut studio) = everywhere(4, &[H264]);
    play(&mut world, &mut studio, SECOND * 4);
    let before = studio.video().keyframes;
    world.run(SECOND * 2, |w| {
        studio.step(w);
        for viewer in VIEWER..VIEWER + 4 {
            let peer = w.peer(viewer);
            let video = peer.video();
            // Below what one may say in a second.
            if w.now.saturating_duration_since(studio.began).subsec_millis().is_multiple_of(10) {
                w.peer(viewer).tell(|c| c.pli(1, video));
            }
        }
    });
    let keyframes = studio.video().keyframes - before;
    assert!((3..=5).contains(&keyframes), "{keyframes} keyframes in two seconds");
    assert!(said(&world, "keyframe") <= 3 * 21 + 8, "{} wants", said(&world, "keyframe"));
    for viewer in VIEWER..VIEWER + 4 {
        let peer = &world.peers[&viewer];
        payloads(&peer.stream(peer.video()));
    }
}

#[test]
fn the_publisher_leaves_and_viewers_everywhere_are_free_for_another() {
    let (mut world, mut studio) = everywhere(3, &[Content::Opus, H264]);
    play(&mut world, &mut studio, SECOND);
    world.run(SECOND / 100, |_| {});
    world.command(Command::Remove(World::id(PUBLISHER)));
    world.run(SECOND / 10, |_| {});
    assert_eq!(feeds(&world), 0);
    assert!(world.peer(PUBLISHER).closed(), "it was told goodbye");
    for viewer in 0..3 {
        assert_eq!(world.snapshot(VIEWER + viewer).expect("there").layer, None);
    }
    world.join_peer(2, &Offer::publisher());
    world.connect();
    (0..3).for_each(|viewer| world.attach(VIEWER + viewer, 2));
    let mut second = Studio::new(&world, 2, &[Content::Opus, H264]);
    play(&mut world, &mut second, SECOND);
    world.run(SECOND / 10, |_| {});
    let both = [&studio.streams[1].sent[..], &second.streams[1].sent].concat();
    for viewer in 0..3 {
        let peer = &world.peers[&(VIEWER + viewer)];
        assert_all(&peer.stream(peer.video()), &both);
    }
}

#[test]
fn the_last_viewer_of_a_shard_leaves_and_its_media_stays_at_home() {
    let (mut world, mut studio) = everywhere(3, &[Content::Opus, H264]);
    play(&mut world, &mut studio, SECOND / 2);
    assert_eq!(feeds(&world), 3);
    for viewer in 0..3 {
        world.command(Command::Remove(World::id(VIEWER + viewer)));
        world.peers.remove(&(VIEWER + viewer));
    }
    world.run(SECOND / 100, |_| {});
    assert_eq!((said(&world, "unsubscribe"), feeds(&world)), (2, 1));
    let batches = said(&world, "batch");
    play(&mut world, &mut studio, SECOND / 2);
    assert_eq!(said(&world, "batch"), batches, "media for nobody");
    world.command(Command::Remove(World::id(PUBLISHER)));
    world.run(SECOND / 10, |_| {});
    assert_eq!(world.len(), (0, 0, 0));
    assert_eq!(feeds(&world), 0);
}

#[test]
fn layers_are_switched_on_other_shards_as_at_home() {
    let mut world = World::with_shards(2);
    let layers = ["q", "h", "f"].map(rid);
    let offer = Offer { rids: layers.to_vec(), ..Offer::publisher() };
    world.join_peer(PUBLISHER, &offer);
    world.connect();
    world.watch(VIEWER, PUBLISHER);
    world.watch(VIEWER + 1, PUBLISHER);
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::Vp8; 3]);
    for (index, stream) in studio.streams.iter_mut().enumerate() {
        (stream.rid, stream.width) = (Some(layers[index]), 320 << index);
    }
    play(&mut world, &mut studio, SECOND);
    for wanted in [0, 2, 1, 2, 0] {
        for viewer in [VIEWER, VIEWER + 1] {
            let layer = Wanted::Encoding(layers[wanted]);
            world.command(Command::SetLayer { viewer: World::id(viewer), layer });
        }
        play(&mut world, &mut studio, SECOND);
        for viewer in [VIEWER, VIEWER + 1] {
            let shown = world.snapshot(viewer).and_then(|s| s.layer);
            assert_eq!(shown, Some(layers[wanted]));
        }
    }
    for viewer in [VIEWER, VIEWER + 1] {
        let peer = &world.peers[&viewer];
        let got = peer.stream(peer.video());
        payloads(&got);
        let times: Vec<u32> = got.values().map(|p| p.timestamp).collect();
        assert!(times.windows(2).all(|w| w[1].wrapping_sub(w[0]).cast_signed() >= 0));
    }
}

/// To a port that hashes to another of four shards.
fn elsewhere(number: u32, step: u16) -> SocketAddr {
    let mut address = World::address(number);
    address.set_port(address.port() + step);
    address
}

#[test]
fn a_client_that_moves_to_another_shards_port_plays_on() {
    let (mut world, mut studio) = everywhere(4, &[Content::Opus, H264]);
    play(&mut world, &mut studio, SECOND);
    let home = world.shards[0].len();
    // Its feedback comes first: nobody knows that address.
    let unknown = world.totals().drops.get(Drop::UnknownSource);
    let peer = world.peer(VIEWER);
    peer.address = elsewhere(VIEWER, 402);
    let video = peer.video();
    peer.answers = false;
    peer.tell(|w| w.pli(1, video));
    world.run(SECOND / 100, |_| {});
    assert_eq!(world.totals().drops.get(Drop::UnknownSource), unknown + 1);
    assert_eq!((said(&world, "route"), said(&world, "datagrams")), (0, 0));
    // Then an authentic check.
    world.peer(VIEWER).moves(elsewhere(VIEWER, 402));
    world.run(SECOND / 100, |_| {});
    assert_eq!((said(&world, "route"), said(&world, "datagrams")), (1, 1));
    assert_eq!(world.shards[2].foreign.len(), 1);
    assert_eq!(world.shards[0].len().0, home.0, "it lives where it lived");
    world.weather = Weather { loss_percent: 3, outbound_only: true, ..Weather::default() };
    world.peer(VIEWER).answers = true;
    play(&mut world, &mut studio, SECOND * 2);
    world.weather = Weather::default();
    play(&mut world, &mut studio, SECOND);
    world.run(SECOND / 2, |_| {});
    let peer = &world.peers[&VIEWER];
    assert_all(&peer.stream(peer.video()), &studio.streams[1].sent);
    assert!(peer.media.iter().any(|p| p.original.is_some()), "nothing had to be repaired");
    // Several datagrams of one wake are one message.
    let before = said(&world, "datagrams");
    for _ in 0..20 {
        let again = world.peers[&VIEWER].own_check(true);
        world.peer(VIEWER).throw(again);
    }
    world.peer(VIEWER).answers = false;
    world.run(SECOND / 100, |_| {});
    assert!(said(&world, "datagrams") <= before + 20);
    world.command(Command::Remove(World::id(VIEWER)));
    world.run(SECOND / 100, |_| {});
    assert!(world.peer(VIEWER).closed(), "goodbye came to the new address");
    assert_eq!(said(&world, "unroute"), 1);
    assert!(world.shards.iter().all(|s| s.foreign.is_empty()));
}

#[test]
fn datagrams_of_one_wake_are_handed_over_together() {
    let (mut world, _) = everywhere(4, &[H264]);
    let at = elsewhere(VIEWER, 402);
    let check = world.peers[&VIEWER].own_check(true);
    let server = SocketAddr::from(([10, 0, 0, 1], 8080));
    let now = world.now;
    for _ in 0..50 {
        world.shards[2].receive(now, Path::udp(server, at), &mut check.clone());
    }
    let before = said(&world, "datagrams");
    world.run(SECOND / 1000, |_| {});
    assert_eq!(said(&world, "datagrams"), before + 1);
    assert_eq!(said(&world, "route"), 1, "said once in one wake");
}

#[test]
fn spoofed_checks_open_no_route_and_claim_no_session() {
    let (mut world, mut studio) = everywhere(4, &[H264]);
    let before = world.len();
    let ufrag = world.peers[&VIEWER].agreement.local_ice.ufrag.clone();
    world.join_peer(VIEWER + 50, &Offer::viewer(VIEWER + 50));
    let waiting = world.peers[&(VIEWER + 50)].agreement.local_ice.ufrag.clone();
    world.peers.remove(&(VIEWER + 50));
    world.run(SECOND, |w| {
        studio.step(w);
        for step in 0..4 {
            for name in [&ufrag, &waiting, &"nobody".to_owned()] {
                let check = Peer::check(name, "a-password-that-is-wrong", true);
                w.inject(elsewhere(VIEWER, 800 + step), &check);
            }
        }
    });
    assert_eq!(said(&world, "route"), 0);
    assert!(world.shards.iter().all(|s| s.foreign.is_empty()));
    let addresses = world.len().2;
    assert_eq!(addresses, before.2, "a route for somebody who has proven nothing");
    assert_eq!(world.directory.waiting(), 1, "somebody else's session was claimed");
    let drops = world.totals().drops;
    assert!(drops.get(Drop::NotAuthentic) >= 3900, "{}", drops.get(Drop::NotAuthentic));
    assert!(drops.get(Drop::UnknownSource) >= 7900, "{}", drops.get(Drop::UnknownSource));
    let peer = &world.peers[&VIEWER];
    let last = world.now - SECOND / 20;
    assert!(peer.media.last().expect("plays").at > last, "media went elsewhere");
}

#[test]
fn an_address_that_another_session_had_is_the_new_ones() {
    let (mut world, mut studio) = everywhere(4, &[H264]);
    play(&mut world, &mut studio, SECOND);
    let at = elsewhere(VIEWER, 402);
    world.peer(VIEWER).moves(at);
    play(&mut world, &mut studio, SECOND / 10);
    assert_eq!(world.shards[2].foreign.len(), 1);
    // It is gone without a goodbye, and somebody else is where it was.
    world.peers.remove(&VIEWER);
    world.watch(VIEWER + 60, PUBLISHER);
    world.peer(VIEWER + 60).address = at;
    world.connect();
    play(&mut world, &mut studio, SECOND * 20);
    world.run(SECOND / 10, |_| {});
    let gone = Event::Closed { session: World::id(VIEWER), reason: Closed::Silent };
    assert!(world.events.contains(&gone));
    let peer = &world.peers[&(VIEWER + 60)];
    payloads(&peer.stream(peer.video()));
    assert!(world.now - peer.media.last().expect("plays").at < SECOND / 5);
    let snapshot = world.snapshot(VIEWER + 60).expect("there");
    assert_eq!(snapshot.loss, Some(0.0), "its reports are heard");
}

#[test]
fn who_roams_far_is_still_heard() {
    let (mut world, mut studio) = everywhere(4, &[H264]);
    play(&mut world, &mut studio, SECOND);
    for step in 1..=40 {
        world.peer(VIEWER).moves(elsewhere(VIEWER, 401 + 4 * step));
        play(&mut world, &mut studio, SECOND / 5);
    }
    assert!(world.len().2 <= 4 + 2 * 8, "{} routes", world.len().2);
    world.weather = Weather { loss_percent: 5, outbound_only: true, ..Weather::default() };
    play(&mut world, &mut studio, SECOND);
    world.weather = Weather::default();
    play(&mut world, &mut studio, SECOND);
    world.run(SECOND / 2, |_| {});
    let peer = &world.peers[&VIEWER];
    assert_all(&peer.stream(peer.video()), &studio.video().sent);
    world.command(Command::Remove(World::id(VIEWER)));
    world.run(SECOND / 100, |_| {});
    assert!(world.shards.iter().all(|s| s.foreign.is_empty()));
}

#[test]
fn commands_arrive_wherever_they_are_given() {
    for shard in 0..4 {
        let mut world = World::with_shards(4);
        world.join_peer(PUBLISHER, &Offer::publisher());
        world.connect();
        world.join_peer(VIEWER, &Offer::viewer(VIEWER));
        // One while nobody has heard of it yet, one when it lives on shard 0.
        let now = world.now;
        let attach = |publisher| Command::Attach { viewer: World::id(VIEWER), publisher };
        world.shards[shard].command(now, attach(Some(World::id(PUBLISHER))));
        world.connect();
        let mut studio = Studio::new(&world, PUBLISHER, &[H264]);
        play(&mut world, &mut studio, SECOND / 2);
        assert!(world.peers[&VIEWER].received > 10, "shard {shard}");
        let now = world.now;
        world.shards[shard].command(now, attach(None));
        world.run(SECOND / 50, |_| {});
        let before = world.peers[&VIEWER].received;
        play(&mut world, &mut studio, SECOND / 2);
        assert_eq!(world.peers[&VIEWER].received, before, "shard {shard}: detached");
        let now = world.now;
        world.shards[shard].command(now, Command::Remove(World::id(VIEWER)));
        world.run(SECOND / 50, |_| {});
        assert!(world.peers[&VIEWER].closed(), "shard {shard}");
    }
}

#[test]
fn full_lanes_cost_their_own_viewers_only_and_are_counted() {
    let (mut world, mut studio) = everywhere(2, &[H264]);
    play(&mut world, &mut studio, SECOND * 4);
    world.lanes_full = true;
    let before = studio.video().sent.len();
    play(&mut world, &mut studio, SECOND / 2);
    let dropped = (studio.video().sent.len() - before) as u64;
    world.lanes_full = false;
    let lost = world.totals().drops.get(Drop::LaneFull);
    assert!((dropped - 3..=dropped).contains(&lost), "{lost} of {dropped}");
    let keyframes = studio.video().keyframes;
    let (far, near) = (VIEWER, VIEWER + 1);
    let video = world.peers[&far].video();
    play(&mut world, &mut studio, SECOND);
    // What never came here cannot be repaired: the client asks for a keyframe, as browsers do.
    world.peer(far).tell(|w| w.pli(1, video));
    play(&mut world, &mut studio, SECOND);
    world.run(SECOND / 10, |_| {});
    assert_eq!(studio.video().keyframes, keyframes + 1);
    let peer = &world.peers[&near];
    assert_all(&peer.stream(peer.video()), &studio.video().sent);
    let peer = &world.peers[&far];
    let got = peer.stream(peer.video());
    assert_eq!(got.len() as u64 + lost, studio.video().sent.len() as u64);
    assert_eq!(got.values().next_back().map(|p| &p.payload), {
        studio.video().sent.last().map(|p| &p.payload)
    });
    assert_eq!(peer.broken, 0);
}

/// Media on its way to a shard that has left and come again is in the ring already by then: sent
/// twice it would be sealed twice under one number.
#[test]
fn what_comes_live_and_by_the_ring_goes_out_once() {
    for pause in 1..40 {
        let (mut world, mut studio) = everywhere(2, &[Content::Opus, H264]);
        // Short enough to go out at once.
        studio.video_mut().gop = 1;
        play(&mut world, &mut studio, SECOND);
        world.held = Some(0);
        play(&mut world, &mut studio, Duration::from_millis(pause));
        for publisher in [None, Some(World::id(PUBLISHER))] {
            let (now, viewer) = (world.now, World::id(VIEWER));
            world.shards[0].command(now, Command::Attach { viewer, publisher });
        }
        play(&mut world, &mut studio, Duration::from_millis(5));
        world.held = None;
        play(&mut world, &mut studio, SECOND / 2);
        world.run(SECOND / 10, |_| {});
        assert!(said(&world, "subscribe") >= 2);
        let peer = &world.peers[&VIEWER];
        let sealed: Vec<u64> =
            peer.media.iter().filter(|p| p.ssrc == peer.video()).map(|p| p.seq).collect();
        let mut once = sealed.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(sealed.len(), once.len(), "pause {pause}: a number went out twice");
        payloads(&peer.stream(peer.video()));
    }
}
