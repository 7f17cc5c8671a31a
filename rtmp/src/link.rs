//! One connection, as both sides need it: handshake, chunks, and the messages that are about the
//! connection itself (RTMP 1.0 sections 5.4 and 7.1.7). Commands and media are passed on.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::Error;
use crate::amf::Value;
use crate::chunk::{self, Head, Message, kind};
use crate::command;
use crate::handshake::{Handshake, RANDOM};
use crate::output::Output;

/// How large our chunks are: most pictures in one or two, and still room for sound between those of a
/// large one.
pub(crate) const CHUNK_SIZE: u32 = 64 * 1024;
/// The other side is to acknowledge so many bytes.
pub(crate) const WINDOW: u32 = 2_500_000;
/// Nobody is to make us acknowledge more often than this.
const SMALLEST_WINDOW: u32 = 4096;
/// Answers that wait to be taken by the owner, who stops bringing more while the peer does not read them: so
/// many come of one batch of bytes only by malice.
const MAX_ANSWERS: usize = 256 * 1024;
/// Chunk streams of ours.
pub(crate) mod stream {
    pub(crate) const CONTROL: u8 = 2;
    pub(crate) const COMMAND: u8 = 3;
    pub(crate) const STATUS: u8 = 5;
    pub(crate) const AUDIO: u8 = 4;
    pub(crate) const VIDEO: u8 = 6;
}

/// User control events (section 7.1.7).
mod event {
    pub(super) const STREAM_BEGIN: u16 = 0;
    pub(super) const STREAM_EOF: u16 = 1;
    pub(super) const PING: u16 = 6;
    pub(super) const PONG: u16 = 7;
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    handshake: Handshake,
    reader: chunk::Reader,
    writer: chunk::Writer,
    pub(crate) out: Output,
    /// Bytes that have come, and how many of them the other side knows of.
    received: u64,
    acknowledged: u64,
    window: u32,
    /// The window that we last told, and what the other side wants us to.
    told: u32,
    pings: Pings,
    /// What may wait in `out` before a peer counts as deaf.
    max_queued: usize,
}

#[derive(Debug, Default)]
struct Pings {
    /// When the first was sent: theirs and ours count milliseconds from there.
    epoch: Option<Instant>,
    rtt: Option<Duration>,
}

impl Link {
    pub(crate) fn server(random: &[u8; RANDOM], limits: chunk::Limits) -> Self {
        Self::new(Handshake::server(random), Output::new(), limits)
    }

    pub(crate) fn client(random: &[u8; RANDOM], limits: chunk::Limits) -> Self {
        let mut out = Output::new();
        let handshake = out.with(|out| Handshake::client(random, out));
        Self::new(handshake, out, limits)
    }

    fn new(handshake: Handshake, out: Output, limits: chunk::Limits) -> Self {
        Self {
            handshake,
            reader: chunk::Reader::new(limits),
            writer: chunk::Writer::new(),
            out,
            received: 0,
            acknowledged: 0,
            window: WINDOW,
            told: 0,
            pings: Pings::default(),
            max_queued: MAX_ANSWERS,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.handshake.is_done()
    }

    /// See [`chunk::Reader::limit`].
    pub(crate) fn limit(&mut self, limits: chunk::Limits) {
        self.reader.limit(limits);
    }

    /// From now on so much may wait to be sent, as media does.
    pub(crate) fn limit_queue(&mut self, bytes: usize) {
        self.max_queued = bytes;
    }

    /// The newest time that a ping took to come back.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.pings.rtt
    }

