//! Keyframes and sizes of VP8 (RFC 6386 section 9.1) and VP9 (bitstream specification section 6.2), whose
//! configurations do not say them.

/// Whether a VP8 frame is a keyframe, and the size it then says.
pub(super) fn vp8(frame: &[u8]) -> (bool, Option<(u16, u16)>) {
    let key = frame.first().is_some_and(|first| first & 1 == 0);
    let size = match frame {
        &[_, _, _, 0x9d, 0x01, 0x2a, w, wide, h, high, ..] if key => {
            // The highest two bits are a scale for showing.
            let size = |low, high| u16::from_le_bytes([low, high]) & 0x3fff;
            Some((size(w, wide), size(h, high)))
        }
        _ => None,
    };
    (key, size)
}

/// The same of a VP9 frame, or superframe: its first frame is at its front.
pub(super) fn vp9(frame: &[u8]) -> (bool, Option<(u16, u16)>) {
    let mut first = [0; 16];
    let n = frame.len().min(first.len());
    first[..n].copy_from_slice(&frame[..n]);
    let mut bits = Bits { left: u128::from_be_bytes(first) };
    if bits.read(2) != 2 {
        return (false, None);
    }
    let profile = bits.read(1) | bits.read(1) << 1;
    if profile == 3 {
        bits.read(1);
    }
    let (shown_again, not_key) = (bits.read(1) == 1, bits.read(1) == 1);
    if shown_again || not_key {
        return (false, None);
    }
    // show_frame, error_resilient_mode; the sync code.
    bits.read(2);
    if bits.read(24) != 0x49_83_42 {
        return (true, None);
    }
    const RGB: u32 = 7;
    if profile >= 2 {
        bits.read(1);
    }
    match (bits.read(3), profile & 1) {
        (RGB, 1) => bits.read(1),
        (RGB, _) => return (true, None),
        // Range; subsampling and a reserved bit.
        (_, 1) => bits.read(4),
        _ => bits.read(1),
    };
    let size = |less_one: u32| u16::try_from(less_one + 1).ok();
    let (width, height) = (size(bits.read(16)), size(bits.read(16)));
    (true, width.zip(height).filter(|_| n >= 10))
}

/// At most 128 bits; zeros follow.
struct Bits {
    left: u128,
}

impl Bits {
    fn read(&mut self, n: u32) -> u32 {
        let value = (self.left >> (128 - n)) as u32;
        self.left <<= n;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_vp8_keyframes() {
        // 640x360, with a scale in the highest bits of the width.
        let key = [0x50, 0x42, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 1, 0];
        assert_eq!(vp8(&key), (true, Some((640, 360))));
        assert_eq!(vp8(&key[..9]), (true, None));
        assert_eq!(vp8(&[0x51, 0, 0]), (false, None));
        assert_eq!(vp8(&[]), (false, None));
    }

    #[test]
    fn sizes_of_vp9_keyframes() {
        // 1280x720 in profile 0, by libvpx.
        let key = [0x82, 0x49, 0x83, 0x42, 0x20, 0x4f, 0xf0, 0x2c, 0xf4, 0x38, 0x24];
        assert_eq!(vp9(&key), (true, Some((1280, 720))));
        assert_eq!(vp9(&key[..9]), (true, None), "too short to say");
        assert_eq!(vp9(&[0x86, 0, 0x40, 0x92]), (false, None), "not a keyframe");
        assert_eq!(vp9(&[]), (false, None));
    }
}
