//! The floor under a server's send path: for each viewer a header, a copy, one seal and its share of
//! a sendmmsg of GSO runs, and nothing else. The runs are those that a viewer's socket got from the
//! server, the seal is the server's own, there are as many keys and sockets as viewers; and the
//! sockets are read meanwhile, on another core, as the load tool reads them, so that waking a reader
//! is in it.
//!
//! What it leaves out is what a server is for: receiving, choosing, renumbering, history, feedback,
//! timers, sessions.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::{Events, Interest, Poll, Token};
use sfu::transport::srtp::{self, Sealer};

use crate::rtp::{self, Header};
use crate::runs::{self, Run};
use crate::srtp::Profile;
use crate::sys::{self, Receiver, Sender};

/// As the server: sent while it is still in the cache.
const FULL: usize = 128 * 1024;
/// Payloads lie in a ring larger than the caches, as those of a server that keeps twelve seconds.
const RING: usize = 64 << 20;
/// A measurement stops after this many packets.
const ENOUGH: u64 = 300_000;
/// And after so long.
const LONG: Duration = Duration::from_millis(800);
/// The same where it keeps the times.
const LONG_PACED: Duration = Duration::from_secs(2);
/// The first wakes fault pages in and warm the branch predictor.
const WARM: usize = 8;
/// Id of the transport-wide number in the header.
const EXTENSION: u8 = 3;
/// Bytes of a header with it.
const HEADER: usize = 20;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// What one viewer got, or would get.
    pub runs: &'a [Run],
    /// Destinations and keys.
    pub viewers: usize,
    /// How they are sealed.
    pub profile: Profile,
    /// Where to.
    pub to: To,
    /// At the times at which the runs came, not flat out: with the caches and the wakes of a thread that
    /// rests between pictures.
    pub paced: bool,
}

/// Where the packets of a floor go.
#[derive(Clone, Copy, Debug)]
pub enum To {
    /// Sockets of this machine, read on this core, if on a certain one.
    Readers(Option<usize>),
    /// An address behind which nobody is, told to leave from this one as the server's do.
    Nobody {
        /// IP_PKTINFO.
        from: Ipv4Addr,
        /// Destination.
        to: Ipv4Addr,
    },
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
    /// Datagrams that the readers did not read in time.
    pub unread: u64,
}

/// Bytes that header and tag add to a payload.
pub fn around(profile: Profile) -> usize {
    HEADER + profile.tag()
}

/// Measures once, on the core where the caller runs.
///
/// # Errors
/// If sockets are refused, or the kernel takes no GSO.
pub fn measure(plan: &Plan<'_>) -> Result<Floor> {
    if plan.runs.is_empty() {
        bail!("no packets to measure with");
    }
    sys::raise_file_limit(plan.viewers as u64 + 4096);
    let core = match plan.to {
        To::Readers(core) => core,
        To::Nobody { from, to } => {
            let port = |i: usize| SocketAddrV4::new(to, 10_000 + (i % 50_000) as u16);
            let to = (0..plan.viewers).map(port).collect();
            return Bench::new(plan, to, Some(from))?.measure(plan);
        }
    };
    let mut sockets: Vec<mio::net::UdpSocket> =
        (0..plan.viewers).map(|_| reader()).collect::<Result<_>>()?;
    let to = sockets.iter().map(address).collect::<Result<_>>()?;
    let mut bench = Bench::new(plan, to, None)?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(&mut sockets, core, &over));
        let measured = bench.measure(plan);
        over.store(true, Ordering::Relaxed);
        reading.join().unwrap_or_else(|_| bail!("the readers panicked"))?;
        measured
    })
    .map(|floor| Floor {
        unread: sockets.iter().map(|s| sys::dropped(s.as_raw_fd())).sum(),
        ..floor
    })
}

fn reader() -> Result<mio::net::UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    sys::prepare(socket.as_raw_fd(), 1 << 20);
    Ok(mio::net::UdpSocket::from_std(socket))
}

