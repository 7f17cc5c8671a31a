//! One worker process: its start, its socket, its last words and its end.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Worker;

/// What a worker needs of our environment. The rest stays here: it may hold tokens.
const ENVIRONMENT: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "LANG", "RUST_BACKTRACE"];

/// Bytes of a line of the worker's that are kept.
const MAX_LINE: usize = 400;

/// Lines of one worker that go into our log.
const MAX_LINES: usize = 100;

/// How long we wait for what follows the end of a process.
const SOON: Duration = Duration::from_millis(200);

/// A running worker. Dropped, it is killed, and reaped by the runtime.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) socket: UnixStream,
    child: Child,
    words: Arc<Mutex<String>>,
    listener: JoinHandle<()>,
}

impl Process {
    /// Starts one. Its end of the socket pair is its standard input.
    pub(super) fn start(worker: &Worker) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&worker.path);
        command
            .args(worker.arguments())
            .env_clear()
            .envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for the server, which ends its workers itself.
            .process_group(0)
            .kill_on_drop(true);
        let socket = UnixStream::from_std(ours)?;
        let mut child = command.spawn()?;
        // It holds the worker's end too, and with it the socket open.
        drop(command);
        let words = Arc::new(Mutex::new(String::new()));
        let listener = tokio::spawn(listen(child.stderr.take(), child.id(), Arc::clone(&words)));
        Ok(Self { socket, child, words, listener })
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for it to end by itself for so long, then kills it. Says what became of it in plain words.
    pub(super) async fn end(mut self, patience: Duration) -> String {
        drop(self.socket);
        let status = match timeout(patience, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                // An error means that it has ended meanwhile.
                let _ = self.child.start_kill();
                self.child.wait().await
            }
        };
        // Whoever inherited its standard error must not hold us.
        if timeout(SOON, &mut self.listener).await.is_err() {
            self.listener.abort();
        }
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let end = status.map_or_else(|error| error.to_string(), described);
        if words.is_empty() { end } else { format!("{end}: {words}") }
    }
}

fn described(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("the worker ended with code {code}"),
        (None, Some(signal)) => format!("signal {signal} ended the worker"),
        (None, None) => "the worker ended".to_owned(),
    }
}

/// Writes its lines into our log and remembers the last one.
async fn listen(stderr: Option<ChildStderr>, id: Option<u32>, words: Arc<Mutex<String>>) {
    let Some(mut stderr) = stderr else { return };
    let mut lines = Lines::default();
    let mut piece = [0; 1024];
    let mut said = 0;
    while let Ok(length @ 1..) = stderr.read(&mut piece).await {
        lines.take(&piece[..length], |line| {
            said += 1;
            if said <= MAX_LINES {
                tracing::debug!(worker = id, "{line}");
            }
            line.clone_into(&mut words.lock().unwrap_or_else(PoisonError::into_inner));
        });
    }
    lines.take(b"\n", |line| {
        line.clone_into(&mut words.lock().unwrap_or_else(PoisonError::into_inner));
    });
    if said > MAX_LINES {
        tracing::debug!(worker = id, "{} more lines", said - MAX_LINES);
    }
}

/// Cuts bytes into lines, long ones short, without what would disturb a terminal.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => {
                    let line = super::plain(&String::from_utf8_lossy(&self.line));
                    if !line.is_empty() {
                        each(&line);
                    }
                    self.line.clear();
                }
                _ if self.line.len() < MAX_LINE => self.line.push(*byte),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_clean() {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        let mut take = |bytes: &[u8]| lines.take(bytes, |line| seen.push(line.to_owned()));
        take(b"one\n\n  \ntw");
        take(b"o\x1b[31m\xff\r\n");
        take(&[b'x'; 5000]);
        take(b"\nlast");
        assert_eq!(seen[..2], ["one", "two [31m\u{fffd}"]);
        assert_eq!((seen.len(), seen[2].len()), (3, MAX_LINE));
    }
}
