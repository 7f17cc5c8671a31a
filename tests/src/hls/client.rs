//! HTTP as a player speaks it: one connection kept open, every status an answer, and how long each took.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::tls;

/// Longer than any playlist may be waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Path and query.
    pub path: String,
    /// When it was sent, since the beginning of the recording.
    pub at: Duration,
    /// From then to the head of the answer.
    pub head: Duration,
    /// From then to its end.
    pub whole: Duration,
    /// Status; 0 where the connection broke.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came, unpacked if it was packed by gzip.
    pub body: Vec<u8>,
}

impl Exchange {
    /// The first header field of this (lower case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A number of a query.
    pub fn asked(&self, name: &str) -> Option<u64> {
        let query = self.path.split_once('?')?.1;
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        value.parse().ok()
    }
}

/// A player's connection.
pub struct Client {
    agent: ureq::Agent,
    url: String,
    started: Instant,
}

impl Client {
    /// To a server, `http://host:port` or `https://host:port`.
    pub fn new(url: &str, started: Instant) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .tls_config(tls::trust())
            .timeout_global(Some(PATIENCE))
            .user_agent("weir-tests/1")
            .build();
        Self { agent: agent.into(), url: url.to_owned(), started }
    }

    /// GET as a page of another site does it.
    pub fn get(&self, path: &str) -> Exchange {
        self.get_with(path, &[])
    }

    /// With more header fields.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Exchange {
        let at = self.started.elapsed();
        let mut request = self.agent.get(format!("{}{path}", self.url));
        request = request.header("origin", "https://elsewhere.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut exchange = Exchange {
            path: path.to_owned(),
            at,
            head: Duration::ZERO,
            whole: Duration::ZERO,
            status: 0,
            headers: Vec::new(),
            body: Vec::new(),
        };
        let answer = request.call();
        exchange.head = self.started.elapsed() - at;
        match answer {
            Ok(mut answer) => {
                exchange.status = answer.status().as_u16();
                let field = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
                    (
                        name.as_str().to_owned(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                };
                exchange.headers = answer.headers().iter().map(field).collect();
                match answer.body_mut().with_config().limit(64 << 20).read_to_vec() {
                    Ok(body) => exchange.body = body,
                    Err(error) => {
                        exchange.status = 0;
                        exchange.body = error.to_string().into_bytes();
                    }
                }
            }
            Err(error) => exchange.body = error.to_string().into_bytes(),
        }
        exchange.whole = self.started.elapsed() - at;
        if exchange.header("content-encoding") == Some("gzip") {
            exchange.body = gunzip(&exchange.body);
        }
        exchange
    }

    /// HTTP/2 with prior knowledge (RFC 9113 section 3.3), or by ALPN: the status is 200 if the server answers the preface
    /// with SETTINGS.
    pub fn preface(&self) -> Exchange {
        let at = self.started.elapsed();
        let settings = self.settings();
        let whole = self.started.elapsed() - at;
        let status = if settings.is_ok_and(|kind| kind == 4) { 200 } else { 0 };
        let (path, headers, body) = ("PRI *".into(), Vec::new(), Vec::new());
        Exchange { path, at, head: whole, whole, status, headers, body }
    }

    /// The type of the first frame.
    fn settings(&self) -> std::io::Result<u8> {
        if let Some(host) = self.url.strip_prefix("https://") {
            return greet(tls::connect(host, &["h2"]).map_err(std::io::Error::other)?);
        }
        let host = self.url.strip_prefix("http://").unwrap_or(&self.url);
        let socket = TcpStream::connect(host)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        greet(socket)
    }
}

fn greet(mut socket: impl Read + Write) -> std::io::Result<u8> {
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    let mut frame = [0; 9];
    socket.read_exact(&mut frame)?;
    Ok(frame[3])
}

/// gzip(1), which every Debian has.
fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip");
    let piped = gzip.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = piped.spawn().expect("gzip runs");
    let mut stdin = child.stdin.take().expect("it was piped");
    let input = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("gzip ends");
    let _ = writer.join();
    output.stdout
}
