//! The file on each session: what the hub itself did with it, what its media thread recorded, and the
//! last sessions that have ended. Every list here is bounded.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use media::Codec;
use sfu::recorder::{KEPT, Report, Who};
use sfu::stats::EncodingSnapshot;
use signaling::SessionId;

use super::actor::Session;
use super::health::{self, Case, End, Setting};
use super::local::{Intake, Totals};
use super::opening::Opening;
use super::{Join, Protocol, Role, view};
use crate::status;
use crate::units::Track;

/// Sessions that have ended and can still be asked about.
pub(super) const ENDED: usize = 256;
/// What the hub says of one session at most.
const LINES: usize = 32;

/// All files.
#[derive(Debug, Default)]
pub(super) struct Book {
    live: HashMap<SessionId, Story>,
    /// The one that ended last at the back.
    ended: VecDeque<File>,
}

/// What the hub remembers of a session besides [`Session`].
#[derive(Clone, Debug)]
struct Story {
    joined: Instant,
    opening: Opening,
    lines: Vec<Line>,
    /// Why tracks of it are not carried.
    refused: BTreeMap<Track, String>,
    /// What its media thread has left of it.
    report: Option<Box<Report>>,
}

#[derive(Clone, Debug)]
struct Line {
    at: Instant,
    code: &'static str,
    text: String,
}

/// All that there is about one session.
#[derive(Clone, Debug)]
pub(crate) struct File {
    id: SessionId,
    session: Session,
    story: Story,
    end: Option<End>,
    /// Codecs of the stream that it lacks, as far as the stream knows.
    missing: Vec<Codec>,
    /// What a connection of ours has counted of it.
    local: Option<Numbers>,
    setting: Setting,
}

/// Of a session over a connection of ours.
#[derive(Clone, Debug)]
pub(super) enum Numbers {
    Publisher(Intake),
    Player(Totals),
}

impl Book {
    /// An offer was accepted.
    pub(super) fn joined(&mut self, now: Instant, join: &Join, codecs: &[Codec]) {
        let names: Vec<&str> = codecs.iter().map(|c| c.rtpmap_name()).collect();
        let agent = join.user_agent.as_ref().map(|a| format!(" ({a})")).unwrap_or_default();
        let Opening { offered, udp, tcp, hops } = &join.opening;
        let by_tcp = match tcp.is_empty() {
            true => "nothing by TCP".to_owned(),
            false => format!("by TCP {}", list(tcp)),
        };
        let text = format!(
            "an offer from {}{agent} was accepted: {}; it named {offered}, the answer {}, and {by_tcp}",
            join.address,
            names.join(", "),
            list(udp),
        );
        self.open(join.session, now, join.opening.clone(), "offer", text);
        if *hops > 0 {
            let times =
                if *hops == 1 { "another node".to_owned() } else { format!("{hops} other nodes") };
            self.note(now, join.session, "redirected", format!("{times} sent it here by 307"));
        }
    }

    /// Somebody came over a connection of ours.
    pub(super) fn connected(
        &mut self,
        now: Instant,
        id: SessionId,
        protocol: Protocol,
        address: SocketAddr,
        user_agent: Option<&str>,
    ) {
        let agent = user_agent.map(|agent| format!(" ({agent})")).unwrap_or_default();
        let text = format!("it came by {} from {address}{agent}", protocol.name().to_uppercase());
        self.open(id, now, Opening::default(), "connected", text);
    }

    fn open(
        &mut self,
        id: SessionId,
        now: Instant,
        opening: Opening,
        code: &'static str,
        text: String,
    ) {
        let lines = vec![Line { at: now, code, text }];
        self.live.insert(id, Story { opening, lines, ..Story::new(now) });
    }

    /// The hub decided something about a session.
    pub(super) fn note(&mut self, now: Instant, id: SessionId, code: &'static str, text: String) {
        if let Some(story) = self.live.get_mut(&id) {
            story.say(Line { at: now, code, text });
        }
    }

    /// A track is not carried, or is again.
    pub(super) fn refused(
        &mut self,
        now: Instant,
        id: SessionId,
        track: Track,
        why: Option<String>,
    ) {
        let Some(story) = self.live.get_mut(&id) else { return };
        match why {
            Some(why) => {
                story.say(Line { at: now, code: "codec_refused", text: why.clone() });
                story.refused.insert(track, why);
            }
            None => drop(story.refused.remove(&track)),
        }
    }

    /// Why tracks of a live session are not carried.
    pub(super) fn reasons(&self, id: SessionId) -> Vec<String> {
        self.live.get(&id).map(Story::reasons).unwrap_or_default()
    }

    /// A session is over, by whosever wish.
    pub(super) fn closed(
        &mut self,
        id: SessionId,
        session: Session,
        end: End,
        local: Option<Numbers>,
    ) {
        let Some(mut story) = self.live.remove(&id) else { return };
        let text = format!("the session ended: {}", end.why);
        story.say(Line { at: end.at, code: "closed", text });
        if self.ended.len() == ENDED {
            self.ended.pop_front();
        }
        let (missing, setting) = (Vec::new(), Setting::default());
        self.ended.push_back(File { id, session, story, end: Some(end), missing, local, setting });
    }

