//! Lost packets come again: by RTX with the number they had (RFC 4588), or without RTX as the very
//! same datagram.

use super::*;
use crate::test::peer::Offer;
use crate::test::studio::{SETS, SPROP};

/// A publisher, a viewer of this kind, both up, nothing sent yet.
fn pair(publisher: &Offer, viewer: &Offer, contents: &[Content]) -> (World, Studio) {
    let mut world = World::new();
    world.join_peer(PUBLISHER, publisher);
    world.connect();
    world.join_peer(VIEWER, viewer);
    world.attach(VIEWER, PUBLISHER);
    world.connect();
    let studio = Studio::new(&world, PUBLISHER, contents);
    (world, studio)
}

fn without_rtx() -> Offer {
    Offer { rtx: false, ..Offer::viewer(VIEWER) }
}

#[test]
fn under_loss_every_packet_comes_by_rtx_with_its_own_number() {
    for loss_percent in [1, 5, 20] {
        let contents = [Content::Opus, Content::H264 { sets: true }];
        let (mut world, mut studio) = pair(&Offer::publisher(), &Offer::viewer(VIEWER), &contents);
        play(&mut world, &mut studio, SECOND);
        world.weather = Weather { loss_percent, outbound_only: true, ..Weather::default() };
        play(&mut world, &mut studio, SECOND * 3);
        world.weather = Weather::default();
        play(&mut world, &mut studio, SECOND);
        world.run(SECOND, |_| {});
        let peer = &world.peers[&VIEWER];
        let video = peer.stream(peer.video());
        assert_all(&video, &studio.streams[1].sent);
        let again: Vec<&Packet> = peer.media.iter().filter(|p| p.ssrc == peer.rtx()).collect();
        assert!(again.len() as u64 >= loss_percent * 2 - 1, "{} retransmissions", again.len());
        let first = peer.media.iter().find(|p| p.ssrc == peer.video()).expect("video");
        for packet in &again {
            assert_eq!(packet.pt, first.pt + 1);
            let original = packet.original.expect("a number");
            let whose = video.values().find(|p| p.seq == original || p.original == Some(original));
            let whose = whose.expect("a packet of that number");
            assert!(whose.payload == packet.payload);
            assert_eq!((whose.timestamp, whose.marker), (packet.timestamp, packet.marker));
        }
        // Numbers of their own, each once.
        let mut seqs: Vec<u64> = again.iter().map(|p| p.seq).collect();
        seqs.sort_unstable();
        assert!(seqs.windows(2).all(|w| w[0] < w[1]));
        // Transport-wide numbers are used once, by whichever stream.
        let mut numbers: Vec<u16> = peer.media.iter().filter_map(|p| p.transport_cc).collect();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all);
        assert_eq!(peer.broken, 0);
    }
}

/// Each number that went out more than once, and that it was the same datagram each time.
fn copies(peer: &crate::test::peer::Peer) -> BTreeMap<(u32, u64), usize> {
    let mut seen: BTreeMap<(u32, u64), (usize, &[u8])> = BTreeMap::new();
    for packet in &peer.media {
        let (count, wire) = seen.entry((packet.ssrc, packet.seq)).or_insert((0, &packet.wire));
        *count += 1;
        assert!(*wire == &packet.wire[..], "{} differs from what it was", packet.seq);
    }
    seen.retain(|_, (count, _)| *count > 1);
    seen.into_iter().map(|(key, (count, _))| (key, count)).collect()
}

#[test]
fn without_rtx_a_retransmission_is_the_same_datagram() {
    for content in [Content::H264 { sets: true }, Content::Vp8] {
        let contents = [Content::Opus, content];
        let (mut world, mut studio) = pair(&Offer::publisher(), &without_rtx(), &contents);
        play(&mut world, &mut studio, SECOND);
        world.weather = Weather {
            loss_percent: 10,
            outbound_only: true,
            jitter: SECOND / 100,
            ..Weather::default()
        };
        play(&mut world, &mut studio, SECOND);
        // Asked for again though they came, both of audio and video.
        world.run(SECOND, |w| {
            studio.step(w);
            if !w.now.saturating_duration_since(studio.began).subsec_millis().is_multiple_of(20) {
                return;
            }
            let peer = w.peer(VIEWER);
            for ssrc in [peer.audio(), peer.video()] {
                let last = peer.stream(ssrc).keys().next_back().map_or(0, |seq| *seq as u16);
                peer.nack(ssrc, &[last.wrapping_sub(40), last.wrapping_sub(2), last]);
            }
        });
        world.weather = Weather::default();
        play(&mut world, &mut studio, SECOND);
        world.run(SECOND, |_| {});
        let peer = &world.peers[&VIEWER];
        assert_all(&peer.stream(peer.video()), &studio.streams[1].sent);
        let copies = copies(peer);
        let of = |ssrc| copies.keys().filter(|(s, _)| *s == ssrc).count();
        assert!(of(peer.video()) > 30 && of(peer.audio()) > 30, "few copies: {}", copies.len());
        assert!(peer.media.iter().all(|p| p.transport_cc.is_none()), "a number that counts up");
        assert!(peer.media.iter().any(|p| p.wire[0] & 0x20 != 0), "none had padding");
    }
}

