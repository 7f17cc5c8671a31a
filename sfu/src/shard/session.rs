//! What a shard keeps of one session, whatever its role.

use std::net::SocketAddr;
use std::time::Instant;

use signaling::SessionId;

use super::Closed;
use crate::publisher::Publisher;
use crate::rtc::Peer;
use crate::transport::Transport;
use crate::viewer::Viewer;

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Our half of the ICE user name: its key in the demultiplexer.
    pub(super) ufrag: String,
    pub(super) role: Role,
    pub(super) created: Instant,
    pub(super) connected: bool,
    /// The last authentic datagram.
    pub(super) last_heard: Instant,
    /// Its timer as it stands in the shard's queue.
    pub(super) deadline: Option<Instant>,
    /// It is to be removed, and why.
    pub(super) closed: Option<Closed>,
    /// Addresses whose datagrams come in by another shard, which hands them over.
    pub(super) foreign: Vec<(usize, SocketAddr)>,
}

/// Publisher or viewer.
#[derive(Debug)]
pub(super) enum Role {
    /// Came by WHIP.
    Publisher(Box<Peer>, Box<Publisher>),
    /// Came by WHEP.
    Viewer(Box<Transport>, Box<Viewer>),
}

impl Session {
    pub(super) fn publisher(&self) -> Option<&Publisher> {
        match &self.role {
            Role::Publisher(_, publisher) => Some(publisher),
            Role::Viewer(..) => None,
        }
    }

    pub(super) fn publisher_mut(&mut self) -> Option<&mut Publisher> {
        match &mut self.role {
            Role::Publisher(_, publisher) => Some(publisher),
            Role::Viewer(..) => None,
        }
    }

    pub(super) fn viewer(&self) -> Option<&Viewer> {
        match &self.role {
            Role::Viewer(_, viewer) => Some(viewer),
            Role::Publisher(..) => None,
        }
    }

    pub(super) fn viewer_mut(&mut self) -> Option<&mut Viewer> {
        self.viewing().map(|(_, viewer)| viewer)
    }

    pub(super) fn viewing(&mut self) -> Option<(&mut Transport, &mut Viewer)> {
        match &mut self.role {
            Role::Viewer(transport, viewer) => Some((transport, viewer)),
            Role::Publisher(..) => None,
        }
    }
}
