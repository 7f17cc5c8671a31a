//! Why segments cannot be stored at the moment, and when that is tried again. Decided purely: the time is an argument.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// Why a segment is not in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::live) enum Refusal {
    /// No more may be stored: what is free is kept free for others.
    Space,
    /// The file system, or our quota in it, is full.
    Full,
    /// We may not write there.
    Denied,
    /// Another server has the folder.
    Taken,
    /// The disk is broken, or anything else.
    Io,
    /// It was written, and is there no more, or not as it was.
    Lost,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 6] =
        [Self::Space, Self::Full, Self::Denied, Self::Taken, Self::Io, Self::Lost];

    /// As in `/metrics`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Space => "space",
            Self::Full => "full",
            Self::Denied => "denied",
            Self::Taken => "taken",
            Self::Io => "io",
            Self::Lost => "lost",
        }
    }

    /// What the system's word means.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory => Self::Denied,
            ErrorKind::WouldBlock => Self::Taken,
            ErrorKind::UnexpectedEof | ErrorKind::NotFound => Self::Lost,
            _ => Self::Io,
        }
    }
}

/// First it is tried again after so long, then ever more seldom.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Something that does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) why: Refusal,
    /// What the system says.
    pub(super) text: String,
    pause: Duration,
    /// From when on it may be tried again.
    pub(super) until: Instant,
}

impl Trouble {
    /// It has failed, once more; several writes that fail within the same pause are one failure.
    pub(super) fn after(before: Option<&Self>, error: &io::Error, now: Instant) -> Self {
        let pause = match before {
            Some(before) if now < before.until => before.pause,
            Some(before) => (before.pause * 2).min(LONGEST),
            None => FIRST,
        };
        Self { why: Refusal::of(error), text: error.to_string(), pause, until: now + pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_ever_more_seldom_and_never_given_up() {
        let mut now = crate::clock::now();
        let broken = io::Error::from_raw_os_error(5);
        let mut before: Option<Trouble> = None;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let trouble = Trouble::after(before.as_ref(), &broken, now);
            pauses.push((trouble.until - now).as_secs());
            now = trouble.until;
            before = Some(trouble);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn what_the_system_says_has_a_name() {
        for (number, expected) in [
            (28, Refusal::Full),
            (122, Refusal::Full),
            (13, Refusal::Denied),
            (30, Refusal::Denied),
            (5, Refusal::Io),
            (2, Refusal::Lost),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(Refusal::of(&error), expected, "{error}");
        }
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
        }
    }
}
