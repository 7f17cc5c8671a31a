//! What can happen to a stream, and what it wants done.

use std::fmt;

use media::{Activity, Codec};
use signaling::SessionId;

use crate::bridges;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A publisher's offer was accepted; it is not connected yet.
    PublisherJoined {
        /// New to this stream.
        session: SessionId,
        /// What it may send, audio and video, best first.
        codecs: Vec<Codec>,
    },
    /// Media can arrive from this publisher.
    PublisherConnected {
        /// Whose transport is up.
        session: SessionId,
    },
    /// What is heard of a publisher has changed. One that has just connected counts as
    /// [`Activity::Quiet`].
    PublisherActivity {
        /// Of whom.
        session: SessionId,
        /// What is heard now.
        activity: Activity,
    },
    /// The first packet of a codec: at the start, and at each change of codec. To be said before the
    /// [`Activity::Media`] of that packet.
    MediaStarted {
        /// Which publisher sends it.
        session: SessionId,
        /// What it now sends of that codec's kind.
        codec: Codec,
    },
    /// The pictures of a publisher come in another order than they are shown in, or do so no more: whether it
    /// has B-frames.
    Reorders {
        /// Whose.
        session: SessionId,
        /// They do.
        reorders: bool,
    },
    /// What has become of a bridge that was asked for.
    BridgeIs {
        /// Of whose media.
        publisher: SessionId,
        /// What comes in.
        from: Codec,
        /// What goes out.
        to: Codec,
        /// How it is now.
        state: bridges::State,
    },
    /// A publisher is gone, by its own wish or not.
    PublisherLeft {
        /// Who.
        session: SessionId,
        /// Why, in plain words.
        reason: String,
        /// It said so itself, or was sent away: nobody waits for it.
        goodbye: bool,
    },
    /// A viewer's offer was accepted; it is not connected yet.
    ViewerJoined {
        /// New to this stream.
        session: SessionId,
        /// What it can take, audio and video.
        codecs: Vec<Codec>,
    },
    /// Media can be sent to this viewer.
    ViewerConnected {
        /// Whose transport is up.
        session: SessionId,
    },
    /// A viewer is gone.
    ViewerLeft {
        /// Who.
        session: SessionId,
    },
    /// Somebody plays the stream by another protocol than WebRTC. It is never attached to anybody: its owner
    /// gives it what the active publisher sends, and what is bridged.
    PlayerJoined {
        /// New to this stream.
        session: SessionId,
        /// What it can take, audio and video.
        codecs: Vec<Codec>,
    },
    /// A player is gone.
    PlayerLeft {
        /// Who.
        session: SessionId,
    },
    /// Somebody takes the stream as files (HLS), or nobody does any more: [`bridges::AUDIENCE`]. Its owner gives it what
    /// the active publisher sends, and what is bridged.
    Audience {
        /// Somebody does.
        present: bool,
    },
    /// An operator disconnects the publisher, and all that wait or stand by.
    PublisherKicked,
    /// The server stops: everybody is told, and nobody may join any more.
    Drain,
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Forward this publisher to this viewer from now on, in place of the one it had, if any. The
    /// viewer's session goes on: no renegotiation.
    Attach {
        /// To whom.
        viewer: SessionId,
        /// From whom.
        publisher: SessionId,
    },
    /// Forward nothing to this viewer until the next `Attach`.
    Detach {
        /// To whom.
        viewer: SessionId,
    },
    /// What comes for this viewer from now on it cannot take, wants, and does not get by a bridge: a new
    /// offer may help. Said once per change of publisher or codec, and when a bridge fails.
    Reconnect {
        /// Whom to tell.
        viewer: SessionId,
    },
    /// Make this codec of that one, for as long as somebody needs it.
    Bridge {
        /// Of whose media.
        publisher: SessionId,
        /// What comes in.
        from: Codec,
        /// What is to go out; the same where only its B-frames are to go.
        to: Codec,
        /// Who needs it.
        why: bridges::Why,
    },
    /// Nobody needs that any more.
    Unbridge {
        /// Of whose media.
        publisher: SessionId,
        /// See [`Command::Bridge`].
        from: Codec,
        /// See [`Command::Bridge`].
        to: Codec,
    },
    /// End this session.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        reason: Reason,
    },
}

/// Why the stream ends a session. `Display` says it in plain words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Another publisher took over.
    Replaced,
    /// Another publisher was there first.
    Refused,
    /// An operator said so.
    Kicked,
    /// The server stops.
    Draining,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replaced => "replaced by a new publisher",
            Self::Refused => "another publisher was there first",
            Self::Kicked => "disconnected by an operator",
            Self::Draining => "the server is shutting down",
        })
    }
}
