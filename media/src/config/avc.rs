//! AVCDecoderConfigurationRecord (avcC), ISO/IEC 14496-15 section 5.3.3, and what an H.264 SPS says
//! (ITU-T H.264 sections 7.4.2.1 and E.2.1). Slices are none of it: see `payload::h264`.

use bytes::Bytes;
use h264_reader::nal::sps::{ChromaFormat, PicOrderCntType, SeqParameterSet};

use super::read::{Reader, put_sized};
use super::{Colour, Error, Facts, Look};
use crate::payload::h264;

const WHAT: &str = "AVCDecoderConfigurationRecord";
/// `profile_idc` of those whose record ends with chroma format and bit depths.
const WITH_CHROMA: [u8; 4] = [100, 110, 122, 144];

/// The record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `AVCProfileIndication`.
    pub profile: u8,
    /// `profile_compatibility`: the constraint flags.
    pub constraints: u8,
    /// `AVCLevelIndication`.
    pub level: u8,
    /// Bytes of the length before each NAL unit: 1, 2 or 4.
    pub length_size: u8,
    /// Sequence parameter sets, at most 31.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, at most 255.
    pub pps: Vec<Bytes>,
}

impl Record {
    /// Reads a record. What follows the parameter sets is not read: the SPS says it too.
    ///
    /// # Errors
    /// If it is cut short, or of another version.
    pub fn parse(record: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new(WHAT, record);
        let version = reader.u8("version")?;
        if version != 1 {
            let value = version.into();
            return Err(Error::Invalid { what: WHAT, field: "version", value });
        }
        let profile = reader.u8("profile")?;
        let constraints = reader.u8("constraints")?;
        let level = reader.u8("level")?;
        let length_size = (reader.u8("length size")? & 0x03) + 1;
        if length_size == 3 {
            return Err(Error::Invalid { what: WHAT, field: "length size", value: 3 });
        }
        let mut sets = |mask, count, each| -> Result<Vec<Bytes>, Error> {
            let count = reader.u8(count)? & mask;
            let sets = (0..count).map(|_| reader.sized(each)).collect::<Result<Vec<_>, _>>()?;
            Ok(sets.into_iter().filter(|set| !set.is_empty()).collect())
        };
        let sps = sets(0x1f, "number of SPS", "SPS")?;
        let pps = sets(0xff, "number of PPS", "PPS")?;
        Ok(Self { profile, constraints, level, length_size, sps, pps })
    }

    /// The record of a stream with these parameter sets, NAL unit headers included.
    ///
    /// # Errors
    /// If there is none of either, one is longer than 65535 bytes, or there are more than a record holds.
    pub fn from_sets(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, Error> {
        let Some(&[_, profile, constraints, level, ..]) = sps.first().map(|sps| &sps[..]) else {
            return Err(Error::Missing { what: WHAT, field: "SPS" });
        };
        if pps.is_empty() {
            return Err(Error::Missing { what: WHAT, field: "PPS" });
        }
        super::check_sets(WHAT, &sps, 31)?;
        super::check_sets(WHAT, &pps, 255)?;
        Ok(Self { profile, constraints, level, length_size: 4, sps, pps })
    }

    /// The bytes, for units with four bytes of length, whatever `length_size` is: that is how access
    /// units are held.
    pub fn build(&self) -> Bytes {
        // Six bits of ones, then lengthSizeMinusOne; three bits of ones, then the number of SPS.
        let mut out = vec![1, self.profile, self.constraints, self.level, 0xfc | 3];
        let (sps, pps) =
            (&self.sps[..self.sps.len().min(31)], &self.pps[..self.pps.len().min(255)]);
        out.push(0xe0 | sps.len() as u8);
        sps.iter().for_each(|set| put_sized(&mut out, set));
        out.push(pps.len() as u8);
        pps.iter().for_each(|set| put_sized(&mut out, set));
        if WITH_CHROMA.contains(&self.profile)
            && let Some(sps) = sps.first().and_then(|sps| sequence(sps))
        {
            let chroma = sps.chroma_info;
            let format = match chroma.chroma_format {
                ChromaFormat::Monochrome => 0,
                ChromaFormat::YUV420 => 1,
                ChromaFormat::YUV422 => 2,
                _ => 3,
            };
            let depths = [chroma.bit_depth_luma_minus8, chroma.bit_depth_chroma_minus8];
            // Ones before each, and no SPS extension behind them.
            out.extend([0xfc | format, 0xf8 | depths[0] & 7, 0xf8 | depths[1] & 7, 0]);
        }
        out.into()
    }

    /// What it says of its stream.
    ///
    /// # Errors
    /// If it has no SPS.
    pub fn facts(&self) -> Result<Facts, Error> {
        let first = self.sps.first().ok_or(Error::Missing { what: WHAT, field: "SPS" })?;
        let sps = sps(first);
        Ok(Facts {
            dimensions: sps.and_then(|s| s.dimensions),
            sound: None,
            profile: self.profile,
            level: self.level,
            reorder: sps.and_then(|s| s.reorder),
        })
    }

    /// What its first SPS says of colours and the shape of pixels.
    pub fn look(&self) -> Look {
        let sps = self.sps.first().and_then(|sps| sequence(sps));
        let Some(vui) = sps.and_then(|sps| sps.vui_parameters) else {
            return Look::default();
        };
        let colour = vui.video_signal_type.and_then(|signal| {
            let description = signal.colour_description?;
            Some(Colour {
                primaries: description.colour_primaries,
                transfer: description.transfer_characteristics,
                matrix: description.matrix_coefficients,
                full_range: signal.video_full_range_flag,
            })
        });
        Look { pixel: vui.aspect_ratio_info.and_then(|ratio| ratio.get()), colour }
    }
}

/// What an SPS says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`.
    pub profile: u8,
    /// The constraint flags, as a byte.
    pub constraints: u8,
    /// `level_idc`.
    pub level: u8,
    /// Pixels after cropping, where they fit.
    pub dimensions: Option<(u16, u16)>,
    /// See [`Facts::reorder`].
    pub reorder: Option<u8>,
}

