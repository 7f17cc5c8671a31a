//! The TCP connections of one media thread (RFC 6544): sockets, what of a frame has come, and what waits to be
//! written. UDP has no back pressure, so these must not have any either: what waits is bounded in bytes and in time,
//! who is behind is said to the shard, and what finds no room is dropped and counted.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::time::{Duration, Instant};

use sfu::frames::{self, Frames};
use sfu::{Over, Path, Pressure, SendRun};
use slab::Slab;

use super::plug::Plug;

/// Tokens below it are the thread's own.
const FIRST: usize = 2;
/// One read.
const READ: usize = 64 * 1024;
/// What may wait to be written: more than a keyframe.
const ROOM: usize = 1 << 20;
/// Pictures that are so late are worth less than the next keyframe. A lost segment costs TCP less than this.
const BEHIND: Duration = Duration::from_millis(500);
/// Nobody wants to hear what is so late.
const HOPELESS: Duration = Duration::from_secs(2);
/// What is written within such a time is as late as its first byte.
const STRIDE: Duration = Duration::from_millis(10);
/// A connection that belongs to no session by then is closed.
const UNPROVEN: Duration = Duration::from_secs(10);
/// How often it is looked who has to go.
const LOOK: Duration = Duration::from_secs(1);

/// See the top of the file.
pub(super) struct Wires {
    registry: mio::Registry,
    wires: Slab<Wire>,
    by_number: HashMap<u32, usize>,
    /// Those that may have something to read.
    readable: Vec<usize>,
    /// Those that may take something.
    writable: Vec<usize>,
    /// Keeps its memory while one of the two above is gone through.
    spare: Vec<usize>,
    scratch: Vec<u8>,
    /// What the shard has not been told yet.
    news: Vec<News>,
    next_look: Option<Instant>,
}

/// What has happened to a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is behind, or not any more, or has lost something.
    Pressed(Path, Pressure),
    /// It has ended.
    Gone(Path),
}

struct Wire {
    plug: Plug,
    inbox: Frames,
    out: Out,
    /// The kernel takes no more for now.
    blocked: bool,
    awaits_read: bool,
    awaits_write: bool,
    proven: bool,
    /// It ends when everything is written.
    over: bool,
    since: Instant,
    told: Pressure,
}

/// What waits to be written. Pure: the time is an argument.
#[derive(Debug, Default)]
struct Out {
    bytes: VecDeque<u8>,
    /// Positions in the stream and when what lies before them began to wait, oldest first.
    marks: VecDeque<(Instant, u64)>,
    /// Positions up to which something was put in, and was taken.
    put: u64,
    taken: u64,
}

impl Out {
    /// A datagram; false if there is no room.
    fn put(&mut self, now: Instant, datagram: &[u8]) -> bool {
        let Some(head) = frames::head(datagram.len()) else { return false };
        let full = self.bytes.len() + head.len() + datagram.len() > ROOM;
        if full || self.late(now) > HOPELESS {
            return false;
        }
        self.bytes.extend(head);
        self.bytes.extend(datagram);
        self.put += (head.len() + datagram.len()) as u64;
        match self.marks.back_mut() {
            Some((since, end)) if now.saturating_duration_since(*since) < STRIDE => *end = self.put,
            _ => self.marks.push_back((now, self.put)),
        }
        true
    }

    fn took(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
        self.taken += bytes as u64;
        while self.marks.front().is_some_and(|(_, end)| *end <= self.taken) {
            self.marks.pop_front();
        }
        if self.bytes.is_empty() && self.bytes.capacity() > READ {
            self.bytes = VecDeque::new();
        }
    }

