//! The real program: started on free ports with a data folder of its own, killed at the end.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::http::{self, Answer};

/// How long the program may take until it says where it listens.
const START: Duration = Duration::from_secs(20);

/// A free port that nobody else reaches.
const LOOPBACK: &str = "127.0.0.1:0";

/// A running `weir`.
#[derive(Debug)]
pub struct Weir {
    child: Child,
    /// `http://127.0.0.1:port`, or `https://…` where it has a certificate, for `localhost` by ACME; no slash at the end.
    pub url: String,
    said: Arc<Said>,
    folder: PathBuf,
}

/// What the program has printed on both channels, line by line.
#[derive(Debug, Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    news: Condvar,
}

impl Weir {
    /// With defaults, on free loopback ports.
    pub fn start() -> Self {
        Self::with(&[], "")
    }

    /// Without a worker program: nothing is bridged.
    pub fn without_worker() -> Self {
        Self::with(&["--transcode-worker", "/nowhere/weir-transcoder"], "")
    }

    /// With this configuration file (TOML), on free loopback ports.
    pub fn configured(toml: &str) -> Self {
        Self::with(&[], toml)
    }

    /// With more flags and a configuration file.
    pub fn with(flags: &[&str], toml: &str) -> Self {
        let folder = folder();
        let command = command(&folder);
        Self::run(command, folder, flags, toml)
    }

    /// With this configuration file, and HTTP on all addresses of this machine.
    pub fn on_all_addresses(toml: &str) -> Self {
        let folder = folder();
        let command = command(&folder);
        Self::run_at(["0.0.0.0:0", LOOPBACK], command, folder, &[], toml)
    }

    /// With these addresses of HTTP and of WebRTC, and a configuration file.
    pub fn listening(listen: [&str; 2], toml: &str) -> Self {
        let folder = folder();
        let command = command(&folder);
        Self::run_at(listen, command, folder, &[], toml)
    }