/// Reads an SPS with its NAL unit header; `None` if it cannot be read.
pub fn sps(unit: &[u8]) -> Option<Sps> {
    let &[_, profile, constraints, level, ..] = unit else {
        return None;
    };
    let sps = sequence(unit)?;
    let dimensions = h264::size(&sps);
    Some(Sps { profile, constraints, level, dimensions, reorder: reorder(&sps, constraints) })
}

fn sequence(unit: &[u8]) -> Option<SeqParameterSet> {
    let (header, body) = unit.split_first()?;
    (header & 0x1f == h264::SPS).then(|| h264::sequence(body)).flatten()
}

/// By the VUI; else what follows from the profile and the way in which pictures are counted.
fn reorder(sps: &SeqParameterSet, constraints: u8) -> Option<u8> {
    const BASELINE: u8 = 66;
    /// Profiles in which constraint_set3_flag says that all pictures are IDR pictures.
    const INTRA: [u8; 6] = [44, 86, 100, 110, 122, 244];
    let restrictions = sps.vui_parameters.as_ref().and_then(|v| v.bitstream_restrictions.as_ref());
    if let Some(restrictions) = restrictions {
        return u8::try_from(restrictions.max_num_reorder_frames).ok();
    }
    let profile = u8::from(sps.profile_idc);
    let intra = INTRA.contains(&profile) && constraints & 0x10 != 0 || sps.max_num_ref_frames == 0;
    // Type 2: the order of output is that of decoding (8.2.1.3). Baseline has no B slices.
    let in_order = matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo) || profile == BASELINE;
    (intra || in_order).then_some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By x264: constrained baseline; high with three B-frames in a pyramid; high tuned for latency.
    const BASELINE: &str = "6742c016da0280bfe23011000003000100000300140f162ea0";
    const HIGH: &str = "67640016acd940a02ff88c0440000003004000000503c58b6580";
    const PPS: &str = "68ce0fc8";

    fn unit(hex: &str) -> Bytes {
        let digits = hex.as_bytes().chunks(2).map(|d| std::str::from_utf8(d).unwrap());
        digits.map(|d| u8::from_str_radix(d, 16).unwrap()).collect()
    }

    #[test]
    fn what_sps_say() {
        let baseline = sps(&unit(BASELINE)).unwrap();
        let expected = Sps {
            profile: 66,
            constraints: 0xc0,
            level: 22,
            dimensions: Some((640, 354)),
            reorder: Some(0),
        };
        assert_eq!(baseline, expected);
        let high = sps(&unit(HIGH)).unwrap();
        assert_eq!((high.profile, high.level, high.dimensions), (100, 22, Some((640, 354))));
        assert_eq!(high.reorder, Some(2));
        assert_eq!(sps(&unit(PPS)), None);
        assert_eq!(sps(&unit(HIGH)[..9]), None);
    }

    #[test]
    fn reordering_where_no_vui_says_it() {
        // 176x144, pic_order_cnt_type 0; then type 2.
        let (by_number, in_order) = ([0xf4, 0x16, 0x27, 0x20], [0xda, 0x0b, 0x13, 0x90]);
        for (profile, rest, reorder) in
            [(66, by_number, Some(0)), (77, by_number, None), (77, in_order, Some(0))]
        {
            let sps = sps(&[&[0x67, profile, 0, 30][..], &rest].concat()).unwrap();
            assert_eq!((sps.dimensions, sps.reorder), (Some((176, 144)), reorder), "{profile}");
        }
    }

    #[test]
    fn a_record_is_built_and_read_back() {
        for (set, extension) in [(BASELINE, &[][..]), (HIGH, &[0xfd, 0xf8, 0xf8, 0])] {
            let record = Record::from_sets(vec![unit(set)], vec![unit(PPS)]).unwrap();
            let built = record.build();
            assert!(built.ends_with(&[&unit(PPS), extension].concat()));
            assert_eq!(Record::parse(&built), Ok(record));
            let facts = super::super::facts(crate::Codec::H264, &built).unwrap();
            assert_eq!(facts.dimensions, Some((640, 354)));
        }
    }

    #[test]
    fn a_record_is_built_from_its_sets_as_ffmpeg_builds_it() {
        // 180x102 by x264 through FFmpeg's MP4 writer: as it is, tuned for latency, baseline.
        for (hex, reorder) in [
            (
                "0164000bffe1001a6764000bacd9430fe79b01100000030010000003 0320f14299600\
                 1000668ebe3cb22c0fdf8f800",
                2,
            ),
            (
                "0164000bffe100186764000bacb4187f3cd80880000003008000001 9478a15500100\
                 0468ef0fcbfdf8f800",
                0,
            ),
            (
                "0142c00bffe100196742c00bd9030fe79b0110000003001000000303 20f142a480010005 68cb83cb20",
                0,
            ),
        ] {
            let hex: String = hex.chars().filter(char::is_ascii_hexdigit).collect();
            let Record { sps, pps, .. } = Record::parse(&unit(&hex)).unwrap();
            assert_eq!(Record::from_sets(sps, pps).unwrap().build(), unit(&hex));
            let facts = super::super::facts(crate::Codec::H264, &unit(&hex)).unwrap();
            assert_eq!((facts.dimensions, facts.reorder), (Some((180, 102)), Some(reorder)));
        }
    }

    #[test]
    fn every_cut_of_a_record_is_an_error() {
        let built = Record::from_sets(vec![unit(BASELINE)], vec![unit(PPS)]).unwrap().build();
        for len in 0..built.len() {
            let error = Record::parse(&built.slice(..len)).unwrap_err();
            assert!(matches!(error, Error::CutShort { .. }), "{len}: {error}");
        }
        let mut other = built.to_vec();
        other[0] = 2;
        assert!(matches!(Record::parse(&other.into()), Err(Error::Invalid { .. })));
    }

    #[test]
    fn other_length_sizes_are_read_and_four_is_written() {
        let mut built =
            Record::from_sets(vec![unit(BASELINE)], vec![unit(PPS)]).unwrap().build().to_vec();
        built[4] = 0xfd;
        let record = Record::parse(&built.clone().into()).unwrap();
        assert_eq!(record.length_size, 2);
        assert_eq!(record.build()[4], 0xff);
        built[4] = 0xfe;
        assert!(Record::parse(&built.into()).is_err());
    }

    #[test]
    fn what_a_record_cannot_hold() {
        let (sps, pps) = (unit(BASELINE), unit(PPS));
        assert!(Record::from_sets(vec![], vec![pps.clone()]).is_err());
        assert!(Record::from_sets(vec![sps.clone()], vec![]).is_err());
        assert!(Record::from_sets(vec![sps.clone(); 32], vec![pps]).is_err());
        assert!(Record::from_sets(vec![sps], vec![Bytes::from(vec![0x68; 0x1_0000])]).is_err());
    }
}
