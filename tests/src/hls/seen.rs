//! A recording, read: playlists as a client holds them, and what is in the media files.

use std::collections::BTreeMap;

use super::boxes::{Fragment, Init};
use super::client::Exchange;
use super::playlist::{Multivariant, Playlist, Segment, resolve};
use super::watch::Recording;

/// A recording with what it says.
pub struct Seen<'a> {
    /// As it was written down.
    pub recording: &'a Recording,
    /// The multivariant playlist of the end.
    pub multivariant: Multivariant,
    /// All media playlists.
    pub renditions: Vec<Rendition<'a>>,
    /// Every media file that could be had, by its path.
    pub files: BTreeMap<&'a str, &'a Exchange>,
}

/// A media playlist and its media.
pub struct Rendition<'a> {
    /// Its path.
    pub path: &'a str,
    /// Every version of it, deltas put together with what was held before; and what was asked.
    pub versions: Vec<(Playlist, &'a Exchange)>,
    /// Those that were deltas, as they came.
    pub deltas: usize,
    /// Initializations by their path.
    pub inits: BTreeMap<String, Init>,
    /// Parts and segments by their path.
    pub fragments: BTreeMap<String, Vec<Fragment>>,
}

impl<'a> Seen<'a> {
    /// Reads all of it.
    ///
    /// # Errors
    /// What cannot be read, and where.
    pub fn new(recording: &'a Recording) -> Result<Self, String> {
        let last = recording.multivariant.last().ok_or("no multivariant playlist")?;
        let files = recording.files();
        let files: BTreeMap<_, _> = files.into_iter().filter(|(_, f)| f.status == 200).collect();
        let renditions = recording.renditions.iter().map(|rendition| {
            let path = rendition.path.as_str();
            let mut seen = Rendition {
                path,
                versions: Vec::new(),
                deltas: 0,
                inits: BTreeMap::new(),
                fragments: BTreeMap::new(),
            };
            for reload in rendition.reloads.iter().filter(|reload| reload.status == 200) {
                let list = Playlist::parse(&reload.text());
                let list = list.map_err(|e| format!("{}: {e}", reload.path))?;
                seen.deltas += usize::from(list.skipped > 0);
                let list = match seen.versions.last() {
                    Some((before, _)) => list.over(before),
                    None => Ok(list),
                };
                let list = list.map_err(|e| format!("{}: {e}", reload.path))?;
                seen.versions.push((list, reload));
            }
            seen.read(&files)?;
            Ok(seen)
        });
        let renditions = renditions.collect::<Result<Vec<_>, String>>()?;
        let multivariant = Multivariant::parse(&last.text())?;
        Ok(Self { recording, multivariant, renditions, files })
    }

    /// Renditions that move: not those of keyframes alone.
    pub fn moving(&self) -> impl Iterator<Item = &Rendition<'a>> {
        self.renditions.iter().filter(|rendition| !rendition.last().keyframes)
    }

    /// Those of pictures.
    pub fn pictures(&self) -> impl Iterator<Item = &Rendition<'a>> {
        self.moving().filter(|rendition| rendition.handler() == Some(*b"vide"))
    }

    /// Those of sound.
    pub fn sound(&self) -> impl Iterator<Item = &Rendition<'a>> {
        self.moving().filter(|rendition| rendition.handler() == Some(*b"soun"))
    }

    /// The rendition of a name in the multivariant playlist.
    pub fn named(&self, uri: &str) -> Option<&Rendition<'a>> {
        let path = resolve(&self.recording.multivariant[0].path, uri);
        self.renditions.iter().find(|rendition| rendition.path == path)
    }
}

impl<'a> Rendition<'a> {
    fn read(&mut self, files: &BTreeMap<&'a str, &'a Exchange>) -> Result<(), String> {
        for segment in self.segments().into_values() {
            let parts = segment.parts.iter().map(|part| &part.uri);
            for uri in parts.chain(Some(&segment.uri)) {
                let path = self.resolve(uri);
                let Some(file) = files.get(path.as_str()) else { continue };
                let read = Fragment::parse(&file.body).map_err(|e| format!("{path}: {e}"))?;
                self.fragments.insert(path, read);
            }
            let Some(path) = segment.map.as_deref().map(|uri| self.resolve(uri)) else { continue };
            if let Some(file) = files.get(path.as_str()) {
                let init = Init::parse(&file.body).map_err(|e| format!("{path}: {e}"))?;
                self.inits.insert(path, init);
            }
        }
        Ok(())
    }

    /// The newest version; empty if there is none.
    pub fn last(&self) -> Playlist {
        self.versions.last().map(|(list, _)| list.clone()).unwrap_or_default()
    }

    /// A name in this playlist as a path.
    pub fn resolve(&self, uri: &str) -> String {
        resolve(self.path, uri)
    }

    /// Every segment that was ever whole, with the parts that it had when it was told of them.
    pub fn segments(&self) -> BTreeMap<u64, Segment> {
        let mut all: BTreeMap<u64, Segment> = BTreeMap::new();
        for segment in self.versions.iter().flat_map(|(list, _)| &list.segments) {
            let known = all.entry(segment.msn).or_insert_with(|| segment.clone());
            if known.parts.len() < segment.parts.len() {
                known.parts.clone_from(&segment.parts);
            }
        }
        all
    }

    /// The initialization that holds for a segment.
    pub fn init(&self, segment: &Segment) -> Option<&Init> {
        self.inits.get(&self.resolve(segment.map.as_deref()?))
    }

    /// What is in a file.
    pub fn fragments(&self, uri: &str) -> Option<&Vec<Fragment>> {
        self.fragments.get(&self.resolve(uri))
    }

    fn handler(&self) -> Option<[u8; 4]> {
        self.inits.values().next().map(|init| init.handler)
    }
}
