//! How a request came: by TLS or in clear. Where a listener has TLS, what comes in clear is sent there (RFC 9110 sections
//! 15.4.9 and 15.5.22), for tokens and offers are secrets.

use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Version, header, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use signaling::Problem;

use super::caller::{self, Peer};
use super::reply::Failure;

/// Of a connection; the accept loop puts it into every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In clear, and there is nothing else.
    Clear,
    /// By TLS.
    Tls,
    /// In clear, on a listener with TLS.
    Misplaced,
    /// The same, while there is no certificate yet.
    Early,
}

impl Way {
    /// Nothing is served this way.
    pub(super) fn is_closed(self) -> bool {
        matches!(self, Self::Misplaced | Self::Early)
    }

    /// Of a URL that leads back here.
    pub(super) fn scheme(parts: &Parts) -> &'static str {
        match parts.extensions.get() {
            Some(Self::Tls) => "https",
            _ => "http",
        }
    }
}

/// Serves nobody in clear where there is TLS, but the programs on this machine that ask whether it is well.
pub(super) async fn insist(request: Request, next: Next) -> Response {
    let way = request.extensions().get().copied().unwrap_or(Way::Clear);
    if !way.is_closed() || is_probe(&request) {
        return next.run(request).await;
    }
    if way == Way::Early {
        let detail = "this server waits for its certificate (tls.acme); its log says how that goes";
        let problem = Problem::new(503, "no-certificate", "No certificate yet", detail);
        return Failure(problem.retry_after(10)).into_response();
    }
    let (parts, _) = request.into_parts();
    let host = match caller::host(&parts) {
        Some(host) if matches!(parts.method, Method::GET | Method::HEAD) => host,
        Some(_) => return upgrade(parts.version),
        None => return Failure(caller::no_host()).into_response(),
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    // A host that was looked at and a path that was parsed make a header; else there is nothing to say.
    match HeaderValue::from_str(&format!("https://{host}{path}")) {
        Ok(url) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, url)]).into_response(),
        Err(_) => Failure(caller::no_host()).into_response(),
    }
}

fn is_probe(request: &Request) -> bool {
    let near = |peer: &Peer| SocketAddr::ip(&peer.0).to_canonical().is_loopback();
    matches!(request.uri().path(), "/healthz" | "/readyz")
        && request.extensions().get().is_some_and(near)
}

/// Nothing that changes something is sent twice.
fn upgrade(version: Version) -> Response {
    let detail = "this port speaks HTTPS: send the request to the same URL with https://";
    let problem = Problem::new(426, "https-only", "HTTPS only", detail);
    let mut response = Failure(problem).into_response();
    // RFC 9113 section 8.2.2: HTTP/2 has neither.
    if version < Version::HTTP_2 {
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("TLS/1.2, HTTP/1.1"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    response
}
