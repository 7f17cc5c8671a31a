//! What a peer did that ends its session, and where.

/// Why a session cannot go on. What it had to say is in its output; the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first byte of the handshake.
    #[error("RTMP version {0} in the handshake, where 3 is spoken{hint}", hint = version_hint(*.0))]
    Version(u8),
    /// A chunk that cannot follow what came before it.
    #[error("{what} on chunk stream {chunk_stream}")]
    Chunk {
        /// What is wrong.
        what: &'static str,
        /// Where.
        chunk_stream: u32,
    },
    /// More chunk streams than any program uses.
    #[error("more than {0} chunk streams")]
    ChunkStreams(usize),
    /// A message longer than is taken.
    #[error(
        "a message of {length} bytes on chunk stream {chunk_stream}; at most {limit} are taken"
    )]
    TooLong {
        /// As declared.
        length: u32,
        /// What is taken at this point of the session.
        limit: u32,
        /// Where.
        chunk_stream: u32,
    },
    /// Unfinished messages on several chunk streams hold too much together.
    #[error("unfinished messages of more than {0} bytes together")]
    Unfinished(usize),
    /// A protocol control message that says nonsense.
    #[error("{what}: {value}")]
    Control {
        /// Which message.
        what: &'static str,
        /// What it said.
        value: u32,
    },
    /// Action Message Format that cannot be read.
    #[error("AMF: {what} at byte {offset}")]
    Amf {
        /// What is wrong.
        what: &'static str,
        /// Where in the message.
        offset: usize,
    },
    /// A command that cannot be carried out, in words for who sent it.
    #[error("{command}: {what}")]
    Command {
        /// Which.
        command: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// What came before the owner had answered is more than is kept for it.
    #[error("more than {0} bytes of media before the request was answered")]
    Impatient(usize),
    /// The peer makes us answer and does not read the answers.
    #[error("{0} bytes of answers that the peer does not read")]
    Deaf(usize),
    /// An audio or video message that is not what it says it is.
    #[error("{what} in a tag of {len} bytes")]
    Tag {
        /// What is wrong.
        what: &'static str,
        /// The length of the message.
        len: usize,
    },
}

/// What those who come with another version most likely wanted.
fn version_hint(version: u8) -> &'static str {
    match version {
        6 | 8 | 9 => " (RTMPE is not: use RTMPS)",
        22 => " (this is TLS: use the RTMPS port)",
        b'G' | b'P' | b'H' | b'O' => " (this looks like HTTP: RTMPT is not spoken)",
        _ => "",
    }
}
