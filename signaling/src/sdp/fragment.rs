//! SDP fragments (RFC 8840 section 9): what a trickle or restart PATCH carries, and what answers the
//! second.

use std::fmt;
use std::net::SocketAddr;

use media::Kind;

use super::answer::{Lines, candidates};
use super::parse::{Line, attribute, lines, transport_attribute};
use super::{Error, MAX_MID, MAX_SECTIONS, Transport};
use crate::agreement::IceCredentials;

/// Most candidates of one fragment.
const MAX_CANDIDATES: usize = 256;

/// A fragment, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdpFragment {
    /// The generation that the candidates belong to.
    pub ice: IceCredentials,
    /// The pseudo m-lines; empty where the candidates stand before any.
    pub media: Vec<FragmentMedia>,
    /// `a=candidate` values that stand before any m-line.
    pub candidates: Vec<String>,
    /// `a=end-of-candidates` was there.
    pub complete: bool,
}

/// One pseudo m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentMedia {
    /// `a=mid`; empty where the fragment has none.
    pub mid: String,
    /// `a=candidate` values.
    pub candidates: Vec<String>,
}

impl SdpFragment {
    /// Reads a fragment. Candidates stay text: whether one is usable is for ICE to say.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut transport = Transport::default();
        let mut fragment = Self {
            ice: IceCredentials { ufrag: String::new(), pwd: String::new() },
            media: Vec::new(),
            candidates: Vec::new(),
            complete: false,
        };
        let (mut empty, mut left) = (true, MAX_CANDIDATES);
        for line in lines(text)? {
            let (line, letter, value) = line?;
            empty = false;
            match letter {
                b'm' => fragment.section(line)?,
                b'a' => {
                    let (name, value) = attribute(value);
                    if !transport_attribute(&mut transport, line, name, value)? {
                        fragment.attribute(line, name, value, &mut left)?;
                    }
                }
                _ => {}
            }
        }
        if empty {
            return Err(Error::Empty);
        }
        let missing = |what| Error::Missing { what, section: "the fragment".to_owned() };
        fragment.ice.ufrag = transport.ufrag.ok_or_else(|| missing("a=ice-ufrag"))?;
        fragment.ice.pwd = transport.pwd.ok_or_else(|| missing("a=ice-pwd"))?;
        Ok(fragment)
    }

    fn section(&mut self, line: Line<'_>) -> Result<(), Error> {
        if self.media.len() == MAX_SECTIONS {
            return Err(line.refuse("more m-lines than we take"));
        }
        self.media.push(FragmentMedia { mid: String::new(), candidates: Vec::new() });
        Ok(())
    }

    fn attribute(
        &mut self,
        line: Line<'_>,
        name: &str,
        value: &str,
        left: &mut usize,
    ) -> Result<(), Error> {
        match name {
            "mid" => {
                let Some(media) = self.media.last_mut() else {
                    return Err(line.refuse("a mid belongs below an m-line"));
                };
                if value.is_empty() || value.len() > MAX_MID {
                    return Err(line.refuse("a mid is 1 to 16 bytes of a token"));
                }
                value.clone_into(&mut media.mid);
            }
            "candidate" => {
                *left = left.checked_sub(1).ok_or_else(|| line.refuse("too many candidates"))?;
                let list = match self.media.last_mut() {
                    Some(media) => &mut media.candidates,
                    None => &mut self.candidates,
                };
                list.push(value.to_owned());
            }
            "end-of-candidates" => self.complete = true,
            _ => {}
        }
        Ok(())
    }
}

/// Our side of a new generation: the answer's own `a=ice-lite` and group, and of its m-lines the one that
/// the transport belongs to (RFC 9725 section 4.3.3).
pub(crate) struct Restart<'a> {
    pub(crate) bundle: &'a [String],
    /// Kind and mid.
    pub(crate) tagged: Option<&'a (Kind, String)>,
    pub(crate) ice: &'a IceCredentials,
    pub(crate) udp: &'a [SocketAddr],
    pub(crate) tcp: &'a [SocketAddr],
}

impl fmt::Display for Restart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Lines(f);
        out.line(format_args!("a=ice-lite"))?;
        if !self.bundle.is_empty() {
            out.line(format_args!("a=group:BUNDLE {}", self.bundle.join(" ")))?;
        }
        if let Some((kind, mid)) = self.tagged {
            let kind = match kind {
                Kind::Audio => "audio",
                Kind::Video => "video",
            };
            // A pseudo m-line: nothing of it counts but its place and its mid.
            out.line(format_args!("m={kind} 9 UDP/TLS/RTP/SAVPF 0"))?;
            out.line(format_args!("a=mid:{mid}"))?;
        }
        out.line(format_args!("a=ice-ufrag:{}", self.ice.ufrag))?;
        out.line(format_args!("a=ice-pwd:{}", self.ice.pwd))?;
        candidates(&mut out, self.udp, self.tcp)
    }
}
