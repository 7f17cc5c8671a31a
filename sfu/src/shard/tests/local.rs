//! Publishers whose packets are made in this server, bridged encodings beside a publisher's own, and taps.

use media::{Activity, Kind};

use super::*;
use crate::local::{MAX_PAYLOAD, Made};
use crate::shard::{Add, TapId};
use crate::stats::Origin;
use crate::test::maker::Maker;
use crate::test::peer::Offer;
use crate::test::studio::captured;

const MS: Duration = Duration::from_millis(1);

/// On air, with sound and pictures.
fn on_air(shards: usize) -> (World, [Maker; 2]) {
    let mut world = World::with_shards(shards);
    world.local(PUBLISHER);
    let makers = [Codec::Opus, Codec::H264].map(|codec| Maker::new(&world, PUBLISHER, codec));
    (world, makers)
}

fn make(world: &mut World, makers: &mut [Maker], time: Duration) {
    world.run(time, |w| makers.iter_mut().for_each(|maker| maker.step(w)));
}

/// A viewer that takes these video codecs.
fn viewer(world: &mut World, number: u32, codecs: &[Codec]) {
    world.viewer(number, codecs);
    world.attach(number, PUBLISHER);
}

fn said_of_it(world: &World) -> Vec<Activity> {
    let said = |event: &Event| match event {
        Event::Activity { session, activity } if *session == World::id(PUBLISHER) => {
            Some(*activity)
        }
        _ => None,
    };
    world.events.iter().filter_map(said).collect()
}

/// Payload types that this viewer got, in the order of their first packets since the last call.
fn kinds(world: &mut World, viewer: u32) -> Vec<u8> {
    let received = std::mem::take(&mut world.client(viewer).received);
    let mut seen: Vec<u8> = Vec::new();
    received.iter().for_each(|r| {
        if !seen.contains(&r.pt) {
            seen.push(r.pt);
        }
    });
    seen.sort_unstable();
    seen
}

fn unbridge(world: &mut World, kind: Kind, name: &str) {
    let publisher = World::id(PUBLISHER);
    world.command(Command::Unbridge { publisher, kind, encoding: rid(name) });
}

#[test]
fn it_is_connected_at_once_and_seen_bit_for_bit_on_every_shard() {
    for shards in 1..=3 {
        let (mut world, mut makers) = on_air(shards);
        let session = World::id(PUBLISHER);
        assert_eq!(world.events, [Event::Connected(session)]);
        assert_eq!(world.directory.home(session), Some(PUBLISHER as usize % shards));
        for viewer in VIEWER..VIEWER + 3 {
            world.watch(viewer, PUBLISHER);
        }
        world.connect();
        makers.iter_mut().for_each(|m| m.begin(world.now));
        make(&mut world, &mut makers, SECOND * 2);
        world.run(SECOND / 10, |_| {});
        for viewer in VIEWER..VIEWER + 3 {
            let peer = &world.peers[&viewer];
            assert_all(&peer.stream(peer.audio()), &makers[0].sent);
            assert_all(&peer.stream(peer.video()), &makers[1].sent);
        }
        let started = |codec| Event::MediaStarted { session, codec };
        for event in [started(Codec::Opus), started(Codec::H264)] {
            assert_eq!(world.events.iter().filter(|e| **e == event).count(), 1);
        }
        assert_eq!(said_of_it(&world), [Activity::Media]);
        let encodings = world.encodings(PUBLISHER);
        assert!(encodings.iter().all(|e| e.origin == Origin::Source && e.lost == 0));
    }
}

#[test]
fn a_second_one_of_the_same_name_changes_nothing() {
    let (mut world, mut makers) = on_air(2);
    make(&mut world, &mut makers, SECOND / 2);
    let before = world.encodings(PUBLISHER).len();
    world.command(Command::Add(Box::new(Add::local(World::id(PUBLISHER)))));
    assert_eq!(world.encodings(PUBLISHER).len(), before);
    assert_eq!(world.len(), (1, 0, 0));
    world.command(Command::Remove(World::id(PUBLISHER)));
    assert_eq!(world.len(), (0, 0, 0));
}

