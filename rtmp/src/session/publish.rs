//! What publishers send, and what of it comes before they are let in.

use std::time::Instant;

use super::{Event, Phase, Session};
use crate::chunk::{Limits, Message};
use crate::intake::{Intake, Taken};
use crate::{Error, flv};

/// What is kept until the owner has answered: some encoders do not wait for it.
const MAX_HELD: usize = 2 << 20;
/// And what is taken of it meanwhile.
pub(super) const EARLY: Limits =
    Limits { message: MAX_HELD as u32, streams: 16, unfinished: MAX_HELD };
/// What an entry of that costs beside its bytes.
const ENTRY: usize = 128;

/// The state of a publisher.
#[derive(Debug, Default)]
pub(super) struct Publish {
    pub(super) intake: Intake,
    /// What came too early, and how much it is.
    held: Vec<(Instant, Message)>,
    held_bytes: usize,
}

impl Session {
    /// Media or data has come.
    pub(super) fn media(&mut self, now: Instant, message: Message) -> Result<(), Error> {
        match self.phase {
            Phase::Publishing => self.published(now, message),
            Phase::Waiting => {
                self.publish.held_bytes += message.body.len() + ENTRY;
                if self.publish.held_bytes > MAX_HELD {
                    return Err(Error::Impatient(MAX_HELD));
                }
                self.publish.held.push((now, message));
            }
            _ => self.drops.stray += 1,
        }
        Ok(())
    }

    /// The publisher was let in: what it had already sent comes now.
    pub(super) fn release(&mut self) {
        self.publish.held_bytes = 0;
        for (now, message) in std::mem::take(&mut self.publish.held) {
            self.published(now, message);
        }
    }

    fn published(&mut self, now: Instant, message: Message) {
        let (events, drops) = (&mut self.events, &mut self.drops);
        self.publish.intake.take(now, message, &mut |taken| match taken {
            Taken::Item(item) => events.push_back(item.into()),
            Taken::Metadata(metadata) => events.push_back(Event::Metadata(metadata)),
            Taken::OtherData => drops.data += 1,
        });
    }
}

impl From<flv::Item> for Event {
    fn from(item: flv::Item) -> Self {
        match item {
            flv::Item::Track { track, format } => Self::Track { track, format },
            flv::Item::Unit { track, unit } => Self::Unit { track, unit },
            flv::Item::End { track } => Self::TrackEnd { track },
            flv::Item::Refused { track, refusal } => Self::Refused { track, refusal },
            flv::Item::Notice { track, notice } => Self::Notice { track, notice },
        }
    }
}
