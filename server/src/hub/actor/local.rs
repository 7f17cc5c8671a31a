//! Publishers and players that come over a connection of this server's own: they join and leave the streams
//! as everybody, and players are told where to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use media::Codec;
use sfu::stats::EncodingState;
use sfu::{Add, Origin};
use signaling::{Problem, SessionId};
use stream::Event;
use tokio::sync::{oneshot, watch};

use super::{Actor, Session, Stream, wall_clock};
use crate::hub::local::{
    Guest, Intake, Local, Played, Playing, Publishing, Role as Kind, Said, Source, Totals,
};
use crate::hub::sessions::Numbers;
use crate::hub::{Role, tap};
use crate::line::Line;
use crate::net;
use crate::units::{self, Bus, Limits, Meter};

impl Actor {
    pub(in crate::hub) fn publish_local(&mut self, guest: Guest) -> Result<Publishing, Problem> {
        self.admit(Role::Publisher)?;
        self.may_publish(&guest.stream)?;
        let (stream, session) = (guest.stream.clone(), guest.session);
        tracing::info!(%stream, %session, from = %guest.address, protocol = guest.protocol.name(), "a publisher joins");
        let (writer, bus) = units::bus(self.unit_limits());
        let meter = Arc::<Meter>::default();
        let bridged = Arc::new(AtomicBool::new(self.config.stream.bridges));
        let (end, ended) = oneshot::channel();
        let (watched, news) = oneshot::channel();
        let role = Kind::Publisher {
            bus,
            meter: Arc::clone(&meter),
            bridged: Arc::clone(&bridged),
            watched: Some(watched),
        };
        self.enlist(Role::Publisher, guest, Local { role, end });
        self.outbox.push(sfu::Command::Add(Box::new(Add::local(session))));
        self.apply(&stream, Event::PublisherJoined { session, codecs: Vec::new() });
        let line = Line::of_source(self.media.clone(), session);
        Ok(Publishing { writer, line, meter, bridged, watched: news, end: ended })
    }

    pub(in crate::hub) fn play_local(
        &mut self,
        guest: Guest,
        codecs: Vec<Codec>,
    ) -> Result<Playing, Problem> {
        self.admit(Role::Viewer)?;
        self.can_play(&guest.stream, &codecs)?;
        let (stream, session) = (guest.stream.clone(), guest.session);
        tracing::info!(%stream, %session, from = %guest.address, protocol = guest.protocol.name(), "a player joins");
        let (source, news) = watch::channel(None);
        let played = Arc::new(Played::new(net::now()));
        let (end, ended) = oneshot::channel();
        let role = Kind::Player { source, played: Arc::clone(&played), codecs: codecs.clone() };
        self.enlist(Role::Viewer, guest, Local { role, end });
        self.apply(&stream, Event::PlayerJoined { session, codecs });
        self.seat_players(&stream);
        Ok(Playing { source: news, played, end: ended })
    }

    /// A connection says something about its peer.
    pub(in crate::hub) fn said(&mut self, session: SessionId, said: Said) {
        let Some((stream, _)) = self.find(session) else { return };
        let event = match said {
            Said::Agent(agent) => {
                let session = self.sessions.get_mut(&session);
                return session.into_iter().for_each(|s| s.user_agent = Some(agent.clone()));
            }
            Said::Note(code, text) => return self.book.note(net::now(), session, code, text),
            Said::Refused(track, why) => {
                if let Some(why) = &why {
                    tracing::warn!(%stream, %session, "a track is not carried: {why}");
                }
                return self.book.refused(net::now(), session, track, why);
            }
            Said::Codec(codec) => {
                tracing::info!(%stream, %session, %codec, "media flows");
                Event::MediaStarted { session, codec }
            }
            Said::Reorders(reorders) => Event::Reorders { session, reorders },
        };
        self.apply(&stream, event);
    }

    /// What a publisher by WebRTC sends has B-frames, or not any more.
    pub(super) fn note_order(
        &mut self,
        session: SessionId,
        stream: &stream::Name,
        encodings: &[EncodingState],
    ) {
        // One of ours says so itself, and sooner.
        if self.locals.contains_key(&session) {
            return;
        }
        let source = |e: &&EncodingState| e.origin == Origin::Source;
        let reorders = encodings.iter().filter(source).any(|e| e.b_frames);
        self.apply(stream, Event::Reorders { session, reorders });
    }

    /// A connection is over. `goodbye`: its peer said so, and nobody waits for it.
    pub(in crate::hub) fn hung_up(&mut self, session: SessionId, why: &str, goodbye: bool) {
        let Some((stream, role)) = self.find(session) else { return };
        tracing::info!(%stream, %session, ?role, reason = why, "a session ended");
        if role == Role::Publisher {
            self.outbox.push(sfu::Command::Remove(session));
        }
        self.gone(session, why, None, goodbye);
    }

    fn enlist(&mut self, role: Role, guest: Guest, local: Local) {
        let Guest { stream, session, protocol, address, user_agent } = guest;
        self.book.connected(net::now(), session, protocol, address, user_agent.as_deref());
        let since = wall_clock();
        let (video_line, ice) = (None, None);
        let known = Session { stream, role, protocol, since, address, user_agent, video_line, ice };
        self.sessions.insert(session, known);
        self.locals.insert(session, local);
    }

