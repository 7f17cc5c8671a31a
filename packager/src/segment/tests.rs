//! A whole stream through the packager: what a player would see, and the rules that all of it keeps.

mod harness;
mod outcomes;
mod properties;
