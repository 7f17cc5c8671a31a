//! `weir`: parse flags, start the library, wait for the signal to stop.
fn main() {}
