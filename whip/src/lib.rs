//! WHIP (RFC 9725): one HTTP request of a publisher in, one reply or command out.
//!
//! Pure. The shell owns routes, authorisation, rate limits and the sessions themselves; it turns
//! [`Accepted`] into a running session and a [`signaling::endpoint::created`] reply.

use signaling::endpoint::{self, Accepted, Outcome};
use signaling::negotiate::{Rules, negotiate};
use signaling::sdp::Direction;
use signaling::{Agreement, Extension, Local, Problem, Request};

/// A request to `/whip/{stream}`. `local` is asked for only when there is an offer to answer.
pub fn endpoint(request: &Request<'_>, local: impl FnOnce() -> Local) -> Outcome<Accepted> {
    endpoint::entry(request, |offer| accept(offer, &local()))
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
