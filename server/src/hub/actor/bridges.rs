//! The bridges that streams want: started, told when somebody needs a keyframe, given up, and what has become of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use media::{Codec, EncodingId, Kind};
use signaling::SessionId;
use stream::Event;
use transcode::{Bounds, Counters, State};

use super::{Actor, Stream};
use crate::bridges::{self, Job, Running};
use crate::hub::ask;
use crate::line::Line;
use crate::{net, status};

/// Whose media, what comes in, what goes out.
pub(super) type Key = (SessionId, Codec, Codec);

/// Between two starts for one publisher and kind: who changes its codec with every unit gets no process
/// for each.
const START_INTERVAL: Duration = Duration::from_secs(1);

/// All bridges of this server.
#[derive(Debug, Default)]
pub(super) struct Bridges {
    all: HashMap<Key, Work>,
    /// How many were ever asked for.
    starts: u32,
    /// By publisher and kind: when the newest start was, or is to be.
    newest: HashMap<(SessionId, Kind), Instant>,
    /// What those have counted that are over.
    over: Counters,
}

/// One bridge.
#[derive(Debug)]
pub(super) struct Work {
    /// The so-many-th of all.
    start: u32,
    /// `None` once it has failed.
    running: Option<Running>,
    /// What it had counted by then.
    counted: Counters,
    state: &'static str,
    reason: Option<String>,
}

impl Work {
    fn counters(&self) -> Counters {
        self.running.as_ref().map_or(self.counted, Running::counters)
    }
}

impl Bridges {
    fn next(&mut self) -> u32 {
        self.starts = self.starts.wrapping_add(1);
        self.starts
    }

    /// What those make that run, or are about to.
    fn running(&self) -> impl Iterator<Item = Kind> {
        let running = self.all.iter().filter(|(_, work)| work.running.is_some());
        running.map(|((_, _, to), _)| to.kind())
    }

    /// One is over, or gives way to the next.
    fn forget(&mut self, key: Key) -> Option<Work> {
        let work = self.all.remove(&key)?;
        self.over += work.counters();
        Some(work)
    }

    /// What all of them have counted, since the start.
    pub(super) fn counters(&self) -> Counters {
        let mut sum = self.over;
        self.all.values().for_each(|work| sum += work.counters());
        sum
    }

    /// When one more may start. One that was to start and was given up leaves its time to the next.
    fn due(&mut self, now: Instant, whose: (SessionId, Kind)) -> Instant {
        self.newest.retain(|_, newest| now.saturating_duration_since(*newest) < START_INTERVAL);
        let newest = self.newest.get(&whose).copied();
        let due = newest.map_or(
            now,
            |newest| {
                if newest > now { newest } else { newest + START_INTERVAL }
            },
        );
        self.newest.insert(whose, due);
        due
    }
}

impl Actor {
    /// A stream wants one, for the first time or again after it has failed.
    pub(super) fn bridge(&mut self, stream: &stream::Name, key: Key) {
        let (publisher, from, to) = key;
        let worker = self.config.worker.clone();
        let (Some(worker), Some(target)) = (worker, bridges::target(to)) else { return };
        let bus = self.bus_of(publisher);
        let start = self.bridges.next();
        let line = Line::of_bridge(self.media.clone(), publisher, start);
        let history = self.config.sfu.history;
        let bounds =
            Bounds { ring_bytes: history.bytes, ring_time: history.age, ..Bounds::default() };
        let hub = self.requests.clone();
        let report = move |state| {
            let hub = hub.clone();
            async move {
                if let Some(hub) = hub.upgrade() {
                    // The hub may be about to end.
                    let _ = ask(&hub, move |actor| actor.bridge_is(key, start, state)).await;
                }
            }
        };
        let running = match self.config.bridges.admits(to.kind(), self.bridges.running()) {
            Ok(()) => {
                let due = self.bridges.due(net::now(), (publisher, to.kind()));
                let stream = stream.clone();
                let job =
                    Job { stream, publisher, from, to: target, bus, line, worker, bounds, due };
                Some(bridges::start(job, report))
            }
            Err(reason) => {
                // Said later: its stream is about to do other things first.
                tokio::spawn(report(State::Failed { reason }));
                None
            }
        };
        // Why it is tried again is of interest until it runs.
        let reason = self.bridges.forget(key).and_then(|before| before.reason);
        let work = Work { start, running, counted: Counters::default(), state: "starting", reason };
        self.bridges.all.insert(key, work);
    }

    /// A stream needs it no more, or has lost its publisher.
    pub(super) fn unbridge(&mut self, stream: &stream::Name, key: Key) {
        let (publisher, from, to) = key;
        tracing::info!(%stream, %publisher, %from, %to, "a bridge ends");
        self.bridges.forget(key);
        let encoding = bridges::encoding(to);
        self.outbox.push(sfu::Command::Unbridge { publisher, encoding, kind: to.kind() });
    }

