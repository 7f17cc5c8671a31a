//! Why a bridge cannot be built or cannot go on, in words for the operator.

use media::Codec;
use transcode::Target;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Sound to pictures, or the reverse.
    #[error("{from} cannot become {}", to.codec())]
    Pair {
        /// What came.
        from: Codec,
        /// What was asked for.
        to: Target,
    },
    /// The libav here was built without it.
    #[error("the FFmpeg libraries on this machine cannot decode {codec}")]
    NoDecoder {
        /// What came.
        codec: Codec,
    },
    /// The libav here was built without it.
    #[error("the FFmpeg libraries on this machine cannot encode {} (looked for {looked_for})", to.codec())]
    NoEncoder {
        /// What was asked for.
        to: Target,
        /// Names in libav.
        looked_for: String,
    },
    /// The codec cannot be decoded without its configuration, and none came.
    #[error("{codec} came without its decoder configuration")]
    NoConfig {
        /// What came.
        codec: Codec,
    },
    /// The decoder did not open; most often the configuration is broken.
    #[error("the decoder for {codec} did not open: {why}")]
    Decoder {
        /// What came.
        codec: Codec,
        /// In libav's words.
        why: String,
    },
    /// The encoder did not open or refused a frame.
    #[error("the encoder {encoder} failed: {why}")]
    Encoder {
        /// Its name in libav.
        encoder: String,
        /// In libav's words.
        why: String,
    },
    /// Nothing could be decoded for long.
    #[error("nothing could be decoded from the last {units} units of {codec}: {why}")]
    Barren {
        /// What came.
        codec: Codec,
        /// So many in a row.
        units: u32,
        /// The last thing that libav said.
        why: String,
    },
    /// libav had no memory.
    #[error("out of memory in {what}")]
    Memory {
        /// Where.
        what: &'static str,
    },
}

impl Error {
    /// Another start may help: it lies in the stream or in the moment, not in what is installed.
    pub const fn again(&self) -> bool {
        !matches!(self, Self::Pair { .. } | Self::NoDecoder { .. } | Self::NoEncoder { .. })
    }
}
