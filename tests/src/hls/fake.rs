//! A recording of a server that does everything right, made up: for tests that break one thing of it each.

use std::fmt::Write as _;
use std::time::Duration;

use super::client::Exchange;
use super::watch::{Probe, Recording, Rendition};

/// Segments of two seconds, of four parts each; so many are there in the end.
const SEGMENTS: u64 = 14;
const PARTS: u64 = 4;
const WINDOW: u64 = 8;
/// Another encoding begins with it.
const CUT: u64 = 6;
/// 2026-11-21T20:14:00Z.
const SECOND: u64 = 0;

/// The kinds of media playlists: their names, and how many ticks a second has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pictures,
    Sound,
    Keyframes,
}

pub(super) fn recording() -> Recording {
    let all = [Kind::Pictures, Kind::Sound, Kind::Keyframes];
    Recording {
        multivariant: vec![multivariant(), multivariant()],
        renditions: all.map(rendition).into(),
        probes: probes(),
    }
}

/// What comes after [`recording`] when the publisher has been lost and the stream is over.
pub(super) fn ended() -> Recording {
    let mut recording = recording();
    for rendition in &mut recording.renditions {
        let last = rendition.reloads.last().expect("it has been reloaded");
        let text: String = last.text().lines().filter(|line| !line.contains("HINT")).fold(
            String::new(),
            |mut text, line| {
                let _ = writeln!(text, "{line}");
                text
            },
        );
        let text = format!("{text}#EXT-X-ENDLIST\n");
        // A client that asks at the end asks for all of it.
        let whole = if text.contains("#EXT-X-SKIP") { full(rendition) } else { text };
        rendition.reloads.push(answer(&rendition.path, 200, "max-age=1", whole.as_bytes()));
        for query in ["_HLS_msn=99999&_HLS_part=3", "_HLS_part=1"] {
            let path = format!("{}?{query}", rendition.path);
            let ended = answer(&path, 200, "max-age=12", whole.as_bytes());
            recording.probes.push((Probe::Ended, ended));
        }
    }
    let mut never = answer("/live/x/e/v0.m3u8?_HLS_msn=15&_HLS_part=1", 503, "no-store", b"");
    (never.head, never.whole) = (Duration::from_secs(6), Duration::from_secs(6));
    recording.probes.push((Probe::Never, never));
    recording
}

fn full(rendition: &Rendition) -> String {
    let kind = match rendition.path.as_str() {
        path if path.contains("iframes") => Kind::Keyframes,
        path if path.contains("v0") => Kind::Pictures,
        _ => Kind::Sound,
    };
    let text = kind.text(SEGMENTS, 0, false);
    let text: String =
        text.lines().filter(|l| !l.contains("HINT")).map(|l| format!("{l}\n")).collect();
    text + "#EXT-X-ENDLIST\n"
}

pub(super) fn answer(path: &str, status: u16, cache: &str, body: &[u8]) -> Exchange {
    let name = path.split('?').next().unwrap_or_default();
    let media = if name.ends_with("m3u8") { "application/vnd.apple.mpegurl" } else { "video/mp4" };
    let headers = [
        ("cache-control", cache),
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "Age, Date"),
        ("content-type", media),
    ];
    Exchange {
        path: path.to_owned(),
        at: Duration::ZERO,
        head: Duration::from_millis(100),
        whole: Duration::from_millis(101),
        status,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: body.to_vec(),
    }
}

fn multivariant() -> Exchange {
    let text = "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"opus\",NAME=\"Audio\",LANGUAGE=\"und\",URI=\"e/a0.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=BITS,AVERAGE-BANDWIDTH=BITS,CODECS=\"avc1.42e01f,opus\",RESOLUTION=320x180,\
        FRAME-RATE=10.000,AUDIO=\"opus\",CLOSED-CAPTIONS=NONE\ne/v0.m3u8\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=500,CODECS=\"avc1.42e01f\",URI=\"e/v0-iframes.m3u8\"\n";
    let bytes = (Kind::Pictures.segment(1).len() + Kind::Sound.segment(1).len()) * 4;
    let text = text.replace("BITS", &bytes.to_string());
    answer("/live/x/index.m3u8", 200, "max-age=1", text.as_bytes())
}

