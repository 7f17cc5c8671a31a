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
use crate::{blackhole, hls, push, queue, record, sys};

/// What most people send.
const FULL: Shape = Shape { bitrate: 2_500_000, fps: 30, gop: 60, audio: true };
/// Thin enough for thousands of viewers on one core: 38 packets of about 1000 bytes per second.
const THIN: Shape = Shape { bitrate: 300_000, fps: 15, gop: 30, audio: false };
const STREAM: &str = "bench";
/// More viewers of the full stream want more packets than a core can send over loopback.
const MOST_FULL: usize = 1000;
/// Among how many the same load is shared where latency is measured.
const STREAMS: [usize; 3] = [1, 16, 64];
/// Viewers of the runs that say how many make a server half busy, and how many such runs at most.
const CALIBRATION: usize = 400;
const CALIBRATIONS: usize = 3;
/// Joins per second that are asked for.
const ASKED: f64 = 500.0;
const FFMPEG_SECONDS: f64 = 6.0;
/// 720p, 2.5 Mbit/s, a keyframe every two seconds, audio; the URL comes behind.
const FFMPEG: &str = "-hide_banner -loglevel error -re -f lavfi -i testsrc2=size=1280x720:rate=30 \
    -f lavfi -i sine=frequency=440:sample_rate=48000 -pix_fmt yuv420p -c:v libx264 \
    -profile:v baseline -preset veryfast -tune zerolatency -b:v 2500k -maxrate 2500k \
    -bufsize 1250k -g 60 -bf 0 -c:a libopus -ar 48000 -ac 2 -b:a 64k -f whip";

/// What is published.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A generated stream.
    Made(Shape),
    /// A recorded one, again and again.
    Trace(PathBuf),
}

/// What to measure with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server.
    pub weir: PathBuf,
    /// Short form.
    pub quick: bool,
    /// Publishers by RTMP alone.
    pub rtmp_only: bool,
    /// Players by LL-HLS alone.
    pub hls_only: bool,
    /// Numbers of viewers.
    pub sizes: Vec<usize>,
    /// How often each is measured; the median counts.
    pub repeats: usize,
    /// How long each time.
    pub seconds: f64,
    /// Recorded streams that get rows of their own.
    pub traces: Vec<PathBuf>,
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
    if !config.rtmp_only && !config.hls_only {
        config.viewers(&mut table)?;
    }
    if !config.hls_only {
        push::rows(config, &mut table)?;
    }
    if !config.rtmp_only {
        hls::rows(config, &mut table)?;
    }
    let written = serde_json::to_vec_pretty(&table.json(&config.machine()))?;
    std::fs::write(&config.out, written).with_context(|| format!("{}", config.out.display()))?;
    Ok(table)
}

impl Config {
    fn viewers(&self, table: &mut Table) -> Result<()> {
        let sizes = &self.sizes[..];
        let most = sizes.iter().filter(|size| **size <= MOST_FULL).count().max(1);
        self.crowds(table, "2.5 Mbit/s + audio", &Source::Made(FULL), &sizes[..most])?;
        if let Some(size) = sizes.get(most) {
            let wanted = *size as f64 * 277.0;
            table.note(format!(
                "2.5 Mbit/s + audio, {size} viewers: not measured: {wanted:.0} packets/s are more than one core can send over loopback, the floor included"
            ));
        }
        self.crowds(table, "0.3 Mbit/s", &Source::Made(THIN), sizes)?;
        self.recorded(table)?;
        for streams in STREAMS {
            self.latency(table, streams)?;
        }
        self.joins(table)?;
        blackhole::row(self, table);
        Ok(())
    }

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

