//! Windows that memory does not hold: the real program, with a bound of memory that is met within seconds, and disks that
//! are full, small, or not there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::http::{self, Answer};
use tests::{Encoder, Film, Recipe, Weir};

const PATIENCE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// Segments of a second, and no memory for more of them than the six that are always there.
const SHORT: &str =
    "[live]\nsegment = \"1s\"\nwindow = \"10m\"\nmemory_mb = 1\nstart = \"always\"\n";

fn film() -> Arc<Film> {
    Film::new(Recipe::PLAIN, "1280x720", 300)
}

fn publish(weir: &Weir) -> Encoder {
    let encoder = Encoder::publish(&film(), &weir.rtmp_url("show"));
    weir.until("show", |s| s["state"] == "live");
    encoder
}

fn file(weir: &Weir, name: &str) -> Answer {
    weir.get(&format!("/live/show/{name}"))
}

/// The folder of the present epoch.
fn epoch(weir: &Weir) -> String {
    let answer = file(weir, "index.m3u8");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let name = text.lines().find(|line| line.ends_with("/v0.m3u8")).expect("there are pictures");
    name.split_once('/').expect("an epoch and a file").0.to_owned()
}

/// Number of the oldest segment of pictures, and how many there are.
fn window(weir: &Weir, epoch: &str) -> (u64, usize) {
    let answer = file(weir, &format!("{epoch}/v0.m3u8"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let first = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    let first = first.and_then(|first| first.parse().ok()).expect("a first number");
    (first, text.lines().filter(|line| line.starts_with("#EXTINF")).count())
}

fn until<T>(what: &str, weir: &Weir, found: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}: {:#?}", weir.stream("show"));
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn hls(weir: &Weir, what: &str) -> f64 {
    weir.stream("show").and_then(|stream| stream["hls"][what].as_f64()).unwrap_or(0.0)
}

/// What the API says of the window, if anything.
fn warning(weir: &Weir) -> Option<String> {
    let stream = weir.stream("show")?;
    let all = stream["warnings"].as_array()?.iter();
    let mut mine = all.filter(|warning| warning["code"] == "live_window");
    mine.next().and_then(|warning| Some(warning["text"].as_str()?.to_owned()))
}

fn failed(weir: &Weir, reason: &str) -> f64 {
    let text = weir.get("/metrics").text();
    let all = tests::weir::samples(&text);
    let label = format!("reason=\"{reason}\"");
    let mine =
        all.iter().filter(|(name, l, _)| name == "weir_hls_store_failed_total" && *l == label);
    mine.map(|(_, _, value)| value).sum()
}

/// The files that lie below a folder.
fn stored(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|e| if e.path().is_dir() { stored(&e.path()) } else { vec![e.path()] })
        .collect()
}

fn segments(folder: &Path) -> usize {
    stored(folder).iter().filter(|file| file.extension().is_some_and(|end| end == "m4s")).count()
}

/// A folder of the test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-window-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    fn flag(&self) -> [&str; 2] {
        ["--data-dir", self.0.to_str().expect("a plain name")]
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_segment_on_disk_is_what_it_was_in_memory_and_no_run_leaves_any_behind() {
    let folder = Folder::new("spill");
    let weir = Weir::with(&folder.flag(), SHORT);
    let encoder = publish(&weir);
    let epoch = epoch(&weir);
    let live = folder.0.join("live");

    // What they are like while they are in memory.
    let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    until("four segments", &weir, || (window(&weir, &epoch).1 >= 4).then_some(()));
    for name in ["v0-1.m4s", "v0-2.m4s", "v0-2.0.m4s", "v0-2.1.m4s", "a0-2.m4s", "a0-2.1.m4s"] {
        let answer = file(&weir, &format!("{epoch}/{name}"));
        assert_eq!(answer.status, 200, "{name}");
        seen.insert(name.to_owned(), answer.body);
    }
    assert_eq!(segments(&live), 0);

    let files = live.join(format!("epoch-{epoch}"));
    let here = |name: &str| files.join(name).exists();
    until("they are stored", &weir, || {
        (here("v0-2.m4s") && here("a0-2.m4s") && here("v0-5.m4s")).then_some(())
    });
    assert!(
        hls(&weir, "stored_bytes") > 100_000.0 && weir.metric("weir_hls_stored_bytes") > 100_000.0
    );
    for (name, body) in &seen {
        let answer = file(&weir, &format!("{epoch}/{name}"));
        assert_eq!(answer.status, 200, "{name}");
        assert!(answer.body == *body, "{name}: {} and {} bytes", answer.body.len(), body.len());
        assert_eq!(answer.header("cache-control"), Some("public, max-age=604800, immutable"));
        assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()));
        let url = weir.at(&format!("/live/show/{epoch}/{name}"));
        let range = |range: &str| http::send("GET", &url, &[("range", range)], &[]);
        let length = body.len();
        for (asked, from, to) in [
            ("bytes=0-0".to_owned(), 0, 1),
            ("bytes=100-2000".to_owned(), 100, length.min(2001)),
            ("bytes=-10".to_owned(), length - 10, length),
            (format!("bytes=5-{}", u64::MAX), 5, length),
        ] {
            let answer = range(&asked);
            assert_eq!(answer.status, 206, "{name} {asked}");
            assert!(answer.body == body[from..to], "{name} {asked}");
            let says = format!("bytes {from}-{}/{length}", to - 1);
            assert_eq!(answer.header("content-range"), Some(says.as_str()));
        }
        range(&format!("bytes={length}-")).problem(416);
        let head = http::send("HEAD", &url, &[], &[]);
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some(length.to_string().as_str()));
    }
    file(&weir, &format!("{epoch}/v0-2.99.m4s")).problem(404);

    // All of it is in the window still, and memory is within its bound.
    assert_eq!(window(&weir, &epoch).0, 1);
    assert_eq!(warning(&weir), None);
    let (memory, disk) = (hls(&weir, "window_bytes"), hls(&weir, "stored_bytes"));
    let each = (memory + disk) / window(&weir, &epoch).1 as f64;
    assert!(memory < 9.0 * each, "{memory} in memory, {each} each");

    // Somebody cleans up by hand: that is gone, and nothing else.
    std::fs::remove_file(files.join("v0-2.m4s")).expect("it is there");
    std::fs::write(files.join("a0-2.m4s"), "cut short").expect("it can be written");
    for name in ["v0-2.m4s", "v0-2.0.m4s", "a0-2.m4s"] {
        let answer = file(&weir, &format!("{epoch}/{name}"));
        answer.problem(410);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert_eq!(failed(&weir, "lost"), 3.0);
    assert!(file(&weir, &format!("{epoch}/v0-1.m4s")).body == seen["v0-1.m4s"]);
    let count = window(&weir, &epoch).1;
    until("it goes on", &weir, || (window(&weir, &epoch).1 > count).then_some(()));

    // Killed: the next run removes what it finds, and nothing that is not ours.
    drop(weir);
    assert!(segments(&live) > 5);
    std::fs::write(live.join("diary.txt"), "mine").expect("it can be written");
    let weir = Weir::with(&folder.flag(), SHORT);
    until("it is tidied up", &weir, || (segments(&live) == 0).then_some(()));
    assert!(!files.exists() && live.join("diary.txt").exists());

    // A second one with the same folder leaves the first one's alone, and does without.
    drop(encoder);
    let _encoder = publish(&weir);
    let name = self::epoch(&weir);
    assert_ne!(name, epoch, "a name is never used again");
    until("it stores again", &weir, || (segments(&live) > 3).then_some(()));
    let other = Weir::with(&folder.flag(), SHORT);
    assert!(other.get("/readyz").status == 200 && segments(&live) > 3);
    drop(other);
    assert_eq!(file(&weir, &format!("{name}/v0-1.m4s")).status, 200);

    // Stopped: nothing is left.
    assert!(weir.terminate(Duration::from_secs(20)).success());
    assert_eq!(segments(&live), 0);
}

