//! Lip-sync from end to end: from the sender reports and timestamps that a viewer gets, when was each
//! picture and each sound captured? Against the publisher's truth both are off by the same, within
//! 20 ms of each other.

use super::*;
use crate::test::peer::{Offer, Peer, Report};
use crate::test::studio::captured;

const H264: Content = Content::H264 { sets: true };
/// How far lips and voice may be apart.
const MOST: f64 = 0.020;

/// Seconds on the wall clock of our sender reports at which this packet was captured.
fn wall(report: &Report, packet: &Packet, rate: u32) -> f64 {
    let seconds = (report.info.ntp >> 32) as f64;
    let fraction = (report.info.ntp & 0xffff_ffff) as f64 / 4_294_967_296.0;
    let ticks = packet.timestamp.wrapping_sub(report.info.rtp_timestamp).cast_signed();
    // Only differences count: the years are taken off before precision goes.
    seconds % 100_000.0 + fraction + f64::from(ticks) / f64::from(rate)
}

/// Arrival, and how far the wall clock of each packet of a stream is from the truth. A client knows the
/// reports that came so far; before the first one nothing is in step. Backlog has its time squeezed and
/// is left out, as is what carries no time.
fn errors(peer: &Peer, ssrc: u32, rate: u32, began: std::time::Instant) -> Vec<(f64, f64)> {
    let reports: Vec<&Report> = peer.reports.iter().filter(|r| r.ssrc == ssrc).collect();
    let mut all = Vec::new();
    for packet in peer.media.iter().filter(|p| p.ssrc == ssrc && p.payload.len() > 50) {
        let Some(report) = reports.iter().rfind(|r| r.at <= packet.at) else { continue };
        let truth = captured(&packet.payload);
        let arrival = (packet.at - began).as_secs_f64();
        if arrival - truth.as_secs_f64() < 1.0 {
            all.push((arrival, wall(report, packet, rate) - truth.as_secs_f64()));
        }
    }
    all
}

/// The worst that lips and voice are apart, between two times since `began`.
pub(super) fn apart(peer: &Peer, began: std::time::Instant, from: f64, to: f64) -> f64 {
    let audio = errors(peer, peer.audio(), 48_000, began);
    let video = errors(peer, peer.video(), 90_000, began);
    let mut worst = 0.0_f64;
    let mut pairs = 0;
    for (at, error) in video.iter().filter(|(at, _)| (from..to).contains(at)) {
        let nearest = audio.iter().min_by(|a, b| (a.0 - at).abs().total_cmp(&(b.0 - at).abs()));
        let (_, other) = nearest.expect("audio");
        worst = worst.max((error - other).abs());
        pairs += 1;
    }
    assert!(pairs > 30, "{pairs} pictures between {from} and {to}");
    worst
}

fn assert_in_step(world: &World, began: std::time::Instant, from: f64, to: f64, what: &str) {
    let worst = apart(&world.peers[&VIEWER], began, from, to);
    assert!(worst <= MOST, "{what}: {:.1} ms apart", worst * 1e3);
}

/// A publisher whose video takes longer to be sent than its audio, as encoders do.
fn publisher(world: &mut World, number: u32, rids: &[EncodingId]) -> Studio {
    world.join_peer(number, &Offer { rids: rids.to_vec(), ..Offer::publisher() });
    world.connect();
    let video = if rids.is_empty() { vec![H264] } else { vec![Content::Vp8; rids.len()] };
    let mut studio = Studio::new(world, number, &[&[Content::Opus], &video[..]].concat());
    studio.streams[0].latency = Duration::from_millis(5);
    for (index, stream) in studio.streams[1..].iter_mut().enumerate() {
        stream.latency = Duration::from_millis(60 + 15 * index as u64);
        (stream.rid, stream.width) = (rids.get(index).copied(), 320 << index);
    }
    studio
}

/// As everywhere, but what the publisher sends arrives up to 10 ms late, in any order.
fn play(world: &mut World, studio: &mut Studio, time: Duration) {
    let jitter = SECOND / 100;
    world.weather = Weather { jitter, inbound_only: true, ..Weather::default() };
    super::play(world, studio, time);
    world.weather = Weather::default();
}

fn watch(world: &mut World) {
    world.watch(VIEWER, PUBLISHER);
    world.connect();
}

#[test]
fn across_layer_switches() {
    let rids = ["q", "h", "f"].map(rid);
    let mut world = World::new();
    let mut studio = publisher(&mut world, PUBLISHER, &rids);
    watch(&mut world);
    play(&mut world, &mut studio, SECOND * 10);
    for layer in [0, 2, 1, 0, 2] {
        let (viewer, layer) = (World::id(VIEWER), Wanted::Encoding(rids[layer]));
        world.command(Command::SetLayer { viewer, layer });
        play(&mut world, &mut studio, SECOND * 2);
    }
    assert_in_step(&world, studio.began, 8.0, 20.0, "layer switches");
}

#[test]
fn across_a_reconnect_with_other_names_and_timestamps() {
    let mut world = World::new();
    let mut first = publisher(&mut world, PUBLISHER, &[]);
    watch(&mut world);
    play(&mut world, &mut first, SECOND * 8);
    assert_in_step(&world, first.began, 6.0, 8.0, "the first publisher");
    world.command(Command::Remove(World::id(PUBLISHER)));
    world.run(SECOND * 2, |_| {});
    let mut second = publisher(&mut world, 2, &[]);
    second.streams[0].timestamp = 0xdead_0000;
    second.streams[1].timestamp = 0x0123_4567;
    // Its encoder takes another time.
    second.streams[1].latency = Duration::from_millis(100);
    world.attach(VIEWER, 2);
    let reported = world.peers[&VIEWER].reports.len();
    play(&mut world, &mut second, SECOND * 10);
    // What was said of the first one is no truth about the second.
    let peer = world.peer(VIEWER);
    peer.reports.drain(..reported);
    peer.media.retain(|p| p.at >= second.began);
    assert_in_step(&world, second.began, 6.0, 10.0, "the second publisher");
}

