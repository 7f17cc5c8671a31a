//! The players of the load tool against an origin that is made here: what they ask for, once each and in time, and what
//! they say where it is late, gone or broken.
#![allow(clippy::unwrap_used, reason = "a panic with its reason is how a test says no")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bench::hls::{Outcome, Plan, run};

const PART: Duration = Duration::from_millis(100);
/// Parts of a segment.
const PARTS: u64 = 5;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Every tenth part is sent so much later.
    Slow(Duration),
    /// Every tenth part is not there.
    Gone,
    /// Answers are in chunks, and each connection is closed after ten of them.
    Odd,
}

/// A stream that began five seconds ago, of parts of zeros.
struct Origin {
    began: Instant,
    unix: Duration,
    fault: Fault,
    asked: Mutex<Vec<String>>,
    connections: AtomicU64,
}

impl Origin {
    fn start(fault: Fault) -> (String, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/live/show/index.m3u8", listener.local_addr().unwrap());
        let ago = Duration::from_secs(5);
        let origin = Arc::new(Self {
            began: Instant::now() - ago,
            unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - ago,
            fault,
            asked: Mutex::default(),
            connections: AtomicU64::new(0),
        });
        let shared = origin.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let origin = shared.clone();
                origin.connections.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || origin.serve(stream));
            }
        });
        (url, origin)
    }

    /// Whole parts so far.
    fn parts(&self) -> u64 {
        (self.began.elapsed().as_millis() / PART.as_millis()) as u64
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut served = 0;
        while let Some(Ok(request)) = lines.next() {
            for line in lines.by_ref() {
                if line.is_ok_and(|line| line.is_empty()) {
                    break;
                }
            }
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            self.asked.lock().unwrap().push(path.clone());
            let Some(body) = self.answer(&path) else {
                let _ = stream.write_all(b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n");
                continue;
            };
            served += 1;
            let closes = self.fault == Fault::Odd && served == 10;
            let close = if closes { "Connection: close\r\n" } else { "" };
            let mut out = Vec::new();
            if self.fault == Fault::Odd {
                out =
                    format!("HTTP/1.1 200 OK\r\n{close}Transfer-Encoding: chunked\r\n\r\n").into();
                for chunk in body.chunks(300) {
                    out.extend(format!("{:x}\r\n", chunk.len()).bytes());
                    out.extend([chunk, b"\r\n"].concat());
                }
                out.extend(b"0\r\n\r\n");
            } else {
                out.extend(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).bytes(),
                );
                out.extend(body);
            }
            if stream.write_all(&out).is_err() || closes {
                return;
            }
        }
    }

    fn answer(&self, path: &str) -> Option<Vec<u8>> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match path.strip_prefix("/live/show/")? {
            "index.m3u8" => {
                let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"e/a0.m3u8\"\n\
                            #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\ne/v0.m3u8\n";
                Some(text.into())
            }
            "e/v0.m3u8" => Some(self.playlist("v0", query).into()),
            "e/a0.m3u8" => Some(self.playlist("a0", query).into()),
            "e/v0-1.mp4" | "e/a0-1.mp4" => Some(vec![0; 700]),
            name => {
                let (msn, part) = name.strip_suffix(".m4s")?.rsplit_once('-')?.1.split_once('.')?;
                let number: u64 = msn.parse::<u64>().ok()? * PARTS + part.parse::<u64>().ok()?;
                match self.fault {
                    Fault::Slow(delay) if number.is_multiple_of(10) => std::thread::sleep(delay),
                    Fault::Gone if number.is_multiple_of(10) => return None,
                    _ => {}
                }
                Some(vec![0; 2000])
            }
        }
    }

    /// The last two segments and what has come of the next, once what is waited for is there.
    fn playlist(&self, name: &str, query: &str) -> String {
        let value = |key: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(found, _)| *found == key).and_then(|(_, value)| value.parse::<u64>().ok())
        };
        if let (Some(msn), Some(part)) = (value("_HLS_msn"), value("_HLS_part")) {
            let due = PART * u32::try_from(msn * PARTS + part + 1).unwrap();
            std::thread::sleep(due.saturating_sub(self.began.elapsed()));
        }
        let parts = self.parts();
        let first = parts / PARTS - 2;
        let mut text = format!(
            "#EXTM3U\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=9,PART-HOLD-BACK=0.3\n\
             #EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-MAP:URI=\"{name}-1.mp4\"\n"
        );
        for number in first * PARTS..parts {
            let (msn, part) = (number / PARTS, number % PARTS);
            if part == 0 {
                text += &format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", self.date(number));
            }
            text += &format!("#EXT-X-PART:DURATION=0.1,URI=\"{name}-{msn}.{part}.m4s\"\n");
            if part == PARTS - 1 {
                text += &format!("#EXTINF:0.5,\n{name}-{msn}.m4s\n");
            }
        }
        text
    }

    /// When a part begins. The day does not matter to who only looks at differences.
    fn date(&self, part: u64) -> String {
        let at = self.unix + PART * u32::try_from(part).unwrap();
        let seconds = at.as_secs();
        let (days, clock) = (seconds / 86_400, seconds % 86_400);
        // Days of a calendar of one month: 1970-01-01 and so many days.
        let day = days + 1;
        format!(
            "1970-01-{day}T{:02}:{:02}:{:02}.{:03}Z",
            clock / 3600,
            clock / 60 % 60,
            clock % 60,
            at.subsec_millis()
        )
    }
}

