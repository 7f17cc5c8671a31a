//! A stream, a clock that moves when told to, and a few names: the stage of `life.rs` and
//! `conflict.rs`.

#![allow(dead_code, reason = "each of the two needs a part of it")]

use std::time::{Duration, Instant};

use media::{Activity, Codec};
use signaling::SessionId;
use stream::{Command, Config, Conflict, Event, Reason, Stream};

pub(crate) const ALICE: SessionId = SessionId::from_random(1);
pub(crate) const BOB: SessionId = SessionId::from_random(2);
pub(crate) const CAROL: SessionId = SessionId::from_random(3);
pub(crate) const VIEWER: SessionId = SessionId::from_random(10);
pub(crate) const OTHER: SessionId = SessionId::from_random(11);

pub(crate) const GRACE: Duration = Duration::from_secs(10);
pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) struct Scene {
    pub(crate) now: Instant,
    pub(crate) stream: Stream,
}

impl Scene {
    pub(crate) fn new(on_conflict: Conflict) -> Self {
        Self::with(Config { grace: GRACE, on_conflict, bridges: false })
    }

    #[expect(clippy::disallowed_methods, reason = "a fake clock starts somewhere")]
    pub(crate) fn with(config: Config) -> Self {
        Self { now: Instant::now(), stream: Stream::new(config) }
    }

    pub(crate) fn on(&mut self, event: Event) -> Vec<Command> {
        let mut out = Vec::new();
        self.stream.handle(self.now, event, &mut out);
        out
    }

    /// Time passes; the stream is woken when it wants to be.
    pub(crate) fn after(&mut self, time: Duration) -> Vec<Command> {
        let end = self.now + time;
        let mut out = Vec::new();
        while let Some(due) = self.stream.deadline().filter(|due| *due <= end) {
            assert!(due > self.now, "it wants to be woken for what is past");
            self.now = due;
            self.stream.handle_timeout(due, &mut out);
        }
        self.now = end;
        out
    }

    /// Joins and connects.
    pub(crate) fn publishes(&mut self, session: SessionId) -> Vec<Command> {
        let mut out = self.on(joins(session));
        out.extend(self.on(Event::PublisherConnected { session }));
        out
    }

    /// Joins, connects, and media comes.
    pub(crate) fn shows(&mut self, session: SessionId) -> Vec<Command> {
        let mut out = self.publishes(session);
        out.extend(self.sends(session, Codec::Vp8));
        out.extend(self.is(session, Activity::Media));
        out
    }

    pub(crate) fn sends(&mut self, session: SessionId, codec: Codec) -> Vec<Command> {
        self.on(Event::MediaStarted { session, codec })
    }

    pub(crate) fn is(&mut self, session: SessionId, activity: Activity) -> Vec<Command> {
        self.on(Event::PublisherActivity { session, activity })
    }

    pub(crate) fn watches(&mut self, session: SessionId, codecs: &[Codec]) -> Vec<Command> {
        self.on(Event::ViewerJoined { session, codecs: codecs.to_vec() })
    }

    pub(crate) fn active(&self) -> Option<SessionId> {
        self.stream.publisher().map(|p| p.session)
    }
}

pub(crate) fn joins(session: SessionId) -> Event {
    Event::PublisherJoined { session, codecs: vec![Codec::Opus, Codec::H264, Codec::Vp8] }
}

pub(crate) fn leaves(session: SessionId) -> Event {
    Event::PublisherLeft { session, reason: "it said goodbye".into(), goodbye: true }
}

pub(crate) fn is_lost(session: SessionId) -> Event {
    Event::PublisherLeft { session, reason: "its transport failed".into(), goodbye: false }
}

pub(crate) fn attach(viewer: SessionId, publisher: SessionId) -> Command {
    Command::Attach { viewer, publisher }
}

pub(crate) fn close(session: SessionId, reason: Reason) -> Command {
    Command::Close { session, reason }
}
