//! The parameter sets of a stream, gathered from its frames. Sets of every kind in one frame are all there
//! are from then on; else each takes the place of the one with its number.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Longer ones are not kept, and not more than so many: no stream needs them.
const MAX_LENGTH: usize = 4096;
const MAX_SETS: usize = 64;

/// Sets by their kind (in the order in which they depend on each other) and number.
type Known = BTreeMap<(u8, u32), Bytes>;

#[derive(Debug, Default)]
pub(super) struct Sets {
    known: Known,
    /// Those of the frame that is being put together.
    fresh: Known,
}

impl Sets {
    /// A set has come, whole. It holds even if the frame that it came in is dropped.
    pub(super) fn learn(&mut self, kind: u8, number: u32, unit: &[u8]) {
        if unit.len() <= MAX_LENGTH && self.fresh.len() < MAX_SETS {
            self.fresh.insert((kind, number), Bytes::copy_from_slice(unit));
        }
    }

    /// A frame ends, of a codec with so many kinds of sets; true if there are other sets now.
    pub(super) fn end(&mut self, kinds: u8) -> bool {
        if self.fresh.is_empty() {
            return false;
        }
        let fresh = std::mem::take(&mut self.fresh);
        let whole = (0..kinds).all(|kind| fresh.keys().any(|(of, _)| *of == kind));
        let mut known = if whole { Known::new() } else { self.known.clone() };
        known.extend(fresh);
        while known.len() > MAX_SETS {
            known.pop_last();
        }
        let changed = known != self.known;
        self.known = known;
        changed
    }

    /// All of one kind, by their numbers.
    pub(super) fn of(&self, kind: u8) -> Vec<Bytes> {
        self.known.range((kind, 0)..=(kind, u32::MAX)).map(|(_, set)| set.clone()).collect()
    }
}
