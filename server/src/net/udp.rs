//! The UDP socket of one shard: dual-stack, GRO and recvmmsg in, GSO runs by sendmmsg out, and the
//! local address of every datagram known (IP_PKTINFO), so that an answer leaves from where the
//! question came to.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use sfu::{Path, SendRun, Sink};

use super::out::{Counters, Out};
use super::send::Kernel;

/// What the kernel should hold for us; it gives less where `net.core.[rw]mem_max` says so.
pub const BUFFER: usize = 4 << 20;
/// Larger than any datagram WebRTC sends.
const DATAGRAM: usize = 2048;
/// What GRO joins is one IP packet, which cannot be larger.
const JOINED: usize = 65_536;

/// A bound socket.
#[derive(Debug)]
pub struct Socket {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    kernel: Kernel,
    out: Out,
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
        // Smaller buffers work too, with more loss in bursts; `granted` says what came of it.
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), BUFFER);
        let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), BUFFER);
        let kernel = Kernel::new(local);
        let out = Out::new(state.max_gso_segments() > 1);
        Ok(Self { socket: mio::net::UdpSocket::from_std(socket), state, local, kernel, out })
    }

    /// The address it is bound to, with the real port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What it counted.
    pub fn counters(&self) -> Counters {
        self.out.counters
    }

    /// Bytes that the kernel holds for us, in and out. It says twice what it was asked for, to
    /// account for its own.
    pub fn granted(&self) -> Option<(usize, usize)> {
        let receive = self.state.recv_buffer_size(UdpSockRef::from(&self.socket)).ok()?;
        let send = self.state.send_buffer_size(UdpSockRef::from(&self.socket)).ok()?;
        Some((receive / 2, send / 2))
    }

    pub(super) fn register(
        &mut self,
        registry: &mio::Registry,
        token: mio::Token,
    ) -> io::Result<()> {
        registry.register(&mut self.socket, token, mio::Interest::READABLE)
    }
}

impl Sink for Socket {
    fn send(&mut self, bytes: &[u8], runs: &[SendRun]) {
        let Self { socket, kernel, out, .. } = self;
        out.send(bytes, runs, |bytes, runs| kernel.send(socket.as_fd(), bytes, runs));
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
        let size = (DATAGRAM * socket.state.gro_segments()).clamp(DATAGRAM, JOINED);
        Self {
            buffers: vec![vec![0; size]; quinn_udp::BATCH_SIZE],
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

    /// The way and the bytes of each datagram; they may be decrypted in place.
    pub(super) fn datagrams(
        &mut self,
        local: SocketAddr,
    ) -> impl Iterator<Item = (Path, &mut [u8])> {
        let batch = self.meta.iter().zip(&mut self.buffers).take(self.received);
        batch.flat_map(move |(meta, buffer)| {
            let remote = canonical(meta.addr);
            let ip = meta.dst_ip.map_or(local.ip(), |ip| ip.to_canonical());
            let path = Path::udp(SocketAddr::new(ip, local.port()), remote);
            let bytes = buffer.get_mut(..meta.len).unwrap_or_default();
            bytes.chunks_mut(meta.stride.max(1)).map(move |bytes| (path, bytes))
        })
    }
}

/// IPv4 that came in as a mapped IPv6 address is IPv4 to everybody above.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        // Keeps the scope of a link-local one.
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;
    use std::time::Duration;

    use sfu::Egress;

    use super::*;
    use crate::net::send;

    /// A wildcard is reached at loopback; `0` becomes a real port.
    fn bound(address: &str) -> Socket {
        let address: SocketAddr = address.parse().unwrap();
        Socket::new(UdpSocket::bind(address).unwrap()).unwrap()
    }

    fn receiver(address: &str) -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let local = socket.local_addr().unwrap();
        (socket, local)
    }

    fn next(socket: &UdpSocket) -> (SocketAddr, Vec<u8>) {
        let mut buffer = vec![0; 65_536];
        let (len, from) = socket.recv_from(&mut buffer).unwrap();
        buffer.truncate(len);
        (from, buffer)
    }

    /// Datagrams that say their number in every byte.
    fn push(egress: &mut Egress, source: SocketAddr, to: SocketAddr, sizes: &[usize]) {
        for (i, size) in sizes.iter().enumerate() {
            egress.push(Path::udp(source, to), &vec![i as u8; *size]);
        }
    }

    fn expect(socket: &UdpSocket, from: SocketAddr, sizes: &[usize]) {
        for (i, size) in sizes.iter().enumerate() {
            assert_eq!(next(socket), (from, vec![i as u8; *size]), "datagram {i}");
        }
    }

    const SIZES: [usize; 9] = [1200, 1200, 1200, 1201, 1201, 300, 1200, 1, 1200];

