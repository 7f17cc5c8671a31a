//! CMAF tracks of one rendition each (ISO/IEC 23000-19, ISO/IEC 14496-12): the initialization segment, and
//! fragments that are one allocation each. No timeline is decided here, and nothing is read back.
//!
//! The boxes are written by hand. A crate for that would have us take the decoder configurations apart, which
//! are the very bytes that a box holds, and would grow its buffer while it writes. It reads in the tests.

mod boxes;
mod codecs;
mod entry;
mod fragment;
mod init;
#[cfg(test)]
mod tests;
mod vp9;

pub use codecs::codecs;
pub use fragment::{Sample, fragment, header_len};
pub use init::init;

use media::{Codec, Format};

/// There is one track in each file.
const TRACK: u32 = 1;

/// Ticks per second of a track of this format: 90,000 for pictures, the sample rate for sound.
pub fn timescale(format: &Format) -> u32 {
    match format.codec {
        Codec::Aac => format.sound.map_or(Codec::Aac.clock_rate(), |(rate, _)| rate.max(1)),
        codec => codec.clock_rate(),
    }
}
