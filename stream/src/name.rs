//! Stream names.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest name, in bytes.
pub const MAX_LEN: usize = 128;

/// A valid stream name: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why a text is no stream name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing there.
    #[error("a stream name must not be empty")]
    Empty,
    /// More than [`MAX_LEN`] bytes.
    #[error("a stream name has at most {MAX_LEN} characters, this one has {0}")]
    TooLong(usize),
    /// A character outside the set.
    #[error("a stream name is made of A-Z a-z 0-9 . _ ~ - ; {0:?} is not one of them")]
    Character(char),
}

impl Name {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(Error::TooLong(text.len()));
        }
        let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-');
        match text.chars().find(|c| !ok(*c)) {
            Some(c) => Err(Error::Character(c)),
            None => Ok(Self(text.into())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A map by names can be asked with a text that may be none.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allowed_character_and_the_longest_name() {
        for name in ["a", "AZaz09._~-", &"x".repeat(MAX_LEN)] {
            assert_eq!(Name::new(name).map(|n| n.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn what_is_refused_is_said() {
        assert_eq!(Name::new(""), Err(Error::Empty));
        assert_eq!(Name::new(&"x".repeat(MAX_LEN + 1)), Err(Error::TooLong(MAX_LEN + 1)));
        for (name, c) in [("a/b", '/'), ("a b", ' '), ("é", 'é'), ("a\0", '\0'), ("a%20", '%')] {
            assert_eq!(Name::new(name), Err(Error::Character(c)));
        }
    }
}
