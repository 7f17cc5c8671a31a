//! Who sent a request, as far as the connection, its headers and the trusted proxies tell
//! (`Forwarded`: RFC 7239; `X-Forwarded-*`: by custom), and under which URL they know us (`Host`: RFC 9112 section 3.2;
//! `:authority`: RFC 9113 section 8.3.1).
//!
//! The privilege of programs on this machine must not leak: not to those whom a proxy on this
//! machine lets through, and not to web pages of other machines in a browser here (cross-site
//! requests, DNS rebinding).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use axum::extract::Query;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, Version, header, request::Parts};
use signaling::Problem;

use super::way::Way;
use crate::access::{By, Caller};
use crate::config::Network;

/// The connection's other end; the accept loop puts it into every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Longest `User-Agent` kept.
const AGENT_LEN: usize = 256;

/// What a request says about its sender.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) caller: Caller,
    /// The client's address; the port is 0 behind a proxy.
    pub(crate) address: SocketAddr,
    pub(crate) user_agent: Option<String>,
    /// Scheme and host by which the client reached us.
    origin: Option<String>,
}

impl Client {
    pub(crate) fn new(parts: &Parts, trusted: &[Network]) -> Self {
        let peer = parts.extensions.get::<Peer>().map_or_else(nobody, |peer| peer.0);
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let headers = &parts.headers;
        let by_proxy = trusted.iter().any(|network| network.contains(peer.ip()));
        let address = match by_proxy.then(|| client_address(peer.ip(), headers, trusted)) {
            Some(ip) if ip != peer.ip() => SocketAddr::new(ip, 0),
            _ => peer,
        };
        let caller = Caller {
            address: address.ip(),
            local: local(peer.ip(), parts),
            token: token(headers, &parts.uri),
            by: By::Http,
        };
        let user_agent = headers.get(header::USER_AGENT).map(|agent| {
            let text = String::from_utf8_lossy(agent.as_bytes());
            let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
            text.truncate(text.floor_char_boundary(AGENT_LEN));
            text
        });
        Self { caller, address, user_agent, origin: origin(parts, by_proxy) }
    }

    /// What absolute URLs of ours begin with for this client.
    pub(crate) fn base(&self) -> Result<&str, Problem> {
        self.origin.as_deref().ok_or_else(no_host)
    }
}

pub(super) fn no_host() -> Problem {
    bad_host("the Host header must be a host name or address, with or without a port")
}

/// Refuses a request that does not say for whom it is, as HTTP/1.1 must, or says it twice: what stands before us may have
/// looked at the other one.
pub(super) fn one_host(uri: &Uri, version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let said = hosts.next().map(|host| host.as_bytes());
    if hosts.next().is_some() {
        return Err(bad_host("there is more than one Host header"));
    }
    match (uri.authority(), said) {
        (Some(uri), Some(said)) if !uri.as_str().as_bytes().eq_ignore_ascii_case(said) => {
            Err(bad_host("the Host header names another host than the request's URI"))
        }
        (None, None) if version == Version::HTTP_11 => Err(bad_host("there is no Host header")),
        _ => Ok(()),
    }
}

fn bad_host(detail: &str) -> Problem {
    Problem::new(400, "bad-host", "No usable Host header", detail)
}

/// For requests that did not come over a connection of ours: never local, never trusted.
pub(super) fn nobody() -> SocketAddr {
    SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0)
}

/// The last hop that no trusted proxy stands behind.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let hops: Vec<String> = match list(headers, "x-forwarded-for") {
        hops if !hops.is_empty() => hops,
        _ => forwarded(headers, "for"),
    };
    let mut client = peer;
    for hop in hops.iter().rev() {
        if !trusted.iter().any(|network| network.contains(client)) {
            break;
        }
        match hop_address(hop) {
            Some(ip) => client = ip.to_canonical(),
            None => break,
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// All elements of a header that is a list.
fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|item| item.trim().to_owned()).collect()
}

/// One parameter of every element of `Forwarded`.
fn forwarded(headers: &HeaderMap, parameter: &str) -> Vec<String> {
    let value_of = |element: &String| {
        element.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = value.trim().trim_matches('"').to_owned();
            name.trim().eq_ignore_ascii_case(parameter).then_some(value)
        })
    };
    list(headers, "forwarded").iter().filter_map(value_of).collect()
}

