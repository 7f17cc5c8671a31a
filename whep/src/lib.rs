//! WHEP (draft-ietf-wish-whep): one HTTP request of a viewer in, one reply or command out.
//!
//! Pure. The shell owns routes, authorisation, rate limits and the sessions themselves; it turns
//! [`Accepted`] into a running session and a [`signaling::endpoint::created`] reply with
//! [`links`].

pub mod events;
mod layer;

use signaling::endpoint::{self, Accepted, Outcome};
use signaling::negotiate::{Rules, negotiate};
use signaling::sdp::Direction;
use signaling::{Agreement, Extension, Link, Local, Problem, Request};

pub use layer::{Choice, LAYER, Layer};

/// A request to `/whep/{stream}`. `local` is asked for only when there is an offer to answer.
pub fn endpoint(request: &Request<'_>, local: impl FnOnce() -> Local) -> Outcome<Accepted> {
    endpoint::entry(request, |offer| accept(offer, &local()))
}

/// A request to `/whep/{stream}/{session}/layer` of an existing session.
pub fn layer(request: &Request<'_>) -> Outcome<Layer> {
    const METHODS: &str = "OPTIONS, POST";
    let layer = || {
        request.expect_type(layer::JSON)?;
        Layer::parse(request.body)
    };
    match request.method {
        "POST" => match layer() {
            Ok(layer) => Outcome::Do(layer),
            Err(problem) => Outcome::Reply(problem.to_reply()),
        },
        "OPTIONS" => Outcome::Reply(endpoint::options(METHODS).with("Accept-Post", layer::JSON)),
        method => Outcome::Reply(endpoint::not_allowed(method, METHODS)),
    }
}

/// The extensions of a session, for its 201. `session` is the session's absolute URL.
pub fn links(session: &str) -> Vec<Link> {
    vec![Link::new(&format!("{session}/layer"), LAYER), events::link(session)]
}

/// Answers a viewer's offer, or says what is wrong with it.
pub fn accept(offer: &str, local: &Local) -> Result<(String, Agreement), Problem> {
    negotiate(offer, local, &RULES)
}

const RULES: Rules = Rules {
    protocol: "WHEP",
    answer: Direction::SendOnly,
    extensions: &[
        Extension::Mid,
        Extension::TransportCc,
        Extension::AudioLevel,
        Extension::PlayoutDelay,
    ],
    // We send fragmentation units. GStreamer names no mode and takes them; who says 0 does not.
    h264_without_mode_1: |mode| mode.is_none(),
    // An echo: who asked for stereo gets it.
    opus: str::to_owned,
    partial: true,
};