fn address(socket: &mio::net::UdpSocket) -> Result<SocketAddrV4> {
    match socket.local_addr()? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => bail!("no IPv4"),
    }
}

/// Reads all sockets by one epoll, as the load tool does, until it is over.
fn read(sockets: &mut [mio::net::UdpSocket], core: Option<usize>, over: &AtomicBool) -> Result<()> {
    if let Some(core) = core {
        sys::pin(core);
    }
    let mut poll = Poll::new()?;
    for (i, socket) in sockets.iter_mut().enumerate() {
        poll.registry().register(socket, Token(i), Interest::READABLE)?;
    }
    let (mut events, mut receiver) = (Events::with_capacity(1024), Receiver::new(8));
    let mut seen = 0;
    while !over.load(Ordering::Relaxed) {
        poll.poll(&mut events, Some(Duration::from_millis(10))).or_else(again)?;
        for event in &events {
            let Some(socket) = sockets.get(event.token().0) else { continue };
            while let Ok(runs) = receiver.receive(socket.as_raw_fd()) {
                for run in 0..runs {
                    let datagrams = receiver.run(run).datagrams;
                    seen +=
                        datagrams.filter(|d| Header::parse(d, Some(EXTENSION)).is_some()).count();
                }
                if runs < receiver.capacity() {
                    break;
                }
            }
        }
    }
    std::hint::black_box(seen);
    Ok(())
}

