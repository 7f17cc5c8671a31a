//! Reading an offer, line by line (RFC 8866 section 9, RFC 8829 section 5.8).

use media::EncodingId;

use super::{
    Direction, Error, Extmap, Feedback, Format, MAX_EXTMAPS, MAX_MID, MAX_PAYLOADS, MAX_RIDS,
    MAX_SECTIONS, MAX_SSRCS, MAX_TEXT, Offer, Section, SectionKind, Setup, Transport, is_rtp,
};
use crate::agreement::{Extension, Fingerprint, Ssrcs};

/// One line and its number, to say in an error where we are.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    pub(super) fn refuse(self, why: &'static str) -> Error {
        let text = self.text.chars().take(80).collect();
        Error::Line { number: self.number, text, why }
    }

    /// `x=value`: the letter and the value.
    fn split(self) -> Result<(u8, &'a str), Error> {
        match self.text.as_bytes() {
            [letter, b'=', ..] if letter.is_ascii_alphabetic() => Ok((*letter, &self.text[2..])),
            _ => Err(self.refuse("not a line of SDP, which is a letter, '=' and a value")),
        }
    }
}

/// The lines of a text that are not empty, each split into letter and value. LF alone will do.
pub(super) fn lines(
    text: &str,
) -> Result<impl Iterator<Item = Result<(Line<'_>, u8, &str), Error>>, Error> {
    if text.len() > MAX_TEXT {
        return Err(Error::TooLong(text.len()));
    }
    let numbered = text.split('\n').enumerate();
    let lines = numbered.map(|(i, text)| Line { number: i + 1, text: text.trim_end() });
    Ok(lines.filter(|l| !l.text.is_empty()).map(|line| {
        // What we echo in an answer must not be able to start a line of its own.
        if line.text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(line.refuse("it holds a control character"));
        }
        let (letter, value) = line.split()?;
        Ok((line, letter, value))
    }))
}

/// `name:value` or `name` alone.
pub(super) fn attribute(value: &str) -> (&str, &str) {
    let (name, value) = value.split_once(':').unwrap_or((value, ""));
    (name, value.trim())
}

pub(super) fn offer(text: &str) -> Result<Offer, Error> {
    let mut parser = Parser::default();
    let mut first = true;
    for line in lines(text)? {
        let (line, letter, value) = line?;
        if std::mem::take(&mut first) && (letter, value) != (b'v', "0") {
            return Err(line.refuse("SDP begins with v=0"));
        }
        match letter {
            b'm' => parser.section(line, value)?,
            b'a' => {
                let (name, value) = attribute(value);
                parser.attribute(line, name, value)?;
            }
            _ => {}
        }
    }
    if first {
        return Err(Error::Empty);
    }
    parser.finish()
}

#[derive(Default)]
struct Parser {
    bundles: Vec<Vec<String>>,
    transport: Transport,
    direction: Direction,
    extmaps: Vec<Extmap>,
    sections: Vec<Section>,
    /// Where each m-line stands, and the SSRCs that only repair others.
    notes: Vec<Notes>,
}

struct Notes {
    number: usize,
    repair: Vec<u32>,
}

impl Parser {
    fn section(&mut self, line: Line<'_>, value: &str) -> Result<(), Error> {
        if self.sections.len() == MAX_SECTIONS {
            return Err(line.refuse("more m-lines than we take"));
        }
        let mut words = value.split_ascii_whitespace();
        let mut word = || words.next().ok_or_else(|| line.refuse("an m-line has four parts"));
        let (kind, port, protocol) = (word()?, word()?, word()?);
        let port = port.split('/').next().and_then(|p| p.parse().ok());
        let port = port.ok_or_else(|| line.refuse("the port is not a number"))?;
        let list: Vec<&str> = words.collect();
        if list.is_empty() {
            return Err(line.refuse("an m-line has four parts"));
        }
        let kind = match kind {
            "audio" => SectionKind::Audio,
            "video" => SectionKind::Video,
            other => SectionKind::Other(other.to_owned()),
        };
        let rtp = is_rtp(protocol) && kind.media().is_some();
        let formats = if rtp { formats(line, &list)? } else { Vec::new() };
        self.sections.push(Section {
            kind,
            port,
            protocol: protocol.to_owned(),
            format_list: list.join(" "),
            mid: String::new(),
            has_mid: false,
            direction: self.direction,
            formats,
            extmaps: self.extmaps.clone(),
            send_rids: Vec::new(),
            simulcast: Vec::new(),
            ssrcs: Vec::new(),
            streams: Vec::new(),
            rtcp_mux: false,
            rtcp_rsize: false,
            bundle_only: false,
            transport: Transport::default(),
        });
        self.notes.push(Notes { number: line.number, repair: Vec::new() });
        Ok(())
    }

