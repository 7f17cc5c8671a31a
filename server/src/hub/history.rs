//! The last five minutes of every stream, for the charts of an operator: every two seconds one pass
//! over the media threads, one sample per stream. A ring grows with its stream and goes with it. The
//! hub's task is only asked who is there; the sums are made by the media threads, and put together
//! here, on a task of their own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use media::EncodingId;
use sfu::Audience;
use sfu::stats::Intake;
use signaling::SessionId;
use tokio::sync::mpsc::WeakSender;
use tokio::time::MissedTickBehavior;

use super::actor::wall_clock;
use super::{Request, ask};
use crate::net::{Ended, Media};
use crate::status;

/// Between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);
/// Five minutes.
const SAMPLES: usize = 150;
/// A media thread is asked about so many streams at once, so that media never waits long for us.
const AT_ONCE: usize = 256;
/// What "lately" means for the warnings: ten seconds.
const RECENT: u32 = 5;
/// So many samples without a packet are no accident.
const QUIET: usize = 2;

/// One stream that is to be sampled, as the hub knows it.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: stream::Name,
    pub(super) publisher: Option<SessionId>,
    /// Connected viewers, with a publisher or without.
    pub(super) viewers: u32,
    /// What its publisher sends, where that does not come by the media threads.
    pub(super) intake: Option<Intake>,
}

/// What the media threads say of it, in sums over all of them.
#[derive(Clone, Debug, Default)]
struct Reading {
    intake: Intake,
    audience: Audience,
}

/// How the publisher did in the last seconds, for the warnings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recent {
    /// Packets that came.
    pub(super) packets: u64,
    /// Packets that did not.
    pub(super) lost: u64,
    /// It is looked at long enough, and no packet came at all.
    pub(super) quiet: bool,
}

/// Handle on the samples. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct History(Arc<Mutex<HashMap<stream::Name, Ring>>>);

/// One stream's.
#[derive(Debug, Default)]
struct Ring {
    samples: VecDeque<Sample>,
    /// Those of all samples, one after another: a list for each would cost more than it holds.
    layers: VecDeque<(EncodingId, u32)>,
    source: Option<Source>,
    /// Its stream was not in the last pass.
    gone: bool,
}

/// The publisher of the newest sample.
#[derive(Debug)]
struct Source {
    session: SessionId,
    /// How many of the newest samples are its.
    samples: u32,
    packets: u64,
    /// The most it was ever seen to lack: a packet that comes late makes the count go back.
    lost: u64,
}

#[derive(Debug)]
struct Sample {
    /// Since the Unix epoch.
    at_ms: u64,
    publisher_bps: u64,
    packets: u32,
    lost: u32,
    viewers: u32,
    loss: Option<f32>,
    rtt_ms: Option<f32>,
    viewers_bps: u64,
    /// How many of `Ring::layers` are its.
    layers: u8,
}

/// Takes a sample of every stream every two seconds, until the hub or the media threads are gone.
pub(super) async fn run(hub: WeakSender<Request>, media: Media, history: History) {
    let mut clock = tokio::time::interval(INTERVAL);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        // Held no longer than a pass: without other askers the hub may end.
        let Some(hub) = hub.upgrade() else { return };
        let Ok(subjects) = ask(&hub, |actor| actor.subjects()).await else { return };
        let Ok(readings) = read(&media, &subjects).await else { return };
        history.record(wall_clock(), &subjects, readings);
    }
}

