//! Playlists of HLS as text, and which of them a request is answered with (draft-pantos-hls-rfc8216bis). The same
//! playlist serves players that know nothing of low latency: the tags that they do not know are comments to them.
//!
//! Written from [`View`](crate::View)s, which are immutable: two texts of the same views, form and query are equal, and so may
//! be shared by all who ask. No boxes enter here, and no clock: what has to wait is said, see [`decide`].

mod directives;
mod keyframes;
mod media;
mod multivariant;
mod preset;
mod reload;
mod text;

#[cfg(test)]
mod tests;

pub use self::media::media;
pub use directives::{Directives, Fault, Name};
pub use keyframes::keyframes;
pub use multivariant::multivariant;
pub use preset::Preset;
pub use reload::{Answer, Form, Reach, decide, decide_keyframes, patience, reach};
