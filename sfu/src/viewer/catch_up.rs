//! How fast a viewer that has just joined gets the backlog, the current GOP from the ring, and when
//! it is given up. Pure: bytes and times in, an allowance and a verdict out.
//!
//! 1. **The bet.** Before anything is known the link is taken to carry 1.5 times the encoding and to
//!    queue [`BURST`]: so much of the keyframe goes at once, the rest of it at 1.5 times the bitrate.
//!    That burst is also the probe: a packet train whose spread on arrival is the link's capacity.
//!    Then it waits for the first feedback: a client that got some pictures more and then nothing would
//!    count a freeze, and one that got the keyframe alone does not.
//! 2. **Feedback** (transport-cc, each 50 to 100 ms in Chromium). Delay as it was: up to eight times
//!    faster, within 85 % of what the densest arrivals prove, and not again before the effect is seen.
//!    Delay risen: the capacity is the rate of the arrivals, and 85 % of that goes on if it catches up
//!    within 2 s of the beginning; else the verdict is [`Verdict::GiveUp`], at the end of the keyframe,
//!    which stays as a still.
//! 3. **Jitter** climbs in leaps and a queue step by step. Steps of 5 ms in all are believed at once;
//!    leaps only cap the next raise, unless they exceed 30 ms, and then it takes two reports.
//! 4. **Loss** of up to 10 % of a report alone is the weather of a radio link and slows nothing.
//!    With a risen delay, or above 10 %, it is ours.
//! 5. **No feedback**, not negotiated or not arriving: at most 1.5 times the bitrate for 200 ms, then
//!    in 400 ms up to what 2 s need, at most 6 times. Loss (NACK, receiver report) is the only brake:
//!    it costs half of what lies above the bitrate, and after two events an infeasible backlog is
//!    given up.
//!
//! A backlog not there after 2 s ends too, unless 300 ms more will do.
//!
//! Who joins with a keyframe, or just after it, is live: what has come of it goes at once, as it does to
//! everybody else. And nobody is given up who has seen pictures move and has little left to get.
//!
//! Memory: one ring of at most 4096 records of 16 bytes, allocated by [`CatchUp::new`], nothing after.
//! Feedback is the viewer's word; the worst that a lie buys is its own backlog at [`FASTEST`].

mod bucket;
mod sent;
#[cfg(test)]
mod tests;
mod trend;

use std::time::{Duration, Instant};

use self::bucket::{Bucket, PACKET};
use self::sent::Ring;
use self::trend::{Trend, Window};

/// What goes at once, in bytes: two thirds of a small router's queue of 64 KB.
const BURST: u64 = 40_000;
/// The link is taken to carry so many times the encoding's bitrate.
const BET: f64 = 1.5;
/// After the keyframe, while no report says how it went: less than the bet, so that its queue drains.
const AFTER_KEYFRAME: f64 = 1.2;
/// So many bytes go before it waits for feedback, also where the keyframe is smaller: the first report
/// needs some packets to speak of.
const PROBE: u64 = 24_000;
/// What is said at most of how long the rest takes.
const MOST_LEFT: Duration = Duration::from_millis(250);
/// The share of a measured capacity that is used.
const SHARE: f64 = 0.85;
/// Bits per second: 4 s of 8 Mbit/s in 80 ms.
const FASTEST: f64 = 400e6;
/// A calm link may go straight to this rate where its arrivals prove so much.
const USEFUL: f64 = 24e6;
/// A backlog is caught up within this time or not at all.
const LIMIT: Duration = Duration::from_secs(2);
/// What a backlog that is nearly there may take longer.
const GRACE: Duration = Duration::from_millis(300);
/// Feedback is late after this and the round trip, and what it taught is no longer trusted.
const STALE: Duration = Duration::from_millis(250);
/// Without feedback the bet holds so long.
const LISTEN: Duration = Duration::from_millis(200);
/// Then the rate climbs for so long to what is needed.
const RAMP: Duration = Duration::from_millis(400);
/// Without feedback, at most so many times the bitrate.
const BLIND: f64 = 6.0;
/// A keyframe no older than this is live.
const FRESH: Duration = Duration::from_millis(200);
/// Since so long after the beginning pictures move: to give up is a freeze then.
const MOVING: Duration = Duration::from_millis(500);
/// What is left goes at once rather than never if it is so much media, at most [`BURST`], and the link has no
/// longer queue than [`SHORT`].
const NEAR: Duration = Duration::from_millis(300);
/// In µs.
const SHORT: i64 = 100_000;
/// Share of a report's packets whose loss alone is congestion.
const HEAVY_LOSS: f64 = 0.1;

