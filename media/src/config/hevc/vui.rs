//! The rest of an H.265 SPS, read only for its `vui_parameters` (ITU-T H.265 sections 7.3.2.2, 7.3.4, 7.3.7
//! and E.2.1): everything before them has to be walked through. Bounded as the standard bounds it.

use h264_reader::rbsp::BitRead;

use super::super::{Colour, Look};

/// Most short-term reference picture sets, and most pictures in one.
const MAX_SETS: u32 = 64;
const MAX_PICTURES: u32 = 16;
/// `aspect_ratio_idc` 1 to 16, table E.1.
const RATIOS: [(u16, u16); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// From behind `sps_max_latency_increase_plus1`; `order_bits` is log2 of `MaxPicOrderCntLsb`. `None` if the
/// SPS ends before, or has none.
pub(super) fn look(bits: &mut impl BitRead, order_bits: u32) -> Option<Look> {
    for _ in 0..6 {
        bits.read_ue("sizes and depths of blocks").ok()?;
    }
    if flag(bits)? && flag(bits)? {
        skip_scaling_lists(bits)?;
    }
    // amp_enabled_flag, sample_adaptive_offset_enabled_flag
    bits.skip(2, "tools").ok()?;
    let pcm = flag(bits)?;
    if pcm {
        bits.skip(8, "pcm_sample_bit_depth").ok()?;
        bits.read_ue("log2_min_pcm_luma_coding_block_size_minus3").ok()?;
        bits.read_ue("log2_diff_max_min_pcm_luma_coding_block_size").ok()?;
        bits.skip(1, "pcm_loop_filter_disabled_flag").ok()?;
    }
    let sets = bits.read_ue("num_short_term_ref_pic_sets").ok().filter(|n| *n <= MAX_SETS)?;
    let mut set = Set::default();
    for index in 0..sets {
        let predicted = index > 0 && flag(bits)?;
        set = if predicted { predicted_set(bits, &set)? } else { plain_set(bits)? };
    }
    let long_term = flag(bits)?;
    if long_term {
        let pictures = bits.read_ue("num_long_term_ref_pics_sps").ok().filter(|n| *n <= 32)?;
        for _ in 0..pictures {
            bits.skip(order_bits + 1, "lt_ref_pic_poc_lsb_sps").ok()?;
        }
    }
    // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    bits.skip(2, "more tools").ok()?;
    if !flag(bits)? {
        return None;
    }
    vui(bits)
}

fn flag(bits: &mut impl BitRead) -> Option<bool> {
    bits.read_bit("flag").ok()
}

/// The part of `vui_parameters` that says how pictures look.
fn vui(bits: &mut impl BitRead) -> Option<Look> {
    let mut look = Look::default();
    if flag(bits)? {
        look.pixel = match bits.read::<8, u8>("aspect_ratio_idc").ok()? {
            255 => {
                let width = bits.read::<16, u16>("sar_width").ok()?;
                let height = bits.read::<16, u16>("sar_height").ok()?;
                (width > 0 && height > 0).then_some((width, height))
            }
            ratio => usize::from(ratio).checked_sub(1).and_then(|n| RATIOS.get(n).copied()),
        };
    }
    if flag(bits)? {
        bits.skip(1, "overscan_appropriate_flag").ok()?;
    }
    let signal = flag(bits)?;
    if signal {
        bits.skip(3, "video_format").ok()?;
        let full_range = flag(bits)?;
        let described = flag(bits)?;
        if described {
            let mut point = || bits.read::<8, u8>("colour_description").ok();
            let [primaries, transfer, matrix] = [point()?, point()?, point()?];
            look.colour = Some(Colour { primaries, transfer, matrix, full_range });
        }
    }
    Some(look)
}

fn skip_scaling_lists(bits: &mut impl BitRead) -> Option<()> {
    for size in 0..4u32 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            let coded = flag(bits)?;
            if !coded {
                bits.read_ue("scaling_list_pred_matrix_id_delta").ok()?;
                continue;
            }
            // The coefficients, and before those of large blocks their first.
            let coefficients = 64.min(1u32 << (4 + 2 * size)) + u32::from(size > 1);
            for _ in 0..coefficients {
                bits.read_se("scaling_list_delta_coef").ok()?;
            }
        }
    }
    Some(())
}

/// `DeltaPocS0` and `DeltaPocS1` of a set: how far its pictures are, before and after.
#[derive(Default)]
struct Set {
    before: Vec<i32>,
    after: Vec<i32>,
}

fn plain_set(bits: &mut impl BitRead) -> Option<Set> {
    let mut count = || bits.read_ue("num_pics").ok().filter(|n| *n <= MAX_PICTURES);
    let (before, after) = (count()?, count()?);
    let mut pictures = |count: u32, sign: i32| {
        let mut at = 0i32;
        (0..count)
            .map(|_| {
                let delta = bits.read_ue("delta_poc_minus1").ok()?;
                let delta = i32::try_from(delta).ok().filter(|delta| *delta < 1 << 15)?;
                bits.skip(1, "used_by_curr_pic_flag").ok()?;
                at += sign * (delta + 1);
                Some(at)
            })
            .collect::<Option<Vec<_>>>()
    };
    Some(Set { before: pictures(before, -1)?, after: pictures(after, 1)? })
}

