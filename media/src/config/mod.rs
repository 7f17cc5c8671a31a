//! Decoder configurations as containers carry them: what [`Format::config`] holds. Read, written, and
//! built from what a stream itself says; one file per codec. Nothing of RTP or RTMP enters here.

use bytes::Bytes;

use crate::{Codec, Format};

pub mod aac;
pub mod av1;
pub mod avc;
pub mod hevc;
mod look;
pub mod opus;
mod read;

pub use look::{Colour, Look, look};

/// Why bytes are no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It ends too early.
    #[error("{what} is cut short: it has {len} bytes, and {field} needs more")]
    CutShort {
        /// Which structure.
        what: &'static str,
        /// Which of its fields is not whole.
        field: &'static str,
        /// How many bytes there are.
        len: usize,
    },
    /// A field has a value that it cannot have.
    #[error("{what} has {field} {value}, which no decoder takes")]
    Invalid {
        /// Which structure.
        what: &'static str,
        /// Which of its fields.
        field: &'static str,
        /// What it says.
        value: u32,
    },
    /// A decoder needs something that is not there.
    #[error("{what} has no {field}")]
    Missing {
        /// Which structure.
        what: &'static str,
        /// What is not there.
        field: &'static str,
    },
}

/// What a configuration says of its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Pixels after cropping; `None` for sound, and where it cannot be read.
    pub dimensions: Option<(u16, u16)>,
    /// Hz and channels as decoded (with SBR and PS where they are signalled); `None` for pictures.
    pub sound: Option<(u32, u8)>,
    /// The codec's own number: `profile_idc`, `general_profile_idc`, `seq_profile`, audio object type.
    pub profile: u8,
    /// The codec's own number: `level_idc`, `general_level_idc`, `seq_level_idx`; 0 for sound.
    pub level: u8,
    /// How many pictures may be decoded before one that is shown earlier. 0: surely no reordering, and so no
    /// B-frames as WebRTC fears them. `None`: it does not say.
    pub reorder: Option<u8>,
}

/// Reads the [`Format::config`] of a codec.
///
/// # Errors
/// If it is none. VP8 and VP9 have none, and say nothing.
pub fn facts(codec: Codec, config: &Bytes) -> Result<Facts, Error> {
    match codec {
        Codec::H264 => avc::Record::parse(config)?.facts(),
        Codec::H265 => hevc::Record::parse(config)?.facts(),
        Codec::Av1 => Ok(av1::Record::parse(config)?.facts()),
        Codec::Aac => Ok(aac::Config::parse(config)?.facts()),
        Codec::Opus => Ok(opus::Head::parse(config)?.facts()),
        // Both are shown in the order in which they are decoded.
        Codec::Vp8 | Codec::Vp9 if config.is_empty() => {
            Ok(Facts { reorder: Some(0), ..Facts::default() })
        }
        Codec::Vp8 | Codec::Vp9 => {
            let value = u32::try_from(config.len()).unwrap_or(u32::MAX);
            Err(Error::Invalid { what: "VP8 or VP9 configuration", field: "length", value })
        }
    }
}

/// The format with that configuration, what it says filled in.
///
/// # Errors
/// As [`facts`].
pub fn format(codec: Codec, config: Bytes) -> Result<Format, Error> {
    let Facts { dimensions, sound, .. } = facts(codec, &config)?;
    Ok(Format { codec, config, dimensions, sound })
}

/// Every set has a length of 16 bits, and there are at most `most`.
fn check_sets(what: &'static str, sets: &[Bytes], most: u32) -> Result<(), Error> {
    let value = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    if let Some(set) = sets.iter().find(|set| set.len() > usize::from(u16::MAX)) {
        return Err(Error::Invalid {
            what,
            field: "a parameter set of length",
            value: value(set.len()),
        });
    }
    if value(sets.len()) > most {
        return Err(Error::Invalid { what, field: "parameter sets:", value: value(sets.len()) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn errors_say_what_and_where() {
        let error = facts(Codec::H264, &Bytes::from_static(&[1, 0x64])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "AVCDecoderConfigurationRecord is cut short: it has 2 bytes, and constraints needs more"
        );
    }

    #[test]
    fn vp8_and_vp9_have_none() {
        let format = format(Codec::Vp9, Bytes::new()).unwrap();
        assert_eq!((format.dimensions, format.sound), (None, None));
        assert!(facts(Codec::Vp8, &Bytes::from_static(&[1])).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..300), first in 0..3usize) {
            // The versions that let a parser go on.
            let head: &[u8] = [&[][..], &[1], b"OpusHead\x01"][first];
            let bytes = Bytes::from([head, &bytes].concat());
            for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::Aac, Codec::Opus, Codec::Vp8] {
                let _ = (facts(codec, &bytes), look(codec, &bytes));
            }
        }
    }
}
