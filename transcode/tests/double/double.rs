//! A double of the worker for faults only: it has no codecs, hands units back as they came, and does wrong what
//! the name says by which it is called (`echo`, `crash-5`, `hang-5`, `slow-20`, …).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a double that ends by a panic is a fault like others"
)]

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use media::Format;
use transcode::protocol::{Failed, HEARTBEAT, Hello, Message, Reader, Spec, Stats, Unit, VERSION};

fn main() {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    let (fault, number) = name.split_once('-').unwrap_or((name, "0"));
    let number: u64 = number.parse().unwrap();
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut double = Double {
        socket: UnixStream::from(socket),
        reader: Reader::default(),
        to: None,
        keyframe: true,
        prerolled: 0,
        stats: Stats::default(),
    };
    match fault {
        "exit" => {
            eprintln!("one line\nout of luck");
            std::process::exit(3);
        }
        "silent" => hang(),
        "garbage" => {
            double.socket.write_all(&[b'?'; 10_000]).unwrap();
            hang();
        }
        "bomb" => double.socket.write_all(&[0xff; 10_000]).unwrap(),
        "version" => {
            let mut bytes = Vec::new();
            let hello = Message::Hello(Hello::new("x", Vec::new()));
            hello.encode(&mut bytes).unwrap();
            bytes[9..11].copy_from_slice(&(VERSION + 1).to_be_bytes());
            double.socket.write_all(&bytes).unwrap();
            hang();
        }
        "noise" => eprint!("{}", "noise ".repeat(100_000)),
        _ => {}
    }
    double.say(&Message::Hello(Hello::new("double", vec!["none".to_owned()])));
    if fault == "tell" {
        let environment: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
        let arguments: Vec<String> = arguments.collect();
        let reason = format!("[{}] [{}]", arguments.join(" "), environment.join(" "));
        double.say(&Message::Failed(Failed { reason, again: false }));
        return;
    }
    double.work(fault, number);
}

#[expect(clippy::disallowed_methods, reason = "hanging is what it is for")]
fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

#[expect(clippy::disallowed_methods, reason = "being slow is what it is for")]
fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

struct Double {
    socket: UnixStream,
    reader: Reader,
    to: Option<Spec>,
    keyframe: bool,
    prerolled: u64,
    stats: Stats,
}

impl Double {
    fn say(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).unwrap();
        if self.socket.write_all(&bytes).is_err() {
            std::process::exit(0);
        }
    }

    /// The next message; `None` when there was none for as long as a heartbeat may take.
    fn hear(&mut self) -> Option<Message> {
        self.socket.set_read_timeout(Some(HEARTBEAT)).unwrap();
        let mut piece = [0; 65536];
        loop {
            if let Some(message) = self.reader.read().unwrap() {
                return Some(message);
            }
            match self.socket.read(&mut piece) {
                Ok(0) => std::process::exit(0),
                Ok(length) => self.reader.push(&piece[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(_) => std::process::exit(1),
            }
        }
    }

    fn heartbeat(&mut self) {
        self.say(&Message::Heartbeat { taken: self.stats.units_in });
    }

    fn work(&mut self, fault: &str, number: u64) {
        loop {
            match self.hear() {
                None => self.heartbeat(),
                Some(Message::Hello(_)) => {}
                Some(Message::Open(spec)) => {
                    self.format(&spec);
                    self.to = Some(spec);
                    self.heartbeat();
                    if fault == "flood" {
                        self.flood();
                    }
                }
                Some(Message::Format(_)) => self.keyframe = true,
                Some(Message::Keyframe) => self.keyframe = true,
                Some(Message::Unit(unit)) => self.unit(unit, fault, number),
                Some(Message::Drain) if fault == "endless" => {}
                Some(Message::Drain) => {
                    self.say(&Message::Stats(self.stats));
                    self.say(&Message::Bye);
                    return;
                }
                Some(other) => panic!("{other:?}"),
            }
        }
    }

    fn format(&mut self, spec: &Spec) {
        let config = bytes::Bytes::from_static(b"config");
        let format = Format { codec: spec.to.codec(), config, dimensions: None, sound: None };
        self.say(&Message::Format(format));
    }

    /// Hands it back with its data: how many units were prerolled so far.
    fn unit(&mut self, unit: Unit, fault: &str, number: u64) {
        self.stats.units_in += 1;
        match fault {
            "crash" if self.stats.units_in == number => std::process::abort(),
            "hang" if self.stats.units_in == number => hang(),
            "slow" if !unit.preroll => sleep(number),
            "slower" => sleep(number),
            "refuse" => {
                let reason = "no such\ncodec".to_owned();
                self.say(&Message::Failed(Failed { reason, again: false }));
                std::process::exit(1);
            }
            "count" => {
                self.stats.undecodable = 1;
                self.say(&Message::Stats(self.stats));
            }
            "liar" => return self.say(&Message::Heartbeat { taken: 1 << 40 }),
            "lazy" => {
                self.stats.units_in -= 1;
                return;
            }
            _ => {}
        }
        if unit.preroll {
            self.prerolled += 1;
        } else {
            let data = self.prerolled.to_string().into();
            let keyframe = std::mem::take(&mut self.keyframe);
            let mut unit = Unit { keyframe, data, ..unit };
            if fault == "astray" && self.stats.units_out % 2 == 1 {
                (unit.pts, unit.dts) = (i64::MAX, i64::MAX);
            }
            self.say(&Message::Unit(unit));
            self.stats.units_out += 1;
        }
        self.heartbeat();
    }

    /// More than anybody can use, as fast as it goes.
    fn flood(&mut self) -> ! {
        let data = bytes::Bytes::from(vec![7; 64 << 10]);
        let first = loop {
            if let Some(Message::Unit(unit)) = self.hear() {
                break unit.pts;
            }
            self.heartbeat();
        };
        for number in 0.. {
            let time = first + number * 1000;
            let keyframe = number % 50 == 0;
            let data = data.clone();
            let unit = Unit { pts: time, dts: time, keyframe, preroll: false, data };
            self.say(&Message::Unit(unit));
            self.heartbeat();
        }
        unreachable!("the loop has no end");
    }
}
