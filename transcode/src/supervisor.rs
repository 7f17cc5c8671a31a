//! When a worker is started, killed, started again and given up. Pure policy: time is an argument, and what
//! is to be done comes out of [`Supervisor::step`].

use std::time::{Duration, Instant};

/// How patient we are.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Waited before the first, second, … restart in a row; there are no more restarts than entries.
    /// Together with the rest a bridge is back within 2 s even when its worker had to be found hung.
    pub backoff: Vec<Duration>,
    /// A run of this length ends a row of crashes.
    pub settled: Duration,
    /// From the start to the first heartbeat.
    pub start: Duration,
    /// Silence while units wait, until the worker counts as hung.
    pub silence: Duration,
    /// The same for one that is heard and takes no units.
    pub stall: Duration,
    /// Given to a worker that shall end when it has sent the rest.
    pub drain: Duration,
    /// Without units for so long, the worker ends until one comes.
    pub idle: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            backoff: [50, 200, 500].map(Duration::from_millis).to_vec(),
            settled: Duration::from_secs(30),
            start: Duration::from_secs(5),
            silence: Duration::from_secs(1),
            stall: Duration::from_secs(5),
            drain: Duration::from_secs(5),
            idle: Duration::from_secs(30),
        }
    }
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start a worker, then say [`Supervisor::started`] or [`Supervisor::ended`].
    Start,
    /// Kill the worker, then say [`Supervisor::ended`] with this reason.
    Kill(String),
    /// Nobody needs it now: end it, then say [`Supervisor::idled`].
    End,
    /// Nothing until then; `None`: until something happens.
    Wait(Option<Instant>),
}

/// How a bridge fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The first worker begins.
    Starting,
    /// A worker runs.
    Running,
    /// The last one was lost; another one begins.
    Restarting {
        /// What became of the last one, in plain words.
        reason: String,
    },
    /// Nothing came for long; the next unit starts a worker.
    Idle,
    /// Given up for good.
    Failed {
        /// Why, in plain words.
        reason: String,
    },
}

/// The policy applied to one bridge.
#[derive(Debug)]
pub struct Supervisor {
    policy: Policy,
    phase: Phase,
    /// Restarts in a row.
    row: usize,
    restarts: u64,
    /// When the last unit came.
    unit: Instant,
}

#[derive(Debug)]
enum Phase {
    Down { start_at: Instant, lost: Option<String> },
    Up(Up),
    Idle,
    Failed(String),
}

/// One run of a worker.
#[derive(Debug)]
struct Up {
    since: Instant,
    lost: Option<String>,
    ready: bool,
    heard: Instant,
    /// When units began to wait, and when it last took one.
    waiting: Option<Instant>,
    taken: Instant,
    draining: Option<Instant>,
}

impl Supervisor {
    /// A worker is wanted at once.
    pub fn new(policy: Policy, now: Instant) -> Self {
        let phase = Phase::Down { start_at: now, lost: None };
        Self { policy, phase, row: 0, restarts: 0, unit: now }
    }

    /// What to do now.
    pub fn step(&self, now: Instant) -> Step {
        match &self.phase {
            Phase::Down { start_at, .. } if *start_at <= now => Step::Start,
            Phase::Down { start_at, .. } => Step::Wait(Some(*start_at)),
            Phase::Up(up) => self.watch(up, now),
            Phase::Idle | Phase::Failed(_) => Step::Wait(None),
        }
    }

