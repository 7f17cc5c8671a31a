//! The multivariant playlist: which renditions there are (draft-pantos-hls-rfc8216bis section 4.4.6).

use std::cmp::Reverse;
use std::sync::Arc;

use media::{Codec, Kind};

use crate::hls::keyframes;
use crate::hls::text::{Lines, Uri, quoted};
use crate::name::File;
use crate::store::View;

/// Segments in which a rendition has media, or is not named: players read this once, and one gap is soon over.
const RECENT: usize = 3;
/// Sound for which no language is known (BCP 47, ISO 639-2 `und`).
const UNKNOWN: &str = "und";

/// The multivariant playlist of these views, which are those of one moment. Its place is one folder above the epoch's.
/// `query` as for [`media`](crate::hls::media()).
///
/// Each rendition of pictures is a variant with each codec of sound, AAC first: every player takes that; the largest comes
/// first. One that has no media now is not named while another has. Sound without pictures is a variant by itself.
pub fn multivariant(views: &[Arc<View>], query: &str) -> String {
    let of = |kind| views.iter().filter(move |view| view.rendition.id.kind == kind);
    let mut groups: Vec<Group<'_>> = Vec::new();
    for view in of(Kind::Audio) {
        let codec = view.init.codec();
        match groups.iter_mut().find(|group| group.codec == codec) {
            Some(group) => group.views.push(view),
            None => groups.push(Group { codec, views: vec![view] }),
        }
    }
    groups.sort_by_key(|group| group.codec != Codec::Aac);

    let mut lines = Lines::with_capacity(512 * (1 + views.len()));
    lines.push(format_args!("#EXTM3U"));
    lines.push(format_args!("#EXT-X-VERSION:6"));
    let pictures = pictures(views);
    if pictures.iter().copied().chain(of(Kind::Audio)).all(|view| view.targets.independent) {
        lines.push(format_args!("#EXT-X-INDEPENDENT-SEGMENTS"));
    }
    if pictures.is_empty() {
        groups.iter().flat_map(|group| &group.views).for_each(|view| {
            stream(&mut lines, view, None, query);
        });
        return lines.into_string();
    }
    groups.iter().for_each(|group| group.write(&mut lines, query));
    for view in &pictures {
        if groups.is_empty() {
            stream(&mut lines, view, None, query);
        }
        groups.iter().for_each(|group| stream(&mut lines, view, Some(group), query));
    }
    pictures.iter().for_each(|view| iframes(&mut lines, view, query));
    lines.into_string()
}

/// The renditions of pictures that are worth naming.
fn pictures(views: &[Arc<View>]) -> Vec<&Arc<View>> {
    let mut all: Vec<_> =
        views.iter().filter(|view| view.rendition.id.kind == Kind::Video).collect();
    let is_there = |view: &View| view.all().rev().take(RECENT).any(|segment| !segment.gap);
    if all.iter().any(|view| is_there(view)) {
        all.retain(|view| is_there(view));
    }
    let pixels = |view: &View| {
        view.init
            .format
            .dimensions
            .map_or(0, |(width, height)| u32::from(width) * u32::from(height))
    };
    all.sort_by_key(|view| Reverse(pixels(view)));
    all
}

/// Sound of one codec.
struct Group<'a> {
    codec: Codec,
    views: Vec<&'a View>,
}

impl Group<'_> {
    fn write(&self, lines: &mut Lines, query: &str) {
        for (index, view) in self.views.iter().enumerate() {
            let rendition = &view.rendition;
            let language = rendition.language.as_deref().map_or(UNKNOWN.into(), quoted);
            let channels = view.init.format.sound.map_or(2, |(_, channels)| channels.max(1));
            lines.push(format_args!(
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{}\",NAME=\"{}\",LANGUAGE=\"{language}\",DEFAULT={},AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"{}/{}\"",
                self.codec,
                self.name(index),
                if index == 0 { "YES" } else { "NO" },
                view.epoch,
                Uri(File::Playlist(rendition.id), query),
            ));
        }
    }

    /// What a menu shows: the rendition's label, made unlike the others of the group.
    fn name(&self, index: usize) -> String {
        let label = |view: &View| quoted(&view.rendition.label);
        let name = Some(label(self.views[index])).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| "Audio".into());
        let before =
            self.views[..index].iter().filter(|view| label(view) == label(self.views[index]));
        match before.count() {
            0 => name,
            same => format!("{name} {}", same + 1),
        }
    }
}

fn stream(lines: &mut Lines, view: &View, group: Option<&Group<'_>>, query: &str) {
    let sound = group.map_or(&[][..], |group| &group.views);
    let most = |of: fn(&View) -> u64| sound.iter().map(|view| of(view)).max().unwrap_or(0);
    let peak = view.bandwidth.peak + most(|view| view.bandwidth.peak);
    let average = view.bandwidth.average + most(|view| view.bandwidth.average);
    let mut codecs = vec![view.init.codecs.as_str()];
    for view in sound {
        if !codecs.contains(&view.init.codecs.as_str()) {
            codecs.push(&view.init.codecs);
        }
    }
    let audio = group.map(|group| format!(",AUDIO=\"{}\"", group.codec)).unwrap_or_default();
    let frames = view.frame_rate.filter(|rate| *rate > 0);
    let frames = frames.map(|rate| format!(",FRAME-RATE={}.{:03}", rate / 1000, rate % 1000));
    lines.push(format_args!(
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\"{}{}{}{audio},CLOSED-CAPTIONS=NONE",
        peak.max(average).max(1),
        average.max(1),
        codecs.join(","),
        resolution(view),
        frames.unwrap_or_default(),
        range(view),
    ));
    lines.push(format_args!("{}/{}", view.epoch, Uri(File::Playlist(view.rendition.id), query)));
}

fn iframes(lines: &mut Lines, view: &View, query: &str) {
    lines.push(format_args!(
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={},CODECS=\"{}\"{}{},URI=\"{}/{}\"",
        keyframes::peak(view).unwrap_or(view.bandwidth.peak.max(1)),
        view.init.codecs,
        resolution(view),
        range(view),
        view.epoch,
        Uri(File::Keyframes(view.rendition.id), query),
    ));
}

fn resolution(view: &View) -> String {
    let size = view.init.format.dimensions;
    size.map(|(width, height)| format!(",RESOLUTION={width}x{height}")).unwrap_or_default()
}

/// `VIDEO-RANGE`, where the encoder says what its values mean (transfer characteristics of ITU-T H.273). Where it does
/// not they mean what they always did, and that is what players take them for.
fn range(view: &View) -> &'static str {
    let format = &view.init.format;
    match media::config::look(format.codec, &format.config).colour.map(|colour| colour.transfer) {
        Some(16) => ",VIDEO-RANGE=PQ",
        Some(18) => ",VIDEO-RANGE=HLG",
        Some(1 | 6 | 13..=15) => ",VIDEO-RANGE=SDR",
        _ => "",
    }
}
