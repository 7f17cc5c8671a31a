//! Reads numbers from the front of a message; `None` at its end.

use bytes::Bytes;

pub(super) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(super) fn new(body: &Bytes) -> Self {
        Self { rest: body.clone() }
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes, shared.
    pub(super) fn take(&mut self, n: usize) -> Option<Bytes> {
        (n <= self.rest.len()).then(|| self.rest.split_to(n))
    }

    /// All that is left, shared.
    pub(super) fn rest(self) -> Bytes {
        self.rest
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u24(&mut self) -> Option<u32> {
        let [a, b, c] = self.array()?;
        Some(u32::from_be_bytes([0, a, b, c]))
    }

    pub(super) fn i24(&mut self) -> Option<i32> {
        let [a, b, c] = self.array()?;
        // The sign is that of the highest byte.
        Some(i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.as_ref().try_into().ok()
    }
}
