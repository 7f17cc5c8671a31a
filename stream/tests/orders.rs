//! What holds whatever happens in whatever order, and at whatever time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use media::{Activity, Codec};
use proptest::prelude::*;
use signaling::SessionId;
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
}

/// What an observer knows who only sees events go in and commands come out.
struct Observer {
    conflict: Conflict,
    came: usize,
    publishers: BTreeMap<SessionId, Seen>,
    viewers: BTreeMap<SessionId, Vec<Codec>>,
    attached: BTreeMap<SessionId, SessionId>,
    /// Who served when nothing happened last.
    served: Option<SessionId>,
    /// It had media, and what has happened since takes neither that nor itself away.
    pictured: bool,
    interrupted_since: Option<Instant>,
    drained: bool,
}

impl Observer {
    fn new(conflict: Conflict) -> Self {
        Self {
            conflict,
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

    /// Returns whose codec is now another one.
    fn sees(&mut self, now: Instant, event: &Event) -> Option<(SessionId, Codec)> {
        match event {
            Event::PublisherJoined { session, .. } if !self.knows(*session) => {
                let seen = Seen {
                    order: self.came,
                    connected: false,
                    activity: Activity::Quiet,
                    since: now,
                    sends: BTreeSet::new(),
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
                let publisher = self.publishers.get_mut(session)?;
                let new = !publisher.sends.contains(codec);
                publisher.sends.retain(|c| c.kind() != codec.kind());
                publisher.sends.insert(*codec);
                return new.then_some((*session, *codec));
            }
            Event::PublisherLeft { session, .. } => drop(self.publishers.remove(session)),
            Event::ViewerLeft { session } => {
                self.viewers.remove(session);
                self.attached.remove(session);
            }
            Event::Drain => self.drained = true,
            _ => {}
        }
        None
    }

    /// Commands as they come: they name whom they may, and every viewer that lacks a codec is told, once.
    fn obeys(
        &mut self,
        commands: &[Command],
        news: Option<(SessionId, Codec)>,
    ) -> Result<(), TestCaseError> {
        let mut owed: Vec<SessionId> = Vec::new();
        if let Some((publisher, codec)) = news {
            let watch = self.attached.iter().filter(|(_, p)| **p == publisher);
            owed.extend(watch.map(|(v, _)| *v).filter(|v| lacks(&self.viewers[v], codec)));
        }
        for command in commands {
            match command {
                Command::Attach { viewer, publisher } => {
                    prop_assert!(self.viewers.contains_key(viewer), "{:?}", command);
                    let to = self.publishers.get(publisher);
                    prop_assert!(to.is_some_and(|p| p.connected), "{:?}", command);
                    let before = self.attached.insert(*viewer, *publisher);
                    prop_assert_ne!(before, Some(*publisher), "attached twice");
                    let codecs = &self.viewers[viewer];
                    if self.publishers[publisher].sends.iter().any(|c| lacks(codecs, *c)) {
                        owed.push(*viewer);
                    }
                }
                Command::Detach { viewer } => {
                    prop_assert!(self.attached.remove(viewer).is_some(), "{:?}", command);
                }
                Command::Close { session, .. } => {
                    let publisher = self.publishers.remove(session).is_some();
                    let viewer = self.viewers.remove(session).is_some();
                    prop_assert!(publisher || viewer, "closing of nobody: {:?}", command);
                    self.attached.remove(session);
                }
                Command::Reconnect { viewer } => {
                    let due = owed.iter().position(|v| v == viewer);
                    prop_assert!(due.is_some(), "told for nothing or twice: {:?}", command);
                    due.map(|at| owed.remove(at));
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

        let state = stream.state();
        let interrupted = state == State::Interrupted;
        let nobody = self.publishers.is_empty() && self.viewers.is_empty();
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
        self.publishers.contains_key(&session) || self.viewers.contains_key(&session)
    }
}

fn lacks(codecs: &[Codec], codec: Codec) -> bool {
    codecs.iter().any(|c| c.kind() == codec.kind()) && !codecs.contains(&codec)
}

/// Few sessions, so that events of one session meet; roles get mixed up too.
fn publisher(people: u128) -> impl Strategy<Value = SessionId> {
    (0..people).prop_map(SessionId::from_random)
}

fn viewer() -> impl Strategy<Value = SessionId> {
    (11..15u128).prop_map(SessionId::from_random)
}

fn event(people: u128) -> impl Strategy<Value = Event> {
    let publisher = || publisher(people);
    let codecs = || proptest::collection::vec(codec(), 0..3);
    let activity = prop_oneof![
        3 => Just(Activity::Media),
        2 => Just(Activity::Quiet),
        2 => Just(Activity::Silent)
    ];
    let left = |(session, goodbye)| Event::PublisherLeft { session, reason: "x".into(), goodbye };
    prop_oneof![
        9 => (publisher(), codecs()).prop_map(|(session, codecs)| Event::PublisherJoined { session, codecs }),
        9 => publisher().prop_map(|session| Event::PublisherConnected { session }),
        12 => (publisher(), activity)
            .prop_map(|(session, activity)| Event::PublisherActivity { session, activity }),
        4 => (publisher(), codec()).prop_map(|(session, codec)| Event::MediaStarted { session, codec }),
        3 => (publisher(), any::<bool>()).prop_map(left),
        4 => (viewer(), codecs()).prop_map(|(session, codecs)| Event::ViewerJoined { session, codecs }),
        2 => viewer().prop_map(|session| Event::ViewerConnected { session }),
        2 => viewer().prop_map(|session| Event::ViewerLeft { session }),
        1 => Just(Event::PublisherKicked),
    ]
}

/// Often nothing, else anything up to beyond the grace.
fn pause() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => Just(Duration::ZERO),
        4 => (0..1500u64).prop_map(Duration::from_millis),
        1 => (0..4000u64).prop_map(Duration::from_millis)
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
        observer.obeys(&out, None)?;
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
        events in (1..=12u128)
            .prop_flat_map(|people| proptest::collection::vec((pause(), event(people)), 0..80)),
        drain: Option<prop::sample::Index>,
    ) {
        let mut now = start();
        let mut events = events;
        if let Some(at) = drain {
            events.insert(at.index(events.len() + 1), (Duration::ZERO, Event::Drain));
        }
        let mut stream = Stream::new(Config { grace: GRACE, on_conflict: conflict });
        let mut observer = Observer::new(conflict);
        for (pause, event) in events {
            now += pause;
            pass(&mut stream, &mut observer, now)?;
            let news = observer.sees(now, &event);
            observer.pictured = observer.served.is_some_and(|p| observer.shows(p))
                && !matches!(event, Event::PublisherKicked | Event::Drain);
            let goodbye = matches!(&event, Event::PublisherLeft { session, goodbye: true, .. }
                if observer.served == Some(*session));
            let mut out = Vec::new();
            stream.handle(now, event.clone(), &mut out);
            observer.obeys(&out, news)?;
            observer.agrees(now, &stream)?;
            prop_assert!(!goodbye || stream.state() != State::Interrupted, "waits after a goodbye");

            // The same again changes nothing; only a refused one may be refused again.
            let joins = matches!(event, Event::PublisherJoined { .. } | Event::ViewerJoined { .. });
            if !(joins && out.iter().any(|c| matches!(c, Command::Close { .. }))) {
                let state = stream.state();
                let mut again = Vec::new();
                stream.handle(now, event, &mut again);
                prop_assert_eq!(again, []);
                prop_assert_eq!(stream.state(), state);
                observer.agrees(now, &stream)?;
            }
        }

        now += STEADY + GRACE;
        pass(&mut stream, &mut observer, now)?;
        observer.settled(stream.publisher().map(|p| p.session))?;
        prop_assert_ne!(stream.state(), State::Interrupted);
        prop_assert_eq!(stream.deadline(), None);

        let left = |session: &SessionId| {
            Event::PublisherLeft { session: *session, reason: String::new(), goodbye: false }
        };
        let mut leave: Vec<Event> = observer.publishers.keys().map(left).collect();
        leave.extend(observer.viewers.keys().map(|session| Event::ViewerLeft { session: *session }));
        for event in leave {
            observer.sees(now, &event);
            observer.pictured = false;
            let mut out = Vec::new();
            stream.handle(now, event, &mut out);
            observer.obeys(&out, None)?;
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
