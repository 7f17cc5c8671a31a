//! A reader of server-sent events (WHATWG HTML section 9.2) over HTTP/1.1, as `EventSource` is one:
//! what has come is kept, and the connection can be closed from this side.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// For an event to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection on which events come.
pub struct EventStream {
    socket: TcpStream,
    /// Head of the answer, names in lower case.
    pub head: String,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    events: Vec<(String, Value)>,
    comments: usize,
    ended: bool,
}

impl EventStream {
    /// Opens it; the answer has to be 200.
    pub fn open(url: &str) -> Self {
        let rest = url.strip_prefix("http://").expect("plain HTTP in tests");
        let (host, path) = rest.split_once('/').expect("a URL with a path");
        let mut socket = TcpStream::connect(host).unwrap_or_else(|e| panic!("{host}: {e}"));
        let request = format!(
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\
             Origin: https://elsewhere.example\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).expect("a small request goes out at once");
        let mut reader = BufReader::new(socket.try_clone().expect("a socket can be shared"));
        let head = head(&mut reader);
        assert!(head.starts_with("http/1.1 200"), "{url}: {head}");
        let heard = Arc::new(Heard::default());
        let ear = heard.clone();
        std::thread::spawn(move || ear.listen(reader));
        Self { socket, head, heard }
    }

    /// Waits for an event of this name, whatever comes before it; what was looked at is forgotten.
    #[track_caller]
    pub fn next(&self, name: &str) -> Value {
        self.until(name, |_| true)
    }

    /// The same for one with such data.
    #[track_caller]
    pub fn until(&self, name: &str, good: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        let mut state = self.heard.state.lock().unwrap();
        loop {
            let found = state.events.iter().position(|(n, data)| n == name && good(data));
            if let Some(at) = found {
                return state.events.drain(..=at).next_back().expect("it was found").1;
            }
            let left = end.saturating_duration_since(Instant::now());
            let more = !state.ended && !left.is_zero();
            assert!(more, "no {name}, ended: {}, but {:?}", state.ended, state.events);
            state = self.heard.news.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits for the end, and returns the names of what came before it and was not looked at.
    #[track_caller]
    pub fn rest(&self) -> Vec<String> {
        let state = self.heard.state.lock().unwrap();
        let ended = |state: &mut State| !state.ended;
        let state = self.heard.news.wait_timeout_while(state, PATIENCE, ended).unwrap().0;
        assert!(state.ended, "it goes on: {:?}", state.events);
        state.events.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Waits for the next comment: the first says that the connection is there, the others that it
    /// still is.
    #[track_caller]
    pub fn comment(&self) {
        let state = self.heard.state.lock().unwrap();
        let silent = |state: &mut State| state.comments == 0 && !state.ended;
        let mut state = self.heard.news.wait_timeout_while(state, PATIENCE, silent).unwrap().0;
        let more = state.comments.checked_sub(1);
        state.comments = more.unwrap_or_else(|| panic!("no comment: {:?}", state.events));
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Heard {
    fn listen(&self, mut reader: BufReader<TcpStream>) {
        let mut text = String::new();
        while let Some(chunk) = chunk(&mut reader) {
            text.push_str(&chunk);
            let mut state = self.state.lock().unwrap();
            while let Some((block, rest)) = text.split_once("\n\n") {
                state.take(block);
                text = rest.to_owned();
            }
            drop(state);
            self.news.notify_all();
        }
        self.state.lock().unwrap().ended = true;
        self.news.notify_all();
    }
}

impl State {
    /// The draft has one `data` line in each event.
    fn take(&mut self, block: &str) {
        if block.starts_with(':') {
            self.comments += 1;
            return;
        }
        let lines: Vec<&str> = block.lines().collect();
        let [event, data] = lines[..] else { panic!("no event: {block:?}") };
        let name = event.strip_prefix("event: ").unwrap_or_else(|| panic!("no name: {block:?}"));
        let data = data.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {block:?}"));
        let data = serde_json::from_str(data).unwrap_or_else(|e| panic!("{block:?}: {e}"));
        self.events.push((name.to_owned(), data));
    }
}

fn head(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("the head of an answer") > 0, "cut: {head}");
    }
    head.to_lowercase()
}

/// One chunk (RFC 9112 section 7.1); `None` at the end, or when the connection breaks off.
fn chunk(reader: &mut impl BufRead) -> Option<String> {
    let mut size = String::new();
    reader.read_line(&mut size).ok()?;
    let size = usize::from_str_radix(size.trim(), 16).ok().filter(|size| *size > 0)?;
    let mut bytes = vec![0; size + 2];
    reader.read_exact(&mut bytes).ok()?;
    bytes.truncate(size);
    Some(String::from_utf8(bytes).expect("events are text"))
}
