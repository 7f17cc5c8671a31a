//! What each command of a client does, in the order in which they come: `connect`, what prepares a stream,
//! `publish` or `play` with the owner's answer, and the ways to say goodbye.

use super::play::{self, Play};
use super::publish::EARLY;
use super::{Event, MAX_MEDIA, Phase, Reason, Refusal, Session};
use crate::address::Address;
use crate::amf::Value;
use crate::chunk::Message;
use crate::command::{Call, Level, code, information};
use crate::link::{CHUNK_SIZE, WINDOW};
use crate::{Error, capabilities};

/// What servers call themselves; encoders look for the name.
const SERVER: &str = "FMS/3,5,7,7009";
/// As that one has it.
const SERVER_CAPABILITIES: f64 = 31.0;
/// Streams that one connection may ask for. It can use one.
const MAX_STREAMS: u32 = 64;
/// Bytes that are kept of what a client says of itself.
const MAX_WORDS: usize = 256;

/// Somebody wants to publish or play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    publish: bool,
    /// The message stream that it is on.
    stream: u32,
}

impl Session {
    /// A command has come.
    pub(super) fn command(&mut self, message: &Message) -> Result<(), Error> {
        let call = Call::read(message)?;
        if self.phase == Phase::Connect {
            return match &*call.name {
                "connect" => self.connect(&call),
                _ => Err(Error::Command { command: "connect", what: "another command came first" }),
            };
        }
        match &*call.name {
            "connect" => {
                return Err(Error::Command { command: "connect", what: "it came a second time" });
            }
            "createStream" => return self.create_stream(&call),
            "publish" => return self.request(true, call.text(), message.stream),
            "play" => return self.request(false, call.text(), message.stream),
            "play2" => {
                let name = call.values.get(1).and_then(|options| options.get("streamName"));
                return self.request(false, name.and_then(Value::text), message.stream);
            }
            "FCPublish" => self.announce(&call, "onFCPublish", code::PUBLISH_START),
            "FCSubscribe" => self.announce(&call, "onFCSubscribe", code::PLAY_START),
            // `deleteStream` mostly follows, but who reads our answer to neither may reset the connection.
            "FCUnpublish" => {
                self.announce(&call, "onFCUnpublish", code::UNPUBLISHED);
                if let Some(Request { publish: true, stream }) = self.request {
                    self.close(stream);
                }
            }
            "closeStream" => self.close(message.stream),
            "deleteStream" => {
                self.close(call.values.get(1).and_then(Value::number).unwrap_or(0.0) as u32)
            }
            "pause" => self.pause(&call, message.stream),
            // Live: there is nowhere else to go. Players that wait for this go on where they are.
            "seek" => self.tell(message.stream, code::SEEKED, "this stream is live"),
            "getStreamLength" => self.answer(&call, 0.0.into()),
            "releaseStream" | "_checkbw" | "FCUnsubscribe" => self.answer(&call, Value::Undefined),
            "_result" | "_error" | "onStatus" | "receiveAudio" | "receiveVideo" => {}
            _ if call.transaction != 0.0 => {
                let failed = information(Level::Error, code::CALL_FAILED, "no such method");
                self.link.command("_error", call.transaction, &[Value::Null, failed]);
            }
            _ => {}
        }
        Ok(())
    }

    fn answer(&mut self, call: &Call, value: Value) {
        if call.transaction != 0.0 {
            self.link.command("_result", call.transaction, &[Value::Null, value]);
        }
    }

    fn tell(&mut self, stream: u32, code: &str, description: &str) {
        self.link.status(stream, information(Level::Status, code, description));
    }

    fn connect(&mut self, call: &Call) -> Result<(), Error> {
        let object = call.object();
        let app = object.get("app").and_then(Value::text).unwrap_or_default();
        let address = Address::new(app, "stream")?;
        let words = |key| words_of(object.get(key).and_then(Value::text).unwrap_or_default());
        self.capabilities = capabilities::read(object);
        self.peer.agent = words("flashVer");
        self.peer.tc_url = words("tcUrl");
        self.peer.enhanced = self.capabilities.is_some();
        self.app = app.to_owned();

        self.peer.app = words_of(&address.app);
        // What follows may be the stream, given with the server's address and no key: seen when it is asked for.
        if !self.config.may_take_app(&address.app) {
            let description = self.no_such_app(&address.app);
            let rejected = information(Level::Error, code::CONNECT_REJECTED, &description);
            self.link.command("_error", call.transaction, &[Value::Null, rejected]);
            self.over(Reason::NoSuchApp);
            return Ok(());
        }
        self.link.tell_window(WINDOW);
        self.link.tell_bandwidth();
        self.link.tell_chunk_size(CHUNK_SIZE);
        let [properties, information] = connected(self.peer.enhanced);
        self.link.command("_result", call.transaction, &[properties, information]);
        self.phase = Phase::Idle;
        Ok(())
    }

    fn no_such_app(&self, app: &str) -> String {
        let (app, there_is) = (words_of(app), self.config.apps.join(", "));
        let hint = if app.contains('/') { "; and the name of a stream has no slash" } else { "" };
        format!("no application \"{app}\" here, only: {there_is}{hint}")
    }

    fn create_stream(&mut self, call: &Call) -> Result<(), Error> {
        if self.streams >= MAX_STREAMS {
            return Err(Error::Command { command: "createStream", what: "too many streams" });
        }
        self.streams += 1;
        self.answer(call, f64::from(self.streams).into());
        Ok(())
    }

