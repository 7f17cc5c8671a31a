//! What goes out: datagrams written straight into one buffer, laid out as runs that the kernel can
//! cut up again (UDP GSO). No sockets here: a [`Sink`] takes the runs.

use std::ops::Range;

use crate::path::Path;

/// More segments than this in one run gain nothing and stall the others.
pub const MAX_SEGMENTS: usize = 16;
/// The buffer is handed over when it holds this much, while it is still in the cache.
const FULL: usize = 128 * 1024;

/// One or more datagrams of one way and one size; only the last may be shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRun {
    /// From `local` to `remote`.
    pub path: Path,
    /// Size of every datagram but the last.
    pub segment_size: usize,
    /// The datagrams, one behind the other, in the buffer that comes with the run.
    pub range: Range<usize>,
}

impl SendRun {
    /// How many datagrams.
    pub fn segments(&self) -> usize {
        self.range.len().div_ceil(self.segment_size.max(1))
    }
}

/// Where runs go: a socket, or a test.
pub trait Sink {
    /// Sends the runs, whose ranges lie in `bytes`, in their order.
    fn send(&mut self, bytes: &[u8], runs: &[SendRun]);
}

/// The send buffer of one shard. Keeps its memory: nothing is allocated once it has grown.
#[derive(Debug)]
pub struct Egress {
    bytes: Vec<u8>,
    used: usize,
    runs: Vec<SendRun>,
    max_segments: usize,
}

impl Default for Egress {
    fn default() -> Self {
        Self { bytes: Vec::new(), used: 0, runs: Vec::new(), max_segments: MAX_SEGMENTS }
    }
}

impl Egress {
    /// Room for one datagram of exactly `len` bytes, to be filled by the caller; what it holds
    /// before that is undefined. It joins the last run where that is the same way and size.
    pub fn slot(&mut self, path: Path, len: usize) -> &mut [u8] {
        let (start, end) = (self.used, self.used + len);
        if self.bytes.len() < end {
            self.bytes.resize(end.next_power_of_two(), 0);
        }
        self.used = end;
        let max = self.max_segments;
        match self.runs.last_mut().filter(|r| r.takes(path, len, max)) {
            Some(run) => run.range.end = end,
            None => {
                let run = SendRun { path, segment_size: len, range: start..end };
                self.runs.push(run);
            }
        }
        &mut self.bytes[start..end]
    }

    /// Adds a finished datagram.
    pub fn push(&mut self, path: Path, datagram: &[u8]) {
        self.slot(path, datagram.len()).copy_from_slice(datagram);
    }

    /// True if it is time to [`Egress::drain`].
    pub fn is_full(&self) -> bool {
        self.used >= FULL
    }

    /// Hands everything over.
    pub fn drain(&mut self, sink: &mut dyn Sink) {
        if !self.runs.is_empty() {
            sink.send(&self.bytes[..self.used], &self.runs);
        }
        self.runs.clear();
        self.used = 0;
    }
}

impl SendRun {
    fn takes(&self, path: Path, len: usize, max: usize) -> bool {
        let all_full = self.range.len().is_multiple_of(self.segment_size);
        len <= self.segment_size
            && all_full
            && self.range.len() < self.segment_size * max
            && path == self.path
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::path::Over;

    #[derive(Default)]
    struct Collect(Vec<(u16, usize, usize, usize)>);

    impl Sink for Collect {
        fn send(&mut self, bytes: &[u8], runs: &[SendRun]) {
            for run in runs {
                assert!(bytes.get(run.range.clone()).is_some(), "a run lies in its buffer");
                let (port, size) = (run.path.remote.port(), run.segment_size);
                self.0.push((port, size, run.segments(), run.range.len()));
            }
        }
    }

    fn runs(datagrams: &[(u16, usize)]) -> Vec<(u16, usize, usize, usize)> {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut egress = Egress::default();
        for (port, len) in datagrams {
            egress.push(Path::udp(at(1), at(*port)), &vec![7; *len]);
        }
        let mut collect = Collect::default();
        egress.drain(&mut collect);
        egress.drain(&mut collect);
        collect.0
    }

    #[test]
    fn equal_sizes_of_one_way_go_together_and_a_shorter_one_ends_the_run() {
        let got = runs(&[(5, 100), (5, 100), (5, 40), (5, 100), (6, 100), (6, 101)]);
        assert_eq!(got, [(5, 100, 3, 240), (5, 100, 1, 100), (6, 100, 1, 100), (6, 101, 1, 101)]);
    }

    #[test]
    fn connections_from_one_address_do_not_share_runs() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let udp = Path::udp(at(1), at(2));
        let (mut egress, mut collect) = (Egress::default(), Collect::default());
        for over in [Over::Udp, Over::Tcp(1), Over::Tcp(1), Over::Tcp(2), Over::Udp] {
            egress.push(Path { over, ..udp }, &[7; 10]);
        }
        egress.drain(&mut collect);
        let segments: Vec<usize> = collect.0.iter().map(|r| r.2).collect();
        assert_eq!(segments, [1, 2, 1, 1]);
    }

    #[test]
    fn runs_are_bounded() {
        let segments: Vec<usize> = runs(&[(5, 10); 40]).iter().map(|r| r.2).collect();
        assert_eq!(segments, [16, 16, 8]);
        assert!(runs(&[]).is_empty());
    }
}
