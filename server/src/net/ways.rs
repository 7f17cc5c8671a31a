//! Where the runs of one media thread go: to its UDP socket, but for those of TCP connections.

use sfu::{Over, SendRun, Sink};

use super::out::Counters;
use super::udp::Socket;
use super::wires::Wires;

/// Both ways out.
pub(super) struct Ways {
    pub(super) udp: Socket,
    pub(super) wires: Wires,
    /// Those by UDP of one call that has others too; keeps its memory.
    runs: Vec<SendRun>,
}

impl Ways {
    pub(super) fn new(udp: Socket, wires: Wires) -> Self {
        Self { udp, wires, runs: Vec::new() }
    }

    /// What was counted.
    pub(super) fn counters(&self) -> Counters {
        Counters { wires: self.wires.len() as u64, ..self.udp.counters() }
    }
}

impl Sink for Ways {
    fn send(&mut self, bytes: &[u8], runs: &[SendRun]) {
        let udp = |run: &&SendRun| run.path.over == Over::Udp;
        if runs.iter().all(|run| udp(&run)) {
            return self.udp.send(bytes, runs);
        }
        let now = super::now();
        runs.iter().filter(|run| !udp(run)).for_each(|run| self.wires.send(now, bytes, run));
        self.runs.clear();
        self.runs.extend(runs.iter().filter(udp).cloned());
        self.udp.send(bytes, &self.runs);
    }
}
