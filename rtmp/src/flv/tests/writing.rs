//! Written, and read again.

use media::MediaTime;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Message, Peer, Writer};
use super::*;

/// All that `feed` read, written for `peer` in the same order.
fn write(feed: &Feed, peer: Peer) -> Vec<Message> {
    let mut writer = Writer::new(peer);
    let mut out = Vec::new();
    for item in &feed.items {
        match item {
            Item::Track { track, format } => out.extend(writer.format(track.id, format)),
            Item::Unit { track, unit } => out.extend(writer.unit(*track, unit)),
            Item::End { track } => out.extend(writer.end(*track)),
            _ => {}
        }
    }
    out
}

fn read_back(messages: &[Message]) -> Feed {
    let mut feed = Feed::new();
    for message in messages {
        let body = message.body();
        assert_eq!((body.len(), message.parts().concat()), (message.len(), body.to_vec()));
        feed.hand(message.kind, message.timestamp, &body);
    }
    feed
}

#[test]
fn what_ffmpeg_wrote_is_the_same_after_writing_and_reading_again() {
    for file in FILES {
        let feed = read(file);
        let again = read_back(&write(&feed, Peer::everything()));
        assert_eq!(again.items.len(), feed.items.len());
        for (item, again) in feed.items.iter().zip(&again.items) {
            assert_eq!(again, item);
        }
    }
}

#[test]
fn classic_tags_are_those_of_ffmpeg() {
    let written = write(&read(AVC_AAC), Peer::default());
    let ffmpeg = tags(AVC_AAC);
    assert_eq!(written.len(), ffmpeg.len());
    for (written, (kind, timestamp, body)) in written.iter().zip(&ffmpeg) {
        assert_eq!((written.kind, written.body()), (*kind, body.clone()));
        if written.data.is_empty() {
            continue; // The end: FFmpeg counts the last picture's duration.
        }
        // FFmpeg rounds the samples' times before their start is known to us.
        let off = written.timestamp.abs_diff(*timestamp);
        assert!(off <= if *kind == Kind::Audio { 1 } else { 0 }, "{off} ms at {timestamp}");
    }
}

#[test]
fn a_side_is_told_only_what_it_said_it_knows() {
    let format = |file, track| read(file).formats(track)[0].clone();
    let (avc, hevc) = (format(AVC_AAC, VIDEO), format(HEVC_AAC, VIDEO));
    let mut writer = Writer::new(Peer::default());
    assert_eq!(writer.format(0, &hevc), Err(Refusal::Peer { codec: Codec::H265 }));
    assert_eq!(writer.format(1, &avc), Err(Refusal::Multitrack));
    assert_eq!(writer.format(0, &avc).unwrap().head[..], [0x17, 0, 0, 0, 0]);
    assert_eq!(writer.unit(AUDIO, &read(AVC_AAC).units(AUDIO)[0]), None, "no format yet");
    let mut peer = Peer::default();
    peer.add_fourcc("hvc1");
    let mut writer = Writer::new(peer);
    assert_eq!(&writer.format(0, &hevc).unwrap().head[..], b"\x90hvc1");
    assert_eq!(writer.format(0, &avc).unwrap().head[0], 0x17, "classic, for it announced no avc1");
}

fn unit(dts: MediaTime, pts: MediaTime, keyframe: bool, data: Vec<u8>) -> AccessUnit {
    AccessUnit { dts, pts, keyframe, data: data.into() }
}

