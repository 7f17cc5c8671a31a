//! The server: every socket, HTTP route, configuration and thread. Wiring only.

pub mod hub;
pub mod status;
