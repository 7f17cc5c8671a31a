//! Our reading of payloads against an independent implementation of the same formats, and against
//! random bytes.

use media::Codec;
use media::payload::{PayloadInfo, PictureIds, inspect, write_ids};
use proptest::collection::vec;
use proptest::prelude::*;
use rtc_rtp::codec::{av1, h264, vp8, vp9};
use rtc_rtp::packetizer::{Depacketizer, Payloader};

/// The first bytes of a keyframe and of a delta frame of each codec, by libvpx and SVT-AV1; the
/// sizes are 640x354.
const VP8: [&[u8]; 2] = [
    &[0x50, 0xb1, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x62, 1, 0, 0x47],
    &[0x31, 0x34, 0, 0x1e, 0x11, 0xd0],
];
const VP9: [&[u8]; 2] =
    [&[0x82, 0x49, 0x83, 0x42, 0, 0x27, 0xf0, 0x16, 0x16, 6], &[0x86, 0, 0x40, 0x92, 0xf1, 0x21]];
const AV1_SEQUENCE: &[u8] =
    &[0x0a, 0x0c, 2, 0, 0, 0x0d, 0x66, 0x27, 0xfb, 0x08, 0xd5, 0xf3, 0, 0x80];
const H264_SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x16, 0xda, 2, 0x80, 0xbf, 0xe2, 0x30, 0x11, 0, 0, 3, 0, 1, 0, 0, 3, 0, 0x14,
    0x0f, 0x16, 0x2e, 0xa0,
];
const H264_PPS: &[u8] = &[0x68, 0xce, 0x0f, 0xc8];
const SIZE: Option<(u16, u16)> = Some((640, 354));

/// A frame of some length whose tail can hold no start code.
fn tail() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255u8, 20..4000)
}

fn payloads(payloader: &mut dyn Payloader, mtu: usize, frame: Vec<u8>) -> Vec<Vec<u8>> {
    let payloads = payloader.payload(mtu, &frame.into()).expect("a frame that the oracle takes");
    payloads.iter().map(|p| p.to_vec()).collect()
}

fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::WEBRTC[..])
}

fn ids() -> impl Strategy<Value = PictureIds> {
    (any::<Option<u16>>(), any::<bool>(), any::<Option<u8>>())
        .prop_map(|(picture_id, long, tl0_pic_idx)| PictureIds { picture_id, long, tl0_pic_idx })
}

