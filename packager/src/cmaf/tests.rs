//! Everything is read back by `mp4-atom`, which is not ours.

use bytes::Bytes;
use media::config::Error as Broken;
use media::{Codec, Format, MediaTime};
use mp4_atom::{Any, Audio, Codec as Entry, Decode, DecodeMaybe, Moof, Moov, Trak, TrunEntry};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Error;

/// 720x576 with pixels of 64:45 and the colours of television before 1996, by x264.
const AVC: &str = "014d401effe10020674d401eeca05a0937fe0080005ad4141815000003000100000300320f162d96\
    01000468ce0fc8";
/// 320x180 in 10 bits, BT.2020 with PQ, by x265; its SEI left out.
const HEVC: &str = "0102200000009000000000003cf000fcfdfafa00000f03200001001840010c01ffff0220000003\
    0090000003000003003c959809210001002d42010102200000030090000003000003003ca00a080b9f6d96566924ca\
    f026a122012080000003008000000c8422000100074401c172b46240";
/// 180x102 by SVT-AV1.
const AV1: &str = "81000c000a0a0000000 3b59e500be001";

pub(super) fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn format(codec: Codec, hex: &str) -> Format {
    media::config::format(codec, bytes(hex)).unwrap()
}

fn vp9(width: u16, height: u16) -> Format {
    let dimensions = Some((width, height));
    Format { codec: Codec::Vp9, config: Bytes::new(), dimensions, sound: None }
}

fn opus(hex: &str) -> Format {
    format(Codec::Opus, &["4f70757348656164", hex].concat())
}

/// The only track of an initialization segment, behind an `ftyp` that says CMAF.
fn track(format: &Format) -> Trak {
    let init = init(format, timescale(format)).unwrap();
    let mut rest = &init[..];
    let Any::Ftyp(ftyp) = Any::decode(&mut rest).unwrap() else { panic!("no ftyp") };
    assert_eq!(ftyp.major_brand, b"iso6".into());
    assert!(ftyp.compatible_brands.contains(&b"cmf2".into()));
    let moov = Moov::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    let mvex = moov.mvex.unwrap();
    assert_eq!((mvex.trex.len(), mvex.trex[0].track_id, moov.mvhd.next_track_id), (1, TRACK, 2));
    assert_eq!(mvex.trex[0].default_sample_description_index, 1);
    assert!(mvex.mehd.is_none(), "it has no end");
    let [track] = <[Trak; 1]>::try_from(moov.trak).unwrap();
    assert!(track.edts.is_none() && track.tkhd.enabled && track.tkhd.track_id == TRACK);
    assert_eq!(track.mdia.mdhd.timescale, timescale(format));
    assert_eq!(&track.mdia.mdhd.language, "und");
    track
}

fn entry(track: &Trak) -> &Entry {
    let stbl = &track.mdia.minf.stbl;
    assert!(stbl.stts.entries.is_empty() && stbl.stsc.entries.is_empty());
    assert_eq!(stbl.stsd.codecs.len(), 1);
    &stbl.stsd.codecs[0]
}

#[test]
fn h264_with_its_shape_and_colours() {
    let format = format(Codec::H264, AVC);
    let track = track(&format);
    let Entry::Avc1(avc1) = entry(&track) else { panic!("{:?}", entry(&track)) };
    assert_eq!((avc1.visual.width, avc1.visual.height), (720, 576));
    assert_eq!((avc1.avcc.length_size, avc1.avcc.sequence_parameter_sets.len()), (4, 1));
    let pasp = avc1.pasp.as_ref().unwrap();
    assert_eq!((pasp.h_spacing, pasp.v_spacing), (64, 45));
    let colr = mp4_atom::Colr::Nclx {
        colour_primaries: 5,
        transfer_characteristics: 6,
        matrix_coefficients: 5,
        full_range_flag: false,
    };
    assert_eq!(avc1.colr, Some(colr));
    assert_eq!((track.tkhd.width.integer(), track.tkhd.height.integer()), (1024, 576));
    assert_eq!(&track.mdia.hdlr.handler, &b"vide".into());
    assert_eq!(codecs(&format).unwrap(), "avc1.4d401e");
}

