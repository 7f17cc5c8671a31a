//! A picture at once: a viewer that joins between keyframes of a publisher that makes none on demand
//! begins with what the ring holds, and is live soon.

use super::*;
use crate::history::Limits;
use crate::recorder::Who;
use crate::shard::Config;
use crate::test::peer::{Offer, Peer};
use crate::test::studio::{SETS, SPROP, captured, number};

const H264: Content = Content::H264 { sets: true };

/// A publisher in the middle of a long group of pictures.
fn playing(offer: &Offer, contents: &[Content], age: Duration) -> (World, Studio) {
    let mut world = World::new();
    world.join_peer(PUBLISHER, offer);
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, contents);
    studio.video_mut().obeys = false;
    play(&mut world, &mut studio, age);
    (world, studio)
}

/// Joins, and plays for this long.
fn join(world: &mut World, studio: &mut Studio, number: u32, time: Duration) {
    world.watch(number, PUBLISHER);
    play(world, studio, time);
}

fn received_video(peer: &Peer) -> Vec<&Packet> {
    peer.stream(peer.video()).into_values().collect()
}

#[test]
fn who_joins_between_keyframes_gets_the_whole_picture_at_once() {
    for age in [500, 2_000, 3_900] {
        let age = Duration::from_millis(age);
        let (mut world, mut studio) = playing(&Offer::publisher(), &[Content::Opus, H264], age);
        let began = world.now;
        let audio_before = studio.streams[0].sent.len();
        join(&mut world, &mut studio, VIEWER, SECOND * 3);
        world.run(SECOND / 10, |_| {});
        let peer = &world.peers[&VIEWER];
        let video = received_video(peer);
        assert_all(&peer.stream(peer.video()), &studio.streams[1].sent);
        assert_eq!(studio.video().keyframes, 1);

        // At once: a handshake of some milliseconds, and the wait for the client to be up.
        assert!(video[0].at - began < Duration::from_millis(60), "{:?}", video[0].at - began);
        // Live within a second and a half.
        let late = |p: &Packet| p.at - (studio.began + captured(&p.payload));
        let behind = video.iter().rev().take_while(|p| late(p) < Duration::from_millis(10)).last();
        let caught_up = behind.expect("live at last").at - began;
        assert!(caught_up < SECOND * 3 / 2, "at {age:?} live only after {caught_up:?}");

        // Time goes on, never back, waits after the keyframe as the sending does, and live ones keep the
        // steps that they had.
        let sent = &studio.streams[1].sent;
        let live =
            video.last().expect("plays").timestamp.wrapping_sub(sent[sent.len() - 1].timestamp);
        let (mut squeezed, mut waits) = (0, 0);
        for (index, packet) in video.iter().enumerate() {
            if index > 0 {
                let step = packet.timestamp.wrapping_sub(video[index - 1].timestamp).cast_signed();
                waits += u32::from(step > 3_001);
                assert!((0..=90 * 250).contains(&step), "a step of {step}");
            }
            let off = live.wrapping_add(sent[index].timestamp).wrapping_sub(packet.timestamp);
            if sent[index].at >= began + SECOND / 2 {
                assert_eq!(off, 0, "a live packet's time was changed");
            }
            squeezed += u32::from(off != 0);
        }
        assert!(squeezed > 30, "{squeezed} packets were squeezed");
        assert!(waits <= 1, "time jumped {waits} times");
        // The keyframe is not far from live: a second of backlog is 4 ms.
        let edge =
            live.wrapping_add(sent.iter().rfind(|s| s.at < video[0].at).expect("some").timestamp);
        let span = edge.wrapping_sub(video[0].timestamp);
        assert!(span <= 90 * 4_200 / 256, "the backlog spans {span} ticks");

        // Audio is live from the start.
        let audio: Vec<&Packet> = peer.stream(peer.audio()).into_values().collect();
        assert!(number(&audio[0].payload) >= number(&studio.streams[0].sent[audio_before].payload));
        assert!(audio[0].at - began < Duration::from_millis(60));
        payloads(&peer.stream(peer.audio()));
        assert!(audio.iter().all(|p| late(p) < Duration::from_millis(5)), "audio was late");
        assert_eq!((peer.broken, world.totals().repaired), (0, 0));
    }
}

