//! How far from the live edge players stay: three choices between latency and calm.

use std::time::Duration;

/// A choice of part length and of what goes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Parts of 200 ms, for viewers with a good network: about a second behind.
    #[default]
    Near,
    /// Parts of 500 ms, and three and a half of them held back, for viewers anywhere.
    Far,
    /// No parts, segments of 4 s: HLS as it was before 2019.
    Safe,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Near, Self::Far, Self::Safe];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
            Self::Safe => "safe",
        }
    }

    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// How long a part should be at least; `None`: there are none.
    pub const fn part(self) -> Option<Duration> {
        match self {
            Self::Near => Some(Duration::from_millis(200)),
            Self::Far => Some(Duration::from_millis(500)),
            Self::Safe => None,
        }
    }

    /// How long a segment should be.
    pub const fn segment(self) -> Duration {
        match self {
            Self::Near | Self::Far => Duration::from_secs(2),
            Self::Safe => Duration::from_secs(4),
        }
    }
}

/// `PART-HOLD-BACK` for parts of this length. Three of them are the least that the draft allows, and Safari wants
/// half of one more; short parts come as often as a network stutters, so 0.8 s it is at least.
pub(super) fn hold_back(part: Duration) -> Duration {
    let half = part / 2;
    (part * 3 + half).max(Duration::from_millis(800))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_has_a_name() {
        for preset in Preset::ALL {
            assert_eq!(Preset::parse(preset.name()), Some(preset));
        }
        assert_eq!(Preset::parse("nearer"), None);
    }

    #[test]
    fn three_parts_and_a_half_are_held_back_and_never_less_than_800_ms() {
        let back = |millis| hold_back(Duration::from_millis(millis)).as_millis();
        assert_eq!(back(200), 800);
        assert_eq!(back(230), 805);
        assert_eq!(back(280), 980);
        assert_eq!(back(500), 1750);
        assert_eq!(back(1000), 3500);
    }
}