#[test]
fn a_full_disk_shortens_the_window_and_nothing_else() {
    // Half of it stays free for others.
    let weir = Weir::on_disk("size=8m", SHORT);
    let _encoder = publish(&weir);
    let epoch = epoch(&weir);
    let live = weir.data().join("live");
    until("it is stored", &weir, || (segments(&live) > 2).then_some(()));
    assert_eq!(warning(&weir), None);
    let said = until("there is no more room", &weir, || warning(&weir));
    assert!(said.contains("stay free for others") && said.contains("data.dir"), "{said}");
    assert!(weir.log().contains("its window is shorter than live.window"), "{}", weir.log());
    let held = weir.metric("weir_hls_stored_bytes");
    assert!(held > 2.0 * MIB as f64 && held <= 4.0 * MIB as f64, "{held}");
    let (first, count) = window(&weir, &epoch);
    assert!(first > 1 && count > 8, "{first} {count}");
    let oldest = file(&weir, &format!("{epoch}/v0-{}.m4s", first + 1));
    assert_eq!(oldest.status, 200, "what is listed is there: {}", oldest.text());
    let files: u64 = stored(&live).iter().flat_map(std::fs::metadata).map(|file| file.len()).sum();
    assert!(files <= 4 * MIB + MIB / 2, "{files}");

    // Somebody else takes the rest: what is ours goes, the live edge does not.
    let filler = weir.data().join("filler");
    let _ = std::fs::write(&filler, vec![1; 9 << 20]);
    until("nothing is stored any more", &weir, || {
        (weir.metric("weir_hls_stored_bytes") == 0.0).then_some(())
    });
    assert!(failed(&weir, "space") + failed(&weir, "full") > 0.0);
    let (after, count) = window(&weir, &epoch);
    assert!(after > first && count >= 6, "{after} {count}");
    until("it goes on", &weir, || (window(&weir, &epoch).0 > after + 2).then_some(()));
    assert!(warning(&weir).is_some());

    // There is room again.
    std::fs::remove_file(&filler).expect("it is there");
    until("it is stored again", &weir, || (segments(&live) > 2).then_some(()));
}

