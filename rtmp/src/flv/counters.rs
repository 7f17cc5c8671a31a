//! What was dropped of a publisher's messages, by reason.

use crate::timeline;

/// Why something of a message was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dropped {
    /// The message ends before what it says it holds.
    Truncated,
    /// A unit without any bytes.
    Empty,
    /// An audio message without any bytes: the publisher's word for silence.
    Silence,
    /// A NAL unit without any bytes.
    EmptyNal,
    /// A NAL unit or OBU that is longer than the message.
    Overrun,
    /// A unit before the configuration that it needs.
    NoConfig,
    /// A configuration that cannot be read.
    BadConfig,
    /// A unit of a codec that is not carried.
    Codec,
    /// A packet type that no specification of ours knows.
    PacketType,
    /// A command frame, which says that somebody seeks.
    Command,
    /// Colours and other metadata of pictures: the bitstream says them too.
    Metadata,
    /// The order of channels: the configuration says it.
    Channels,
    /// More tracks than [`super::MAX_TRACKS`].
    Tracks,
}

impl Dropped {
    /// All of them, in the order of [`Counters`].
    pub const ALL: [Self; 13] = [
        Self::Truncated,
        Self::Empty,
        Self::Silence,
        Self::EmptyNal,
        Self::Overrun,
        Self::NoConfig,
        Self::BadConfig,
        Self::Codec,
        Self::PacketType,
        Self::Command,
        Self::Metadata,
        Self::Channels,
        Self::Tracks,
    ];

    /// The name in metrics and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Empty => "empty",
            Self::Silence => "silence",
            Self::EmptyNal => "empty_nal",
            Self::Overrun => "overrun",
            Self::NoConfig => "no_config",
            Self::BadConfig => "bad_config",
            Self::Codec => "codec",
            Self::PacketType => "packet_type",
            Self::Command => "command",
            Self::Metadata => "metadata",
            Self::Channels => "channels",
            Self::Tracks => "tracks",
        }
    }
}

/// What happened to one publisher's messages so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    dropped: [u64; Dropped::ALL.len()],
    /// What its timestamps needed.
    pub timeline: timeline::Counters,
}

impl Counters {
    /// How often something was dropped for this reason.
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.dropped[why as usize]
    }

    pub(super) fn count(&mut self, why: Dropped) {
        self.dropped[why as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place() {
        for (place, why) in Dropped::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, place, "{}", why.name());
        }
    }
}
