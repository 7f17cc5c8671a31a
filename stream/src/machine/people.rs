//! Those on a stream: publishers and viewers, and whether one suits the other.

use std::time::Instant;

use media::{Activity, Codec, Kind};
use signaling::SessionId;

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

    /// What it sends of `kind` (before media: would like to) and `codecs` does not hold.
    pub(super) fn untakeable(&self, kind: Kind, codecs: &[Codec]) -> Option<Codec> {
        if let Some(codec) = self.sends(kind) {
            return (!codecs.contains(&codec)).then_some(codec);
        }
        let mut choices = self.codecs.iter().copied().filter(|c| c.kind() == kind);
        let first = choices.clone().next()?;
        (!choices.any(|c| codecs.contains(&c))).then_some(first)
    }
}

impl Viewer {
    /// It has codecs of that kind, so it wants to hear or see something.
    pub(super) fn wants(&self, kind: Kind) -> bool {
        self.codecs.iter().any(|c| c.kind() == kind)
    }

    /// It wants what this codec carries and cannot take it.
    pub(super) fn lacks(&self, codec: Codec) -> bool {
        self.wants(codec.kind()) && !self.codecs.contains(&codec)
    }

    /// It lacks something that this publisher sends.
    pub(super) fn lacks_some_of(&self, publisher: &Publisher) -> bool {
        let kinds = [Kind::Audio, Kind::Video];
        kinds.into_iter().filter_map(|kind| publisher.sends(kind)).any(|codec| self.lacks(codec))
    }
}