    /// Takes bytes until there is a message for those above; `None` when all are taken.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        input: &mut &[u8],
    ) -> Result<Option<Message>, Error> {
        let before = input.len();
        let result = self.next(now, input);
        self.received += (before - input.len()) as u64;
        result
    }

    fn next(&mut self, now: Instant, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        if !self.handshake.is_done() {
            let handshake = &mut self.handshake;
            self.out.with(|out| handshake.receive(input, out))?;
            if !self.handshake.is_done() {
                return Ok(None);
            }
        }
        while let Some(message) = self.reader.read(input)? {
            if self.out.queued() > self.max_queued {
                return Err(Error::Deaf(self.max_queued));
            }
            match message.kind {
                kind::ACKNOWLEDGEMENT => {}
                kind::USER_CONTROL => self.user_control(now, &message.body),
                kind::WINDOW => self.window = word(&message.body).max(SMALLEST_WINDOW),
                kind::BANDWIDTH => {
                    let wanted = word(&message.body);
                    if wanted != self.told {
                        self.tell_window(wanted);
                    }
                }
                _ => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    /// Acknowledges what has come, if it is time to. To be called once for each batch of bytes.
    pub(crate) fn acknowledge(&mut self) {
        if self.received - self.acknowledged >= u64::from(self.window) {
            self.acknowledged = self.received;
            // The count wraps (section 5.4.3).
            self.control(kind::ACKNOWLEDGEMENT, &(self.received as u32).to_be_bytes());
        }
    }

    fn user_control(&mut self, now: Instant, body: &[u8]) {
        match *body {
            [a, b, ref time @ ..] if u16::from_be_bytes([a, b]) == event::PING => {
                self.user(event::PONG, word(time));
            }
            [a, b, ref time @ ..] if u16::from_be_bytes([a, b]) == event::PONG => {
                let sent = Duration::from_millis(word(time).into());
                let since = self.pings.epoch.map(|epoch| now.saturating_duration_since(epoch));
                self.pings.rtt = since.and_then(|since| since.checked_sub(sent));
            }
            _ => {}
        }
    }

    /// Asks the other side for a sign of life.
    pub(crate) fn ping(&mut self, now: Instant) {
        let epoch = *self.pings.epoch.get_or_insert(now);
        self.user(event::PING, now.saturating_duration_since(epoch).as_millis() as u32);
    }

    /// A stream begins.
    pub(crate) fn begin(&mut self, stream: u32) {
        self.user(event::STREAM_BEGIN, stream);
    }

    /// A stream is at its end.
    pub(crate) fn eof(&mut self, stream: u32) {
        self.user(event::STREAM_EOF, stream);
    }

    fn user(&mut self, event: u16, value: u32) {
        let mut body = [0; 6];
        body[..2].copy_from_slice(&event.to_be_bytes());
        body[2..].copy_from_slice(&value.to_be_bytes());
        self.control(kind::USER_CONTROL, &body);
    }

    /// How many bytes the other side is to acknowledge at once.
    pub(crate) fn tell_window(&mut self, window: u32) {
        self.told = window;
        self.control(kind::WINDOW, &window.to_be_bytes());
    }

    /// How many bytes the other side may have on the way; dynamic.
    pub(crate) fn tell_bandwidth(&mut self) {
        let [a, b, c, d] = WINDOW.to_be_bytes();
        self.control(kind::BANDWIDTH, &[a, b, c, d, 2]);
    }

    /// How large our chunks are from here on.
    pub(crate) fn tell_chunk_size(&mut self, size: u32) {
        self.writer.set_chunk_size(size, &mut self.out);
    }

    fn control(&mut self, kind: u8, body: &[u8]) {
        let head = Head { chunk_stream: stream::CONTROL, kind, timestamp: 0, stream: 0 };
        self.writer.write(head, body, &Bytes::new(), &mut self.out);
    }

    /// A call or an answer that belongs to no stream.
    pub(crate) fn command(&mut self, name: &str, transaction: f64, values: &[Value]) {
        self.call(stream::COMMAND, 0, name, transaction, values);
    }

    /// `onStatus` of a stream.
    pub(crate) fn status(&mut self, stream: u32, information: Value) {
        self.call(stream::STATUS, stream, "onStatus", 0.0, &[Value::Null, information]);
    }

    /// A call on a stream.
    pub(crate) fn call(
        &mut self,
        chunk_stream: u8,
        stream: u32,
        name: &str,
        transaction: f64,
        values: &[Value],
    ) {
        let body = command::write(name, transaction, values);
        self.write(chunk_stream, kind::COMMAND, 0, stream, &body, &Bytes::new());
    }

    /// Any message; false if it is too long for RTMP.
    pub(crate) fn write(
        &mut self,
        chunk_stream: u8,
        kind: u8,
        timestamp: u32,
        stream: u32,
        front: &[u8],
        rest: &Bytes,
    ) -> bool {
        let head = Head { chunk_stream, kind, timestamp, stream };
        self.writer.write(head, front, rest, &mut self.out)
    }
}

/// The first four bytes; 0 if there are fewer.
fn word(body: &[u8]) -> u32 {
    match body {
        [a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}
