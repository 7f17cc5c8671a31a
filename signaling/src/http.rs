//! HTTP replies without an HTTP library: problem bodies (RFC 9457), `Link` (RFC 8288), entity tags
//! (RFC 9110 section 8.8.3).

use std::fmt;

use crate::SessionId;

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

impl Reply {
    /// A reply without header fields and body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    /// The same with one more header field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The first header field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
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
    /// URLs of the same stream by other ways, best first, where a client that is refused here may go on
    /// by itself; empty: there is no other way. `None`: this problem has no such member.
    pub alternatives: Option<Vec<String>>,
}

impl Problem {
    /// A problem without `Retry-After` and `alternatives`.
    pub fn new(
        status: u16,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, code, title, detail: detail.into(), retry_after: None, alternatives: None }
    }

    /// The same with `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The same with these `alternatives`.
    #[must_use]
    pub fn alternatives(mut self, urls: Vec<String>) -> Self {
        self.alternatives = Some(urls);
        self
    }

    /// The body: `type`, `title`, `status`, `detail`, and as an extension member (RFC 9457 section 3.2)
    /// `alternatives` where there may be some.
    pub fn to_json(&self) -> String {
        let mut body = serde_json::json!({
            "type": format!("urn:weir:problem:{}", self.code),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        });
        if let Some(urls) = &self.alternatives {
            body["alternatives"] = urls.as_slice().into();
        }
        body.to_string()
    }

    /// The whole reply.
    pub fn to_reply(&self) -> Reply {
        let mut reply = Reply::empty(self.status).with("Content-Type", "application/problem+json");
        if let Some(seconds) = self.retry_after {
            reply = reply.with("Retry-After", seconds.to_string());
        }
        reply.body = self.to_json();
        reply
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

impl From<crate::sdp::Error> for Problem {
    fn from(error: crate::sdp::Error) -> Self {
        match error {
            crate::sdp::Error::TooLong(_) => {
                Self::new(413, "too-large", "The body is too large", error.to_string())
            }
            _ => Self::new(400, "bad-sdp", "The SDP cannot be used", error.to_string()),
        }
    }
}

/// The value of one `Link` header field; `Display` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    target: String,
    relation: String,
    parameters: Vec<(&'static str, String)>,
}

impl Link {
    /// A link to `target`. Control characters and `<>"` that cannot be part of a URI are dropped.
    pub fn new(target: &str, relation: &str) -> Self {
        let ok = |c: &char| !c.is_control() && !matches!(c, '<' | '>' | '"' | ' ' | '\\');
        Self {
            target: target.chars().filter(ok).collect(),
            relation: relation.to_owned(),
            parameters: Vec::new(),
        }
    }

    /// The same with one more parameter: `credential-type`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.parameters.push((name, value.into()));
        self
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>; rel={}", self.target, Quoted(&self.relation))?;
        self.parameters.iter().try_for_each(|(n, v)| write!(f, "; {n}={}", Quoted(v)))
    }
}

/// A quoted-string (RFC 9110 section 5.6.4).
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars().filter(|c| !c.is_control()) {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

/// A strong entity tag of a session: its ICE generation. `Display` writes it with its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The tag of a session after so many ICE restarts. Who sees it learns no secret of the session.
    pub fn new(session: SessionId, restarts: u32) -> Self {
        Self(format!("\"{session}-{restarts}\""))
    }

    /// What an `If-Match` header field says about this tag, by strong comparison
    /// (RFC 9110 section 13.1.1). The example of RFC 9725 has the asterisk in quotes, and so have its clients.
    pub fn compare(&self, if_match: &str) -> Match {
        if matches!(if_match.trim(), "*" | "\"*\"") {
            return Match::Any;
        }
        let listed = if_match.split(',').any(|tag| tag.trim() == self.0);
        if listed { Match::Same } else { Match::Different }
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Outcome of [`ETag::compare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// `*`
    Any,
    /// This tag is listed.
    Same,
    /// Only others are.
    Different,
}
