//! An independent player of LL-HLS that is a judge: it watches a live server over HTTP, writes down all that it sees ([`Watch`]),
//! and holds it against the checklist of what validators, players and caches want, one named [`rules::Rule`] per line
//! (draft-pantos-hls-rfc8216bis; ISO/IEC 14496-12 for the media). Nothing of the server's own code is used.

pub mod boxes;
pub mod client;
pub mod playlist;
pub mod rules;
pub mod seen;
pub mod watch;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use watch::{Recording, Watch};