/// Whether a program on this machine sent this, with nothing and nobody in between.
fn local(peer: IpAddr, parts: &Parts) -> Result<(), &'static str> {
    let headers = &parts.headers;
    const PROXIED: [&str; 6] = [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "via",
    ];
    if !peer.is_loopback() {
        return Err("the request does not come from the server's own machine");
    }
    if PROXIED.iter().any(|name| headers.contains_key(*name)) {
        return Err("the request came through a proxy");
    }
    // nginx speaks HTTP/1.0 to what is behind it and adds no header unless told to.
    if parts.version < Version::HTTP_11 {
        return Err("the request is HTTP/1.0, as proxies send it that do not say for whom");
    }
    let Some(host) = host(parts) else {
        return Err("the request has no usable Host header");
    };
    // Another name may be one that an attacker points at 127.0.0.1 (DNS rebinding).
    if !is_own_name(host.host()) {
        return Err("the request is for another host than localhost");
    }
    let own = |origin: &str| {
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        // A page that this machine serves is a program on this machine, on whatever port.
        let here = |rest: &str| rest.parse().is_ok_and(|a: Authority| is_loopback(a.host()));
        rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_str()) || here(rest))
    };
    let by_other_page = match headers.get(header::ORIGIN) {
        Some(origin) => !origin.to_str().is_ok_and(own),
        None => headers.get("sec-fetch-site").is_some_and(|site| site.as_bytes() == b"cross-site"),
    };
    if by_other_page {
        return Err("a web page from another machine sent the request");
    }
    Ok(())
}

fn is_own_name(host: &str) -> bool {
    is_loopback(host) || bare(host).parse::<IpAddr>().is_ok()
}

