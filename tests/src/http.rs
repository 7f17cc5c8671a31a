//! A plain client of HTTP and HTTPS: every status is an answer, nothing is followed, nothing is retried.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::tls;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header field of this (lower case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All header fields of this (lower case) name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{} is no JSON: {e}\n{}", self.status, self.text()))
    }

    /// The body of a refusal (RFC 9457), checked for what every client of ours may rely on.
    #[track_caller]
    pub fn problem(&self, status: u16) -> serde_json::Value {
        assert_eq!(self.status, status, "{}", self.text());
        let media = self.header("content-type").unwrap_or_default();
        assert!(media.starts_with("application/problem+json"), "content-type {media:?}");
        let problem = self.json();
        for field in ["type", "title", "detail"] {
            let text = problem[field].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "the problem has no {field}: {problem}");
        }
        assert_eq!(problem["status"], status, "{problem}");
        problem
    }
}

/// Sends one request and waits for the whole answer.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_send(method, url, headers, body).unwrap_or_else(|e| panic!("{method} {url}: {e}"))
}

/// As [`send`], for requests that may fail below HTTP.
pub fn try_send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .tls_config(tls::trust())
        .timeout_global(Some(Duration::from_secs(20)))
        .user_agent("weir-tests/1")
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = if body.is_empty() && matches!(method, "GET" | "HEAD" | "DELETE" | "OPTIONS") {
        agent.run(request.body(()).expect("a request that the test wrote itself"))?
    } else {
        agent.run(request.body(body).expect("a request that the test wrote itself"))?
    };
    let headers = answer
        .headers()
        .iter()
        .map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
        .collect();
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(64 << 20).read_to_vec()?;
    Ok(Answer { status, headers, body })
}

/// As [`send`], by HTTP/2 as curl speaks it: by ALPN, or in clear with prior knowledge (RFC 9113 section 3.3).
pub fn by_two(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let authority = Authority::new();
    let mut curl = Command::new("curl");
    curl.args(["-s", "-i", "-A", "weir-tests/1", "--max-time", "20"]);
    match url.starts_with("https://") {
        true => curl.arg("--http2").arg("--cacert").arg(&authority.0),
        false => curl.arg("--http2-prior-knowledge"),
    };
    match (method, body.is_empty()) {
        ("HEAD", _) => curl.arg("--head"),
        (_, true) => curl.args(["-X", method]),
        (_, false) => curl.args(["-X", method, "--data-binary", "@-"]),
    };
    for (name, value) in headers {
        curl.arg("-H").arg(format!("{name}: {value}"));
    }
    let mut curl = curl
        .arg(url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("curl does not start: {e}"));
    let mut pipe = curl.stdin.take().expect("stdin was piped");
    pipe.write_all(body).expect("an offer fits into a pipe");
    drop(pipe);
    let output = curl.wait_with_output().expect("curl ends by itself");
    let end = output.stdout.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("{method} {url} by HTTP/2: {}", output.status)) + 4;
    let (head, body) = output.stdout.split_at(end);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/2 ")?.trim().parse().ok());
    let fields = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.unwrap_or_else(|| panic!("no HTTP/2: {head}")),
        headers: fields.map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect(),
        body: body.to_vec(),
    }
}

/// Whom curl trusts, as a file while it runs.
struct Authority(PathBuf);

impl Authority {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-test-authority-{}-{number}.pem", std::process::id());
        let file = std::env::temp_dir().join(name);
        tls::write_authorities(&file);
        Self(file)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// As [`send`], without holding up other tasks.
pub async fn send_async(
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> Answer {
    blocking(send, method, url, headers, body).await
}

/// As [`by_two`], without holding up other tasks.
pub async fn by_two_async(
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> Answer {
    blocking(by_two, method, url, headers, body).await
}

async fn blocking(
    send: impl FnOnce(&str, &str, &[(&str, &str)], &[u8]) -> Answer + Send + 'static,
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> Answer {
    tokio::task::spawn_blocking(move || {
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        send(method, &url, &headers, &body)
    })
    .await
    .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
}