/// For the first who watches, packets are made of what was kept.
#[test]
fn what_was_kept_has_its_bitrate_at_once_and_goes_out_paced() {
    let (mut world, mut makers) = on_air(1);
    world.watch(VIEWER, PUBLISHER);
    world.connect();
    let maker = &mut makers[1];
    maker.begin(world.now);
    world.run(SECOND * 4, |_| {});
    maker.kept = true;
    maker.step(&mut world);
    maker.kept = false;
    world.run(MS, |_| {});
    let bits = 8 * maker.sent.iter().map(|sent| sent.payload.len() as u64).sum::<u64>();
    let found = world.encodings(PUBLISHER)[0].bitrate_bps;
    assert!(found.abs_diff(bits / 4) < bits / 40, "{found} of {}", bits / 4);
    let got = |world: &World| world.peers[&VIEWER].stream(world.peers[&VIEWER].video()).len();
    assert!(got(&world) < maker.sent.len() / 2, "not all at once");
    make(&mut world, &mut makers[1..], SECOND * 2);
    world.run(SECOND / 10, |_| {});
    let peer = &world.peers[&VIEWER];
    assert_all(&peer.stream(peer.video()), &makers[1].sent);
}

/// Pictures come up to a quarter of a second late, sound at once; only what says when it was captured is
/// in step then.
#[test]
fn capture_times_that_are_known_are_kept_exactly() {
    let off = |exact| {
        let (mut world, mut makers) = on_air(1);
        makers[1].latency = |frame| Duration::from_millis(150 + frame * 37 % 100);
        makers[1].gop = 30;
        makers.iter_mut().for_each(|maker| maker.exact = exact);
        world.watch(VIEWER, PUBLISHER);
        world.connect();
        make(&mut world, &mut makers, SECOND * 4);
        lips::apart(&world.peers[&VIEWER], makers[0].began, 1.0, 3.5)
    };
    let (known, guessed) = (off(true), off(false));
    assert!(known < 0.001, "{:.3} ms apart", known * 1e3);
    assert!(guessed > 0.1, "the measure does not see {:.3} ms", guessed * 1e3);
}

#[test]
fn who_joins_between_keyframes_begins_with_the_ring() {
    let (mut world, mut makers) = on_air(2);
    make(&mut world, &mut makers, SECOND * 3);
    for viewer in [VIEWER, VIEWER + 1] {
        let began = world.now;
        world.watch(viewer, PUBLISHER);
        make(&mut world, &mut makers, SECOND * 2);
        world.run(SECOND / 10, |_| {});
        let peer = &world.peers[&viewer];
        let video = peer.stream(peer.video());
        assert_all(&video, &makers[1].sent);
        let first = video.values().next().expect("a picture").at - began;
        assert!(first < 60 * MS, "{first:?}");
    }
}

#[test]
fn keyframes_are_asked_for_by_event_as_rarely_as_by_pli() {
    let (mut world, mut makers) = on_air(1);
    // It begins in the middle of a group of pictures.
    makers[1].keyframe = false;
    for viewer in VIEWER..VIEWER + 20 {
        world.watch(viewer, PUBLISHER);
    }
    make(&mut world, &mut makers, SECOND * 2);
    let wanted = Event::KeyframeWanted {
        session: World::id(PUBLISHER),
        encoding: EncodingId::MAIN,
        origin: Origin::Source,
    };
    let times = world.events.iter().filter(|e| **e == wanted).count();
    assert!((3..=5).contains(&times), "{times} times in two seconds");
    makers[1].keyframe = true;
    make(&mut world, &mut makers, SECOND / 10);
    world.events.clear();
    make(&mut world, &mut makers, SECOND);
    assert!(!world.events.contains(&wanted), "there is one");
    let peer = &world.peers[&VIEWER];
    assert!(peer.stream(peer.video()).len() > 90);
}

#[test]
fn silence_and_return_are_said_as_of_any_publisher() {
    let (mut world, mut makers) = on_air(1);
    make(&mut world, &mut makers, SECOND);
    world.run(250 * MS, |_| {});
    assert_eq!(said_of_it(&world), [Activity::Media], "that is no pause");
    world.run(120 * MS, |_| {});
    assert_eq!(said_of_it(&world), [Activity::Media, Activity::Quiet]);
    world.run(1200 * MS, |_| {});
    assert_eq!(said_of_it(&world)[2..], [Activity::Silent]);
    makers.iter_mut().for_each(|m| m.begin(world.now));
    make(&mut world, &mut makers, SECOND);
    assert_eq!(said_of_it(&world)[3..], [Activity::Media]);
    world.run(SECOND * 9, |_| {});
    assert!(!world.encodings(PUBLISHER).is_empty(), "too early");
    world.run(SECOND, |_| {});
    let closed = Event::Closed { session: World::id(PUBLISHER), reason: Closed::Silent };
    assert!(world.events.contains(&closed));
    assert_eq!(world.len(), (0, 0, 0));
}

