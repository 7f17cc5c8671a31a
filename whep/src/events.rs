//! The server-sent-events extension, `urn:ietf:params:whep:ext:core:server-sent-events`
//! (webrtc-http-egress-events of the WISH group): a viewer is told what becomes of its stream.
//!
//! What a page does and gets:
//!
//! 1. The 201 of its session has `Link: <…/{session}/events>; rel="…"; events="active,inactive,…"`.
//! 2. `POST` there, `application/json`, `["active","layers"]`: the events wanted; no body: all of
//!    them. 201 with `Location`, the absolute URL of the event stream, which is the same URL. A name
//!    that the link does not have: 400, and nothing has changed.
//! 3. `GET` there, by `EventSource` or `fetch`: `text/event-stream`. The present state comes first,
//!    then each change; between two readings only the newest state counts. A session has one
//!    reader: a newer one ends the older one. Without a POST before it: all events.
//! 4. `DELETE` there: 200, the stream ends, and GET is 404 until the next POST. When the session
//!    ends so does the stream, and everything here is 404: `EventSource` then gives up by itself.
//!
//! | event | data | when |
//! | --- | --- | --- |
//! | `active` | `{}` | media flows |
//! | `inactive` | `{}` | it does not any more; never before the first `active` |
//! | `layers` | `{"1":[…]}`, by the index of the video's m-line in the SDP, best first, see [`Rendition`]; empty after the publisher has left | one comes, goes, pauses, goes on, or changes its size |
//! | `viewercount` | `{"viewercount":3}` | it is another one, at most once a second |
//! | `reconnect` | `{"reason":"codec"}`, see [`Reason`] | this session is of no more use: leave it, and offer anew |
//!
//! Pure: what happened and who reads is the shell's.

use std::fmt;

use media::EncodingId;
use serde::Serialize;
use serde_json::json;
use signaling::endpoint::{self, Outcome};
use signaling::{Link, Problem, Reply, Request};

use crate::layer::JSON;

/// The extension's name.
pub const EVENTS: &str = "urn:ietf:params:whep:ext:core:server-sent-events";

/// Longest body taken, in bytes.
const MAX: usize = 4096;
/// Characters of an unknown name that are repeated to who sent it.
const SHOWN: usize = 80;

/// Which event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Media flows.
    Active,
    /// No media flows any more.
    Inactive,
    /// The video encodings.
    Layers,
    /// Offer anew.
    Reconnect,
    /// How many watch.
    ViewerCount,
}

impl Kind {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Active, "active"),
        (Self::Inactive, "inactive"),
        (Self::Layers, "layers"),
        (Self::Reconnect, "reconnect"),
        (Self::ViewerCount, "viewercount"),
    ];

    /// As `event:` has it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    fn names() -> String {
        Self::ALL.map(|(_, name)| name).join(",")
    }
}

/// Which events a viewer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted([bool; Kind::ALL.len()]);

impl Wanted {
    /// Every event that there is.
    pub const ALL: Self = Self([true; Kind::ALL.len()]);

    /// Reads the extension's JSON array; no body: all.
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self::ALL);
        }
        let refuse =
            |detail: String| Problem::new(400, "bad-events", "The events cannot be used", detail);
        if body.len() > MAX {
            return Err(refuse(format!("the body is {} bytes long, at most {MAX}", body.len())));
        }
        let names: Vec<String> = serde_json::from_slice(body)
            .map_err(|e| refuse(format!("expected a JSON array of event names: {e}")))?;
        let mut wanted = Self([false; Kind::ALL.len()]);
        for name in names {
            let Some(kind) = Kind::named(&name) else {
                let shown: String = name.chars().take(SHOWN).collect();
                return Err(refuse(format!("there is no event {shown:?}, only {}", Kind::names())));
            };
            wanted.0[kind as usize] = true;
        }
        Ok(wanted)
    }

    /// Whether this one is among them.
    pub fn has(self, kind: Kind) -> bool {
        self.0[kind as usize]
    }
}

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make an event stream of these, and reply [`created`].
    Subscribe(Wanted),
    /// Send the event stream, as [`STREAM`]; 404 if it was ended.
    Listen,
    /// End the event stream and reply [`signaling::endpoint::deleted`].
    Unsubscribe,
}

/// Media type of an event stream.
pub const STREAM: &str = "text/event-stream";

/// A request to `/whep/{stream}/{session}/events` of an existing session.
pub fn request(request: &Request<'_>) -> Outcome<Action> {
    const METHODS: &str = "OPTIONS, GET, POST, DELETE";
    Outcome::Reply(match request.method {
        "POST" => match subscribe(request) {
            Ok(wanted) => return Outcome::Do(Action::Subscribe(wanted)),
            Err(problem) if problem.status == 415 => problem.to_reply().with("Accept-Post", JSON),
            Err(problem) => problem.to_reply(),
        },
        "GET" => return Outcome::Do(Action::Listen),
        "DELETE" => return Outcome::Do(Action::Unsubscribe),
        "OPTIONS" => endpoint::options(METHODS).with("Accept-Post", JSON),
        method => endpoint::not_allowed(method, METHODS),
    })
}

