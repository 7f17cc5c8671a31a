//! Messages to bytes. What a message carries is shared with the output, not copied, where that pays.

use bytes::Bytes;

use super::{DEFAULT_SIZE, EXTENDED, kind};
use crate::output::Output;

/// The longest message that a header can declare.
const MAX_LENGTH: usize = 0xFF_FFFF;

/// What the header of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The chunk stream it goes on, 2 to 63.
    pub chunk_stream: u8,
    /// See [`kind`].
    pub kind: u8,
    /// Milliseconds; wraps.
    pub timestamp: u32,
    /// The message stream.
    pub stream: u32,
}

/// Cuts messages into chunks.
#[derive(Debug)]
pub struct Writer {
    chunk_size: usize,
    sent: Vec<Sent>,
}

/// The newest header of one chunk stream.
#[derive(Clone, Copy, Debug)]
struct Sent {
    head: Head,
    length: usize,
    /// `None` behind an absolute time: readers disagree what a type 3 means there.
    delta: Option<u32>,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A connection whose handshake is done.
    pub fn new() -> Self {
        Self { chunk_size: DEFAULT_SIZE as usize, sent: Vec::new() }
    }

    /// Tells the other side how large chunks are from here on: 1 to 2^31 - 1.
    pub fn set_chunk_size(&mut self, size: u32, out: &mut Output) {
        let size = size.clamp(1, i32::MAX as u32);
        let head = Head { chunk_stream: 2, kind: kind::CHUNK_SIZE, timestamp: 0, stream: 0 };
        self.write(head, &size.to_be_bytes(), &Bytes::new(), out);
        self.chunk_size = size as usize;
    }

    /// Writes a message whose body is `front` and then `rest`. False, and nothing written, if no header
    /// can declare its length.
    pub fn write(&mut self, head: Head, front: &[u8], rest: &Bytes, out: &mut Output) -> bool {
        let length = front.len() + rest.len();
        if length > MAX_LENGTH {
            return false;
        }
        let extended = self.header(head, length, out);
        let (mut front, mut rest) = (front, rest.clone());
        let mut missing = length;
        loop {
            let mut room = self.chunk_size.min(missing);
            missing -= room;
            let (part, later) = front.split_at(room.min(front.len()));
            if !part.is_empty() {
                out.put(part);
            }
            (front, room) = (later, room - part.len());
            if room > 0 {
                out.share(rest.split_to(room));
            }
            if missing == 0 {
                return true;
            }
            out.put(&[0xC0 | head.chunk_stream]);
            if let Some(time) = extended {
                out.put(&time.to_be_bytes());
            }
        }
    }

    /// The header of a message's first chunk, as short as can be. The extended time, if it has one.
    fn header(&mut self, head: Head, length: usize, out: &mut Output) -> Option<u32> {
        debug_assert!((2..64).contains(&head.chunk_stream));
        let place = self.sent.iter().position(|s| s.head.chunk_stream == head.chunk_stream);
        let (format, time) = match place.map(|place| self.sent[place]) {
            Some(sent) if sent.head.stream == head.stream => {
                let delta = head.timestamp.wrapping_sub(sent.head.timestamp);
                let same = sent.length == length && sent.head.kind == head.kind;
                match same {
                    _ if delta > i32::MAX as u32 => (0, head.timestamp),
                    true if sent.delta == Some(delta) => (3, delta),
                    true => (2, delta),
                    false => (1, delta),
                }
            }
            _ => (0, head.timestamp),
        };
        let now = Sent { head, length, delta: (format > 0).then_some(time) };
        match place {
            Some(place) => self.sent[place] = now,
            None => self.sent.push(now),
        }

        let extended = (time >= EXTENDED).then_some(time);
        let mut bytes = [0; 16];
        bytes[0] = format << 6 | head.chunk_stream;
        bytes[1..4].copy_from_slice(&time.min(EXTENDED).to_be_bytes()[1..]);
        bytes[4..7].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
        bytes[7] = head.kind;
        bytes[8..12].copy_from_slice(&head.stream.to_le_bytes());
        let len = [12, 8, 4, 1][usize::from(format)];
        bytes[len..len + 4].copy_from_slice(&time.to_be_bytes());
        out.put(&bytes[..if extended.is_some() { len + 4 } else { len }]);
        extended
    }
}
