//! Single sessions by the short form of their ids, as the API names them.

use signaling::SessionId;

use super::Actor;
use crate::hub::health::Setting;
use crate::hub::sessions::File;
use crate::net;

impl Actor {
    /// Another publisher is the stream's: both have it in their logs.
    pub(super) fn note_publisher(&mut self, name: &stream::Name) {
        let Some(entry) = self.streams.get_mut(name) else { return };
        let publisher = entry.stream.publisher().map(|p| p.session);
        let before = std::mem::replace(&mut entry.publisher, publisher);
        if before == publisher {
            return;
        }
        self.seat_players(name);
        if let Some(id) = before {
            let text = format!("{name} is not its any more");
            self.book.note(net::now(), id, "steps_back", text);
        }
        if let Some(id) = publisher {
            let text = format!("{name} is its from now on: viewers get what it sends");
            self.book.note(net::now(), id, "publishes", text);
        }
    }

    /// One session by an operator's wish; false if it has ended.
    pub(in crate::hub) fn kick_session(&mut self, id: SessionId) -> bool {
        if !self.sessions.contains_key(&id) {
            return false;
        }
        tracing::info!(session = %id, "disconnected by an operator");
        self.outbox.push(sfu::Command::Remove(id));
        self.gone(id, "an operator disconnected it", None, true);
        true
    }

    /// The stream that a session is or was on, by the short form of its id.
    pub(in crate::hub) fn stream_of(&self, short: u32) -> Option<stream::Name> {
        let named = self.sessions.iter().filter(|(id, _)| id.short() == short);
        let newest = named.max_by_key(|(_, session)| session.since);
        let ended = || self.book.ended(short).map(|file| file.stream().clone());
        newest.map(|(_, session)| session.stream.clone()).or_else(ended)
    }

    /// The file on a session, live or lately ended, by the short form of its id.
    pub(in crate::hub) fn file(&mut self, short: u32) -> Option<File> {
        let worker = self.config.worker.is_some();
        let named = self.sessions.iter().filter(|(id, _)| id.short() == short);
        let Some((id, session)) = named.max_by_key(|(_, session)| session.since) else {
            let mut file = self.book.ended(short).cloned()?;
            file.stands(Setting { worker, bridges: Vec::new() });
            return Some(file);
        };
        let stream = self.streams.get(&session.stream).map(|entry| &entry.stream);
        let missing = stream.map(|s| s.missing_codec(*id)).unwrap_or_default();
        let bridges = stream.map(|s| self.bridges_of(s, Some(*id))).unwrap_or_default();
        let mut file = self.book.live(*id, session, missing, self.numbers(*id))?;
        file.stands(Setting { worker, bridges });
        Some(file)
    }
}
