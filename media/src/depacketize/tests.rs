//! What proptests do not reach: what each codec's frames become at their edges, changes of format, markers
//! that do not come, bounds.

use std::time::{Duration, Instant};

use super::*;
use crate::payload::PayloadInfo;
use crate::rtp::Extensions;

/// Some instant; tests only ever add to it.
#[expect(clippy::disallowed_methods, reason = "a test needs one real instant to begin with")]
pub(super) fn epoch() -> Instant {
    Instant::now()
}

/// A packet; it arrives as many milliseconds after a fixed start as its number says.
pub(super) fn packet(seq: u64, timestamp: u32, marker: bool, payload: &[u8]) -> RtpPacket {
    thread_local! {
        static START: Instant = epoch();
    }
    let time = START.with(|start| *start) + Duration::from_millis(seq);
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

/// SPS of 640x354 and 180x102 by x264, both number 0, and a PPS.
const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x16, 0xda, 2, 0x80, 0xbf, 0xe2, 0x30, 0x11, 0, 0, 3, 0, 1, 0, 0, 3, 0, 0x14,
    0x0f, 0x16, 0x2e, 0xa0,
];
const SMALL_SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x0b, 0xd9, 3, 0x0f, 0xe7, 0x9b, 1, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0x20,
    0xf1, 0x42, 0xa4, 0x80,
];
const PPS: &[u8] = &[0x68, 0xce, 0x0f, 0xc8];
const IDR: &[u8] = &[0x65, 0x88, 7];
const P: &[u8] = &[0x41, 0x9a, 7];

/// Pushes payloads as packets of consecutive numbers: timestamp, marker, bytes.
fn push(depacketizer: &mut Depacketizer, packets: &[(u32, bool, &[u8])]) -> Vec<Output> {
    let mut out = Vec::new();
    let next = depacketizer.window.next().unwrap_or(1);
    for (seq, (timestamp, marker, payload)) in (next..).zip(packets) {
        depacketizer.push(&packet(seq, *timestamp, *marker, payload), &mut out);
    }
    out
}

/// The data of a frame, or the dimensions of a format.
type Short<'a> = Result<&'a [u8], Option<(u16, u16)>>;

fn short(out: &[Output]) -> Vec<Short<'_>> {
    let short = out.iter().map(|output| match output {
        Output::Format(format) => Err(format.dimensions),
        Output::Frame(frame) => Ok(&frame.data[..]),
    });
    short.collect()
}

fn dropped(depacketizer: &Depacketizer) -> Vec<Dropped> {
    let all = Dropped::ALL.into_iter();
    all.flat_map(|why| (0..depacketizer.dropped(why)).map(move |_| why)).collect()
}

