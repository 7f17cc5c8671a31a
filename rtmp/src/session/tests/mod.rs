//! Sessions as clients find them: written by hand as each program does it, recorded from real ones, our
//! own client in memory, and hostile ones.

mod flows;
mod hostile;
mod pair;
mod recorded;

use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{AccessUnit, Codec, Format, Kind, MediaTime};

use super::*;
use crate::amf::{Value, amf0};
use crate::chunk::{Head, Limits, Message, Reader, Writer};
use crate::command::{self, Call};
use crate::handshake::Handshake;
use crate::output::Output;

const VIDEO: flv::Track = flv::Track::main(Kind::Video);
const AUDIO: flv::Track = flv::Track::main(Kind::Audio);

/// Some instant; tests only ever add to it.
#[expect(clippy::disallowed_methods, reason = "a test needs one real instant to begin with")]
fn epoch() -> Instant {
    Instant::now()
}

/// A client by hand, and the session that it talks to.
struct Script {
    session: Session,
    now: Instant,
    writer: Writer,
    out: Output,
    /// What reads the session's answers.
    handshake: Handshake,
    reader: Reader,
    said: Vec<Message>,
    events: Vec<Event>,
}

impl Script {
    /// The handshake is done.
    fn new(config: Config) -> Self {
        let mut out = Output::new();
        let handshake = out.with(|out| Handshake::client(&[1; RANDOM], out));
        let mut script = Self {
            session: Session::new(config, &[2; RANDOM]),
            now: epoch(),
            writer: Writer::new(),
            out,
            handshake,
            reader: Reader::new(Limits::default()),
            said: Vec::new(),
            events: Vec::new(),
        };
        assert_eq!(script.session.phase(), Phase::Handshake);
        script.flush().unwrap();
        assert_eq!(script.session.phase(), Phase::Connect);
        script
    }

    /// Connected to the application `live`.
    fn connected() -> Self {
        let mut script = Self::new(Config::default());
        let object = Value::object([("app", "live".into()), ("flashVer", "test".into())]);
        script.call(0, "connect", 1.0, &[object]).unwrap();
        script.calls();
        script
    }

    /// Connected, and the request to publish `cam` on stream 1 granted.
    fn publishing() -> Self {
        let mut script = Self::connected();
        script.call(1, "publish", 5.0, &[Value::Null, "cam".into(), "live".into()]).unwrap();
        script.session.accept();
        script.flush().unwrap();
        script.calls();
        script
    }

    fn playing() -> Self {
        let mut script = Self::connected();
        script.call(1, "play", 5.0, &[Value::Null, "cam".into()]).unwrap();
        script.session.accept();
        script.flush().unwrap();
        script.calls();
        script
    }

    fn write(&mut self, chunk_stream: u8, kind: u8, timestamp: u32, stream: u32, body: &[u8]) {
        let head = Head { chunk_stream, kind, timestamp, stream };
        self.writer.write(head, body, &Bytes::new(), &mut self.out);
    }

    fn send(&mut self, kind: u8, timestamp: u32, body: &[u8]) -> Result<(), Error> {
        self.write(4, kind, timestamp, 1, body);
        self.flush()
    }

    fn call(
        &mut self,
        stream: u32,
        name: &str,
        transaction: f64,
        values: &[Value],
    ) -> Result<(), Error> {
        self.write(3, kind::COMMAND, 0, stream, &command::write(name, transaction, values));
        self.flush()
    }

    /// Gives the session all that was written, and takes all that it says.
    fn flush(&mut self) -> Result<(), Error> {
        loop {
            let sent: Vec<u8> = std::iter::from_fn(|| self.out.poll()).flatten().collect();
            let result = self.session.receive(self.now, &sent);
            self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
            let answer: Vec<u8> =
                std::iter::from_fn(|| self.session.poll_output()).flatten().collect();
            assert_eq!(self.session.queued(), 0);
            let mut answer = &answer[..];
            let (handshake, out) = (&mut self.handshake, &mut self.out);
            out.with(|out| handshake.receive(&mut answer, out)).unwrap();
            while let Some(message) = self.reader.read(&mut answer).unwrap() {
                self.said.push(message);
            }
            if result.is_err() || self.out.queued() == 0 {
                return result;
            }
        }
    }

    /// The commands that the session has said since the last time.
    fn calls(&mut self) -> Vec<(u32, Call)> {
        let said = std::mem::take(&mut self.said);
        let commands = said.iter().filter(|message| message.kind == kind::COMMAND);
        commands.map(|message| (message.stream, Call::read(message).unwrap())).collect()
    }

    /// The codes of the statuses among them.
    fn codes(&mut self) -> Vec<String> {
        let code = |call: &Call| Some(call.values.get(1)?.get("code")?.text()?.to_owned());
        self.calls().iter().filter_map(|(_, call)| code(call)).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

/// The message of an AVC sequence header, 320 by 180, High.
const AVC: &[u8] =
    b"\x17\0\0\0\0\x01d\0\x0c\xff\xe1\0\x1agd\0\x0c\xac\xd9AA\x9f\x9f\x01\x10\0\0\x03\0\x10\0\0\
\x03\x03 \xf1B\x99`\x01\0\x04h\xef\x8f\xcb\xfd\xf8\xf8\0";
/// A keyframe with one small slice, and a picture behind it.
const KEY: &[u8] = b"\x17\x01\0\0\0\0\0\0\x05\x65\x88\x84\0\x10";
const DELTA: &[u8] = b"\x27\x01\0\0\0\0\0\0\x05\x41\x9a\x24\0\x10";

fn avc() -> Format {
    Format {
        codec: Codec::H264,
        config: Bytes::from_static(&AVC[5..]),
        dimensions: Some((320, 180)),
        sound: None,
    }
}

fn unit(millis: i64, keyframe: bool) -> AccessUnit {
    let time = MediaTime::from_millis(millis);
    let data = if keyframe { &KEY[5..] } else { &DELTA[5..] };
    AccessUnit { dts: time, pts: time, keyframe, data: Bytes::from_static(data) }
}

/// Metadata as a message.
fn metadata(set: bool) -> Vec<u8> {
    let mut body = bytes::BytesMut::new();
    if set {
        amf0::write(&"@setDataFrame".into(), &mut body);
    }
    amf0::write(&"onMetaData".into(), &mut body);
    amf0::write(&Value::EcmaArray(vec![("width".into(), 320.0.into())]), &mut body);
    body.to_vec()
}
