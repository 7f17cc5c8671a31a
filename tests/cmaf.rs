//! What FFmpeg encodes, taken out of its MP4 by `mp4-atom` and packaged by us, is to FFmpeg, 5.1 and 9, the same again:
//! every packet with its times, every picture and sound decoded, the colours and the shape of pixels.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic with its reason is how a test says no"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use media::config::opus::Head;
use media::{Codec, Format, config};
use mp4_atom::{Codec as Entry, Decode, Moof, Moov};
use packager::cmaf::{self, Sample};
use tests::{Ffmpeg, weir};

const BOTH: [Ffmpeg; 2] = [Ffmpeg::Old, Ffmpeg::New];
/// Samples in one fragment, so that there are several, and the last is another size.
const SAMPLES: usize = 7;

/// Encodes a second of moving pictures, or of sound, to a fragmented MP4 with signed composition offsets.
fn encode(name: &str, input: &str, encoder: &str) -> PathBuf {
    let folder = weir::target().join("test-clips");
    std::fs::create_dir_all(&folder).expect("target can be written");
    let path = folder.join(format!("cmaf-{name}.mp4"));
    let movflags = "frag_keyframe+empty_moov+default_base_moof+negative_cts_offsets+skip_trailer";
    let status = Ffmpeg::Old
        .command()
        .args(["-loglevel", "error", "-f", "lavfi", "-i", input])
        .args(encoder.split(' '))
        .args(["-video_track_timescale", "90000", "-movflags", movflags, "-y"])
        .arg(&path)
        .status()
        .expect("FFmpeg 5.1 runs");
    assert!(status.success(), "{name} is encoded");
    path
}

/// A track as media has it.
struct Track {
    format: Format,
    /// Of the first sample.
    time: u64,
    samples: Vec<Sample>,
}

/// What the box of this type holds.
fn content(file: &Bytes, kind: &[u8; 4]) -> Bytes {
    let at = file.windows(4).position(|four| four == kind).expect("the box is there");
    let len = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    file.slice(at + 4..at + len - 4)
}

/// What a decoder must know of the track, by its sample entry.
fn format(codec: Codec, mut moov: &[u8], file: &Bytes) -> Format {
    let own = match codec {
        Codec::H264 => Some(b"avcC"),
        Codec::H265 => Some(b"hvcC"),
        Codec::Av1 => Some(b"av1C"),
        _ => None,
    };
    if let Some(own) = own {
        return config::format(codec, content(file, own)).unwrap();
    }
    let moov = Moov::decode(&mut moov).unwrap();
    let config = match &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] {
        Entry::Vp09(vp09) => {
            let dimensions = Some((vp09.visual.width, vp09.visual.height));
            return Format { codec, config: Bytes::new(), dimensions, sound: None };
        }
        Entry::Mp4a(mp4a) => {
            mp4a.esds.es_desc.dec_config.dec_specific.as_ref().unwrap().raw.clone().into()
        }
        Entry::Opus(opus) => Head { pre_skip: opus.dops.pre_skip, ..Head::stereo() }.build(),
        entry => panic!("{codec} in {entry:?}"),
    };
    config::format(codec, config).unwrap()
}

/// Takes a fragmented MP4 apart.
fn take_apart(codec: Codec, path: &Path) -> Track {
    let file = Bytes::from(std::fs::read(path).unwrap());
    let (mut found, mut at) = (None, 0);
    let (mut time, mut samples) = (None, Vec::new());
    while at < file.len() {
        let len = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let mut whole = &file[at..at + len];
        match &file[at + 4..at + 8] {
            b"moov" => found = Some(format(codec, whole, &file)),
            b"moof" => {
                let moof = Moof::decode(&mut whole).unwrap();
                time.get_or_insert(moof.traf[0].tfdt.as_ref().unwrap().base_media_decode_time);
                samples.extend(self::samples(&moof, &file, at));
            }
            _ => {}
        }
        at += len;
    }
    Track { format: found.expect("a moov"), time: time.expect("a moof"), samples }
}

fn samples(moof: &Moof, file: &Bytes, moof_at: usize) -> Vec<Sample> {
    let (tfhd, trun) = (&moof.traf[0].tfhd, &moof.traf[0].trun[0]);
    let mut at = moof_at + trun.data_offset.unwrap() as usize;
    let samples = trun.samples.iter().map(|entry| {
        let size = entry.size.or(tfhd.default_sample_size).unwrap() as usize;
        at += size;
        Sample {
            duration: entry.duration.or(tfhd.default_sample_duration).unwrap(),
            composition: entry.cts.unwrap_or(0) as i32,
            keyframe: entry.flags.or(tfhd.default_sample_flags).unwrap() & 0x1_0000 == 0,
            data: file.slice(at - size..at),
        }
    });
    samples.collect()
}

/// Packages it, and puts it beside what it came from.
fn package(track: &Track, from: &Path) -> PathBuf {
    let scale = cmaf::timescale(&track.format);
    let mut out = cmaf::init(&track.format, scale).unwrap().to_vec();
    let mut time = track.time;
    for (sequence, samples) in (1..).zip(track.samples.chunks(SAMPLES)) {
        out.extend(cmaf::fragment(sequence, time, samples));
        time += samples.iter().map(|sample| u64::from(sample.duration)).sum::<u64>();
    }
    let path = from.with_extension("cmaf.mp4");
    std::fs::write(&path, out).unwrap();
    path
}

