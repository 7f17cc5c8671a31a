//! Whole sessions in memory: real ICE, DTLS and SRTP on both sides, a fake network, a fake clock.

mod audience;
mod encodings;
mod faults;
mod instant;
mod life;
mod lips;
mod local;
mod repair;
mod restart;
mod shards;
mod sources;
mod story;
mod wires;
mod wraps;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use media::{Codec, EncodingId};

use super::exchange::{Kind as Said, Message};
use super::{Closed, Command, Event};
use crate::rtc::client::Received;
use crate::stats::Drop;
use crate::test::peer::Packet;
use crate::test::studio::{Content, Sent, Studio};
use crate::test::world::{Camera, Weather, World};
use crate::viewer::selector::Wanted;

const PUBLISHER: u32 = 1;
const VIEWER: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

impl Message {
    /// What it is, for tests.
    pub(crate) fn label(&self) -> &'static str {
        match &self.0 {
            Said::Batch(_) => "batch",
            Said::Command(_) => "command",
            Said::Subscribe { .. } => "subscribe",
            Said::Unsubscribe { .. } => "unsubscribe",
            Said::Feed(_) => "feed",
            Said::Gone(_) => "gone",
            Said::Keyframe { .. } => "keyframe",
            Said::Datagrams(..) => "datagrams",
            Said::Route(..) => "route",
            Said::Unroute(..) => "unroute",
        }
    }
}

/// How often shards said this.
fn said(world: &World, label: &str) -> usize {
    world.messages.iter().filter(|(_, _, said)| *said == label).count()
}

/// Lets the studio send for this long.
fn play(world: &mut World, studio: &mut Studio, time: Duration) {
    world.run(time, |w| studio.step(w));
}

/// In the order of numbers, no gap: the payloads of a stream that a peer got.
fn payloads(got: &BTreeMap<u64, &Packet>) -> Vec<Vec<u8>> {
    let seqs: Vec<u64> = got.keys().copied().collect();
    let gaps: Vec<_> = seqs.windows(2).filter(|w| w[0] + 1 != w[1]).collect();
    assert!(gaps.is_empty(), "gaps between {gaps:?}");
    got.values().map(|p| p.payload.clone()).collect()
}

/// Everything that was sent from the packet `first` on has come, bit for bit, without a gap.
fn assert_all(got: &BTreeMap<u64, &Packet>, sent: &[Sent]) {
    let payloads = payloads(got);
    assert_eq!(payloads.len(), sent.len(), "how many packets have come");
    for (index, (packet, sent)) in got.values().zip(sent).enumerate() {
        assert!(packet.payload == sent.payload, "packet {index} is another one");
        assert_eq!(packet.marker, sent.marker, "marker of packet {index}");
    }
}

fn rid(name: &str) -> EncodingId {
    EncodingId::new(name).expect("a valid rid")
}

fn simulcast() -> [(Option<EncodingId>, u16); 3] {
    [(Some(rid("q")), 320), (Some(rid("h")), 640), (Some(rid("f")), 1280)]
}

fn video(received: &[Received]) -> Vec<&Received> {
    received.iter().filter(|r| r.pt != 111).collect()
}

/// In the order of sequence numbers: no gap, no duplicate.
fn assert_continuous(received: &[Received]) {
    let mut seqs: Vec<u64> = video(received).iter().map(|r| r.seq).collect();
    seqs.sort_unstable();
    for pair in seqs.windows(2) {
        assert_eq!(pair[0] + 1, pair[1], "a gap or duplicate in what the viewer got");
    }
}

fn publisher_and_viewer(layers: &[(Option<EncodingId>, u16)]) -> (World, Camera) {
    let mut world = World::new();
    let rids: Vec<EncodingId> = layers.iter().filter_map(|(id, _)| *id).collect();
    world.publisher(PUBLISHER, &rids);
    world.viewer(VIEWER, &[Codec::H264, Codec::Vp8]);
    world.connect();
    world.attach(VIEWER, PUBLISHER);
    let camera = Camera::new(&world, PUBLISHER, Codec::Vp8, layers);
    (world, camera)
}

fn layer(world: &World) -> Option<String> {
    let viewer = world.snapshot(VIEWER).expect("the viewer is there");
    viewer.layer.map(|id| id.to_string())
}

