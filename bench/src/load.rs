//! A crowd of viewers on one thread: threads of the ramp sign them in, one epoll loop receives for
//! all, and a tick every 10 ms lets each of six slices report.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver as Inbox, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mio::{Events, Poll, Token, Waker};

use crate::dtls::Shared;
use crate::outcome::{Outcome, Server};
use crate::runs::Run;
use crate::signal::{Session, Signal};
use crate::srtp::Profile;
use crate::sys::{self, Receiver};
use crate::viewer::{Tally, Viewer};
use crate::{process, rtp};

const WAKER: Token = Token(usize::MAX);
/// Threads that speak HTTP.
const SIGNALLING: usize = 32;
/// Runs that one recvmmsg takes.
const RUNS: usize = 8;
/// Runs that are remembered.
const TAPE: usize = 20_000;
/// So finely that the feedback of a crowd does not come in bursts, which would look like the server's.
const TICK: u64 = 1_000;
/// A viewer ticks every so many ticks: 60 ms.
const SLICES: usize = 60;
/// How often it is looked whether all play.
const LOOK: u64 = 10_000;
/// After the last POST was due, how long we wait for the last first packet.
const JOIN: u64 = 20_000_000;
/// Between the last join and the measurement.
const SETTLE: u64 = 1_000_000;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// WHEP endpoint.
    pub url: String,
    /// Bearer token.
    pub token: Option<String>,
    /// How many streams they share: the second one is at the URL with `-1` at its end, and so on.
    pub streams: usize,
    /// How many.
    pub viewers: usize,
    /// How long is measured, after all have joined.
    pub seconds: f64,
    /// Joins per second.
    pub ramp: f64,
    /// Process to look at.
    pub server_pid: Option<u32>,
    /// Offer this profile alone.
    pub srtp: Option<Profile>,
    /// Bind to this address, and keep it when the machine loses it.
    pub source: Option<IpAddr>,
    /// Say nothing on the way.
    pub quiet: bool,
}

/// Asked at two moments of a run.
pub trait Hooks {
    /// All have joined; the measurement is about to begin.
    fn joined(&mut self) {}
    /// The measurement is over; the viewers are still there.
    fn measured(&mut self) {}
}

impl Hooks for () {}

/// Runs the plan to its end.
///
/// # Errors
/// If nobody can join, or the process to look at is not there.
pub fn run(plan: &Plan, hooks: &mut dyn Hooks) -> Result<Outcome> {
    let limit = sys::raise_file_limit(plan.viewers as u64 + 4096);
    if limit < plan.viewers as u64 + 128 {
        bail!(
            "{} viewers need as many files, and only {limit} are allowed (ulimit -n)",
            plan.viewers
        );
    }
    let rss_before = plan.server_pid.map(process::resident_bytes).transpose()?;
    let shared = Arc::new(Shared::new(plan.srtp)?);
    let signal = Arc::new(Signal::new(&plan.url, plan.token.clone(), shared, plan.source)?);
    let mut crowd = Crowd::start(plan, &signal)?;
    crowd.play(plan, hooks)?;
    let mut outcome = crowd.outcome(plan, rss_before);
    crowd.leave(&signal);
    if outcome.viewers == 0 {
        bail!("no viewer got a packet: {}", outcome.failures.pop().unwrap_or_default());
    }
    Ok(outcome)
}

/// What a thread of the ramp gives.
type Joined = Result<Session>;

struct Crowd {
    poll: Poll,
    inbox: Inbox<Joined>,
    /// Closed with its last owner, and what it has woken for with it.
    _waker: Arc<Waker>,
    receiver: Receiver,
    viewers: Vec<Viewer>,
    refused: Vec<String>,
    tally: Tally,
    /// What the first viewer's socket gets, once all have joined.
    tape: Option<Vec<Run>>,
    slice: usize,
    next_tick: u64,
    started: u64,
    /// The measured part, once it has begun and ended.
    window: Window,
}

#[derive(Default)]
struct Window {
    from: u64,
    until: u64,
    packets: u64,
    bytes: u64,
    cpu: f64,
    waited: f64,
    rss: u64,
}

