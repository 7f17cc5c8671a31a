//! Live streams as files, sans-IO: access units in; CMAF parts, segments and the playlists over them out.
//! ISO/IEC 23000-19 (CMAF) for the files, draft-pantos-hls-rfc8216bis for the playlists.
//!
//! # Contract
//!
//! One [`Packager`] for each life of a stream. Whoever owns it declares the renditions, gives it formats and
//! units with the instants at which they were captured, and then takes its events ([`Packager::poll`]) and,
//! where [`Packager::version`] has changed, its [`View`]s: immutable values that playlists are written from.
//!
//! No sockets, clocks, threads or randomness enter here, and no text of a viewer's request decides how much
//! memory is spent. `cmaf` knows boxes and nothing of playlists; `hls` knows text and nothing of boxes; what
//! lies between them (`segment`, `store`) knows neither, so that DASH can be written from the same store.

pub mod cmaf;
pub mod error;
pub mod hls;
pub mod name;
pub mod segment;
pub mod store;
pub mod timeline;
pub mod track;

pub use error::Error;
pub use segment::{Cadence, Config, Counters, Event, Held, Limits, Packager};
pub use store::{Bandwidth, Extent, Part, Segment, Stored, Targets, View};
pub use timeline::Anchor;
pub use track::{Epoch, Init, Rendition, RenditionId};
