//! One encoding of a track: a simulcast layer, or the only one there is.

use std::fmt;

/// Longest id kept, in bytes. RFC 8851 sets no bound; browsers use one to three letters.
pub const MAX_LEN: usize = 16;

/// The name of an encoding: the publisher's `rid` (RFC 8851), or [`EncodingId::MAIN`] where the
/// publisher sends one encoding and names none. At most [`MAX_LEN`] bytes of `A-Z a-z 0-9 - _`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EncodingId {
    len: u8,
    bytes: [u8; MAX_LEN],
}

impl EncodingId {
    /// The encoding of a publisher that sends only one and gives it no rid.
    pub const MAIN: Self = Self { len: 4, bytes: *b"main\0\0\0\0\0\0\0\0\0\0\0\0" };

    /// `None` for an empty, too long or ill-formed name.
    pub fn new(name: &str) -> Option<Self> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > MAX_LEN || !name.bytes().all(ok) {
            return None;
        }
        let mut bytes = [0; MAX_LEN];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Some(Self { len: name.len() as u8, bytes })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever stored, so this never falls back.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for EncodingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EncodingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_and_ill_formed_ones_refused() {
        for name in ["h", "hi-RES_2", "0123456789abcdef"] {
            assert_eq!(EncodingId::new(name).map(|id| id.to_string()), Some(name.to_owned()));
        }
        for name in ["", "0123456789abcdefg", "a b", "ä"] {
            assert_eq!(EncodingId::new(name), None, "{name:?}");
        }
        assert_eq!(EncodingId::new("main"), Some(EncodingId::MAIN));
    }
}