#[test]
fn h264_whose_lengths_were_of_two_bytes() {
    let mut config = bytes(AVC).to_vec();
    config[4] = 0xfd;
    let format = media::config::format(Codec::H264, config.into()).unwrap();
    let track = track(&format);
    let Entry::Avc1(avc1) = entry(&track) else { panic!() };
    assert_eq!(avc1.avcc.length_size, 4, "as access units have it");
}

#[test]
fn h265_with_wide_colours() {
    let format = format(Codec::H265, HEVC);
    let track = track(&format);
    let Entry::Hvc1(hvc1) = entry(&track) else { panic!("{:?}", entry(&track)) };
    assert_eq!((hvc1.visual.width, hvc1.visual.height), (320, 180));
    let complete = hvc1.hvcc.arrays.iter().all(|array| array.completeness);
    assert!(complete && hvc1.hvcc.arrays.len() == 3);
    let colr = mp4_atom::Colr::Nclx {
        colour_primaries: 9,
        transfer_characteristics: 16,
        matrix_coefficients: 9,
        full_range_flag: false,
    };
    assert_eq!(hvc1.colr, Some(colr));
    assert_eq!(codecs(&format).unwrap(), "hvc1.2.4.L60.90");
}

#[test]
fn av1_as_its_record_is() {
    let format = format(Codec::Av1, AV1);
    let track = track(&format);
    let Entry::Av01(av01) = entry(&track) else { panic!("{:?}", entry(&track)) };
    assert_eq!((av01.visual.width, av01.visual.height), (180, 102));
    assert_eq!(av01.av1c.config_obus, bytes(AV1)[4..]);
    assert_eq!(codecs(&format).unwrap(), "av01.0.00M.08");
}

#[test]
fn av1_that_is_not_what_is_assumed() {
    // Level 5.1, high tier, 10 bits, without colours, no sequence header.
    let monochrome = Format { dimensions: Some((3840, 2160)), ..format(Codec::Av1, "810dd000") };
    assert_eq!(codecs(&monochrome).unwrap(), "av01.0.13H.10.1.000.01.01.01.0");
    // BT.2020 with PQ, by libaom.
    let wide = format(Codec::Av1, "81004c000a0e000000043cfeccdaf95091009040");
    assert_eq!(codecs(&wide).unwrap(), "av01.0.00M.10.0.110.09.16.09.0");
    let Entry::Av01(av01) = entry(&track(&wide)).clone() else { panic!() };
    assert!(matches!(av01.colr, Some(mp4_atom::Colr::Nclx { transfer_characteristics: 16, .. })));
}

#[test]
fn vp9_by_its_size() {
    let format = vp9(1280, 720);
    let track = track(&format);
    let Entry::Vp09(vp09) = entry(&track) else { panic!("{:?}", entry(&track)) };
    assert_eq!((vp09.visual.width, vp09.visual.height), (1280, 720));
    let vpcc = &vp09.vpcc;
    assert_eq!((vpcc.profile, vpcc.level, vpcc.bit_depth), (0, 40, 8));
    assert_eq!((vpcc.chroma_subsampling, vpcc.video_full_range_flag), (1, false));
    for (size, name) in [
        ((320, 180), "vp09.00.20.08"),
        ((1920, 1080), "vp09.00.41.08"),
        ((3840, 2160), "vp09.00.51.08"),
        ((u16::MAX, u16::MAX), "vp09.00.62.08"),
    ] {
        assert_eq!(codecs(&vp9(size.0, size.1)).unwrap(), name);
    }
}

fn sound(audio: &Audio) -> (u16, u16) {
    (audio.sample_rate.integer(), audio.channel_count)
}

