//! The audience that takes a stream as files: what there is to package now, and who is to be told that there is
//! something. The media itself never passes the hub.

use std::collections::HashMap;

use media::{Codec, Kind};
use signaling::Problem;
use stream::Event;
use tokio::sync::{mpsc, watch};

use super::Actor;
use crate::bridges;
use crate::hub::local::Source;
use crate::hub::{Protocol, stopping};

/// What there is to package of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stage {
    /// Who publishes now; another one when another publisher serves.
    pub(crate) source: Option<Source>,
    /// There is none, but the one that was lost may come back.
    pub(crate) waits: bool,
    /// What the publisher was seen to send, one of each kind at most.
    pub(crate) sends: Vec<Codec>,
    /// What is made of it, or about to be.
    pub(crate) bridged: Vec<Codec>,
    /// It comes by WebRTC, and sends keyframes when asked.
    pub(crate) whip: bool,
}

impl Stage {
    fn is(&self, other: &Self) -> bool {
        let who = |stage: &Self| stage.source.as_ref().map(|source| source.publisher);
        (who(self), self.waits) == (who(other), other.waits)
            && (&self.sends, &self.bridged) == (&other.sends, &other.bridged)
    }
}

/// Those who package streams.
#[derive(Debug, Default)]
pub(super) struct Audiences {
    all: HashMap<stream::Name, watch::Sender<Stage>>,
    /// Is told the names of streams that are live and not packaged.
    herald: Option<mpsc::Sender<stream::Name>>,
}

impl Actor {
    /// Tell `herald` of each stream that goes live.
    pub(in crate::hub) fn announce(&mut self, herald: mpsc::Sender<stream::Name>) {
        self.audiences.herald = Some(herald);
        let names: Vec<stream::Name> = self.streams.keys().cloned().collect();
        names.iter().for_each(|name| self.tell_audience(name));
    }

    /// Somebody packages a stream from now on, as long as it holds what is returned.
    pub(in crate::hub) fn audience(
        &mut self,
        name: &stream::Name,
    ) -> Result<watch::Receiver<Stage>, Problem> {
        if self.draining {
            return Err(stopping());
        }
        let known = self.streams.get(name).map(|entry| entry.stream.state());
        if matches!(known, None | Some(stream::State::Idle | stream::State::Ended)) {
            return Err(nobody(name));
        }
        let (sender, receiver) = watch::channel(Stage::default());
        self.audiences.all.insert(name.clone(), sender);
        self.apply(name, Event::Audience { present: true });
        Ok(receiver)
    }

    /// Who packaged a stream has let go of it.
    pub(in crate::hub) fn audience_left(&mut self, name: &stream::Name) {
        // Another one may have come in its place.
        let left = |sender: &watch::Sender<Stage>| sender.is_closed();
        if self.audiences.all.get(name).is_some_and(left) {
            self.audiences.all.remove(name);
            if self.streams.contains_key(name) {
                self.apply(name, Event::Audience { present: false });
            }
        }
    }

    /// An audience needs a keyframe of the pictures that a bridge makes.
    pub(in crate::hub) fn audience_keyframe(&mut self, name: &stream::Name) {
        let publisher = self.streams.get(name).and_then(|entry| entry.stream.publisher());
        if let Some(publisher) = publisher.map(|p| p.session) {
            self.bridged_keyframe(publisher, bridges::encoding(Codec::H264));
        }
    }

    /// Tells who packages a stream what is different with it.
    pub(super) fn tell_audience(&mut self, name: &stream::Name) {
        let Some(sender) = self.audiences.all.get(name) else { return self.herald(name) };
        let known = sender.borrow().source.clone();
        let mut stage = Stage::default();
        if let Some(entry) = self.streams.get(name) {
            stage.waits = entry.stream.state() == stream::State::Interrupted;
            if let Some(publisher) = entry.stream.publisher() {
                let id = publisher.session;
                let kinds = [Kind::Video, Kind::Audio].into_iter();
                stage.sends = kinds.filter_map(|kind| publisher.sends(kind)).collect();
                let all = entry.stream.bridges().iter();
                let made = all.filter(|b| b.publisher == id && !b.has_failed() && b.from != b.to);
                stage.bridged = made.map(|b| b.to).collect();
                stage.whip = self.sessions.get(&id).is_some_and(|s| s.protocol == Protocol::Whip);
                let same = known.filter(|source| source.publisher == id);
                let new = || Source { publisher: id, bus: self.bus_of(id) };
                stage.source = Some(same.unwrap_or_else(new));
            }
        }
        if let Some(sender) = self.audiences.all.get(name) {
            sender.send_if_modified(|known| {
                let news = !known.is(&stage);
                *known = stage;
                news
            });
        }
    }

    /// Says that a stream is live, where somebody wants to know.
    fn herald(&self, name: &stream::Name) {
        let state = self.streams.get(name).map(|entry| entry.stream.state());
        if let Some(herald) = self.audiences.herald.as_ref()
            && state == Some(stream::State::Live)
        {
            // Full: it is said again with the next change, and the first request helps itself.
            let _ = herald.try_send(name.clone());
        }
    }
}

fn nobody(name: &stream::Name) -> Problem {
    let detail = format!("Nobody publishes {name} now.");
    Problem::new(404, "no-publisher", "No publisher", detail).retry_after(2)
}
