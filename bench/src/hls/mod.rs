//! Players of one stream by Low-Latency HLS, many in one thread: each waits for the next playlist of its renditions on
//! one kept connection, and fetches each part once on another. HTTP/1.1 without TLS, nothing compressed.
//!
//! What one of them got can be recorded, and asked for again of any server that has the files: what a server of
//! files costs under the same requests.

mod beside;
mod follower;
mod http;
mod meanwhile;
mod outcome;
mod playlist;
mod recording;

use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mio::{Events, Poll};
use ureq::http::Uri;

use crate::outcome::Server;
use crate::{process, sys};
pub(crate) use beside::rows;
use follower::{Arrival, Counts, Follower, Memo, Origin};
pub use outcome::Outcome;
use recording::{Recorder, Step};

/// Between the last player's first part and the measurement.
const SETTLE: u64 = 1_000_000;
/// How long players may take for that.
const PATIENCE: u64 = 20_000_000;
/// How often each is looked at.
const TICK: u64 = 50_000;
/// One read.
const SCRATCH: usize = 256 << 10;
/// Longest multivariant playlist that is read.
const MAX_LIST: u64 = 1 << 20;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The multivariant playlist, such as `http://127.0.0.1:8080/live/demo/index.m3u8`; where a recording is
    /// replayed, only its server counts.
    pub url: String,
    /// Bearer token.
    pub token: Option<String>,
    /// How many.
    pub viewers: usize,
    /// How long is measured, once all play.
    pub seconds: f64,
    /// New ones per second.
    pub ramp: f64,
    /// Process to look at.
    pub server_pid: Option<u32>,
    /// Where to keep what the first player gets.
    pub record: Option<PathBuf>,
    /// Ask for what was recorded there, as files at the root of the server.
    pub replay: Option<PathBuf>,
}

/// Runs the plan to its end.
///
/// # Errors
/// If nobody gets a part, or the process to look at is not there.
pub fn run(plan: &Plan) -> Result<Outcome> {
    let steps = plan.replay.as_deref().map(recording::read).transpose()?;
    let origin = Rc::new(origin(plan, steps.as_deref())?);
    let wanted = plan.viewers as u64 * origin.renditions.len() as u64 * 2 + 256;
    let limit = sys::raise_file_limit(wanted);
    if limit < wanted {
        bail!("{wanted} connections need as many files, and only {limit} are allowed (ulimit -n)");
    }
    let rss_before = plan.server_pid.map(process::resident_bytes).transpose()?;
    let mut crowd = Crowd::new(origin, steps)?;
    crowd.play(plan)?;
    let outcome = crowd.outcome(plan, rss_before)?;
    if outcome.viewers == 0 {
        bail!("nobody got a part: {}", outcome.failures.first().map_or("", String::as_str));
    }
    Ok(outcome)
}

