//! Consecutive datagrams of one destination and one size become one run, which the kernel cuts up
//! again (UDP GSO): one system call instead of many.

use std::net::SocketAddr;

use sfu::Transmit;

/// More segments than this in one run gain nothing and stall the others.
const MAX_SEGMENTS: usize = 16;

/// One or more datagrams of the same way and size; only the last may be shorter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// Size of all but the last.
    pub(super) segment: usize,
    pub(super) segments: usize,
    pub(super) bytes: Vec<u8>,
}

/// Collects runs.
#[derive(Debug)]
pub(super) struct Runs {
    open: Option<Run>,
    max_segments: usize,
}

impl Runs {
    pub(super) fn new(max_segments: usize) -> Self {
        Self { open: None, max_segments: max_segments.clamp(1, MAX_SEGMENTS) }
    }

    /// Adds a datagram; returns a run that is complete now.
    pub(super) fn push(&mut self, transmit: Transmit) -> Option<Run> {
        if let Some(run) = &mut self.open
            && run.takes(&transmit, self.max_segments)
        {
            run.bytes.extend_from_slice(&transmit.contents);
            run.segments += 1;
            return None;
        }
        let Transmit { source, destination, contents } = transmit;
        self.open.replace(Run {
            source,
            destination,
            segment: contents.len(),
            segments: 1,
            bytes: contents,
        })
    }

    /// The run that is still open.
    pub(super) fn finish(&mut self) -> Option<Run> {
        self.open.take()
    }
}

impl Run {
    fn takes(&self, transmit: &Transmit, max_segments: usize) -> bool {
        let all_full = self.bytes.len() == self.segment * self.segments;
        all_full
            && self.segments < max_segments
            && (transmit.source, transmit.destination) == (self.source, self.destination)
            && transmit.contents.len() <= self.segment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transmit(port: u16, len: usize) -> Transmit {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Transmit { source: at(1), destination: at(port), contents: vec![0; len] }
    }

    fn runs(datagrams: &[(u16, usize)], max: usize) -> Vec<(u16, usize, usize, usize)> {
        let mut collector = Runs::new(max);
        let mut out: Vec<Run> = datagrams
            .iter()
            .filter_map(|(port, len)| collector.push(transmit(*port, *len)))
            .collect();
        out.extend(collector.finish());
        out.iter().map(|r| (r.destination.port(), r.segment, r.segments, r.bytes.len())).collect()
    }

    #[test]
    fn equal_sizes_of_one_destination_go_together_and_a_shorter_one_ends_the_run() {
        let got = runs(&[(5, 100), (5, 100), (5, 40), (5, 100), (6, 100), (6, 101)], 16);
        assert_eq!(got, [(5, 100, 3, 240), (5, 100, 1, 100), (6, 100, 1, 100), (6, 101, 1, 101)]);
    }

    #[test]
    fn runs_are_bounded() {
        assert_eq!(runs(&[(5, 10); 5], 2), [(5, 10, 2, 20), (5, 10, 2, 20), (5, 10, 1, 10)]);
        assert_eq!(runs(&[(5, 10); 40], 64).len(), 3);
        assert!(runs(&[], 4).is_empty());
    }
}
