//! `/metrics` in Prometheus' text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;

use crate::status::{Bridge, State, Totals};
use crate::{live, rtmp, serve};

/// What the format calls itself.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// HTTP answers by route, method and status. The labels are ours, so there are few of them.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    all: Mutex<BTreeMap<String, Answers>>,
    /// What players of HLS get thousands of a second of, by route, method and status.
    often: [[[AtomicU64; OFTEN.len()]; 2]; 2],
}

/// A route whose answers are counted without a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    Index,
    File,
}

impl Route {
    const fn name(self) -> &'static str {
        match self {
            Self::Index => "/live/{stream}/index.m3u8",
            Self::File => "/live/{stream}/{epoch}/{file}",
        }
    }
}

const OFTEN: [u16; 6] = [200, 206, 404, 400, 410, 503];

/// Those of one route, by method and status.
type Answers = BTreeMap<(&'static str, u16), u64>;

impl Requests {
    pub(crate) fn count(&self, method: &Method, route: &str, status: u16) {
        const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = KNOWN.iter().find(|known| *known == &method.as_str()).unwrap_or(&"other");
        let mut all = self.all.lock().expect("nobody panics while holding this lock");
        // Thousands a second, of a few routes: a name is kept once.
        if !all.contains_key(route) {
            all.insert(route.to_owned(), Answers::new());
        }
        if let Some(counts) = all.get_mut(route) {
            *counts.entry((method, status)).or_default() += 1;
        }
    }

    /// The answer to a `HEAD`, or else a `GET`.
    pub(crate) fn count_file(&self, route: Route, head: bool, status: u16) {
        match OFTEN.iter().position(|often| *often == status) {
            Some(at) => {
                self.often[route as usize][usize::from(head)][at].fetch_add(1, Ordering::Relaxed);
            }
            None if head => self.count(&Method::HEAD, route.name(), status),
            None => self.count(&Method::GET, route.name(), status),
        }
    }

    /// All of them.
    fn sum(&self) -> BTreeMap<String, Answers> {
        let mut all = self.all.lock().expect("nobody panics while holding this lock").clone();
        for route in [Route::Index, Route::File] {
            for (method, counts) in ["GET", "HEAD"].into_iter().zip(&self.often[route as usize]) {
                for (status, count) in OFTEN.into_iter().zip(counts) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        let counts = all.entry(route.name().to_owned()).or_default();
                        *counts.entry((method, status)).or_default() += count;
                    }
                }
            }
        }
        all
    }
}

/// What is not of the streams.
pub(crate) struct Rest<'a> {
    pub(crate) event_streams: usize,
    pub(crate) requests: &'a Requests,
    pub(crate) closed: &'a serve::Closed,
    pub(crate) rtmp: &'a rtmp::Counts,
    pub(crate) live: live::Totals,
    pub(crate) uptime_seconds: f64,
}

