//! What Linux offers and no safe crate does. `sendmmsg(2)`: many runs in one system call, each cut up by the kernel again (UDP_SEGMENT,
//! `udp(7)`) and leaving from the address we want (IP_PKTINFO `ip(7)`, IPV6_PKTINFO RFC 3542).
//!
//! Linux. The only file of the server that may say `unsafe`; what becomes of a refusal is decided
//! in [`super::out`].

#![expect(
    unsafe_code,
    reason = "sendmmsg and SO_RCVLOWAT take raw pointers, and no safe crate offers them"
)]

use std::io;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, cmsghdr, in_pktinfo, in6_pktinfo, iovec, mmsghdr, sockaddr_in, sockaddr_in6};
use sfu::SendRun;

/// Runs in one system call.
pub(super) const MESSAGES: usize = 64;

/// The arrays behind one `sendmmsg`, made once.
pub(super) struct Kernel {
    slots: Box<[Slot]>,
    vectors: Box<[iovec]>,
    headers: Box<[mmsghdr]>,
    wildcard: bool,
    v6: bool,
}

// SAFETY: the pointers in `vectors` and `headers` are written and read only within one call of
// `send`; between calls nobody follows them.
unsafe impl Send for Kernel {}

/// Where one run goes and how.
#[derive(Clone, Copy)]
struct Slot {
    v4: sockaddr_in,
    v6: sockaddr_in6,
    control: Control,
}

/// All the control messages a run can have. The kernel gets one stretch of it: the size of the
/// segments, and the source of one family on this side or on that.
#[derive(Clone, Copy)]
#[repr(C)]
struct Control {
    from_v4: Part<in_pktinfo>,
    segment: Part<u16>,
    from_v6: Part<in6_pktinfo>,
}

/// One control message, as large as `CMSG_SPACE` says.
#[derive(Clone, Copy)]
#[repr(C)]
struct Part<T> {
    head: cmsghdr,
    value: T,
    align: [usize; 0],
}

// SAFETY: CMSG_SPACE is arithmetic.
const _: () = assert!(size_of::<Part<u16>>() == unsafe { libc::CMSG_SPACE(2) } as usize);
// SAFETY: see above.
const _: () = assert!(size_of::<Part<in_pktinfo>>() == unsafe { libc::CMSG_SPACE(12) } as usize);
// SAFETY: see above.
const _: () = assert!(size_of::<Part<in6_pktinfo>>() == unsafe { libc::CMSG_SPACE(20) } as usize);

impl Kernel {
    /// For a socket bound to `local`.
    pub(super) fn new(local: SocketAddr) -> Self {
        // SAFETY: all of these are plain C structs of integers and pointers; zero is valid.
        let (slot, vector, header) = unsafe {
            (std::mem::zeroed(), std::mem::zeroed::<iovec>(), std::mem::zeroed::<mmsghdr>())
        };
        Self {
            slots: vec![slot; MESSAGES].into(),
            vectors: vec![vector; MESSAGES].into(),
            headers: vec![header; MESSAGES].into(),
            wildcard: local.ip().is_unspecified(),
            v6: local.is_ipv6(),
        }
    }