#[test]
fn what_is_heard_of_it_without_packets_is_life_and_may_be_media() {
    for media in [false, true] {
        let (mut world, _) = on_air(1);
        let publisher = World::id(PUBLISHER);
        for _ in 0..150 {
            world.command(Command::Heard { publisher, media, held: false });
            world.run(100 * MS, |_| {});
        }
        let expected: &[Activity] = if media { &[Activity::Media] } else { &[] };
        assert_eq!(said_of_it(&world), expected);
        world.run(SECOND / 2, |_| {});
        assert_eq!(said_of_it(&world).last() == Some(&Activity::Quiet), media);
    }
}

#[test]
fn bridged_encodings_are_for_those_who_cannot_take_the_publishers_own() {
    let (mut world, mut makers) = on_air(2);
    viewer(&mut world, VIEWER, &[Codec::H264, Codec::Vp8]);
    viewer(&mut world, VIEWER + 1, &[Codec::Vp8]);
    world.connect();
    makers.iter_mut().for_each(|m| m.begin(world.now));
    make(&mut world, &mut makers, SECOND);
    assert_eq!(kinds(&mut world, VIEWER), [96, 111]);
    assert_eq!(kinds(&mut world, VIEWER + 1), [111]);
    let missing = |w: &World| w.snapshot(VIEWER + 1).expect("there").missing;
    assert_eq!(missing(&world), Some(Codec::H264));

    let [sound, picture] = makers;
    let vp8 = Maker::bridge(&world, PUBLISHER, Codec::Vp8);
    let mut all = [sound, picture, vp8];
    let events = world.events.len();
    make(&mut world, &mut all, SECOND);
    assert_eq!(kinds(&mut world, VIEWER), [96, 111], "its own goes on");
    assert_eq!(kinds(&mut world, VIEWER + 1), [98, 111]);
    assert_eq!(missing(&world), None);
    let shown = world.snapshot(VIEWER + 1).expect("there").layer;
    assert_eq!(shown, Some(rid("vp8")));
    let media = |e: &Event| matches!(e, Event::MediaStarted { .. } | Event::Activity { .. });
    assert!(!world.events[events..].iter().any(media), "the publisher has begun nothing");
    let encodings = world.encodings(PUBLISHER);
    let bridged = encodings.iter().find(|e| e.id == rid("vp8")).expect("it is told");
    assert_eq!((bridged.origin.name(), bridged.lost), ("bridge", 0));
    let intake: Vec<_> =
        world.shards.iter().filter_map(|s| s.intake(World::id(PUBLISHER))).collect();
    let own = all[0].sent.len() + all[1].sent.len();
    assert_eq!(intake[0].packets, own as u64, "what it sends itself");

    unbridge(&mut world, Kind::Video, "vp8");
    world.run(SECOND / 10, |_| {});
    kinds(&mut world, VIEWER + 1);
    // What the bridge still had on its way does not bring it back, a new one does.
    make(&mut world, &mut all, SECOND);
    assert_eq!(kinds(&mut world, VIEWER + 1), [111]);
    assert_eq!(missing(&world), Some(Codec::H264));
    assert!(world.encodings(PUBLISHER).iter().all(|e| e.origin == Origin::Source));
    (all[2].source, all[2].keyframe) = (101, true);
    make(&mut world, &mut all, SECOND);
    assert_eq!(kinds(&mut world, VIEWER + 1), [98, 111]);
    assert_eq!(kinds(&mut world, VIEWER), [96, 111]);
}