/// Everything in one text.
pub(crate) fn render(totals: &Totals, rest: &Rest<'_>) -> String {
    let Rest { event_streams, requests, uptime_seconds, .. } = *rest;
    let mut text = Text(String::new());
    let version = env!("CARGO_PKG_VERSION");
    text.head("weir_build_info", "gauge", "The version that runs.");
    text.sample("weir_build_info", &[("version", version)], 1);
    text.one("weir_uptime_seconds", "gauge", "Time since the start.", uptime_seconds);
    let live = totals.streams.of(State::Live);
    text.one("weir_streams_live", "gauge", "Streams with a publisher.", live);
    // Not by name: there is no end of names, and each would be a time series for good.
    text.head("weir_streams", "gauge", "Streams by state.");
    for state in State::ALL {
        text.sample("weir_streams", &[("state", state.name())], totals.streams.of(state));
    }
    text.one("weir_publishers", "gauge", "Publishers, by any protocol.", totals.publishers);
    text.one("weir_viewers", "gauge", "Viewers, by any protocol.", totals.viewers);
    text.one("weir_event_streams", "gauge", "Viewers that listen to events.", event_streams);
    for (name, help, value) in [
        ("weir_packets_in_total", "Media packets received.", totals.packets_in),
        ("weir_bytes_in_total", "Payload bytes received.", totals.bytes_in),
        ("weir_packets_out_total", "Media packets sent.", totals.packets_out),
        ("weir_bytes_out_total", "Payload bytes sent.", totals.bytes_out),
        ("weir_keyframe_requests_total", "PLIs sent to publishers.", totals.keyframe_requests),
    ] {
        text.one(name, "counter", help, value);
    }
    text.head("weir_dropped_total", "counter", "Datagrams and packets dropped, by reason.");
    for (reason, count) in &totals.drops {
        text.sample("weir_dropped_total", &[("reason", reason)], *count);
    }
    text.one("weir_wires", "gauge", "TCP connections that carry media.", totals.wires);
    text.one("weir_rtmp_players", "gauge", "Viewers by RTMP.", totals.rtmp_players);
    render_rtmp(&mut text, rest.rtmp);
    render_live(&mut text, &rest.live);
    render_bridges(&mut text, totals);
    text.head("weir_http_requests_total", "counter", "HTTP answers.");
    for (route, counts) in requests.sum() {
        for ((method, status), count) in counts {
            let status = status.to_string();
            let labels = [("method", method), ("route", &route), ("status", status.as_str())];
            text.sample("weir_http_requests_total", &labels, count);
        }
    }
    let help = "HTTP connections closed before anything was asked for, by reason.";
    text.head("weir_http_closed_total", "counter", help);
    for (reason, count) in rest.closed.counts() {
        text.sample("weir_http_closed_total", &[("reason", reason)], count);
    }
    text.0
}

fn render_rtmp(text: &mut Text, counts: &rtmp::Counts) {
    let closed: u64 = counts.closed().map(|(_, count)| count).sum();
    let open = counts.accepted().saturating_sub(closed);
    text.one("weir_rtmp_connections", "gauge", "RTMP connections.", open);
    let help = "RTMP connections accepted.";
    text.one("weir_rtmp_connections_total", "counter", help, counts.accepted());
    text.head("weir_rtmp_closed_total", "counter", "RTMP connections that ended, by reason.");
    for (reason, count) in counts.closed() {
        text.sample("weir_rtmp_closed_total", &[("reason", reason)], count);
    }
}

fn render_live(text: &mut Text, live: &live::Totals) {
    text.one("weir_hls_streams", "gauge", "Streams that are packaged.", live.streams);
    let help = "Clients who have lately asked for a playlist.";
    text.one("weir_hls_viewers", "gauge", help, live.viewers);
    text.one("weir_hls_waiting", "gauge", "Requests that wait for what comes next.", live.waiting);
    let help = "Bytes of the files that are kept in memory.";
    text.one("weir_hls_window_bytes", "gauge", help, live.window_bytes);
    let help = "Bytes of the segments that are kept on disk.";
    text.one("weir_hls_stored_bytes", "gauge", help, live.stored_bytes);
    let help = "Segments that could not be stored on disk, or read from it, by reason.";
    text.head("weir_hls_store_failed_total", "counter", help);
    for (reason, count) in &live.store_failed {
        text.sample("weir_hls_store_failed_total", &[("reason", reason)], *count);
    }
    text.head("weir_hls_requests_total", "counter", "Requests answered, by what for.");
    for (what, count) in &live.requests {
        text.sample("weir_hls_requests_total", &[("what", what)], *count);
    }
    text.one("weir_hls_bytes_total", "counter", "Bytes of those answers.", live.bytes);
    let help = "Requests that had to wait, where too many did.";
    text.one("weir_hls_refused_total", "counter", help, live.refused);
    let help = "Pictures and packets of sound that are in no file, by reason.";
    text.head("weir_hls_units_dropped_total", "counter", help);
    for (reason, count) in &live.dropped {
        text.sample("weir_hls_units_dropped_total", &[("reason", reason)], *count);
    }
}

