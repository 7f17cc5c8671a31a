//! Encoders of pictures, set to hold nothing back, and what makes a decoded picture fit for them.

use std::collections::VecDeque;

use bytes::Bytes;
use ffmpeg_next::codec;
use ffmpeg_next::codec::packet::Packet;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{Dictionary, Rational, encoder, frame, picture};
use transcode::Target;

use super::{AvError, VideoFrame, came, ffi};
use crate::{Error, annexb};

/// Ticks per second that encoders count in: RTP's own, so that what stands in the SPS is usual.
const TICKS: i64 = 90_000;

/// Pictures that an encoder may hold; ours hold none. A bound, should one of another make do.
const MOST_HELD: usize = 64;

/// As good as never: keyframes are asked for one by one, by media time.
const NEVER: &str = "1000000";

/// What an encoder is opened for. A change of size or colours needs another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// See [`VideoFrame::colors`].
    pub(crate) colors: [i32; 4],
}

impl Shape {
    /// Of a decoded picture; an odd last row or column is cut off, for chroma is shared by two. `None`: nothing is left.
    pub(crate) fn of(frame: &frame::Video) -> Option<Self> {
        let (width, height) = (frame.width() & !1, frame.height() & !1);
        let within = |side: u32| (2..=16_384).contains(&side);
        let mut colors = frame.colors();
        // Other full-range layouts are brought to the usual range by the converter.
        match frame.format() {
            Pixel::YUVJ420P => colors[3] = 2,
            Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P => colors[3] = 1,
            _ => {}
        }
        (within(width) && within(height)).then_some(Self { width, height, colors })
    }

    pub(crate) fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// How it encodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Bits per second at the most.
    pub(crate) bitrate: u32,
    /// Pictures per second, about.
    pub(crate) frame_rate: u32,
    /// Threads within a picture.
    pub(crate) threads: u16,
}

/// One coded picture.
pub(crate) struct Coded {
    /// Nanoseconds, as it was given.
    pub(crate) pts: i64,
    pub(crate) keyframe: bool,
    pub(crate) data: Bytes,
}

/// An open encoder.
pub(crate) struct Encoder {
    inner: encoder::Video,
    name: &'static str,
    to: Target,
    /// Tick and nanoseconds of what went in and did not come out yet.
    times: VecDeque<(i64, i64)>,
    last_tick: i64,
    /// Configuration record, empty for VP8.
    pub(crate) config: Bytes,
    pub(crate) shape: Shape,
    pub(crate) bitrate: u32,
}