    /// What a media thread has left of a session; its end has been told, or will be.
    pub(super) fn left(&mut self, id: SessionId, report: Box<Report>) {
        let story = match self.live.get_mut(&id) {
            Some(story) => story,
            None => match self.ended.iter_mut().rfind(|f| f.id == id) {
                Some(file) => &mut file.story,
                None => return,
            },
        };
        story.report = Some(report);
    }

    /// The file of a live session.
    pub(super) fn live(
        &self,
        id: SessionId,
        session: &Session,
        missing: Vec<Codec>,
        local: Option<Numbers>,
    ) -> Option<File> {
        let (story, setting) = (self.live.get(&id)?.clone(), Setting::default());
        Some(File { id, session: session.clone(), story, end: None, missing, local, setting })
    }

    /// The last session with this short id that has ended.
    pub(super) fn ended(&self, short: u32) -> Option<&File> {
        self.ended.iter().rfind(|f| f.id.short() == short)
    }
}

impl Story {
    fn new(joined: Instant) -> Self {
        let (lines, refused) = (Vec::new(), BTreeMap::new());
        Self { joined, opening: Opening::default(), lines, refused, report: None }
    }

    /// Each once: two tracks may be of the same codec.
    fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.refused.values().cloned().collect();
        reasons.dedup();
        reasons
    }

    fn say(&mut self, line: Line) {
        if self.lines.len() == LINES {
            // The offer stays.
            self.lines.remove(1);
        }
        self.lines.push(line);
    }
}

impl File {
    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    /// The stream it is or was on.
    pub(crate) fn stream(&self) -> &stream::Name {
        &self.session.stream
    }

    /// True while the session lives.
    pub(super) fn is_live(&self) -> bool {
        self.end.is_none()
    }

    /// What its media thread says of a live session.
    pub(super) fn learn(&mut self, report: Report) {
        self.story.report = Some(Box::new(report));
    }

    /// What this server can do for it, and does.
    pub(super) fn stands(&mut self, setting: Setting) {
        self.setting = setting;
    }

    fn report(&self) -> Option<&Report> {
        self.story.report.as_deref()
    }

    /// The wall clock at `at`: by the clock as it was at the beginning, so that two answers agree.
    fn wall(&self, at: Instant) -> SystemTime {
        self.session.since + at.saturating_duration_since(self.story.joined)
    }

    /// `…/status`
    pub(crate) fn status(&self) -> status::Session {
        let report = self.report();
        let facts = report.map(|r| *r.recorder.facts()).unwrap_or_default();
        let viewer = self.viewer();
        let encodings = self.encodings();
        let publisher = match (self.intake(), facts.up, report.and_then(|r| r.media)) {
            (Some(intake), ..) if intake.sums.packets == 0 => "connected",
            (Some(_), ..) => "live",
            (_, None, _) => "connecting",
            (_, _, None) => "connected",
            _ => "live",
        };
        let role = match self.session.role {
            Role::Publisher => "publisher",
            Role::Viewer => "viewer",
        };
        status::Session {
            session: self.id.to_string(),
            stream: self.session.stream.to_string(),
            role,
            protocol: self.session.protocol.name(),
            since: view::rfc3339(self.session.since),
            ended: self.end.as_ref().map(|end| view::rfc3339(self.wall(end.at))),
            ended_because: self.end.as_ref().map(|end| end.why.clone()),
            address: self.session.address.to_string(),
            user_agent: self.session.user_agent.clone(),
            state: match (&self.end, self.session.role) {
                (Some(_), _) => "ended",
                (None, Role::Publisher) => publisher,
                (None, Role::Viewer) => viewer.as_ref().map_or("connecting", |v| v.state),
            },
            transport: status::Transport {
                local: facts.path.map(|p| p.local.to_string()),
                remote: facts.path.map(|p| p.remote.to_string()),
                protocol: facts.path.map(|p| if p.over == sfu::Over::Udp { "udp" } else { "tcp" }),
                srtp: facts.profile.map(sfu::recorder::suite),
            },
            tracks: view::tracks(&encodings, self.intake()),
            viewer: viewer.map(numbers),
        }
    }

    /// What a viewer gets.
    fn viewer(&self) -> Option<status::Viewer> {
        let session = self.session.clone();
        if let Some(Numbers::Player(sent)) = &self.local {
            return Some(view::player(self.id, session, &self.missing, *sent));
        }
        let snapshot = self.report()?.viewer.clone()?;
        Some(view::viewer(self.id, session, &self.missing, snapshot))
    }

    fn intake(&self) -> Option<&Intake> {
        match &self.local {
            Some(Numbers::Publisher(intake)) => Some(intake),
            _ => None,
        }
    }

    /// What a publisher sends, best first.
    fn encodings(&self) -> Vec<EncodingSnapshot> {
        let encodings = self.report().map(|r| r.encodings.clone()).unwrap_or_default();
        view::all(encodings, self.intake())
    }