impl Crowd {
    fn start(plan: &Plan, signal: &Arc<Signal>) -> Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (outbox, inbox) = sync_channel(plan.viewers.max(1));
        let next = Arc::new(AtomicUsize::new(0));
        let started = sys::now_us();
        let (count, every) = (plan.viewers, 1e6 / plan.ramp.max(0.1));
        let streams = plan.streams.max(1);
        for _ in 0..SIGNALLING.min(count) {
            let (signal, outbox, waker, next) =
                (signal.clone(), outbox.clone(), waker.clone(), next.clone());
            std::thread::Builder::new().stack_size(512 << 10).spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || sys::stopped() {
                        return;
                    }
                    let due = started + (number as f64 * every) as u64;
                    let wait = due.saturating_sub(sys::now_us());
                    std::thread::sleep(Duration::from_micros(wait));
                    if outbox.send(signal.watch(number % streams)).is_err() || waker.wake().is_err()
                    {
                        return;
                    }
                }
            })?;
        }
        Ok(Self {
            poll,
            inbox,
            _waker: waker,
            receiver: Receiver::new(RUNS),
            viewers: Vec::with_capacity(count),
            refused: Vec::new(),
            tally: Tally::default(),
            tape: None,
            slice: 0,
            next_tick: started,
            started,
            window: Window::default(),
        })
    }

    /// From the first join to the end of the measurement.
    fn play(&mut self, plan: &Plan, hooks: &mut dyn Hooks) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let deadline = self.started + (plan.viewers as f64 / plan.ramp.max(0.1) * 1e6) as u64;
        let (mut begin, mut said, mut looked) = (None, self.started, 0);
        while !sys::stopped() {
            self.turn(&mut events)?;
            let now = sys::now_us();
            if begin.is_none() && now >= looked + LOOK {
                looked = now;
                if self.complete(plan) || now >= deadline + JOIN {
                    begin = Some(now + SETTLE);
                    self.tape = Some(Vec::new());
                }
            }
            if begin.is_some_and(|begin| now >= begin) && self.window.from == 0 {
                hooks.joined();
                self.open_window(plan)?;
            }
            let length = (plan.seconds * 1e6) as u64;
            if self.window.from > 0 && now >= self.window.from + length {
                break;
            }
            if !plan.quiet && now >= said + 1_000_000 {
                said = now;
                self.say();
            }
        }
        if self.window.from == 0 {
            self.window.from = self.started;
        }
        self.close_window(plan)?;
        hooks.measured();
        Ok(())
    }

    /// True if every viewer plays or will not.
    fn complete(&self, plan: &Plan) -> bool {
        let done = |v: &&Viewer| v.first_media.is_some() || v.failed.is_some();
        let gone = self.refused.len();
        self.viewers.len() + gone >= plan.viewers
            && self.viewers.iter().filter(done).count() + gone >= plan.viewers
    }

    fn open_window(&mut self, plan: &Plan) -> Result<()> {
        self.tally.latencies.clear();
        let cpu = plan.server_pid.map(process::cpu_seconds).transpose()?.unwrap_or_default();
        let waited = plan.server_pid.map(process::waited_seconds).unwrap_or_default();
        let Tally { packets, bytes, .. } = self.tally;
        let from = sys::now_us();
        self.window = Window { from, until: 0, packets, bytes, cpu, waited, rss: 0 };
        Ok(())
    }

    fn close_window(&mut self, plan: &Plan) -> Result<()> {
        let window = &mut self.window;
        window.until = sys::now_us();
        window.packets = self.tally.packets - window.packets;
        window.bytes = self.tally.bytes - window.bytes;
        if let Some(pid) = plan.server_pid {
            window.cpu = process::cpu_seconds(pid)? - window.cpu;
            window.waited = process::waited_seconds(pid) - window.waited;
            window.rss = process::resident_bytes(pid)?;
        }
        Ok(())
    }

    fn say(&self) {
        let playing = self.viewers.iter().filter(|v| v.first_media.is_some()).count();
        let lost: u64 = self.viewers.iter().map(|v| v.continuity().0).sum();
        let failed =
            self.refused.len() + self.viewers.iter().filter(|v| v.failed.is_some()).count();
        let Tally { packets, decrypt_failures, .. } = self.tally;
        let measuring = if self.window.from > 0 { ", measuring" } else { "" };
        eprintln!(
            "{playing} play, {failed} failed, {packets} packets, {lost} lost, {decrypt_failures} not authentic{measuring}"
        );
    }

    fn turn(&mut self, events: &mut Events) -> Result<()> {
        let wait = self.next_tick.saturating_sub(sys::now_us());
        match self.poll.poll(events, Some(Duration::from_micros(wait))) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(error.into());
            }
            _ => {}
        }
        for event in events.iter() {
            match event.token() {
                WAKER => self.admit()?,
                Token(number) => self.receive(number),
            }
        }
        let now = sys::now_us();
        while now >= self.next_tick {
            self.next_tick += TICK;
            self.admit()?;
            self.slice = (self.slice + 1) % SLICES;
            self.viewers.iter_mut().skip(self.slice).step_by(SLICES).for_each(|v| v.tick(now));
        }
        Ok(())
    }

    fn admit(&mut self) -> Result<()> {
        while let Ok(joined) = self.inbox.try_recv() {
            match joined {
                Ok(session) => {
                    let number = self.viewers.len();
                    let mut viewer = Viewer::new(session, number);
                    viewer.link.register(self.poll.registry(), Token(number))?;
                    viewer.tick(sys::now_us());
                    self.viewers.push(viewer);
                }
                Err(error) => self.refused.push(format!("{error:#}")),
            }
        }
        Ok(())
    }

    /// Empties one socket.
    fn receive(&mut self, number: usize) {
        let Some(viewer) = self.viewers.get_mut(number) else { return };
        let fd = viewer.link.fd();
        loop {
            let runs = match self.receiver.receive(fd) {
                Ok(runs) => runs,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // An ICMP error of something we sent: the next read has the next datagram.
                Err(_) => 0,
            };
            let now = sys::now_us();
            for run in 0..runs {
                let sys::Run { from, at, segment, length, datagrams } = self.receiver.run(run);
                let before = self.tally.packets;
                for datagram in datagrams {
                    if rtp::is_media(datagram) {
                        viewer.media(now, at, datagram, &mut self.tally);
                    } else if let Err(error) = viewer.link.control(now, from, datagram) {
                        viewer.failed = Some(error.to_string());
                    }
                }
                if self.tally.packets > before {
                    self.tally.runs += 1;
                    let tape = self.tape.as_mut().filter(|t| number == 0 && t.len() < TAPE);
                    if let Some(tape) = tape {
                        tape.push(Run { at, segment, length });
                    }
                }
            }
            if runs < self.receiver.capacity() {
                return;
            }
        }
    }

    fn outcome(&mut self, plan: &Plan, rss_before: Option<u64>) -> Outcome {
        let playing: Vec<&Viewer> =
            self.viewers.iter().filter(|v| v.first_media.is_some()).collect();
        let mut outcome = Outcome { viewers: playing.len(), ..Outcome::default() };
        for viewer in &playing {
            let (lost, out_of_order, duplicates) = viewer.continuity();
            outcome.lost += lost;
            outcome.out_of_order += out_of_order;
            outcome.duplicates += duplicates;
            let first = viewer.first_media.unwrap_or_default();
            outcome.join_us.push(first.saturating_sub(viewer.started) as u32);
        }
        let last = playing.iter().filter_map(|v| v.first_media).max().unwrap_or_default();
        let took = last.saturating_sub(self.started).max(1);
        outcome.joins_per_second = playing.len() as f64 * 1e6 / took as f64;
        outcome.profile = playing.iter().find_map(|v| v.link.profile);
        let said = self.viewers.iter().filter_map(|v| v.failed.clone());
        outcome.failures = self.refused.iter().cloned().chain(said).collect();
        outcome.own_drops = self.viewers.iter().map(|v| sys::dropped(v.link.fd())).sum();
        outcome.runs = self.tape.take().unwrap_or_default();
        outcome.silent = plan.viewers - playing.len();

        let Window { from, until, packets, bytes, cpu, waited, rss } = self.window;
        outcome.seconds = until.saturating_sub(from) as f64 / 1e6;
        (outcome.packets, outcome.bytes) = (packets, bytes);
        outcome.run_length = self.tally.packets as f64 / self.tally.runs.max(1) as f64;
        outcome.opened = self.tally.opened;
        outcome.decrypt_failures = self.tally.decrypt_failures;
        outcome.latency_us = std::mem::take(&mut self.tally.latencies);
        outcome.server = rss_before.map(|before| Server {
            cpu_seconds: cpu,
            waited_seconds: waited,
            rss_bytes: rss,
            rss_per_viewer: rss.saturating_sub(before) / playing.len().max(1) as u64,
        });
        outcome
    }

    /// close_notify and DELETE for everybody, by several threads.
    fn leave(self, signal: &Signal) {
        let resources: Vec<String> = self
            .viewers
            .iter()
            .inspect(|v| v.link.close())
            .filter_map(|v| v.resource.clone())
            .collect();
        let queue = Mutex::new(resources.into_iter());
        std::thread::scope(|scope| {
            for _ in 0..SIGNALLING / 2 {
                scope.spawn(|| {
                    loop {
                        let next = queue.lock().ok().and_then(|mut queue| queue.next());
                        let Some(resource) = next else { return };
                        signal.leave(&resource);
                    }
                });
            }
        });
    }
}

/// The profile of this name.
///
/// # Errors
/// If there is none.
pub fn profile(name: &str) -> Result<Profile> {
    let all = [Profile::Aes128CmSha1, Profile::Aes128Gcm, Profile::Aes256Gcm];
    all.into_iter().find(|p| p.name() == name).with_context(|| {
        format!("{name} is no SRTP profile: aes128-cm-sha1, aes128-gcm or aes256-gcm")
    })
}
