//! Films that say in each picture which one it is (see `film.sh`), made once by FFmpeg and kept under `target`; and what a viewer
//! who got them has seen and heard.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;

use crate::flv::{self, Tag};
use crate::weir;

/// Pictures per second.
pub const FPS: u32 = 30;
/// Pictures from one beep to the next.
pub const BEEP: u32 = 20;

/// Whose FFmpeg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ffmpeg {
    /// Debian 12's, 5.1: RTMP as it was for twenty years.
    Old,
    /// The one of `make test`, 9: Enhanced RTMP.
    New,
}

impl Ffmpeg {
    /// The program.
    pub fn program(self) -> PathBuf {
        match self {
            Self::Old => "ffmpeg".into(),
            Self::New => std::env::var_os("WEIR_TEST_FFMPEG").map_or_else(
                || {
                    weir::target()
                        .parent()
                        .expect("target/debug lies in target")
                        .join("tools/ffmpeg")
                },
                PathBuf::from,
            ),
        }
    }

    /// The program, saying only what is wrong.
    pub fn command(self) -> Command {
        let mut command = Command::new(self.program());
        command.args(["-hide_banner", "-nostdin", "-loglevel", "warning"]);
        command
    }
}

/// How a film is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recipe {
    /// By which program.
    pub by: Ffmpeg,
    /// Arguments of the video encoder.
    pub video: &'static str,
    /// Arguments of the audio encoder.
    pub audio: &'static str,
}

impl Recipe {
    /// What x264 does if nobody says anything: B-frames, a keyframe every 250 pictures. AAC.
    pub const DEFAULTS: Self = Self { by: Ffmpeg::Old, video: "-c:v libx264", audio: "-c:a aac" };
    /// What WebRTC takes as it is; a keyframe every second.
    pub const PLAIN: Self =
        Self { video: "-c:v libx264 -bf 0 -g 30 -preset veryfast", ..Self::DEFAULTS };
    /// B-frames that nothing refers to.
    pub const FLAT: Self =
        Self { video: "-c:v libx264 -bf 2 -x264-params b-pyramid=0 -g 60", ..Self::DEFAULTS };
    /// HEVC and Opus.
    pub const HEVC: Self = Self {
        by: Ffmpeg::New,
        video: "-c:v libx265 -preset ultrafast -g 30 -tag:v hvc1 -x265-params log-level=error",
        audio: "-c:a libopus -b:a 96k",
    };
    /// AV1 as SVT-AV1 makes it, with hidden frames, and Opus.
    pub const AV1: Self = Self { video: "-c:v libsvtav1 -g 30", ..Self::HEVC };
    /// VP9 and Opus.
    pub const VP9: Self = Self {
        video: "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -lag-in-frames 0 -auto-alt-ref 0 -g 30 -b:v 400k",
        ..Self::HEVC
    };
}

/// A film.
#[derive(Clone, Debug)]
pub struct Film {
    /// The file, MP4.
    pub path: PathBuf,
    /// How it is coded.
    pub recipe: Recipe,
    /// Pictures.
    pub frames: u32,
}

impl Film {
    /// 320x180, 20 s.
    pub fn small(recipe: Recipe) -> Arc<Self> {
        Self::new(recipe, "320x180", 600)
    }