/// One reading for each subject.
async fn read(media: &Media, subjects: &[Subject]) -> Result<Vec<Reading>, Ended> {
    let mut readings = vec![Reading::default(); subjects.len()];
    let publisher = |(index, subject): (usize, &Subject)| Some((index, subject.publisher?));
    let publishers: Vec<(usize, SessionId)> =
        subjects.iter().enumerate().filter_map(publisher).collect();
    for some in publishers.chunks(AT_ONCE) {
        let some: Arc<[(usize, SessionId)]> = some.into();
        let look = move |shard: &sfu::Shard, _, _| -> Vec<_> {
            let of =
                |(index, id): &(usize, SessionId)| (*index, shard.intake(*id), shard.audience(*id));
            some.iter().map(of).filter(|(_, i, a)| i.is_some() || a.is_some()).collect()
        };
        for (index, intake, audience) in media.look_all(look).await?.into_iter().flatten() {
            let reading = &mut readings[index];
            // A publisher lives on one shard, its viewers on all of them.
            reading.intake = intake.unwrap_or(reading.intake);
            audience.iter().for_each(|more| reading.audience.merge(more));
        }
    }
    for (reading, subject) in readings.iter_mut().zip(subjects) {
        reading.intake = subject.intake.unwrap_or(reading.intake);
    }
    Ok(readings)
}

impl History {
    /// One sample for each of these streams; every other stream is forgotten.
    fn record(&self, at: SystemTime, subjects: &[Subject], readings: Vec<Reading>) {
        let mut rings = self.rings();
        rings.values_mut().for_each(|ring| ring.gone = true);
        for (subject, reading) in subjects.iter().zip(readings) {
            let ring = match rings.get_mut(&subject.name) {
                Some(ring) => ring,
                None => rings.entry(subject.name.clone()).or_default(),
            };
            ring.gone = false;
            ring.push(at, subject, reading);
        }
        rings.retain(|_, ring| !ring.gone);
    }

    /// The samples of one stream, oldest first.
    pub(super) fn samples(&self, name: &stream::Name) -> Vec<status::Sample> {
        self.rings().get(name).map(Ring::samples).unwrap_or_default()
    }

    /// How a stream's publisher did in the last seconds.
    pub(super) fn recent(&self, name: &stream::Name, publisher: SessionId) -> Recent {
        self.rings().get(name).map(|ring| ring.recent(publisher)).unwrap_or_default()
    }

    fn rings(&self) -> MutexGuard<'_, HashMap<stream::Name, Ring>> {
        self.0.lock().expect("nobody panics while holding this lock")
    }
}

impl Ring {
    fn push(&mut self, at: SystemTime, subject: &Subject, reading: Reading) {
        let (packets, lost) = self.arrived(subject.publisher, reading.intake);
        let Reading { intake, audience } = reading;
        while self.samples.len() >= SAMPLES {
            let gone = self.samples.pop_front().map_or(0, |s| usize::from(s.layers));
            self.layers.drain(..gone);
        }
        let layers = u8::try_from(audience.layers.len()).unwrap_or(u8::MAX);
        grow(&mut self.samples, 1);
        grow(&mut self.layers, usize::from(layers));
        self.layers.extend(audience.layers.into_iter().take(usize::from(layers)));
        self.samples.push_back(Sample {
            at_ms: at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            publisher_bps: intake.bitrate_bps,
            packets,
            lost,
            viewers: subject.viewers,
            loss: audience.loss.value().map(|loss| loss as f32),
            rtt_ms: audience.rtt.value().map(|seconds| (seconds * 1000.0) as f32),
            viewers_bps: audience.bitrate_bps,
            layers,
        });
    }

    /// Packets that came and that were lost since the last sample.
    fn arrived(&mut self, publisher: Option<SessionId>, intake: Intake) -> (u32, u32) {
        let Some(session) = publisher else {
            self.source = None;
            return (0, 0);
        };
        let known = self.source.take().filter(|s| s.session == session);
        let before = known.unwrap_or(Source { session, samples: 0, packets: 0, lost: 0 });
        let lost = intake.lost.max(before.lost);
        let (came, missing) = (intake.packets.saturating_sub(before.packets), lost - before.lost);
        let samples = before.samples.saturating_add(1);
        self.source = Some(Source { session, samples, packets: intake.packets, lost });
        (u32::try_from(came).unwrap_or(u32::MAX), u32::try_from(missing).unwrap_or(u32::MAX))
    }

