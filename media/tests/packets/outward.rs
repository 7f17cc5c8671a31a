//! What we packetize is read by an independent implementation, byte for byte.

use bytes::Bytes;
use media::packetize::{Packetizer, Payload, Skip};
use media::payload::inspect;
use media::{AccessUnit, Codec, nal};
use proptest::prelude::*;
use rtc_rtp::codec::{av1, h264, h265, vp8, vp9};
use rtc_rtp::packetizer::Depacketizer;

use crate::world::*;

/// What holds for the payloads of every codec.
fn well_formed(codec: Codec, unit: &AccessUnit, payloads: &[Payload], mtu: usize) {
    let most = if codec == Codec::Opus { 1276 } else { mtu };
    assert!(payloads.iter().all(|p| !p.bytes.is_empty() && p.bytes.len() <= most));
    let (last, others) = payloads.split_last().expect("a payload");
    assert!(others.iter().all(|p| !p.marker));
    assert_eq!(last.marker, codec != Codec::Opus);
    // A viewer's side sees where keyframes begin, and nowhere else.
    let info = inspect(codec, &payloads[0].bytes);
    assert_eq!(info.keyframe_start, unit.keyframe);
    assert_eq!(
        info.dimensions,
        format(codec).dimensions.filter(|_| unit.keyframe && codec != Codec::H265)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn h264(pictures in pictures(), mtu in 100..1400usize) {
        let mut ours = Packetizer::new(Codec::H264, mtu);
        let mut oracle = h264::H264Packet::default();
        oracle.is_avc = true;
        for (keyframe, bodies) in pictures {
            let unit = unit(Codec::H264, keyframe, &bodies);
            let payloads = payloads(&mut ours, Codec::H264, &unit);
            well_formed(Codec::H264, &unit, &payloads, mtu);
            let mut expected = Vec::new();
            for set in [H264_SPS, H264_PPS].into_iter().filter(|_| keyframe) {
                nal::append(&mut expected, set);
            }
            expected.extend_from_slice(&unit.data);
            let mut read = Vec::new();
            for payload in &payloads {
                read.extend(oracle.depacketize(&Bytes::copy_from_slice(&payload.bytes)).unwrap());
            }
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn h265(pictures in pictures(), mtu in 100..1400usize) {
        let mut ours = Packetizer::new(Codec::H265, mtu);
        for (keyframe, bodies) in pictures {
            let unit = unit(Codec::H265, keyframe, &bodies);
            let payloads = payloads(&mut ours, Codec::H265, &unit);
            well_formed(Codec::H265, &unit, &payloads, mtu);
            let sets = [H265_VPS, H265_SPS, H265_PPS].map(<[u8]>::to_vec);
            let sets = sets.into_iter().filter(|_| keyframe);
            let expected: Vec<_> = sets.chain(pieces(Codec::H265, keyframe, &bodies)).collect();
            prop_assert_eq!(read_h265(&payloads), expected);
        }
    }

    #[test]
    fn vp8(pictures in pictures(), mtu in 100..1400usize) {
        let mut ours = Packetizer::new(Codec::Vp8, mtu);
        for (id, (keyframe, bodies)) in (0..).zip(pictures) {
            let unit = unit(Codec::Vp8, keyframe, &bodies);
            let payloads = payloads(&mut ours, Codec::Vp8, &unit);
            well_formed(Codec::Vp8, &unit, &payloads, mtu);
            let mut read = Vec::new();
            for (i, payload) in payloads.iter().enumerate() {
                let mut oracle = vp8::Vp8Packet::default();
                read.extend(oracle.depacketize(&Bytes::copy_from_slice(&payload.bytes)).unwrap());
                prop_assert_eq!((oracle.picture_id, oracle.pid), (id, 0));
                prop_assert_eq!(oracle.s == 1, i == 0);
                prop_assert!(inspect(Codec::Vp8, &payload.bytes).ids.long);
            }
            prop_assert_eq!(&read, &unit.data);
        }
    }

    #[test]
    fn vp9(pictures in pictures(), mtu in 100..1400usize) {
        let mut ours = Packetizer::new(Codec::Vp9, mtu);
        for (id, (keyframe, bodies)) in (0..).zip(pictures) {
            let unit = unit(Codec::Vp9, keyframe, &bodies);
            let payloads = payloads(&mut ours, Codec::Vp9, &unit);
            well_formed(Codec::Vp9, &unit, &payloads, mtu);
            let mut read = Vec::new();
            for (i, payload) in payloads.iter().enumerate() {
                let mut oracle = vp9::Vp9Packet::default();
                read.extend(oracle.depacketize(&Bytes::copy_from_slice(&payload.bytes)).unwrap());
                prop_assert_eq!((oracle.picture_id, oracle.f, oracle.l), (id, false, false));
                prop_assert_eq!((oracle.b, oracle.e), (i == 0, i + 1 == payloads.len()));
                prop_assert_eq!(oracle.p, !keyframe);
                let sizes = if keyframe && i == 0 { vec![(640, 354)] } else { vec![] };
                let read: Vec<_> = oracle.width.into_iter().zip(oracle.height).collect();
                prop_assert_eq!(read, sizes);
            }
            prop_assert_eq!(&read, &unit.data);
        }
    }

    #[test]
    fn av1(pictures in pictures(), mtu in 100..1400usize) {
        let mut ours = Packetizer::new(Codec::Av1, mtu);
        let mut oracle = av1::Av1Depacketizer::new();
        for (keyframe, bodies) in pictures {
            let unit = unit(Codec::Av1, keyframe, &bodies);
            let payloads = payloads(&mut ours, Codec::Av1, &unit);
            well_formed(Codec::Av1, &unit, &payloads, mtu);
            let mut read = Vec::new();
            for (i, payload) in payloads.iter().enumerate() {
                read.extend(oracle.depacketize(&Bytes::copy_from_slice(&payload.bytes)).unwrap());
                prop_assert_eq!(oracle.n, keyframe && i == 0);
                // libwebrtc takes an end of a payload that is the end of an OBU for that of a frame.
                prop_assert_eq!(oracle.y, i + 1 < payloads.len());
            }
            prop_assert!(!oracle.y);
            prop_assert_eq!(&read, &unit.data);
        }
    }

    #[test]
    fn opus(packet in proptest::collection::vec(any::<u8>(), 1..1276)) {
        let mut ours = Packetizer::new(Codec::Opus, 100);
        let unit = AccessUnit { data: packet.into(), ..unit(Codec::Opus, true, &[vec![1]]) };
        let payloads = payloads(&mut ours, Codec::Opus, &unit);
        well_formed(Codec::Opus, &unit, &payloads, 100);
        prop_assert_eq!(&payloads[0].bytes[..], &unit.data);
    }

    #[test]
    fn one_large_unit_becomes_equal_pieces(codec in codec(), size in 1..60_000usize, mtu in 100..1400usize) {
        if codec == Codec::Opus {
            return Ok(());
        }
        let mut ours = Packetizer::new(codec, mtu);
        let unit = unit(codec, false, &[vec![0x55; size]]);
        let payloads = payloads(&mut ours, codec, &unit);
        let sizes: Vec<_> = payloads.iter().map(|p| p.bytes.len()).collect();
        let (last, others) = sizes.split_last().unwrap();
        prop_assert!(others.iter().all(|size| size == &sizes[0] && size >= last));
        // As few as can be: descriptors have at most five bytes, and AV1 reserves three for lengths.
        prop_assert!(sizes.len() <= (unit.data.len() + 3).div_ceil(mtu - 5), "{:?}", sizes);
    }

    #[test]
    fn any_unit_goes_through_without_panic(
        codec in codec(),
        keyframe: bool,
        config in proptest::collection::vec(any::<u8>(), 0..60),
        lengths in proptest::collection::vec(0..300usize, 0..6),
        noise in proptest::collection::vec(any::<u8>(), 1..2000),
        mtu in 0..300usize,
    ) {
        // Some units with right lengths, so that more than the first is read.
        let mut data = Vec::new();
        for length in lengths {
            nal::append(&mut data, &noise[..length.min(noise.len())]);
        }
        data.extend(&noise);
        let mut format = format(codec);
        format.config = [&[1][..], &config].concat().into();
        let unit = AccessUnit { keyframe, data: data.into(), ..unit(codec, true, &[vec![1]]) };
        let mut ours = Packetizer::new(codec, mtu);
        let mut out = Vec::new();
        ours.push(&format, &unit, &mut out);
        let most = if codec == Codec::Opus { 1276 } else { mtu.max(100) };
        prop_assert!(out.iter().all(|p| !p.bytes.is_empty() && p.bytes.len() <= most));
        let skips: u64 = Skip::ALL.iter().map(|why| ours.skipped(*why)).sum();
        prop_assert!(!out.is_empty() || skips > 0 || matches!(codec, Codec::H264 | Codec::H265 | Codec::Av1));
    }
}

fn read_h265(payloads: &[Payload]) -> Vec<Vec<u8>> {
    let mut units = Vec::new();
    let mut open = Vec::new();
    for payload in payloads {
        let mut oracle = h265::H265Packet::default();
        let bytes = Bytes::copy_from_slice(&payload.bytes);
        oracle.depacketize(&bytes).expect("the oracle takes it");
        match oracle.payload() {
            h265::H265Payload::H265SingleNALUnitPacket(_) => units.push(bytes.to_vec()),
            h265::H265Payload::H265AggregationPacket(packet) => {
                units.push(packet.first_unit().expect("two or more").nal_unit().to_vec());
                units.extend(packet.other_units().iter().map(|u| u.nal_unit().to_vec()));
            }
            h265::H265Payload::H265FragmentationUnitPacket(packet) => {
                let (fu, header) = (packet.fu_header(), packet.payload_header());
                if fu.s() {
                    assert!(open.is_empty() && !fu.e());
                    let first = u16::from(fu.fu_type()) << 9 | header.0 & 0x81ff;
                    open.extend(first.to_be_bytes());
                }
                open.extend(packet.payload());
                if fu.e() {
                    units.push(std::mem::take(&mut open));
                }
            }
            other => unreachable!("no such payload is sent: {other:?}"),
        }
    }
    assert!(open.is_empty());
    units
}
