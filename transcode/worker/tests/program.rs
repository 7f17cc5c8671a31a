//! The real program at the other end of a socket pair: the order of the protocol, and how it ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the message")]

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use media::{Codec, Format};
use transcode::protocol::{Hello, Message, Options, Reader, Spec, Target, Unit};

/// One packet of Opus at 48 kHz, 20 ms, stereo: silence (RFC 6716 section 3.1, configuration 31).
const SILENCE: &[u8] = &[0xfc, 0xff, 0xfe];

struct Worker {
    child: Child,
    socket: UnixStream,
    reader: Reader,
}

impl Worker {
    fn start() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_weir-transcoder"))
            .args(["--nice", "1", "--memory-mb", "1024", "--threads", "1"])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env_clear()
            .spawn()
            .unwrap();
        Self { child, socket: ours, reader: Reader::default() }
    }

    fn send(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).unwrap();
        self.socket.write_all(&bytes).unwrap();
    }

    /// `None`: it has closed.
    fn next(&mut self) -> Option<Message> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.reader.read().unwrap() {
                return Some(message);
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => self.reader.push(&buffer[..length]),
                // A child of another test has ended.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn until(&mut self, wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
        let mut seen = Vec::new();
        while let Some(message) = self.next() {
            let found = wanted(&message);
            seen.push(message);
            if found {
                return seen;
            }
        }
        panic!("it closed after {seen:?}");
    }

    fn open(to: Target) -> Self {
        let mut worker = Self::start();
        worker.send(&Message::Hello(Hello::new("test", vec![])));
        worker.send(&Message::Open(Spec { from: opus(), to, options: Options::default() }));
        worker
    }

    fn end(self) -> Output {
        drop(self.socket);
        self.child.wait_with_output().unwrap()
    }
}

fn opus() -> Format {
    Format {
        codec: Codec::Opus,
        config: b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0".to_vec().into(),
        dimensions: None,
        sound: Some((48_000, 2)),
    }
}

fn unit(number: i64) -> Message {
    let time = number * 20_000_000;
    let data = SILENCE.into();
    Message::Unit(Unit { pts: time, dts: time, keyframe: true, preroll: false, data })
}

#[test]
fn a_bridge_from_hello_to_bye() {
    let mut worker = Worker::open(Target::Aac);
    let Some(Message::Hello(hello)) = worker.next() else { panic!("a hello comes first") };
    assert!(hello.program.starts_with("weir-transcoder "));
    for encoder in ["libx264", "libvpx", "libopus", "aac"] {
        assert!(hello.encoders.iter().any(|name| name == encoder), "{:?}", hello.encoders);
    }
    assert_eq!(worker.next(), Some(Message::Heartbeat { taken: 0 }));
    for number in 0..50 {
        worker.send(&unit(number));
        worker.until(|m| *m == Message::Heartbeat { taken: number as u64 + 1 });
    }
    // It waits for more, and says so, and says what it did.
    worker.until(|m| *m == Message::Heartbeat { taken: 50 });
    let seen = worker.until(|m| matches!(m, Message::Stats(stats) if stats.units_in == 50));
    let Some(Message::Stats(stats)) = seen.last() else { panic!("statistics") };
    assert!(stats.units_out >= 43 && stats.decode_ns > 0 && stats.encode_ns > 0, "{stats:?}");
    worker.send(&Message::Drain);
    let seen = worker.until(|m| *m == Message::Bye);
    assert!(seen.iter().any(|m| matches!(m, Message::Unit(_))), "what was held back came");
    assert_eq!(worker.next(), None);
    let output = worker.end();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn what_comes_out_begins_with_its_format() {
    let mut worker = Worker::open(Target::Opus);
    worker.until(|m| *m == Message::Heartbeat { taken: 0 });
    worker.send(&unit(0));
    worker.send(&unit(1));
    let seen = worker.until(|m| *m == Message::Heartbeat { taken: 2 });
    let kinds: Vec<_> = seen.iter().map(std::mem::discriminant).collect();
    let format =
        seen.iter().position(|m| matches!(m, Message::Format(f) if f.codec == Codec::Opus));
    let first = seen.iter().position(|m| matches!(m, Message::Unit(_)));
    assert!(format.unwrap() < first.unwrap(), "{kinds:?}");
    // The server leaves: the program ends, and says nothing.
    let output = worker.end();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn it_says_why_it_cannot() {
    let mut worker = Worker::open(Target::H264);
    let seen = worker.until(|m| matches!(m, Message::Failed(_)));
    let Some(Message::Failed(failed)) = seen.last() else { panic!("a failure") };
    assert!(!failed.again && failed.reason == "opus cannot become h264", "{failed:?}");
    assert_eq!(worker.next(), None);

    let mut worker = Worker::start();
    let mut hello = Vec::new();
    Message::Hello(Hello::new("test", vec![])).encode(&mut hello).unwrap();
    hello[9..11].copy_from_slice(&77_u16.to_be_bytes());
    worker.socket.write_all(&hello).unwrap();
    let seen = worker.until(|m| matches!(m, Message::Failed(_)));
    let Some(Message::Failed(failed)) = seen.last() else { panic!("a failure") };
    assert!(!failed.again && failed.reason.contains("version 77"), "{failed:?}");
}

#[test]
fn junk_on_the_socket_ends_it_with_a_reason() {
    let mut worker = Worker::start();
    worker.socket.write_all(&[0xff; 64]).unwrap();
    let seen = worker.until(|m| matches!(m, Message::Failed(_)));
    assert!(
        matches!(seen.last(), Some(Message::Failed(f)) if f.reason.contains("not the protocol"))
    );
    assert!(worker.end().status.success());
    let mut worker = Worker::start();
    worker.send(&Message::Hello(Hello::new("test", vec![])));
    worker.send(&unit(0));
    let seen = worker.until(|m| matches!(m, Message::Failed(_)));
    assert!(matches!(seen.last(), Some(Message::Failed(f)) if f.reason.contains("out of turn")));
}

#[test]
fn by_hand_it_says_what_it_is() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-transcoder"));
        command.args(arguments).stdin(Stdio::null()).output().unwrap()
    };
    let alone = run(&[]);
    let text = String::from_utf8(alone.stderr).unwrap();
    assert!(!alone.status.success() && text.contains("`weir`, which starts it"), "{text}");
    let version = run(&["--version"]);
    let text = String::from_utf8(version.stdout).unwrap();
    assert!(version.status.success() && text.contains("libavcodec") && text.contains("libx264"));
    assert!(!run(&["--nice", "much"]).status.success());
}
