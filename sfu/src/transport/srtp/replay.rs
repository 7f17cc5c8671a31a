//! The replay lists of SRTCP (RFC 3711 section 3.3.2): of each sender, the last 64 indices below the
//! highest one. Some clients report on each of our streams under a sender SSRC of its own, and count
//! each of them by itself.

/// Senders that one client speaks as: more than it has streams.
const MAX_SENDERS: usize = 8;

/// The windows of one client's senders, the one heard last first.
#[derive(Debug, Default)]
pub(super) struct Windows(Vec<(u32, Window)>);

impl Windows {
    /// Neither seen nor older than that sender's window.
    pub(super) fn is_new(&self, sender: u32, index: u32) -> bool {
        let window = self.0.iter().find(|(ssrc, _)| *ssrc == sender);
        window.is_none_or(|(_, window)| window.is_new(index))
    }

    /// An authentic packet had this index, of 31 bits.
    pub(super) fn seen(&mut self, sender: u32, index: u32) {
        let at = self.0.iter().position(|(ssrc, _)| *ssrc == sender).unwrap_or_else(|| {
            self.0.truncate(MAX_SENDERS - 1);
            self.0.push((sender, Window::default()));
            self.0.len() - 1
        });
        self.0[..=at].rotate_right(1);
        self.0[0].1.seen(index);
    }
}

/// Fresh: nothing seen.
#[derive(Debug, Default)]
struct Window {
    /// One above the highest index seen; 0: none yet.
    end: u32,
    /// Bit n: index `end - 1 - n` was seen.
    seen: u64,
}

impl Window {
    /// Neither seen nor older than the window.
    fn is_new(&self, index: u32) -> bool {
        match self.end.checked_sub(index + 1) {
            None => true,
            Some(age) => age < u64::BITS && self.seen & (1 << age) == 0,
        }
    }

    /// An authentic packet had this index, of 31 bits.
    fn seen(&mut self, index: u32) {
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
    fn senders_count_for_themselves_and_are_bounded() {
        let mut windows = Windows::default();
        for index in 0..3 {
            for sender in 0..4 {
                assert!(windows.is_new(sender, index), "{sender} {index}");
                windows.seen(sender, index);
                assert!(!windows.is_new(sender, index), "{sender} {index} again");
            }
        }
        (0..1000).for_each(|sender| windows.seen(sender, 9));
        assert_eq!(windows.0.len(), MAX_SENDERS);
        assert!(!windows.is_new(999, 9), "those heard last are kept");
    }

    #[test]
    fn the_window_is_64_wide() {
        let mut window = Window::default();
        window.seen(100);
        assert!(window.is_new(37));
        assert!(!window.is_new(36));
    }
}
