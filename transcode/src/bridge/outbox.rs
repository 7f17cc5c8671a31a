//! What came out of a worker and was not read yet. Pure. A reader who is too slow loses units, up to the next
//! keyframe, and never the newest state or format.

use std::collections::VecDeque;
use std::time::Duration;

use media::{AccessUnit, Kind};

use super::{Bounds, Output};

/// Units at the most: what bounds streams of tiny ones.
const MAX_UNITS: usize = 1024;

#[derive(Debug)]
pub(super) struct Outbox {
    bounds: Bounds,
    kind: Kind,
    queue: VecDeque<Output>,
    units: usize,
    bytes: usize,
    /// Nothing is taken until a keyframe comes.
    waiting: bool,
    /// Units that were lost so.
    pub(super) late: u64,
}

impl Outbox {
    pub(super) fn new(bounds: Bounds, kind: Kind) -> Self {
        let queue = VecDeque::new();
        Self { bounds, kind, queue, units: 0, bytes: 0, waiting: false, late: 0 }
    }

    pub(super) fn push(&mut self, output: Output) {
        match output {
            Output::Unit(unit) => return self.unit(unit),
            Output::Format(_) => self.forget_unused_format(),
            // Of these only the newest one says anything.
            Output::State(_) => self.queue.retain(|old| !matches!(old, Output::State(_))),
            Output::Stats(_) => self.queue.retain(|old| !matches!(old, Output::Stats(_))),
        }
        self.bytes += bytes(&output);
        self.queue.push_back(output);
        if !self.fits() {
            self.drop_units();
        }
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        let output = self.queue.pop_front()?;
        self.bytes -= bytes(&output);
        self.units -= usize::from(matches!(output, Output::Unit(_)));
        Some(output)
    }

    /// A format that no unit follows says nothing once there is another.
    fn forget_unused_format(&mut self) {
        let matters = |old: &Output| matches!(old, Output::Format(_) | Output::Unit(_));
        let Some(at) = self.queue.iter().rposition(matters) else { return };
        if matches!(self.queue[at], Output::Format(_)) {
            self.bytes -= self.queue.remove(at).as_ref().map_or(0, bytes);
        }
    }

    fn unit(&mut self, unit: AccessUnit) {
        if self.waiting && !unit.keyframe {
            self.late += 1;
            return;
        }
        self.waiting = false;
        let keyframe = unit.keyframe;
        let output = Output::Unit(unit);
        self.bytes += bytes(&output);
        self.units += 1;
        self.queue.push_back(output);
        if self.fits() {
            return;
        }
        let newest = self.queue.pop_back().filter(|_| keyframe);
        self.units -= 1;
        self.drop_units();
        self.bytes = self.queue.iter().map(bytes).sum();
        match newest {
            Some(newest) => {
                self.bytes += bytes(&newest);
                self.units = 1;
                self.queue.push_back(newest);
                self.waiting = false;
            }
            None => self.late += 1,
        }
    }

    /// Leaves the newest format, state and statistics.
    fn drop_units(&mut self) {
        self.late += self.units as u64;
        self.units = 0;
        self.waiting = self.kind == Kind::Video;
        let formats = self.queue.iter().filter(|old| matches!(old, Output::Format(_))).count();
        let mut format = 0;
        self.queue.retain(|old| match old {
            Output::Unit(_) => false,
            Output::Format(_) => {
                format += 1;
                format == formats
            }
            Output::State(_) | Output::Stats(_) => true,
        });
        self.bytes = self.queue.iter().map(bytes).sum();
    }

    fn fits(&self) -> bool {
        self.units <= 1
            || (self.units <= MAX_UNITS
                && self.bytes <= self.bounds.ring_bytes
                && self.span() <= self.bounds.behind)
    }

    fn span(&self) -> Duration {
        let dts = |output: &Output| match output {
            Output::Unit(unit) => Some(unit.dts.nanos()),
            _ => None,
        };
        let ends = self.queue.iter().find_map(dts).zip(self.queue.iter().rev().find_map(dts));
        let nanos = ends.map_or(0, |(first, last)| last.saturating_sub(first));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }
}

fn bytes(output: &Output) -> usize {
    match output {
        Output::Unit(unit) => unit.data.len(),
        Output::Format(format) => format.config.len(),
        Output::State(_) | Output::Stats(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::{Codec, Format, MediaTime};
    use proptest::prelude::*;

    use super::*;
    use crate::{State, Stats};

    fn unit(millis: i64, keyframe: bool, size: usize) -> Output {
        let time = MediaTime::from_millis(millis);
        let data = Bytes::from(vec![0; size]);
        Output::Unit(AccessUnit { dts: time, pts: time, keyframe, data })
    }

    fn format(byte: u8) -> Output {
        let config = Bytes::from(vec![byte; 9]);
        Output::Format(Format { codec: Codec::H264, config, dimensions: None, sound: None })
    }

    fn all(outbox: &mut Outbox) -> Vec<Output> {
        std::iter::from_fn(|| outbox.pop()).collect()
    }

    #[test]
    fn a_slow_reader_goes_on_with_the_next_keyframe_of_the_newest_format() {
        let mut outbox = Outbox::new(Bounds::default(), Kind::Video);
        outbox.push(format(1));
        outbox.push(unit(0, true, 5));
        outbox.push(Output::State(State::Idle));
        outbox.push(format(2));
        outbox.push(unit(500, false, 5));
        assert_eq!(outbox.late, 0);
        outbox.push(unit(1040, false, 5));
        outbox.push(unit(1080, false, 5));
        outbox.push(unit(1120, true, 5));
        outbox.push(Output::State(State::Running));
        let rest = [format(2), unit(1120, true, 5), Output::State(State::Running)];
        assert_eq!(all(&mut outbox), rest);
        assert_eq!((outbox.late, outbox.bytes, outbox.units), (4, 0, 0));

        outbox.push(unit(2000, true, 5));
        outbox.push(unit(4000, true, 5));
        assert_eq!(all(&mut outbox), [unit(4000, true, 5)]);
    }

    proptest! {
        #[test]
        fn it_is_bounded(events in proptest::collection::vec((0u8..8, any::<i64>(), 1usize..3000), 0..400)) {
            let bounds = Bounds { ring_bytes: 20_000, ..Bounds::default() };
            let mut outbox = Outbox::new(bounds, Kind::Video);
            for (event, time, size) in events {
                match event {
                    0 => outbox.push(format(size as u8)),
                    1 => outbox.push(Output::State(State::Idle)),
                    2 => outbox.push(Output::Stats(Stats::default())),
                    3 => { outbox.pop(); }
                    _ => outbox.push(unit(time, event == 4, size)),
                }
                let held: usize = outbox.queue.iter().map(bytes).sum();
                prop_assert_eq!(held, outbox.bytes);
                prop_assert!(held <= 20_000 + 3000 && outbox.queue.len() <= 2 * MAX_UNITS + 4);
                let units = outbox.queue.iter().filter(|o| matches!(o, Output::Unit(_))).count();
                prop_assert_eq!(units, outbox.units);
            }
        }
    }
}
