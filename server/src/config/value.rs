//! Values that are more than a number or a text: parsed once, here, so that nobody checks them again.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::Uri;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Reads and writes itself as a text.
macro_rules! textual {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )+};
}
pub(super) use textual;
textual!(Listen, Advertise, Network, PublicUrl, Origin, Apps);

/// An address to listen at, or nothing (the empty text).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Listen(pub Option<SocketAddr>);

impl Listen {
    /// Every address of this machine, IPv6 and IPv4.
    pub(super) const fn any(port: u16) -> Self {
        Self(Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)))
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|address| Self(Some(address))).map_err(|_| {
            format!(
                "{text:?} is no address to listen at; write IP:port such as [::]:8080 \
                 or 127.0.0.1:8080, or an empty text to turn the listener off"
            )
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| address.fmt(f))
    }
}

/// One entry of `webrtc.advertise`: `host`, `host:port`, or for one protocol alone `udp/host:port`, `tcp/host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Advertise {
    /// Name or address, without brackets.
    pub host: String,
    /// `None`: the port of `webrtc.listen`; by TCP that of `http.listen`.
    pub port: Option<u16>,
    /// `None`: by both.
    pub protocol: Option<Protocol>,
}

/// What carries media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// As datagrams.
    Udp,
    /// As frames on a connection.
    Tcp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

impl FromStr for Advertise {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} cannot be advertised; write host, host:port, udp/host:port or tcp/host:port \
                 (an IPv6 address with a port in brackets)"
            )
        };
        let (protocol, rest) = match text.split_once('/') {
            Some(("udp", rest)) => (Some(Protocol::Udp), rest),
            Some(("tcp", rest)) => (Some(Protocol::Tcp), rest),
            _ => (None, text),
        };
        let bare = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(ip) = bare.map(str::parse::<Ipv6Addr>).and_then(Result::ok) {
            return Ok(Self { host: ip.to_string(), port: None, protocol });
        }
        if let Ok(ip) = rest.parse::<IpAddr>() {
            return Ok(Self { host: ip.to_string(), port: None, protocol });
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => {
                (host, Some(port.parse().ok().filter(|p| *p != 0).ok_or_else(bad)?))
            }
            None => (rest, None),
        };
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6.parse::<Ipv6Addr>().map_err(|_| bad())?.to_string(),
            None => host.to_owned(),
        };
        let named = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let valid = host.parse::<IpAddr>().is_ok()
            || (!host.is_empty() && host.len() <= 253 && host.bytes().all(named));
        if valid { Ok(Self { host, port, protocol }) } else { Err(bad()) }
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(protocol) = self.protocol {
            write!(f, "{protocol}/")?;
        }
        match (self.port, self.host.contains(':')) {
            (None, _) => f.write_str(&self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
        }
    }
}

/// An address or a range of them: `10.0.0.7`, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

impl Network {
    /// True if `address` (in canonical form) lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
        let network = address.or_else(|_| text.parse::<IpNet>());
        network
            .map(Self)
            .map_err(|_| format!("{text:?} is no address or range; write 10.0.0.7 or 10.0.0.0/8"))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Scheme, host and perhaps a path, without the last slash; or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl(pub Option<String>);

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let bad =
            || format!("{text:?} is no public URL; write one such as https://live.example.org");
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        let host =
            uri.authority().is_some_and(|a| !a.as_str().contains('@') && !a.host().is_empty());
        if !web || !host || uri.query().is_some() {
            return Err(bad());
        }
        Ok(Self(Some(text.trim_end_matches('/').to_owned())))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or_default())
    }
}

/// `stream.on_conflict`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// The newcomer takes over, with its first media.
    #[default]
    Takeover,
    /// The newcomer gets 409.
    Reject,
    /// The newcomer serves while no media comes from the one before it.
    Standby,
}

impl From<OnConflict> for stream::Conflict {
    fn from(value: OnConflict) -> Self {
        match value {
            OnConflict::Takeover => Self::Takeover,
            OnConflict::Reject => Self::Reject,
            OnConflict::Standby => Self::Standby,
        }
    }
}

/// `live.preset`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Parts of about 200 ms: about a second behind.
    #[default]
    Near,
    /// Parts of about 500 ms, and players stay further back: for long or shaky ways.
    Far,
    /// Plain HLS, segments of 4 s and no parts: for what does not know LL-HLS.
    Safe,
}

impl From<Preset> for packager::hls::Preset {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Near => Self::Near,
            Preset::Far => Self::Far,
            Preset::Safe => Self::Safe,
        }
    }
}

/// `live.start`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveStart {
    /// The first request begins it; it ends some time after the last.
    #[default]
    OnDemand,
    /// From a stream's first keyframe on.
    Always,
}

