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

/// UDP for `key`, so many sockets on one port; `None` if it is turned off. Non-blocking, and never
/// shared with another server.
pub(crate) fn udp(
    key: &'static str,
    listen: Listen,
    count: usize,
) -> Result<Option<Vec<UdpSocket>>, Error> {
    open(key, listen, |address| {
        // The first takes the port for itself, as no second server can, and only then lets others
        // in. Port 0 has become a real one by then.
        let first = socket(address, Type::DGRAM, Protocol::UDP)?;
        first.bind(&address.into())?;
        first.set_reuse_port(true)?;
        let first: UdpSocket = first.into();
        let address = first.local_addr()?;
        let mut all = vec![first];
        while all.len() < count {
            let next = socket(address, Type::DGRAM, Protocol::UDP)?;
            next.set_reuse_port(true)?;
            next.bind(&address.into())?;
            all.push(next.into());
        }
        Ok(all)
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
        for count in [1, 3] {
            let first = udp("webrtc.listen", "127.0.0.1:0".parse().unwrap(), count);
            let first = first.unwrap().unwrap();
            let listen = Listen(Some(first[0].local_addr().unwrap()));
            let error = udp("webrtc.listen", listen, count).unwrap_err().to_string();
            assert!(error.contains("taken") && error.contains("--webrtc-listen"), "{error}");
        }
    }

    /// Each of many clients is heard by one of the sockets, and always by the same.
    #[test]
    fn udp_sockets_share_a_port_and_its_datagrams() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let sockets = udp("webrtc.listen", address.parse().unwrap(), 4).unwrap().unwrap();
            let port = sockets[0].local_addr().unwrap().port();
            assert!(sockets.iter().all(|s| s.local_addr().unwrap().port() == port));
            let clients: Vec<UdpSocket> =
                (0..64).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
            for _ in 0..2 {
                for client in &clients {
                    client.send_to(b"x", ("127.0.0.1", port)).unwrap();
                }
            }
            let heard: Vec<Vec<SocketAddr>> = sockets.iter().map(clients_of).collect();
            assert_eq!(heard.iter().map(Vec::len).sum::<usize>(), 2 * clients.len());
            for mut heard in heard {
                assert!(!heard.is_empty(), "a socket that nobody reaches");
                heard.sort();
                assert!(heard.chunks(2).all(|pair| pair[0] == pair[1]));
            }
        }
    }

    fn clients_of(socket: &UdpSocket) -> Vec<SocketAddr> {
        std::iter::from_fn(|| socket.recv_from(&mut [0; 8]).ok()).map(|(_, from)| from).collect()
    }
}
