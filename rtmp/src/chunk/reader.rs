//! Bytes to messages. Parsed where they lie; a message is put together in memory that grows with what has come and
//! not with what is declared, and small ones then share a larger piece: an allocation for each would cost more than
//! the copy.

use bytes::{Bytes, BytesMut};

use super::{DEFAULT_SIZE, EXTENDED, Message, kind};
use crate::Error;

/// Three bytes for the chunk stream, eleven for the message, four more for its time.
const MAX_HEADER: usize = 18;
/// What a message gets at once. Most pictures fit, so that they are not moved.
const FIRST_PIECE: usize = 16 * 1024;
/// Media messages up to this size share pieces of that: sound, and pictures in which nothing moves. Who keeps one of
/// them keeps its piece.
const SMALL: usize = 4 * 1024;
const SHARED: usize = 16 * 1024;

/// What one connection may make us hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one message.
    pub message: u32,
    /// Chunk streams. Programs use five or six.
    pub streams: usize,
    /// Bytes of all unfinished messages together.
    pub unfinished: usize,
}

impl Limits {
    /// The smaller one of each.
    pub(crate) fn within(self, other: Self) -> Self {
        Self {
            message: self.message.min(other.message),
            streams: self.streams.min(other.streams),
            unfinished: self.unfinished.min(other.unfinished),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { message: 8 << 20, streams: 64, unfinished: 12 << 20 }
    }
}

/// Puts messages together again.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    chunk_size: u32,
    streams: Vec<Stream>,
    /// The chunk whose payload is being read: its stream's place, and what is missing.
    chunk: Option<(usize, usize)>,
    /// The beginning of a header whose end has not come.
    carry: Carry,
    unfinished: usize,
    /// Where the next small messages go.
    shared: BytesMut,
}

/// What one chunk stream remembers: the header of its newest message, and what there is of that one.
#[derive(Debug, Default)]
struct Stream {
    id: u32,
    kind: u8,
    message_stream: u32,
    length: u32,
    timestamp: u32,
    delta: u32,
    /// The extended timestamp of the last header, which chunks of type 3 repeat.
    extended: Option<u32>,
    /// A message has begun and is not whole.
    open: bool,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Carry {
    bytes: [u8; MAX_HEADER],
    len: usize,
}

/// A chunk's header as it was on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    format: u8,
    id: u32,
    /// Absolute or a difference, by `format`; extended already.
    time: u32,
    extended: bool,
    length: u32,
    kind: u8,
    message_stream: u32,
    /// Bytes of the header.
    len: usize,
}

