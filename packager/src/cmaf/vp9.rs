//! VPCodecConfigurationRecord (`vpcC`), VP Codec ISO Media File Format Binding: Weir carries VP9 of profile 0
//! (RFC 9628), which is 8 bits deep and halves its colours both ways; only the level is to be found.

use bytes::Bytes;

/// Of profile 0: bits of depth.
pub(super) const DEPTH: u8 = 8;
/// Levels times ten, with the most samples of brightness in a second and in a picture.
const LEVELS: [(u8, u64, u64); 14] = [
    (10, 829_440, 36_864),
    (11, 2_764_800, 73_728),
    (20, 4_608_000, 122_880),
    (21, 9_216_000, 245_760),
    (30, 20_736_000, 552_960),
    (31, 36_864_000, 983_040),
    (40, 83_558_400, 2_228_224),
    (41, 160_432_128, 2_228_224),
    (50, 311_951_360, 8_912_896),
    (51, 588_251_136, 8_912_896),
    (52, 1_176_502_272, 8_912_896),
    (60, 1_176_502_272, 35_651_584),
    (61, 2_353_004_544, 35_651_584),
    (62, 4_706_009_088, 35_651_584),
];
/// No configuration says how many pictures there are in a second: a level that is too low could stop a decoder,
/// and one that is too high does not.
const FASTEST: u64 = 60;

/// The lowest level for pictures of this size at 60 in a second; the highest one for what is larger.
pub(super) fn level((width, height): (u16, u16)) -> u8 {
    let picture = u64::from(width) * u64::from(height);
    let fits = |(_, second, one): &&(u8, u64, u64)| picture <= *one && picture * FASTEST <= *second;
    LEVELS.iter().find(fits).map_or(62, |(level, ..)| *level)
}

/// The content of `vpcC`, version and flags included.
pub(super) fn record(size: (u16, u16)) -> Bytes {
    /// Of the colours: halved both ways, in place with the first of two.
    const SUBSAMPLING: u8 = 1;
    /// Code points of ISO/IEC 23091-2: not said.
    const UNSPECIFIED: u8 = 2;
    let depth = DEPTH << 4 | SUBSAMPLING << 1;
    let colours = [UNSPECIFIED; 3];
    // Profile 0 before the level; no bytes of initialization behind all.
    [&[1, 0, 0, 0, 0, level(size), depth][..], &colours, &[0, 0]].concat().into()
}
