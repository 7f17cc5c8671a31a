//! `make bench`: everything that is promised in numbers, against the `weir` beside this program, each
//! beside its floor from the same run. Server and load are pinned to different cores.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::floor::{self, Floor, To};
use crate::load::{self, Hooks, Plan};
use crate::outcome::{Outcome, percentiles};
use crate::server::{Process, Weir};
use crate::source::Shape;
use crate::srtp::Profile;
use crate::table::{Row, Table, Values};
use crate::{blackhole, sys};

/// What most people send.
const FULL: Shape = Shape { bitrate: 2_500_000, fps: 30, gop: 60, audio: true };
/// Thin enough for thousands of viewers on one core: 38 packets of about 1000 bytes per second.
const THIN: Shape = Shape { bitrate: 300_000, fps: 15, gop: 30, audio: false };
const STREAM: &str = "bench";

/// What to measure with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server.
    pub weir: PathBuf,
    /// Short form.
    pub quick: bool,
    /// Numbers of viewers.
    pub sizes: Vec<usize>,
    /// How often each is measured; the median counts.
    pub repeats: usize,
    /// How long each time.
    pub seconds: f64,
    /// Where the table goes as JSON.
    pub out: PathBuf,
    /// The server's core.
    pub server_core: usize,
    /// The load's.
    pub load_core: usize,
}

/// Runs everything; `say` gets the table.
///
/// # Errors
/// If the server or a floor does not work.
pub fn run(config: &Config) -> Result<Table> {
    sys::pin(config.load_core);
    let mut table = Table::default();
    let sizes = &config.sizes[..];
    // The largest crowd wants more packets of the full stream than a core can send to loopback.
    let most = sizes.iter().filter(|size| **size <= 1000).count().max(1);
    let full = config.crowds(&mut table, "2.5 Mbit/s + audio", FULL, &sizes[..most])?;
    config.crowds(&mut table, "0.3 Mbit/s", THIN, sizes)?;
    config.latency(&mut table, full)?;
    config.joins(&mut table)?;
    blackhole::row(config, &mut table);
    let written = serde_json::to_vec_pretty(&table.json(&config.machine()))?;
    std::fs::write(&config.out, written).with_context(|| format!("{}", config.out.display()))?;
    Ok(table)
}

impl Config {
    /// What the figures were measured on.
    pub fn machine(&self) -> Value {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        json!({
            "cpu": model.map(|(_, name)| name),
            "cores_of_the_load": cores,
            "kernel": read("/proc/sys/kernel/osrelease").trim(),
            "form": if self.quick { "quick" } else { "full" },
            "load_average": read("/proc/loadavg").trim(),
        })
    }

    pub(crate) fn publisher(&self, url: &str, shape: Shape) -> Result<Process> {
        let own = std::env::current_exe()?;
        let whip = format!("{url}/whip/{STREAM}");
        let (bitrate, fps, gop) =
            (shape.bitrate.to_string(), shape.fps.to_string(), shape.gop.to_string());
        let mut arguments =
            vec!["whip", "--url", &whip, "--bitrate", &bitrate, "--fps", &fps, "--gop", &gop];
        if shape.audio {
            arguments.push("--audio");
        }
        Process::pinned(self.load_core, &own, &arguments, Path::new("."))
    }

    pub(crate) fn plan(&self, weir: &Weir, viewers: usize) -> Plan {
        Plan {
            url: format!("{}/whep/{STREAM}", weir.url),
            token: None,
            viewers,
            seconds: self.seconds,
            ramp: 300.0,
            server_pid: Some(weir.pid()),
            srtp: None,
            source: None,
            quiet: true,
        }
    }

    fn play(&self, shape: Shape, viewers: usize, hooks: &mut dyn Hooks) -> Result<Outcome> {
        let weir = Weir::start(&self.weir, self.server_core, "127.0.0.1")?;
        let _publisher = self.publisher(&weir.url, shape)?;
        weir.until_live(STREAM)?;
        load::run(&self.plan(&weir, viewers), hooks)
    }