#[test]
fn what_goes_in_comes_out_bit_for_bit() {
    let (mut world, mut camera) = publisher_and_viewer(&[(None, 640)]);
    world.run(SECOND, |w| camera.shoot(w));
    world.run(SECOND / 10, |_| {});
    let received = &world.clients[&VIEWER].received;
    assert_eq!(received.len() as u64, camera.layers[0].packets);
    assert_continuous(received);
    let ids: Vec<u64> = received
        .iter()
        .map(|r| u64::from_be_bytes(r.payload[r.payload.len() - 8..].try_into().expect("8 bytes")))
        .collect();
    let expected: Vec<u64> = (1000..1000 + camera.layers[0].packets).collect();
    assert_eq!(ids, expected);
    assert!(world.events.contains(&Event::Connected(World::id(VIEWER))));
    let started = Event::MediaStarted { session: World::id(PUBLISHER), codec: Codec::Vp8 };
    assert_eq!(world.events.iter().filter(|e| **e == started).count(), 1);
}

#[test]
fn loss_and_reordering_on_both_sides_are_repaired() {
    let (mut world, mut camera) = publisher_and_viewer(&[(None, 640)]);
    world.run(SECOND / 5, |w| camera.shoot(w));
    world.weather =
        Weather { loss_percent: 5, jitter: Duration::from_millis(12), ..Weather::default() };
    world.run(SECOND * 5, |w| camera.shoot(w));
    world.weather = Weather::default();
    world.run(SECOND, |w| camera.shoot(w));
    world.run(SECOND / 2, |_| {});
    let received = &world.clients[&VIEWER].received;
    assert_continuous(received);
    assert_eq!(received.len() as u64, camera.layers[0].packets);
    let encodings = world.encodings(PUBLISHER);
    assert_eq!(encodings[0].lost, 0);
    assert_eq!(encodings[0].packets, camera.layers[0].packets);
}

#[test]
fn a_viewer_starts_with_the_first_packet_of_a_keyframe_also_if_others_overtook_it() {
    for seed in 0..20 {
        let mut world = World::new();
        world.publisher(PUBLISHER, &[]);
        world.viewer(VIEWER, &[Codec::H264]);
        world.attach(VIEWER, PUBLISHER);
        world.connect();
        world.weather = Weather {
            loss_percent: 10,
            inbound_only: true,
            outbound_only: false,
            jitter: Duration::from_millis(10 + seed),
        };
        let mut camera = Camera::new(&world, PUBLISHER, Codec::H264, &[(None, 640)]);
        world.run(SECOND / 2, |w| camera.shoot(w));
        world.weather = Weather::default();
        world.run(SECOND, |w| camera.shoot(w));
        world.run(SECOND / 2, |_| {});
        let mut received = world.clients[&VIEWER].received.clone();
        assert_continuous(&received);
        received.sort_by_key(|r| r.seq);
        assert_eq!(received[0].payload[0] & 0x1f, 7, "seed {seed}: an SPS comes first");
        assert_eq!(received[1].payload[0] & 0x1f, 28, "seed {seed}: then the picture");
        assert_eq!(
            received[0].timestamp, received[1].timestamp,
            "seed {seed}: of the same picture"
        );
    }
}

#[test]
fn the_highest_layer_by_default_and_any_by_choice() {
    let (mut world, mut camera) = publisher_and_viewer(&simulcast());
    world.run(SECOND, |w| camera.shoot(w));
    assert_eq!(layer(&world).as_deref(), Some("f"));
    for wanted in ["q", "h", "f"] {
        let layer_wanted = Wanted::Encoding(rid(wanted));
        world.command(Command::SetLayer { viewer: World::id(VIEWER), layer: layer_wanted });
        world.run(SECOND, |w| camera.shoot(w));
        assert_eq!(layer(&world).as_deref(), Some(wanted));
    }
    let received = world.clients[&VIEWER].received.clone();
    assert_continuous(&received);
    let packets = video(&received);
    let times: Vec<u32> = packets.iter().map(|r| r.timestamp).collect();
    assert!(
        times.windows(2).all(|w| w[1].wrapping_sub(w[0]).cast_signed() >= 0),
        "timestamps go back at a switch"
    );
    let pictures: Vec<u16> = packets
        .iter()
        .filter(|r| r.payload[0] & 0x10 != 0)
        .map(|r| u16::from_be_bytes([r.payload[2] & 0x7f, r.payload[3]]))
        .collect();
    assert!(
        pictures.windows(2).all(|w| w[0] + 1 == w[1]),
        "picture ids are not continuous: {pictures:?}"
    );
}