    /// For how long the oldest byte has waited.
    fn late(&self, now: Instant) -> Duration {
        let since = self.marks.front().map(|(since, _)| *since);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

impl Wires {
    pub(super) fn new(registry: mio::Registry) -> Self {
        Self {
            registry,
            wires: Slab::new(),
            by_number: HashMap::new(),
            readable: Vec::new(),
            writable: Vec::new(),
            spare: Vec::new(),
            scratch: Vec::new(),
            news: Vec::new(),
            next_look: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.wires.len()
    }

    /// A connection comes to this thread, with what was read of it: `each` gets whole frames of that.
    pub(super) fn add(
        &mut self,
        now: Instant,
        mut plug: Plug,
        mut each: impl FnMut(Path, &mut [u8]),
    ) {
        let (path, entry) = (plug.path, self.wires.vacant_entry());
        let Over::Tcp(number) = path.over else { return };
        let token = mio::Token(FIRST + entry.key());
        let both = mio::Interest::READABLE | mio::Interest::WRITABLE;
        let (mut inbox, mut read) = (Frames::default(), std::mem::take(&mut plug.read));
        if let Err(error) = self.registry.register(&mut plug.stream, token, both) {
            return tracing::debug!(%error, peer = %path.remote, "a TCP connection cannot be watched");
        }
        let whole = inbox.take(&mut read, |frame| each(path, frame));
        let key = entry.key();
        entry.insert(Wire {
            plug,
            inbox,
            out: Out::default(),
            blocked: false,
            awaits_read: true,
            awaits_write: false,
            proven: false,
            over: whole.is_err(),
            since: now,
            told: Pressure::default(),
        });
        self.by_number.insert(number, key);
        // What came before it was watched makes no event.
        self.readable.push(key);
        self.next_look.get_or_insert(now + LOOK);
    }

    /// What the poll has said.
    pub(super) fn note(&mut self, events: &mio::Events) {
        for event in events {
            let Some(key) = event.token().0.checked_sub(FIRST) else { continue };
            let Some(wire) = self.wires.get_mut(key) else { continue };
            let ends = event.is_error() || event.is_read_closed() || event.is_write_closed();
            if (event.is_readable() || ends) && !std::mem::replace(&mut wire.awaits_read, true) {
                self.readable.push(key);
            }
            if event.is_writable() {
                wire.blocked = false;
                if !std::mem::replace(&mut wire.awaits_write, true) {
                    self.writable.push(key);
                }
            }
        }
    }

    /// Reads once from everybody who may have something; true if there may be more.
    pub(super) fn receive(&mut self, mut each: impl FnMut(Path, &mut [u8])) -> bool {
        if self.readable.is_empty() {
            return false;
        }
        self.scratch.resize(READ, 0);
        let mut keys = std::mem::replace(&mut self.readable, std::mem::take(&mut self.spare));
        for key in keys.drain(..) {
            let Some(wire) = self.wires.get_mut(key) else { continue };
            let path = wire.plug.path;
            match wire.plug.stream.read(&mut self.scratch) {
                Ok(0) => self.close(key, "its peer has closed it"),
                Ok(count) => match wire.inbox.take(&mut self.scratch[..count], |f| each(path, f)) {
                    Ok(()) => self.readable.push(key),
                    Err(_) => self.close(key, "a frame is too long"),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wire.awaits_read = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.readable.push(key),
                Err(error) => self.close(key, &error.to_string()),
            }
        }
        self.spare = keys;
        !self.readable.is_empty()
    }

    /// One run of datagrams, each as a frame. They go out with [`Wires::flush`].
    pub(super) fn send(&mut self, now: Instant, bytes: &[u8], run: &SendRun) {
        let Over::Tcp(number) = run.path.over else { return };
        let datagrams = bytes.get(run.range.clone()).unwrap_or_default();
        let key = self.by_number.get(&number).copied();
        let Some((key, wire)) = key.and_then(|key| Some((key, self.wires.get_mut(key)?))) else {
            let pressure = Pressure { behind: false, lost: run.segments() as u64 };
            return self.news.push(News::Pressed(run.path, pressure));
        };
        for datagram in datagrams.chunks(run.segment_size.max(1)) {
            if !wire.out.put(now, datagram) {
                wire.told.lost += 1;
            }
        }
        if !std::mem::replace(&mut wire.awaits_write, true) {
            self.writable.push(key);
        }
    }

    /// Writes what the kernel takes.
    pub(super) fn flush(&mut self, now: Instant) {
        let mut keys = std::mem::replace(&mut self.writable, std::mem::take(&mut self.spare));
        for key in keys.drain(..) {
            let Some(wire) = self.wires.get_mut(key) else { continue };
            wire.awaits_write = false;
            if let Err(error) = wire.write() {
                self.close(key, &error.to_string());
                continue;
            }
            if wire.over && wire.out.bytes.is_empty() {
                self.close(key, "it is not needed any more");
                continue;
            }
            let behind = match wire.told.behind {
                true => !wire.out.bytes.is_empty(),
                false => wire.out.late(now) > BEHIND || wire.told.lost > 0,
            };
            if behind != wire.told.behind || wire.told.lost > 0 {
                wire.told.behind = behind;
                self.news.push(News::Pressed(wire.plug.path, wire.told));
                wire.told.lost = 0;
            }
        }
        self.spare = keys;
    }

    /// What the shard says of a connection.
    pub(super) fn hear(&mut self, number: u32, word: sfu::Word) {
        let Some(key) = self.by_number.get(&number).copied() else { return };
        let Some(wire) = self.wires.get_mut(key) else { return };
        match word {
            sfu::Word::Proven => wire.proven = true,
            sfu::Word::Over => {
                wire.over = true;
                if !std::mem::replace(&mut wire.awaits_write, true) {
                    self.writable.push(key);
                }
            }
        }
    }

    /// What the shard has to be told.
    pub(super) fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// When there is something to do without an event.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.readable.is_empty() && self.writable.is_empty() && self.news.is_empty() {
            self.next_look
        } else {
            Some(now)
        }
    }

    /// Closes those that nobody needs.
    pub(super) fn look(&mut self, now: Instant) {
        if self.next_look.is_none_or(|due| now < due) {
            return;
        }
        let late =
            |wire: &Wire| !wire.proven && now.saturating_duration_since(wire.since) > UNPROVEN;
        let go = self.wires.iter().filter(|(_, wire)| wire.over || late(wire));
        let go: Vec<usize> = go.map(|(key, _)| key).collect();
        go.into_iter().for_each(|key| self.close(key, "nobody's, or not taken"));
        self.next_look = (!self.wires.is_empty()).then(|| now + LOOK);
    }

    fn close(&mut self, key: usize, why: &str) {
        let Some(mut wire) = self.wires.try_remove(key) else { return };
        let path = wire.plug.path;
        tracing::debug!(peer = %path.remote, "a TCP connection of media ends: {why}");
        // It is closed when it is dropped, whatever this says.
        let _ = self.registry.deregister(&mut wire.plug.stream);
        if let Over::Tcp(number) = path.over {
            self.by_number.remove(&number);
        }
        self.news.push(News::Gone(path));
    }
}

impl Wire {
    fn write(&mut self) -> io::Result<()> {
        while !self.blocked && !self.out.bytes.is_empty() {
            let (head, tail) = self.out.bytes.as_slices();
            match self.plug.stream.write_vectored(&[IoSlice::new(head), IoSlice::new(tail)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.out.took(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_in_time() {
        let (start, mut out) = (crate::clock::now(), Out::default());
        let taken = (0..2000).take_while(|_| out.put(start, &[7; 1022])).count();
        assert_eq!(taken, ROOM / 1024);
        out.took(1024);
        assert!(out.put(start + HOPELESS, &[7; 1022]));
        assert!(!out.put(start + HOPELESS, &[7; 1022]), "full");
        out.took(4096);
        assert!(!out.put(start + HOPELESS + ms(1), &[7]), "too late");
        out.took(ROOM - 4096);
        assert!(out.bytes.is_empty() && out.marks.is_empty() && out.bytes.capacity() == 0);
        assert!(out.put(start + HOPELESS * 2, &[7]));
    }

    #[test]
    fn it_is_as_late_as_its_oldest_byte() {
        let (start, mut out) = (crate::clock::now(), Out::default());
        assert_eq!(out.late(start), Duration::ZERO);
        for n in 0..100 {
            assert!(out.put(start + ms(n * 3), &[n as u8; 98]));
        }
        assert_eq!(out.late(start + ms(300)), ms(300));
        assert!(out.marks.len() <= 30, "{} marks", out.marks.len());
        out.took(5_000);
        let late = out.late(start + ms(300));
        assert!((ms(150)..=ms(150) + STRIDE * 2).contains(&late), "{late:?}");
        out.took(5_000);
        assert_eq!(out.late(start + ms(300)), Duration::ZERO);
        assert_eq!((out.put, out.taken), (10_000, 10_000));
    }

    #[test]
    fn datagrams_become_frames() {
        let (now, mut out) = (crate::clock::now(), Out::default());
        assert!(out.put(now, &[1, 2, 3]) && out.put(now, &[4]));
        assert!(!out.put(now, &[0; 65_536]));
        assert_eq!(out.bytes, [0, 3, 1, 2, 3, 0, 1, 4]);
    }
}