/// A payload of each codec that begins as a real one does, so that the deep parts are reached too.
fn likely() -> impl Strategy<Value = (Codec, Vec<u8>)> {
    let sps = (0..H264_SPS.len(), any::<u8>()).prop_map(|(at, byte)| {
        let mut sps = H264_SPS.to_vec();
        sps[at] = byte;
        (Codec::H264, sps)
    });
    let sequence = (0..AV1_SEQUENCE.len(), any::<u8>()).prop_map(|(at, byte)| {
        let mut obu = AV1_SEQUENCE.to_vec();
        obu[at] = byte;
        (Codec::Av1, [&[0x18], &obu[..]].concat())
    });
    let sps_head = vec(any::<u8>(), 0..600)
        .prop_map(|body| (Codec::H264, [&[0x67, 0x64, 0, 0x1f], &body[..]].concat()));
    prop_oneof![sps, sequence, sps_head]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn vp8_frames(key: bool, tail in tail(), mtu in 40..1400usize, skipped in 0..300u16) {
        let mut payloader = vp8::Vp8Payloader::default();
        payloader.enable_picture_id = true;
        for _ in 0..skipped {
            payloads(&mut payloader, mtu, vec![0]);
        }
        let frame = [VP8[usize::from(!key)], &tail].concat();
        for (i, payload) in payloads(&mut payloader, mtu, frame).into_iter().enumerate() {
            let info = inspect(Codec::Vp8, &payload);
            let mut oracle = vp8::Vp8Packet::default();
            let data = oracle.depacketize(&payload.clone().into());
            prop_assert_eq!(info.keyframe_start, key && i == 0);
            prop_assert_eq!(info.dimensions, SIZE.filter(|_| key && i == 0));
            // The oracle reads nothing of less than four bytes.
            if data.is_ok() {
                prop_assert_eq!(info.ids.picture_id, Some(oracle.picture_id));
            }
            prop_assert_eq!(info.ids.picture_id, Some(skipped));
            prop_assert_eq!(info.ids.long, skipped >= 128);
        }
    }

    #[test]
    fn vp8_descriptors(first in 0x80..=0xffu8, rest in vec(any::<u8>(), 12..20)) {
        let payload = [&[first], &rest[..]].concat();
        let mut oracle = vp8::Vp8Packet::default();
        let data = oracle.depacketize(&payload.clone().into()).unwrap();
        let info = inspect(Codec::Vp8, &payload);
        prop_assert_eq!(info.ids.picture_id, (oracle.i == 1).then_some(oracle.picture_id));
        prop_assert_eq!(info.ids.tl0_pic_idx, (oracle.l == 1).then_some(oracle.tl0_pic_idx));
        let start = oracle.s == 1 && oracle.pid == 0 && data[0] & 1 == 0;
        prop_assert_eq!(info.keyframe_start, start);
    }

    #[test]
    fn vp9_frames(key: bool, tail in tail(), mtu in 40..1400usize, id in 0..0x8000u16) {
        let mut payloader = vp9::Vp9Payloader::default();
        payloader.initial_picture_id_fn = Some(std::sync::Arc::new(move || id));
        let frame = [VP9[usize::from(!key)], &tail].concat();
        for (i, payload) in payloads(&mut payloader, mtu, frame).into_iter().enumerate() {
            let info = inspect(Codec::Vp9, &payload);
            prop_assert_eq!(info.keyframe_start, key && i == 0);
            prop_assert_eq!(info.dimensions, SIZE.filter(|_| key && i == 0));
            let ids = PictureIds { picture_id: Some(id), long: true, tl0_pic_idx: None };
            prop_assert_eq!(info.ids, ids);
        }
    }

    #[test]
    fn vp9_descriptors(first: u8, rest in vec(any::<u8>(), 0..80)) {
        let payload = [&[first], &rest[..]].concat();
        let mut oracle = vp9::Vp9Packet::default();
        let Ok(data) = oracle.depacketize(&payload.clone().into()) else { return Ok(()) };
        // The oracle takes reserved bits of the scalability structure for its G flag.
        prop_assume!(!oracle.v || oracle.g == (structure_flags(&payload, &oracle) & 0x08 != 0));
        let info = inspect(Codec::Vp9, &payload);
        prop_assert_eq!(info.ids.picture_id, oracle.i.then_some(oracle.picture_id));
        let tl0 = (oracle.l && !oracle.f).then_some(oracle.tl0picidx);
        prop_assert_eq!(info.ids.tl0_pic_idx, tl0);
        if oracle.v && oracle.y {
            let sizes = oracle.width.iter().copied().zip(oracle.height.iter().copied());
            let area = |(w, h): &(u16, u16)| u32::from(*w) * u32::from(*h);
            prop_assert_eq!(info.dimensions, sizes.max_by_key(area));
        }
        let start = oracle.b && !oracle.p && oracle.sid == 0;
        // A readable header that is none of a keyframe; see the codec's own tests.
        let header = data.first().copied().unwrap_or_default();
        if header >> 6 != 2 {
            prop_assert_eq!(info.keyframe_start, start);
        } else {
            prop_assert!(start || !info.keyframe_start);
        }
    }

    #[test]
    fn h264_frames(key: bool, tail in tail(), mtu in 60..1400usize) {
        let mut payloader = h264::H264Payloader::default();
        let start_code = [0, 0, 0, 1];
        let header: &[u8] = if key { &[0x65, 0x88, 0x84] } else { &[0x41, 0x9a, 0x20] };
        let slice = [&start_code, header, &tail].concat();
        let sets = [&start_code, H264_SPS, &start_code, H264_PPS].concat();
        let frame = if key { [sets, slice].concat() } else { slice };
        let whole = frame.clone();

        let mut oracle = h264::H264Packet::default();
        let mut read_back = Vec::new();
        for (i, payload) in payloads(&mut payloader, mtu, frame).into_iter().enumerate() {
            let info = inspect(Codec::H264, &payload);
            // First the aggregated parameter sets, then the first piece of the slice.
            prop_assert_eq!(info.keyframe_start, key && i < 2, "packet {}", i);
            prop_assert_eq!(info.dimensions, SIZE.filter(|_| key && i == 0));
            prop_assert!(!info.b_frame);
            read_back.extend(oracle.depacketize(&payload.into()).unwrap());
        }
        prop_assert_eq!(read_back, whole);
    }

    #[test]
    fn av1_temporal_units(key: bool, tail in tail(), mtu in 40..1400usize) {
        // An OBU_FRAME with its size, behind a sequence header in a keyframe.
        let mut unit = if key { AV1_SEQUENCE.to_vec() } else { Vec::new() };
        unit.push(0x32);
        unit.extend([tail.len() as u8 | 0x80, (tail.len() >> 7) as u8]);
        unit.extend(&tail);
        for (i, payload) in payloads(&mut av1::Av1Payloader {}, mtu, unit).iter().enumerate() {
            let info = inspect(Codec::Av1, payload);
            prop_assert_eq!(info.keyframe_start, key && i == 0, "packet {}", i);
            prop_assert_eq!(info.dimensions, SIZE.filter(|_| key && i == 0));
        }
    }

    #[test]
    fn random_bytes_never_panic(codec in codec(), payload in vec(any::<u8>(), 0..200), ids in ids()) {
        inspect(codec, &payload);
        write_ids(codec, &mut payload.clone(), ids);
    }

    #[test]
    fn damaged_headers_never_panic((codec, payload) in likely()) {
        inspect(codec, &payload);
    }

    #[test]
    fn writing_changes_the_ids_and_nothing_else(
        codec in codec(),
        payload in vec(any::<u8>(), 0..60),
        ids in ids(),
    ) {
        let before = inspect(codec, &payload);
        let mut written = payload.clone();
        write_ids(codec, &mut written, ids);
        let after = inspect(codec, &written);

        let width = if before.ids.long { 0x7fff } else { 0x7f };
        let id = before.ids.picture_id.map(|old| ids.picture_id.map_or(old, |new| new & width));
        let tl0 = before.ids.tl0_pic_idx.map(|old| ids.tl0_pic_idx.unwrap_or(old));
        let expected = PictureIds { picture_id: id, long: before.ids.long, tl0_pic_idx: tl0 };
        prop_assert_eq!(after, PayloadInfo { ids: expected, ..before });

        write_ids(codec, &mut written, before.ids);
        prop_assert_eq!(written, payload);
    }
}

/// The first byte of the scalability structure.
fn structure_flags(payload: &[u8], packet: &vp9::Vp9Packet) -> u8 {
    let id = usize::from(packet.i) * if payload[1] & 0x80 != 0 { 2 } else { 1 };
    let layers = usize::from(packet.l) * if packet.f { 1 } else { 2 };
    payload[1 + id + layers + packet.pdiff.len()]
}
