//! An RTMP client of the tests' own (Adobe's RTMP 1.0): it sends FLV tags as they are, at any timestamps, and hears what the
//! server says. It shares no code with the server.

mod air;
mod amf;
mod chunks;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use air::{Air, Sent};
pub use chunks::Message;

use crate::flv::Tag;
use crate::weir::Weir;

/// For anything that the server should do at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// Message types (RTMP 1.0 section 7.1 and 5.4).
const COMMAND: u8 = 20;
const SET_CHUNK_SIZE: u8 = 1;

/// What the server told us with `onStatus` or `_error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `status` or `error`.
    pub level: String,
    /// `NetStream.Publish.Start`, and so on.
    pub code: String,
    /// In words.
    pub description: String,
}

/// A connection.
pub struct Rtmp {
    socket: TcpStream,
    heard: Arc<Heard>,
    stream: u32,
}

#[derive(Default)]
struct Heard {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    messages: Vec<(Instant, Message)>,
    closed: Option<Instant>,
}

impl Rtmp {
    /// Shakes hands.
    pub fn connect(address: &str) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut hello = [0x5a; 1 + 1536];
        hello[0] = 3;
        hello[1..9].fill(0);
        socket.write_all(&hello)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut theirs = [0; 1 + 1536 + 1536];
        socket.read_exact(&mut theirs)?;
        assert_eq!(theirs[0], 3, "the version of the handshake");
        assert_eq!(theirs[1 + 1536 + 8..], hello[9..], "our random bytes come back in S2");
        socket.write_all(&theirs[1..=1536])?;
        socket.set_read_timeout(None)?;
        let heard = Arc::new(Heard::default());
        let (ear, reader) = (heard.clone(), socket.try_clone()?);
        std::thread::spawn(move || ear.listen(reader));
        let mut rtmp = Self { socket, heard, stream: 0 };
        rtmp.message(2, SET_CHUNK_SIZE, 0, 0, &4096u32.to_be_bytes())?;
        Ok(rtmp)
    }

    /// Connects to `app` and publishes under `key` (name and query); the refusal if there is one.
    pub fn publish(weir: &Weir, app: &str, key: &str) -> Result<Self, Status> {
        Self::publish_to(&weir.rtmp(), app, key)
    }

    /// To any server, at `host:port`.
    pub fn publish_to(server: &str, app: &str, key: &str) -> Result<Self, Status> {
        let mut rtmp = Self::connect(server).expect("the server shakes hands");
        rtmp.enter(app, &format!("rtmp://{server}/{app}"))?;
        let stream = rtmp.stream;
        for (number, name) in [(2.0, "releaseStream"), (3.0, "FCPublish")] {
            rtmp.command(0, &[json!(name), json!(number), Value::Null, json!(key)]);
        }
        rtmp.command(
            stream,
            &[json!("publish"), json!(5.0), Value::Null, json!(key), json!("live")],
        );
        rtmp.until_status(|status| status.code == "NetStream.Publish.Start")?;
        Ok(rtmp)
    }

    /// `connect` and `createStream`.
    pub fn enter(&mut self, app: &str, url: &str) -> Result<(), Status> {
        let object =
            json!({ "app": app, "type": "nonprivate", "flashVer": "FMLE/3.0", "tcUrl": url });
        self.command(0, &[json!("connect"), json!(1.0), object]);
        self.until_status(|status| status.code == "NetConnection.Connect.Success")?;
        self.command(0, &[json!("createStream"), json!(4.0), Value::Null]);
        self.stream = self
            .until("createStream is answered", |messages| {
                let answer = commands(messages).find(|c| c[0] == "_result" && c[1] == 4.0)?;
                answer[3].as_f64().map(|number| number as u32)
            })
            .expect("the connection stays");
        Ok(())
    }

    /// Sends a command; that the other side may have gone is seen elsewhere.
    pub fn command(&mut self, stream: u32, values: &[Value]) {
        let _ = self.message(3, COMMAND, stream, 0, &amf::write(values));
    }

    /// Sends a tag at this time.
    pub fn send(&mut self, tag: &Tag, timestamp: u32) -> io::Result<()> {
        let chunk_stream = if tag.is_video() { 6 } else { 4 };
        self.message(chunk_stream, tag.kind, self.stream, timestamp, &tag.body)
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    fn message(
        &mut self,
        chunk_stream: u8,
        kind: u8,
        stream: u32,
        timestamp: u32,
        body: &[u8],
    ) -> io::Result<()> {
        self.socket.write_all(&chunks::write(chunk_stream, kind, stream, timestamp, body))
    }

    /// Leaves as encoders do.
    pub fn leave(mut self, key: &str) {
        let stream = self.stream;
        self.command(0, &[json!("FCUnpublish"), json!(6.0), Value::Null, json!(key)]);
        self.command(0, &[json!("deleteStream"), json!(7.0), Value::Null, json!(stream)]);
    }

    /// Every status that has come.
    pub fn statuses(&self) -> Vec<Status> {
        let state = self.heard.state.lock().unwrap();
        statuses(&state.messages)
    }

    /// Waits until this status comes; another one that is an error, or the end, is the refusal.
    pub fn until_status(&self, good: impl Fn(&Status) -> bool) -> Result<Status, Status> {
        let found = self.until("a status", |messages| {
            let all = statuses(messages);
            let seen = all.iter().find(|s| good(s)).map(|s| Ok(s.clone()));
            seen.or_else(|| all.into_iter().find(|s| s.level == "error").map(Err))
        });
        found.unwrap_or_else(|| {
            let text = "the connection was closed without a word".to_owned();
            Err(Status { level: "error".into(), code: String::new(), description: text })
        })
    }

    /// When the server closed the connection; panics if it does not within `limit`.
    #[track_caller]
    pub fn closed(&self, limit: Duration) -> Instant {
        let end = Instant::now() + limit;
        let mut state = self.heard.state.lock().unwrap();
        loop {
            if let Some(at) = state.closed {
                return at;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "still open after {limit:?}: {:?}", statuses(&state.messages));
            state = self.heard.news.wait_timeout(state, left).unwrap().0;
        }
    }

    /// True while the server has not closed it.
    pub fn is_open(&self) -> bool {
        self.heard.state.lock().unwrap().closed.is_none()
    }

    /// `None` if the connection is closed before `see` sees something.
    fn until<T>(&self, what: &str, see: impl Fn(&[(Instant, Message)]) -> Option<T>) -> Option<T> {
        let end = Instant::now() + PATIENCE;
        let mut state = self.heard.state.lock().unwrap();
        loop {
            if let Some(found) = see(&state.messages) {
                return Some(found);
            }
            if state.closed.is_some() {
                return None;
            }
            let left = end.saturating_duration_since(Instant::now());
            let said: Vec<_> = commands(&state.messages).collect();
            assert!(!left.is_zero(), "never: {what}; commands: {said:?}");
            state = self.heard.news.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Rtmp {
    fn drop(&mut self) {
        // Else the thread that reads would keep it open.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Heard {
    fn listen(&self, mut socket: TcpStream) {
        let mut reader = chunks::Reader::default();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = socket.read(&mut buffer).unwrap_or(0);
            let now = Instant::now();
            let mut state = self.state.lock().unwrap();
            if read == 0 {
                state.closed = Some(now);
            } else {
                state.messages.extend(reader.read(&buffer[..read]).into_iter().map(|m| (now, m)));
            }
            drop(state);
            self.news.notify_all();
            if read == 0 {
                return;
            }
        }
    }
}

fn commands(messages: &[(Instant, Message)]) -> impl Iterator<Item = Vec<Value>> {
    messages.iter().filter(|(_, m)| m.kind == COMMAND).map(|(_, m)| amf::read(&m.body))
}

/// Of `_result` and `_error` of `connect`, and of `onStatus`.
fn statuses(messages: &[(Instant, Message)]) -> Vec<Status> {
    let about = |values: Vec<Value>| {
        let name =
            values[0].as_str().filter(|name| ["onStatus", "_result", "_error"].contains(name));
        name?;
        let info = values.iter().rfind(|v| v.get("code").is_some())?;
        let text = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
        let level = if values[0] == "_error" { "error".into() } else { text("level") };
        Some(Status { level, code: text("code"), description: text("description") })
    };
    commands(messages).filter_map(about).collect()
}
