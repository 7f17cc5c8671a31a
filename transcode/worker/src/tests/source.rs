//! Clips to feed the pipelines with, made by libav's encoders, and what decodes the results.

use std::collections::BTreeMap;

use bytes::Bytes;
use ffmpeg_next::codec::packet::Packet;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::format::{Pixel, Sample};
use ffmpeg_next::{ChannelLayout, Dictionary, Rational, codec, encoder, frame};
use media::{AccessUnit, Codec, Format, MediaTime};

use crate::annexb;
use crate::av::decoder::{Decoder, Unit};
use crate::av::headers;

/// Nanoseconds of a picture at 30 per second.
pub(super) const PICTURE: i64 = 33_333_333;

/// What a publisher sends.
pub(super) struct Clip {
    pub(super) format: Format,
    pub(super) units: Vec<AccessUnit>,
}

/// Luma of picture `number`: a texture that moves, and a bright box that moves faster.
pub(super) fn luma(width: u32, height: u32, number: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity((width * height) as usize);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (x + number, y + number / 2);
            let texture = ((u / 8 + v / 8) % 2) * 30 + (u * 3 + v * 5) % 64;
            let inside = (x + width - number * 3 % width) % width < 40 && (20..60).contains(&y);
            out.push(if inside { 220 } else { 60 + texture as u8 });
        }
    }
    out
}

fn picture(width: u32, height: u32, number: u32) -> frame::Video {
    let mut frame = frame::Video::new(Pixel::YUV420P, width, height);
    let luma = luma(width, height, number);
    let stride = frame.stride(0);
    for (y, row) in luma.chunks_exact(width as usize).enumerate() {
        frame.data_mut(0)[y * stride..][..width as usize].copy_from_slice(row);
    }
    for plane in 1..3 {
        frame.data_mut(plane).fill(100 + 20 * plane as u8);
    }
    frame.set_pts(Some(i64::from(number)));
    frame
}

/// `count` pictures at 30 per second, by this encoder of libav.
pub(super) fn pictures(
    name: &str,
    options: &[(&str, &str)],
    (width, height): (u32, u32),
    count: u32,
) -> Clip {
    let codec = encoder::find_by_name(name).unwrap_or_else(|| panic!("libav has no {name}"));
    let mut video = codec::Context::new_with_codec(codec).encoder().video().unwrap();
    video.set_width(width);
    video.set_height(height);
    video.set_format(Pixel::YUV420P);
    video.set_time_base(Rational(1, 30));
    video.set_frame_rate(Some(Rational(30, 1)));
    let mut all = Dictionary::new();
    all.set("threads", "1");
    all.set(
        "flags",
        if matches!(name, "libx264" | "libx265") { "+global_header" } else { "+cgop" },
    );
    options.iter().for_each(|(key, value)| all.set(key, value));
    let mut video = video.open_with(all).unwrap();
    let mut packets = Vec::new();
    for number in 0..count {
        video.send_frame(&picture(width, height, number)).unwrap();
        receive(&mut video, &mut packets);
    }
    video.send_eof().unwrap();
    receive(&mut video, &mut packets);
    let of = match name {
        "libx264" => Codec::H264,
        "libx265" => Codec::H265,
        "libvpx" => Codec::Vp8,
        "libvpx-vp9" => Codec::Vp9,
        _ => Codec::Av1,
    };
    let config = match of {
        Codec::H264 => annexb::record(&headers(&video)).unwrap(),
        Codec::H265 => hevc_record(&headers(&video)),
        Codec::Av1 => Bytes::from_static(&[0x81, 0, 12, 0]),
        _ => Bytes::new(),
    };
    let dimensions = Some((width as u16, height as u16));
    let format = Format { codec: of, config, dimensions, sound: None };
    let first = packets[0].dts().unwrap();
    let unit = |packet: &Packet| AccessUnit {
        // Shifted as RTMP has it: no composition time is negative.
        dts: MediaTime::from_nanos((packet.dts().unwrap() - first) * PICTURE),
        pts: MediaTime::from_nanos((packet.pts().unwrap() - first) * PICTURE),
        keyframe: packet.is_key(),
        data: data(of, packet.data().unwrap()),
    };
    Clip { format, units: packets.iter().map(unit).collect() }
}

