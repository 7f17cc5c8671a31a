//! What went out as one: the runs that a viewer's socket got, or those that a trace would make. The
//! floor sends the same ones again.

use std::ops::Range;

use crate::trace::Record;

/// Packets of a trace that come closer together than this are one wake of a server.
const WAKE: u64 = 500;
/// Runs to one viewer that came closer together than this were sent in one wake.
const APART: u64 = 100;
/// As the server: more segments in a run gain nothing.
const SEGMENTS: usize = 16;
/// How far the sizes in a run may differ: the shorter ones are padded (RFC 3550 section 5.1).
const LEVEL: usize = 16;

/// Datagrams of one size that went out as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// µs, of whichever clock.
    pub at: u64,
    /// Bytes of each datagram but the last, which may be shorter.
    pub segment: usize,
    /// Bytes of all together.
    pub length: usize,
}

impl Run {
    /// How many datagrams.
    pub fn segments(&self) -> usize {
        self.length.div_ceil(self.segment.max(1))
    }
}

/// Which runs went out in one wake.
pub(crate) fn wakes(runs: &[Run]) -> Vec<Range<usize>> {
    let mut wakes: Vec<Range<usize>> = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let apart = i == 0 || run.at.saturating_sub(runs[i - 1].at) > APART;
        match wakes.last_mut().filter(|_| !apart) {
            Some(wake) => wake.end = i + 1,
            None => wakes.push(i..i + 1),
        }
    }
    wakes
}

/// The runs that packets of a trace make at a server that levels them; `around`: bytes that header
/// and tag add to each.
pub fn laid_out(records: &[Record], around: usize) -> Vec<Run> {
    let mut runs: Vec<(Run, usize)> = Vec::new();
    let (mut last, mut wake) = (0, 0);
    for (i, record) in records.iter().enumerate() {
        if i == 0 || record.at - last > WAKE {
            wake = record.at;
        }
        last = record.at;
        let size = record.payload.len() + around;
        match runs.last_mut().filter(|(run, count)| {
            run.at == wake && *count < SEGMENTS && size.abs_diff(run.segment) <= LEVEL
        }) {
            Some((run, count)) => {
                *count += 1;
                run.segment = run.segment.max(size);
                run.length = run.segment * *count;
            }
            None => runs.push((Run { at: wake, segment: size, length: size }, 1)),
        }
    }
    runs.into_iter().map(|(run, _)| run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_about_one_size_are_one_run_and_those_of_one_moment_one_wake() {
        let record = |at, length: usize| Record {
            at,
            video: true,
            marker: false,
            timestamp: 0,
            payload: vec![1; length],
        };
        let records =
            [record(0, 20), record(0, 1000), record(0, 1001), record(100, 900), record(9000, 900)];
        let runs = laid_out(&records, 36);
        let shown: Vec<(usize, usize)> = runs.iter().map(|r| (r.segments(), r.segment)).collect();
        assert_eq!(shown, [(1, 56), (2, 1037), (1, 936), (1, 936)]);
        assert_eq!(wakes(&runs), [0..3, 3..4]);
    }
}
