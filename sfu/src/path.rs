//! The way of datagrams between a peer and us: by UDP, or as frames on a TCP connection
//! (RFC 4571, RFC 6544). Sockets do not enter: a connection is a number here.

use std::net::SocketAddr;

/// What carries datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Over {
    /// UDP: everybody at one address is the same.
    Udp,
    /// The TCP connection of this number, which no other one of this process ever has.
    Tcp(u32),
}

/// The way of a session's datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Our address.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// What carries them.
    pub over: Over,
}

/// Who sends: a UDP and a TCP peer of one address and port are two.
pub type Sender = (SocketAddr, Over);

impl Path {
    /// By UDP.
    pub fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local, remote, over: Over::Udp }
    }

    /// Whose datagrams come this way.
    pub fn sender(&self) -> Sender {
        (self.remote, self.over)
    }
}
