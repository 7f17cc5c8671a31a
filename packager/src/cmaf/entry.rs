//! Sample entries: what a decoder is made with. `avc1` and `hvc1` (ISO/IEC 14496-15), `av01` (AV1 Codec ISO
//! Media File Format Binding), `vp09` (VP Codec ISO Media File Format Binding), `mp4a` (ISO/IEC 14496-14),
//! `Opus` (Encapsulation of Opus in ISO Base Media File Format).

use bytes::Bytes;
use media::config::{self, Colour, Look, aac, av1, avc, hevc, opus};
use media::{Codec, Format, Kind};

use super::boxes::{MAX_CONFIG, boxed, put8, put16, put32, zeros};
use super::vp9;
use crate::Error;

/// 72 pixels to the inch, which nobody reads.
const RESOLUTION: u32 = 0x48_0000;
/// Colours without transparency.
const DEPTH: u16 = 24;

/// The sample entry of a format, its parts looked up.
pub(super) struct Entry<'a> {
    kind: &'static [u8; 4],
    what: What,
    /// The type of the box that a decoder reads, and what is in it.
    config: (&'static [u8; 4], Bytes),
    format: &'a Format,
}

enum What {
    Pictures { size: (u16, u16), look: Look },
    Sound { rate: u32, channels: u8 },
}

/// The sample entry of this format.
///
/// # Errors
/// See [`super::init()`].
pub(super) fn of(format: &Format) -> Result<Entry<'_>, Error> {
    let config = &format.config;
    if config.len() > MAX_CONFIG {
        return Err(Error::TooLong(config.len()));
    }
    let (kind, config): (&[u8; 4], (&[u8; 4], Bytes)) = match format.codec {
        // Built anew: units have lengths of four bytes, and parameter sets are all here.
        Codec::H264 => (b"avc1", (b"avcC", avc::Record::parse(config)?.build())),
        Codec::H265 => (b"hvc1", (b"hvcC", hevc::Record::parse(config)?.build())),
        Codec::Av1 => {
            av1::Record::parse(config)?;
            (b"av01", (b"av1C", config.clone()))
        }
        Codec::Vp9 => (b"vp09", (b"vpcC", vp9::record(size(format)?))),
        Codec::Aac => (b"mp4a", (b"esds", esds(config)?)),
        Codec::Opus => (b"Opus", (b"dOps", dops(&opus::Head::parse(config)?))),
        other => return Err(Error::Codec(other)),
    };
    Ok(Entry { kind, what: what(format)?, config, format })
}

fn what(format: &Format) -> Result<What, Error> {
    let config = &format.config;
    Ok(match format.codec.kind() {
        Kind::Video => {
            What::Pictures { size: size(format)?, look: config::look(format.codec, config) }
        }
        Kind::Audio => {
            let said = config::facts(format.codec, config)?.sound;
            let (rate, channels) = format.sound.or(said).unwrap_or((48_000, 2));
            What::Sound { rate, channels }
        }
    })
}

/// Pixels of its pictures.
fn size(format: &Format) -> Result<(u16, u16), Error> {
    let size = match format.dimensions {
        Some(size) => Some(size),
        None => config::facts(format.codec, &format.config)?.dimensions,
    };
    size.filter(|(width, height)| *width > 0 && *height > 0).ok_or(Error::Dimensions(format.codec))
}

