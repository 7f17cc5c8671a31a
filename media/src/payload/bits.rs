//! A bit reader over a slice, for the headers that no library of ours reads (VP9, AV1, AAC).

/// Most significant bit first; `None` once the slice is used up.
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    /// Next bit, counted from the start of `bytes`.
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// The next `n` bits, at most 32.
    pub(crate) fn read(&mut self, n: u32) -> Option<u32> {
        debug_assert!(n <= 32);
        (0..n).try_fold(0, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// How many bits are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    pub(crate) fn skip(&mut self, n: u32) -> Option<()> {
        self.read(n).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_across_bytes_and_stops_at_the_end() {
        let mut bits = Bits::new(&[0b1010_0101, 0xff, 0x00, 0xff, 0x01]);
        assert_eq!(bits.read(3), Some(0b101));
        assert_eq!(bits.flag(), Some(false));
        assert_eq!(bits.read(0), Some(0));
        assert_eq!(bits.read(32), Some(0x5ff0_0ff0));
        assert_eq!(bits.left(), 4);
        assert_eq!(bits.read(5), None);
    }
}
