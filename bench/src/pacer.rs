//! When a publisher lets its video packets go: as Chromium's pacer does.

/// Chromium's pacer sends at 2.5 times the target and may run 40 ms ahead.
const PACE: f64 = 2.5;
const BURST: u64 = 40_000;

/// Bits per second and how far they are spent. Times in µs.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    rate: f64,
    free: u64,
}

impl Pacer {
    /// For a stream of so many bits per second.
    pub fn new(bitrate: u32) -> Self {
        Self { rate: (f64::from(bitrate) * PACE).max(1.0), free: 0 }
    }

    /// When the next packet may go.
    pub fn due(&self) -> u64 {
        self.free.saturating_sub(BURST)
    }

    /// A packet goes out.
    pub fn sent(&mut self, now: u64, bytes: usize) {
        self.free = self.free.max(now) + (bytes as f64 * 8e6 / self.rate) as u64;
    }
}
