//! A reader of HLS playlists (RFC 8216 and draft-pantos-hls-rfc8216bis) that shares nothing with the server: what a text says, tag by tag, for
//! rules to be checked against.

use std::str::FromStr;

/// `NAME=value,NAME="value"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub Vec<(String, String)>);

/// One part, as a media playlist names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// As written.
    pub uri: String,
    /// Seconds.
    pub duration: f64,
    /// `INDEPENDENT=YES`.
    pub independent: bool,
}

/// One segment; without `EXTINF` it is the one that grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Media sequence number.
    pub msn: u64,
    /// As written; empty while it grows.
    pub uri: String,
    /// Seconds.
    pub duration: f64,
    /// `PROGRAM-DATE-TIME`, milliseconds since 1970.
    pub date: Option<i64>,
    /// A `DISCONTINUITY` stands before it.
    pub discontinuity: bool,
    /// `GAP`.
    pub gap: bool,
    /// The `MAP` that holds for it; `None` if it stands above what a delta leaves out.
    pub map: Option<String>,
    /// `BYTERANGE`: length and offset.
    pub range: Option<(u64, u64)>,
    /// In order.
    pub parts: Vec<Part>,
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Playlist {
    /// `TARGETDURATION`.
    pub target: Option<u64>,
    /// `PART-TARGET`.
    pub part_target: Option<f64>,
    /// `SERVER-CONTROL`.
    pub control: Attributes,
    /// `MEDIA-SEQUENCE`.
    pub msn: Option<u64>,
    /// `DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: Option<u64>,
    /// `SKIPPED-SEGMENTS` of a delta.
    pub skipped: u64,
    /// `I-FRAMES-ONLY`.
    pub keyframes: bool,
    /// Whole segments.
    pub segments: Vec<Segment>,
    /// The one that grows, if it has parts.
    pub running: Option<Segment>,
    /// `PRELOAD-HINT`s.
    pub hints: Vec<Attributes>,
    /// `RENDITION-REPORT`s.
    pub reports: Vec<Attributes>,
    /// `ENDLIST`.
    pub ended: bool,
}

/// A multivariant playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Multivariant {
    /// `INDEPENDENT-SEGMENTS`.
    pub independent: bool,
    /// `MEDIA`.
    pub media: Vec<Attributes>,
    /// `STREAM-INF` and the name below it.
    pub variants: Vec<(Attributes, String)>,
    /// `I-FRAME-STREAM-INF`.
    pub keyframes: Vec<Attributes>,
}

impl Attributes {
    /// Reads a list; commas between quotes do not part it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (name, behind) = rest.split_once('=').ok_or_else(|| format!("no = in {rest:?}"))?;
            let (value, after) = match behind.strip_prefix('"') {
                Some(quoted) => {
                    quoted.split_once('"').ok_or_else(|| format!("no end of {quoted:?}"))?
                }
                None => behind.split_at(behind.find(',').unwrap_or(behind.len())),
            };
            all.push((name.to_owned(), value.to_owned()));
            rest = after.strip_prefix(',').unwrap_or(after);
            if !after.is_empty() && !after.starts_with(',') {
                return Err(format!("{after:?} after a value in {text:?}"));
            }
        }
        Ok(Self(all))
    }

    /// The value of an attribute, without quotes.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A value that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok()
    }
}