    fn watch(&self, up: &Up, now: Instant) -> Step {
        let policy = &self.policy;
        let mut next: Option<Instant> = None;
        let mut over = |at: Instant| {
            next = Some(next.map_or(at, |next| next.min(at)));
            at <= now
        };
        let seconds = |time: Duration| format!("{} s", time.as_secs_f32());
        if !up.ready && over(up.since + policy.start) {
            return Step::Kill(format!("the worker was not ready after {}", seconds(policy.start)));
        }
        if let Some(since) = up.waiting.filter(|_| up.ready) {
            if over(up.heard.max(since) + policy.silence) {
                let silence = seconds(policy.silence);
                return Step::Kill(format!("the worker hung: no sign of life for {silence}"));
            }
            if over(up.taken.max(since) + policy.stall) {
                return Step::Kill(format!(
                    "the worker took nothing for {}",
                    seconds(policy.stall)
                ));
            }
        }
        if let Some(since) = up.draining {
            if over(since + policy.drain) {
                return Step::Kill(format!(
                    "the worker did not end within {}",
                    seconds(policy.drain)
                ));
            }
        } else if up.waiting.is_none() && over(self.unit + policy.idle) {
            return Step::End;
        }
        Step::Wait(next)
    }

    /// A worker was started.
    pub fn started(&mut self, now: Instant) {
        let Phase::Down { lost, .. } = &mut self.phase else { return };
        self.phase = Phase::Up(Up {
            since: now,
            lost: lost.take(),
            ready: false,
            heard: now,
            waiting: None,
            taken: now,
            draining: None,
        });
    }

    /// Its codecs are open.
    pub fn ready(&mut self) {
        if let Phase::Up(up) = &mut self.phase {
            up.ready = true;
        }
    }

    /// It gave a sign of life.
    pub fn heard(&mut self, now: Instant) {
        if let Phase::Up(up) = &mut self.phase {
            up.heard = now;
        }
    }

    /// It took a unit.
    pub fn taken(&mut self, now: Instant) {
        if let Phase::Up(up) = &mut self.phase {
            up.taken = now;
        }
    }

    /// Whether units wait to be taken, or are being worked on.
    pub fn waits(&mut self, now: Instant, waits: bool) {
        if let Phase::Up(up) = &mut self.phase {
            up.waiting = waits.then(|| up.waiting.unwrap_or(now));
        }
    }

    /// A unit came. It wakes an idle bridge.
    pub fn unit(&mut self, now: Instant) {
        self.unit = now;
        if matches!(self.phase, Phase::Idle) {
            self.phase = Phase::Down { start_at: now, lost: None };
        }
    }

    /// No more units come: the worker shall send the rest and end.
    pub fn draining(&mut self, now: Instant) {
        if let Phase::Up(up) = &mut self.phase {
            up.draining.get_or_insert(now);
        }
    }

    /// It ended, or could not be started. `again`: another start may help.
    pub fn ended(&mut self, now: Instant, reason: String, again: bool) {
        self.settle(now);
        self.phase = match self.policy.backoff.get(self.row) {
            _ if !again => Phase::Failed(reason),
            Some(wait) => {
                self.row += 1;
                self.restarts += 1;
                Phase::Down { start_at: now + *wait, lost: Some(reason) }
            }
            None => {
                let starts = self.row + 1;
                Phase::Failed(format!("{starts} starts in a row went wrong, at last: {reason}"))
            }
        };
    }

    /// It was ended because nobody needed it.
    pub fn idled(&mut self, now: Instant) {
        self.settle(now);
        self.phase = Phase::Idle;
    }

    /// A long run ends a row of crashes.
    fn settle(&mut self, now: Instant) {
        if let Phase::Up(up) = &self.phase
            && now.saturating_duration_since(up.since) >= self.policy.settled
        {
            self.row = 0;
        }
    }

    /// Restarts so far.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// For API and pages.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Up(Up { ready: true, .. }) => State::Running,
            Phase::Down { lost: Some(reason), .. } | Phase::Up(Up { lost: Some(reason), .. }) => {
                State::Restarting { reason: reason.clone() }
            }
            Phase::Down { lost: None, .. } | Phase::Up(_) => State::Starting,
            Phase::Idle => State::Idle,
            Phase::Failed(reason) => State::Failed { reason: reason.clone() },
        }
    }
}

#[cfg(test)]
mod tests;
