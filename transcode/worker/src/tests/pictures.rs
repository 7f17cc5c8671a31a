//! Pictures through the bridge: no B-frames, every picture where it was, and what happens when things change.

use std::collections::BTreeMap;

use media::{AccessUnit, Codec, Format, MediaTime};
use transcode::Target;

use super::source::{Clip, PICTURE, Shown, luma, pictures, psnr, show};
use super::{formats, settings, units};
use crate::{Error, Output, Pipeline, Push, Settings};

const SIZE: (u32, u32) = (320, 180);

/// x264 as OBS and ffmpeg use it: B-frames, reordered by two.
const USUAL: &[(&str, &str)] =
    &[("preset", "veryfast"), ("bf", "3"), ("b-pyramid", "normal"), ("b_strategy", "0")];

/// What comes out, and how many pictures came only at the end.
fn bridge(clip: &Clip, to: Target, settings: &Settings) -> (Vec<Output>, usize) {
    let mut pipeline = Pipeline::open(&clip.format, to, settings).unwrap();
    let mut out = Vec::new();
    for unit in &clip.units {
        pipeline.push(unit, Push::default(), &mut out).unwrap();
    }
    let before = units(&out).len();
    pipeline.flush(&mut out).unwrap();
    let held = units(&out).len() - before;
    (out, held)
}

/// All pictures are there, at their times, and look as the source's decoder shows them. Returns the worst in dB.
fn check(out: &[Output], clip: &Clip) -> f64 {
    let all = units(out);
    let rising = |pair: &[&AccessUnit]| pair[0].pts < pair[1].pts && pair[0].dts == pair[0].pts;
    assert!(all.windows(2).all(rising) && all[0].keyframe);
    let source = show(&clip.format, &clip.units.iter().collect::<Vec<_>>());
    let shown = show(formats(out)[0], &all);
    let times = |of: &BTreeMap<i64, Shown>| of.keys().copied().collect::<Vec<_>>();
    assert_eq!(times(&shown), times(&source));
    assert!(shown.len() == clip.units.len() && shown.values().all(|picture| !picture.b));
    let alike = source.values().zip(shown.values()).map(|(l, r)| psnr(&l.luma, &r.luma));
    alike.fold(f64::MAX, f64::min)
}

#[test]
fn b_frames_are_gone_and_every_picture_is_where_it_was() {
    let clip = pictures("libx264", USUAL, SIZE, 90);
    assert!(clip.units.iter().any(|unit| unit.pts != unit.dts), "the source reorders");
    let mut pipeline = Pipeline::open(&clip.format, Target::H264, &settings()).unwrap();
    let mut out = Vec::new();
    for (number, unit) in clip.units.iter().enumerate() {
        pipeline.push(unit, Push::default(), &mut out).unwrap();
        let made = units(&out).len();
        assert!(made + 2 > number, "{made} of {}: more held back than the reordering", number + 1);
    }
    pipeline.flush(&mut out).unwrap();
    let worst = check(&out, &clip);
    println!("worst {worst:.1} dB");
    assert!(worst > 30.0, "{worst} dB");
    let format = formats(&out)[0].clone();
    assert_eq!((format.codec, format.dimensions), (Codec::H264, Some((320, 180))));
    assert_eq!(format.config[..3], [1, 0x42, 0xc0], "constrained baseline");
    for unit in units(&out) {
        let nal = &unit.data[4..];
        assert!([1, 5, 6].contains(&(nal[0] & 0x1f)), "no parameter sets in the units");
    }
    let keyframes: Vec<i64> =
        units(&out).iter().filter(|u| u.keyframe).map(|u| u.pts.nanos()).collect();
    let first = keyframes[0];
    assert_eq!(keyframes.iter().map(|pts| (pts - first) / PICTURE).collect::<Vec<_>>(), [0, 61]);
}

#[test]
fn every_codec_becomes_h264_and_vp8() {
    let fast: &[(&str, &str)] =
        &[("deadline", "good"), ("cpu-used", "5"), ("lag-in-frames", "0"), ("b", "800k")];
    let sources = [
        (
            "libx265",
            &[
                ("preset", "ultrafast"),
                ("x265-params", "log-level=none:bframes=3:pools=1:frame-threads=1"),
            ][..],
        ),
        ("libvpx", fast),
        ("libvpx-vp9", fast),
        (
            "libaom-av1",
            &[("usage", "realtime"), ("cpu-used", "8"), ("lag-in-frames", "0"), ("b", "800k")][..],
        ),
    ];
    for (name, options) in sources {
        let clip = pictures(name, options, SIZE, 15);
        for to in [Target::H264, Target::Vp8] {
            let (out, held) = bridge(&clip, to, &settings());
            let worst = check(&out, &clip);
            let reorders = if name == "libx265" { 2 } else { 0 };
            assert!(held <= reorders, "{name}: {held} pictures were held back");
            println!("{name} to {to:?}: worst {worst:.1} dB");
            assert!(worst > 30.0, "{name} to {to:?}: {worst} dB");
        }
    }
}