impl Playlist {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some("#EXTM3U") {
            return Err(format!("it does not begin with #EXTM3U: {:?}", text.get(..40)));
        }
        let mut list = Self::default();
        let mut next = Segment::default();
        for line in lines.filter(|line| !line.is_empty()) {
            if let Some(tag) = line.strip_prefix("#EXT") {
                let (tag, value) = tag.split_once(':').unwrap_or((tag, ""));
                list.tag(&mut next, tag, value).map_err(|e| format!("{line:?}: {e}"))?;
            } else if !line.starts_with('#') {
                next.uri = line.to_owned();
                let map = next.map.clone();
                list.segments.push(std::mem::take(&mut next));
                next.map = map;
            }
        }
        list.running = Some(next).filter(|next| !next.parts.is_empty());
        let first = list.msn.unwrap_or(0) + list.skipped;
        let all = list.segments.iter_mut().chain(&mut list.running);
        all.zip(first..).for_each(|(segment, msn)| segment.msn = msn);
        Ok(list)
    }

    fn tag(&mut self, next: &mut Segment, tag: &str, value: &str) -> Result<(), String> {
        match tag {
            "-X-TARGETDURATION" => self.target = Some(number(value)?),
            "-X-PART-INF" => self.part_target = Attributes::parse(value)?.number("PART-TARGET"),
            "-X-SERVER-CONTROL" => self.control = Attributes::parse(value)?,
            "-X-MEDIA-SEQUENCE" => self.msn = Some(number(value)?),
            "-X-DISCONTINUITY-SEQUENCE" => self.discontinuity_sequence = Some(number(value)?),
            "-X-SKIP" => {
                let skipped = Attributes::parse(value)?;
                self.skipped = number(skipped.get("SKIPPED-SEGMENTS").unwrap_or_default())?;
            }
            "-X-I-FRAMES-ONLY" => self.keyframes = true,
            "-X-PRELOAD-HINT" => self.hints.push(Attributes::parse(value)?),
            "-X-RENDITION-REPORT" => self.reports.push(Attributes::parse(value)?),
            "-X-ENDLIST" => self.ended = true,
            "-X-DISCONTINUITY" => next.discontinuity = true,
            "-X-GAP" => next.gap = true,
            "-X-PROGRAM-DATE-TIME" => next.date = Some(date(value)?),
            "-X-MAP" => next.map = Attributes::parse(value)?.get("URI").map(str::to_owned),
            "-X-BYTERANGE" => {
                let (length, offset) = value.split_once('@').ok_or("no offset")?;
                next.range = Some((number(length)?, number(offset)?));
            }
            "-X-PART" => {
                let part = Attributes::parse(value)?;
                next.parts.push(Part {
                    uri: part.get("URI").ok_or("no URI")?.to_owned(),
                    duration: part.number("DURATION").ok_or("no DURATION")?,
                    independent: part.get("INDEPENDENT") == Some("YES"),
                });
            }
            "INF" => next.duration = number(value.split(',').next().unwrap_or_default())?,
            _ => {}
        }
        Ok(())
    }

    /// Whole segments and the one that grows.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.iter().chain(&self.running)
    }

    /// The part that comes after the last one: segment and part.
    pub fn next(&self) -> (u64, u64) {
        match (&self.running, self.segments.last()) {
            (Some(running), _) => (running.msn, running.parts.len() as u64),
            (None, Some(last)) => (last.msn + 1, 0),
            (None, None) => (self.msn.unwrap_or(0), 0),
        }
    }

    /// It has this segment, or this part of it, or what comes after.
    pub fn has(&self, msn: u64, part: Option<u64>) -> bool {
        let (next, parts) = self.next();
        msn < next || part.is_some_and(|part| msn == next && part < parts)
    }

    /// This delta, put together with what a client had before.
    pub fn over(mut self, before: &Self) -> Result<Self, String> {
        let first = self.msn.unwrap_or(0);
        let wanted = first..first + self.skipped;
        let kept = before.segments.iter().filter(|segment| wanted.contains(&segment.msn)).cloned();
        let mut segments: Vec<Segment> = kept.collect();
        if segments.len() as u64 != self.skipped {
            return Err(format!("{wanted:?} were left out, only {} are known", segments.len()));
        }
        segments.iter_mut().for_each(|segment| segment.parts.clear());
        let mut map = segments.last().and_then(|segment| segment.map.clone());
        segments.append(&mut self.segments);
        for segment in segments.iter_mut().chain(&mut self.running) {
            match &segment.map {
                Some(new) => map = Some(new.clone()),
                None => segment.map.clone_from(&map),
            }
        }
        (self.segments, self.skipped) = (segments, 0);
        Ok(self)
    }
}

impl Multivariant {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut list = Self::default();
        let mut variant = None;
        for line in text.lines() {
            if let Some(value) = line.strip_prefix("#EXT-X-MEDIA:") {
                list.media.push(Attributes::parse(value)?);
            } else if let Some(value) = line.strip_prefix("#EXT-X-STREAM-INF:") {
                variant = Some(Attributes::parse(value)?);
            } else if let Some(value) = line.strip_prefix("#EXT-X-I-FRAME-STREAM-INF:") {
                list.keyframes.push(Attributes::parse(value)?);
            } else if line == "#EXT-X-INDEPENDENT-SEGMENTS" {
                list.independent = true;
            } else if !line.is_empty() && !line.starts_with('#') {
                let variant = variant.take().ok_or_else(|| format!("{line:?} is no variant"))?;
                list.variants.push((variant, line.to_owned()));
            }
        }
        match text.starts_with("#EXTM3U\n") && !list.variants.is_empty() {
            true => Ok(list),
            false => Err(format!("no multivariant playlist: {text:?}")),
        }
    }

    /// The media playlists it names, each once: those of variants, of sound, of keyframes.
    pub fn playlists(&self) -> Vec<String> {
        let variants = self.variants.iter().map(|(_, uri)| uri.as_str());
        let others = self.media.iter().chain(&self.keyframes).filter_map(|list| list.get("URI"));
        let mut all: Vec<String> = Vec::new();
        for uri in variants.chain(others) {
            if !all.iter().any(|known| known == uri) {
                all.push(uri.to_owned());
            }
        }
        all
    }
}