#[test]
fn without_b_frames_stands_in_for_with_b_frames() {
    let (mut world, mut makers) = on_air(1);
    viewer(&mut world, VIEWER, &[Codec::H264]);
    world.connect();
    makers.iter_mut().for_each(|m| m.begin(world.now));
    make(&mut world, &mut makers, SECOND);
    let layer = |w: &World| w.snapshot(VIEWER).expect("there").layer;
    assert_eq!(layer(&world), Some(EncodingId::MAIN));
    let [sound, picture] = makers;
    let bridge = Maker::bridge(&world, PUBLISHER, Codec::H264);
    let mut all = [sound, picture, bridge];
    make(&mut world, &mut all, SECOND);
    assert_eq!(layer(&world), Some(rid("h264")));
    unbridge(&mut world, Kind::Video, "h264");
    all[1].keyframe = true;
    make(&mut world, &mut all[..2], SECOND);
    assert_eq!(layer(&world), Some(EncodingId::MAIN));
    assert_continuous(&world.clients[&VIEWER].received);
}

/// The publisher's sound is AAC, of which nothing comes here.
#[test]
fn sound_may_be_bridged_alone() {
    let (mut world, makers) = on_air(1);
    let [_, picture] = makers;
    let opus = Maker::bridge(&world, PUBLISHER, Codec::Opus);
    let mut all = [picture, opus];
    world.watch(VIEWER, PUBLISHER);
    world.connect();
    all.iter_mut().for_each(|m| m.begin(world.now));
    make(&mut world, &mut all, SECOND);
    world.run(SECOND / 10, |_| {});
    let peer = &world.peers[&VIEWER];
    assert_all(&peer.stream(peer.audio()), &all[1].sent);
    assert_all(&peer.stream(peer.video()), &all[0].sent);
    unbridge(&mut world, Kind::Audio, "opus");
    make(&mut world, &mut all[..1], SECOND);
    all[1].source += 1;
    make(&mut world, &mut all, SECOND);
    let peer = &world.peers[&VIEWER];
    let audio = payloads(&peer.stream(peer.audio()));
    assert!(captured(audio.last().expect("sound")) > SECOND * 2, "it came back");
}

#[test]
fn one_kind_of_silence_is_not_the_others() {
    let (mut world, makers) = on_air(1);
    let [_, picture] = makers;
    let mut all = [picture, Maker::bridge(&world, PUBLISHER, Codec::Vp8)];
    make(&mut world, &mut all, SECOND);
    let active =
        |w: &World| w.encodings(PUBLISHER).iter().map(|e| (e.origin, e.active)).collect::<Vec<_>>();
    let both = [(Origin::Source, true), (Origin::Bridge, true)];
    make(&mut world, &mut all[..1], SECOND * 3);
    assert_eq!(active(&world), both, "the bridge stumbles");
    // Ten pictures of a bridge are no sign of life of the publisher.
    make(&mut world, &mut all[1..], SECOND * 3);
    assert_eq!(active(&world), both);
    assert_eq!(said_of_it(&world), [Activity::Media, Activity::Quiet, Activity::Silent]);
    make(&mut world, &mut all[..1], SECOND * 9);
    assert_eq!(active(&world), both);
    make(&mut world, &mut all[..1], SECOND * 2);
    assert_eq!(active(&world), both[..1], "nobody feeds it any more");
}

#[test]
fn a_publisher_by_whip_is_bridged_too_and_lives_by_itself() {
    let mut world = World::new();
    world.publisher(PUBLISHER, &[]);
    viewer(&mut world, VIEWER, &[Codec::H264]);
    viewer(&mut world, VIEWER + 1, &[Codec::Vp8]);
    world.connect();
    let mut camera = Camera::new(&world, PUBLISHER, Codec::Vp8, &[(None, 640)]);
    let mut bridge = Maker::bridge(&world, PUBLISHER, Codec::H264);
    let wanted = Event::KeyframeWanted {
        session: World::id(PUBLISHER),
        encoding: rid("h264"),
        origin: Origin::Bridge,
    };
    bridge.keyframe = false;
    world.run(SECOND, |w| {
        camera.shoot(w);
        bridge.keyframe |= w.events.contains(&wanted);
        bridge.step(w);
    });
    assert!(world.events.contains(&wanted));
    assert_eq!(kinds(&mut world, VIEWER), [96]);
    assert_eq!(kinds(&mut world, VIEWER + 1), [98]);
    let started = |e: &&Event| matches!(e, Event::MediaStarted { .. });
    assert_eq!(world.events.iter().filter(started).count(), 1);
    // It may not be spoken for.
    let mut fake = Maker::new(&world, PUBLISHER, Codec::Opus);
    make(&mut world, std::slice::from_mut(&mut fake), SECOND / 10);
    assert!(world.encodings(PUBLISHER).iter().all(|e| e.kind == Kind::Video));
    assert!(world.totals().drops.get(Drop::UnknownPayload) > 0);
    world.clients.remove(&PUBLISHER);
    make(&mut world, std::slice::from_mut(&mut bridge), SECOND * 11);
    let closed = Event::Closed { session: World::id(PUBLISHER), reason: Closed::Silent };
    assert!(world.events.contains(&closed), "a bridge keeps nobody alive");
}

