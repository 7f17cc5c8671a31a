//! Why a session never connects: for each step of ICE and DTLS that can be missing, whoever asks is told which it was, for
//! publishers and viewers alike. Each is made by hand, for no client does only half of it.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::clip::{Clip, Codec};
use tests::publisher::Show;
use tests::random::Random;
use tests::viewer::Wish;
use tests::{Publisher, Viewer, Weir, sdp, stun, wire};

/// Who checks once a quarter of a second does as browsers do, and a test is over soon.
const PACE: Duration = Duration::from_millis(250);
/// What it takes until a word is said, and much more.
const PATIENCE: Duration = Duration::from_secs(20);

/// A session whose client is this test.
struct Client {
    id: String,
    ours: String,
    password: String,
    theirs: String,
    udp: SocketAddr,
    tcp: Option<SocketAddr>,
    socket: UdpSocket,
    random: Random,
}

impl Client {
    fn new(weir: &Weir, path: &str, offer: &str) -> Self {
        // Each has a name of its own, as browsers have.
        let theirs = path.replace(['/', '-', '?', '='], "");
        let line = format!("a=ice-ufrag:{}", sdp::attributes(offer, "ice-ufrag")[0]);
        let offer = &offer.replace(&line, &format!("a=ice-ufrag:{theirs}"));
        let answer = weir.offer(path, offer);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let location = answer.header("location").expect("a 201 has a Location");
        let id = location.rsplit('/').next().expect("a URL")[..8].to_owned();
        let text = answer.text();
        let one = |sdp: &str, name: &str| sdp::attributes(sdp, name)[0].to_owned();
        Self {
            id,
            ours: one(&text, "ice-ufrag"),
            password: one(&text, "ice-pwd"),
            theirs,
            udp: tests::peer::first_candidate(&text),
            tcp: sdp::candidates_by(&text, "tcp").first().copied(),
            socket: UdpSocket::bind("127.0.0.1:0").expect("a free port"),
            random: Random::seeded(8445),
        }
    }

    fn check(&mut self, ours: &str, password: &str, nominates: bool) -> Vec<u8> {
        stun::check((ours, &self.theirs), password, nominates, &mut self.random)
    }

    /// One turn of what this client does.
    fn act(&mut self, what: Act) {
        let (ours, password) = (self.ours.clone(), self.password.clone());
        let datagram = match what {
            Act::Nothing => return,
            Act::Stranger => self.check("somebody-else", &password, true),
            Act::StrangerByTcp => {
                let check = self.check("somebody-else", &password, true);
                return self.connect(&check);
            }
            Act::Forge => self.check(&ours, "a password of another session", true),
            Act::Ask => self.check(&ours, &password, false),
            Act::Choose | Act::Hello => self.check(&ours, &password, true),
            Act::Connect => {
                let check = self.check(&ours, &password, true);
                return self.connect(&check);
            }
        };
        self.socket.send_to(&datagram, self.udp).expect("loopback takes it");
        if what == Act::Hello {
            // A ClientHello in pieces (RFC 6347 section 4.2.3), of which the others never come.
            let mut piece = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13];
            piece.extend([1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe]);
            self.socket.send_to(&piece, self.udp).expect("loopback takes it");
        }
    }

    fn connect(&self, check: &[u8]) {
        let mut stream = TcpStream::connect(self.tcp.expect("it is told")).expect("a listener");
        stream.write_all(&wire::frame(check)).expect("a new connection takes a few bytes");
        // What is not taken is closed.
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
}

/// What a client does, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Nothing,
    /// Checks under another name of the server's.
    Stranger,
    StrangerByTcp,
    /// Checks with another password.
    Forge,
    /// Checks and never chooses.
    Ask,
    /// Chooses, and says no DTLS.
    Choose,
    /// Begins DTLS and does not go on.
    Hello,
    /// Chooses by TCP.
    Connect,
}

/// What of the API is read.
fn ask(weir: &Weir, id: &str, what: &str) -> Value {
    let answer = weir.get(&format!("/api/v1/sessions/{id}/{what}"));
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    answer.json()
}

/// The text of the one problem, once it is this.
fn problem(weir: &Weir, client: &mut Client, act: Act, code: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        client.act(act);
        let health = ask(weir, &client.id, "health");
        let problems = health["problems"].as_array().cloned().unwrap_or_default();
        if let Some(found) = problems.iter().find(|p| p["code"] == code) {
            assert_eq!(problems.len(), 1, "{health:#}");
            return found["text"].as_str().unwrap_or_default().to_owned();
        }
        assert!(Instant::now() < end, "{act:?} is never {code}: {health:#}");
        std::thread::sleep(PACE);
    }
}

fn codes(weir: &Weir, client: &Client) -> Vec<String> {
    let log = ask(weir, &client.id, "logs");
    let all = log["entries"].as_array().cloned().unwrap_or_default();
    all.iter().map(|entry| entry["code"].as_str().unwrap_or_default().to_owned()).collect()
}

