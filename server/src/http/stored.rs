//! Files that lie on disk, as bodies: in pieces, each read when the one before has gone out, so that a slow reader holds
//! one of them and no more.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::live::Disk;

/// Read at once, in bytes.
const PIECE: u64 = 128 << 10;

type Reading = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>;

/// What is left of a range of an open file.
pub(super) struct Pieces {
    disk: Disk,
    file: Arc<File>,
    left: Range<u64>,
    reading: Option<Reading>,
    /// Read already.
    first: Option<Bytes>,
}

impl Pieces {
    pub(super) fn new(disk: Disk, file: Arc<File>, range: Range<u64>) -> Self {
        Self { disk, file, left: range, reading: None, first: None }
    }

    /// This part of what is left, of which nothing was read.
    pub(super) fn within(mut self, within: &Range<u64>) -> Self {
        let start = self.left.start;
        self.left = start + within.start..(start + within.end).min(self.left.end);
        self
    }

    /// Reads the first piece, so that what cannot be read is known before anything is said.
    ///
    /// # Errors
    /// What the system says.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        if self.first.is_none() && self.length() > 0 {
            self.first = Some(self.read().await?);
        }
        Ok(())
    }

    /// The next piece, being read.
    fn read(&self) -> Reading {
        let (disk, file, from) = (self.disk.clone(), Arc::clone(&self.file), self.left.start);
        let length = usize::try_from(self.length().min(PIECE)).unwrap_or(0);
        Box::pin(async move { disk.read(file, from, length).await })
    }

    /// How many bytes are left.
    pub(super) fn length(&self) -> u64 {
        self.left.end.saturating_sub(self.left.start)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            self.left.start += first.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let mut reading = self.reading.take().unwrap_or_else(|| self.read());
        let Poll::Ready(read) = reading.as_mut().poll(cx) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        // After a failure there is no more: the connection ends before the length that was promised.
        self.left.start = match &read {
            Ok(piece) => self.left.start + piece.len() as u64,
            Err(_) => self.left.end,
        };
        Poll::Ready(Some(read.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}