#[test]
fn nacks_for_replayed_packets_are_answered() {
    let (mut world, mut studio) = playing(&Offer::publisher(), &[H264], SECOND * 2);
    world.watch(VIEWER, PUBLISHER);
    while world.peers[&VIEWER].received == 0 {
        play(&mut world, &mut studio, SECOND / 1000);
    }
    // The keyframe is there, of the rest every tenth packet is lost.
    play(&mut world, &mut studio, SECOND / 200);
    world.weather = Weather { loss_percent: 10, outbound_only: true, ..Weather::default() };
    play(&mut world, &mut studio, SECOND);
    world.weather = Weather::default();
    play(&mut world, &mut studio, SECOND);
    world.run(SECOND / 2, |_| {});
    let peer = &world.peers[&VIEWER];
    assert_all(&peer.stream(peer.video()), &studio.video().sent);
    let again = peer.media.iter().filter(|p| p.original.is_some());
    let of_backlog = again.filter(|p| captured(&p.payload) < SECOND * 2).count();
    assert!(of_backlog > 5, "{of_backlog} of the backlog were repaired");
}

/// What is sent before a client can take it is lost for it: the reports show it, and so does a PLI.
#[test]
fn a_keyframe_that_came_too_early_comes_again() {
    for pli in [false, true] {
        let (mut world, mut studio) = playing(&Offer::publisher(), &[Content::Opus, H264], SECOND);
        world.watch(VIEWER, PUBLISHER);
        world.peer(VIEWER).answers = !pli;
        while !world.peers[&VIEWER].connected {
            play(&mut world, &mut studio, SECOND / 1000);
        }
        world.weather = Weather { loss_percent: 100, outbound_only: true, ..Weather::default() };
        play(&mut world, &mut studio, SECOND / 10);
        assert_eq!(world.peers[&VIEWER].received, 0);
        world.weather = Weather::default();
        play(&mut world, &mut studio, SECOND / 10);
        if pli {
            let video = world.peers[&VIEWER].video();
            world.peer(VIEWER).tell(|w| w.pli(1, video));
        }
        play(&mut world, &mut studio, SECOND * 2);
        let peer = &world.peers[&VIEWER];
        let video = received_video(peer);
        let sps = video.iter().rposition(|p| p.payload[0] & 31 == 7).expect("the keyframe again");
        assert!(video[sps].at - studio.began < SECOND * 3 / 2);
        let numbers: Vec<u64> = video[sps + 1..].iter().map(|p| number(&p.payload)).collect();
        let first = number(&studio.video().sent[1].payload);
        assert_eq!(numbers[0], first, "from the keyframe on");
        assert!(numbers.windows(2).all(|w| w[0] + 1 == w[1]), "with everything behind it");
        assert_eq!(studio.video().keyframes, 1);
        assert_eq!(video.iter().filter(|p| p.payload[0] & 31 == 7).count(), 1, "once");
        // Who asks says nothing of a loss: the log does not either.
        let report = world.shards.iter().find_map(|s| s.session(World::id(VIEWER), world.now));
        let log = report.expect("it lives").recorder;
        let anew = log.entries().into_iter().find(|(_, d)| d.code() == "began_anew").unwrap().1;
        assert_eq!(log.text(Who::Viewer, anew).contains("lost"), !pli);
        assert_eq!(world.snapshot(VIEWER).expect("there").asks.keyframes, u32::from(pli));
    }
}

/// Feedback about what went out before is on its way when somebody else is watched.
#[test]
fn feedback_about_the_last_publisher_says_nothing_about_the_next() {
    for offset in 0..60 {
        let (mut world, mut studio) = playing(&Offer::publisher(), &[H264], SECOND);
        world.join_peer(2, &Offer::publisher());
        join(&mut world, &mut studio, VIEWER, SECOND + Duration::from_millis(offset));
        let mut second = Studio::new(&world, 2, &[H264]);
        second.video_mut().obeys = false;
        world.run(SECOND, |w| {
            studio.step(w);
            second.step(w);
        });
        world.attach(VIEWER, 2);
        world.run(SECOND, |w| {
            studio.step(w);
            second.step(w);
        });
        world.run(SECOND / 10, |_| {});
        let peer = &world.peers[&VIEWER];
        let sps = peer.media.iter().filter(|p| p.payload[0] & 31 == 7).count();
        assert_eq!(sps, 2, "one for each publisher, at {offset} ms");
    }
}

