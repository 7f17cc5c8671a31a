//! Who may come: caps, conflicts, and codecs that a viewer lacks.

use media::{Codec, Kind};
use signaling::{Agreement, Problem};
use stream::Refusal;

use super::Actor;
use crate::hub::{Role, stopping};

impl Actor {
    pub(super) fn admit(&self, role: Role) -> Result<(), Problem> {
        if self.draining {
            return Err(stopping());
        }
        let (limit, key, who) = match role {
            Role::Publisher => (self.config.max_publishers, "webrtc.max_publishers", "publishers"),
            Role::Viewer => (self.config.max_viewers, "webrtc.max_viewers", "viewers"),
        };
        if self.count(role) < limit {
            return Ok(());
        }
        let detail = format!("This server takes {limit} {who} at once ({key}) and has them.");
        let problem = Problem::new(503, "server-full", "The server is full", detail).retry_after(5);
        Err(match role {
            Role::Publisher => problem,
            // Who may not watch here may watch elsewhere: HTTP knows under which URL.
            Role::Viewer => problem.alternatives(Vec::new()),
        })
    }

    /// Another publisher of the stream may be in the way.
    pub(super) fn may_publish(&self, name: &stream::Name) -> Result<(), Problem> {
        let entry = self.streams.get(name);
        let refusal = entry.and_then(|e| e.stream.admits_publisher().err());
        refusal.map_or(Ok(()), |refusal| Err(publisher_exists(name, refusal)))
    }

    /// A viewer that could never show what is published is told so at once.
    pub(super) fn can_show(
        &self,
        name: &stream::Name,
        agreement: &Agreement,
        codecs: &[Codec],
    ) -> Result<(), Problem> {
        let entry = self.streams.get(name);
        let lacks = entry.map(|e| e.stream.untakeable(codecs)).unwrap_or_default();
        let Some(publisher) = entry.and_then(|e| e.stream.publisher()) else {
            return if self.config.wait_for_publisher { Ok(()) } else { Err(no_publisher(name)) };
        };
        // Whoever comes after a lost publisher may bring another codec.
        let state = self.streams.get(name).map(|e| e.stream.state());
        if state == Some(stream::State::Interrupted) {
            return Ok(());
        }
        for kind in [Kind::Video, Kind::Audio] {
            let sent = publisher.sends(kind).filter(|_| agreement.media(kind).is_some());
            // What no offer can hold keeps nobody from the rest.
            let sent = sent.filter(|sent| Codec::WEBRTC.contains(sent));
            if let Some(sent) = sent.filter(|sent| lacks.contains(sent)) {
                return Err(no_common_codec(sent, kind, codecs));
            }
        }
        Ok(())
    }

    /// The same for a player that reads units.
    pub(super) fn can_play(&self, name: &stream::Name, codecs: &[Codec]) -> Result<(), Problem> {
        let Some(entry) = self.streams.get(name).filter(|e| e.stream.publisher().is_some()) else {
            return if self.config.wait_for_publisher { Ok(()) } else { Err(no_publisher(name)) };
        };
        match entry.stream.untakeable(codecs).first() {
            Some(sent) if entry.stream.state() != stream::State::Interrupted => {
                Err(no_common_codec(*sent, sent.kind(), codecs))
            }
            _ => Ok(()),
        }
    }
}

fn no_publisher(name: &stream::Name) -> Problem {
    let detail = format!("Nobody publishes {name} now.");
    let mut problem = Problem::new(409, "no-publisher", "No publisher", detail);
    problem.retry_after = Some(2);
    problem
}

fn publisher_exists(name: &stream::Name, refusal: Refusal) -> Problem {
    let detail = match refusal {
        Refusal::Taken => format!(
            "Somebody publishes {name} already, and this server keeps whoever was there first \
             (stream.on_conflict = \"reject\"). Stop the other one, publish another stream, or set \
             stream.on_conflict to \"takeover\" or \"standby\"."
        ),
        Refusal::Full => format!(
            "{name} has a publisher and {} that stand by for it (stream.on_conflict = \"standby\"); \
             more are not kept. Stop one of them.",
            stream::MAX_STANDBYS,
        ),
    };
    let title = "The stream has a publisher";
    let mut problem = Problem::new(409, "publisher-exists", title, detail);
    problem.retry_after = Some(2);
    problem
}

fn no_common_codec(sent: Codec, kind: Kind, codecs: &[Codec]) -> Problem {
    let offered: Vec<&str> =
        codecs.iter().filter(|c| c.kind() == kind).map(|c| c.rtpmap_name()).collect();
    let detail = format!(
        "The stream is {}; this viewer offers {}. Publish in a codec that the viewer has, or watch \
         with another browser.",
        sent.rtpmap_name(),
        offered.join(", "),
    );
    Problem::new(422, "no-common-codec", "No common codec", detail)
}
