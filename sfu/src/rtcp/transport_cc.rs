//! Transport-wide congestion control feedback: which packets came, and when
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).

use super::{u16, u32};

/// Units of the reference time: 64 ms.
pub(super) const REFERENCE_US: i64 = 64_000;
/// Units of the deltas: 250 µs.
pub(super) const DELTA_US: i64 = 250;

/// Symbols, by what they cost in bytes of delta; 3 is reserved.
pub(super) const NOT_RECEIVED: u8 = 0;
pub(super) const SMALL_DELTA: u8 = 1;
pub(super) const LARGE_DELTA: u8 = 2;

/// One feedback packet: checked, so that all statuses and deltas that it announces are there.
#[derive(Clone, Copy, Debug)]
pub struct TransportCc<'a> {
    /// Whose packets, or any of them: the numbers are those of the transport.
    pub media_ssrc: u32,
    /// Transport-wide sequence number of the first status.
    pub base_seq: u16,
    /// How many statuses follow.
    pub status_count: u16,
    /// The receiver's clock in units of 64 ms, 24 bits, wraps: what [`TransportCc::arrivals`] are
    /// relative to.
    pub reference: u32,
    /// Counts the feedback packets, wraps.
    pub feedback_count: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportCc<'a> {
    pub(super) fn parse(media_ssrc: u32, body: &'a [u8]) -> Option<Self> {
        let (base_seq, body) = u16(body)?;
        let (status_count, body) = u16(body)?;
        let (word, body) = u32(body)?;
        let (chunks, deltas) = measure(status_count, body)?;
        let (chunks, rest) = body.split_at_checked(chunks)?;
        let deltas = rest.get(..deltas)?;
        let (reference, feedback_count) = (word >> 8, word as u8);
        Some(Self { media_ssrc, base_seq, status_count, reference, feedback_count, chunks, deltas })
    }

    /// Each packet in the order of the sequence numbers: when it arrived, in microseconds since the
    /// reference time; `None` if it did not.
    pub fn arrivals(&self) -> Arrivals<'a> {
        Arrivals {
            chunks: self.chunks,
            deltas: self.deltas,
            chunk: Chunk::default(),
            left: self.status_count,
            seq: self.base_seq,
            time: 0,
        }
    }

    /// The receiver's time from `earlier`'s reference time to this one's, in microseconds; the nearer
    /// way around the wrap, so below zero where this one is the older.
    pub fn since(&self, earlier: &TransportCc<'_>) -> i64 {
        let units = self.reference.wrapping_sub(earlier.reference) << 8;
        i64::from(units.cast_signed() >> 8) * REFERENCE_US
    }
}

impl<'a> IntoIterator for TransportCc<'a> {
    type Item = (u16, Option<i64>);
    type IntoIter = Arrivals<'a>;

    fn into_iter(self) -> Arrivals<'a> {
        self.arrivals()
    }
}

/// How many bytes of chunks and of deltas so many statuses take.
fn measure(status_count: u16, mut chunks: &[u8]) -> Option<(usize, usize)> {
    let (mut left, mut taken, mut deltas) = (status_count, 0, 0);
    while left > 0 {
        let (word, rest) = u16(chunks)?;
        let mut chunk = Chunk::parse(word);
        chunk.len = chunk.len.min(left);
        left -= chunk.len;
        deltas += chunk.delta_bytes()?;
        taken += 2;
        chunks = rest;
        // A run of none would let a packet of nothing but such runs look well-formed.
        if chunk.len == 0 {
            return None;
        }
    }
    Some((taken, deltas))
}

/// A run of one symbol, or a vector of them.
#[derive(Clone, Copy, Debug, Default)]
struct Chunk {
    /// Symbols that are left.
    len: u16,
    /// Width of a symbol in a vector: 1 or 2 bits; 0 for a run.
    width: u16,
    /// Of a run: its symbol. Of a vector: its symbols, the next one at the top.
    bits: u16,
}

impl Chunk {
    fn parse(word: u16) -> Self {
        match (word & 0x8000, word & 0x4000) {
            (0, _) => Self { len: word & 0x1fff, width: 0, bits: word >> 13 },
            (_, 0) => Self { len: 14, width: 1, bits: word << 2 },
            _ => Self { len: 7, width: 2, bits: word << 2 },
        }
    }

    fn next(&mut self) -> Option<u8> {
        self.len = self.len.checked_sub(1)?;
        if self.width == 0 {
            return Some(self.bits as u8);
        }
        let symbol = self.bits >> (16 - self.width);
        self.bits <<= self.width;
        Some(symbol as u8)
    }

    /// Bytes of delta that its symbols announce; `None` if one of them is reserved.
    fn delta_bytes(mut self) -> Option<usize> {
        let each = |symbol: u8| (symbol <= LARGE_DELTA).then_some(usize::from(symbol));
        if self.width == 0 {
            return Some(each(self.bits as u8)? * usize::from(self.len));
        }
        let mut bytes = 0;
        while let Some(symbol) = self.next() {
            bytes += each(symbol)?;
        }
        Some(bytes)
    }
}

/// Iterator over sequence numbers and arrivals.
#[derive(Clone, Debug)]
pub struct Arrivals<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    chunk: Chunk,
    left: u16,
    seq: u16,
    time: i64,
}

impl Iterator for Arrivals<'_> {
    type Item = (u16, Option<i64>);

    fn next(&mut self) -> Option<(u16, Option<i64>)> {
        self.left = self.left.checked_sub(1)?;
        if self.chunk.len == 0 {
            let (word, rest) = u16(self.chunks)?;
            (self.chunk, self.chunks) = (Chunk::parse(word), rest);
        }
        let delta = match self.chunk.next()? {
            SMALL_DELTA => {
                let (&delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i64::from(delta))
            }
            LARGE_DELTA => {
                let (delta, rest) = u16(self.deltas)?;
                self.deltas = rest;
                Some(i64::from(delta.cast_signed()))
            }
            _ => None,
        };
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        let arrival = delta.map(|delta| {
            self.time += delta * DELTA_US;
            self.time
        });
        Some((seq, arrival))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(usize::from(self.left)))
    }
}
