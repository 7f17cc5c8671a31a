//! The send path without the receivers' cost: a private network namespace, in which the way to the
//! viewers leads, once they have joined, into a device that drops everything.

use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::load::{self, Hooks};
use crate::server::Weir;
use crate::source::Shape;
use crate::suite::Config;
use crate::table::{Row, Table, Values};

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

/// Adds the row, or the reason why there is none.
pub(crate) fn row(config: &Config, table: &mut Table) {
    match outside(config) {
        Ok((values, about)) => {
            let rate = values.map(|ns| 1e9 / ns.max(1.0));
            table
                .push(Row::new("into a blackhole device", "ns/packet", values, None).about(&about));
            table.push(Row::new("into a blackhole device: per core", "packets/s", rate, None));
        }
        Err(error) => table.note(format!("into a blackhole device: not measured here: {error:#}")),
    }
}

/// Runs ourselves again, inside a namespace, once per repeat.
fn outside(config: &Config) -> Result<(Values, String)> {
    let mut values = Values::default();
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
            .output()
            .context("unshare does not start")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().last().filter(|_| output.status.success());
        let line = line.with_context(|| complaint.lines().last().unwrap_or_default().to_owned())?;
        let (ns, rest) = line.split_once(' ').context("no number")?;
        values.push(ns.parse()?);
        rest.clone_into(&mut about);
    }
    Ok((values, about))
}

/// Inside the namespace: nanoseconds per packet, and what it was measured with.
///
/// # Errors
/// If the machine does not permit it.
pub fn inside(config: &Config, viewers: usize, shape: Shape) -> Result<(f64, String)> {
    ip(SET_UP)?;
    for switch in ["all", "default", "lo", "weir0", "hole0"] {
        // Answers come back by another way than they went.
        let _ = std::fs::write(format!("/proc/sys/net/ipv4/conf/{switch}/rp_filter"), "0");
    }
    crate::sys::pin(config.load_core);
    let weir = Weir::start(&config.weir, config.server_core, "0.0.0.0")?;
    let _publisher = config.publisher(&weir.url, shape)?;
    weir.until_live("bench")?;
    let mut plan = config.plan(&weir, viewers);
    plan.url = format!("http://{SERVER}:{}/whep/bench", weir.port());
    plan.source = Some(VIEWERS.parse::<IpAddr>()?);
    // Within the time that a server waits for consent.
    plan.seconds = 5.0;
    let mut hole = Hole { weir: &weir, sent: 0.0, failed: None };
    let outcome = load::run(&plan, &mut hole)?;
    if let Some(error) = hole.failed {
        return Err(error);
    }
    let arrived = outcome.packets;
    if hole.sent < 1.0 || arrived as f64 > hole.sent / 20.0 {
        bail!("the device did not swallow: {} packets sent, {arrived} arrived", hole.sent);
    }
    let cpu = outcome.server.unwrap_or_default().cpu_seconds;
    let rate = hole.sent / outcome.seconds;
    let busy = 100.0 * cpu / outcome.seconds;
    Ok((
        cpu * 1e9 / hole.sent,
        format!("{viewers} viewers, {rate:.0} packets/s, server {busy:.0} % busy"),
    ))
}

struct Hole<'a> {
    weir: &'a Weir,
    sent: f64,
    failed: Option<anyhow::Error>,
}

impl Hole<'_> {
    fn turn(&mut self, ways: &[&str], sign: f64) {
        let turned = ip(ways).and_then(|()| self.weir.metric("weir_packets_out_total"));
        match turned {
            Ok(count) => self.sent += sign * count,
            Err(error) => self.failed = Some(error),
        }
    }
}

impl Hooks for Hole<'_> {
    fn joined(&mut self) {
        self.turn(SWALLOW, -1.0);
    }

    fn measured(&mut self) {
        self.turn(GIVE_BACK, 1.0);
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
