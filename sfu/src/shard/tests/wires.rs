//! Viewers by TCP: who is behind misses pictures and nothing else, and a connection's end is not the session's.

use super::*;
use crate::path::{Over, Path};
use crate::shard::{Pressure, Word};
use crate::test::peer::Offer;

const H264: Content = Content::H264 { sets: true };
const BEHIND: Pressure = Pressure { behind: true, lost: 0 };
const WELL: Pressure = Pressure { behind: false, lost: 0 };

/// A viewer by connection 7, playing.
fn playing() -> (World, Studio, Path) {
    let mut world = World::new();
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    let at = World::address(VIEWER);
    world.wires.insert(at, 7);
    world.watch(VIEWER, PUBLISHER);
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::Opus, H264]);
    play(&mut world, &mut studio, SECOND);
    let path = Path { over: Over::Tcp(7), ..Path::udp(world.server(), at) };
    (world, studio, path)
}

fn words(world: &mut World) -> Vec<(u32, Word)> {
    std::iter::from_fn(|| world.shards[0].poll_wire()).collect()
}

/// How many packets of pictures and of sound it has.
fn got(world: &World) -> (usize, usize) {
    let peer = &world.peers[&VIEWER];
    (peer.stream(peer.video()).len(), peer.stream(peer.audio()).len())
}

#[test]
fn everything_goes_by_the_connection_that_proved_itself() {
    let (mut world, studio, _) = playing();
    assert_eq!(words(&mut world), [(7, Word::Proven)]);
    world.run(SECOND / 10, |_| {});
    let peer = &world.peers[&VIEWER];
    assert_all(&peer.stream(peer.video()), &studio.streams[1].sent);
    let to = World::address(VIEWER);
    let by = |p: &&Path| p.remote == to && p.over == Over::Tcp(7);
    assert!(world.paths.iter().filter(by).count() > 140);
    world.command(Command::Remove(World::id(VIEWER)));
    assert_eq!(words(&mut world), [(7, Word::Over)]);
}

#[test]
fn who_is_behind_gets_sound_and_then_a_keyframe() {
    let (mut world, mut studio, path) = playing();
    let (now, before) = (world.now, got(&world));
    world.shards[0].pressed(now, path, BEHIND);
    play(&mut world, &mut studio, SECOND);
    let (pictures, sound) = got(&world);
    assert!(pictures <= before.0 + 3, "{} packets of pictures", pictures - before.0);
    assert!(sound >= before.1 + 45, "{} packets of sound", sound - before.1);
    let dropped = world.totals().drops.get(Drop::WireFull);
    assert!((80..=100).contains(&dropped), "{dropped}");
    assert_eq!(studio.video().keyframes, 1, "nobody asks for what cannot be sent");
    let now = world.now;
    world.shards[0].pressed(now, path, WELL);
    play(&mut world, &mut studio, SECOND);
    let keyframes = studio.video().keyframes;
    assert!((2..=3).contains(&keyframes), "{keyframes} keyframes");
    assert!(got(&world).0 > pictures + 60);
    let peer = &world.peers[&VIEWER];
    payloads(&peer.stream(peer.video()));
}

#[test]
fn who_is_behind_and_finds_another_way_is_behind_no_more() {
    let (mut world, mut studio, path) = playing();
    let now = world.now;
    world.shards[0].pressed(now, path, BEHIND);
    play(&mut world, &mut studio, SECOND / 2);
    let (before, check) = (got(&world).0, world.peers[&VIEWER].own_check(true));
    world.wires.clear();
    world.inject(World::address(VIEWER), &check);
    play(&mut world, &mut studio, SECOND);
    assert!(got(&world).0 > before + 60, "pictures go on by UDP");
}

#[test]
fn the_end_of_a_connection_is_not_that_of_its_session() {
    let (mut world, mut studio, path) = playing();
    words(&mut world);
    world.shards[0].unplugged(path);
    world.wires.insert(World::address(VIEWER), 8);
    let before = got(&world).0;
    play(&mut world, &mut studio, SECOND * 4);
    assert!(got(&world).0 > before + 90, "it goes on by another");
    assert_eq!(words(&mut world), [(8, Word::Proven)]);
    // What is said of a connection that is gone is nobody's.
    let now = world.now;
    world.shards[0].pressed(now, path, Pressure { behind: true, lost: 3 });
    assert_eq!(world.totals().drops.get(Drop::WireFull), 3);
}

#[test]
fn a_session_has_eight_connections() {
    let (mut world, ..) = playing();
    words(&mut world);
    let check = world.peers[&VIEWER].own_check(false);
    for wire in 8..20 {
        let udp = Path::udp(world.server(), World::address(VIEWER));
        let path = Path { over: Over::Tcp(wire), ..udp };
        let now = world.now;
        world.shards[0].receive(now, path, &mut check.clone());
    }
    let over: Vec<u32> =
        words(&mut world).into_iter().filter(|(_, w)| *w == Word::Over).map(|(n, _)| n).collect();
    assert_eq!(over, [7, 8, 9, 10, 11]);
}
