//! VP8, RFC 7741: the whole frame as partition 0, with picture ids of 15 bits.

use super::{Sink, even};
use crate::AccessUnit;

#[derive(Debug, Default)]
pub(super) struct State {
    /// Of the next picture, 15 bits.
    picture_id: u16,
}

impl State {
    pub(super) fn push(&mut self, unit: &AccessUnit, sink: &mut Sink<'_>) {
        let [high, low] = (self.picture_id | 0x8000).to_be_bytes();
        let mut descriptor = [0x80 | 0x10, 0x80, high, low];
        for piece in unit.data.chunks(even(unit.data.len(), sink.mtu - descriptor.len())) {
            sink.put(&[&descriptor, piece]);
            // S is for the first alone.
            descriptor[0] = 0x80;
        }
        self.picture_id = self.picture_id.wrapping_add(1) & 0x7fff;
    }
}
