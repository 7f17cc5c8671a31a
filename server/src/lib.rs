//! The server: every socket, HTTP route, configuration and thread. Wiring only.

pub mod access;
pub mod advertise;
pub mod app;
mod begun;
mod bridges;
pub mod cli;
mod clock;
pub mod config;
mod crowd;
mod first;
mod greeting;
pub mod http;
pub mod hub;
mod line;
mod listen;
mod live;
mod metrics;
pub mod net;
mod pace;
mod pattern;
mod rtmp;
mod self_test;
mod serve;
pub mod status;
mod tls;
mod token;
mod units;
