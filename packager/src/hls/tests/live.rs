//! A stream that exists on paper: what its segments will be is known, and its views at any moment of its life are
//! as the packager would give them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::{Codec, Format, Kind, MediaTime};

use crate::store::{Bandwidth, Part, Segment, Targets, View};
use crate::track::{Epoch, Init, Rendition, RenditionId};

/// A segment to come.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// How long each part is, in ms.
    pub(super) parts: Vec<i64>,
    pub(super) discontinuity: bool,
    pub(super) gap: bool,
    /// Pictures: it begins without its keyframe.
    pub(super) dependent: bool,
    /// How often the encoding has changed until here.
    pub(super) init: u32,
}

/// A rendition of it.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    pub(super) id: RenditionId,
    pub(super) codec: Codec,
    pub(super) codecs: &'static str,
    pub(super) label: &'static str,
    pub(super) language: Option<&'static str>,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) voices: Vec<Voice>,
    pub(super) plan: Vec<Plan>,
    /// Segments that are kept.
    pub(super) window: usize,
    pub(super) targets: Targets,
}

pub(super) const V0: Voice = Voice {
    id: RenditionId::VIDEO,
    codec: Codec::H264,
    codecs: "avc1.64001f",
    label: "",
    language: None,
};
pub(super) const AAC: Voice = Voice {
    id: RenditionId::AUDIO,
    codec: Codec::Aac,
    codecs: "mp4a.40.2",
    label: "",
    language: None,
};
pub(super) const OPUS: Voice = Voice {
    id: RenditionId { kind: Kind::Audio, index: 1 },
    codec: Codec::Opus,
    codecs: "opus",
    label: "",
    language: None,
};

/// Captured at 2026-11-21T20:14:18.123Z.
const BEGINNING: Duration = Duration::from_millis(1_795_292_058_123);

impl Plan {
    /// Two seconds: eight parts of 230 ms and one of 160.
    pub(super) fn usual() -> Self {
        Self { parts: [vec![230; 8], vec![160]].concat(), ..Self::default() }
    }
}

impl Live {
    /// So many usual segments of pictures with sound in both codecs; a window of six.
    pub(super) fn usual(segments: usize) -> Self {
        Self {
            voices: vec![V0, AAC, OPUS],
            plan: vec![Plan::usual(); segments],
            window: 6,
            targets: Targets {
                segment: 2,
                part: Some(Duration::from_millis(230)),
                independent: true,
            },
        }
    }

    /// The views when so many segments are whole, and so many parts of the next are there.
    pub(super) fn at(&self, whole: usize, parts: usize) -> Vec<Arc<View>> {
        let view = |voice| Arc::new(self.view(voice, whole, parts, false));
        self.voices.iter().map(view).collect()
    }

    /// The views after the end of the last segment of the plan.
    pub(super) fn ended(&self) -> Vec<Arc<View>> {
        let view = |voice| Arc::new(self.view(voice, self.plan.len(), 0, true));
        self.voices.iter().map(view).collect()
    }

    fn view(&self, voice: &Voice, whole: usize, parts: usize, ended: bool) -> View {
        let first = whole.saturating_sub(self.window);
        let segments = (first..whole).map(|index| self.segment(voice, index, usize::MAX));
        let gone = self.plan[..first].iter().filter(|plan| plan.discontinuity).count();
        let init = self.plan.get(whole).or(self.plan.last()).map_or(0, |plan| plan.init);
        let sound = voice.id.kind == Kind::Audio;
        View {
            epoch: Epoch::new("k3x9").unwrap(),
            rendition: Arc::new(Rendition {
                id: voice.id,
                label: voice.label.into(),
                language: voice.language.map(Into::into),
            }),
            targets: self.targets,
            init: Arc::new(voice.init(init)),
            frame_rate: (!sound).then_some(29_970),
            bandwidth: match sound {
                true => Bandwidth { peak: 130_000, average: 128_000 },
                false => Bandwidth { peak: 3_000_000, average: 2_500_000 },
            },
            discontinuity_sequence: gone as u64,
            segments: Arc::new(segments.collect()),
            running: (parts > 0).then(|| self.segment(voice, whole, parts)),
            spare: Arc::default(),
            first_msn: 1,
            ended,
        }
    }

    fn segment(&self, voice: &Voice, index: usize, parts: usize) -> Arc<Segment> {
        let plan = &self.plan[index];
        let before = self.plan[..index].iter().flat_map(|plan| &plan.parts).sum::<i64>();
        let complete = parts >= plan.parts.len();
        let mut start = before;
        let mut made = Vec::new();
        for (number, millis) in plan.parts.iter().take(parts).enumerate() {
            made.push(voice.part(start, *millis, number == 0 && !plan.dependent));
            start += millis;
        }
        Arc::new(Segment {
            msn: index as u64 + 1,
            start: MediaTime::from_millis(before),
            duration: MediaTime::from_millis(start - before),
            unix: BEGINNING + Duration::from_millis(before as u64),
            discontinuity: plan.discontinuity,
            gap: plan.gap,
            complete,
            init: Arc::new(voice.init(plan.init)),
            parts: if plan.gap { Vec::new() } else { made },
            stored: None,
        })
    }
}

impl Voice {
    fn part(&self, start: i64, millis: i64, keyframe: bool) -> Part {
        let sound = self.id.kind == Kind::Audio;
        Part {
            start: MediaTime::from_millis(start),
            duration: MediaTime::from_millis(millis),
            independent: sound || keyframe,
            keyframe: (!sound && keyframe).then_some(700),
            bytes: Bytes::from_static(&[0; 1000]),
        }
    }

    fn init(&self, number: u32) -> Init {
        let sound = self.id.kind == Kind::Audio;
        Init {
            number,
            bytes: Bytes::from_static(b"init"),
            timescale: if sound { 48_000 } else { 90_000 },
            format: Format {
                codec: self.codec,
                config: Bytes::new(),
                dimensions: (!sound).then_some((1280, 720)),
                sound: sound.then_some((48_000, 2)),
            },
            codecs: self.codecs.into(),
        }
    }
}
