//! HEVCDecoderConfigurationRecord (hvcC), ISO/IEC 14496-15 section 8.3.3, and the part of an H.265 SPS
//! (ITU-T H.265 sections 7.3.2.2 and 7.3.3) that it repeats. Slices are none of it.

use bytes::Bytes;
use h264_reader::rbsp::{BitRead, BitReader, ByteReader};

use super::read::{Reader, put_sized};
use super::{Error, Facts, Look};
use crate::payload::h265;

mod vui;

const WHAT: &str = "HEVCDecoderConfigurationRecord";
/// As much of an SPS as is read, in bytes: what is of interest comes first.
const MAX_SPS: usize = 1024;
/// Most sets of one kind that are kept, of 16 VPS, 16 SPS and 64 PPS that a stream can have.
const MAX_SETS: u32 = 64;

/// `general_profile_space` to `general_level_idc`, as SPS and record both have them.
type ProfileTierLevel = [u8; 12];

/// The record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Profile space (2 bits), tier (1), `general_profile_idc` (5); 4 bytes of compatibility flags; 6 of
    /// constraints; `general_level_idc`.
    pub profile_tier_level: [u8; 12],
    /// `chroma_format_idc`.
    pub chroma_format: u8,
    /// `bit_depth_luma_minus8` and `bit_depth_chroma_minus8`.
    pub depths: (u8, u8),
    /// How many temporal layers; 0: not known.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_id_nested: bool,
    /// Bytes of the length before each NAL unit: 1, 2 or 4.
    pub length_size: u8,
    /// Video parameter sets.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets.
    pub pps: Vec<Bytes>,
}

impl Record {
    /// Reads a record. NAL units that are no parameter sets (SEI) are left out.
    ///
    /// # Errors
    /// If it is cut short, or of another version.
    pub fn parse(record: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new(WHAT, record);
        let version = reader.u8("version")?;
        // Encoders of the draft's time wrote 0.
        if version > 1 {
            let value = version.into();
            return Err(Error::Invalid { what: WHAT, field: "version", value });
        }
        let profile_tier_level = reader.array("profile, tier and level")?;
        let _ = reader.u16("min_spatial_segmentation_idc")?;
        let _ = reader.u8("parallelismType")?;
        let chroma_format = reader.u8("chroma format")? & 0x03;
        let depths = (reader.u8("luma depth")? & 0x07, reader.u8("chroma depth")? & 0x07);
        let _ = reader.u16("avgFrameRate")?;
        let layers = reader.u8("temporal layers")?;
        let length_size = (layers & 0x03) + 1;
        if length_size == 3 {
            return Err(Error::Invalid { what: WHAT, field: "length size", value: 3 });
        }
        let mut record = Self {
            profile_tier_level,
            chroma_format,
            depths,
            temporal_layers: layers >> 3 & 0x07,
            temporal_id_nested: layers & 0x04 != 0,
            length_size,
            vps: Vec::new(),
            sps: Vec::new(),
            pps: Vec::new(),
        };
        let arrays = reader.u8("number of arrays")?;
        for _ in 0..arrays {
            record.read_array(&mut reader)?;
        }
        Ok(record)
    }

    fn read_array(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let kind = reader.u8("array")? & 0x3f;
        let count = reader.u16("number of NAL units")?;
        for _ in 0..count {
            let unit = reader.sized("NAL unit")?;
            let place = match kind {
                h265::VPS => &mut self.vps,
                h265::SPS => &mut self.sps,
                h265::PPS => &mut self.pps,
                _ => continue,
            };
            if unit.len() > 2 && place.len() < MAX_SETS as usize {
                place.push(unit);
            }
        }
        Ok(())
    }

    /// The record of a stream with these parameter sets, NAL unit headers included.
    ///
    /// # Errors
    /// If there is none of a kind, the SPS cannot be read, one is longer than 65535 bytes or there are too many.
    pub fn from_sets(vps: Vec<Bytes>, sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, Error> {
        for (sets, field) in [(&vps, "VPS"), (&sps, "SPS"), (&pps, "PPS")] {
            if sets.is_empty() {
                return Err(Error::Missing { what: WHAT, field });
            }
            super::check_sets(WHAT, sets, MAX_SETS)?;
        }
        let facts =
            parse_sps(&sps[0]).ok_or(Error::Missing { what: WHAT, field: "readable SPS" })?;
        Ok(Self {
            profile_tier_level: facts.profile_tier_level,
            chroma_format: facts.chroma_format,
            depths: facts.depths,
            temporal_layers: facts.temporal_layers,
            temporal_id_nested: facts.temporal_id_nested,
            length_size: 4,
            vps,
            sps,
            pps,
        })
    }

    /// The bytes, for units with four bytes of length, whatever `length_size` is: that is how access
    /// units are held.
    pub fn build(&self) -> Bytes {
        let mut out = vec![1];
        out.extend(self.profile_tier_level);
        // No segmentation known, parallelism of an unknown kind; unused bits are ones.
        out.extend([0xf0, 0, 0xfc, 0xfc | self.chroma_format & 3]);
        out.extend([0xf8 | self.depths.0 & 7, 0xf8 | self.depths.1 & 7]);
        // No frame rate known.
        out.extend([0, 0]);
        let nested = u8::from(self.temporal_id_nested) << 2;
        out.push((self.temporal_layers & 7) << 3 | nested | 3);
        let arrays = [(h265::VPS, &self.vps), (h265::SPS, &self.sps), (h265::PPS, &self.pps)];
        let arrays = arrays.into_iter().filter(|(_, sets)| !sets.is_empty());
        out.push(arrays.clone().count() as u8);
        for (kind, sets) in arrays {
            // The array is complete: players ask for that, and sets in band are its repetitions.
            out.push(0x80 | kind);
            let sets = &sets[..sets.len().min(MAX_SETS as usize)];
            out.extend((sets.len() as u16).to_be_bytes());
            sets.iter().for_each(|set| put_sized(&mut out, set));
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
            profile: self.profile_tier_level[0] & 0x1f,
            level: self.profile_tier_level[11],
            reorder: sps.and_then(|s| s.reorder),
        })
    }

