//! A link, a receiver with a clock of its own, and a source: deterministic, in µs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::{Backlog, CatchUp, Verdict};
use crate::test::epoch;

const PACKET: u64 = 1200;
const FRAME: i64 = 33_333;
const GOP: i64 = 4_000_000;

/// How a link is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) bps: f64,
    /// Drop-tail, in bytes.
    pub(super) queue: f64,
    /// Each way.
    pub(super) delay: i64,
    /// Uniform, from 0.
    pub(super) jitter: i64,
    /// Jitter overtakes, as netem's does, instead of holding up what follows.
    pub(super) reorders: bool,
    /// Arrivals wait for the next multiple of this, as a radio's aggregates do.
    pub(super) bunch: i64,
    /// Of 1000 packets.
    pub(super) loss: u64,
    /// Of 1000 reports.
    pub(super) deaf: u64,
    /// Between reports, least and most.
    pub(super) report: (i64, i64),
    /// Parts per million that the receiver's clock runs fast.
    pub(super) drift: i64,
    /// Of the receiver's clock.
    pub(super) offset: i64,
}

impl Link {
    pub(super) const fn new(bps: f64, queue: f64, delay: i64) -> Self {
        Self {
            bps,
            queue,
            delay,
            jitter: 0,
            reorders: false,
            bunch: 1,
            loss: 0,
            deaf: 0,
            report: (50_000, 100_000),
            drift: 150,
            offset: -7_300_000_000,
        }
    }
}

/// What came of a join. ms.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome {
    /// When the last packet of the keyframe was there.
    pub(super) keyframe: f64,
    pub(super) caught_up: Option<f64>,
    pub(super) given_up: Option<f64>,
    pub(super) capacity: Option<u64>,
    /// What the queue dropped.
    pub(super) overflow: u32,
    pub(super) sent: u32,
    /// The longest queue that we made.
    pub(super) longest: f64,
    /// The queue at the end, and 100 ms after it, with the live stream where it was caught up.
    pub(super) queue: f64,
    pub(super) after: f64,
}

/// SplitMix64.
pub(super) fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a report says of a packet: its number, and when it arrived.
pub(super) type Said = (u16, Option<i64>);

/// Reports may be rewritten on their way.
pub(super) type Lie<'a> = &'a dyn Fn(Said) -> Said;

/// One join.
pub(super) struct World<'a> {
    pub(super) link: Link,
    pub(super) bitrate: u64,
    /// Of the GOP, in µs.
    pub(super) age: i64,
    pub(super) feedback: bool,
    pub(super) seed: u64,
    pub(super) lie: Option<Lie<'a>>,
}

struct Run<'a> {
    world: World<'a>,
    base: Instant,
    now: i64,
    free_at: i64,
    last_arrival: i64,
    seq: u16,
    /// Number, arrival if ever, whether it was reported as arrived.
    air: VecDeque<(u16, Option<i64>, bool)>,
    /// Reports on their way back: when they are here, and what they say.
    reports: VecDeque<(i64, Vec<Said>)>,
    /// When a NACK is here.
    nacks: VecDeque<i64>,
    backlog: VecDeque<(u64, bool)>,
    frame: i64,
    outcome: Outcome,
}

impl World<'_> {
    /// Bytes of frame `n`, counted from a keyframe, which is ten times the others.
    fn frame(&self, n: i64) -> u64 {
        let frames = GOP / FRAME;
        let p = self.bitrate as f64 / 8.0 * 4.0 / (frames + 9) as f64;
        if n % frames == 0 { (p * 10.0) as u64 } else { p as u64 }
    }

    pub(super) fn run(self) -> Outcome {
        let frames = self.age / FRAME;
        let mut run = Run {
            base: epoch() + Duration::from_secs(5),
            now: 0,
            free_at: 0,
            last_arrival: i64::MIN,
            seq: 65_500,
            air: VecDeque::new(),
            reports: VecDeque::new(),
            nacks: VecDeque::new(),
            backlog: VecDeque::new(),
            frame: 0,
            outcome: Outcome::default(),
            world: self,
        };
        for _ in 0..=frames {
            run.live_frame();
        }
        run.go();
        run.outcome
    }
}

