//! Connections to the one port that cost their owner nothing: slow, idle by the thousand, gone without a word. Each has its
//! end, and meanwhile somebody watches without a gap and somebody else comes in.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::clip::{Clip, Codec};
use tests::compare::follow;
use tests::random::Random;
use tests::viewer::Wish;
use tests::{Publisher, Viewer, Weir, sdp, stun, wire};
use tokio::net::TcpSocket;

/// What a machine under load takes longer than the server's own clock says.
const SLACK: Duration = Duration::from_secs(4);

/// A server with a stream, and somebody who watches it from before the first bad connection to after the last.
struct Scene {
    weir: Weir,
    publisher: Publisher,
    watcher: Viewer,
    files: usize,
}

impl Scene {
    async fn new(toml: &str) -> Self {
        let weir = Weir::on_all_addresses(toml);
        let publisher = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
        let watcher = Viewer::join(&weir, "show").await;
        watcher.more_video(30).await;
        let files = weir.files();
        Self { weir, publisher, watcher, files }
    }

    fn address(&self) -> SocketAddr {
        self.weir.host().parse().expect("an address")
    }

    /// How long a POST and the first pictures take somebody new.
    async fn newcomer(&self) -> (Duration, Duration) {
        let start = Instant::now();
        let offer = Viewer::silent(&Wish::default()).await.offer().await;
        let (url, asked) = (self.weir.at("/whep/show"), Instant::now());
        let fields = vec![("content-type".to_owned(), "application/sdp".to_owned())];
        let answer = tests::http::send_async("POST", url, fields, offer.into_bytes()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let answered = asked.elapsed();
        let viewer = Viewer::join(&self.weir, "show").await;
        viewer.more_video(10).await;
        viewer.leave().await;
        (answered, start.elapsed())
    }

    /// The server itself closes what is idle within this time and a little more, but for connections that this test's own
    /// HTTP client may keep.
    async fn closes_them(&self, within: Duration) {
        let end = Instant::now() + within + SLACK;
        while self.weir.files() > self.files + 4 {
            let now = self.weir.files();
            assert!(Instant::now() < end, "{now} files are open, {} were", self.files);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The watcher has every packet, and every descriptor has come back.
    async fn untouched(&mut self) {
        self.watcher.more_video(30).await;
        self.watcher.until_video("nothing missing", |t| t.missing().is_empty()).await;
        let got = self.watcher.video();
        follow(Some(Codec::H264), &self.publisher.sent(0), &got.in_order());
        assert!(self.weir.alive());
        self.closes_them(Duration::from_secs(20)).await;
    }
}

/// A connection by TCP or TLS.
trait Pipe: Read + Write + Send {}

impl<T: Read + Write + Send> Pipe for T {}

/// A way to be slow.
struct Slow {
    what: &'static str,
    pipe: Box<dyn Pipe>,
    /// At once.
    first: Vec<u8>,
    /// A byte a second, and again from its beginning.
    drip: Vec<u8>,
    /// When the server has had enough, by its own clock.
    within: u64,
}

impl Slow {
    /// Until the server ends it: how long that took.
    fn run(mut self) -> String {
        let (start, what) = (Instant::now(), self.what);
        let limit = Duration::from_secs(self.within) + SLACK;
        let mut over = self.pipe.write_all(&self.first).is_err();
        let mut drip = self.drip.iter().cycle();
        while !over {
            assert!(start.elapsed() < limit, "{what}: still open after {:?}", start.elapsed());
            // A read waits for a second.
            over = match self.pipe.read(&mut [0; 4096]) {
                Ok(0) => true,
                Ok(_) => false,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    let byte = drip.next().map(std::slice::from_ref).unwrap_or_default();
                    self.pipe.write_all(byte).is_err()
                }
                Err(_) => true,
            };
        }
        format!("{what}: {:.1} s, of {}", start.elapsed().as_secs_f64(), self.within)
    }
}

fn plain(address: SocketAddr) -> Box<dyn Pipe> {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    Box::new(stream)
}

fn sealed(weir: &Weir, protocols: &[&str]) -> Box<dyn Pipe> {
    let stream = tests::tls::connect(weir.host(), protocols).expect("it speaks TLS");
    stream.get_ref().set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    Box::new(stream)
}

/// A ClientHello as OpenSSL makes it: what it says to somebody who never answers.
fn hello() -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let client = std::thread::spawn(move || tests::tls::connect(&address, &[]).is_err());
    let (mut stream, _) = listener.accept().expect("it connects");
    let mut head = [0; 5];
    stream.read_exact(&mut head).expect("a record");
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut body).expect("all of it");
    drop(stream);
    assert!(client.join().expect("it ends"), "nobody has answered");
    [&head[..], &body].concat()
}

