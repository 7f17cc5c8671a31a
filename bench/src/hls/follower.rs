//! One rendition as a player follows it: a connection on which the next playlist is always waited for, and one on
//! which each part that it lists is fetched, once. As hls.js does: what a preload hint says is not used.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use mio::{Registry, Token};

use super::http::{Answer, Connection};
use super::playlist::{Part, Playlist};
use super::recording::{Recorder, Step};

/// Parts of the first playlist that are fetched: as much as a player begins with.
const FIRST: usize = 3;
/// After an error, until it asks again, µs.
const RETRY: u64 = 200_000;

/// What is asked of, by all.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// What is said of it in each request: `Host`, and perhaps a token.
    pub(crate) headers: String,
    /// Paths of the playlists that one player follows, with their queries.
    pub(crate) renditions: Vec<String>,
}

impl Origin {
    fn request(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\n{}Accept-Encoding: identity\r\n\r\n", self.headers)
    }
}

/// What a URI in the playlist at `base` means.
///
/// # Errors
/// If it is on another server.
pub(crate) fn resolved(base: &str, uri: &str) -> Result<String> {
    if let Some(rest) = uri.strip_prefix("http://") {
        return rest.find('/').map(|at| rest[at..].to_owned()).context("a URI without a path");
    }
    anyhow::ensure!(!uri.contains("://"), "{uri}: only http:// is spoken here");
    if uri.starts_with('/') {
        return Ok(uri.to_owned());
    }
    let base = base.split('?').next().unwrap_or_default();
    let folder = base.rfind('/').map_or("/", |at| &base[..=at]);
    Ok(format!("{folder}{uri}"))
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) playlists: u64,
    pub(crate) parts: u64,
    pub(crate) bytes: u64,
    /// Answers that were none, and connections that broke.
    pub(crate) errors: u64,
    /// Times that parts were gone before they could be asked for.
    pub(crate) gaps: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.playlists += other.playlists;
        self.parts += other.parts;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.gaps += other.gaps;
    }

    pub(crate) fn less(&self, before: &Self) -> Self {
        Self {
            playlists: self.playlists - before.playlists,
            parts: self.parts - before.parts,
            bytes: self.bytes - before.bytes,
            errors: self.errors - before.errors,
            gaps: self.gaps - before.gaps,
        }
    }
}

/// A part that was there whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// After the end of its media, µs, by the server's clock.
    pub(crate) age_us: i64,
    /// How much later than the first part of all it may be before a player stalls, µs.
    pub(crate) slack_us: i64,
}

/// What is fetched on the second connection.
#[derive(Clone, Debug)]
struct Wanted {
    path: String,
    /// The end of its media and how long it may take, where it is a part that was waited for.
    due: Option<(u64, i64)>,
}

/// What playlists said, for all who asked the same.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    request: String,
    len: usize,
    list: Rc<Playlist>,
}

/// One rendition of one player.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) rendition: usize,
    origin: Rc<Origin>,
    playlist: Connection,
    media: Connection,
    asked: String,
    last: Option<(u64, u64)>,
    queue: VecDeque<Wanted>,
    fetching: Option<Wanted>,
    retry_at: Option<u64>,
    ended: bool,
    has_init: bool,
    /// Playlists that are asked for as files, when a recording is played.
    steps: VecDeque<Rc<Step>>,
    replaying: Option<Rc<Step>>,
    pub(crate) counts: Counts,
    pub(crate) failure: Option<String>,
    pub(crate) recorder: Option<Recorder>,
}

impl Follower {
    /// Of this rendition, with two tokens from `token` on.
    pub(crate) fn new(origin: &Rc<Origin>, rendition: usize, token: usize) -> Self {
        let connection = |number| Connection::new(origin.address, Token(token + number));
        Self {
            rendition,
            origin: origin.clone(),
            playlist: connection(0),
            media: connection(1),
            asked: String::new(),
            last: None,
            queue: VecDeque::new(),
            fetching: None,
            retry_at: None,
            ended: false,
            has_init: false,
            steps: VecDeque::new(),
            replaying: None,
            counts: Counts::default(),
            failure: None,
            recorder: None,
        }
    }

    /// It has got a part that it waited for, or has nothing more to wait for.
    pub(crate) fn plays(&self) -> bool {
        self.last.is_some() && self.counts.parts > 0 || self.ended
    }

    /// Asks for the playlist as it is, or for the next one.
    pub(crate) fn reload(&mut self, registry: &Registry, list: Option<&Playlist>) {
        let path = &self.origin.renditions[self.rendition];
        self.asked = match list {
            None => path.clone(),
            Some(list) => {
                let join = if path.contains('?') { '&' } else { '?' };
                let (msn, part) = list.next;
                let skip = if list.can_skip { "&_HLS_skip=YES" } else { "" };
                format!("{path}{join}_HLS_msn={msn}&_HLS_part={part}{skip}")
            }
        };
        let request = self.origin.request(&self.asked);
        let asked = self.playlist.ask(registry, &request, true);
        self.check(asked);
    }

    /// Asks for the playlist of a step, and then for its parts.
    pub(crate) fn step(&mut self, registry: &Registry, step: &Rc<Step>) {
        self.steps.push_back(step.clone());
        self.next_step(registry);
    }

