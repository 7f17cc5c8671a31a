//! One shard behind the calls that several will have: a stand-in until a shard itself has them.

use std::net::SocketAddr;
use std::time::Instant;

use sfu::{Command, Config, Egress, Event, Sink};

/// Media threads that the server may run.
pub(crate) const MAX_SHARDS: usize = 1;

/// What one shard tells another.
#[derive(Debug)]
pub(super) enum Message {}

impl Message {
    pub(super) fn is_media(&self) -> bool {
        match *self {}
    }
}

/// Which session is at home where.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory;

impl Directory {
    pub(super) fn home_of(&self, _: &Command) -> usize {
        0
    }
}

pub(super) struct Shard {
    pub(super) inner: sfu::Shard,
    egress: Egress,
}

impl Shard {
    pub(super) fn new(config: Config, _index: usize, _: Directory, now: Instant) -> Self {
        Self { inner: sfu::Shard::new(config, now), egress: Egress::default() }
    }

    pub(super) fn receive(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &mut [u8],
    ) {
        self.inner.receive(now, source, destination, bytes);
    }

    pub(super) fn command(&mut self, now: Instant, command: Command) {
        self.inner.command(now, command);
    }

    pub(super) fn message(&mut self, _: Instant, message: Message) {
        match message {}
    }

    pub(super) fn dropped(&mut self, message: &Message) {
        match *message {}
    }

    pub(super) fn flush(&mut self, now: Instant, sink: &mut dyn Sink) {
        self.inner.flush(now);
        self.send(sink);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, sink: &mut dyn Sink) {
        self.inner.handle_timeout(now);
        self.send(sink);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.inner.poll_event()
    }

    pub(super) fn poll_message(&mut self) -> Option<(usize, Message)> {
        None
    }

    fn send(&mut self, sink: &mut dyn Sink) {
        while let Some(transmit) = self.inner.poll_transmit() {
            self.egress.push(transmit.source, transmit.destination, &transmit.contents);
            if self.egress.is_full() {
                self.egress.drain(sink);
            }
        }
        self.egress.drain(sink);
    }
}
