//! The name of one publisher's or viewer's session.

use std::fmt;

/// 128 random bits. Whoever knows them all may end the session, so `Display` and `Debug` print only
/// the first eight hex digits, for logs; [`SessionId::secret`] prints all, for URLs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u128);

impl SessionId {
    /// From 128 bits of a cryptographic random source.
    pub const fn from_random(bits: u128) -> Self {
        Self(bits)
    }

    /// All 32 hex digits: the path segment of the session's URL.
    pub fn secret(self) -> String {
        format!("{:032x}", self.0)
    }

    /// The first eight hex digits as a number: what logs and the API call the session by.
    pub const fn short(self) -> u32 {
        (self.0 >> 96) as u32
    }

    /// Reads what [`SessionId::secret`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(hex) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.short())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
