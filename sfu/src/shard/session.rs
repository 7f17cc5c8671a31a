//! What a shard keeps of one session, whatever its role.

use std::time::Instant;

use signaling::SessionId;

use super::Closed;
use crate::publisher::Publisher;
use crate::rtc::Peer;
use crate::viewer::Viewer;

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Our half of the ICE user name: its key in the demultiplexer.
    pub(super) ufrag: String,
    pub(super) peer: Box<Peer>,
    pub(super) role: Role,
    pub(super) created: Instant,
    pub(super) connected: bool,
    /// The last authentic datagram.
    pub(super) last_heard: Instant,
    /// The peer's timer as it stands in the shard's queue.
    pub(super) deadline: Option<Instant>,
    /// It is to be removed, and why.
    pub(super) closed: Option<Closed>,
}

/// Publisher or viewer.
#[derive(Debug)]
pub(super) enum Role {
    /// Came by WHIP.
    Publisher(Publisher),
    /// Came by WHEP.
    Viewer(Viewer),
}

impl Session {
    pub(super) fn publisher(&self) -> Option<&Publisher> {
        match &self.role {
            Role::Publisher(publisher) => Some(publisher),
            Role::Viewer(_) => None,
        }
    }

    pub(super) fn publisher_mut(&mut self) -> Option<&mut Publisher> {
        match &mut self.role {
            Role::Publisher(publisher) => Some(publisher),
            Role::Viewer(_) => None,
        }
    }

    pub(super) fn viewer(&self) -> Option<&Viewer> {
        match &self.role {
            Role::Viewer(viewer) => Some(viewer),
            Role::Publisher(_) => None,
        }
    }

    pub(super) fn viewer_mut(&mut self) -> Option<&mut Viewer> {
        self.viewer_and_peer().map(|(viewer, _)| viewer)
    }

    pub(super) fn viewer_and_peer(&mut self) -> Option<(&mut Viewer, &mut Peer)> {
        match &mut self.role {
            Role::Viewer(viewer) => Some((viewer, &mut self.peer)),
            Role::Publisher(_) => None,
        }
    }
}
