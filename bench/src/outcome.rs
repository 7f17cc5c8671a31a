//! What a run found, and how it is told: the fields of `--json` are a promise, so they are here and
//! nowhere else.

use serde_json::{Value, json};

use crate::runs::Run;
use crate::srtp::Profile;

/// What a crowd of viewers found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Those who got media.
    pub viewers: usize,
    /// Length of the measured part.
    pub seconds: f64,
    /// RTP packets in the measured part.
    pub packets: u64,
    /// Bytes of UDP payload in the measured part.
    pub bytes: u64,
    /// Missing at the end, counted from each viewer's first packet on.
    pub lost: u64,
    /// Came late, counted likewise.
    pub out_of_order: u64,
    /// Came twice, counted likewise.
    pub duplicates: u64,
    /// Not authentic, of the packets that were opened.
    pub decrypt_failures: u64,
    /// How many were opened.
    pub opened: u64,
    /// From the POST to the first media packet, µs, per viewer.
    pub join_us: Vec<u32>,
    /// From the publisher's send to the kernel's time of arrival at the viewer's socket, µs, of opened packets.
    pub latency_us: Vec<u32>,
    /// First POST to the last viewer's first packet.
    pub joins_per_second: f64,
    /// Packets that one run of the server held, on average.
    pub run_length: f64,
    /// What was agreed on.
    pub profile: Option<Profile>,
    /// Viewers without media.
    pub silent: usize,
    /// What was said about them.
    pub failures: Vec<String>,
    /// Datagrams that were lost in the viewers' own sockets, which we did not empty in time.
    pub own_drops: u64,
    /// What one viewer's socket got, once all had joined.
    pub runs: Vec<Run>,
    /// What the process of the server used.
    pub server: Option<Server>,
}

/// What the process of the server used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Server {
    /// In the measured part.
    pub cpu_seconds: f64,
    /// In the measured part, ready to run while others had the core.
    pub waited_seconds: f64,
    /// At its end.
    pub rss_bytes: u64,
    /// What came on top of the resident memory before the first viewer, divided by the viewers.
    pub rss_per_viewer: u64,
}

impl Outcome {
    /// Per second of the measured part.
    pub fn packets_per_second(&self) -> f64 {
        self.packets as f64 / self.seconds.max(1e-9)
    }

    /// Bits of UDP payload per second.
    pub fn bits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds.max(1e-9)
    }

    /// The server's CPU nanoseconds for each packet that arrived.
    pub fn cpu_ns_per_packet(&self) -> Option<f64> {
        Some(self.server?.cpu_seconds * 1e9 / (self.packets.max(1)) as f64)
    }

    /// The object of `--json`.
    pub fn json(&self) -> Value {
        let (join, latency) = (percentiles(&self.join_us), percentiles(&self.latency_us));
        let ms = |us: u32| f64::from(us) / 1000.0;
        let mut object = json!({
            "viewers": self.viewers,
            "seconds": round(self.seconds, 3),
            "packets": self.packets,
            "packets_per_second": self.packets_per_second().round(),
            "bits_per_second": self.bits_per_second().round(),
            "lost": self.lost,
            "out_of_order": self.out_of_order,
            "decrypt_failures": self.decrypt_failures,
            "join_ms": join.map(|(p50, p99)| json!({ "p50": ms(p50), "p99": ms(p99) })),
            "latency_us": latency.map(|(p50, p99)| json!({ "p50": p50, "p99": p99 })),
        });
        if let (Some(server), Some(fields)) = (self.server, object.as_object_mut()) {
            let ns = self.cpu_ns_per_packet().unwrap_or_default();
            fields.insert("server_cpu_seconds".into(), json!(round(server.cpu_seconds, 3)));
            fields.insert("server_cpu_ns_per_packet".into(), json!(ns.round()));
            fields.insert("server_rss_bytes".into(), json!(server.rss_bytes));
            fields.insert("server_rss_per_viewer_bytes".into(), json!(server.rss_per_viewer));
        }
        object
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} viewers, {:.1} s: {:.0} packets/s, {:.1} Mbit/s, {:.1} packets per run, {}",
            self.viewers,
            self.seconds,
            self.packets_per_second(),
            self.bits_per_second() / 1e6,
            self.run_length,
            self.profile.map_or("no keys", Profile::name),
        )];
        lines.push(format!(
            "lost {}, out of order {}, twice {}; {} opened, {} not authentic",
            self.lost, self.out_of_order, self.duplicates, self.opened, self.decrypt_failures
        ));
        if let Some((p50, p99)) = percentiles(&self.join_us) {
            let (p50, p99, rate) = (p50 / 1000, p99 / 1000, self.joins_per_second);
            lines.push(format!("join: p50 {p50} ms, p99 {p99} ms, {rate:.0} per second"));
        }
        if let Some((p50, p99)) = percentiles(&self.latency_us) {
            lines.push(format!("latency from the publisher: p50 {p50} µs, p99 {p99} µs"));
        }
        if let (Some(server), Some(ns)) = (self.server, self.cpu_ns_per_packet()) {
            let (cpu, mb) = (server.cpu_seconds, server.rss_bytes as f64 / 1e6);
            let kb = server.rss_per_viewer as f64 / 1e3;
            lines.push(format!(
                "server: {cpu:.2} CPU s, {ns:.0} ns per packet, {mb:.1} MB resident, {kb:.1} KB per viewer"
            ));
        }
        lines.join("\n")
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// Median and 99th percentile; `None` of nothing.
pub fn percentiles(values: &[u32]) -> Option<(u32, u32)> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = |part: f64| sorted.get((sorted.len() as f64 * part) as usize).or(sorted.last());
    Some((*at(0.5)?, *at(0.99)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_fields_that_were_promised_and_no_others() {
        let always = [
            "bits_per_second",
            "decrypt_failures",
            "join_ms",
            "latency_us",
            "lost",
            "out_of_order",
            "packets",
            "packets_per_second",
            "seconds",
            "viewers",
        ];
        let names = |outcome: &Outcome| -> Vec<String> {
            outcome.json().as_object().unwrap().keys().cloned().collect()
        };
        let mut outcome = Outcome { join_us: vec![1500, 2500], ..Outcome::default() };
        assert_eq!(names(&outcome), always);
        assert!(outcome.json()["latency_us"].is_null(), "not our stream");
        assert_eq!(outcome.json()["join_ms"]["p99"], 2.5);
        outcome.server = Some(Server::default());
        let more = [
            "server_cpu_ns_per_packet",
            "server_cpu_seconds",
            "server_rss_bytes",
            "server_rss_per_viewer_bytes",
        ];
        let all: std::collections::BTreeSet<_> =
            always.iter().chain(&more).map(ToString::to_string).collect();
        assert_eq!(names(&outcome).into_iter().collect::<std::collections::BTreeSet<_>>(), all);
    }

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let values: Vec<u32> = (0..100).rev().collect();
        assert_eq!(percentiles(&values), Some((50, 99)));
        assert_eq!(percentiles(&[7]), Some((7, 7)));
        assert_eq!(percentiles(&[]), None);
    }
}
