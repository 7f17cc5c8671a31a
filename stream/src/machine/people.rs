//! Those on a stream: publishers and viewers, and whether one suits the other.

use std::time::Instant;

use media::{Activity, Codec, Kind};
use signaling::SessionId;

use crate::bridges::{By, Consumer, Sent};

/// One publisher.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Its session.
    pub session: SessionId,
    /// When it joined.
    pub since: Instant,
    /// What it may send, best first.
    pub codecs: Vec<Codec>,
    /// Media can arrive from it.
    pub connected: bool,
    /// What is heard of it.
    pub activity: Activity,
    /// Since when media has arrived without a pause; `None` while none does.
    pub(super) steady_since: Option<Instant>,
    /// What it was last seen to send, by kind.
    audio: Option<Codec>,
    video: Option<Codec>,
    /// Its pictures come in another order than they are shown in.
    pub(super) reorders: bool,
}

/// One viewer.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// When it joined.
    pub since: Instant,
    /// What it can take.
    pub codecs: Vec<Codec>,
    /// Media can be sent to it.
    pub connected: bool,
}

impl Publisher {
    pub(super) fn new(session: SessionId, since: Instant, codecs: Vec<Codec>) -> Self {
        Self {
            session,
            since,
            codecs,
            connected: false,
            activity: Activity::Quiet,
            steady_since: None,
            audio: None,
            video: None,
            reorders: false,
        }
    }

    /// At least one packet has come.
    pub fn has_media(&self) -> bool {
        self.audio.is_some() || self.video.is_some()
    }

    /// The codec of this kind that it was last seen to send.
    pub fn sends(&self, kind: Kind) -> Option<Codec> {
        match kind {
            Kind::Audio => self.audio,
            Kind::Video => self.video,
        }
    }

    /// The same, and whether it is in another order than it is shown in.
    pub(super) fn sent(&self, kind: Kind) -> Option<Sent> {
        let reorders = self.reorders && kind == Kind::Video;
        self.sends(kind).map(|codec| Sent { codec, reorders })
    }

    /// Connected, and media arrives.
    pub(super) fn shows(&self) -> bool {
        self.connected && self.activity == Activity::Media
    }

    /// Connected, and something has been heard of it lately.
    pub(super) fn is_there(&self) -> bool {
        self.connected && self.activity != Activity::Silent
    }

    /// True if this is another codec than that kind had before.
    pub(super) fn starts(&mut self, codec: Codec) -> bool {
        let known = match codec.kind() {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
        };
        known.replace(codec) != Some(codec)
    }

    /// What it would like to send of `kind` before it does, where `takes` holds for none of its choices.
    pub(super) fn untakeable(&self, kind: Kind, takes: impl Fn(Codec) -> bool) -> Option<Codec> {
        let mut choices = self.codecs.iter().copied().filter(|c| c.kind() == kind);
        let first = choices.clone().next()?;
        (!choices.any(takes)).then_some(first)
    }
}

impl Viewer {
    /// What bridges look at.
    pub(super) fn consumer(&self) -> Consumer<'_> {
        Consumer { codecs: &self.codecs, by: By::Rtp }
    }
}