    fn next_step(&mut self, registry: &Registry) {
        if self.playlist.is_idle()
            && let Some(step) = self.steps.pop_front()
        {
            let request = self.origin.request(&format!("/{}", step.playlist));
            let asked = self.playlist.ask(registry, &request, false);
            self.replaying = Some(step);
            self.check(asked);
        }
    }

    /// Now and then: asks again where something went wrong.
    pub(crate) fn tick(&mut self, registry: &Registry, now: u64) {
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
            self.last = None;
            self.reload(registry, None);
        }
    }

    /// After an event on one of its connections: the first if `first`.
    pub(crate) fn ready(
        &mut self,
        registry: &Registry,
        first: bool,
        memo: &mut Memo,
        scratch: &mut [u8],
        arrivals: &mut Vec<Arrival>,
    ) {
        let connection = if first { &mut self.playlist } else { &mut self.media };
        let result = match connection.ready(scratch) {
            Ok(None) => return,
            Ok(Some(answer)) if first => self.listed(registry, &answer, memo),
            Ok(Some(answer)) => self.fetched(registry, &answer, arrivals),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.check(Err(error));
            if first && self.replaying.take().is_some() {
                self.next_step(registry);
            } else if first {
                self.retry_at = Some(crate::sys::now_us() + RETRY);
            } else {
                self.fetching = None;
                self.next(registry);
            }
        }
    }

    fn check(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.counts.errors += 1;
            self.failure.get_or_insert_with(|| format!("{}: {error:#}", self.asked));
        }
    }

    /// A playlist.
    fn listed(&mut self, registry: &Registry, answer: &Answer, memo: &mut Memo) -> Result<()> {
        self.counts.playlists += 1;
        self.counts.bytes += answer.bytes;
        anyhow::ensure!(answer.status == 200, "{}", answer.status);
        if let Some(step) = self.replaying.take() {
            for part in &step.parts {
                self.queue.push_back(Wanted { path: format!("/{part}"), due: None });
            }
            self.next(registry);
            self.next_step(registry);
            return Ok(());
        }
        let list = if memo.request == self.asked && memo.len == answer.body.len() {
            memo.list.clone()
        } else {
            Rc::new(Playlist::parse(std::str::from_utf8(&answer.body)?)?)
        };
        (memo.len, memo.list) = (answer.body.len(), list.clone());
        memo.request.clone_from(&self.asked);
        let parts = self.take(&list)?;
        if let Some(recorder) = &mut self.recorder {
            recorder.playlist(self.rendition, &answer.body, &parts)?;
        }
        self.next(registry);
        self.ended = list.ended;
        if !list.ended {
            self.reload(registry, Some(&list));
        }
        Ok(())
    }

    /// Queues what is new; paths of the parts.
    fn take(&mut self, list: &Playlist) -> Result<Vec<String>> {
        let base = &self.origin.renditions[self.rendition];
        if let Some(map) = list.map.as_deref().filter(|_| !self.has_init) {
            self.queue.push_back(Wanted { path: resolved(base, map)?, due: None });
            self.has_init = true;
        }
        let (parts, waited_for) = match self.last {
            None => (&list.parts[list.parts.len().saturating_sub(FIRST)..], false),
            Some(last) => {
                let (parts, gap) = list.since(last);
                self.counts.gaps += u64::from(gap);
                (parts, true)
            }
        };
        let mut paths = Vec::new();
        for part in parts {
            let slack = list.hold_back_us as i64 - part.length_us as i64;
            let due = part.end_us.filter(|_| waited_for).map(|end| (end, slack));
            let path = resolved(base, &part.uri)?;
            paths.push(path.clone());
            self.queue.push_back(Wanted { path, due });
        }
        self.last = parts.last().map(|part: &Part| part.place).or(self.last);
        Ok(paths)
    }

    fn next(&mut self, registry: &Registry) {
        if self.fetching.is_none()
            && let Some(wanted) = self.queue.pop_front()
        {
            let request = self.origin.request(&wanted.path);
            let asked = self.media.ask(registry, &request, self.recorder.is_some());
            self.fetching = Some(wanted);
            self.check(asked);
        }
    }

    /// A part, or what comes before all.
    fn fetched(
        &mut self,
        registry: &Registry,
        answer: &Answer,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<()> {
        let wanted = self.fetching.take().context("an answer to nothing")?;
        self.counts.bytes += answer.bytes;
        self.counts.parts += 1;
        anyhow::ensure!(answer.status == 200, "{} for {}", answer.status, wanted.path);
        if let Some((end, slack_us)) = wanted.due {
            let age_us = crate::sys::wall_us() as i64 - end as i64;
            arrivals.push(Arrival { age_us, slack_us });
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.part(&wanted.path, &answer.body)?;
        }
        self.next(registry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        let at = |uri| resolved("/live/show/e1/v0.m3u8?token=a/b", uri).unwrap();
        assert_eq!(at("v0-1.2.m4s?x=y"), "/live/show/e1/v0-1.2.m4s?x=y");
        assert_eq!(at("/other/a.mp4"), "/other/a.mp4");
        assert_eq!(at("http://host:1/a/b.mp4"), "/a/b.mp4");
        assert!(resolved("/a", "https://host/a").is_err());
    }
}
