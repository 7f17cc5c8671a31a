//! Which host candidates a client is told: every local address that it may reach, and what
//! `webrtc.advertise` adds.

use std::net::{IpAddr, SocketAddr};

/// How many candidates one answer carries at most.
const MAX: usize = 16;
/// Of those by TCP: clients open a connection to each.
const MAX_TCP: usize = 4;

/// The candidates for one client, best first: advertised ones, then the machine's own.
///
/// `bound`: the media socket's address; `own`: the machine's addresses. Loopback addresses are
/// told only to clients on this machine, or where there is nothing else.
pub fn candidates(
    client: IpAddr,
    bound: SocketAddr,
    advertised: &[SocketAddr],
    own: &[IpAddr],
) -> Vec<SocketAddr> {
    let mut out: Vec<SocketAddr> = advertised.to_vec();
    let mut add = |ip: IpAddr| {
        let address = SocketAddr::new(ip, bound.port());
        if !out.contains(&address) {
            out.push(address);
        }
    };
    if bound.ip().is_unspecified() {
        let usable = |ip: &&IpAddr| (bound.is_ipv6() || ip.is_ipv4()) && !is_link_local(ip);
        let (loopback, outer): (Vec<&IpAddr>, Vec<&IpAddr>) =
            own.iter().filter(usable).partition(|ip| ip.is_loopback());
        if client.is_loopback() || outer.is_empty() {
            loopback.iter().for_each(|ip| add(**ip));
        }
        outer.iter().for_each(|ip| add(**ip));
    } else {
        add(bound.ip());
    }
    out.truncate(MAX);
    out
}

/// The same of connections: what listens on this machine alone, behind a proxy, is for nobody else.
pub fn by_tcp(
    client: IpAddr,
    bound: SocketAddr,
    advertised: &[SocketAddr],
    own: &[IpAddr],
) -> Vec<SocketAddr> {
    let here = bound.ip().is_loopback() && !client.is_loopback();
    let mut out =
        if here { advertised.to_vec() } else { candidates(client, bound, advertised, own) };
    out.truncate(MAX_TCP);
    out
}

/// The machine's own addresses now.
pub fn own() -> Vec<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces.iter().map(|i| i.ip()).collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot list this machine's addresses; set webrtc.advertise");
            Vec::new()
        }
    }
}

/// Of no use in a candidate: it means something else on every link.
fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("a valid address")
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("a valid address")
    }

    #[test]
    fn a_client_elsewhere_is_not_told_loopback_addresses() {
        let own = [ip("127.0.0.1"), ip("192.0.2.7"), ip("fe80::1"), ip("::1"), ip("2001:db8::7")];
        let far = candidates(ip("198.51.100.1"), at("[::]:8080"), &[], &own);
        assert_eq!(far, [at("192.0.2.7:8080"), at("[2001:db8::7]:8080")]);
        let near = candidates(ip("127.0.0.1"), at("[::]:8080"), &[], &own);
        assert_eq!(near[..2], [at("127.0.0.1:8080"), at("[::1]:8080")]);
        assert_eq!(near.len(), 4);
        let v4 = candidates(ip("198.51.100.1"), at("0.0.0.0:9"), &[], &own);
        assert_eq!(v4, [at("192.0.2.7:9")]);
    }

    #[test]
    fn a_machine_with_nothing_else_offers_loopback() {
        let only = candidates(ip("198.51.100.1"), at("[::]:1"), &[], &[ip("127.0.0.1")]);
        assert_eq!(only, [at("127.0.0.1:1")]);
    }

    #[test]
    fn a_port_behind_a_proxy_is_told_to_nobody_elsewhere() {
        let (bound, own) = (at("127.0.0.1:80"), [ip("127.0.0.1"), ip("192.0.2.7")]);
        let told = |client| by_tcp(ip(client), bound, &[], &own);
        assert_eq!(told("198.51.100.1"), []);
        assert_eq!(told("127.0.0.1"), [bound]);
        let advertised = [at("203.0.113.5:443")];
        assert_eq!(by_tcp(ip("198.51.100.1"), bound, &advertised, &own), advertised);
        assert_eq!(by_tcp(ip("198.51.100.1"), at("[::]:80"), &[], &own), [at("192.0.2.7:80")]);
    }

    #[test]
    fn a_fixed_address_and_advertised_ones() {
        let advertised = [at("203.0.113.5:4000")];
        let got = candidates(ip("::1"), at("192.0.2.7:8080"), &advertised, &[ip("127.0.0.1")]);
        assert_eq!(got, [at("203.0.113.5:4000"), at("192.0.2.7:8080")]);
    }
}
