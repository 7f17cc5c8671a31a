//! `[tls]`: who we are on encrypted connections, by files or by an authority that is asked (ACME, RFC 8555).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use super::value::textual;

/// `[tls]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM: our certificate first, then those that vouch for it. Empty: none by files.
    pub cert: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// The names for which an authority is asked for a certificate.
    pub acme: Vec<AcmeName>,
    /// Whom the authority may write to.
    pub acme_contact: Contact,
    /// The authority's directory (RFC 8555 section 7.1.1).
    pub acme_directory: Directory,
    /// PEM: who vouches for the authority's own HTTPS. Empty: whom the system trusts.
    pub acme_roots: PathBuf,
}

impl Tls {
    /// Certificate and key, if they are named.
    pub fn files(&self) -> Option<(&Path, &Path)> {
        let named = |path: &Path| !path.as_os_str().is_empty();
        (named(&self.cert) && named(&self.key)).then_some((&self.cert, &self.key))
    }

    /// There is a certificate, or one is asked for.
    pub fn is_on(&self) -> bool {
        self.files().is_some() || !self.acme.is_empty()
    }

    /// What cannot be, in words.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let named = |path: &Path| !path.as_os_str().is_empty();
        match (named(&self.cert), named(&self.key), self.acme.is_empty()) {
            (true, _, false) | (_, true, false) => Err(
                "tls.acme asks for a certificate, tls.cert and tls.key have one: set one of the two",
            ),
            (true, false, _) => Err("tls.cert needs tls.key, the private key of that certificate"),
            (false, true, _) => Err("tls.key needs tls.cert, the certificate of that private key"),
            _ => Ok(()),
        }
    }
}

textual!(AcmeName, Contact, Directory);

/// The name of a host, as certificates have it (RFC 5280 section 4.2.1.6), in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AcmeName(String);

impl AcmeName {
    /// As a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AcmeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("*.") {
            return Err(format!(
                "{text:?}: a certificate for all names below one is not given for a proof by TLS; name each host"
            ));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() > 253 || text.parse::<IpAddr>().is_ok() || !text.split('.').all(label) {
            return Err(format!("{text:?} is no host name; write one such as live.example.org"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for AcmeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mail address, or nothing (the empty text).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Contact(Option<String>);

impl Contact {
    /// As authorities want it.
    pub fn uri(&self) -> Option<String> {
        self.0.as_ref().map(|address| format!("mailto:{address}"))
    }
}

impl FromStr for Contact {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix("mailto:").unwrap_or(text);
        if address.is_empty() {
            return Ok(Self(None));
        }
        // RFC 8555 section 7.3: one address, and no more about the mail.
        let plain = address.bytes().all(|b| b.is_ascii_graphic() && !b"?,<>\"".contains(&b));
        let whole =
            address.split_once('@').is_some_and(|(who, at)| !who.is_empty() && !at.is_empty());
        if plain && whole && address.len() <= 254 {
            return Ok(Self(Some(address.to_owned())));
        }
        Err(format!("{text:?} is no mail address; write one such as you@example.org"))
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or_default())
    }
}

/// The URL of an authority's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Directory(String);

impl Directory {
    /// As a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self("https://acme-v02.api.letsencrypt.org/directory".to_owned())
    }
}

impl FromStr for Directory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Option<Uri> = text.parse().ok();
        match uri.filter(|uri| uri.scheme_str() == Some("https") && uri.host().is_some()) {
            Some(_) => Ok(Self(text.to_owned())),
            None => {
                Err(format!("{text:?} is no directory of an authority; it begins with https://"))
            }
        }
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_and_nothing_else() {
        for good in ["live.example.org", "LIVE.example", "localhost", "a-b.c0"] {
            assert_eq!(good.parse::<AcmeName>().unwrap().as_str(), good.to_ascii_lowercase());
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            ".",
            "a..b",
            "a.",
            "-a.b",
            "a b",
            "*.example.org",
            "192.0.2.1",
            "::1",
            "a/b",
            &long,
        ] {
            assert!(bad.parse::<AcmeName>().is_err(), "{bad}");
        }
        assert!("*.a".parse::<AcmeName>().unwrap_err().contains("name each host"));
    }

    #[test]
    fn contacts_and_directories() {
        let uri = |text: &str| text.parse::<Contact>().map(|contact| contact.uri());
        assert_eq!(uri(""), Ok(None));
        assert_eq!(uri("a@b.example"), Ok(Some("mailto:a@b.example".to_owned())));
        assert_eq!(uri("mailto:a@b.example"), Ok(Some("mailto:a@b.example".to_owned())));
        for bad in ["a", "@b", "a@", "a@b?subject=x", "a@b,c@d", "a b@c"] {
            assert!(uri(bad).is_err(), "{bad}");
        }
        assert!("https://ca.example:14000/dir".parse::<Directory>().is_ok());
        for bad in ["", "ca.example", "http://ca.example/dir", "/dir"] {
            assert!(bad.parse::<Directory>().is_err(), "{bad}");
        }
    }
}