impl Reader {
    /// A connection whose handshake is done.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            chunk_size: DEFAULT_SIZE,
            streams: Vec::new(),
            chunk: None,
            carry: Carry::default(),
            unfinished: 0,
            shared: BytesMut::new(),
        }
    }

    /// From the next message on these hold.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes bytes from the front of `input` until a message is whole; `None` when all are taken.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        loop {
            let (index, missing) = match self.chunk {
                Some(chunk) => chunk,
                None => match self.header(input)? {
                    Some(header) => self.begin(header)?,
                    None => return Ok(None),
                },
            };
            let missing = missing - self.payload(index, missing, input)?;
            if missing > 0 {
                self.chunk = Some((index, missing));
                return Ok(None);
            }
            self.chunk = None;
            if let Some(message) = self.finish(index) {
                match message.kind {
                    kind::CHUNK_SIZE => self.set_chunk_size(&message.body)?,
                    kind::ABORT => self.abort(&message.body),
                    _ => return Ok(Some(message)),
                }
            }
        }
    }

    /// The next header, once all of it is there.
    fn header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Error> {
        loop {
            let held = self.carry.len > 0;
            let bytes = if held { &self.carry.bytes[..self.carry.len] } else { *input };
            match self.parse(bytes)? {
                Ok(header) if held => {
                    self.carry.bytes.copy_within(header.len.., 0);
                    self.carry.len -= header.len;
                    return Ok(Some(header));
                }
                Ok(header) => {
                    *input = &input[header.len..];
                    return Ok(Some(header));
                }
                Err(_) if input.is_empty() => return Ok(None),
                Err(needed) => {
                    let more = needed.saturating_sub(self.carry.len).min(input.len());
                    let (part, rest) = input.split_at(more);
                    self.carry.bytes[self.carry.len..][..more].copy_from_slice(part);
                    self.carry.len += more;
                    *input = rest;
                }
            }
        }
    }

    /// A header at the front of `bytes`, or how many bytes it takes to say more.
    fn parse(&self, bytes: &[u8]) -> Result<Result<Header, usize>, Error> {
        let Some(&first) = bytes.first() else { return Ok(Err(1)) };
        let (id, basic) = match (first & 0x3F, bytes) {
            (0, [_, low, ..]) => (64 + u32::from(*low), 2),
            (0, _) => return Ok(Err(2)),
            (1, [_, low, high, ..]) => (64 + u32::from(*low) + 256 * u32::from(*high), 3),
            (1, _) => return Ok(Err(3)),
            (id, _) => (u32::from(id), 1),
        };
        let format = first >> 6;
        let plain = basic + [11, 7, 3, 0][usize::from(format)];
        let Some(fields) = bytes.get(basic..plain) else { return Ok(Err(plain)) };
        let mut header = Header {
            format,
            id,
            time: 0,
            extended: false,
            length: 0,
            kind: 0,
            message_stream: 0,
            len: plain,
        };
        if let [a, b, c, ..] = *fields {
            header.time = u32::from_be_bytes([0, a, b, c]);
        }
        if let [_, _, _, a, b, c, kind, ..] = *fields {
            header.length = u32::from_be_bytes([0, a, b, c]);
            header.kind = kind;
        }
        if let [.., a, b, c, d] = *fields
            && format == 0
        {
            header.message_stream = u32::from_le_bytes([a, b, c, d]);
        }
        let repeated = match format {
            3 => self.find(id).and_then(|index| self.streams[index].extended),
            _ => None,
        };
        if header.time == EXTENDED || repeated.is_some() {
            let Some(&[a, b, c, d]) = bytes.get(plain..plain + 4) else {
                return Ok(Err(plain + 4));
            };
            let value = u32::from_be_bytes([a, b, c, d]);
            // Some writers leave it out on type 3, against section 5.3.1.3; there, four bytes of payload
            // that are just this value would be a rare coincidence.
            if repeated.is_none_or(|repeated| repeated == value) {
                header.time = value;
                header.extended = true;
                header.len += 4;
            }
        }
        Ok(Ok(header))
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.id == id)
    }

    /// A chunk begins: its stream's place, and how many bytes it holds.
    fn begin(&mut self, header: Header) -> Result<(usize, usize), Error> {
        let wrong = |what| Error::Chunk { what, chunk_stream: header.id };
        let index = match self.find(header.id) {
            Some(index) => index,
            // librtmp's first message on a chunk stream may be of type 1.
            None if header.format > 1 => return Err(wrong("a chunk that continues nothing")),
            None if self.streams.len() >= self.limits.streams => {
                return Err(Error::ChunkStreams(self.limits.streams));
            }
            None => {
                self.streams.push(Stream { id: header.id, ..Stream::default() });
                self.streams.len() - 1
            }
        };
        let stream = &mut self.streams[index];
        if stream.open {
            if header.format != 3 {
                return Err(wrong("a message that begins inside another"));
            }
        } else {
            stream.start(header);
            if stream.length > self.limits.message {
                return Err(Error::TooLong {
                    length: stream.length,
                    limit: self.limits.message,
                    chunk_stream: header.id,
                });
            }
        }
        let missing = (stream.length as usize).saturating_sub(stream.body.len());
        Ok((index, missing.min(self.chunk_size as usize)))
    }

    /// Takes up to `missing` bytes of payload; how many.
    fn payload(&mut self, index: usize, missing: usize, input: &mut &[u8]) -> Result<usize, Error> {
        let stream = &mut self.streams[index];
        let carried = self.carry.len.min(missing);
        let (part, rest) = input.split_at((missing - carried).min(input.len()));
        stream.make_room(carried + part.len());
        if carried > 0 {
            stream.body.extend_from_slice(&self.carry.bytes[..carried]);
            self.carry.bytes.copy_within(carried.., 0);
            self.carry.len -= carried;
        }
        stream.body.extend_from_slice(part);
        *input = rest;
        self.unfinished += carried + part.len();
        if self.unfinished > self.limits.unfinished {
            return Err(Error::Unfinished(self.limits.unfinished));
        }
        Ok(carried + part.len())
    }

    /// The message, if that was its last chunk.
    fn finish(&mut self, index: usize) -> Option<Message> {
        let stream = &mut self.streams[index];
        if stream.body.len() < stream.length as usize {
            return None;
        }
        stream.open = false;
        self.unfinished -= stream.body.len();
        let media = matches!(stream.kind, kind::AUDIO | kind::VIDEO);
        let body = if stream.body.len() > SMALL || !media {
            Bytes::from(std::mem::take(&mut stream.body))
        } else {
            if self.shared.capacity() < stream.body.len() {
                self.shared = BytesMut::with_capacity(SHARED);
            }
            self.shared.extend_from_slice(&stream.body);
            stream.body.clear();
            self.shared.split().freeze()
        };
        let Stream { kind, timestamp, message_stream: stream, .. } = *stream;
        Some(Message { kind, timestamp, stream, body })
    }

    /// Section 5.4.1.
    fn set_chunk_size(&mut self, body: &[u8]) -> Result<(), Error> {
        let size = match body {
            [a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
            _ => 0,
        };
        if size == 0 || size > i32::MAX as u32 {
            return Err(Error::Control { what: "a chunk size that cannot be", value: size });
        }
        self.chunk_size = size;
        Ok(())
    }

    /// Section 5.4.2: what has come of a message is forgotten.
    fn abort(&mut self, body: &[u8]) {
        if let [a, b, c, d, ..] = body
            && let Some(index) = self.find(u32::from_be_bytes([*a, *b, *c, *d]))
        {
            let stream = &mut self.streams[index];
            self.unfinished -= stream.body.len();
            stream.open = false;
            stream.body = Vec::new();
        }
    }

    /// Bytes held for messages that are not whole, and kept for the next.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.streams.iter().map(|stream| stream.body.capacity()).sum()
    }

    /// Chunk streams that it remembers.
    #[cfg(test)]
    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }
}

impl Stream {
    /// A new message, as far as its header says it; the rest is as before (section 5.3.1.2).
    fn start(&mut self, header: Header) {
        self.open = true;
        if header.format < 3 {
            self.extended = header.extended.then_some(header.time);
            self.delta = header.time;
        }
        self.timestamp = match header.format {
            0 => header.time,
            // After a type 0, a type 3 adds that one's time once more (section 5.3.1.2.4).
            _ => self.timestamp.wrapping_add(self.delta),
        };
        if header.format < 2 {
            self.length = header.length;
            self.kind = header.kind;
        }
        if header.format == 0 {
            self.message_stream = header.message_stream;
        }
    }

    /// Room for `more` bytes: at most twice what has come, and never more than the whole message.
    fn make_room(&mut self, more: usize) {
        let needed = self.body.len() + more;
        if needed > self.body.capacity() {
            let good = needed.max(self.body.capacity() * 2).max(FIRST_PIECE);
            let room = good.min(self.length as usize).max(needed);
            self.body.reserve_exact(room - self.body.len());
        }
    }
}
