//! The worker's side of `transcode::protocol`: a thread that reads the socket and notes when each message came,
//! and one that drives the codecs and answers. Heartbeats come from the second, so that a codec that hangs is
//! found out.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use media::AccessUnit;
use transcode::Target;
use transcode::protocol::{
    Failed, HEARTBEAT, Hello, Message, Reader, Spec, Stats, Unit, VERSION, WINDOW,
};

use crate::{Error, Output, Pipeline, Push, Settings, av};

/// A unit that waited so long in here shows that the encoder does not keep up: its picture is decoded but not
/// encoded. Fewer pictures are better than more and more delay. What waits is at most [`WINDOW`] units.
const LATE: Duration = Duration::from_millis(150);

/// How often [`Stats`] are sent.
const STATS: Duration = Duration::from_secs(1);

/// After the server has gone, the codecs get this long to come to an end; then the process ends by force.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Messages between the two threads: the units that may be in flight, and what may stand between them.
const QUEUE: usize = 4 * WINDOW as usize;

/// How this program was started.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads within one picture.
    pub threads: u16,
}

/// What the reading thread passes on.
enum Event {
    Message(Message, Duration),
    /// Not the protocol.
    Broken(String),
    /// The server has closed.
    Closed,
}

/// Serves one bridge over `socket`, to its end. An error is one of the socket.
pub fn run(socket: UnixStream, program: &str, options: Options) -> io::Result<()> {
    let (to, from) = sync_channel(QUEUE);
    let waiting = Arc::new(AtomicU32::new(0));
    let (reading, counted) = (socket.try_clone()?, Arc::clone(&waiting));
    let reader = std::thread::Builder::new().name("socket".to_owned());
    reader.spawn(move || read(reading, &to, &counted))?;
    let mut worker = Worker {
        socket,
        events: from,
        waiting,
        out: Vec::new(),
        options,
        pipeline: None,
        outputs: Vec::new(),
        taken: 0,
        said: now(),
        stats_said: now(),
    };
    let hello = Message::Hello(Hello::new(program, encoders()));
    let served = worker.send(&hello).map_err(End::from).and_then(|()| worker.serve());
    match served {
        Err(End::Closed) => Ok(()),
        Err(End::Io(error)) => gone(error),
        Err(End::Failed(failed)) => worker.send(&Message::Failed(failed)).or_else(gone),
        Ok(()) => worker.send(&Message::Bye).or_else(gone),
    }
}

/// A server that has closed is no error.
fn gone(error: io::Error) -> io::Result<()> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    if matches!(error.kind(), BrokenPipe | ConnectionReset) { Ok(()) } else { Err(error) }
}

/// All encoders that a bridge could use here.
pub fn encoders() -> Vec<String> {
    Target::ALL.into_iter().flat_map(av::found).map(str::to_owned).collect()
}

/// The clock of the worker.
#[expect(clippy::disallowed_methods, reason = "the one clock of this program")]
fn now() -> Duration {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    Instant::now().saturating_duration_since(start)
}

fn read(mut socket: UnixStream, to: &SyncSender<Event>, waiting: &AtomicU32) {
    let mut reader = Reader::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        reader.push(&buffer[..length]);
        loop {
            let event = match reader.read() {
                Ok(None) => break,
                Ok(Some(message)) => Event::Message(message, now()),
                Err(error) => Event::Broken(error.to_string()),
            };
            let broken = matches!(event, Event::Broken(_));
            if matches!(event, Event::Message(Message::Unit(_), _)) {
                waiting.fetch_add(1, Ordering::Relaxed);
            }
            if to.send(event).is_err() || broken {
                return;
            }
        }
    }
    // Nobody listens any more. A codec that hangs must not keep the process, nor a queue that is full.
    let _ = to.try_send(Event::Closed);
    let end = now() + LAST_MOMENT;
    while now() < end {
        std::thread::park_timeout(end.saturating_sub(now()));
    }
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// Why it ends before it has drained.
enum End {
    Closed,
    Io(io::Error),
    Failed(Failed),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(Failed { reason: error.to_string(), again: error.again() })
    }
}

fn refuse(reason: impl Into<String>) -> End {
    End::Failed(Failed { reason: reason.into(), again: false })
}

struct Worker {
    socket: UnixStream,
    events: Receiver<Event>,
    /// Units that the other thread has read and this one has not taken.
    waiting: Arc<AtomicU32>,
    /// To be written.
    out: Vec<u8>,
    options: Options,
    pipeline: Option<Pipeline>,
    outputs: Vec<Output>,
    taken: u64,
    /// When something was last written.
    said: Duration,
    stats_said: Duration,
}

