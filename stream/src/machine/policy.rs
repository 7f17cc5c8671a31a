//! Who of several publishers serves: small pure decisions, one per `stream.on_conflict`.

use std::time::{Duration, Instant};

use signaling::SessionId;

use super::people::Publisher;
use crate::event::Reason;

/// What happens when somebody publishes a stream that has a publisher already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflict {
    /// The newcomer takes over with its first media, or when it is connected where nothing is heard of
    /// the one before it; that one is closed.
    #[default]
    Takeover,
    /// The newcomer is turned away, unless nothing is heard of the one before it.
    Reject,
    /// The newcomer is kept warm, and serves while no media comes from those before it.
    Standby,
}

/// Why a publisher is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// [`Conflict::Reject`], and somebody publishes.
    Taken,
    /// [`Conflict::Standby`], and [`MAX_STANDBYS`] stand by.
    Full,
}

/// Publishers that stand by, at most.
pub const MAX_STANDBYS: usize = 4;
/// Publishers that may wait to take over; beyond that the oldest of them is closed.
pub const MAX_PENDING: usize = 8;
/// Who serves again after a pause has first sent media for so long without another one.
pub const STEADY: Duration = Duration::from_secs(1);

impl Conflict {
    /// Whether one more may come. `publishers` are in the order of their coming.
    pub(super) fn admits(
        self,
        publishers: &[Publisher],
        active: Option<SessionId>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Takeover => Ok(()),
            Self::Reject if find(publishers, active).is_some_and(Publisher::is_there) => {
                Err(Refusal::Taken)
            }
            Self::Reject => Ok(()),
            Self::Standby if publishers.len() > MAX_STANDBYS => Err(Refusal::Full),
            Self::Standby => Ok(()),
        }
    }

    /// The one that too many of them leave no room for.
    pub(super) fn crowded_out(
        self,
        publishers: &[Publisher],
        active: Option<SessionId>,
    ) -> Option<SessionId> {
        let pending = || publishers.iter().filter(|p| Some(p.session) != active);
        let oldest = pending().next().map(|p| p.session);
        oldest.filter(|_| self != Self::Standby && pending().count() > MAX_PENDING)
    }

    /// Who serves now, given who has served until now (and may be gone).
    pub(super) fn serving(
        self,
        publishers: &[Publisher],
        active: Option<SessionId>,
        now: Instant,
    ) -> Option<SessionId> {
        let serving = find(publishers, active);
        let others = publishers.iter().filter(|p| Some(p.session) != active && p.connected);
        let (mut first, mut newest) = (others.clone(), others.rev());
        match (self, serving) {
            (Self::Takeover, Some(it)) if it.is_there() => newest.find(|p| p.shows()),
            (Self::Takeover, Some(_)) => promising(&newest),
            (Self::Takeover, None) => best(newest),
            (Self::Reject, Some(it)) if it.is_there() => None,
            (Self::Reject, Some(_)) => promising(&first),
            (Self::Standby, Some(it)) if it.shows() => {
                before(publishers, it.session).find(|p| back_at(p).is_some_and(|at| at <= now))
            }
            (Self::Standby, Some(_)) => first.find(|p| p.shows()),
            (Self::Reject | Self::Standby, None) => best(first),
        }
        .or(serving)
        .map(|p| p.session)
    }

    /// When [`Conflict::serving`] may change its mind without anything happening.
    pub(super) fn deadline(
        self,
        publishers: &[Publisher],
        active: Option<SessionId>,
    ) -> Option<Instant> {
        let serving = active.filter(|_| self == Self::Standby)?;
        before(publishers, serving).filter_map(back_at).min()
    }

    /// Who has no business here any more, while `active` serves, and why.
    pub(super) fn superfluous(
        self,
        publishers: &[Publisher],
        active: Option<SessionId>,
    ) -> Vec<(SessionId, Reason)> {
        let Some(serving) = find(publishers, active) else { return Vec::new() };
        let others = publishers.iter().filter(|p| p.session != serving.session);
        match self {
            // Also those who came earlier and never had anything to show.
            Self::Takeover => {
                before(publishers, serving.session).map(|p| (p.session, Reason::Replaced)).collect()
            }
            Self::Reject if serving.is_there() => {
                others.filter(|p| p.connected).map(|p| (p.session, Reason::Refused)).collect()
            }
            Self::Reject | Self::Standby => Vec::new(),
        }
    }
}

pub(super) fn find(publishers: &[Publisher], session: Option<SessionId>) -> Option<&Publisher> {
    publishers.iter().find(|p| Some(p.session) == session)
}

/// The first with media, else the first of whom anything is heard, else the first.
fn best<'p>(among: impl Iterator<Item = &'p Publisher> + Clone) -> Option<&'p Publisher> {
    promising(&among).or_else(|| among.clone().next())
}

/// The first with media, else the first of whom anything is heard.
fn promising<'p>(among: &(impl Iterator<Item = &'p Publisher> + Clone)) -> Option<&'p Publisher> {
    let showing = among.clone().find(|p| p.shows());
    showing.or_else(|| among.clone().find(|p| p.is_there()))
}

/// Those who came before this one.
fn before(
    publishers: &[Publisher],
    session: SessionId,
) -> impl Iterator<Item = &Publisher> + Clone {
    publishers.iter().take_while(move |p| p.session != session)
}

/// When this one may have its viewers back.
fn back_at(publisher: &Publisher) -> Option<Instant> {
    publisher.steady_since.filter(|_| publisher.shows()).map(|since| since + STEADY)
}
