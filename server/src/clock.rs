//! The clock of the HTTP side. Media threads have their own.

use std::time::Instant;

/// Now, for uptime and rate limits.
#[expect(clippy::disallowed_methods, reason = "the shell's clock: everybody below gets it passed")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
