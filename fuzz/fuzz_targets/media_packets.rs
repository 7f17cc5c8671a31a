//! RTP packets of every codec to frames: never a panic, and a frame that came out goes through payloads again
//! unchanged. The first byte picks the codec; then each packet has four bytes before its payload: how far its
//! sequence number and timestamp go on, its marker, and its length.
#![no_main]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use media::depacketize::{Depacketizer, Frame, Output};
use media::packetize::{MTU, Packetizer};
use media::payload::PayloadInfo;
use media::rtp::Extensions;
use media::{AccessUnit, Codec, Format, MediaTime, RtpPacket};

static START: OnceLock<Instant> = OnceLock::new();

fn packet(seq: u64, timestamp: u32, marker: bool, payload: &[u8]) -> RtpPacket {
    let time = *START.get_or_init(Instant::now) + Duration::from_millis(seq);
    RtpPacket {
        time,
        seq,
        timestamp,
        marker,
        arrival: time,
        payload: payload.into(),
        info: PayloadInfo::default(),
        extensions: Extensions::default(),
    }
}

fuzz_target!(|data: &[u8]| {
    let [codec, rest @ ..] = data else { return };
    let codec = Codec::WEBRTC[usize::from(*codec) % Codec::WEBRTC.len()];
    let mut depacketizer = Depacketizer::new(codec);
    let mut out = Vec::new();
    let (mut rest, mut seq, mut timestamp) = (rest, 100, 0);
    while let [step, ticks, marker, len, after @ ..] = rest {
        let (payload, after) = after.split_at(usize::from(*len).min(after.len()));
        seq = (seq + u64::from(*step)).saturating_sub(2);
        timestamp += u32::from(*ticks);
        depacketizer.push(&packet(seq, timestamp, marker & 1 != 0, payload), &mut out);
        rest = after;
    }
    let mut format = None;
    for output in out {
        match (output, &format) {
            (Output::Format(new), _) => format = Some(new),
            (Output::Frame(frame), Some(format)) => again(codec, format, frame),
            (Output::Frame(_), None) => panic!("a frame without a format"),
        }
    }
});

/// The frame through payloads once more.
fn again(codec: Codec, format: &Format, frame: Frame) {
    assert!(!frame.data.is_empty());
    let (keyframe, data) = (frame.keyframe, frame.data);
    let time = MediaTime::ZERO;
    // A keyframe before it, so that a format is known: what a codec needs for that, our packetizer adds.
    let unit = AccessUnit { dts: time, pts: time, keyframe: true, data: data.clone() };
    let mut packetizer = Packetizer::new(codec, MTU);
    let mut payloads = Vec::new();
    packetizer.push(format, &unit, &mut payloads);
    let mut depacketizer = Depacketizer::new(codec);
    let mut out = Vec::new();
    for (seq, payload) in (1..).zip(&payloads) {
        depacketizer.push(&packet(seq, 7, payload.marker, &payload.bytes), &mut out);
    }
    let frame = out.into_iter().find_map(|output| match output {
        Output::Frame(frame) => Some(frame),
        Output::Format(_) => None,
    });
    // In VP8 and VP9 only keyframes say a format, and nothing can be added to others. A sequence header of AV1
    // behind the first may be broken, and then it is none.
    let must = match codec {
        Codec::Vp8 | Codec::Vp9 => keyframe,
        Codec::Av1 => data.starts_with(&format.config[4..]),
        _ => true,
    };
    match frame {
        Some(frame) if codec == Codec::Av1 => assert!(frame.data.ends_with(&data)),
        Some(frame) => assert_eq!(frame.data, data),
        None => assert!(!must || data.len() > 1276, "the frame is gone"),
    }
}