    fn attribute(&mut self, line: Line<'_>, name: &str, value: &str) -> Result<(), Error> {
        let transport = match self.sections.last_mut() {
            Some(section) => &mut section.transport,
            None => &mut self.transport,
        };
        if transport_attribute(transport, line, name, value)? {
            return Ok(());
        }
        let (Some(section), Some(notes)) = (self.sections.last_mut(), self.notes.last_mut()) else {
            return self.session_attribute(line, name, value);
        };
        match name {
            "mid" => {
                section.mid = mid(line, value)?;
                section.has_mid = true;
                let (last, others) = self.sections.split_last().expect("just borrowed");
                if others.iter().any(|s| s.has_mid && s.mid == last.mid) {
                    return Err(line.refuse("two m-lines have this mid"));
                }
            }
            "rtpmap" => rtpmap(section, line, value)?,
            "fmtp" => fmtp(section, value),
            "rtcp-fb" => rtcp_fb(section, value),
            "extmap" => extmap(&mut section.extmaps, line, value)?,
            "rid" => rid(section, line, value)?,
            "simulcast" => simulcast(section, line, value)?,
            "ssrc" => ssrc(section, line, value)?,
            "ssrc-group" => ssrc_group(section, notes, line, value)?,
            "msid" => msid(section, value),
            "rtcp-mux" => section.rtcp_mux = true,
            "rtcp-rsize" => section.rtcp_rsize = true,
            "bundle-only" => section.bundle_only = true,
            _ => {
                if let Some(direction) = Direction::from_name(name) {
                    section.direction = direction;
                }
            }
        }
        Ok(())
    }