/// Equations 7-61 and 7-62: the pictures of the set before it, and its own, all moved.
fn predicted_set(bits: &mut impl BitRead, from: &Set) -> Option<Set> {
    let back = flag(bits)?;
    let delta = bits.read_ue("abs_delta_rps_minus1").ok()?;
    let delta = i32::try_from(delta).ok().filter(|delta| *delta < 1 << 15)? + 1;
    let moved = if back { -delta } else { delta };
    let pictures = [&from.before[..], &from.after, &[0]].concat();
    let mut set = Set::default();
    for picture in pictures {
        let used = flag(bits)?;
        let kept = used || flag(bits)?;
        match picture + moved {
            0 => {}
            at if kept && at < 0 => set.before.push(at),
            at if kept => set.after.push(at),
            _ => {}
        }
    }
    if set.before.len() + set.after.len() > MAX_PICTURES as usize {
        return None;
    }
    // From the nearest to the farthest, as the next set counts them.
    set.before.sort_unstable_by(|a, b| b.cmp(a));
    set.after.sort_unstable();
    Some(set)
}

#[cfg(test)]
mod tests {
    use h264_reader::rbsp::BitReader;

    use super::*;

    /// What is written: bits as text.
    #[derive(Default)]
    struct Text(String);

    impl Text {
        fn bits(&mut self, text: &str) -> &mut Self {
            self.0.extend(text.chars().filter(|c| *c != ' '));
            self
        }

        /// Exp-Golomb codes, ITU-T H.265 section 9.2.
        fn ue(&mut self, values: &[u32]) -> &mut Self {
            for value in values {
                let digits = format!("{:b}", value + 1);
                self.0 += &"0".repeat(digits.len() - 1);
                self.0 += &digits;
            }
            self
        }

        fn bytes(&self) -> Vec<u8> {
            // A stop bit and zeros behind all.
            let padded = format!("{}1{}", self.0, "0".repeat(7 - self.0.len() % 8));
            let bytes = padded.as_bytes().chunks(8).map(|byte| std::str::from_utf8(byte).unwrap());
            bytes.map(|byte| u8::from_str_radix(byte, 2).unwrap()).collect()
        }

        fn look(&self) -> Option<Look> {
            look(&mut BitReader::new(&self.bytes()[..]), 8)
        }
    }

    /// `vui_parameters`: pixels of 4:3, no overscan, BT.2020 with HLG.
    const VUI: &str = "1 1 00001110  0  1 101 0 1 00001001 00010010 00001001";
    const EXPECTED: Look = Look {
        pixel: Some((4, 3)),
        colour: Some(Colour { primaries: 9, transfer: 18, matrix: 9, full_range: false }),
    };

    #[test]
    fn the_shortest_way() {
        let mut text = Text::default();
        text.ue(&[0; 6]).bits("0 00 0").ue(&[0]).bits("0 00").bits(VUI);
        assert_eq!(text.look(), Some(EXPECTED));
        let mut none = Text::default();
        none.ue(&[0; 6]).bits("0 00 0").ue(&[0]).bits("0 00 0");
        assert_eq!(none.look(), None);
    }

    #[test]
    fn scaling_lists_and_pcm_on_the_way() {
        let mut text = Text::default();
        text.ue(&[0; 6]).bits("11");
        for size in 0..4 {
            for list in 0..if size == 3 { 2 } else { 6 } {
                if list == 0 {
                    // As the default; the next ones have coefficients.
                    text.bits("0").ue(&[0]);
                } else {
                    let count = [16, 64, 65, 65][size];
                    text.bits("1").ue(&vec![3; count]);
                }
            }
        }
        text.bits("00 1 01110111").ue(&[0, 1]).bits("0").ue(&[0]).bits("0 00").bits(VUI);
        assert_eq!(text.look(), Some(EXPECTED));
    }

    #[test]
    fn reference_pictures_on_the_way() {
        let mut text = Text::default();
        text.ue(&[0; 6]).bits("0 00 0").ue(&[4]);
        // -1, -3; +2.
        text.ue(&[2, 1]).ue(&[0]).bits("1").ue(&[1]).bits("1").ue(&[1]).bits("1");
        // All moved by -2: -3, -5, none at 0, and -2 itself.
        text.bits("1 1").ue(&[1]).bits("1 1 1 1");
        // From three, moved by +3: none at 0, -2 left out, +1, and +3 not used but kept.
        text.bits("1 0").ue(&[2]).bits("1 1 00 01");
        // From two: three flags.
        text.bits("1 0").ue(&[0]).bits("1 1 1");
        // Two long-term pictures, of 8 bits and a flag.
        text.bits("1").ue(&[2]).bits("00000001 1 00000010 0").bits("00").bits(VUI);
        assert_eq!(text.look(), Some(EXPECTED));
    }

    #[test]
    fn too_many_of_anything() {
        for sets in [&[65][..], &[1, 17, 0], &[1, 0, 17]] {
            let mut text = Text::default();
            text.ue(&[0; 6]).bits("0 00 0").ue(sets).bits(&"0".repeat(4000));
            assert_eq!(text.look(), None, "{sets:?}");
        }
    }

    #[test]
    fn what_x265_writes() {
        // BT.2020 with PQ, pixels of 12:11; BT.709 in full range, pixels of 40:33, default scaling lists.
        for (sps, look) in [
            (
                "42010102200000030090000003000003003ca00a080b9f6d96566924caf026a1220120800000030080\
                 00000c84",
                Look {
                    pixel: Some((12, 11)),
                    colour: Some(Colour {
                        primaries: 9,
                        transfer: 16,
                        matrix: 9,
                        full_range: false,
                    }),
                },
            ),
            (
                "42010101600000030090000003000003003ca00a080b9f796762a49395e0adc040404100000300010000\
                 0300190822",
                Look {
                    pixel: Some((40, 33)),
                    colour: Some(Colour { primaries: 1, transfer: 1, matrix: 1, full_range: true }),
                },
            ),
        ] {
            let digits: Vec<u8> = sps.bytes().filter(u8::is_ascii_hexdigit).collect();
            let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            let sps: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
            assert_eq!(super::super::parse_sps(&sps).unwrap().look, look);
        }
    }
}