#[test]
fn times_are_rounded_or_exact() {
    let avc = read(AVC_AAC).formats(VIDEO)[0].clone();
    let (dts, pts) = (MediaTime::new(1, 30), MediaTime::new(3, 30));
    for (peer, timestamp, head) in [
        (Peer::default(), 33, &b"\x27\x01\x00\x00\x43"[..]),
        (Peer::everything(), 33, b"\xa1avc1\x00\x00\x43"),
    ] {
        let mut writer = Writer::new(peer);
        writer.format(0, &avc).unwrap();
        writer.unit(VIDEO, &unit(MediaTime::ZERO, MediaTime::ZERO, true, vec![1])).unwrap();
        let message = writer.unit(VIDEO, &unit(dts, pts, false, vec![1])).unwrap();
        assert_eq!((message.timestamp, &message.head[..]), (timestamp, head));
    }
    let mut writer = Writer::new(Peer::everything());
    writer.format(0, &avc).unwrap();
    writer.unit(VIDEO, &unit(MediaTime::ZERO, MediaTime::ZERO, true, vec![1])).unwrap();
    let third = writer.unit(VIDEO, &unit(dts, dts, false, vec![1])).unwrap();
    assert_eq!(&third.head[..], b"\xa7\x02\x05\x16\x15\x03avc1", "333333 ns");
    let early = unit(MediaTime::from_millis(-50), MediaTime::from_millis(-50), true, vec![1]);
    assert_eq!(writer.unit(VIDEO, &early).unwrap().timestamp, 0, "held at the beginning");
}

fn codecs() -> impl Strategy<Value = (Format, u8)> {
    let formats: Vec<Format> = FILES
        .into_iter()
        .flat_map(|file| {
            let feed = read(file);
            [feed.formats(VIDEO), feed.formats(AUDIO)].concat()
        })
        .collect();
    (proptest::sample::select(formats), 0..3u8)
}

proptest! {
    #[test]
    fn any_unit_is_read_as_it_was_written(
        (format, id) in codecs(),
        steps in vec((1..60_000_000i64, 0..200_000_000i64, any::<bool>(), vec(1..=255u8, 1..50)), 1..20),
    ) {
        let track = Track { kind: format.codec.kind(), id };
        let mut writer = Writer::new(Peer::everything());
        let mut feed = Feed::new();
        let header = writer.format(id, &format).unwrap();
        feed.hand(track.kind, 0, &header.body());
        let mut dts = 0;
        let mut sent = Vec::new();
        for (n, (step, composition, key, data)) in steps.into_iter().enumerate() {
            dts += if n == 0 { 0 } else { step.max(2_000_000) };
            let composition = if matches!(format.codec, Codec::H264 | Codec::H265) { composition } else { 0 };
            // The size of VP8 and VP9 is in their first keyframe.
            let key = key || n == 0;
            let data = as_unit(format.codec, key, data);
            let (dts, pts) = (MediaTime::from_nanos(dts), MediaTime::from_nanos(dts + composition));
            let unit = unit(dts, pts, key || track.kind == Kind::Audio, data);
            let message = writer.unit(track, &unit).unwrap();
            feed.hand(track.kind, message.timestamp, &message.body());
            sent.push(unit);
        }
        let units = feed.units(track);
        prop_assert_eq!(units.len(), sent.len());
        let (began, begins) = (sent[0].pts, units[0].pts);
        for (got, sent) in units.iter().zip(&sent) {
            prop_assert_eq!(&got.data, &sent.data);
            prop_assert_eq!(got.keyframe, sent.keyframe);
            // Sound goes by its samples, not by the clock that this test makes up.
            if track.kind == Kind::Video {
                prop_assert_eq!(got.pts.since(begins), sent.pts.since(began));
            }
        }
    }
}

/// Bytes that a codec could have written.
fn as_unit(codec: Codec, key: bool, body: Vec<u8>) -> Vec<u8> {
    let header: &[u8] = match (codec, key) {
        (Codec::H264, true) => &[0x65],
        (Codec::H264, false) => &[0x41],
        (Codec::H265, true) => &[0x26, 1],
        (Codec::H265, false) => &[0x02, 1],
        (Codec::Vp9, true) => &[0x82],
        (Codec::Vp9, false) => &[0x86],
        (Codec::Av1, _) => return [&[0x32, body.len() as u8], &body[..]].concat(),
        _ => return body,
    };
    let unit = [header, &body].concat();
    if codec == Codec::Vp9 {
        return unit;
    }
    [&(unit.len() as u32).to_be_bytes(), &unit[..]].concat()
}