    fn recent(&self, publisher: SessionId) -> Recent {
        let source = self.source.as_ref().filter(|s| s.session == publisher);
        let own = source.map_or(0, |s| s.samples.min(RECENT)) as usize;
        let newest = || self.samples.iter().rev().take(own);
        Recent {
            packets: newest().map(|s| u64::from(s.packets)).sum(),
            lost: newest().map(|s| u64::from(s.lost)).sum(),
            quiet: own >= QUIET && newest().take(QUIET).all(|s| s.packets == 0),
        }
    }

    fn samples(&self) -> Vec<status::Sample> {
        let mut layers = self.layers.iter();
        let sample = |s: &Sample| status::Sample {
            at: rfc3339(s.at_ms),
            publisher_bitrate_bps: s.publisher_bps,
            publisher_lost: s.lost,
            viewers: s.viewers,
            viewers_bitrate_bps: s.viewers_bps,
            viewers_loss: s.loss.map(|loss| rounded(loss, 1e4)),
            viewers_rtt_ms: s.rtt_ms.map(|rtt| rounded(rtt, 10.0)),
            layers: layers
                .by_ref()
                .take(usize::from(s.layers))
                .map(|(id, count)| (id.to_string(), *count))
                .collect(),
        };
        self.samples.iter().map(sample).collect()
    }
}

/// Makes room, a quarter more at a time: doubling would keep up to half of it empty for good.
fn grow<T>(ring: &mut VecDeque<T>, more: usize) {
    if ring.len() + more > ring.capacity() {
        ring.reserve_exact(more.max(ring.len() / 4).max(8));
    }
}

fn rfc3339(ms: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    humantime::format_rfc3339_millis(time).to_string()
}

