//! The identification header of Opus, RFC 7845 section 5.1: `OpusHead`. Packets are none of it.

use bytes::Bytes;

use super::read::Reader;
use super::{Error, Facts};

const WHAT: &str = "OpusHead";
const MAGIC: &[u8; 8] = b"OpusHead";

/// The header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Output channels, 1 to 255.
    pub channels: u8,
    /// Samples of 1/48000 s to throw away at the start.
    pub pre_skip: u16,
    /// Hz of what was encoded; for information only, decoders run at 48000. 0: not said.
    pub input_rate: u32,
    /// To apply to the output, in 1/256 dB.
    pub gain: i16,
    /// How channels are mapped.
    pub mapping: Mapping,
}

/// Channel mapping, section 5.1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Family 0: one stream of one or two channels.
    Plain,
    /// Every other family.
    Table {
        /// The family's number, not 0.
        family: u8,
        /// How many Opus streams each packet has.
        streams: u8,
        /// How many of those are stereo.
        coupled: u8,
        /// For each channel the decoded one that it is; 255 is silence.
        channels: Bytes,
    },
}

impl Head {
    /// What WebRTC sends: two channels, whatever is in the packets (RFC 7587 section 7).
    pub const fn stereo() -> Self {
        Self { channels: 2, pre_skip: 0, input_rate: 48_000, gain: 0, mapping: Mapping::Plain }
    }

    /// Reads a header. What follows it is not read.
    ///
    /// # Errors
    /// If it is cut short, of another version, or maps channels that are not there.
    pub fn parse(head: &Bytes) -> Result<Self, Error> {
        let invalid = |field, value: u8| Error::Invalid { what: WHAT, field, value: value.into() };
        let mut reader = Reader::new(WHAT, head);
        if reader.array("magic")? != *MAGIC {
            return Err(Error::Missing { what: WHAT, field: "magic" });
        }
        let version = reader.u8("version")?;
        // Minor versions are compatible.
        if version & 0xf0 != 0 {
            return Err(invalid("version", version));
        }
        let channels = reader.u8("channels")?;
        let pre_skip = u16::from_le_bytes(reader.array("pre-skip")?);
        let input_rate = u32::from_le_bytes(reader.array("input rate")?);
        let gain = i16::from_le_bytes(reader.array("gain")?);
        let family = reader.u8("mapping family")?;
        let most = if family == 0 { 2 } else { 255 };
        if channels == 0 || channels > most {
            return Err(invalid("number of channels", channels));
        }
        let mapping = match family {
            0 => Mapping::Plain,
            family => {
                let [streams, coupled] = reader.array("streams")?;
                if streams == 0 || coupled > streams {
                    return Err(invalid("number of streams", streams));
                }
                let channels = reader.take(channels.into(), "mapping table")?;
                Mapping::Table { family, streams, coupled, channels }
            }
        };
        Ok(Self { channels, pre_skip, input_rate, gain, mapping })
    }

    /// The bytes, magic included.
    pub fn build(&self) -> Bytes {
        let mut out = MAGIC.to_vec();
        out.extend([1, self.channels]);
        out.extend(self.pre_skip.to_le_bytes());
        out.extend(self.input_rate.to_le_bytes());
        out.extend(self.gain.to_le_bytes());
        match &self.mapping {
            Mapping::Plain => out.push(0),
            Mapping::Table { family, streams, coupled, channels } => {
                out.extend([*family, *streams, *coupled]);
                out.extend_from_slice(channels);
            }
        }
        out.into()
    }

    /// What it says of its stream.
    pub fn facts(&self) -> Facts {
        Facts { sound: Some((48_000, self.channels)), ..Facts::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By FFmpeg's libopus wrapper, stereo.
    const HEAD: [u8; 19] =
        [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', 1, 2, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0];

    #[test]
    fn heads() {
        let head = Head::parse(&Bytes::from_static(&HEAD)).unwrap();
        assert_eq!(head, Head { pre_skip: 312, ..Head::stereo() });
        assert_eq!(head.build(), HEAD[..]);
        assert_eq!(head.facts().sound, Some((48_000, 2)));
        for len in 0..HEAD.len() {
            assert!(Head::parse(&Bytes::from_static(&HEAD[..len])).is_err());
        }
    }

    #[test]
    fn surround() {
        let channels = Bytes::from_static(&[0, 4, 1, 2, 3, 5]);
        let mapping = Mapping::Table { family: 1, streams: 4, coupled: 2, channels };
        let head = Head { channels: 6, mapping, ..Head::stereo() };
        let built = head.build();
        assert_eq!(Head::parse(&built), Ok(head));
        assert!(Head::parse(&built.slice(..built.len() - 1)).is_err());
    }

    #[test]
    fn what_cannot_be() {
        for (at, value) in [(0, b'o'), (8, 16), (9, 0), (9, 3)] {
            let mut head = HEAD;
            head[at] = value;
            assert!(Head::parse(&Bytes::copy_from_slice(&head)).is_err(), "{at}");
        }
    }
}
