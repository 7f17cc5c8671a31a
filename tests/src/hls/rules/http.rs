//! What caches and pages of other sites need of the answers themselves.

use super::{Count, Rule};
use crate::hls::client::Exchange;
use crate::hls::playlist::{Multivariant, Playlist};
use crate::hls::seen::Seen;
use crate::hls::watch::Probe;

pub(super) const RULES: &[Rule] = &[
    Rule { name: "cache-multivariant-half-a-segment", check: cache_multivariant },
    Rule { name: "cache-playlist-with-directives", check: cache_with },
    Rule { name: "cache-playlist-without-at-most-a-second", check: cache_without },
    Rule { name: "cache-media-immutable", check: cache_media },
    Rule { name: "cache-errors-not-at-all", check: cache_errors },
    Rule { name: "cors-with-age-and-date", check: cors },
    Rule { name: "media-types", check: types },
    Rule { name: "no-query-in-media-names", check: no_query },
    Rule { name: "ranges-are-206-and-sliced", check: ranges },
    Rule { name: "range-beyond-is-416", check: beyond },
    Rule { name: "missing-is-404-or-410", check: missing },
    Rule { name: "playlists-packed", check: packed },
    Rule { name: "http2", check: http2 },
    Rule { name: "a-name-is-the-same-bytes-for-ever", check: same_bytes },
];

/// Seconds of `max-age`.
fn age(answer: &Exchange) -> Option<u64> {
    let cache = answer.header("cache-control")?;
    cache.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok())
}

fn said(answer: &Exchange) -> String {
    format!(
        "{} ({}): cache-control {:?}",
        answer.path,
        answer.status,
        answer.header("cache-control")
    )
}

fn target(seen: &Seen<'_>) -> Result<u64, String> {
    let first = seen.renditions.first().and_then(|rendition| rendition.last().target);
    first.ok_or_else(|| "no TARGETDURATION".into())
}

fn cache_multivariant(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    let most = target(seen)?.div_ceil(2);
    for answer in &seen.recording.multivariant {
        count.check(age(answer).is_some_and(|age| age <= most), || said(answer))?;
    }
    Ok(count.0)
}

fn reloads<'a>(seen: &'a Seen<'_>, directives: bool) -> impl Iterator<Item = &'a Exchange> {
    let all = seen.recording.renditions.iter().flat_map(|rendition| &rendition.reloads);
    all.filter(move |reload| reload.status == 200 && reload.path.contains("_HLS_") == directives)
}

fn cache_with(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    let want = target(seen)? * 6;
    for answer in reloads(seen, true) {
        count.check(age(answer) == Some(want), || format!("{}, not {want} s", said(answer)))?;
    }
    Ok(count.0)
}

fn cache_without(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    let ended = |answer: &Exchange| answer.text().contains("#EXT-X-ENDLIST");
    for answer in reloads(seen, false).filter(|answer| !ended(answer)) {
        count.check(age(answer).is_some_and(|age| age <= 1), || said(answer))?;
    }
    Ok(count.0)
}

fn cache_media(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for file in seen.files.values() {
        let immutable = file.header("cache-control").is_some_and(|c| c.contains("immutable"));
        count.check(immutable && age(file) >= Some(86_400), || said(file))?;
    }
    Ok(count.0)
}

fn everything<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = &'a Exchange> {
    let recording = seen.recording;
    let renditions = recording.renditions.iter().flat_map(|r| r.reloads.iter().chain(&r.media));
    let probes = recording.probes.iter().filter(|(probe, _)| *probe != Probe::Http2);
    recording.multivariant.iter().chain(renditions).chain(probes.map(|(_, answer)| answer))
}

fn cache_errors(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in everything(seen).filter(|answer| answer.status >= 400) {
        let cache = answer.header("cache-control").unwrap_or_default();
        count.check(cache.contains("no-store"), || said(answer))?;
    }
    Ok(count.0)
}

