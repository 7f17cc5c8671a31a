//! The floor under a latency: what the queue alone makes of it. Packets come as the publishers of the
//! load send them, and one core sends each on to every viewer of its stream, at so many nanoseconds a
//! packet, without a rest and without an error. Who comes while others are being sent waits.

use std::collections::VecDeque;

use crate::pacer::Pacer;
use crate::source::{Frame, Generator, Shape};

/// Datagrams that a server takes at once.
const BATCH: usize = 32;

/// Who sends to whom, and what it costs.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What each publisher sends.
    pub shape: Shape,
    /// Publishers; they begin as those of the load do.
    pub streams: usize,
    /// Viewers of each.
    pub viewers: usize,
    /// CPU of the core for each packet to each viewer.
    pub ns_per_packet: f64,
    /// How long.
    pub seconds: u64,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// From a packet's coming to its sending to a viewer: median and 99th percentile, µs.
    pub us: (u32, u32),
    /// Part of the core.
    pub busy: f64,
}

/// Follows the queue, packet by packet.
pub fn latency(plan: &Plan) -> Latency {
    let arrivals = arrivals(plan);
    let (mut now, mut spent) = (0.0, 0.0);
    let mut waits: Vec<u32> = Vec::with_capacity(arrivals.len() * plan.viewers);
    let mut rest = arrivals.as_slice();
    while let Some((first, _)) = rest.first() {
        now = f64::max(now, *first as f64);
        let come = rest.iter().take(BATCH).take_while(|(at, _)| *at as f64 <= now).count();
        let (batch, later) = rest.split_at(come);
        rest = later;
        for stream in 0..plan.streams {
            let of_it = || batch.iter().filter(|(_, s)| *s == stream);
            let cost = of_it().count() as f64 * plan.ns_per_packet / 1000.0;
            if cost == 0.0 {
                continue;
            }
            for _ in 0..plan.viewers {
                now += cost;
                spent += cost;
                waits.extend(of_it().map(|(at, _)| (now - *at as f64) as u32));
            }
        }
    }
    waits.sort_unstable();
    let at =
        |part: f64| waits.get((waits.len() as f64 * part) as usize).copied().unwrap_or_default();
    Latency { us: (at(0.5), at(0.99)), busy: spent / (plan.seconds * 1_000_000) as f64 }
}

/// When which stream's packets come, in µs.
fn arrivals(plan: &Plan) -> Vec<(u64, usize)> {
    let mut arrivals: Vec<(u64, usize)> = (0..plan.streams)
        .flat_map(|stream| {
            let phase = plan.shape.period_us() * stream as u64 / plan.streams as u64;
            let sent = departures(plan, stream as u64);
            sent.into_iter().map(move |at| (at + phase, stream))
        })
        .collect();
    arrivals.sort_unstable();
    arrivals
}

/// When one publisher's packets leave.
fn departures(plan: &Plan, seed: u64) -> Vec<u64> {
    let end = plan.seconds * 1_000_000;
    let mut pacer = Pacer::new(plan.shape.bitrate);
    let (mut sent, mut waiting) = (Vec::new(), VecDeque::new());
    let frames = Generator::new(plan.shape, seed).take_while(|f| f.at < end);
    for Frame { at, video, packets, .. } in frames {
        if video {
            waiting.extend(packets.iter().map(|(payload, _)| (at, payload.len())));
        } else {
            sent.push(at);
        }
    }
    while let Some((at, bytes)) = waiting.pop_front() {
        let now = pacer.due().max(at);
        pacer.sent(now, bytes);
        sent.push(now);
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(streams: usize, viewers: usize) -> Plan {
        Plan { shape: Shape::default(), streams, viewers, ns_per_packet: 3000.0, seconds: 10 }
    }

    #[test]
    fn nobody_waits_for_nobody_and_a_crowd_waits_for_itself() {
        let alone = latency(&plan(1, 1));
        // A picture of nine packets, each 3 µs.
        assert!((3..=30).contains(&alone.us.0) && alone.busy < 0.01, "{alone:?}");
        let crowd = latency(&plan(1, 500));
        assert!((0.4..0.6).contains(&crowd.busy), "{crowd:?}");
        assert!(crowd.us.1 > 20_000, "a keyframe to 500 viewers is that long: {crowd:?}");
        let spread = latency(&plan(16, 31));
        assert!((spread.busy - crowd.busy).abs() < 0.05, "{spread:?}");
        assert!(spread.us.1 * 5 < crowd.us.1, "{spread:?}");
        assert!(latency(&plan(16, 50)).us.1 > spread.us.1);
    }

    #[test]
    fn packets_leave_at_the_pace_of_the_load() {
        let sent = departures(&plan(1, 1), 0);
        assert!(sent.len() > 2000, "{}", sent.len());
        assert!(sent.iter().all(|at| *at < 10_100_000));
        // The first keyframe does not leave at once.
        let first = sent.iter().filter(|at| **at < 1000).count();
        assert!((20..40).contains(&first), "{first}");
    }
}