    /// The session is over: its connection is told why, if it is not its own doing. What it counted.
    pub(super) fn hang_up(&mut self, session: SessionId, why: &str) -> Option<Numbers> {
        let local = self.locals.remove(&session)?;
        // Its connection may have gone first.
        let _ = local.end.send(why.to_owned());
        let numbers = numbers(&local.role);
        if let Numbers::Player(sent) = &numbers {
            self.tally.lost += sent.lost;
        }
        Some(numbers)
    }

    /// How many players there are, and the units left out for those who were too slow.
    pub(super) fn players(&self) -> (usize, u64) {
        let lost = |local: &Local| match &local.role {
            Kind::Player { played, .. } => Some(played.totals(net::now()).lost),
            Kind::Publisher { .. } => None,
        };
        self.locals.values().filter_map(lost).fold((0, 0), |(n, sum), lost| (n + 1, sum + lost))
    }

    /// What its connection has counted of a session.
    pub(super) fn numbers(&self, session: SessionId) -> Option<Numbers> {
        self.locals.get(&session).map(|local| numbers(&local.role))
    }

    /// Players of a stream read the publisher that serves it now.
    pub(super) fn seat_players(&mut self, name: &stream::Name) {
        let players: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(id, s)| {
                s.role == Role::Viewer && &s.stream == name && self.locals.contains_key(id)
            })
            .map(|(id, _)| *id)
            .collect();
        if players.is_empty() {
            return;
        }
        let publisher = self.streams.get(name).and_then(|e| e.stream.publisher());
        let publisher = publisher.map(|p| p.session);
        let source = publisher.map(|publisher| Source { publisher, bus: self.bus_of(publisher) });
        for id in players {
            if let Some(Local { role: Kind::Player { source: seat, .. }, .. }) =
                self.locals.get(&id)
            {
                seat.send_if_modified(|known| {
                    let same = known.as_ref().map(|s| s.publisher) == publisher;
                    known.clone_from(&source);
                    !same
                });
            }
        }
    }

    /// The units of a publisher, whatever it came by.
    pub(super) fn bus_of(&mut self, publisher: SessionId) -> Bus {
        if let Some(Local { role: Kind::Publisher { bus, .. }, .. }) = self.locals.get(&publisher) {
            return bus.clone();
        }
        self.taps.retain(|_, bus| bus.upgrade().is_some());
        if let Some(bus) = self.taps.get(&publisher).and_then(units::WeakBus::upgrade) {
            return bus;
        }
        let bus = tap::start(self.media.clone(), publisher, self.unit_limits());
        self.taps.insert(publisher, bus.downgrade());
        bus
    }

    /// A bridge for pictures that reorder stands ready, or has failed.
    pub(super) fn may_withhold(&self, publisher: SessionId, bridged: bool) {
        if let Some(Local { role: Kind::Publisher { bridged: known, .. }, .. }) =
            self.locals.get(&publisher)
        {
            known.store(bridged, Ordering::Relaxed);
        }
    }

    /// Whoever publishes a stream is told that somebody watches it by WebRTC, once.
    pub(super) fn note_watched(&mut self, name: &stream::Name) {
        let Some(entry) = self.streams.get(name) else { return };
        let publisher =
            entry.stream.publisher().filter(|_| entry.stream.viewers().next().is_some());
        let local = publisher.and_then(|p| self.locals.get_mut(&p.session));
        if let Some(Local { role: Kind::Publisher { watched, .. }, .. }) = local
            && let Some(watched) = watched.take()
        {
            // Its connection may have gone.
            let _ = watched.send(());
        }
    }

    /// What a publisher of ours sends.
    pub(super) fn intake(&self, publisher: SessionId) -> Option<Intake> {
        match &self.locals.get(&publisher)?.role {
            Kind::Publisher { meter, .. } => Some(Intake::of(meter, net::now())),
            Kind::Player { .. } => None,
        }
    }

    /// Who plays a stream over a connection of ours, what they got, and what they lack.
    pub(super) fn players_of(
        &self,
        name: &stream::Name,
        stream: &Stream,
    ) -> Vec<(SessionId, Session, Totals, Vec<Codec>)> {
        let now = net::now();
        let player = |(id, local): (&SessionId, &Local)| {
            let session = self.sessions.get(id).filter(|s| &s.stream == name)?.clone();
            match &local.role {
                Kind::Player { played, codecs, .. } => {
                    Some((*id, session, played.totals(now), stream.untakeable(codecs)))
                }
                Kind::Publisher { .. } => None,
            }
        };
        let mut all: Vec<_> = self.locals.iter().filter_map(player).collect();
        all.sort_by_key(|(id, session, ..)| (session.since, *id));
        all
    }

    fn unit_limits(&self) -> Limits {
        let history = self.config.sfu.history;
        Limits { bytes: history.bytes, time: history.age }
    }
}

fn numbers(role: &Kind) -> Numbers {
    let now = net::now();
    match role {
        Kind::Publisher { meter, .. } => Numbers::Publisher(Intake::of(meter, now)),
        Kind::Player { played, .. } => Numbers::Player(played.totals(now)),
    }
}