/// An offer of each role, and where it goes.
async fn offers() -> [(&'static str, String); 2] {
    let publisher = Publisher::offer(&Show::of(Clip::small(Codec::Vp8))).await;
    let viewer = Viewer::silent(&Wish::default()).await.offer().await;
    [("/whip/show-", publisher), ("/whep/show-", viewer)]
}

/// What a client does, what is wrong then, words of the text, and what its log tells.
type Row =
    (&'static str, Act, fn(&str) -> String, &'static str, &'static [&'static str], &'static str);

const ROWS: [Row; 10] = [
    (
        "silent",
        Act::Nothing,
        as_it_is,
        "no_candidate_pair",
        &["neither its UDP nor its TCP"],
        "offer",
    ),
    ("sent", Act::Nothing, as_it_is, "no_candidate_pair", &["Another node"], "redirected"),
    ("relays", Act::Nothing, by_relay, "only_relays", &["TURN"], "offer"),
    ("stranger", Act::Stranger, as_it_is, "stun_for_another", &["old answer"], "stun_for_another"),
    (
        "wired",
        Act::StrangerByTcp,
        as_it_is,
        "stun_for_another",
        &["old answer"],
        "stun_for_another",
    ),
    ("forged", Act::Forge, as_it_is, "stun_not_authentic", &["password"], "stun_not_authentic"),
    ("deaf", Act::Ask, as_it_is, "not_nominated", &["USE-CANDIDATE"], "candidate_pair"),
    ("mute", Act::Choose, active, "dtls_not_begun", &["never began DTLS"], "nominated"),
    ("passive", Act::Choose, passive, "dtls_not_answered", &["never answered"], "dtls_begun"),
    ("torn", Act::Hello, active, "dtls_unfinished", &["MTU"], "dtls_begun"),
];

fn as_it_is(offer: &str) -> String {
    offer.to_owned()
}

fn by_relay(offer: &str) -> String {
    offer.replace(" typ host", " typ relay raddr 0.0.0.0 rport 0")
}

fn active(offer: &str) -> String {
    offer.replace("a=setup:actpass", "a=setup:active")
}

fn passive(offer: &str) -> String {
    offer.replace("a=setup:actpass", "a=setup:passive")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_that_is_missing_has_its_word_for_both_roles() {
    let weir = Weir::start();
    let offers = offers().await;
    std::thread::scope(|scope| {
        for (path, offer) in &offers {
            for (name, act, bend, code, words, told) in ROWS {
                let weir = &weir;
                scope.spawn(move || {
                    let hops = if name == "sent" { "?hops=1" } else { "" };
                    let mut client =
                        Client::new(weir, &format!("{path}{name}{hops}"), &bend(offer));
                    let text = problem(weir, &mut client, act, code);
                    assert!(words.iter().all(|word| text.contains(word)), "{name}: {text}");
                    let log = codes(weir, &client);
                    assert!(log.iter().any(|code| code == told), "{name}: no {told} in {log:?}");
                });
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tcp_it_is_said_that_it_was_not_offered() {
    let weir = Weir::configured("webrtc.tcp = false");
    for (path, offer) in offers().await {
        let mut client = Client::new(&weir, &format!("{path}x"), &offer);
        assert_eq!(client.tcp, None);
        let text = problem(&weir, &mut client, Act::Nothing, "no_candidate_pair");
        assert!(text.contains("TCP was not offered to it (webrtc.tcp)"), "{text}");
    }
}

/// The one place is somebody's: who comes by TCP then is closed, and its log says why.
#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_by_tcp_is_told_so() {
    let weir = Weir::configured("webrtc.tcp_connections = 1");
    let by = tests::peer::By::Wire;
    let _publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let first = Viewer::wishing(&weir, "show", Wish { by, ..Wish::default() }).await;
    first.more_video(10).await;
    for (path, offer) in offers().await {
        let mut client = Client::new(&weir, &format!("{path}x"), &offer);
        let text = problem(&weir, &mut client, Act::Connect, "tcp_refused");
        assert!(text.contains("webrtc.tcp_connections"), "{text}");
        assert!(codes(&weir, &client).contains(&"tcp_refused".to_owned()));
    }
    first.more_video(30).await;
}

/// The old way falls silent, and nothing comes by the new one.
#[tokio::test(flavor = "multi_thread")]
async fn an_ice_restart_that_never_gets_through_is_told_as_one() {
    let weir = Weir::start();
    let network = Some((tests::Impairment::NONE, 9));
    let show = Show { network, ..Show::of(Clip::small(Codec::Vp8)) };
    let mut publisher = Publisher::showing(&weir, "show", show).await;
    let mut viewer = Viewer::wishing(&weir, "show", Wish { network, ..Wish::default() }).await;
    viewer.more_video(10).await;
    // One that gets through has its word, too.
    let tag = viewer.session.etag();
    viewer.peer.restart(&mut viewer.session, &tag).await;
    let id = |session: &tests::peer::Session| {
        session.resource.rsplit('/').next().expect("a URL")[..8].to_owned()
    };
    let ids = [id(&publisher.session), id(&viewer.session)];
    let has = |list: &Value, code: &str| {
        list.as_array().is_some_and(|all| all.iter().any(|one| one["code"] == code))
    };
    assert!(has(&ask(&weir, &ids[1], "logs")["entries"], "ice_restarted"));
    for session in [&publisher.session, &viewer.session] {
        let again = tests::restart::stranger("abcd1234", "a-password-of-22-characters");
        let answer = session.patch(Some("*"), &again).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        session.relay.as_ref().expect("asked for").set(tests::Impairment::CUT);
    }
    publisher.stop();
    for id in ids {
        let end = Instant::now() + PATIENCE;
        loop {
            let health = ask(&weir, &id, "health");
            if has(&health["problems"], "restart_unheard") {
                break;
            }
            assert!(Instant::now() < end, "{health:#}");
            tokio::time::sleep(PACE).await;
        }
    }
}