    /// A bridge says how it is.
    fn bridge_is(&mut self, key: Key, start: u32, state: State) {
        let (publisher, from, to) = key;
        let Some((stream, _)) = self.find(publisher) else { return };
        // One that was given up may have said something before it ended.
        let Some(work) = self.bridges.all.get_mut(&key).filter(|w| w.start == start) else {
            return;
        };
        let (name, reason, told) = match state {
            State::Starting => ("starting", None, stream::bridges::State::Starting),
            State::Running | State::Idle => ("running", None, stream::bridges::State::Running),
            State::Restarting { reason } => {
                tracing::warn!(%stream, %publisher, %from, %to, reason, "a bridge starts again");
                ("restarting", Some(reason), stream::bridges::State::Running)
            }
            State::Failed { reason } => {
                self.tally.failures += 1;
                tracing::error!(%stream, %publisher, %from, %to, reason, "a bridge has failed");
                ("failed", Some(reason), stream::bridges::State::Failed)
            }
        };
        work.state = name;
        let because = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let text = format!("the bridge from {from} to {to} is {name}{because}");
        work.reason = because_of(name, reason, work.reason.take());
        self.book.note(net::now(), publisher, "bridge", text);
        // Only a bridge to their own codec stands in for pictures that reorder.
        let stands_in = from == to && to.kind() == Kind::Video;
        if told == stream::bridges::State::Failed {
            work.counted = work.counters();
            work.running = None;
            let encoding = bridges::encoding(to);
            self.outbox.push(sfu::Command::Unbridge { publisher, encoding, kind: to.kind() });
        }
        if stands_in && told != stream::bridges::State::Starting {
            self.may_withhold(publisher, told == stream::bridges::State::Running);
        }
        self.apply(&stream, Event::BridgeIs { publisher, from, to, state: told });
    }

    /// A viewer needs a keyframe of what a bridge makes.
    pub(super) fn bridged_keyframe(&mut self, publisher: SessionId, encoding: EncodingId) {
        let made = self
            .bridges
            .all
            .iter()
            .filter(|((of, _, to), _)| *of == publisher && bridges::encoding(*to) == encoding);
        made.filter_map(|(_, work)| work.running.as_ref()).for_each(Running::keyframe);
    }

    /// Those of one stream, or of one of its publishers, for the API.
    pub(super) fn bridges_of(
        &self,
        stream: &Stream,
        publisher: Option<SessionId>,
    ) -> Vec<status::Bridge> {
        let now = net::now();
        let chosen = |b: &&stream::bridges::Bridge| publisher.is_none_or(|id| b.publisher == id);
        let one = |bridge: &stream::bridges::Bridge| {
            let work = self.bridges.all.get(&(bridge.publisher, bridge.from, bridge.to));
            let counted = work.map(Work::counters).unwrap_or_default();
            status::Bridge {
                from: bridge.from.name().to_owned(),
                to: bridge.to.name().to_owned(),
                why: bridge.why.to_string(),
                state: work.map_or(bridge.state.name(), |work| work.state),
                reason: work.and_then(|work| work.reason.clone()),
                next_try_seconds: bridge
                    .again
                    .map(|at| at.saturating_duration_since(now).as_secs()),
                restarts: counted.restarts,
                units_in: counted.units_in,
                units_out: counted.units_out,
                left_out: counted.left_out().into_iter().collect(),
            }
        };
        stream.bridges().iter().filter(chosen).map(one).collect()
    }
}

