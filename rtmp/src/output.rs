//! What waits to be sent: small things written one behind another, large ones as shared slices.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Below this a copy is cheaper than an entry of its own.
const SHARE: usize = 512;

/// A queue of bytes. Its order is the order of the wire.
#[derive(Debug, Default)]
pub struct Output {
    ready: VecDeque<Bytes>,
    tail: BytesMut,
    queued: usize,
}

impl Output {
    /// Nothing to send.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that wait.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Appends a copy.
    pub fn put(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.queued += bytes.len();
    }

    /// Appends without a copy, where that pays.
    pub fn share(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE {
            return self.put(&bytes);
        }
        self.queued += bytes.len();
        if !self.tail.is_empty() {
            self.ready.push_back(self.tail.split().freeze());
        }
        self.ready.push_back(bytes);
    }

    /// Lets `write` append as it likes.
    pub fn with<T>(&mut self, write: impl FnOnce(&mut BytesMut) -> T) -> T {
        let before = self.tail.len();
        let result = write(&mut self.tail);
        self.queued += self.tail.len() - before;
        result
    }

    /// The next bytes to send.
    pub fn poll(&mut self) -> Option<Bytes> {
        let next = match self.ready.pop_front() {
            Some(next) => next,
            None if self.tail.is_empty() => return None,
            None => self.tail.split().freeze(),
        };
        self.queued -= next.len();
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_count_hold_and_large_things_are_not_copied() {
        let large = Bytes::from(vec![7; 4096]);
        let mut output = Output::new();
        output.put(b"a");
        output.share(large.clone());
        output.with(|tail| tail.extend_from_slice(b"bc"));
        output.share(Bytes::from_static(b"d"));
        assert_eq!(output.queued(), 1 + 4096 + 3);
        let sent: Vec<Bytes> = std::iter::from_fn(|| output.poll()).collect();
        assert_eq!(sent.len(), 3);
        assert_eq!((&sent[0][..], &sent[2][..]), (&b"a"[..], &b"bcd"[..]));
        assert_eq!(sent[1].as_ptr(), large.as_ptr());
        assert_eq!(output.queued(), 0);
    }
}
