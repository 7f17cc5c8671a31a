//! What holds whatever happens in whatever order, and at whatever time.

mod made;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use made::Made;
use media::{Activity, Codec, Kind};
use proptest::prelude::*;
use signaling::SessionId;
use stream::bridges::{self, AUDIENCE, LINGER};
use stream::{Command, Config, Conflict, Event, MAX_PENDING, MAX_STANDBYS, STEADY, State, Stream};

const GRACE: Duration = Duration::from_secs(3);

/// What an observer knows of one publisher.
#[derive(Clone, Debug)]
struct Seen {
    /// The so-many-th to come.
    order: usize,
    connected: bool,
    activity: Activity,
    /// Since when it is what it is.
    since: Instant,
    sends: BTreeSet<Codec>,
    reorders: bool,
}

/// Whose media, from what, to what.
type Way = (SessionId, Codec, Codec);

/// What an observer knows who only sees events go in and commands come out.
struct Observer {
    conflict: Conflict,
    came: usize,
    publishers: BTreeMap<SessionId, Seen>,
    viewers: BTreeMap<SessionId, Vec<Codec>>,
    attached: BTreeMap<SessionId, SessionId>,
    players: BTreeMap<SessionId, Vec<Codec>>,
    /// Somebody takes it as files.
    audience: bool,
    /// Whether there may be any.
    bridges: bool,
    bridged: BTreeMap<Way, Made>,
    /// Who served when nothing happened last.
    served: Option<SessionId>,
    /// It had media, and what has happened since takes neither that nor itself away.
    pictured: bool,
    interrupted_since: Option<Instant>,
    drained: bool,
}

impl Observer {
    fn new(conflict: Conflict, bridges: bool) -> Self {
        Self {
            conflict,
            players: BTreeMap::new(),
            audience: false,
            bridges,
            bridged: BTreeMap::new(),
            came: 0,
            publishers: BTreeMap::new(),
            viewers: BTreeMap::new(),
            attached: BTreeMap::new(),
            served: None,
            pictured: false,
            interrupted_since: None,
            drained: false,
        }
    }

    /// Returns which viewers lack something from now on that they did not lack before.
    fn sees(&mut self, now: Instant, event: &Event) -> Vec<SessionId> {
        match event {
            Event::PublisherJoined { session, .. } if !self.knows(*session) => {
                let seen = Seen {
                    order: self.came,
                    connected: false,
                    activity: Activity::Quiet,
                    since: now,
                    sends: BTreeSet::new(),
                    reorders: false,
                };
                self.came += 1;
                self.publishers.insert(*session, seen);
            }
            Event::ViewerJoined { session, codecs } if !self.knows(*session) => {
                self.viewers.insert(*session, codecs.clone());
            }
            Event::PublisherConnected { session } => {
                self.publishers.entry(*session).and_modify(|p| p.connected = true);
            }
            Event::PublisherActivity { session, activity } => {
                let publisher = self.publishers.get_mut(session).filter(|p| p.connected);
                if let Some(publisher) = publisher.filter(|p| p.activity != *activity) {
                    (publisher.activity, publisher.since) = (*activity, now);
                }
            }
            Event::MediaStarted { session, codec } => {
                let Some(publisher) = self.publishers.get_mut(session) else { return Vec::new() };
                let new = !publisher.sends.contains(codec);
                publisher.sends.retain(|c| c.kind() != codec.kind());
                publisher.sends.insert(*codec);
                return self.who(|it, v| new && it.watches(v, *session) && it.lacks(v, *codec));
            }
            Event::Reorders { session, reorders } => {
                self.publishers.entry(*session).and_modify(|p| p.reorders = *reorders);
            }
            Event::PlayerJoined { session, codecs } if !self.knows(*session) => {
                self.players.insert(*session, codecs.clone());
            }
            Event::PlayerLeft { session } => drop(self.players.remove(session)),
            Event::BridgeIs { publisher, from, to, state } => {
                let Some(made) = self.bridged.get_mut(&(*publisher, *from, *to)) else {
                    return Vec::new();
                };
                let news = made.becomes(now, *state);
                return self.who(|it, v| {
                    let needed = it.made_of(&it.viewers[&v], true, *publisher, *from) == Some(*to);
                    news && needed && it.watches(v, *publisher) && it.lacks(v, *from)
                });
            }
            Event::PublisherLeft { session, .. } => drop(self.publishers.remove(session)),
            Event::ViewerLeft { session } => {
                self.viewers.remove(session);
                self.attached.remove(session);
            }
            Event::Audience { present } => self.audience = *present && !self.drained,
            Event::Drain => (self.drained, self.audience) = (true, false),
            _ => {}
        }
        Vec::new()
    }