    /// `streams`: so many of them, at the name with `-1` at its end, and so on.
    pub(crate) fn publisher(&self, url: &str, source: &Source, streams: usize) -> Result<Process> {
        let own = std::env::current_exe()?;
        // What the publisher waits for its core would come out as bursts, and look like the server's.
        let mut arguments = vec!["whip".to_owned(), "--urgent".to_owned()];
        let mut say = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
        say("--url", format!("{url}/whip/{STREAM}"));
        say("--publishers", streams.to_string());
        match source {
            Source::Made(shape) => {
                say("--bitrate", shape.bitrate.to_string());
                say("--fps", shape.fps.to_string());
                say("--gop", shape.gop.to_string());
                if shape.audio {
                    arguments.push("--audio".to_owned());
                }
            }
            Source::Trace(path) => say("--trace", path.display().to_string()),
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Process::pinned(self.load_core, &own, &arguments, Path::new("."))
    }

    pub(crate) fn plan(&self, weir: &Weir, viewers: usize) -> Plan {
        Plan {
            url: format!("{}/whep/{STREAM}", weir.url),
            token: None,
            streams: 1,
            viewers,
            seconds: self.seconds,
            ramp: 300.0,
            server_pid: Some(weir.pid()),
            srtp: None,
            source: None,
            quiet: true,
        }
    }

    fn play(
        &self,
        source: &Source,
        streams: usize,
        viewers: usize,
        seconds: f64,
    ) -> Result<Outcome> {
        let weir = Weir::start(&self.weir, self.server_core, "127.0.0.1")?;
        let _publisher = self.publisher(&weir.url, source, streams)?;
        weir.until_live(&numbered(streams))?;
        load::run(&Plan { streams, seconds, ..self.plan(&weir, viewers) }, &mut ())
    }

    /// The runs that the viewers got, to so many.
    fn floor(&self, outcome: &Outcome, viewers: usize, paced: bool) -> Result<Floor> {
        self.on_server_core(&floor::Plan {
            runs: &outcome.runs,
            viewers,
            profile: outcome.profile.unwrap_or(Profile::Aes128Gcm),
            to: To::Readers(Some(self.load_core)),
            paced,
        })
    }

    /// A floor, while the server is not there.
    pub(crate) fn on_server_core(&self, plan: &floor::Plan<'_>) -> Result<Floor> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                sys::pin(self.server_core);
                floor::measure(plan)
            });
            thread.join().unwrap_or_else(|_| anyhow::bail!("the floor panicked"))
        })
    }

    /// The table of sizes.
    fn crowds(
        &self,
        table: &mut Table,
        name: &str,
        source: &Source,
        sizes: &[usize],
    ) -> Result<()> {
        let mut costs = Vec::new();
        for &viewers in sizes {
            let mut all = Crowd::default();
            for turn in 1..=self.repeats {
                let outcome = self.play(source, 1, viewers, self.seconds)?;
                let floor = self.floor(&outcome, outcome.viewers, false)?;
                let paced = self.floor(&outcome, outcome.viewers, true)?;
                let ns = outcome.cpu_ns_per_packet().unwrap_or_default();
                eprintln!(
                    "{name}, {viewers} viewers, {turn} of {}: {:.0} packets/s, {ns:.0} ns each, floor {:.0} ns, {:.0} at the same times, lost {}, waited {:.1} %",
                    self.repeats,
                    outcome.packets_per_second(),
                    floor.ns_per_packet,
                    paced.ns_per_packet,
                    outcome.lost,
                    100.0 * outcome.server.unwrap_or_default().waited_seconds / outcome.seconds,
                );
                all.take(&outcome, floor, paced);
            }
            costs.push(all.cpu_per_viewer.median());
            all.rows(table, name, viewers);
        }
        if let (Some(first), Some(last), [least, .., most]) = (costs.first(), costs.last(), sizes) {
            let row = format!("{name}: cost per viewer, {most} against {least}");
            table.push(Row::plain(&row, "times", last / first));
        }
        Ok(())
    }

    /// What real encoders sent: the traces that are given, and FFmpeg, recorded behind this server.
    fn recorded(&self, table: &mut Table) -> Result<()> {
        let size = self.sizes.iter().copied().filter(|size| *size <= MOST_FULL).max();
        let sizes = [size.unwrap_or(MOST_FULL)];
        for trace in &self.traces {
            let name = trace.file_stem().unwrap_or_default().to_string_lossy();
            let source = Source::Trace(trace.clone());
            self.crowds(table, &format!("trace of {name}"), &source, &sizes)?;
        }
        let Some(trace) = self.record(FFMPEG_SECONDS)? else {
            let about = "no FFmpeg that speaks WHIP in target/tools: `make setup-test`";
            table.note(format!("trace of FFmpeg: not measured here: {about}"));
            return Ok(());
        };
        self.crowds(table, "trace of FFmpeg (x264, Opus)", &Source::Trace(trace), &sizes)
    }

    /// `None` where there is no FFmpeg.
    fn record(&self, seconds: f64) -> Result<Option<PathBuf>> {
        let own = std::env::current_exe()?;
        let ffmpeg = own.parent().and_then(Path::parent).map(|t| t.join("tools/ffmpeg"));
        let Some(ffmpeg) = ffmpeg.filter(|path| path.exists()) else { return Ok(None) };
        let weir = Weir::start(&self.weir, self.server_core, "127.0.0.1")?;
        let whip = format!("{}/whip/{STREAM}", weir.url);
        let arguments: Vec<&str> = FFMPEG.split_whitespace().chain([whip.as_str()]).collect();
        let _publisher = Process::pinned(self.load_core, &ffmpeg, &arguments, Path::new("."))?;
        weir.until_live(STREAM)?;
        let (url, out) = (format!("{}/whep/{STREAM}", weir.url), self.out.with_extension("trace"));
        record::run(&record::Plan { url, token: None, seconds, out: out.clone() })?;
        Ok(Some(out))
    }

    /// With the server half busy: from the publisher's send to the viewer's socket. The floor is the
    /// queue by itself, at what a packet cost the server in that run.
    fn latency(&self, table: &mut Table, streams: usize) -> Result<()> {
        let source = Source::Made(FULL);
        let mut viewers = CALIBRATION;
        let (mut p50, mut p99) = (Values::default(), Values::default());
        let (mut least50, mut least99) = (Values::default(), Values::default());
        let mut busy = Values::default();
        let mut tries = CALIBRATIONS;
        while p50.count() < self.repeats {
            let outcome = self.play(&source, streams, viewers, self.seconds)?;
            let server = outcome.server.unwrap_or_default();
            let part = server.cpu_seconds / outcome.seconds;
            if tries > 0 && !(0.45..0.55).contains(&part) {
                tries -= 1;
                viewers = (viewers as f64 * 0.5 / part.max(0.05)).clamp(10.0, 2000.0) as usize;
                continue;
            }
            let (median, tail) = percentiles(&outcome.latency_us).context("no times came")?;
            eprintln!(
                "latency, streams: {streams}, {viewers} viewers, {:.0} % busy: {median}, {tail} µs",
                100.0 * part
            );
            p50.push(f64::from(median));
            p99.push(f64::from(tail));
            let least = queue::latency(&queue::Plan {
                shape: FULL,
                streams,
                viewers: outcome.viewers.div_ceil(streams),
                ns_per_packet: outcome.cpu_ns_per_packet().unwrap_or_default(),
                seconds: 10,
            });
            least50.push(f64::from(least.us.0));
            least99.push(f64::from(least.us.1));
            busy.push(100.0 * part);
        }
        let of = if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") };
        let name = format!("latency, {of}, {viewers} viewers, server {:.0} % busy", busy.median());
        table.push(Row::new(&format!("{name}: p50"), "µs", p50, Some(least50)));
        table.push(Row::new(&format!("{name}: p99"), "µs", p99, Some(least99)));
        Ok(())
    }

    /// A second crowd joins while the first one plays.
    fn joins(&self, table: &mut Table) -> Result<()> {
        let (playing, joining) = (1000, if self.quick { 600 } else { 1000 });
        let (mut rate, mut tail) = (Values::default(), Values::default());
        let (mut lost, mut unread) = (Values::default(), 0);
        for turn in 1..=self.repeats {
            let weir = Weir::start(&self.weir, self.server_core, "127.0.0.1")?;
            let _publisher = self.publisher(&weir.url, &Source::Made(THIN), 1)?;
            weir.until_live(STREAM)?;
            let second = Plan { seconds: 0.5, ramp: ASKED, ..self.plan(&weir, joining) };
            let seconds = joining as f64 / 300.0 + 2.0;
            let first = Plan { seconds, ..self.plan(&weir, playing) };
            let mut crowd = Second { plan: second, thread: None };
            let outcome = load::run(&first, &mut crowd)?;
            let joined = crowd.thread.and_then(|t| t.join().ok()).context("nobody joined")??;
            let missing = outcome.lost + joined.lost;
            eprintln!(
                "joins, {turn} of {}: {:.0} per s, lost {missing}",
                self.repeats, joined.joins_per_second
            );
            rate.push(joined.joins_per_second);
            tail.push(percentiles(&joined.join_us).map_or(0.0, |(_, p99)| f64::from(p99) / 1000.0));
            lost.push(missing as f64);
            unread += outcome.own_drops + joined.own_drops;
        }
        let name = format!("joins while {playing} play (0.3 Mbit/s), asked for {ASKED:.0}/s");
        let about = format!("{joining} joined each time; the load itself lost {unread}");
        table.push(Row::new(&name, "per s", rate, None).about(&about));
        table.push(Row::new(&format!("{name}: time of a join, p99"), "ms", tail, None));
        table.push(Row::new(&format!("{name}: lost by all"), "packets", lost, None));
        Ok(())
    }
}