/// Runs it; it must find nothing to say.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("FFmpeg runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every packet (`copy`) or decoded frame with its times and its digest.
fn frames(ffmpeg: Ffmpeg, path: &Path, copy: bool) -> Vec<String> {
    let mut command = ffmpeg.command();
    command.arg("-i").arg(path);
    if copy {
        command.args(["-c", "copy"]);
    }
    let text = run(command.args(["-f", "framemd5", "-"]));
    // Of the head only what times are counted in.
    let lines = text.lines().filter(|line| !line.starts_with('#') || line.starts_with("#tb"));
    lines.map(str::to_owned).collect()
}

/// What ffprobe says of the stream.
fn probe(path: &Path, entries: &str) -> String {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "warning", "-of", "default=nw=1:nk=1", "-show_entries"]);
    run(command.arg(format!("stream={entries}")).arg(path)).replace('\n', " ").trim().to_owned()
}

fn same_again(codec: Codec, path: &Path) -> (Format, PathBuf) {
    let track = take_apart(codec, path);
    assert!(track.samples.len() > SAMPLES, "{} samples", track.samples.len());
    let packaged = package(&track, path);
    for ffmpeg in BOTH {
        for copy in [true, false] {
            let (before, after) = (frames(ffmpeg, path, copy), frames(ffmpeg, &packaged, copy));
            assert!(before.len() > SAMPLES);
            assert_eq!(before, after, "{codec} by {ffmpeg:?}, copied: {copy}");
        }
    }
    (track.format, packaged)
}

const PICTURES: &str = "testsrc2=s=320x180:r=30000/1001:d=1";
const LOOK: &str = "codec_tag_string,width,height,sample_aspect_ratio,color_range,color_space,\
                    color_transfer,color_primaries";

#[test]
fn h264_with_b_frames_and_pixels_that_are_not_square() {
    let encoder = "-vf setsar=4/3 -c:v libx264 -preset veryfast -bf 3 -g 12 -color_range tv \
                   -color_primaries bt709 -color_trc bt709 -colorspace bt709";
    let path = encode("h264", PICTURES, encoder);
    let (format, packaged) = same_again(Codec::H264, &path);
    assert_eq!(cmaf::codecs(&format).unwrap(), "avc1.64000d");
    let said = probe(&packaged, LOOK);
    assert_eq!(said, "avc1 320 180 4:3 tv bt709 bt709 bt709");
    assert_eq!(said, probe(&path, LOOK));
}

#[test]
fn h265_in_ten_bits_with_wide_colours() {
    let encoder = "-pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -tag:v hvc1 -g 12 \
                   -x265-params log-level=error:bframes=2:colorprim=9:transfer=16:colormatrix=9:range=limited";
    let path = encode("h265", PICTURES, encoder);
    let (format, packaged) = same_again(Codec::H265, &path);
    assert_eq!(cmaf::codecs(&format).unwrap(), "hvc1.2.4.L60.90");
    let said = probe(&packaged, LOOK);
    assert_eq!(said, "hvc1 320 180 1:1 tv bt2020nc smpte2084 bt2020");
}

#[test]
fn av1() {
    let encoder = "-c:v libsvtav1 -preset 12 -g 12 -b:v 300k";
    let path = encode("av1", PICTURES, encoder);
    let (format, packaged) = same_again(Codec::Av1, &path);
    assert_eq!(cmaf::codecs(&format).unwrap(), "av01.0.00M.08");
    assert_eq!(probe(&packaged, "codec_tag_string,width,height"), "av01 320 180");
}

#[test]
fn vp9() {
    let encoder = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 12 -b:v 300k";
    let path = encode("vp9", PICTURES, encoder);
    let (format, packaged) = same_again(Codec::Vp9, &path);
    assert_eq!(cmaf::codecs(&format).unwrap(), "vp09.00.20.08");
    assert_eq!(probe(&packaged, "codec_tag_string,width,height"), "vp09 320 180");
}

const SOUND: &str = "sine=frequency=440:sample_rate=44100:d=1";

#[test]
fn aac() {
    let path = encode("aac", SOUND, "-ac 2 -c:a aac -b:a 96k");
    let (format, packaged) = same_again(Codec::Aac, &path);
    assert_eq!(cmaf::codecs(&format).unwrap(), "mp4a.40.2");
    let said = probe(&packaged, "codec_tag_string,profile,sample_rate,channels,time_base");
    assert_eq!(said, "LC mp4a 44100 2 1/44100");
}

#[test]
fn opus() {
    let path = encode("opus", SOUND, "-ac 2 -c:a libopus -b:a 96k");
    let (format, packaged) = same_again(Codec::Opus, &path);
    assert_eq!(cmaf::codecs(&format).unwrap(), "opus");
    let said = probe(&packaged, "codec_tag_string,sample_rate,channels,time_base,initial_padding");
    assert!(said.starts_with("Opus 48000 2"), "{said}");
}