/// Why a bridge had to start again is of interest until it runs; from then on its log knows.
fn because_of(state: &str, now: Option<String>, before: Option<String>) -> Option<String> {
    now.or(before.filter(|_| state != "running"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::mpsc;

    use super::*;
    use crate::bridges::Limit;
    use crate::hub::local::{Guest, Said};
    use crate::hub::{Config, Protocol, Request};

    /// A hub with one publisher of ours, whom it has told whether to withhold.
    async fn hub(limit: Limit) -> (Actor, mpsc::Receiver<Request>, SessionId, Arc<AtomicBool>) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let sockets = vec![net::Socket::new(socket).unwrap()];
        let (media, _) = net::start(sockets, sfu::Config::default()).unwrap();
        let nowhere = PathBuf::from("/nowhere/weir-transcoder");
        let config = Config {
            stream: stream::Config { bridges: true, ..stream::Config::default() },
            max_publishers: 1,
            max_viewers: 1,
            wait_for_publisher: true,
            advertise: crate::advertise::Advertised::default(),
            tcp: None,
            worker: Some(transcode::Worker::new(nowhere, &transcode::Config::default())),
            bridges: limit,
            sfu: sfu::Config::default(),
        };
        let (to, requests) = mpsc::channel(8);
        let mut actor = Actor::new(config, media, to.downgrade());
        // As long as the test: reports go nowhere without it.
        std::mem::forget(to);
        let session = SessionId::from_random(1 << 96);
        let publishing = actor.publish_local(Guest {
            stream: stream::Name::new("demo").unwrap(),
            session,
            protocol: Protocol::Rtmp,
            address: ([127, 0, 0, 1], 1).into(),
            user_agent: None,
        });
        actor.event(sfu::Event::Connected(session));
        actor.said(session, Said::Codec(Codec::H264));
        (actor, requests, session, publishing.unwrap().bridged)
    }

    #[test]
    fn a_reason_stands_until_the_bridge_runs() {
        let mut reason = None;
        for (state, now, expected) in [
            ("starting", None, None),
            ("restarting", Some("it crashed"), Some("it crashed")),
            ("starting", None, Some("it crashed")),
            ("running", None, None),
            ("failed", Some("it crashed again"), Some("it crashed again")),
        ] {
            reason = because_of(state, now.map(str::to_owned), reason);
            assert_eq!(reason.as_deref(), expected, "{state}");
        }
    }

    #[tokio::test]
    async fn further_tracks_do_not_say_what_the_publisher_sends() {
        let (mut actor, _requests, session, _) = hub(Limit::All(1)).await;
        actor.event(sfu::Event::MediaStarted { session, codec: Codec::Vp9 });
        let name = stream::Name::new("demo").unwrap();
        let lacks = actor.streams[&name].stream.untakeable(&[Codec::Vp9]);
        assert_eq!(lacks, [Codec::H264], "that is what is sent, and no bridge makes VP9");
    }

    #[tokio::test]
    async fn only_the_bridge_to_their_own_codec_stands_in_and_it_does_again_when_it_is_back() {
        let (mut actor, _requests, session, bridged) = hub(Limit::All(9)).await;
        let keys = [(session, Codec::H264, Codec::Vp8), (session, Codec::H264, Codec::H264)];
        let name = stream::Name::new("demo").unwrap();
        let mut is = |key, state| {
            actor.bridge(&name, key);
            let start = actor.bridges.all[&key].start;
            actor.bridge_is(key, start, state);
            actor.unbridge(&name, key);
            bridged.load(Ordering::Relaxed)
        };
        let failed = || State::Failed { reason: "no reason".to_owned() };
        assert!(is(keys[0], failed()), "VP8 is for others");
        assert!(!is(keys[1], failed()));
        assert!(!is(keys[1], State::Starting));
        assert!(is(keys[1], State::Running));
    }

    #[tokio::test]
    async fn one_too_many_fails_with_its_reason_and_what_is_old_says_nothing_any_more() {
        let (mut actor, mut requests, session, _) = hub(Limit::All(1)).await;
        let (one, two) = ((session, Codec::H264, Codec::H264), (session, Codec::H264, Codec::Vp8));
        let name = stream::Name::new("demo").unwrap();
        actor.bridge(&name, one);
        actor.bridge(&name, two);
        requests.recv().await.unwrap()(&mut actor);
        let work = &actor.bridges.all[&two];
        assert_eq!((work.state, work.running.is_some()), ("failed", false));
        let why = "1 bridges run, and no more may at once (transcode.max_bridges)";
        assert_eq!(work.reason.as_deref(), Some(why));
        let first = actor.bridges.all[&one].start;
        actor.unbridge(&name, one);
        actor.bridge(&name, one);
        assert_ne!(actor.bridges.all[&one].start, first, "another number each time");
        actor.bridge_is(one, first, State::Failed { reason: String::new() });
        assert_eq!(actor.bridges.all[&one].state, "starting");
    }

    #[tokio::test]
    async fn one_that_is_tried_again_keeps_its_reason_until_it_runs() {
        let (mut actor, _requests, session, _) = hub(Limit::All(9)).await;
        let (name, key) = (stream::Name::new("demo").unwrap(), (session, Codec::H264, Codec::Vp8));
        actor.bridge(&name, key);
        let failed = State::Failed { reason: "no reason".to_owned() };
        actor.bridge_is(key, actor.bridges.all[&key].start, failed);
        actor.bridge(&name, key);
        let work = &actor.bridges.all[&key];
        assert_eq!((work.state, work.reason.as_deref()), ("starting", Some("no reason")));
        assert!(work.running.is_some());
        actor.bridge_is(key, work.start, State::Running);
        assert_eq!(actor.bridges.all[&key].reason, None);
        assert_eq!(actor.counts().bridged, Counters::default(), "nothing came to either");
    }

    #[test]
    fn starts_for_one_publisher_and_kind_are_a_second_apart() {
        let mut bridges = Bridges::default();
        let start = net::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let one = (SessionId::from_random(1 << 96), Kind::Video);
        assert_eq!(bridges.due(start, one), start);
        assert_eq!(bridges.due(start, (one.0, Kind::Audio)), start);
        // A codec that changes with each picture: each takes the place of the one before.
        for ms in (40..1000).step_by(40) {
            assert_eq!(bridges.due(at(ms), one), at(1000));
        }
        assert_eq!(bridges.due(at(1040), one), at(2000));
        assert_eq!(bridges.due(at(5000), one), at(5000));
        assert_eq!(bridges.newest.len(), 1, "what is over is forgotten");
    }
}
