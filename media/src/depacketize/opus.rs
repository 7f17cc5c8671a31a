//! Opus, RFC 7587: a payload is a packet. The format is always that of two channels, as the SDP says: a
//! packet may be coded in mono, and the next one in stereo, without any of it being a change.

use super::{Change, Whole};
use crate::config::opus::Head;
use crate::{Codec, Format};

#[derive(Debug, Default)]
pub(super) struct State {
    known: bool,
}

impl State {
    pub(super) fn end(&mut self) -> Whole {
        let format = if self.known { Change::None } else { Change::To(format()) };
        self.known = true;
        Whole { keyframe: true, format }
    }
}

fn format() -> Format {
    let head = Head::stereo();
    Format { codec: Codec::Opus, config: head.build(), dimensions: None, sound: head.facts().sound }
}
