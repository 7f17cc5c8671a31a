//! The floor under a server's send path: for each viewer a header, a copy, one seal and its share of
//! a sendmmsg of GSO runs over loopback, and nothing else. Same packets, same run lengths, same
//! SRTP profile as the server had; as many keys and sockets as there are viewers.
//!
//! What it leaves out is what a server is for: choosing, renumbering, history, feedback, sessions.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;

use anyhow::{Context as _, Result, bail};

use crate::rtp::{self, Header};
use crate::srtp::{Keys, OVERHEAD, Profile};
use crate::sys::{self, Receiver, Sender};
use crate::trace::{Record, Trace};

/// Packets of a trace that come closer together than this are one wake of a server.
const WAKE: u64 = 500;
/// As the server: more segments in a run gain nothing.
const SEGMENTS: usize = 16;
/// As the server: sent while it is still in the cache.
const FULL: usize = 128 * 1024;
/// How far the sizes in a run may differ: the shorter ones are padded (RFC 3550 section 5.1).
const LEVEL: usize = 16;
/// Payloads lie in a ring larger than the caches, as those of a server that keeps twelve seconds.
const RING: usize = 64 << 20;
/// Rounds of one measurement stop after this many packets.
const ENOUGH: u64 = 400_000;
/// Id of the transport-wide number in the header.
const EXTENSION: u8 = 3;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Whose packets.
    pub trace: &'a Trace,
    /// Destinations and keys.
    pub viewers: usize,
    /// How they are sealed.
    pub profile: Profile,
}

/// What one measurement found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floor {
    /// CPU nanoseconds for a packet, the kernel's part included.
    pub ns_per_packet: f64,
    /// Packets in a run, on average.
    pub run_length: f64,
    /// Bytes of a datagram, on average.
    pub datagram: f64,
}

/// Packets of one wake: a run is a range of them and the size that they are padded to.
struct Wake {
    packets: Range<usize>,
    runs: Vec<(Range<usize>, usize)>,
}

/// Measures once, on the core where the caller runs.
///
/// # Errors
/// If sockets are refused, or the kernel takes no GSO.
pub fn measure(plan: &Plan<'_>) -> Result<Floor> {
    sys::raise_file_limit(plan.viewers as u64 + 4096);
    let wakes = wakes(&plan.trace.records);
    let ring = Ring::fill(&plan.trace.records);
    let mut bench = Bench::new(plan)?;
    let (mut spent, mut total) = (0, Totals::default());
    let mut place = 0;
    // The first wakes fault pages in and warm the branch predictor.
    for (round, wake) in wakes.iter().cycle().enumerate() {
        let before = sys::thread_cpu_ns();
        let sent = bench.send(&plan.trace.records, wake, &ring, place)?;
        let took = sys::thread_cpu_ns() - before;
        place = (place + 1) % ring.copies;
        bench.drain();
        if round >= 8 {
            spent += took;
            total.add(&sent);
        }
        if total.packets > ENOUGH {
            break;
        }
    }
    Ok(Floor {
        ns_per_packet: spent as f64 / total.packets as f64,
        run_length: total.packets as f64 / total.runs as f64,
        datagram: total.bytes as f64 / total.packets as f64,
    })
}

#[derive(Default)]
struct Totals {
    packets: u64,
    runs: u64,
    bytes: u64,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.runs += other.runs;
        self.bytes += other.bytes;
    }
}

fn wakes(records: &[Record]) -> Vec<Wake> {
    let mut wakes: Vec<Wake> = Vec::new();
    for (i, record) in records.iter().enumerate() {
        let apart = i == 0 || record.at - records[i - 1].at > WAKE;
        match wakes.last_mut().filter(|_| !apart) {
            Some(wake) => wake.packets.end = i + 1,
            None => wakes.push(Wake { packets: i..i + 1, runs: Vec::new() }),
        }
    }
    for wake in &mut wakes {
        for i in wake.packets.clone() {
            let size = records[i].payload.len();
            match wake.runs.last_mut().filter(|(r, largest)| {
                r.len() < SEGMENTS && size.abs_diff(*largest) <= LEVEL && size.max(*largest) > LEVEL
            }) {
                Some((run, largest)) => {
                    run.end = i + 1;
                    *largest = size.max(*largest);
                }
                None => wake.runs.push((i..i + 1, size)),
            }
        }
    }
    wakes
}

/// Copies of all payloads one behind the other.
struct Ring {
    bytes: Vec<u8>,
    at: Vec<usize>,
    copy: usize,
    copies: usize,
}

impl Ring {
    fn fill(records: &[Record]) -> Self {
        let mut at = Vec::with_capacity(records.len());
        let mut bytes = Vec::with_capacity(RING);
        for record in records {
            at.push(bytes.len());
            bytes.extend_from_slice(&record.payload);
        }
        let copy = bytes.len().max(1);
        let copies = (RING / copy).max(1);
        for _ in 1..copies {
            bytes.extend_from_within(..copy);
        }
        Self { bytes, at, copy, copies }
    }

    fn payload(&self, record: usize, length: usize, copy: usize) -> &[u8] {
        let start = self.at[record] + copy * self.copy;
        &self.bytes[start..start + length]
    }
}

