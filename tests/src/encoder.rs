//! FFmpeg and GStreamer as encoders that publish by RTMP, and as players that pull: programs that a test may kill.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::film::{Ffmpeg, Film};

/// A running FFmpeg or GStreamer.
pub struct Encoder {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Encoder {
    /// Publishes a film as it is, again and again, in real time.
    pub fn publish(film: &Film, url: &str) -> Self {
        Self::publish_with(film, url, &[])
    }

    /// With more arguments for the output.
    pub fn publish_with(film: &Film, url: &str, output: &[&str]) -> Self {
        let mut command = film.recipe.by.command();
        command.args(["-re", "-stream_loop", "-1", "-i"]).arg(&film.path);
        command.args(["-c", "copy"]).args(output).args(["-f", "flv", url]);
        Self::run(command)
    }

    /// Publishes a film by WHIP, its sound as Opus, with more arguments for the muxer.
    pub fn whip(film: &Film, url: &str, output: &[&OsStr]) -> Self {
        let mut command = Ffmpeg::New.command();
        command.args(["-re", "-stream_loop", "-1", "-i"]).arg(&film.path);
        command.args(["-c:v", "copy", "-c:a", "libopus", "-ac", "2", "-ar", "48000"]);
        command.args(output).args(["-f", "whip", url]);
        Self::run(command)
    }

    /// Pulls for so many seconds of media into an FLV file.
    pub fn play(by: Ffmpeg, url: &str, seconds: u32, file: &Path) -> Self {
        let mut command = by.command();
        command.args(["-y", "-rw_timeout", "15000000", "-i", url, "-t", &seconds.to_string()]);
        command.args(["-c", "copy", "-f", "flv"]).arg(file);
        Self::run(command)
    }

    /// A pipeline of GStreamer, as `gst-launch-1.0` takes it.
    pub fn gstreamer(pipeline: &str) -> Self {
        let mut command = Command::new("gst-launch-1.0");
        command.arg("-q").args(pipeline.split_whitespace());
        Self::run(command)
    }

    /// Pulls a stream of files for so many seconds of media into an FLV file.
    pub fn pull(by: Ffmpeg, url: &str, seconds: u32, file: &Path) -> Self {
        let mut command = by.command();
        command.args(["-y", "-i", url, "-t", &seconds.to_string(), "-c", "copy", "-f", "flv"]);
        command.arg(file);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            let program = command.get_program();
            panic!("{}: {error} (scripts/setup.sh test installs it)", program.display())
        });
        let stderr = child.stderr.take().expect("it was piped");
        let said = Arc::new(Mutex::new(String::new()));
        let heard = said.clone();
        std::thread::spawn(move || listen(stderr, &heard));
        Self { child, said }
    }

    /// What it has said on its standard error.
    pub fn log(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True while it runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(&mut self, within: Duration) -> ExitStatus {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(Instant::now() < end, "it still runs after {within:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it in order, as Ctrl-C does.
    #[track_caller]
    pub fn stop(mut self) {
        signal(self.pid(), "INT");
        self.ended(Duration::from_secs(10));
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(pipe: impl Read, said: &Mutex<String>) {
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let mut said = said.lock().unwrap();
        if said.len() < 1 << 16 {
            said.push_str(&String::from_utf8_lossy(&line));
            said.push('\n');
        }
    }
}

/// kill(1).
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill(1) runs").success(), "no process {pid}");
}

/// Processes that this one has started and that have this name.
pub fn children(of: u32, name: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("Linux has /proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| is_child(*pid, of, name) == Some(true)).collect()
}

fn is_child(pid: u32, of: u32, name: &str) -> Option<bool> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc(5): the name in parentheses, 15 bytes at most; the state; the parent.
    let (head, tail) = stat.rsplit_once(')')?;
    let called = head.split_once('(')?.1;
    let mut fields = tail.split_whitespace();
    let (state, parent) = (fields.next()?, fields.next()?.parse::<u32>().ok()?);
    Some(state != "Z" && parent == of && !called.is_empty() && name.starts_with(called))
}