#[test]
fn a_silent_layer_moves_its_viewers_within_a_second_and_back() {
    let (mut world, mut camera) = publisher_and_viewer(&simulcast());
    world.run(SECOND * 2, |w| camera.shoot(w));
    assert_eq!(layer(&world).as_deref(), Some("f"));
    camera.layers[2].on = false;
    world.run(SECOND, |w| camera.shoot(w));
    assert_eq!(layer(&world).as_deref(), Some("h"));
    let newest = world.clients[&VIEWER].received.last().expect("packets").at;
    assert!(world.now - newest < Duration::from_millis(100), "the picture moves again");
    camera.layers[2].on = true;
    world.run(SECOND, |w| camera.shoot(w));
    assert_eq!(layer(&world).as_deref(), Some("f"));
    assert_continuous(&world.clients[&VIEWER].received);
}

#[test]
fn all_layers_pausing_together_is_a_still_picture_and_no_reason_to_switch() {
    let (mut world, mut camera) = publisher_and_viewer(&simulcast());
    world.run(SECOND * 2, |w| camera.shoot(w));
    let keyframes: u32 = camera.layers.iter().map(|l| l.keyframes).sum();
    for _ in 0..3 {
        world.run(SECOND * 2, |_| {});
        world.run(SECOND / 10, |w| camera.shoot(w));
    }
    assert_eq!(layer(&world).as_deref(), Some("f"));
    assert_eq!(camera.layers.iter().map(|l| l.keyframes).sum::<u32>(), keyframes);
}

#[test]
fn a_viewer_who_came_first_gets_every_publisher_and_codec_that_follows() {
    let mut world = World::new();
    world.viewer(VIEWER, &[Codec::H264, Codec::Vp8]);
    world.connect();
    world.run(SECOND, |_| {});
    let mut expected = 0;
    for (number, codec) in [(1, Codec::Vp8), (2, Codec::H264), (3, Codec::Vp8)] {
        world.publisher(number, &[]);
        world.connect();
        world.attach(VIEWER, number);
        let mut camera = Camera::new(&world, number, codec, &[(None, 640)]);
        world.run(SECOND, |w| camera.shoot(w));
        world.run(SECOND / 10, |_| {});
        expected += camera.layers[0].packets;
        world.command(Command::Remove(World::id(number)));
        world.run(SECOND / 10, |_| {});
        assert!(world.client(number).closed, "the publisher was told goodbye");
        world.clients.remove(&number);
    }
    let received = &world.clients[&VIEWER].received;
    assert_continuous(received);
    let mut pts: Vec<u8> = received.iter().map(|r| r.pt).collect();
    pts.dedup();
    assert_eq!(pts, [98, 96, 98]);
    assert_eq!(received.len() as u64, expected);
}

#[test]
fn a_viewer_without_the_codec_gets_nothing_and_the_api_says_why() {
    let mut world = World::new();
    world.publisher(PUBLISHER, &[]);
    world.viewer(VIEWER, &[Codec::Av1]);
    world.attach(VIEWER, PUBLISHER);
    world.connect();
    let mut camera = Camera::new(&world, PUBLISHER, Codec::Vp8, &[(None, 640)]);
    world.run(SECOND, |w| camera.shoot(w));
    assert!(world.clients[&VIEWER].received.is_empty());
    let snapshot = world.snapshot(VIEWER).expect("there");
    assert_eq!(snapshot.missing, Some(Codec::Vp8));
    assert!(world.totals().drops.get(Drop::NoCommonCodec) > 0);
    assert_eq!(camera.layers[0].keyframes, 1, "nobody asks for one that it could not show");
}

