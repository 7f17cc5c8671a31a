//! The chunk stream (RTMP 1.0 section 5.3), as simple as it can be.

use std::collections::HashMap;

use bytes::Bytes;

/// What we announce before anything else.
const OURS: usize = 4096;

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub kind: u8,
    /// Message stream.
    pub stream: u32,
    /// In ms.
    pub timestamp: u32,
    /// The payload.
    pub body: Bytes,
}

/// A message in chunks of ours: the full header first, none behind it.
pub(super) fn write(
    chunk_stream: u8,
    kind: u8,
    stream: u32,
    timestamp: u32,
    body: &[u8],
) -> Vec<u8> {
    let extended = timestamp >= 0xff_ffff;
    let mut bytes = vec![chunk_stream];
    bytes.extend(&timestamp.min(0xff_ffff).to_be_bytes()[1..]);
    bytes.extend(&(body.len() as u32).to_be_bytes()[1..]);
    bytes.push(kind);
    bytes.extend(stream.to_le_bytes());
    for (number, part) in body.chunks(OURS).enumerate() {
        if number > 0 {
            bytes.push(0xc0 | chunk_stream);
        }
        if extended {
            bytes.extend(timestamp.to_be_bytes());
        }
        bytes.extend(part);
    }
    bytes
}

/// Puts chunks together.
#[derive(Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    size: Option<usize>,
    flows: HashMap<u32, Flow>,
}

/// One chunk stream.
#[derive(Default, Clone)]
struct Flow {
    timestamp: u32,
    step: u32,
    length: usize,
    kind: u8,
    stream: u32,
    extended: bool,
    body: Vec<u8>,
}

impl Reader {
    /// The messages that are complete with these bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.bytes.extend_from_slice(bytes);
        let mut messages = Vec::new();
        while let Some((used, message)) = self.chunk() {
            self.bytes.drain(..used);
            let Some(message) = message else { continue };
            if message.kind == super::SET_CHUNK_SIZE {
                let size = message.body[..4].try_into().expect("four bytes");
                self.size = Some(u32::from_be_bytes(size) as usize);
            }
            messages.push(message);
        }
        messages
    }

    /// `None` until the chunk is whole. How long it is, and the message that ends with it.
    fn chunk(&mut self) -> Option<(usize, Option<Message>)> {
        let bytes = &self.bytes;
        let first = *bytes.first()?;
        let (mut at, id) = match first & 0x3f {
            0 => (2, 64 + u32::from(*bytes.get(1)?)),
            1 => (3, 64 + u32::from(*bytes.get(1)?) + 256 * u32::from(*bytes.get(2)?)),
            id => (1, u32::from(id)),
        };
        let format = first >> 6;
        let header = [11, 7, 3, 0][usize::from(format)];
        let fields = bytes.get(at..at + header)?;
        at += header;
        let old = self.flows.get(&id);
        let mut flow = old.cloned().unwrap_or_default();
        let fresh = flow.body.is_empty();
        let three =
            |from: usize| u32::from_be_bytes([0, fields[from], fields[from + 1], fields[from + 2]]);
        let mut time = flow.step;
        if format < 3 {
            time = three(0);
            flow.extended = time == 0xff_ffff;
        }
        if format < 2 {
            flow.length = three(3) as usize;
            flow.kind = fields[6];
        }
        if format == 0 {
            flow.stream = u32::from_le_bytes(fields[7..11].try_into().expect("four bytes"));
        }
        if flow.extended {
            time = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().expect("four bytes"));
            at += 4;
        }
        let part = (flow.length - flow.body.len()).min(self.size.unwrap_or(128));
        flow.body.extend_from_slice(bytes.get(at..at + part)?);
        at += part;
        if fresh {
            flow.step = time;
            flow.timestamp = if format == 0 { time } else { flow.timestamp.wrapping_add(time) };
        }
        let whole = flow.body.len() == flow.length;
        let message = whole.then(|| Message {
            kind: flow.kind,
            stream: flow.stream,
            timestamp: flow.timestamp,
            body: std::mem::take(&mut flow.body).into(),
        });
        self.flows.insert(id, flow);
        Some((at, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_from_its_chunks_byte_by_byte() {
        let body: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
        let mut reader = Reader::default();
        let mut all = write(2, 1, 0, 0, &4096u32.to_be_bytes());
        all.extend(write(6, 9, 1, u32::MAX - 5, &body));
        all.extend(write(6, 9, 1, 3, b"x"));
        let got: Vec<Message> = all.iter().flat_map(|byte| reader.read(&[*byte])).collect();
        assert_eq!(got.len(), 3);
        assert_eq!((got[1].timestamp, &got[1].body[..]), (u32::MAX - 5, &body[..]));
        assert_eq!((got[2].timestamp, got[2].kind, got[2].stream), (3, 9, 1));
    }
}
