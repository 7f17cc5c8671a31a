//! What one player got, as files and the moments at which it asked for them: to be served by any server that has
//! files, and asked for again by a crowd.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::sys;

/// What is asked for at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Since the first one, µs.
    pub(crate) at_us: u64,
    pub(crate) rendition: usize,
    /// A file.
    pub(crate) playlist: String,
    /// Files that it was first to list.
    pub(crate) parts: Vec<String>,
}

/// Writes files into a folder, and beside it when they came. The followers of one player have one each.
#[derive(Debug)]
pub(crate) struct Recorder {
    folder: PathBuf,
    pub(crate) steps: Vec<Step>,
}

impl Recorder {
    /// Into this folder, which is made.
    ///
    /// # Errors
    /// If it cannot be.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        Ok(Self { folder: folder.to_owned(), steps: Vec::new() })
    }

    /// A playlist, and the paths of its new parts.
    pub(crate) fn playlist(
        &mut self,
        rendition: usize,
        body: &[u8],
        parts: &[String],
    ) -> Result<()> {
        let playlist = format!("{rendition}-{}.m3u8", self.steps.len());
        std::fs::write(self.folder.join(&playlist), body)?;
        let parts = parts.iter().map(|path| name(path)).collect();
        self.steps.push(Step { at_us: sys::now_us(), rendition, playlist, parts });
        Ok(())
    }

    /// A part.
    pub(crate) fn part(&mut self, path: &str, body: &[u8]) -> Result<()> {
        Ok(std::fs::write(self.folder.join(name(path)), body)?)
    }
}

/// The last of a path, with nothing in it that a folder could be left by.
fn name(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    last.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')).collect()
}

/// Writes when what came, from those steps whose parts were all fetched.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write(folder: &Path, mut steps: Vec<Step>, since_us: u64) -> Result<()> {
    steps.retain(|step| {
        let whole = step.parts.iter().all(|part| folder.join(part).exists());
        whole && step.at_us >= since_us && !step.parts.is_empty()
    });
    steps.sort_by_key(|step| step.at_us);
    let from = steps.first().map_or(0, |step| step.at_us);
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| {
            json!({
                "at_us": step.at_us - from, "rendition": step.rendition,
                "playlist": step.playlist, "parts": step.parts,
            })
        })
        .collect();
    Ok(std::fs::write(folder.join("steps.json"), serde_json::to_vec(&steps)?)?)
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// If it is not there, or has no steps.
pub(crate) fn read(folder: &Path) -> Result<Vec<Rc<Step>>> {
    let path = folder.join("steps.json");
    let bytes = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
    let steps: Vec<Value> = serde_json::from_slice(&bytes)?;
    let steps: Vec<Rc<Step>> = steps.iter().filter_map(step).map(Rc::new).collect();
    anyhow::ensure!(!steps.is_empty(), "nothing was recorded in {}", folder.display());
    Ok(steps)
}

fn step(value: &Value) -> Option<Step> {
    let parts = value["parts"].as_array()?.iter().filter_map(Value::as_str);
    Some(Step {
        at_us: value["at_us"].as_u64()?,
        rendition: usize::try_from(value["rendition"].as_u64()?).ok()?,
        playlist: value["playlist"].as_str()?.to_owned(),
        parts: parts.map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = std::env::temp_dir().join(format!("weir-bench-test-{}", std::process::id()));
        let mut recorder = Recorder::new(&folder).unwrap();
        let paths = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        recorder.playlist(0, b"#EXTM3U", &paths(&["/a/v0-1.0.m4s?t=1"])).unwrap();
        recorder.part("/a/v0-1.0.m4s?t=1", b"part").unwrap();
        recorder.playlist(0, b"#EXTM3U", &paths(&["/a/gone.m4s"])).unwrap();
        recorder.playlist(0, b"#EXTM3U", &paths(&["/a/../../etc"])).unwrap();
        recorder.part("/a/../../etc", b"x").unwrap();
        write(&folder, recorder.steps, 0).unwrap();
        let steps = read(&folder).unwrap();
        let parts: Vec<_> = steps.iter().map(|step| &step.parts[0][..]).collect();
        assert_eq!(parts, ["v0-1.0.m4s", "etc"], "what was not fetched is left out");
        assert_eq!((steps[0].at_us, &steps[0].playlist[..]), (0, "0-0.m3u8"));
        assert!(folder.join("etc").exists());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(read(&folder).is_err());
    }
}
