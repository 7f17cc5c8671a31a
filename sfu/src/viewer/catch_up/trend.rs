//! What arrival times say of a link: does a queue grow, how fast does it drain, how noisy is it.
//!
//! The one-way delay of a packet, less an unknown constant, is its arrival on the receiver's clock
//! minus its departure on ours. Jitter only adds to it, so the least delay of a few packets in a row
//! stands for them. Where these minima climb, packets came closer together than the narrowest link
//! takes them, and what arrived during the climb, divided by its time, is what that link carries:
//! packet trains, as in draft-ietf-rmcat-gcc-02 (section 5) and Dovrolis et al. 2004, with a filter.

/// Delays further apart than this are no delays but nonsense.
const PLAUSIBLE: i64 = 10_000_000;

/// µs in which a radio's bunches even out.
const LONG: i64 = 30_000;

/// Chunks of which the densest run is sought.
const DENSE: usize = 4;

/// The packet of least delay in a chunk. µs and bytes.
#[derive(Debug, Clone, Copy)]
struct Point {
    delay: i64,
    arrival: i64,
    /// Arrived until here, since the beginning.
    bytes: u64,
}

/// The steepest climb of a window.
#[derive(Debug, Clone, Copy, Default)]
struct Climb {
    rise: i64,
    span: i64,
    bytes: u64,
    step: i64,
}

/// What was seen since the last look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    /// How far the delay climbed, in µs.
    pub(super) rise: i64,
    /// The bitrate of the arrivals during that climb.
    pub(super) climbing_bps: Option<f64>,
    /// It climbed step by step, as a queue fills, and not in leaps, as jitter does.
    pub(super) steady: bool,
    /// Of all arrivals, if they took [`LONG`].
    pub(super) arrival_bps: Option<f64>,
    /// Delay at the end above the least ever seen, in µs.
    pub(super) standing: i64,
    /// Mean movement of the delay to and fro from packet to packet, in µs, where it moves at all.
    pub(super) noise: i64,
    /// The densest arrivals, of about [`DENSE`] chunks: bytes, and µs for them.
    pub(super) dense: (u64, i64),
    /// Departure of its middle, in µs of our clock.
    pub(super) middle: i64,
}

/// Watches arrivals.
#[derive(Debug)]
pub(super) struct Trend {
    chunk: u32,
    looked: bool,
    /// The first delay: others are relative to it.
    origin: Option<i64>,
    least: i64,
    bytes: u64,
    // The chunk that is filling.
    filled: u32,
    point: Option<Point>,
    last: i64,
    first: i64,
    moved: i64,
    step: i64,
    // The window.
    begin: Option<Point>,
    tail: Option<Point>,
    trough: Option<Point>,
    trough_step: i64,
    climb: Climb,
    chunks: u32,
    noise: i64,
    noisy: i64,
    /// The last points, the newest first.
    recent: [Option<Point>; DENSE],
    dense: (u64, i64),
}

impl Trend {
    /// One minimum for so many packets.
    pub(super) fn new(chunk: u32) -> Self {
        Self {
            chunk,
            looked: false,
            origin: None,
            least: 0,
            bytes: 0,
            filled: 0,
            point: None,
            last: 0,
            first: 0,
            moved: 0,
            step: 0,
            begin: None,
            tail: None,
            trough: None,
            trough_step: 0,
            climb: Climb::default(),
            chunks: 0,
            noise: 0,
            noisy: 0,
            recent: [None; DENSE],
            dense: (0, 1),
        }
    }

