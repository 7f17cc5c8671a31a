//! Runs of timestamps, and how promptly a track's units come.

/// A wrap is known by ending up this close, in milliseconds, to where it should.
const WRAP: i64 = 1000;
/// How long a window of [`Promptness`] is, in milliseconds.
const WINDOW: i64 = 10_000;

/// An unbroken run of timestamps; tracks in the same run keep their distance exactly.
#[derive(Debug)]
pub(super) struct Run {
    /// Counted up.
    pub id: u64,
    /// To be added to an unwrapped timestamp.
    pub offset: i64,
    /// The newest timestamp of any of its tracks, unwrapped.
    pub raw: i64,
}

/// How far `timestamp` is from `raw`, in milliseconds. Timestamps wrap at 2^32; where a program wrote
/// them as signed (FFmpeg masks the 32nd bit) at 2^31; and at 2^24 where it knows no extended timestamp.
pub(super) fn distance(timestamp: u32, raw: i64) -> i64 {
    // The low 32 bits are what was on the wire.
    let plain = i64::from(timestamp.wrapping_sub(raw as u32) as i32);
    // All three wraps are whole numbers of the shortest.
    let wrapped = (plain + (1 << 23)).rem_euclid(1 << 24) - (1 << 23);
    if wrapped.abs() <= WRAP { wrapped } else { plain }
}

/// How promptly the units of a track come: arrival less their time, the least of it in a window, for
/// what is more is the network. After a jump the track is placed by what it was before.
///
/// The unit after a jump may itself have come late, and its run is then a little early. That is known and
/// not added up over many jumps: what counts is how the least changes within a run, by clocks that differ.
#[derive(Debug)]
pub(super) struct Promptness {
    began: i64,
    /// The least in the window that is open, and in the one before it.
    current: i64,
    last: Option<i64>,
    /// The least in the first whole window of this run.
    first: Option<i64>,
    /// What the run was placed by; `None` for the first of a track.
    anchor: Option<i64>,
}

impl Promptness {
    pub(super) fn new(arrival: i64, lag: i64) -> Self {
        Self { began: arrival, current: lag, last: None, first: None, anchor: None }
    }

    pub(super) fn add(&mut self, arrival: i64, lag: i64) {
        if arrival - self.began < WINDOW {
            self.current = self.current.min(lag);
            return;
        }
        self.first.get_or_insert(self.current);
        self.last = Some(self.current);
        self.current = lag;
        self.began = arrival;
    }

    /// A new run, whose first unit lies so far behind its arrival.
    pub(super) fn begin_again(&mut self, arrival: i64, lag: i64) {
        let anchor = self.reference();
        *self = Self { anchor: Some(anchor), ..Self::new(arrival, lag) };
    }

    /// The least lately, in this run.
    pub(super) fn shortest(&self) -> i64 {
        self.last.map_or(self.current, |last| last.min(self.current))
    }

    /// How far behind arrival a new run is to be placed.
    pub(super) fn reference(&self) -> i64 {
        match (self.anchor, self.first, self.last) {
            (Some(anchor), Some(first), Some(last)) => anchor + (last - first),
            (Some(anchor), ..) => anchor,
            (None, ..) => self.shortest(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_knows_all_three_wraps() {
        assert_eq!(distance(10, 0xffff_fff0), 26, "2^32");
        assert_eq!(distance(0xffff_fff0, 10), -26, "and back over it");
        assert_eq!(distance(10, 0x7fff_fff0), 26, "2^31");
        assert_eq!(distance(0x8000_000a, 0), 10, "the sign appears");
        assert_eq!(distance(10, 0x00ff_fff0), 26, "2^24");
        assert_eq!(distance(5_000_000, 1_000_000), 4_000_000, "a jump is a jump");
        // Unwrapped times go on from any wrap.
        let raw = 0x7fff_fff0 + 26;
        assert_eq!(distance(30, raw), 20);
    }
}
