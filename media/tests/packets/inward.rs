//! What an independent implementation packetizes is read by us, byte for byte.

use std::sync::Arc;

use bytes::Bytes;
use media::depacketize::{Depacketizer, Output};
use media::packetize::Payload;
use media::{Codec, Format};
use proptest::prelude::*;
use rtc_rtp::codec::{av1, h264, h265, opus, vp8, vp9};
use rtc_rtp::packetizer::Payloader;

use crate::world::*;

/// A frame as the oracle takes it, and the data that must come out.
fn frame(codec: Codec, keyframe: bool, bodies: &[Vec<u8>]) -> (Bytes, Bytes) {
    let unit = unit(codec, keyframe, bodies);
    let sets: &[&[u8]] = match codec {
        Codec::H264 => &[H264_SPS, H264_PPS],
        Codec::H265 => &[H265_VPS, H265_SPS, H265_PPS],
        _ => return (unit.data.clone(), unit.data),
    };
    let pieces = pieces(codec, keyframe, bodies);
    let sets = sets.iter().copied().filter(|_| keyframe);
    let units = sets.chain(pieces.iter().map(|p| &p[..]));
    let annex_b: Vec<u8> = units.flat_map(|u| [&[0, 0, 0, 1], u].concat()).collect();
    (annex_b.into(), unit.data)
}

fn payloader(codec: Codec) -> Box<dyn Payloader> {
    match codec {
        Codec::H264 => Box::new(h264::H264Payloader::default()),
        Codec::H265 => Box::new(h265::HevcPayloader),
        Codec::Vp8 => {
            let mut payloader = vp8::Vp8Payloader::default();
            payloader.enable_picture_id = true;
            Box::new(payloader)
        }
        Codec::Vp9 => {
            let mut payloader = vp9::Vp9Payloader::default();
            payloader.initial_picture_id_fn = Some(Arc::new(|| 0x7ffe));
            Box::new(payloader)
        }
        Codec::Av1 => Box::new(av1::Av1Payloader {}),
        _ => Box::new(opus::OpusPayloader),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn frames_come_back(codec in codec(), pictures in pictures(), mtu in 100..1400usize) {
        let mut oracle = payloader(codec);
        let mut expected: Vec<(bool, Bytes)> = Vec::new();
        let mut frames = Vec::new();
        for (keyframe, bodies) in pictures {
            let (whole, data) = frame(codec, keyframe, &bodies);
            let payloads = oracle.payload(mtu, &whole).unwrap();
            let last = payloads.len() - 1;
            let payload = |(i, p): (usize, &Bytes)| Payload {
                bytes: p[..].into(),
                marker: i == last && codec != Codec::Opus,
            };
            frames.push(payloads.iter().enumerate().map(payload).collect::<Vec<_>>());
            expected.push((keyframe || codec == Codec::Opus, data));
        }

        let mut ours = Depacketizer::new(codec);
        let mut out = Vec::new();
        for packet in packets(codec, &frames) {
            ours.push(&packet, &mut out);
        }
        prop_assert_eq!(out.remove(0), Output::Format(format(codec)));
        let read = out.into_iter().map(|output| match output {
            Output::Frame(frame) => (frame.keyframe, frame.data),
            Output::Format(Format { .. }) => unreachable!("the format did not change"),
        });
        prop_assert_eq!(read.collect::<Vec<_>>(), expected);
    }
}
