//! Live streams as files, sans-IO: access units in; CMAF parts, segments and the playlists over them out.
//! ISO/IEC 23000-19 (CMAF) for the files, draft-pantos-hls-rfc8216bis for the playlists.
//!
//! # Contract
//!
//! No sockets, clocks, threads or randomness enter here, and no text of a viewer's request decides how much
//! memory is spent. `cmaf` knows boxes and nothing of playlists; `hls` knows text and nothing of boxes; what
//! lies between them (`segment`, `store`) knows neither, so that DASH can be written from the same store.

pub mod cmaf;
pub mod error;
pub mod hls;
pub mod segment;
pub mod store;
pub mod track;

pub use error::Error;