#[test]
fn another_source_or_codec_goes_on_in_the_same_session() {
    let (mut world, mut makers) = on_air(1);
    world.watch(VIEWER, PUBLISHER);
    world.connect();
    makers.iter_mut().for_each(|m| m.begin(world.now));
    make(&mut world, &mut makers, SECOND);
    // Its encoder begins anew: other timestamps.
    for maker in &mut makers {
        maker.source += 1;
        maker.timestamp = maker.timestamp.wrapping_add(0x7123_4567);
        maker.keyframe = true;
    }
    make(&mut world, &mut makers, SECOND);
    makers[1].codec = Codec::Vp8;
    makers[1].keyframe = true;
    make(&mut world, &mut makers, SECOND);
    world.run(SECOND / 10, |_| {});
    let peer = &world.peers[&VIEWER];
    for (ssrc, maker) in [(peer.audio(), &makers[0]), (peer.video(), &makers[1])] {
        let got = peer.stream(ssrc);
        assert_all(&got, &maker.sent);
        let times: Vec<u32> = got.values().map(|p| p.timestamp).collect();
        let steps = times.windows(2).map(|w| w[1].wrapping_sub(w[0]).cast_signed());
        assert!(steps.into_iter().all(|step| (0..9000).contains(&step)), "time jumps");
    }
    let started = |codec| Event::MediaStarted { session: World::id(PUBLISHER), codec };
    assert!(world.events.contains(&started(Codec::Vp8)));
}

#[test]
fn the_profile_in_band_decides_under_which_payload_type_a_viewer_gets_it() {
    let (mut world, mut makers) = on_air(1);
    make(&mut world, &mut makers, SECOND / 10);
    let feed = world.shards[0].feeds.get(&World::id(PUBLISHER)).expect("it lives there");
    let video = feed.encodings.iter().find(|e| e.info.kind == Kind::Video).expect("pictures");
    assert_eq!(video.info.payload.parameter("profile-level-id"), Some("42e01f"));
    assert_eq!(video.info.generation, 0);
}

#[test]
fn a_tap_gets_the_ring_and_then_everything_but_what_is_bridged() {
    let (mut world, mut makers) = on_air(1);
    let (publisher, tap) = (World::id(PUBLISHER), TapId(7));
    makers[1].gop = 45;
    make(&mut world, &mut makers, SECOND * 2);
    let now = world.now;
    assert!(world.shards[0].tap(now, publisher, tap));
    assert!(!world.shards[0].tap(now, World::id(2), tap), "nobody");
    let [sound, picture] = makers;
    let bridge = Maker::bridge(&world, PUBLISHER, Codec::Vp8);
    let mut all = [sound, picture, bridge];
    make(&mut world, &mut all, SECOND);
    let tapped = std::mem::take(&mut world.tapped);
    assert!(tapped.iter().all(|(id, batch)| *id == tap && batch.is_some()));
    let batches: Vec<_> = tapped.iter().filter_map(|(_, batch)| batch.as_ref()).collect();
    let first = batches[0].encodings.as_ref().expect("what there is comes first");
    assert_eq!(first.iter().map(|e| e.id).collect::<Vec<_>>(), [EncodingId::MAIN; 2]);
    for (kind, maker) in [(Kind::Audio, &all[0]), (Kind::Video, &all[1])] {
        let got = batches.iter().flat_map(|b| &b.packets).filter(|p| p.kind == kind);
        let got: Vec<_> = got.map(|p| p.rtp.payload.to_vec()).collect();
        let from = maker.sent.len() - got.len();
        assert!(got.iter().eq(maker.sent[from..].iter().map(|s| &s.payload)), "{kind:?}");
        // The newest keyframe was half a second old, and sound begins with it.
        let since = captured(&got[1]);
        assert!((SECOND * 7 / 5..SECOND * 8 / 5).contains(&since), "{kind:?} since {since:?}");
        assert!(kind == Kind::Audio || maker.sent[from].key);
    }
    world.shards[0].untap(publisher, tap);
    make(&mut world, &mut all, SECOND / 10);
    assert!(world.tapped.is_empty());
    assert!(world.shards[0].tap(now, publisher, TapId(8)));
    world.command(Command::Remove(publisher));
    let last = world.tapped.last().map(|(id, batch)| (*id, batch.is_none()));
    assert_eq!(last, Some((TapId(8), true)), "it hears of the end");
}

