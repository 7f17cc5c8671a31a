//! PATCH on a session (RFC 9725 section 4.3): what it does is decided here, where requests come one after
//! another, so that two of them cannot both be the next restart.

use signaling::patch::{Patch, Wish};
use signaling::{Local, Problem, Reply, SessionId};

use super::{Actor, no_session};
use crate::hub::Role;

impl Actor {
    pub(in crate::hub) fn patch(
        &mut self,
        name: &stream::Name,
        (role, id): (Role, SessionId),
        patch: &Patch,
        _ours: Local,
    ) -> Result<Reply, Problem> {
        let known = self.sessions.get(&id).filter(|s| (&s.stream, s.role) == (name, role));
        // Who came over a connection of ours has no ICE.
        let state = known.and_then(|session| session.ice.as_ref()).ok_or_else(no_session)?;
        match patch.decide(id, state)? {
            Wish::Trickle => Ok(Reply::empty(204)),
            Wish::Restart(_) => {
                let detail = "ICE restart is not supported yet; the session goes on as it was";
                let title = "ICE restart is not supported";
                Err(Problem::new(422, "no-ice-restart", title, detail))
            }
        }
    }
}