    fn session_attribute(&mut self, line: Line<'_>, name: &str, value: &str) -> Result<(), Error> {
        match name {
            "group" => {
                let mut words = value.split_ascii_whitespace();
                if words.next() == Some("BUNDLE") {
                    if self.bundles.len() == MAX_SECTIONS {
                        return Err(line.refuse("more groups than we take"));
                    }
                    let mids: Vec<String> =
                        words.take(MAX_SECTIONS + 1).map(str::to_owned).collect();
                    if mids.len() > MAX_SECTIONS {
                        return Err(line.refuse("more mids than we take m-lines"));
                    }
                    self.bundles.push(mids);
                }
            }
            "extmap" => extmap(&mut self.extmaps, line, value)?,
            _ => {
                if let Some(direction) = Direction::from_name(name) {
                    self.direction = direction;
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Offer, Error> {
        for (i, notes) in self.notes.iter().enumerate() {
            let section = &mut self.sections[i];
            section.ssrcs.retain(|s| !notes.repair.contains(&s.main));
            let (own, session) = (&mut section.transport, &self.transport);
            // A user fragment without its password, or the reverse, is not filled up from elsewhere.
            if own.ufrag.is_none() && own.pwd.is_none() {
                own.ufrag.clone_from(&session.ufrag);
                own.pwd.clone_from(&session.pwd);
            }
            if own.fingerprint.is_none() {
                own.fingerprint.clone_from(&session.fingerprint);
            }
            own.setup = own.setup.or(session.setup);
            if !section.has_mid {
                section.mid = i.to_string();
                let index = section.mid.clone();
                if self.sections.iter().any(|s| s.has_mid && s.mid == index) {
                    let what = "a=mid, which other m-lines have,";
                    return Err(Error::Missing { what, section: format!("m-line {}", i + 1) });
                }
            }
        }
        let offer = Offer { bundles: self.bundles, sections: self.sections };
        shared_payload_types(&offer, &self.notes)?;
        Ok(offer)
    }
}

/// Audio and video travel on one transport, where a payload type tells them apart (RFC 8843
/// section 9.1). Two m-lines of the same kind may share types; they are refused later.
fn shared_payload_types(offer: &Offer, notes: &[Notes]) -> Result<(), Error> {
    let mut owner: [Option<&SectionKind>; 128] = [None; 128];
    for (section, notes) in offer.sections.iter().zip(notes).filter(|(s, _)| s.enabled()) {
        for format in &section.formats {
            let slot = &mut owner[usize::from(format.pt & 0x7f)];
            if slot.is_some_and(|kind| *kind != section.kind) {
                let text = format!("{} {}", section.kind.name(), format.pt);
                let why = "audio and video use the same payload type";
                return Err(Error::Line { number: notes.number, text, why });
            }
            *slot = Some(&section.kind);
        }
    }
    Ok(())
}

fn msid(section: &mut Section, value: &str) {
    // More than one stream is too many, whatever the others are.
    const ENOUGH: usize = 2;
    let id = value.split_ascii_whitespace().next().filter(|id| *id != "-");
    let known = |id: &&str| section.streams.iter().any(|s| s == id);
    if let Some(id) = id.filter(|id| section.streams.len() < ENOUGH && !known(id)) {
        section.streams.push(id.to_owned());
    }
}

fn formats(line: Line<'_>, list: &[&str]) -> Result<Vec<Format>, Error> {
    if list.len() > MAX_PAYLOADS {
        return Err(line.refuse("more payload types than there are"));
    }
    let mut formats: Vec<Format> = Vec::with_capacity(list.len());
    for word in list {
        let pt = payload_type(word).ok_or_else(|| line.refuse("payload types are 0 to 127"))?;
        if formats.iter().any(|f| f.pt == pt) {
            return Err(line.refuse("a payload type is listed twice"));
        }
        formats.push(Format {
            pt,
            name: String::new(),
            clock: 0,
            channels: None,
            fmtp: String::new(),
            feedback: Vec::new(),
        });
    }
    Ok(formats)
}

fn payload_type(word: &str) -> Option<u8> {
    word.parse().ok().filter(|pt| *pt < 128)
}

/// True if the attribute was one of these.
pub(super) fn transport_attribute(
    transport: &mut Transport,
    line: Line<'_>,
    name: &str,
    value: &str,
) -> Result<bool, Error> {
    match name {
        "ice-ufrag" => {
            let why = "an ICE user fragment is 4 to 256 letters, digits, '+' or '/'";
            transport.ufrag = Some(ice_chars(value, 4).ok_or_else(|| line.refuse(why))?);
        }
        "ice-pwd" => {
            // The error must not repeat the password.
            let line = Line { text: "a=ice-pwd", ..line };
            let why = "an ICE password is 22 to 256 letters, digits, '+' or '/'";
            transport.pwd = Some(ice_chars(value, 22).ok_or_else(|| line.refuse(why))?);
        }
        "fingerprint" => {
            if let Some(fingerprint) = fingerprint(line, value)? {
                transport.fingerprint.get_or_insert(fingerprint);
            }
        }
        "setup" => {
            transport.setup = Some(match value {
                "actpass" => Setup::ActPass,
                "active" => Setup::Active,
                "passive" => Setup::Passive,
                _ => return Err(line.refuse("setup is actpass, active or passive")),
            });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// RFC 8839 section 5.4 allows letters, digits, '+' and '/'; base64's other signs are met as well.
fn ice_chars(value: &str, least: usize) -> Option<String> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"+/-_=".contains(&b);
    ((least..=256).contains(&value.len()) && value.bytes().all(ok)).then(|| value.to_owned())
}

/// Bytes of a SHA-256 digest.
const SHA256_LENGTH: usize = 32;

/// `None` for every hash function but SHA-256 (RFC 8122 section 5): all clients use it, and the
/// transport checks no other.
fn fingerprint(line: Line<'_>, value: &str) -> Result<Option<Fingerprint>, Error> {
    let mut words = value.split_ascii_whitespace();
    let (Some(algorithm), Some(hex)) = (words.next(), words.next()) else {
        return Err(line.refuse("a fingerprint is a hash function and a digest"));
    };
    let algorithm = algorithm.to_ascii_lowercase();
    if algorithm != "sha-256" {
        return Ok(None);
    }
    let byte = |pair: &str| {
        let hex = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
    };
    match hex.split(':').map(byte).collect::<Option<Vec<u8>>>() {
        Some(digest) if digest.len() == SHA256_LENGTH => {
            Ok(Some(Fingerprint { algorithm, digest }))
        }
        Some(_) => Err(line.refuse("the digest has the wrong length for its hash function")),
        None => Err(line.refuse("the digest is not pairs of hex digits between colons")),
    }
}

fn mid(line: Line<'_>, value: &str) -> Result<String, Error> {
    let ok = |b: u8| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]".contains(&b);
    if value.is_empty() || value.len() > MAX_MID || !value.bytes().all(ok) {
        return Err(line.refuse("a mid is 1 to 16 bytes of a token"));
    }
    Ok(value.to_owned())
}

/// The format that `value` is about and the rest of the line; `None` if the m-line does not list it.
fn about<'s, 'v>(section: &'s mut Section, value: &'v str) -> Option<(&'s mut Format, &'v str)> {
    let (pt, rest) = value.split_once(char::is_whitespace)?;
    let pt = payload_type(pt)?;
    Some((section.formats.iter_mut().find(|f| f.pt == pt)?, rest.trim()))
}

fn rtpmap(section: &mut Section, line: Line<'_>, value: &str) -> Result<(), Error> {
    let Some((format, rest)) = about(section, value) else { return Ok(()) };
    let mut parts = rest.split('/');
    let (Some(name), Some(clock)) = (parts.next(), parts.next()) else {
        return Err(line.refuse("an rtpmap is a name, a slash and a clock rate"));
    };
    format.clock = clock.parse().map_err(|_| line.refuse("the clock rate is not a number"))?;
    format.channels = match parts.next() {
        Some(n) => Some(n.parse().map_err(|_| line.refuse("the channels are not a number"))?),
        None => None,
    };
    name.clone_into(&mut format.name);
    Ok(())
}

fn fmtp(section: &mut Section, value: &str) {
    if let Some((format, rest)) = about(section, value) {
        rest.clone_into(&mut format.fmtp);
    }
}

fn rtcp_fb(section: &mut Section, value: &str) {
    let Some((pt, rest)) = value.split_once(char::is_whitespace) else { return };
    let mut words = rest.split_ascii_whitespace();
    let feedback = match (words.next(), words.next()) {
        (Some("nack"), None) => Feedback::Nack,
        (Some("nack"), Some("pli")) => Feedback::Pli,
        (Some("ccm"), Some("fir")) => Feedback::Fir,
        (Some("transport-cc"), None) => Feedback::TransportCc,
        _ => return,
    };
    let pt = if pt == "*" { None } else { Some(payload_type(pt)) };
    for format in section.formats.iter_mut().filter(|f| pt.is_none_or(|pt| pt == Some(f.pt))) {
        if !format.feedback.contains(&feedback) {
            format.feedback.push(feedback);
        }
    }
}

/// `id[/direction] uri [attributes]` (RFC 8285 section 8). The first one of an id or URI counts.
fn extmap(extmaps: &mut Vec<Extmap>, line: Line<'_>, value: &str) -> Result<(), Error> {
    let mut words = value.split_ascii_whitespace();
    let (Some(id), Some(uri)) = (words.next(), words.next()) else {
        return Err(line.refuse("an extmap is an id and a URI"));
    };
    let (id, direction) = match id.split_once('/') {
        Some((id, direction)) => {
            let known = Direction::from_name(direction);
            (id, Some(known.ok_or_else(|| line.refuse("an unknown direction"))?))
        }
        None => (id, None),
    };
    let id = id.parse().map_err(|_| line.refuse("the id is not a number"))?;
    let Some(extension) = Extension::from_uri(uri) else { return Ok(()) };
    if extmaps.len() < MAX_EXTMAPS && extmaps.iter().all(|e| e.id != id && e.extension != extension)
    {
        extmaps.push(Extmap { id, direction, extension });
    }
    Ok(())
}

fn encoding_id(line: Line<'_>, name: &str) -> Result<EncodingId, Error> {
    EncodingId::new(name).ok_or_else(|| line.refuse("a rid is 1 to 16 letters, digits, '-' or '_'"))
}

/// `id send|recv [restrictions]` (RFC 8851 section 10).
fn rid(section: &mut Section, line: Line<'_>, value: &str) -> Result<(), Error> {
    let mut words = value.split_ascii_whitespace();
    let (Some(id), Some(direction)) = (words.next(), words.next()) else {
        return Err(line.refuse("a rid has a name and a direction"));
    };
    match direction {
        "send" => {
            let id = encoding_id(line, id)?;
            if section.send_rids.contains(&id) {
                return Err(line.refuse("two rids have this name"));
            }
            if section.send_rids.len() == MAX_RIDS {
                return Err(line.refuse("more than eight rids"));
            }
            section.send_rids.push(id);
        }
        "recv" => {}
        _ => return Err(line.refuse("a rid's direction is send or recv")),
    }
    Ok(())
}

/// `send a,~b;c [recv …]` (RFC 8853 section 5.1). Pause marks `~` mean nothing to an SFU: the
/// publisher sends the layer or not.
fn simulcast(section: &mut Section, line: Line<'_>, value: &str) -> Result<(), Error> {
    let words: Vec<&str> = value.split_ascii_whitespace().take(5).collect();
    for pair in words.chunks(2) {
        let [direction, list] = pair else {
            return Err(line.refuse("simulcast is a direction and a list of rids"));
        };
        match *direction {
            "send" => {}
            "recv" => continue,
            _ => return Err(line.refuse("simulcast's direction is send or recv")),
        }
        let mut streams = Vec::new();
        let mut seen: Vec<EncodingId> = Vec::new();
        for stream in list.split(';') {
            let mut alternatives = Vec::new();
            for name in stream.split(',') {
                let id = encoding_id(line, name.strip_prefix('~').unwrap_or(name))?;
                if seen.contains(&id) {
                    return Err(line.refuse("a rid is listed twice"));
                }
                if seen.len() == MAX_RIDS {
                    return Err(line.refuse("more than eight rids"));
                }
                seen.push(id);
                alternatives.push(id);
            }
            streams.push(alternatives);
        }
        section.simulcast = streams;
    }
    Ok(())
}

fn ssrc(section: &mut Section, line: Line<'_>, value: &str) -> Result<(), Error> {
    let id = value.split_ascii_whitespace().next().unwrap_or("");
    let main = id.parse().map_err(|_| line.refuse("an SSRC is a 32-bit number"))?;
    declare(section, line, main).map(|_| ())
}

fn declare<'s>(
    section: &'s mut Section,
    line: Line<'_>,
    main: u32,
) -> Result<&'s mut Ssrcs, Error> {
    let known = section.ssrcs.iter().position(|s| s.main == main);
    let i = known.unwrap_or(section.ssrcs.len());
    if i == MAX_SSRCS {
        return Err(line.refuse("more SSRCs than we take"));
    }
    if known.is_none() {
        section.ssrcs.push(Ssrcs { main, rtx: None });
    }
    Ok(&mut section.ssrcs[i])
}

/// RFC 5576 section 4.2. The second SSRC of a pair may have no line of its own (FFmpeg).
fn ssrc_group(
    section: &mut Section,
    notes: &mut Notes,
    line: Line<'_>,
    value: &str,
) -> Result<(), Error> {
    let mut words = value.split_ascii_whitespace();
    let semantics = words.next().unwrap_or("");
    if !matches!(semantics, "FID" | "FEC-FR" | "FEC") {
        return Ok(());
    }
    let mut ssrc = || words.next().and_then(|w| w.parse::<u32>().ok());
    let (Some(main), Some(repair)) = (ssrc(), ssrc()) else {
        return Err(line.refuse("a group names two SSRCs"));
    };
    let entry = declare(section, line, main)?;
    if semantics == "FID" {
        entry.rtx.get_or_insert(repair);
    }
    if notes.repair.len() < MAX_SSRCS {
        notes.repair.push(repair);
    }
    Ok(())
}