impl Encoder {
    /// The first of the known encoders that opens.
    pub(crate) fn open(to: Target, shape: Shape, settings: &Settings) -> Result<Self, Error> {
        let names = super::encoders(to);
        let none = Error::NoEncoder { to, looked_for: names.join(", ") };
        let mut result = Err(none);
        for name in super::found(to) {
            result = Self::open_one(to, name, shape, settings);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn open_one(
        to: Target,
        name: &'static str,
        shape: Shape,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let failed =
            |why: AvError| Error::Encoder { encoder: name.to_owned(), why: why.to_string() };
        let codec = encoder::find_by_name(name).ok_or_else(|| failed(AvError::EncoderNotFound))?;
        let context = codec::Context::new_with_codec(codec);
        let mut video = context.encoder().video().map_err(failed)?;
        video.set_width(shape.width);
        video.set_height(shape.height);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(Rational(1, TICKS as i32));
        let frame_rate = i32::try_from(settings.frame_rate.clamp(1, 240)).unwrap_or(30);
        video.set_frame_rate(Some(Rational(frame_rate, 1)));
        let inner = video.open_with(options(name, shape, settings)).map_err(failed)?;
        let config = match to {
            Target::H264 => {
                annexb::record(&ffi::headers(&inner)).ok_or_else(|| failed(AvError::InvalidData))?
            }
            _ => Bytes::new(),
        };
        let (times, bitrate) = (VecDeque::new(), settings.bitrate);
        Ok(Self { inner, name, to, times, last_tick: i64::MIN, config, shape, bitrate })
    }

    /// Encodes a picture of this [`Shape`], shown at `pts` (nanoseconds, rising). `Ok(false)`: too near to the one
    /// before to have a time of its own.
    pub(crate) fn encode(
        &mut self,
        frame: &mut frame::Video,
        pts: i64,
        keyframe: bool,
        out: &mut Vec<Coded>,
    ) -> Result<bool, Error> {
        let tick = ticks(pts);
        if tick <= self.last_tick {
            return Ok(false);
        }
        self.last_tick = tick;
        frame.set_pts(Some(tick));
        // What the source's encoder chose is not ours: it would make B-frames of its B-frames.
        frame.set_kind(if keyframe { picture::Type::I } else { picture::Type::None });
        self.times.push_back((tick, pts));
        if self.times.len() > MOST_HELD {
            self.times.pop_front();
        }
        let sent = self.inner.send_frame(frame);
        sent.map_err(|error| self.failed(error))?;
        self.receive(out)?;
        Ok(true)
    }

    /// What is held back; it takes no more pictures then.
    pub(crate) fn end(&mut self, out: &mut Vec<Coded>) -> Result<(), Error> {
        let ended = self.inner.send_eof();
        ended.map_err(|error| self.failed(error))?;
        self.receive(out)
    }

    fn receive(&mut self, out: &mut Vec<Coded>) -> Result<(), Error> {
        loop {
            let mut packet = Packet::empty();
            let more = came(self.inner.receive_packet(&mut packet));
            if !more.map_err(|error| self.failed(error))? {
                return Ok(());
            }
            let tick = packet.pts().unwrap_or(self.last_tick);
            while self.times.front().is_some_and(|(of, _)| *of < tick) {
                self.times.pop_front();
            }
            let known = self.times.front().filter(|(of, _)| *of == tick);
            let (Some((_, pts)), Some(data)) = (known, packet.data()) else { continue };
            let data = match self.to {
                Target::H264 => annexb::with_lengths(data),
                _ => Bytes::copy_from_slice(data),
            };
            if !data.is_empty() {
                out.push(Coded { pts: *pts, keyframe: packet.is_key(), data });
            }
        }
    }

    fn failed(&self, why: AvError) -> Error {
        Error::Encoder { encoder: self.name.to_owned(), why: why.to_string() }
    }
}

fn ticks(nanos: i64) -> i64 {
    let ticks = (i128::from(nanos) * i128::from(TICKS)).div_euclid(1_000_000_000);
    i64::try_from(ticks).unwrap_or(0)
}

/// Options of libav and of the library behind it. What one does not know it ignores.
fn options(name: &str, shape: Shape, settings: &Settings) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    let [matrix, primaries, transfer, range] = shape.colors;
    let rate = settings.bitrate;
    let numbers = [
        ("colorspace", matrix),
        ("color_primaries", primaries),
        ("color_trc", transfer),
        ("color_range", range),
        ("threads", i32::from(threads(name, shape, settings.threads))),
    ];
    for (key, value) in numbers {
        options.set(key, &value.to_string());
    }
    options.set("thread_type", "slice");
    options.set("g", NEVER);
    options.set("bf", "0");
    let all: &[(&str, &str)] = match name {
        // Constrained baseline is the one profile that every WebRTC endpoint must have (RFC 7742 section 6.2), and one
        // bridge serves all viewers. Quality is constant up to the cap, so a still picture costs little.
        // Keyframes come when asked for, none by scene cuts.
        "libx264" => &[
            ("preset", "veryfast"),
            ("tune", "zerolatency"),
            ("profile", "baseline"),
            ("crf", "22"),
            ("sc_threshold", "0"),
            ("forced-idr", "1"),
            ("flags", "+global_header+cgop"),
        ],
        "libopenh264" => &[
            ("profile", "constrained_baseline"),
            ("rc_mode", "bitrate"),
            ("allow_skip_frames", "0"),
            ("flags", "+global_header+cgop"),
        ],
        _ => &[
            ("deadline", "realtime"),
            // Below zero: this speed, whatever the clock says. Above, libvpx would choose by how busy the
            // machine is, and spoil pictures that were in time.
            ("cpu-used", "-6"),
            ("lag-in-frames", "0"),
            ("error-resilient", "default"),
            ("auto-alt-ref", "0"),
            ("undershoot-pct", "95"),
            ("overshoot-pct", "15"),
            ("qmin", "4"),
            ("qmax", "56"),
        ],
    };
    for (key, value) in all {
        options.set(key, value);
    }
    options.set("maxrate", &rate.to_string());
    options.set("bufsize", &rate.to_string());
    if name != "libx264" {
        options.set("b", &rate.to_string());
        options.set("minrate", &rate.to_string());
        // The first keyframe gets half of what is in the buffer: a quarter of a second's bits.
        options.set("rc_init_occupancy", &(rate / 2).to_string());
    }
    options
}

/// Threads within a picture. Those of libvpx wait for each other by spinning: with fewer cores than work that costs
/// many times what it saves.
fn threads(name: &str, shape: Shape, wanted: u16) -> u16 {
    match name {
        "libvpx" if wanted < 4 || shape.pixels() <= 1280 * 720 => 1,
        "libvpx" => 2,
        _ => wanted.max(1),
    }
}

/// Brings pictures to the one pixel format that every encoder takes.
#[derive(Default)]
pub(crate) struct Converter {
    context: Option<scaling::Context>,
    out: Option<frame::Video>,
}

impl Converter {
    /// `frame` itself where it fits already, cut to `shape`; else a converted copy.
    pub(crate) fn fit<'a>(
        &'a mut self,
        frame: &'a mut frame::Video,
        shape: Shape,
    ) -> Result<&'a mut frame::Video, AvError> {
        if !frame.filled() {
            return Err(AvError::InvalidData);
        }
        if matches!(frame.format(), Pixel::YUV420P | Pixel::YUVJ420P) {
            // The same layout; the range travels by the encoder's options.
            frame.set_format(Pixel::YUV420P);
            frame.set_width(shape.width);
            frame.set_height(shape.height);
            return Ok(frame);
        }
        let (format, width, height) = (frame.format(), frame.width(), frame.height());
        let input = scaling::context::Definition { format, width, height };
        if self.context.as_ref().is_none_or(|context| *context.input() != input) {
            let flags = scaling::Flags::BILINEAR;
            let context =
                scaling::Context::get(format, width, height, Pixel::YUV420P, width, height, flags)?;
            self.context = Some(context);
        }
        let context = self.context.as_mut().ok_or(AvError::Bug)?;
        // A new one each time: an encoder may still hold the one before.
        let out = self.out.insert(frame::Video::empty());
        context.run(frame, out)?;
        if !out.filled() {
            return Err(AvError::Bug);
        }
        out.set_width(shape.width);
        out.set_height(shape.height);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(format: Pixel, (width, height): (u32, u32)) -> frame::Video {
        let mut frame = frame::Video::new(format, width, height);
        let bytes = if format == Pixel::YUV422P10LE { 2 } else { 1 };
        for plane in 0..frame.planes() {
            let stride = frame.stride(plane);
            for (y, row) in frame.data_mut(plane).chunks_mut(stride).enumerate() {
                for (x, sample) in row.chunks_exact_mut(bytes).enumerate() {
                    let value = if plane == 0 { (40 + x / 2 + y / 2) as u8 } else { 90 };
                    let (wide, narrow) = ((u16::from(value) << 2).to_le_bytes(), &[value][..]);
                    sample.copy_from_slice(if bytes == 2 { &wide[..] } else { narrow });
                }
            }
        }
        frame
    }