#[test]
fn fifty_viewers_who_want_a_keyframe_make_one_request_in_half_a_second() {
    let mut world = World::new();
    world.publisher(PUBLISHER, &[]);
    for viewer in 0..50 {
        world.viewer(VIEWER + viewer, &[Codec::Vp8]);
        world.attach(VIEWER + viewer, PUBLISHER);
    }
    world.connect();
    let mut camera = Camera::new(&world, PUBLISHER, Codec::Vp8, &[(None, 640)]);
    world.run(SECOND, |w| camera.shoot(w));
    let before = world.totals().keyframe_requests;
    let start = world.now;
    world.run(SECOND * 2, |w| {
        for viewer in 0..50 {
            w.client(VIEWER + viewer).request_keyframe();
        }
        camera.shoot(w);
    });
    let requests = world.totals().keyframe_requests - before;
    let intervals = (world.now - start).as_millis() as u64 / 500;
    assert!(
        (1..=intervals + 1).contains(&requests),
        "{requests} requests in {intervals} intervals"
    );
}

#[test]
fn sessions_end_by_silence_and_by_never_connecting_and_leave_nothing() {
    let (mut world, mut camera) = publisher_and_viewer(&[(None, 640)]);
    world.viewer(VIEWER + 1, &[Codec::Vp8]);
    world.clients.remove(&(VIEWER + 1));
    world.run(SECOND, |w| camera.shoot(w));
    world.clients.clear();
    world.run(SECOND * 20, |_| {});
    let closed =
        |id: u32, reason| world.events.contains(&Event::Closed { session: World::id(id), reason });
    assert!(closed(PUBLISHER, Closed::Silent));
    assert!(closed(VIEWER, Closed::Silent));
    assert!(closed(VIEWER + 1, Closed::NeverConnected));
    assert_eq!(world.len(), (0, 0, 0));
}

#[test]
fn garbage_is_counted_and_harms_nobody() {
    let (mut world, mut camera) = publisher_and_viewer(&[(None, 640)]);
    let stranger = SocketAddr::from(([10, 9, 9, 9], 9));
    let publisher = world.client(PUBLISHER).address;
    let mut seed = 1_u8;
    world.run(SECOND, |w| {
        camera.shoot(w);
        seed = seed.wrapping_mul(31).wrapping_add(7);
        let garbage: Vec<u8> =
            (0..u16::from(seed)).map(|i| seed.wrapping_mul(i as u8 | 1)).collect();
        w.inject(stranger, &garbage);
        w.inject(publisher, &garbage);
        // Looks like RTP, RTCP and DTLS from a known address; none is authentic.
        w.inject(publisher, &[&[0x80, 98, 0, 1], garbage.as_slice()].concat());
        w.inject(publisher, &[&[0x80, 200, 0, 1], garbage.as_slice()].concat());
        w.inject(publisher, &[&[23, 0xfe, 0xfd], garbage.as_slice()].concat());
    });
    world.run(SECOND / 10, |_| {});
    let received = &world.clients[&VIEWER].received;
    assert_eq!(received.len() as u64, camera.layers[0].packets);
    let drops = world.totals().drops;
    assert!(drops.get(Drop::UnknownSource) > 100);
    assert!(drops.get(Drop::RtpUnusable) > 100);
}

#[test]
fn joins_and_leaves_leave_nothing_behind() {
    let (mut world, mut camera) = publisher_and_viewer(&[(None, 640)]);
    let before = world.len();
    for _ in 0..5 {
        for viewer in 1..=20 {
            world.viewer(VIEWER + viewer, &[Codec::Vp8]);
            world.attach(VIEWER + viewer, PUBLISHER);
        }
        world.connect();
        world.run(SECOND / 10, |w| camera.shoot(w));
        for viewer in 1..=20 {
            world.command(Command::Remove(World::id(VIEWER + viewer)));
            world.clients.remove(&(VIEWER + viewer));
        }
    }
    world.run(SECOND / 10, |w| camera.shoot(w));
    assert_eq!(world.len(), before);
    assert_continuous(&world.clients[&VIEWER].received);
}

#[test]
fn receiver_reports_say_loss_and_round_trip() {
    let (mut world, mut camera) = publisher_and_viewer(&[(None, 640)]);
    world.run(SECOND * 4, |w| camera.shoot(w));
    let viewer = world.snapshot(VIEWER).expect("the viewer is there");
    assert_eq!(viewer.loss, Some(0.0));
    let rtt = viewer.rtt.expect("sender reports were answered");
    assert!(rtt >= Duration::from_millis(1) && rtt < Duration::from_millis(20), "{rtt:?}");
}
