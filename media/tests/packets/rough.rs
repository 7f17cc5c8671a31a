//! There and back by our own hands: reordering, loss, senders without markers, and bytes that mean harm.

use media::depacketize::{Depacketizer, Dropped, Frame, Output};
use media::packetize::Packetizer;
use media::{AccessUnit, Codec, RtpPacket};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::*;

type Pictures = Vec<(bool, Vec<Vec<u8>>)>;

/// The units of a stream, and its packets.
fn stream(codec: Codec, pictures: &Pictures, mtu: usize) -> (Vec<AccessUnit>, Vec<RtpPacket>) {
    let mut packetizer = Packetizer::new(codec, mtu);
    let units: Vec<_> = pictures.iter().map(|(key, bodies)| unit(codec, *key, bodies)).collect();
    let frames: Vec<_> = units.iter().map(|u| payloads(&mut packetizer, codec, u)).collect();
    (units, packets(codec, &frames))
}

/// What comes out: how many formats, and the frames.
fn read(codec: Codec, packets: &[RtpPacket]) -> (usize, Vec<Frame>, Depacketizer) {
    let mut depacketizer = Depacketizer::new(codec);
    let mut out = Vec::new();
    for packet in packets {
        depacketizer.push(packet, &mut out);
    }
    let mut formats = 0;
    let mut frames = Vec::new();
    for output in out {
        match output {
            Output::Format(read) => {
                assert_eq!(read, format(codec));
                formats += 1;
            }
            Output::Frame(frame) => frames.push(frame),
        }
    }
    (formats, frames, depacketizer)
}

/// Those of all packets that survive, a frame being as good as its number.
fn number(frame: &Frame) -> u32 {
    frame.timestamp.wrapping_add(9000) / 3000
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn reordered_packets_become_the_same_units(
        codec in codec(),
        pictures in pictures(),
        mtu in 100..1400usize,
        late in vec(0..60u64, 1..50),
        twice in vec(any::<bool>(), 1..20),
        markers: bool,
    ) {
        let (mut units, mut packets) = stream(codec, &pictures, mtu);
        if !markers {
            // The last frame then waits for one more.
            packets.iter_mut().for_each(|p| p.marker = false);
            if codec != Codec::Opus {
                units.pop();
            }
        }
        let first = packets.remove(0);
        let mut order: Vec<_> = packets.iter().zip(late.iter().cycle()).collect();
        order.sort_by_key(|(packet, late)| packet.seq + **late);
        let repeat = twice.iter().cycle().map(|twice| if *twice { 2 } else { 1 });
        let order = order.into_iter().zip(repeat);
        let order = order.flat_map(|((packet, _), times)| std::iter::repeat_n(packet.clone(), times));
        // They arrive in this order, whatever their numbers are.
        let arrivals = (0..).map(|i| first.arrival + std::time::Duration::from_millis(i));
        let order = std::iter::once(first.clone()).chain(order).zip(arrivals);
        let order: Vec<_> = order.map(|(p, arrival)| RtpPacket { arrival, ..p }).collect();

        let (formats, frames, depacketizer) = read(codec, &order);
        prop_assert_eq!(formats, usize::from(!units.is_empty()));
        prop_assert_eq!(frames.len(), units.len());
        for (i, (frame, unit)) in frames.iter().zip(&units).enumerate() {
            prop_assert_eq!((&frame.data, frame.keyframe), (&unit.data, unit.keyframe));
            prop_assert_eq!((number(frame), frame.gap), (i as u32, false));
        }
        for why in Dropped::ALL {
            prop_assert!(depacketizer.dropped(why) == 0 || why == Dropped::Late);
        }
    }

    #[test]
    fn after_loss_there_are_whole_frames_and_gaps_that_are_said(
        codec in codec(),
        pictures in pictures(),
        mtu in 100..1400usize,
        lost in vec(prop::bool::weighted(0.1), 1..400),
    ) {
        let (units, packets) = stream(codec, &pictures, mtu);
        let mut lost: Vec<_> = (0..packets.len()).map(|i| lost[i % lost.len()] && i > 0).collect();
        lost[packets.len() - 1] = false;
        // Parameter sets that are known are not missed.
        let whole = |number: usize| {
            let mut of = packets.iter().zip(&lost).filter(|(p, _)| p.timestamp == timestamp(number));
            of.all(|(p, lost)| !lost || sets_alone(codec, &p.payload))
        };
        let kept = packets.iter().zip(&lost).filter(|(_, lost)| !**lost).map(|(p, _)| p.clone());
        // One more, late enough for every hole to be given up.
        let mut last = packets[packets.len() - 1].clone();
        last.seq += 600;
        last.arrival += std::time::Duration::from_secs(1);
        last.payload = [].into();
        let kept: Vec<_> = kept.chain([last]).collect();

        let (_, frames, depacketizer) = read(codec, &kept);
        let mut next = 0;
        for frame in &frames {
            let number = number(frame) as usize;
            prop_assert!(whole(number), "frame {} lacks something", number);
            prop_assert_eq!((&frame.data, frame.keyframe), (&units[number].data, units[number].keyframe));
let sets_lost = packets.iter().zip(&lost).any(|(p, l)| *l && p.timestamp == frame.timestamp);
            let gap = next > 0 && (number != next || sets_lost);
            prop_assert_eq!(frame.gap, gap, "frame {}", number);
            next = number + 1;
        }
        let numbers: Vec<_> = frames.iter().map(|f| number(f) as usize).collect();
        for i in 0..units.len() {
            // Whole, nothing is missing between it and the frame before, and a format is known.
            let known = (0..=i).any(|before| units[before].keyframe && whole(before));
            let must = known && whole(i) && (i == 0 || whole(i - 1) || units[i].keyframe);
            prop_assert!(!must || numbers.contains(&i), "frame {} was whole", i);
        }
        let dropped = depacketizer.dropped(Dropped::Incomplete);
        prop_assert!((dropped > 0) || frames.len() + lost_whole(&packets, &lost, units.len()) == units.len());
    }

    #[test]
    fn any_packets_go_through_without_panic(
        codec in codec(),
        noise in vec((any::<u8>(), vec(any::<u8>(), 0..40), 0..30u64, 0..4u32, any::<bool>()), 1..80),
    ) {
        let start = epoch();
        let mut depacketizer = Depacketizer::new(codec);
        let mut out = Vec::new();
        for (i, (first, rest, seq, frame, marker)) in (0..).zip(noise) {
            let payload = [&likely(codec, first), &rest[..]].concat();
            let time = start + std::time::Duration::from_millis(i * 20);
            let packet = RtpPacket {
                time,
                seq: i / 2 + seq,
                timestamp: frame,
                marker,
                arrival: time,
                payload: payload.into(),
                info: media::payload::PayloadInfo::default(),
                extensions: media::rtp::Extensions::default(),
            };
            depacketizer.push(&packet, &mut out);
        }
        for output in &out {
            if let Output::Frame(frame) = output {
                prop_assert!(!frame.data.is_empty());
                if matches!(codec, Codec::H264 | Codec::H265) {
                    let mut units = media::nal::units(&frame.data);
                    prop_assert!(units.by_ref().count() > 0);
                    prop_assert!(units.rest().is_empty() && units.empty() == 0);
                }
            }
        }
    }
}

