//! The load tool: viewers and publishers for any WHIP/WHEP server, publishers for any RTMP server ([`push`]), players for any
//! LL-HLS server ([`hls`]), and the floors that a server's
//! send path is measured against.
//!
//! A crowd is one thread: [`load`] waits for all sockets of all [`viewer`]s; each has a [`link`]
//! (ICE, DTLS, SRTP), counts what comes in its [`track`]s from RTP headers alone, and opens a
//! sample. Nothing is allocated per packet. Nothing of the server's own transport is used there, so
//! that the two cannot share a fault; only the floor seals as the server does.

pub mod blackhole;
pub mod cli;
pub mod dtls;
pub mod floor;
pub mod hls;
pub mod ice;
pub mod link;
pub mod load;
pub mod outcome;
pub mod pacer;
pub mod process;
pub mod publish;
pub mod push;
pub mod queue;
pub mod record;
pub mod rtcp;
pub mod rtp;
pub mod runs;
pub mod sdp;
pub mod server;
pub mod signal;
pub mod source;
pub mod srtp;
pub mod suite;
pub mod sys;
pub mod table;
pub mod trace;
pub mod track;
pub mod viewer;