impl Run<'_> {
    fn go(&mut self) {
        let (behind, keyframe) = (self.behind(), self.world.frame(0));
        let mut catch_up = CatchUp::new(
            self.base,
            Backlog {
                // The way to the live head is what is looked at, at any age of the keyframe.
                age: Duration::from_secs(1),
                keyframe_bytes: keyframe,
                bytes: behind,
                bitrate_bps: self.world.bitrate,
                feedback: self.world.feedback,
                rtt: None,
            },
        );
        let mut live = FRAME / 2;
        let mut report = self.world.link.delay + self.interval() / 2;
        let (mut wake, mut end) = (0, None::<i64>);
        for _ in 0..200_000 {
            let back = self.reports.front().map_or(i64::MAX, |(t, _)| *t);
            let nack = self.nacks.front().map_or(i64::MAX, |t| *t);
            self.now = wake.min(live).min(report).min(back).min(nack);
            let over = end.is_some_and(|end| self.now > end + 100_000);
            if over || self.now > 10_000_000 {
                break;
            }
            if self.now == live {
                self.live_frame();
                live += FRAME;
            } else if self.now == report {
                self.report();
                report += self.interval();
            } else if self.now == back {
                let (_, packets) = self.reports.pop_front().unwrap();
                catch_up.feedback(self.at(), packets.into_iter());
            } else if self.now == nack {
                self.nacks.pop_front();
                catch_up.lost(self.at());
            }
            if end.is_some() {
                self.live();
                wake = i64::MAX;
                continue;
            }
            self.send(&mut catch_up);
            wake = catch_up.deadline().map_or(i64::MAX, |t| (t - self.base).as_micros() as i64);
            self.end(&catch_up, &mut end);
        }
        self.outcome.after = self.queue();
    }

    /// What may go, goes.
    fn send(&mut self, catch_up: &mut CatchUp) {
        let mut allowed = catch_up.allowance(self.at(), self.behind());
        while allowed > 0
            && let Some((size, key)) = self.backlog.pop_front()
        {
            let arrival = self.transmit(size);
            catch_up.sent(self.at(), self.seq, size as usize);
            self.air.push_back((self.seq, arrival, false));
            self.seq = self.seq.wrapping_add(1 + u16::from(self.outcome.sent.is_multiple_of(9)));
            if key && let Some(arrival) = arrival {
                self.outcome.keyframe = self.outcome.keyframe.max(arrival as f64 / 1e3);
            }
            allowed = allowed.saturating_sub(size as usize);
        }
        self.outcome.longest = self.outcome.longest.max(self.queue());
        catch_up.allowance(self.at(), self.behind());
    }

    fn end(&mut self, catch_up: &CatchUp, end: &mut Option<i64>) {
        let ms = self.now as f64 / 1e3;
        if let Verdict::GiveUp { capacity_bps } = catch_up.verdict() {
            self.outcome.given_up = Some(ms);
            self.outcome.capacity = capacity_bps;
        } else if self.backlog.is_empty() {
            let there = self.last_arrival.max(self.now);
            self.outcome.caught_up = Some(there as f64 / 1e3);
        } else {
            return;
        }
        *end = Some(self.now);
        self.outcome.queue = self.queue();
    }

    /// After the end: live packets as they come, or nothing at all.
    fn live(&mut self) {
        let caught_up = self.outcome.caught_up.is_some();
        let (sent, overflow) = (self.outcome.sent, self.outcome.overflow);
        while let Some((size, _)) = self.backlog.pop_front() {
            if caught_up {
                self.transmit(size);
            }
        }
        (self.outcome.sent, self.outcome.overflow) = (sent, overflow);
    }

    /// When it arrives, if it does.
    fn transmit(&mut self, size: u64) -> Option<i64> {
        let link = self.world.link;
        self.outcome.sent += 1;
        let waiting = (self.free_at - self.now).max(0) as f64 * link.bps / 8e6;
        if waiting + size as f64 > link.queue {
            self.outcome.overflow += 1;
            self.nacks.push_back(self.free_at + 2 * link.delay);
            return None;
        }
        let takes = (size as f64 * 8e6 / link.bps).max(1.0) as i64;
        self.free_at = self.free_at.max(self.now) + takes;
        let late = match link.jitter {
            0 => 0,
            jitter => (random(&mut self.world.seed) % jitter as u64) as i64,
        };
        let mut arrival = (self.free_at + link.delay + late) / link.bunch * link.bunch + link.bunch;
        if !link.reorders {
            arrival = arrival.max(self.last_arrival);
        }
        self.last_arrival = self.last_arrival.max(arrival);
        if random(&mut self.world.seed) % 1000 < link.loss {
            self.nacks.push_back(arrival + link.delay);
            return None;
        }
        Some(arrival)
    }

    /// The receiver reports from the first packet that it has not reported to the newest it has.
    fn report(&mut self) {
        let link = self.world.link;
        let here = |a: &Option<i64>| a.is_some_and(|a| a <= self.now);
        while self.air.front().is_some_and(|p| p.2) {
            self.air.pop_front();
        }
        let newest = self.air.iter().rposition(|(_, a, told)| here(a) && !told);
        let Some(newest) = newest else { return };
        let oldest = self.air.iter().position(|(_, a, told)| here(a) && !told).unwrap();
        // Gaps before the oldest news were told the last time.
        let from = self.air.iter().take(oldest).rposition(|p| p.2).map_or(0, |i| i + 1);
        let now = self.now;
        let clock = |t: i64| (t + t * link.drift / 1_000_000 + link.offset) / 250 * 250;
        let mut packets = Vec::new();
        for (seq, arrival, told) in self.air.iter_mut().take(newest + 1).skip(from) {
            let arrival = arrival.filter(|a| *a <= now);
            *told |= arrival.is_some();
            let said = (*seq, arrival.map(clock));
            packets.push(self.world.lie.map_or(said, |lie| lie(said)));
        }
        if random(&mut self.world.seed) % 1000 >= link.deaf && self.world.feedback {
            self.reports.push_back((self.now + link.delay, packets));
        }
    }

    fn live_frame(&mut self) {
        let mut left = self.world.frame(self.frame);
        while left > 0 {
            let size = left.min(PACKET);
            self.backlog.push_back((size, self.frame == 0));
            left -= size;
        }
        self.frame += 1;
    }

    fn interval(&mut self) -> i64 {
        let (least, most) = self.world.link.report;
        least + (random(&mut self.world.seed) % (most - least).max(1) as u64) as i64
    }

    fn behind(&self) -> u64 {
        self.backlog.iter().map(|(size, _)| size).sum()
    }

    /// In ms.
    fn queue(&self) -> f64 {
        (self.free_at - self.now).max(0) as f64 / 1e3
    }

    fn at(&self) -> Instant {
        self.base + Duration::from_micros(self.now as u64)
    }
}