#[test]
fn a_keyframe_comes_when_it_is_asked_for() {
    let clip = pictures("libx264", USUAL, SIZE, 30);
    for to in [Target::H264, Target::Vp8] {
        let mut pipeline = Pipeline::open(&clip.format, to, &settings()).unwrap();
        let mut out = Vec::new();
        for (number, unit) in clip.units.iter().enumerate() {
            if number == 20 {
                pipeline.keyframe();
            }
            pipeline.push(unit, Push::default(), &mut out).unwrap();
        }
        let keyframes = units(&out)
            .iter()
            .enumerate()
            .filter(|(_, u)| u.keyframe)
            .map(|(n, _)| n)
            .collect::<Vec<_>>();
        assert_eq!(keyframes.len(), 2, "{keyframes:?}");
        assert!((17..=20).contains(&keyframes[1]), "{keyframes:?}");
    }
}

#[test]
fn after_a_gap_the_sources_keyframe_becomes_one() {
    let clip = pictures("libx264", &[("preset", "veryfast"), ("g", "10"), ("bf", "0")], SIZE, 40);
    let mut pipeline = Pipeline::open(&clip.format, Target::H264, &settings()).unwrap();
    let mut out = Vec::new();
    for unit in &clip.units[..15] {
        pipeline.push(unit, Push::default(), &mut out).unwrap();
    }
    // The rest comes a second later, from the middle of a group of pictures on.
    for unit in &later(&clip, 1_000_000_000)[15..] {
        pipeline.push(unit, Push::default(), &mut out).unwrap();
    }
    let keyframes: Vec<usize> =
        units(&out).iter().enumerate().filter(|(_, u)| u.keyframe).map(|(n, _)| n).collect();
    assert_eq!(keyframes, [0, 20], "not at 10 and 30, where nothing was missing");
}

fn later(clip: &Clip, nanos: i64) -> Vec<AccessUnit> {
    let by = |time: MediaTime| MediaTime::from_nanos(time.nanos() + nanos);
    clip.units
        .iter()
        .map(|unit| AccessUnit { dts: by(unit.dts), pts: by(unit.pts), ..unit.clone() })
        .collect()
}

#[test]
fn another_size_and_another_codec_go_on_with_a_new_format() {
    let small = pictures("libx264", USUAL, SIZE, 20);
    let large = pictures("libx264", USUAL, (480, 270), 20);
    let vp8 = pictures("libvpx", &[("deadline", "realtime"), ("b", "500k")], (481, 271), 20);
    let mut pipeline = Pipeline::open(&small.format, Target::H264, &settings()).unwrap();
    let mut out = Vec::new();
    for (number, clip) in [&small, &large, &vp8].into_iter().enumerate() {
        pipeline.format(&clip.format, &mut out).unwrap();
        for unit in later(clip, number as i64 * 25 * PICTURE) {
            pipeline.push(&unit, Push::default(), &mut out).unwrap();
        }
    }
    pipeline.flush(&mut out).unwrap();
    assert_eq!(units(&out).len(), 60, "none is lost");
    let sizes: Vec<_> = formats(&out).iter().map(|format| format.dimensions.unwrap()).collect();
    assert_eq!(
        sizes,
        [(320, 180), (480, 270), (480, 270)],
        "odd rows are cut; VP8 has other colours"
    );
    let mut fresh = true;
    let mut last = MediaTime::from_nanos(-1);
    for output in &out {
        match output {
            Output::Format(_) => fresh = true,
            Output::Unit(unit) => {
                assert!(!fresh || unit.keyframe, "a new format begins with a keyframe");
                assert!(unit.pts > last);
                (fresh, last) = (false, unit.pts);
            }
        }
    }
}

