//! What the server hears of a publisher's encodings: when one comes, changes its size or codec, falls
//! silent or goes on, and not because a bitrate moves.

use super::*;
use crate::stats::EncodingState;

/// What was said since the last call, each time in the order of widths.
fn told(world: &mut World) -> Vec<Vec<EncodingState>> {
    let events = std::mem::take(&mut world.events);
    let of = |event| match event {
        Event::Encodings { session, mut encodings } => {
            assert_eq!(session, World::id(PUBLISHER));
            encodings.sort_by_key(|e| e.dimensions);
            Some(encodings)
        }
        _ => None,
    };
    events.into_iter().filter_map(of).collect()
}

fn newest(world: &mut World) -> Vec<EncodingState> {
    told(world).pop().expect("something was said")
}

#[test]
fn encodings_are_told_when_they_come_and_once_they_are_measured() {
    let (mut world, mut camera) = publisher_and_viewer(&simulcast());
    world.run(SECOND / 2, |w| camera.shoot(w));
    let first = newest(&mut world);
    let sizes: Vec<_> = first.iter().map(|e| (e.id, e.dimensions)).collect();
    let expected = simulcast().map(|(id, width)| (id.expect("a rid"), Some((width, width / 2))));
    assert_eq!(sizes, expected);
    assert!(first.iter().all(|e| e.active && e.bitrate_bps == 0 && e.codec == Codec::Vp8));
    world.run(SECOND * 2, |w| camera.shoot(w));
    assert!(newest(&mut world).iter().all(|e| e.bitrate_bps > 0));
    // Steady from now on, whatever the bitrate does.
    world.run(SECOND * 5, |w| camera.shoot(w));
    world.run(SECOND * 3, |_| {});
    world.run(SECOND, |w| camera.shoot(w));
    assert_eq!(told(&mut world), [] as [Vec<EncodingState>; 0]);
}

#[test]
fn a_layer_that_pauses_goes_on_or_changes_its_size_is_told_once() {
    let (mut world, mut camera) = publisher_and_viewer(&simulcast());
    world.run(SECOND * 4, |w| camera.shoot(w));
    told(&mut world);
    camera.layers[2].on = false;
    world.run(SECOND, |w| camera.shoot(w));
    let paused = told(&mut world);
    assert_eq!(paused.len(), 1);
    assert_eq!(paused[0].iter().map(|e| e.active).collect::<Vec<_>>(), [true, true, false]);
    camera.layers[2].on = true;
    world.run(SECOND / 5, |w| camera.shoot(w));
    assert!(newest(&mut world).iter().all(|e| e.active));
    world.run(SECOND * 3, |w| camera.shoot(w));
    told(&mut world);
    camera.layers[0].width = 160;
    camera.layers.iter_mut().for_each(|l| l.keyframe());
    world.run(SECOND, |w| camera.shoot(w));
    let smaller = told(&mut world);
    assert_eq!(smaller.len(), 1);
    assert_eq!(smaller[0][0].dimensions, Some((160, 80)));
}

#[test]
fn another_codec_is_told() {
    let (mut world, mut camera) = publisher_and_viewer(&[(None, 640)]);
    world.run(SECOND * 4, |w| camera.shoot(w));
    told(&mut world);
    camera.codec = Codec::H264;
    camera.layers.iter_mut().for_each(|l| l.keyframe());
    world.run(SECOND, |w| camera.shoot(w));
    assert_eq!(newest(&mut world)[0].codec, Codec::H264);
}

#[test]
fn a_publisher_that_changes_its_size_with_every_picture_is_told_of_once_per_look() {
    let (mut world, mut camera) = publisher_and_viewer(&[(None, 640)]);
    world.run(SECOND * 4, |w| camera.shoot(w));
    told(&mut world);
    let mut width = 100;
    world.run(SECOND, |w| {
        width += 2;
        camera.layers[0].width = width;
        camera.layers[0].keyframe();
        camera.shoot(w);
    });
    let said = told(&mut world).len();
    assert!((10..=20).contains(&said), "{said} times in a second");
}
