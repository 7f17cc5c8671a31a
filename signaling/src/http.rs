//! HTTP replies without an HTTP library, and problem bodies (RFC 9457).

/// One complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header fields, without `Content-Length`.
    pub headers: Vec<(&'static str, String)>,
    /// Empty for none.
    pub body: String,
}

/// An error as every client of ours sees it: `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Status code.
    pub status: u16,
    /// Last segment of the `type` URI, kebab-case: `no-common-codec`. `type` is
    /// `urn:weir:problem:<code>`.
    pub code: &'static str,
    /// The same for every occurrence of this problem.
    pub title: &'static str,
    /// What happened this time and what to do about it, in plain words.
    pub detail: String,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem without `Retry-After`.
    pub fn new(status: u16, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, title, detail: detail.into(), retry_after: None }
    }
}
