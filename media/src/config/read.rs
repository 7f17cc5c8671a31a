//! Reading a structure of bytes from front to back, with errors that say where it ended.

use bytes::Bytes;

use super::Error;

/// What has not been read yet of a structure. Slices share its memory.
pub(super) struct Reader<'a> {
    what: &'static str,
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    /// `what` is the structure's name in errors.
    pub(super) fn new(what: &'static str, bytes: &'a Bytes) -> Self {
        Self { what, bytes, at: 0 }
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Error> {
        let rest = &self.bytes[self.at..];
        let Some(array) = rest.first_chunk::<N>() else {
            return Err(Error::CutShort { what: self.what, field, len: self.bytes.len() });
        };
        self.at += N;
        Ok(*array)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, Error> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// Big-endian.
    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, Error> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize, field: &'static str) -> Result<Bytes, Error> {
        if len > self.left() {
            return Err(Error::CutShort { what: self.what, field, len: self.bytes.len() });
        }
        self.at += len;
        Ok(self.bytes.slice(self.at - len..self.at))
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Bytes {
        let rest = self.bytes.slice(self.at..);
        self.at = self.bytes.len();
        rest
    }

    /// Bytes behind their length in two bytes.
    pub(super) fn sized(&mut self, field: &'static str) -> Result<Bytes, Error> {
        let len = self.u16(field)?;
        self.take(len.into(), field)
    }
}

/// Writes `bytes` behind their length in two bytes; the caller has seen to it that they have one.
pub(super) fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&bytes[..usize::from(len)]);
}
