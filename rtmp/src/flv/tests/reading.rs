//! What other programs write, tag by tag.

use media::config::avc;
use media::{MediaTime, config};

use super::*;

/// By x264: 64x48, and 32x24.
const LARGE: [&[u8]; 2] = [
    b"\x67\x64\x00\x0a\xac\xd9\x44\x7b\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\x20\xf1\x22\x59\x60",
    b"\x68\xeb\xe3\xcb\x22\xc0",
];
const SMALL: [&[u8]; 2] = [
    b"\x67\x64\x00\x0a\xac\xb2\x12\xfc\xb8\x08\x80\x00\x00\x03\x00\x80\x00\x00\x19\x07\x89\x13\x24",
    b"\x68\xeb\xc3\xcb\x22\xc0",
];
const IDR: &[u8] = b"\x65\x88\x84\x00";
const SLICE: &[u8] = b"\x41\x9a\x24";
const ASC: &[u8] = b"\xaf\x00\x11\x90";

fn nals(units: &[&[u8]], size: usize) -> Vec<u8> {
    let each = |unit: &&[u8]| [&(unit.len() as u32).to_be_bytes()[4 - size..], unit].concat();
    units.iter().flat_map(each).collect()
}

fn classic(first: u8, composition: i32, units: &[&[u8]], size: usize) -> Vec<u8> {
    let time = &composition.to_be_bytes()[1..];
    [&[first, 1], time, &nals(units, size)].concat()
}