impl Entry<'_> {
    /// Width and height as they are to be shown, in 1/65536 of a pixel.
    pub(super) fn shown(&self) -> (u32, u32) {
        let What::Pictures { size: (width, height), look } = &self.what else {
            return (0, 0);
        };
        let (across, down) = look.pixel.unwrap_or((1, 1));
        let wide = (u64::from(*width) << 16) * u64::from(across) / u64::from(down.max(1));
        (u32::try_from(wide).unwrap_or(u32::MAX), u32::from(*height) << 16)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        boxed(out, self.kind, |out| {
            // Reserved, and the first data reference.
            zeros(out, 6);
            put16(out, 1);
            match &self.what {
                What::Pictures { size, look } => self.put_pictures(out, *size, look),
                What::Sound { rate, channels } => self.put_sound(out, *rate, *channels),
            }
        });
    }

    fn put_config(&self, out: &mut Vec<u8>) {
        boxed(out, self.config.0, |out| out.extend_from_slice(&self.config.1));
    }

    fn put_pictures(&self, out: &mut Vec<u8>, (width, height): (u16, u16), look: &Look) {
        zeros(out, 16);
        put16(out, width);
        put16(out, height);
        put32(out, RESOLUTION);
        put32(out, RESOLUTION);
        zeros(out, 4);
        put16(out, 1);
        // No name of a compressor.
        zeros(out, 32);
        put16(out, DEPTH);
        put16(out, u16::MAX);
        self.put_config(out);
        if let Some((across, down)) = look.pixel {
            boxed(out, b"pasp", |out| {
                put32(out, across.into());
                put32(out, down.into());
            });
        }
        if let Some(colour) = look.colour {
            put_colour(out, colour);
        }
    }

    fn put_sound(&self, out: &mut Vec<u8>, rate: u32, channels: u8) {
        zeros(out, 8);
        put16(out, channels.into());
        put16(out, 16);
        zeros(out, 4);
        // Opus is always decoded at 48 kHz. A rate that 16 bits cannot say is in the configuration.
        let rate = if self.format.codec == Codec::Opus { 48_000 } else { rate };
        put32(out, u16::try_from(rate).map_or(0, |rate| u32::from(rate) << 16));
        self.put_config(out);
    }
}

fn put_colour(out: &mut Vec<u8>, colour: Colour) {
    boxed(out, b"colr", |out| {
        out.extend_from_slice(b"nclx");
        [colour.primaries, colour.transfer, colour.matrix]
            .into_iter()
            .for_each(|point| put16(out, point.into()));
        put8(out, u8::from(colour.full_range) << 7);
    });
}

/// An ES_Descriptor around an AudioSpecificConfig (ISO/IEC 14496-1 section 7.2.6), version and flags before it.
fn esds(config: &Bytes) -> Result<Bytes, Error> {
    aac::Config::parse(config)?;
    let mut decoder = Vec::with_capacity(config.len() + 32);
    // MPEG-4 audio, an audio stream; buffer size, most and mean bits per second are not known.
    decoder.extend_from_slice(&[0x40, 0x05 << 2 | 1]);
    zeros(&mut decoder, 3 + 4 + 4);
    put_descriptor(&mut decoder, 5, config);
    // ES_ID 0, as a file wants it, and no flags.
    let mut stream = vec![0; 3];
    put_descriptor(&mut stream, 4, &decoder);
    // SLConfigDescriptor: the one predefined for MP4.
    put_descriptor(&mut stream, 6, &[2]);
    let mut out = vec![0; 4];
    put_descriptor(&mut out, 3, &stream);
    Ok(out.into())
}

/// A tag, a length in groups of seven bits, and the bytes (ISO/IEC 14496-1 section 8.3.3).
fn put_descriptor(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    let groups = (0..4).rev().find(|group| body.len() >> (7 * group) > 0).unwrap_or(0);
    for group in (0..=groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        out.push(more | (body.len() >> (7 * group)) as u8 & 0x7f);
    }
    out.extend_from_slice(body);
}

/// OpusSpecificBox: an OpusHead without its magic, of version 0, and big-endian.
fn dops(head: &opus::Head) -> Bytes {
    let mut out = vec![0, head.channels];
    put16(&mut out, head.pre_skip);
    put32(&mut out, head.input_rate);
    out.extend_from_slice(&head.gain.to_be_bytes());
    match &head.mapping {
        opus::Mapping::Plain => out.push(0),
        opus::Mapping::Table { family, streams, coupled, channels } => {
            out.extend_from_slice(&[*family, *streams, *coupled]);
            out.extend_from_slice(channels);
        }
    }
    out.into()
}
