//! A token bucket: bursts up to a depth, then a rate, which changes with what is learnt.

use std::time::{Duration, Instant};

/// A full packet, in bytes.
pub(super) const PACKET: u64 = 1500;

/// Tokens in bytes; they may be overdrawn, since packets do not come in halves.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Holds `tokens` bytes.
    pub(super) fn new(now: Instant, tokens: u64) -> Self {
        Self { tokens: tokens as f64, at: now }
    }

    /// Fills at `bps` since the last time, up to `depth` bytes unless more is there; returns what is
    /// there.
    pub(super) fn fill(&mut self, now: Instant, bps: f64, depth: f64) -> usize {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let full = (self.tokens + passed * bps / 8.0).min(depth);
        self.tokens = self.tokens.max(full);
        self.tokens.max(0.0) as usize
    }

    /// Takes `bytes` out.
    pub(super) fn take(&mut self, bytes: usize) {
        self.tokens -= bytes as f64;
    }

    /// Throws away what was saved up.
    pub(super) fn clear(&mut self) {
        self.tokens = self.tokens.min(0.0);
    }

    /// How long until `bytes` are there.
    pub(super) fn wait(&self, bytes: f64, bps: f64) -> Duration {
        let missing = (bytes - self.tokens).max(0.0);
        Duration::from_secs_f64((missing * 8.0 / bps.max(1.0)).min(1.0))
    }
}
