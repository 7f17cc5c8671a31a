//! What a viewer costs in memory: nothing is allocated for it per packet once it plays, neither to
//! forward nor to read its feedback and repair, and all of it is small. Its own binary, because the
//! allocator of the whole process counts here.

#![expect(
    unsafe_code,
    reason = "an allocator that counts is unsafe by its trait, so is glibc's own sum"
)]
#![expect(clippy::panic, clippy::print_stdout, reason = "in a test a panic is the message")]

#[allow(dead_code, reason = "tests from inside have it too, and this one needs a part of it")]
#[path = "../src/test/peer/mod.rs"]
mod peer;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use peer::{AUDIO_PT, Identity, Offer, Outgoing};
use sfu::transport::Context;
use sfu::{
    Add, Certificate, Command, Config, Directory, Event, Link, Path, SendRun, Shard, Sink,
    Transport,
};
use signaling::SessionId;

thread_local! {
    /// How often this thread has asked for memory.
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is done by the system's allocator, whose contract is passed on unchanged; the
// counter is a plain cell without a destructor, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time: what is in use is counted over the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn count() {
    ASKED.with(|asked| asked.set(asked.get() + 1));
}

/// How often `act` asks for memory, and what it returns.
fn asked<T>(act: impl FnOnce() -> T) -> (u64, T) {
    let before = ASKED.with(Cell::get);
    let result = act();
    (ASKED.with(Cell::get) - before, result)
}

/// What went out, kept only when somebody wants it.
#[derive(Default)]
struct Wire {
    keep: bool,
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
    packets: u64,
}

impl Sink for Wire {
    fn send(&mut self, bytes: &[u8], runs: &[SendRun]) {
        for run in runs {
            self.packets += run.segments() as u64;
            if self.keep {
                let segments = bytes[run.range.clone()].chunks(run.segment_size);
                self.datagrams.extend(segments.map(|s| (run.path.remote, s.to_vec())));
            }
        }
    }
}

/// Allocations by where they were made.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// In [`Shard::flush`], where media goes out to the viewers.
    forward: u64,
    /// In [`Shard::receive`] of what viewers say.
    feedback: u64,
    /// In [`Shard::handle_timeout`]: sender reports, rates, looking after everybody.
    timers: u64,
    /// Of the publisher's packets, how many.
    packets: u64,
    /// Datagrams of feedback.
    heard: u64,
}

const PUBLISHER: u32 = 1;

fn server() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 8080))
}

/// One shard, its publisher and its viewers, on a clock of their own.
struct Rig {
    now: Instant,
    shard: Shard,
    certificate: Certificate,
    context: Context,
    identity: Identity,
    peers: Vec<peer::Peer>,
    wire: Wire,
    frame: u64,
    asked: Asked,
    /// Viewers ask for the last packet again every 20 ms.
    nacks: bool,
}

impl Rig {
    #[expect(clippy::disallowed_methods, reason = "a test needs one real instant to begin with")]
    fn new() -> Self {
        let now = Instant::now();
        let certificate = Certificate::generate(now).expect("the system has randomness");
        let mut rig = Self {
            now,
            shard: Shard::new(Config::default(), 0, Directory::default(), now),
            context: Context::new(&certificate).expect("libssl takes our certificate"),
            certificate,
            identity: Identity::generate(),
            peers: Vec::new(),
            wire: Wire { keep: true, ..Wire::default() },
            frame: 0,
            asked: Asked::default(),
            nacks: false,
        };
        rig.join(PUBLISHER, &Offer::publisher());
        rig.until_connected();
        rig
    }

    fn id(number: u32) -> SessionId {
        SessionId::from_random(u128::from(number) << 96 | 7)
    }

    fn join(&mut self, number: u32, offer: &Offer) {
        let agreement = offer.agreement(number, &self.identity.fingerprint());
        let address = SocketAddr::from(([10, 0, 1, 1], 10_000 + number as u16));
        let way = (address, server());
        self.peers.push(peer::Peer::new(offer, agreement.clone(), &self.identity, way));
        let link = if offer.send {
            Link::Publisher(Box::new(sfu::Peer::new(&agreement, &self.certificate, self.now)))
        } else {
            let transport = Transport::new(&self.context, &agreement, self.now);
            Link::Viewer(Box::new(transport.expect("a sha-256 fingerprint")))
        };
        let add = Add { session: Self::id(number), agreement, link };
        self.shard.command(self.now, Command::Add(Box::new(add)));
    }

