//! Codec bridges at work: the units of one publisher go to a worker process, and what that makes of them goes out on
//! a line of its own, and on the publisher's bus for players. Which bridges there are is for the streams to say.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use media::{AccessUnit, Codec, EncodingId, Kind, MediaTime};
use signaling::SessionId;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use transcode::{Bounds, Bridge, Counters, Gauge, Options, Output, Spec, State, Target, Worker};

use crate::line::Line;
use crate::units::{self, AUDIO, Annex, Bus, Item, Reader, Start, Track, VIDEO};

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) stream: stream::Name,
    pub(crate) publisher: SessionId,
    pub(crate) from: Codec,
    pub(crate) to: Target,
    pub(crate) bus: Bus,
    pub(crate) line: Line,
    pub(crate) worker: Worker,
    pub(crate) bounds: Bounds,
    /// Not before then.
    pub(crate) due: Instant,
}

/// How many bridges may run at once; each is a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many, whatever they make.
    All(usize),
    /// So many of sound, and so many of pictures, which cost far more.
    Each {
        /// Of sound.
        sound: usize,
        /// Of pictures.
        pictures: usize,
    },
}

impl Limit {
    /// For a machine of so many cores: few enough that media that needs no bridge goes on.
    pub fn of_cores(cores: usize) -> Self {
        Self::Each { sound: cores.saturating_mul(16), pictures: cores.saturating_mul(4) }
    }

    /// Whether one more to `kind` may run beside those that do. If not: why, in plain words.
    pub(crate) fn admits(
        self,
        kind: Kind,
        running: impl Iterator<Item = Kind>,
    ) -> Result<(), String> {
        let (what, limit, count) = match self {
            Self::All(limit) => ("bridges", limit, running.count()),
            Self::Each { sound, pictures } => {
                let (what, limit) = match kind {
                    Kind::Audio => ("bridges of sound", sound),
                    Kind::Video => ("bridges of pictures", pictures),
                };
                (what, limit, running.filter(|one| *one == kind).count())
            }
        };
        if count < limit {
            return Ok(());
        }
        Err(format!("{count} {what} run, and no more may at once (transcode.max_bridges)"))
    }
}

/// A bridge that runs. Dropped, it ends at once.
#[derive(Debug)]
pub(crate) struct Running {
    task: AbortHandle,
    keyframe: Arc<Notify>,
    /// Once it has begun.
    gauge: Arc<OnceLock<Gauge>>,
}

impl Running {
    /// Somebody needs a keyframe.
    pub(crate) fn keyframe(&self) {
        self.keyframe.notify_one();
    }

