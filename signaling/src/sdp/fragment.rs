//! SDP fragments (RFC 8840 section 9): what a trickle or restart PATCH carries.

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

    /// True if this opens a new generation instead of adding to the `current` one.
    pub fn is_restart(&self, current: &IceCredentials) -> bool {
        self.ice != *current
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
