//! PATCH on a session (RFC 9725 section 4.3): what it does is decided here, where requests come one after
//! another, so that two of them cannot both be the next restart.

use std::sync::Arc;

use signaling::patch::{Patch, Wish, restarted};
use signaling::{Local, Problem, Reply, SessionId};

use super::{Actor, no_session};
use crate::hub::sessions::list;
use crate::hub::{Role, stopping};
use crate::net;

impl Actor {
    /// `ours` is for a restart. A session whose restart is refused goes on as it was.
    pub(in crate::hub) fn patch(
        &mut self,
        name: &stream::Name,
        (role, id): (Role, SessionId),
        patch: &Patch,
        ours: Local,
    ) -> Result<Reply, Problem> {
        let known = self.sessions.get_mut(&id).filter(|s| (&s.stream, s.role) == (name, role));
        // Who came over a connection of ours has no ICE.
        let state = known.and_then(|session| session.ice.as_mut()).ok_or_else(no_session)?;
        let theirs = match patch.decide(id, state)? {
            Wish::Trickle => return Ok(Reply::empty(204)),
            Wish::Restart(theirs) => theirs,
        };
        if self.draining {
            return Err(stopping());
        }
        let Local { ice, candidates, tcp, .. } = ours;
        let state = Arc::make_mut(state);
        let fragment = state.restart(theirs, &ice, &candidates, &tcp);
        let reply = restarted(fragment, &state.tag(id));
        tracing::info!(stream = %name, session = %id, ?role, "ICE restarts");
        let text = format!("the client restarts ICE; the answer named {}", list(&candidates));
        self.book.note(net::now(), id, "ice_restart", text);
        self.outbox.push(sfu::Command::Restart { session: id, ice });
        Ok(reply)
    }
}
