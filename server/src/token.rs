//! The token that the server makes for itself, kept in `data.dir` so that it outlives a restart.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::access::Secret;

/// A shorter one was not written by us: 16 bytes are 22 characters.
const SHORTEST: usize = 22;
const LONGEST: u64 = 1024;

/// A token, and what an operator should know about it.
pub(crate) struct Made {
    pub(crate) token: Secret,
    /// Where it is kept; `None`: only in memory.
    pub(crate) kept: Option<PathBuf>,
    pub(crate) warning: Option<String>,
}

/// Reads the token in `dir`, or makes one there.
pub(crate) fn obtain(dir: &Path) -> Made {
    let path = dir.join("token");
    match read_or_make(&path) {
        Ok((token, warning)) => Made { token, kept: Some(path), warning },
        Err(e) => Made {
            token: random(),
            kept: None,
            warning: Some(format!(
                "the access token cannot be kept in {}: {e}; the next start makes another \
                 (set data.dir to a folder that can be written)",
                path.display()
            )),
        },
    }
}

fn read_or_make(path: &Path) -> io::Result<(Secret, Option<String>)> {
    match read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let token = random();
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            writeln!(file, "{}", token.reveal())?;
            file.sync_all()?;
            Ok((token, None))
        }
        // Another server was faster: its token is as good.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(e) => Err(e),
    }
}

fn read(path: &Path) -> io::Result<(Secret, Option<String>)> {
    let file = fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let mut text = String::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by `take`")]
    file.take(LONGEST).read_to_string(&mut text)?;
    let token = text.trim();
    if token.len() < SHORTEST || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let what = "it holds no token of at least 22 characters; delete it and start again";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let warning = (mode & 0o077 != 0).then(|| {
        format!("others can read the access token: chmod 600 {} (mode is {mode:o})", path.display())
    });
    Ok((Secret::new(token.to_owned()), warning))
}

/// 256 bits.
fn random() -> Secret {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the system's random source does not fail");
    Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn it_is_made_once_and_only_for_its_owner() {
        let folder = Folder::new("token-once");
        let dir = folder.0.join("state/weir");
        let first = obtain(&dir);
        assert!(first.token.reveal().len() >= 43 && first.warning.is_none());
        let path = first.kept.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = obtain(&dir);
        assert!(first.token == second.token);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(obtain(&dir).warning.unwrap().contains("chmod 600"));
    }

    #[test]
    fn without_a_place_to_keep_it_there_still_is_one() {
        let folder = Folder::new("token-nowhere");
        let file = folder.0.join("file");
        fs::write(&file, "").unwrap();
        let made = obtain(&file);
        assert!(made.kept.is_none() && made.warning.is_some());
        assert!(made.token.reveal().len() >= 43);
        fs::write(folder.0.join("token"), "short\n").unwrap();
        assert!(obtain(&folder.0).kept.is_none());
    }
}