    fn who(&self, is: impl Fn(&Self, SessionId) -> bool) -> Vec<SessionId> {
        self.viewers.keys().copied().filter(|viewer| is(self, *viewer)).collect()
    }

    fn watches(&self, viewer: SessionId, publisher: SessionId) -> bool {
        self.attached.get(&viewer) == Some(&publisher)
    }

    /// What has to be made of `sent` for somebody who takes these codecs.
    fn made_of(
        &self,
        codecs: &[Codec],
        rtp: bool,
        publisher: SessionId,
        sent: Codec,
    ) -> Option<Codec> {
        let video = sent.kind() == Kind::Video;
        let jumps = rtp && video && self.publishers.get(&publisher).is_some_and(|p| p.reorders);
        if codecs.contains(&sent) && !jumps {
            return None;
        }
        let (best, other) =
            if video { (Codec::H264, Codec::Vp8) } else { (Codec::Opus, Codec::Aac) };
        let either = codecs.contains(&best).then_some(best);
        either.or(codecs.contains(&other).then_some(other))
    }

    /// True if nothing that there is or could be gives this viewer what its publisher sends.
    fn misses(&self, codecs: &[Codec], publisher: SessionId, sent: Codec) -> bool {
        let to = self.made_of(codecs, true, publisher, sent);
        let failed = |to| self.bridged.get(&(publisher, sent, to)).is_some_and(|m| m.failed);
        let bridged = self.bridges && to.is_some_and(|to| !failed(to));
        codecs.iter().any(|c| c.kind() == sent.kind()) && !codecs.contains(&sent) && !bridged
    }

    /// The same of the one that it watches, where a new offer could help.
    fn lacks(&self, viewer: SessionId, sent: Codec) -> bool {
        let publisher = self.attached.get(&viewer);
        let misses = publisher.is_some_and(|p| self.misses(&self.viewers[&viewer], *p, sent));
        misses && Codec::WEBRTC.contains(&sent)
    }

    /// Every bridge that somebody needs now.
    fn needed(&self, active: Option<SessionId>) -> BTreeSet<Way> {
        let Some((publisher, seen)) = active.and_then(|p| Some((p, self.publishers.get(&p)?)))
        else {
            return BTreeSet::new();
        };
        let viewers = self.viewers.values().map(|codecs| (codecs, true));
        let players = self.players.values().map(|codecs| (codecs, false));
        let audience = AUDIENCE.map(|consumer| consumer.codecs.to_vec());
        let audience = audience.iter().filter(|_| self.audience).map(|codecs| (codecs, false));
        let everybody = viewers.chain(players).chain(audience);
        let ways = everybody.flat_map(|(codecs, rtp)| {
            let to = move |from: &Codec| {
                let to = self.made_of(codecs, rtp, publisher, *from)?;
                Some((publisher, *from, to))
            };
            seen.sends.iter().filter_map(to)
        });
        if self.bridges { ways.collect() } else { BTreeSet::new() }
    }