/// A payload with nothing but the parameter sets of the format.
fn sets_alone(codec: Codec, payload: &[u8]) -> bool {
    let (header, sets): (usize, &[&[u8]]) = match codec {
        Codec::H264 => (1, &[H264_SPS, H264_PPS]),
        Codec::H265 => (2, &[H265_VPS, H265_SPS, H265_PPS]),
        _ => return false,
    };
    let sets = sets.iter().flat_map(|set| [&[0, set.len() as u8], *set].concat());
    payload.get(header..).is_some_and(|body| sets.eq(body.iter().copied()))
}

fn timestamp(number: usize) -> u32 {
    (number as u32 * 3000).wrapping_sub(9000)
}

/// How many frames lost every packet, so that nobody can count them.
fn lost_whole(packets: &[RtpPacket], lost: &[bool], frames: usize) -> usize {
    let all_lost = |number: &usize| {
        let of = packets.iter().zip(lost).filter(|(p, _)| p.timestamp == timestamp(*number));
        of.into_iter().all(|(_, lost)| *lost)
    };
    (0..frames).filter(all_lost).count()
}

/// The first bytes of payloads that lead somewhere.
fn likely(codec: Codec, which: u8) -> Vec<u8> {
    let starts: &[&[u8]] = match codec {
        Codec::H264 => {
            &[H264_SPS, H264_PPS, &[0x65, 0x88], &[0x78, 0, 3], &[0x7c, 0x85], &[0x7c, 0x45]]
        }
        Codec::H265 => &[
            H265_VPS,
            H265_SPS,
            H265_PPS,
            &[0x26, 1, 0xa0],
            &[0x60, 1, 0, 3],
            &[0x62, 1, 0x93],
            &[0x62, 1, 0x53],
        ],
        Codec::Vp8 => {
            &[&[0x10, 0x50, 0xb1, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x62, 1], &[0x90, 0x80, 0x80], &[0]]
        }
        Codec::Vp9 => {
            &[&[0x0c, 0x82, 0x49, 0x83, 0x42, 0, 0x27, 0xf0, 0x16], &[0x08], &[0x04], &[0x2a, 2]]
        }
        Codec::Av1 => &[&[0x18, 0x0a, 3], &[0x58, 0x32], &[0x90], &[0xd0], &[0x20, 1], &[0x00, 5]],
        _ => &[&[]],
    };
    starts.get(usize::from(which) % (starts.len() + 1)).map(|s| s.to_vec()).unwrap_or_default()
}
