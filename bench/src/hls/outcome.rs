//! What a run has found; the fields of `--json` are a promise.

use serde_json::{Value, json};

use super::follower::{Arrival, Counts};
use crate::outcome::{Server, percentiles};

/// What a crowd of players found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Those who got parts.
    pub viewers: usize,
    /// Renditions that each followed.
    pub renditions: usize,
    /// Length of the measured part.
    pub seconds: f64,
    /// Playlists in the measured part.
    pub playlists: u64,
    /// Parts, likewise.
    pub parts: u64,
    /// Bytes of answers, heads included, likewise.
    pub bytes: u64,
    /// Answers that were none, and connections that broke, likewise.
    pub errors: u64,
    /// How often a player found that parts were gone before it could ask for them, likewise.
    pub missed: u64,
    /// Parts that came later than a player at PART-HOLD-BACK can wait; of those that say when they were made.
    pub late: u64,
    /// From the end of a part's media to when a player had it, µs, by EXT-X-PROGRAM-DATE-TIME: right where both
    /// clocks agree.
    pub age_us: Vec<u32>,
    /// From a player's beginning to its first part that it waited for, µs.
    pub join_us: Vec<u32>,
    /// Players that got nothing.
    pub silent: usize,
    /// What was said about errors.
    pub failures: Vec<String>,
    /// What the process of the server used.
    pub server: Option<Server>,
}

impl Outcome {
    /// Takes counts of the measured part.
    pub(crate) fn count(&mut self, counts: &Counts) {
        let Counts { playlists, parts, bytes, errors, gaps } = *counts;
        (self.playlists, self.parts, self.bytes) = (playlists, parts, bytes);
        (self.errors, self.missed) = (errors, gaps);
    }

    /// Takes arrivals of one rendition. The earliest of all says how far the clocks, and what is the same for
    /// everybody, are apart.
    pub(crate) fn arrived(&mut self, arrivals: &[Arrival]) {
        let earliest = arrivals.iter().map(|arrival| arrival.age_us).min().unwrap_or_default();
        let late = arrivals.iter().filter(|a| a.age_us - earliest > a.slack_us).count();
        self.late += late as u64;
        self.age_us.extend(arrivals.iter().map(|a| u32::try_from(a.age_us).unwrap_or(0)));
    }

    /// Playlists and parts.
    pub fn requests(&self) -> u64 {
        self.playlists + self.parts
    }

    /// Per second of the measured part.
    pub fn requests_per_second(&self) -> f64 {
        self.requests() as f64 / self.seconds.max(1e-9)
    }

    /// Per second of the measured part.
    pub fn bits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds.max(1e-9)
    }

    /// The server's CPU nanoseconds for each bit that arrived.
    pub fn cpu_ns_per_bit(&self) -> Option<f64> {
        Some(self.server?.cpu_seconds * 1e9 / (self.bytes.max(1) as f64 * 8.0))
    }

    /// Answers for each second of the server's CPU.
    pub fn requests_per_core(&self) -> Option<f64> {
        Some(self.requests() as f64 / self.server?.cpu_seconds.max(1e-9))
    }

    /// Bits for each second of the server's CPU.
    pub fn bits_per_core(&self) -> Option<f64> {
        Some(self.bytes as f64 * 8.0 / self.server?.cpu_seconds.max(1e-9))
    }

    /// The object of `--json`.
    pub fn json(&self) -> Value {
        let pair = |values: &[u32]| {
            let ms = |us: u32| f64::from(us) / 1000.0;
            percentiles(values).map(|(p50, p99)| json!({ "p50": ms(p50), "p99": ms(p99) }))
        };
        let mut object = json!({
            "viewers": self.viewers,
            "renditions": self.renditions,
            "seconds": (self.seconds * 1000.0).round() / 1000.0,
            "requests": self.requests(),
            "requests_per_second": self.requests_per_second().round(),
            "playlists": self.playlists,
            "parts": self.parts,
            "bits_per_second": self.bits_per_second().round(),
            "late_parts": self.late,
            "missed": self.missed,
            "errors": self.errors,
            "part_age_ms": pair(&self.age_us),
            "join_ms": pair(&self.join_us),
        });
        if let (Some(server), Some(fields)) = (self.server, object.as_object_mut()) {
            let mut put = |name: &str, value: Value| fields.insert(name.into(), value);
            put("server_cpu_seconds", json!((server.cpu_seconds * 1000.0).round() / 1000.0));
            put("server_cpu_ns_per_bit", json!(self.cpu_ns_per_bit()));
            put("server_requests_per_core_second", json!(self.requests_per_core().map(f64::round)));
            put("server_bits_per_core_second", json!(self.bits_per_core().map(f64::round)));
            put("server_rss_bytes", json!(server.rss_bytes));
            put("server_rss_per_viewer_bytes", json!(server.rss_per_viewer));
        }
        object
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} viewers of {} renditions, {:.1} s: {:.0} requests/s, {:.1} Mbit/s",
            self.viewers,
            self.renditions,
            self.seconds,
            self.requests_per_second(),
            self.bits_per_second() / 1e6,
        )];
        lines.push(format!(
            "{} playlists, {} parts: {} late, {} times missed; {} errors",
            self.playlists, self.parts, self.late, self.missed, self.errors
        ));
        if let Some((p50, p99)) = percentiles(&self.age_us) {
            let (p50, p99) = (p50 / 1000, p99 / 1000);
            lines.push(format!("age of a part when it is there: p50 {p50} ms, p99 {p99} ms"));
        }
        if let (Some(server), Some(ns)) = (self.server, self.cpu_ns_per_bit()) {
            lines.push(format!(
                "server: {:.2} CPU s, {ns:.3} ns per bit, per core {:.0} requests/s and {:.2} Gbit/s, {:.1} MB resident, {:.1} KB per viewer",
                server.cpu_seconds,
                self.requests_per_core().unwrap_or_default(),
                self.bits_per_core().unwrap_or_default() / 1e9,
                server.rss_bytes as f64 / 1e6,
                server.rss_per_viewer as f64 / 1e3,
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_fields_that_were_promised_and_no_others() {
        let names = |outcome: &Outcome| -> Vec<String> {
            outcome.json().as_object().unwrap().keys().cloned().collect()
        };
        let always = [
            "bits_per_second",
            "errors",
            "join_ms",
            "late_parts",
            "missed",
            "part_age_ms",
            "parts",
            "playlists",
            "renditions",
            "requests",
            "requests_per_second",
            "seconds",
            "viewers",
        ];
        let mut outcome = Outcome { bytes: 125_000_000, parts: 1000, ..Outcome::default() };
        assert_eq!(names(&outcome), always);
        outcome.server = Some(Server { cpu_seconds: 0.5, ..Server::default() });
        assert_eq!(names(&outcome).len(), always.len() + 6);
        assert_eq!(outcome.json()["server_cpu_ns_per_bit"], 0.5);
        assert_eq!(outcome.json()["server_requests_per_core_second"], 2000.0);
    }

    #[test]
    fn late_is_what_a_player_cannot_wait_for() {
        let arrival = |age_us| Arrival { age_us, slack_us: 500_000 };
        let mut outcome = Outcome::default();
        // Its clock is an hour behind.
        let hour = -3_600_000_000;
        outcome.arrived(&[arrival(hour), arrival(hour + 500_000), arrival(hour + 500_001)]);
        assert_eq!(outcome.late, 1);
    }
}
