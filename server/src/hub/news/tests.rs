//! What readers hear, and in which order. Streams and time are values; one look at a listener says
//! what it has to hear, or that there is nothing.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use media::EncodingId;
use stream::Event;

use super::*;

const PUBLISHER: u128 = 1 << 100;
const VIEWER: u128 = 2 << 100;

fn id(bits: u128) -> SessionId {
    SessionId::from_random(bits)
}

/// One stream, its desk, and a clock.
struct Room {
    now: Instant,
    name: stream::Name,
    stream: Stream,
    desk: Desk,
}

impl Room {
    /// With one viewer of Opus, H.264 and VP8, who is not listening yet.
    fn new() -> Self {
        let now = crate::clock::now();
        let name = stream::Name::new("show").unwrap();
        let mut room = Self {
            now,
            name,
            stream: Stream::new(stream::Config::default()),
            desk: Desk::default(),
        };
        room.viewer(VIEWER);
        room
    }

    fn does(&mut self, event: Event) {
        self.stream.handle(self.now, event, &mut Vec::new());
        self.desk.update(self.now, &self.name, &self.stream);
    }

    fn viewer(&mut self, bits: u128) {
        let codecs = vec![Codec::Opus, Codec::H264, Codec::Vp8];
        self.does(Event::ViewerJoined { session: id(bits), codecs });
    }

    /// A publisher comes, whom nobody hears yet.
    fn publisher(&mut self, bits: u128) {
        let codecs = vec![Codec::Opus, Codec::Vp8, Codec::Vp9];
        self.does(Event::PublisherJoined { session: id(bits), codecs });
        self.does(Event::PublisherConnected { session: id(bits) });
    }

    fn sends(&mut self, bits: u128, codec: Codec) {
        self.does(Event::MediaStarted { session: id(bits), codec });
    }

    fn leaves(&mut self, bits: u128) {
        self.desk.end(id(bits), None);
        self.does(Event::PublisherLeft { session: id(bits), reason: "bye".into(), goodbye: true });
    }

    fn encodings(&mut self, bits: u128, widths: &[(&str, u16)]) {
        let encodings: Vec<EncodingState> = widths
            .iter()
            .map(|(name, width)| EncodingState {
                id: EncodingId::new(name).unwrap(),
                origin: Origin::Source,
                kind: if *width == 0 { Kind::Audio } else { Kind::Video },
                codec: Codec::Vp8,
                dimensions: Some((*width, width / 2)),
                b_frames: false,
                active: true,
                bitrate_bps: 1000,
            })
            .collect();
        self.desk.encodings(id(bits), &encodings);
        self.desk.update(self.now, &self.name, &self.stream);
    }

    fn listen(&mut self) -> Listener {
        let codecs = self.stream.viewer(id(VIEWER)).unwrap().codecs.clone();
        self.desk.listen(&self.name, id(VIEWER), codecs, Some(1)).unwrap()
    }

    fn wants(&mut self, body: &str) {
        let request = signaling::Request {
            method: "POST",
            content_type: Some("application/json"),
            if_match: None,
            body: body.as_bytes(),
        };
        let outcome = whep::events::request(&request);
        let signaling::endpoint::Outcome::Do(whep::events::Action::Subscribe(wanted)) = outcome
        else {
            panic!("{outcome:?}")
        };
        self.desk.want(id(VIEWER), Some(wanted));
    }
}

/// Names and data of what there is to hear; `None` after the last.
fn heard(listener: &mut Listener) -> Option<Vec<String>> {
    let next = pin!(listener.next());
    match next.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => Some(Vec::new()),
        Poll::Ready(text) => text.map(|text| {
            assert!(text.ends_with("\n\n"), "{text:?}");
            let events = text.trim_end().split("\n\n");
            events.map(|event| event.replace("event: ", "").replace("\ndata: ", " ")).collect()
        }),
    }
}

#[track_caller]
fn hears(listener: &mut Listener, expected: &[&str]) {
    assert_eq!(heard(listener).expect("it goes on"), expected);
}

