//! The commands of `weir-bench`.
#![expect(
    clippy::print_stdout,
    reason = "results are for standard output; what happens on the way goes to standard error"
)]

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::source::{Generator, Shape};
use crate::table::Values;
use crate::trace::Trace;
use crate::{blackhole, floor, hls, load, publish, push, record, runs, suite, sys};

/// Load on any WHIP, WHEP, RTMP or LL-HLS server, and what it did with it.
#[derive(Debug, Parser)]
#[command(name = "weir-bench", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watches a stream with many viewers and counts what comes
    Whep(Whep),
    /// Publishes a generated stream, or a recorded trace
    Whip(Whip),
    /// Publishes by RTMP to any server, and says what that costs it
    Rtmp(Rtmp),
    /// Watches a stream by Low-Latency HLS with many players, and says what that costs the server
    Hls(Hls),
    /// Records a packet trace by watching a stream
    Record(Record),
    /// Measures the floor: seal and send to loopback, and nothing else
    Floor(Floor),
    /// Everything that `make bench` shows
    Suite(Suite),
    /// One run into a device that drops everything; for a private network namespace
    #[command(hide = true)]
    Blackhole(Suite),
}

#[derive(Debug, Args)]
struct Target {
    /// Endpoint, such as `http://127.0.0.1:8080/whep/demo`
    #[arg(long)]
    url: String,
    /// Bearer token
    #[arg(long)]
    token: Option<String>,
}

#[derive(Debug, Args)]
struct Whep {
    #[command(flatten)]
    target: Target,
    /// How many streams they share; the second one is at the URL with `-1` at its end, and so on
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// How many viewers
    #[arg(long, default_value_t = 100)]
    viewers: usize,
    /// How long is measured, once all play
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Joins per second
    #[arg(long, default_value_t = 300.0)]
    ramp: f64,
    /// Process of the server, to say what it costs
    #[arg(long)]
    server_pid: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Offer one SRTP profile alone: aes128-cm-sha1, aes128-gcm or aes256-gcm
    #[arg(long)]
    srtp: Option<String>,
}