fn plan(url: &str, viewers: usize) -> Plan {
    Plan {
        url: url.to_owned(),
        token: None,
        viewers,
        seconds: 3.0,
        ramp: 100.0,
        server_pid: Some(std::process::id()),
        record: None,
        replay: None,
    }
}

/// Ten players and what they found, and all that they asked for.
fn ten(fault: Fault) -> (Outcome, Vec<String>, u64) {
    let (url, origin) = Origin::start(fault);
    let outcome = run(&plan(&url, 10)).unwrap();
    let asked = origin.asked.lock().unwrap().clone();
    (outcome, asked, origin.connections.load(Ordering::Relaxed))
}

#[test]
fn every_part_is_fetched_once_by_each() {
    let (outcome, asked, connections) = ten(Fault::None);
    let said = outcome.text();
    assert_eq!((outcome.viewers, outcome.renditions, outcome.errors), (10, 2, 0), "{said}");
    assert_eq!((outcome.late, outcome.missed), (0, 0), "{said}");
    // Thirty parts in three seconds; at the ends one may be within or without.
    let expected = 10 * 2 * 30;
    assert!((expected - 40..=expected + 40).contains(&outcome.parts), "{said}");
    assert!(outcome.bytes > outcome.parts * 2000, "{said}");
    assert!(outcome.age_us.iter().all(|age| *age < 200_000), "{said}");
    assert!(outcome.json()["server_cpu_ns_per_bit"].as_f64().unwrap() > 0.0);
    assert_eq!(connections, 10 * 4 + 1, "all are kept, and one was for the list of renditions");
    let of = |path: &str| asked.iter().filter(|asked| asked.starts_with(path)).count();
    assert_eq!((of("/live/show/e/v0-1.mp4"), of("/live/show/e/a0-1.mp4")), (10, 10));
    let mut parts: Vec<_> = asked.iter().filter(|path| path.ends_with(".m4s")).collect();
    let all = parts.len();
    parts.sort_unstable();
    parts.dedup();
    // Each of the first and last few was fetched by some only.
    assert!(all > parts.len() * 8 && all <= parts.len() * 10, "{all} of {}", parts.len());
    assert!(asked.iter().any(|path| path.ends_with("&_HLS_skip=YES")));
}

#[test]
fn late_parts_are_counted() {
    let (outcome, ..) = ten(Fault::Slow(Duration::from_millis(350)));
    let said = outcome.text();
    assert!(outcome.late > 0 && outcome.errors == 0, "{said}");
    assert!(outcome.late < outcome.parts / 2, "{said}");
}

#[test]
fn parts_that_are_not_there_are_errors() {
    let (outcome, ..) = ten(Fault::Gone);
    assert!(outcome.errors > 0 && outcome.errors < outcome.parts / 5, "{}", outcome.text());
    let why = &outcome.failures[0];
    assert!(why.contains("404"), "{why}");
}

#[test]
fn chunks_and_connections_that_are_closed() {
    let (outcome, _, connections) = ten(Fault::Odd);
    let said = outcome.text();
    assert_eq!((outcome.viewers, outcome.missed), (10, 0), "{said}");
    assert_eq!(outcome.errors, 0, "{said} {:?}", outcome.failures);
    assert!(connections > 60, "{connections}");
}

#[test]
fn what_one_got_is_asked_for_again_of_a_server_of_files() {
    let folder = std::env::temp_dir().join(format!("weir-bench-hls-test-{}", std::process::id()));
    let (url, _origin) = Origin::start(Fault::None);
    let recorded = run(&Plan { record: Some(folder.clone()), ..plan(&url, 3) }).unwrap();
    assert_eq!(recorded.errors, 0, "{:?}", recorded.failures);

    let files = files(folder.clone());
    let replayed = run(&Plan { replay: Some(folder.clone()), ..plan(&files, 3) }).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!((replayed.viewers, replayed.errors), (3, 0), "{:?}", replayed.failures);
    let near = |ours: u64, theirs: u64| ours.abs_diff(theirs) <= theirs / 5 + 12;
    let (said, then) = (recorded.text(), replayed.text());
    assert!(near(replayed.playlists, recorded.playlists), "{said}\n{then}");
    assert!(near(replayed.parts, recorded.parts), "{said}\n{then}");
}

/// A server of the files in a folder.
fn files(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let folder = folder.clone();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    let Some(path) = line.strip_prefix("GET /") else { continue };
                    let name = path.split(' ').next().unwrap_or_default();
                    let body = std::fs::read(folder.join(name)).unwrap();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
                }
            });
        }
    });
    url
}
