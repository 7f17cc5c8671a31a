//! The crate's one error.

/// What the other side said that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something is longer than its bound.
    #[error("{what} of {length} bytes; {max} is the most")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// As announced; entries, for a list.
        length: usize,
        /// What is allowed.
        max: usize,
    },
    /// A frame ends inside of a field.
    #[error("{what} that ends too early")]
    Truncated {
        /// Which message.
        what: &'static str,
    },
    /// A field says what cannot be.
    #[error("{what}")]
    Invalid {
        /// In plain words.
        what: &'static str,
    },
    /// A message of a kind that nobody knows.
    #[error("a message of the unknown kind {code}")]
    Unknown {
        /// Its first byte.
        code: u8,
    },
}
