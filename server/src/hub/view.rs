//! What the hub knows and what the media threads count, put together for the API.

use std::time::SystemTime;

use media::{Codec, Kind};
use sfu::Origin;
use sfu::stats::{Drop, EncodingSnapshot, Totals, ViewerSnapshot};
use signaling::SessionId;

use super::actor::{Counts, Facts, Session, wall_clock};
use super::health;
use super::history::History;
use super::local::{self, Intake};
use super::warnings::{self, Evidence};
use crate::net::{Counters, Media};
use crate::status::{
    self, Encoding, Publisher, State, Stream, Track, Viewer, ViewerCounts, Warning,
};

/// Every stream of `facts`.
pub(super) async fn streams(media: &Media, history: &History, facts: Vec<Facts>) -> Vec<Stream> {
    let ids: Vec<Option<SessionId>> =
        facts.iter().map(|f| f.publisher.as_ref().map(|(id, _)| *id)).collect();
    let count = ids.len();
    let read = move |shard: &sfu::Shard, _, _| -> Vec<Option<Vec<EncodingSnapshot>>> {
        let of = |id| shard.publisher(id);
        ids.iter().map(|id| id.and_then(of)).collect()
    };
    // Without media threads there is nothing to show; the server is ending.
    let snapshots = first_of_each(media.look_all(read).await.unwrap_or_default(), count);
    let both = facts.into_iter().zip(snapshots);
    let now = wall_clock();
    both.map(|(f, encodings)| stream(f, encodings.unwrap_or_default(), history, now)).collect()
}

/// Every viewer of one stream.
pub(super) async fn viewers(media: &Media, facts: Facts) -> Vec<Viewer> {
    let ids: Vec<SessionId> = facts.viewers.iter().map(|(id, ..)| *id).collect();
    let count = ids.len();
    let read = move |shard: &sfu::Shard, _, now| -> Vec<Option<ViewerSnapshot>> {
        ids.iter().map(|id| shard.viewer(*id, now)).collect()
    };
    let snapshots = first_of_each(media.look_all(read).await.unwrap_or_default(), count);
    let players = facts.players.into_iter();
    let players = players.map(|(id, session, sent, missing)| player(id, session, &missing, sent));
    let viewers = facts.viewers.into_iter().zip(snapshots);
    viewers
        .filter_map(|((id, session, missing), s)| Some(viewer(id, session, &missing, s?)))
        .chain(players)
        .collect()
}

