//! Writing an answer (RFC 8829 section 5.3). What it says is decided in `negotiate`.

use std::fmt;
use std::net::SocketAddr;

use super::{Direction, Feedback, Section};
use crate::agreement::{DtlsRole, Local, Media};

/// The stream id and cname of everything that we send: audio and video belong together.
pub const CNAME: &str = "weir";

/// A whole answer.
pub(crate) struct Answer<'a> {
    pub(crate) local: &'a Local,
    pub(crate) dtls: DtlsRole,
    /// Of every accepted m-line.
    pub(crate) direction: Direction,
    /// Accepted mids in the order of the offer's group; empty where it has no group.
    pub(crate) bundle: Vec<&'a str>,
    /// One for each m-line of the offer, in its order.
    pub(crate) lines: Vec<AnswerLine<'a>>,
}

/// One m-line of an answer: `None` refuses it.
pub(crate) struct AnswerLine<'a> {
    pub(crate) section: &'a Section,
    pub(crate) accepted: Option<Accepted<'a>>,
}

/// What an accepted m-line says.
pub(crate) struct Accepted<'a> {
    pub(crate) media: Media,
    /// In the order of the m-line; retransmission types included.
    pub(crate) payloads: Vec<AnswerPayload<'a>>,
}

/// A payload type of an answer.
pub(crate) struct AnswerPayload<'a> {
    pub(crate) pt: u8,
    pub(crate) name: &'a str,
    pub(crate) clock: u32,
    pub(crate) channels: Option<u8>,
    pub(crate) fmtp: String,
    pub(crate) feedback: Vec<Feedback>,
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Lines(f);
        out.line(format_args!("v=0"))?;
        // Chromium reads the session id as a signed number.
        out.line(format_args!("o=- {} 1 IN IP4 0.0.0.0", self.local.session >> 1))?;
        out.line(format_args!("s=-"))?;
        out.line(format_args!("t=0 0"))?;
        if !self.bundle.is_empty() {
            out.line(format_args!("a=group:BUNDLE {}", self.bundle.join(" ")))?;
        }
        out.line(format_args!("a=ice-lite"))?;
        out.line(format_args!("a=msid-semantic: WMS {CNAME}"))?;
        for line in &self.lines {
            match &line.accepted {
                Some(accepted) => self.accepted(&mut out, line.section, accepted)?,
                None => refused(&mut out, line.section)?,
            }
        }
        Ok(())
    }
}

impl Answer<'_> {
    fn accepted(
        &self,
        out: &mut Lines<'_, '_>,
        section: &Section,
        accepted: &Accepted<'_>,
    ) -> fmt::Result {
        let types: Vec<String> = accepted.payloads.iter().map(|p| p.pt.to_string()).collect();
        let (kind, protocol) = (section.kind.name(), &section.protocol);
        out.line(format_args!("m={kind} 9 {protocol} {}", types.join(" ")))?;
        out.line(format_args!("c=IN IP4 0.0.0.0"))?;
        self.transport(out)?;
        if section.has_mid {
            out.line(format_args!("a=mid:{}", section.mid))?;
        }
        for (id, extension) in &accepted.media.extensions {
            let offered = section.extmaps.iter().find(|e| e.extension == *extension);
            let way = match offered.and_then(|e| e.direction) {
                Some(Direction::SendOnly) => "/recvonly",
                Some(Direction::RecvOnly) => "/sendonly",
                _ => "",
            };
            out.line(format_args!("a=extmap:{id}{way} {}", extension.uri()))?;
        }
        out.line(format_args!("a={}", self.direction.name()))?;
        out.line(format_args!("a=rtcp-mux"))?;
        // RFC 9725 section 4.4.1, RFC 8858: there is no other way for RTCP.
        out.line(format_args!("a=rtcp-mux-only"))?;
        if section.rtcp_rsize {
            out.line(format_args!("a=rtcp-rsize"))?;
        }
        accepted.payloads.iter().try_for_each(|p| payload(out, p))?;
        simulcast(out, &accepted.media)?;
        ssrcs(out, section, &accepted.media)?;
        candidates(out, &self.local.candidates, &self.local.tcp)
    }

    fn transport(&self, out: &mut Lines<'_, '_>) -> fmt::Result {
        let Local { ice, fingerprint, .. } = self.local;
        out.line(format_args!("a=ice-ufrag:{}", ice.ufrag))?;
        out.line(format_args!("a=ice-pwd:{}", ice.pwd))?;
        let digest: Vec<String> = fingerprint.digest.iter().map(|b| format!("{b:02X}")).collect();
        out.line(format_args!("a=fingerprint:{} {}", fingerprint.algorithm, digest.join(":")))?;
        let setup = match self.dtls {
            DtlsRole::Client => "active",
            DtlsRole::Server => "passive",
        };
        out.line(format_args!("a=setup:{setup}"))
    }
}