    #[test]
    fn every_layout_becomes_the_one_that_encoders_take() {
        let mut converter = Converter::default();
        for format in
            [Pixel::YUV420P, Pixel::YUV444P, Pixel::YUV422P10LE, Pixel::NV12, Pixel::YUV420P]
        {
            let mut from = frame(format, (161, 91));
            let shape = Shape::of(&from).unwrap();
            let to = converter.fit(&mut from, shape).unwrap();
            assert_eq!((to.format(), to.width(), to.height()), (Pixel::YUV420P, 160, 90));
            for (y, row) in to.data(0).chunks(to.stride(0)).take(90).enumerate() {
                for (x, luma) in row[..160].iter().enumerate() {
                    let wanted = (40 + x / 2 + y / 2) as u8;
                    assert!(
                        luma.abs_diff(wanted) <= 1,
                        "{format:?} at {x}, {y}: {luma}, not {wanted}"
                    );
                }
            }
            assert!(to.data(1)[..80].iter().all(|chroma| chroma.abs_diff(90) <= 1));
        }
        assert!(converter.fit(&mut frame::Video::empty(), shape()).is_err());
    }

    fn shape() -> Shape {
        Shape { width: 160, height: 90, colors: [2, 2, 2, 0] }
    }

    #[test]
    fn full_range_is_said_and_not_converted() {
        let of = |format| Shape::of(&frame(format, (160, 90))).unwrap().colors[3];
        assert_eq!((of(Pixel::YUVJ420P), of(Pixel::YUVJ444P), of(Pixel::YUV420P)), (2, 1, 0));
        assert_eq!(Shape::of(&frame(Pixel::YUV420P, (160, 1))), None, "nothing is left");
    }

    #[test]
    fn times_come_back_as_they_were_given() {
        let settings = Settings { bitrate: 300_000, frame_rate: 30, threads: 1 };
        for to in [Target::H264, Target::Vp8] {
            let mut encoder = Encoder::open(to, shape(), &settings).unwrap();
            let mut out = Vec::new();
            for pts in [-5_000_000_001, -4_966_666_667, 0, 1, 33_333_334] {
                let taken =
                    encoder.encode(&mut frame(Pixel::YUV420P, (160, 90)), pts, false, &mut out);
                assert_eq!(taken.unwrap(), pts != 1, "a nanosecond later is the same tick");
            }
            let times: Vec<i64> = out.iter().map(|coded| coded.pts).collect();
            assert_eq!(times, [-5_000_000_001, -4_966_666_667, 0, 33_333_334]);
            let keyframes: Vec<bool> = out.iter().map(|coded| coded.keyframe).collect();
            assert_eq!(keyframes, [true, false, false, false]);
        }
    }
}