#[test]
fn preroll_shows_nothing_and_late_pictures_are_skipped() {
    let clip = pictures("libx264", USUAL, SIZE, 60);
    let mut pipeline = Pipeline::open(&clip.format, Target::H264, &settings()).unwrap();
    let mut out = Vec::new();
    let mut prerolled = Vec::new();
    for (number, unit) in clip.units.iter().enumerate() {
        // Also in the middle, as when the server lets a bridge catch up.
        let preroll = number < 12 || (30..36).contains(&number);
        if preroll {
            prerolled.push(unit.pts);
        }
        pipeline.push(unit, Push { preroll, late: false }, &mut out).unwrap();
    }
    pipeline.flush(&mut out).unwrap();
    let made: Vec<MediaTime> = units(&out).iter().map(|unit| unit.pts).collect();
    assert_eq!(made.len(), 60 - prerolled.len());
    assert!(prerolled.iter().all(|pts| !made.contains(pts)));
    assert!(units(&out)[0].keyframe && units(&out)[1..].iter().all(|unit| !unit.keyframe));

    let mut pipeline = Pipeline::open(&clip.format, Target::H264, &settings()).unwrap();
    let mut out = Vec::new();
    for unit in &clip.units {
        pipeline.push(unit, Push { preroll: false, late: true }, &mut out).unwrap();
    }
    let made = units(&out).len() as u64;
    assert!((3..=5).contains(&made), "a slide show of {made}");
    assert_eq!(pipeline.stats().skipped, 58 - made, "two are still in the decoder");
}

#[test]
fn broken_units_are_counted_and_the_next_keyframe_mends_them() {
    let clip = pictures("libx264", &[("preset", "veryfast"), ("g", "15")], SIZE, 60);
    let mut pipeline = Pipeline::open(&clip.format, Target::H264, &settings()).unwrap();
    let mut out = Vec::new();
    for (number, unit) in clip.units.iter().enumerate() {
        let mut unit = unit.clone();
        let mut data = unit.data.to_vec();
        match number {
            20 => data = vec![0xa5; 500],
            21 => data.truncate(data.len() / 2),
            22 => data.iter_mut().skip(6).for_each(|byte| *byte ^= 0x5a),
            23 => data = vec![0],
            _ => {}
        }
        unit.data = data.into();
        pipeline.push(&unit, Push::default(), &mut out).unwrap();
    }
    pipeline.flush(&mut out).unwrap();
    assert!(pipeline.stats().undecodable >= 2, "{:?}", pipeline.stats());
    let shown = show(formats(&out)[0], &units(&out));
    let offset = clip.units[0].pts.nanos();
    for number in 45..58_u32 {
        let picture = &shown[&(offset + i64::from(number) * PICTURE)];
        assert!(psnr(&picture.luma, &luma(320, 180, number)) > 30.0, "picture {number}");
    }
}

#[test]
fn what_is_never_a_picture_ends_the_bridge_with_a_reason() {
    let clip = pictures("libx264", USUAL, SIZE, 2);
    let mut pipeline = Pipeline::open(&clip.format, Target::H264, &settings()).unwrap();
    let mut state = 7_u32;
    let mut out = Vec::new();
    let failed = (0..1000).find_map(|number| {
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u8
        };
        let data: Vec<u8> = (0..200).map(|_| random()).collect();
        let time = MediaTime::from_nanos(number * PICTURE);
        let unit = AccessUnit { dts: time, pts: time, keyframe: number == 0, data: data.into() };
        pipeline.push(&unit, Push::default(), &mut out).err()
    });
    let failed = failed.expect("it gives up");
    assert!(matches!(failed, Error::Barren { codec: Codec::H264, .. }) && failed.again());
    assert!(units(&out).is_empty());

    let open = |format: &Format| Pipeline::open(format, Target::H264, &settings()).err();
    let mut format = clip.format.clone();
    format.config = bytes::Bytes::new();
    assert!(matches!(open(&format), Some(Error::NoConfig { .. })));
    let error = Pipeline::open(&format, Target::Opus, &settings()).err().unwrap();
    assert!(!error.again());
}

#[test]
fn the_cap_holds() {
    let clip = pictures("libx264", &[("preset", "veryfast"), ("crf", "10")], SIZE, 120);
    let settings = Settings { bitrate: Some(200_000), ..settings() };
    for to in [Target::H264, Target::Vp8] {
        let (out, _) = bridge(&clip, to, &settings);
        let bits: usize = units(&out).iter().map(|unit| unit.data.len() * 8).sum();
        println!("{to:?}: {} bit/s", bits / 4);
        // The buffer lets the first second have a second's worth more.
        assert!(bits < 200_000 * 6, "{to:?}: {bits} bits in 4 s");
    }
}