    /// Bridges run for those who need them, a little longer, and never without their media.
    fn bridges_serve(
        &mut self,
        now: Instant,
        active: Option<SessionId>,
        stream: &Stream,
    ) -> Result<(), TestCaseError> {
        let needed = self.needed(active);
        for (way, made) in &mut self.bridged {
            let idle = (!needed.contains(way)).then(|| made.idle.unwrap_or(now));
            made.idle = idle;
            prop_assert!(idle.is_none_or(|since| now < since + LINGER), "{:?} lingers", way);
            let waits = idle.is_some() || made.again.is_none_or(|again| now < again);
            prop_assert!(waits, "{:?} is not tried again", way);
            let sends = self.publishers.get(&way.0).is_some_and(|p| p.sends.contains(&way.1));
            prop_assert!(sends, "{:?} has outlived its media", way);
        }
        let lacking = needed.iter().find(|way| !self.bridged.contains_key(way));
        prop_assert_eq!(lacking, None);
        let listed = stream.bridges().iter().map(|b| (b.publisher, b.from, b.to));
        prop_assert_eq!(listed.collect::<BTreeSet<_>>(), self.bridged.keys().copied().collect());

        let Some(publisher) = active else { return Ok(()) };
        for (viewer, codecs) in &self.viewers {
            let missing = stream.missing_codec(*viewer);
            for sent in &self.publishers[&publisher].sends {
                let misses = self.misses(codecs, publisher, *sent);
                prop_assert_eq!(missing.contains(sent), misses, "{:?} of {:?}", sent, missing);
            }
        }
        Ok(())
    }

    /// Commands as they come: they name whom they may, and every viewer that lacks a codec is told, once.
    fn obeys(
        &mut self,
        now: Instant,
        commands: &[Command],
        mut owed: Vec<SessionId>,
    ) -> Result<(), TestCaseError> {
        for command in commands {
            match command {
                Command::Attach { viewer, publisher } => {
                    prop_assert!(self.viewers.contains_key(viewer), "{:?}", command);
                    let to = self.publishers.get(publisher);
                    prop_assert!(to.is_some_and(|p| p.connected), "{:?}", command);
                    let before = self.attached.insert(*viewer, *publisher);
                    prop_assert_ne!(before, Some(*publisher), "attached twice");
                    if self.publishers[publisher].sends.iter().any(|c| self.lacks(*viewer, *c)) {
                        owed.push(*viewer);
                    }
                }
                Command::Detach { viewer } => {
                    prop_assert!(self.attached.remove(viewer).is_some(), "{:?}", command);
                }
                Command::Close { session, .. } => {
                    let publisher = self.publishers.remove(session).is_some();
                    let viewer = self.viewers.remove(session).is_some();
                    let player = self.players.remove(session).is_some();
                    prop_assert!(publisher || viewer || player, "closing of nobody: {:?}", command);
                    self.attached.remove(session);
                }
                Command::Reconnect { viewer } => {
                    let due = owed.iter().position(|v| v == viewer);
                    prop_assert!(due.is_some(), "told for nothing or twice: {:?}", command);
                    due.map(|at| owed.remove(at));
                }
                Command::Bridge { publisher, from, to, why } => {
                    let new = Made { again: Some(now), ..Made::default() };
                    let made = self.bridged.entry((*publisher, *from, *to)).or_insert(new);
                    let due = made.again.is_some_and(|again| again <= now);
                    prop_assert!(due && self.bridges, "{:?}", command);
                    (made.state, made.again) = (bridges::State::Starting, None);
                    prop_assert!(why.viewers + why.players > 0 || why.audience, "{:?}", command);
                }
                Command::Unbridge { publisher, from, to } => {
                    let made = self.bridged.remove(&(*publisher, *from, *to));
                    prop_assert!(made.is_some(), "{:?}", command);
                    let sent = self.publishers.get(publisher);
                    let sent = sent.is_some_and(|p| p.sends.contains(from));
                    let idle = made.and_then(|made| made.idle);
                    let over = idle.is_some_and(|since| since + LINGER == now);
                    prop_assert!(over || !sent, "too soon or too late: {:?}", command);
                }
            }
        }
        prop_assert!(owed.is_empty(), "not told: {:?}", owed);
        Ok(())
    }

