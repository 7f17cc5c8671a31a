//! When a packet was captured, on the server's monotonic clock: one [`StreamClock`] for a publisher,
//! one [`Source`] for each of its encodings, so that audio, video and all layers of a simulcast fall
//! into step. By arrival first: a packet that came as promptly as any of late (`delay`) was captured
//! then. Sender reports (RFC 3550 section 6.4.1, `reports`) show how much longer each encoding takes to
//! arrive than the promptest one (`wall`), and that is taken off. What is told about one run of
//! timestamps is slewed, never jumped, but for a burst that it begins with. No clock is read here, and no codec known.

mod delay;
mod reports;
#[cfg(test)]
mod tests;
mod wall;

use std::time::{Duration, Instant, SystemTime};

use self::delay::Shortest;
use self::reports::{News, Reports};
use self::wall::Wall;

const SECOND: i64 = 1_000_000_000;
const MILLISECOND: i64 = 1_000_000;

/// How fast a captured time may move against its timestamps: 25 ms in a second, and after a pause no more
/// than that at once. It mends the 100 ms that encoders differ by in four seconds, is a hundred times
/// what clocks drift, and a third of what browsers move sound against picture by in a second.
const SLEW_PER_SECOND: i64 = 25 * MILLISECOND;
/// What is told is slewed as long as it is not further off than this; then it is told anew, by arrival.
const ASTRAY: i64 = 10 * SECOND;
/// A report speaks of the moment when it was sent. If its timestamp is further than this from what arrives
/// with it, it is of another clock. Reports are seen with the next packet, so they may be a little old.
const REPORT_AGE: i64 = 10 * SECOND;
/// A publisher that read ahead, or queued media up while it connected, lets it all go at once. What comes this
/// soon after a run's first packet, and more promptly, says that the first was late, and that is told at once:
/// slewed, it would be half a second wrong for half a minute.
const BEGINNING: i64 = SECOND;
/// More than encoders and pacers hold anything back: what says so is wrong.
const MOST_EXTRA: i64 = 2 * SECOND;

/// The clock of one publisher.
#[derive(Debug, Default)]
pub struct StreamClock {
    /// The first arrival. All times inside are nanoseconds since then.
    epoch: Option<Instant>,
    /// How many sources have come.
    sources: u32,
    wall: Wall,
}

/// One encoding of a publisher: packets of one SSRC. Belongs to one [`StreamClock`].
#[derive(Debug)]
pub struct Source {
    /// Ticks per second.
    rate: u32,
    /// Among the sources of its clock; 0 before the first packet.
    id: u32,
    run: Option<Run>,
    /// How much longer its packets take to arrive than those of the promptest source. Kept when reports
    /// stop, and when timestamps start anew.
    extra: i64,
}

/// An unbroken run of timestamps.
#[derive(Debug)]
struct Run {
    /// When its first packet came.
    began: i64,
    /// The newest timestamp, and how many ticks it is from the first.
    newest: (u32, i64),
    /// Arrival less media time.
    delay: Shortest,
    reports: Reports,
    /// Captured time less media time: what is slewed.
    offset: i64,
    /// When it was slewed last.
    slewed: i64,
}

impl StreamClock {
    /// A clock for a publisher that has just come.
    pub fn new() -> Self {
        Self::default()
    }

    /// When the packet of `source` with this RTP timestamp was captured.
    pub fn captured(&mut self, source: &mut Source, arrival: Instant, timestamp: u32) -> Instant {
        let epoch = *self.epoch.get_or_insert(arrival);
        let now = since(epoch, arrival);
        if source.id == 0 {
            self.sources += 1;
            source.id = self.sources;
        }
        let mut media = source.take(timestamp, now);
        if !self.slew(source, now) {
            media = source.begin(timestamp, now);
        }
        let captured = source.run.as_ref().map_or(now, |run| media + run.offset);
        at(epoch, captured).unwrap_or(arrival)
    }

