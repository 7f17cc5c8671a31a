//! A `weir` of our own for the suite: on free ports, pinned to a core, ended with us.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

const START: Duration = Duration::from_secs(20);

/// A child that is ended when this goes away.
pub struct Process(Child);

impl Process {
    /// Starts `program` with `taskset` on this core.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn pinned(core: usize, program: &Path, arguments: &[&str], data: &Path) -> Result<Self> {
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(program)
            .args(arguments)
            .env("WEIR_DATA__DIR", data)
            .env("WEIR_HTTP__RATE", "0")
            .env("WEIR_HTTP__MAX_CONNECTIONS", "20000")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("taskset {} does not start", program.display()))?;
        Ok(Self(child))
    }

    /// `taskset` becomes the program, so this is the program's.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running server.
pub struct Weir {
    process: Process,
    /// `http://host:port`, no slash at the end.
    pub url: String,
    data: PathBuf,
}

impl Weir {
    /// Starts on `ip` and waits until it says where it listens.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(program: &Path, core: usize, ip: &str) -> Result<Self> {
        let data = std::env::temp_dir().join(format!("weir-bench-{}", std::process::id()));
        std::fs::create_dir_all(&data)?;
        let listen = format!("{ip}:0");
        let listeners = ["--http-listen", "--webrtc-listen", "--rtmp-listen"];
        let arguments: Vec<&str> = listeners.into_iter().flat_map(|l| [l, &listen]).collect();
        let mut process = Process::pinned(core, program, &arguments, &data)?;
        let output = process.0.stdout.take().context("stdout was piped")?;
        let (said, lines) = sync_channel(64);
        std::thread::spawn(move || {
            // To its end, so that the server never waits for a reader.
            for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                let _ = said.try_send(line);
            }
        });
        let started = Instant::now();
        while started.elapsed() < START {
            let Ok(line) = lines.recv_timeout(Duration::from_millis(200)) else {
                if process.0.try_wait()?.is_some() {
                    bail!("{} ended at once", program.display());
                }
                continue;
            };
            if let Some(port) = port(&line) {
                return Ok(Self { process, url: format!("http://127.0.0.1:{port}"), data });
            }
        }
        bail!("{} did not say where it listens", program.display())
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Port of HTTP.
    pub fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap_or_default()
    }

    /// Where to publish by RTMP, without a name.
    ///
    /// # Errors
    /// If the server does not say.
    pub fn rtmp(&self) -> Result<String> {
        let server: serde_json::Value = serde_json::from_str(&self.get("/api/v1/server")?)?;
        let listeners = server["listeners"].as_array().into_iter().flatten();
        let mut ours = listeners.filter(|l| l["key"] == "rtmp.listen");
        let address = ours.next().and_then(|l| l["address"].as_str()).context("it has no RTMP")?;
        Ok(format!("rtmp://{address}/live"))
    }

    /// Waits until a stream is live.
    ///
    /// # Errors
    /// If that takes too long.
    pub fn until_live(&self, stream: &str) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < START {
            let state = self.get(&format!("/api/v1/streams/{stream}"));
            if state.is_ok_and(|text| text.contains("\"live\"")) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("{stream} did not go live")
    }

    /// Sum of a counter of `/metrics`.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let text = self.get("/metrics")?;
        let values = text.lines().filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            (key.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    /// How far back players of a stream's files can go, in seconds.
    ///
    /// # Errors
    /// If the server does not say.
    pub fn hls_window_seconds(&self, stream: &str) -> Result<f64> {
        let path = format!("/api/v1/streams/{stream}");
        let stream: serde_json::Value = serde_json::from_str(&self.get(&path)?)?;
        stream["hls"]["window_seconds"].as_f64().context("no files of this stream")
    }

    fn get(&self, path: &str) -> Result<String> {
        Ok(ureq::get(format!("{}{path}", self.url)).call()?.body_mut().read_to_string()?)
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// The port of the first URL in a line.
fn port(line: &str) -> Option<u16> {
    let rest = &line[line.find("http://")? + 7..];
    let authority = rest.split(['/', ' ']).next()?;
    authority.rsplit_once(':')?.1.parse().ok().filter(|port| *port != 0)
}