    /// Whenever nothing happens just now.
    fn agrees(&mut self, now: Instant, stream: &Stream) -> Result<(), TestCaseError> {
        let known: BTreeSet<_> = stream.publishers().iter().map(|p| p.session).collect();
        prop_assert_eq!(known, self.publishers.keys().copied().collect());
        let viewers: BTreeSet<_> = stream.viewers().map(|(session, _)| session).collect();
        prop_assert_eq!(&viewers, &self.viewers.keys().copied().collect());

        let active = stream.publisher().map(|p| p.session);
        let expected: BTreeMap<_, _> =
            viewers.into_iter().filter_map(|v| Some((v, active?))).collect();
        prop_assert_eq!(&self.attached, &expected);
        self.nobody_freezes(active)?;
        self.changed_with_reason(now, active)?;
        self.served = active;
        self.within_bounds(active)?;
        self.bridges_serve(now, active, stream)?;

        let state = stream.state();
        let interrupted = state == State::Interrupted;
        prop_assert_eq!(stream.players(), self.players.len());
        let takers = self.viewers.len() + self.players.len();
        let nobody = self.publishers.is_empty() && takers == 0 && !self.audience;
        prop_assert_eq!(stream.is_empty(), nobody && !interrupted);
        prop_assert!(!(self.drained && interrupted));
        let media = active.is_some_and(|p| !self.publishers[&p].sends.is_empty());
        prop_assert!(state != State::Live || media);
        match (self.interrupted_since, interrupted) {
            (None, true) => self.interrupted_since = Some(now),
            (_, false) => self.interrupted_since = None,
            (Some(since), true) => prop_assert!(now < since + GRACE, "grace is over"),
        }
        let past = stream.deadline().is_some_and(|due| due <= now);
        prop_assert!(!past, "it wants to be woken for what is past");
        Ok(())
    }

    /// No viewer is left with a publisher without media while another one that may serve has some.
    fn nobody_freezes(&self, active: Option<SessionId>) -> Result<(), TestCaseError> {
        let serves = active.is_some_and(|p| self.shows(p));
        let other = self.publishers.keys().find(|p| Some(**p) != active && self.shows(**p));
        prop_assert!(serves || other.is_none(), "{:?} freezes, {:?} has media", active, other);
        prop_assert!(
            active.is_some() || !self.publishers.values().any(|p| p.connected),
            "somebody is connected and nobody serves"
        );
        Ok(())
    }

    /// Who shows a picture is replaced only by one that has a better right to it, and a picture.
    fn changed_with_reason(
        &self,
        now: Instant,
        active: Option<SessionId>,
    ) -> Result<(), TestCaseError> {
        // One that was closed as it was replaced has shown until then.
        let was_pictured = self.pictured && self.served.is_some();
        if active == self.served || !was_pictured {
            return Ok(());
        }
        let next = active.map(|id| &self.publishers[&id]);
        prop_assert!(active.is_none_or(|id| self.shows(id)), "a picture is given up for none");
        if let (Conflict::Standby, Some(next)) = (self.conflict, next) {
            prop_assert!(now >= next.since + STEADY, "given back too soon");
        }
        prop_assert_ne!(self.conflict, Conflict::Reject, "taken from who was there first");
        Ok(())
    }

    fn within_bounds(&self, active: Option<SessionId>) -> Result<(), TestCaseError> {
        let waiting = self.publishers.len() - usize::from(active.is_some());
        match self.conflict {
            Conflict::Standby => prop_assert!(self.publishers.len() <= MAX_STANDBYS + 1),
            Conflict::Takeover | Conflict::Reject => prop_assert!(waiting <= MAX_PENDING),
        }
        if self.conflict == Conflict::Reject
            && let Some(it) = active.map(|p| &self.publishers[&p])
            && it.activity != Activity::Silent
        {
            let others = self.publishers.iter().filter(|(id, _)| Some(**id) != active);
            prop_assert!(others.into_iter().all(|(_, p)| !p.connected), "a second one was let in");
        }
        Ok(())
    }

    /// Once nothing has happened for long: who serves is the one that should.
    fn settled(&self, active: Option<SessionId>) -> Result<(), TestCaseError> {
        let mut with_media: Vec<_> =
            self.publishers.iter().filter(|(id, _)| self.shows(**id)).collect();
        with_media.sort_by_key(|(_, p)| p.order);
        let should = match self.conflict {
            Conflict::Standby => with_media.first(),
            Conflict::Takeover | Conflict::Reject => with_media.last(),
        };
        if let Some((session, _)) = should {
            prop_assert_eq!(active, Some(**session));
        }
        Ok(())
    }

