//! The replay list of SRTCP (RFC 3711 section 3.3.2): the last 64 indices below the highest one.

/// Fresh: nothing seen.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// One above the highest index seen; 0: none yet.
    end: u32,
    /// Bit n: index `end - 1 - n` was seen.
    seen: u64,
}

impl Window {
    /// Neither seen nor older than the window.
    pub(super) fn is_new(&self, index: u32) -> bool {
        match self.end.checked_sub(index + 1) {
            None => true,
            Some(age) => age < u64::BITS && self.seen & (1 << age) == 0,
        }
    }

    /// An authentic packet had this index, of 31 bits.
    pub(super) fn seen(&mut self, index: u32) {
        match (index + 1).checked_sub(self.end) {
            Some(step) => {
                self.seen = self.seen.checked_shl(step).unwrap_or(0) | 1;
                self.end = index + 1;
            }
            None => self.seen |= 1_u64.checked_shl(self.end - 1 - index).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_passes_once_in_any_order_within_64() {
        let mut window = Window::default();
        for index in [5, 0, 3, 70, 69, 7, 2_147_483_647, 2_147_483_600] {
            assert!(window.is_new(index), "{index}");
            window.seen(index);
            assert!(!window.is_new(index), "{index} again");
        }
        for old in [0, 70, 2_147_483_583] {
            assert!(!window.is_new(old), "{old} is below the window");
        }
        assert!(window.is_new(2_147_483_584));
    }

    #[test]
    fn the_window_is_64_wide() {
        let mut window = Window::default();
        window.seen(100);
        assert!(window.is_new(37));
        assert!(!window.is_new(36));
    }
}
