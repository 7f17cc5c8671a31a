//! What the server wants of a shard, and what a shard tells it.

use std::time::Instant;

use media::{Activity, Codec, EncodingId, Kind};
use signaling::{Agreement, IceCredentials, SessionId};

use crate::local::Made;
use crate::recorder::{Decision, Report};
use crate::rtc::Peer;
use crate::stats::{EncodingState, Origin};
use crate::transport::Transport;
use crate::viewer::selector::Wanted;

/// What the server wants.
#[derive(Debug)]
pub enum Command {
    /// A session begins. It lives on the shard to which its first check comes, or, where none will come,
    /// where the directory says.
    Add(Box<Add>),
    /// A viewer watches this publisher from now on; `None`: nobody.
    Attach {
        /// Who watches.
        viewer: SessionId,
        /// Whom.
        publisher: Option<SessionId>,
    },
    /// A viewer chooses an encoding.
    SetLayer {
        /// Whose choice.
        viewer: SessionId,
        /// The choice.
        layer: Wanted,
    },
    /// ICE restarts: the peer may use these credentials of ours from now on, and those that it has until
    /// it has nominated by the new ones.
    Restart {
        /// Whose.
        session: SessionId,
        /// Fresh.
        ice: IceCredentials,
    },
    /// Something has happened to a session outside of its shard, which its log shall tell.
    Note {
        /// To which.
        session: SessionId,
        /// When.
        at: Instant,
        /// What.
        decision: Decision,
    },
    /// Ends a session with a goodbye. No [`Event::Closed`] follows.
    Remove(SessionId),
    /// Packets that were made in this server. They go out with the next [`crate::Shard::flush`]; those for
    /// a session that is not there are dropped and counted.
    Media(Box<Made>),
    /// Something was heard of a publisher by [`Link::Local`] that became no packet here.
    Heard {
        /// Of whom.
        publisher: SessionId,
        /// It was media, though of no use to RTP: sound in AAC, pictures that only a bridge gets.
        media: bool,
        /// It is read in larger pieces, so it may be a while until the next time.
        held: bool,
    },
    /// A bridged encoding has ended.
    Unbridge {
        /// Of whom.
        publisher: SessionId,
        /// Audio or video.
        kind: Kind,
        /// Which.
        encoding: EncodingId,
    },
    /// A tap or a bridge needs a keyframe of what the publisher itself sends.
    WantKeyframe {
        /// Of whom.
        publisher: SessionId,
        /// Of which video encoding.
        encoding: EncodingId,
    },
}

impl Command {
    /// The session that it is about.
    pub fn session(&self) -> SessionId {
        match self {
            Self::Add(add) => add.session,
            Self::Attach { viewer, .. } | Self::SetLayer { viewer, .. } => *viewer,
            Self::Remove(session) | Self::Restart { session, .. } | Self::Note { session, .. } => {
                *session
            }
            Self::Media(made) => made.publisher,
            Self::Heard { publisher, .. }
            | Self::Unbridge { publisher, .. }
            | Self::WantKeyframe { publisher, .. } => *publisher,
        }
    }

    /// How many packets are lost if it is.
    pub fn packets(&self) -> usize {
        match self {
            Self::Media(made) => made.packets.len(),
            _ => 0,
        }
    }
}

/// A new session.
#[derive(Debug)]
pub struct Add {
    /// Its name.
    pub session: SessionId,
    /// What was negotiated.
    pub agreement: Agreement,
    /// Built from that.
    pub link: Link,
}

/// Publisher or viewer. Built by the caller, so that its cost is not the shard's.
#[derive(Debug)]
pub enum Link {
    /// Comes by WHIP.
    Publisher(Box<Peer>),
    /// A publisher whose packets are made in this server, see [`Command::Media`]. It is connected at once.
    Local,
    /// Comes by WHEP.
    Viewer(Box<Transport>),
}

impl Link {
    /// Our user name fragments that are valid, oldest first.
    pub(crate) fn ufrags(&self) -> Vec<String> {
        match self {
            Self::Publisher(peer) => peer.ufrags().map(str::to_owned).collect(),
            Self::Local => Vec::new(),
            Self::Viewer(transport) => transport.ufrags().map(str::to_owned).collect(),
        }
    }

    /// True if this is a check made with credentials of ours that are valid.
    pub(crate) fn authentic(&self, check: &[u8]) -> bool {
        match self {
            Self::Publisher(peer) => peer.authentic(check),
            Self::Local => false,
            Self::Viewer(transport) => transport.authentic(check),
        }
    }

    /// See [`Transport::restart`].
    pub(crate) fn restart(&mut self, ice: IceCredentials) {
        match self {
            Self::Publisher(peer) => peer.restart(ice),
            Self::Local => {}
            Self::Viewer(transport) => transport.restart(ice),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// DTLS is up.
    Connected(SessionId),
    /// The first packet of a codec that a publisher itself sends: at the start, and at each change of codec.
    MediaStarted {
        /// Whose.
        session: SessionId,
        /// What it sends now of that codec's kind.
        codec: Codec,
    },
    /// What is heard of a publisher has changed. One that has just connected counts as
    /// [`Activity::Quiet`]; a return to [`Activity::Media`] is said with the first packet.
    Activity {
        /// Of whom.
        session: SessionId,
        /// What is heard now.
        activity: Activity,
    },
    /// A publisher's encodings have changed: one came, fell silent, came back, or has another size or
    /// codec. Not said for the bitrate, but for the first one measured; at most once per look.
    Encodings {
        /// Whose.
        session: SessionId,
        /// All of them, in the order of their first packets.
        encodings: Vec<EncodingState>,
    },
    /// Somebody needs a keyframe of an encoding that no peer can be asked for: it is made in this server.
    /// Said again each half second until it is there.
    KeyframeWanted {
        /// Of which publisher.
        session: SessionId,
        /// Which encoding.
        encoding: EncodingId,
        /// The publisher's own, or bridged.
        origin: Origin,
    },
    /// The session is gone.
    Closed {
        /// Which.
        session: SessionId,
        /// Why.
        reason: Closed,
    },
    /// A session has ended, by whosever wish: all that can be said of it afterwards. Before `Closed`.
    Ended {
        /// Which.
        session: SessionId,
        /// What has happened to it.
        report: Box<Report>,
    },
}

/// Why a session ended without the server's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer said goodbye (DTLS close_notify).
    ByPeer,
    /// ICE and DTLS did not come up in time.
    NeverConnected,
    /// Nothing authentic was heard for too long.
    Silent,
    /// The transport failed (fingerprint mismatch, broken handshake).
    Failed,
}