fn render_bridges(text: &mut Text, totals: &Totals) {
    text.head("weir_bridges", "gauge", "Codec bridges by state.");
    for state in Bridge::STATES {
        let count = totals.bridges.iter().filter(|is| **is == state).count();
        text.sample("weir_bridges", &[("state", state)], count);
    }
    let help = "Times that a bridge's worker was started again.";
    text.one("weir_bridge_restarts_total", "counter", help, totals.bridge_restarts);
    let help = "Bridges that were given up.";
    text.one("weir_bridge_failures_total", "counter", help, totals.bridge_failures);
    let (into, out) = totals.bridge_units;
    let help = "Pictures and packets of sound that went into bridges.";
    text.one("weir_bridge_units_in_total", "counter", help, into);
    let help = "Pictures and packets of sound that came out of bridges.";
    text.one("weir_bridge_units_out_total", "counter", help, out);
    let help = "Pictures and packets of sound that bridges left out.";
    text.head("weir_bridge_units_dropped_total", "counter", help);
    for (reason, count) in &totals.bridge_left_out {
        text.sample("weir_bridge_units_dropped_total", &[("reason", reason)], *count);
    }
    text.head("weir_units_dropped_total", "counter", "Pictures and packets of sound left out.");
    for (reason, count) in &totals.units_dropped {
        text.sample("weir_units_dropped_total", &[("reason", reason)], *count);
    }
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::StateCounts;

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let requests = Requests::default();
        requests.count(&Method::POST, "/whip/{stream}", 201);
        requests.count(&Method::POST, "/whip/{stream}", 201);
        requests.count(&Method::from_bytes(b"BREW").unwrap(), "other", 404);
        let mut streams = StateCounts::default();
        State::ALL.into_iter().for_each(|state| streams.count(state));
        streams.count(State::Live);
        let totals = Totals {
            streams,
            packets_in: 7,
            drops: vec![("garbage", 3)],
            wires: 6,
            rtmp_players: 2,
            bridges: vec!["running", "failed", "running"],
            bridge_restarts: 5,
            bridge_failures: 1,
            bridge_units: (300, 290),
            bridge_left_out: vec![("skipped", 8), ("undecodable", 2)],
            units_dropped: vec![("slow_player", 9)],
            ..Totals::default()
        };
        let counts = rtmp::Counts::default();
        let live = live::Totals {
            waiting: 3,
            requests: vec![("part", 8)],
            refused: 4,
            store_failed: vec![("full", 5)],
            ..Default::default()
        };
        let rest = Rest {
            event_streams: 2,
            requests: &requests,
            closed: &serve::Closed::default(),
            rtmp: &counts,
            live,
            uptime_seconds: 1.5,
        };
        let text = render(&totals, &rest);
        for expected in [
            "weir_packets_in_total 7",
            "weir_dropped_total{reason=\"garbage\"} 3",
            "weir_http_requests_total{method=\"POST\",route=\"/whip/{stream}\",status=\"201\"} 2",
            "weir_http_requests_total{method=\"other\",route=\"other\",status=\"404\"} 1",
            "weir_uptime_seconds 1.5",
            "weir_streams_live 2",
            "weir_streams{state=\"live\"} 2",
            "weir_streams{state=\"failed\"} 1",
            "# TYPE weir_viewers gauge",
            "weir_event_streams 2",
            "weir_rtmp_connections 0",
            "weir_hls_waiting 3",
            "weir_hls_refused_total 4",
            "weir_hls_store_failed_total{reason=\"full\"} 5",
            "weir_hls_requests_total{what=\"part\"} 8",
            "weir_wires 6",
            "weir_rtmp_players 2",
            "weir_bridges{state=\"running\"} 2",
            "weir_bridges{state=\"starting\"} 0",
            "weir_bridges{state=\"failed\"} 1",
            "weir_bridge_restarts_total 5",
            "weir_bridge_failures_total 1",
            "weir_bridge_units_in_total 300",
            "weir_bridge_units_out_total 290",
            "weir_bridge_units_dropped_total{reason=\"undecodable\"} 2",
            "weir_units_dropped_total{reason=\"slow_player\"} 9",
            "weir_rtmp_closed_total{reason=\"goodbye\"} 0",
            "weir_http_closed_total{reason=\"crowded\"} 0",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("weir_") && value.parse::<f64>().is_ok(), "{line}");
        }
    }
    #[test]
    fn a_state_has_one_name_in_json_and_in_metrics() {
        for (index, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, index);
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
