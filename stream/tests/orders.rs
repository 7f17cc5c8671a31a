//! What holds whatever happens in whatever order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use media::Codec;
use proptest::prelude::*;
use signaling::SessionId;
use stream::{Command, Event, State, Stream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Publisher,
    Viewer,
}

/// What an observer knows who only sees events go in and commands come out.
#[derive(Default)]
struct Observer {
    known: BTreeMap<SessionId, Role>,
    connected: BTreeSet<SessionId>,
    with_media: BTreeSet<SessionId>,
    attached: BTreeMap<SessionId, SessionId>,
}

impl Observer {
    fn sees(&mut self, event: &Event) {
        match event {
            Event::PublisherJoined { session, .. } => {
                self.known.entry(*session).or_insert(Role::Publisher);
            }
            Event::ViewerJoined { session, .. } => {
                self.known.entry(*session).or_insert(Role::Viewer);
            }
            Event::PublisherConnected { session } if self.is(*session, Role::Publisher) => {
                self.connected.insert(*session);
            }
            Event::MediaStarted { session, .. } if self.is(*session, Role::Publisher) => {
                self.with_media.insert(*session);
            }
            Event::PublisherLeft { session, .. } if self.is(*session, Role::Publisher) => {
                self.forgets(*session);
            }
            Event::ViewerLeft { session } if self.is(*session, Role::Viewer) => {
                self.forgets(*session);
            }
            _ => {}
        }
    }

    fn obeys(&mut self, command: &Command) -> Result<(), TestCaseError> {
        match command {
            Command::Attach { viewer, publisher } => {
                prop_assert!(self.is(*viewer, Role::Viewer), "{:?}", command);
                prop_assert!(self.is(*publisher, Role::Publisher), "{:?}", command);
                prop_assert!(self.connected.contains(publisher), "{:?}", command);
                let before = self.attached.insert(*viewer, *publisher);
                prop_assert_ne!(before, Some(*publisher), "attached twice");
            }
            Command::Detach { viewer } => {
                prop_assert!(self.is(*viewer, Role::Viewer), "{:?}", command);
                prop_assert!(self.attached.remove(viewer).is_some(), "{:?}", command);
            }
            Command::Close { session, .. } => {
                prop_assert!(self.known.contains_key(session), "{:?}", command);
                self.forgets(*session);
            }
        }
        Ok(())
    }

    /// Between two events.
    fn agrees(&self, stream: &Stream) -> Result<(), TestCaseError> {
        let publisher = stream.publisher().map(|p| p.session);
        let pending = stream.pending().map(|p| p.session);
        let publishers: BTreeSet<_> = publisher.into_iter().chain(pending).collect();
        prop_assert_eq!(publishers, self.all(Role::Publisher));
        prop_assert!(publisher.is_none_or(|p| self.connected.contains(&p)));
        prop_assert!(pending.is_none_or(|p| !self.connected.contains(&p)));

        let viewers: BTreeSet<_> = stream.viewers().map(|(session, _)| session).collect();
        prop_assert_eq!(&viewers, &self.all(Role::Viewer));
        let expected: BTreeMap<_, _> =
            viewers.into_iter().filter_map(|v| Some((v, publisher?))).collect();
        prop_assert_eq!(&self.attached, &expected);

        prop_assert_eq!(stream.is_empty(), self.known.is_empty());
        let live = publisher.is_some_and(|p| self.with_media.contains(&p));
        prop_assert_eq!(stream.state() == State::Live, live);
        Ok(())
    }

    fn all(&self, role: Role) -> BTreeSet<SessionId> {
        self.known.iter().filter(|(_, r)| **r == role).map(|(session, _)| *session).collect()
    }

    fn is(&self, session: SessionId, role: Role) -> bool {
        self.known.get(&session) == Some(&role)
    }

    fn forgets(&mut self, session: SessionId) {
        self.known.remove(&session);
        self.connected.remove(&session);
        self.with_media.remove(&session);
        self.attached.remove(&session);
    }
}

/// Few sessions, so that events of one session meet; roles get mixed up too.
fn session() -> impl Strategy<Value = SessionId> {
    (0..7u128).prop_map(SessionId::from_random)
}

fn event() -> impl Strategy<Value = Event> {
    let codecs = || proptest::collection::vec(codec(), 0..3);
    prop_oneof![
        6 => (session(), codecs()).prop_map(|(session, codecs)| Event::PublisherJoined { session, codecs }),
        6 => session().prop_map(|session| Event::PublisherConnected { session }),
        3 => (session(), codec()).prop_map(|(session, codec)| Event::MediaStarted { session, codec }),
        3 => session().prop_map(|session| Event::PublisherLeft { session, reason: String::new() }),
        6 => (session(), codecs()).prop_map(|(session, codecs)| Event::ViewerJoined { session, codecs }),
        3 => session().prop_map(|session| Event::ViewerConnected { session }),
        3 => session().prop_map(|session| Event::ViewerLeft { session }),
        1 => Just(Event::PublisherKicked),
    ]
}

fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_order(events in proptest::collection::vec(event(), 0..60), drain: Option<prop::sample::Index>) {
        let now = start();
        let mut events = events;
        if let Some(at) = drain {
            events.insert(at.index(events.len() + 1), Event::Drain);
        }
        let mut stream = Stream::new();
        let mut observer = Observer::default();
        for event in events {
            observer.sees(&event);
            let mut out = Vec::new();
            stream.handle(now, event.clone(), &mut out);
            for command in &out {
                observer.obeys(command)?;
            }
            observer.agrees(&stream)?;

            // The same again changes nothing; only a refused one may be refused again.
            let joins = matches!(event, Event::PublisherJoined { .. } | Event::ViewerJoined { .. });
            if !(joins && matches!(out[..], [Command::Close { .. }])) {
                let state = stream.state();
                let mut again = Vec::new();
                stream.handle(now, event, &mut again);
                prop_assert_eq!(again, []);
                prop_assert_eq!(stream.state(), state);
                observer.agrees(&stream)?;
            }
        }

        for (session, role) in observer.known.clone() {
            let event = match role {
                Role::Publisher => Event::PublisherLeft { session, reason: String::new() },
                Role::Viewer => Event::ViewerLeft { session },
            };
            observer.sees(&event);
            let mut out = Vec::new();
            stream.handle(now, event, &mut out);
            for command in &out {
                observer.obeys(command)?;
            }
        }
        prop_assert!(stream.is_empty());
    }
}

#[expect(clippy::disallowed_methods, reason = "a fake clock starts somewhere")]
fn start() -> Instant {
    Instant::now()
}
