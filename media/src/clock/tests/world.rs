//! A publisher with several encodings, its clocks, a network with jitter, and the truth, all from one seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant, SystemTime};

use crate::clock::{MILLISECOND, SECOND, Source, StreamClock, at, since};

/// Lips and voice, and layers, are in step when they are no further apart.
pub(super) const LAW: i64 = 20 * MILLISECOND;

/// Some instant; tests only ever add to it.
#[expect(clippy::disallowed_methods, reason = "a test needs one real instant to begin with")]
pub(super) fn epoch() -> Instant {
    Instant::now()
}

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `end`, nanoseconds.
    pub(super) fn below(&mut self, end: i64) -> i64 {
        (self.next() % end.max(1).unsigned_abs()).cast_signed()
    }
}

/// What a sender report says: nanoseconds of the publisher's wall clock, and the RTP timestamp.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) wall: i64,
    pub(super) timestamp: u32,
}

/// What is wrong with the reports: given the time, the line, and the truth; `None`: no report.
pub(super) type Fault = Box<dyn FnMut(i64, usize, Said, &mut Random) -> Option<Said>>;

/// One encoding.
pub(super) struct Line {
    pub(super) rate: u32,
    pub(super) period: i64,
    /// RTP timestamp at time 0.
    pub(super) start: u32,
    /// Drift of its RTP clock against the truth.
    pub(super) ppm: i64,
    /// From capture to the socket, at best, and what comes on top at worst.
    pub(super) delay: (i64, i64),
    pub(super) report_every: i64,
    /// While this is so nothing is sent.
    pub(super) paused: Box<dyn Fn(i64) -> bool>,
    source: Source,
    /// How far the last answer was off, and when.
    error: Option<(i64, i64)>,
}

impl Line {
    pub(super) fn audio() -> Self {
        Self::new(48_000, 20 * MILLISECOND, (3, 4), 5 * SECOND)
    }

    /// `delay`: of its encoder in ms.
    pub(super) fn video(delay: i64) -> Self {
        Self::new(90_000, SECOND / 30, (delay, 25), SECOND)
    }

    fn new(rate: u32, period: i64, delay: (i64, i64), report_every: i64) -> Self {
        Self {
            rate,
            period,
            start: 12_345,
            ppm: 0,
            delay: (delay.0 * MILLISECOND, delay.1 * MILLISECOND),
            report_every,
            paused: Box::new(|_| false),
            source: Source::new(rate),
            error: None,
        }
    }

    pub(super) fn starts_at(self, start: u32) -> Self {
        Self { start, ..self }
    }

    pub(super) fn drifts(self, ppm: i64) -> Self {
        Self { ppm, ..self }
    }

    fn timestamp(&self, time: i64) -> u32 {
        let ticks = i128::from(drifted(time, self.ppm)) * i128::from(self.rate);
        self.start.wrapping_add(ticks.div_euclid(i128::from(SECOND)) as u32)
    }
}

fn drifted(time: i64, ppm: i64) -> i64 {
    time + time / 1_000_000 * ppm
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Capture,
    Report,
    Packet { captured: i64, timestamp: u32 },
    Said { wall: i64, timestamp: u32 },
}

pub(super) struct World {
    pub(super) lines: Vec<Line>,
    pub(super) fault: Fault,
    /// Drift of the publisher's wall clock.
    pub(super) wall_ppm: i64,
    /// Nanoseconds that the publisher's wall clock has been set by, at a time.
    pub(super) wall_step: (i64, i64),
    /// Jitter of the network, at worst.
    pub(super) jitter: i64,
    /// Which lines are held to be in step.
    pub(super) held: fn(usize) -> bool,
    pub(super) random: Random,
    /// The server's clock at time 0, and its notion of the stream.
    pub(super) zero: Instant,
    pub(super) clock: StreamClock,
    events: BinaryHeap<Reverse<(i64, u64, usize, Event)>>,
    count: u64,
}

impl World {
    pub(super) fn new(lines: Vec<Line>) -> Self {
        Self::seeded(7, 0, lines)
    }

