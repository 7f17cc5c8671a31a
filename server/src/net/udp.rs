//! The UDP socket: dual-stack, GRO and recvmmsg in, GSO out, and the local address of every
//! datagram known (IP_PKTINFO), so that an answer leaves from where the question came to.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};

use super::Counters;
use super::runs::Run;

/// What the kernel should hold for us; it gives less where `net.core.[rw]mem_max` says so.
const BUFFER: usize = 4 << 20;
/// Larger than any datagram WebRTC sends.
const DATAGRAM: usize = 2048;

/// A bound socket.
#[derive(Debug)]
pub struct Socket {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl Socket {
    /// Takes a bound socket over.
    ///
    /// # Errors
    /// If the kernel refuses what every supported one has.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // Smaller buffers work too, with more loss in bursts.
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), BUFFER);
        let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), BUFFER);
        Ok(Self { socket: mio::net::UdpSocket::from_std(socket), state, local })
    }

    /// The address it is bound to, with the real port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn register(
        &mut self,
        registry: &mio::Registry,
        token: mio::Token,
    ) -> io::Result<()> {
        registry.register(&mut self.socket, token, mio::Interest::READABLE)
    }

    pub(super) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn send(&self, run: &Run) -> io::Result<()> {
        self.state.try_send(
            UdpSockRef::from(&self.socket),
            &quinn_udp::Transmit {
                destination: self.to_wire(run.destination),
                ecn: None,
                contents: &run.bytes,
                segment_size: (run.segments > 1).then_some(run.segment),
                src_ip: self.source_ip(run.source.ip()),
            },
        )
    }

    /// A dual-stack socket speaks IPv4 by mapped addresses.
    fn to_wire(&self, address: SocketAddr) -> SocketAddr {
        match (self.local, address.ip()) {
            (SocketAddr::V6(_), IpAddr::V4(v4)) => {
                SocketAddr::new(v4.to_ipv6_mapped().into(), address.port())
            }
            _ => address,
        }
    }

    fn source_ip(&self, ip: IpAddr) -> Option<IpAddr> {
        let wildcard = self.local.ip().is_unspecified() && !ip.is_unspecified();
        wildcard.then_some(ip)
    }
}

impl Counters {
    /// Sends a run; what the kernel does not take is lost and counted. A run that is refused as a
    /// whole (a device without GSO) goes out one by one.
    pub(super) fn send(&mut self, socket: &Socket, run: &Run) {
        match socket.send(run) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.send_blocked += run.segments as u64;
            }
            Err(_) if run.segments > 1 => {
                for segment in run.bytes.chunks(run.segment) {
                    let single = Run {
                        source: run.source,
                        destination: run.destination,
                        segment: segment.len(),
                        segments: 1,
                        bytes: segment.to_vec(),
                    };
                    self.send(socket, &single);
                }
            }
            Err(error) => {
                self.send_failed += 1;
                tracing::debug!(%error, to = %run.destination, "a datagram was not sent");
            }
        }
    }
}

/// Buffers for one recvmmsg.
pub(super) struct Batch {
    buffers: Vec<Vec<u8>>,
    meta: [RecvMeta; quinn_udp::BATCH_SIZE],
    received: usize,
}

impl Batch {
    pub(super) fn new(socket: &Socket) -> Self {
        let size = DATAGRAM * socket.state.gro_segments();
        Self {
            buffers: vec![vec![0; size.max(DATAGRAM)]; quinn_udp::BATCH_SIZE],
            meta: [RecvMeta::default(); quinn_udp::BATCH_SIZE],
            received: 0,
        }
    }

    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<()> {
        self.received = 0;
        let mut slices = self.buffers.iter_mut().map(|b| IoSliceMut::new(b));
        let mut slices: [IoSliceMut<'_>; quinn_udp::BATCH_SIZE] =
            std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        let sock = UdpSockRef::from(&socket.socket);
        self.received = socket.state.recv(sock, &mut slices, &mut self.meta)?;
        Ok(())
    }

    /// Source, local address and bytes of each datagram.
    pub(super) fn datagrams(
        &self,
        socket: &Socket,
    ) -> impl Iterator<Item = (SocketAddr, SocketAddr, &[u8])> {
        let local = socket.local;
        let batch = self.meta.iter().zip(&self.buffers).take(self.received);
        batch.flat_map(move |(meta, buffer)| {
            let source = canonical(meta.addr);
            let ip = meta.dst_ip.map_or(local.ip(), |ip| ip.to_canonical());
            let destination = SocketAddr::new(ip, local.port());
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            bytes.chunks(meta.stride.max(1)).map(move |bytes| (source, destination, bytes))
        })
    }
}

/// IPv4 that came in as a mapped IPv6 address is IPv4 to everybody above.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