/// What is to be caught up.
#[derive(Debug, Clone, Copy)]
pub struct Backlog {
    /// Since the keyframe came.
    pub age: Duration,
    /// Parameter sets and keyframe.
    pub keyframe_bytes: u64,
    /// All of it, the keyframe included, up to the live head.
    pub bytes: u64,
    /// Of the encoding now.
    pub bitrate_bps: u64,
    /// Transport-cc was negotiated.
    pub feedback: bool,
    /// Round trip to the viewer, where known.
    pub rtt: Option<Duration>,
}

/// Whether it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does, or the live head is reached.
    Continue,
    /// Nothing more of the backlog may go out: the viewer joins at the next keyframe.
    GiveUp {
        /// What the link carries, where that was measured.
        capacity_bps: Option<u64>,
    },
}

/// One viewer's catching up.
#[derive(Debug)]
pub struct CatchUp {
    start: Instant,
    backlog: Backlog,
    bitrate: f64,
    bucket: Bucket,
    rate: f64,
    ring: Ring,
    trend: Trend,
    /// Measured where a queue was seen to fill, in bits per second.
    capacity: Option<f64>,
    /// How long a steady climb that measure rests on, in µs; 0: on jitter, perhaps.
    firm: i64,
    /// When a report came that told something.
    heard: Option<Instant>,
    /// Departure of the newest packet that arrived, in µs.
    newest: i64,
    /// When the rate was last raised, in µs.
    raised: i64,
    standing: i64,
    /// The link has been full once: no more leaps.
    full: bool,
    strikes: u32,
    braked: Option<Instant>,
    asked: Instant,
    behind: u64,
    sent: u64,
    /// All that is left goes at once, and has been let go.
    live: bool,
    leapt: bool,
    given_up: bool,
}

impl CatchUp {
    /// Begins: the first [`CatchUp::allowance`] is the burst.
    pub fn new(now: Instant, backlog: Backlog) -> Self {
        let bitrate = backlog.bitrate_bps.clamp(50_000, 200_000_000) as f64;
        // The keyframe alone must be long enough for a first report.
        let chunk = if backlog.keyframe_bytes < BURST { 4 } else { 8 };
        Self {
            start: now,
            backlog,
            bitrate,
            bucket: Bucket::new(now, BURST.min(backlog.keyframe_bytes).max(2 * PACKET)),
            rate: bitrate * BET,
            ring: Ring::new(if backlog.feedback { backlog.bytes } else { 0 }),
            trend: Trend::new(chunk),
            capacity: None,
            firm: 0,
            heard: None,
            newest: i64::MIN,
            raised: 0,
            standing: 0,
            full: false,
            strikes: 0,
            braked: None,
            asked: now,
            behind: backlog.bytes,
            sent: 0,
            live: backlog.age <= FRESH,
            leapt: false,
            given_up: false,
        }
    }

