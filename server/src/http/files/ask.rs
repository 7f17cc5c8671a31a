//! A request for a file of a stream as its head says it, before anything is decided: made of what axum or our own
//! HTTP/1.1 (`wire`) has read. What is in it are a stranger's words.

use std::net::SocketAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Request, Uri};

/// Longer than any path of ours.
const MAX_PATH: usize = 4 * 1024;
/// What all of them begin with.
const FOLDER: &str = "/live/";
/// The multivariant playlist.
const INDEX: &str = "index.m3u8";

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'r> {
    /// `/live/{stream}/index.m3u8`
    Index,
    /// `/live/{stream}/{epoch}/{name}`
    File { epoch: &'r str, name: &'r str },
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'r> {
    /// The connection's other end.
    pub(super) peer: SocketAddr,
    /// `HEAD`.
    pub(super) head: bool,
    pub(super) stream: &'r str,
    pub(super) target: Target<'r>,
    /// Without its `?`.
    pub(super) query: &'r str,
    pub(super) fields: Fields<'r>,
}

/// The fields of its head.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fields<'r> {
    Read(&'r HeaderMap),
    Raw(&'r [httparse::Header<'r>]),
}

impl<'r> Ask<'r> {
    /// What a request line asks for; `None` if it is no plain name of a file. One with `%` in it goes the long way.
    pub(super) fn of(
        method: &str,
        line: &'r str,
        fields: Fields<'r>,
        peer: SocketAddr,
    ) -> Option<Self> {
        let head = match method {
            "GET" => false,
            "HEAD" => true,
            _ => return None,
        };
        let (path, query) = line.split_once('?').unwrap_or((line, ""));
        let plain = path.len() <= MAX_PATH && !path.contains(['%', '#']);
        let (stream, rest) = path.strip_prefix(FOLDER).filter(|_| plain)?.split_once('/')?;
        let target = match rest.split_once('/') {
            None if rest == INDEX => Target::Index,
            Some((epoch, name)) if !name.contains('/') => Target::File { epoch, name },
            _ => return None,
        };
        Some(Self { peer, head, stream, target, query, fields })
    }

    /// The same as a request of the framework, for what wants to know who asks.
    pub(super) fn parts(&self) -> Option<Parts> {
        let mut request = Request::new(());
        *request.uri_mut() = Uri::try_from(format!("/?{}", self.query)).ok()?;
        *request.headers_mut() = self.fields.map()?;
        request.extensions_mut().insert(super::super::Peer(self.peer));
        Some(request.into_parts().0)
    }
}

impl<'r> Fields<'r> {
    /// The first field of this name, in small letters; empty if there is none, or no text in it.
    pub(super) fn get(self, name: &str) -> &'r str {
        self.find(name).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
    }

    /// The bytes of the first field of this name.
    pub(super) fn find(self, name: &str) -> Option<&'r [u8]> {
        match self {
            Self::Read(map) => map.get(name).map(|value| value.as_bytes()),
            Self::Raw(all) => {
                let is = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
                all.iter().find(is).map(|field| field.value)
            }
        }
    }

    fn map(self) -> Option<HeaderMap> {
        let all = match self {
            Self::Read(map) => return Some(map.clone()),
            Self::Raw(all) => all,
        };
        let mut map = HeaderMap::with_capacity(all.len());
        for field in all {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            map.append(name, field.value.try_into().ok()?);
        }
        Some(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(line: &str) -> Option<(&str, Target<'_>, &str)> {
        let peer = SocketAddr::from(([192, 0, 2, 1], 5));
        let ask = Ask::of("GET", line, Fields::Raw(&[]), peer)?;
        Some((ask.stream, ask.target, ask.query))
    }

    #[test]
    fn names_of_files_and_nothing_else() {
        let file = Target::File { epoch: "e1", name: "v0.m3u8" };
        assert_eq!(target("/live/show/e1/v0.m3u8?a=b?c"), Some(("show", file, "a=b?c")));
        assert_eq!(target("/live/show/index.m3u8"), Some(("show", Target::Index, "")));
        for line in [
            "",
            "/",
            "/live",
            "/live/show",
            "/live/show/",
            "/live/show/other.m3u8",
            "/live/show/e1/v0.m3u8/",
            "/live/show/e1/v0/x",
            "/live/sh%6fw/e1/v0.m3u8",
            "http://host/live/show/e1/v0.m3u8",
            "*",
        ] {
            assert_eq!(target(line), None, "{line}");
        }
        assert_eq!(target(&format!("/live/show/e1/{}", "v".repeat(MAX_PATH))), None);
    }

    #[test]
    fn fields_are_found_in_both_forms() {
        let raw = [
            httparse::Header { name: "Range", value: b"bytes=0-1" },
            httparse::Header { name: "X-Strange", value: b"\xff" },
        ];
        let map = Fields::Raw(&raw).map().unwrap();
        for fields in [Fields::Raw(&raw), Fields::Read(&map)] {
            assert_eq!(fields.get("range"), "bytes=0-1");
            assert_eq!(fields.get("x-strange"), "");
            assert_eq!(fields.find("origin"), None);
        }
    }
}
