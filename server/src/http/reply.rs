//! Answers: problem bodies (RFC 9457), and the replies that `whip` and `whep` made.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use signaling::{Problem, Reply};
use utoipa::ToSchema;

/// An error as every route answers it.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// `application/problem+json` (RFC 9457), for the API's description: `Problem` writes it itself.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct ProblemBody {
    /// `urn:weir:problem:<code>`
    r#type: String,
    /// The same for every occurrence of this problem.
    title: String,
    /// Of the answer.
    status: u16,
    /// What happened this time and what to do about it.
    detail: String,
    /// Only where a viewer is refused because the server is full (503): URLs of the same stream by other
    /// ways, best first, to which a page may move by itself: its playlist by HLS.
    alternatives: Option<Vec<String>>,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = reply(self.0.to_reply());
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.0.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A reply that `whip` or `whep` made, with `Content-Length` and never chunked.
pub(crate) fn reply(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    match StatusCode::from_u16(reply.status) {
        Ok(status) => *response.status_mut() = status,
        Err(_) => return broken("a status outside 100 to 999"),
    }
    for (name, value) in reply.headers {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return broken("a header with a name that is none");
        };
        let Ok(value) = HeaderValue::from_str(&value) else {
            return broken("a header with control characters");
        };
        response.headers_mut().append(name, value);
    }
    response
}

/// What is no client's fault.
pub(crate) fn broken(what: &str) -> Response {
    Failure(mistake(what)).into_response()
}

/// The same as a problem.
pub(crate) fn mistake(what: &str) -> Problem {
    tracing::error!("answered 500: {what}");
    let detail = "the server made a mistake; its log says which";
    Problem::new(500, "internal", "Internal error", detail)
}

pub(crate) fn not_found(detail: impl Into<String>) -> Failure {
    Failure(Problem::new(404, "not-found", "Not found", detail))
}
