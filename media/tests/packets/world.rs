//! Streams of every codec, as encoders make them but with any sizes, and the packets that they become.

use std::time::{Duration, Instant};

use bytes::Bytes;
use media::packetize::{Packetizer, Payload};
use media::payload::inspect;
use media::rtp::Extensions;
use media::{AccessUnit, Codec, Format, MediaTime, RtpPacket, config, nal};
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) const H264_SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x16, 0xda, 2, 0x80, 0xbf, 0xe2, 0x30, 0x11, 0, 0, 3, 0, 1, 0, 0, 3, 0, 0x14,
    0x0f, 0x16, 0x2e, 0xa0,
];
pub(crate) const H264_PPS: &[u8] = &[0x68, 0xce, 0x0f, 0xc8];
/// 180x102 by x265.
pub(crate) const H265_VPS: &[u8] = &[
    0x40, 1, 0x0c, 1, 0xff, 0xff, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x1e, 0x95, 0x98,
    9,
];
pub(crate) const H265_SPS: &[u8] = &[
    0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x1e, 0xa0, 0x17, 0x20, 0x69, 0xdd,
    0x65, 0x95, 0x9a, 0x49, 0x32, 0xbc, 5, 0xa0, 0x20, 0, 0, 3, 0, 0x20, 0, 0, 3, 3, 0x21,
];
pub(crate) const H265_PPS: &[u8] = &[0x44, 1, 0xc1, 0x72, 0xb4, 0x62, 0x40];
/// 640x354 by SVT-AV1.
pub(crate) const AV1_SEQUENCE: &[u8] =
    &[0x0a, 0x0c, 2, 0, 0, 0x0d, 0x66, 0x27, 0xfb, 0x08, 0xd5, 0xf3, 0, 0x80];
/// The starts of 640x354 keyframes by libvpx, and of the frames behind them.
const VP8: [&[u8]; 2] = [
    &[0x31, 0x34, 0, 0x1e, 0x11, 0xd0],
    &[0x50, 0xb1, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x62, 1, 0, 0x47],
];
const VP9: [&[u8]; 2] =
    [&[0x86, 0, 0x40, 0x92, 0xf1, 0x21], &[0x82, 0x49, 0x83, 0x42, 0, 0x27, 0xf0, 0x16, 0x16, 6]];

/// Every codec that goes through RTP.
pub(crate) fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::WEBRTC[..])
}

/// What a picture's slices (H.264, H.265), OBUs (AV1) or its data (the others) are filled with.
pub(crate) fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let size = prop_oneof![3..40usize, 3..1500usize, 1000..9000usize];
    vec((size, any::<u8>()), 1..5).prop_map(|bodies| {
        let body = |(size, seed): (usize, u8)| -> Vec<u8> {
            // No zeros, so that no oracle sees a start code in it.
            (0..size).map(|i| (i.wrapping_mul(31) as u8 ^ seed) | 1).collect()
        };
        bodies.into_iter().map(body).collect()
    })
}

/// Pictures, each with its bodies and whether it is a keyframe; the first is one.
pub(crate) fn pictures() -> impl Strategy<Value = Vec<(bool, Vec<Vec<u8>>)>> {
    vec((any::<bool>(), bodies()), 1..12).prop_map(|mut pictures| {
        pictures[0].0 = true;
        pictures
    })
}

/// The format of a codec's stream here.
pub(crate) fn format(codec: Codec) -> Format {
    let set = |set: &[u8]| vec![Bytes::copy_from_slice(set)];
    let config = match codec {
        Codec::H264 => config::avc::Record::from_sets(set(H264_SPS), set(H264_PPS))
            .expect("a configuration")
            .build(),
        Codec::H265 => {
            let record =
                config::hevc::Record::from_sets(set(H265_VPS), set(H265_SPS), set(H265_PPS));
            record.expect("a configuration").build()
        }
        Codec::Av1 => config::av1::Record::from_sequence_header(AV1_SEQUENCE)
            .expect("a configuration")
            .build(),
        Codec::Opus => config::opus::Head::stereo().build(),
        _ => Bytes::new(),
    };
    let mut format = config::format(codec, config).expect("a configuration");
    if matches!(codec, Codec::Vp8 | Codec::Vp9) {
        format.dimensions = Some((640, 354));
    }
    format
}

