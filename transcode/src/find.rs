//! Where the worker program is: where the configuration says, else beside the running program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What the program is called.
pub const PROGRAM: &str = "weir-transcoder";

/// Why there is no worker program, in a plain sentence for the lines at the start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// The configuration names one that is not there.
    #[error(
        "transcode.worker is {}, which {what}: no bridges between codecs until that is corrected",
        path.display()
    )]
    Configured {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// None is configured, and none lies beside the running program.
    #[error(
        "no {PROGRAM} beside this program, and transcode.worker is not set: streams that browsers \
         cannot take as they are (AAC sound, B-frames, HEVC) stay without a bridge"
    )]
    Nowhere,
}

/// Finds the worker: `configured` if there is any, else beside `running`, the path of this program.
pub fn find(configured: Option<&Path>, running: Option<&Path>) -> Result<PathBuf, Missing> {
    if let Some(path) = configured {
        return match check(path) {
            Ok(()) => Ok(path.to_owned()),
            Err(what) => Err(Missing::Configured { path: path.to_owned(), what }),
        };
    }
    let beside = running.and_then(Path::parent).map(|folder| folder.join(PROGRAM));
    beside.filter(|path| check(path).is_ok()).ok_or(Missing::Nowhere)
}

fn check(path: &Path) -> Result<(), &'static str> {
    let about = fs::metadata(path).map_err(|_| "is not there")?;
    match about.permissions().mode() & 0o111 {
        _ if !about.is_file() => Err("is no file"),
        0 => Err("may not be executed"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_one_counts_then_the_one_beside() {
        // Any file that may be executed does; `running` is never opened.
        let this = std::env::current_exe().unwrap();
        assert_eq!(find(Some(&this), None), Ok(this.clone()));
        assert_eq!(find(None, Some(&this)), Err(Missing::Nowhere));
        assert_eq!(find(None, None), Err(Missing::Nowhere));

        let folder = this.with_extension("find-test");
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join(PROGRAM);
        fs::write(&program, "").unwrap();
        let mode = |bits| fs::set_permissions(&program, fs::Permissions::from_mode(bits)).unwrap();
        mode(0o644);
        assert_eq!(find(None, Some(&folder.join("weir"))), Err(Missing::Nowhere));
        let wrong = find(Some(&program), Some(&this)).unwrap_err().to_string();
        assert!(wrong.contains("may not be executed"), "{wrong}");
        mode(0o755);
        assert_eq!(find(None, Some(&folder.join("weir"))), Ok(program.clone()));
        fs::remove_dir_all(&folder).unwrap();

        let gone = find(Some(&program), Some(&this)).unwrap_err().to_string();
        assert!(gone.contains("which is not there"), "a wrong path is said, not replaced: {gone}");
        let none = Missing::Nowhere.to_string();
        assert!(none.contains("no weir-transcoder beside"), "{none}");
    }
}
