//! A publisher goes on in the same session with another SSRC, or another codec under the same one: numbers and
//! timestamps are new, and its viewers see it all the same.

use media::Activity;

use super::*;
use crate::shard::Config;
use crate::test::peer::Offer;
use crate::test::studio::captured;

const H264: Content = Content::H264 { sets: true };

/// A viewer for two seconds; then `change`, and two seconds more. What came since.
fn goes_on(change: impl FnOnce(&mut Studio)) -> (World, Vec<Packet>, Duration) {
    let mut world = World::with(1, Config::default());
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.watch(VIEWER, PUBLISHER);
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::Opus, H264]);
    studio.video_mut().gop = 60;
    play(&mut world, &mut studio, SECOND * 2);
    let (before, changed) = (world.peers[&VIEWER].media.len(), world.now - studio.began);
    change(&mut studio);
    play(&mut world, &mut studio, SECOND * 2);
    world.run(SECOND / 10, |_| {});
    let since = world.peers[&VIEWER].media[before..].to_vec();
    (world, since, changed)
}

/// Every number once, without a gap, and the pictures are new ones.
fn assert_seen(world: &World, since: &[Packet], changed: Duration, what: &str) {
    let peer = &world.peers[&VIEWER];
    for ssrc in [peer.audio(), peer.video()] {
        let seqs: Vec<u64> = peer.media.iter().filter(|p| p.ssrc == ssrc).map(|p| p.seq).collect();
        assert!(seqs.windows(2).all(|w| w[1] == w[0] + 1), "{what}: numbers of {ssrc:x}");
        let new = since.iter().filter(|p| p.ssrc == ssrc && p.payload.len() > 50);
        let new: Vec<Duration> = new.map(|p| captured(&p.payload)).collect();
        let fresh = new.iter().filter(|at| **at >= changed).count();
        assert!(fresh > 50, "{what}: {fresh} new packets of {ssrc:x}");
    }
}

#[test]
fn another_ssrc_with_other_numbers_is_seen_at_once() {
    for seq in [3, 40_000, 65_000] {
        let (world, since, changed) = goes_on(|studio| {
            for stream in &mut studio.streams {
                stream.ssrc += 0x1000;
                stream.seq = seq;
                stream.timestamp = stream.timestamp.wrapping_add(0x7123_4567);
            }
        });
        assert_seen(&world, &since, changed, &format!("from {seq} on"));
        let lost: u64 = world.encodings(PUBLISHER).iter().map(|e| e.lost).sum();
        assert_eq!(lost, 0, "from {seq} on");
    }
}

/// What is in the ring is of the codec before: sent under the new one's payload type it would be garbage.
#[test]
fn another_codec_begins_with_its_own_pictures() {
    let mut world = World::new();
    world.publisher(PUBLISHER, &[]);
    world.viewer(VIEWER, &[Codec::H264, Codec::Vp8]);
    world.attach(VIEWER, PUBLISHER);
    world.connect();
    let mut camera = Camera::new(&world, PUBLISHER, Codec::Vp8, &[(None, 640)]);
    world.run(SECOND, |w| camera.shoot(w));
    camera.codec = Codec::H264;
    world.run(SECOND, |w| camera.shoot(w));
    world.run(SECOND / 10, |_| {});
    let received = &world.clients[&VIEWER].received;
    let h264: Vec<u8> = received.iter().filter(|r| r.pt == 96).map(|r| r.payload[0] & 31).collect();
    assert!(h264.len() > 30, "{} packets", h264.len());
    assert!(h264.iter().all(|unit| [7, 28].contains(unit)), "{h264:?}");
    assert_eq!(h264[0], 7, "from the parameter sets on");
}

/// A screen that changes twice a second is not silent between its pictures.
#[test]
fn who_sends_slowly_does_not_pause() {
    let mut world = World::with(1, Config::default());
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[H264]);
    let mut paused = 0;
    for second in 0..10 {
        for _ in 0..2 {
            play(&mut world, &mut studio, SECOND / 30);
            studio.video_mut().on = false;
            play(&mut world, &mut studio, SECOND / 2);
            studio.video_mut().on = true;
        }
        let quiet = |e: &Event| matches!(e, Event::Activity { activity: Activity::Quiet, .. });
        let times = std::mem::take(&mut world.events).iter().filter(|e| quiet(e)).count();
        paused += if second < 2 { 0 } else { times };
    }
    assert_eq!(paused, 0);
}