    fn shows(&self, publisher: SessionId) -> bool {
        let publisher = self.publishers.get(&publisher);
        publisher.is_some_and(|p| p.connected && p.activity == Activity::Media)
    }

    fn knows(&self, session: SessionId) -> bool {
        self.publishers.contains_key(&session)
            || self.viewers.contains_key(&session)
            || self.players.contains_key(&session)
    }

    /// What was drawn, about a bridge that there is.
    fn meant(&self, event: Event, which: prop::sample::Index) -> Event {
        match event {
            Event::BridgeIs { state, .. } if !self.bridged.is_empty() => {
                let ways: Vec<&Way> = self.bridged.keys().collect();
                let (publisher, from, to) = *ways[which.index(ways.len())];
                Event::BridgeIs { publisher, from, to, state }
            }
            event => event,
        }
    }
}

/// Few sessions, so that events of one session meet; roles get mixed up too.
fn publisher(people: u128) -> impl Strategy<Value = SessionId> {
    (0..people).prop_map(SessionId::from_random)
}

fn viewer() -> impl Strategy<Value = SessionId> {
    (11..15u128).prop_map(SessionId::from_random)
}

fn player() -> impl Strategy<Value = SessionId> {
    (14..17u128).prop_map(SessionId::from_random)
}

fn event(people: u128) -> impl Strategy<Value = Event> {
    let publisher = || publisher(people);
    let codecs = || proptest::collection::vec(codec(), 0..3);
    let activity = prop_oneof![
        3 => Just(Activity::Media),
        2 => Just(Activity::Quiet),
        2 => Just(Activity::Silent)
    ];
    let sent = || prop_oneof![5 => codec(), 1 => Just(Codec::Aac)];
    let played = || proptest::collection::vec(sent(), 0..3);
    let state = proptest::sample::select(
        &[bridges::State::Starting, bridges::State::Running, bridges::State::Failed][..],
    );
    let bridge = |(publisher, from, to, state)| Event::BridgeIs { publisher, from, to, state };
    let left = |(session, goodbye)| Event::PublisherLeft { session, reason: "x".into(), goodbye };
    prop_oneof![
        9 => (publisher(), codecs()).prop_map(|(session, codecs)| Event::PublisherJoined { session, codecs }),
        9 => publisher().prop_map(|session| Event::PublisherConnected { session }),
        12 => (publisher(), activity)
            .prop_map(|(session, activity)| Event::PublisherActivity { session, activity }),
        4 => (publisher(), sent()).prop_map(|(session, codec)| Event::MediaStarted { session, codec }),
        2 => (publisher(), any::<bool>())
            .prop_map(|(session, reorders)| Event::Reorders { session, reorders }),
        3 => (publisher(), sent(), sent(), state).prop_map(bridge),
        3 => (publisher(), any::<bool>()).prop_map(left),
        4 => (viewer(), codecs()).prop_map(|(session, codecs)| Event::ViewerJoined { session, codecs }),
        2 => viewer().prop_map(|session| Event::ViewerConnected { session }),
        2 => viewer().prop_map(|session| Event::ViewerLeft { session }),
        2 => (player(), played()).prop_map(|(session, codecs)| Event::PlayerJoined { session, codecs }),
        1 => player().prop_map(|session| Event::PlayerLeft { session }),
        2 => any::<bool>().prop_map(|present| Event::Audience { present }),
        1 => Just(Event::PublisherKicked),
    ]
}

/// Often nothing, else anything up to beyond the grace.
fn pause() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => Just(Duration::ZERO),
        4 => (0..1500u64).prop_map(Duration::from_millis),
        1 => (0..4000u64).prop_map(Duration::from_millis),
        1 => (0..200u64).prop_map(Duration::from_secs)
    ]
}

fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::WEBRTC[..])
}

