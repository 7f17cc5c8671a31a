//! What validators and players look at in the multivariant playlist, and whether it is true.

use super::{Count, Rule};
use crate::hls::playlist::Attributes;
use crate::hls::seen::{Rendition, Seen};

pub(super) const RULES: &[Rule] = &[
    Rule { name: "codecs-name-all-there-is", check: codecs },
    Rule { name: "h264-level-is-that-of-the-stream", check: level },
    Rule { name: "resolution-is-that-of-the-stream", check: resolution },
    Rule { name: "frame-rate-is-that-of-the-stream", check: frame_rate },
    Rule { name: "bandwidth-is-measured", check: bandwidth },
    Rule { name: "audio-group-with-language", check: audio_group },
    Rule { name: "closed-captions-none", check: closed_captions },
    Rule { name: "keyframe-playlists", check: keyframes },
    Rule { name: "independent-segments-are", check: independent },
];

/// Variants with their pictures.
fn pictures<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = (&'a Attributes, &'a Rendition<'a>)> {
    seen.multivariant.variants.iter().filter_map(|(variant, uri)| {
        let rendition = seen.named(uri)?;
        rendition
            .inits
            .values()
            .any(|init| &init.handler == b"vide")
            .then_some((variant, rendition))
    })
}

/// What a codec is called, by its sample entry.
fn name(entry: [u8; 4]) -> String {
    String::from_utf8_lossy(&entry).to_lowercase()
}

fn codecs(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (variant, uri) in &seen.multivariant.variants {
        let codecs = variant.get("CODECS").unwrap_or_default().to_lowercase();
        let group = variant.get("AUDIO");
        let sound = seen.multivariant.media.iter().filter(|m| m.get("GROUP-ID") == group);
        let uris = sound.filter(|_| group.is_some()).filter_map(|media| media.get("URI"));
        for uri in uris.chain([uri.as_str()]) {
            let rendition = seen.named(uri).ok_or_else(|| format!("{uri} was not watched"))?;
            for init in rendition.inits.values() {
                let name = name(init.entry);
                let named = codecs.split(',').any(|codec| codec.split('.').next() == Some(&*name));
                count.check(named, || format!("{uri} is {name}, CODECS is {codecs:?}"))?;
            }
        }
    }
    Ok(count.0)
}

fn level(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (variant, rendition) in pictures(seen) {
        let init = rendition.versions.last().and_then(|(list, _)| list.segments.last());
        let Some(init) = init.and_then(|segment| rendition.init(segment)) else { continue };
        let Some([profile, constraints, level]) = init.avc else { continue };
        let want = format!("avc1.{profile:02x}{constraints:02x}{level:02x}");
        let codecs = variant.get("CODECS").unwrap_or_default().to_lowercase();
        count.check(codecs.split(',').any(|codec| codec == want), || {
            format!("{codecs}, not {want}")
        })?;
    }
    Ok(count.0)
}

fn resolution(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (variant, rendition) in pictures(seen) {
        let sizes = rendition.inits.values().filter_map(|init| init.size);
        let sizes: Vec<String> = sizes.map(|(width, height)| format!("{width}x{height}")).collect();
        let said = variant.get("RESOLUTION").unwrap_or_default();
        count
            .check(sizes.iter().any(|size| size == said), || format!("{said:?}, not {sizes:?}"))?;
    }
    Ok(count.0)
}

fn frame_rate(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (variant, rendition) in pictures(seen) {
        let (mut pictures, mut seconds) = (0, 0.0);
        for segment in rendition.segments().values() {
            let scale = rendition.init(segment).map(|init| f64::from(init.timescale));
            let (Some(fragments), Some(scale)) = (rendition.fragments(&segment.uri), scale) else {
                continue;
            };
            pictures += fragments.iter().map(|fragment| fragment.samples.len()).sum::<usize>();
            seconds +=
                fragments.iter().map(|fragment| fragment.duration()).sum::<u64>() as f64 / scale;
        }
        if seconds == 0.0 {
            continue;
        }
        let (said, real) = (variant.number("FRAME-RATE").unwrap_or(0.0), pictures as f64 / seconds);
        count.check((said / real - 1.0).abs() < 0.1, || format!("{said}, measured {real:.3}"))?;
    }
    Ok(count.0)
}

