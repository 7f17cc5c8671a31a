//! Numbers that begin anew: sequence numbers with their rollover counter (RFC 3711 section 3.3.1),
//! timestamps, transport-wide numbers. Another WebRTC stack opens what we seal.

use super::*;
use crate::test::peer::{Offer, extend};
use crate::test::studio::number;

/// Its SSRCs end in 0x7ff0: so does its first number, the highest that there is but 15.
const HIGH: u32 = 0x7ff;

#[test]
fn sequence_numbers_wrap_three_times_and_everything_opens() {
    let mut world = World::new();
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    world.viewer(HIGH, &[Codec::H264]);
    world.attach(HIGH, PUBLISHER);
    world.watch(VIEWER, PUBLISHER);
    world.connect();
    world.peer(VIEWER).forgetful = true;
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::H264 { sets: true }]);
    let stream = studio.video_mut();
    (stream.parts, stream.bytes, stream.seq) = (300, 60, 65_000);
    // Wraps in the middle.
    stream.timestamp = u32::MAX - 90_000 * 5;
    let mut sent = 0;
    let mut next = 65_000;
    for second in 0..19 {
        play(&mut world, &mut studio, SECOND);
        sent += studio.video().sent.len();
        studio.video_mut().sent.clear();
        // All in order, without a gap; the first of the first keyframe is its SPS.
        for packet in std::mem::take(&mut world.client(HIGH).received) {
            if packet.payload.len() > 20 {
                assert_eq!(number(&packet.payload), next, "in second {second}");
            }
            next += 1;
        }
    }
    world.run(SECOND / 10, |_| {});
    next += world.clients[&HIGH].received.len() as u64;
    assert!(sent > 165_000, "{sent} packets are no three wraps");
    assert_eq!(next - 65_000, sent as u64);
    let peer = &world.peers[&VIEWER];
    assert_eq!((peer.received, peer.broken), (sent as u64, 0));
    assert_eq!(world.totals().repaired, 0);
    assert_eq!(world.totals().drops.get(Drop::RtcpMalformed), 0);
}

#[test]
fn nacks_are_understood_across_wraps_of_all_numbers() {
    let mut world = World::new();
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    world.watch(HIGH, PUBLISHER);
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::H264 { sets: true }]);
    let stream = studio.video_mut();
    (stream.parts, stream.bytes, stream.seq) = (300, 60, 65_000);
    play(&mut world, &mut studio, SECOND * 3);
    world.run(SECOND / 100, |_| {});
    let early = world.peers[&HIGH].received;
    assert!((26_000..32_000).contains(&early), "{early}: the wrap is still to come");
    world.peer(HIGH).media.clear();
    studio.video_mut().sent.clear();
    world.weather = Weather { loss_percent: 1, outbound_only: true, ..Weather::default() };
    play(&mut world, &mut studio, SECOND);
    world.weather = Weather::default();
    // Ours, the publisher's and the transport's have wrapped when this ends.
    play(&mut world, &mut studio, SECOND * 5);
    world.run(SECOND / 2, |_| {});
    let peer = &world.peers[&HIGH];
    assert_all(&peer.stream(peer.video()), &studio.video().sent);
    assert!(peer.media.iter().filter(|p| p.original.is_some()).count() > 30);
    assert!(peer.media.iter().any(|p| p.seq > 1 << 16));
    // Transport-wide numbers go on one by one.
    let numbers: Vec<u16> = peer.media.iter().filter_map(|p| p.transport_cc).collect();
    let mut wide = Vec::with_capacity(numbers.len());
    for low in numbers {
        wide.push(extend(*wide.last().unwrap_or(&30_000), low));
    }
    assert!(wide.last().is_some_and(|last| *last > 1 << 16), "they have not wrapped");
    wide.sort_unstable();
    assert!(wide.windows(2).all(|w| w[0] < w[1]), "one was used twice");
}

#[test]
fn timestamps_wrap_at_a_switch() {
    for early in [0, 1, 500, 1_000, 1_490, 1_500, 1_510, 2_000] {
        let mut world = World::new();
        let rids = ["q", "h"].map(rid).to_vec();
        world.join_peer(PUBLISHER, &Offer { rids: rids.clone(), ..Offer::publisher() });
        world.connect();
        world.watch(VIEWER, PUBLISHER);
        world.connect();
        let mut studio = Studio::new(&world, PUBLISHER, &[Content::Vp8; 2]);
        for (index, stream) in studio.streams.iter_mut().enumerate() {
            (stream.rid, stream.width) = (Some(rids[index]), 320 << index);
        }
        // The one that is shown first wraps about at the switch, the other one when it is shown.
        studio.streams[1].timestamp = 0_u32.wrapping_sub(early * 90);
        studio.streams[0].timestamp = 0_u32.wrapping_sub(2_500 * 90);
        play(&mut world, &mut studio, SECOND * 3 / 2);
        let (viewer, layer) = (World::id(VIEWER), Wanted::Encoding(rids[0]));
        world.command(Command::SetLayer { viewer, layer });
        play(&mut world, &mut studio, SECOND * 2);
        let peer = &world.peers[&VIEWER];
        let got = peer.stream(peer.video());
        payloads(&got);
        let mut steps: Vec<i32> = Vec::new();
        let all: Vec<&&Packet> = got.values().collect();
        for pair in all.windows(2).filter(|w| w[0].timestamp != w[1].timestamp) {
            steps.push(pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed());
        }
        assert!(steps.len() > 90);
        for step in &steps {
            assert!((1..=6_500).contains(step), "a step of {step} at {early}: {steps:?}");
        }
        assert_eq!(world.snapshot(VIEWER).and_then(|s| s.layer), Some(rids[0]));
    }
}