struct Bench {
    socket: UdpSocket,
    receivers: Vec<UdpSocket>,
    to: Vec<SocketAddrV4>,
    keys: Vec<Keys>,
    seq: u64,
    tag: usize,
    sender: Sender,
    receiver: Receiver,
    buffer: Vec<u8>,
    runs: Vec<(SocketAddrV4, usize, Range<usize>)>,
}

impl Bench {
    fn new(plan: &Plan<'_>) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let (mut receivers, mut to, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..plan.viewers {
            let receiver = UdpSocket::bind("127.0.0.1:0")?;
            receiver.set_nonblocking(true)?;
            sys::prepare(receiver.as_raw_fd(), 1 << 20);
            let SocketAddr::V4(address) = receiver.local_addr()? else { bail!("no IPv4") };
            let mut material = [7; 88];
            material[..8].copy_from_slice(&(i as u64).to_be_bytes());
            keys.push(Keys::pair(plan.profile, &material, true)?.0);
            receivers.push(receiver);
            to.push(address);
        }
        Ok(Self {
            socket,
            receivers,
            to,
            keys,
            seq: 1,
            tag: plan.profile.tag(),
            sender: Sender::new(64, None),
            receiver: Receiver::new(8),
            buffer: vec![0; FULL + 16 * 2048],
            runs: Vec::with_capacity(1024),
        })
    }

    /// One wake to everybody.
    fn send(
        &mut self,
        records: &[Record],
        wake: &Wake,
        ring: &Ring,
        copy: usize,
    ) -> Result<Totals> {
        let (mut used, mut total) = (0, Totals::default());
        for viewer in 0..self.to.len() {
            for (run, largest) in &wake.runs {
                let start = used;
                for number in run.clone() {
                    let record = &records[number];
                    let payload = ring.payload(number, record.payload.len(), copy);
                    used = self.seal(viewer, record, number, payload, *largest, used)?;
                }
                let segment = (used - start) / run.len();
                self.runs.push((self.to[viewer], segment, start..used));
                total.packets += run.len() as u64;
                if used >= FULL {
                    total.bytes += used as u64;
                    self.flush(&mut total)?;
                    used = 0;
                }
            }
        }
        total.bytes += used as u64;
        self.flush(&mut total)?;
        self.seq += wake.packets.len() as u64;
        Ok(total)
    }

    fn seal(
        &mut self,
        viewer: usize,
        record: &Record,
        number: usize,
        payload: &[u8],
        largest: usize,
        used: usize,
    ) -> Result<usize> {
        let index = self.seq + number as u64;
        let header = Header {
            pt: if record.video { 102 } else { 111 },
            marker: record.marker,
            seq: index as u16,
            timestamp: record.timestamp,
            ssrc: viewer as u32 * 2 + u32::from(record.video),
            length: 0,
            padding: false,
            transport_cc: Some(index as u16),
        };
        let packet = &mut self.buffer[used..used + 64 + largest + OVERHEAD];
        let head = rtp::write(packet, &header, Some(EXTENSION));
        packet[head..head + payload.len()].copy_from_slice(payload);
        let padding = largest - payload.len();
        if padding > 0 {
            packet[0] |= 0x20;
            packet[head + payload.len()..head + largest].fill(0);
            packet[head + largest - 1] = padding as u8;
        }
        let end = head + largest;
        let sealed = self.keys[viewer].seal_rtp(packet, head, end, index).context("no seal")?;
        debug_assert_eq!(sealed, end + self.tag);
        Ok(used + sealed)
    }

    fn flush(&mut self, total: &mut Totals) -> Result<()> {
        let taken = self.sender.send(self.socket.as_raw_fd(), &self.buffer, &self.runs);
        if taken < self.runs.len() {
            bail!(
                "the kernel took {taken} of {} runs: {}",
                self.runs.len(),
                std::io::Error::last_os_error()
            );
        }
        total.runs += taken as u64;
        self.runs.clear();
        Ok(())
    }

    /// Empties the receivers; not part of what is measured.
    fn drain(&mut self) {
        for socket in &self.receivers {
            while self
                .receiver
                .receive(socket.as_raw_fd())
                .is_ok_and(|n| n == self.receiver.capacity())
            {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Generator, Shape};

    #[test]
    fn a_wake_is_laid_out_in_runs_of_about_one_size() {
        let record = |at, length: usize| Record {
            at,
            video: true,
            marker: false,
            timestamp: 0,
            payload: vec![1; length],
        };
        let records =
            [record(0, 20), record(0, 1000), record(0, 1001), record(100, 900), record(9000, 900)];
        let shown: Vec<Vec<(usize, usize)>> = wakes(&records)
            .iter()
            .map(|w| w.runs.iter().map(|(r, size)| (r.len(), *size)).collect())
            .collect();
        assert_eq!(shown, [vec![(1, 20), (2, 1001), (1, 900)], vec![(1, 900)]]);
    }

    #[test]
    fn the_floor_is_a_number() {
        let trace = Trace::generated(Generator::new(Shape::default(), 1), 1.0);
        let plan = Plan { trace: &trace, viewers: 400, profile: Profile::Aes128Gcm };
        let floor = measure(&plan).unwrap();
        assert!(floor.ns_per_packet > 10.0 && floor.run_length > 1.5, "{floor:?}");
    }
}
