//! Sessions on TCP connections (RFC 6544). A connection has no back pressure here either: who is behind gets no
//! pictures until its connection is empty again, and then from a keyframe on. Which connections are of use, and
//! which are not any more, is said to whoever has their sockets.

use std::time::Instant;

use super::session::Role;
use super::{Key, Shard};
use crate::path::{Over, Path};
use crate::stats::Drop;

/// Connections of one session; the one that proved itself first goes first.
const MAX_WIRES: usize = 8;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It belongs to a session now.
    Proven,
    /// Nobody needs it any more: what was written goes out, then it ends.
    Over,
}

/// What has become of what was sent by a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// It is behind, by its owner's measure; until it is said that it is not.
    pub behind: bool,
    /// Datagrams that found no room since the last time.
    pub lost: u64,
}

impl Shard {
    /// The next word about a connection, by its number.
    pub fn poll_wire(&mut self) -> Option<(u32, Word)> {
        self.words.pop_front()
    }

    /// A connection has proven that it belongs to a session, perhaps not for the first time.
    pub(super) fn plugged(&mut self, key: Key, path: Path) {
        let Over::Tcp(wire) = path.over else { return };
        let wires = &mut self.sessions[key].wires;
        if wires.contains(&wire) {
            return;
        }
        if wires.len() >= MAX_WIRES {
            self.words.push_back((wires.remove(0), Word::Over));
        }
        wires.push(wire);
        self.words.push_back((wire, Word::Proven));
    }

    /// The connection has ended. A session whose datagrams went there waits for the next check.
    pub fn unplugged(&mut self, path: Path) {
        let Some(key) = self.demux.lose(path.sender()) else { return };
        let session = &mut self.sessions[key];
        session.wires.retain(|wire| path.over != Over::Tcp(*wire));
        match &mut session.role {
            Role::Viewer(transport, _) => transport.unplugged(path.over),
            Role::Publisher(peer, _) => peer.unplugged(path.over),
            Role::Local(_) => {}
        }
    }

    /// What has become of what was sent by this connection.
    pub fn pressed(&mut self, now: Instant, path: Path, pressure: Pressure) {
        let Some(key) = self.demux.at(path.sender()) else {
            return self.totals.drops.add(Drop::WireFull, pressure.lost);
        };
        self.sessions[key].recorder.drops.add(Drop::WireFull, pressure.lost);
        let Some((transport, viewer, _)) = self.sessions[key].viewing() else { return };
        if transport.path().is_none_or(|used| used.over != path.over) {
            return;
        }
        if viewer.hold(pressure.behind) {
            self.choose(now, key);
        }
    }
}