fn is_loopback(host: &str) -> bool {
    let bare = bare(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

/// `Authorization: Bearer`, else `?token=`.
fn token(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    bearer.or_else(|| token_of(uri))
}

/// `?token=` of a query, without its question mark.
pub(crate) fn token_in(query: &str) -> Option<String> {
    token_of(&format!("/?{query}").parse().ok()?)
}

fn token_of(uri: &Uri) -> Option<String> {
    let query = Query::<HashMap<String, String>>::try_from_uri(uri).ok()?;
    query.0.get("token").cloned()
}

/// Scheme and host of our URLs as this client must write them.
fn origin(parts: &Parts, by_proxy: bool) -> Option<String> {
    let headers = &parts.headers;
    let scheme = Way::scheme(parts);
    let direct = || host(parts).map(|host| format!("{scheme}://{host}"));
    if !by_proxy {
        return direct();
    }
    // The nearest proxy's word is the last in the list.
    let said = |custom: &str, parameter: &str| {
        list(headers, custom).pop().or_else(|| forwarded(headers, parameter).pop())
    };
    let scheme = match said("x-forwarded-proto", "proto") {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        Some(_) => "http",
        None => scheme,
    };
    let forwarded = said("x-forwarded-host", "host").and_then(|host| valid_authority(&host));
    let host = forwarded.or_else(|| host(parts))?;
    Some(format!("{scheme}://{host}"))
}

/// Whom the request is for: by HTTP/2 the URI alone says so, by HTTP/1.1 mostly Host. [`one_host`] has seen that they
/// do not differ.
pub(super) fn host(parts: &Parts) -> Option<Authority> {
    match parts.uri.authority() {
        Some(authority) => valid_authority(authority.as_str()),
        None => valid_authority(parts.headers.get(header::HOST)?.to_str().ok()?),
    }
}

fn valid_authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    let named = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
    let valid = !host.is_empty() && text.len() <= 260 && text.bytes().all(named);
    valid.then_some(authority)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    /// `peer`, trusted proxies, then `name: value` lines; a line without a colon is the URI.
    fn client(peer: &str, trusted: &[&str], lines: &[&str]) -> Client {
        let mut request = Request::builder();
        for line in lines {
            request = match line.split_once(": ") {
                Some((name, value)) => request.header(name, value),
                None => request.uri(*line),
            };
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(Peer(peer.parse().unwrap()));
        let trusted: Vec<Network> = trusted.iter().map(|t| t.parse().unwrap()).collect();
        Client::new(&parts, &trusted)
    }

    #[test]
    fn only_programs_on_this_machine_are_local() {
        const HOST: &str = "host: localhost:8080";
        for (peer, lines, expected) in [
            ("127.0.0.1:5", &[HOST][..], true),
            ("[::1]:5", &[HOST], true),
            ("[::ffff:127.0.0.1]:5", &[HOST], true),
            ("127.0.0.1:5", &["host: 127.0.0.1:8080"], true),
            ("[::1]:5", &["host: [::1]:8080"], true),
            ("127.0.0.1:5", &["host: LOCALHOST"], true),
            ("192.0.2.1:5", &[HOST], false),
            ("127.0.0.1:5", &[], false),
            ("127.0.0.1:5", &["http://localhost:8080/"], true),
            ("127.0.0.1:5", &["http://localhost:8080/", "origin: http://localhost:8080"], true),
            ("127.0.0.1:5", &["http://evil.example/"], false),
            ("127.0.0.1:5", &["http://evil.example/", HOST], false),
            ("127.0.0.1:5", &["host: evil.example:8080"], false),
            ("127.0.0.1:5", &["host: localhost.evil.example"], false),
            ("127.0.0.1:5", &[HOST, "x-forwarded-for: 127.0.0.1"], false),
            ("127.0.0.1:5", &[HOST, "forwarded: for=127.0.0.1"], false),
            ("127.0.0.1:5", &[HOST, "x-real-ip: 127.0.0.1"], false),
            ("127.0.0.1:5", &[HOST, "via: 1.1 proxy"], false),
            ("127.0.0.1:5", &[HOST, "origin: http://localhost:8080"], true),
            ("127.0.0.1:5", &[HOST, "origin: http://localhost:3000"], true),
            ("127.0.0.1:5", &[HOST, "origin: http://127.0.0.1:3000"], true),
            ("127.0.0.1:5", &[HOST, "origin: http://[::1]:3000"], true),
            ("127.0.0.1:5", &[HOST, "origin: http://192.0.2.9:8080"], false),
            ("127.0.0.1:5", &[HOST, "origin: http://localhost.evil.example"], false),
            ("127.0.0.1:5", &[HOST, "origin: https://evil.example"], false),
            ("127.0.0.1:5", &[HOST, "origin: null"], false),
            ("127.0.0.1:5", &[HOST, "sec-fetch-site: same-origin"], true),
            ("127.0.0.1:5", &[HOST, "sec-fetch-site: none"], true),
            ("127.0.0.1:5", &[HOST, "sec-fetch-site: cross-site"], false),
            ("127.0.0.1:5", &[HOST, "sec-fetch-site: same-site"], true),
        ] {
            let client = client(peer, &[], lines);
            assert_eq!(client.caller.local.is_ok(), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_trusted_proxy_does_not_lend_its_loopback_address() {
        let lines = ["host: localhost", "x-forwarded-for: 127.0.0.1"];
        let client = client("127.0.0.1:5", &["127.0.0.1"], &lines);
        assert!(client.caller.local.is_err());
    }

    #[test]
    fn http_1_0_on_loopback_may_be_anybody() {
        let (mut parts, ()) =
            Request::builder().header("host", "localhost").body(()).unwrap().into_parts();
        parts.extensions.insert(Peer("127.0.0.1:5".parse().unwrap()));
        parts.version = Version::HTTP_10;
        assert!(Client::new(&parts, &[]).caller.local.is_err());
    }

    #[test]
    fn the_client_is_the_last_hop_that_is_not_trusted() {
        for (peer, trusted, line, expected) in [
            ("192.0.2.1:5", &[][..], "x-forwarded-for: 9.9.9.9", "192.0.2.1:5"),
            ("192.0.2.1:5", &["192.0.2.1"], "x-forwarded-for: 9.9.9.9", "9.9.9.9:0"),
            ("192.0.2.1:5", &["192.0.2.1"], "x-forwarded-for: 1.1.1.1, 9.9.9.9", "9.9.9.9:0"),
            (
                "192.0.2.1:5",
                &["192.0.2.1", "9.9.9.0/24"],
                "x-forwarded-for: 1.1.1.1, 9.9.9.9",
                "1.1.1.1:0",
            ),
            ("192.0.2.1:5", &["192.0.2.1"], "x-forwarded-for: 9.9.9.9:77", "9.9.9.9:0"),
            ("192.0.2.1:5", &["192.0.2.1"], "x-forwarded-for: nonsense", "192.0.2.1:5"),
            ("192.0.2.1:5", &["192.0.2.1"], "forwarded: for=9.9.9.9;proto=https", "9.9.9.9:0"),
            (
                "192.0.2.1:5",
                &["192.0.2.1"],
                "forwarded: For=\"[2001:db8::1]:4711\"",
                "[2001:db8::1]:0",
            ),
            ("[::ffff:192.0.2.1]:5", &["192.0.2.1"], "x-forwarded-for: 9.9.9.9", "9.9.9.9:0"),
        ] {
            let client = client(peer, trusted, &[line]);
            assert_eq!(client.address, expected.parse().unwrap(), "{peer} {trusted:?} {line}");
        }
    }

    #[test]
    fn urls_begin_as_the_client_knows_us() {
        let base = |peer: &str, trusted: &[&str], lines: &[&str]| {
            client(peer, trusted, lines).base().map(str::to_owned).map_err(|p| p.status)
        };
        let proxied = ["host: a:80", "x-forwarded-host: live.example", "x-forwarded-proto: https"];
        assert_eq!(
            base("192.0.2.1:5", &[], &["host: a.example:8080"]).unwrap(),
            "http://a.example:8080"
        );
        assert_eq!(base("192.0.2.1:5", &[], &proxied).unwrap(), "http://a:80");
        assert_eq!(
            base("192.0.2.1:5", &["192.0.2.0/24"], &proxied).unwrap(),
            "https://live.example"
        );
        let standard = ["host: a", "forwarded: for=1.1.1.1;host=live.example;proto=https"];
        assert_eq!(
            base("192.0.2.1:5", &["192.0.2.0/24"], &standard).unwrap(),
            "https://live.example"
        );
        for host in ["host: ", "host: a/b", "host: u@a", "host: a b", "host: <x>"] {
            assert_eq!(base("192.0.2.1:5", &[], &[host]), Err(400), "{host}");
        }
        assert_eq!(base("192.0.2.1:5", &[], &[]), Err(400));
        // By HTTP/2.
        let two = "http://a.example:8080/whip/show";
        assert_eq!(base("192.0.2.1:5", &[], &[two]).unwrap(), "http://a.example:8080");
        assert_eq!(base("192.0.2.1:5", &["192.0.2.1"], &[two]).unwrap(), "http://a.example:8080");
        assert_eq!(base("192.0.2.1:5", &[], &["http://u@a.example/"]), Err(400));
    }

    #[test]
    fn a_request_is_for_one_host() {
        for (uri, hosts, good) in [
            ("/", &[][..], false),
            ("/", &["a"], true),
            ("http://a:80/", &[], true),
            ("http://a:80/", &["A:80"], true),
            ("http://a/", &["b"], false),
            ("http://a:80/", &["a:81"], false),
            ("http://a/", &[""], false),
            ("/", &["a", "a"], false),
        ] {
            let request =
                hosts.iter().fold(Request::builder().uri(uri), |r, h| r.header("host", *h));
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let said = one_host(&parts.uri, parts.version, &parts.headers);
            assert_eq!(said.is_ok(), good, "{uri} {hosts:?}");
        }
        assert!(one_host(&Uri::from_static("/"), Version::HTTP_10, &HeaderMap::new()).is_ok());
    }

    #[test]
    fn the_token_comes_by_header_or_query() {
        let token = |lines: &[&str]| client("192.0.2.1:5", &[], lines).caller.token;
        assert_eq!(token(&["authorization: Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(token(&["authorization: bearer  abc "]).as_deref(), Some("abc"));
        assert_eq!(token(&["/whip/a?x=1&token=a%2Bb"]).as_deref(), Some("a+b"));
        assert_eq!(token(&["/whip/a?token=q", "authorization: Bearer h"]).as_deref(), Some("h"));
        assert_eq!(token(&["/whip/a?token=q", "authorization: Basic eA=="]).as_deref(), Some("q"));
        assert_eq!(token(&["/whip/a"]), None);
    }

    #[test]
    fn a_user_agent_is_cut_and_cleaned() {
        let long = format!("user-agent: {}", "x".repeat(1000));
        let agent = client("192.0.2.1:5", &[], &[&long]).user_agent.unwrap();
        assert_eq!(agent.len(), AGENT_LEN);
    }
}
