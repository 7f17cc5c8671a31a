//! `http.elsewhere`: which streams are on other nodes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::PublicUrl;
use crate::pattern::Pattern;

/// One entry: `show-*=https://node2.example`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Elsewhere {
    streams: Pattern,
    url: String,
}

impl Elsewhere {
    /// Whether that node has this stream.
    pub fn has(&self, stream: &stream::Name) -> bool {
        self.streams.matches(stream)
    }

    /// What that node's URLs begin with, without the last slash.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl FromStr for Elsewhere {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            format!(
                "{text:?} names no other node: {why}; write one such as show-*=https://node2.example"
            )
        };
        let (streams, url) = text.split_once('=').ok_or_else(|| bad("there is no ="))?;
        let streams = Pattern::try_from(streams.to_owned()).map_err(bad)?;
        let PublicUrl(Some(url)) = url.parse().map_err(|why: String| bad(&why))? else {
            return Err(bad("there is no URL"));
        };
        Ok(Self { streams, url })
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.streams, self.url)
    }
}

impl TryFrom<String> for Elsewhere {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Elsewhere> for String {
    fn from(node: Elsewhere) -> Self {
        node.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_and_a_url() {
        for (text, shown) in [
            ("show-*=https://node2.example", "show-*=https://node2.example"),
            ("*=http://10.0.0.7:8080/", "*=http://10.0.0.7:8080"),
        ] {
            assert_eq!(
                text.parse::<Elsewhere>().map(|node| node.to_string()).as_deref(),
                Ok(shown)
            );
        }
        for text in [
            "",
            "show",
            "=https://a.example",
            "show=",
            "show=node2",
            "sh ow=https://a.example",
            "a=ftp://b",
        ] {
            assert!(text.parse::<Elsewhere>().is_err(), "{text:?}");
        }
    }
}