#[test]
fn the_present_state_comes_first_then_each_change() {
    let mut room = Room::new();
    let mut early = room.listen();
    hears(&mut early, &["viewercount {\"viewercount\":1}"]);
    hears(&mut early, &[]);
    room.publisher(PUBLISHER);
    hears(&mut early, &[]);
    room.sends(PUBLISHER, Codec::Vp8);
    hears(&mut early, &["active {}"]);
    room.encodings(PUBLISHER, &[("q", 320), ("main", 0), ("f", 1280)]);
    let layers = concat!(
        r#"layers {"1":[{"active":true,"bitrate":1000,"encodingId":"f","height":640,"#,
        r#""rid":"f","width":1280},{"active":true,"bitrate":1000,"encodingId":"q","#,
        r#""height":160,"rid":"q","width":320}]}"#
    );
    hears(&mut early, &[layers]);
    room.encodings(PUBLISHER, &[("q", 320), ("main", 0), ("f", 1280)]);
    hears(&mut early, &[]);

    let mut late = room.listen();
    hears(&mut late, &["active {}", layers, "viewercount {\"viewercount\":1}"]);
    assert_eq!(heard(&mut early), None, "a newer reader ends the older one");
    assert_eq!(heard(&mut early), None);
    room.leaves(PUBLISHER);
    hears(&mut late, &["inactive {}", "layers {\"1\":[]}"]);
}

#[test]
fn who_reads_slowly_hears_the_newest_only() {
    let mut room = Room::new();
    let mut listener = room.listen();
    for width in 1..100 {
        room.publisher(PUBLISHER);
        room.sends(PUBLISHER, Codec::Vp8);
        room.encodings(PUBLISHER, &[("f", 2 * width)]);
        room.leaves(PUBLISHER);
    }
    hears(&mut listener, &["viewercount {\"viewercount\":1}"]);
    room.publisher(PUBLISHER);
    room.sends(PUBLISHER, Codec::Vp8);
    hears(&mut listener, &["active {}"]);
}

#[test]
fn a_new_connection_hears_that_it_is_over_where_the_old_one_heard_that_it_began() {
    let mut room = Room::new();
    room.publisher(PUBLISHER);
    room.sends(PUBLISHER, Codec::Vp8);
    let mut first = room.listen();
    hears(&mut first, &["active {}", "viewercount {\"viewercount\":1}"]);
    drop(first);
    room.leaves(PUBLISHER);
    hears(&mut room.listen(), &["inactive {}", "viewercount {\"viewercount\":1}"]);
    hears(&mut room.listen(), &["viewercount {\"viewercount\":1}"]);
}

#[test]
fn a_takeover_is_no_pause() {
    let mut room = Room::new();
    room.publisher(PUBLISHER);
    room.sends(PUBLISHER, Codec::Vp8);
    let mut listener = room.listen();
    hears(&mut listener, &["active {}", "viewercount {\"viewercount\":1}"]);
    room.publisher(PUBLISHER + 1);
    hears(&mut listener, &[]);
    room.sends(PUBLISHER + 1, Codec::Vp8);
    room.leaves(PUBLISHER);
    hears(&mut listener, &[]);
    room.leaves(PUBLISHER + 1);
    hears(&mut listener, &["inactive {}"]);
}

#[test]
fn viewers_are_counted_once_a_second() {
    let mut room = Room::new();
    let mut listener = room.listen();
    hears(&mut listener, &["viewercount {\"viewercount\":1}"]);
    for more in 1..=50 {
        room.viewer(VIEWER + more);
        hears(&mut listener, &[]);
    }
    let due = room.desk.due().expect("a count that waits");
    assert_eq!(due, room.now + COUNT_INTERVAL);
    room.desk.count(due - Duration::from_millis(1));
    hears(&mut listener, &[]);
    room.desk.count(due);
    hears(&mut listener, &["viewercount {\"viewercount\":51}"]);
    assert_eq!(room.desk.due(), None);
    // After a quiet second the next change is told at once; one that goes back is none.
    room.now = due + COUNT_INTERVAL;
    room.does(Event::ViewerLeft { session: id(VIEWER + 1) });
    hears(&mut listener, &["viewercount {\"viewercount\":50}"]);
    room.does(Event::ViewerLeft { session: id(VIEWER + 2) });
    room.viewer(VIEWER + 1);
    room.desk.count(room.now + COUNT_INTERVAL);
    hears(&mut listener, &[]);
}

#[test]
fn who_lacks_the_codec_is_told_to_come_again() {
    let mut room = Room::new();
    let mut listener = room.listen();
    hears(&mut listener, &["viewercount {\"viewercount\":1}"]);
    room.publisher(PUBLISHER);
    room.sends(PUBLISHER, Codec::Opus);
    hears(&mut listener, &["active {}"]);
    room.sends(PUBLISHER, Codec::Vp9);
    hears(&mut listener, &["reconnect {\"reason\":\"codec\"}"]);
    room.viewer(VIEWER + 1);
    hears(&mut listener, &[]);
    // A codec that it has ends that; another one that it lacks is told again.
    room.sends(PUBLISHER, Codec::Vp8);
    hears(&mut listener, &[]);
    room.sends(PUBLISHER, Codec::Av1);
    hears(&mut listener, &["reconnect {\"reason\":\"codec\"}"]);
}