    fn watch(&mut self, viewers: std::ops::Range<u32>) {
        for number in viewers {
            self.join(number, &Offer::viewer(number));
            let (viewer, publisher) = (Self::id(number), Some(Self::id(PUBLISHER)));
            self.shard.command(self.now, Command::Attach { viewer, publisher });
        }
        self.until_connected();
    }

    fn until_connected(&mut self) {
        for _ in 0..2_000 {
            if self.peers.iter().all(|p| p.connected) {
                return;
            }
            self.step(false);
        }
        panic!("the clients did not connect in two seconds");
    }

    /// A millisecond passes.
    fn step(&mut self, media: bool) {
        self.now += Duration::from_millis(1);
        let now = self.now;
        if media {
            self.send_media();
        }
        for index in 0..self.peers.len() {
            let peer = &mut self.peers[index];
            peer.handle_timeout(now);
            if self.nacks && index > 0 && self.frame.is_multiple_of(20) {
                let (video, last) = (peer.video(), peer.newest(peer.video()));
                peer.nack(video, &[last as u16]);
            }
            for mut sent in peer.drain() {
                let feedback = index > 0 && matches!(sent.contents[1], 192..=223);
                let path = Path::udp(server(), sent.path.local);
                let bytes = &mut sent.contents;
                let (count, ()) = asked(|| self.shard.receive(now, path, bytes));
                if feedback && matches!(sent.contents[0], 128..=191) {
                    self.asked.feedback += count;
                    self.asked.heard += 1;
                }
            }
        }
        self.wire.datagrams.clear();
        if self.shard.poll_timeout().is_some_and(|due| due <= now) {
            // What waits goes out before, so that it counts where it belongs.
            self.asked.forward += asked_outside(&mut self.wire, |w| self.shard.flush(now, w));
            self.asked.timers +=
                asked_outside(&mut self.wire, |w| self.shard.handle_timeout(now, w));
        }
        self.asked.forward += asked_outside(&mut self.wire, |w| self.shard.flush(now, w));
        while let Some(event) = self.shard.poll_event() {
            assert!(!matches!(event, Event::Closed { .. }), "{event:?}");
        }
        for (destination, bytes) in std::mem::take(&mut self.wire.datagrams) {
            if let Some(peer) = self.peers.iter_mut().find(|p| p.address == destination) {
                peer.receive(now, &bytes);
            }
        }
    }

    /// A picture of three packets each 33 ms and a sound each 20 ms.
    fn send_media(&mut self) {
        self.frame += 1;
        let (peer, frame) = (&mut self.peers[0], self.frame);
        if frame.is_multiple_of(33) {
            let picture = frame / 33;
            // The first is a keyframe with its parameter sets.
            let first: &[u8] =
                if picture == 1 { &[0x67, 0x42, 0xe0, 0x1f, 0x8c] } else { &[0x41, 0x9a, 0x55] };
            for part in 0..3 {
                let mut payload = if part == 0 { first.to_vec() } else { vec![0x41, 0x55] };
                if picture == 1 && part == 1 {
                    payload = vec![0x65, 0x88];
                }
                payload.resize(1_000, 0x55);
                let (pt, seq) = (96, 100 + picture * 3 + part);
                let timestamp = picture as u32 * 2_970;
                let (ssrc, marker) = (0x3000_0001, part == 2);
                peer.send(Outgoing { ssrc, pt, seq, timestamp, marker, rid: None }, &payload);
                self.asked.packets += 1;
            }
        }
        if frame.is_multiple_of(20) {
            let (seq, timestamp) = (500 + frame / 20, (frame * 48) as u32);
            let (ssrc, pt, marker) = (0x3000_0000, AUDIO_PT, false);
            peer.send(Outgoing { ssrc, pt, seq, timestamp, marker, rid: None }, &[0x7c; 100]);
            self.asked.packets += 1;
        }
    }