#[test]
fn a_tap_that_finds_no_keyframe_asks_for_one() {
    let mut world = World::new();
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    let content = Content::H264 { sets: true };
    let mut studio = Studio::new(&world, PUBLISHER, &[content]);
    play(&mut world, &mut studio, SECOND * 14);
    assert_eq!(studio.video().keyframes, 1, "long gone from the ring");
    let now = world.now;
    assert!(world.shards[0].tap(now, World::id(PUBLISHER), TapId(1)));
    play(&mut world, &mut studio, SECOND / 2);
    assert_eq!(studio.video().keyframes, 2);
    let encoding = EncodingId::MAIN;
    world.command(Command::WantKeyframe { publisher: World::id(PUBLISHER), encoding });
    play(&mut world, &mut studio, SECOND / 2);
    assert_eq!(studio.video().keyframes, 3);
}

#[test]
fn what_makes_no_sense_is_counted_and_harms_nobody() {
    let (mut world, mut makers) = on_air(2);
    world.watch(VIEWER, PUBLISHER);
    world.connect();
    makers.iter_mut().for_each(|m| m.begin(world.now));
    let good = |codec| crate::local::Packet {
        encoding: EncodingId::MAIN,
        codec,
        timestamp: 1,
        marker: false,
        payload: [0x41, 0x9a, 0x55].as_slice().into(),
        captured: None,
        arrived: None,
    };
    let send = |w: &mut World, number: u32, packet: crate::local::Packet| {
        let packets = vec![packet; 3];
        let (publisher, origin) = (World::id(number), Origin::Source);
        w.command(Command::Media(Box::new(Made { publisher, origin, source: 1, packets })));
    };
    let mut dropped = 0;
    let mut counted = |w: &mut World, reason, what: &str| {
        w.run(MS, |_| {});
        let drops = w.totals().drops;
        let sum: u64 = drops.iter().map(|(_, count)| count).sum();
        assert_eq!(sum - dropped, 3, "{what}");
        assert!(drops.get(reason) > 0, "{what}");
        dropped = sum;
    };
    send(&mut world, 99, good(Codec::H264));
    counted(&mut world, Drop::UnknownSource, "nobody");
    send(&mut world, VIEWER, good(Codec::H264));
    counted(&mut world, Drop::UnknownPayload, "a viewer");
    send(&mut world, PUBLISHER, good(Codec::Aac));
    counted(&mut world, Drop::UnknownPayload, "a codec without RTP");
    for payload in [Vec::new(), vec![0x41; MAX_PAYLOAD + 1]] {
        let packet = crate::local::Packet { payload: payload.into(), ..good(Codec::H264) };
        send(&mut world, PUBLISHER, packet);
        counted(&mut world, Drop::RtpUnusable, "empty or too long");
    }
    unbridge(&mut world, Kind::Video, "h264");
    for number in 0..40 {
        let name = format!("t{number}");
        let encoding = EncodingId::new(&name).expect("a valid id");
        send(&mut world, PUBLISHER, crate::local::Packet { encoding, ..good(Codec::H264) });
    }
    assert_eq!(world.encodings(PUBLISHER).len(), 16, "and no more");

    world.command(Command::Remove(World::id(PUBLISHER)));
    world.command(Command::Heard { publisher: World::id(PUBLISHER), media: true, held: false });
    let before = world.totals().drops.get(Drop::UnknownSource);
    make(&mut world, &mut makers, SECOND / 10);
    assert!(world.totals().drops.get(Drop::UnknownSource) > before, "it is gone");
    assert!(world.peers[&VIEWER].media.is_empty());
}