#[test]
fn aac_with_its_descriptor() {
    let lc = format(Codec::Aac, "121056e500");
    let track = track(&lc);
    let Entry::Mp4a(mp4a) = entry(&track) else { panic!("{:?}", entry(&track)) };
    assert_eq!(sound(&mp4a.audio), (44_100, 2));
    let es = &mp4a.esds.es_desc;
    assert_eq!((es.es_id, es.dec_config.object_type_indication), (0, 0x40));
    assert_eq!((es.dec_config.stream_type, es.dec_config.up_stream), (5, 0));
    assert_eq!(es.dec_config.dec_specific.as_ref().unwrap().raw, lc.config);
    assert_eq!((track.mdia.mdhd.timescale, &track.mdia.hdlr.handler), (44_100, &b"soun".into()));
    // LC; LC at a rate above what 16 bits say; SBR; PS.
    for (hex, name, rate) in [
        ("1210", "mp4a.40.2", 44_100),
        ("1010", "mp4a.40.2", 96_000),
        ("2b118800", "mp4a.40.5", 48_000),
        ("eb098800", "mp4a.40.29", 48_000),
    ] {
        let format = format(Codec::Aac, hex);
        assert_eq!((codecs(&format).unwrap().as_str(), timescale(&format)), (name, rate));
        let track = self::track(&format);
        let Entry::Mp4a(mp4a) = entry(&track) else { panic!() };
        assert_eq!(sound(&mp4a.audio), (u16::try_from(rate).unwrap_or(0), 2));
    }
}

#[test]
fn a_descriptor_longer_than_seven_bits() {
    let config = [&bytes("1210")[..], &[0; 200]].concat();
    let format = media::config::format(Codec::Aac, config.clone().into()).unwrap();
    let track = track(&format);
    let Entry::Mp4a(mp4a) = entry(&track) else { panic!() };
    assert_eq!(mp4a.esds.es_desc.dec_config.dec_specific.as_ref().unwrap().raw, config);
}

#[test]
fn opus_with_its_head() {
    let stereo = opus("010238018 0bb0000000000");
    let track = track(&stereo);
    let Entry::Opus(entry) = entry(&track) else { panic!("{:?}", entry(&track)) };
    assert_eq!(sound(&entry.audio), (48_000, 2));
    let dops = &entry.dops;
    assert_eq!((dops.output_channel_count, dops.pre_skip, dops.output_gain), (2, 312, 0));
    assert_eq!((dops.input_sample_rate, dops.channel_mapping.is_none()), (48_000, true));
    assert_eq!((codecs(&stereo).unwrap().as_str(), timescale(&stereo)), ("opus", 48_000));

    let surround = opus("0106380144ac0000ff00010402000401020305");
    let track = self::track(&surround);
    let Entry::Opus(entry) = self::entry(&track) else { panic!() };
    let mapping = entry.dops.channel_mapping.as_ref().unwrap();
    assert_eq!((entry.dops.output_gain, entry.dops.input_sample_rate), (255, 44_100));
    assert_eq!((mapping.family, mapping.stream_count, mapping.coupled_count), (1, 4, 2));
    assert_eq!(mapping.channel_mapping, [0, 4, 1, 2, 3, 5]);
}

#[test]
fn what_cannot_be_packaged() {
    let vp8 = Format { codec: Codec::Vp8, ..vp9(640, 360) };
    assert_eq!(init(&vp8, 90_000), Err(Error::Codec(Codec::Vp8)));
    assert_eq!(codecs(&vp8), Err(Error::Codec(Codec::Vp8)));
    let unknown = Format { dimensions: None, ..vp9(1, 1) };
    assert_eq!(init(&unknown, 90_000), Err(Error::Dimensions(Codec::Vp9)));
    assert_eq!(codecs(&unknown), Err(Error::Dimensions(Codec::Vp9)));
    let empty = Format { dimensions: Some((0, 16)), ..vp9(1, 1) };
    assert_eq!(init(&empty, 90_000), Err(Error::Dimensions(Codec::Vp9)));
    for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::Aac, Codec::Opus] {
        let broken = Format { codec, config: Bytes::new(), dimensions: None, sound: None };
        assert!(matches!(init(&broken, 1), Err(Error::Config(Broken::CutShort { .. }))));
        assert!(matches!(codecs(&broken), Err(Error::Config(Broken::CutShort { .. }))));
    }
    let long = Format { config: vec![0x12; 2 << 20].into(), ..format(Codec::Aac, "1210") };
    assert_eq!(init(&long, 44_100), Err(Error::TooLong(2 << 20)));
}