    /// A publisher who begins at `start`.
    pub(super) fn seeded(seed: u64, start: i64, lines: Vec<Line>) -> Self {
        let mut world = Self {
            fault: Box::new(|_, _, said, _| Some(said)),
            wall_ppm: 0,
            wall_step: (0, 0),
            jitter: 30 * MILLISECOND,
            held: |_| true,
            random: Random(seed),
            zero: epoch(),
            clock: StreamClock::new(),
            events: BinaryHeap::new(),
            count: 0,
            lines,
        };
        for line in 0..world.lines.len() {
            let first = world.random.below(world.lines[line].report_every);
            world.schedule(start, line, Event::Capture);
            world.schedule(start + first, line, Event::Report);
        }
        world
    }

    /// Goes on until `end`; the furthest that two held lines were apart between `from` and `end`.
    pub(super) fn worst(&mut self, from: i64, end: i64) -> i64 {
        let mut worst = 0;
        while let Some(Reverse((now, _, line, event))) = self.events.pop() {
            if now >= end {
                self.schedule(now, line, event);
                break;
            }
            if self.happens(now, line, event) && now >= from {
                worst = worst.max(self.spread(now));
            }
        }
        worst
    }

    fn schedule(&mut self, time: i64, line: usize, event: Event) {
        self.count += 1;
        self.events.push(Reverse((time, self.count, line, event)));
    }

    fn wall(&self, time: i64) -> i64 {
        let step = if time >= self.wall_step.0 { self.wall_step.1 } else { 0 };
        1_767_225_600 * SECOND + drifted(time, self.wall_ppm) + step
    }

    /// True if a captured time was told.
    fn happens(&mut self, now: i64, index: usize, event: Event) -> bool {
        let instant = at(self.zero, now).unwrap();
        let line = &mut self.lines[index];
        match event {
            Event::Capture => {
                let next = now + line.period;
                if !(line.paused)(now) {
                    let timestamp = line.timestamp(now);
                    let (best, more) = line.delay;
                    // Mostly prompt, seldom late.
                    let mut mostly = |end| {
                        let most = self.random.below(end) + 1;
                        self.random.below(most)
                    };
                    let delay = best + mostly(more);
                    let network = 10 * MILLISECOND + mostly(self.jitter);
                    let packet = Event::Packet { captured: now, timestamp };
                    self.schedule(now + delay + network, index, packet);
                }
                self.schedule(next, index, Event::Capture);
                false
            }
            Event::Report => {
                let timestamp = line.timestamp(now);
                // Browsers wait for half to one and a half of the interval.
                let next = line.report_every / 2 + self.random.below(line.report_every);
                let paused = (line.paused)(now);
                let said = Said { wall: self.wall(now), timestamp };
                if let Some(said) = (self.fault)(now, index, said, &mut self.random)
                    && !paused
                {
                    let network = 10 * MILLISECOND + self.random.below(self.jitter);
                    let Said { wall, timestamp } = said;
                    self.schedule(now + network, index, Event::Said { wall, timestamp });
                }
                self.schedule(now + next, index, Event::Report);
                false
            }
            Event::Packet { captured, timestamp } => {
                let told = self.clock.captured(&mut line.source, instant, timestamp);
                line.error = Some((now, since(self.zero, told) - captured));
                true
            }
            Event::Said { wall, timestamp } => {
                let ntp = if wall < 0 {
                    SystemTime::UNIX_EPOCH - Duration::from_nanos(wall.unsigned_abs())
                } else {
                    SystemTime::UNIX_EPOCH + Duration::from_nanos(wall.unsigned_abs())
                };
                self.clock.report(&mut line.source, instant, ntp, timestamp);
                false
            }
        }
    }

    /// How far the held lines are apart that had a packet in the last 1.5 s.
    fn spread(&self, now: i64) -> i64 {
        let held = self.lines.iter().enumerate().filter(|(index, _)| (self.held)(*index));
        let recent =
            held.filter_map(|(_, line)| line.error.filter(|(t, _)| now - t < SECOND * 3 / 2));
        let (low, high) = recent.fold((i64::MAX, i64::MIN), |(low, high), (_, error)| {
            (low.min(error), high.max(error))
        });
        high.saturating_sub(low).max(0)
    }

    /// How far the last answers were off.
    pub(super) fn errors(&self) -> Vec<i64> {
        self.lines.iter().filter_map(|line| line.error.map(|(_, error)| error)).collect()
    }

    /// The clock of the same publisher who comes again.
    pub(super) fn reconnects(&mut self, lines: Vec<Line>, now: i64) {
        *self = Self { zero: self.zero, ..Self::seeded(self.random.next(), now, lines) };
    }
}
