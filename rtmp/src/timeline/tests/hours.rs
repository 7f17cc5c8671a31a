//! Two hours of a publisher, simulated: wraps, jumps, restarts, stalls, and a sound card that does not agree
//! with the clock. What viewers would see: a delay that does not grow, lips and voice together.

use super::*;

const HOURS: u64 = 2;
const MINUTE: u64 = 60_000_000;
/// What the sampling clock is slower by.
const DRIFT_PPM: u64 = 200;
/// The network adds up to so many microseconds.
const JITTER: u32 = 60_000;

/// A publisher: pictures 30 per second and AAC, timestamps in milliseconds of its clock.
struct Publisher {
    random: Random,
    /// To be added to its clock, in milliseconds.
    base: u64,
    /// FFmpeg: the 32nd bit is lost.
    masked: bool,
    pictures: u64,
    sounds: u64,
    /// When the connection last delivered.
    arrived: u64,
    /// Until then it delivers nothing.
    stalled: u64,
}

impl Publisher {
    /// The next unit: what it is, and when it was captured, in microseconds.
    fn next(&mut self) -> (Track, u64) {
        let picture = self.pictures * 1_000_000 / 30;
        let sound = self.sounds * 1024 * (1_000_000 + DRIFT_PPM) / 48_000;
        if picture <= sound {
            self.pictures += 1;
            (VIDEO, picture)
        } else {
            self.sounds += 1;
            (AUDIO, sound)
        }
    }

    fn timestamp(&self, captured: u64) -> u32 {
        let timestamp = self.base.wrapping_add(captured / 1000) as u32;
        if self.masked { timestamp & 0x7fff_ffff } else { timestamp }
    }

    /// When a unit arrives, in order, in microseconds.
    fn arrival(&mut self, captured: u64) -> u64 {
        let late = 40_000 + u64::from(self.random.next() % JITTER);
        self.arrived = self.arrived.max(captured + late).max(self.stalled);
        self.arrived
    }

    /// What happens in the minute that begins.
    fn minute(&mut self, minute: u64, captured: u64) {
        let clock = captured / 1000;
        match minute {
            // It begins five minutes before 2^32.
            20 => self.base = self.base.wrapping_add(3 * 3_600_000),
            30 => self.stalled = captured + 8_000_000,
            // The encoder starts anew.
            40 => self.base = 0u64.wrapping_sub(clock),
            // A minute before 2^31, by a program that loses the sign.
            60 => (self.base, self.masked) = ((1u64 << 31).wrapping_sub(60_000 + clock), true),
            90 => (self.base, self.masked) = (4_000_000_000u64.wrapping_sub(clock), false),
            95..=110 => self.base = self.base.wrapping_add(u64::from(self.random.next())),
            _ => {}
        }
    }
}

/// How far each track is from when it was captured, in microseconds, and how it went.
#[derive(Default)]
struct Seen {
    video: i64,
    audio: i64,
    least: i64,
    most: i64,
    worst_lips: i64,
    jumps: u64,
    uneven: u64,
    ticks: i64,
}

impl Seen {
    fn add(&mut self, track: Track, captured: u64, place: Place, counted: bool) {
        let off = place.dts.nanos() / 1000 - captured as i64;
        match track.kind {
            Kind::Video => self.video = off,
            Kind::Audio => {
                self.audio = off;
                let step = place.dts.ticks() - self.ticks;
                self.uneven += u64::from(!(1023..=1025).contains(&step));
                self.ticks = place.dts.ticks();
            }
        }
        self.jumps += u64::from(place.jump.is_some());
        if counted {
            self.least = self.least.min(off);
            self.most = self.most.max(off);
            self.worst_lips = self.worst_lips.max((self.video - self.audio).abs());
        }
    }
}

#[test]
fn two_hours_of_wraps_jumps_and_drift_show_no_growing_delay() {
    let mut bench = Bench::new();
    let mut publisher = Publisher {
        random: Random(1),
        base: (1 << 32) - 5 * 60_000,
        masked: false,
        pictures: 0,
        sounds: 0,
        arrived: 0,
        stalled: 0,
    };
    let (mut seen, mut minute, mut units) = (Seen::default(), 0, 0u64);
    loop {
        let (track, captured) = publisher.next();
        if captured >= HOURS * 60 * MINUTE {
            break;
        }
        if captured / MINUTE > minute {
            minute += 1;
            publisher.minute(minute, captured);
        }
        let timestamp = publisher.timestamp(captured);
        let arrival = publisher.arrival(captured);
        let mark = match track.kind {
            Kind::Audio => sound(timestamp, AAC),
            Kind::Video => picture(timestamp),
        };
        let now = bench.start + Duration::from_micros(arrival);
        let place = bench.timeline.place(now, track, mark);
        units += 1;
        // Both have said something since the last jump from here on.
        seen.add(track, captured, place, captured % MINUTE > 100_000);
    }
    let millis = |micros: i64| micros as f64 / 1000.0;
    println!(
        "{units} units, {} jumps: {:.1} to {:.1} ms off, lips {:.1} ms, {} uneven steps of sound, {:?}",
        seen.jumps,
        millis(seen.least),
        millis(seen.most),
        millis(seen.worst_lips),
        seen.uneven,
        bench.timeline.counters(),
    );
    assert_eq!(seen.jumps, 20, "each said once");
    assert!(seen.worst_lips <= 20_000, "lip-sync {} ms", millis(seen.worst_lips));
    // As late as the network is, and no more.
    let most = i64::from(JITTER) + 5_000;
    assert!(seen.most <= most && seen.least >= -most, "{} {}", seen.least, seen.most);
    assert!(seen.uneven <= 2 * seen.jumps, "{} uneven steps of sound", seen.uneven);
}
