//! Patterns of stream names, as rules about streams are written with them: `*` stands for any characters.

use serde::{Deserialize, Serialize};

/// Which streams a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Whether the rule is about this stream.
    pub fn matches(&self, name: &stream::Name) -> bool {
        glob(&self.0, name.as_str())
    }

    /// Whether it is about every stream.
    pub fn is_any(&self) -> bool {
        self.0.bytes().all(|b| b == b'*')
    }
}

impl Default for Pattern {
    /// Every stream.
    fn default() -> Self {
        Self("*".to_owned())
    }
}

impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~-*".contains(&b);
        if text.is_empty() || !text.bytes().all(allowed) {
            return Err("stream is a pattern of A-Z a-z 0-9 . _ ~ - and * for any characters");
        }
        Ok(Self(text))
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// `*` stands for any characters, also none.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    let starts = (0..=rest.len()).filter(|at| rest.is_char_boundary(*at));
    match tail.split_once('*') {
        None => rest.ends_with(tail),
        // What stands between two stars is best found as early as possible: no backtracking.
        Some((middle, _)) => {
            let found = starts.into_iter().find(|at| rest[*at..].starts_with(middle));
            found.is_some_and(|at| glob(&tail[middle.len()..], &rest[at + middle.len()..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("show", "show", true),
            ("show", "shows", false),
            ("show-*", "show-", true),
            ("show-*", "show-1", true),
            ("show-*", "a-show-1", false),
            ("*-cam", "front-cam", true),
            ("*-cam", "front-cam2", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
