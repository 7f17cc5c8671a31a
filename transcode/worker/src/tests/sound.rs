//! AAC to Opus and back: level, pitch, channels, exact times, gaps, drift, and how much is held back.

use media::{AccessUnit, Codec, MediaTime};
use transcode::Target;

use super::source::{Clip, amplitude, hear, lag, noise, sound, tone};
use super::{formats, settings, units};
use crate::{Error, Output, Pipeline, Push};

const MS: i64 = 1_000_000;

fn bridge(clip: &Clip, to: Target) -> Vec<Output> {
    let mut pipeline = Pipeline::open(&clip.format, to, &settings()).unwrap();
    let mut out = Vec::new();
    for unit in &clip.units {
        pipeline.push(unit, Push::default(), &mut out).unwrap();
    }
    pipeline.flush(&mut out).unwrap();
    assert_eq!(pipeline.stats().undecodable, 0);
    out
}

fn at(unit: &AccessUnit, pts: i64) -> AccessUnit {
    let time = MediaTime::from_nanos(pts);
    AccessUnit { dts: time, pts: time, ..unit.clone() }
}

#[test]
fn aac_becomes_opus_with_both_channels_where_they_were() {
    let clip =
        sound("aac", 48_000, &[tone(440.0, 0.5, 48_000, 2.0), tone(1000.0, 0.25, 48_000, 2.0)]);
    let out = bridge(&clip, Target::Opus);
    let format = formats(&out)[0].clone();
    assert_eq!((format.codec, format.sound), (Codec::Opus, Some((48_000, 2))));
    assert!(format.config.starts_with(b"OpusHead"));
    let units = units(&out);
    let times: Vec<i64> = units.iter().map(|unit| unit.pts.nanos()).collect();
    assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 20 * MS).abs() <= 1), "{times:?}");

    let lines = hear(&format, &units);
    let (left, right) = (&lines[0][24_000..72_000], &lines[1][24_000..72_000]);
    assert!((amplitude(left, 440.0) - 0.5).abs() < 0.02, "{}", amplitude(left, 440.0));
    assert!((amplitude(right, 1000.0) - 0.25).abs() < 0.02, "{}", amplitude(right, 1000.0));
    assert!(amplitude(left, 1000.0) < 0.01 && amplitude(right, 440.0) < 0.01);
}

#[test]
fn other_rates_and_layouts_become_48_khz_of_one_channel_or_two() {
    let mono = bridge(&sound("aac", 44_100, &[tone(440.0, 0.5, 44_100, 2.0)]), Target::Opus);
    let format = formats(&mono)[0].clone();
    assert_eq!(format.sound, Some((48_000, 1)), "mono stays mono");
    let heard = hear(&format, &units(&mono));
    assert!((amplitude(&heard[0][24_000..72_000], 440.0) - 0.5).abs() < 0.02);

    let silent = vec![0.0; 96_000];
    let mut channels = vec![silent; 6];
    channels[0] = tone(440.0, 0.5, 48_000, 2.0);
    let surround = bridge(&sound("aac", 48_000, &channels), Target::Opus);
    let format = formats(&surround)[0].clone();
    assert_eq!(format.sound, Some((48_000, 2)));
    let heard = hear(&format, &units(&surround));
    let left = amplitude(&heard[0][24_000..72_000], 440.0);
    assert!((0.15..0.55).contains(&left) && amplitude(&heard[1][24_000..72_000], 440.0) < 0.01);
}

/// Most that the end of the newest unit in was ahead of the beginning of a unit out, without what a unit of the
/// source is long: for how long the first sample of a packet was held back.
fn held(clip: &Clip, to: Target, length: i64) -> (i64, Vec<Output>) {
    let mut pipeline = Pipeline::open(&clip.format, to, &settings()).unwrap();
    let (mut out, mut most) = (Vec::new(), 0);
    for unit in &clip.units {
        let before = out.len();
        pipeline.push(unit, Push::default(), &mut out).unwrap();
        for made in units(&out[before..]) {
            most = most.max(unit.pts.nanos() - made.pts.nanos());
        }
    }
    assert!(most > 0 && length > 0);
    (most, out)
}