/// Where the server is, and which playlists one player follows.
fn origin(plan: &Plan, steps: Option<&[Rc<Step>]>) -> Result<Origin> {
    let uri: Uri = plan.url.parse().with_context(|| format!("{} is no URL", plan.url))?;
    if uri.scheme_str() != Some("http") {
        bail!("{}: only http:// is spoken here; put TLS away from the measurement", plan.url);
    }
    let host = uri.host().context("a URL without a host")?;
    let port = uri.port_u16().unwrap_or(80);
    let mut addresses = (host, port).to_socket_addrs()?;
    let address = addresses.next().with_context(|| format!("{host} has no address"))?;
    let mut headers = format!("Host: {host}:{port}\r\n");
    if let Some(token) = &plan.token {
        headers += &format!("Authorization: Bearer {token}\r\n");
    }
    let renditions = match steps {
        Some(steps) => {
            let most = steps.iter().map(|step| step.rendition).max().unwrap_or_default();
            vec![String::new(); most + 1]
        }
        None => {
            let mut request = ureq::get(&plan.url);
            if let Some(token) = &plan.token {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let mut answer = request.call().with_context(|| plan.url.clone())?;
            let text = answer.body_mut().with_config().limit(MAX_LIST).read_to_string()?;
            let own = uri.path_and_query().map_or("/", |path| path.as_str());
            let found = playlist::renditions(&text)?;
            found.iter().map(|uri| follower::resolved(own, uri)).collect::<Result<_>>()?
        }
    };
    Ok(Origin { address, headers, renditions })
}

struct Crowd {
    poll: Poll,
    origin: Rc<Origin>,
    /// Those of a player are neighbours.
    followers: Vec<Follower>,
    /// When each player began, and when all it follows played, µs.
    joins: Vec<(u64, Option<u64>)>,
    /// By rendition.
    memos: Vec<Memo>,
    arrivals: Vec<Vec<Arrival>>,
    scratch: Vec<u8>,
    replay: Option<Replay>,
    window: Option<Window>,
}

/// A recording that is played, again and again.
struct Replay {
    steps: Vec<Rc<Step>>,
    next: usize,
    /// When the first step was.
    from: u64,
}

/// The measured part.
struct Window {
    from: u64,
    before: Counts,
    cpu: f64,
    waited: f64,
}

impl Crowd {
    fn new(origin: Rc<Origin>, steps: Option<Vec<Rc<Step>>>) -> Result<Self> {
        let renditions = origin.renditions.len();
        Ok(Self {
            poll: Poll::new()?,
            origin,
            followers: Vec::new(),
            joins: Vec::new(),
            memos: (0..renditions).map(|_| Memo::default()).collect(),
            arrivals: vec![Vec::new(); renditions],
            scratch: vec![0; SCRATCH],
            replay: steps.map(|steps| Replay { steps, next: 0, from: 0 }),
            window: None,
        })
    }

    /// From the first player to the end of the measurement.
    fn play(&mut self, plan: &Plan) -> Result<()> {
        let mut events = Events::with_capacity(4096);
        let started = sys::now_us();
        let every = 1e6 / plan.ramp.max(0.1);
        let (mut ticked, mut begin) = (started, None);
        while !sys::stopped() {
            let now = sys::now_us();
            let due = ((now - started) as f64 / every) as usize + 1;
            while self.joins.len() < plan.viewers.min(due) {
                self.join(plan, now)?;
            }
            if now >= ticked + TICK {
                ticked = now;
                self.tick(now);
                let last = started + (every * plan.viewers as f64) as u64;
                let all = self.joins.len() == plan.viewers;
                let playing = self.joins.iter().all(|(_, playing)| playing.is_some());
                if begin.is_none() && all && (playing || now > last + PATIENCE) {
                    begin = Some(now + SETTLE);
                }
            }
            match &self.window {
                None if begin.is_some_and(|begin| now >= begin) => self.open_window(plan)?,
                Some(window) if now >= window.from + (plan.seconds * 1e6) as u64 => break,
                _ => {}
            }
            let due = self.steps(now);
            self.turn(&mut events, due.min(now + 5_000))?;
        }
        Ok(())
    }

    fn join(&mut self, plan: &Plan, now: u64) -> Result<()> {
        for rendition in 0..self.origin.renditions.len() {
            let token = self.followers.len() * 2;
            let mut follower = Follower::new(&self.origin, rendition, token);
            if self.joins.is_empty() {
                follower.recorder = plan.record.as_deref().map(Recorder::new).transpose()?;
            }
            match &self.replay {
                None => follower.reload(self.poll.registry(), None),
                // Something to open its connections with.
                Some(replay) => {
                    let mut steps = replay.steps.iter();
                    if let Some(step) = steps.find(|step| step.rendition == rendition) {
                        follower.step(self.poll.registry(), step);
                    }
                }
            }
            self.followers.push(follower);
        }
        self.joins.push((now, None));
        Ok(())
    }

    fn tick(&mut self, now: u64) {
        let each = self.origin.renditions.len().max(1);
        let replayed = self.replay.is_some();
        for (join, followers) in self.joins.iter_mut().zip(self.followers.chunks_mut(each)) {
            for follower in followers.iter_mut() {
                follower.tick(self.poll.registry(), now);
            }
            let plays =
                |follower: &Follower| follower.plays() || replayed && follower.counts.parts > 0;
            if join.1.is_none() && followers.iter().all(plays) {
                join.1 = Some(now);
            }
        }
    }

    /// Does what is due of a recording, once the measurement has begun; when the next of it is.
    fn steps(&mut self, now: u64) -> u64 {
        let Some(replay) = self.replay.as_mut().filter(|_| self.window.is_some()) else {
            return u64::MAX;
        };
        if replay.from == 0 {
            replay.from = now;
        }
        let each = self.origin.renditions.len().max(1);
        loop {
            let Some(step) = replay.steps.get(replay.next) else {
                // From the beginning, a step later than the last.
                (replay.next, replay.from) = (0, now + TICK);
                return replay.from;
            };
            let due = replay.from + step.at_us;
            if now < due {
                return due;
            }
            for follower in self.followers.iter_mut().skip(step.rendition).step_by(each) {
                follower.step(self.poll.registry(), step);
            }
            replay.next += 1;
        }
    }

    fn turn(&mut self, events: &mut Events, until: u64) -> Result<()> {
        let wait = Duration::from_micros(until.saturating_sub(sys::now_us()));
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(error.into());
            }
            _ => {}
        }
        for event in events.iter() {
            let token = event.token().0;
            if let Some(follower) = self.followers.get_mut(token / 2) {
                let rendition = follower.rendition;
                follower.ready(
                    self.poll.registry(),
                    token % 2 == 0,
                    &mut self.memos[rendition],
                    &mut self.scratch,
                    &mut self.arrivals[rendition],
                );
            }
        }
        Ok(())
    }

    fn sum(&self) -> Counts {
        let mut sum = Counts::default();
        self.followers.iter().for_each(|follower| sum.add(&follower.counts));
        sum
    }

    fn open_window(&mut self, plan: &Plan) -> Result<()> {
        self.arrivals.iter_mut().for_each(Vec::clear);
        let cpu = plan.server_pid.map(process::cpu_seconds).transpose()?.unwrap_or_default();
        let waited = plan.server_pid.map(process::waited_seconds).unwrap_or_default();
        let from = sys::now_us();
        self.window = Some(Window { from, before: self.sum(), cpu, waited });
        Ok(())
    }

    fn outcome(&mut self, plan: &Plan, rss_before: Option<u64>) -> Result<Outcome> {
        let until = sys::now_us();
        let sum = self.sum();
        let window = self.window.take().unwrap_or(Window {
            from: until,
            before: sum,
            cpu: 0.0,
            waited: 0.0,
        });
        let playing = self.joins.iter().filter(|(_, playing)| playing.is_some()).count();
        let mut outcome = Outcome {
            viewers: playing,
            renditions: self.origin.renditions.len(),
            seconds: until.saturating_sub(window.from) as f64 / 1e6,
            silent: plan.viewers.saturating_sub(playing),
            failures: self.followers.iter().filter_map(|f| f.failure.clone()).collect(),
            ..Outcome::default()
        };
        let joined = self.joins.iter().filter_map(|(from, playing)| Some((*playing)? - from));
        outcome.join_us = joined.map(|us| us as u32).collect();
        outcome.count(&sum.less(&window.before));
        self.arrivals.iter().for_each(|arrivals| outcome.arrived(arrivals));
        if let (Some(pid), Some(before)) = (plan.server_pid, rss_before) {
            let rss_bytes = process::resident_bytes(pid)?;
            outcome.server = Some(Server {
                cpu_seconds: process::cpu_seconds(pid)? - window.cpu,
                waited_seconds: process::waited_seconds(pid) - window.waited,
                rss_bytes,
                rss_per_viewer: rss_bytes.saturating_sub(before) / playing.max(1) as u64,
            });
        }
        if let Some(folder) = &plan.record {
            let recorders = self.followers.iter_mut().filter_map(|f| f.recorder.take());
            let steps = recorders.flat_map(|recorder| recorder.steps).collect();
            recording::write(folder, steps, window.from)?;
        }
        Ok(outcome)
    }
}