#[test]
fn fifty_joins_in_a_second_disturb_nobody() {
    let contents = [Content::Opus, H264];
    let (mut world, mut studio) = playing(&Offer::publisher(), &contents, SECOND / 2);
    join(&mut world, &mut studio, VIEWER, SECOND * 4);
    let steady = world.now;
    let keyframes = studio.video().keyframes;
    for number in 1..=50 {
        join(&mut world, &mut studio, VIEWER + number, SECOND / 50);
    }
    play(&mut world, &mut studio, SECOND * 2);
    world.run(SECOND / 10, |_| {});
    assert_eq!(studio.video().keyframes, keyframes);
    let old = &world.peers[&VIEWER];
    assert_all(&old.stream(old.video()), &studio.streams[1].sent);
    for packet in old.media.iter().filter(|p| p.at > steady) {
        let late = packet.at - (studio.began + captured(&packet.payload));
        assert!(late <= Duration::from_millis(3), "{late:?} late");
    }
    for number in 1..=50 {
        let peer = &world.peers[&(VIEWER + number)];
        assert_all(&peer.stream(peer.video()), &studio.streams[1].sent);
    }
    assert_eq!(world.totals().repaired, 0);
}

#[test]
fn parameter_sets_of_the_offer_come_before_the_ring() {
    let offer = Offer { fmtp: SPROP.into(), ..Offer::publisher() };
    let mut world = World::new();
    world.join_peer(PUBLISHER, &offer);
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::H264 { sets: false }]);
    (studio.video_mut().obeys, studio.video_mut().gop) = (false, 120);
    play(&mut world, &mut studio, SECOND * 6);
    let keyframe = studio.video().sent.iter().rposition(|s| !s.key).expect("some") + 1;
    let keyframe = keyframe.min(studio.video().sent.iter().rposition(|s| s.key).expect("one"));
    join(&mut world, &mut studio, VIEWER, SECOND);
    world.run(SECOND / 10, |_| {});
    let peer = &world.peers[&VIEWER];
    let video = received_video(peer);
    assert_eq!(video[0].payload, SETS);
    assert_eq!(video[0].timestamp, video[1].timestamp);
    let sent = &studio.video().sent;
    let first = sent.iter().position(|s| s.payload == video[1].payload).expect("one of those");
    assert!(sent[first].key && !sent[first - 1].key && first <= keyframe, "the picture's first");
    assert_eq!(video.len() - 1, sent.len() - first);
    for (got, sent) in video[1..].iter().zip(&sent[first..]) {
        assert!(got.payload == sent.payload);
    }
}

#[test]
fn a_picture_longer_than_the_ring_is_waited_for_and_asked_for() {
    for obeys in [false, true] {
        let limits = Limits { bytes: 16 << 20, age: SECOND };
        let mut world =
            World::with(1, Config { history: limits, settle: Duration::ZERO, ..Config::default() });
        world.join_peer(PUBLISHER, &Offer::publisher());
        world.connect();
        let mut studio = Studio::new(&world, PUBLISHER, &[Content::Opus, H264]);
        (studio.video_mut().obeys, studio.video_mut().gop) = (obeys, 90);
        // The second of its group of pictures is over: its keyframe has left the ring.
        play(&mut world, &mut studio, SECOND * 2);
        let keyframes = studio.video().keyframes;
        let began = world.now;
        join(&mut world, &mut studio, VIEWER, SECOND * 2);
        world.run(SECOND / 10, |_| {});
        assert!(world.totals().keyframe_requests > 0, "nobody asked");
        let peer = &world.peers[&VIEWER];
        let video = received_video(peer);
        assert_eq!(video[0].payload[0] & 31, 7, "it begins with a keyframe");
        let waited = video[0].at - began;
        let expected = if obeys { 0..200 } else { 900..1_100 };
        assert!(expected.contains(&waited.as_millis()), "{waited:?}");
        assert_eq!(studio.video().keyframes, keyframes + if obeys { 2 } else { 1 });
        payloads(&peer.stream(peer.video()));
        let audio = peer.stream(peer.audio());
        assert!(audio.values().next().expect("audio").at - began < Duration::from_millis(60));
    }
}

/// Holes in the ring are no way in.
#[test]
fn a_ring_with_a_hole_is_not_played_from() {
    let (mut world, mut studio) = playing(&Offer::publisher(), &[H264], SECOND);
    world.weather = Weather { loss_percent: 20, inbound_only: true, ..Weather::default() };
    play(&mut world, &mut studio, SECOND / 2);
    world.weather = Weather::default();
    assert!(world.encodings(PUBLISHER)[0].lost > 0);
    join(&mut world, &mut studio, VIEWER, SECOND);
    assert_eq!(received_video(&world.peers[&VIEWER]).len(), 0);
    studio.video_mut().obeys = true;
    play(&mut world, &mut studio, SECOND);
    world.run(SECOND / 10, |_| {});
    let peer = &world.peers[&VIEWER];
    assert_eq!(received_video(peer)[0].payload[0] & 31, 7);
    payloads(&peer.stream(peer.video()));
}

