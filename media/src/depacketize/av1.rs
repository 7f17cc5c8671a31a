//! AV1, AOM "RTP Payload Format For AV1": OBU elements are put together, and get sizes (AV1 bitstream
//! specification, section 5.3). Temporal delimiters, tile lists and padding are left out.

use super::{Change, Dropped, MAX_FRAME, Whole};
use crate::config::av1::Record;
use crate::payload::av1::{
    Elements, FRAME, FRAME_HEADER, PADDING, SEQUENCE_HEADER, TEMPORAL_DELIMITER, TILE_LIST, append,
    body, kind, sequence_header,
};
use crate::{Codec, Format, config};

#[derive(Debug, Default)]
pub(super) struct State {
    /// An OBU that goes on in the next packet.
    open: Option<Vec<u8>>,
    /// The newest sequence header that could be read.
    sequence: Vec<u8>,
    /// It says that frames have no type.
    still: bool,
    /// It came, and was another one, since the last frame ended.
    changed: Option<Format>,
    /// Whether the first frame of this unit is a keyframe.
    keyframe: Option<bool>,
}

pub(super) fn begins(payload: &[u8]) -> bool {
    let Some((first, elements)) = first_element(payload) else {
        return false;
    };
    // Z: it goes on. N: a coded video sequence begins.
    let starts = |e: &[u8]| {
        e.first().is_some_and(|b| matches!(kind(*b), TEMPORAL_DELIMITER | SEQUENCE_HEADER))
    };
    first & 0x80 == 0 && (first & 0x08 != 0 || starts(elements))
}

fn first_element(payload: &[u8]) -> Option<(u8, &[u8])> {
    let (first, _) = payload.split_first()?;
    Some((*first, elements(payload).next()?))
}

fn elements(payload: &[u8]) -> Elements<'_> {
    let (first, rest) = payload.split_first().map_or((0, payload), |(first, rest)| (*first, rest));
    let count = first >> 4 & 0x03;
    Elements { rest, left: (count > 0).then_some(count) }
}

impl State {
    pub(super) fn add(&mut self, payload: &[u8], data: &mut Vec<u8>) -> Result<(), Dropped> {
        let first = *payload.first().ok_or(Dropped::Malformed)?;
        let (continues, continued) = (first & 0x80 != 0, first & 0x40 != 0);
        let mut elements = elements(payload);
        let pieces: Vec<&[u8]> = elements.by_ref().collect();
        if !elements.rest.is_empty() || pieces.is_empty() || continues != self.open.is_some() {
            return Err(Dropped::Malformed);
        }
        for (i, piece) in pieces.iter().enumerate() {
            let goes_on = continued && i + 1 == pieces.len();
            let open = self.open.take();
            match open {
                None if !goes_on => self.obu(piece, data),
                open => {
                    let mut obu = open.unwrap_or_default();
                    if obu.len() + piece.len() + data.len() > MAX_FRAME {
                        return Err(Dropped::TooLarge);
                    }
                    obu.extend_from_slice(piece);
                    if goes_on {
                        self.open = Some(obu);
                    } else {
                        self.obu(&obu, data);
                    }
                }
            }
        }
        Ok(())
    }

    /// An OBU is whole.
    fn obu(&mut self, obu: &[u8], data: &mut Vec<u8>) {
        let Some(first) = obu.first() else { return };
        match kind(*first) {
            TEMPORAL_DELIMITER | TILE_LIST | PADDING => return,
            SEQUENCE_HEADER => self.learn(obu),
            FRAME | FRAME_HEADER => {
                let header = body(obu).and_then(<[u8]>::first).copied().unwrap_or(0x80);
                // show_existing_frame 0, frame_type 0, show_frame 1.
                let keyframe = self.still || header & 0b1111_0000 == 0b0001_0000;
                self.keyframe = self.keyframe.or(Some(keyframe));
            }
            _ => {}
        }
        append(data, obu);
    }

    fn learn(&mut self, obu: &[u8]) {
        if self.sequence == obu {
            return;
        }
        let format = Record::from_sequence_header(obu).ok();
        let format = format.and_then(|r| config::format(Codec::Av1, r.build()).ok());
        if let (Some(format), Some(sequence)) = (format, sequence_header(obu)) {
            self.sequence = obu.to_vec();
            self.still = sequence.still;
            self.changed = Some(format);
        }
    }

    pub(super) fn end(&mut self) -> Result<Whole, Dropped> {
        if self.open.is_some() {
            return Err(Dropped::Malformed);
        }
        let keyframe = self.keyframe.take().unwrap_or(false);
        let format = match self.changed.take() {
            Some(format) => Change::To(format),
            None if self.sequence.is_empty() => Change::Unknown,
            None => Change::None,
        };
        Ok(Whole { keyframe, format })
    }

    pub(super) fn reset(&mut self) {
        self.open = None;
        self.keyframe = None;
    }
}
