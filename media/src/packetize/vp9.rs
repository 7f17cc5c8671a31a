//! VP9, RFC 9628, non-flexible mode without layers, with picture ids of 15 bits. Keyframes have a
//! scalability structure that says their size and nothing of a pattern: encoders keep to none.

use super::{Sink, even};
use crate::AccessUnit;
use crate::payload::vp9;

#[derive(Debug, Default)]
pub(super) struct State {
    /// Of the next picture, 15 bits.
    picture_id: u16,
}

/// Bits of the descriptor's first byte.
const ID: u8 = 0x80;
const PREDICTED: u8 = 0x40;
const BEGIN: u8 = 0x08;
const END: u8 = 0x04;
const STRUCTURE: u8 = 0x02;

impl State {
    pub(super) fn push(&mut self, unit: &AccessUnit, sink: &mut Sink<'_>) {
        let [high, low] = (self.picture_id | 0x8000).to_be_bytes();
        let structure = if unit.keyframe { structure(&unit.data) } else { Vec::new() };
        let (first, others) =
            if unit.keyframe { (ID, ID) } else { (ID | PREDICTED, ID | PREDICTED) };

        let len = even(structure.len() + unit.data.len(), sink.mtu - 3);
        // The structure takes its place in the first payload; a payload is longer than that.
        let head = unit.data.len().min(len.saturating_sub(structure.len()));
        let (head, rest) = unit.data.split_at(head);
        let more = !rest.is_empty();
        let flags = first | BEGIN | if structure.is_empty() { 0 } else { STRUCTURE };
        let flags = flags | if more { 0 } else { END };
        sink.put(&[&[flags, high, low], &structure, head]);

        let mut pieces = rest.chunks(len).peekable();
        while let Some(piece) = pieces.next() {
            let end = if pieces.peek().is_none() { END } else { 0 };
            sink.put(&[&[others | end, high, low], piece]);
        }
        self.picture_id = self.picture_id.wrapping_add(1) & 0x7fff;
    }
}

/// One spatial layer and its size (Y), no picture group; nothing where the frame does not say a size.
fn structure(frame: &[u8]) -> Vec<u8> {
    let Some((width, height)) = vp9::header(frame).and_then(|h| h.dimensions) else {
        return Vec::new();
    };
    [&[0x10], &width.to_be_bytes()[..], &height.to_be_bytes()].concat()
}
