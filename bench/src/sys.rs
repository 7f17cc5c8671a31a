//! What only the kernel's own calls give: receiving with UDP_GRO in one recvmmsg and the kernel's own
//! time of arrival, sending GSO runs in one sendmmsg, clocks as numbers, limits, pinning, signals. Everything `unsafe`
//! of this crate is in this file, and nothing else is.
#![expect(
    unsafe_code,
    reason = "std and socket2 have no recvmmsg, sendmmsg, UDP_GRO or UDP_SEGMENT"
)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{c_int, c_void, cmsghdr, iovec, mmsghdr, sockaddr_in, sockaddr_in6, sockaddr_storage};

/// Most that one datagram, or one run of them joined by GRO, can hold.
const LARGEST: usize = 65_535;
/// Room for the control messages of a run: the size of its datagrams, and when it came.
const CONTROL: usize = 64;

/// CLOCK_MONOTONIC in microseconds: the same in every process of a machine.
pub fn now_us() -> u64 {
    clock(libc::CLOCK_MONOTONIC) / 1000
}

/// CLOCK_REALTIME in microseconds: the clock that the kernel stamps arriving datagrams with.
pub fn wall_us() -> u64 {
    clock(libc::CLOCK_REALTIME) / 1000
}

/// CPU time of a process, all its threads, those that have ended too, and the kernel's work for it;
/// `None` if there is no such process. The same clock as [`thread_cpu_ns`].
pub fn process_cpu_ns(pid: u32) -> Option<u64> {
    let mut which: libc::clockid_t = 0;
    // SAFETY: the kernel's number of a clock is written to a place that lives during the call.
    let known = unsafe { libc::clock_getcpuclockid(pid.try_into().ok()?, &raw mut which) } == 0;
    known.then(|| clock(which))
}

/// CPU time of this thread in nanoseconds, the kernel's work for its calls included.
pub fn thread_cpu_ns() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock(which: libc::clockid_t) -> u64 {
    // SAFETY: a zeroed timespec is a valid place to write to.
    let time = unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(which, &raw mut time);
        time
    };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Raises the limit of open files as far as allowed and returns it: every viewer is a socket.
pub fn raise_file_limit(wanted: u64) -> u64 {
    // SAFETY: plain values in and out.
    unsafe {
        let mut limit: libc::rlimit = zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 0;
        }
        let hard = limit.rlim_max.max(wanted);
        for max in [hard, limit.rlim_max] {
            let raised =
                libc::rlimit { rlim_cur: wanted.max(limit.rlim_cur).min(max), rlim_max: max };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
                return raised.rlim_cur;
            }
        }
        limit.rlim_cur
    }
}

static STOPPED: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_: c_int) {
    STOPPED.store(true, Ordering::Relaxed);
}

/// From here on SIGINT and SIGTERM only make [`stopped`] true, so that sessions are left cleanly.
pub fn stop_on_signals() {
    // SAFETY: the handler only stores to an atomic, which is allowed in a signal handler.
    unsafe {
        let handler = stop as extern "C" fn(c_int) as libc::sighandler_t;
        libc::signal(libc::SIGINT, handler);
        libc::signal(libc::SIGTERM, handler);
    }
}

/// True after SIGINT or SIGTERM.
pub fn stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

fn set(fd: RawFd, level: c_int, option: c_int, value: c_int) -> bool {
    // SAFETY: the kernel reads one int at that address.
    unsafe {
        let at = (&raw const value).cast::<c_void>();
        libc::setsockopt(fd, level, option, at, size_of::<c_int>() as u32) == 0
    }
}

/// Large buffers, past the system's limit where we may; datagrams of one run joined by the kernel,
/// where it can; and the time at which the kernel had each run for us.
pub fn prepare(fd: RawFd, buffer: usize) {
    let bytes = c_int::try_from(buffer).unwrap_or(c_int::MAX);
    if !set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes) {
        set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes);
    }
    set(fd, libc::SOL_UDP, libc::UDP_GRO, 1);
    set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1);
}

/// Datagrams that this socket has dropped because nobody read them in time.
pub fn dropped(fd: RawFd) -> u64 {
    /// `SK_MEMINFO_DROPS` of linux/sock_diag.h, and how many values there are.
    const DROPS: usize = 8;
    const SO_MEMINFO: c_int = 55;
    let mut values = [0u32; DROPS + 1];
    let mut length = size_of_val(&values) as u32;
    // SAFETY: the kernel writes at most `length` bytes there.
    unsafe {
        let at = values.as_mut_ptr().cast::<c_void>();
        libc::getsockopt(fd, libc::SOL_SOCKET, SO_MEMINFO, at, &raw mut length);
    }
    u64::from(values[DROPS])
}