/// RFC 8839 section 5.1: host candidates only, the best first. Those by TCP (RFC 6544 section 4.5) come last: there
/// are clients that take the first, whatever it is.
pub(super) fn candidates(
    out: &mut Lines<'_, '_>,
    udp: &[SocketAddr],
    tcp: &[SocketAddr],
) -> fmt::Result {
    const UDP: u32 = 126;
    // What libwebrtc gives a host's TCP candidates.
    const TCP: u32 = 90;
    // RFC 6544 section 4.2: the direction, here passive, stands before all else.
    const PASSIVE: u32 = 4 << 13;
    let priority = |kind: u32, preference: u32| (kind << 24) | (preference << 8) | 255;
    for (i, address) in udp.iter().enumerate() {
        let preference = u32::from(u16::MAX - u16::try_from(i).unwrap_or(u16::MAX));
        let priority = priority(UDP, preference);
        let (foundation, ip, port) = (i + 1, address.ip(), address.port());
        out.line(format_args!("a=candidate:{foundation} 1 udp {priority} {ip} {port} typ host"))?;
    }
    for (i, address) in tcp.iter().enumerate() {
        let other = 0x1fff_u32.saturating_sub(u32::try_from(i).unwrap_or(u32::MAX));
        let priority = priority(TCP, PASSIVE | other);
        let (foundation, ip, port) = (udp.len() + i + 1, address.ip(), address.port());
        out.line(format_args!(
            "a=candidate:{foundation} 1 tcp {priority} {ip} {port} typ host tcptype passive"
        ))?;
    }
    out.line(format_args!("a=end-of-candidates"))
}

fn refused(out: &mut Lines<'_, '_>, section: &Section) -> fmt::Result {
    let Section { kind, protocol, format_list, .. } = section;
    out.line(format_args!("m={} 0 {protocol} {format_list}", kind.name()))?;
    out.line(format_args!("c=IN IP4 0.0.0.0"))?;
    if section.has_mid {
        out.line(format_args!("a=mid:{}", section.mid))?;
    }
    out.line(format_args!("a=inactive"))
}

fn payload(out: &mut Lines<'_, '_>, payload: &AnswerPayload<'_>) -> fmt::Result {
    let AnswerPayload { pt, name, clock, channels, fmtp, feedback } = payload;
    match channels {
        Some(channels) => out.line(format_args!("a=rtpmap:{pt} {name}/{clock}/{channels}"))?,
        None => out.line(format_args!("a=rtpmap:{pt} {name}/{clock}"))?,
    }
    if !fmtp.is_empty() {
        out.line(format_args!("a=fmtp:{pt} {fmtp}"))?;
    }
    feedback.iter().try_for_each(|f| out.line(format_args!("a=rtcp-fb:{pt} {}", f.name())))
}

fn simulcast(out: &mut Lines<'_, '_>, media: &Media) -> fmt::Result {
    if media.rids.is_empty() {
        return Ok(());
    }
    for rid in &media.rids {
        out.line(format_args!("a=rid:{rid} recv"))?;
    }
    let list: Vec<&str> = media.rids.iter().map(|r| r.as_str()).collect();
    out.line(format_args!("a=simulcast:recv {}", list.join(";")))
}

/// The media SSRC stands before the one of its retransmissions: Chromium takes the first `a=ssrc`
/// as the stream's and decodes nothing if that is the other.
fn ssrcs(out: &mut Lines<'_, '_>, section: &Section, media: &Media) -> fmt::Result {
    let Some(ssrcs) = media.local_ssrcs else { return Ok(()) };
    out.line(format_args!("a=msid:{CNAME} {}", section.kind.name()))?;
    if let Some(rtx) = ssrcs.rtx {
        out.line(format_args!("a=ssrc-group:FID {} {rtx}", ssrcs.main))?;
    }
    for ssrc in std::iter::once(ssrcs.main).chain(ssrcs.rtx) {
        out.line(format_args!("a=ssrc:{ssrc} cname:{CNAME}"))?;
    }
    Ok(())
}

/// Ends lines as RFC 8866 wants them.
pub(super) struct Lines<'a, 'b>(pub(super) &'a mut fmt::Formatter<'b>);

impl Lines<'_, '_> {
    pub(super) fn line(&mut self, text: fmt::Arguments<'_>) -> fmt::Result {
        self.0.write_fmt(text)?;
        self.0.write_str("\r\n")
    }
}