/// Bits per second of whole segments: the most, and over all.
fn rates(seen: &Seen<'_>, rendition: &Rendition<'_>) -> Option<(f64, f64)> {
    let (mut peak, mut bits, mut seconds) = (0.0f64, 0.0, 0.0);
    for segment in rendition.segments().values().filter(|segment| !segment.gap) {
        let Some(file) = seen.files.get(rendition.resolve(&segment.uri).as_str()) else { continue };
        let size = file.body.len() as f64 * 8.0;
        peak = peak.max(size / segment.duration.max(0.001));
        (bits, seconds) = (bits + size, seconds + segment.duration);
    }
    (seconds > 0.0).then(|| (peak, bits / seconds))
}

/// What is said at the end is what was measured until then. Segments that nobody could fetch may have been larger or
/// smaller, so half and twice are right.
fn bandwidth(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (variant, uri) in &seen.multivariant.variants {
        let group = variant.get("AUDIO");
        let sound =
            seen.multivariant.media.iter().find(|m| group.is_some() && m.get("GROUP-ID") == group);
        let sound = sound.and_then(|media| seen.named(media.get("URI")?));
        let all = seen.named(uri).into_iter().chain(sound).filter_map(|r| rates(seen, r));
        let (peak, average) = all.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let said = variant.number("BANDWIDTH").unwrap_or(0.0);
        let said_average = variant.number("AVERAGE-BANDWIDTH").unwrap_or(0.0);
        let near = |said: f64, real: f64| said > real * 0.5 && said < real * 2.0;
        count.check(
            said >= said_average && near(said, peak) && near(said_average, average),
            || format!("{said} and {said_average} for {uri}, measured {peak:.0} and {average:.0}"),
        )?;
    }
    Ok(count.0)
}

fn audio_group(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    let list = &seen.multivariant;
    for media in &list.media {
        let all = ["TYPE", "GROUP-ID", "NAME", "LANGUAGE", "URI"].map(|name| media.get(name));
        let used =
            list.variants.iter().any(|(variant, _)| variant.get("AUDIO") == media.get("GROUP-ID"));
        count
            .check(all.iter().all(|value| value.is_some_and(|v| !v.is_empty())) && used, || {
                format!("{media:?}")
            })?;
    }
    for (variant, _) in list.variants.iter().filter(|(variant, _)| variant.get("AUDIO").is_some()) {
        let group = variant.get("AUDIO");
        let there = list.media.iter().any(|media| media.get("GROUP-ID") == group);
        count.check(there, || format!("there is no group {group:?}"))?;
    }
    Ok(count.0)
}

fn closed_captions(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (variant, uri) in &seen.multivariant.variants {
        let said = variant.get("CLOSED-CAPTIONS");
        count.check(said == Some("NONE"), || format!("{uri} has {said:?}"))?;
    }
    Ok(count.0)
}

/// Each rendition of pictures has one, and what it names is one keyframe.
fn keyframes(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    let named = &seen.multivariant.keyframes;
    let pictures = seen.pictures().count();
    count
        .check(named.len() == pictures, || format!("{} for {pictures} of pictures", named.len()))?;
    for variant in named {
        let rendition = variant.get("URI").and_then(|uri| seen.named(uri));
        let rendition = rendition.ok_or_else(|| format!("{variant:?} was not watched"))?;
        let list = rendition.last();
        count.check(list.keyframes && variant.number("BANDWIDTH") > Some(0.0), || {
            format!("{} is none of keyframes, or {variant:?}", rendition.path)
        })?;
        for segment in list.segments.iter().filter(|segment| !segment.gap) {
            let Some(file) = seen.files.get(rendition.resolve(&segment.uri).as_str()) else {
                continue;
            };
            let fragments = rendition.fragments(&segment.uri);
            let first = fragments.and_then(|all| all.first()?.samples.first());
            let first = first.ok_or_else(|| format!("{} has no sample", segment.uri))?;
            let (length, offset) =
                segment.range.ok_or_else(|| format!("{} has no range", segment.uri))?;
            let slice =
                file.body.get(offset as usize..(offset + length) as usize).unwrap_or_default();
            count.check(first.sync && slice.ends_with(&first.data), || {
                format!("{length}@{offset} of {} is not its keyframe", segment.uri)
            })?;
        }
    }
    Ok(count.0)
}

/// What is promised of all segments is so.
fn independent(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count(1);
    for rendition in seen.pictures().filter(|_| seen.multivariant.independent) {
        for segment in rendition.segments().values() {
            let first =
                rendition.fragments(&segment.uri).and_then(|all| all.first()?.samples.first());
            count.check(first.is_none_or(|first| first.sync), || {
                format!("{} begins with no keyframe", segment.uri)
            })?;
        }
    }
    Ok(count.0)
}