const REQUEST: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-padding: ";
const POST: &str = "POST /whep/show HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/sdp\r\n\
                    content-length: 1000\r\n\r\nv=0\r\n";
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Names a connection by TCP is opened under: for nobody, and for the watcher without its password.
fn checks(scene: &Scene) -> [Vec<u8>; 2] {
    let mut random = Random::seeded(4571);
    let ufrag = sdp::attributes(&scene.watcher.session.sdp, "ice-ufrag")[0];
    ["somebody-else", ufrag].map(|ours| {
        wire::frame(&stun::check((ours, "they"), "not the password", true, &mut random))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_has_its_end_and_holds_nobody_up() {
    let mut scene = Scene::new("").await;
    let identity = tests::tls::Identity::new();
    let secure = Weir::configured(&identity.toml());
    let (files, address) = (secure.files(), scene.address());
    let tls: SocketAddr = secure.host().parse().expect("an address");
    let hello = hello();
    let text = |text: &str| text.as_bytes().to_vec();
    let [nobody, forged] = checks(&scene);
    let half = |frame: &[u8]| frame[..12].to_vec();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let rows = || {
        let at = |what, pipe, first: &[u8], drip: &[u8], within| Slow {
            what,
            pipe,
            first: first.to_vec(),
            drip: drip.to_vec(),
            within,
        };
        vec![
            at("nothing at all", plain(address), &[], &[], 10),
            at("HTTP, a byte a second", plain(address), &[], &text(REQUEST), 30),
            at("HTTP, the head's end missing", plain(address), &text(REQUEST), b"x", 30),
            at("a body, a byte a second", plain(address), &text(POST), b"a=x\r\n", 10),
            at("HTTP/2, its preface a byte a second", plain(address), &[], &text(PREFACE), 30),
            at("HTTP/2, a frame a byte a second", plain(address), &text(PREFACE), &settings, 30),
            at("a ClientHello, a byte a second", plain(tls), &hello[..1], &hello[1..], 10),
            at("a ClientHello and no more", plain(tls), &hello, &[], 10),
            at("TLS, then a byte a second", sealed(&secure, &[]), &[], &text(REQUEST), 30),
            at("HTTP/2 by TLS, a byte a second", sealed(&secure, &["h2"]), &[], &text(PREFACE), 30),
            at("a frame, a byte a second", plain(address), &half(&forged), &forged[12..], 10),
            at("a length, and silence", plain(address), &forged[..2], &[], 10),
            at("a check for nobody", plain(address), &nobody, &[], 1),
            at("a forged check, then a frame slowly", plain(address), &forged, &[0, 90, 0, 1], 10),
        ]
    };
    // All of them begin now, three of each.
    let slow: Vec<Slow> = (0..3).flat_map(|_| rows()).collect();
    let running: Vec<_> =
        slow.into_iter().map(|one| tokio::task::spawn_blocking(|| one.run())).collect();
    let (answered, playing) = scene.newcomer().await;
    println!("a newcomer was answered after {answered:?}, and watched after {playing:?}");
    assert!(answered < Duration::from_secs(2), "{answered:?}");
    for one in running {
        println!("{}", one.await.expect("it has its end in time"));
    }
    scene.untouched().await;
    let end = Instant::now() + Duration::from_secs(10);
    while secure.files() > files + 2 {
        assert!(Instant::now() < end, "{} files are open, {files} were", secure.files());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A TCP connection by way of a process that can fall off the network: from then on nothing that comes reaches it, so it
/// acknowledges nothing, and it sends nothing, no end either.
struct Hole {
    address: SocketAddr,
    process: std::process::Child,
    says: BufReader<std::process::ChildStdout>,
}

impl Hole {
    /// In Perl, which every Debian has: a filter of the socket layer (SO_ATTACH_FILTER, 26) that takes no byte.
    const SCRIPT: &str = r#"
        use Socket; use IO::Select; use strict; my ($host, $port) = @ARGV;
        socket(my $l, PF_INET, SOCK_STREAM, 0); bind($l, sockaddr_in(0, INADDR_LOOPBACK)); listen($l, 1);
        my ($mine) = sockaddr_in(getsockname($l)); $| = 1; print "$mine\n";
        accept(my $c, $l); socket(my $s, PF_INET, SOCK_STREAM, 0);
        connect($s, sockaddr_in($port, inet_aton($host))) or die "connect: $!";
        my $gone = 0; $SIG{USR1} = sub {
            my $drop = pack("SCCL", 6, 0, 0, 0);
            setsockopt($s, SOL_SOCKET, 26, pack("S x6 P", 1, $drop)) or die "filter: $!";
            $gone = 1; print "gone\n";
        };
        my $both = IO::Select->new($c, $s);
        while (1) {
            if ($gone) { sleep 1; next }
            for my $from ($both->can_read(1)) {
                my $n = sysread($from, my $bytes, 65536);
                next if $gone; exit if !$n;
                syswrite($from == $c ? $s : $c, $bytes);
            }
        }
    "#;

    fn to(server: SocketAddr) -> Self {
        let mut process = std::process::Command::new("perl")
            .args(["-e", Self::SCRIPT])
            .args([server.ip().to_string(), server.port().to_string()])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("this test needs perl");
        let mut says = BufReader::new(process.stdout.take().expect("it is piped"));
        let port = line(&mut says).parse().expect("it says its port");
        Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), process, says }
    }

    fn falls_off(&mut self) {
        tests::encoder::signal(self.process.id(), "USR1");
        assert_eq!(line(&mut self.says), "gone");
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("text");
    line.trim_end().to_owned()
}

impl Drop for Hole {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Half-open connections (RFC 9293 section 3.5.1): the peer's machine is gone, and nobody says so.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_gone_without_a_word_is_forgotten_within_a_minute() {
    let mut scene = Scene::new("").await;
    let address = scene.address();
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    // A viewer's events: a connection on which nothing has to be said for a long time.
    let link = scene.watcher.session.link("urn:ietf:params:whep:ext:core:server-sent-events");
    let fields = [("content-type", "application/json")];
    let made = tests::http::send("POST", &link.expect("it is told"), &fields, b"[\"active\"]");
    assert_eq!(made.status, 201, "{}", made.text());
    let events = made.header("location").expect("a 201 has a Location").to_owned();
    let path = events.splitn(4, '/').nth(3).expect("an absolute URL").to_owned();
    let ask =
        format!("GET /{path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
    let of = |name: &str| sdp::attributes(&scene.watcher.session.sdp, name)[0].to_owned();
    let theirs = sdp::attributes(&scene.watcher.session.offer, "ice-ufrag")[0].to_owned();
    let mut random = Random::seeded(9293);
    let check = stun::check((&of("ice-ufrag"), &theirs), &of("ice-pwd"), false, &mut random);

    let mut holes = Vec::new();
    for first in [wire::frame(&check), ask.into_bytes()] {
        let mut hole = Hole::to(loopback);
        let mut stream = TcpStream::connect(hole.address).expect("it listens");
        stream.write_all(&first).expect("a new connection takes a few bytes");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        assert_eq!(stream.read(&mut [0]).expect("an answer"), 1);
        hole.falls_off();
        holes.push((hole, stream));
    }
    assert_eq!(scene.weir.metric("weir_wires"), 1.0, "a way of the watcher's that it does not use");
    let (start, with) = (Instant::now(), scene.weir.files());
    assert!(with >= scene.files + 2);
    let mut wire = None;
    while wire.is_none() || scene.weir.files() > with - 2 {
        let lasted = start.elapsed();
        // Events are kept alive by a comment every 15 s: the 30 s begin with the first that is not acknowledged.
        assert!(lasted < Duration::from_secs(60), "{} files", scene.weir.files());
        if wire.is_none() && scene.weir.metric("weir_wires") == 0.0 {
            wire = Some(lasted);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("media by TCP was given up after {wire:?}, both after {:?}", start.elapsed());
    drop(holes);
    scene.untouched().await;
}

/// As many as the server takes, and what it takes them to say.
const IDLE: u32 = 10_000;

/// Thousands of one test at a time, where one process runs them all.
static MANY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// This program and the server may open what the test needs.
fn room_for(files: u64) {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        hard >= files,
        "this test opens {files} files in each of two processes, and no more than {hard} are allowed: raise the hard \
         limit (`ulimit -Hn {files}`, or LimitNOFILE= of whatever runs the tests)"
    );
    let wanted = Rlimit { current: Some(hard), ..limit };
    setrlimit(Resource::Nofile, wanted).expect("up to the hard limit anybody may");
}

/// A connection from an address of its own, which says so much and then nothing.
async fn idle(number: u32, to: SocketAddr, first: &[u8]) -> std::io::Result<tokio::net::TcpStream> {
    use tokio::io::AsyncWriteExt as _;
    let socket = TcpSocket::new_v4()?;
    let from = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number);
    socket.bind(SocketAddr::from((from, 0)))?;
    let mut stream = socket.connect(to).await?;
    stream.write_all(first).await?;
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_keep_nobody_out() {
    let _alone = MANY.lock().await;
    room_for(u64::from(IDLE) + 1_000);
    let mut scene = Scene::new("").await;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, scene.address().port()));
    let (memory, began) = (scene.weir.memory(), Instant::now());
    // Nothing, the beginning of a request, more of one, the beginning of a frame.
    let beginnings: [&[u8]; 4] =
        [b"", b"G", b"GET / HTTP/1.1\r\nhost: localhost\r\n", &[0, 0x58, 0]];
    let mut held = Vec::new();
    for number in 0..IDLE {
        let first = beginnings[number as usize % beginnings.len()];
        held.push(idle(number, to, first).await.expect("the kernel takes it"));
    }
    let opened = began.elapsed();
    // As many as there are places: somebody new finds one all the same.
    let end = Instant::now() + Duration::from_secs(5);
    while scene.weir.files() < scene.files + IDLE as usize - 100 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let files = scene.weir.files() - scene.files;
    let each = scene.weir.memory().saturating_sub(memory) / files.max(1) as u64;
    let (answered, playing) = scene.newcomer().await;
    println!(
        "{files} idle connections, opened in {opened:?}, cost {each} bytes each; a newcomer was answered after \
         {answered:?}, and watched after {playing:?}"
    );
    assert!(files > IDLE as usize * 9 / 10, "{files} are open at once");
    assert!(each < 16 * 1024, "{each} bytes for each idle connection");
    assert!(answered < Duration::from_secs(3), "{answered:?}");
    let displaced = "reason=\"displaced\"";
    let counts = tests::weir::samples(&scene.weir.get("/metrics").text());
    assert!(counts.iter().any(|(_, labels, count)| labels == displaced && *count > 0.0));
    // They are closed by the server: half of them after 10 s, who has begun a request after 30 s.
    scene.closes_them(Duration::from_secs(30)).await;
    drop(held);
    scene.untouched().await;
}

/// From one address, which is not this machine's own: a quarter, and the rest is closed as it comes.
#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_connections_of_one_address_a_quarter_is_taken() {
    let _alone = MANY.lock().await;
    room_for(u64::from(IDLE) + 1_000);
    let mut scene = Scene::new("").await;
    let to = scene.weir.elsewhere();
    let mut held = Vec::new();
    for _ in 0..IDLE {
        held.push(tokio::net::TcpStream::connect(to).await.expect("the kernel takes it"));
    }
    let (answered, _) = scene.newcomer().await;
    let files = scene.weir.files() - scene.files;
    println!(
        "{files} of {IDLE} connections of one address are open; a newcomer was answered after {answered:?}"
    );
    assert!(files <= IDLE as usize / 4 + 10, "{files}");
    assert!(answered < Duration::from_secs(3), "{answered:?}");
    drop(held);
    scene.untouched().await;
}