/// Sums over everything.
pub(super) async fn totals(media: &Media, counts: Counts) -> status::Totals {
    let read = |shard: &sfu::Shard, counters, _| (shard.totals(), counters);
    let shards: Vec<(Totals, Counters)> = media.look_all(read).await.unwrap_or_default();
    let sum = |read: fn(&Totals) -> u64| shards.iter().map(|(sums, _)| read(sums)).sum::<u64>();
    let mut socket = Counters::default();
    let mut drops: Vec<(&'static str, u64)> = Totals::default().drops.iter().collect();
    for (sums, counters) in &shards {
        socket += *counters;
        drops.iter_mut().zip(sums.drops.iter()).for_each(|(sum, (_, more))| sum.1 += more);
    }
    let lane_full = drops.iter_mut().find(|(name, _)| *name == Drop::LaneFull.name());
    lane_full.into_iter().for_each(|(_, sum)| *sum += media.lost());
    drops.push(("send_blocked", socket.send_blocked));
    drops.push(("send_failed", socket.send_failed));
    drops.extend(media.refused());
    status::Totals {
        streams: counts.streams,
        publishers: counts.publishers,
        viewers: counts.viewers,
        packets_in: sum(|s| s.packets_in),
        bytes_in: sum(|s| s.bytes_in),
        packets_out: sum(|s| s.sent.packets),
        bytes_out: sum(|s| s.sent.bytes),
        drops,
        keyframe_requests: sum(|s| s.keyframe_requests),
        wires: socket.wires,
        rtmp_players: counts.players,
        bridges: counts.bridges,
        bridge_restarts: counts.bridged.restarts,
        bridge_failures: counts.tally.failures,
        bridge_units: (counts.bridged.units_in, counts.bridged.units_out),
        bridge_left_out: counts.bridged.left_out().to_vec(),
        units_dropped: vec![("slow_player", counts.tally.lost)],
    }
}

/// A session is on one shard, and the others do not know it.
fn first_of_each<T>(shards: Vec<Vec<Option<T>>>, count: usize) -> Vec<Option<T>> {
    let mut all: Vec<Option<T>> = std::iter::repeat_with(|| None).take(count).collect();
    for shard in shards {
        all.iter_mut().zip(shard).for_each(|(known, here)| *known = known.take().or(here));
    }
    all
}

fn stream(
    facts: Facts,
    encodings: Vec<EncodingSnapshot>,
    history: &History,
    now: SystemTime,
) -> Stream {
    let encodings = all(encodings, facts.source.as_ref());
    let warnings = warnings(&facts, &encodings, history, now);
    let (whep, rtmp) = (facts.viewers.len(), facts.players.len());
    Stream {
        name: facts.name.to_string(),
        state: state(facts.state),
        tracks: tracks(&encodings, facts.source.as_ref()),
        publisher: facts.publisher.map(|(id, session)| publisher(id, session)),
        standbys: facts.standbys,
        bridges: facts.bridges,
        // Who packages the stream knows, and says it.
        viewers: ViewerCounts { whep, rtmp, hls: 0, dash: 0 },
        hls: None,
        warnings,
    }
}

/// What a publisher sends and what is bridged, best first: where units come in, they are counted there.
pub(super) fn all(
    mut encodings: Vec<EncodingSnapshot>,
    source: Option<&Intake>,
) -> Vec<EncodingSnapshot> {
    if let Some(source) = source {
        encodings.retain(|e| e.origin == Origin::Bridge);
        encodings.extend(source.encodings.iter().cloned());
    }
    best_first(&mut encodings);
    encodings
}

/// As the API names it.
pub(super) fn state(state: stream::State) -> State {
    match state {
        stream::State::Idle => State::Idle,
        stream::State::Starting => State::Starting,
        stream::State::Live => State::Live,
        stream::State::Interrupted => State::Interrupted,
        stream::State::Ended => State::Ended,
    }
}

fn warnings(
    facts: &Facts,
    encodings: &[EncodingSnapshot],
    history: &History,
    now: SystemTime,
) -> Vec<Warning> {
    let publisher = facts.publisher.as_ref();
    let age = |since| now.duration_since(since).unwrap_or_default();
    warnings::all(&Evidence {
        encodings,
        connected: publisher.filter(|_| facts.connected).map(|(_, session)| age(session.since)),
        user_agent: publisher.and_then(|(_, session)| session.user_agent.as_deref()),
        recent: publisher.map(|(id, _)| history.recent(&facts.name, *id)).unwrap_or_default(),
        viewers: facts.viewers.iter().map(|(_, _, missing)| missing.as_slice()).collect(),
        bridges: &facts.bridges,
        worker: facts.worker,
        refused: &facts.refused,
    })
}

/// What is bridged after what it is made of; then by pixels, then by bitrate.
fn best_first(encodings: &mut [EncodingSnapshot]) {
    let pixels =
        |e: &EncodingSnapshot| e.dimensions.map_or(0, |(w, h)| u32::from(w) * u32::from(h));
    let source = |e: &EncodingSnapshot| e.origin == Origin::Source;
    encodings.sort_by_key(|e| std::cmp::Reverse((source(e), pixels(e), e.bitrate_bps)));
}

fn publisher(id: SessionId, session: Session) -> Publisher {
    Publisher {
        session: id.to_string(),
        protocol: session.protocol.name(),
        since: rfc3339(session.since),
        address: session.address.to_string(),
        user_agent: session.user_agent,
    }
}

pub(super) fn tracks(encodings: &[EncodingSnapshot], source: Option<&Intake>) -> Vec<Track> {
    let of = |kind| encodings.iter().filter(move |e| e.kind == kind);
    let rate = source.and_then(|source| source.sample_rate);
    let video = of(Kind::Video).next().map(|first| Track::Video {
        codec: first.codec.name(),
        encodings: of(Kind::Video).map(encoding).collect(),
    });
    let audio = of(Kind::Audio).filter(|e| e.origin == Origin::Source).map(|e| Track::Audio {
        codec: e.codec.name(),
        channels: e.channels,
        sample_rate: rate.unwrap_or(e.codec.clock_rate()),
        packets: e.packets,
        bytes: e.bytes,
        lost: e.lost,
        bitrate_bps: e.bitrate_bps,
    });
    video.into_iter().chain(audio).collect()
}

fn encoding(e: &EncodingSnapshot) -> Encoding {
    Encoding {
        id: e.id.to_string(),
        origin: e.origin.name(),
        width: e.dimensions.map(|(width, _)| width),
        height: e.dimensions.map(|(_, height)| height),
        fps: (e.fps * 10.0).round() / 10.0,
        bitrate_bps: e.bitrate_bps,
        keyframe_interval_ms: e
            .keyframe_interval
            .map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        packets: e.packets,
        bytes: e.bytes,
        lost: e.lost,
        b_frames: e.b_frames,
        active: e.active,
    }
}

pub(super) fn viewer(
    id: SessionId,
    session: Session,
    missing: &[Codec],
    s: ViewerSnapshot,
) -> Viewer {
    let missing = s.missing.or(missing.first().copied());
    let problem = missing.map(|codec| {
        format!("the stream is {}, which this viewer did not offer", codec.rtpmap_name())
    });
    let problem = problem.or_else(|| {
        let often = health::cannot_decode(&s, s.asks)?;
        Some(format!(
            "it cannot decode the stream: it asks for keyframes {often}, though they are sent"
        ))
    });
    Viewer {
        session: id.to_string(),
        protocol: session.protocol.name(),
        since: rfc3339(session.since),
        address: session.address.to_string(),
        user_agent: session.user_agent,
        state: match (s.connected, s.playing) {
            (false, _) => "connecting",
            (true, false) => "waiting",
            (true, true) => "playing",
        },
        layer: s.layer.map(|id| id.to_string()),
        wanted_layer: s.wanted.map(|id| id.to_string()),
        bitrate_bps: s.bitrate_bps,
        packets: s.packets,
        bytes: s.bytes,
        loss: s.loss.map(f64::from),
        rtt_ms: s.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        estimate_bps: None,
        problem,
    }
}

/// Somebody who gets units.
pub(super) fn player(
    id: SessionId,
    session: Session,
    missing: &[Codec],
    sent: local::Totals,
) -> Viewer {
    let problem = missing.first().map(|codec| {
        format!("the stream is {}, which this player cannot take", codec.rtpmap_name())
    });
    Viewer {
        session: id.to_string(),
        protocol: session.protocol.name(),
        since: rfc3339(session.since),
        address: session.address.to_string(),
        user_agent: session.user_agent,
        state: if sent.plays { "playing" } else { "waiting" },
        layer: None,
        wanted_layer: None,
        bitrate_bps: sent.bitrate_bps,
        packets: sent.units,
        bytes: sent.bytes,
        loss: None,
        rtt_ms: None,
        estimate_bps: None,
        problem,
    }
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
