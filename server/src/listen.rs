//! Opens sockets: dual-stack where the machine has IPv6, and with errors that name the key.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Listen;

const BACKLOG: i32 = 1024;

/// Why a socket cannot be opened, with what to change.
#[derive(Debug, thiserror::Error)]
#[error("{key} = \"{address}\": {reason} (set it in the file or by --{flag})")]
pub struct Error {
    key: &'static str,
    flag: String,
    address: SocketAddr,
    reason: String,
}

/// TCP for `key`; `None` if it is turned off.
pub(crate) fn tcp(key: &'static str, listen: Listen) -> Result<Option<TcpListener>, Error> {
    open(key, listen, |address| {
        let socket = socket(address, Type::STREAM, Protocol::TCP)?;
        // Restarts must not wait for connections of the run before in TIME_WAIT. On Linux this does
        // not let two servers share a port.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    })
}

/// UDP for `key`; `None` if it is turned off. Non-blocking, and never shared with another server.
pub(crate) fn udp(key: &'static str, listen: Listen) -> Result<Option<UdpSocket>, Error> {
    open(key, listen, |address| {
        let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    })
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn open<S>(
    key: &'static str,
    listen: Listen,
    bind: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<Option<S>, Error> {
    let Some(address) = listen.0 else { return Ok(None) };
    let opened = bind(address).or_else(|e| {
        if address.ip() != Ipv6Addr::UNSPECIFIED || !no_ipv6(&e) {
            return Err(e);
        }
        tracing::warn!("{key}: this machine has no IPv6; listening on IPv4 only");
        bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
    });
    opened.map(Some).map_err(|e| Error {
        key,
        flag: crate::config::flag(key),
        address,
        reason: match e.kind() {
            io::ErrorKind::AddrInUse => "the port is taken by another program".to_owned(),
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => e.to_string(),
        },
    })
}

/// The family is missing, or no interface has it.
fn no_ipv6(e: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    e.raw_os_error() == Some(EAFNOSUPPORT) || e.kind() == io::ErrorKind::AddrNotAvailable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_zero_becomes_a_real_one_and_empty_is_off() {
        let listener = tcp("http.listen", "127.0.0.1:0".parse().unwrap()).unwrap().unwrap();
        assert_ne!(listener.local_addr().unwrap().port(), 0);
        assert!(tcp("http.listen", Listen(None)).unwrap().is_none());
    }

    #[test]
    fn a_taken_port_names_the_key_and_the_flag() {
        let first = tcp("http.listen", "127.0.0.1:0".parse().unwrap()).unwrap().unwrap();
        let listen = Listen(Some(first.local_addr().unwrap()));
        let error = tcp("http.listen", listen).unwrap_err().to_string();
        assert!(error.contains("taken") && error.contains("--http-listen"), "{error}");
        let first = udp("webrtc.listen", "127.0.0.1:0".parse().unwrap()).unwrap().unwrap();
        let listen = Listen(Some(first.local_addr().unwrap()));
        let error = udp("webrtc.listen", listen).unwrap_err().to_string();
        assert!(error.contains("taken") && error.contains("--webrtc-listen"), "{error}");
    }
}
