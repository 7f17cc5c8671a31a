//! As much of a Low-Latency HLS playlist as a player needs to ask for the next part (draft-pantos-hls-rfc8216bis
//! sections 4.4 and 6.3): full and delta, without byte ranges.

use anyhow::{Context as _, Result, bail};

/// A part, or what is known of it before it is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its segment's number, and its own in that.
    pub(crate) place: (u64, u64),
    /// As the playlist has it.
    pub(crate) uri: String,
    /// When its media ends, µs since 1970 by EXT-X-PROGRAM-DATE-TIME, where that is said.
    pub(crate) end_us: Option<u64>,
    /// How long it is, µs.
    pub(crate) length_us: u64,
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Playlist {
    /// Those that are listed, in order.
    pub(crate) parts: Vec<Part>,
    /// What comes next.
    pub(crate) next: (u64, u64),
    /// PART-HOLD-BACK, µs.
    pub(crate) hold_back_us: u64,
    /// The newest EXT-X-MAP.
    pub(crate) map: Option<String>,
    /// CAN-SKIP-UNTIL is there.
    pub(crate) can_skip: bool,
    /// EXT-X-ENDLIST.
    pub(crate) ended: bool,
}

impl Playlist {
    /// Reads a media playlist.
    ///
    /// # Errors
    /// If it is none, or not for low latency with parts in files of their own.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if !text.starts_with("#EXTM3U") {
            bail!("no playlist: {text:.60}");
        }
        let mut list = Self::default();
        let (mut msn, mut part, mut at_us, mut blocks) = (0u64, 0u64, None::<u64>, false);
        // Where segments without parts are, their length is on their EXTINF.
        let mut length_us = 0u64;
        for line in text.lines() {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-MEDIA-SEQUENCE" => msn = value.trim().parse().context("media sequence")?,
                "#EXT-X-SKIP" => {
                    let skipped = attribute(value, "SKIPPED-SEGMENTS").context("SKIP")?;
                    msn = msn.saturating_add(skipped.parse().context("SKIPPED-SEGMENTS")?);
                }
                "#EXT-X-SERVER-CONTROL" => {
                    blocks = attribute(value, "CAN-BLOCK-RELOAD") == Some("YES");
                    list.can_skip = attribute(value, "CAN-SKIP-UNTIL").is_some();
                    let hold_back = attribute(value, "PART-HOLD-BACK").and_then(micros);
                    list.hold_back_us = hold_back.context("no PART-HOLD-BACK")?;
                }
                "#EXT-X-MAP" => list.map = attribute(value, "URI").map(str::to_owned),
                "#EXT-X-PROGRAM-DATE-TIME" => at_us = unix_us(value.trim()),
                "#EXT-X-PART" => {
                    if attribute(value, "BYTERANGE").is_some() {
                        bail!("parts that are byte ranges");
                    }
                    let length = attribute(value, "DURATION").and_then(micros);
                    let length = length.context("a part without a duration")?;
                    let uri = attribute(value, "URI").context("a part without a URI")?.to_owned();
                    at_us = at_us.map(|at| at + length);
                    let place = (msn, part);
                    list.parts.push(Part { place, uri, end_us: at_us, length_us: length });
                    part += 1;
                    length_us = 0;
                }
                "#EXTINF" if part == 0 => {
                    let length = value.split(',').next().and_then(micros);
                    length_us = length.context("a segment without a duration")?;
                }
                "#EXT-X-ENDLIST" => list.ended = true,
                _ if line.is_empty() || line.starts_with('#') => {}
                _ => {
                    // The end of a segment.
                    at_us = at_us.map(|at| at + length_us);
                    (msn, part, length_us) = (msn.saturating_add(1), 0, 0);
                }
            }
        }
        if !blocks && !list.ended {
            bail!("no low latency: it cannot be waited for");
        }
        list.next = (msn, part);
        Ok(list)
    }

    /// What has come since `last`, and whether anything between is gone already.
    pub(crate) fn since(&self, last: (u64, u64)) -> (&[Part], bool) {
        let from = self.parts.partition_point(|part| part.place <= last);
        let whole = from > 0 && self.parts[from - 1].place == last;
        (&self.parts[from..], !whole && from < self.parts.len())
    }
}

/// Renditions of a multivariant playlist that one player follows: its first variant, and the sound of that.
///
/// # Errors
/// If it is none.
pub(crate) fn renditions(text: &str) -> Result<Vec<String>> {
    let mut lines = text.lines();
    let variant = lines.by_ref().find_map(|line| line.strip_prefix("#EXT-X-STREAM-INF:"));
    let variant = variant.context("no multivariant playlist")?;
    let uri = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    let mut found = vec![uri.context("a variant without a URI")?.to_owned()];
    if let Some(group) = attribute(variant, "AUDIO") {
        let media = text.lines().filter_map(|line| line.strip_prefix("#EXT-X-MEDIA:"));
        let mut media = media.filter(|media| attribute(media, "GROUP-ID") == Some(group));
        found.extend(media.find_map(|media| attribute(media, "URI").map(str::to_owned)));
    }
    Ok(found)
}

