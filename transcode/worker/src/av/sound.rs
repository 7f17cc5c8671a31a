//! Encoders of sound, and the resampler that brings decoded sound to what they take.

use bytes::Bytes;
use ffmpeg_next::codec::packet::Packet;
use ffmpeg_next::format::Sample;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::software::resampling;
use ffmpeg_next::{ChannelLayout, Dictionary, Rational, codec, encoder, frame};
use transcode::Target;

use super::{AvError, came, ffi};
use crate::Error;
use crate::timeline::RATE;

/// Samples of the longest frame that is taken: no codec of ours has more than 5760 (Opus, 120 ms at 48 kHz).
const MOST_SAMPLES: usize = 16_384;

/// Hz and channels that are believed.
const RATES: std::ops::RangeInclusive<u32> = 4000..=192_000;
const MOST_CHANNELS: u16 = 16;

fn layout(channels: u8) -> ChannelLayout {
    if channels == 1 { ChannelLayout::MONO } else { ChannelLayout::STEREO }
}

/// One coded packet of sound.
pub(crate) struct Coded {
    /// The sample that it begins with, counted as its input was; before it by the encoder's delay.
    pub(crate) index: i64,
    pub(crate) data: Bytes,
}

/// An open encoder, at 48 kHz.
pub(crate) struct Encoder {
    inner: encoder::Audio,
    name: &'static str,
    planar: bool,
    /// 1 or 2.
    pub(crate) channels: u8,
    /// Samples of each channel in a packet.
    pub(crate) frame: usize,
    /// OpusHead or AudioSpecificConfig.
    pub(crate) config: Bytes,
}

impl Encoder {
    /// Opens it for one channel or two, at so many bits per second.
    pub(crate) fn open(to: Target, channels: u8, bitrate: Option<u32>) -> Result<Self, Error> {
        let looked_for = super::encoders(to).join(", ");
        let name = super::found(to).next().ok_or(Error::NoEncoder { to, looked_for })?;
        let failed =
            |why: AvError| Error::Encoder { encoder: name.to_owned(), why: why.to_string() };
        let codec = encoder::find_by_name(name).ok_or_else(|| failed(AvError::EncoderNotFound))?;
        let mut audio = codec::Context::new_with_codec(codec).encoder().audio().map_err(failed)?;
        let stereo = if to == Target::Opus { 128_000 } else { 160_000 };
        let usual = if channels == 1 { stereo * 5 / 8 } else { stereo };
        audio.set_rate(RATE as i32);
        audio.set_channel_layout(layout(channels));
        let planar = to == Target::Aac;
        audio.set_format(Sample::F32(if planar { Type::Planar } else { Type::Packed }));
        audio.set_time_base(Rational(1, RATE as i32));
        audio.set_bit_rate(bitrate.unwrap_or(usual).clamp(16_000, 320_000) as usize);
        let mut options = Dictionary::new();
        options.set("flags", "+global_header");
        if to == Target::Opus {
            // `audio` waits 4 ms longer than `lowdelay`, and may use all that Opus has.
            options.set("application", "audio");
            options.set("frame_duration", "20");
            options.set("vbr", "constrained");
        }
        let inner = audio.open_with(options).map_err(failed)?;
        let frame = inner.frame_size() as usize;
        let config = Bytes::from(ffi::headers(&inner));
        if !(1..=MOST_SAMPLES).contains(&frame) || config.is_empty() {
            return Err(failed(AvError::Bug));
        }
        Ok(Self { inner, name, planar, channels, frame, config })
    }

    /// Encodes exactly one packet's worth of interleaved samples; the first of them has this number.
    pub(crate) fn encode(
        &mut self,
        samples: &[f32],
        index: i64,
        out: &mut Vec<Coded>,
    ) -> Result<(), Error> {
        let channels = usize::from(self.channels);
        let format = Sample::F32(if self.planar { Type::Planar } else { Type::Packed });
        let mut frame = frame::Audio::new(format, self.frame, layout(self.channels));
        frame.set_rate(RATE);
        frame.set_pts(Some(index));
        if frame.planes() == 0 || samples.len() != self.frame * channels {
            return Err(Error::Memory { what: "a frame of sound" });
        }
        if self.planar {
            for channel in 0..channels {
                let of_channel = samples.iter().skip(channel).step_by(channels);
                let plane = frame.plane_mut::<f32>(channel);
                plane.iter_mut().zip(of_channel).for_each(|(to, from)| *to = *from);
            }
        } else {
            let plane = frame.plane_mut::<f32>(0);
            plane.iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
        }
        let sent = self.inner.send_frame(&frame);
        sent.map_err(|error| self.failed(error))?;
        self.receive(out)
    }

