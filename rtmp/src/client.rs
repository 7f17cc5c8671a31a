//! A client that publishes or plays one stream, as encoders and players do it: for the load tool, for
//! tests, and to pull or push.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use media::{AccessUnit, Codec, Format};

use crate::address::Url;
use crate::amf::Value;
use crate::chunk::{self, Message, kind};
use crate::command::{Call, code};
use crate::handshake::RANDOM;
use crate::intake::{Intake, Taken};
use crate::link::{Link, WINDOW, stream};
use crate::metadata::Metadata;
use crate::outlet::Outlet;
use crate::{Error, capabilities, flv};

/// Media that waits for a server; its owner has a smaller bound, and this is for when it has none.
const MAX_MEDIA: usize = 64 << 20;
/// Bytes that are kept of what a server says.
const MAX_WORDS: usize = 512;

/// The numbers of our calls: each comes once.
mod transaction {
    pub(super) const CONNECT: f64 = 1.0;
    pub(super) const RELEASE: f64 = 2.0;
    pub(super) const ANNOUNCE: f64 = 3.0;
    pub(super) const CREATE: f64 = 4.0;
    pub(super) const START: f64 = 5.0;
    pub(super) const UNANNOUNCE: f64 = 6.0;
    pub(super) const DELETE: f64 = 7.0;
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To send media.
    Publish,
    /// To receive it.
    Play,
}

/// What is to be known beforehand.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where and what.
    pub url: Url,
    /// Send or receive.
    pub mode: Mode,
    /// What it calls itself.
    pub agent: String,
    /// Whether it speaks of Enhanced RTMP. OBS up to 29 and FFmpeg by default do not.
    pub enhanced: bool,
    /// How large its chunks are: 128 if nobody says anything, OBS says 4096.
    pub chunk_size: u32,
    /// What the server may make us hold.
    pub limits: chunk::Limits,
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The handshake is not done.
    Handshake,
    /// It waits to be connected.
    Connect,
    /// It waits for a stream.
    Create,
    /// It waits to be let in.
    Start,
    /// Media goes out or comes in.
    Ready,
    /// Over.
    Ended,
}

/// What a client says to its owner.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// It was let in: media may be sent, or will come.
    Ready,
    /// It was not, or is not any more.
    Refused {
        /// Such as `NetStream.Publish.BadName`.
        code: String,
        /// In the server's words.
        description: String,
    },
    /// What a track says; in [`Mode::Play`].
    Media(flv::Item),
    /// What is known of the stream; in [`Mode::Play`].
    Metadata(Metadata),
    /// The server says that the stream is at its end.
    Ended,
}

/// One connection to a server; its contract is that of [`crate::Session`].
#[derive(Debug)]
pub struct Client {
    config: Config,
    link: Link,
    phase: Phase,
    /// What the server said that it takes; in [`Mode::Publish`] we assume the best.
    server: flv::Peer,
    stream: u32,
    intake: Intake,
    outlet: Option<Outlet>,
    events: VecDeque<Event>,
}

