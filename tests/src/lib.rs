//! The bench on which the built program is tested from outside: [`Weir`] starts the real binary,
//! [`Publisher`] and [`Viewer`] are webrtc-rs peers that speak WHIP (RFC 9725) and WHEP to it over
//! real HTTP and UDP, [`Relay`] is the bad network between them. [`Rtmp`] and [`Encoder`] publish by
//! RTMP, the one byte by byte, the other as people do: with FFmpeg.
//!
//! Nothing of the server's own code is used here: what this crate believes about SDP, RTP and the
//! API it has read from the outside, as any client would.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "the whole crate is test code: a panic with its reason is how a test says no"
)]

pub mod authority;
pub mod clip;
pub mod compare;
pub mod coturn;
pub mod encoder;
pub mod events;
pub mod film;
pub mod flv;
pub mod hls;
pub mod http;
pub mod letter;
pub mod peer;
pub mod pictures;
pub mod publisher;
pub mod random;
pub mod relay;
pub mod restart;
pub mod rtmp;
pub mod sdp;
pub mod seen;
pub mod stun;
pub mod tls;
pub mod track;
pub mod viewer;
pub mod weir;
pub mod wire;

pub use clip::{Clip, Codec};
pub use encoder::Encoder;
pub use film::{Ffmpeg, Film, Recipe};
pub use publisher::Publisher;
pub use relay::{Impairment, Relay};
pub use rtmp::Rtmp;
pub use track::{Packet, Track};
pub use viewer::Viewer;
pub use weir::Weir;
pub use wire::Wire;