fn record([sps, pps]: [&'static [u8]; 2]) -> Vec<u8> {
    let sets = (vec![Bytes::from_static(sps)], vec![Bytes::from_static(pps)]);
    avc::Record::from_sets(sets.0, sets.1).unwrap().build().to_vec()
}

fn sequence_header(record: &[u8]) -> Vec<u8> {
    [&[0x17, 0, 0, 0, 0], record].concat()
}

#[test]
fn other_length_sizes_become_four() {
    for size in [1, 2, 4] {
        let mut feed = Feed::new();
        let mut header = sequence_header(&record(LARGE));
        header[9] = 0xfc | (size as u8 - 1);
        feed.say(Kind::Video, 0, &header);
        feed.say(Kind::Video, 0, &classic(0x17, 40, &[IDR, SLICE], size));
        let format = &feed.formats(VIDEO)[0];
        assert_eq!(format.config[4], 0xff, "says four");
        assert_eq!(format.dimensions, Some((64, 48)));
        let unit = &feed.units(VIDEO)[0];
        assert_eq!(unit.data, nals(&[IDR, SLICE], 4), "{size}");
        assert_eq!((unit.dts, unit.pts), (MediaTime::ZERO, MediaTime::from_millis(40)));
    }
}

#[test]
fn empty_and_overlong_nal_units_are_dropped_and_the_rest_stays() {
    let mut feed = Feed::new();
    feed.say(Kind::Video, 0, &sequence_header(&record(LARGE)));
    let mut body = classic(0x17, 0, &[b"", IDR, b"", SLICE], 4);
    body.extend([0, 0, 1, 0, 9, 9]);
    feed.say(Kind::Video, 0, &body);
    assert_eq!(feed.units(VIDEO)[0].data, nals(&[IDR, SLICE], 4));
    assert_eq!((feed.dropped(Dropped::EmptyNal), feed.dropped(Dropped::Overrun)), (2, 1));
    feed.say(Kind::Video, 40, &classic(0x27, 0, &[b""], 4));
    assert_eq!((feed.units(VIDEO).len(), feed.dropped(Dropped::Empty)), (1, 1));
}

#[test]
fn a_change_of_resolution_in_band_is_a_new_format() {
    let mut feed = Feed::new();
    feed.say(Kind::Video, 0, &sequence_header(&record(LARGE)));
    feed.say(Kind::Video, 0, &classic(0x17, 0, &[LARGE[0], LARGE[1], IDR], 4));
    feed.say(Kind::Video, 40, &classic(0x27, 0, &[SLICE], 4));
    assert_eq!(feed.formats(VIDEO).len(), 1, "the same sets are no change");
    let said = feed.say(Kind::Video, 80, &classic(0x17, 0, &[SMALL[0], SMALL[1], IDR], 4));
    assert!(matches!(said[..], [Item::Track { .. }, Item::Unit { .. }]), "before its unit");
    assert_eq!(feed.formats(VIDEO)[1].dimensions, Some((32, 24)));
    let config = &feed.formats(VIDEO)[1].config;
    assert_eq!(config::format(Codec::H264, config.clone()).unwrap(), feed.formats(VIDEO)[1]);
    // The old header again, for those who join late, changes nothing back.
    assert_eq!(feed.say(Kind::Video, 120, &sequence_header(&record(LARGE))), []);
    feed.say(Kind::Video, 120, &sequence_header(&[&record(LARGE)[..], &[0]].concat()));
    assert_eq!(feed.formats(VIDEO)[2].dimensions, Some((64, 48)), "another one does");
}

#[test]
fn without_a_sequence_header_the_stream_says_it_itself() {
    let mut feed = Feed::new();
    let said = feed.say(Kind::Video, 0, &classic(0x27, 0, &[SLICE], 4));
    let notice = Item::Notice { track: VIDEO, notice: Notice::NoConfig };
    assert_eq!(said, [notice]);
    assert_eq!(feed.say(Kind::Video, 40, &classic(0x27, 0, &[SLICE], 4)), [], "said once");
    assert_eq!(feed.dropped(Dropped::NoConfig), 2);
    feed.say(Kind::Video, 80, &classic(0x17, 0, &[SMALL[0], SMALL[1], IDR], 4));
    assert_eq!(feed.formats(VIDEO)[0].dimensions, Some((32, 24)));
    assert_eq!(feed.units(VIDEO).len(), 1);
}

#[test]
fn a_sequence_header_without_parameter_sets_still_says_the_length_size() {
    let mut feed = Feed::new();
    let said = feed.say(Kind::Video, 0, &sequence_header(&[1, 100, 0, 10, 0xfd, 0xe0, 0]));
    assert_eq!(said, [Item::Notice { track: VIDEO, notice: Notice::BadConfig }]);
    feed.say(Kind::Video, 0, &classic(0x17, 0, &[SMALL[0], SMALL[1], IDR], 2));
    assert_eq!(feed.formats(VIDEO)[0].dimensions, Some((32, 24)));
    assert_eq!(feed.units(VIDEO)[0].data, nals(&[SMALL[0], SMALL[1], IDR], 4));
}

#[test]
fn hevc_by_number_12_and_from_its_own_parameter_sets() {
    // What FFmpeg wrote in Enhanced form, said in the classic one.
    let (mut classic, mut in_band) = (Feed::new(), Feed::new());
    let mut sets = Vec::new();
    for (kind, timestamp, body) in tags(HEVC_AAC) {
        let (Kind::Video, [first, ..]) = (kind, &body[..]) else { continue };
        let frame = first & 0x70 | 12;
        let (type_, time, rest) = match first & 15 {
            0 => (0, &[0, 0, 0][..], &body[5..]),
            1 => (1, &body[5..8], &body[8..]),
            3 => (1, &[0, 0, 0][..], &body[5..]),
            _ => continue,
        };
        classic.say(kind, timestamp, &[&[frame, type_], time, rest].concat());
        if type_ == 0 {
            let record = config::hevc::Record::parse(&body.slice(5..)).unwrap();
            let all = [record.vps, record.sps, record.pps].concat();
            let all: Vec<&[u8]> = all.iter().map(|set| &set[..]).collect();
            sets = nals(&all, 4);
        } else {
            let sets = if timestamp == 0 { &sets[..] } else { &[] };
            in_band.say(kind, timestamp, &[&[frame, type_], time, sets, rest].concat());
        }
    }
    let expected = read(HEVC_AAC);
    assert_eq!(classic.formats(VIDEO), expected.formats(VIDEO));
    let bytes = |feed: &Feed| feed.units(VIDEO).into_iter().map(|u| u.data).collect::<Vec<_>>();
    assert_eq!(bytes(&classic), bytes(&expected));
    assert_eq!(in_band.formats(VIDEO)[0].dimensions, Some((64, 48)));
    assert_eq!(in_band.units(VIDEO).len(), 12);
}

#[test]
fn aac_without_its_configuration_waits_for_it() {
    let mut feed = Feed::new();
    let said = feed.say(Kind::Audio, 0, b"\xaf\x01\x21\x10");
    assert_eq!(said, [Item::Notice { track: AUDIO, notice: Notice::NoConfig }]);
    feed.say(Kind::Audio, 20, ASC);
    feed.say(Kind::Audio, 21, b"\xaf\x01\x21\x10");
    feed.say(Kind::Audio, 42, b"");
    feed.say(Kind::Audio, 42, b"\xaf\x01");
    assert_eq!(feed.units(AUDIO)[0].data, &b"\x21\x10"[..]);
    let counts = [Dropped::NoConfig, Dropped::Silence, Dropped::Empty].map(|why| feed.dropped(why));
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn a_new_configuration_is_a_new_format_and_the_same_again_is_not() {
    let mut feed = Feed::new();
    for header in [ASC, ASC, b"\xaf\x00\x12\x10", ASC] {
        feed.say(Kind::Audio, 0, header);
    }
    let rates: Vec<_> = feed.formats(AUDIO).iter().map(|format| format.sound).collect();
    let (high, low) = (Some((48_000, 2)), Some((44_100, 2)));
    assert_eq!(rates, [high, low, high]);
    let said = feed.say(Kind::Audio, 0, b"\xaf\x00\xff");
    assert_eq!(said, [Item::Notice { track: AUDIO, notice: Notice::BadConfig }]);
}

#[test]
fn what_is_not_carried_is_refused_by_name_once() {
    let refused = [
        (
            Kind::Video,
            &b"\x12\x00"[..],
            "Sorenson H.263 video is not carried: set the video encoder to H.264",
        ),
        (Kind::Video, b"\x14", "On2 VP6 video"),
        (Kind::Video, b"\x13", "Screen video"),
        (Kind::Video, b"\x90vvc1", "H.266 (VVC) video"),
        (Kind::Video, b"\x90a\x00\"b", "unknown (\"a\\x00\\\"b\") video"),
        (Kind::Audio, b"\x2f\xff", "MP3 audio is not carried: set the audio encoder to AAC"),
        (Kind::Audio, b"\xb6\xff", "Speex audio"),
        (Kind::Audio, b"\x3e\x00", "uncompressed PCM audio"),
        (Kind::Audio, b"\x5e\x00", "Nellymoser audio"),
        (Kind::Audio, b"\x90ac-3", "AC-3 (Dolby Digital) audio"),
        (Kind::Audio, b"\x91ec-3", "E-AC-3 (Dolby Digital Plus) audio"),
        (Kind::Audio, b"\x91fLaC", "FLAC audio"),
        (Kind::Audio, b"\x91.mp3", "MP3 audio"),
    ];
    for (kind, body, words) in refused {
        let mut feed = Feed::new();
        let said = feed.say(kind, 0, body);
        let [Item::Refused { track, refusal }] = &said[..] else { panic!("{words}: {said:?}") };
        assert_eq!(*track, Track::main(kind));
        assert!(refusal.to_string().starts_with(words), "{refusal}");
        assert_eq!(feed.say(kind, 0, body), [], "said once");
        assert_eq!(feed.dropped(Dropped::Codec), 2);
    }
    let mut feed = Feed::new();
    let said = feed.say(Kind::Video, 0, b"\x95av01\x80\x04");
    let refusal = Refusal::TransportStream;
    assert_eq!(said, [Item::Refused { track: VIDEO, refusal }]);
}

#[test]
fn commands_metadata_and_channels_are_passed_over() {
    let mut feed = Feed::new();
    feed.say(Kind::Video, 0, &sequence_header(&record(LARGE)));
    feed.say(Kind::Video, 0, b"\x57\x00");
    feed.say(Kind::Video, 0, b"\xd1\x00");
    feed.say(Kind::Video, 0, b"\xd4avc1\x02\x00\x09colorInfo\x03");
    feed.say(Kind::Audio, 0, b"\x94Opus\x01\x02\x00\x00\x00\x03");
    feed.say(Kind::Video, 0, b"\x88avc1");
    feed.say(Kind::Audio, 0, b"\xaf\x05");
    let counts = [Dropped::Command, Dropped::Metadata, Dropped::Channels, Dropped::PacketType];
    assert_eq!(counts.map(|why| feed.dropped(why)), [2, 1, 1, 2]);
    feed.say(Kind::Video, 40, &classic(0x17, 0, &[IDR], 4));
    assert_eq!(feed.units(VIDEO).len(), 1, "and nothing else has changed");
}

#[test]
fn nanoseconds_are_exact() {
    let mut feed = Feed::new();
    feed.say(Kind::Video, 0, &sequence_header(&record(LARGE)));
    for (n, nanos) in [(0, 0), (1, 366_667), (2, 733_333)] {
        let nanos: [u8; 4] = u32::to_be_bytes(nanos);
        let head = [&[0x97, 2], &nanos[1..], &[0x03], b"avc1"].concat();
        feed.say(Kind::Video, n * 33 / 2, &[&head[..], &nals(&[IDR], 4)].concat());
    }
    let times: Vec<_> = feed.units(VIDEO).iter().map(|unit| unit.pts.nanos()).collect();
    assert_eq!(times, [0, 16_366_667, 33_733_333]);
    // A modifier that nobody knows, and one of 300 bytes, are passed over.
    let long = [&[0x97, 255, 1, 0x2b][..], &[7; 300], &[0x13], b"avc1", &nals(&[IDR], 4)].concat();
    feed.say(Kind::Video, 100, &long);
    assert_eq!(feed.units(VIDEO)[3].pts, MediaTime::from_millis(100));
}

#[test]
fn many_tracks_in_one_message() {
    let track =
        |id: u8, body: &[u8]| [&[id], &(body.len() as u32).to_be_bytes()[1..], body].concat();
    let mut feed = Feed::new();
    let (large, small) = (record(LARGE), record(SMALL));
    let headers = [&[0x96, 0x10][..], b"avc1", &track(0, &large), &track(1, &small)].concat();
    feed.say(Kind::Video, 0, &headers);
    let idr = nals(&[IDR], 4);
    let vp8 = b"\x50\x42\x00\x9d\x01\x2a\x40\x01\xf0\x00\x00";
    let frames = [
        &[0x96, 0x23][..],
        b"avc1",
        &track(0, &idr),
        b"avc1",
        &track(1, &idr),
        b"vp08",
        &track(5, vp8),
    ];
    feed.say(Kind::Video, 40, &frames.concat());
    for (id, size) in [(0, (64, 48)), (1, (32, 24)), (5, (320, 240))] {
        let track = Track { kind: Kind::Video, id };
        assert_eq!(feed.formats(track)[0].dimensions, Some(size));
        assert_eq!(feed.units(track)[0].dts, MediaTime::ZERO);
    }
    for id in 10..20 {
        feed.say(Kind::Video, 80, &[&[0x96, 0x01][..], b"vp08", &[id], &vp8[..]].concat());
    }
    assert_eq!(feed.dropped(Dropped::Tracks), 5, "eight of a kind");
    let nested = [&[0x96, 0x06][..], b"avc1", &[0]].concat();
    feed.say(Kind::Video, 80, &nested);
    assert_eq!(feed.dropped(Dropped::PacketType), 1);
}

#[test]
fn opus_needs_no_configuration() {
    for header in [&b"\x90Opus"[..], b""] {
        let mut feed = Feed::new();
        feed.say(Kind::Audio, 0, header);
        feed.say(Kind::Audio, 0, b"\x91Opus\xfc\x01");
        assert_eq!(feed.formats(AUDIO)[0].sound, Some((48_000, 2)));
        assert_eq!(feed.units(AUDIO)[0].data, &b"\xfc\x01"[..]);
    }
}

#[test]
fn a_codec_may_change_on_the_way() {
    let mut feed = Feed::new();
    feed.say(Kind::Audio, 0, ASC);
    feed.say(Kind::Audio, 0, b"\xaf\x01\x21\x10");
    feed.say(Kind::Audio, 21, b"\x91Opus\xfc\x01");
    feed.say(Kind::Audio, 41, b"\x91Opus\xfc\x01");
    let codecs: Vec<_> = feed.formats(AUDIO).iter().map(|format| format.codec).collect();
    assert_eq!(codecs, [Codec::Aac, Codec::Opus]);
    let times: Vec<_> = feed.units(AUDIO).iter().map(|unit| unit.dts.millis()).collect();
    assert_eq!(times, [0, 21, 41]);
}

#[test]
fn a_track_that_has_ended_comes_back_whole() {
    let mut feed = Feed::new();
    let header = sequence_header(&record(LARGE));
    feed.say(Kind::Video, 0, &header);
    assert_eq!(feed.say(Kind::Video, 40, b"\x17\x02\0\0\0"), [Item::End { track: VIDEO }]);
    feed.say(Kind::Video, 80, &header);
    assert_eq!(feed.formats(VIDEO).len(), 2, "the same header, told again");
    feed.say(Kind::Video, 80, &classic(0x17, 0, &[IDR], 4));
    assert_eq!(feed.units(VIDEO).len(), 1);
}