impl Client {
    /// A connection is made. There is output at once.
    pub fn new(config: Config, random: &[u8; RANDOM]) -> Self {
        Self {
            link: Link::client(random, config.limits),
            config,
            phase: Phase::Handshake,
            server: flv::Peer::everything(),
            stream: 0,
            intake: Intake::default(),
            outlet: None,
            events: VecDeque::new(),
        }
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What the tags of the stream had in them that was left out or mended.
    pub fn counters(&self) -> flv::Counters {
        self.intake.counters()
    }

    /// Bytes have come.
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
                self.connect();
            }
            let Some(message) = message else { break };
            match message.kind {
                kind::COMMAND | kind::COMMAND3 => self.command(&Call::read(&message)?)?,
                _ if Intake::takes(&message) => self.media(now, message),
                _ => {}
            }
        }
        self.link.acknowledge();
        Ok(())
    }

    fn media(&mut self, now: Instant, message: Message) {
        if self.config.mode == Mode::Publish {
            return;
        }
        let events = &mut self.events;
        self.intake.take(now, message, &mut |taken| match taken {
            Taken::Item(item) => events.push_back(Event::Media(item)),
            Taken::Metadata(metadata) => events.push_back(Event::Metadata(metadata)),
            Taken::OtherData => {}
        });
    }

    fn connect(&mut self) {
        self.phase = Phase::Connect;
        let Config { url, mode, agent, enhanced, chunk_size, .. } = &self.config;
        let mut fields = vec![("app".to_owned(), Value::from(&*url.app))];
        if *mode == Mode::Publish {
            fields.push(("type".to_owned(), "nonprivate".into()));
        }
        fields.push(("flashVer".to_owned(), agent.as_str().into()));
        fields.push(("tcUrl".to_owned(), Value::String(url.tc_url())));
        if *enhanced {
            fields.extend(capabilities::ours());
        }
        self.link.tell_chunk_size(*chunk_size);
        self.link.command("connect", transaction::CONNECT, &[Value::Object(fields)]);
    }

    fn command(&mut self, call: &Call) -> Result<(), Error> {
        match (&*call.name, self.phase) {
            ("_result", Phase::Connect) if call.transaction == transaction::CONNECT => {
                self.connected(call);
            }
            ("_result", Phase::Create) if call.transaction == transaction::CREATE => {
                let stream = call.values.get(1).and_then(Value::number);
                let Some(stream) = stream.filter(|id| (1.0..f64::from(u32::MAX)).contains(id))
                else {
                    return Err(Error::Command { command: "createStream", what: "no stream came" });
                };
                self.start(stream as u32);
            }
            ("_error", Phase::Connect | Phase::Create | Phase::Start)
                if [transaction::CONNECT, transaction::CREATE, transaction::START]
                    .contains(&call.transaction) =>
            {
                self.refused(call);
            }
            ("onStatus", Phase::Start | Phase::Ready) => self.status(call),
            ("close", _) => self.over(Event::Ended),
            _ => {}
        }
        Ok(())
    }

    fn connected(&mut self, call: &Call) {
        let said = call.values.iter().find_map(capabilities::read);
        self.server = said.unwrap_or(self.server);
        self.phase = Phase::Create;
        let name = || Value::from(&*self.config.url.name);
        if self.config.mode == Mode::Publish {
            self.link.command("releaseStream", transaction::RELEASE, &[Value::Null, name()]);
            self.link.command("FCPublish", transaction::ANNOUNCE, &[Value::Null, name()]);
        } else {
            self.link.tell_window(WINDOW);
        }
        self.link.command("createStream", transaction::CREATE, &[Value::Null]);
    }

    fn start(&mut self, stream: u32) {
        self.stream = stream;
        self.phase = Phase::Start;
        let name = Value::from(&*self.config.url.name);
        // Live first, then whatever there is of that name.
        let (command, how) = match self.config.mode {
            Mode::Publish => ("publish", Value::from("live")),
            Mode::Play => ("play", Value::from(-2000.0)),
        };
        let values = [Value::Null, name, how];
        self.link.call(stream::STATUS, stream, command, transaction::START, &values);
    }

    fn status(&mut self, call: &Call) {
        let information = call.values.get(1).unwrap_or(&Value::Null);
        let is = |key, wanted| information.get(key).and_then(Value::text) == Some(wanted);
        let over = [code::PLAY_STOP, code::PLAY_UNPUBLISHED, code::UNPUBLISHED];
        // The end is said at whatever level people are to see it.
        if over.iter().any(|code| is("code", code)) {
            self.over(Event::Ended);
        } else if is("level", "error") {
            self.refused(call);
        } else if self.phase == Phase::Start
            && (is("code", code::PUBLISH_START) || is("code", code::PLAY_START))
        {
            self.phase = Phase::Ready;
            self.link.limit_queue(MAX_MEDIA);
            self.outlet = Some(Outlet::new(self.server, self.stream));
            self.events.push_back(Event::Ready);
        }
    }

    fn refused(&mut self, call: &Call) {
        let information = call.values.get(1).unwrap_or(&Value::Null);
        let words = |key| {
            let said = information.get(key).and_then(Value::text).unwrap_or_default();
            said[..said.floor_char_boundary(MAX_WORDS)].to_owned()
        };
        self.over(Event::Refused { code: words("code"), description: words("description") });
    }

    fn over(&mut self, event: Event) {
        self.phase = Phase::Ended;
        self.events.push_back(event);
    }

    /// Says what a track's units are from here on. Nothing happens before [`Event::Ready`].
    pub fn send_format(&mut self, track: u8, format: &Format) -> Result<(), flv::Refusal> {
        match &mut self.outlet {
            Some(outlet) if self.phase == Phase::Ready && self.config.mode == Mode::Publish => {
                outlet.format(track, format, &mut self.link)
            }
            _ => Ok(()),
        }
    }

    /// Sends a unit, in the order of `dts`. False if it was left out.
    pub fn send_unit(&mut self, track: flv::Track, unit: &AccessUnit) -> bool {
        match &mut self.outlet {
            Some(outlet) if self.phase == Phase::Ready && self.config.mode == Mode::Publish => {
                outlet.unit(track, unit, &mut self.link)
            }
            _ => false,
        }
    }

    /// Sends what is known of the stream.
    pub fn send_metadata(&mut self, metadata: &Metadata, codecs: &[Codec]) {
        if let (Some(outlet), true) = (&self.outlet, self.sends()) {
            let values = ["@setDataFrame".into(), "onMetaData".into(), metadata.write(codecs)];
            outlet.data(&values, &mut self.link);
        }
    }

    fn sends(&self) -> bool {
        self.phase == Phase::Ready && self.config.mode == Mode::Publish
    }

    /// Says that it is done, and is over.
    pub fn end(&mut self) {
        if matches!(self.phase, Phase::Start | Phase::Ready) {
            if self.config.mode == Mode::Publish {
                let values = [Value::Null, Value::from(&*self.config.url.name)];
                self.link.command("FCUnpublish", transaction::UNANNOUNCE, &values);
            }
            let values = [Value::Null, f64::from(self.stream).into()];
            self.link.command("deleteStream", transaction::DELETE, &values);
        }
        self.phase = Phase::Ended;
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next bytes to send, in order.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        self.link.out.poll()
    }

    /// Bytes that wait to be polled.
    pub fn queued(&self) -> usize {
        self.link.out.queued()
    }
}
