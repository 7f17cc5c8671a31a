//! What players get: formats, units and metadata, on the stream that they asked for.

use media::{AccessUnit, Codec, Format, Kind};

use super::{Phase, Session};
use crate::amf::Value;
use crate::metadata::Metadata;
use crate::outlet::Outlet;
use crate::{command, flv};

/// The state of a player.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) outlet: Outlet,
    paused: bool,
    /// It has paused; pictures go on with the next keyframe.
    behind: bool,
}

impl Play {
    pub(super) fn new(peer: flv::Peer, stream: u32) -> Self {
        Self { outlet: Outlet::new(peer, stream), paused: false, behind: false }
    }

    pub(super) fn pause(&mut self, paused: bool) {
        self.behind |= paused;
        self.paused = paused;
    }

    /// Whether a unit is for now.
    fn lets(&mut self, kind: Kind, unit: &AccessUnit) -> bool {
        if kind == Kind::Video && unit.keyframe && !self.paused {
            self.behind = false;
        }
        !self.paused && (kind == Kind::Audio || !self.behind)
    }
}

impl Session {
    /// Tells a player what a track's units are from here on; before the first of them, and whenever it
    /// changes. Not for this player: why, and its units are left out.
    pub fn send_format(&mut self, track: u8, format: &Format) -> Result<(), flv::Refusal> {
        match &mut self.play {
            Some(play) if self.phase == Phase::Playing => {
                play.outlet.format(track, format, &mut self.link)
            }
            _ => Ok(()),
        }
    }

    /// Sends a unit to a player: the first keyframe first, then all in the order of `dts`. False if it was
    /// left out, and counted. Its bytes are shared with the output.
    pub fn send_unit(&mut self, track: flv::Track, unit: &AccessUnit) -> bool {
        let sent = match &mut self.play {
            Some(play) if self.phase == Phase::Playing => {
                play.lets(track.kind, unit) && play.outlet.unit(track, unit, &mut self.link)
            }
            _ => false,
        };
        self.drops.unplayed += u64::from(!sent);
        sent
    }

    /// Sends a player what is known of the stream, and which codecs to expect.
    pub fn send_metadata(&mut self, metadata: &Metadata, codecs: &[Codec]) {
        if let (Some(play), Phase::Playing) = (&self.play, self.phase) {
            play.outlet.data(&["onMetaData".into(), metadata.write(codecs)], &mut self.link);
        }
    }
}

/// The information of a stream's end, for who plays it.
pub(super) fn stopped(description: &str) -> [Value; 2] {
    use command::{Level, code, information};
    [code::PLAY_UNPUBLISHED, code::PLAY_STOP]
        .map(|code| information(Level::Status, code, description))
}