    /// The same after this line of shell, in a name space of mounts of its own where it needs one.
    pub fn after(line: &str, unshared: bool, listen: [&str; 2], toml: &str) -> Self {
        let folder = folder();
        let plain = command(&folder);
        let mut command = Command::new(if unshared { "unshare" } else { "sh" });
        if unshared {
            command.args(["-rm", "sh"]);
        }
        command.arg("-c").arg(format!(r#"{line} && exec "$0" "$@""#));
        command.arg(plain.get_program()).current_dir(&folder);
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::run_at(listen, command, folder, &[], toml)
    }

    /// With a data folder on a file system of its own, in memory: `disk` are options of tmpfs, such as `size=8m`.
    pub fn on_disk(disk: &str, toml: &str) -> Self {
        let folder = folder();
        let plain = command(&folder);
        let mut command = Command::new("unshare");
        let script = r#"mkdir "$0" && mount -t tmpfs -o "$1" tmpfs "$0" && shift && exec "$@""#;
        command.args(["-rm", "sh", "-c", script]).arg(folder.join("data")).arg(disk);
        command.arg(plain.get_program()).current_dir(&folder);
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::run(command, folder, &[], toml)
    }

    fn run(command: Command, folder: PathBuf, flags: &[&str], toml: &str) -> Self {
        Self::run_at([LOOPBACK; 2], command, folder, flags, toml)
    }

    fn run_at(
        [http, webrtc]: [&str; 2],
        mut command: Command,
        folder: PathBuf,
        flags: &[&str],
        toml: &str,
    ) -> Self {
        command.args(["--http-listen", http, "--webrtc-listen", webrtc, "--rtmp-listen", LOOPBACK]);
        if !toml.is_empty() {
            let file = folder.join("weir.toml");
            std::fs::write(&file, toml).expect("the test's own folder can be written");
            command.arg("--config").arg(file);
        }
        let mut child = command
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{} does not start: {e}", binary().display()));
        let said = Arc::new(Said::default());
        listen(&said, child.stdout.take().expect("stdout was piped"));
        listen(&said, child.stderr.take().expect("stderr was piped"));

        let url = said.wait(START, &mut child, url_in);
        let weir = Self { child, url, said, folder };
        weir.ready();
        weir
    }

    fn ready(&self) {
        let started = Instant::now();
        loop {
            // In clear: that is answered on this machine whatever certificate there is.
            match http::try_send("GET", &format!("http://{}/readyz", self.host()), &[], &[]) {
                Ok(answer) if answer.status == 200 => return,
                other => assert!(started.elapsed() < START, "not ready: {other:?}\n{}", self.log()),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The URL of a path that starts with `/`.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// `host:port` of a listener of `GET /api/v1/server`.
    #[track_caller]
    pub fn listener(&self, key: &str) -> String {
        let server = self.get("/api/v1/server").json();
        let all = server["listeners"].as_array().expect("a list");
        let found = all.iter().find(|l| l["key"] == key);
        let found = found.unwrap_or_else(|| panic!("no {key}: {server}"));
        found["address"].as_str().expect("a listener has an address").to_owned()
    }

    /// `host:port` of RTMP.
    #[track_caller]
    pub fn rtmp(&self) -> String {
        self.listener("rtmp.listen")
    }

    /// Where a stream is published and played by RTMP.
    #[track_caller]
    pub fn rtmp_url(&self, key: &str) -> String {
        format!("rtmp://{}/live/{key}", self.rtmp())
    }

    /// HTTP at an address of this machine that is not its loopback; see [`Weir::on_all_addresses`].
    #[track_caller]
    pub fn elsewhere(&self) -> SocketAddr {
        let port = self.url.rsplit_once(':').expect("a URL with a port").1;
        // Nothing is sent: the system says from which address it would be.
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
        let found = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
        let address = found.expect("this test needs a network interface with an IPv4 route").ip();
        assert!(!address.is_loopback(), "this test needs an IPv4 address besides the loopback's");
        SocketAddr::new(address, port.parse().expect("a port"))
    }

    /// What the self-test found, once that is `good`.
    #[track_caller]
    pub fn self_test(&self, good: impl Fn(&[serde_json::Value]) -> bool) -> Vec<serde_json::Value> {
        let started = Instant::now();
        loop {
            let server = self.get("/api/v1/server").json();
            let found = server["self_test"].as_array().cloned();
            if let Some(found) = found.filter(|found| good(found)) {
                return found;
            }
            assert!(started.elapsed() < START, "never: {:#}", server["self_test"]);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        http::send("GET", &self.at(path), &[], &[])
    }

    /// POST of an SDP offer.
    pub fn offer(&self, path: &str, sdp: &str) -> Answer {
        let headers = [("content-type", "application/sdp")];
        http::send("POST", &self.at(path), &headers, sdp.as_bytes())
    }

    /// The API's view of a stream, `None` if it knows none of that name.
    pub fn stream(&self, name: &str) -> Option<serde_json::Value> {
        let answer = self.get(&format!("/api/v1/streams/{name}"));
        match answer.status {
            200 => Some(answer.json()),
            404 => None,
            other => panic!("stream {name}: {other} {}", answer.text()),
        }
    }

    /// A stream's state as the API names it; `"gone"` where it knows no such stream.
    pub fn state(&self, name: &str) -> String {
        let stream = self.stream(name);
        stream.map_or("gone".into(), |s| s["state"].as_str().unwrap_or_default().to_owned())
    }

    /// Asks the API until the stream satisfies `good`.
    #[track_caller]
    pub fn until(
        &self,
        name: &str,
        good: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let started = Instant::now();
        loop {
            let stream = self.stream(name).unwrap_or_default();
            if good(&stream) {
                return stream;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "never: {stream:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sum of a metric over all its labels; 0 where there is none of that name.
    pub fn metric(&self, name: &str) -> f64 {
        samples(&self.get("/metrics").text())
            .into_iter()
            .filter(|(n, _, _)| n == name)
            .map(|(_, _, v)| v)
            .sum()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the program runs");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("Linux says VmRSS");
        let kib = line.split_whitespace().nth(1).expect("VmRSS has a value");
        kib.parse::<u64>().expect("VmRSS is a number") * 1024
    }

    /// CPU time of all its threads, in the kernel and outside.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))
            .expect("the program runs");
        let fields = stat.rsplit_once(')').expect("Linux writes the name in parentheses").1;
        // proc(5): utime and stime are fields 14 and 15, the state after the name is the third.
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|t| t.parse::<u64>().expect("a number of ticks")).sum();
        // USER_HZ is 100 on every Linux that this runs on.
        Duration::from_millis(ticks * 10)
    }

    /// Open file descriptors.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the program runs").count()
    }

    /// Its data folder, as the program itself sees it.
    pub fn data(&self) -> PathBuf {
        let folder = self.folder.join("data");
        let inside = folder.strip_prefix("/").expect("an absolute path");
        Path::new(&format!("/proc/{}/root", self.pid())).join(inside)
    }

    /// `host:port` of `url`.
    pub fn host(&self) -> &str {
        self.url.rsplit_once('/').expect("a URL").1
    }

    /// Sends SIGHUP and waits until the program says what it has done, as a line with `word` in it.
    #[track_caller]
    pub fn reload(&self, word: &str) {
        let before = self.said.lines.lock().unwrap().len();
        crate::encoder::signal(self.pid(), "HUP");
        let started = Instant::now();
        let mut lines = self.said.lines.lock().unwrap();
        while !lines.iter().skip(before).any(|line| line.contains(word)) {
            assert!(
                started.elapsed() < START,
                "it says nothing of {word:?}:\n{}",
                lines.join("\n")
            );
            lines = self.said.news.wait_timeout(lines, Duration::from_millis(100)).unwrap().0;
        }
    }

    /// What the program has printed until now.
    pub fn log(&self) -> String {
        self.said.lines.lock().unwrap().iter().fold(String::new(), |mut all, line| {
            let _ = writeln!(all, "  | {line}");
            all
        })
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(mut self, within: Duration) -> ExitStatus {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill(1) runs");
        assert!(sent.success());
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(started.elapsed() < within, "still runs {within:?} after SIGTERM");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// True while the program runs.
    pub fn alive(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        let died = self.child.try_wait().ok().flatten();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("weir said (ended by itself: {died:?}):\n{log}");
        } else {
            assert!(!log.contains("panicked at"), "the server panicked:\n{log}");
            assert!(died.is_none_or(|d| d.success()), "the server ended with {died:?}:\n{log}");
        }
    }
}

impl Said {
    fn wait<T>(&self, limit: Duration, child: &mut Child, find: impl Fn(&str) -> Option<T>) -> T {
        let started = Instant::now();
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(found) = lines.iter().find_map(|l| find(l)) {
                return found;
            }
            let ended = child.try_wait().expect("a child of ours");
            if ended.is_some() || started.elapsed() > limit {
                let _ = child.kill();
                let _ = child.wait();
                panic!("weir did not say where it listens ({ended:?}):\n{}", lines.join("\n"));
            }
            lines = self.news.wait_timeout(lines, Duration::from_millis(100)).unwrap().0;
        }
    }
}

fn listen(said: &Arc<Said>, pipe: impl Read + Send + 'static) {
    let said = said.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            said.lines.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            said.news.notify_all();
        }
    });
}

/// Where a start-up line says that the server is: with a certificate by ACME under a name that leads here by a test's own word.
fn url_in(line: &str) -> Option<String> {
    if let Some((_, address)) = line.split_once(" must lead to tcp ") {
        return Some(format!("https://localhost:{}", port_of(address)?));
    }
    ["http", "https"].into_iter().find_map(|scheme| {
        let (_, rest) = line.split_once(&format!("{scheme}://"))?;
        let authority = rest.split(['/', ' ', '\x1b']).next()?;
        Some(format!("{scheme}://127.0.0.1:{}", port_of(authority)?))
    })
}

fn port_of(authority: &str) -> Option<u16> {
    authority.rsplit_once(':')?.1.parse().ok().filter(|port| *port != 0)
}

/// `(name, labels, value)` of every sample of a Prometheus text.
pub fn samples(text: &str) -> Vec<(String, String, f64)> {
    text.lines()
        .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
        .map(|l| {
            let (key, value) = l.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {l:?}"));
            let value = value.parse().unwrap_or_else(|_| panic!("no number: {l:?}"));
            match key.split_once('{') {
                Some((name, labels)) => (name.into(), labels.trim_end_matches('}').into(), value),
                None => (key.into(), String::new(), value),
            }
        })
        .collect()
}

/// A run of the program that ends by itself: `(status, stdout, stderr)`.
pub fn run(arguments: &[&str], files: &[(&str, &str)]) -> (ExitStatus, String, String) {
    let folder = folder();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("the test's own folder can be written");
    }
    let output = command(&folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{} does not start: {e}", binary().display()));
    let _ = std::fs::remove_dir_all(&folder);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status, text(output.stdout), text(output.stderr))
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .current_dir(folder)
        .env("WEIR_DATA__DIR", folder.join("data"))
        .env("RUST_BACKTRACE", "1")
        .env("NO_COLOR", "1");
    command
}

fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("weir-test-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    folder
}

/// Where this build puts its programs: `target/debug`.
pub fn target() -> PathBuf {
    let exe = std::env::current_exe().expect("a test knows its own program");
    let folder = exe.parent().expect("a program lies in a folder");
    if folder.ends_with("deps") {
        folder.parent().expect("deps lies in a folder").to_owned()
    } else {
        folder.to_owned()
    }
}

/// The program under test: `$WEIR_BIN`, else the one beside the tests, built if it is missing.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_BIN") {
        return path.into();
    }
    let path = target().join("weir");
    if !path.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests has a parent");
        let folder = target();
        let built = Command::new(cargo)
            .args(["build", "--bin", "weir", "--target-dir"])
            .arg(folder.parent().expect("target/debug lies in target"))
            .current_dir(root)
            .status()
            .expect("cargo runs");
        assert!(built.success() && path.exists(), "`cargo build --bin weir` made no {path:?}");
    }
    path
}
