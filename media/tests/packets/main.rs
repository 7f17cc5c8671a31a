//! Access units to payloads and back: against an independent implementation of the same formats, through
//! loss and reordering, and with bytes that mean harm.

mod inward;
mod outward;
mod rough;
mod world;
