//! The send path without the receivers' cost: a private network namespace, in which the way to the
//! viewers leads, once they have joined, into a device that drops everything.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::floor::{self, To};
use crate::load::{self, Hooks};
use crate::server::Weir;
use crate::source::Shape;
use crate::srtp::Profile;
use crate::suite::{Config, Source};
use crate::table::{Row, Table, Values};
use crate::{process, sys};

/// Hundredths of a second that we wait for a server to count anew.
const PATIENCE: u32 = 300;
/// So many keep a server busy; loopback, over which they join, carries them too.
const CROWD: usize = 1500;
const STREAM: Shape = Shape { bitrate: 2_500_000, fps: 30, gop: 30, audio: true };
const SERVER: &str = "10.98.0.1";
const VIEWERS: &str = "10.99.0.2";
/// The namespace, a device for the server's address, one that drops.
const SET_UP: &[&str] = &[
    "link set lo up",
    "link add weir0 type ifb",
    "addr add 10.98.0.1/32 dev weir0",
    "link set weir0 up",
    "link add hole0 type ifb",
    "addr add 10.97.0.1/32 dev hole0",
    "link set hole0 up",
    "route add local 10.99.0.2/32 dev lo table local",
];
const SWALLOW: &[&str] =
    &["route del local 10.99.0.2/32 dev lo table local", "route add 10.99.0.2/32 dev hole0"];
const GIVE_BACK: &[&str] =
    &["route del 10.99.0.2/32 dev hole0", "route add local 10.99.0.2/32 dev lo table local"];

const NAME: &str = "into a blackhole device";

/// Adds the row, or the reason why there is none.
pub(crate) fn row(config: &Config, table: &mut Table) {
    match outside(config) {
        Ok((values, floor, about)) => {
            let rate = |values: &Values| values.map(|ns| 1e9 / ns.max(1.0));
            let (ours, least) = (rate(&values), rate(&floor));
            let row = Row::new(NAME, "ns/packet", values, Some(floor));
            table.push(row.about(&about));
            let row = Row::new(&format!("{NAME}: per core"), "packets/s", ours, Some(least));
            table.push(row);
        }
        Err(error) => table.note(format!("{NAME}: not measured here: {error:#}")),
    }
}

/// Runs ourselves again, inside a namespace, once per repeat.
fn outside(config: &Config) -> Result<(Values, Values, String)> {
    let (mut values, mut floors) = (Values::default(), Values::default());
    let mut about = String::new();
    for _ in 0..config.repeats {
        let output = Command::new("unshare")
            .arg("-n")
            .arg(std::env::current_exe()?)
            .arg("blackhole")
            .arg("--weir")
            .arg(&config.weir)
            .args(["--server-core", &config.server_core.to_string()])
            .args(["--load-core", &config.load_core.to_string()])
            .args(["--seconds", &config.seconds.to_string()])
            .output()
            .context("unshare does not start")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().last().filter(|_| output.status.success());
        let line = line.with_context(|| complaint.lines().last().unwrap_or_default().to_owned())?;
        let (ns, rest) = line.split_once(' ').context("no number")?;
        let (floor, rest) = rest.split_once(' ').context("no floor")?;
        values.push(ns.parse()?);
        floors.push(floor.parse()?);
        eprintln!("{NAME}: {ns} ns each, floor {floor} ns, {rest}");
        rest.clone_into(&mut about);
    }
    Ok((values, floors, about))
}

/// Inside the namespace: nanoseconds per packet, those of the floor, and what it was measured with.
///
/// # Errors
/// If the machine does not permit it.
pub fn inside(config: &Config) -> Result<String> {
    // What follows would break the network of a machine: a fresh namespace has no routes.
    let routes = std::fs::read_to_string("/proc/self/net/route")?;
    if routes.lines().count() > 1 {
        bail!("only in a network namespace of its own: unshare -n");
    }
    ip(SET_UP)?;
    for switch in ["all", "default", "lo", "weir0", "hole0"] {
        // Answers come back by another way than they went.
        let _ = std::fs::write(format!("/proc/sys/net/ipv4/conf/{switch}/rp_filter"), "0");
    }
    sys::pin(config.load_core);
    let weir = Weir::start(&config.weir, config.server_core, "0.0.0.0")?;
    let publisher = config.publisher(&weir.url, &Source::Made(STREAM), 1)?;
    weir.until_live("bench")?;
    let mut plan = config.plan(&weir, CROWD);
    plan.url = format!("http://{SERVER}:{}/whep/bench", weir.port());
    plan.source = Some(VIEWERS.parse::<IpAddr>()?);
    // Within the time that a server waits for consent.
    plan.seconds = config.seconds.min(5.0);
    let mut hole = Hole { weir: &weir, from: Ok(Sample::default()), until: Ok(Sample::default()) };
    let outcome = load::run(&plan, &mut hole)?;
    let Hole { from, until, .. } = hole;
    let (from, until) = (from?, until?);
    drop((publisher, weir));
    let (sent, arrived) = (until.packets - from.packets, outcome.packets);
    if sent < 1.0 || arrived as f64 > sent / 20.0 {
        bail!("the device did not swallow: {sent} packets sent, {arrived} arrived");
    }
    let (cpu, seconds) = (until.cpu - from.cpu, until.at.saturating_sub(from.at) as f64 / 1e6);
    let (rate, busy) = (sent / seconds, 100.0 * cpu / seconds);
    ip(SWALLOW)?;
    let floor = config.on_server_core(&floor::Plan {
        runs: &outcome.runs,
        viewers: outcome.viewers,
        profile: outcome.profile.unwrap_or(Profile::Aes128Gcm),
        to: To::Nobody { from: SERVER.parse()?, to: VIEWERS.parse()? },
        paced: false,
    })?;
    Ok(format!(
        "{:.1} {:.1} {} viewers, {rate:.0} packets/s, {:.1} packets per run (floor: {:.1}), server {busy:.0} % busy",
        cpu * 1e9 / sent,
        floor.ns_per_packet,
        outcome.viewers,
        outcome.run_length,
        floor.run_length,
    ))
}

/// What the server had done at a moment.
#[derive(Clone, Copy, Default)]
struct Sample {
    /// µs.
    at: u64,
    packets: f64,
    cpu: f64,
}

struct Hole<'a> {
    weir: &'a Weir,
    from: Result<Sample>,
    until: Result<Sample>,
}

impl Hole<'_> {
    /// The server counts anew about once a second: what it has used is read at the moment of that.
    fn sample(&self) -> Result<Sample> {
        let count = || self.weir.metric("weir_packets_out_total");
        let before = count()?;
        for _ in 0..PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
            let packets = count()?;
            if packets > before {
                let cpu = process::cpu_seconds(self.weir.pid())?;
                return Ok(Sample { at: sys::now_us(), packets, cpu });
            }
        }
        bail!("the server sends nothing")
    }
}

impl Hooks for Hole<'_> {
    fn joined(&mut self) {
        self.from = ip(SWALLOW).and_then(|()| self.sample());
    }

    fn measured(&mut self) {
        self.until = self.sample().and_then(|sample| ip(GIVE_BACK).map(|()| sample));
    }
}

fn ip(commands: &[&str]) -> Result<()> {
    for command in commands {
        let output = Command::new("ip")
            .args(command.split(' '))
            .output()
            .context("`ip` does not start: apt-get install iproute2")?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("ip {command}: {}", why.trim());
        }
    }
    Ok(())
}