    /// To what precedes or follows the request itself; nobody is let in by it.
    fn announce(&mut self, call: &Call, name: &str, code: &str) {
        let said = information(Level::Status, code, call.text().unwrap_or_default());
        self.link.command(name, 0.0, &[Value::Null, said]);
        self.answer(call, Value::Undefined);
    }

    fn request(&mut self, publish: bool, name: Option<&str>, stream: u32) -> Result<(), Error> {
        let command = if publish { "publish" } else { "play" };
        if self.phase != Phase::Idle {
            let what = "this connection publishes or plays already";
            let code = if publish { code::PUBLISH_BAD_NAME } else { code::PLAY_FAILED };
            self.link.status(stream, information(Level::Error, code, what));
            return Err(Error::Command { command, what });
        }
        let Address { app, name, query } = Address::new(&self.app, name.unwrap_or_default())?;
        if !self.config.takes_app(&app) {
            let code = if publish { code::PUBLISH_BAD_NAME } else { code::PLAY_NOT_FOUND };
            self.link.status(stream, information(Level::Error, code, &self.no_such_app(&app)));
            self.over(Reason::NoSuchApp);
            return Ok(());
        }
        self.request = Some(Request { publish, stream });
        self.phase = Phase::Waiting;
        if publish {
            self.link.limit(EARLY.within(self.config.limits));
        }
        self.events.push_back(match publish {
            true => Event::Publish { app, name, query },
            false => Event::Play { app, name, query },
        });
        Ok(())
    }

    /// The newest request is granted. Events may follow: what a publisher had already sent.
    pub fn accept(&mut self) {
        let (Phase::Waiting, Some(request)) = (self.phase, self.request) else { return };
        let stream = request.stream;
        self.link.begin(stream);
        if request.publish {
            self.phase = Phase::Publishing;
            self.link.limit(self.config.limits);
            self.tell(stream, code::PUBLISH_START, "publishing");
            self.release();
        } else {
            self.phase = Phase::Playing;
            self.link.limit_queue(MAX_MEDIA);
            self.tell(stream, code::PLAY_RESET, "playing and resetting");
            self.tell(stream, code::PLAY_START, "playing");
            self.play = Some(Play::new(self.peer_takes(), stream));
        }
    }

    /// The newest request is not granted, and the session over. Encoders show the description.
    pub fn refuse(&mut self, refusal: Refusal, description: &str) {
        let (Phase::Waiting, Some(request)) = (self.phase, self.request) else { return };
        let code = match (request.publish, refusal) {
            (true, Refusal::Denied) => code::PUBLISH_DENIED,
            (true, _) => code::PUBLISH_BAD_NAME,
            (false, Refusal::NotFound) => code::PLAY_NOT_FOUND,
            (false, _) => code::PLAY_FAILED,
        };
        self.link.status(request.stream, information(Level::Error, code, description));
        self.phase = Phase::Ended;
    }

    /// The stream ends from our side, and the session with it. The peer is told.
    pub fn end(&mut self, description: &str) {
        if self.phase != Phase::Ended {
            self.farewell(Level::Error, description);
            self.phase = Phase::Ended;
        }
    }

    /// FFmpeg shows a publisher nothing but errors.
    fn farewell(&mut self, level: Level, description: &str) {
        let Some(request) = self.request else { return };
        if request.publish {
            self.link.status(request.stream, information(level, code::UNPUBLISHED, description));
        } else {
            self.link.eof(request.stream);
            for said in play::stopped(description) {
                self.link.status(request.stream, said);
            }
        }
    }

    /// A stream is closed: ours, or one that nothing happened on.
    fn close(&mut self, stream: u32) {
        if self.request.is_some_and(|request| request.stream == stream || stream == 0) {
            self.farewell(Level::Status, "done");
            self.over(Reason::Finished);
        }
    }

    fn over(&mut self, reason: Reason) {
        self.phase = Phase::Ended;
        self.events.push_back(Event::Ended { reason });
    }

    fn pause(&mut self, call: &Call, stream: u32) {
        let Some(play) = &mut self.play else { return };
        let paused = call.values.get(1) == Some(&Value::Boolean(true));
        play.pause(paused);
        let code = if paused { code::PAUSED } else { code::UNPAUSED };
        self.tell(stream, code, "live goes on without you meanwhile");
    }
}

/// The two objects that answer a `connect`. Who spoke of Enhanced RTMP hears of ours, in both: the
/// specification does not say in which.
fn connected(enhanced: bool) -> [Value; 2] {
    let mut properties =
        vec![("fmsVer".into(), SERVER.into()), ("capabilities".into(), SERVER_CAPABILITIES.into())];
    let success = information(Level::Status, code::CONNECTED, "connected");
    let mut information = success.fields().to_vec();
    information.push(("objectEncoding".into(), 0.0.into()));
    if enhanced {
        properties.extend(capabilities::ours());
        information.extend(capabilities::ours());
    }
    [Value::Object(properties), Value::Object(information)]
}

/// What a client says of itself, fit to be logged.
fn words_of(said: &str) -> String {
    let end = said.floor_char_boundary(MAX_WORDS);
    said[..end].chars().filter(|c| !c.is_control()).collect()
}
