//! Publishers by RTMP, many in one thread: what a server's way in costs per bit and per publisher, beside
//! any other server under the same load.
//!
//! Publishers share the bytes of their pictures; a picture is written when it is due, in one system call
//! where the server's window allows. What a server does not take waits, and is counted as a stall.

mod beside;
pub mod nginx;
mod publisher;
mod source;

use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mio::{Events, Poll, Token};
use rtmp::Url;
use serde_json::{Value, json};

use crate::outcome::percentiles;
use crate::{process, sys};
pub(crate) use beside::rows;
use publisher::Publisher;
pub use source::{Shape, Show};

/// Between the last publisher's first picture and the measurement.
const SETTLE: u64 = 2_000_000;
/// How long publishers may take to be let in.
const PATIENCE: u64 = 20_000_000;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `rtmp://host/app/name`, with a query if there is a token; the second publisher adds `-1` to the name,
    /// and so on.
    pub url: String,
    /// How many.
    pub publishers: usize,
    /// How long is measured, once all publish.
    pub seconds: f64,
    /// New ones per second.
    pub ramp: f64,
    /// An FLV file to send again and again, instead of a generated stream.
    pub file: Option<PathBuf>,
    /// What to generate.
    pub shape: Shape,
    /// Bytes of a chunk of ours; OBS has 4096.
    pub chunk_size: u32,
    /// Process to look at.
    pub server_pid: Option<u32>,
}

/// What a run has found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Those that were let in and still were at the end.
    pub publishers: usize,
    /// Length of the measured part.
    pub seconds: f64,
    /// Pictures and packets of sound in the measured part.
    pub units: u64,
    /// Bytes on the wire in the measured part, RTMP's own included.
    pub bytes: u64,
    /// How much later than due units were handed to the kernel, µs.
    pub late_us: Vec<u32>,
    /// How often a server did not take what was due.
    pub stalls: u64,
    /// Of the process of the server, in the measured part.
    pub cpu_seconds: Option<f64>,
    /// In the measured part, ready to run while others had the core.
    pub waited_seconds: f64,
    /// At its end.
    pub rss_bytes: u64,
    /// What came on top of the resident memory before the first publisher, divided by the publishers.
    pub rss_per_publisher: u64,
    /// What was said by those that were not let in, or were closed.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Per second of the measured part.
    pub fn bits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds.max(1e-9)
    }

    /// The server's CPU nanoseconds for each bit that it was sent.
    pub fn cpu_ns_per_bit(&self) -> Option<f64> {
        Some(self.cpu_seconds? * 1e9 / (self.bytes.max(1) as f64 * 8.0))
    }

    /// The share of a core that each publisher costs.
    pub fn cpu_per_publisher(&self) -> Option<f64> {
        Some(self.cpu_seconds? / self.seconds.max(1e-9) / self.publishers.max(1) as f64)
    }

    /// The object of `--json`.
    pub fn json(&self) -> Value {
        let late = percentiles(&self.late_us);
        let mut object = json!({
            "publishers": self.publishers,
            "seconds": (self.seconds * 1000.0).round() / 1000.0,
            "units": self.units,
            "bits_per_second": self.bits_per_second().round(),
            "late_us": late.map(|(p50, p99)| json!({ "p50": p50, "p99": p99 })),
            "stalls": self.stalls,
            "failures": self.failures.len(),
        });
        let fields = object.as_object_mut().zip(self.cpu_seconds);
        if let Some((fields, cpu)) = fields {
            fields.insert("server_cpu_seconds".into(), json!(cpu));
            fields.insert("server_cpu_ns_per_bit".into(), json!(self.cpu_ns_per_bit()));
            fields.insert("server_cpu_per_publisher".into(), json!(self.cpu_per_publisher()));
            fields.insert("server_rss_bytes".into(), json!(self.rss_bytes));
            fields.insert("server_rss_per_publisher_bytes".into(), json!(self.rss_per_publisher));
        }
        object
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let late = percentiles(&self.late_us).unwrap_or_default();
        let mut text = format!(
            "{} publishers, {:.1} s: {:.1} Mbit/s, {:.0} units/s; late p50 {} µs, p99 {} µs; {} stalls",
            self.publishers,
            self.seconds,
            self.bits_per_second() / 1e6,
            self.units as f64 / self.seconds.max(1e-9),
            late.0,
            late.1,
            self.stalls,
        );
        if let (Some(cpu), Some(per_bit)) = (self.cpu_seconds, self.cpu_ns_per_bit()) {
            text += &format!(
                "\nserver: {cpu:.2} CPU s, {per_bit:.3} ns per bit, {:.3} % of a core and {:.0} KB per publisher, {:.1} MB resident",
                100.0 * self.cpu_per_publisher().unwrap_or_default(),
                self.rss_per_publisher as f64 / 1e3,
                self.rss_bytes as f64 / 1e6,
            );
        }
        text
    }
}

