//! `[[live.streams]]`: what is cut otherwise than `[live]` says, by a pattern of stream names. The first rule that is about
//! a stream decides.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::parts::Live;
use super::value::{LiveStart, Preset};
use crate::pattern::Pattern;

/// One `[[live.streams]]` entry: what it does not name is as `[live]` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveStream {
    stream: Pattern,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preset: Option<Preset>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe")]
    segment: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe")]
    part: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe")]
    window: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<LiveStart>,
}

/// Its keys.
pub(super) const KEYS: &[&str] = &["stream", "preset", "segment", "part", "window", "start"];

impl LiveStream {
    /// What holds for its streams. A preset brings its own lengths along: those of `[live]` were chosen for another one.
    fn over(&self, live: &Live) -> Live {
        let length = |named: Option<Duration>, general| {
            named.unwrap_or(if self.preset.is_some() { Duration::ZERO } else { general })
        };
        Live {
            preset: self.preset.unwrap_or(live.preset),
            segment: length(self.segment, live.segment),
            part: length(self.part, live.part),
            window: self.window.unwrap_or(live.window),
            start: self.start.unwrap_or(live.start),
            memory_mb: live.memory_mb,
            streams: Vec::new(),
        }
    }
}

impl Live {
    /// What holds for this stream.
    pub fn of(&self, name: &stream::Name) -> Self {
        match self.streams.iter().find(|rule| rule.stream.matches(name)) {
            Some(rule) => rule.over(self),
            None => Self { streams: Vec::new(), ..self.clone() },
        }
    }

    /// Whether some streams are packaged though nobody asks for them.
    pub fn always(&self) -> bool {
        let always = |start| start == LiveStart::Always;
        always(self.start) || self.streams.iter().any(|rule| rule.start.is_some_and(always))
    }

    /// What is outside of what players and memory can take, in words, and where.
    pub(super) fn check(&self) -> Result<(), String> {
        self.lengths().map_err(str::to_owned)?;
        for (at, rule) in self.streams.iter().enumerate() {
            let of = format!("[[live.streams]] of {}", rule.stream);
            let LiveStream { preset, segment, part, window, start, .. } = rule;
            let lengths = [segment, part, window].iter().any(|length| length.is_some());
            if !lengths && preset.is_none() && start.is_none() {
                return Err(format!("{of} sets nothing; name {}", KEYS[1..].join(", ")));
            }
            rule.over(self).lengths().map_err(|reason| format!("{of}: {reason}"))?;
            if self.streams[..at].iter().any(|before| before.stream == rule.stream) {
                return Err(format!("{of} is there twice, and only the first holds; make it one"));
            }
            if let Some(rest) = self.streams.get(at + 1..)
                && rule.stream.is_any()
                && !rest.is_empty()
            {
                return Err(format!(
                    "{of} is about every stream, so those after it never hold; put it last"
                ));
            }
        }
        Ok(())
    }
}

/// A time, or none.
mod maybe {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    use crate::config::value::duration;

    #[expect(clippy::ref_option, reason = "serde hands the field over like this")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => duration::serialize(value, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(from).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(text: &str) -> Live {
        toml::from_str(text).unwrap()
    }

    fn of(live: &Live, name: &str) -> Live {
        live.of(&stream::Name::new(name).unwrap())
    }

    #[test]
    fn the_first_rule_about_a_stream_decides_and_live_says_the_rest() {
        let live = live(
            "segment = '3s'\nwindow = '2m'\n\
             [[streams]]\nstream = 'lecture-1'\nwindow = '3h'\n\
             [[streams]]\nstream = 'lecture-*'\npreset = 'far'\npart = '600ms'\n\
             [[streams]]\nstream = '*-tv'\nstart = 'always'\n",
        );
        assert_eq!(live.check(), Ok(()));
        let seconds = Duration::from_secs;
        let one = of(&live, "lecture-1");
        assert_eq!(
            (one.preset, one.segment, one.window),
            (Preset::Near, seconds(3), seconds(10800))
        );
        let two = of(&live, "lecture-2");
        assert_eq!((two.preset, two.segment), (Preset::Far, Duration::ZERO), "its own length");
        assert_eq!((two.part, two.window), (Duration::from_millis(600), seconds(120)));
        let tv = of(&live, "lecture-tv");
        assert_eq!((tv.preset, tv.start), (Preset::Far, LiveStart::OnDemand), "first match");
        assert_eq!(of(&live, "a-tv").start, LiveStart::Always);
        let other = of(&live, "other");
        assert_eq!((other.segment, other.start), (seconds(3), LiveStart::OnDemand));
        assert!(live.always() && !other.always());
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said_with_its_pattern() {
        let says = |rules: &str| live(rules).check().unwrap_err();
        let rule = |rest: &str| format!("[[streams]]\nstream = 'tv-*'\n{rest}\n");
        assert_eq!(
            says(&rule("segment = '200ms'")),
            "[[live.streams]] of tv-*: live.segment lies between 1s and 20s, or is 0s: as the preset says"
        );
        assert!(says(&rule("window = '25h'")).starts_with("[[live.streams]] of tv-*: live.window"));
        assert!(
            says(&rule("")).ends_with("sets nothing; name preset, segment, part, window, start")
        );
        let hidden = format!("[[streams]]\nstream = '*'\nwindow = '1h'\n{}", rule("part = '1s'"));
        assert!(says(&hidden).contains("put it last"));
        assert!(says(&hidden.replace("'*'", "'**'")).contains("put it last"));
        assert!(says(&rule("part = '1s'").repeat(2)).contains("twice"));
        assert!(says(&rule("segment = '1s'\npart = '600ms'")).ends_with("half of live.segment"));
        assert!(says(&rule("part = '1100ms'")).ends_with("half of live.segment"));
        for wrong in
            ["stream = 'a b'\npreset = 'far'", "preset = 'far'", "stream = 'a'\nwindow = 'long'"]
        {
            assert!(toml::from_str::<Live>(&format!("[[streams]]\n{wrong}")).is_err(), "{wrong}");
        }
    }
}