#[test]
fn packets_of_before_a_switch_come_again_too() {
    for rtx in [true, false] {
        let rids = ["q", "h"].map(rid).to_vec();
        let publisher = Offer { rids: rids.clone(), ..Offer::publisher() };
        let viewer = Offer { rtx, ..Offer::viewer(VIEWER) };
        let (mut world, mut studio) = pair(&publisher, &viewer, &[Content::Vp8; 2]);
        for (index, stream) in studio.streams.iter_mut().enumerate() {
            (stream.rid, stream.width) = (Some(rids[index]), 320 << index);
        }
        play(&mut world, &mut studio, SECOND * 2);
        world.run(SECOND / 50, |_| {});
        world.peer(VIEWER).answers = false;
        let peer = &world.peers[&VIEWER];
        let video = peer.video();
        let before: Vec<Packet> = peer.stream(video).into_values().rev().take(8).cloned().collect();
        for layer in [rids[0], rids[1], rids[0]] {
            let (viewer, layer) = (World::id(VIEWER), Wanted::Encoding(layer));
            world.command(Command::SetLayer { viewer, layer });
            play(&mut world, &mut studio, SECOND / 2);
            let came = world.peers[&VIEWER].media.len();
            let seqs: Vec<u16> = before.iter().map(|p| p.seq as u16).collect();
            world.peer(VIEWER).nack(video, &seqs);
            world.run(SECOND / 50, |_| {});
            let peer = &world.peers[&VIEWER];
            for packet in &before {
                let same = peer.media[came..].iter().find(|p| {
                    p.original == Some(packet.seq) || (p.ssrc, p.seq) == (video, packet.seq)
                });
                let same = same.expect("an answer");
                assert!(same.payload == packet.payload && same.timestamp == packet.timestamp);
                assert!(rtx || same.wire == packet.wire);
            }
        }
        payloads(&world.peers[&VIEWER].stream(video));
    }
}

#[test]
fn parameter_sets_that_only_the_offer_has_come_first_and_again() {
    for rtx in [true, false] {
        let publisher = Offer { fmtp: SPROP.into(), ..Offer::publisher() };
        let viewer = Offer { rtx, ..Offer::viewer(VIEWER) };
        let (mut world, mut studio) = pair(&publisher, &viewer, &[Content::H264 { sets: false }]);
        studio.video_mut().gop = 30;
        play(&mut world, &mut studio, SECOND * 4);
        let peer = world.peer(VIEWER);
        let video = peer.video();
        let first = peer.stream(video).into_values().next().expect("video").clone();
        assert_eq!(first.payload, SETS);
        let second = peer.stream(video).into_values().nth(1).expect("video").clone();
        assert_eq!(second.payload[..2], [0x7c, 0x85], "then the keyframe");
        assert_eq!(first.timestamp, second.timestamp);
        assert_eq!((second.seq, first.marker), (first.seq + 1, false));
        peer.nack(video, &[first.seq as u16, second.seq as u16]);
        world.run(SECOND / 50, |_| {});
        let again = &world.peers[&VIEWER].media[world.peers[&VIEWER].media.len() - 2..];
        for (again, was) in again.iter().zip([&first, &second]) {
            assert_eq!(again.payload, was.payload);
            assert_eq!(again.original, rtx.then_some(was.seq));
            assert!(rtx || again.wire == was.wire);
        }
        payloads(&world.peers[&VIEWER].stream(video));
    }
}

/// A packet that came late to the server goes out late, once, and can be repaired.
#[test]
fn what_came_late_goes_out_late() {
    let contents = [Content::H264 { sets: true }];
    let (mut world, mut studio) = pair(&Offer::publisher(), &without_rtx(), &contents);
    play(&mut world, &mut studio, SECOND);
    world.weather = Weather { jitter: SECOND / 20, loss_percent: 5, ..Weather::default() };
    // Loss on the way in stays: this publisher repairs nothing.
    play(&mut world, &mut studio, SECOND * 3);
    world.weather = Weather::default();
    play(&mut world, &mut studio, SECOND);
    world.run(SECOND / 2, |_| {});
    let peer = &world.peers[&VIEWER];
    copies(peer);
    let lost = world.encodings(PUBLISHER)[0].lost;
    let got = peer.stream(peer.video());
    assert_eq!(got.len() as u64 + lost, studio.video().sent.len() as u64);
    let seqs: Vec<u64> = got.keys().copied().collect();
    let holes: u64 = seqs.windows(2).map(|w| w[1] - w[0] - 1).sum();
    assert!(holes <= lost && lost > 0, "{holes} holes for {lost} lost");
}