/// Lets a socket keep sending from its address after the machine has lost it (root only): the
/// blackhole run turns the way back into a device that drops everything.
pub fn keep_address(fd: RawFd) -> bool {
    set(fd, libc::SOL_IP, libc::IP_TRANSPARENT, 1)
}

/// Buffers for receiving many runs at once, shared by all sockets of a thread.
pub struct Receiver {
    buffers: Vec<u8>,
    controls: Vec<[u64; CONTROL / 8]>,
    names: Vec<sockaddr_storage>,
    slices: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

impl Receiver {
    /// For up to `runs` runs in one call.
    pub fn new(runs: usize) -> Self {
        // SAFETY: all-zero is a valid value of these C structs; pointers are set before each call.
        let (names, slices, headers) = unsafe {
            (
                vec![zeroed(); runs],
                (0..runs).map(|_| zeroed()).collect(),
                (0..runs).map(|_| zeroed()).collect(),
            )
        };
        Self {
            buffers: vec![0; runs * LARGEST],
            controls: vec![[0; CONTROL / 8]; runs],
            names,
            slices,
            headers,
        }
    }

    /// How many runs fit into one call.
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Receives what is there, without waiting; fewer runs than the capacity mean that the socket
    /// is empty.
    ///
    /// # Errors
    /// What the socket says, `WouldBlock` if it has nothing.
    pub fn receive(&mut self, fd: RawFd) -> io::Result<usize> {
        for (i, header) in self.headers.iter_mut().enumerate() {
            self.slices[i] = iovec {
                iov_base: self.buffers[i * LARGEST..].as_mut_ptr().cast(),
                iov_len: LARGEST,
            };
            let h = &mut header.msg_hdr;
            h.msg_name = (&raw mut self.names[i]).cast();
            h.msg_namelen = size_of::<sockaddr_storage>() as u32;
            h.msg_iov = &raw mut self.slices[i];
            h.msg_iovlen = 1;
            h.msg_control = self.controls[i].as_mut_ptr().cast();
            h.msg_controllen = CONTROL as _;
            h.msg_flags = 0;
        }
        // SAFETY: every header points into vectors that live and do not move during the call.
        let got = unsafe {
            let (headers, count) = (self.headers.as_mut_ptr(), self.headers.len() as u32);
            libc::recvmmsg(fd, headers, count, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        usize::try_from(got).map_err(|_| io::Error::last_os_error())
    }

    /// Run `i` of the last call.
    pub fn run(&mut self, i: usize) -> Run<'_> {
        let length = (self.headers[i].msg_len as usize).min(LARGEST);
        let (segment, at) = self.said(i);
        let segment = segment.unwrap_or(length).max(1);
        let from = address(&self.names[i]);
        let bytes = &mut self.buffers[i * LARGEST..i * LARGEST + length];
        Run {
            from,
            at: at.unwrap_or_else(wall_us),
            segment,
            length,
            datagrams: bytes.chunks_mut(segment),
        }
    }

    /// What the control messages say: the size of a datagram, and when the run came.
    fn said(&self, i: usize) -> (Option<usize>, Option<u64>) {
        let header = &self.headers[i].msg_hdr;
        let (mut segment, mut at) = (None, None);
        // SAFETY: the kernel has filled `msg_controllen` bytes of the control buffer, and the
        // macros stay within them.
        unsafe {
            let mut control: *const cmsghdr = libc::CMSG_FIRSTHDR(header);
            while !control.is_null() {
                let data = libc::CMSG_DATA(control);
                match ((*control).cmsg_level, (*control).cmsg_type) {
                    (libc::SOL_UDP, libc::UDP_GRO) => {
                        segment = usize::try_from(data.cast::<c_int>().read_unaligned()).ok();
                    }
                    (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                        let time = data.cast::<libc::timespec>().read_unaligned();
                        at = Some(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000);
                    }
                    _ => {}
                }
                control = libc::CMSG_NXTHDR(header, control);
            }
        }
        (segment, at)
    }
}

/// Datagrams that came as one: what the other side sent as one run.
pub struct Run<'a> {
    /// Who sent them.
    pub from: SocketAddr,
    /// When the kernel had them for us, CLOCK_REALTIME in µs; what it waited for us is not in it.
    pub at: u64,
    /// Size of each but the last.
    pub segment: usize,
    /// Of all together.
    pub length: usize,
    /// One after the other.
    pub datagrams: std::slice::ChunksMut<'a, u8>,
}

fn address(name: &sockaddr_storage) -> SocketAddr {
    // SAFETY: the family says which of the two structs lies there, and a storage is large enough
    // and aligned for both.
    unsafe {
        if c_int::from(name.ss_family) == libc::AF_INET6 {
            let v6 = &*(&raw const *name).cast::<sockaddr_in6>();
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id))
        } else {
            let v4 = &*(&raw const *name).cast::<sockaddr_in>();
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)))
        }
    }
}