    /// How many bytes may go out now, of `behind` that lie before the live head, live packets that
    /// have come meanwhile included. A last packet may overdraw; report each by [`CatchUp::sent`].
    pub fn allowance(&mut self, now: Instant, behind: u64) -> usize {
        (self.asked, self.behind) = (self.asked.max(now), behind);
        if self.live && !std::mem::replace(&mut self.leapt, true) {
            return usize::try_from(behind).unwrap_or(usize::MAX);
        }
        self.rate = self.rate_now(now);
        self.watch_time(now);
        // Who asks late saves up no burst.
        let depth = (self.rate / 8.0 * 0.004).max(2.0 * PACKET as f64);
        let allowed = self.bucket.fill(now, self.rate, depth);
        let goes_on = self.verdict() == Verdict::Continue && !self.awaits_feedback(now);
        if goes_on { allowed } else { 0 }
    }

    /// How long the backlog takes at the rate that it has now, at most 250 ms.
    pub fn time_left(&self) -> Duration {
        if self.live {
            return Duration::ZERO;
        }
        let spare = (self.rate - self.bitrate).max(1.0);
        let left = (self.behind as f64 * 8.0 / spare).min(MOST_LEFT.as_secs_f64());
        Duration::from_secs_f64(left)
    }

    /// When to ask again, 1 to 5 ms after the last time; `None` at the live head or given up.
    pub fn deadline(&self) -> Option<Instant> {
        let goes_on = self.behind > 0 && self.verdict() == Verdict::Continue;
        let wait = self.bucket.wait(2.0 * PACKET as f64, self.rate);
        let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(5));
        goes_on.then(|| self.asked + wait)
    }

    /// A packet of the backlog of so many bytes went out under this transport-cc number. Without
    /// transport-cc any number will do.
    pub fn sent(&mut self, now: Instant, seq: u16, bytes: usize) {
        self.bucket.take(bytes);
        self.sent = self.sent.saturating_add(bytes as u64);
        if self.backlog.feedback {
            self.ring.push(seq, self.micros(now), bytes);
        }
    }

    /// A transport-cc report: number and arrival in µs on the receiver's clock, `None` for what has
    /// not arrived. Numbers of other packets than the backlog's are skipped.
    pub fn feedback(&mut self, now: Instant, packets: impl Iterator<Item = (u16, Option<i64>)>) {
        if !self.backlog.feedback {
            return;
        }
        // Stragglers are those that jitter chose: they count as arrived, but measure nothing.
        let before = self.newest;
        // No report can name more packets than there are numbers.
        for (seq, arrival) in packets.take(1 << 16) {
            let Some(arrival) = arrival else {
                self.ring.missing(seq);
                continue;
            };
            if let Some((at, size)) = self.ring.arrived(seq)
                && at >= before
                && self.trend.push(at, arrival, size)
            {
                self.newest = self.newest.max(at);
            }
        }
        if let Some(window) = self.trend.look() {
            if self.heard.replace(now).is_none() {
                // What NACKs said before, the report says better.
                self.strikes = 0;
            }
            if !self.given_up {
                self.judge(now, window);
            }
        }
    }

    /// A NACK, or a receiver report with loss. Where transport-cc reports arrive, they know better.
    pub fn lost(&mut self, now: Instant) {
        let pause = self.backlog.rtt.unwrap_or_default().max(Duration::from_millis(100));
        let again = self.braked.is_none_or(|t| now.saturating_duration_since(t) >= pause);
        if self.hears(now) || !again {
            return;
        }
        self.braked = Some(now);
        self.strikes += 1;
        self.rate = self.bitrate + (self.rate - self.bitrate).max(0.0) / 2.0;
        self.bucket.clear();
        if self.strikes >= 2 && !self.in_time(now, self.rate) {
            self.given_up = true;
        }
    }

    /// Whether it goes on. The keyframe is always sent to its end.
    pub fn verdict(&self) -> Verdict {
        if self.given_up && self.behind > 0 && self.sent >= self.backlog.keyframe_bytes {
            Verdict::GiveUp { capacity_bps: self.capacity.map(|c| c as u64) }
        } else {
            Verdict::Continue
        }
    }

    /// What one window of feedback means.
    fn judge(&mut self, now: Instant, window: Window) {
        // Jitter excuses no more than 12 ms to and fro.
        let noise = window.noise.min(12_000) * 2;
        let (arrived, lost) = self.ring.decide(self.newest - 2_000 - 2 * noise);
        let heavy = lost >= 6 && f64::from(lost) > HEAVY_LOSS * f64::from(arrived + lost);
        let leaps = 30_000 + noise;
        let climbs = window.rise > if window.steady { 5_000 + noise } else { leaps };
        let stands = window.standing > leaps;
        let falls = window.standing < self.standing - 2_000;
        self.standing = window.standing;
        if climbs || heavy || (stands && !falls) || (lost > 0 && window.standing > 10_000 + noise) {
            let firm = climbs && window.steady;
            if firm {
                self.firm = window.rise;
            }
            let climbing = window.climbing_bps.filter(|_| climbs).unwrap_or(0.0);
            let seen = climbing.max(window.arrival_bps.unwrap_or(0.0));
            if seen > 0.0 {
                self.congested(now, seen, if firm { 2 } else { 1 });
            } else {
                // Losses in too short a time to know the capacity.
                self.rate = (self.rate * 0.7).max(self.bitrate / 2.0);
            }
        } else if window.standing > 22_000 + noise {
            // It drains, or begins to fill.
            let known = self.capacity.unwrap_or(self.rate);
            let known = if falls { known } else { known.min(window.arrival_bps.unwrap_or(known)) };
            self.capacity = Some(known);
            self.rate = self.rate.min(known * SHARE).max(self.bitrate / 2.0);
        } else {
            self.strikes = self.strikes.saturating_sub(1);
            self.calm(now, window, noise);
        }
    }

    /// The queue does not grow: faster, within what has been proven.
    fn calm(&mut self, now: Instant, window: Window, noise: i64) {
        let arrival = window.arrival_bps.unwrap_or(0.0);
        let growth = match self.rate {
            _ if self.full => 1.1,
            rate if rate > USEFUL => 1.25,
            _ => 1.5,
        };
        let soft = window.climbing_bps.filter(|_| window.rise > 500 + noise);
        let soft = soft.map(|bps| bps.max(arrival));
        let firm = if window.steady { window.rise } else { 0 };
        match (self.capacity, soft) {
            (None, Some(soft)) => (self.capacity, self.firm) = (Some(soft), firm),
            // What a long train has measured, shorter ones do not correct.
            (Some(_), Some(soft)) if firm > self.firm => {
                (self.capacity, self.firm) = (Some(soft), firm);
            }
            (Some(known), soft) if self.firm == 0 && window.middle >= self.raised => {
                self.capacity = Some((known * growth).max(soft.unwrap_or(0.0)));
            }
            _ => {}
        }
        // The last raise is judged before the next: most of what arrived left after it.
        if window.middle < self.raised {
            return;
        }
        // Even if all the noise hid a queue, so much came through.
        let (bytes, span) = window.dense;
        let proven = bytes as f64 * 8e6 / (span + noise) as f64;
        let faster = (self.rate * 8.0).max(USEFUL).min(proven * SHARE).max(self.rate * growth);
        let most = self.capacity.map_or(FASTEST, |c| c * SHARE);
        self.rate = faster.min(most).min(FASTEST);
        self.raised = self.micros(now);
    }

    /// A queue grows: the capacity is what arrived.
    fn congested(&mut self, now: Instant, seen: f64, strikes: u32) {
        self.full = true;
        let seen = seen.min(FASTEST);
        let capacity =
            self.capacity.map_or(seen, |c| if seen < c { seen } else { (seen + c) / 2.0 });
        self.capacity = Some(capacity);
        // Slower yet by what drains the standing queue in 200 ms.
        let drain = (self.standing as f64 / 200e3).min(0.4);
        self.rate = (capacity * (SHARE - drain)).max(self.bitrate / 2.0);
        self.bucket.clear();
        if !self.in_time(now, capacity * SHARE) {
            self.strikes += strikes;
            if self.strikes >= 2 {
                self.give_up(now);
            }
        }
    }

    /// Ends it: at the live head if that is near and pictures move, else where it is.
    fn give_up(&mut self, now: Instant) {
        let moves = now.saturating_duration_since(self.start) >= MOVING;
        let near = BURST.min((self.bitrate / 8.0 * NEAR.as_secs_f64()) as u64);
        if moves && self.behind <= near && self.standing <= SHORT && !self.leapt {
            self.live = true;
        } else {
            self.given_up = true;
        }
    }

    /// The rate without news: that of the last report, while it is fresh.
    fn rate_now(&self, now: Instant) -> f64 {
        let bet = if self.sent < self.backlog.keyframe_bytes { BET } else { AFTER_KEYFRAME };
        if self.hears(now) {
            return self.rate;
        }
        let age = now.saturating_duration_since(self.start);
        let awaited = self.backlog.feedback && age < self.stale();
        if self.heard.is_some() || awaited {
            return (self.bitrate * bet).min(self.rate);
        }
        if self.braked.is_some() {
            return self.rate;
        }
        if age < LISTEN {
            return self.bitrate * BET;
        }
        let left = (LIMIT.as_secs_f64() * 0.8 - age.as_secs_f64()).max(0.1);
        let needed = (1.0 + self.behind as f64 * 8.0 / left / self.bitrate).clamp(BET, BLIND);
        // In a ramp, so that a queue that overflows does so while little is in excess.
        let climbed = (age - LISTEN).as_secs_f64() / RAMP.as_secs_f64();
        let times = BET + (needed - BET) * climbed.min(1.0);
        // Never slower than before, or the end would come ever later.
        (times * self.bitrate).max(self.rate)
    }

    /// The keyframe is out, and nothing is known of the link yet.
    fn awaits_feedback(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.start);
        let awaited = self.backlog.feedback && self.heard.is_none() && age < self.stale();
        awaited && self.sent >= self.backlog.keyframe_bytes.max(PROBE)
    }

    /// Ends what takes too long.
    fn watch_time(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.start);
        if self.behind == 0 || age < LIMIT {
            return;
        }
        let spare = (self.rate - self.bitrate).max(1.0);
        let rest = self.behind as f64 * 8.0 / spare;
        if age.as_secs_f64() + rest > (LIMIT + GRACE).as_secs_f64() {
            self.give_up(now);
        }
    }

    /// Could the rest be caught up at `bps` until the limit, the standing queue drained on the way?
    fn in_time(&self, now: Instant, bps: f64) -> bool {
        let left = LIMIT.saturating_sub(now.saturating_duration_since(self.start));
        let queue = self.capacity.unwrap_or(bps) * self.standing.max(0) as f64 / 1e6;
        self.behind as f64 * 8.0 + queue <= (bps - self.bitrate) * left.as_secs_f64() * 0.9
    }

    fn hears(&self, now: Instant) -> bool {
        self.heard.is_some_and(|t| now.saturating_duration_since(t) < self.stale())
    }

    fn stale(&self) -> Duration {
        STALE + self.backlog.rtt.unwrap_or_default().min(Duration::from_millis(250))
    }

    fn micros(&self, now: Instant) -> i64 {
        i64::try_from(now.saturating_duration_since(self.start).as_micros()).unwrap_or(i64::MAX)
    }
}

/// Could a backlog of so many bytes of an encoding of that bitrate be caught up within 2 s over such
/// a link? If not, the ring of the lowest encoding may do.
pub fn feasible(backlog_bytes: u64, bitrate_bps: u64, capacity_bps: u64) -> bool {
    let spare = capacity_bps as f64 * SHARE - bitrate_bps as f64;
    backlog_bytes as f64 * 8.0 <= spare * LIMIT.as_secs_f64()
}