/// Runs the plan to its end.
///
/// # Errors
/// If nobody is let in, or the process to look at is not there.
pub fn run(plan: &Plan) -> Result<Outcome> {
    let url = Url::parse(&plan.url).with_context(|| format!("{} is no RTMP URL", plan.url))?;
    let mut addresses = (url.host.as_str(), url.port).to_socket_addrs()?;
    let address = addresses.next().with_context(|| format!("{} has no address", url.host))?;
    let show = match &plan.file {
        Some(path) => Show::read(path)?,
        None => Show::generated(plan.shape),
    };
    sys::raise_file_limit(plan.publishers as u64 + 64);
    let rss_before = plan.server_pid.map(process::resident_bytes).transpose()?;
    let mut poll = Poll::new()?;
    let mut crowd = Crowd { publishers: Vec::new(), failures: Vec::new() };
    let every = (1e6 / plan.ramp.max(0.1)) as u64;
    let started = sys::now_us();
    let (mut window, mut outcome): (Option<Window>, Outcome) = (None, Outcome::default());
    let mut events = Events::with_capacity(256);
    while !sys::stopped() {
        let now = sys::now_us();
        let count = crowd.publishers.len();
        if count < plan.publishers && now >= started + every * count as u64 {
            let mut publisher = Publisher::open(plan, &url, address, count, now)?;
            publisher.register(poll.registry(), Token(count))?;
            crowd.publishers.push(publisher);
        }
        crowd.turn(now, &show);
        if window.is_none() && count == plan.publishers {
            let last = started + every * count as u64;
            if crowd.complete() || now > last + PATIENCE {
                window = Some(Window {
                    from: now + SETTLE,
                    open: false,
                    before: (0, 0),
                    cpu: 0.0,
                    waited: 0.0,
                });
            }
        }
        if let Some(window) = &mut window {
            if !window.open && now >= window.from {
                window.begin(&mut crowd, plan)?;
            }
            if window.open && now >= window.from + (plan.seconds * 1e6) as u64 {
                outcome = window.end(&mut crowd, plan, rss_before, now)?;
                break;
            }
        }
        let due = crowd.due().min(now + 20_000);
        let wait = Duration::from_micros(due.saturating_sub(sys::now_us()));
        match poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(error.into());
            }
            _ => {}
        }
        for event in &events {
            if let Some(publisher) = crowd.publishers.get_mut(event.token().0) {
                publisher.ready(event);
            }
        }
    }
    crowd.leave();
    if outcome.publishers == 0 {
        bail!("nobody was let in: {}", outcome.failures.pop().unwrap_or_default());
    }
    Ok(outcome)
}

struct Crowd {
    publishers: Vec<Publisher>,
    failures: Vec<String>,
}

impl Crowd {
    fn turn(&mut self, now: u64, show: &Show) {
        for publisher in &mut self.publishers {
            if let Err(error) = publisher.turn(now, show) {
                self.failures.push(format!("{error:#}"));
            }
        }
    }

    /// True if every publisher publishes or will not.
    fn complete(&self) -> bool {
        self.publishers.iter().all(|p| p.is_live() || p.is_over())
    }

    fn due(&self) -> u64 {
        self.publishers.iter().map(Publisher::due).min().unwrap_or(u64::MAX)
    }

    /// Units and bytes so far.
    fn sum(&self) -> (u64, u64) {
        let sum = |count: fn(&Publisher) -> u64| self.publishers.iter().map(count).sum();
        (sum(|p| p.units), sum(|p| p.bytes))
    }

    fn leave(&mut self) {
        self.publishers.iter_mut().for_each(Publisher::leave);
    }
}

/// The measured part.
struct Window {
    from: u64,
    open: bool,
    before: (u64, u64),
    cpu: f64,
    waited: f64,
}

impl Window {
    fn begin(&mut self, crowd: &mut Crowd, plan: &Plan) -> Result<()> {
        self.open = true;
        self.from = sys::now_us();
        self.before = crowd.sum();
        for publisher in &mut crowd.publishers {
            publisher.late.clear();
            publisher.stalls = 0;
        }
        self.cpu = plan.server_pid.map(process::cpu_seconds).transpose()?.unwrap_or_default();
        self.waited = plan.server_pid.map(process::waited_seconds).unwrap_or_default();
        Ok(())
    }

    fn end(&self, crowd: &mut Crowd, plan: &Plan, rss: Option<u64>, now: u64) -> Result<Outcome> {
        let (units, bytes) = crowd.sum();
        let live = crowd.publishers.iter().filter(|p| p.is_live()).count();
        let mut outcome = Outcome {
            publishers: live,
            seconds: now.saturating_sub(self.from) as f64 / 1e6,
            units: units - self.before.0,
            bytes: bytes - self.before.1,
            late_us: crowd.publishers.iter().flat_map(|p| &p.late).copied().collect(),
            stalls: crowd.publishers.iter().map(|p| p.stalls).sum(),
            failures: std::mem::take(&mut crowd.failures),
            ..Outcome::default()
        };
        if let (Some(pid), Some(before)) = (plan.server_pid, rss) {
            outcome.cpu_seconds = Some(process::cpu_seconds(pid)? - self.cpu);
            outcome.waited_seconds = process::waited_seconds(pid) - self.waited;
            outcome.rss_bytes = process::resident_bytes(pid)?;
            outcome.rss_per_publisher =
                outcome.rss_bytes.saturating_sub(before) / live.max(1) as u64;
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_fields_that_were_promised() {
        let names = |outcome: &Outcome| -> Vec<String> {
            outcome.json().as_object().unwrap().keys().cloned().collect()
        };
        let always =
            ["bits_per_second", "failures", "late_us", "publishers", "seconds", "stalls", "units"];
        let mut outcome =
            Outcome { seconds: 10.0, bytes: 250_000_000, publishers: 100, ..Outcome::default() };
        assert_eq!(names(&outcome), always);
        outcome.cpu_seconds = Some(1.0);
        assert_eq!(names(&outcome).len(), always.len() + 5);
        assert_eq!(outcome.json()["server_cpu_ns_per_bit"], 0.5);
        assert_eq!(outcome.json()["server_cpu_per_publisher"], 0.001);
    }
}