    /// On the server's core, while it is not there.
    fn floor(&self, outcome: &Outcome) -> Result<Floor> {
        let plan = floor::Plan {
            runs: &outcome.runs,
            viewers: outcome.viewers,
            profile: outcome.profile.unwrap_or(Profile::Aes128Gcm),
            to: To::Readers(Some(self.load_core)),
        };
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                sys::pin(self.server_core);
                floor::measure(&plan)
            });
            thread.join().unwrap_or_else(|_| anyhow::bail!("the floor panicked"))
        })
    }

    /// The table of sizes; gives packets per second of one viewer and the cost of a packet.
    fn crowds(
        &self,
        table: &mut Table,
        name: &str,
        shape: Shape,
        sizes: &[usize],
    ) -> Result<(f64, f64)> {
        let (mut per_viewer, mut costs) = ((0.0, 0.0), Vec::new());
        for &viewers in sizes {
            let mut all = Crowd::default();
            for turn in 1..=self.repeats {
                let outcome = self.play(shape, viewers, &mut ())?;
                let floor = self.floor(&outcome)?;
                let ns = outcome.cpu_ns_per_packet().unwrap_or_default();
                eprintln!(
                    "{name}, {viewers} viewers, {turn} of {}: {:.0} packets/s, {ns:.0} ns each, floor {:.0} ns, lost {}",
                    self.repeats,
                    outcome.packets_per_second(),
                    floor.ns_per_packet,
                    outcome.lost,
                );
                all.take(&outcome, floor);
            }
            if costs.is_empty() {
                per_viewer = (all.rate.median() / viewers as f64, all.ns.median());
            }
            costs.push(all.cpu_per_viewer.median());
            all.rows(table, name, viewers);
        }
        if let (Some(first), Some(last), [.., most]) = (costs.first(), costs.last(), sizes) {
            let row = format!("{name}: cost per viewer, {most} against {}", sizes[0]);
            table.push(Row::plain(&row, "times", last / first));
        }
        Ok(per_viewer)
    }

    /// With the server half busy: from the publisher's send to the viewer's receive.
    fn latency(&self, table: &mut Table, (rate, ns): (f64, f64)) -> Result<()> {
        let viewers = (0.5e9 / (rate * ns).max(1.0)).clamp(10.0, 2000.0) as usize;
        let (mut p50, mut p99, mut busy) =
            (Values::default(), Values::default(), Values::default());
        for _ in 0..self.repeats {
            let outcome = self.play(FULL, viewers, &mut ())?;
            if let Some((median, tail)) = percentiles(&outcome.latency_us) {
                p50.push(f64::from(median));
                p99.push(f64::from(tail));
            }
            let server = outcome.server.unwrap_or_default();
            busy.push(100.0 * server.cpu_seconds / outcome.seconds);
        }
        let name = format!("latency, {viewers} viewers, server {:.0} % busy", busy.median());
        table.push(Row::new(&format!("{name}: p50"), "µs", p50, None));
        table.push(Row::new(&format!("{name}: p99"), "µs", p99, None));
        Ok(())
    }

    /// A second crowd joins while the first one plays.
    fn joins(&self, table: &mut Table) -> Result<()> {
        let (playing, joining) = if self.quick { (100, 150) } else { (1000, 900) };
        let (mut rate, mut tail, mut lost) =
            (Values::default(), Values::default(), Values::default());
        for _ in 0..self.repeats {
            let weir = Weir::start(&self.weir, self.server_core, "127.0.0.1")?;
            let _publisher = self.publisher(&weir.url, THIN)?;
            weir.until_live(STREAM)?;
            let mut second = Plan { seconds: 1.0, ..self.plan(&weir, joining) };
            second.ramp = 400.0;
            let first = Plan { seconds: joining as f64 / 100.0, ..self.plan(&weir, playing) };
            let mut crowd = Second { plan: second, thread: None };
            let outcome = load::run(&first, &mut crowd)?;
            let joined = crowd.thread.and_then(|t| t.join().ok()).context("nobody joined")??;
            rate.push(joined.joins_per_second);
            tail.push(percentiles(&joined.join_us).map_or(0.0, |(_, p99)| f64::from(p99) / 1000.0));
            lost.push((outcome.lost + joined.lost) as f64);
        }
        let name = format!("joins while {playing} play (0.3 Mbit/s), asked for 400/s");
        table.push(Row::new(&name, "per s", rate, None));
        table.push(Row::new(&format!("{name}: time of a join, p99"), "ms", tail, None));
        table.push(Row::new(&format!("{name}: lost by all"), "packets", lost, None));
        Ok(())
    }
}

/// Joins when the first crowd is complete.
struct Second {
    plan: Plan,
    thread: Option<std::thread::JoinHandle<Result<Outcome>>>,
}

impl Hooks for Second {
    fn joined(&mut self) {
        let plan = self.plan.clone();
        self.thread = Some(std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            load::run(&plan, &mut ())
        }));
    }
}

/// Repeats of one size.
#[derive(Default)]
struct Crowd {
    ns: Values,
    rate: Values,
    memory: Values,
    floor: Values,
    lost: Values,
    cpu_per_viewer: Values,
    about: String,
}

impl Crowd {
    fn take(&mut self, outcome: &Outcome, floor: Floor) {
        let server = outcome.server.unwrap_or_default();
        self.ns.push(outcome.cpu_ns_per_packet().unwrap_or_default());
        self.rate.push(outcome.packets_per_second());
        self.memory.push(server.rss_per_viewer as f64 / 1000.0);
        self.floor.push(floor.ns_per_packet);
        self.lost.push(outcome.lost as f64);
        let cpu = server.cpu_seconds / outcome.seconds;
        self.cpu_per_viewer.push(cpu * 1e6 / outcome.viewers as f64);
        self.about = format!(
            "{} of the viewers played; {} bytes, {:.1} packets per run (floor: {:.0}, {:.1}); {}; server {:.0} % busy{}",
            outcome.viewers,
            outcome.bytes / outcome.packets.max(1),
            outcome.run_length,
            floor.datagram,
            floor.run_length,
            outcome.profile.map_or("", Profile::name),
            100.0 * cpu,
            if outcome.own_drops > 0 { "; THE LOAD ITSELF LOST PACKETS" } else { "" },
        );
    }

    fn rows(self, table: &mut Table, name: &str, viewers: usize) {
        let name = format!("{name}, {viewers} viewers");
        let per_core = self.ns.map(|ns| 1e9 / ns.max(1.0));
        let floor_per_core = self.floor.map(|ns| 1e9 / ns.max(1.0));
        table.push(Row::new(&name, "ns/packet", self.ns, Some(self.floor)).about(&self.about));
        table.push(Row::new(
            &format!("{name}: per core"),
            "packets/s",
            per_core,
            Some(floor_per_core),
        ));
        table.push(Row::new(&format!("{name}: arrived"), "packets/s", self.rate, None));
        table.push(Row::new(&format!("{name}: lost"), "packets", self.lost, None));
        table.push(Row::new(&format!("{name}: memory per viewer"), "KB", self.memory, None));
        table.push(Row::new(&format!("{name}: CPU per viewer"), "µs/s", self.cpu_per_viewer, None));
    }
}
