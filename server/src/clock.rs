//! The clock of the HTTP side. Media threads have their own.

use std::time::{Duration, Instant, SystemTime};

/// Now, for uptime and rate limits.
#[expect(clippy::disallowed_methods, reason = "the shell's clock: everybody below gets it passed")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The wall clock, since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the shell's wall clock, for sender reports")]
pub(crate) fn since_epoch() -> Duration {
    // A clock before 1970 tells nothing; reports then count from there.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