    /// What its first SPS says of colours and the shape of pixels.
    pub fn look(&self) -> Look {
        self.sps.first().and_then(|sps| parse_sps(sps)).map(|sps| sps.look).unwrap_or_default()
    }
}

/// What an SPS says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `sps_seq_parameter_set_id`.
    pub id: u8,
    /// `general_profile_idc`.
    pub profile: u8,
    /// `general_level_idc`: thirty times the level.
    pub level: u8,
    /// Pixels after cropping, where they fit.
    pub dimensions: Option<(u16, u16)>,
    /// `sps_max_num_reorder_pics` of all temporal layers together, see [`Facts::reorder`].
    pub reorder: Option<u8>,
}

/// Reads an SPS of the base layer with its NAL unit header; `None` if it cannot be read.
pub fn sps(unit: &[u8]) -> Option<Sps> {
    let sps = parse_sps(unit)?;
    Some(Sps {
        id: sps.id,
        profile: sps.profile_tier_level[0] & 0x1f,
        level: sps.profile_tier_level[11],
        dimensions: sps.dimensions,
        reorder: sps.reorder,
    })
}

struct Parsed {
    profile_tier_level: ProfileTierLevel,
    temporal_layers: u8,
    temporal_id_nested: bool,
    id: u8,
    chroma_format: u8,
    depths: (u8, u8),
    dimensions: Option<(u16, u16)>,
    reorder: Option<u8>,
    look: Look,
}

fn parse_sps(unit: &[u8]) -> Option<Parsed> {
    let (header, body) = unit.split_at_checked(2)?;
    let layer = (header[0] & 1) << 5 | header[1] >> 3;
    if h265::kind(header[0]) != h265::SPS || layer != 0 {
        return None;
    }
    let body = &body[..body.len().min(MAX_SPS)];
    let mut bits = BitReader::new(ByteReader::without_skip(body));
    bits.skip(4, "sps_video_parameter_set_id").ok()?;
    let sub_layers = bits.read::<3, u8>("sps_max_sub_layers_minus1").ok()?;
    let temporal_id_nested = bits.read_bit("sps_temporal_id_nesting_flag").ok()?;
    let mut profile_tier_level = ProfileTierLevel::default();
    for byte in &mut profile_tier_level {
        *byte = bits.read::<8, u8>("profile_tier_level").ok()?;
    }
    skip_sub_layers(&mut bits, sub_layers)?;
    let id = u8::try_from(bits.read_ue("sps_seq_parameter_set_id").ok()?).ok()?;
    let chroma_format = u8::try_from(bits.read_ue("chroma_format_idc").ok()?).ok()?;
    if id > 15 || chroma_format > 3 {
        return None;
    }
    if chroma_format == 3 {
        bits.skip(1, "separate_colour_plane_flag").ok()?;
    }
    let dimensions = dimensions(&mut bits, chroma_format)?;
    let depth = |value: u32| u8::try_from(value).ok().filter(|depth| *depth < 8);
    let depths = (
        depth(bits.read_ue("bit_depth_luma_minus8").ok()?)?,
        depth(bits.read_ue("bit_depth_chroma_minus8").ok()?)?,
    );
    let log2_order = bits.read_ue("log2_max_pic_order_cnt_lsb_minus4").ok().filter(|n| *n <= 12);
    let reorder = log2_order.and_then(|_| reorder(&mut bits, sub_layers));
    let look = reorder.zip(log2_order).and_then(|(_, order)| vui::look(&mut bits, order + 4));
    Some(Parsed {
        profile_tier_level,
        temporal_layers: sub_layers + 1,
        temporal_id_nested,
        id,
        chroma_format,
        depths,
        dimensions: dimensions.filter(|(width, height)| *width > 0 && *height > 0),
        reorder,
        look: look.unwrap_or_default(),
    })
}