    /// What is held back; it takes no more samples then.
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
            // libav has taken its encoder's delay off already.
            if let (Some(index), Some(data)) = (packet.pts(), packet.data())
                && !data.is_empty()
            {
                out.push(Coded { index, data: Bytes::copy_from_slice(data) });
            }
        }
    }

    fn failed(&self, why: AvError) -> Error {
        Error::Encoder { encoder: self.name.to_owned(), why: why.to_string() }
    }
}

/// What decoded sound is: a change needs another resampler.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    format: Sample,
    layout: ChannelLayout,
    rate: u32,
}

impl Form {
    /// `None`: nothing that can be used.
    pub(crate) fn of(frame: &frame::Audio) -> Option<Self> {
        let (channels, rate) = (frame.channels(), frame.rate());
        let whole = (1..=MOST_SAMPLES).contains(&frame.samples());
        if !(1..=MOST_CHANNELS).contains(&channels) || !RATES.contains(&rate) || !whole {
            return None;
        }
        let said = frame.channel_layout();
        let usual = ChannelLayout::default(i32::from(channels));
        let layout = if said.channels() == i32::from(channels) { said } else { usual };
        Some(Self { format: frame.format(), layout, rate })
    }

    /// Channels that come out: one stays one, more become two.
    pub(crate) fn channels(&self) -> u8 {
        if self.layout.channels() == 1 { 1 } else { 2 }
    }
}

/// Brings sound of one [`Form`] to interleaved samples at 48 kHz.
pub(crate) struct Resampler {
    context: resampling::Context,
    pub(crate) form: Form,
    pub(crate) channels: u8,
    stretch: i32,
}

impl Resampler {
    /// To one channel or two.
    pub(crate) fn open(form: Form, channels: u8) -> Result<Self, AvError> {
        let mut options = Dictionary::new();
        // It resamples also from 48 kHz to 48 kHz, to be stretched at any time; between the phases of its filter
        // it interpolates, so a stretch makes no noise.
        options.set("flags", "+res");
        options.set("exact_rational", "0");
        options.set("linear_interp", "1");
        // Downmixing never clips.
        options.set("rematrix_maxval", "1.0");
        let to = Sample::F32(Type::Packed);
        let context = resampling::Context::get_with(
            form.format,
            form.layout,
            form.rate,
            to,
            layout(channels),
            RATE,
            options,
        )?;
        Ok(Self { context, form, channels, stretch: 0 })
    }

    /// Samples at 48 kHz that went in and did not come out.
    pub(crate) fn held(&self) -> u64 {
        self.context.delay().map_or(0, |delay| delay.output.unsigned_abs())
    }

    /// Silence before what is taken next, in samples at 48 kHz.
    pub(crate) fn silence(&mut self, samples: u64) -> Result<(), AvError> {
        let count = u128::from(samples) * u128::from(self.form.rate) / u128::from(RATE);
        ffi::silence(&mut self.context, i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// From here on so many parts per million more samples.
    pub(crate) fn stretch(&mut self, ppm: i32) -> Result<(), AvError> {
        // libav stretches for a distance only, so it is said again each time.
        if ppm == 0 && self.stretch == 0 {
            return Ok(());
        }
        self.stretch = ppm;
        ffi::stretch(&mut self.context, ppm, 1_000_000)
    }

    /// Takes a frame of this form and appends what comes out.
    pub(crate) fn convert(
        &mut self,
        frame: &frame::Audio,
        out: &mut Vec<f32>,
    ) -> Result<(), AvError> {
        let waits = usize::try_from(self.held()).unwrap_or(0);
        let made = frame.samples() * RATE as usize / self.form.rate.max(1) as usize;
        // A stretch makes half a percent more; the rest is for rounding.
        let room = waits + made + made / 64 + 64;
        ffi::convert(&mut self.context, frame, room, out)
    }
}