/// The name of the last of so many streams.
fn numbered(streams: usize) -> String {
    if streams <= 1 { STREAM.to_owned() } else { format!("{STREAM}-{}", streams - 1) }
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
    paced: Values,
    lost: Values,
    cpu_per_viewer: Values,
    about: String,
}

impl Crowd {
    fn take(&mut self, outcome: &Outcome, floor: Floor, paced: Floor) {
        let server = outcome.server.unwrap_or_default();
        self.ns.push(outcome.cpu_ns_per_packet().unwrap_or_default());
        self.rate.push(outcome.packets_per_second());
        self.memory.push(server.rss_per_viewer as f64 / 1000.0);
        self.floor.push(floor.ns_per_packet);
        self.paced.push(paced.ns_per_packet);
        self.lost.push(outcome.lost as f64);
        let cpu = server.cpu_seconds / outcome.seconds;
        self.cpu_per_viewer.push(cpu * 1e6 / outcome.viewers as f64);
        self.about = format!(
            "{} of the viewers played; {} bytes, {:.1} packets per run (floor: {:.0}, {:.1}); {}; server {:.0} % busy, waited {:.1} % for its core{}",
            outcome.viewers,
            outcome.bytes / outcome.packets.max(1),
            outcome.run_length,
            floor.datagram,
            floor.run_length,
            outcome.profile.map_or("", Profile::name),
            100.0 * cpu,
            100.0 * server.waited_seconds / outcome.seconds,
            if outcome.own_drops + floor.unread + paced.unread > 0 {
                "; THE LOAD ITSELF LOST PACKETS"
            } else {
                ""
            },
        );
    }

    fn rows(self, table: &mut Table, name: &str, viewers: usize) {
        let name = format!("{name}, {viewers} viewers");
        let per_core = self.ns.map(|ns| 1e9 / ns.max(1.0));
        let floor_per_core = self.floor.map(|ns| 1e9 / ns.max(1.0));
        let same = format!("{name}: beside a floor that keeps the times");
        let row = Row::new(&name, "ns/packet", self.ns.clone(), Some(self.floor));
        table.push(row.about(&self.about));
        table.push(Row::new(&same, "ns/packet", self.ns, Some(self.paced)));
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