#[test]
fn mode_0_with_parameter_sets_in_packets_of_their_own() {
    let mut h264 = Depacketizer::new(Codec::H264);
    let out = push(
        &mut h264,
        &[(1, false, &[9, 0xf0]), (1, false, SPS), (1, false, PPS), (1, true, IDR), (2, true, P)],
    );
    let (idr, p) = (&[0, 0, 0, 3, 0x65, 0x88, 7][..], &[0, 0, 0, 3, 0x41, 0x9a, 7][..]);
    assert_eq!(short(&out), [Err(Some((640, 354))), Ok(idr), Ok(p)]);
    let keyframes = out.iter().map(|o| matches!(o, Output::Frame(Frame { keyframe: true, .. })));
    assert_eq!(keyframes.collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(dropped(&h264), []);
}

#[test]
fn the_format_is_said_again_only_where_it_changes() {
    let mut h264 = Depacketizer::new(Codec::H264);
    let key = |sps| [(1, false, sps), (1, false, PPS), (1, true, IDR)];
    let formats = |h264: &mut Depacketizer, packets: &[(u32, bool, &[u8])]| -> Vec<_> {
        let out = push(h264, packets);
        short(&out).into_iter().filter_map(Result::err).collect()
    };
    assert_eq!(formats(&mut h264, &key(SPS)), [Some((640, 354))]);
    assert_eq!(formats(&mut h264, &key(SPS)), []);
    // Another SPS of the same number, without a PPS, at a timestamp of its own.
    assert_eq!(formats(&mut h264, &[(2, true, SMALL_SPS), (3, true, IDR)]), [Some((180, 102))]);
    // One more PPS beside the first one, then none but the first.
    let more = [0x68, 0x4e, 0x0f, 0xc8];
    let out = push(&mut h264, &[(4, false, &more), (4, true, P)]);
    let Output::Format(format) = &out[0] else { unreachable!("{out:?}") };
    let record = crate::config::avc::Record::parse(&format.config).expect("a record");
    assert_eq!(
        (record.sps, record.pps),
        (vec![SMALL_SPS.into()], vec![PPS.into(), more.to_vec().into()])
    );
    assert_eq!(formats(&mut h264, &key(SMALL_SPS)), [Some((180, 102))]);
    assert_eq!(dropped(&h264), []);
}

#[test]
fn nothing_comes_before_a_format() {
    let mut h264 = Depacketizer::new(Codec::H264);
    assert_eq!(
        push(&mut h264, &[(1, true, P), (2, true, IDR), (3, false, PPS), (3, true, IDR)]),
        []
    );
    // The very first is no surer a start than any after a loss, but begins with its first macroblock.
    assert_eq!(dropped(&h264), [Dropped::NoFormat; 3]);
    assert_eq!(push(&mut h264, &[(4, false, SPS), (4, true, IDR)]).len(), 2);
    let mut vp8 = Depacketizer::new(Codec::Vp8);
    assert_eq!(push(&mut vp8, &[(1, true, &[0x10, 0x31, 0, 0])]), []);
    assert_eq!(dropped(&vp8), [Dropped::NoFormat]);
}

#[test]
fn who_joins_in_the_middle_of_a_frame_waits_for_the_next() {
    let mut h264 = Depacketizer::new(Codec::H264);
    let tail = [0x7c, 0x45, 1, 2];
    let out =
        push(&mut h264, &[(1, true, &tail), (2, false, SPS), (2, false, PPS), (2, true, IDR)]);
    assert_eq!(dropped(&h264), [Dropped::Incomplete]);
    assert!(matches!(out[..], [Output::Format(_), Output::Frame(Frame { gap: false, .. })]));
}

#[test]
fn frames_end_without_markers_and_probes_are_no_frames() {
    let mut h264 = Depacketizer::new(Codec::H264);
    let out = push(
        &mut h264,
        &[
            (1, false, SPS),
            (1, false, PPS),
            (1, false, &[]),
            (1, false, IDR),
            (2, false, &[]),
            (3, false, P),
        ],
    );
    assert_eq!(short(&out).len(), 2, "the second is not known to be over");
    assert_eq!(short(&push(&mut h264, &[(4, false, P)])).len(), 1);
    assert_eq!(dropped(&h264), []);
}

#[test]
fn what_does_not_keep_to_the_payload_format_costs_its_frame() {
    let sets = [&[0x78, 0, 25], SPS, &[0, 4], PPS].concat();
    for bad in [
        &[0x7c, 0x05, 1][..],      // goes on with what never began
        &[0x7c, 0x85, 1],          // never ends
        &[0x7c],                   // no fragment header
        &[0x78, 0, 9, 0x41],       // cut short
        &[0x79, 0, 0, 0, 1, 0x41], // STAP-B: not in these modes
        &[0x7c, 0xd8, 1],          // an aggregation packet in a fragment
    ] {
        let mut h264 = Depacketizer::new(Codec::H264);
        let out = push(
            &mut h264,
            &[(1, false, &sets), (1, true, IDR), (2, false, P), (2, true, bad), (3, true, P)],
        );
        let Output::Frame(last) = &out[2] else { unreachable!("{out:?}") };
        assert_eq!((out.len(), last.timestamp, last.gap), (3, 3, true), "{bad:x?}");
        assert_eq!(dropped(&h264), [Dropped::Malformed], "{bad:x?}");
    }
    for (codec, bad) in [
        (Codec::H265, &[0x62, 1][..]),
        (Codec::H265, &[0x62, 1, 0x53, 9]),
        (Codec::H265, &[0x60, 1, 0, 9, 1]),
        (Codec::H265, &[0x64, 1, 0, 9, 1]), // PACI
        (Codec::H265, &[0x02]),
        (Codec::Vp8, &[0x80]),
        (Codec::Vp8, &[0x00, 1, 2]),
        (Codec::Vp9, &[0x80]),
        (Codec::Vp9, &[0x00, 1, 2]),
        (Codec::Av1, &[0x10]),
        (Codec::Av1, &[0x90, 1]),
        (Codec::Av1, &[0x50, 1]),
        (Codec::Av1, &[0x20, 9, 1]),
    ] {
        let mut depacketizer = Depacketizer::new(codec);
        // The frame before sees to it that nothing is unsure.
        let begin: &[u8] = match codec {
            Codec::Av1 => &[0x18, 0x30, 0x10],
            Codec::H265 => &[0x02, 1, 0x80],
            _ => &[0x18, 0x31],
        };
        assert_eq!(push(&mut depacketizer, &[(1, true, begin), (2, true, bad)]), []);
        assert_eq!(
            dropped(&depacketizer),
            [Dropped::Malformed, Dropped::NoFormat],
            "{codec} {bad:x?}"
        );
    }
}

#[test]
fn a_frame_without_an_end_is_given_up() {
    let mut h264 = Depacketizer::new(Codec::H264);
    let piece = [&[0x7c, 0x05][..], &[1; 60_000]].concat();
    let start = [&[0x7c, 0x85, 0x88][..], &[1; 60_000]].concat();
    let mut out = Vec::new();
    for seq in 0..1000 {
        let payload = if seq == 0 { &start } else { &piece };
        h264.push(&packet(seq, 1, false, payload), &mut out);
        assert!(h264.frames.data.len() <= MAX_FRAME);
    }
    assert_eq!(dropped(&h264), [Dropped::TooLarge]);
    // The same within one OBU.
    let mut av1 = Depacketizer::new(Codec::Av1);
    for seq in 0..1000 {
        let first = if seq == 0 { 0x58 } else { 0xd0 };
        let payload = [&[first, 0x30][..], &[1; 60_000]].concat();
        av1.push(&packet(seq, 1, false, &payload), &mut out);
    }
    assert_eq!((out, dropped(&av1)), (vec![], vec![Dropped::TooLarge]));
}

#[test]
fn layers_of_vp9_become_a_superframe() {
    let mut vp9 = Depacketizer::new(Codec::Vp9);
    let key = [0x82, 0x49, 0x83, 0x42, 0, 0x27, 0xf0, 0x16, 0x16, 6];
    // Picture id, layers, B and E; the first with a structure of two sizes.
    let structure = [0x30, 1, 0x40, 0, 0xb1, 2, 0x80, 1, 0x62];
    let lower = [&[0xae, 5, 0x01, 0], &structure[..], &key].concat();
    let upper = [&[0xec, 5, 0x03, 0][..], &[0x86, 1, 2]].concat();
    let out = push(&mut vp9, &[(1, false, &lower), (1, true, &upper)]);
    let index = [0xd9, 10, 0, 0, 0, 3, 0, 0, 0, 0xd9];
    let data = [&key[..], &[0x86, 1, 2], &index].concat();
    assert_eq!(short(&out), [Err(Some((640, 354))), Ok(&data[..])]);
    // One layer alone is a frame as it is.
    let alone = push(&mut vp9, &[(2, true, &[0xcc, 6, 0x86, 1])]);
    assert_eq!(short(&alone), [Ok(&[0x86, 1][..])]);
}

#[test]
fn what_av1_frames_keep() {
    let mut av1 = Depacketizer::new(Codec::Av1);
    let sequence = [0x08, 2, 0, 0, 0x0d, 0x66, 0x27, 0xfb, 0x08, 0xd5, 0xf3, 0, 0x80];
    // Delimiter, sequence header, frame with a size of its own, padding.
    let key = [&[0x08, 1, 0x10, 13], &sequence[..], &[4, 0x32, 2, 0x10, 9, 2, 0x78, 0]].concat();
    let out = push(&mut av1, &[(1, true, &key)]);
    let data = [&[0x0a, 12], &sequence[1..], &[0x32, 2, 0x10, 9]].concat();
    assert_eq!(short(&out), [Err(Some((640, 354))), Ok(&data[..])]);
    let keyframe = |out: &[Output]| match out {
        [.., Output::Frame(frame)] => frame.keyframe,
        _ => unreachable!("{out:?}"),
    };
    assert!(keyframe(&out));
    // A keyframe that is not shown, one that is shown again, an inter frame.
    for header in [0x00, 0x90, 0x30] {
        assert!(!keyframe(&push(&mut av1, &[(2, true, &[0x10, 0x30, header, 9])])));
    }
}

#[test]
fn opus_packets_are_frames_whatever_the_marker_says() {
    let mut opus = Depacketizer::new(Codec::Opus);
    let out = push(&mut opus, &[(960, true, &[0x78, 1]), (1920, false, &[0x7c, 2])]);
    assert_eq!(short(&out), [Err(None), Ok(&[0x78, 1][..]), Ok(&[0x7c, 2])]);
    let Output::Format(format) = &out[0] else { unreachable!("{out:?}") };
    assert_eq!(format.sound, Some((48_000, 2)));
    let mut aac = Depacketizer::new(Codec::Aac);
    assert_eq!(push(&mut aac, &[(1, true, &[1])]), []);
    assert_eq!(dropped(&aac), [Dropped::Codec]);
}
