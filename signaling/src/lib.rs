//! What WHIP and WHEP share: SDP offers and answers, the agreement that comes out of the two,
//! problem bodies (RFC 9457), `Link` headers, entity tags, SDP fragments.
//!
//! Pure: bytes and values in, bytes and values out. Randomness (credentials, SSRCs) is an argument.

pub mod agreement;
pub mod endpoint;
pub mod http;
pub mod negotiate;
pub mod patch;
pub mod sdp;
pub mod session;

pub use agreement::{
    Agreement, DtlsRole, Extension, Fingerprint, IceCredentials, Local, Media, Payload, Ssrcs,
};
pub use endpoint::Request;
pub use http::{ETag, Link, Problem, Reply};
pub use sdp::{CNAME, Offer, SdpFragment};
pub use session::SessionId;