/// A packet on its way when somebody joins is a hole for a moment only.
#[test]
fn a_late_packet_delays_a_start_and_does_not_prevent_it() {
    let (mut world, mut studio) = playing(&Offer::publisher(), &[H264], SECOND / 2);
    for number in 0..20 {
        world.weather = Weather::default();
        world.watch(VIEWER + number, PUBLISHER);
        while !world.peers[&(VIEWER + number)].connected {
            play(&mut world, &mut studio, SECOND / 1000);
        }
        let connected = world.now;
        let jitter = SECOND / 20;
        world.weather = Weather { inbound_only: true, jitter, ..Weather::default() };
        play(&mut world, &mut studio, SECOND / 2);
        let peer = &world.peers[&(VIEWER + number)];
        let first = received_video(peer).first().map(|p| p.at);
        let waited = first.unwrap_or_else(|| panic!("viewer {number} has no picture")) - connected;
        assert!(waited < SECOND * 2 / 5, "viewer {number} waited {waited:?}");
    }
    assert_eq!(studio.video().keyframes, 1);
}

/// FFmpeg sends at once what it has made while it was connecting.
#[test]
fn a_publisher_that_begins_in_haste_does_not_hurry_its_viewers() {
    let saved_up = SECOND / 2;
    let mut world = World::with(1, Config::default());
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.watch(VIEWER, PUBLISHER);
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::Opus, H264]);
    studio.streams.iter_mut().for_each(|s| s.latency = saved_up);
    play(&mut world, &mut studio, saved_up - SECOND / 1000);
    studio.streams.iter_mut().for_each(|s| s.latency = Duration::ZERO);
    let began = world.now;
    play(&mut world, &mut studio, SECOND * 3);
    let peer = &world.peers[&VIEWER];
    for (ssrc, rate) in [(peer.audio(), 48_000.0), (peer.video(), 90_000.0)] {
        let got: Vec<&Packet> = peer.media.iter().filter(|p| p.ssrc == ssrc).collect();
        assert!(got.len() > 80, "{} packets", got.len());
        let start = (got[0].at - began).as_secs_f64();
        assert!(start < 0.25, "{start} s until the first");
        for packet in &got {
            let ticks = packet.timestamp.wrapping_sub(got[0].timestamp).cast_signed();
            let ahead = f64::from(ticks) / rate - (packet.at - got[0].at).as_secs_f64();
            assert!(ahead < 0.06, "ahead of time by {ahead} s at {:?}", packet.at - began);
        }
    }
}

/// A standby's ring begins with a keyframe that may be seconds old: who has just seen newer pictures gets
/// a new one where the publisher makes one, and the old one where it does not.
#[test]
fn who_changes_over_sees_no_old_pictures_if_there_is_a_keyframe_to_be_had() {
    for obeys in [true, false] {
        let (mut world, mut first) = playing(&Offer::publisher(), &[H264], SECOND);
        world.join_peer(2, &Offer::publisher());
        join(&mut world, &mut first, VIEWER, SECOND);
        let mut second = Studio::new(&world, 2, &[H264]);
        second.video_mut().obeys = obeys;
        let mut both = |world: &mut World, time| {
            world.run(time, |w| {
                first.step(w);
                second.step(w);
            });
        };
        both(&mut world, SECOND * 3);
        let (before, changed) = (world.peers[&VIEWER].media.len(), world.now);
        world.attach(VIEWER, 2);
        both(&mut world, SECOND);
        let (peer, began) = (&world.peers[&VIEWER], second.began);
        let pictures = peer.media[before..].iter().filter(|p| p.payload.len() > 50);
        let got: Vec<(Duration, Duration)> =
            pictures.map(|p| (p.at - began, captured(&p.payload))).collect();
        let old = got.iter().filter(|(at, captured)| *at - *captured > SECOND / 4).count();
        assert_eq!(old == 0, obeys, "{old} of {} packets are old", got.len());
        let wait = got[0].0 - (changed - began);
        assert!(wait < SECOND / 4, "{wait:?} until the first picture");
    }
}