/// The NAL units of a picture without parameter sets, or its OBUs with sizes.
pub(crate) fn pieces(codec: Codec, keyframe: bool, bodies: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let piece = |(i, body): (usize, &Vec<u8>)| match codec {
        // first_mb_in_slice 0 in the first, slice_type 7 or 5; then others.
        Codec::H264 => {
            let header: u8 = if keyframe { 0x65 } else { 0x41 };
            [&[header, if i == 0 { 0x88 } else { 0x44 }], &body[..]].concat()
        }
        Codec::H265 => {
            let header: u8 = if keyframe { 19 << 1 } else { 1 << 1 };
            [&[header, 1, if i == 0 { 0xa0 } else { 0x20 }], &body[..]].concat()
        }
        // A frame, then tile groups, one in two with an extension.
        Codec::Av1 => {
            let first: u8 = if keyframe { 0x10 } else { 0x30 };
            let header = [&[0x32][..], &[0x26, 0x08], &[0x22]][if i == 0 { 0 } else { 1 + i % 2 }];
            let mut obu = header.to_vec();
            let mut size = body.len() + 1;
            while size >= 0x80 {
                obu.push(size as u8 | 0x80);
                size >>= 7;
            }
            obu.push(size as u8);
            [&obu, &[first][..], body].concat()
        }
        _ => body.clone(),
    };
    bodies.iter().enumerate().map(piece).collect()
}

/// A picture as an access unit.
pub(crate) fn unit(codec: Codec, keyframe: bool, bodies: &[Vec<u8>]) -> AccessUnit {
    let pieces = pieces(codec, keyframe, bodies);
    let which = usize::from(keyframe);
    let data = match codec {
        Codec::H264 | Codec::H265 => {
            let mut data = Vec::new();
            pieces.iter().for_each(|unit| nal::append(&mut data, unit));
            data
        }
        Codec::Av1 => {
            let sequence: &[u8] = if keyframe { AV1_SEQUENCE } else { &[] };
            [sequence, &pieces.concat()].concat()
        }
        Codec::Vp8 => [VP8[which], &pieces.concat()].concat(),
        Codec::Vp9 => [VP9[which], &pieces.concat()].concat(),
        _ => pieces[0][..pieces[0].len().min(1276)].to_vec(),
    };
    let keyframe = keyframe || codec == Codec::Opus;
    AccessUnit { dts: MediaTime::ZERO, pts: MediaTime::ZERO, keyframe, data: data.into() }
}

/// The payloads of a unit.
pub(crate) fn payloads(
    packetizer: &mut Packetizer,
    codec: Codec,
    unit: &AccessUnit,
) -> Vec<Payload> {
    let mut out = Vec::new();
    packetizer.push(&format(codec), unit, &mut out);
    out
}

/// Some instant; tests only ever add to it.
#[expect(clippy::disallowed_methods, reason = "a test needs one real instant to begin with")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

/// Packets a millisecond apart, one frame after the other, from these payloads.
pub(crate) fn packets(codec: Codec, frames: &[Vec<Payload>]) -> Vec<RtpPacket> {
    let start = epoch();
    let all = frames.iter().zip(0..).flat_map(|(frame, i)| frame.iter().map(move |p| (i, p)));
    let packet = |(seq, (frame, payload)): (u64, (u32, &Payload))| {
        let time = start + Duration::from_millis(seq);
        RtpPacket {
            time,
            seq: 65_000 + seq,
            timestamp: (frame * 3000).wrapping_sub(9000),
            marker: payload.marker,
            arrival: time,
            payload: payload.bytes.clone(),
            info: inspect(codec, &payload.bytes),
            extensions: Extensions::default(),
        }
    };
    (0..).zip(all).map(packet).collect()
}