    fn play(&mut self, time: Duration) {
        (0..time.as_millis()).for_each(|_| self.step(true));
        self.peers.iter_mut().for_each(|p| p.media.clear());
    }

    /// What was allocated while this was played.
    fn measure(&mut self, time: Duration) -> Asked {
        self.asked = Asked::default();
        self.play(time);
        self.asked
    }
}

/// Counts without what the test's own sink allocates.
fn asked_outside(wire: &mut Wire, act: impl FnOnce(&mut dyn Sink)) -> u64 {
    struct Outside<'a>(&'a mut Wire, u64);
    impl Sink for Outside<'_> {
        fn send(&mut self, bytes: &[u8], runs: &[SendRun]) {
            self.1 += asked(|| self.0.send(bytes, runs)).0;
        }
    }
    let mut outside = Outside(wire, 0);
    let (all, ()) = asked(|| act(&mut outside));
    all - outside.1
}

const SECOND: Duration = Duration::from_secs(1);

/// Of one viewer, and of so many: each has been there for some seconds.
fn with(viewers: u32, nacks: bool) -> Asked {
    let mut rig = Rig::new();
    rig.watch(100..100 + viewers);
    // Buffers grow to what they need, the ring to its twelve seconds.
    rig.play(SECOND * 14);
    rig.nacks = nacks;
    rig.play(SECOND);
    let before = rig.peers[1..].iter().map(|p| p.received).sum::<u64>();
    let asked = rig.measure(SECOND * 5);
    let sent = rig.peers[1..].iter().map(|p| p.received).sum::<u64>() - before;
    assert!(sent >= asked.packets * u64::from(viewers), "{sent} of {asked:?}: nobody plays");
    let repaired = rig.shard.totals().repaired;
    assert_eq!(repaired > 0, nacks, "{repaired} were repaired");
    println!("{viewers} viewers, NACKs {nacks}: {asked:?}");
    asked
}

#[test]
fn forwarding_and_repairing_allocate_nothing_per_viewer() {
    let _alone = ALONE.lock();
    for nacks in [false, true] {
        let (one, many) = (with(1, nacks), with(20, nacks));
        assert_eq!(one.packets, many.packets);
        // What the publisher's packets cost once, for everybody.
        assert!(one.forward <= one.packets * 3, "{one:?}");
        assert_eq!(one.forward, many.forward, "{one:?} {many:?}");
        assert_eq!((one.feedback, many.feedback), (0, 0), "{one:?} {many:?}");
        assert!(many.heard > 20 * 5 * 20);
        // Once a second or less each: reports, rates.
        let more = many.timers.saturating_sub(one.timers);
        assert!(more <= 19 * 5 * 4, "{more} allocations in timers for 19 viewers in 5 s");
    }
}

/// Bytes in use by everybody in the process, C libraries included.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn in_use() -> usize {
    #[repr(C)]
    #[derive(Default)]
    struct Sums([usize; 10]);
    unsafe extern "C" {
        fn mallinfo2() -> Sums;
    }
    // SAFETY: it takes nothing and returns ten numbers (mallinfo(3)).
    let Sums(sums) = unsafe { mallinfo2() };
    // Mapped for themselves, and handed out of arenas.
    sums[4] + sums[7]
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_viewer_takes_less_than_twenty_kilobytes() {
    const VIEWERS: u32 = 200;
    let _alone = ALONE.lock();
    let mut rig = Rig::new();
    // One has been there before: what all share is there already, the whole ring too.
    rig.watch(100..101);
    rig.play(SECOND * 14);
    rig.peers.truncate(1);
    let before = in_use();
    rig.watch(200..200 + VIEWERS);
    rig.play(SECOND * 5);
    let (sessions, _, _) = rig.shard.len();
    assert_eq!(sessions as u32, 2 + VIEWERS);
    // The clients go, what the server has of them stays.
    rig.peers.truncate(1);
    rig.wire = Wire::default();
    let each = in_use().saturating_sub(before) / VIEWERS as usize;
    println!("{each} bytes for each viewer");
    assert!((2_000..=20_000).contains(&each), "{each} bytes for each viewer");
}
