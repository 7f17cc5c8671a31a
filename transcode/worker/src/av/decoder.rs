//! Decoders, opened for a [`Format`].

use bytes::Bytes;
use ffmpeg_next::codec::packet::{self, Packet};
use ffmpeg_next::codec::{self, threading};
use ffmpeg_next::{Dictionary, Frame, decoder, media as kind};
use media::{Codec, Format, Kind};

use super::{AvError, NANOS, came, ffi};
use crate::Error;

/// Pixels of the largest picture that is decoded: 8192 × 4320. A picture's size is a claim of a few bytes, and
/// libav would allocate for it.
const MOST_PIXELS: &str = "35389440";

/// An open decoder.
pub(crate) struct Decoder {
    inner: decoder::Opened,
}

impl Decoder {
    /// Opens one, with so many threads within a picture.
    pub(crate) fn open(format: &Format, threads: u16) -> Result<Self, Error> {
        let of = format.codec;
        let codec = super::decoder(of).ok_or(Error::NoDecoder { codec: of })?;
        let config = config(format)?;
        let kind = match of.kind() {
            Kind::Audio => kind::Type::Audio,
            Kind::Video => kind::Type::Video,
        };
        let memory = Error::Memory { what: "opening a decoder" };
        let parameters = ffi::parameters(codec.id(), kind, &config).ok_or(memory)?;
        let failed = |error: AvError| Error::Decoder { codec: of, why: error.to_string() };
        let mut context = codec::Context::from_parameters(parameters).map_err(failed)?;
        context.set_threading(threading::Config {
            kind: threading::Type::Slice,
            count: usize::from(threads.max(1)),
            ..threading::Config::default()
        });
        let mut context = context.decoder();
        context.set_packet_time_base(NANOS);
        let mut options = Dictionary::new();
        options.set("max_pixels", MOST_PIXELS);
        if of == Codec::Av1 {
            // Else libdav1d works on several pictures at once and holds them back. H.264 and HEVC say
            // themselves how far they reorder; there the flag would be a lie.
            options.set("flags", "+low_delay");
        }
        let inner = context.open_as_with(codec, options).map_err(failed)?;
        Ok(Self { inner })
    }

    /// One coded unit, with times in nanoseconds.
    pub(crate) fn send(&mut self, unit: &Unit<'_>) -> Result<(), AvError> {
        // A copy, for libav reads some bytes beyond the end.
        let mut packet = Packet::new(unit.data.len());
        let room = packet.data_mut().filter(|room| room.len() == unit.data.len());
        room.ok_or(AvError::Bug)?.copy_from_slice(unit.data);
        packet.set_pts(Some(unit.pts));
        packet.set_dts(Some(unit.dts));
        if unit.keyframe {
            packet.set_flags(packet::Flags::KEY);
        }
        self.inner.send_packet(&packet)
    }

    /// Nothing more comes: what is held back may be received.
    pub(crate) fn end(&mut self) {
        // It fails only where it was called before.
        let _ = self.inner.send_eof();
    }

    /// The next picture, or the next samples. `Ok(false)`: not before more was sent.
    pub(crate) fn receive(&mut self, frame: &mut Frame) -> Result<bool, AvError> {
        came(self.inner.receive_frame(frame))
    }
}

/// A coded unit on its way into a decoder.
pub(crate) struct Unit<'a> {
    /// Never empty.
    pub(crate) data: &'a [u8],
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    pub(crate) keyframe: bool,
}

/// The configuration as libav shall see it.
fn config(format: &Format) -> Result<Bytes, Error> {
    let given = &format.config;
    // Units come with four-byte lengths whatever the record says: `media::unit`.
    let length_at = match format.codec {
        Codec::H264 => Some(4),
        Codec::H265 => Some(21),
        _ => None,
    };
    match (format.codec, given.len()) {
        (Codec::H264 | Codec::H265 | Codec::Aac, 0) => Err(Error::NoConfig { codec: format.codec }),
        (Codec::Opus, length) => {
            let mut head = given.to_vec();
            if length < 19 {
                let channels = format.sound.map_or(2, |(_, channels)| channels.clamp(1, 2));
                head = opus_head(channels);
            }
            // The beginning of a stream is skipped by those who play it from there; here every sample
            // belongs to the time of its packet.
            head[10..12].fill(0);
            Ok(head.into())
        }
        (_, length) if length_at.is_some_and(|at| at < length) => {
            let mut record = given.to_vec();
            record[length_at.unwrap_or(0)] |= 3;
            Ok(record.into())
        }
        _ => Ok(given.clone()),
    }
}

/// RFC 7845 section 5.1, for streams that came without it.
fn opus_head(channels: u8) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(channels);
    head.extend(0_u16.to_le_bytes());
    head.extend(48_000_u32.to_le_bytes());
    head.extend([0, 0, 0]);
    head
}
