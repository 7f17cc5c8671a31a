//! What each publisher sends: a generated stream, H.264-shaped pictures and AAC-shaped sound, or an FLV
//! file. All units of one round are made beforehand and shared.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use media::{AccessUnit, Codec, Format, Kind, MediaTime};
use rtmp::flv::{Ingest, Item, Track};

use crate::source;

/// AAC-LC, 48 kHz, stereo (ISO/IEC 14496-3 section 1.6.2.1).
const AUDIO_CONFIG: [u8; 2] = [0x11, 0x90];
const AUDIO_RATE: u32 = 48_000;
const AUDIO_SAMPLES: i64 = 1024;
/// Bits per second of the sound.
const AUDIO_BITRATE: u32 = 128_000;
/// A keyframe is so many times as large as another frame.
const KEYFRAME: f64 = 6.0;
/// Seconds of a generated round.
const ROUND: u32 = 20;
const VIDEO: Track = Track { kind: Kind::Video, id: 0 };
const AUDIO: Track = Track { kind: Kind::Audio, id: 0 };

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bits per second, sound included.
    pub bitrate: u32,
    /// Pictures per second.
    pub fps: u32,
    /// Pictures from one keyframe to the next.
    pub gop: u32,
}

/// One round.
#[derive(Clone, Debug)]
pub struct Show {
    /// What each track's units are.
    pub formats: Vec<(Track, Format)>,
    /// In the order of sending.
    pub units: Vec<(Track, AccessUnit)>,
    /// How long a round is.
    pub length: MediaTime,
    /// From one keyframe to the next and one picture more, µs: publishers that begin at equal shares of this
    /// after each other have neither their keyframes nor their pictures in common.
    pub period_us: u64,
}

impl Show {
    /// Noise behind the right headers: a server that only carries reads no further.
    pub fn generated(shape: Shape) -> Self {
        let Shape { bitrate, fps, gop } = shape;
        let (fps, gop) = (fps.max(1), gop.max(1));
        // Whole GOPs, so that each round begins with a keyframe.
        let frames = (ROUND * fps).div_ceil(gop) * gop;
        let length = MediaTime::new(i64::from(frames), fps);
        let per_gop = f64::from(bitrate.saturating_sub(AUDIO_BITRATE)) / 8.0 * f64::from(gop)
            / f64::from(fps);
        let plain = per_gop / (f64::from(gop) - 1.0 + KEYFRAME);
        let mut noise = Noise(7);
        let mut units = Vec::new();
        for frame in 0..frames {
            let keyframe = frame % gop == 0;
            let size = plain * if keyframe { KEYFRAME } else { 1.0 } * noise.wobble();
            let time = MediaTime::new(frame.into(), fps);
            let data = picture(keyframe, (size as usize).max(64), &mut noise);
            units.push((VIDEO, AccessUnit { dts: time, pts: time, keyframe, data }));
        }
        let sounds = length.in_scale(AUDIO_RATE) / AUDIO_SAMPLES;
        for number in 0..sounds {
            let time = MediaTime::new(number * AUDIO_SAMPLES, AUDIO_RATE);
            let size =
                f64::from(AUDIO_BITRATE) / 8.0 * AUDIO_SAMPLES as f64 / f64::from(AUDIO_RATE);
            let size = size * noise.wobble();
            let data = noise.bytes(size as usize).into();
            units.push((AUDIO, AccessUnit { dts: time, pts: time, keyframe: true, data }));
        }
        units.sort_by_key(|(_, unit)| unit.dts);
        let period_us = 1_000_000 * u64::from(gop + 1) / u64::from(fps);
        Self { formats: formats(), units, length, period_us }
    }

    /// The media of an FLV file.
    pub fn read(path: &Path) -> Result<Self> {
        let file = std::fs::read(path).with_context(|| path.display().to_string())?;
        let items =
            items(&file.into()).with_context(|| format!("{} is no FLV file", path.display()))?;
        let (mut formats, mut units) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Item::Track { track, format } => formats.push((track, format)),
                Item::Unit { track, unit } => units.push((track, unit)),
                Item::Refused { refusal, .. } => bail!("{}: {refusal}", path.display()),
                _ => {}
            }
        }
        let last = units.iter().map(|(_, unit)| unit.dts).max().context("it has no media")?;
        let length = last.plus(MediaTime::from_millis(40));
        Ok(Self { formats, units, length, period_us: 1_000_000 })
    }
}

