//! The server's side of a connection, see [`Session`]. What each command does is in `calls`, what
//! publishers send in `publish`, what players get in `play`.

mod calls;
mod play;
mod publish;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{AccessUnit, Codec, Format};

use self::calls::Request;
use self::play::Play;
use self::publish::Publish;
use crate::chunk::{self, Message, kind};
use crate::handshake::RANDOM;
use crate::intake::Intake;
use crate::link::Link;
use crate::metadata::Metadata;
use crate::{Error, flv};

/// Before anybody is known, nothing long is to be said.
const STRANGER: chunk::Limits =
    chunk::Limits { message: 64 * 1024, streams: 16, unfinished: 128 * 1024 };
/// Media that waits for a player; its owner has a smaller bound, and this is for when it has none.
const MAX_MEDIA: usize = 64 << 20;
/// Events for which room is kept once there have been more.
const KEPT_EVENTS: usize = 64;

/// What the owner of a session decides beforehand.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The applications that there are; with none, any name is right. `live` stands for `live/_definst_`, its
    /// default instance, too, and for no other: two publishers of two instances are not of one stream.
    pub apps: Vec<String>,
    /// What one connection may make us hold.
    pub limits: chunk::Limits,
    /// What players take that say nothing of Enhanced RTMP. FFmpeg says nothing and takes all of it.
    pub silent: flv::Peer,
}

impl Config {
    fn takes_app(&self, app: &str) -> bool {
        let default = app.strip_suffix("/_definst_").unwrap_or(app);
        self.apps.is_empty() || self.apps.iter().any(|known| known == app || known == default)
    }

    /// One of them, or anything within one.
    fn may_take_app(&self, app: &str) -> bool {
        let within =
            |known: &String| app.strip_prefix(&**known).is_some_and(|rest| rest.starts_with('/'));
        self.takes_app(app) || self.apps.iter().any(within)
    }
}

/// How far a session is. Up to [`Phase::Idle`] the peer is to get on, in [`Phase::Waiting`] the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The handshake is not done.
    Handshake,
    /// No `connect` yet.
    Connect,
    /// Connected; neither publishing nor playing.
    Idle,
    /// A request waits for [`Session::accept`] or [`Session::refuse`].
    Waiting,
    /// Media comes in.
    Publishing,
    /// Media goes out.
    Playing,
    /// Over: what comes is not read any more. Output may be left.
    Ended,
}

/// What a session says to its owner.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// It wants to publish: answer.
    Publish {
        /// See [`crate::Address::app`].
        app: String,
        /// See [`crate::Address::name`].
        name: String,
        /// See [`crate::Address::query`].
        query: String,
    },
    /// It wants to play: answer.
    Play {
        /// See [`crate::Address::app`].
        app: String,
        /// See [`crate::Address::name`].
        name: String,
        /// See [`crate::Address::query`].
        query: String,
    },
    /// A track begins, or goes on in another format.
    Track {
        /// Which.
        track: flv::Track,
        /// What its units are from here on.
        format: Format,
    },
    /// A unit of a track that is known.
    Unit {
        /// Of which.
        track: flv::Track,
        /// The unit.
        unit: AccessUnit,
    },
    /// The publisher says that a track is at its end; it may begin anew.
    TrackEnd {
        /// Which.
        track: flv::Track,
    },
    /// A track that is not carried; the others go on. Said once for each.
    Refused {
        /// Which.
        track: flv::Track,
        /// Why, in words for who publishes.
        refusal: flv::Refusal,
    },
    /// Something odd in a track, said once.
    Notice {
        /// Which.
        track: flv::Track,
        /// What.
        notice: flv::Notice,
    },
    /// What the encoder says of its settings.
    Metadata(Metadata),
    /// The peer has ended it: close the connection once the output is sent.
    Ended {
        /// Why.
        reason: Reason,
    },
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The peer said that it is done.
    Finished,
    /// There is no such application: it was told so.
    NoSuchApp,
}

/// Why a request is refused. Programs look for these, people read the description beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The name is taken, or no name.
    BadName,
    /// They may not.
    Denied,
    /// There is no such stream to play.
    NotFound,
}

/// Who is connected, in their own words: without control characters, and not longer than 256 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The program: `FMLE/3.0 (compatible; FMSc/1.0)` is what OBS says.
    pub agent: String,
    /// The application that it named, without a query.
    pub app: String,
    /// The address that it was given, without the stream.
    pub tc_url: String,
    /// It spoke of Enhanced RTMP.
    pub enhanced: bool,
}