fn cors(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in everything(seen) {
        let origin = answer.header("access-control-allow-origin");
        let exposed =
            answer.header("access-control-expose-headers").unwrap_or_default().to_lowercase();
        let exposed: Vec<&str> = exposed.split(',').map(str::trim).collect();
        let clock = ["age", "date"].iter().all(|name| exposed.contains(name));
        count.check(origin.is_some() && clock, || {
            format!("{} ({}): {origin:?} exposes {exposed:?}", answer.path, answer.status)
        })?;
    }
    Ok(count.0)
}

fn types(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in everything(seen).filter(|answer| matches!(answer.status, 200 | 206)) {
        let path = answer.path.split('?').next().unwrap_or_default();
        let said = answer.header("content-type").unwrap_or_default();
        let right = match path.rsplit('.').next() {
            Some("m3u8") => said.starts_with("application/vnd.apple.mpegurl"),
            _ => {
                ["video/mp4", "audio/mp4", "video/iso.segment"].iter().any(|t| said.starts_with(t))
            }
        };
        count.check(right, || format!("{path} is {said:?}"))?;
    }
    Ok(count.0)
}

fn no_query(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (list, _) in seen.renditions.iter().flat_map(|rendition| &rendition.versions) {
        for segment in list.all() {
            let parts = segment.parts.iter().map(|part| part.uri.as_str());
            for uri in parts.chain([segment.uri.as_str()]).chain(segment.map.as_deref()) {
                count.check(!uri.contains('?'), || uri.to_owned())?;
            }
        }
    }
    Ok(count.0)
}

fn ranges(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    let entire = seen.recording.answers(Probe::Entire).next().ok_or("no whole file")?;
    let len = entire.body.len();
    let slices = [(Probe::Range, 10..20.min(len)), (Probe::Suffix, len.saturating_sub(5)..len)];
    for (probe, slice) in slices {
        for answer in seen.recording.answers(probe) {
            let want = format!("bytes {}-{}/{len}", slice.start, slice.end - 1);
            let said = answer.header("content-range").unwrap_or_default();
            let right =
                answer.status == 206 && said == want && answer.body == entire.body[slice.clone()];
            count.check(right, || {
                format!("{}: {} {said:?}, not {want:?}", answer.path, answer.status)
            })?;
        }
    }
    Ok(count.0)
}

fn beyond(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in seen.recording.answers(Probe::Beyond) {
        let said = answer.header("content-range").unwrap_or_default();
        count.check(answer.status == 416 && said.starts_with("bytes */"), || {
            format!("{}: {} {said:?}", answer.path, answer.status)
        })?;
    }
    Ok(count.0)
}

fn missing(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in seen.recording.answers(Probe::Missing) {
        let refused = matches!(answer.status, 400 | 404 | 410);
        count.check(refused, || format!("{}: {}", answer.path, answer.status))?;
    }
    Ok(count.0)
}

fn packed(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in seen.recording.answers(Probe::Gzip) {
        let vary = answer.header("vary").unwrap_or_default().to_lowercase();
        let gzip =
            answer.header("content-encoding") == Some("gzip") && vary.contains("accept-encoding");
        count.check(gzip && Playlist::parse(&answer.text()).is_ok(), || {
            format!(
                "{:?}, vary {vary:?}: {:?}",
                answer.header("content-encoding"),
                answer.text().get(..80)
            )
        })?;
    }
    Ok(count.0)
}

fn http2(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in seen.recording.answers(Probe::Http2) {
        count.check(answer.status == 200, || "the preface is not understood".into())?;
    }
    Ok(count.0)
}

/// Whatever was fetched twice, by the recording's own way or at its end; and the epoch's name stands in all of them.
fn same_bytes(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in seen.recording.answers(Probe::Again).filter(|answer| answer.status == 200) {
        let before = seen.files.get(answer.path.as_str());
        count.check(before.is_some_and(|before| before.body == answer.body), || {
            answer.path.clone()
        })?;
    }
    for pair in seen.recording.multivariant.windows(2) {
        let lists: Vec<_> = pair.iter().map(|answer| Multivariant::parse(&answer.text())).collect();
        let [Ok(before), Ok(after)] = &lists[..] else { return Err("not to be read".into()) };
        count.check(before.playlists() == after.playlists(), || {
            format!("{:?} became {:?}", before.playlists(), after.playlists())
        })?;
    }
    Ok(count.0)
}