/// What the tags of a file say (Adobe's "Video File Format", annex E.4).
fn items(file: &Bytes) -> Option<Vec<Item>> {
    if file.get(..3)? != b"FLV" {
        return None;
    }
    let three = |at: usize| {
        Some(u32::from_be_bytes([0, *file.get(at)?, *file.get(at + 1)?, *file.get(at + 2)?]))
    };
    let (mut reader, mut items, now) = (Ingest::new(), Vec::new(), Instant::now());
    let mut at = 9 + 4;
    while at + 11 < file.len() {
        let length = three(at + 1)? as usize;
        let time = three(at + 4)? | u32::from(*file.get(at + 7)?) << 24;
        let end = at + 11 + length;
        if end > file.len() {
            break;
        }
        let kind = match file.get(at)? {
            8 => Some(Kind::Audio),
            9 => Some(Kind::Video),
            _ => None,
        };
        if let Some(kind) = kind {
            reader.message(now, kind, time, file.slice(at + 11..end), &mut items);
        }
        at = end + 4;
    }
    Some(items)
}

fn formats() -> Vec<(Track, Format)> {
    let (sps, pps) = source::parameters();
    // AVCDecoderConfigurationRecord, ISO/IEC 14496-15 section 5.3.3.1.
    let mut avc = vec![1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0, sps.len() as u8];
    avc.extend_from_slice(sps);
    avc.extend_from_slice(&[1, 0, pps.len() as u8]);
    avc.extend_from_slice(pps);
    let video = Format {
        codec: Codec::H264,
        config: avc.into(),
        dimensions: Some((1280, 720)),
        sound: None,
    };
    let audio = Format {
        codec: Codec::Aac,
        config: Bytes::from_static(&AUDIO_CONFIG),
        dimensions: None,
        sound: Some((AUDIO_RATE, 2)),
    };
    vec![(VIDEO, video), (AUDIO, audio)]
}

/// One slice behind its length.
fn picture(keyframe: bool, size: usize, noise: &mut Noise) -> Bytes {
    let mut data = (size as u32).to_be_bytes().to_vec();
    data.extend(noise.bytes(size));
    // IDR or not; the slice starts with macroblock 0 and says I or P.
    let (header, slice) = if keyframe { (0x65, 0x88) } else { (0x41, 0x98) };
    (data[4], data[5]) = (header, slice);
    data.into()
}

/// SplitMix64.
struct Noise(u64);

impl Noise {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0.85 to 1.15.
    fn wobble(&mut self) -> f64 {
        0.85 + 0.3 * (self.bits() % 1000) as f64 / 1000.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        // No zero bytes: nothing in it can look like a start code.
        let mut bytes: Vec<u8> = (0..length.div_ceil(8))
            .flat_map(|_| self.bits().to_le_bytes().map(|b| b | 1))
            .collect();
        bytes.truncate(length);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_the_order_and_the_keyframes_are_as_asked() {
        let show = Show::generated(Shape { bitrate: 2_000_000, fps: 30, gop: 60 });
        let bytes: usize = show.units.iter().map(|(_, unit)| unit.data.len()).sum();
        let rate = bytes as f64 * 8.0 / (show.length.millis() as f64 / 1000.0);
        assert!((1.9e6..2.1e6).contains(&rate), "{rate}");
        assert!(show.units.is_sorted_by_key(|(_, unit)| unit.dts));
        let pictures: Vec<_> = show.units.iter().filter(|(track, _)| *track == VIDEO).collect();
        assert_eq!(pictures.len(), 600);
        for (number, (_, unit)) in pictures.iter().enumerate() {
            assert_eq!(unit.keyframe, number % 60 == 0);
            let length = u32::from_be_bytes(unit.data[..4].try_into().unwrap());
            assert_eq!(length as usize + 4, unit.data.len());
        }
        assert!(show.units.iter().all(|(_, unit)| unit.dts < show.length));
    }
}
