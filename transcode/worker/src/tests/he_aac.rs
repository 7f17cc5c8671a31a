//! HE-AAC, which no encoder of libav's here makes. The fixtures are two seconds of a tone of 1 kHz by fdk-aac: at 48 kHz with
//! spectral band replication, and at 44.1 kHz with parametric stereo too; each unit behind its length in two bytes. Their
//! configuration says so in one of three ways (ISO/IEC 14496-3 section 1.6.5), or not at all.

use bytes::Bytes;
use media::{AccessUnit, Codec, MediaTime};
use transcode::Target;

use super::source::{Clip, amplitude, hear};
use super::{formats, settings, units};
use crate::{Pipeline, Push};

const V1: &[u8] = include_bytes!("../../fixtures/he-aac.units");
const V2: &[u8] = include_bytes!("../../fixtures/he-aac-v2.units");

/// Samples in a unit, with its upper half.
const SAMPLES: i64 = 2048;

fn clip(mut fixture: &'static [u8], rate: i64, config: &'static [u8]) -> Clip {
    let format = media::config::format(Codec::Aac, Bytes::from_static(config)).unwrap();
    let mut units = Vec::new();
    while let Some((length, rest)) = fixture.split_first_chunk::<2>() {
        let (data, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        let time = MediaTime::from_nanos(units.len() as i64 * SAMPLES * 1_000_000_000 / rate);
        let data = Bytes::from_static(data);
        units.push(AccessUnit { dts: time, pts: time, keyframe: true, data });
        fixture = rest;
    }
    Clip { format, units }
}

#[test]
fn pitch_length_and_channels_are_right_however_it_is_signalled() {
    let (v1, v2) = (48_000, 44_100);
    for (what, rate, clip) in [
        ("SBR, implicit", v1, clip(V1, v1, &[0x13, 0x10])),
        ("SBR, behind the core's", v1, clip(V1, v1, &[0x13, 0x10, 0x56, 0xe5, 0x98])),
        ("SBR, before the core's", v1, clip(V1, v1, &[0x2b, 0x11, 0x88, 0x00])),
        ("PS, implicit", v2, clip(V2, v2, &[0x13, 0x88])),
        ("PS, behind", v2, clip(V2, v2, &[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80])),
        ("PS, before", v2, clip(V2, v2, &[0xeb, 0x8a, 0x08, 0x00])),
    ] {
        let mut pipeline = Pipeline::open(&clip.format, Target::Opus, &settings()).unwrap();
        let mut out = Vec::new();
        for unit in &clip.units {
            pipeline.push(unit, Push::default(), &mut out).unwrap();
        }
        pipeline.flush(&mut out).unwrap();
        let stats = pipeline.stats();
        assert_eq!((stats.undecodable, stats.filled, stats.trimmed), (0, 0, 0), "{what}");

        let (formats, units) = (formats(&out), units(&out));
        assert_eq!(formats.len(), 1, "{what}: {formats:?}");
        assert_eq!(formats[0].sound, Some((48_000, 2)), "{what}");
        let times: Vec<i64> = units.iter().map(|unit| unit.pts.nanos()).collect();
        let even = times.windows(2).all(|pair| (pair[1] - pair[0] - 20_000_000).abs() <= 1);
        assert!(even, "{what}: {times:?}");
        let made = times.len() as i64 * 20;
        let came = clip.units.len() as i64 * SAMPLES * 1000 / rate;
        assert!((made - came).abs() <= 40, "{what}: {made} ms of {came}");

        for line in hear(formats[0], &units) {
            let heard = &line[24_000..72_000];
            let (pitch, octaves) =
                (amplitude(heard, 1000.0), [500.0, 2000.0].map(|of| amplitude(heard, of)));
            assert!((0.2..0.28).contains(&pitch), "{what}: {pitch}, {octaves:?}");
            assert!(octaves.iter().all(|of| *of < 0.01), "{what}: {pitch}, {octaves:?}");
        }
    }
}