#[test]
fn opus_lies_at_the_very_times_of_the_aac_and_is_not_held_back() {
    for rate in [48_000, 44_100] {
        let said = noise(rate, 3.0);
        let clip = sound("aac", rate, &[said.clone(), said]);
        let (most, out) = held(&clip, Target::Opus, 1024);
        println!("AAC {rate} Hz to Opus holds {:.1} ms at the most", most as f64 / 1e6);
        assert!(most <= 40 * MS, "{most} ns");
        let opus = hear(&formats(&out)[0].clone(), &units(&out));
        // Of 44.1 kHz the decoder's samples are another count; what was said is the same.
        let source = match rate {
            48_000 => hear(&clip.format, &clip.units.iter().collect::<Vec<_>>()).swap_remove(0),
            _ => continue,
        };
        let (lag, alike) = lag(&source[48_000..96_000], &opus[0][48_000..96_000], 200);
        println!("lag {lag} samples, alike {alike:.3}");
        assert!(lag.abs() <= 24 && alike > 0.9, "{lag} samples, {alike}");
    }
}

#[test]
fn opus_becomes_aac_at_the_same_times() {
    let said = noise(48_000, 3.0);
    let clip = sound("libopus", 48_000, &[said.clone(), tone(440.0, 0.5, 48_000, 3.0)]);
    let out = bridge(&clip, Target::Aac);
    let format = formats(&out)[0].clone();
    assert_eq!((format.codec, format.sound), (Codec::Aac, Some((48_000, 2))));
    let heard = hear(&format, &units(&out));
    let source = hear(&clip.format, &clip.units.iter().collect::<Vec<_>>());
    let (lag, alike) = lag(&source[0][48_000..96_000], &heard[0][48_000..96_000], 200);
    assert!(lag.abs() <= 24 && alike > 0.9, "{lag} samples, {alike}");
    assert!((amplitude(&heard[1][48_000..96_000], 440.0) - 0.5).abs() < 0.02);
    let (most, _) = held(&clip, Target::Aac, 960);
    println!("Opus to AAC holds {:.1} ms at the most", most as f64 / 1e6);
}

#[test]
fn gaps_are_filled_and_long_ones_are_kept_as_gaps() {
    let said = noise(48_000, 6.0);
    let mut clip = sound("aac", 48_000, &[said.clone(), said.clone()]);
    // 107 ms are missing at about 1 s, and 2 s at about 3 s.
    clip.units.drain(47..52);
    clip.units.drain(135..229);
    let out = bridge(&clip, Target::Opus);
    let units = units(&out);
    let steps: Vec<i64> =
        units.windows(2).map(|pair| pair[1].pts.nanos() - pair[0].pts.nanos()).collect();
    let jumps: Vec<i64> = steps.iter().copied().filter(|step| (step - 20 * MS).abs() > 1).collect();
    assert_eq!(jumps.len(), 1, "{jumps:?}");
    assert!((1900 * MS..2100 * MS).contains(&jumps[0]));
    let heard = hear(formats(&out)[0], &units);
    for range in [60_000..100_000, 250_000..280_000] {
        let (lag, alike) = lag(&said[range.clone()], &heard[0][range], 200);
        assert!(lag.abs() <= 24 && alike > 0.9, "{lag} samples, {alike}");
    }
    let hole = &heard[0][49_500..51_500];
    assert!(hole.iter().all(|sample| sample.abs() < 0.05), "silence in the gap");
}

#[test]
fn overlaps_are_cut() {
    let said = noise(48_000, 4.0);
    let mut clip = sound("aac", 48_000, &[said.clone(), said]);
    // From 2 s on everything comes 150 ms early, as after a publisher's own correction.
    for unit in &mut clip.units[94..] {
        *unit = at(unit, unit.pts.nanos() - 150 * MS);
    }
    let out = bridge(&clip, Target::Opus);
    let times: Vec<i64> = units(&out).iter().map(|unit| unit.pts.nanos()).collect();
    assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 20 * MS).abs() <= 1));
    let end = times.last().unwrap() + 20 * MS;
    assert!((end - 3850 * MS).abs() < 45 * MS, "{end}");
}