/// A name as it is written in a playlist, against the path of that playlist.
pub fn resolve(playlist: &str, uri: &str) -> String {
    let folder = playlist.split('?').next().unwrap_or_default();
    let folder = folder.rsplit_once('/').map_or("", |(folder, _)| folder);
    match uri {
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => format!("{folder}/{relative}"),
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// `2026-11-21T20:14:18.123Z` in milliseconds since 1970.
fn date(text: &str) -> Result<i64, String> {
    let bad = || format!("{text:?} is no date");
    let (day, time) = text.strip_suffix('Z').and_then(|t| t.split_once('T')).ok_or_else(bad)?;
    let day: Vec<i64> = day.split('-').map(number).collect::<Result<_, _>>()?;
    let time: Vec<f64> = time.split(':').map(number).collect::<Result<_, _>>()?;
    let ([year, month, day], [hour, minute, second]) = (&day[..], &time[..]) else {
        return Err(bad());
    };
    // Days before a month of a year that begins in March.
    let (year, month) = if *month > 2 { (*year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let seconds = hour * 3600.0 + minute * 60.0 + second;
    Ok((days - 719_468) * 86_400_000 + (seconds * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_is_read() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
            #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"a,b.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:18.123Z\n\
            #EXT-X-PART:DURATION=0.5,URI=\"7.0\",INDEPENDENT=YES\n#EXTINF:2.0,\n7.m4s\n#EXT-X-DISCONTINUITY\n\
            #EXT-X-PART:URI=\"8.0\",DURATION=0.25\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.1\"\n";
        let list = Playlist::parse(text).unwrap();
        assert_eq!((list.target, list.part_target, list.msn), (Some(2), Some(0.5), Some(7)));
        let [segment] = &list.segments[..] else { panic!("{list:?}") };
        assert_eq!((segment.msn, segment.map.as_deref()), (7, Some("a,b.mp4")));
        assert_eq!(segment.date, Some(1_795_292_058_123));
        assert!(segment.parts[0].independent);
        let running = list.running.as_ref().unwrap();
        assert!(running.discontinuity && running.map.is_some());
        assert_eq!(
            (list.next(), list.has(8, Some(0)), list.has(8, Some(1))),
            ((8, 1), true, false)
        );
        assert_eq!(list.hints[0].get("URI"), Some("8.1"));
        assert!(Playlist::parse("#EXTM3U\n#EXTINF:x,\n").is_err() && Playlist::parse("x").is_err());
    }

    #[test]
    fn a_delta_goes_over_what_was_there() {
        let head = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:";
        let old =
            format!("{head}1\n#EXT-X-MAP:URI=\"i\"\n#EXTINF:2,\n1\n#EXTINF:2,\n2\n#EXTINF:2,\n3\n");
        let old = Playlist::parse(&old).unwrap();
        let delta = format!("{head}2\n#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF:2,\n4\n");
        let whole = Playlist::parse(&delta).unwrap().over(&old).unwrap();
        let names: Vec<_> = whole.segments.iter().map(|s| (s.msn, s.uri.as_str())).collect();
        assert_eq!(names, [(2, "2"), (3, "3"), (4, "4")]);
        assert!(whole.segments.iter().all(|s| s.map.as_deref() == Some("i")));
        let far = format!("{head}3\n#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF:2,\n5\n");
        assert!(Playlist::parse(&far).unwrap().over(&old).is_err());
    }

    #[test]
    fn names_are_resolved_against_their_playlist() {
        assert_eq!(resolve("/live/x/index.m3u8?a=/b", "e/v0.m3u8"), "/live/x/e/v0.m3u8");
        assert_eq!(resolve("/live/x/e/v0.m3u8", "v0-1.m4s"), "/live/x/e/v0-1.m4s");
    }
}
