//! Units and configurations with bytes of somebody's choice: whatever comes, no panic, and an end with a reason
//! or none.

use media::AccessUnit;
use transcode::Target;

use super::settings;
use super::source::{Clip, noise, pictures, sound};
use crate::{Error, Pipeline, Push};

/// Repeatable bytes.
struct Random(u32);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % below.max(1)
    }

    /// A few bytes are others, or the end is missing.
    fn spoil(&mut self, data: &[u8]) -> Vec<u8> {
        let mut data = data.to_vec();
        for _ in 0..=self.next(6) {
            let at = self.next(data.len());
            if let Some(byte) = data.get_mut(at) {
                *byte = self.next(256) as u8;
            }
        }
        if self.next(4) == 0 {
            data.truncate(1 + self.next(data.len()));
        }
        data
    }
}

fn clips() -> Vec<(Clip, [Target; 2])> {
    let fast: &[(&str, &str)] = &[("deadline", "good"), ("cpu-used", "5"), ("lag-in-frames", "0")];
    let size = (96, 64);
    let quiet = "log-level=none:bframes=2:pools=1:frame-threads=1";
    let video = [
        pictures("libx264", &[("preset", "ultrafast"), ("bf", "2")], size, 12),
        pictures("libx265", &[("preset", "ultrafast"), ("x265-params", quiet)], size, 12),
        pictures("libvpx", fast, size, 12),
        pictures("libvpx-vp9", fast, size, 12),
        pictures("libaom-av1", &[("usage", "realtime"), ("cpu-used", "8")], size, 12),
    ];
    let said = noise(48_000, 0.3);
    let audio =
        [sound("aac", 48_000, &[said.clone(), said.clone()]), sound("libopus", 48_000, &[said])];
    let video = video.into_iter().map(|clip| (clip, [Target::H264, Target::Vp8]));
    let audio = audio.into_iter().map(|clip| (clip, [Target::Opus, Target::Aac]));
    video.chain(audio).collect()
}

#[test]
fn spoiled_streams_never_panic() {
    let mut random = Random(5);
    for (clip, targets) in clips() {
        let mut made = 0;
        for round in 0..24 {
            let mut format = clip.format.clone();
            if round % 3 == 2 {
                format.config = random.spoil(&format.config).into();
            }
            let to = targets[round % 2];
            let Ok(mut pipeline) = Pipeline::open(&format, to, &settings()) else { continue };
            let mut out = Vec::new();
            for unit in &clip.units {
                let spoiled =
                    if random.next(2) == 0 { random.spoil(&unit.data) } else { unit.data.to_vec() };
                let unit = AccessUnit { data: spoiled.into(), ..unit.clone() };
                let preroll = random.next(8) == 0;
                let late = random.next(8) == 0;
                match pipeline.push(&unit, Push { preroll, late }, &mut out) {
                    Ok(()) => {}
                    Err(error @ (Error::Barren { .. } | Error::Encoder { .. })) => {
                        println!("{}: {error}", clip.format.codec);
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            let _ = pipeline.flush(&mut out);
            made += out.len();
        }
        assert!(made > 0, "{}: something still comes through", clip.format.codec);
    }
}