fn subscribe(request: &Request<'_>) -> Result<Wanted, Problem> {
    if !request.body.is_empty() {
        request.expect_type(JSON)?;
    }
    Wanted::parse(request.body)
}

/// The 201 for a new event stream at `location`, absolute.
pub fn created(location: String) -> Reply {
    Reply::empty(201).with("Location", location)
}

/// The URL of a session's events.
pub fn location(session: &str) -> String {
    format!("{session}/events")
}

/// How a session's 201 announces them.
pub(crate) fn link(session: &str) -> Link {
    Link::new(&location(session), EVENTS).with("events", Kind::names())
}

/// The m-line of an answer that has the video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Among the m-lines, from 0: `layers` names it so.
    pub index: usize,
    /// Its `a=mid`, empty for none: the layer extension names it so.
    mid: Box<str>,
    /// No m-line has the index as its mid, so that it may stand for the mid.
    plain: bool,
}

impl Line {
    /// Reads our own answer; `None` if it has no video.
    pub fn of_video<'a>(answer: &'a str) -> Option<Self> {
        let starts = answer.match_indices("\nm=").map(|(at, _)| &answer[at + 1..]);
        // Port 0 refuses the line (RFC 3264 section 6).
        let video = |l: &&str| l.starts_with("m=video ") && !l.starts_with("m=video 0 ");
        let (index, rest) = starts.enumerate().find(|(_, l)| video(l))?;
        let mids = |text: &'a str| text.lines().filter_map(|l| l.strip_prefix("a=mid:"));
        let own = rest.split("\nm=").next().and_then(|own| mids(own).next());
        let name = index.to_string();
        let plain = mids(answer).all(|mid| mid != name);
        Some(Self { index, mid: own.unwrap_or_default().into(), plain })
    }

    /// Whether a `mediaId` means it: its mid, or its index, as the `layers` event says it.
    pub fn is(&self, media_id: &str) -> bool {
        *self.mid == *media_id || (self.plain && self.index.to_string() == media_id)
    }
}

/// One video encoding that a viewer may choose. In JSON: `rid` (as [`crate::Layer`] takes it),
/// `encodingId` (the same, as drafts before 2024-10 called it), `width` and `height` in pixels once
/// known, `bitrate` in bits per second when it was last said, `active`. Who knows the draft only
/// takes one without `bitrate` as inactive; in its first second it may just not be measured yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// Its rid.
    pub id: EncodingId,
    /// Pixels, width and height.
    pub dimensions: Option<(u16, u16)>,
    /// In bits per second, 0 before it is measured.
    pub bitrate_bps: u64,
    /// Packets arrive now.
    pub active: bool,
}

/// Why a viewer has to offer anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// What is published now is in no codec that this session has negotiated.
    Codec,
    /// The server has not heard of this viewer for too long.
    Lost,
    /// The server stops, and may be back, or another one there, in a few seconds.
    Stopping,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Codec => "codec",
            Self::Lost => "lost",
            Self::Stopping => "stopping",
        }
    }
}

/// One event. `Display` writes it as the event stream has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// See [`Kind::Active`].
    Active,
    /// See [`Kind::Inactive`].
    Inactive,
    /// The encodings of the m-line with this index, best first.
    Layers(usize, &'a [Rendition]),
    /// See [`Kind::ViewerCount`].
    ViewerCount(usize),
    /// See [`Kind::Reconnect`]; the URL to offer to stays.
    Reconnect(Reason),
}

impl Message<'_> {
    /// Which event it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Active => Kind::Active,
            Self::Inactive => Kind::Inactive,
            Self::Layers(..) => Kind::Layers,
            Self::ViewerCount(_) => Kind::ViewerCount,
            Self::Reconnect(_) => Kind::Reconnect,
        }
    }

    /// Its data, one line of JSON.
    pub fn data(&self) -> String {
        match self {
            Self::Active | Self::Inactive => json!({}),
            Self::Layers(line, renditions) => {
                let layers: Vec<Layer<'_>> = renditions.iter().map(Layer::from).collect();
                json!({ line.to_string(): layers })
            }
            Self::ViewerCount(count) => json!({ "viewercount": count }),
            Self::Reconnect(reason) => json!({ "reason": reason.name() }),
        }
        .to_string()
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event: {}\ndata: {}\n\n", self.kind().name(), self.data())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer<'a> {
    rid: &'a str,
    encoding_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate: Option<u64>,
    active: bool,
}

impl<'a> From<&'a Rendition> for Layer<'a> {
    fn from(it: &'a Rendition) -> Self {
        let measured = it.active && it.bitrate_bps > 0;
        Self {
            rid: it.id.as_str(),
            encoding_id: it.id.as_str(),
            width: it.dimensions.map(|(width, _)| width),
            height: it.dimensions.map(|(_, height)| height),
            bitrate: measured.then_some(it.bitrate_bps),
            active: it.active,
        }
    }
}
