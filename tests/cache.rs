//! nginx in front of the real program, set up as `docker/nginx.conf` says: what viewers get by it is what the checklist wants, and the program
//! is asked for each thing about once, however many they are.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tests::film::{Film, Recipe};
use tests::hls::Watch;
use tests::hls::client::Client;
use tests::hls::playlist::{Multivariant, Playlist, resolve};
use tests::hls::rules::{broken, watching};
use tests::weir::samples;
use tests::{Encoder, Weir};

/// Players at once.
const VIEWERS: usize = 20;
/// How long they play.
const PLAY: Duration = Duration::from_secs(8);

/// A running nginx; it ends with this.
struct Cache {
    child: Child,
    url: String,
}

impl Cache {
    fn start(weir: &Weir) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx.sh");
        let mut command = Command::new(script);
        let mut child = command
            .arg(&weir.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash");
        let mut url = String::new();
        let first = child.stdout.take().expect("it is piped");
        BufReader::new(first).read_line(&mut url).expect("its first line");
        assert!(url.starts_with("http://"), "nginx does not start: {:?}", child.wait());
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn show(weir: &Weir) -> Encoder {
    let encoder = Encoder::publish(&Film::small(Recipe::PLAIN), &weir.rtmp_url("show"));
    weir.until("show", |s| s["state"] == "live");
    encoder
}

/// What this nginx does itself: no HTTP/2 without TLS, and a range behind the end of a file that it has is refused with the file's own headers.
const ITS_OWN: [&str; 2] = ["http2", "cache-errors-not-at-all"];

#[test]
fn what_comes_by_a_cache_is_as_the_checklist_wants() {
    let weir = Weir::configured("[live]\nstart = \"always\"\nwindow = \"16s\"\n");
    let _encoder = show(&weir);
    // The target duration is told when two seconds have been seen.
    weir.until("show", |s| s["hls"]["window_seconds"].as_f64() > Some(3.0));
    let cache = Cache::start(&weir);
    let mut watch = Watch::start(&cache.url, "show");
    watch.watch(Duration::from_secs(18), || {});
    let found = broken(&watch.recording, watching().filter(|rule| !ITS_OWN.contains(&rule.name)));
    assert!(found.is_empty(), "broken:\n  {}", found.join("\n  "));
}

#[test]
fn a_crowd_by_a_cache_is_one_viewer_for_the_server() {
    let weir = Weir::configured("[live]\nstart = \"always\"\n");
    let _encoder = show(&weir);
    let cache = Cache::start(&weir);
    let asked = |what: &str| {
        let text = weir.get("/metrics").text();
        let is =
            |name: &str, labels: &str| name == "weir_hls_requests_total" && labels.contains(what);
        samples(&text)
            .iter()
            .filter(|(name, labels, _)| is(name, labels))
            .map(|(.., n)| n)
            .sum::<f64>()
    };
    let end = Instant::now() + PLAY;
    let watched: Vec<Seen> = thread::scope(|scope| {
        let all: Vec<_> = (0..VIEWERS).map(|_| scope.spawn(|| play(&cache.url, end))).collect();
        all.into_iter().map(|one| one.join().expect("a player does not panic")).collect()
    });
    let sum = |of: fn(&Seen) -> usize| watched.iter().map(of).sum::<usize>() as f64;
    let (playlists, parts) = (sum(|seen| seen.playlists), sum(|seen| seen.parts.len()));
    let different: BTreeSet<&String> = watched.iter().flat_map(|seen| &seen.parts).collect();
    println!(
        "{VIEWERS} viewers: {playlists} playlists and {parts} parts, {} different; the server was asked for {} and {}",
        different.len(),
        asked("playlist"),
        asked("part"),
    );
    assert!(watched.iter().all(|seen| seen.parts.len() > 20), "a part every 0.2 s, for {PLAY:?}");
    assert!(asked("part") >= different.len() as f64 && asked("playlist") > 20.0, "it was asked");
    // Some come when the first answer is just not there yet; without a cache it would be all.
    assert!(asked("part") < parts / 4.0 && asked("playlist") < playlists / 4.0);
}

/// What one player got.
#[derive(Default)]
struct Seen {
    playlists: usize,
    parts: BTreeSet<String>,
}

/// As hls.js does it: each playlist as soon as there is a part more, then the part.
fn play(url: &str, end: Instant) -> Seen {
    let client = Client::new(url, Instant::now());
    let index = client.get("/live/show/index.m3u8");
    let list = Multivariant::parse(&index.text()).expect("it is read");
    let path = resolve(&index.path, &list.playlists()[0]);
    let mut seen = Seen::default();
    let mut query = String::new();
    while Instant::now() < end {
        let answer = client.get(&format!("{path}{query}"));
        assert_eq!(answer.status, 200, "{}: {}", answer.path, answer.text());
        let list = Playlist::parse(&answer.text()).expect("it is read");
        seen.playlists += 1;
        let newest = list.all().last().and_then(|segment| segment.parts.last());
        if let Some(part) = newest.map(|part| resolve(&path, &part.uri))
            && seen.parts.insert(part.clone())
        {
            let answer = client.get(&part);
            assert_eq!(answer.status, 200, "{part}: {}", answer.text());
        }
        let (msn, part) = list.next();
        query = format!("?_HLS_msn={msn}&_HLS_part={part}");
    }
    seen
}
