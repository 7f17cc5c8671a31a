//! What RFC 6381 calls a format, as in the `CODECS` of a playlist: ISO/IEC 14496-15 annex E for H.264 and
//! H.265, and the file format bindings of the others.

use std::fmt::Write;

use media::config::{Look, aac, av1, avc, facts, hevc};
use media::{Codec, Format};

use super::vp9;
use crate::Error;

/// The name of a format.
///
/// # Errors
/// See [`super::init()`].
pub fn codecs(format: &Format) -> Result<String, Error> {
    let config = &format.config;
    Ok(match format.codec {
        Codec::H264 => {
            let avc::Record { profile, constraints, level, .. } = avc::Record::parse(config)?;
            format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
        }
        Codec::H265 => h265(&hevc::Record::parse(config)?),
        Codec::Av1 => av1(&av1::Record::parse(config)?),
        Codec::Vp9 => {
            let size = match format.dimensions {
                Some(size) => size,
                None => return Err(Error::Dimensions(format.codec)),
            };
            format!("vp09.00.{:02}.{:02}", vp9::level(size), vp9::DEPTH)
        }
        Codec::Aac => {
            let config = aac::Config::parse(config)?;
            // What is signalled explicitly is the type that a player has to know.
            let object_type = match (config.ps, config.sbr) {
                (true, _) => 29,
                (false, Some(_)) => 5,
                (false, None) => config.object_type,
            };
            format!("mp4a.40.{object_type}")
        }
        Codec::Opus => {
            facts(format.codec, config)?;
            "opus".to_owned()
        }
        other => return Err(Error::Codec(other)),
    })
}

/// Section E.3: profile, compatibility flags (their bits turned round), tier and level, and those bytes of the
/// constraints that are not 0 to the end.
fn h265(record: &hevc::Record) -> String {
    let [general, c0, c1, c2, c3, constraints @ .., level] = record.profile_tier_level;
    let space = ["", "A", "B", "C"][usize::from(general >> 6)];
    let tier = if general & 0x20 == 0 { 'L' } else { 'H' };
    let flags = u32::from_be_bytes([c0, c1, c2, c3]).reverse_bits();
    let mut name = format!("hvc1.{space}{}.{flags:X}.{tier}{level}", general & 0x1f);
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        // Writing to a string does not fail.
        let _ = write!(name, ".{byte:X}");
    }
    name
}

/// AV1 Codec ISO Media File Format Binding, section 5: the second half only where it is not what is assumed
/// without it (4:2:0, BT.709, the range of television).
fn av1(record: &av1::Record) -> String {
    let tier = if record.high_tier { 'H' } else { 'M' };
    let depth = match (record.high_bitdepth, record.twelve_bit) {
        (true, true) => 12,
        (true, false) => 10,
        _ => 8,
    };
    let mut name = format!("av01.{}.{:02}{tier}.{depth:02}", record.profile, record.level);
    let Look { colour, .. } = record.look();
    let points = colour.map_or((1, 1, 1, false), |colour| {
        (colour.primaries, colour.transfer, colour.matrix, colour.full_range)
    });
    let (across, down) = record.subsampling;
    let plain = !record.monochrome && (across, down) == (true, true);
    if plain && matches!(points, (1 | 2, 1 | 2, 1 | 2, false)) {
        return name;
    }
    // The position of the colours has a meaning only where both are halved.
    let position = if across && down { record.sample_position } else { 0 };
    let (primaries, transfer, matrix, full) = points;
    let _ = write!(
        name,
        ".{}.{}{}{position}.{primaries:02}.{transfer:02}.{matrix:02}.{}",
        u8::from(record.monochrome),
        u8::from(across),
        u8::from(down),
        u8::from(full)
    );
    name
}
