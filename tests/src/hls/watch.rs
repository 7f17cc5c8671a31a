//! A player of LL-HLS that looks at nothing and writes everything down: it reloads every media playlist as soon as there is something
//! new, asks for each part when it is hinted at, fetches what there is, and between whiles asks what no good player asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, Exchange};
use super::playlist::{Multivariant, Playlist, resolve};

/// How long a stream may take to be there.
const START: Duration = Duration::from_secs(20);
/// Names of media on their way to be fetched.
const QUEUE: usize = 256;

/// All that was asked and answered.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The multivariant playlist, in the beginning and in the end.
    pub multivariant: Vec<Exchange>,
    /// The media playlists, as the multivariant names them.
    pub renditions: Vec<Rendition>,
    /// What no good player asks.
    pub probes: Vec<(Probe, Exchange)>,
}

/// What was seen of one media playlist.
#[derive(Clone, Debug, Default)]
pub struct Rendition {
    /// Its path.
    pub path: String,
    /// In order.
    pub reloads: Vec<Exchange>,
    /// Parts, segments and initializations, in the order in which they were asked for.
    pub media: Vec<Exchange>,
}

/// A question and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Probe {
    /// A playlist, asked what must be refused.
    Refused,
    /// A playlist, with a segment too far ahead.
    FarSegment,
    /// A playlist, with a part too far ahead.
    FarPart,
    /// A playlist, with a part behind the last of a whole segment.
    PastLast,
    /// A playlist, with a segment and no part.
    Whole,
    /// A playlist, with a segment that has left the window.
    Old,
    /// A playlist, when nothing comes any more and the end is not there yet.
    Never,
    /// A playlist after the end.
    Ended,
    /// A media file that is none.
    Missing,
    /// Bytes of a media file: 10 to 19.
    Range,
    /// The last five bytes.
    Suffix,
    /// Bytes behind its end.
    Beyond,
    /// The whole of the same file.
    Entire,
    /// A playlist, packed by gzip.
    Gzip,
    /// HTTP/2 without TLS.
    Http2,
    /// The first media file that was fetched, once more at the end.
    Again,
}

/// A player at work.
pub struct Watch {
    url: String,
    started: Instant,
    /// What it has written down.
    pub recording: Recording,
}

impl Watch {
    /// Asks for the stream until it is there.
    pub fn start(url: &str, stream: &str) -> Self {
        let started = Instant::now();
        let client = Client::new(url, started);
        let path = format!("/live/{stream}/index.m3u8");
        let mut recording = Recording::default();
        loop {
            let answer = client.get(&path);
            if answer.status == 200 {
                recording.multivariant.push(answer);
                break;
            }
            let text = answer.text();
            assert!(started.elapsed() < START, "{path}: {} {text}", answer.status);
            thread::sleep(Duration::from_millis(50));
        }
        Self { url: url.to_owned(), started, recording }
    }

    /// Since [`Watch::start`].
    pub fn time(&self) -> Duration {
        self.started.elapsed()
    }

    /// Watches all renditions for so long, and asks its questions a third of the way. `meanwhile` runs beside it.
    pub fn watch(&mut self, length: Duration, meanwhile: impl FnOnce() + Send) {
        let first = &self.recording.multivariant[0];
        let list = Multivariant::parse(&first.text()).unwrap_or_else(|e| panic!("{e}"));
        let paths: Vec<String> =
            list.playlists().iter().map(|uri| resolve(&first.path, uri)).collect();
        let until = Instant::now() + length;
        let (url, started) = (&self.url, self.started);
        let (renditions, probes) = thread::scope(|scope| {
            let all: Vec<_> = paths
                .iter()
                .map(|path| scope.spawn(move || player(url, started, path, until)))
                .collect();
            let main = &paths[0];
            let probes = scope.spawn(move || {
                thread::sleep(length / 3);
                questions(&Client::new(url, started), main)
            });
            meanwhile();
            let all: Vec<Rendition> = all.into_iter().map(|t| join(t.join())).collect();
            (all, join(probes.join()))
        });
        self.recording.renditions = renditions;
        self.recording.probes = probes;
        let client = self.client();
        let path = self.recording.multivariant[0].path.clone();
        self.recording.multivariant.push(client.get(&path));
        let known = self.recording.renditions.iter().flat_map(|r| &r.media);
        let known: Vec<String> =
            known.filter(|e| e.status == 200).map(|e| e.path.clone()).collect();
        // What was fetched last is still there.
        for path in known.iter().rev().take(3) {
            self.recording.probes.push((Probe::Again, client.get(path)));
        }
    }

    /// To be called when the publisher has just been lost: the next part does not come.
    pub fn stalled(&mut self) {
        let client = self.client();
        let path = &self.recording.renditions[0].path;
        let list = client.get(path);
        if let Ok(list) = Playlist::parse(&list.text()) {
            let (msn, part) = list.next();
            let answer = client.get(&format!("{path}?_HLS_msn={msn}&_HLS_part={part}"));
            self.recording.probes.push((Probe::Never, answer));
        }
    }

    /// To be called when the stream is over.
    pub fn ended(&mut self) {
        let client = self.client();
        for rendition in &mut self.recording.renditions {
            let path = &rendition.path;
            let since = Instant::now();
            let mut last = client.get(path);
            while !last.text().contains("#EXT-X-ENDLIST") && since.elapsed() < START {
                thread::sleep(Duration::from_millis(100));
                last = client.get(path);
            }
            rendition.reloads.push(last);
            for query in ["_HLS_msn=99999&_HLS_part=3", "_HLS_part=1", "_HLS_skip=YES"] {
                let answer = client.get(&format!("{path}?{query}"));
                self.recording.probes.push((Probe::Ended, answer));
            }
        }
    }

