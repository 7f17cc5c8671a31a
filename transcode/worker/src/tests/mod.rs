//! The pipelines with real codecs: what goes in is encoded here, what comes out is decoded again.

mod he_aac;
mod hostile;
mod pictures;
mod sound;
mod source;

use std::time::Duration;

use crate::{Output, Settings};

/// As the server sets it by default, without a clock.
fn settings() -> Settings {
    static INIT: std::sync::Once = std::sync::Once::new();
    INIT.call_once(crate::av::init);
    Settings {
        bitrate: None,
        frame_rate: None,
        keyframe_interval: Duration::from_secs(2),
        threads: 1,
        clock: || Duration::ZERO,
    }
}

fn units(outputs: &[Output]) -> Vec<&media::AccessUnit> {
    outputs.iter().filter_map(Output::unit).collect()
}

fn formats(outputs: &[Output]) -> Vec<&media::Format> {
    outputs.iter().filter_map(Output::format).collect()
}

impl Output {
    fn unit(&self) -> Option<&media::AccessUnit> {
        match self {
            Self::Unit(unit) => Some(unit),
            Self::Format(_) => None,
        }
    }

    fn format(&self) -> Option<&media::Format> {
        match self {
            Self::Format(format) => Some(format),
            Self::Unit(_) => None,
        }
    }
}
