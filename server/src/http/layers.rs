//! What is done around the routes: one host each, time and rate limits, cross-origin access, security headers,
//! counters, and problem bodies for what the framework refuses.

use std::any::Any;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use signaling::Problem;

use super::caller::{self, Client};
use super::files::Cors;
use super::reply::{self, Failure};
use super::{Shared, limit};
use crate::clock;

/// From the last header byte to the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Counts every answer by route and status.
pub(super) async fn count(State(context): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    context.requests.count(&method, route, response.status().as_u16());
    response
}

/// Headers that keep a browser from doing more with an answer than we mean. Pages bring their own
/// content security policy.
pub(super) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(nothing);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Lets pages of other sites use WHIP and WHEP: of any, for what protects them is the token and not the
/// browser, or of those in `http.cors_origins`. The others get no word of CORS, so their browsers refuse.
pub(super) async fn cross_origin(
    State(context): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    across(&context, request, next, &signaling::endpoint::CORS).await
}

/// The same for preflights of players of HLS, who ask for parts of files; answers of files say themselves who may read
/// them.
pub(super) async fn cross_origin_files(
    State(context): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    const CORS: [(&str, &str); 3] = [
        ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
        ("Access-Control-Allow-Headers", "Authorization, Range"),
        ("Access-Control-Max-Age", "86400"),
    ];
    across(&context, request, next, &CORS).await
}

async fn across(
    context: &Shared,
    request: Request,
    next: Next,
    says: &[(&str, &'static str)],
) -> Response {
    let asking = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let cors = Cors::of(&context.http.cors_origins, asking.unwrap_or_default());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if cors != Cors::Any {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    let allowed = match cors {
        Cors::Any => Some(HeaderValue::from_static("*")),
        Cors::Site(site) => HeaderValue::try_from(site).ok(),
        Cors::Own => None,
    };
    let Some(allowed) = allowed else {
        let cors: Vec<HeaderName> = headers
            .keys()
            .filter(|name| name.as_str().starts_with("access-control-"))
            .cloned()
            .collect();
        for name in cors {
            headers.remove(name);
        }
        return response;
    };
    for (name, value) in says {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    response
}

/// Refuses a path that is no text: what the framework would say of it is no problem body.
pub(super) async fn legible(request: Request, next: Next) -> Response {
    match is_text(request.uri().path()) {
        true => next.run(request).await,
        false => Failure(illegible()).into_response(),
    }
}

/// Says so.
pub(super) fn illegible() -> Problem {
    let detail = "the path holds bytes that are no text: names are UTF-8, percent-encoded";
    Problem::new(400, "bad-path", "Not a usable path", detail)
}

/// Whether a path is UTF-8 once it is decoded (RFC 3986 section 2.1).
fn is_text(path: &str) -> bool {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let decoded = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// Refuses what is for no host, or for two at once.
pub(super) async fn one_host(request: Request, next: Next) -> Response {
    match caller::one_host(request.uri(), request.version(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => Failure(problem).into_response(),
    }
}

/// Ends a signalling request that takes too long: a body that trickles in, most of all.
pub(super) async fn time_out(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("the request was not complete after {} s", TIMEOUT.as_secs());
            Failure(Problem::new(408, "timeout", "Request timeout", detail)).into_response()
        }
    }
}

/// Keeps each client to its rate of requests that change something.
pub(super) async fn limit(State(context): State<Shared>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::POST | Method::PATCH | Method::DELETE) {
        let (parts, body) = request.into_parts();
        let client = Client::new(&parts, &context.http.trusted_proxies);
        if let Err(seconds) =
            limit::Limiter::take(&context.limiter, client.address.ip(), clock::now())
        {
            let detail =
                format!("too many requests from {}; wait {seconds} s", client.address.ip());
            let problem = Problem::new(429, "rate-limit", "Too many requests", detail);
            return Failure(problem.retry_after(seconds)).into_response();
        }
        return next.run(Request::from_parts(parts, body)).await;
    }
    next.run(request).await
}

/// A route exists, but not for this method; axum adds `Allow`.
pub(super) async fn method_not_allowed(method: Method) -> Failure {
    let detail = format!("{method} is not possible here; the Allow header says what is");
    Failure(Problem::new(405, "method-not-allowed", "Method not allowed", detail))
}

/// A route panicked: this request gets 500, all others go on.
pub(super) fn panicked(reason: Box<dyn Any + Send + 'static>) -> Response {
    Failure(mistake(&*reason)).into_response()
}

/// Why a route panicked, for the log; what its client hears.
pub(super) fn mistake(reason: &(dyn Any + Send)) -> Problem {
    let text = reason.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| reason.downcast_ref::<&str>().copied()).unwrap_or("no reason");
    reply::mistake(&format!("a route panicked: {text}"))
}
