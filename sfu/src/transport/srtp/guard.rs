//! Debug builds only: the nonce rule as an assertion. It remembers a digest of what was sealed last
//! under some hundred (SSRC, index) pairs, in a table of fixed size.

use std::hash::{DefaultHasher, Hasher};

const SLOTS: usize = 256;

#[derive(Clone, Copy, Default)]
struct Entry {
    ssrc: u32,
    index: u64,
    /// 0: nothing was sealed here yet.
    digest: u64,
}

pub(super) struct Guard(Box<[Entry; SLOTS]>);

impl Default for Guard {
    fn default() -> Self {
        Self(Box::new([Entry::default(); SLOTS]))
    }
}

impl Guard {
    /// `packet` is about to be sealed under `index`.
    pub(super) fn check(&mut self, packet: &[u8], index: u64) {
        let Some(ssrc) = packet.get(8..).and_then(|b| b.first_chunk()) else { return };
        let ssrc = u32::from_be_bytes(*ssrc);
        let mut hasher = DefaultHasher::new();
        hasher.write(packet);
        let digest = hasher.finish() | 1;
        let slot = (index ^ u64::from(ssrc)) as usize % SLOTS;
        let last = self.0[slot];
        let same = last.digest != 0 && (last.ssrc, last.index) == (ssrc, index);
        debug_assert!(
            !same || last.digest == digest,
            "SRTP index {index} of SSRC {ssrc:#x} is to be sealed twice, with different bytes"
        );
        self.0[slot] = Entry { ssrc, index, digest };
    }
}
