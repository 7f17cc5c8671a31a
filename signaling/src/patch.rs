//! PATCH on a session (RFC 9725 section 4.3, RFC 8840): trickle ICE, or an ICE restart. Which of the two
//! it is, the credentials of its fragment say; whether it may be, the entity tag.
//!
//! In two steps, so that the second can run where nobody else changes the session meanwhile:
//! [`Patch::read`] needs the request alone, [`Patch::decide`] the session's [`IceState`].

use std::net::SocketAddr;

use media::Kind;

use crate::SessionId;
use crate::agreement::{Agreement, IceCredentials};
use crate::endpoint::{FRAGMENT, Request};
use crate::http::{ETag, Match, Problem, Reply};
use crate::sdp::{Restart, SdpFragment};

/// What a session's ICE has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceState {
    /// So many restarts were carried out.
    restarts: u32,
    /// The peer's credentials since the last one.
    remote: IceCredentials,
    /// See [`Agreement::bundle`].
    bundle: Vec<String>,
    /// Kind and mid of the m-line that the transport belongs to.
    tagged: Option<(Kind, String)>,
}

impl IceState {
    /// As the answer leaves it.
    pub fn new(agreement: &Agreement) -> Self {
        let tagged = agreement.tagged().map(|media| (media.kind, media.mid.clone()));
        let (remote, bundle) = (agreement.remote_ice.clone(), agreement.bundle.clone());
        Self { restarts: 0, remote, bundle, tagged }
    }

    /// The session's entity tag: another one after each restart.
    pub fn tag(&self, session: SessionId) -> ETag {
        ETag::new(session, self.restarts)
    }

    /// The peer restarts ICE with credentials of its own. Returns the fragment that answers it with
    /// `ours` and the addresses where we are, by UDP and by TCP.
    pub fn restart(
        &mut self,
        theirs: IceCredentials,
        ours: &IceCredentials,
        udp: &[SocketAddr],
        tcp: &[SocketAddr],
    ) -> String {
        self.restarts = self.restarts.wrapping_add(1);
        self.remote = theirs;
        let Self { bundle, tagged, .. } = self;
        Restart { bundle, tagged: tagged.as_ref(), ice: ours, udp, tcp }.to_string()
    }
}

/// A PATCH as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    if_match: String,
    fragment: Result<SdpFragment, Problem>,
}

/// What a PATCH is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Candidates, which are dropped: a lite agent learns where its peer is from the peer's checks
    /// (RFC 8445 section 2.5). 204.
    Trickle,
    /// A new generation of ICE, with these credentials of the peer. 200, see [`restarted`].
    Restart(IceCredentials),
}

impl Patch {
    /// Reads a PATCH, whatever session it is for.
    ///
    /// # Errors
    /// 415 for another type than [`FRAGMENT`], 428 without `If-Match`.
    pub fn read(request: &Request<'_>) -> Result<Self, Problem> {
        request.expect_type(FRAGMENT)?;
        let Some(if_match) = request.if_match else {
            let detail = "a PATCH needs If-Match with the session's ETag, or * to restart ICE";
            return Err(Problem::new(428, "if-match-required", "If-Match is missing", detail));
        };
        let fragment = request.text().and_then(|text| Ok(SdpFragment::parse(text)?));
        Ok(Self { if_match: if_match.to_owned(), fragment })
    }

    /// What it means for a session in this state.
    ///
    /// # Errors
    /// 412 if the tag is another one, whatever the fragment says (RFC 9110 section 13.2.1); 400 if the fragment
    /// cannot be read, or has one new credential and one old one (RFC 8839 section 4.4.1.1.1).
    pub fn decide(&self, session: SessionId, state: &IceState) -> Result<Wish, Problem> {
        let current = state.tag(session);
        if current.compare(&self.if_match) == Match::Different {
            let detail = format!("the session's entity tag is {current}");
            return Err(Problem::new(
                412,
                "etag-mismatch",
                "The entity tag does not match",
                detail,
            ));
        }
        let theirs = self.fragment.as_ref().map_err(Problem::clone)?.ice.clone();
        let same = (theirs.ufrag == state.remote.ufrag, theirs.pwd == state.remote.pwd);
        match same {
            (true, true) => Ok(Wish::Trickle),
            (false, false) => Ok(Wish::Restart(theirs)),
            _ => {
                let detail =
                    "only one of a=ice-ufrag and a=ice-pwd is new: an ICE restart changes both";
                Err(Problem::new(400, "bad-sdp", "The SDP cannot be used", detail))
            }
        }
    }
}

/// The reply to a PATCH that restarted ICE.
pub fn restarted(fragment: String, etag: &ETag) -> Reply {
    let mut reply = Reply::empty(200).with("Content-Type", FRAGMENT).with("ETag", etag.to_string());
    reply.body = fragment;
    reply
}
