//! Reading and bending SDP (RFC 8866) as text, the way a suspicious client would.

use std::net::SocketAddr;

/// Values of all `a=name:` lines, without the name.
pub fn attributes<'a>(sdp: &'a str, name: &str) -> Vec<&'a str> {
    sdp.lines()
        .filter_map(|l| l.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim_end)
        .collect()
}

/// True if the bare line is there.
pub fn has_line(sdp: &str, line: &str) -> bool {
    sdp.lines().any(|l| l.trim_end() == line)
}

/// The section of the first `m=kind` line, that line included.
pub fn section<'a>(sdp: &'a str, kind: &str) -> Option<&'a str> {
    let start = sdp.find(&format!("m={kind}"))?;
    let rest = &sdp[start..];
    let end = rest[2..].find("\nm=").map_or(rest.len(), |i| i + 3);
    Some(&rest[..end])
}

/// Id of a header extension, where this section maps it.
pub fn extension_id(section: &str, uri: &str) -> Option<u8> {
    attributes(section, "extmap").into_iter().find_map(|v| {
        let (id, rest) = v.split_once(' ')?;
        let id = id.split('/').next()?;
        rest.split(' ').next().filter(|u| *u == uri)?;
        id.parse().ok()
    })
}

/// Payload type and encoding name of every `a=rtpmap` line.
pub fn payload_types(section: &str) -> Vec<(u8, String)> {
    attributes(section, "rtpmap")
        .into_iter()
        .filter_map(|v| {
            let (pt, map) = v.split_once(' ')?;
            Some((pt.parse().ok()?, map.split('/').next()?.to_ascii_uppercase()))
        })
        .collect()
}

/// The format parameters of a payload type.
pub fn fmtp(section: &str, pt: u8) -> Option<&str> {
    attributes(section, "fmtp")
        .into_iter()
        .find_map(|v| v.split_once(' ').filter(|(p, _)| p.parse() == Ok(pt)).map(|(_, f)| f))
}

/// Which payload type a retransmission payload type repairs.
pub fn repaired(section: &str, rtx: u8) -> Option<u8> {
    fmtp(section, rtx)?.split(';').find_map(|p| p.trim().strip_prefix("apt=")?.parse().ok())
}

/// `(media, retransmission)` of every `a=ssrc-group:FID`.
pub fn flows(section: &str) -> Vec<(u32, u32)> {
    attributes(section, "ssrc-group")
        .into_iter()
        .filter_map(|v| {
            let mut words = v.strip_prefix("FID ")?.split(' ');
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect()
}

/// SSRCs in the order of their `a=ssrc` lines, each once.
pub fn ssrcs(section: &str) -> Vec<u32> {
    let mut all: Vec<u32> = attributes(section, "ssrc")
        .into_iter()
        .filter_map(|v| v.split(' ').next()?.parse().ok())
        .collect();
    all.dedup();
    all
}

/// UDP addresses of the candidates.
pub fn candidates(sdp: &str) -> Vec<SocketAddr> {
    candidates_by(sdp, "udp")
}

/// Addresses of the candidates by one protocol.
pub fn candidates_by(sdp: &str, protocol: &str) -> Vec<SocketAddr> {
    let mut all: Vec<SocketAddr> = attributes(sdp, "candidate")
        .into_iter()
        .filter_map(|v| {
            let words: Vec<&str> = v.split(' ').collect();
            let right = words.get(2)?.eq_ignore_ascii_case(protocol);
            let ip = words.get(4)?.parse().ok()?;
            let port = words.get(5)?.parse().ok()?;
            right.then_some(SocketAddr::new(ip, port))
        })
        .collect();
    all.dedup();
    all
}

/// The same text with one candidate alone, in place of all that were there.
pub fn with_only_candidate(sdp: &str, address: SocketAddr) -> String {
    let line =
        format!("a=candidate:1 1 udp 2130706431 {} {} typ host\r\n", address.ip(), address.port());
    let mut out = String::new();
    let mut section_has = false;
    for l in sdp.lines() {
        if l.starts_with("m=") {
            section_has = false;
        }
        if l.starts_with("a=candidate:") {
            if !section_has {
                out.push_str(&line);
            }
            section_has = true;
            continue;
        }
        out.push_str(l.trim_end());
        out.push_str("\r\n");
    }
    out
}