#[test]
fn drift_of_200_ppm_and_whole_milliseconds_are_held_for_ten_minutes() {
    let said = noise(48_000, 4.0);
    let clip = sound("aac", 48_000, &[said.clone(), said]);
    // A loop without the encoder's first and last frames.
    let repeat = &clip.units[2..152];
    let (frames, base) = (28_125_u32, 595_000 * MS);
    let mut pipeline = Pipeline::open(&clip.format, Target::Opus, &settings()).unwrap();
    let (mut out, mut format, mut held) = (Vec::new(), None, (i64::MAX, 0));
    let (mut source, mut made) = (Vec::new(), Vec::new());
    for number in 0..frames {
        let exact = f64::from(number) * 1024.0 / 48e3 * (1.0 + 200e-6);
        let pts = (exact * 1e3).floor() as i64 * MS;
        let unit = at(&repeat[number as usize % repeat.len()], pts);
        pipeline.push(&unit, Push::default(), &mut out).unwrap();
        format = format.or_else(|| formats(&out).first().map(|format| (*format).clone()));
        for unit in units(&out) {
            let now = pts - unit.pts.nanos();
            held = (held.0.min(now), held.1.max(now));
            if unit.pts.nanos() > base {
                made.push(at(unit, unit.pts.nanos() - base));
            }
        }
        if (exact * 1e9) as i64 > base {
            source.push(at(&unit, (exact * 1e9) as i64 - base));
        }
        out.clear();
    }
    let stats = pipeline.stats();
    println!("{stats:?}, held back {} to {} µs", held.0 / 1000, held.1 / 1000);
    assert_eq!((stats.filled, stats.trimmed), (0, 0), "only stretched");
    assert!(held.1 <= 40 * MS, "{held:?}");
    let source = hear(&clip.format, &source.iter().collect::<Vec<_>>());
    let heard = hear(&format.unwrap(), &made.iter().collect::<Vec<_>>());
    let (lag, alike) = lag(&source[0][48_000..72_000], &heard[0][48_000..72_000], 400);
    println!("after ten minutes {lag} samples off, alike {alike:.3}");
    // A millisecond is what the stretching follows behind, half a one the rounding of the timestamps.
    assert!(lag.abs() <= 120 && alike > 0.9, "{lag} samples, {alike}");
}

#[test]
fn preroll_and_garbage_make_no_sound_and_no_end() {
    let said = noise(48_000, 3.0);
    let clip = sound("aac", 48_000, &[said.clone(), said.clone()]);
    let mut pipeline = Pipeline::open(&clip.format, Target::Opus, &settings()).unwrap();
    let mut out = Vec::new();
    for unit in &clip.units[..20] {
        pipeline.push(unit, Push { preroll: true, late: false }, &mut out).unwrap();
    }
    assert!(out.is_empty());
    for (number, unit) in clip.units[20..].iter().enumerate() {
        let mut unit = unit.clone();
        if number == 50 {
            unit.data = vec![0xff; 300].into();
        }
        pipeline.push(&unit, Push::default(), &mut out).unwrap();
    }
    let first = units(&out)[0].pts.nanos();
    assert!((first - clip.units[20].pts.nanos() + 6_500_000).abs() < 2, "{first}");
    let end = units(&out).last().unwrap().pts.nanos();
    assert!(end > 2_930 * MS, "{end}");

    let mut broken = at(&clip.units[0], 0);
    broken.data = vec![0x13; 200].into();
    let mut pipeline = Pipeline::open(&clip.format, Target::Opus, &settings()).unwrap();
    let failed = (0..2000).find_map(|number| {
        pipeline.push(&at(&broken, number * 21 * MS), Push::default(), &mut out).err()
    });
    println!("{:?}", failed.as_ref().map(ToString::to_string));
    assert!(matches!(failed, None | Some(Error::Barren { .. })));
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let clip = sound("aac", 48_000, &[noise(48_000, 0.1)]);
    let open = |format: &media::Format, to| Pipeline::open(format, to, &settings()).err();
    let error = open(&clip.format, Target::H264).unwrap();
    assert!(!error.again() && error.to_string().contains("aac"));
    let mut format = clip.format.clone();
    format.config = bytes::Bytes::new();
    assert!(matches!(open(&format, Target::Opus), Some(Error::NoConfig { .. })));
    format.config = vec![0xff; 7].into();
    assert!(open(&format, Target::Opus).is_none_or(|error| error.again()));
}