/// A reusable sendmmsg of GSO runs between IPv4 addresses: the floor under every sender.
pub struct Sender {
    names: Vec<sockaddr_in>,
    controls: Vec<[u64; 8]>,
    slices: Vec<iovec>,
    headers: Vec<mmsghdr>,
    source: Option<Ipv4Addr>,
}

impl Sender {
    /// For up to `runs` runs in one call, each told to leave from `source` (IP_PKTINFO), as a server
    /// that listens on all addresses does.
    pub fn new(runs: usize, source: Option<Ipv4Addr>) -> Self {
        // SAFETY: all-zero is a valid value of these C structs; pointers are set before each call.
        unsafe {
            Self {
                names: vec![zeroed(); runs],
                controls: vec![[0; 8]; runs],
                slices: (0..runs).map(|_| zeroed()).collect(),
                headers: (0..runs).map(|_| zeroed()).collect(),
                source,
            }
        }
    }

    /// Sends `runs`, each a destination, the size of a segment, and a range of `bytes`. Returns
    /// how many runs the kernel took.
    pub fn send(
        &mut self,
        fd: RawFd,
        bytes: &[u8],
        runs: &[(SocketAddrV4, usize, std::ops::Range<usize>)],
    ) -> usize {
        let mut taken = 0;
        while taken < runs.len() {
            let some = &runs[taken..(taken + self.headers.len()).min(runs.len())];
            for (i, (to, segment, range)) in some.iter().enumerate() {
                self.fill(i, *to, *segment, &bytes[range.clone()]);
            }
            // SAFETY: every header points into vectors, and `bytes`, that live during the call.
            let sent =
                unsafe { libc::sendmmsg(fd, self.headers.as_mut_ptr(), some.len() as u32, 0) };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => taken += sent,
                _ => break,
            }
        }
        taken
    }

    fn fill(&mut self, i: usize, to: SocketAddrV4, segment: usize, bytes: &[u8]) {
        let name = &mut self.names[i];
        name.sin_family = libc::AF_INET as u16;
        name.sin_addr.s_addr = u32::from(*to.ip()).to_be();
        name.sin_port = to.port().to_be();
        self.slices[i] = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let h = &mut self.headers[i].msg_hdr;
        h.msg_name = (&raw mut self.names[i]).cast();
        h.msg_namelen = size_of::<sockaddr_in>() as u32;
        h.msg_iov = &raw mut self.slices[i];
        h.msg_iovlen = 1;
        h.msg_control = std::ptr::null_mut();
        h.msg_controllen = 0;
        let control = &mut self.controls[i];
        let mut used = 0;
        if bytes.len() > segment {
            used = push(control, used, libc::SOL_UDP, libc::UDP_SEGMENT, segment as u16);
        }
        if let Some(ip) = self.source {
            let address = |ip: Ipv4Addr| libc::in_addr { s_addr: u32::from(ip).to_be() };
            let (ipi_spec_dst, ipi_addr) = (address(ip), address(Ipv4Addr::UNSPECIFIED));
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr };
            used = push(control, used, libc::SOL_IP, libc::IP_PKTINFO, info);
        }
        if used > 0 {
            h.msg_control = control.as_mut_ptr().cast();
            h.msg_controllen = used as _;
        }
    }
}

/// Writes a control message at byte `at`, a multiple of eight; returns where the next one goes.
fn push<T>(control: &mut [u64; 8], at: usize, level: c_int, kind: c_int, value: T) -> usize {
    let data = at + size_of::<cmsghdr>();
    assert!(data + size_of::<T>() <= size_of_val(control), "two small messages fit");
    // SAFETY: both writes lie within `control`, as was just checked; the header is aligned.
    unsafe {
        let bytes = control.as_mut_ptr().cast::<u8>();
        let head = bytes.add(at).cast::<cmsghdr>();
        (*head).cmsg_level = level;
        (*head).cmsg_type = kind;
        (*head).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as _;
        bytes.add(data).cast::<T>().write_unaligned(value);
    }
    data + size_of::<T>().next_multiple_of(8)
}

/// Keeps this thread, and what it starts from here on, on one core.
pub fn pin(core: usize) -> bool {
    // SAFETY: the set lives during the calls.
    unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0
    }
}

/// This thread goes before all that are not as urgent. False where that is not allowed.
pub fn urgent() -> bool {
    // SAFETY: the parameters live during the call.
    unsafe {
        let mut how: libc::sched_param = zeroed();
        how.sched_priority = 1;
        libc::sched_setscheduler(0, libc::SCHED_RR, &raw const how) == 0
    }
}