/// The value of an attribute of this name, without its quotes (section 4.2).
fn attribute<'a>(mut list: &'a str, name: &str) -> Option<&'a str> {
    loop {
        let (key, rest) = list.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        if key.trim() == name {
            return Some(value);
        }
        list = rest.strip_prefix(',')?;
    }
}

/// Seconds with a point, in µs.
fn micros(seconds: &str) -> Option<u64> {
    let seconds: f64 = seconds.trim().parse().ok()?;
    (0.0..1e6).contains(&seconds).then(|| (seconds * 1e6).round() as u64)
}

/// A moment as RFC 3339 has it, in µs since 1970.
fn unix_us(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, zone) = match time.find(['Z', '+']).or_else(|| time.rfind('-')) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let mut clock = clock.splitn(3, ':');
    let hours: i64 = clock.next()?.parse().ok()?;
    let minutes: i64 = clock.next()?.parse().ok()?;
    let micros = micros(clock.next()?)?;
    let zone_minutes = match zone.split_at_checked(1)? {
        ("Z", _) => 0,
        (sign, offset) => {
            let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
            let offset: i64 = digits.parse().ok()?;
            let minutes = offset / 100 * 60 + offset % 100;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    // Days since 1970 of a date in the Gregorian calendar, years beginning in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let seconds = days * 86_400 + hours * 3600 + (minutes - zone_minutes) * 60;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=0.7\n\
        #EXT-X-PART-INF:PART-TARGET=0.23\n#EXT-X-MEDIA-SEQUENCE:266\n#EXT-X-MAP:URI=\"v0-1.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-02-14T02:13:36.106Z\n#EXTINF:4.00008,\nv0-266.m4s\n\
        #EXT-X-PART:DURATION=0.2,URI=\"v0-267.0.m4s\",INDEPENDENT=YES\n\
        #EXT-X-PART:DURATION=0.21,URI=\"v0-267.1.m4s\"\n#EXTINF:0.41,\nv0-267.m4s\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-02-14T03:13:40.6+01:00\n\
        #EXT-X-PART:DURATION=0.2,INDEPENDENT=YES,URI=\"v0-268.0.m4s\"\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v0-268.1.m4s\"\n\
        #EXT-X-RENDITION-REPORT:URI=\"a0.m3u8\",LAST-MSN=268,LAST-PART=0\n";

    #[test]
    fn what_a_player_needs() {
        let list = Playlist::parse(LIST).unwrap();
        assert_eq!((list.next, list.hold_back_us, list.can_skip), ((268, 1), 700_000, true));
        assert_eq!(list.map.as_deref(), Some("v0-1.mp4"));
        let places: Vec<_> = list.parts.iter().map(|part| part.place).collect();
        assert_eq!(places, [(267, 0), (267, 1), (268, 0)]);
        let from = 1_771_035_216_106_000;
        let ends: Vec<_> = list.parts.iter().map(|part| part.end_us.unwrap() - from).collect();
        assert_eq!(ends, [4_200_080, 4_410_080, 4_694_000]);
        assert_eq!(list.parts[2].uri, "v0-268.0.m4s");
    }

    #[test]
    fn what_is_new_since() {
        let list = Playlist::parse(LIST).unwrap();
        let since = |msn, part| {
            let (parts, gap) = list.since((msn, part));
            (parts.len(), gap)
        };
        assert_eq!(since(267, 0), (2, false));
        assert_eq!(since(267, 1), (1, false));
        assert_eq!(since(268, 0), (0, false));
        assert_eq!(since(266, 9), (3, true), "what came between is not listed");
    }

    #[test]
    fn a_delta() {
        let delta = LIST.replace("#EXT-X-MAP", "#EXT-X-SKIP:SKIPPED-SEGMENTS=4\n#EXT-X-MAP");
        assert_eq!(Playlist::parse(&delta).unwrap().next, (272, 1));
    }

    #[test]
    fn what_is_no_playlist_or_not_for_low_latency() {
        for text in [
            "<html>",
            "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x\n",
            "#EXTM3U\n#EXTINF:4,\na.ts\n",
            &LIST.replace("DURATION=0.21,", ""),
            &LIST.replace("DURATION=0.21", "DURATION=0.21,BYTERANGE=\"1@2\""),
        ] {
            assert!(Playlist::parse(text).is_err(), "{text}");
        }
        assert!(Playlist::parse("#EXTM3U\n#EXT-X-ENDLIST\n").unwrap().ended);
    }

    #[test]
    fn the_first_variant_and_its_sound() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"x, y\",URI=\"e/a1.m3u8\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"opus\",NAME=\"x\",URI=\"e/a0.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.64001f,opus\",AUDIO=\"opus\"\ne/v0.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"aac\"\ne/v0.m3u8\n";
        assert_eq!(renditions(text).unwrap(), ["e/v0.m3u8", "e/a0.m3u8"]);
        assert_eq!(
            renditions("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n").unwrap(),
            ["v.m3u8"]
        );
        assert!(renditions("#EXTM3U\n").is_err());
    }
}