/// What was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Messages of unknown types.
    pub unknown: u64,
    /// Media of somebody who does not publish.
    pub stray: u64,
    /// Data that is no metadata, or cannot be read.
    pub data: u64,
    /// Units for a player who has paused, or whose format it was not told.
    pub unplayed: u64,
}

/// One connection of a publisher or player, on the server. The contract:
///
/// - Whoever owns it calls [`receive`](Self::receive) with what came, then takes all events
///   ([`poll_event`](Self::poll_event)), then sends all output ([`poll_output`](Self::poll_output)).
/// - [`Event::Publish`] and [`Event::Play`] wait for [`accept`](Self::accept) or [`refuse`](Self::refuse).
///   Until then media is kept, up to a bound; it comes as events of `accept`.
/// - After an error, [`Event::Ended`], `refuse` or [`end`](Self::end) the session is over: send what output
///   there is, read on for a second or until the peer closes, then close. Programs close by themselves; who
///   closes before them resets the connection, and they show that instead of what they were told. Who ends a
///   session gets no event of it.
/// - Time limits are the owner's, by [`phase`](Self::phase); so is how much it lets wait to be sent, of what it
///   has taken and of what is still [`queued`](Self::queued), before it stops sending units, and stops reading: a
///   peer may ask for answers faster than it reads them.
#[derive(Debug)]
pub struct Session {
    config: Config,
    link: Link,
    phase: Phase,
    peer: Peer,
    app: String,
    capabilities: Option<flv::Peer>,
    /// Message streams that were asked for.
    streams: u32,
    /// What it wants, or wanted and got.
    request: Option<Request>,
    publish: Publish,
    play: Option<Play>,
    events: VecDeque<Event>,
    drops: Drops,
}

impl Session {
    /// A connection has come. The random bytes go into the handshake; they guard nothing.
    pub fn new(config: Config, random: &[u8; RANDOM]) -> Self {
        let link = Link::server(random, STRANGER.within(config.limits));
        Self {
            config,
            link,
            phase: Phase::Handshake,
            peer: Peer::default(),
            app: String::new(),
            capabilities: None,
            streams: 0,
            request: None,
            publish: Publish::default(),
            play: None,
            events: VecDeque::new(),
            drops: Drops::default(),
        }
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Who it is; empty before [`Phase::Idle`].
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether it said that it takes this codec; [`Config::silent`] speaks for who says nothing. H.264 and
    /// AAC always.
    pub fn takes(&self, codec: Codec) -> bool {
        self.peer_takes().takes(codec)
    }

    fn peer_takes(&self) -> flv::Peer {
        self.capabilities.unwrap_or(self.config.silent)
    }

    /// What was left out so far.
    pub fn drops(&self) -> Drops {
        self.drops
    }

    /// What the tags of a publisher had in them that was left out or mended.
    pub fn counters(&self) -> flv::Counters {
        self.publish.intake.counters()
    }

    /// Bytes have come. An error ends the session; there may be output that says so to the peer.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Error> {
        let result = self.take(now, bytes);
        if result.is_err() {
            self.phase = Phase::Ended;
        }
        result
    }

    fn take(&mut self, now: Instant, mut bytes: &[u8]) -> Result<(), Error> {
        while self.phase != Phase::Ended {
            let message = self.link.receive(now, &mut bytes)?;
            if self.phase == Phase::Handshake && self.link.is_up() {
                self.phase = Phase::Connect;
            }
            let Some(message) = message else { break };
            self.message(now, message)?;
        }
        self.link.acknowledge();
        Ok(())
    }

    fn message(&mut self, now: Instant, message: Message) -> Result<(), Error> {
        match message.kind {
            kind::COMMAND | kind::COMMAND3 => return self.command(&message),
            _ if Intake::takes(&message) => return self.media(now, message),
            _ => self.drops.unknown += 1,
        }
        Ok(())
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && self.events.capacity() > KEPT_EVENTS {
            self.events.shrink_to(KEPT_EVENTS);
        }
        event
    }

    /// The next bytes to send, in order.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        self.link.out.poll()
    }

    /// Bytes that wait to be polled.
    pub fn queued(&self) -> usize {
        self.link.out.queued()
    }

    /// Asks the peer for a sign of life; [`rtt`](Self::rtt) has how long it took.
    pub fn ping(&mut self, now: Instant) {
        if (Phase::Idle..Phase::Ended).contains(&self.phase) {
            self.link.ping(now);
        }
    }

    /// How long the newest ping took to come back.
    pub fn rtt(&self) -> Option<Duration> {
        self.link.rtt()
    }
}
