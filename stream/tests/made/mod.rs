//! What an observer knows of a bridge: when it is to be tried again, told from its states alone.

use std::time::{Duration, Instant};

use stream::bridges::{AGAIN, AGAIN_MOST, State};

/// A bridge that was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Made {
    /// It has failed, and was not said to run since.
    pub(crate) failed: bool,
    pub(crate) state: State,
    /// When it is to be tried again.
    pub(crate) again: Option<Instant>,
    /// The wait before that.
    pub(crate) wait: Duration,
    pub(crate) ran: Option<Instant>,
    /// Since when nobody has needed it.
    pub(crate) idle: Option<Instant>,
}

impl Made {
    /// True if it was good until now.
    pub(crate) fn becomes(&mut self, now: Instant, state: State) -> bool {
        if self.state == state {
            return false;
        }
        (self.state, self.again) = (state, None);
        if state == State::Running {
            (self.failed, self.ran) = (false, Some(now));
        }
        if state != State::Failed {
            return false;
        }
        let short = self.ran.take().is_none_or(|ran| now < ran + AGAIN);
        let twice = (self.wait * 2).clamp(AGAIN, AGAIN_MOST);
        self.wait = if short { twice } else { AGAIN };
        self.again = Some(now + self.wait);
        !std::mem::replace(&mut self.failed, true)
    }
}
