//! What a shard keeps of one session, whatever its role.

use std::net::SocketAddr;
use std::time::Instant;

use signaling::{IceCredentials, SessionId};

use super::Closed;
use crate::publisher::Publisher;
use crate::recorder::{Recorder, Report, Who};
use crate::rtc::Peer;
use crate::stats::{Drops, ViewerSnapshot};
use crate::transport::Transport;
use crate::viewer::Viewer;

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
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
    /// TCP connections that are its own.
    pub(super) wires: Vec<u32>,
    /// What has happened to it.
    pub(super) recorder: Recorder,
    /// DTLS begins with us, as soon as the peer has shown where it is.
    pub(super) speaks_first: bool,
}

/// Publisher or viewer.
#[derive(Debug)]
pub(super) enum Role {
    /// Came by WHIP.
    Publisher(Box<Peer>, Box<Publisher>),
    /// Its packets are made in this server.
    Local(Box<Publisher>),
    /// Came by WHEP.
    Viewer(Box<Transport>, Box<Viewer>),
}

impl Session {
    pub(super) fn publisher(&self) -> Option<&Publisher> {
        match &self.role {
            Role::Publisher(_, publisher) | Role::Local(publisher) => Some(publisher),
            Role::Viewer(..) => None,
        }
    }

    pub(super) fn publisher_mut(&mut self) -> Option<&mut Publisher> {
        match &mut self.role {
            Role::Publisher(_, publisher) | Role::Local(publisher) => Some(publisher),
            Role::Viewer(..) => None,
        }
    }

    pub(super) fn viewer(&self) -> Option<&Viewer> {
        match &self.role {
            Role::Viewer(_, viewer) => Some(viewer),
            Role::Publisher(..) | Role::Local(_) => None,
        }
    }

    pub(super) fn viewing(&mut self) -> Option<(&mut Transport, &mut Viewer, &mut Recorder)> {
        match &mut self.role {
            Role::Viewer(transport, viewer) => Some((transport, viewer, &mut self.recorder)),
            Role::Publisher(..) | Role::Local(_) => None,
        }
    }

    /// Our user name fragments that are valid, oldest first.
    pub(super) fn ufrags(&self) -> Vec<String> {
        match &self.role {
            Role::Publisher(peer, _) => peer.ufrags().map(str::to_owned).collect(),
            Role::Local(_) => Vec::new(),
            Role::Viewer(transport, _) => transport.ufrags().map(str::to_owned).collect(),
        }
    }

    /// ICE restarts with these credentials of ours.
    pub(super) fn restart(&mut self, now: Instant, ice: IceCredentials) {
        self.recorder.restarts(now);
        match &mut self.role {
            Role::Publisher(peer, _) => peer.restart(ice),
            Role::Local(_) => {}
            Role::Viewer(transport, _) => transport.restart(ice),
        }
    }

    /// A datagram has come whose first byte is this; `proven`: it was an authentic check.
    pub(super) fn heard(
        &mut self,
        now: Instant,
        source: SocketAddr,
        first: Option<u8>,
        proven: bool,
    ) {
        match first {
            Some(0..=3) => {
                self.recorder.check(now, source, proven);
                let (path, standing) = match &self.role {
                    Role::Publisher(peer, _) => (peer.path(), peer.standing()),
                    Role::Local(_) => return,
                    Role::Viewer(transport, _) => (transport.path(), transport.standing()),
                };
                self.recorder.stands(now, source, standing);
                let Some(path) = path else { return };
                self.recorder.path(now, path);
                if self.speaks_first {
                    self.recorder.dtls_begins(now, true);
                }
            }
            Some(20..=63) if !self.connected => self.recorder.dtls_begins(now, false),
            _ => {}
        }
    }

    /// Writes what was counted since the last time, and returns what was dropped since then.
    pub(super) fn roll(&mut self, now: Instant) -> Drops {
        match &self.role {
            Role::Publisher(_, publisher) | Role::Local(publisher) => {
                let (lost, came) = publisher.losses();
                self.recorder.media(now, publisher.last_media());
                self.recorder.roll(now, Who::Publisher, lost, came)
            }
            Role::Viewer(_, viewer) => {
                self.recorder.roll(now, Who::Viewer, 0, viewer.packets_sent())
            }
        }
    }

    /// What it has come to. `viewer`: what it gets, where it is one.
    pub(super) fn report(&self, viewer: Option<ViewerSnapshot>) -> Report {
        let publisher = self.publisher();
        Report {
            recorder: self.recorder.clone(),
            heard: Some(self.last_heard),
            media: publisher.and_then(Publisher::last_media),
            encodings: publisher.map(Publisher::snapshots).unwrap_or_default(),
            viewer,
        }
    }
}