    /// A packet that left at `sent` µs of our clock arrived at `arrival` µs of the receiver's.
    /// False if that cannot be.
    pub(super) fn push(&mut self, sent: i64, arrival: i64, size: u16) -> bool {
        let Some(delay) = arrival.checked_sub(sent) else { return false };
        let origin = *self.origin.get_or_insert(delay);
        let Some(delay) = delay.checked_sub(origin).filter(|d| d.abs() <= PLAUSIBLE) else {
            return false;
        };
        self.bytes += u64::from(size);
        self.least = self.least.min(delay);
        if self.filled == 0 {
            (self.first, self.moved, self.step) = (delay, 0, 0);
        } else {
            self.moved += (delay - self.last).abs();
        }
        if self.filled > 0 || self.tail.is_some() {
            self.step = self.step.max(delay - self.last);
        }
        self.last = delay;
        self.filled += 1;
        if self.point.is_none_or(|p| delay < p.delay) {
            self.point =
                Some(Point { delay, arrival: delay.saturating_add(sent), bytes: self.bytes });
        }
        if self.filled >= self.chunk {
            self.close();
        }
        true
    }

    /// The window since the last look, once it has enough to speak of.
    pub(super) fn look(&mut self) -> Option<Window> {
        let (begin, tail) = self.begin.zip(self.tail).filter(|_| self.chunks >= 2)?;
        let Climb { rise, span, bytes, step } = self.climb;
        let all = tail.arrival - begin.arrival;
        let packets = (bytes / 1200).clamp(1, 16) as i64;
        let steady = step * 7 <= rise * 2 && step * packets * 2 <= rise * 5;
        // The first few packets may share one leap of the jitter; a queue shows at once.
        if !self.looked && self.chunks < 4 && !(steady && rise > 5_000) {
            return None;
        }
        let window = Window {
            rise,
            climbing_bps: bps(bytes, span).filter(|_| rise > 0),
            steady,
            arrival_bps: bps(tail.bytes.saturating_sub(begin.bytes), all).filter(|_| all >= LONG),
            standing: tail.delay - self.least,
            noise: self.noise / self.noisy.max(1),
            dense: self.dense,
            middle: (begin.arrival - begin.delay + tail.arrival - tail.delay) / 2,
        };
        self.looked = true;
        (self.begin, self.trough) = (Some(tail), Some(tail));
        (self.climb, self.trough_step) = (Climb::default(), 0);
        (self.chunks, self.noise, self.noisy, self.dense) = (0, 0, 0, (0, 1));
        Some(window)
    }

    fn close(&mut self) {
        let Some(point) = self.point.take() else { return };
        self.filled = 0;
        self.chunks += 1;
        // What the delay moved beyond its net movement is noise: a queue only climbs, or only falls.
        let noise = self.moved - (self.last - self.first).abs();
        if noise > 250 {
            self.noise += noise / i64::from(self.chunk);
            self.noisy += 1;
        }
        self.begin.get_or_insert(point);
        self.densest(point);
        self.tail = Some(point);
        self.trough_step = self.trough_step.max(self.step);
        match self.trough {
            Some(trough) if point.delay > trough.delay => {
                let rise = point.delay - trough.delay;
                // As long as the top is held the same queue drains: a longer, better measure.
                if rise * 10 >= self.climb.rise * 9 {
                    let bytes = point.bytes.saturating_sub(trough.bytes);
                    let span = point.arrival - trough.arrival;
                    self.climb = Climb { rise, span, bytes, step: self.trough_step };
                }
            }
            _ => (self.trough, self.trough_step) = (Some(point), self.step),
        }
    }

    fn densest(&mut self, point: Point) {
        self.recent.rotate_right(1);
        self.recent[0] = Some(point);
        let Some(oldest) = self.recent.iter().rev().find_map(|p| *p) else { return };
        // One 250 µs of the report's resolution hides at each end.
        let span = (point.arrival - oldest.arrival).max(0) + 500;
        let run = (point.bytes.saturating_sub(oldest.bytes), span);
        if denser(run, self.dense) {
            self.dense = run;
        }
    }
}

/// Whether `a` is denser than `b`, both bytes and µs.
fn denser(a: (u64, i64), b: (u64, i64)) -> bool {
    a.0 as f64 * b.1 as f64 > b.0 as f64 * a.1 as f64
}

/// Bits per second of so many bytes in so many µs, both above zero.
fn bps(bytes: u64, span: i64) -> Option<f64> {
    (bytes > 0 && span > 0).then(|| bytes as f64 * 8e6 / span as f64)
}
