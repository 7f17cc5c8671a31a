//! The bridges that streams want: started, told when somebody needs a keyframe, given up, and what has become of them.

use std::collections::HashMap;

use media::{Codec, EncodingId};
use signaling::SessionId;
use stream::Event;
use transcode::{Bounds, State};

use super::{Actor, Stream};
use crate::bridges::{self, Job, Running};
use crate::hub::ask;
use crate::line::Line;
use crate::{net, status};

/// Whose media, what comes in, what goes out.
pub(super) type Key = (SessionId, Codec, Codec);

/// All bridges of this server.
pub(super) type Bridges = HashMap<Key, Work>;

/// One bridge.
#[derive(Debug)]
pub(super) struct Work {
    /// `None` once it has failed.
    running: Option<Running>,
    state: &'static str,
    reason: Option<String>,
}

impl Actor {
    /// A stream wants one.
    pub(super) fn bridge(&mut self, key: Key) {
        let (publisher, from, to) = key;
        let worker = self.config.worker.clone();
        let (Some(worker), Some(target)) = (worker, bridges::target(to)) else { return };
        let bus = self.bus_of(publisher);
        let line = Line::of_bridge(self.media.clone(), publisher);
        let history = self.config.sfu.history;
        let bounds =
            Bounds { ring_bytes: history.bytes, ring_time: history.age, ..Bounds::default() };
        let hub = self.requests.clone();
        let report = move |state| {
            let hub = hub.clone();
            async move {
                if let Some(hub) = hub.upgrade() {
                    // The hub may be about to end.
                    let _ = ask(&hub, move |actor| actor.bridge_is(key, state)).await;
                }
            }
        };
        let job = Job { publisher, from, to: target, bus, line, worker, bounds };
        let running = Some(bridges::start(job, report));
        self.bridges.insert(key, Work { running, state: "starting", reason: None });
    }

    /// A stream needs it no more, or has lost its publisher.
    pub(super) fn unbridge(&mut self, key: Key) {
        let (publisher, from, to) = key;
        tracing::info!(%publisher, %from, %to, "a bridge ends");
        self.bridges.remove(&key);
        let encoding = bridges::encoding(to);
        self.outbox.push(sfu::Command::Unbridge { publisher, encoding, kind: to.kind() });
    }

    /// A bridge says how it is.
    fn bridge_is(&mut self, key: Key, state: State) {
        let (publisher, from, to) = key;
        let Some(work) = self.bridges.get_mut(&key) else { return };
        let (name, reason, told) = match state {
            State::Starting => ("starting", None, stream::bridges::State::Starting),
            State::Running | State::Idle => ("running", None, stream::bridges::State::Running),
            State::Restarting { reason } => {
                self.tally.restarts += 1;
                tracing::warn!(%publisher, %from, %to, reason, "a bridge starts again");
                ("restarting", Some(reason), stream::bridges::State::Running)
            }
            State::Failed { reason } => {
                self.tally.failures += 1;
                tracing::error!(%publisher, %from, %to, reason, "a bridge has failed");
                ("failed", Some(reason), stream::bridges::State::Failed)
            }
        };
        work.state = name;
        let because = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let text = format!("the bridge from {from} to {to} is {name}{because}");
        work.reason = because_of(name, reason, work.reason.take());
        self.book.note(net::now(), publisher, "bridge", text);
        if told == stream::bridges::State::Failed {
            work.running = None;
            let encoding = bridges::encoding(to);
            self.outbox.push(sfu::Command::Unbridge { publisher, encoding, kind: to.kind() });
            if to.kind() == media::Kind::Video {
                self.may_withhold(publisher, false);
            }
        }
        let Some((stream, _)) = self.find(publisher) else { return };
        self.apply(&stream, Event::BridgeIs { publisher, from, to, state: told });
    }

    /// A viewer needs a keyframe of what a bridge makes.
    pub(super) fn bridged_keyframe(&mut self, publisher: SessionId, encoding: EncodingId) {
        let made = self
            .bridges
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
        let chosen = |b: &&stream::bridges::Bridge| publisher.is_none_or(|id| b.publisher == id);
        let one = |bridge: &stream::bridges::Bridge| {
            let work = self.bridges.get(&(bridge.publisher, bridge.from, bridge.to));
            status::Bridge {
                from: bridge.from.name().to_owned(),
                to: bridge.to.name().to_owned(),
                why: bridge.why.to_string(),
                state: work.map_or(bridge.state.name(), |work| work.state),
                reason: work.and_then(|work| work.reason.clone()),
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
    use super::because_of;

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
}
