//! The life of one stream as a pure state machine: publishers that come, go and take over, viewers
//! that wait, what a loss interrupts and what ends. Events in, commands out; time is an argument.
//!
//! # Contract
//!
//! One [`Stream`] per stream name; whoever owns it calls [`Stream::handle`] with what happened and
//! carries out, in order, every [`Command`] that it appended, before the next event.
//!
//! - A `*Joined` event makes a session known. `PublisherLeft`, `ViewerLeft` and a `Close` command
//!   make it unknown again: `*Left` says that the session is over, or that the caller ends it
//!   itself; after a `Close` the session is forgotten at once, and its later `*Left` is ignored.
//! - Commands only name known sessions. Events of unknown sessions, events that come twice, and
//!   events of a publisher named as viewer (or the reverse) change nothing.
//! - Whoever owns it also calls [`Stream::handle_timeout`] when [`Stream::deadline`] has come, which each
//!   call may move.
//! - A `Bridge` command asks for media in another codec (`bridges`), until an `Unbridge` of the same three;
//!   that may name a publisher that has just left. `BridgeIs` says what became of it.
//! - When the stream [is empty](Stream::is_empty) its owner may drop it.

pub mod bridges;
pub mod event;
pub mod machine;
pub mod name;

pub use bridges::Bridge;
pub use event::{Command, Event, Reason};
pub use machine::{
    Config, Conflict, MAX_PENDING, MAX_STANDBYS, Publisher, Refusal, STEADY, State, Stream, Viewer,
};
pub use name::Name;
