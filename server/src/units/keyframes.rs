//! Where the newest keyframes of a track lie, and how far apart they come: the memory of a log that has let go of the
//! pictures themselves. No pictures enter here.

use std::collections::VecDeque;
use std::time::Duration;

use media::MediaTime;

/// Distances that are remembered at least; the longest of them is the cadence.
const DISTANCES: usize = 4;
/// A cadence is one that was seen for so long.
const PROVEN: MediaTime = MediaTime::from_millis(1900);
/// Keyframes further apart belong to no cadence: the clock has jumped, or the publisher had stopped.
const PAUSE: MediaTime = MediaTime::from_millis(60_000);
/// More are not remembered: where all pictures are keyframes.
const MOST: usize = 256;

/// The newest keyframes of one track.
#[derive(Debug, Default)]
pub(super) struct Keyframes {
    /// Their numbers in the log and decoding times, oldest first.
    all: VecDeque<(u64, MediaTime)>,
    /// Of the newest picture.
    newest: Option<MediaTime>,
}

impl Keyframes {
    /// A picture has come; `number`: its place in the log, if it is a keyframe.
    pub(super) fn saw(&mut self, dts: MediaTime, number: Option<u64>) {
        self.newest = Some(dts);
        let Some(number) = number else { return };
        let goes_on = |(_, last): &(u64, MediaTime)| *last < dts && dts.since(*last) < PAUSE;
        if !self.all.back().is_some_and(goes_on) {
            self.all.clear();
        }
        self.all.push_back((number, dts));
        let spare = |all: &VecDeque<(u64, MediaTime)>| {
            let enough = all.get(1).is_some_and(|(_, second)| dts.since(*second) >= PROVEN);
            all.len() > MOST || all.len() > DISTANCES + 1 && enough
        };
        while spare(&self.all) {
            self.all.pop_front();
        }
    }

    /// The number of the newest.
    pub(super) fn newest(&self) -> Option<u64> {
        self.all.back().map(|(number, _)| *number)
    }

    /// The number of the newest that lies at least so much before the newest of all.
    pub(super) fn before(&self, back: MediaTime) -> Option<u64> {
        let (_, newest) = self.all.back()?;
        let far = self.all.iter().rev().find(|(_, dts)| newest.since(*dts) >= back);
        far.map(|(number, _)| *number)
    }

    /// The longest that was waited for a keyframe of late; `None` if that was not seen for long enough.
    pub(super) fn cadence(&self) -> Option<Duration> {
        let (first, last) = (self.all.front()?.1, self.all.back()?.1);
        let times = self.all.iter().map(|(_, dts)| *dts);
        let distances = times.clone().zip(times.skip(1)).map(|(one, next)| next.since(one));
        let running = self.newest.map(|newest| newest.since(last));
        let longest = distances.chain(running).max()?;
        let proven = last.since(first) >= PROVEN;
        u64::try_from(longest.nanos()).ok().filter(|_| proven).map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keyframes at these times, in ms; their numbers are those.
    fn seen(times: &[i64]) -> Keyframes {
        let mut keyframes = Keyframes::default();
        for ms in times {
            keyframes.saw(MediaTime::from_millis(*ms), Some(ms.unsigned_abs()));
        }
        keyframes
    }

    fn cadence(times: &[i64]) -> Option<u128> {
        seen(times).cadence().map(|cadence| cadence.as_millis())
    }

    #[test]
    fn a_cadence_is_the_longest_of_the_last_distances() {
        assert_eq!(cadence(&[]), None);
        assert_eq!(cadence(&[0, 1000]), None, "not for long enough");
        assert_eq!(cadence(&[0, 2000]), Some(2000));
        assert_eq!(cadence(&[0, 1000, 2100]), Some(1100));
        assert_eq!(cadence(&[0, 5000, 7000, 9000, 11_000, 13_000]), Some(2000), "5 s is long ago");
        assert_eq!(cadence(&[0, 2000, 100, 1100]), None, "its clock has jumped");
        assert_eq!(cadence(&[0, 2000, 90_000]), None, "it had stopped");
    }

    #[test]
    fn a_keyframe_that_is_overdue_counts() {
        let mut keyframes = seen(&[0, 1000, 2000]);
        keyframes.saw(MediaTime::from_millis(7000), None);
        assert_eq!(keyframes.cadence(), Some(Duration::from_secs(5)));
    }

    #[test]
    fn what_lies_so_far_back_is_found_and_the_memory_is_bounded() {
        let back = MediaTime::from_millis(800);
        assert_eq!(seen(&[0]).before(back), None);
        assert_eq!(seen(&[0, 2000]).before(back), Some(0));
        assert_eq!(seen(&[0, 500, 1000, 1500]).before(back), Some(500));
        let all: Vec<i64> = (0..5000).map(|n| n * 5).collect();
        assert_eq!(seen(&all).all.len(), MOST);
        let all: Vec<i64> = (0..100).map(|n| n * 1000).collect();
        assert_eq!(seen(&all).all.len(), DISTANCES + 1);
    }
}