/// What a chart can show, instead of all the digits of a float.
fn rounded(value: f32, parts: f64) -> f64 {
    (f64::from(value) * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn name(text: &str) -> stream::Name {
        stream::Name::new(text).unwrap()
    }

    fn session(number: u128) -> SessionId {
        SessionId::from_random(number)
    }

    fn subject(stream: &str, publisher: Option<u128>) -> Subject {
        let publisher = publisher.map(session);
        Subject { name: name(stream), publisher, viewers: 3, intake: None }
    }

    fn intake(packets: u64, lost: u64) -> Reading {
        Reading {
            intake: Intake { bitrate_bps: 800_000, packets, lost },
            audience: Audience::default(),
        }
    }

    fn record(history: &History, tick: u32, subject: &Subject, reading: Reading) {
        history.record(START + INTERVAL * tick, std::slice::from_ref(subject), vec![reading]);
    }

    #[test]
    fn five_minutes_are_kept_with_the_layers_of_each_sample() {
        let history = History::default();
        let demo = subject("demo", Some(1));
        for tick in 0..400u32 {
            let id = |text| EncodingId::new(text).unwrap();
            let mut layers = vec![(id("f"), tick)];
            if tick % 3 == 0 {
                layers.push((id("h"), 1));
            }
            let audience = Audience { layers, ..Audience::default() };
            record(&history, tick, &demo, Reading { audience, ..intake(u64::from(tick), 0) });
        }
        let samples = history.samples(&demo.name);
        assert_eq!(samples.len(), 150);
        assert_eq!(samples[0].at, "1970-01-01T00:08:20.000Z", "the 250th, oldest first");
        for (tick, sample) in (250..400).zip(&samples) {
            assert_eq!(
                (sample.layers["f"], sample.layers.len()),
                (tick, 1 + usize::from(tick % 3 == 0))
            );
            assert_eq!((sample.viewers, sample.publisher_bitrate_bps), (3, 800_000));
        }
        let rings = history.rings();
        let ring = &rings[&demo.name];
        assert_eq!(
            (ring.samples.capacity(), ring.layers.len()),
            (150, 200),
            "nothing more is kept"
        );
    }

    #[test]
    fn a_stream_that_is_gone_takes_its_samples_with_it() {
        let history = History::default();
        record(&history, 0, &subject("old", Some(1)), intake(1, 0));
        record(&history, 1, &subject("new", Some(2)), intake(1, 0));
        assert_eq!(history.samples(&name("old")).len(), 0);
        assert_eq!(history.rings().len(), 1);
        record(&history, 2, &subject("old", Some(1)), intake(1, 0));
        assert_eq!(history.samples(&name("old")).len(), 1, "it begins anew");
    }

    #[test]
    fn loss_is_of_its_interval_and_a_late_packet_is_not_lost_twice() {
        let history = History::default();
        let demo = subject("demo", Some(1));
        let counts = [(100, 0), (200, 5), (303, 2), (400, 5), (490, 15)];
        for (tick, (packets, lost)) in (0..).zip(counts) {
            record(&history, tick, &demo, intake(packets, lost));
        }
        let lost = |history: &History| -> Vec<u32> {
            history.samples(&demo.name).iter().map(|s| s.publisher_lost).collect()
        };
        assert_eq!(lost(&history), [0, 5, 0, 0, 10]);
        let recent = history.recent(&demo.name, session(1));
        assert_eq!(recent, Recent { packets: 490, lost: 15, quiet: false });
        // Another publisher counts from its own beginning.
        record(&history, 5, &subject("demo", Some(2)), intake(50, 1));
        record(&history, 6, &subject("demo", None), Reading::default());
        assert_eq!(lost(&history)[4..], [10, 1, 0]);
    }

    #[test]
    fn lately_means_ten_seconds_of_this_publisher() {
        let history = History::default();
        let recent = |id| history.recent(&name("demo"), session(id));
        assert_eq!(recent(1), Recent::default(), "nothing is known");
        for tick in 0..20u32 {
            let count = u64::from(tick.min(17));
            record(&history, tick, &subject("demo", Some(1)), intake(100 * (count + 1), 3 * count));
            let silent = tick >= 19;
            assert_eq!(recent(1).quiet, silent, "after {tick}");
        }
        assert_eq!(recent(1), Recent { packets: 300, lost: 9, quiet: true });
        record(&history, 20, &subject("demo", Some(2)), intake(7, 0));
        assert_eq!(recent(2), Recent { packets: 7, lost: 0, quiet: false });
        assert_eq!(recent(1), Recent::default(), "it is not the publisher any more");
    }

    /// What it costs: printed, for a machine's speed is no promise.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "it measures")]
    fn a_thousand_streams_for_five_minutes() {
        const STREAMS: usize = 1_000;
        let history = History::default();
        let subjects: Vec<Subject> =
            (0..STREAMS).map(|i| subject(&format!("stream-{i}"), Some(i as u128))).collect();
        let layers = ["q", "h", "f"].map(|id| (EncodingId::new(id).unwrap(), 1)).to_vec();
        let audience = Audience { layers, ..Audience::default() };
        let mut passes = Vec::new();
        for tick in 0..200 {
            let reading = Reading { audience: audience.clone(), ..intake(tick * 100, 0) };
            let readings = vec![reading; STREAMS];
            let began = std::time::Instant::now();
            history.record(START + INTERVAL * tick as u32, &subjects, readings);
            passes.push(began.elapsed());
        }
        passes.sort();
        let (usual, slowest) = (passes[passes.len() / 2], passes[passes.len() - 1]);
        let rings = history.rings();
        let bytes: usize = rings
            .values()
            .map(|r| {
                size_of_val(r)
                    + r.samples.capacity() * size_of::<Sample>()
                    + r.layers.capacity() * size_of::<(EncodingId, u32)>()
            })
            .sum();
        println!(
            "{STREAMS} streams: a pass takes {usual:?}, {slowest:?} at most, and keeps {bytes} bytes"
        );
        assert_eq!(rings.len(), STREAMS);
        assert!(bytes / STREAMS < 24 * 1024, "{bytes} bytes");
    }
}
