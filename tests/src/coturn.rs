//! coturn, a TURN server (RFC 8656) that is not ours, on a loopback port: `scripts/setup.sh test` unpacks it.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take until it answers.
const START: Duration = Duration::from_secs(20);

/// A running coturn that lets in by time-limited credentials; it ends with this.
pub struct Coturn {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Coturn {
    /// One that shares this secret with whoever signs credentials (`use-auth-secret`).
    pub fn sharing(secret: &str) -> Self {
        let address = free();
        let folder = std::env::temp_dir().join(format!("weir-coturn-{}", address.port()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let mut turnserver = program("turnserver");
        turnserver.args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--allow-loopback-peers"]);
        turnserver.args(["--use-auth-secret", "--static-auth-secret", secret, "--realm", "weir"]);
        turnserver.args(["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1"]);
        turnserver.args(["--listening-port", &address.port().to_string(), "--log-file", "stdout"]);
        turnserver.arg("--userdb").arg(folder.join("db")).arg("--pidfile").arg(folder.join("pid"));
        let child = turnserver.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|e| panic!("coturn does not start: {e}"));
        let mut coturn = Self { child, address, folder };
        coturn.ready();
        coturn
    }

    /// Its URI for UDP.
    pub fn uri(&self) -> String {
        format!("turn:{}?transport=udp", self.address)
    }

    /// Whether it relays for who has these: packets there and back through two allocations.
    pub fn relays_for(&self, username: &str, credential: &str) -> bool {
        let mut client = program("turnutils_uclient");
        client.args(["-u", username, "-w", credential, "-y", "-m", "1", "-n", "3", "-l", "20"]);
        client.args(["-p", &self.address.port().to_string(), "127.0.0.1"]);
        let run = client.stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.expect("turnutils_uclient runs").success()
    }

    /// Waits until it answers a binding request (RFC 8489 section 5).
    fn ready(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
        let mut request = [0; 20];
        request[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
        let begun = Instant::now();
        loop {
            let _ = socket.send_to(&request, self.address);
            if socket.recv(&mut [0; 512]).is_ok_and(|length| length >= 20) {
                return;
            }
            let ended = self.child.try_wait().expect("a child of ours");
            assert!(
                ended.is_none() && begun.elapsed() < START,
                "coturn does not answer: {ended:?}"
            );
        }
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An address that nobody has now.
fn free() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("a bound socket has an address")
}

/// One of coturn's programs: as it was unpacked, else as it is installed.
fn program(name: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests has a parent");
    let usr = root.join("target/tools/coturn/usr");
    let path = usr.join("bin").join(name);
    if !path.exists() {
        return Command::new(name);
    }
    let mut command = Command::new(path);
    let libraries = std::fs::read_dir(usr.join("lib")).into_iter().flatten().flatten();
    let libraries: Vec<PathBuf> = libraries.map(|entry| entry.path()).collect();
    command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).expect("plain paths"));
    command
}