fn receive(video: &mut encoder::Video, packets: &mut Vec<Packet>) {
    let mut packet = Packet::empty();
    while video.receive_packet(&mut packet).is_ok() {
        packets.push(std::mem::replace(&mut packet, Packet::empty()));
    }
}

fn data(of: Codec, packet: &[u8]) -> Bytes {
    match of {
        Codec::H264 | Codec::H265 => {
            let mut out = Vec::new();
            for unit in annexb::units(packet) {
                out.extend((unit.len() as u32).to_be_bytes());
                out.extend(unit);
            }
            out.into()
        }
        // Without the temporal delimiter.
        Codec::Av1 if packet.starts_with(&[0x12, 0]) => Bytes::copy_from_slice(&packet[2..]),
        _ => Bytes::copy_from_slice(packet),
    }
}

/// ISO/IEC 14496-15 section 8.3.3.1, as far as decoders look.
fn hevc_record(headers: &[u8]) -> Bytes {
    let mut out = vec![0; 23];
    out[0] = 1;
    out[21] = 3;
    let sets = annexb::units(headers).filter(|unit| (32..=34).contains(&(unit[0] >> 1 & 0x3f)));
    for set in sets {
        out[22] += 1;
        out.push(set[0] >> 1 & 0x3f);
        out.extend(1_u16.to_be_bytes());
        out.extend((set.len() as u16).to_be_bytes());
        out.extend(set);
    }
    out.into()
}

/// A decoded picture.
pub(super) struct Shown {
    pub(super) luma: Vec<u8>,
    pub(super) b: bool,
}

/// Decodes units of one format, by pts.
pub(super) fn show(format: &Format, units: &[&AccessUnit]) -> BTreeMap<i64, Shown> {
    let mut decoder = Decoder::open(format, 1).unwrap();
    let mut shown = BTreeMap::new();
    let mut frame = frame::Video::empty();
    let mut drain = |decoder: &mut Decoder| {
        while decoder.receive(&mut frame).unwrap() {
            let (size, stride) = ((frame.width(), frame.height()), frame.stride(0));
            let width = size.0 as usize;
            let rows = frame.data(0).chunks(stride).take(size.1 as usize);
            let luma = rows.flat_map(|row| &row[..width]).copied().collect();
            let b = frame.kind() == ffmpeg_next::picture::Type::B;
            shown.insert(frame.pts().unwrap(), Shown { luma, b });
        }
    };
    for unit in units {
        let (pts, dts) = (unit.pts.nanos(), unit.dts.nanos());
        let unit = Unit { data: &unit.data, pts, dts, keyframe: unit.keyframe };
        decoder.send(&unit).unwrap();
        drain(&mut decoder);
    }
    decoder.end();
    drain(&mut decoder);
    shown
}

/// Peak signal to noise in dB.
pub(super) fn psnr(left: &[u8], right: &[u8]) -> f64 {
    assert_eq!(left.len(), right.len());
    let square = |(l, r): (&u8, &u8)| f64::from(l.abs_diff(*r)).powi(2);
    let error: f64 = left.iter().zip(right).map(square).sum::<f64>() / left.len() as f64;
    10.0 * (255.0 * 255.0 / error.max(1e-9)).log10()
}

/// Samples of one channel each into AAC or Opus; the pts of a unit is that of its first decoded sample, and
/// sample 0 lies at 0.
pub(super) fn sound(name: &str, rate: u32, channels: &[Vec<f32>]) -> Clip {
    let codec = encoder::find_by_name(name).unwrap_or_else(|| panic!("libav has no {name}"));
    let mut audio = codec::Context::new_with_codec(codec).encoder().audio().unwrap();
    let layout = ChannelLayout::default(channels.len() as i32);
    let planar = name == "aac";
    let format = Sample::F32(if planar { Type::Planar } else { Type::Packed });
    audio.set_rate(rate as i32);
    audio.set_channel_layout(layout);
    audio.set_format(format);
    audio.set_time_base(Rational(1, rate as i32));
    audio.set_bit_rate(80_000 * channels.len());
    let mut all = Dictionary::new();
    all.set("flags", "+global_header");
    let mut audio = audio.open_with(all).unwrap();
    let size = audio.frame_size() as usize;
    let mut units = Vec::new();
    let mut take = |audio: &mut encoder::Audio| {
        let mut packet = Packet::empty();
        while audio.receive_packet(&mut packet).is_ok() {
            let time = MediaTime::new(packet.pts().unwrap(), rate);
            let data = Bytes::copy_from_slice(packet.data().unwrap());
            units.push(AccessUnit { dts: time, pts: time, keyframe: true, data });
        }
    };
    for start in (0..channels[0].len() / size).map(|number| number * size) {
        let mut frame = frame::Audio::new(format, size, layout);
        frame.set_rate(rate);
        frame.set_pts(Some(start as i64));
        for (number, channel) in channels.iter().enumerate() {
            for (at, sample) in channel[start..start + size].iter().enumerate() {
                if planar {
                    frame.plane_mut::<f32>(number)[at] = *sample;
                } else {
                    frame.plane_mut::<f32>(0)[at * channels.len() + number] = *sample;
                }
            }
        }
        audio.send_frame(&frame).unwrap();
        take(&mut audio);
    }
    audio.send_eof().unwrap();
    take(&mut audio);
    let codec = if planar { Codec::Aac } else { Codec::Opus };
    let sound = Some((rate, channels.len() as u8));
    let config = Bytes::from(headers(&audio));
    Clip { format: Format { codec, config, dimensions: None, sound }, units }
}

