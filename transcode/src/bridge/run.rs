//! The task behind a bridge: starts workers as the supervisor says, gives each what the ring holds, and puts
//! out what comes back.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{Format, Kind};
use tokio::io::Interest;
use tokio::time::sleep_until;

use super::process::Process;
use super::{Output, Shared, plain};
use crate::protocol::{Failed, Hello, Message, Reader, Spec, Unit, VERSION, WINDOW};
use crate::supervisor::{Step, Supervisor};
use crate::{Policy, State, Worker};

/// Bytes read at once, and about what is written at once.
const PIECE: usize = 64 << 10;

/// Reads in a row before others have their turn.
const TURNS: usize = 16;

/// Given to a worker that ends by itself.
const GRACE: Duration = Duration::from_millis(300);

/// Before a worker is blamed for silence: were we asleep ourselves, its words are there now.
const DOUBT: Duration = Duration::from_millis(20);

/// Runs until the handle is gone, or the bridge has finished or failed.
pub(super) async fn run(shared: Arc<Shared>, worker: Worker, spec: Spec, policy: Policy) {
    let mut task = Task {
        shared: Arc::clone(&shared),
        worker,
        spec,
        supervisor: Supervisor::new(policy, now()),
        told: State::Starting,
        units_in: 0,
        format: None,
        dts: i64::MIN,
    };
    task.work().await;
    let mut inner = shared.lock();
    inner.ended = true;
    inner.worker = None;
    inner.ring.clear();
    drop(inner);
    shared.to_reader.notify_one();
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Sleeps; for ever without a time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What outlives a worker.
struct Task {
    shared: Arc<Shared>,
    worker: Worker,
    spec: Spec,
    supervisor: Supervisor,
    told: State,
    units_in: u64,
    /// What came out last.
    format: Option<Format>,
    dts: i64,
}

/// How the run of a worker ended.
enum End {
    /// The handle is gone.
    Closed,
    /// All that there was came out.
    Finished,
    /// Nobody needs it now.
    Idle,
    /// It closed its end.
    Gone,
    /// It said what it may not say.
    Broken(String),
    /// The supervisor gave it up.
    Hung(String),
    /// It gave up itself.
    Failed(Failed),
}

impl Task {
    async fn work(&mut self) {
        loop {
            if self.shared.lock().closed {
                return;
            }
            self.note_units();
            let step = self.supervisor.step(now());
            self.tell();
            match step {
                Step::Start if self.one_worker().await => {}
                Step::Start => return,
                // Only a worker that runs can be killed or ended.
                Step::Kill(_) | Step::End => return,
                Step::Wait(at) => {
                    if matches!(self.told, State::Failed { .. }) || self.shared.lock().finishing {
                        return;
                    }
                    tokio::select! {
                        () = self.shared.to_worker.notified() => {}
                        () = until(at) => {}
                    }
                }
            }
        }
    }

    /// From its start to its end. False: there shall be no other.
    async fn one_worker(&mut self) -> bool {
        let process = match Process::start(&self.worker) {
            Ok(process) => process,
            Err(error) => {
                let path = self.worker.path.display();
                self.lost(format!("{path} cannot be started: {error}"), true);
                return true;
            }
        };
        self.supervisor.started(now());
        self.shared.lock().worker = process.id();
        tracing::debug!(worker = process.id(), to = %self.spec.to.codec(), "a worker begins");
        let mut run = Run::new(process);
        let end = match run.begin(self) {
            Ok(()) => run.drive(self).await,
            Err(end) => end,
        };
        let finishing = self.shared.lock().finishing;
        let more = !matches!(end, End::Closed | End::Finished) && !finishing;
        let patience = match end {
            End::Finished | End::Idle | End::Gone | End::Failed(_) => GRACE,
            End::Closed | End::Broken(_) | End::Hung(_) => Duration::ZERO,
        };
        let became = run.process.end(patience).await;
        let mut inner = self.shared.lock();
        inner.worker = None;
        inner.settle();
        drop(inner);
        match end {
            End::Closed | End::Finished => {}
            End::Idle => self.supervisor.idled(now()),
            End::Gone => self.lost(became, true),
            End::Broken(what) => self.lost(format!("the worker sent {what}"), true),
            End::Hung(reason) => self.lost(reason, true),
            End::Failed(Failed { reason, again }) => self.lost(reason, again),
        }
        more
    }

    fn lost(&mut self, reason: String, again: bool) {
        // Whoever owns the bridge hears it as its state, and knows whose it is.
        tracing::debug!(to = %self.spec.to.codec(), "a bridge lost its worker: {reason}");
        self.supervisor.ended(now(), reason, again);
    }

    /// Tells the reader when the state has changed.
    fn tell(&mut self) {
        let state = self.supervisor.state();
        let mut inner = self.shared.lock();
        inner.restarts = self.supervisor.restarts();
        if state == self.told {
            return;
        }
        inner.state = state.clone();
        drop(inner);
        self.told = state.clone();
        self.shared.put(Output::State(state));
    }

    /// Tells the supervisor that units came.
    fn note_units(&mut self) {
        let units = self.shared.lock().ring.counters.units_in;
        if units != self.units_in {
            self.units_in = units;
            self.supervisor.unit(now());
        }
    }
}

/// One worker that runs.
struct Run {
    process: Process,
    reader: Reader,
    piece: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    /// What the worker decodes.
    opened: Option<Arc<Format>>,
    sent: u64,
    taken: u64,
    greeted: bool,
    ready: bool,
    /// It has said of which format its units are.
    formatted: bool,
    /// What comes out before a keyframe is of no use.
    needs_keyframe: bool,
    draining: bool,
    doubted: bool,
}

impl Run {
    fn new(process: Process) -> Self {
        Self {
            process,
            reader: Reader::default(),
            piece: vec![0; PIECE],
            out: Vec::new(),
            written: 0,
            opened: None,
            sent: 0,
            taken: 0,
            greeted: false,
            ready: false,
            formatted: false,
            needs_keyframe: true,
            draining: false,
            doubted: false,
        }
    }

    /// Hello, and what is to be done.
    fn begin(&mut self, task: &Task) -> Result<(), End> {
        let format = {
            let mut inner = task.shared.lock();
            inner.ring.restart();
            // A new encoder begins with one.
            inner.keyframe = false;
            inner.ring.next_format()
        };
        let program = concat!("weir ", env!("CARGO_PKG_VERSION"));
        self.say(&Message::Hello(Hello::new(program, Vec::new())))?;
        self.say(&Message::Open(Spec { from: Format::clone(&format), ..task.spec.clone() }))?;
        self.opened = Some(format);
        Ok(())
    }

    /// What cannot be said now can never be.
    fn say(&mut self, message: &Message) -> Result<(), End> {
        message.encode(&mut self.out).map_err(|error| {
            End::Failed(Failed { reason: format!("no worker takes {error}"), again: false })
        })
    }

    async fn drive(&mut self, task: &mut Task) -> End {
        loop {
            match self.turn(task) {
                Err(end) => return end,
                Ok(Step::End) => return End::Idle,
                Ok(Step::Start) => return End::Closed,
                Ok(Step::Kill(reason)) if self.doubted => return End::Hung(reason),
                Ok(Step::Kill(_)) => {
                    self.doubted = true;
                    tokio::time::sleep(DOUBT).await;
                }
                Ok(Step::Wait(at)) => {
                    self.doubted = false;
                    let interest = match self.written < self.out.len() {
                        true => Interest::READABLE | Interest::WRITABLE,
                        false => Interest::READABLE,
                    };
                    tokio::select! {
                        _ = self.process.socket.ready(interest) => {}
                        () = task.shared.to_worker.notified() => {}
                        () = until(at) => {}
                    }
                }
            }
        }
    }

    /// All that can be done without waiting.
    fn turn(&mut self, task: &mut Task) -> Result<Step, End> {
        self.receive(task)?;
        if task.shared.lock().closed {
            return Err(End::Closed);
        }
        task.note_units();
        self.send(task)?;
        let waits = self.sent > self.taken || task.shared.lock().ring.unsent() > 0;
        task.supervisor.waits(now(), waits || self.draining);
        task.tell();
        Ok(task.supervisor.step(now()))
    }

    fn receive(&mut self, task: &mut Task) -> Result<(), End> {
        for _ in 0..TURNS {
            match self.process.socket.try_read(&mut self.piece) {
                Ok(0) => return Err(End::Gone),
                Ok(length) => self.reader.push(&self.piece[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err(End::Gone),
            }
            while let Some(message) = self.reader.read().map_err(|e| End::Broken(e.to_string()))? {
                task.supervisor.heard(now());
                self.hear(message, task)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, message: Message, task: &mut Task) -> Result<(), End> {
        if !self.greeted && !matches!(message, Message::Hello(_)) {
            return Err(End::Broken("something else before its hello".to_owned()));
        }
        match message {
            Message::Hello(hello) => self.greet(&hello, task)?,
            Message::Heartbeat { taken } => self.heartbeat(taken, task)?,
            Message::Format(format) => {
                if format.codec != task.spec.to.codec() {
                    let made = format.codec;
                    return Err(End::Broken(format!("{made} instead of {}", task.spec.to.codec())));
                }
                self.formatted = true;
                if task.format.as_ref() != Some(&format) {
                    task.format = Some(format.clone());
                    task.shared.put(Output::Format(format));
                }
            }
            Message::Unit(_) if !self.formatted => {
                return Err(End::Broken("a unit before its format".to_owned()));
            }
            Message::Unit(unit) => self.unit(unit, task),
            Message::Stats(stats) => {
                task.shared.lock().stats = stats;
                task.shared.put(Output::Stats(stats));
            }
            Message::Failed(Failed { reason, again }) => {
                return Err(End::Failed(Failed { reason: plain(&reason), again }));
            }
            Message::Bye if self.draining => return Err(End::Finished),
            Message::Bye => return Err(End::Broken("a farewell that nobody asked for".to_owned())),
            Message::Open(_) | Message::Keyframe | Message::Drain => {
                return Err(End::Broken("what is the server's to say".to_owned()));
            }
        }
        Ok(())
    }

    fn greet(&mut self, hello: &Hello, task: &Task) -> Result<(), End> {
        if hello.version != VERSION {
            let reason = super::other_version(&task.worker, hello.version);
            return Err(End::Failed(Failed { reason, again: false }));
        }
        self.greeted = true;
        let (program, encoders) = (plain(&hello.program), plain(&hello.encoders.join(" ")));
        tracing::debug!(worker = self.process.id(), program, encoders, "a worker is there");
        Ok(())
    }

    fn heartbeat(&mut self, taken: u64, task: &mut Task) -> Result<(), End> {
        if taken > self.sent || taken < self.taken {
            return Err(End::Broken(format!("that it took {taken} units of {}", self.sent)));
        }
        if taken > self.taken {
            self.taken = taken;
            task.supervisor.taken(now());
        }
        if !self.ready {
            self.ready = true;
            task.supervisor.ready();
            task.tell();
        }
        Ok(())
    }

    /// Puts out a unit that goes on from what came before, and counts one that does not.
    fn unit(&mut self, unit: Unit, task: &mut Task) {
        let video = task.spec.to.kind() == Kind::Video;
        let mut inner = task.shared.lock();
        let fits = unit.dts > task.dts && inner.ring.produced(unit.pts);
        if !fits || (video && self.needs_keyframe && !unit.keyframe) {
            // What follows may refer to it.
            self.needs_keyframe = true;
            inner.astray += 1;
            return;
        }
        self.needs_keyframe = false;
        task.dts = unit.dts;
        inner.units_out += 1;
        inner.outbox.push(Output::Unit(unit.into()));
        drop(inner);
        task.shared.to_reader.notify_one();
    }

    fn send(&mut self, task: &mut Task) -> Result<(), End> {
        loop {
            while self.written < self.out.len() {
                match self.process.socket.try_write(&self.out[self.written..]) {
                    Ok(length) => self.written += length,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => {
                        // It may have said why before it closed.
                        self.receive(task)?;
                        return Err(End::Gone);
                    }
                }
            }
            self.out.clear();
            // A huge picture shall not cost memory for ever.
            self.out.shrink_to(16 * PIECE);
            self.written = 0;
            if self.ready {
                self.fill(task)?;
            }
            if self.out.is_empty() {
                return Ok(());
            }
        }
    }

    /// The next units, as many as the worker may have, into `out`.
    fn fill(&mut self, task: &mut Task) -> Result<(), End> {
        let shared = Arc::clone(&task.shared);
        let mut inner = shared.lock();
        if std::mem::take(&mut inner.keyframe) && task.spec.to.kind() == Kind::Video {
            self.say(&Message::Keyframe)?;
        }
        while self.sent - self.taken < WINDOW && self.out.len() < PIECE {
            let Some((unit, format)) = inner.ring.next() else { break };
            if self.opened.as_ref() != Some(&format) {
                self.say(&Message::Format(Format::clone(&format)))?;
                self.opened = Some(format);
            }
            self.say(&Message::Unit(unit))?;
            self.sent += 1;
        }
        if inner.finishing && inner.ring.unsent() == 0 && !self.draining {
            self.draining = true;
            task.supervisor.draining(now());
            self.say(&Message::Drain)?;
        }
        Ok(())
    }
}
