//! Rows of the suite: what two thousand players by Low-Latency HLS cost this server, and what the same requests cost
//! nginx that has the same files, on the same core in the same run.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Outcome, Plan, meanwhile, run};
use crate::process;
use crate::push::nginx::{self, Nginx};
use crate::server::{Process, Weir};
use crate::suite::Config;
use crate::table::{Row, Table, Values};

const VIEWERS: usize = 2000;
/// Of the short form.
const FEW: usize = 200;
const BITRATE: &str = "2500000";
pub(super) const STREAM: &str = "bench";
/// Longer than `live.window` is by default: it is full then.
const WINDOW: f64 = 75.0;
/// How long a stream may take to its first playlist.
const START: Duration = Duration::from_secs(20);

/// Repeats of one server.
#[derive(Default)]
struct Costs {
    per_bit: Values,
    requests: Values,
    gigabits: Values,
    memory: Values,
    about: String,
}

impl Costs {
    fn take(&mut self, name: &str, outcome: &Outcome) {
        self.per_bit.push(outcome.cpu_ns_per_bit().unwrap_or_default());
        self.requests.push(outcome.requests_per_core().unwrap_or_default());
        self.gigabits.push(outcome.bits_per_core().unwrap_or_default() / 1e9);
        let server = outcome.server.unwrap_or_default();
        self.memory.push(server.rss_per_viewer as f64 / 1e3);
        self.about = format!(
            "{name}: {} viewers, {:.0} requests/s, {:.2} Gbit/s, {:.0} % busy, {:.1} MB resident, {} late, {} missed, {} errors, waited {:.1} % for its core",
            outcome.viewers,
            outcome.requests_per_second(),
            outcome.bits_per_second() / 1e9,
            100.0 * server.cpu_seconds / outcome.seconds.max(1e-9),
            server.rss_bytes as f64 / 1e6,
            outcome.late,
            outcome.missed,
            outcome.errors,
            100.0 * server.waited_seconds / outcome.seconds.max(1e-9),
        );
        eprintln!("{}: {:.3} ns per bit", self.about, outcome.cpu_ns_per_bit().unwrap_or_default());
    }
}

/// The floor of these rows is nginx.
pub(crate) fn rows(config: &Config, table: &mut Table) -> Result<()> {
    let viewers = if config.quick { FEW } else { VIEWERS };
    let (mut ours, mut theirs, mut copied) = (Costs::default(), Costs::default(), Costs::default());
    let folder = std::env::temp_dir().join(format!("weir-bench-hls-{}", std::process::id()));
    for _ in 0..config.repeats {
        let played = play(config, viewers, &folder, &mut ours)
            .and_then(|()| replay(config, viewers, &folder, true, &mut theirs))
            .and_then(|()| replay(config, viewers, &folder, false, &mut copied));
        let _ = std::fs::remove_dir_all(&folder);
        played?;
    }
    if theirs.per_bit.count() == 0 {
        table.note(format!("LL-HLS beside nginx: not measured: {}", nginx::MISSING));
    }
    let beside = |values: &Values| (values.count() > 0).then(|| values.clone());
    let about = format!(
        "{}; {}; {}; the floor is nginx with the same files",
        ours.about, theirs.about, copied.about
    );
    let row = |what: &str, unit, ours: &Values, theirs: &Values| {
        let name = format!("LL-HLS, {viewers} viewers at 2.5 Mbit/s: {what}");
        Row::new(&name, unit, ours.clone(), beside(theirs))
    };
    table.push(row("CPU per bit", "ns", &ours.per_bit, &theirs.per_bit).about(&about));
    table.push(row("requests per core", "1/s", &ours.requests, &theirs.requests));
    table.push(row("bits per core", "Gbit/s", &ours.gigabits, &theirs.gigabits));
    let without = "CPU per bit, nginx without sendfile";
    table.push(row(without, "ns", &ours.per_bit, &copied.per_bit));
    table.push(row("memory per viewer", "KB", &ours.memory, &theirs.memory));
    window(config, table)?;
    meanwhile::rows(config, table)
}