fn again(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

#[derive(Default)]
struct Totals {
    packets: u64,
    runs: u64,
    bytes: u64,
}

struct Bench {
    socket: UdpSocket,
    to: Vec<SocketAddrV4>,
    sealers: Vec<Sealer>,
    seq: u64,
    tag: usize,
    sender: Sender,
    buffer: Vec<u8>,
    used: usize,
    ring: Vec<u8>,
    place: usize,
    queue: Vec<(SocketAddrV4, usize, Range<usize>)>,
    /// Packets in the queue.
    waiting: u32,
    /// When the wake before was due, in µs.
    woke: u64,
}

impl Bench {
    fn new(plan: &Plan<'_>, to: Vec<SocketAddrV4>, source: Option<Ipv4Addr>) -> Result<Self> {
        let socket = UdpSocket::bind(if source.is_some() { "0.0.0.0:0" } else { "127.0.0.1:0" })?;
        Ok(Self {
            socket,
            to,
            sealers: (0..plan.viewers).map(|i| sealer(plan.profile, i)).collect::<Result<_>>()?,
            seq: 1,
            tag: plan.profile.tag(),
            sender: Sender::new(64, source),
            buffer: vec![0; FULL + (64 << 10)],
            used: 0,
            ring: (0..RING).map(|i| i as u8 | 1).collect(),
            place: 0,
            queue: Vec::with_capacity(1024),
            waiting: 0,
            woke: 0,
        })
    }

    fn measure(&mut self, plan: &Plan<'_>) -> Result<Floor> {
        let wakes = runs::wakes(plan.runs);
        let (mut spent, mut total) = (0, Totals::default());
        let long = if plan.paced { LONG_PACED } else { LONG };
        let began = Instant::now();
        let mut last = None;
        for (round, wake) in wakes.iter().cycle().enumerate() {
            if round == WARM {
                (spent, total) = (0, Totals::default());
            }
            let at = plan.runs[wake.start].at;
            // Where the runs begin again there is no pause.
            let pause = last.replace(at).map_or(0, |before| at.saturating_sub(before));
            let before = sys::thread_cpu_ns();
            if plan.paced {
                self.rest(pause);
            }
            self.wake(&plan.runs[wake.clone()], &mut total)?;
            spent += sys::thread_cpu_ns() - before;
            let enough = !plan.paced && total.packets > ENOUGH || began.elapsed() > long;
            if round > WARM && enough {
                break;
            }
        }
        Ok(Floor {
            ns_per_packet: spent as f64 / total.packets as f64,
            run_length: total.packets as f64 / total.runs as f64,
            datagram: total.bytes as f64 / total.packets as f64,
            unread: 0,
        })
    }

    /// Until so long after the begin of the wake before, in µs.
    fn rest(&mut self, pause: u64) {
        let due = self.woke + pause;
        let now = sys::now_us();
        if let Some(left) = due.checked_sub(now).filter(|left| *left > 0) {
            std::thread::sleep(Duration::from_micros(left));
        }
        // Who is late does not hurry.
        self.woke = due.max(now);
    }

    /// One wake to everybody.
    fn wake(&mut self, runs: &[Run], total: &mut Totals) -> Result<()> {
        let bytes: usize = runs.iter().map(|run| run.length).sum();
        if self.place + bytes > RING {
            self.place = 0;
        }
        for viewer in 0..self.to.len() {
            let (mut place, mut seq) = (self.place, self.seq);
            for run in runs {
                let start = self.used;
                for at in (0..run.length).step_by(run.segment.max(1)) {
                    let length = run.segment.min(run.length - at).max(HEADER + self.tag + 1);
                    self.seal(viewer, seq, place, length)?;
                    (place, seq) = (place + length, seq + 1);
                }
                self.queue.push((self.to[viewer], run.segment, start..self.used));
                self.waiting += run.segments() as u32;
                if self.used >= FULL {
                    self.flush(total)?;
                }
            }
        }
        self.flush(total)?;
        self.place += bytes;
        self.seq += runs.iter().map(|run| run.segments() as u64).sum::<u64>();
        Ok(())
    }

    fn seal(&mut self, viewer: usize, index: u64, place: usize, length: usize) -> Result<()> {
        let header = Header {
            pt: 102,
            marker: false,
            seq: index as u16,
            timestamp: index as u32,
            ssrc: viewer as u32,
            length: 0,
            padding: false,
            transport_cc: Some(index as u16),
        };
        let packet = &mut self.buffer[self.used..self.used + length];
        let head = rtp::write(packet, &header, Some(EXTENSION));
        let payload = length - head - self.tag;
        packet[head..head + payload].copy_from_slice(&self.ring[place..place + payload]);
        self.used += length;
        self.sealers[viewer].seal_rtp(packet, head, index).then_some(()).context("no seal")
    }

    fn flush(&mut self, total: &mut Totals) -> Result<()> {
        let taken = self.sender.send(self.socket.as_raw_fd(), &self.buffer, &self.queue);
        if taken < self.queue.len() {
            let why = std::io::Error::last_os_error();
            bail!("the kernel took {taken} of {} runs: {why}", self.queue.len());
        }
        total.runs += taken as u64;
        total.bytes += self.used as u64;
        total.packets += u64::from(self.waiting);
        self.queue.clear();
        (self.used, self.waiting) = (0, 0);
        Ok(())
    }
}

fn sealer(profile: Profile, viewer: usize) -> Result<Sealer> {
    let profile = match profile {
        Profile::Aes128CmSha1 => srtp::Profile::Aes128CmSha1,
        Profile::Aes128Gcm => srtp::Profile::Aes128Gcm,
        Profile::Aes256Gcm => srtp::Profile::Aes256Gcm,
    };
    let mut material = vec![7; profile.material_len()];
    material[..8].copy_from_slice(&(viewer as u64).to_be_bytes());
    let (keys, _) = srtp::Keys::pair(profile, &material).context("keys of the profile's length")?;
    Ok(Sealer::new(&keys)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Generator, Shape};
    use crate::trace::Trace;

    #[test]
    fn the_floor_is_a_number() {
        let trace = Trace::generated(Generator::new(Shape::default(), 1), 1.0);
        let profile = Profile::Aes128Gcm;
        let runs = runs::laid_out(&trace.records, around(profile));
        let plan = Plan { runs: &runs, viewers: 100, profile, to: To::Readers(None), paced: false };
        let floor = measure(&plan).unwrap();
        assert!(floor.ns_per_packet > 10.0 && floor.run_length > 1.5, "{floor:?}");
        assert!(measure(&Plan { runs: &[], ..plan }).is_err());
    }
}