    #[test]
    fn datagrams_arrive_one_by_one_in_order_from_the_address_they_are_to_come_from() {
        for (bind, source, to) in [
            ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"),
            ("0.0.0.0:0", "127.0.0.2:0", "127.0.0.1:0"),
            ("0.0.0.0:0", "0.0.0.0:0", "127.0.0.1:0"),
            ("[::]:0", "127.0.0.3:0", "127.0.0.1:0"),
            ("[::]:0", "[::1]:0", "[::1]:0"),
            ("[::1]:0", "[::1]:0", "[::1]:0"),
        ] {
            let mut socket = bound(bind);
            let (receiver, to) = receiver(to);
            let mut source: SocketAddr = source.parse().unwrap();
            source.set_port(socket.local().port());
            let mut egress = Egress::default();
            push(&mut egress, source, to, &SIZES);
            egress.drain(&mut socket);
            if source.ip().is_unspecified() {
                source.set_ip([127, 0, 0, 1].into());
            }
            expect(&receiver, source, &SIZES);
            assert_eq!(socket.counters(), Counters::default(), "{bind}");
        }
    }

    #[test]
    fn eighty_runs_to_both_families_in_one_call() {
        let mut socket = bound("[::]:0");
        let (v4, to_v4) = receiver("127.0.0.1:0");
        let (v6, to_v6) = receiver("[::1]:0");
        let source = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 0);
        let mut egress = Egress::default();
        let sizes = [40, 40, 30];
        for _ in 0..40 {
            push(&mut egress, source("127.0.0.9"), to_v4, &sizes);
            push(&mut egress, source("::1"), to_v6, &sizes);
        }
        egress.drain(&mut socket);
        let port = socket.local().port();
        for _ in 0..40 {
            expect(&v4, SocketAddr::new("127.0.0.9".parse().unwrap(), port), &sizes);
            expect(&v6, SocketAddr::new("::1".parse().unwrap(), port), &sizes);
        }
        assert_eq!(socket.counters(), Counters::default());
    }

    #[test]
    fn what_the_kernel_joined_is_split_again_and_may_be_changed_in_place() {
        for (from, to) in [("127.0.0.1:0", "0.0.0.0:0"), ("[::1]:0", "[::]:0")] {
            let (mut sender, mut socket) = (bound(from), bound(to));
            let to = SocketAddr::new(sender.local().ip(), socket.local().port());
            let mut egress = Egress::default();
            push(&mut egress, sender.local(), to, &SIZES);
            let mut poll = mio::Poll::new().unwrap();
            socket.register(poll.registry(), mio::Token(0)).unwrap();
            egress.drain(&mut sender);
            let mut batch = Batch::new(&socket);
            let mut sizes = Vec::new();
            while sizes.len() < SIZES.len() {
                let mut events = mio::Events::with_capacity(1);
                if sizes.is_empty() {
                    poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
                }
                batch.receive(&socket).unwrap();
                for (path, bytes) in batch.datagrams(socket.local()) {
                    assert_eq!(path, Path::udp(to, sender.local()));
                    assert!(bytes.iter().all(|byte| usize::from(*byte) == sizes.len()));
                    bytes.fill(255);
                    sizes.push(bytes.len());
                }
            }
            assert_eq!(sizes, SIZES);
        }
    }

    #[test]
    fn where_runs_are_refused_their_datagrams_go_one_by_one() {
        let mut socket = bound("127.0.0.1:0");
        send::refuse_segmentation(socket.socket.as_fd());
        let (receiver, to) = receiver("127.0.0.1:0");
        for _ in 0..2 {
            let mut egress = Egress::default();
            push(&mut egress, socket.local(), to, &SIZES);
            egress.drain(&mut socket);
            expect(&receiver, socket.local(), &SIZES);
        }
        assert_eq!(socket.counters(), Counters::default());
    }

    #[test]
    fn what_can_never_be_sent_is_counted_and_the_rest_goes() {
        let mut socket = bound("0.0.0.0:0");
        let (receiver, to) = receiver("127.0.0.1:0");
        let not_ours: SocketAddr = "192.0.2.1:9".parse().unwrap();
        let ours: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let mut egress = Egress::default();
        push(&mut egress, ours, to, &[10, 10]);
        push(&mut egress, ours, to, &[65_520]);
        push(&mut egress, not_ours, to, &[20, 20, 20]);
        push(&mut egress, ours, to, &[30, 30]);
        egress.drain(&mut socket);
        let from = SocketAddr::new(ours.ip(), socket.local().port());
        expect(&receiver, from, &[10, 10]);
        expect(&receiver, from, &[30, 30]);
        assert_eq!(socket.counters(), Counters { send_failed: 4, ..Counters::default() });
    }

    #[test]
    fn it_says_what_the_kernel_granted() {
        let socket = bound("127.0.0.1:0");
        let sock = || UdpSockRef::from(&socket.socket);
        socket.state.set_recv_buffer_size(sock(), 128 << 10).unwrap();
        socket.state.set_send_buffer_size(sock(), 64 << 10).unwrap();
        assert_eq!(socket.granted(), Some((128 << 10, 64 << 10)));
    }
}
