//! AV1CodecConfigurationRecord (av1C), AV1 Codec ISO Media File Format Binding section 2.3, and how it
//! follows from a sequence header, which `payload::av1` reads.

use bytes::Bytes;

use super::read::Reader;
use super::{Error, Facts, Look};
use crate::payload::av1::{self, Sequence};

const WHAT: &str = "AV1CodecConfigurationRecord";

/// The record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `seq_profile`.
    pub profile: u8,
    /// `seq_level_idx` of the first operating point.
    pub level: u8,
    /// `seq_tier` of the first operating point.
    pub high_tier: bool,
    /// 10 bits, or 12.
    pub high_bitdepth: bool,
    /// 12 bits.
    pub twelve_bit: bool,
    /// No colours.
    pub monochrome: bool,
    /// Of the colours, horizontally and vertically.
    pub subsampling: (bool, bool),
    /// `chroma_sample_position`.
    pub sample_position: u8,
    /// OBUs with their sizes: the sequence header, and perhaps metadata. May be empty.
    pub obus: Bytes,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// If it is cut short, or of another version.
    pub fn parse(record: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new(WHAT, record);
        let version = reader.u8("version")?;
        if version & 0x7f != 1 {
            let value = u32::from(version & 0x7f);
            return Err(Error::Invalid { what: WHAT, field: "version", value });
        }
        let [level, flags, _delay] = reader.array("profile, level and depth")?;
        let flag = |n: u8| flags & (0x80 >> n) != 0;
        Ok(Self {
            profile: level >> 5,
            level: level & 0x1f,
            high_tier: flag(0),
            high_bitdepth: flag(1),
            twelve_bit: flag(2),
            monochrome: flag(3),
            subsampling: (flag(4), flag(5)),
            sample_position: flags & 0x03,
            obus: reader.rest(),
        })
    }

    /// The record of a stream that begins with this sequence header OBU, with or without its size.
    ///
    /// # Errors
    /// If it is none, or cut short.
    pub fn from_sequence_header(obu: &[u8]) -> Result<Self, Error> {
        const FIELD: &str = "whole sequence header";
        let missing = Error::Missing { what: WHAT, field: FIELD };
        if obu.first().map(|b| av1::kind(*b)) != Some(av1::SEQUENCE_HEADER) {
            return Err(missing);
        }
        let sequence = av1::sequence_header(obu).ok_or(missing.clone())?;
        let Sequence { profile, level, high_tier, colour: Some(colour), .. } = sequence else {
            return Err(missing);
        };
        let mut obus = Vec::with_capacity(obu.len() + 8);
        av1::append(&mut obus, obu);
        Ok(Self {
            profile,
            level,
            high_tier,
            high_bitdepth: colour.high_bitdepth,
            twelve_bit: colour.twelve_bit,
            monochrome: colour.monochrome,
            subsampling: colour.subsampling,
            sample_position: colour.sample_position,
            obus: obus.into(),
        })
    }

    /// The bytes.
    pub fn build(&self) -> Bytes {
        let flags = [
            self.high_tier,
            self.high_bitdepth,
            self.twelve_bit,
            self.monochrome,
            self.subsampling.0,
            self.subsampling.1,
        ];
        let flags = flags.into_iter().fold(0, |byte, flag| byte << 1 | u8::from(flag));
        // Marker and version; last, no initial presentation delay.
        let level = self.profile << 5 | self.level & 0x1f;
        let head = [0x81, level, flags << 2 | self.sample_position & 3, 0];
        [&head, &self.obus[..]].concat().into()
    }

    /// The sequence header among its OBUs, with its size.
    pub fn sequence_header(&self) -> Option<&[u8]> {
        let mut obus = av1::obus(&self.obus);
        obus.find(|obu| av1::kind(obu[0]) == av1::SEQUENCE_HEADER)
    }

    /// What it says of its stream.
    pub fn facts(&self) -> Facts {
        let sequence = self.sequence_header().and_then(av1::sequence_header);
        Facts {
            dimensions: sequence.and_then(|s| s.dimensions),
            sound: None,
            profile: self.profile,
            level: self.level,
            // Each temporal unit shows exactly one picture, in order.
            reorder: Some(0),
        }
    }

    /// What its sequence header says of colours. Pixels are square, or a frame says otherwise.
    pub fn look(&self) -> Look {
        let sequence = self.sequence_header().and_then(av1::sequence_header);
        Look { pixel: None, colour: sequence.and_then(|s| s.colour).and_then(|c| c.description) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 640x354 by SVT-AV1, with its size.
    const SEQUENCE: [u8; 14] =
        [0x0a, 0x0c, 2, 0, 0, 0x0d, 0x66, 0x27, 0xfb, 0x08, 0xd5, 0xf3, 0, 0x80];

    #[test]
    fn a_record_is_built_and_read_back() {
        let without_size = [&[0x08], &SEQUENCE[2..]].concat();
        for obu in [&SEQUENCE[..], &without_size] {
            let record = Record::from_sequence_header(obu).unwrap();
            assert_eq!(record.obus, SEQUENCE[..]);
            let built = record.build();
            assert_eq!(Record::parse(&built), Ok(record.clone()));
            assert_eq!(record.facts().dimensions, Some((640, 354)));
        }
        for len in 0..4 {
            assert!(Record::parse(&Bytes::copy_from_slice(&[0x81, 0, 0x0c, 0][..len])).is_err());
        }
        assert!(Record::parse(&Bytes::from_static(&[0x82, 0, 0, 0])).is_err());
        assert!(Record::from_sequence_header(&SEQUENCE[..9]).is_err());
        assert!(Record::from_sequence_header(&[0x12, 0]).is_err());
    }

    #[test]
    fn a_record_is_built_from_its_header_as_ffmpeg_builds_it() {
        // 180x102 by SVT-AV1 and by libaom.
        for end in [[0x50, 0x0b, 0xe0, 0x01], [0x53, 0x6b, 0xe4, 0x01]] {
            let head = [0x81, 0, 0x0c, 0, 0x0a, 0x0a, 0, 0, 0, 0x03, 0xb5, 0x9e];
            let record = Bytes::from([&head[..], &end].concat());
            let built = Record::from_sequence_header(&record[4..]).unwrap().build();
            assert_eq!(built, record);
            assert_eq!(Record::parse(&built).unwrap().facts().dimensions, Some((180, 102)));
        }
    }

    #[test]
    fn a_record_without_obus_has_no_size() {
        let record = Record::parse(&Bytes::from_static(&[0x81, 0x05, 0x0c, 0])).unwrap();
        assert_eq!((record.facts().dimensions, record.facts().level), (None, 5));
        assert_eq!(record.subsampling, (true, true));
    }
}