    fn client(&self) -> Client {
        Client::new(&self.url, self.started)
    }
}

/// Reloads one media playlist; what it names is fetched beside it.
fn player(url: &str, started: Instant, path: &str, until: Instant) -> Rendition {
    let client = Client::new(url, started);
    let (queue, names) = sync_channel(QUEUE);
    thread::scope(|scope| {
        let media = scope.spawn(move || fetcher(&Client::new(url, started), &names));
        let reloads = reloader(&client, path, until, &queue);
        drop(queue);
        Rendition { path: path.to_owned(), reloads, media: join(media.join()) }
    })
}

fn reloader(
    client: &Client,
    path: &str,
    until: Instant,
    queue: &SyncSender<String>,
) -> Vec<Exchange> {
    let mut reloads = vec![client.get(path)];
    let mut held = Playlist::parse(&reloads[0].text()).unwrap_or_default();
    let mut known = BTreeSet::new();
    while Instant::now() < until {
        for name in names(&held) {
            // A queue that is full loses names: that is seen in what was never fetched.
            if known.insert(name.clone()) {
                let _ = queue.try_send(resolve(path, &name));
            }
        }
        if held.ended {
            break;
        }
        let (msn, part) = held.next();
        let part = if held.keyframes { String::new() } else { format!("&_HLS_part={part}") };
        // Two deltas, then all of it.
        let skip = if reloads.len().is_multiple_of(3) { "" } else { "&_HLS_skip=YES" };
        let answer = client.get(&format!("{path}?_HLS_msn={msn}{part}{skip}"));
        let read = Playlist::parse(&answer.text()).and_then(|list| list.over(&held));
        if answer.status != 200 || read.is_err() {
            thread::sleep(Duration::from_millis(100));
        }
        reloads.push(answer);
        // What cannot be read is found by the rules.
        held = read.unwrap_or(held);
    }
    reloads
}

/// What a playlist names that is to be fetched: initializations, parts and the next one, whole segments.
fn names(list: &Playlist) -> Vec<String> {
    let mut names = Vec::new();
    for segment in list.all().filter(|segment| !segment.gap) {
        names.extend(segment.map.clone());
        names.extend(segment.parts.iter().map(|part| part.uri.clone()));
        names.extend(Some(segment.uri.clone()).filter(|uri| !uri.is_empty()));
    }
    names.extend(list.hints.iter().filter_map(|hint| hint.get("URI").map(str::to_owned)));
    names
}

fn fetcher(client: &Client, names: &Receiver<String>) -> Vec<Exchange> {
    names.iter().map(|path| client.get(&path)).collect()
}

fn questions(client: &Client, path: &str) -> Vec<(Probe, Exchange)> {
    let mut answers = Vec::new();
    let mut ask =
        |probe, query: &str| answers.push((probe, client.get(&format!("{path}?{query}"))));
    let now = || Playlist::parse(&client.get(path).text()).unwrap_or_default();

    for query in [
        "_HLS_part=1",
        "_HLS_msn=abc",
        "_HLS_msn=",
        "_HLS_msn=-1",
        "_HLS_msn=1.5",
        "_HLS_msn=1&_HLS_part=-1",
        "_HLS_msn=1&_HLS_msn=2",
        "_HLS_msn=1&_HLS_part=%00",
    ] {
        ask(Probe::Refused, query);
    }
    let last = now().segments.last().map_or(0, |last| last.msn);
    // One more than is refused: a segment may have ended meanwhile.
    ask(Probe::FarSegment, &format!("_HLS_msn={}", last + 4));
    ask(Probe::FarSegment, "_HLS_msn=99999999999999999999999");
    ask(Probe::FarPart, &format!("_HLS_msn={}&_HLS_part=1000", now().next().0));
    let list = now();
    if let Some(last) = list.segments.last() {
        ask(Probe::PastLast, &format!("_HLS_msn={}&_HLS_part={}", last.msn, last.parts.len()));
    }
    ask(Probe::Whole, &format!("_HLS_msn={}", now().next().0));
    ask(Probe::Old, "_HLS_msn=0");
    ask(Probe::Old, "_HLS_msn=0&_HLS_part=7");

    answers.push((Probe::Missing, client.get(&resolve(path, "v0-999999.m4s"))));
    answers.push((Probe::Missing, client.get(&resolve(path, "v0-999999.3.m4s"))));
    answers.push((Probe::Missing, client.get(&resolve(path, "..%2f..%2fetc%2fpasswd"))));
    if let Some(last) = now().segments.iter().rfind(|segment| !segment.gap) {
        let file = resolve(path, &last.uri);
        let ranges = [(Probe::Range, "bytes=10-19"), (Probe::Suffix, "bytes=-5")];
        for (probe, range) in ranges.into_iter().chain([(Probe::Beyond, "bytes=999999999-")]) {
            answers.push((probe, client.get_with(&file, &[("range", range)])));
        }
        answers.push((Probe::Entire, client.get(&file)));
    }
    answers.push((Probe::Gzip, client.get_with(path, &[("accept-encoding", "gzip")])));
    answers.push((Probe::Http2, client.preface()));
    answers
}

fn join<T>(ended: thread::Result<T>) -> T {
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Recording {
    /// Answers to one kind of question.
    pub fn answers(&self, probe: Probe) -> impl Iterator<Item = &Exchange> {
        self.probes.iter().filter(move |(kind, _)| *kind == probe).map(|(_, answer)| answer)
    }

    /// Media files of all renditions by their path, the first answer each.
    pub fn files(&self) -> BTreeMap<&str, &Exchange> {
        let mut files = BTreeMap::new();
        for file in self.renditions.iter().flat_map(|rendition| &rendition.media) {
            files.entry(file.path.as_str()).or_insert(file);
        }
        files
    }
}
