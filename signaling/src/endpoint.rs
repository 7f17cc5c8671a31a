//! The HTTP side of WHIP and WHEP (RFC 9725 section 4, draft-ietf-wish-whep): which method does what
//! on an endpoint and on a session. The two protocols differ only in what they accept.
//!
//! The shell authorises, finds the session, and adds to every reply the two fields of
//! [`CORS`]; everything else stands in the replies made here.

use crate::agreement::Agreement;
use crate::http::{ETag, Link, Problem, Reply};
use crate::patch::Patch;

/// Media type of offers and answers.
pub const SDP: &str = "application/sdp";
/// Media type of PATCH bodies (RFC 8840 section 9).
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// To be *set* (not appended) on every reply of an endpoint or session, problems of the shell
/// included: a page of any origin may publish and watch, and may read these fields.
pub const CORS: [(&str, &str); 2] = [
    ("Access-Control-Allow-Origin", "*"),
    (
        "Access-Control-Expose-Headers",
        "Location, ETag, Link, Retry-After, Accept-Post, Accept-Patch",
    ),
];

/// One HTTP request, without its URL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Upper case, as HTTP has it.
    pub method: &'a str,
    /// `Content-Type`
    pub content_type: Option<&'a str>,
    /// `If-Match`
    pub if_match: Option<&'a str>,
    /// At most what the shell lets through.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// True if the content type is this one, whatever its case and parameters.
    pub fn is_type(&self, name: &str) -> bool {
        let essence = self.content_type.and_then(|t| t.split(';').next());
        essence.is_some_and(|t| t.trim().eq_ignore_ascii_case(name))
    }

    /// 415 unless the content type is this one.
    pub fn expect_type(&self, name: &'static str) -> Result<(), Problem> {
        if self.is_type(name) {
            return Ok(());
        }
        let detail = match self.content_type {
            Some(t) => {
                let shown: String = t.chars().take(80).collect();
                format!("the body is {shown:?}, expected {name}")
            }
            None => format!("no Content-Type, expected {name}"),
        };
        Err(Problem::new(415, "unsupported-media-type", "Unsupported media type", detail))
    }

    /// The body, which must be UTF-8.
    pub fn text(&self) -> Result<&'a str, Problem> {
        std::str::from_utf8(self.body).map_err(|e| {
            let detail = format!("the body is not UTF-8 text from byte {} on", e.valid_up_to());
            Problem::new(400, "bad-sdp", "The SDP cannot be used", detail)
        })
    }
}

/// What a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Nothing but this reply.
    Reply(Reply),
    /// Carry this out.
    Do(T),
}

/// An offer was answered: start a session and reply [`created`].
#[derive(Clone, Debug)]
pub struct Accepted {
    /// SDP.
    pub answer: String,
    /// For the media side.
    pub agreement: Box<Agreement>,
}

/// What is wanted of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// End it and reply [`deleted`].
    Delete,
    /// See [`Patch::decide`].
    Patch(Patch),
}

/// What a request to an endpoint (`/whip/{stream}`) means; `accept` answers its offer.
pub fn entry(
    request: &Request<'_>,
    accept: impl FnOnce(&str) -> Result<(String, Agreement), Problem>,
) -> Outcome<Accepted> {
    const METHODS: &str = "OPTIONS, GET, HEAD, POST";
    Outcome::Reply(match request.method {
        "POST" => {
            let offer = request.expect_type(SDP).and_then(|()| request.text());
            match offer.and_then(accept) {
                Ok((answer, agreement)) => {
                    return Outcome::Do(Accepted { answer, agreement: Box::new(agreement) });
                }
                Err(problem) if problem.status == 415 => {
                    problem.to_reply().with("Accept-Post", SDP)
                }
                Err(problem) => problem.to_reply(),
            }
        }
        "GET" => Reply::empty(204),
        "HEAD" => Reply::empty(200).with("Content-Type", SDP),
        "OPTIONS" => options(METHODS).with("Accept-Post", SDP),
        method => not_allowed(method, METHODS),
    })
}

/// What a request to an existing session (`/whip/{stream}/{session}`) means.
pub fn session(request: &Request<'_>) -> Outcome<Act> {
    const METHODS: &str = "OPTIONS, GET, HEAD, PATCH, DELETE";
    Outcome::Reply(match request.method {
        // RFC 9725 section 4.2: whatever the entity tag.
        "DELETE" => return Outcome::Do(Act::Delete),
        "PATCH" => match Patch::read(request) {
            Ok(patch) => return Outcome::Do(Act::Patch(patch)),
            Err(problem) if problem.status == 415 => {
                problem.to_reply().with("Accept-Patch", FRAGMENT)
            }
            Err(problem) => problem.to_reply(),
        },
        "OPTIONS" => options(METHODS).with("Accept-Patch", FRAGMENT),
        // RFC 9725 keeps them for later use: 2xx and nothing.
        "GET" | "HEAD" => Reply::empty(204),
        method => not_allowed(method, METHODS),
    })
}

/// The 201 for an accepted offer. `location` is absolute: some clients resolve relative ones wrongly.
pub fn created(answer: String, location: String, etag: &ETag, links: &[Link]) -> Reply {
    let mut reply = Reply::empty(201)
        .with("Content-Type", SDP)
        .with("Location", location)
        .with("ETag", etag.to_string())
        .with("Accept-Patch", FRAGMENT);
    for link in links {
        reply = reply.with("Link", link.to_string());
    }
    reply.body = answer;
    reply
}

/// The reply to the DELETE that ended a session.
pub fn deleted() -> Reply {
    Reply::empty(200)
}

/// OPTIONS, also as a CORS preflight.
pub fn options(methods: &'static str) -> Reply {
    Reply::empty(204)
        .with("Allow", methods)
        .with("Access-Control-Allow-Methods", methods)
        .with("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
        .with("Access-Control-Max-Age", "86400")
}

/// 405 with `Allow`.
pub fn not_allowed(method: &str, methods: &'static str) -> Reply {
    let shown: String = method.chars().take(20).collect();
    let detail = format!("{shown} means nothing here; use one of {methods}");
    let problem = Problem::new(405, "method-not-allowed", "Method not allowed", detail);
    problem.to_reply().with("Allow", methods)
}