fn rendition(kind: Kind) -> Rendition {
    let path = format!("/live/x/e/{}.m3u8", kind.name());
    let mut reloads = vec![answer(&path, 200, "max-age=1", kind.text(2, 0, false).as_bytes())];
    let steps = (2..SEGMENTS).flat_map(|whole| (1..=PARTS).map(move |parts| (whole, parts)));
    for (number, (whole, parts)) in steps.enumerate() {
        let (msn, part) = (whole + 1, parts - 1);
        if kind == Kind::Keyframes && parts < PARTS {
            continue;
        }
        let skip = number % 3 > 0;
        let part =
            if kind == Kind::Keyframes { String::new() } else { format!("&_HLS_part={part}") };
        let query = format!("_HLS_msn={msn}{part}{}", if skip { "&_HLS_skip=YES" } else { "" });
        let text = kind.text(whole + parts / PARTS, parts % PARTS, skip);
        reloads.push(answer(&format!("{path}?{query}"), 200, "max-age=12", text.as_bytes()));
    }
    let mut media = Vec::new();
    let mut file = |name: String, bytes: Vec<u8>| {
        let path = format!("/live/x/e/{name}");
        media.push(answer(&path, 200, "public, max-age=604800, immutable", &bytes));
    };
    let name = if kind == Kind::Sound { "a0" } else { "v0" };
    (0..2).for_each(|number| file(format!("{name}-{number}.mp4"), kind.init()));
    for msn in 1..=SEGMENTS {
        (0..PARTS).for_each(|part| file(format!("{name}-{msn}.{part}.m4s"), kind.part(msn, part)));
        file(format!("{name}-{msn}.m4s"), kind.segment(msn));
    }
    Rendition { path, reloads, media }
}