    /// Sends the first runs, at most [`MESSAGES`]; returns how many the kernel took.
    ///
    /// # Errors
    /// What the kernel says of the first one, if it does not take that.
    pub(super) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        bytes: &[u8],
        runs: &[SendRun],
    ) -> io::Result<usize> {
        let mut count = 0;
        for (i, run) in runs.iter().take(MESSAGES).enumerate() {
            let Some(contents) = bytes.get(run.range.clone()) else { break };
            let source =
                self.wildcard.then_some(run.path.local.ip()).filter(|ip| !ip.is_unspecified());
            let slot = &mut self.slots[i];
            let vector = &mut self.vectors[i];
            vector.iov_base = contents.as_ptr().cast_mut().cast();
            vector.iov_len = contents.len();
            let header = &mut self.headers[i].msg_hdr;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            let (name, len) = slot.name(run.path.remote, self.v6);
            (header.msg_name, header.msg_namelen) = (name, len as _);
            let segment = u16::try_from(run.segment_size).ok().filter(|_| run.segments() > 1);
            let (control, len) = slot.control.fill(segment, source);
            (header.msg_control, header.msg_controllen) = (control, len as _);
            count = i + 1;
        }
        let headers = self.headers.as_mut_ptr();
        // SAFETY: the first `count` headers point into `slots`, `vectors` and `bytes`, which are
        // borrowed until the call has returned; the kernel only reads what they point to.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers, count as _, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

impl Slot {
    /// The destination as the kernel wants it; a dual-stack socket speaks IPv4 by mapped addresses.
    fn name(&mut self, to: SocketAddr, v6: bool) -> (*mut libc::c_void, usize) {
        let mapped = match to {
            SocketAddr::V4(to) if !v6 => {
                self.v4.sin_family = libc::AF_INET as _;
                self.v4.sin_port = to.port().to_be();
                self.v4.sin_addr.s_addr = in_addr(*to.ip());
                return ((&raw mut self.v4).cast(), size_of::<sockaddr_in>());
            }
            SocketAddr::V4(to) => to.ip().to_ipv6_mapped(),
            SocketAddr::V6(to) => *to.ip(),
        };
        let scope = if let SocketAddr::V6(to) = to { to.scope_id() } else { 0 };
        self.v6.sin6_family = libc::AF_INET6 as _;
        self.v6.sin6_port = to.port().to_be();
        self.v6.sin6_addr.s6_addr = mapped.octets();
        self.v6.sin6_scope_id = scope;
        ((&raw mut self.v6).cast(), size_of::<sockaddr_in6>())
    }
}

impl Control {
    /// Writes what is wanted, and says where it begins and how long it is.
    fn fill(&mut self, segment: Option<u16>, from: Option<IpAddr>) -> (*mut libc::c_void, usize) {
        const V4: (usize, usize) = (offset_of!(Control, from_v4), size_of::<Part<in_pktinfo>>());
        const SEGMENT: (usize, usize) = (offset_of!(Control, segment), size_of::<Part<u16>>());
        const V6: (usize, usize) = (offset_of!(Control, from_v6), size_of::<Part<in6_pktinfo>>());
        if let Some(size) = segment {
            self.segment.set(libc::SOL_UDP, libc::UDP_SEGMENT, size);
        }
        let (mut start, mut end) = match segment {
            Some(_) => (SEGMENT.0, SEGMENT.0 + SEGMENT.1),
            None => (V6.0, V6.0),
        };
        match from {
            Some(IpAddr::V4(ip)) => {
                let [any, ip] =
                    [Ipv4Addr::UNSPECIFIED, ip].map(|ip| libc::in_addr { s_addr: in_addr(ip) });
                let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: ip, ipi_addr: any };
                self.from_v4.set(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
                start = V4.0;
                if segment.is_none() {
                    end = V4.0 + V4.1;
                }
            }
            Some(IpAddr::V6(ip)) => {
                self.from_v6.set(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info_v6(ip));
                end = V6.0 + V6.1;
            }
            None => {}
        }
        if start == end {
            return (std::ptr::null_mut(), 0);
        }
        ((&raw mut *self).wrapping_byte_add(start).cast(), end - start)
    }
}

impl<T> Part<T> {
    fn set(&mut self, level: c_int, kind: c_int, value: T) {
        self.head.cmsg_level = level;
        self.head.cmsg_type = kind;
        self.head.cmsg_len = (offset_of!(Self, value) + size_of::<T>()) as _;
        self.value = value;
    }
}

fn in_addr(ip: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(ip.octets())
}

fn info_v6(ip: Ipv6Addr) -> in6_pktinfo {
    in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

/// A socket is not readable before so many bytes have come, or there is nothing more to come
/// (SO_RCVLOWAT, `socket(7)`); if there are as many already, it is at once.
///
/// # Errors
/// Those of `setsockopt(2)`.
pub(crate) fn collect(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    // SAFETY: the option is an int, and lives as long as the call.
    let done = unsafe {
        let (value, len) = ((&raw const bytes).cast(), size_of::<c_int>() as _);
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, value, len)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A socket without checksums of its own is one whose segmentation Linux refuses, as it does for a
/// device that cannot do them.
#[cfg(test)]
pub(super) fn refuse_segmentation(socket: BorrowedFd<'_>) {
    let on: c_int = 1;
    // SAFETY: the option is an int, and lives as long as the call.
    let done = unsafe {
        let (value, len) = ((&raw const on).cast(), size_of::<c_int>() as _);
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, value, len)
    };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}
