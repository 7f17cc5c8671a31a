//! How pictures are meant to be looked at: the shape of a pixel and the colours, as the `pasp` and `colr` of
//! MP4 repeat them. The numbers are those of ITU-T H.273, which all codecs share.

use bytes::Bytes;

use super::{av1, avc, hevc};
use crate::Codec;

/// What a configuration says of it, where it can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Width and height of a pixel to each other, both above 0.
    pub pixel: Option<(u16, u16)>,
    /// The colours.
    pub colour: Option<Colour>,
}

/// Code points of H.273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// `colour_primaries`: 1 is BT.709, 9 is BT.2020.
    pub primaries: u8,
    /// `transfer_characteristics`: 16 is PQ, 18 is HLG.
    pub transfer: u8,
    /// `matrix_coefficients`.
    pub matrix: u8,
    /// All values are used, not only those of television.
    pub full_range: bool,
}

/// Reads what the [`Format::config`](crate::Format) of a codec says of it. Nothing is no error: it is in the
/// pictures too, and decoders believe those.
pub fn look(codec: Codec, config: &Bytes) -> Look {
    match codec {
        Codec::H264 => avc::Record::parse(config).map(|r| r.look()).unwrap_or_default(),
        Codec::H265 => hevc::Record::parse(config).map(|r| r.look()).unwrap_or_default(),
        Codec::Av1 => av1::Record::parse(config).map(|r| r.look()).unwrap_or_default(),
        _ => Look::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_records_say() {
        // Pixels of 64:45, the colours of television before 1996, by x264.
        let sps: &[u8] = &[
            0x67, 0x4d, 0x40, 0x1e, 0xec, 0xa0, 0x5a, 0x09, 0x37, 0xfe, 0x00, 0x80, 0x00, 0x5a,
            0xd4, 0x14, 0x18, 0x15, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32,
            0x0f, 0x16, 0x2d, 0x96,
        ];
        let sets = |set: &'static [u8]| vec![Bytes::from_static(set)];
        let record = avc::Record::from_sets(sets(sps), sets(&[0x68])).unwrap();
        let colour = Colour { primaries: 5, transfer: 6, matrix: 5, full_range: false };
        let expected = Look { pixel: Some((64, 45)), colour: Some(colour) };
        assert_eq!(look(Codec::H264, &record.build()), expected);
        // 640x354 by SVT-AV1, which says nothing of colours.
        let header: &[u8] = &[0x0a, 0x0c, 2, 0, 0, 0x0d, 0x66, 0x27, 0xfb, 8, 0xd5, 0xf3, 0, 0x80];
        let record = av1::Record::from_sequence_header(header).unwrap();
        assert_eq!(look(Codec::Av1, &record.build()), Look::default());
        // BT.2020 with PQ in full range, 10 bits, by libaom.
        let record: &[u8] = &[
            0x81, 0x00, 0x4c, 0x00, 0x0a, 0x0e, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xfe, 0xcc, 0xda,
            0xf9, 0x50, 0x91, 0x00, 0x98, 0x40,
        ];
        let colour = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: true };
        let expected = Look { pixel: None, colour: Some(colour) };
        assert_eq!(look(Codec::Av1, &Bytes::from_static(record)), expected);
        assert_eq!(look(Codec::Vp9, &Bytes::new()), Look::default());
        assert_eq!(look(Codec::H265, &Bytes::new()), Look::default());
    }
}