#[test]
fn a_kind_that_a_viewer_does_not_want_is_none_that_it_lacks() {
    let serves = vec![Codec::Opus, Codec::Vp8];
    let news = News { sends: [Some(Codec::Opus), Some(Codec::Vp8)], serves, ..News::default() };
    assert_eq!(missing(&news, &[Codec::Vp8]), []);
    assert_eq!(missing(&news, &[Codec::H264]), [Codec::Vp8]);
    assert_eq!(missing(&news, &[Codec::Opus]), []);
    assert_eq!(missing(&News::default(), &[Codec::Opus, Codec::H264]), []);
}

#[test]
fn only_what_is_wanted_is_told() {
    let mut room = Room::new();
    room.wants(r#"["inactive","layers"]"#);
    let mut listener = room.listen();
    room.publisher(PUBLISHER);
    room.sends(PUBLISHER, Codec::Vp9);
    hears(&mut listener, &[]);
    room.leaves(PUBLISHER);
    hears(&mut listener, &["inactive {}"]);
    room.wants(r#"["viewercount"]"#);
    assert_eq!(heard(&mut listener), None, "another event stream ends the older one");
    hears(&mut room.listen(), &["viewercount {\"viewercount\":1}"]);
}

#[test]
fn an_event_stream_that_was_ended_stays_so_until_the_next() {
    let mut room = Room::new();
    let mut listener = room.listen();
    room.desk.want(id(VIEWER), None);
    hears(&mut listener, &["viewercount {\"viewercount\":1}"]);
    assert_eq!(heard(&mut listener), None);
    let again = |room: &mut Room| room.desk.listen(&room.name, id(VIEWER), Vec::new(), None);
    assert!(again(&mut room).is_none());
    room.wants("[]");
    let mut silent = again(&mut room).expect("a new event stream");
    hears(&mut silent, &[]);
}

#[test]
fn the_end_of_a_session_is_the_end_of_its_events_and_leaves_nothing() {
    for (last, expected) in [
        (None, None),
        (Some(Reason::Stopping), Some("reconnect {\"reason\":\"stopping\"}")),
        (Some(Reason::Lost), Some("reconnect {\"reason\":\"lost\"}")),
    ] {
        let mut room = Room::new();
        let mut listener = room.listen();
        hears(&mut listener, &["viewercount {\"viewercount\":1}"]);
        room.encodings(PUBLISHER, &[("f", 640)]);
        room.viewer(VIEWER + 1);
        room.desk.end(id(VIEWER), last);
        room.desk.end(id(PUBLISHER), None);
        room.does(Event::ViewerLeft { session: id(VIEWER) });
        room.does(Event::ViewerLeft { session: id(VIEWER + 1) });
        if let Some(expected) = expected {
            hears(&mut listener, &[expected]);
        }
        assert_eq!(heard(&mut listener), None);
        let desk = &mut room.desk;
        assert!(desk.boards.is_empty() && desk.readers.is_empty() && desk.layers.is_empty());
        desk.count(room.now + COUNT_INTERVAL);
        assert!(desk.late.is_empty());
    }
}

#[test]
fn what_a_bridge_serves_and_no_offer_could_hold_is_no_reason_to_come_anew() {
    let rules = stream::Config { bridges: true, ..stream::Config::default() };
    for (bridges, sound, video, told) in [
        (true, Codec::Aac, Codec::H265, false),
        (false, Codec::Aac, Codec::H264, false),
        (false, Codec::Opus, Codec::Vp9, true),
        (true, Codec::Opus, Codec::Vp9, false),
    ] {
        let mut room = Room::new();
        room.stream = Stream::new(stream::Config { bridges, ..rules });
        room.viewer(VIEWER);
        room.publisher(PUBLISHER);
        let mut listener = room.listen();
        heard(&mut listener);
        room.sends(PUBLISHER, sound);
        room.sends(PUBLISHER, video);
        let said = heard(&mut listener).unwrap_or_default().join(" ");
        assert_eq!(said.contains("reconnect"), told, "{bridges} {sound} {video}: {said}");
    }
}
