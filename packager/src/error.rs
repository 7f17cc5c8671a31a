//! Why something cannot be packaged.

use media::Codec;

/// What is wrong with what came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// HLS has no way to carry it.
    #[error("{0} cannot be carried in CMAF")]
    Codec(Codec),
    /// The decoder configuration cannot be read.
    #[error(transparent)]
    Config(#[from] media::config::Error),
    /// Neither the format nor its configuration says how large the pictures are.
    #[error("{0} without the size of its pictures")]
    Dimensions(Codec),
    /// The decoder configuration is longer than any player needs.
    #[error("a decoder configuration of {0} bytes")]
    TooLong(usize),
}