/// Where a page is from, as a browser's `Origin` header says it (RFC 6454 section 6.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Origin {
    /// `*`
    Any,
    /// `https://shop.example`, lower case, without the scheme's own port.
    Site(String),
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let bad = || format!("{text:?} is no origin; write one such as https://shop.example or *");
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let default = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err(bad()),
        };
        let scheme = uri.scheme_str().unwrap_or_default();
        let authority = uri.authority().ok_or_else(bad)?;
        let bare = uri.path() == "/" && uri.query().is_none() && !text.ends_with('/');
        if !bare || authority.host().is_empty() || authority.as_str().contains(['@', '*']) {
            return Err(bad());
        }
        let host = authority.host().to_ascii_lowercase();
        Ok(Self::Site(match authority.port_u16().filter(|port| *port != default) {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Site(site) => f.write_str(site),
        }
    }
}

/// `rtmp.app`: the application names that are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Apps(Vec<String>);

impl Default for Apps {
    fn default() -> Self {
        Self(vec!["live".to_owned()])
    }
}

impl Apps {
    /// Whatever a client names is taken.
    pub fn any(&self) -> bool {
        self.0.iter().any(|known| known == "*")
    }

    /// Those that are taken.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// One that a client may name, for instructions.
    pub fn example(&self) -> &str {
        self.0.iter().map(String::as_str).find(|app| *app != "*").unwrap_or("live")
    }
}

impl FromStr for Apps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let apps: Vec<String> = text.split(',').map(|app| app.trim().to_owned()).collect();
        let named = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
        let fine = |app: &String| {
            app == "*" || (!app.is_empty() && app.len() <= 128 && app.bytes().all(named))
        };
        if apps.iter().all(fine) {
            return Ok(Self(apps));
        }
        Err(format!(
            "{text:?} are no application names; write one such as live, several with commas between \
             them, or * for any"
        ))
    }
}

impl fmt::Display for Apps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Times as people write them: `10s`, `500ms`, `1m 30s`.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text)
            .map_err(|e| D::Error::custom(format!("{text:?} is no time such as 10s or 500ms: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertise_takes_names_and_addresses_with_and_without_a_port() {
        use Protocol::{Tcp, Udp};
        for (text, host, port, protocol) in [
            ("live.example.org", "live.example.org", None, None),
            ("live.example.org:9000", "live.example.org", Some(9000), None),
            ("udp/203.0.113.7:9000", "203.0.113.7", Some(9000), Some(Udp)),
            ("tcp/203.0.113.7:443", "203.0.113.7", Some(443), Some(Tcp)),
            ("tcp/live.example.org", "live.example.org", None, Some(Tcp)),
            ("203.0.113.7", "203.0.113.7", None, None),
            ("2001:db8::1", "2001:db8::1", None, None),
            ("[2001:db8::1]", "2001:db8::1", None, None),
            ("udp/[2001:db8::1]:9000", "2001:db8::1", Some(9000), Some(Udp)),
        ] {
            let parsed: Advertise = text.parse().unwrap();
            assert_eq!(parsed, Advertise { host: host.into(), port, protocol }, "{text}");
            assert_eq!(parsed.to_string().parse::<Advertise>().unwrap(), parsed);
        }
        for text in [
            "",
            "udp/",
            ":9000",
            "host:0",
            "host:70000",
            "tls/host:1",
            "tcp/",
            "udp/tcp/host",
            "a b",
            "[::1",
            "https://x",
        ] {
            assert!(text.parse::<Advertise>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn public_url_is_a_web_address_without_query_or_user() {
        let url = |text: &str| text.parse::<PublicUrl>();
        assert_eq!(url("https://a.example/x/").unwrap().0.as_deref(), Some("https://a.example/x"));
        assert_eq!(url("").unwrap().0, None);
        for text in
            ["a.example", "/x", "ftp://a.example", "https://u@a.example", "https://a?b", "https://"]
        {
            assert!(url(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        let origin = |text: &str| text.parse::<Origin>().map(|origin| origin.to_string());
        for (text, meant) in [
            ("*", "*"),
            ("https://shop.example", "https://shop.example"),
            ("https://Shop.Example:443", "https://shop.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(meant));
        }
        for text in [
            "",
            "null",
            "shop.example",
            "ftp://shop.example",
            "https://shop.example/",
            "https://shop.example/x",
            "https://shop.example?x",
            "https://u@shop.example",
            "https://*.example",
            "https://",
        ] {
            assert!(origin(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn application_names_are_a_list_or_any() {
        let apps: Apps = "live, studio/a".parse().unwrap();
        assert!(apps.names() == ["live", "studio/a"] && !apps.any());
        assert_eq!((apps.to_string().as_str(), apps.example()), ("live,studio/a", "live"));
        let any: Apps = "*".parse().unwrap();
        assert!(any.any());
        assert_eq!(any.example(), "live");
        for text in ["", "live,", "a b", "live?x"] {
            assert!(text.parse::<Apps>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_network_is_an_address_or_a_range() {
        let network: Network = "10.0.0.0/8".parse().unwrap();
        assert!(network.contains("10.1.2.3".parse().unwrap()));
        assert!(!network.contains("11.1.2.3".parse().unwrap()));
        let one: Network = "::ffff:127.0.0.1".parse().unwrap();
        assert!(one.contains("127.0.0.1".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!("proxy.example".parse::<Network>().is_err());
    }
}
