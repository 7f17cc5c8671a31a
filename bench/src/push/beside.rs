//! Rows of the suite: what a hundred publishers by RTMP cost this server, and what the same load costs
//! nginx-rtmp on the same core in the same run.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::nginx::{self, Nginx};
use super::{Outcome, Plan, Shape, run};
use crate::server::Weir;
use crate::suite::Config;
use crate::table::{Row, Table, Values};

const PUBLISHERS: usize = 100;
const SHAPE: Shape = Shape { bitrate: 2_000_000, fps: 30, gop: 60 };
/// As OBS has it.
const CHUNK_SIZE: u32 = 4096;

/// Repeats of one server.
#[derive(Default)]
struct Costs {
    per_bit: Values,
    share: Values,
    memory: Values,
    about: String,
}

impl Costs {
    fn take(&mut self, name: &str, outcome: &Outcome) {
        self.per_bit.push(outcome.cpu_ns_per_bit().unwrap_or_default());
        self.share.push(1e6 * outcome.cpu_per_publisher().unwrap_or_default());
        self.memory.push(outcome.rss_per_publisher as f64 / 1000.0);
        self.about = format!(
            "{name}: {} published {:.0} Mbit/s, {} stalls, waited {:.1} % for its core",
            outcome.publishers,
            outcome.bits_per_second() / 1e6,
            outcome.stalls,
            100.0 * outcome.waited_seconds / outcome.seconds.max(1e-9),
        );
        eprintln!("{}: {:.3} ns per bit", self.about, outcome.cpu_ns_per_bit().unwrap_or_default());
    }
}

/// Nobody watches: this is the way in alone. The floor of these rows is nginx-rtmp.
pub(crate) fn rows(config: &Config, table: &mut Table) -> Result<()> {
    let (mut ours, mut theirs) = (Costs::default(), Costs::default());
    let target = target();
    for _ in 0..config.repeats {
        let weir = Weir::start(&config.weir, config.server_core, "127.0.0.1")?;
        ours.take("weir", &load(config, &weir.rtmp()?, weir.pid())?);
        drop(weir);
        if let Some(nginx) = Nginx::start(&target, config.server_core)? {
            theirs.take("nginx-rtmp", &load(config, &nginx.url, nginx.pid())?);
        }
    }
    if theirs.per_bit.count() == 0 {
        table.note(format!("RTMP beside nginx-rtmp: not measured: {}", nginx::MISSING));
    }
    let beside = |values: &Values| (values.count() > 0).then(|| values.clone());
    let about = format!("{}; {}; the floor is nginx-rtmp", ours.about, theirs.about);
    let name = format!("RTMP in, {PUBLISHERS} publishers at 2 Mbit/s");
    let row = |what: &str, unit, ours, theirs: &Values| {
        Row::new(&format!("{name}: {what}"), unit, ours, beside(theirs))
    };
    table.push(row("CPU per bit", "ns", ours.per_bit, &theirs.per_bit).about(&about));
    table.push(row("CPU per publisher", "µs/s", ours.share, &theirs.share));
    table.push(row("memory per publisher", "KB", ours.memory, &theirs.memory));
    Ok(())
}

fn load(config: &Config, url: &str, pid: u32) -> Result<Outcome> {
    run(&Plan {
        url: format!("{url}/bench"),
        publishers: PUBLISHERS,
        seconds: config.seconds,
        ramp: 50.0,
        file: None,
        shape: SHAPE,
        chunk_size: CHUNK_SIZE,
        server_pid: Some(pid),
    })
}

/// The folder of the build: this program lies in `target/release`.
fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().and_then(Path::parent).map(Path::to_owned).unwrap_or_default()
}
