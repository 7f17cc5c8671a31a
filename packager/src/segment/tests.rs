//! A whole stream through the packager: what a player would see, and the rules that all of it keeps.

mod harness;
mod keep;
mod layers;
mod outcomes;
mod properties;