    /// `…/health`
    pub(crate) fn health(&self, now: Instant) -> status::Health {
        let problems = health::problems(&Case {
            role: self.session.role,
            joined: self.story.joined,
            now: self.end.as_ref().map_or(now, |end| end.at),
            end: self.end.as_ref(),
            opening: &self.story.opening,
            missing: self.missing.first().copied(),
            user_agent: self.session.user_agent.as_deref(),
            report: self.report(),
            local: self.local.as_ref(),
            setting: &self.setting,
            refused: &self.story.reasons(),
        });
        status::Health { ok: problems.is_empty(), problems }
    }

    /// `…/logs`
    pub(crate) fn logs(&self) -> status::Logs {
        let who = match self.session.role {
            Role::Publisher => Who::Publisher,
            Role::Viewer => Who::Viewer,
        };
        let hub = self.story.lines.iter().map(|l| (l.at, l.code, l.text.clone()));
        let recorded = self.report().into_iter().flat_map(|r| {
            let entries = r.recorder.entries().into_iter();
            entries.map(|(at, d)| (at, d.code(), r.recorder.text(who, d)))
        });
        let mut all: Vec<(Instant, &'static str, String)> = hub.chain(recorded).collect();
        // Stable: the offer stands before what the media thread did in the same instant.
        all.sort_by_key(|(at, ..)| *at);
        let skip = all.len().saturating_sub(KEPT);
        let entry = |(at, code, text)| status::LogEntry {
            at: humantime::format_rfc3339_millis(self.wall(at)).to_string(),
            code,
            text,
        };
        status::Logs { entries: all.into_iter().skip(skip).map(entry).collect() }
    }
}

fn numbers(v: status::Viewer) -> status::ViewerNumbers {
    status::ViewerNumbers {
        layer: v.layer,
        wanted_layer: v.wanted_layer,
        bitrate_bps: v.bitrate_bps,
        packets: v.packets,
        bytes: v.bytes,
        loss: v.loss,
        rtt_ms: v.rtt_ms,
        estimate_bps: v.estimate_bps,
        problem: v.problem,
    }
}

/// Addresses, for people.
pub(super) fn list(addresses: &[SocketAddr]) -> String {
    if addresses.is_empty() {
        return "none".to_owned();
    }
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn session(role: Role) -> Session {
        Session {
            stream: stream::Name::new("show").unwrap(),
            role,
            protocol: Protocol::Whip,
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
            address: SocketAddr::from(([192, 0, 2, 7], 5555)),
            user_agent: Some("OBS".into()),
            video_line: None,
            ice: None,
        }
    }

    fn id(number: u128) -> SessionId {
        SessionId::from_random(number << 96 | 5)
    }

    fn book(now: Instant, count: u128) -> Book {
        let mut book = Book::default();
        for number in 0..count {
            book.live.insert(id(number), Story::new(now));
        }
        book
    }

    #[test]
    fn the_last_256_that_ended_can_be_asked_about() {
        let now = crate::clock::now();
        let mut book = book(now, 300);
        for number in 0..300 {
            let end = End { at: now, why: "it said goodbye".into(), closed: None };
            book.closed(id(number), session(Role::Viewer), end, None);
        }
        assert_eq!((book.ended.len(), book.live.len()), (ENDED, 0));
        assert!(book.ended(43).is_none() && book.ended(44).is_some() && book.ended(299).is_some());
        // What the media thread has left comes after it.
        let file = book.ended(299).unwrap();
        assert!(file.report().is_none());
        assert_eq!(file.logs().entries.len(), 1);
        assert_eq!(file.logs().entries[0].at, "1970-01-01T00:16:40.000Z");
        assert_eq!(file.status().state, "ended");
    }

    #[test]
    fn the_hub_says_a_bounded_number_of_things_and_the_first_stays() {
        let now = crate::clock::now();
        let mut book = book(now, 1);
        for number in 0..100 {
            book.note(now, id(0), "note", format!("{number}"));
        }
        let file = book.live(id(0), &session(Role::Publisher), Vec::new(), None).unwrap();
        let texts: Vec<String> = file.logs().entries.into_iter().map(|e| e.text).collect();
        assert_eq!(texts.len(), LINES);
        assert_eq!((texts[0].as_str(), texts[LINES - 1].as_str()), ("0", "99"));
    }

    #[test]
    fn the_secret_is_nowhere() {
        let now = crate::clock::now();
        let mut book = book(now, 2);
        let end = End { at: now, why: "kicked".into(), closed: None };
        book.closed(id(1), session(Role::Publisher), end, None);
        let live = book.live(id(0), &session(Role::Viewer), Vec::new(), None).unwrap();
        for file in [&live, book.ended(1).unwrap()] {
            let said = [
                serde_json::to_string(&file.status()).unwrap(),
                serde_json::to_string(&file.health(now)).unwrap(),
                serde_json::to_string(&file.logs()).unwrap(),
            ];
            for text in said {
                assert!(!text.contains(&file.id.secret()), "{text}");
            }
        }
    }
}