/// What the files of a stream take, beside what its bits do.
fn window(config: &Config, table: &mut Table) -> Result<()> {
    let weir = Weir::start(&config.weir, config.server_core, "127.0.0.1")?;
    let _publisher = publisher(config, &weir)?;
    // The ring of the publisher is full by then, and is there whether somebody watches or not.
    std::thread::sleep(Duration::from_secs(5));
    let before = process::resident_bytes(weir.pid())?;
    let url = format!("{}/live/{STREAM}/index.m3u8", weir.url);
    until_listed(&url)?;
    let seconds = if config.quick { 10.0 } else { WINDOW };
    run(&Plan { url, seconds, ..plan(config, 1) })?;
    let held = process::resident_bytes(weir.pid())?.saturating_sub(before) as f64;
    let files = weir.metric("weir_hls_window_bytes")?;
    let listed = weir.hls_window_seconds(STREAM)?;
    let bits: f64 = BITRATE.parse()?;
    let name = format!("LL-HLS, memory for a window of {listed:.0} s at 2.5 Mbit/s");
    let values = |value: f64| {
        let mut values = Values::default();
        values.push(value / 1e6);
        values
    };
    let about = format!("the floor is bitrate × window; the files are {:.1} MB", files / 1e6);
    let row = Row::new(&name, "MB", values(held), Some(values(bits / 8.0 * listed)));
    table.push(row.about(&about));
    Ok(())
}

pub(super) fn publisher(config: &Config, weir: &Weir) -> Result<Process> {
    let own = std::env::current_exe()?;
    let url = format!("{}/{STREAM}", weir.rtmp()?);
    let arguments = ["rtmp", "--url", &url, "--publishers", "1", "--bitrate", BITRATE];
    let arguments = [&arguments[..], &["--seconds", "3600"]].concat();
    let publisher = Process::pinned(config.load_core, &own, &arguments, Path::new("."))?;
    weir.until_live(STREAM)?;
    Ok(publisher)
}

fn play(config: &Config, viewers: usize, folder: &Path, costs: &mut Costs) -> Result<()> {
    let weir = Weir::start(&config.weir, config.server_core, "127.0.0.1")?;
    let _publisher = publisher(config, &weir)?;
    let url = format!("{}/live/{STREAM}/index.m3u8", weir.url);
    until_listed(&url)?;
    let record = Some(folder.to_owned());
    let plan = Plan { url, server_pid: Some(weir.pid()), record, ..plan(config, viewers) };
    costs.take("weir", &run(&plan)?);
    Ok(())
}

fn replay(
    config: &Config,
    viewers: usize,
    folder: &Path,
    sendfile: bool,
    costs: &mut Costs,
) -> Result<()> {
    let Some(nginx) = Nginx::of_files(&target(), config.server_core, folder, sendfile)? else {
        return Ok(());
    };
    let replay = Some(folder.to_owned());
    let (url, server_pid) = (nginx.url.clone(), Some(nginx.pid()));
    let plan = Plan { url, server_pid, replay, ..plan(config, viewers) };
    costs.take(if sendfile { "nginx" } else { "nginx without sendfile" }, &run(&plan)?);
    Ok(())
}

pub(super) fn plan(config: &Config, viewers: usize) -> Plan {
    Plan {
        url: String::new(),
        token: None,
        viewers,
        seconds: config.seconds,
        ramp: 300.0,
        server_pid: None,
        record: None,
        replay: None,
    }
}

/// Waits for the first playlist.
pub(super) fn until_listed(url: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        match ureq::get(url).call() {
            Ok(_) => return Ok(()),
            Err(error) if started.elapsed() > START => {
                return Err(error).with_context(|| url.to_owned());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The folder of the build: this program lies in `target/release`.
fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().and_then(Path::parent).map(Path::to_owned).unwrap_or_default()
}
