//! Segments whose bytes lie elsewhere: their owner has written the file and lets go of the memory. What is left says
//! how long the file is and where each part lies in it: four bytes for a part, so that an index of hours is small.

use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;

use super::Segment;

/// What is known of a segment's file without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where each part ends in the file.
    ends: Box<[u32]>,
    keyframe: Option<u32>,
}

/// What of a stored segment's file a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Whose file it is.
    pub msn: u64,
    /// How long that file is, in bytes.
    pub file: u64,
    /// Which of its bytes.
    pub within: Range<u64>,
}

impl Segment {
    /// The same segment without its bytes; `None` if there are none to be let go of.
    pub(crate) fn without_bytes(&self) -> Option<Self> {
        if !self.complete || self.parts.is_empty() {
            return None;
        }
        let mut end = 0u32;
        let mut ends = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            end = end.checked_add(u32::try_from(part.bytes.len()).ok()?)?;
            ends.push(end);
        }
        let stored = Stored { ends: ends.into(), keyframe: self.keyframe() };
        let (init, parts) = (Arc::clone(&self.init), Vec::new());
        Some(Self { stored: Some(stored), init, parts, ..*self })
    }

    /// What a part of it is in its file, if it is stored; `None` for all of it.
    pub(super) fn extent(&self, part: Option<usize>) -> Option<Extent> {
        let stored = self.stored.as_ref()?;
        let file = stored.len();
        let within = match part {
            Some(part) => stored.part(part)?,
            None => 0..file,
        };
        Some(Extent { msn: self.msn, file, within })
    }
}

impl Stored {
    /// How many parts there are.
    pub fn parts(&self) -> usize {
        self.ends.len()
    }

    /// The length of the file, in bytes.
    pub fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0).into()
    }

    /// True of no segment that was ever complete.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// As of [`Segment::keyframe`].
    pub(super) const fn keyframe(&self) -> Option<u32> {
        self.keyframe
    }

    /// Where a part lies in the file.
    fn part(&self, part: usize) -> Option<Range<u64>> {
        let end = *self.ends.get(part)?;
        let start = part.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        Some(start.unwrap_or(0).into()..end.into())
    }

    /// What it takes in memory.
    pub(super) fn cost(&self) -> usize {
        size_of::<Segment>() + self.ends.len() * size_of::<u32>()
    }
}