    /// The publisher's sender report for `source`: its wall clock showed `ntp` at the RTP timestamp. To be
    /// called once for each report, behind the first packet; wrong ones are found out here.
    pub fn report(
        &mut self,
        source: &mut Source,
        received: Instant,
        ntp: SystemTime,
        timestamp: u32,
    ) {
        let (Some(epoch), Some(wall)) = (self.epoch, wall_time(ntp)) else { return };
        let now = since(epoch, received);
        let Some(run) = &mut source.run else { return };
        let (_, media) = run.place(timestamp, source.rate);
        let shortest = run.delay.get();
        if (now - media - shortest).abs() > REPORT_AGE {
            return;
        }
        match run.reports.add(now, media, wall) {
            None => return,
            Some(News::Begins) => {}
            Some(News::GoesOn) if run.reports.agreed == Some(self.wall.founded) => {
                self.wall.confirm(now)
            }
            Some(News::GoesOn) => {}
            Some(News::Moved { by, since }) => {
                let delay = shortest - run.reports.offset();
                if self.wall.stepped(by, since, now, delay) {
                    run.reports.forget_step(by);
                } else {
                    self.wall.release(source.id);
                }
            }
        }
        let delay = shortest - run.reports.offset();
        let joins = run.reports.agreed != Some(self.wall.founded);
        let agrees = self.wall.agrees(source.id, delay, source.extra, joins, now);
        run.reports.agreed = agrees.then_some(self.wall.founded);
        self.slew(source, now);
    }

    /// Moves what is told of `source` towards what is known by now; false if that is too far.
    fn slew(&mut self, source: &mut Source, now: i64) -> bool {
        let Some(run) = &mut source.run else { return true };
        let shortest = run.delay.get();
        let mut extra = source.extra;
        if run.reports.hold(self.wall.founded, now) {
            extra = self.wall.extra(source.id, shortest - run.reports.offset(), now);
            source.extra = extra.clamp(-MOST_EXTRA, MOST_EXTRA);
        }
        let (wanted, most) = (shortest - extra, slewed(SLEW_PER_SECOND, now - run.slewed));
        run.offset += (wanted - run.offset).clamp(-most, most);
        run.slewed = run.slewed.max(now);
        (wanted - run.offset).abs() <= ASTRAY
    }
}

impl Source {
    /// A source whose RTP clock has `rate` ticks per second.
    pub fn new(rate: u32) -> Self {
        Self { rate: rate.max(1), id: 0, run: None, extra: 0 }
    }

    /// Takes a packet into the run, or begins another one with it. Its media time.
    fn take(&mut self, timestamp: u32, now: i64) -> i64 {
        if let Some(run) = &mut self.run {
            let (ticks, media) = run.place(timestamp, self.rate);
            let before = run.delay.get();
            if run.delay.add(now, now - media) {
                if now - run.began < BEGINNING {
                    run.offset -= (before - run.delay.get()).max(0);
                }
                if ticks > run.newest.1 {
                    run.newest = (timestamp, ticks);
                }
                return media;
            }
        }
        self.begin(timestamp, now)
    }

    /// Begins a run with this packet, by its arrival.
    fn begin(&mut self, timestamp: u32, now: i64) -> i64 {
        self.run = Some(Run {
            began: now,
            newest: (timestamp, 0),
            delay: Shortest::new(now, now),
            reports: Reports::default(),
            offset: now - self.extra,
            slewed: now,
        });
        0
    }
}

impl Run {
    /// Ticks and nanoseconds from the run's first timestamp to this one, wraps included.
    fn place(&self, timestamp: u32, rate: u32) -> (i64, i64) {
        let (newest, ticks) = self.newest;
        let ticks = ticks + i64::from(timestamp.wrapping_sub(newest).cast_signed());
        let rate = i64::from(rate);
        (ticks, ticks / rate * SECOND + ticks % rate * SECOND / rate)
    }
}

/// What may be slewed in `elapsed` at `per_second`: after a pause as much as in one second.
fn slewed(per_second: i64, elapsed: i64) -> i64 {
    elapsed.clamp(0, SECOND) * per_second / SECOND
}

fn since(epoch: Instant, time: Instant) -> i64 {
    let nanos = |later: Duration| i64::try_from(later.as_nanos()).unwrap_or(i64::MAX / 4);
    match time.checked_duration_since(epoch) {
        Some(later) => nanos(later),
        None => -nanos(epoch.saturating_duration_since(time)),
    }
}

/// So many nanoseconds after `epoch`, or before it; `None` where the clock cannot say that.
pub fn at(epoch: Instant, nanos: i64) -> Option<Instant> {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) }
}

/// Nanoseconds since 1970. `None` for the zero of NTP, which says "no wall clock", and outside of NTP's era.
fn wall_time(ntp: SystemTime) -> Option<i64> {
    const FROM_1900: i64 = -2_208_988_800 * SECOND;
    const ERA: i64 = 1 << 61;
    let nanos = match ntp.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(later) => i64::try_from(later.as_nanos()).ok()?,
        Err(earlier) => -i64::try_from(earlier.duration().as_nanos()).ok()?,
    };
    // Some libraries read zero as the year 1970.
    (nanos > FROM_1900 && nanos != 0 && nanos < ERA).then_some(nanos)
}
