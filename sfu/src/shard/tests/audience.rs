//! The sums over a publisher's viewers: what a shard says of them is what each of them says.

use super::*;
use crate::audience::Audience;
use crate::test::peer::Offer;

/// Over all shards.
fn audience(world: &World, publisher: u32) -> Audience {
    let mut sum = Audience::default();
    let shards = world.shards.iter().filter_map(|s| s.audience(World::id(publisher)));
    shards.for_each(|one| sum.merge(&one));
    sum
}

#[test]
fn the_sum_is_that_of_the_viewers_on_all_shards() {
    let mut world = World::with_shards(3);
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    (0..7).for_each(|viewer| world.watch(VIEWER + viewer, PUBLISHER));
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::Opus, Content::Vp8]);
    play(&mut world, &mut studio, SECOND * 4);

    let viewers: Vec<_> =
        (0..7).map(|viewer| world.snapshot(VIEWER + viewer).expect("it watches")).collect();
    let sum = audience(&world, PUBLISHER);
    assert_eq!(sum.viewers, 7);
    assert_eq!(sum.layers, [(EncodingId::MAIN, 7)]);
    assert_eq!(sum.bitrate_bps, viewers.iter().map(|v| v.bitrate_bps).sum::<u64>());
    assert!(sum.bitrate_bps > 7 * 500_000, "{sum:?}");
    assert_eq!(sum.loss.value(), Some(0.0), "nothing was lost");
    assert_eq!(sum.rtt.value(), None, "these clients echo no sender report");

    for viewer in 0..3 {
        world.command(Command::Remove(World::id(VIEWER + viewer)));
        world.peers.remove(&(VIEWER + viewer));
    }
    play(&mut world, &mut studio, SECOND + SECOND / 10);
    assert_eq!(audience(&world, PUBLISHER).viewers, 4);
    world.command(Command::Remove(World::id(PUBLISHER)));
    world.run(SECOND / 10, |_| {});
    assert!(world.shards.iter().all(|s| s.audience(World::id(PUBLISHER)).is_none()));
}

#[test]
fn each_publisher_has_its_own_audience_and_layers() {
    let (mut world, mut camera) = publisher_and_viewer(&simulcast());
    world.viewer(VIEWER + 1, &[Codec::Vp8]);
    world.publisher(2, &[]);
    world.viewer(VIEWER + 2, &[Codec::Vp8]);
    world.connect();
    world.attach(VIEWER + 1, PUBLISHER);
    world.attach(VIEWER + 2, 2);
    let wish = Command::SetLayer { viewer: World::id(VIEWER), layer: Wanted::Encoding(rid("q")) };
    world.command(wish);
    world.run(SECOND * 3, |w| camera.shoot(w));
    let mut first = audience(&world, PUBLISHER);
    first.layers.sort();
    assert_eq!((first.viewers, first.layers), (2, vec![(rid("f"), 1), (rid("q"), 1)]));
    let second = audience(&world, 2);
    assert_eq!((second.viewers, second.layers, second.bitrate_bps), (1, Vec::new(), 0));

    world.attach(VIEWER + 1, 2);
    world.run(SECOND + SECOND / 10, |w| camera.shoot(w));
    let counts = [PUBLISHER, 2].map(|p| audience(&world, p).viewers);
    assert_eq!(counts, [1, 2]);
}

#[test]
fn what_a_publisher_sends_is_the_sum_of_its_encodings() {
    let (mut world, mut camera) = publisher_and_viewer(&simulcast());
    world.run(SECOND, |w| camera.shoot(w));
    world.command(Command::SetLayer {
        viewer: World::id(VIEWER),
        layer: Wanted::Encoding(rid("q")),
    });
    world.run(SECOND, |w| camera.shoot(w));
    let of = |world: &World| {
        world.shards.iter().find_map(|s| s.intake(World::id(PUBLISHER))).expect("it publishes")
    };
    let encodings = world.encodings(PUBLISHER);
    let sum = of(&world);
    assert_eq!(sum.packets, encodings.iter().map(|e| e.packets).sum::<u64>());
    assert_eq!(sum.bitrate_bps, encodings.iter().map(|e| e.bitrate_bps).sum::<u64>());
    assert!(sum.bitrate_bps > 0 && sum.lost == 0, "{sum:?}");
    assert_eq!(world.shards[0].intake(World::id(VIEWER)), None, "a viewer sends nothing");
    // It does what it is asked: that is what `keyframe_wait` tells a browser from OBS by.
    let wait = encodings.iter().find(|e| e.id == rid("q")).and_then(|e| e.keyframe_wait);
    assert!(wait.is_some_and(|wait| wait < SECOND / 10), "{wait:?}");
}