    /// What became of its units so far.
    pub(crate) fn counters(&self) -> Counters {
        self.gauge.get().map(Gauge::counters).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The name of the encoding that a bridge makes.
pub(crate) fn encoding(to: Codec) -> EncodingId {
    EncodingId::new(to.name()).unwrap_or(EncodingId::MAIN)
}

/// What a worker can make.
pub(crate) fn target(to: Codec) -> Option<Target> {
    Target::ALL.into_iter().find(|target| target.codec() == to)
}

/// Starts one. `report` is told how it is.
pub(crate) fn start<F, R>(job: Job, report: F) -> Running
where
    F: Fn(State) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send,
{
    let keyframe = Arc::new(Notify::new());
    let gauge = Arc::<OnceLock<Gauge>>::default();
    let (wanted, counted) = (Arc::clone(&keyframe), Arc::clone(&gauge));
    let task = tokio::spawn(async move { run(job, &wanted, &counted, report).await });
    Running { task: task.abort_handle(), keyframe, gauge }
}

async fn run<F, R>(job: Job, keyframe: &Notify, gauge: &OnceLock<Gauge>, report: F)
where
    F: Fn(State) -> R + Sync,
    R: Future<Output = ()> + Send,
{
    tokio::time::sleep_until(job.due.into()).await;
    // Pictures need what came since the keyframe, of sound only what comes is of interest.
    let (start, source) = match job.to.codec().kind() {
        Kind::Video => (Start::Keyframe, VIDEO),
        Kind::Audio => (Start::Live, AUDIO),
    };
    let mut reader = job.bus.subscribe(start, &[source]);
    let Some(bridge) = begin(&mut reader, &job).await else { return };
    gauge.get_or_init(|| bridge.gauge());
    let Job { stream, bus, line, to, publisher, from, .. } = job;
    let annex = bus.annex();
    // The bus ends with its publisher, not with us.
    drop(bus);
    let to = to.codec();
    tracing::info!(%stream, %publisher, %from, %to, "a bridge begins");
    let mut out = Out { line, annex, to, track: units::bridged(to), anchor: None };
    loop {
        tokio::select! {
            item = reader.next() => match item {
                None => return,
                Some(Item::Format(_, format)) => bridge.format((*format).clone()),
                Some(Item::Unit(_, unit, captured)) => {
                    out.anchor = Some((unit.pts, captured));
                    bridge.push(unit);
                }
            },
            output = bridge.next() => match output {
                None => return,
                Some(Output::State(state)) => {
                    let failed = matches!(state, State::Failed { .. });
                    if matches!(state, State::Restarting { .. }) {
                        out.line.begins_anew();
                    }
                    report(state).await;
                    if failed {
                        return;
                    }
                }
                Some(output) => out.take(output),
            },
            () = keyframe.notified() => bridge.keyframe(),
        }
    }
}

/// Waits for the format of what is to be bridged.
async fn begin(reader: &mut Reader, job: &Job) -> Option<Bridge> {
    loop {
        match reader.next().await? {
            Item::Format(_, format) if format.codec == job.from => {
                let spec =
                    Spec { from: (*format).clone(), to: job.to, options: Options::default() };
                return Some(Bridge::start(&job.worker, spec, job.bounds.clone()));
            }
            _ => {}
        }
    }
}

/// Where a bridge's units go.
struct Out {
    line: Line,
    annex: Annex,
    to: Codec,
    track: Track,
    /// The newest unit that went in: what comes out was captured on the same line of time.
    anchor: Option<(MediaTime, Instant)>,
}

impl Out {
    fn take(&mut self, output: Output) {
        match output {
            Output::Format(format) => {
                self.line.format(self.track, encoding(self.to), format.clone());
                self.annex.format(self.track, format);
            }
            Output::Unit(unit) => {
                let Some(captured) = self.captured(&unit) else { return };
                self.line.unit(self.track, &unit, captured);
                self.line.flush();
                self.annex.unit(crate::net::now(), self.track, unit, captured);
            }
            _ => {}
        }
    }

    fn captured(&self, unit: &AccessUnit) -> Option<Instant> {
        let (pts, captured) = self.anchor?;
        media::clock::at(captured, unit.pts.since(pts).nanos())
    }
}

#[cfg(test)]
mod tests {
    use Kind::{Audio, Video};

    use super::*;

    #[test]
    fn pictures_and_sound_are_bounded_each_or_together_and_the_reason_says_how() {
        let admits = |limit: Limit, kind, running: &[Kind]| {
            limit.admits(kind, running.iter().copied()).is_ok()
        };
        let each = Limit::of_cores(1);
        assert!(admits(each, Video, &[Video, Video, Video, Audio, Audio]));
        assert!(!admits(each, Video, &[Video; 4]));
        assert!(admits(each, Audio, &[Video; 4]));
        assert!(!admits(each, Audio, &[Audio; 16]));
        let all = Limit::All(2);
        assert!(admits(all, Video, &[Audio]));
        assert!(!admits(all, Video, &[Audio, Video]));
        let why = all.admits(Video, [Audio, Video].into_iter()).unwrap_err();
        assert_eq!(why, "2 bridges run, and no more may at once (transcode.max_bridges)");
    }
}