fn conflict() -> impl Strategy<Value = Conflict> {
    proptest::sample::select(&[Conflict::Takeover, Conflict::Reject, Conflict::Standby][..])
}

/// Time passes until `end`; the stream is woken when it wants to be.
fn pass(stream: &mut Stream, observer: &mut Observer, end: Instant) -> Result<(), TestCaseError> {
    while let Some(due) = stream.deadline().filter(|due| *due <= end) {
        let mut out = Vec::new();
        let since = observer.interrupted_since;
        observer.pictured = observer.served.is_some_and(|p| observer.shows(p));
        stream.handle_timeout(due, &mut out);
        observer.obeys(due, &out, Vec::new())?;
        if let Some(since) = since
            && stream.state() == State::Ended
        {
            prop_assert_eq!(due, since + GRACE, "the grace was not kept exactly");
        }
        observer.agrees(due, stream)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn any_order(
        conflict in conflict(),
        bridges: bool,
        events in (1..=12u128)
            .prop_flat_map(|people| proptest::collection::vec((pause(), event(people), any::<prop::sample::Index>()), 0..80)),
        drain: Option<prop::sample::Index>,
    ) {
        let mut now = start();
        let mut events = events;
        if let Some(at) = drain {
            events.insert(at.index(events.len() + 1), (Duration::ZERO, Event::Drain, at));
        }
        let mut stream = Stream::new(Config { grace: GRACE, on_conflict: conflict, bridges });
        let mut observer = Observer::new(conflict, bridges);
        for (pause, event, which) in events {
            now += pause;
            pass(&mut stream, &mut observer, now)?;
            let event = observer.meant(event, which);
            let news = observer.sees(now, &event);
            observer.pictured = observer.served.is_some_and(|p| observer.shows(p))
                && !matches!(event, Event::PublisherKicked | Event::Drain);
            let goodbye = matches!(&event, Event::PublisherLeft { session, goodbye: true, .. }
                if observer.served == Some(*session));
            let mut out = Vec::new();
            stream.handle(now, event.clone(), &mut out);
            observer.obeys(now, &out, news)?;
            observer.agrees(now, &stream)?;
            prop_assert!(!goodbye || stream.state() != State::Interrupted, "waits after a goodbye");

            // The same again changes nothing; only a refused one may be refused again.
            let joins = matches!(
                event,
                Event::PublisherJoined { .. }
                    | Event::ViewerJoined { .. }
                    | Event::PlayerJoined { .. }
            );
            if !(joins && out.iter().any(|c| matches!(c, Command::Close { .. }))) {
                let state = stream.state();
                let mut again = Vec::new();
                stream.handle(now, event, &mut again);
                prop_assert_eq!(again, []);
                prop_assert_eq!(stream.state(), state);
                observer.agrees(now, &stream)?;
            }
        }

        now += STEADY + GRACE + LINGER;
        pass(&mut stream, &mut observer, now)?;
        observer.settled(stream.publisher().map(|p| p.session))?;
        prop_assert_ne!(stream.state(), State::Interrupted);
        let tried = observer.bridged.values().filter(|made| made.idle.is_none());
        prop_assert_eq!(stream.deadline(), tried.filter_map(|made| made.again).min());

        let left = |session: &SessionId| {
            Event::PublisherLeft { session: *session, reason: String::new(), goodbye: false }
        };
        let mut leave: Vec<Event> = observer.publishers.keys().map(left).collect();
        leave.extend(observer.players.keys().map(|session| Event::PlayerLeft { session: *session }));
        leave.extend(observer.viewers.keys().map(|session| Event::ViewerLeft { session: *session }));
        leave.push(Event::Audience { present: false });
        for event in leave {
            observer.sees(now, &event);
            observer.pictured = false;
            let mut out = Vec::new();
            stream.handle(now, event, &mut out);
            observer.obeys(now, &out, Vec::new())?;
        }
        now += GRACE;
        pass(&mut stream, &mut observer, now)?;
        prop_assert!(stream.is_empty());
    }
}

#[expect(clippy::disallowed_methods, reason = "a fake clock starts somewhere")]
fn start() -> Instant {
    Instant::now()
}
