//! Where a client wants to publish or play: application, stream and query, however its program cuts the
//! address into `connect` and `publish`. They are cut here and judged by who owns the session.

use crate::Error;

/// Bytes of an application and its query.
const MAX_APP: usize = 1024;
/// Bytes of a stream name and its query: a signed token is one or two thousand.
const MAX_NAME: usize = 4096;

/// An address, raw: nothing is unescaped, no character is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The application: `live`, or `live/instance`. No slashes around it; may be empty.
    pub app: String,
    /// The stream; may be empty.
    pub name: String,
    /// What came behind a question mark, of the stream and of the application, joined by `&`.
    pub query: String,
}

impl Address {
    /// From the `app` of `connect` and the name of `publish` or `play`.
    pub(crate) fn new(app: &str, name: &str) -> Result<Self, Error> {
        if app.len() > MAX_APP {
            return Err(Error::Command { command: "connect", what: "the app is too long" });
        }
        if name.len() > MAX_NAME {
            return Err(Error::Command {
                command: "publish or play",
                what: "the name is too long",
            });
        }
        let (app, app_query) = app.split_once('?').unwrap_or((app, ""));
        let (name, name_query) = name.split_once('?').unwrap_or((name, ""));
        let (mut app, mut name) = (app.trim_matches('/'), name.trim_matches('/'));
        // FFmpeg puts the container in front of names that end like files.
        for prefix in ["mp4:", "flv:"] {
            name = name.strip_prefix(prefix).unwrap_or(name);
        }
        // The whole address was given as the server's, and the key left empty.
        if let ("", Some((first, last))) = (name, app.rsplit_once('/')) {
            (app, name) = (first.trim_end_matches('/'), last);
        }
        let query = match (name_query, app_query) {
            (one, "") | ("", one) => one.to_owned(),
            (name, app) => format!("{name}&{app}"),
        };
        Ok(Self { app: app.to_owned(), name: name.to_owned(), query })
    }
}

/// An `rtmp://` or `rtmps://` address, for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether TLS comes first.
    pub tls: bool,
    /// A name or an address; without brackets.
    pub host: String,
    /// 1935 or 443 if it does not say.
    pub port: u16,
    /// The application: the path up to its last slash.
    pub app: String,
    /// The stream with its query.
    pub name: String,
}

impl Url {
    /// `None` for what is no such address.
    pub fn parse(url: &str) -> Option<Self> {
        let (tls, rest) = match url.split_once("://")? {
            ("rtmp", rest) => (false, rest),
            ("rtmps", rest) => (true, rest),
            _ => return None,
        };
        let (authority, path) = rest.split_once('/')?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(six) => {
                let (host, port) = six.split_once(']')?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None if tls => 443,
            None => 1935,
        };
        let end = path.find('?').unwrap_or(path.len());
        let (app, name) = match path[..end].rfind('/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => ("", path),
        };
        let known = !host.is_empty() && !name.is_empty();
        known.then(|| Self { tls, host: host.into(), port, app: app.into(), name: name.into() })
    }

    /// What `connect` calls `tcUrl`: all but the stream.
    pub fn tc_url(&self) -> String {
        let scheme = if self.tls { "rtmps" } else { "rtmp" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{scheme}://{open}{}{close}:{}/{}", self.host, self.port, self.app)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_a_program_cuts_it() {
        for (app, name, wanted) in [
            ("live", "cam", ("live", "cam", "")),
            ("live/", "cam", ("live", "cam", "")),
            ("live", "cam?token=a?b", ("live", "cam", "token=a?b")),
            ("live?token=t", "cam", ("live", "cam", "token=t")),
            ("live/?token=t", "/cam?x=1", ("live", "cam", "x=1&token=t")),
            ("live/inst", "cam", ("live/inst", "cam", "")),
            ("live/cam", "", ("live", "cam", "")),
            ("live/cam?token=t", "", ("live", "cam", "token=t")),
            ("live", "", ("live", "", "")),
            ("", "cam", ("", "cam", "")),
            ("live", "mp4:a.mp4", ("live", "a.mp4", "")),
            ("live", "../x y", ("live", "../x y", "")),
        ] {
            let got = Address::new(app, name).unwrap();
            assert_eq!((&*got.app, &*got.name, &*got.query), wanted, "{app} + {name}");
        }
        assert!(Address::new(&"a".repeat(MAX_APP + 1), "").is_err());
        assert!(Address::new("a", &"é".repeat(MAX_NAME)).is_err());
    }

    #[test]
    fn urls() {
        let url = Url::parse("rtmp://127.0.0.1:1936/live/cam?token=a/b").unwrap();
        assert_eq!(
            (&*url.host, url.port, &*url.app, &*url.name),
            ("127.0.0.1", 1936, "live", "cam?token=a/b")
        );
        assert_eq!(url.tc_url(), "rtmp://127.0.0.1:1936/live");
        let six = Url::parse("rtmps://[::1]/a/b/c").unwrap();
        assert_eq!((&*six.host, six.port, &*six.app, &*six.name), ("::1", 443, "a/b", "c"));
        assert_eq!(six.tc_url(), "rtmps://[::1]:443/a/b");
        let bad = [
            "http://h/a/b",
            "rtmp://h",
            "rtmp://h/",
            "rtmp:///a/b",
            "rtmp://h:x/a/b",
            "rtmp://[h/a",
        ];
        assert!(bad.iter().all(|bad| Url::parse(bad).is_none()));
    }
}