/// Decodes units at 48 kHz and lays the samples out by their pts; index 0 is pts 0. Returns one line of samples per channel.
pub(super) fn hear(format: &Format, units: &[&AccessUnit]) -> Vec<Vec<f32>> {
    let mut decoder = Decoder::open(format, 1).unwrap();
    let mut lines = vec![Vec::new(); usize::from(format.sound.unwrap().1)];
    let mut frame = frame::Audio::empty();
    for unit in units {
        let (pts, dts) = (unit.pts.nanos(), unit.dts.nanos());
        decoder.send(&Unit { data: &unit.data, pts, dts, keyframe: true }).unwrap();
        while decoder.receive(&mut frame).unwrap() {
            let start = (frame.pts().unwrap() as f64 * 48e3 / 1e9).round() as i64;
            for (number, line) in lines.iter_mut().enumerate() {
                for (at, sample) in frame.plane::<f32>(number).iter().enumerate() {
                    let Ok(index) = usize::try_from(start + at as i64) else { continue };
                    if line.len() <= index {
                        line.resize(index + 1, 0.0);
                    }
                    line[index] = *sample;
                }
            }
        }
    }
    lines
}

/// A tone of this frequency and amplitude.
pub(super) fn tone(frequency: f64, amplitude: f64, rate: u32, seconds: f64) -> Vec<f32> {
    let step = std::f64::consts::TAU * frequency / f64::from(rate);
    let samples = (seconds * f64::from(rate)) as u32;
    (0..samples).map(|n| (amplitude * (step * f64::from(n)).sin()) as f32).collect()
}

/// Noise of a bandwidth that every codec keeps; always the same.
pub(super) fn noise(rate: u32, seconds: f64) -> Vec<f32> {
    let (mut state, mut slow) = (1_u32, 0.0);
    let samples = (seconds * f64::from(rate)) as usize;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let white = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
        slow += (white - slow) * 0.2;
        slow * 0.6
    };
    std::iter::repeat_with(next).take(samples).collect()
}

/// Amplitude of this frequency in the samples (at 48 kHz).
pub(super) fn amplitude(samples: &[f32], frequency: f64) -> f64 {
    let step = std::f64::consts::TAU * frequency / 48e3;
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        re += f64::from(*sample) * (step * n as f64).cos();
        im += f64::from(*sample) * (step * n as f64).sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

/// By how many samples `late` is later than `early`, looked for up to `most` to both sides, and how alike they
/// then are (1: the same).
pub(super) fn lag(early: &[f32], late: &[f32], most: i64) -> (i64, f64) {
    let length = early.len().min(late.len()) as i64;
    let alike = |shift: i64| {
        let (mut both, mut left, mut right) = (0.0, 0.0, 0.0);
        for at in most..length - most {
            let (l, r) = (f64::from(early[at as usize]), f64::from(late[(at + shift) as usize]));
            both += l * r;
            left += l * l;
            right += r * r;
        }
        both / (left * right).sqrt().max(1e-9)
    };
    let best = (-most..=most).map(|shift| (shift, alike(shift)));
    best.max_by(|(_, left), (_, right)| left.total_cmp(right)).unwrap()
}
