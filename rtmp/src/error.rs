//! What a peer did that ends its session, and where.

/// Why a session cannot go on. The connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An audio or video message that is not what it says it is.
    #[error("{what} in a tag of {len} bytes")]
    Tag {
        /// What is wrong.
        what: &'static str,
        /// The length of the message.
        len: usize,
    },
}