fn probes() -> Vec<(Probe, Exchange)> {
    let path = "/live/x/e/v0.m3u8";
    let list = |query: &str, whole, parts| {
        let text = Kind::Pictures.text(whole, parts, false);
        answer(&format!("{path}?{query}"), 200, "max-age=12", text.as_bytes())
    };
    let refused = |query: &str| answer(&format!("{path}?{query}"), 400, "no-store", b"no");
    let file = "/live/x/e/v0-9.m4s";
    let bytes = Kind::Pictures.segment(9);
    let of = |status, slice: &[u8], range: &str| {
        let mut answer = answer(file, status, "max-age=604800, immutable", slice);
        if status == 416 {
            answer = self::answer(file, status, "no-store", slice);
        }
        answer.headers.push(("content-range".into(), range.into()));
        answer
    };
    let len = bytes.len();
    let mut gzip = list("", 9, 1);
    gzip.headers.push(("content-encoding".into(), "gzip".into()));
    gzip.headers.push(("vary".into(), "Accept-Encoding".into()));
    let mut old = list("_HLS_msn=0", 9, 1);
    old.head = Duration::from_millis(5);
    vec![
        (Probe::Refused, refused("_HLS_part=1")),
        (Probe::FarSegment, refused("_HLS_msn=99")),
        (Probe::FarPart, refused("_HLS_msn=9&_HLS_part=1000")),
        (Probe::PastLast, list("_HLS_msn=8&_HLS_part=4", 8, 1)),
        (Probe::Whole, list("_HLS_msn=9", 9, 0)),
        (Probe::Old, old),
        (Probe::Missing, answer("/live/x/e/v0-999.m4s", 404, "no-store", b"")),
        (Probe::Range, of(206, &bytes[10..20], &format!("bytes 10-19/{len}"))),
        (
            Probe::Suffix,
            of(206, &bytes[len - 5..], &format!("bytes {}-{}/{len}", len - 5, len - 1)),
        ),
        (Probe::Beyond, of(416, b"", &format!("bytes */{len}"))),
        (Probe::Entire, of(200, &bytes, "")),
        (Probe::Gzip, gzip),
        (Probe::Http2, answer("PRI *", 200, "", b"")),
        (Probe::Again, of(200, &bytes, "")),
    ]
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Pictures => "v0",
            Self::Sound => "a0",
            Self::Keyframes => "v0-iframes",
        }
    }

    fn text(self, whole: u64, parts: u64, skip: bool) -> String {
        let first = whole.saturating_sub(WINDOW) + 1;
        let gone = u64::from(first > CUT);
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,\
             CAN-SKIP-UNTIL=12.0,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=1.5\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
             #EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{gone}\n"
        );
        if self == Self::Keyframes {
            text += "#EXT-X-I-FRAMES-ONLY\n";
        }
        let skipped = if skip { (whole - first + 1).saturating_sub(7) } else { 0 };
        if skipped > 0 {
            let _ = writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
        }
        let running = u64::from(parts > 0 && self != Self::Keyframes);
        for msn in first + skipped..=whole + running {
            let named = if msn > whole { parts } else { PARTS };
            let named = if msn + 2 >= whole { named } else { 0 };
            self.write(&mut text, msn, named, msn == first, msn <= whole);
        }
        if self != Self::Keyframes {
            let other = if self == Self::Pictures { "a0" } else { "v0" };
            let name = self.name();
            let _ = write!(
                text,
                "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{name}-{}.{parts}.m4s\"\n\
                 #EXT-X-RENDITION-REPORT:URI=\"{other}.m3u8\",LAST-MSN={whole},LAST-PART=3\n",
                whole + 1
            );
        }
        text
    }

    fn write(self, text: &mut String, msn: u64, parts: u64, first: bool, whole: bool) {
        let name = if self == Self::Sound { "a0" } else { "v0" };
        if msn == CUT {
            *text += "#EXT-X-DISCONTINUITY\n";
        }
        if first || msn == CUT {
            let _ = writeln!(text, "#EXT-X-MAP:URI=\"{name}-{}.mp4\"", u64::from(msn >= CUT));
        }
        let second = SECOND + 2 * (msn - 1);
        let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:{second:02}.000Z");
        for part in (0..parts).filter(|_| self != Self::Keyframes) {
            let independent = part == 0 || self == Self::Sound;
            let independent = if independent { ",INDEPENDENT=YES" } else { "" };
            let _ = writeln!(
                text,
                "#EXT-X-PART:DURATION=0.5,URI=\"{name}-{msn}.{part}.m4s\"{independent}"
            );
        }
        if whole {
            *text += "#EXTINF:2.0,\n";
            if self == Self::Keyframes {
                let _ = writeln!(text, "#EXT-X-BYTERANGE:{}@0", self.keyframe());
            }
            let _ = writeln!(text, "{name}-{msn}.m4s");
        }
    }

    /// To the end of the first sample.
    fn keyframe(self) -> usize {
        let part = self.part(1, 0);
        part.len() - 4 * 5
    }

    fn init(self) -> Vec<u8> {
        let (scale, handler, entry) = match self {
            Self::Sound => (48_000u32, b"soun", boxed(b"Opus", &[0; 28])),
            _ => {
                let mut body = vec![0; 78];
                body[24..28]
                    .copy_from_slice(&[320u16.to_be_bytes(), 180u16.to_be_bytes()].concat());
                body.extend(boxed(b"avcC", &[1, 0x42, 0xe0, 0x1f, 0xff]));
                (90_000, b"vide", boxed(b"avc1", &body))
            }
        };
        let mdhd = [&[0; 12][..], &scale.to_be_bytes(), &[0; 8]].concat();
        let stsd = boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &entry].concat());
        let minf = boxed(b"minf", &boxed(b"stbl", &stsd));
        let hdlr = boxed(b"hdlr", &[&[0; 8][..], handler, &[0; 13]].concat());
        let mdia = boxed(b"mdia", &[boxed(b"mdhd", &mdhd), hdlr, minf].concat());
        let moov = [boxed(b"trak", &mdia), boxed(b"mvex", &[])].concat();
        [boxed(b"ftyp", b"cmfc"), boxed(b"moov", &moov)].concat()
    }

    fn part(self, msn: u64, part: u64) -> Vec<u8> {
        let number = (msn - 1) * PARTS + part;
        let (base, duration, count) = match self {
            Self::Sound => (number * 24_000, 960u32, 25u32),
            _ => (number * 45_000, 9_000, 5),
        };
        let key = |at| self == Self::Sound || (part == 0 && at == 0);
        // A NAL unit of one or two bytes behind its length.
        let sample =
            |at: u32| if key(at) { &[0, 0, 0, 1, 0x65][..] } else { &[0, 0, 0, 1, 0x41][..] };
        let tfhd = boxed(b"tfhd", &[0x02_0000u32.to_be_bytes(), 1u32.to_be_bytes()].concat());
        let tfdt = boxed(b"tfdt", &[&[1, 0, 0, 0][..], &base.to_be_bytes()].concat());
        let trun = |offset: u32| {
            let mut body = [0x0100_0f01u32, count, offset].map(u32::to_be_bytes).concat();
            for at in 0..count {
                let flags = if key(at) { 0x0200_0000 } else { 0x0101_0000 };
                body.extend(
                    [duration, sample(at).len() as u32, flags, 0].map(u32::to_be_bytes).concat(),
                );
            }
            boxed(b"trun", &body)
        };
        let moof = |offset| {
            let traf = boxed(b"traf", &[tfhd.clone(), tfdt.clone(), trun(offset)].concat());
            boxed(b"moof", &[boxed(b"mfhd", &[0; 8]), traf].concat())
        };
        let data: Vec<u8> = (0..count).flat_map(sample).copied().collect();
        let head = moof(moof(0).len() as u32 + 8);
        [head, boxed(b"mdat", &data)].concat()
    }

    fn segment(self, msn: u64) -> Vec<u8> {
        (0..PARTS).flat_map(|part| self.part(msn, part)).collect()
    }
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}
