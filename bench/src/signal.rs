//! WHIP and WHEP as a client (RFC 9725): POST an offer, keep the resource, DELETE it at the end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use media::Codec;
use ureq::http::{Request, Uri};

use crate::dtls::Shared;
use crate::ice::Credentials;
use crate::link::Link;
use crate::sdp::{self, Answer, Local, Ssrcs};
use crate::sys;

/// A joining burst must not overflow the socket.
const BUFFER: usize = 1 << 20;
/// Longest answer that is read.
const MAX_ANSWER: u64 = 1 << 20;

/// Speaks HTTP for all sessions of a run; shared by the threads of the ramp.
pub struct Signal {
    agent: ureq::Agent,
    url: String,
    host: SocketAddr,
    token: Option<String>,
    shared: Arc<Shared>,
    /// Bind here, and stay there when the machine loses the address.
    source: Option<IpAddr>,
}

/// A session that was answered.
pub struct Session {
    /// What carries it.
    pub link: Link,
    /// What the server said.
    pub answer: Answer,
    /// URL to DELETE.
    pub resource: Option<String>,
    /// When the POST began, µs.
    pub started: u64,
}

impl Signal {
    /// For one endpoint.
    ///
    /// # Errors
    /// If the URL is none, or its host has no address.
    pub fn new(
        url: &str,
        token: Option<String>,
        shared: Arc<Shared>,
        source: Option<IpAddr>,
    ) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
        if uri.scheme_str() != Some("http") {
            bail!("{url}: only http:// is spoken here; put TLS away from the measurement");
        }
        let host = uri.host().context("the URL has no host")?.trim_matches(['[', ']']);
        let host = (host, uri.port_u16().unwrap_or(80))
            .to_socket_addrs()?
            .next()
            .with_context(|| format!("{host} has no address"))?;
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(20)))
            .max_idle_connections_per_host(64)
            .user_agent(concat!("weir-bench/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self { agent, url: url.to_owned(), host, token, shared, source })
    }

    /// Offers to watch stream `number`: the second one is at the URL with `-1` at its end.
    ///
    /// # Errors
    /// If the server refuses or answers nonsense.
    pub fn watch(&self, number: usize) -> Result<Session> {
        self.join(&self.numbered(number), sdp::watch)
    }

    fn numbered(&self, number: usize) -> String {
        if number == 0 { self.url.clone() } else { format!("{}-{number}", self.url) }
    }

    /// Offers to publish stream `number`.
    ///
    /// # Errors
    /// As [`Signal::watch`].
    pub fn publish(&self, number: usize, ssrcs: Ssrcs, codec: Codec) -> Result<Session> {
        self.join(&self.numbered(number), |local| sdp::publish(local, ssrcs, codec))
    }

    fn join(&self, url: &str, offer: impl Fn(&Local<'_>) -> String) -> Result<Session> {
        let started = sys::now_us();
        let local = credentials()?;
        let (mut socket, candidate) = self.socket(self.host.is_ipv4())?;
        let offer = offer(&Local { ice: &local, fingerprint: &self.shared.fingerprint, candidate });
        let mut request = Request::post(url).header("content-type", "application/sdp");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut reply = self.agent.run(request.body(offer)?)?;
        let status = reply.status().as_u16();
        let location = reply.headers().get("location").and_then(|l| l.to_str().ok());
        let resource = location.map(|location| resolve(url, location));
        let text = reply.body_mut().with_config().limit(MAX_ANSWER).read_to_string()?;
        if status != 201 && status != 200 {
            bail!("POST {url}: {status} {}", text.lines().next().unwrap_or_default());
        }
        let answer = Answer::parse(&text)?;
        // A server that lives on the other kind of address only.
        let v4 = candidate.is_ipv4();
        if answer.candidates.iter().all(|c| c.is_ipv4() != v4) {
            socket = self.socket(!v4)?.0;
        }
        let link = Link::new(socket, self.shared.clone(), local, &answer, sys::now_us());
        Ok(Session { link, answer, resource, started })
    }

    /// A socket of a viewer, and the address that its offer says.
    fn socket(&self, v4: bool) -> Result<(UdpSocket, SocketAddr)> {
        let any: IpAddr = match (self.source, v4) {
            (Some(source), _) => source,
            (None, true) => Ipv4Addr::UNSPECIFIED.into(),
            (None, false) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).context("no socket for a viewer")?;
        socket.set_nonblocking(true)?;
        sys::prepare(socket.as_raw_fd(), BUFFER);
        if self.source.is_some() && !sys::keep_address(socket.as_raw_fd()) {
            bail!("IP_TRANSPARENT is refused: the blackhole run needs root");
        }
        let port = socket.local_addr()?.port();
        let ip = match self.source {
            Some(source) => source,
            None => {
                let probe = UdpSocket::bind((any, 0))?;
                // No datagram is sent: the kernel only looks up the way.
                match probe.connect(self.host) {
                    Ok(()) => probe.local_addr()?.ip(),
                    Err(_) => any,
                }
            }
        };
        Ok((socket, SocketAddr::new(ip, port)))
    }

    /// Ends a session. True if the server said that it is gone.
    pub fn leave(&self, resource: &str) -> bool {
        let mut request = Request::delete(resource);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let Ok(request) = request.body(()) else { return false };
        self.agent.run(request).is_ok_and(|reply| reply.status().is_success())
    }
}

fn credentials() -> Result<Credentials> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = [0; 32];
    openssl::rand::rand_bytes(&mut random)?;
    let mut letters = random.iter().map(|b| char::from(LETTERS[usize::from(b & 63)]));
    let ufrag = letters.by_ref().take(8).collect();
    Ok(Credentials { ufrag, pwd: letters.collect() })
}

/// A `Location` may be relative (RFC 9110 section 10.2.2).
fn resolve(url: &str, location: &str) -> String {
    let after_scheme = url.find("://").map_or(0, |i| i + 3);
    let origin_end = url[after_scheme..].find('/').map_or(url.len(), |i| after_scheme + i);
    if location.contains("://") {
        location.to_owned()
    } else if location.starts_with('/') {
        format!("{}{location}", &url[..origin_end])
    } else {
        let path = url.split('?').next().unwrap_or(url);
        let folder = path.rfind('/').filter(|i| *i >= origin_end).unwrap_or(origin_end);
        format!("{}/{location}", &path[..folder])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_resolved_against_the_endpoint() {
        let url = "http://127.0.0.1:8080/whep/demo?token=x";
        for (location, whole) in [
            ("http://other/x", "http://other/x"),
            ("/whep/demo/1", "http://127.0.0.1:8080/whep/demo/1"),
            ("demo/1", "http://127.0.0.1:8080/whep/demo/1"),
        ] {
            assert_eq!(resolve(url, location), whole);
        }
    }

    #[test]
    fn credentials_are_long_enough_and_differ() {
        let (a, b) = (credentials().unwrap(), credentials().unwrap());
        assert_eq!((a.ufrag.len(), a.pwd.len()), (8, 24));
        assert_ne!(a.pwd, b.pwd);
    }
}
