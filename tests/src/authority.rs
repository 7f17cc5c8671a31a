//! A certificate authority that speaks ACME: Pebble, which Let's Encrypt's people made for tests, with a name server that
//! says every name is this machine. It connects to one port for its proofs, and that leads to the server under test.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::http;
use crate::tls::Identity;

const START: Duration = Duration::from_secs(20);

/// A running Pebble.
pub struct Pebble {
    child: Child,
    identity: Identity,
    directory: String,
    management: String,
    door: Door,
}

impl Pebble {
    /// Its certificates are good for so many seconds.
    pub fn start(seconds: u32) -> Self {
        let identity = Identity::new();
        let door = Door::open();
        let names = names();
        // Free ones, which somebody else may take until it listens: then others.
        for _ in 0..5 {
            let [port, management] = [free(), free()];
            let config = serde_json::json!({ "pebble": {
                "listenAddress": format!("127.0.0.1:{port}"),
                "managementListenAddress": format!("127.0.0.1:{management}"),
                "certificate": identity.certificate(),
                "privateKey": identity.key(),
                "httpPort": 1,
                "tlsPort": door.port,
                "ocspResponderURL": "",
                "externalAccountBindingRequired": false,
                "certificateValidityPeriod": seconds,
            }});
            let file = identity.certificate().with_file_name("pebble.json");
            std::fs::write(&file, config.to_string()).expect("the temporary folder can be written");
            let mut child = Command::new(program())
                .arg("-config")
                .arg(&file)
                .args(["-dnsserver", &names])
                // It looks at once, and refuses each fifth nonce, as clients have to bear.
                .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "20")])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|e| panic!("pebble does not start ({e}): `make test` unpacks it"));
            let directory = format!("https://localhost:{port}/dir");
            if is_up(&mut child, &directory) {
                let management = format!("https://localhost:{management}");
                return Self { child, identity, directory, management, door };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("Pebble finds no free port");
    }

    /// What a server's configuration file says to ask it.
    pub fn toml(&self, names: &[&str]) -> String {
        let (directory, roots) = (&self.directory, self.identity.authority());
        let roots = roots.display();
        format!(
            "[tls]\nacme = {names:?}\nacme_contact = \"op@weir.example\"\nacme_directory = \"{directory}\"\nacme_roots = \"{roots}\"\n"
        )
    }

    /// In PEM form, who vouches for its certificates.
    pub fn root(&self) -> Vec<u8> {
        let answer = http::send("GET", &format!("{}/roots/0", self.management), &[], &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.body
    }

    /// Port 443 of every name leads to this `host:port` from now on.
    pub fn leads_to(&self, server: &str) {
        *self.door.to.0.lock().unwrap() = Some(server.to_owned());
        self.door.to.1.notify_all();
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_up(child: &mut Child, directory: &str) -> bool {
    let started = Instant::now();
    while started.elapsed() < START && child.try_wait().expect("a child of ours").is_none() {
        if http::try_send("GET", directory, &[], &[]).is_ok_and(|answer| answer.status == 200) {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Where `make test` unpacks it, else where the system has it.
fn program() -> PathBuf {
    let unpacked = crate::weir::target().join("../tools/pebble/usr/bin/pebble");
    if unpacked.exists() { unpacked } else { "pebble".into() }
}

fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("it has an address").port()
}

/// A port whose connections go on to where they are told to; until then they wait.
struct Door {
    port: u16,
    to: Arc<(Mutex<Option<String>>, Condvar)>,
}

impl Door {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it has an address").port();
        let to = Arc::new((Mutex::new(None::<String>), Condvar::new()));
        let heard = Arc::clone(&to);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let heard = Arc::clone(&heard);
                thread::spawn(move || relay(near, &heard));
            }
        });
        Self { port, to }
    }
}

fn relay(near: TcpStream, to: &(Mutex<Option<String>>, Condvar)) {
    let waited = to.1.wait_timeout_while(to.0.lock().unwrap(), START, |to| to.is_none());
    let Some(to) = waited.unwrap().0.clone() else { return };
    let Ok(far) = TcpStream::connect(to) else { return };
    let (Ok(mut from), Ok(mut into)) = (near.try_clone(), far.try_clone()) else { return };
    thread::spawn(move || pass(&mut from, &mut into));
    let (mut from, mut into) = (far, near);
    pass(&mut from, &mut into);
}

fn pass(from: &mut TcpStream, into: &mut TcpStream) {
    let _ = io::copy(from, into);
    let _ = into.shutdown(std::net::Shutdown::Write);
}

/// A name server (RFC 1035) that knows one address for all names; where it listens.
fn names() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("it has an address").to_string();
    thread::spawn(move || {
        let mut question = [0; 512];
        loop {
            let (length, from) = match socket.recv_from(&mut question) {
                Ok(got) => got,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            if let Some(answer) = address_of(&question[..length]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

fn address_of(question: &[u8]) -> Option<Vec<u8>> {
    // Behind the head of 12 bytes the labels of the name, its type and its class.
    let name = question.get(12..)?.iter().position(|b| *b == 0)?;
    let end = 12 + name + 5;
    let kind = question.get(end - 4..end - 2)?;
    let found = u8::from(kind == [0, 1]);
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x85, 0x80, 0, 1, 0, found, 0, 0, 0, 0]);
    answer.extend(question.get(12..end)?);
    if found == 1 {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
