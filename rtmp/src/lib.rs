//! RTMP and Enhanced RTMP, sans-IO: bytes in, access units out, and the reverse. Adobe's RTMP 1.0
//! (chunk streams, AMF0 commands) and Veovera's Enhanced RTMP v1 and v2.
//!
//! No sockets, clocks, threads or randomness enter here: who owns a session gives it bytes, the time
//! and its random numbers, and carries out what it says.

pub mod error;
pub mod flv;
pub mod timeline;

pub use error::Error;