impl Worker {
    /// `Ok`: everything was drained.
    fn serve(&mut self) -> Result<(), End> {
        self.greet()?;
        loop {
            let waited = self.events.recv_timeout(HEARTBEAT.saturating_sub(now() - self.said));
            match waited {
                Ok(Event::Message(Message::Drain, _)) => return self.drain(),
                Ok(Event::Message(message, came)) => self.message(message, came)?,
                Ok(Event::Broken(why)) => return Err(refuse(format!("not the protocol: {why}"))),
                Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => return Err(End::Closed),
                Err(RecvTimeoutError::Timeout) => self.alive()?,
            }
            if now() - self.stats_said >= STATS {
                self.stats()?;
            }
        }
    }

    /// Waits for the server's hello, which must be of the same version.
    fn greet(&mut self) -> Result<(), End> {
        match self.events.recv() {
            Ok(Event::Message(Message::Hello(hello), _)) if hello.version == VERSION => Ok(()),
            Ok(Event::Message(Message::Hello(hello), _)) => Err(refuse(format!(
                "the server speaks version {} of the worker protocol, this program version {VERSION}: install both from one release",
                hello.version
            ))),
            Ok(Event::Message(..)) => Err(refuse("not the protocol: no hello came first")),
            Ok(Event::Broken(why)) => Err(refuse(format!("not the protocol: {why}"))),
            Ok(Event::Closed) | Err(_) => Err(End::Closed),
        }
    }

    fn message(&mut self, message: Message, came: Duration) -> Result<(), End> {
        match (message, &mut self.pipeline) {
            (Message::Open(spec), None) => self.open(&spec),
            (Message::Format(format), Some(pipeline)) => {
                pipeline.format(&format, &mut self.outputs)?;
                Ok(self.pass_on()?)
            }
            (Message::Unit(unit), Some(_)) => self.unit(unit, came),
            (Message::Keyframe, Some(pipeline)) => {
                pipeline.keyframe();
                Ok(())
            }
            (other, _) => {
                Err(refuse(format!("not the protocol: {} came out of turn", name(&other))))
            }
        }
    }

    fn open(&mut self, spec: &Spec) -> Result<(), End> {
        let settings = Settings::new(&spec.options, self.options.threads, now);
        self.pipeline = Some(Pipeline::open(&spec.from, spec.to, &settings)?);
        Ok(self.alive()?)
    }

    fn unit(&mut self, unit: Unit, came: Duration) -> Result<(), End> {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let Some(pipeline) = &mut self.pipeline else { return Ok(()) };
        let how = Push { preroll: unit.preroll, late: now().saturating_sub(came) > LATE };
        let result = pipeline.push(&AccessUnit::from(unit), how, &mut self.outputs);
        self.taken += 1;
        self.pass_on()?;
        result?;
        Ok(self.alive()?)
    }

    fn drain(&mut self) -> Result<(), End> {
        if let Some(pipeline) = &mut self.pipeline {
            let result = pipeline.flush(&mut self.outputs);
            self.pass_on()?;
            result?;
        }
        Ok(self.stats()?)
    }

    fn pass_on(&mut self) -> io::Result<()> {
        for output in std::mem::take(&mut self.outputs) {
            let message = match output {
                Output::Format(format) => Message::Format(format),
                Output::Unit(unit) => Message::Unit(Unit::new(&unit, false)),
            };
            self.send(&message)?;
        }
        Ok(())
    }

    fn alive(&mut self) -> io::Result<()> {
        self.send(&Message::Heartbeat { taken: self.taken })
    }

    fn stats(&mut self) -> io::Result<()> {
        self.stats_said = now();
        let stats = self.pipeline.as_ref().map(Pipeline::stats).unwrap_or_default();
        self.send(&Message::Stats(Stats {
            units_in: stats.units_in,
            units_out: stats.units_out,
            undecodable: stats.undecodable,
            skipped: stats.skipped,
            decode_ns: stats.decode_ns,
            encode_ns: stats.encode_ns,
            queued: self.waiting.load(Ordering::Relaxed),
        }))
    }

    fn send(&mut self, message: &Message) -> io::Result<()> {
        self.out.clear();
        // A picture beyond all bounds cannot be sent; the next keyframe mends what follows.
        if message.encode(&mut self.out).is_err() {
            if let Some(pipeline) = &mut self.pipeline {
                pipeline.keyframe();
            }
            return Ok(());
        }
        self.said = now();
        self.socket.write_all(&self.out)
    }
}

/// For the sentence that says what came out of turn.
const fn name(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "a hello",
        Message::Open(_) => "a second task",
        Message::Format(_) => "a format",
        Message::Unit(_) => "a unit",
        Message::Keyframe => "a wish for a keyframe",
        _ => "a message of the worker's own",
    }
}
