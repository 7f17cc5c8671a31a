//! Cuts what the socket gives into frames and reads them.

use bytes::{Buf, BytesMut};

use super::{MAX_FRAME, Message, wire};
use crate::Error;

/// Frames above this do not leave a buffer of their size behind.
const KEPT: usize = 1 << 20;

/// What has come in and was not read yet. Call [`Reader::read`] until it has no more after each
/// [`Reader::push`]: it then holds one frame and one push at most, whatever lengths were announced.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: BytesMut,
}

impl Reader {
    /// Takes what the socket gave.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message; `None` until more has come. After an error nothing that follows can be trusted.
    pub fn read(&mut self) -> Result<Option<Message>, Error> {
        let Some((length, rest)) = self.bytes.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(Error::TooLong { what: "a message", length, max: MAX_FRAME });
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let message = wire::read(frame);
        self.bytes.advance(4 + length);
        if self.bytes.is_empty() && length > KEPT {
            self.bytes = BytesMut::new();
        }
        message.map(Some)
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes that wait.
    pub fn held(&self) -> usize {
        self.bytes.len()
    }
}
