//! NAL units of H.264 and H.265, each behind its length in four bytes (ISO/IEC 14496-15, with a
//! `lengthSizeMinusOne` of 3): how [`AccessUnit`](crate::AccessUnit) holds them. What is in a unit is
//! none of this file's business.

/// The units of `data`: those that are whole and not empty.
pub const fn units(data: &[u8]) -> Units<'_> {
    Units { rest: data, empty: 0 }
}

/// An iterator over units; it ends at the first that is cut short.
#[derive(Clone, Debug)]
pub struct Units<'a> {
    rest: &'a [u8],
    empty: u64,
}

impl<'a> Units<'a> {
    /// What was not read. Once the iterator has ended: nothing, or a unit that is cut short.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many units without a byte were passed over so far.
    pub const fn empty(&self) -> u64 {
        self.empty
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (length, rest) = self.rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (unit, rest) = rest.split_at_checked(length)?;
            self.rest = rest;
            if !unit.is_empty() {
                return Some(unit);
            }
            self.empty += 1;
        }
    }
}

/// Writes `unit` behind its length. One of 4 GiB or more, which has none, is left out.
pub fn append(out: &mut Vec<u8>, unit: &[u8]) {
    if let Ok(length) = u32::try_from(unit.len()) {
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_back() {
        let mut data = Vec::new();
        for unit in [&[1, 2, 3][..], &[], &[4]] {
            append(&mut data, unit);
        }
        let mut units = units(&data);
        assert_eq!(units.by_ref().collect::<Vec<_>>(), [&[1, 2, 3][..], &[4]]);
        assert_eq!((units.rest(), units.empty()), (&[][..], 1));
    }

    #[test]
    fn a_length_beyond_the_end_ends_it() {
        for broken in [&[0, 0, 0][..], &[0, 0, 0, 2, 9], &[0xff, 0xff, 0xff, 0xff, 9]] {
            let data = [&[0, 0, 0, 1, 7], broken].concat();
            let mut units = units(&data);
            assert_eq!(units.next(), Some(&[7][..]));
            assert_eq!(units.next(), None);
            assert_eq!(units.next(), None);
            assert_eq!(units.rest(), broken);
        }
    }
}