#[derive(Debug, Args)]
struct Whip {
    #[command(flatten)]
    target: Target,
    /// Send this trace again and again, instead of a generated stream
    #[arg(long)]
    trace: Option<PathBuf>,
    #[command(flatten)]
    shape: ShapeArgs,
    /// How long; until it is stopped if 0
    #[arg(long, default_value_t = 0.0)]
    seconds: f64,
    /// How many; the second one publishes to the URL with `-1` at its end, and so on
    #[arg(long, default_value_t = 1)]
    publishers: usize,
    /// Make keyframes only every `--gop` frames, whatever is asked
    #[arg(long)]
    ignore_pli: bool,
    /// Send at the right moment also where viewers of this tool have the same core (SCHED_RR)
    #[arg(long)]
    urgent: bool,
    /// Offer one SRTP profile alone: aes128-cm-sha1, aes128-gcm or aes256-gcm
    #[arg(long)]
    srtp: Option<String>,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ShapeArgs {
    /// Video bits per second
    #[arg(long, default_value_t = 2_500_000)]
    bitrate: u32,
    /// Frames per second
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// Frames from one keyframe to the next
    #[arg(long, default_value_t = 60)]
    gop: u32,
    /// With audio, 50 packets per second
    #[arg(long)]
    audio: bool,
}

impl ShapeArgs {
    pub(crate) fn shape(self) -> Shape {
        let Self { bitrate, fps, gop, audio } = self;
        Shape { bitrate, fps: fps.max(1), gop: gop.max(1), audio }
    }
}

#[derive(Debug, Args)]
struct Rtmp {
    /// Where to, such as `rtmp://127.0.0.1/live/demo` or `rtmp://host/live/demo?token=…`
    #[arg(long)]
    url: String,
    /// How many; the second one publishes to the name with `-1` at its end, and so on
    #[arg(long, default_value_t = 100)]
    publishers: usize,
    /// How long is measured, once all publish
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// New ones per second
    #[arg(long, default_value_t = 50.0)]
    ramp: f64,
    /// Send this FLV file again and again, instead of a generated stream of H.264 and AAC
    #[arg(long)]
    file: Option<PathBuf>,
    /// Bits per second, sound included
    #[arg(long, default_value_t = 2_000_000)]
    bitrate: u32,
    /// Frames per second
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// Frames from one keyframe to the next
    #[arg(long, default_value_t = 60)]
    gop: u32,
    /// Bytes of a chunk
    #[arg(long, default_value_t = 4096)]
    chunk_size: u32,
    /// Process of the server, to say what it costs
    #[arg(long)]
    server_pid: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Hls {
    /// The multivariant playlist, such as `http://127.0.0.1:8080/live/demo/index.m3u8`
    #[arg(long)]
    url: String,
    /// Bearer token
    #[arg(long)]
    token: Option<String>,
    /// How many viewers
    #[arg(long, default_value_t = 100)]
    viewers: usize,
    /// How long is measured, once all play
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Joins per second
    #[arg(long, default_value_t = 300.0)]
    ramp: f64,
    /// Process of the server, to say what it costs
    #[arg(long)]
    server_pid: Option<u32>,
    /// Keep what the first viewer gets in this folder, as files
    #[arg(long)]
    record: Option<PathBuf>,
    /// Ask for the files that were recorded in this folder, at the root of the server, at the same moments
    #[arg(long, conflicts_with = "record")]
    replay: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Record {
    #[command(flatten)]
    target: Target,
    /// Where to
    #[arg(long)]
    out: PathBuf,
    /// How long
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

#[derive(Debug, Args)]
struct Floor {
    /// The packets of this trace, instead of a generated stream
    #[arg(long)]
    trace: Option<PathBuf>,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Destinations and keys
    #[arg(long, default_value_t = 1000)]
    viewers: usize,
    /// aes128-cm-sha1, aes128-gcm or aes256-gcm
    #[arg(long, default_value = "aes128-gcm")]
    srtp: String,
    /// Stay on this core
    #[arg(long)]
    core: Option<usize>,
    /// Read on this core
    #[arg(long)]
    load_core: Option<usize>,
    /// Keep the times of the packets, instead of sending flat out
    #[arg(long)]
    paced: bool,
    /// How often; the median counts
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Suite {
    /// The server; the one beside this program if not said
    #[arg(long)]
    weir: Option<PathBuf>,
    /// Shorter: three seconds each
    #[arg(long)]
    quick: bool,
    /// Publishers by RTMP alone, beside nginx-rtmp
    #[arg(long)]
    rtmp_only: bool,
    /// Players by LL-HLS alone, beside nginx
    #[arg(long, conflicts_with = "rtmp_only")]
    hls_only: bool,
    /// Numbers of viewers, instead of the form's
    #[arg(long, value_delimiter = ',')]
    viewers: Vec<usize>,
    /// Repeats, instead of the form's
    #[arg(long)]
    repeats: Option<usize>,
    /// Seconds of a measurement, instead of the form's
    #[arg(long)]
    seconds: Option<f64>,
    /// Rows for a recorded trace; may be given several times
    #[arg(long)]
    trace: Vec<PathBuf>,
    /// Where the table goes as JSON
    #[arg(long, default_value = "target/bench.json")]
    out: PathBuf,
    /// Core of the server
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// Core of the load and the publisher
    #[arg(long, default_value_t = 1)]
    load_core: usize,
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// With what went wrong.
    pub fn run(self) -> Result<()> {
        sys::stop_on_signals();
        match self.command {
            Command::Whep(args) => args.run(),
            Command::Whip(args) => args.run(),
            Command::Rtmp(args) => args.run(),
            Command::Hls(args) => args.run(),
            Command::Record(args) => args.run(),
            Command::Floor(args) => args.run(),
            Command::Suite(args) => {
                println!("{}", suite::run(&args.config()?)?.text());
                Ok(())
            }
            Command::Blackhole(args) => {
                println!("{}", blackhole::inside(&args.config()?)?);
                Ok(())
            }
        }
    }
}

impl Whep {
    fn run(self) -> Result<()> {
        let plan = load::Plan {
            url: self.target.url,
            token: self.target.token,
            streams: self.streams,
            viewers: self.viewers,
            seconds: self.seconds,
            ramp: self.ramp,
            server_pid: self.server_pid,
            srtp: self.srtp.as_deref().map(load::profile).transpose()?,
            source: None,
            quiet: false,
        };
        let outcome = load::run(&plan, &mut ())?;
        if outcome.silent > 0 {
            let why = outcome.failures.first().map_or("no packet came", String::as_str);
            eprintln!("{} viewers got nothing: {why}", outcome.silent);
        }
        if outcome.own_drops > 0 {
            eprintln!(
                "{} datagrams were lost in the sockets of this tool: it needs more of a core than it got",
                outcome.own_drops
            );
        }
        if self.json {
            println!("{}", outcome.json());
        } else {
            println!("{}", outcome.text());
        }
        Ok(())
    }
}

impl Whip {
    fn run(self) -> Result<()> {
        let plan = publish::Plan {
            url: self.target.url,
            token: self.target.token,
            seconds: self.seconds,
            publishers: self.publishers,
            trace: self.trace,
            shape: self.shape.shape(),
            ignore_pli: self.ignore_pli,
            urgent: self.urgent,
            srtp: self.srtp.as_deref().map(load::profile).transpose()?,
        };
        let counted = publish::run(&plan)?;
        if self.json {
            println!("{counted}");
        } else {
            println!("{counted:#}");
        }
        Ok(())
    }
}

impl Rtmp {
    fn run(self) -> Result<()> {
        let Self { bitrate, fps, gop, .. } = self;
        let outcome = push::run(&push::Plan {
            url: self.url,
            publishers: self.publishers,
            seconds: self.seconds,
            ramp: self.ramp,
            file: self.file,
            shape: push::Shape { bitrate, fps, gop },
            chunk_size: self.chunk_size,
            server_pid: self.server_pid,
        })?;
        if let Some(why) = outcome.failures.first() {
            eprintln!("{} were not let in, or not to the end: {why}", outcome.failures.len());
        }
        if self.json {
            println!("{}", outcome.json());
        } else {
            println!("{}", outcome.text());
        }
        Ok(())
    }
}

impl Hls {
    fn run(self) -> Result<()> {
        let outcome = hls::run(&hls::Plan {
            url: self.url,
            token: self.token,
            viewers: self.viewers,
            seconds: self.seconds,
            ramp: self.ramp,
            server_pid: self.server_pid,
            record: self.record,
            replay: self.replay,
        })?;
        if let Some(why) = outcome.failures.first() {
            eprintln!("{} viewers got nothing; {why}", outcome.silent);
        }
        if self.json {
            println!("{}", outcome.json());
        } else {
            println!("{}", outcome.text());
        }
        Ok(())
    }
}

impl Record {
    fn run(self) -> Result<()> {
        let Self { target, out, seconds } = self;
        let plan = record::Plan { url: target.url, token: target.token, seconds, out };
        let count = record::run(&plan)?;
        println!("{count} packets in {}", plan.out.display());
        Ok(())
    }
}

impl Floor {
    fn run(self) -> Result<()> {
        let trace = match &self.trace {
            Some(path) => Trace::read(path)?,
            None => Trace::generated(Generator::new(self.shape.shape(), 1), 8.0),
        };
        let profile = load::profile(&self.srtp)?;
        if let Some(core) = self.core {
            sys::pin(core);
        }
        let runs = runs::laid_out(&trace.records, floor::around(profile));
        let to = floor::To::Readers(self.load_core);
        let plan =
            floor::Plan { runs: &runs, viewers: self.viewers, profile, to, paced: self.paced };
        let (mut ns, mut last) = (Values::default(), floor::Floor::default());
        for _ in 0..self.repeats.max(1) {
            last = floor::measure(&plan)?;
            ns.push(last.ns_per_packet);
        }
        let ((low, high), median) = (ns.spread(), ns.median());
        let floor::Floor { run_length, datagram, .. } = last;
        if self.json {
            let object = serde_json::json!({
                "viewers": self.viewers, "srtp": profile.name(), "ns_per_packet": median,
                "spread": [low, high], "run_length": run_length, "datagram_bytes": datagram,
            });
            println!("{object}");
        } else {
            println!(
                "floor: {median:.0} ns per packet ({low:.0}–{high:.0}), {} viewers, {}, {datagram:.0} bytes, {run_length:.1} packets per run",
                self.viewers,
                profile.name(),
            );
        }
        Ok(())
    }
}

impl Suite {
    fn config(self) -> Result<suite::Config> {
        let weir = match self.weir {
            Some(weir) => weir,
            None => std::env::current_exe()?.with_file_name("weir"),
        };
        let sizes = match self.viewers {
            sizes if sizes.is_empty() => vec![100, 300, 1000, 3000],
            sizes => sizes,
        };
        Ok(suite::Config {
            weir,
            quick: self.quick,
            rtmp_only: self.rtmp_only,
            hls_only: self.hls_only,
            sizes,
            repeats: self.repeats.unwrap_or(5).max(1),
            seconds: self.seconds.unwrap_or(if self.quick { 3.0 } else { 10.0 }),
            traces: self.trace,
            out: self.out,
            server_core: self.server_core,
            load_core: self.load_core,
        })
    }
}