    /// From the cache where it is there.
    pub fn new(recipe: Recipe, size: &str, frames: u32) -> Arc<Self> {
        let mut hash = DefaultHasher::new();
        (recipe, size, frames, include_str!("../film.sh")).hash(&mut hash);
        let folder = weir::target().join("test-clips");
        std::fs::create_dir_all(&folder).expect("target can be written");
        let path = folder.join(format!("film-{size}-{:016x}.mp4", hash.finish()));
        if !path.exists() {
            let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("film.sh"))
                .args([size, &frames.to_string()])
                .arg(&path)
                .args(recipe.video.split(' ').chain(recipe.audio.split(' ')))
                .env("FFMPEG", recipe.by.program())
                .output()
                .expect("film.sh runs");
            assert!(
                output.status.success(),
                "film.sh: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Arc::new(Self { path, recipe, frames })
    }

    /// How long it is, in ms.
    pub fn length(&self) -> u32 {
        self.frames * 1000 / FPS
    }

    /// As FLV.
    pub fn flv(&self) -> Bytes {
        let mut command = self.recipe.by.command();
        command.arg("-i").arg(&self.path).args(["-c", "copy", "-f", "flv", "-"]);
        let output = command.output().expect("ffmpeg runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout.into()
    }

    /// A hash of each picture as it is decoded.
    pub fn hashes(&self) -> Vec<String> {
        let mut command = Ffmpeg::Old.command();
        command.arg("-i").arg(&self.path).args(["-map", "0:v", "-fps_mode", "passthrough"]);
        let output = command.args(["-f", "framehash", "-"]).output().expect("ffmpeg runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
        lines.filter_map(|l| Some(l.rsplit_once(',')?.1.trim().to_owned())).collect()
    }

    /// The messages that publish it, without script data, without its end, and with no more sound than pictures, so that it can begin anew after
    /// [`Film::length`].
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = flv::tags(&self.flv());
        let ends = |tag: &Tag| tag.is_video() && tag.body[..2] == [0x17, 2];
        tags.retain(|tag| tag.kind != 18 && tag.body.len() > 1 && !ends(tag));
        let sound = tags.iter().find(|t| t.kind == 8 && !t.is_config()).map_or(0, |t| t.time);
        // 1024 samples of 48 kHz.
        tags.retain(|tag| tag.is_video() || tag.time + 22 <= self.length() + sound);
        tags
    }
}

/// Which pictures of a film these are: the squares read from each as it is decoded, in order. `None` is a picture that is none of
/// the film. `format` is FFmpeg's name for how `bytes` are framed.
pub fn numbers(format: &str, bytes: &[u8]) -> Vec<Option<u16>> {
    // The middle line of the squares; a sixteenth of the width is their height.
    let filter = "crop=iw:2:0:floor(iw/32),scale=16:1:flags=area,format=gray";
    let arguments =
        ["-f", format, "-i", "-", "-fps_mode", "passthrough", "-vf", filter, "-f", "rawvideo", "-"];
    let rows = pipe(&arguments, bytes);
    rows.chunks_exact(16).map(number).collect()
}

fn number(row: &[u8]) -> Option<u16> {
    let bits: Vec<u16> = row.iter().map(|grey| u16::from(*grey > 128)).collect();
    let parity = bits[2..14].iter().sum::<u16>() % 2;
    let ours = bits[0] == 1 && bits[1] == 0 && bits[14] == parity;
    ours.then(|| bits[2..14].iter().fold(0, |number, bit| 2 * number + bit))
}

/// When each beep begins in these Opus packets of 20 ms, in samples of 48 kHz since the first of them.
pub fn beeps(packets: &[Bytes]) -> Vec<usize> {
    let samples = pipe(&["-f", "ogg", "-i", "-", "-ac", "1", "-f", "s16le", "-"], &ogg(packets));
    let mut quiet = 0;
    let mut beeps = Vec::new();
    for (at, sample) in samples.chunks_exact(2).enumerate() {
        let loud = i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs() > 3000;
        if loud && quiet > 9600 {
            beeps.push(at);
        }
        quiet = if loud { 0 } else { quiet + 1 };
    }
    beeps
}

/// FFmpeg's output for this input, which it must like.
fn pipe(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "warning"]).args(arguments);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("ffmpeg runs (apt-get install ffmpeg)");
    let mut stdin = child.stdin.take().expect("it was piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("ffmpeg ends");
    let _ = writer.join();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ffmpeg {arguments:?}: {complaints}");
    output.stdout
}

/// Opus packets as a file (RFC 7845), a page each.
fn ogg(packets: &[Bytes]) -> Vec<u8> {
    let mut file = Vec::new();
    let head = b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0";
    let tags = b"OpusTags\0\0\0\0\0\0\0\0";
    let headers = [(&head[..], 2, 0), (&tags[..], 0, 0)];
    let media = packets.iter().enumerate().map(|(i, p)| (&p[..], 0, 960 * (i as u64 + 1)));
    for (number, (packet, flags, granule)) in headers.into_iter().chain(media).enumerate() {
        page(&mut file, packet, flags, granule, number as u32);
    }
    file
}

/// RFC 3533 section 6.
fn page(file: &mut Vec<u8>, packet: &[u8], flags: u8, granule: u64, number: u32) {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(granule.to_le_bytes());
    page.extend(1u32.to_le_bytes());
    page.extend(number.to_le_bytes());
    page.extend([0; 4]);
    let full = packet.len() / 255;
    page.push(full as u8 + 1);
    page.extend(std::iter::repeat_n(255, full));
    page.push((packet.len() % 255) as u8);
    page.extend(packet);
    let sum = page.iter().fold(0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 }
        })
    });
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    file.extend(page);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_says_which_picture_each_is_and_beeps_when_it_flashes() {
        let film = Film::new(Recipe::PLAIN, "320x180", 120);
        assert_eq!(numbers("flv", &film.flv()), (0..120).map(Some).collect::<Vec<_>>());
        let tags = film.tags();
        assert_eq!(tags.iter().filter(|t| t.is_picture()).count(), 120);
        assert_eq!(tags.iter().filter(|t| t.is_config()).count(), 2);
    }

    #[test]
    fn every_recipe_makes_a_film() {
        for recipe in [Recipe::DEFAULTS, Recipe::HEVC, Recipe::AV1, Recipe::VP9] {
            let film = Film::new(recipe, "320x180", 90);
            assert_eq!(film.hashes().len(), 90, "{recipe:?}");
            let tags = film.tags();
            let count = |kind| tags.iter().filter(|t| t.kind == kind).count();
            assert!(count(9) > 90 && count(8) > 120, "{recipe:?}: {}, {}", count(9), count(8));
        }
    }

    #[test]
    fn a_row_of_squares_is_a_number() {
        let mut row = [0; 16];
        (row[0], row[12], row[14]) = (255, 255, 255);
        assert_eq!(number(&row), Some(2));
        row[14] = 0;
        assert_eq!(number(&row), None, "the parity is wrong");
    }
}
