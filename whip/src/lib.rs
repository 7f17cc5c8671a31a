//! WHIP (RFC 9725): one HTTP request of a publisher in, one reply or command out.
//!
//! Pure. The shell owns routes, authorisation, rate limits and the sessions themselves; it turns
//! [`Outcome::Publish`] into a running session and a [`signaling::endpoint::created`] reply.

use signaling::endpoint::{self, Action, Entry};
use signaling::negotiate::{Rules, negotiate};
use signaling::sdp::Direction;
use signaling::{Agreement, ETag, Extension, Local, Problem, Reply, Request};

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Send this.
    Reply(Reply),
    /// Start a session and reply 201 with this answer.
    Publish {
        /// SDP.
        answer: String,
        /// For the media side.
        agreement: Box<Agreement>,
    },
    /// End the session and reply 200.
    Delete,
}

/// A request to `/whip/{stream}`. `local` is asked for only when there is an offer to answer.
pub fn endpoint(request: &Request<'_>, local: impl FnOnce() -> Local) -> Outcome {
    match endpoint::entry(request) {
        Entry::Reply(reply) => Outcome::Reply(reply),
        Entry::Offer(offer) => match accept(offer, &local()) {
            Ok((answer, agreement)) => Outcome::Publish { answer, agreement: Box::new(agreement) },
            Err(problem) => Outcome::Reply(problem.to_reply()),
        },
    }
}

/// A request to an existing `/whip/{stream}/{session}` whose entity tag is `current`.
pub fn session(request: &Request<'_>, current: &ETag) -> Outcome {
    match endpoint::session(request, current) {
        Action::Reply(reply) => Outcome::Reply(reply),
        Action::Delete => Outcome::Delete,
    }
}

/// Answers a publisher's offer, or says what is wrong with it.
pub fn accept(offer: &str, local: &Local) -> Result<(String, Agreement), Problem> {
    negotiate(offer, local, &RULES)
}

/// No `video-orientation`: refused, the sender turns the picture itself, and every viewer and
/// packager sees it upright.
const RULES: Rules = Rules {
    protocol: "WHIP",
    answer: Direction::RecvOnly,
    extensions: &[
        Extension::Mid,
        Extension::Rid,
        Extension::RepairedRid,
        Extension::TransportCc,
        Extension::AudioLevel,
        Extension::PlayoutDelay,
    ],
    // RFC 6184 section 8.1: mode 0 where none is named.
    h264_without_mode_1: |mode| matches!(mode, None | Some("0")),
    opus,
    // RFC 9725 section 4.2: the POST fails as a whole.
    partial: false,
};

/// `stereo` in an answer tells the publisher that it may send two channels (RFC 7587 section 7.1);
/// without it browsers mix down to mono.
fn opus(offered: &str) -> String {
    let ours = ["stereo", "sprop-stereo", "useinbandfec"];
    let other = |p: &&str| {
        let name = p.split('=').next().unwrap_or("").trim();
        !p.is_empty() && !ours.iter().any(|o| o.eq_ignore_ascii_case(name))
    };
    let mut parameters: Vec<&str> = offered.split(';').map(str::trim).filter(other).collect();
    parameters.extend(["stereo=1", "sprop-stereo=1", "useinbandfec=1"]);
    parameters.join(";")
}