/// The measure itself: before a report nobody can know that this video is 55 ms older than its audio.
#[test]
fn what_nobody_can_know_is_seen_here() {
    let mut world = World::new();
    let mut studio = publisher(&mut world, PUBLISHER, &[]);
    studio.streams.iter_mut().for_each(|s| s.lie = None);
    watch(&mut world);
    play(&mut world, &mut studio, SECOND * 4);
    let off = apart(&world.peers[&VIEWER], studio.began, 1.0, 4.0);
    assert!((0.040..0.070).contains(&off), "{off}");
}

#[test]
fn without_reports_of_the_publisher_the_arrival_counts() {
    let mut world = World::new();
    let mut studio = publisher(&mut world, PUBLISHER, &[]);
    watch(&mut world);
    for stream in &mut studio.streams {
        (stream.lie, stream.latency) = (None, Duration::from_millis(20));
    }
    play(&mut world, &mut studio, SECOND * 6);
    assert_in_step(&world, studio.began, 1.0, 6.0, "no reports");
}

#[test]
fn when_reports_stop() {
    let mut world = World::new();
    let mut studio = publisher(&mut world, PUBLISHER, &[]);
    watch(&mut world);
    play(&mut world, &mut studio, SECOND * 8);
    studio.streams.iter_mut().for_each(|s| s.lie = None);
    play(&mut world, &mut studio, SECOND * 12);
    assert_in_step(&world, studio.began, 6.0, 20.0, "reports that stop");
}

#[test]
fn when_reports_lie() {
    for lie in [-3_600_000, -1_500, 1_500, 7_200_000] {
        let mut world = World::new();
        let mut studio = publisher(&mut world, PUBLISHER, &[]);
        watch(&mut world);
        play(&mut world, &mut studio, SECOND * 8);
        // One report is wrong, then they are right again.
        studio.streams[1].lie = Some(lie);
        play(&mut world, &mut studio, SECOND);
        studio.streams[1].lie = Some(0);
        play(&mut world, &mut studio, SECOND * 6);
        assert_in_step(&world, studio.began, 6.0, 15.0, &format!("one report off by {lie} ms"));
    }
}

#[test]
fn when_no_two_reports_agree() {
    let mut world = World::new();
    let mut studio = publisher(&mut world, PUBLISHER, &[]);
    watch(&mut world);
    play(&mut world, &mut studio, SECOND * 8);
    for lie in [3_000, -7_000, 900_000, -40_000, 12_345, -1_000, 5_000, -90_000] {
        studio.streams[1].lie = Some(lie);
        play(&mut world, &mut studio, SECOND);
    }
    assert_in_step(&world, studio.began, 6.0, 16.0, "reports without sense");
}

#[test]
fn when_the_publishers_wall_clock_jumps() {
    let mut world = World::new();
    let mut studio = publisher(&mut world, PUBLISHER, &[]);
    watch(&mut world);
    play(&mut world, &mut studio, SECOND * 8);
    studio.streams.iter_mut().for_each(|s| s.lie = Some(40_000));
    play(&mut world, &mut studio, SECOND * 10);
    assert_in_step(&world, studio.began, 6.0, 18.0, "a clock that was set");
}

#[test]
fn with_clocks_that_drift() {
    for drift_ppm in [-200.0, 200.0] {
        let mut world = World::new();
        let mut studio = publisher(&mut world, PUBLISHER, &[]);
        studio.drift_ppm = drift_ppm;
        watch(&mut world);
        // 200 ppm are 24 ms in two minutes.
        for _ in 0..120 {
            play(&mut world, &mut studio, SECOND);
            studio.streams.iter_mut().for_each(|s| s.sent.truncate(1));
        }
        assert_in_step(&world, studio.began, 6.0, 120.0, "drift");
    }
}

#[test]
fn while_timestamps_wrap() {
    let mut world = World::new();
    let mut studio = publisher(&mut world, PUBLISHER, &[]);
    // Both within the run, the reports in between.
    studio.streams[0].timestamp = 0_u32.wrapping_sub(48_000 * 7);
    studio.streams[1].timestamp = 0_u32.wrapping_sub(90_000 * 9);
    watch(&mut world);
    play(&mut world, &mut studio, SECOND * 14);
    assert_in_step(&world, studio.began, 6.0, 14.0, "wraps");
    // And the other way: at once, before anything is known.
    let mut studio = publisher(&mut world, 2, &[]);
    studio.streams[0].timestamp = 0_u32.wrapping_sub(480);
    studio.streams[1].timestamp = 0_u32.wrapping_sub(900);
    world.attach(VIEWER, 2);
    let peer = world.peer(VIEWER);
    peer.reports.clear();
    peer.media.clear();
    play(&mut world, &mut studio, SECOND * 8);
    assert_in_step(&world, studio.began, 6.0, 8.0, "wraps at the start");
}

/// Who joins between keyframes is in step as soon as it is live.
#[test]
fn after_an_instant_start() {
    let mut world = World::new();
    let mut studio = publisher(&mut world, PUBLISHER, &[]);
    studio.video_mut().obeys = false;
    super::play(&mut world, &mut studio, SECOND / 10);
    play(&mut world, &mut studio, SECOND * 8);
    world.watch(VIEWER, PUBLISHER);
    super::play(&mut world, &mut studio, SECOND / 10);
    play(&mut world, &mut studio, SECOND * 4);
    assert_in_step(&world, studio.began, 11.0, 12.0, "an instant start");
}
