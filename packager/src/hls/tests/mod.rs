//! Playlists of a stream that is made up here: exactly as they should be, and in general. Each line of what
//! validators and players check that can be shown by text alone is a test of its name.

mod checklist;
mod exact;
mod general;
mod live;
mod reload;