#[test]
fn where_no_file_can_be_made_room_is_made_and_where_none_may_be_memory_serves() {
    // Nine files and folders, of which the disk itself, the token, two folders and the lock are five.
    let weir = Weir::on_disk("size=64m,nr_inodes=9", SHORT);
    let _encoder = publish(&weir);
    let epoch = epoch(&weir);
    until("the disk is full", &weir, || (failed(&weir, "full") > 0.0).then_some(()));
    let (first, _) = window(&weir, &epoch);
    until("it goes on, and stores what is new", &weir, || {
        (window(&weir, &epoch).0 > first + 3 && segments(&weir.data()) > 0).then_some(())
    });
    let said = until("it says so", &weir, || warning(&weir));
    assert!(said.contains("data.dir") || said.contains("no room"), "{said}");

    let folder = Folder::new("denied");
    std::fs::write(folder.0.join("live"), "a file where a folder should be").expect("it is ours");
    let weir = Weir::with(&folder.flag(), SHORT);
    let _encoder = publish(&weir);
    let epoch = self::epoch(&weir);
    let said = until("it says so", &weir, || warning(&weir));
    assert!(said.contains("nothing can be stored") && said.contains("data.dir"), "{said}");
    let (first, count) = window(&weir, &epoch);
    assert!(first > 1 && count >= 6, "{first} {count}");
    let newest = first + count as u64 - 1;
    assert_eq!(file(&weir, &format!("{epoch}/v0-{newest}.m4s")).status, 200);
}
