//! Publishers and players against the listener, over loopback, with our own client: who is let in, what becomes of the
//! media, and how it ends.

mod harm;
mod media;
mod refusals;
mod studio;

use std::time::Duration;

use studio::Studio;

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