/// The rest of `profile_tier_level` behind the general part.
fn skip_sub_layers(bits: &mut impl BitRead, sub_layers: u8) -> Option<()> {
    let mut present = Vec::with_capacity(sub_layers.into());
    for _ in 0..sub_layers {
        let profile = bits.read_bit("sub_layer_profile_present_flag").ok()?;
        present.push((profile, bits.read_bit("sub_layer_level_present_flag").ok()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * u32::from(8 - sub_layers), "reserved_zero_2bits").ok()?;
    }
    for (profile, level) in present {
        bits.skip(u32::from(profile) * 88 + u32::from(level) * 8, "sub_layer_level_idc").ok()?;
    }
    Some(())
}

/// Size less the conformance window; `Some(None)` if that is no size of 16 bits.
fn dimensions(bits: &mut impl BitRead, chroma_format: u8) -> Option<Option<(u16, u16)>> {
    let width = bits.read_ue("pic_width_in_luma_samples").ok()?;
    let mut size = [width, bits.read_ue("pic_height_in_luma_samples").ok()?];
    let mut fits = true;
    if bits.read_bit("conformance_window_flag").ok()? {
        // How many luma samples an offset counts, across and down.
        let units = match chroma_format {
            1 => [2, 2],
            2 => [2, 1],
            _ => [1, 1],
        };
        for axis in [0, 0, 1, 1] {
            let offset = bits.read_ue("conf_win_offset").ok()?;
            let pixels = offset.checked_mul(units[axis]);
            match pixels.and_then(|pixels| size[axis].checked_sub(pixels)) {
                Some(less) => size[axis] = less,
                None => fits = false,
            }
        }
    }
    let size = u16::try_from(size[0]).ok().zip(u16::try_from(size[1]).ok());
    Some(size.filter(|_| fits))
}

fn reorder(bits: &mut impl BitRead, sub_layers: u8) -> Option<u8> {
    let each = bits.read_bit("sps_sub_layer_ordering_info_present_flag").ok()?;
    let mut reorder = None;
    for _ in 0..if each { sub_layers + 1 } else { 1 } {
        bits.read_ue("sps_max_dec_pic_buffering_minus1").ok()?;
        reorder = Some(bits.read_ue("sps_max_num_reorder_pics").ok()?);
        bits.read_ue("sps_max_latency_increase_plus1").ok()?;
    }
    u8::try_from(reorder?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Codec, config};

    /// 180x102 by x265, without B-frames in 10 bits, and with; FFmpeg's hvcC less its SEI, which is an array more.
    const MAIN10: &str = "010220000000900000000000\
        1ef000fcfdfafa00000f03a00001001840010c01ffff022000000300900000030000\
        03001e928090a10001002a420101022000000300900000030000030 01ea0172069dd3659\
        2a4932bc05a02000000300200000030321a2000100074401c172b46240";
    const MAIN: &str = "010160000000900000000000\
        1ef000fcfdf8f800000f03a00001001840010c01ffff016000000300900000030000\
        03001e959809a10001002a420101016000000300900000030000030 01ea0172069dd6595\
        9a4932bc05a02000000300200000030321a2000100074401c172b46240";

    fn bytes(hex: &str) -> Bytes {
        let hex: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digits = hex.chunks(2).map(|d| std::str::from_utf8(d).unwrap());
        digits.map(|d| u8::from_str_radix(d, 16).unwrap()).collect()
    }

    #[test]
    fn what_records_say() {
        for (hex, profile, reorder) in [(MAIN, 1, 2), (MAIN10, 2, 0)] {
            let facts = config::facts(Codec::H265, &bytes(hex)).unwrap();
            assert_eq!(facts.dimensions, Some((180, 102)));
            assert_eq!((facts.profile, facts.level, facts.reorder), (profile, 30, Some(reorder)));
        }
    }

    #[test]
    fn a_record_is_built_from_its_sets_as_ffmpeg_builds_it() {
        for hex in [MAIN, MAIN10] {
            let Record { vps, sps, pps, .. } = Record::parse(&bytes(hex)).unwrap();
            assert_eq!(Record::from_sets(vps, sps, pps).unwrap().build(), bytes(hex));
        }
    }

    #[test]
    fn every_cut_of_a_record_is_an_error() {
        let whole = bytes(MAIN);
        for len in 0..whole.len() {
            assert!(Record::parse(&whole.slice(..len)).is_err(), "{len}");
        }
    }

    #[test]
    fn sets_that_are_not_there_or_not_readable() {
        let Record { vps, sps, pps, .. } = Record::parse(&bytes(MAIN)).unwrap();
        assert!(Record::from_sets(vec![], sps.clone(), pps.clone()).is_err());
        assert!(Record::from_sets(vps.clone(), vec![], pps.clone()).is_err());
        assert!(Record::from_sets(vps.clone(), sps.clone(), vec![]).is_err());
        let cut = vec![sps[0].slice(..20)];
        assert!(Record::from_sets(vps, cut, pps).is_err());
        // Of an upper layer, and no SPS.
        for (at, value) in [(1, 0x09), (0, 0x40)] {
            let mut other = sps[0].to_vec();
            other[at] = value;
            assert_eq!(super::sps(&other), None);
        }
    }
}
