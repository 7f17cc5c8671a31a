//! RTMP and Enhanced RTMP, sans-IO: bytes in, access units out, and the reverse. Adobe's RTMP 1.0
//! (chunk streams, AMF0 commands) and Veovera's Enhanced RTMP v1 and v2.
//!
//! # Contract
//!
//! One [`Session`] for each connection that comes, one [`Client`] for each that we open. Whoever owns one
//! gives it what came ([`Session::receive`]) with the time, then takes all its events
//! ([`Session::poll_event`]), answers those that ask, and sends all its output ([`Session::poll_output`]);
//! and sends output again after any other call. No sockets, clocks, threads or randomness enter here.
//!
//! - What a peer makes us hold is bounded ([`chunk::Limits`]) and grows with what it has sent, never with
//!   what it declares.
//! - An [`Error`] ends a session. What is merely left out is counted ([`session::Drops`], [`flv::Counters`]).
//! - How long a peer may take for a [`session::Phase`] is the owner's to say.

mod aggregate;
mod capabilities;
mod command;
mod intake;
mod link;
mod outlet;
mod output;

pub mod address;
pub mod amf;
pub mod chunk;
pub mod client;
pub mod error;
pub mod flv;
pub mod handshake;
pub mod metadata;
pub mod session;
pub mod timeline;

pub use address::{Address, Url};
pub use client::Client;
pub use error::Error;
pub use handshake::RANDOM;
pub use metadata::Metadata;
pub use session::{Config, Event, Phase, Session};
