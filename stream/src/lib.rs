//! The life of one stream as a pure state machine: publishers that come, go and take over, viewers
//! that wait, which encodings exist. Events in, commands out; time is an argument.

pub mod name;

pub use name::Name;
