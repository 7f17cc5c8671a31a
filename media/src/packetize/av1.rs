//! AV1, AOM "RTP Payload Format For AV1" sections 4.4 and 5: OBUs without their sizes, behind an
//! aggregation header. Temporal delimiters, tile lists and padding are left out.
//!
//! Within a temporal unit no payload ends where an OBU ends. The format allows it, but libwebrtc, without a
//! dependency descriptor, takes what lies between two such ends for a frame, and breaks down where it decodes
//! to nothing: a hidden frame, or some tiles of one.

use bytes::Bytes;

use super::{Sink, Skip, even};
use crate::config::av1::Record;
use crate::payload::av1::{
    PADDING, SEQUENCE_HEADER, TEMPORAL_DELIMITER, TILE_LIST, body, kind, obus, put_leb128,
};
use crate::{AccessUnit, Format};

/// Bits of the aggregation header.
const CONTINUES: u8 = 0x80;
const CONTINUED: u8 = 0x40;
const NEW_SEQUENCE: u8 = 0x08;
/// Up to so many OBU elements are counted in the header, and the last then has no length.
const COUNTED: usize = 3;

#[derive(Debug, Default)]
pub(super) struct State {
    config: Bytes,
    /// The sequence header of `config`, as an OBU element.
    sequence: Vec<u8>,
}

impl State {
    pub(super) fn push(&mut self, format: &Format, unit: &AccessUnit, sink: &mut Sink<'_>) {
        let mut elements = Elements::default();
        let mut has_sequence = false;
        let mut units = obus(&unit.data);
        for obu in units.by_ref() {
            match kind(obu[0]) {
                TEMPORAL_DELIMITER | TILE_LIST | PADDING => continue,
                SEQUENCE_HEADER => has_sequence = true,
                _ => {}
            }
            elements.add(obu);
        }
        if !units.rest.is_empty() {
            sink.skip(Skip::CutShort);
        }
        if elements.ends.is_empty() {
            return;
        }
        if unit.keyframe && !has_sequence {
            self.learn(&format.config);
            if !self.sequence.is_empty() {
                elements.prepend(&self.sequence);
                has_sequence = true;
            }
        }
        send(&elements, unit.keyframe && has_sequence, sink);
    }

    fn learn(&mut self, config: &Bytes) {
        if self.config == *config {
            return;
        }
        self.config = config.clone();
        let record = Record::parse(config).ok();
        let header = record.as_ref().and_then(Record::sequence_header);
        self.sequence = header.map(element).unwrap_or_default();
    }
}

/// An OBU as RTP carries it: without its size.
fn element(obu: &[u8]) -> Vec<u8> {
    let mut elements = Elements::default();
    elements.add(obu);
    elements.bytes
}

/// OBU elements, one behind the other.
#[derive(Default)]
struct Elements {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Elements {
    fn add(&mut self, obu: &[u8]) {
        let Some(body) = body(obu) else { return };
        self.bytes.push(obu[0] & !0x02);
        if obu[0] & 0x04 != 0 {
            self.bytes.push(obu[1]);
        }
        self.bytes.extend_from_slice(body);
        self.ends.push(self.bytes.len());
    }

    fn prepend(&mut self, element: &[u8]) {
        self.bytes.splice(..0, element.iter().copied());
        self.ends.iter_mut().for_each(|end| *end += element.len());
        self.ends.insert(0, element.len());
    }
}

/// Lays the elements out over as many payloads as they need.
fn send(elements: &Elements, new_sequence: bool, sink: &mut Sink<'_>) {
    let lengths: usize = elements.ends.iter().map(|_| 3).sum();
    let room = even(elements.bytes.len() + lengths, sink.mtu - 1);
    let mut cursor = Cursor { elements, next: 0, at: 0 };
    let mut header = if new_sequence { NEW_SEQUENCE } else { 0 };
    let mut bytes = Vec::with_capacity(sink.mtu);
    let mut pieces = Vec::new();
    while cursor.fill(room, &mut pieces, &mut header) {
        if pieces.len() <= COUNTED {
            header |= (pieces.len() as u8) << 4;
        }
        bytes.clear();
        bytes.push(header);
        for (i, piece) in pieces.iter().enumerate() {
            if pieces.len() > COUNTED || i + 1 < pieces.len() {
                put_leb128(&mut bytes, piece.len());
            }
            bytes.extend_from_slice(piece);
        }
        sink.put(&[&bytes]);
        header = if header & CONTINUED != 0 { CONTINUES } else { 0 };
    }
}

/// What is still to be sent.
struct Cursor<'a> {
    elements: &'a Elements,
    /// The element that is next, and where it goes on.
    next: usize,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Takes what goes into a payload with `room` bytes behind its header; false if nothing is left. The
    /// header says afterwards whether the last piece is continued.
    fn fill(&mut self, mut room: usize, pieces: &mut Vec<&'a [u8]>, header: &mut u8) -> bool {
        pieces.clear();
        while let Some(&end) = self.elements.ends.get(self.next) {
            let rest = &self.elements.bytes[self.at..end];
            let last = self.next + 1 == self.elements.ends.len();
            let whole = length_size(rest.len()) + rest.len();
            // Another may follow in this payload, so this one needs its length.
            if !last && whole < room {
                pieces.push(rest);
                room -= whole;
                (self.next, self.at) = (self.next + 1, end);
                continue;
            }
            let uncounted = if pieces.len() < COUNTED { 0 } else { length_size(room) };
            let space = room.saturating_sub(uncounted);
            let (piece, left) = rest.split_at(rest.len().min(space));
            if !piece.is_empty() {
                pieces.push(piece);
                self.at += piece.len();
                self.next += usize::from(left.is_empty());
                *header |= if left.is_empty() { 0 } else { CONTINUED };
            }
            break;
        }
        if *header & CONTINUED == 0 && self.next < self.elements.ends.len() {
            self.hold_back(pieces, header);
        }
        !pieces.is_empty()
    }

    /// More follows, so the payload ends inside an OBU: the last byte of the last that can spare one
    /// goes into the next payload, with what came behind it.
    fn hold_back(&mut self, pieces: &mut Vec<&'a [u8]>, header: &mut u8) {
        let Some(keep) = pieces.iter().rposition(|piece| piece.len() > 1) else { return };
        for piece in pieces.drain(keep + 1..) {
            self.at -= piece.len();
            self.next -= 1;
        }
        let piece = pieces[keep];
        pieces[keep] = &piece[..piece.len() - 1];
        self.at -= 1;
        self.next -= 1;
        *header |= CONTINUED;
    }
}

/// Bytes of a LEB128 number.
const fn length_size(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}
