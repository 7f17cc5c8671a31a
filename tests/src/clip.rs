//! Short real bitstreams, made once by FFmpeg and kept under `target`: one keyframe at the start
//! and none after it, so that a viewer who sees a picture later got a keyframe that was asked for.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use crate::weir;

/// A video codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264 baseline, no B-frames.
    H264,
    /// VP8.
    Vp8,
    /// VP9 profile 0.
    Vp9,
    /// AV1 main.
    Av1,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::H264, Self::Vp8, Self::Vp9, Self::Av1];

    /// `a=rtpmap` name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
        }
    }

    /// Name in the server's API.
    pub const fn api(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
        }
    }

    /// The payload type under which our clients offer it; one more is its retransmissions.
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Vp8 => 96,
            Self::Vp9 => 98,
            Self::H264 => 102,
            Self::Av1 => 45,
        }
    }

    /// Format parameters that our clients offer.
    pub const fn fmtp(self) -> &'static str {
        match self {
            Self::H264 => "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
            Self::Vp9 => "profile-id=0",
            Self::Av1 => "level-idx=5;profile=0;tier=0",
            Self::Vp8 => "",
        }
    }

    fn encoder(self) -> &'static [&'static str] {
        match self {
            Self::H264 => &[
                "-c:v",
                "libx264",
                "-profile:v",
                "baseline",
                "-preset",
                "ultrafast",
                "-tune",
                "zerolatency",
                "-x264-params",
                "aud=1:scenecut=0:slices=2:keyint=infinite",
                "-f",
                "h264",
            ],
            Self::Vp8 => &[
                "-c:v",
                "libvpx",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-auto-alt-ref",
                "0",
                "-g",
                "9999",
                "-f",
                "ivf",
            ],
            Self::Vp9 => &[
                "-c:v",
                "libvpx-vp9",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-auto-alt-ref",
                "0",
                "-lag-in-frames",
                "0",
                "-g",
                "9999",
                "-f",
                "ivf",
            ],
            Self::Av1 => &[
                "-c:v",
                "libaom-av1",
                "-usage",
                "realtime",
                "-cpu-used",
                "8",
                "-lag-in-frames",
                "0",
                "-g",
                "9999",
                "-f",
                "ivf",
            ],
        }
    }
}

/// A clip of 30 pictures per second.
#[derive(Debug)]
pub struct Clip {
    /// What it is coded with.
    pub codec: Codec,
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
    /// One coded picture each; the first is a keyframe, the others are not.
    pub frames: Vec<Bytes>,
}

/// Pictures per second.
pub const FPS: u32 = 30;

impl Clip {
    /// Eight seconds at this size and bitrate, from the cache where it is there.
    pub fn new(codec: Codec, width: u16, height: u16, kbps: u32) -> Arc<Self> {
        let folder = weir::target().join("test-clips");
        std::fs::create_dir_all(&folder).expect("target can be written");
        let name = format!("{}-{width}x{height}-{kbps}", codec.api());
        let path = folder.join(&name);
        if !path.exists() {
            make(codec, width, height, kbps, &path);
        }
        let bytes = Bytes::from(std::fs::read(&path).expect("the clip was just made"));
        let frames = if codec == Codec::H264 { annexb(&bytes) } else { ivf(&bytes) };
        assert!(frames.len() > 60, "{name} has only {} frames", frames.len());
        Arc::new(Self { codec, width, height, frames })
    }

    /// 320x180, 400 kb/s.
    pub fn small(codec: Codec) -> Arc<Self> {
        Self::new(codec, 320, 180, 400)
    }
}

fn make(codec: Codec, width: u16, height: u16, kbps: u32, path: &PathBuf) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_extension(format!("{}-{number}", std::process::id()));
    let source = format!("testsrc2=size={width}x{height}:rate={FPS}:duration=8");
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-f", "lavfi", "-i"])
        .args([&source, "-pix_fmt", "yuv420p", "-threads", "2", "-b:v", &format!("{kbps}k")])
        .args(codec.encoder())
        .arg(&draft)
        .output()
        .expect("ffmpeg runs (apt-get install ffmpeg)");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    // Another test may make the same clip at this moment: the last one wins, whole either way.
    std::fs::rename(&draft, path).expect("target can be written");
}

/// Frames of an IVF file.
fn ivf(file: &Bytes) -> Vec<Bytes> {
    let mut at = 32;
    let mut frames = Vec::new();
    while at + 12 <= file.len() {
        let size: [u8; 4] = file[at..at + 4].try_into().expect("four bytes");
        let size = u32::from_le_bytes(size) as usize;
        frames.push(file.slice(at + 12..at + 12 + size));
        at += 12 + size;
    }
    frames
}

/// Access units of an Annex B file with access unit delimiters, these taken out.
fn annexb(file: &Bytes) -> Vec<Bytes> {
    let mut starts = Vec::new();
    let mut i = 0;
    while i + 4 < file.len() {
        if file[i..i + 3] == [0, 0, 1] && file[i + 3] & 0x1f == 9 {
            starts.push(if i > 0 && file[i - 1] == 0 { i - 1 } else { i });
        }
        i += 1;
    }
    starts.push(file.len());
    let units = starts.windows(2).map(|w| file.slice(w[0]..w[1]));
    // The delimiter is 6 bytes with its start code: 00 00 00 01 09 f0.
    units.map(|u| u.slice(6..)).collect()
}

/// Writes pictures back into a file that FFmpeg reads, and returns a hash of each picture that it
/// decodes; it must have nothing to complain about.
pub fn decoded(codec: Codec, width: u16, height: u16, pictures: &[Bytes]) -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("weir-test-{}-decode-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut file = Vec::new();
    if codec != Codec::H264 {
        let fourcc: &[u8; 4] = match codec {
            Codec::Vp8 => b"VP80",
            Codec::Vp9 => b"VP90",
            _ => b"AV01",
        };
        file.extend_from_slice(b"DKIF\0\0\x20\0");
        file.extend_from_slice(fourcc);
        file.extend_from_slice(&width.to_le_bytes());
        file.extend_from_slice(&height.to_le_bytes());
        file.extend_from_slice(&FPS.to_le_bytes());
        file.extend_from_slice(&1u32.to_le_bytes());
        file.extend_from_slice(&(pictures.len() as u64).to_le_bytes());
    }
    for (i, picture) in pictures.iter().enumerate() {
        if codec != Codec::H264 {
            file.extend_from_slice(&(picture.len() as u32).to_le_bytes());
            file.extend_from_slice(&(i as u64).to_le_bytes());
        }
        file.extend_from_slice(picture);
    }
    std::fs::write(&path, file).expect("the temporary folder can be written");
    let format = if codec == Codec::H264 { "h264" } else { "ivf" };
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "warning", "-nostdin", "-f", format, "-i"])
        .arg(&path)
        .args(["-fps_mode", "passthrough", "-f", "framehash", "-"])
        .output()
        .expect("ffmpeg runs (apt-get install ffmpeg)");
    let _ = std::fs::remove_file(&path);
    let complaints: String = String::from_utf8_lossy(&output.stderr).chars().take(500).collect();
    assert!(output.status.success() && complaints.trim().is_empty(), "ffmpeg: {complaints}");
    let hashes = String::from_utf8_lossy(&output.stdout);
    let lines = hashes.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    lines.filter_map(|l| Some(l.rsplit_once(',')?.1.trim().to_owned())).collect()
}