/// Boxes with their lengths, and those without boxes in them by their bytes.
fn dump(mut bytes: &[u8], depth: usize, out: &mut String) {
    while let Some((head, rest)) = bytes.split_at_checked(8) {
        let len = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        let (body, rest) = rest.split_at(len - 8);
        let kind = std::str::from_utf8(&head[4..]).unwrap();
        out.push_str(&format!("{:1$}{kind} {len}", "", 2 * depth));
        if matches!(kind, "moof" | "traf") {
            out.push('\n');
            dump(body, depth + 1, out);
        } else {
            let hex: String = body.chunks(4).map(|c| format!(" {}", hex(c))).collect();
            out.push_str(&format!(":{hex}\n"));
        }
        bytes = rest;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sample(duration: u32, composition: i32, keyframe: bool, data: &'static [u8]) -> Sample {
    Sample { duration, composition, keyframe, data: Bytes::from_static(data) }
}

#[test]
fn a_fragment_byte_for_byte() {
    let pictures = [
        sample(3000, 3000, true, b"abc"),
        sample(3000, -3000, false, b"d"),
        sample(3000, 0, false, b"ef"),
    ];
    let mut text = String::new();
    dump(&fragment(7, 0x1_0000_0002, &pictures), 0, &mut text);
    assert_eq!(
        text,
        "moof 124\n  \
           mfhd 16: 00000000 00000007\n  \
           traf 100\n    \
             tfhd 24: 00020028 00000001 00000bb8 01010000\n    \
             tfdt 20: 01000000 00000001 00000002\n    \
             trun 48: 01000a05 00000003 00000084 02000000 00000003 00000bb8 00000001 fffff448 \
             00000002 00000000\n\
         mdat 14: 61626364 6566\n"
    );
}

#[test]
fn sound_says_once_what_is_the_same() {
    let packets = [sample(960, 0, true, b"ab"), sample(960, 0, true, b"c")];
    let mut text = String::new();
    dump(&fragment(1, 0, &packets), 0, &mut text);
    assert_eq!(
        text,
        "moof 104\n  \
           mfhd 16: 00000000 00000001\n  \
           traf 80\n    \
             tfhd 24: 00020028 00000001 000003c0 02000000\n    \
             tfdt 20: 01000000 00000000 00000000\n    \
             trun 28: 01000201 00000002 00000070 00000002 00000001\n\
         mdat 11: 616263\n"
    );
}

#[test]
fn an_allocation_of_the_exact_size() {
    let pictures = [sample(3000, 0, true, b"abc"), sample(3001, 0, false, b"d")];
    let fragment = fragment(1, 0, &pictures);
    let len = fragment.len();
    let whole = fragment.try_into_mut().unwrap();
    assert_eq!((whole.capacity(), whole.len()), (len, len));
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let each = (any::<u32>(), any::<i32>(), any::<bool>(), vec(any::<u8>(), 0..40));
    // Durations and offsets that are the same are the usual case, and have another form.
    let steady = (Just(3000u32), Just(0i32), any::<bool>(), vec(any::<u8>(), 0..40));
    let to_sample = |(duration, composition, keyframe, data): (u32, i32, bool, Vec<u8>)| Sample {
        duration,
        composition,
        keyframe,
        data: data.into(),
    };
    prop_oneof![
        vec(each.prop_map(to_sample), 0..20),
        vec(steady.prop_map(to_sample), 0..20),
        vec(steady_sound().prop_map(to_sample), 0..20),
    ]
}

fn steady_sound() -> impl Strategy<Value = (u32, i32, bool, Vec<u8>)> {
    (Just(960u32), Just(0i32), Just(true), vec(any::<u8>(), 1..9))
}

/// What a fragment says of each sample, defaults filled in, and its bytes by the offset that is said.
fn read_back(bytes: &Bytes, sequence: u32, time: u64) -> Vec<Sample> {
    let mut rest = &bytes[..];
    let moof = Moof::decode(&mut rest).unwrap();
    let moof_len = bytes.len() - rest.len();
    let Some(Any::Mdat(mdat)) = Any::decode_maybe(&mut rest).unwrap() else { panic!("no mdat") };
    assert!(rest.is_empty());
    assert_eq!((moof.mfhd.sequence_number, moof.traf.len()), (sequence, 1));
    let traf = &moof.traf[0];
    assert!(traf.tfhd.default_base_is_moof && traf.tfhd.track_id == TRACK);
    assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, time);
    let [trun] = &traf.trun[..] else { panic!("{} runs", traf.trun.len()) };
    let mut at = usize::try_from(trun.data_offset.unwrap()).unwrap();
    assert_eq!(at, moof_len + 8);
    let samples = trun.samples.iter().map(|TrunEntry { duration, size, flags, cts }| {
        let (start, len) = (at, size.unwrap() as usize);
        at += len;
        Sample {
            duration: duration.or(traf.tfhd.default_sample_duration).unwrap(),
            composition: i32::try_from(cts.unwrap_or(0)).unwrap(),
            // sample_is_non_sync_sample
            keyframe: flags.or(traf.tfhd.default_sample_flags).unwrap() & 0x1_0000 == 0,
            data: bytes.slice(start..start + len),
        }
    });
    let samples: Vec<_> = samples.collect();
    assert_eq!((at, mdat.data.len()), (bytes.len(), bytes.len() - moof_len - 8));
    samples
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(sequence: u32, time: u64, samples in samples()) {
        let bytes = fragment(sequence, time, &samples);
        if !samples.is_empty() {
            prop_assert_eq!(read_back(&bytes, sequence, time), samples.clone());
        }
        let first = header_len(&samples);
        let data = samples.iter().map(|sample| sample.data.len()).sum::<usize>();
        prop_assert_eq!(first + data, bytes.len());
    }

    #[test]
    fn any_configuration_is_packaged_or_refused(
        config in vec(any::<u8>(), 0..200),
        head in 0..3usize,
        dimensions: Option<(u16, u16)>,
        sound: Option<(u32, u8)>,
        timescale: u32,
    ) {
        // The versions that let a parser go on.
        let head: &[u8] = [&[][..], &[1], b"OpusHead\x01"][head];
        let config = Bytes::from([head, &config].concat());
        for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::Vp9, Codec::Aac, Codec::Opus] {
            let format = Format { codec, config: config.clone(), dimensions, sound };
            let _ = (codecs(&format), super::timescale(&format));
            if let Ok(init) = init(&format, timescale) {
                let mut rest = &init[..];
                while let Some((head, _)) = rest.split_at_checked(8) {
                    let len = u32::from_be_bytes(head[..4].try_into().unwrap());
                    rest = &rest[len as usize..];
                }
                prop_assert!(rest.is_empty());
            }
        }
    }
}

#[test]
fn ticks_of_a_track_are_exact_for_its_units() {
    let lc = format(Codec::Aac, "1210");
    let unit = MediaTime::new(1024, 44_100);
    assert_eq!(unit.in_scale(timescale(&lc)), 1024);
    assert_eq!(
        MediaTime::from_millis(20).in_scale(timescale(&opus("0102000080bb0000000000"))),
        960
    );
}
