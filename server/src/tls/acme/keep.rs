//! What is kept between runs, in `data.dir/acme/` and there in a folder for each authority: the account with its key, the
//! certificate with its key, and when it was asked for one. Only the server's user can read it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Certificate chain and key in PEM form, in one file: there is never one without the other.
const CERTIFICATE: &str = "certificate.pem";
/// As the ACME library writes it.
const ACCOUNT: &str = "account.json";
/// Seconds since the Unix epoch, one per line.
const ORDERS: &str = "orders";
/// None of them is longer.
const MOST: u64 = 1 << 20;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Keep {
    folder: PathBuf,
}

impl Keep {
    /// For an authority, of which the URL of its directory tells.
    pub(super) fn new(data: &Path, directory: &str) -> Self {
        let host = directory.strip_prefix("https://").unwrap_or(directory);
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
        let name: String = host.chars().map(plain).take(120).collect();
        Self { folder: data.join("acme").join(name.trim_start_matches('.')) }
    }

    pub(super) fn certificate_file(&self) -> PathBuf {
        self.folder.join(CERTIFICATE)
    }

    pub(super) fn certificate(&self) -> io::Result<Option<String>> {
        self.read(CERTIFICATE)
    }

    pub(super) fn keep_certificate(&self, pem: &str) -> io::Result<()> {
        self.write(CERTIFICATE, pem)
    }

    pub(super) fn account(&self) -> io::Result<Option<String>> {
        self.read(ACCOUNT)
    }

    pub(super) fn keep_account(&self, json: &str) -> io::Result<()> {
        self.write(ACCOUNT, json)
    }

    /// What cannot be read counts as nothing.
    pub(super) fn orders(&self) -> Vec<Duration> {
        let text = self.read(ORDERS).ok().flatten().unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).map(Duration::from_secs).collect()
    }

    pub(super) fn keep_orders(&self, orders: impl Iterator<Item = Duration>) -> io::Result<()> {
        let text: String = orders.map(|order| format!("{}\n", order.as_secs())).collect();
        self.write(ORDERS, &text)
    }

    fn read(&self, name: &str) -> io::Result<Option<String>> {
        let file = match File::open(self.folder.join(name)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut text = String::new();
        #[expect(clippy::disallowed_methods, reason = "no more than `MOST` is taken")]
        io::Read::read_to_string(&mut io::Read::take(file, MOST), &mut text)?;
        Ok(Some(text))
    }

    /// Whole or not at all.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        fs::set_permissions(&self.folder, Permissions::from_mode(0o700))?;
        let new = self.folder.join(format!("{name}.new"));
        // What a crash has left may have other permissions.
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.folder.join(name))?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_nobody_else_reads_it() {
        let data = std::env::temp_dir().join(format!("weir-acme-keep-{}", std::process::id()));
        let keep = Keep::new(&data, "https://localhost:14000/dir");
        assert_eq!((keep.account().unwrap(), keep.orders()), (None, Vec::new()));
        keep.keep_account("{}").unwrap();
        keep.keep_certificate("one").unwrap();
        keep.keep_certificate("two").unwrap();
        let orders = [1, 2].map(Duration::from_secs);
        keep.keep_orders(orders.into_iter()).unwrap();
        assert_eq!(keep.account().unwrap().as_deref(), Some("{}"));
        assert_eq!(keep.certificate().unwrap().as_deref(), Some("two"));
        assert_eq!(keep.orders(), orders);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&keep.folder), 0o700);
        let names: Vec<_> =
            fs::read_dir(&keep.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(names.len() == 3 && names.iter().all(|path| mode(path) == 0o600), "{names:?}");
        fs::remove_dir_all(&data).unwrap();
    }

    #[test]
    fn each_authority_has_its_folder_and_none_leads_out() {
        let folder = |directory| Keep::new(Path::new("d"), directory).folder;
        assert_eq!(folder("https://ca.example/dir"), Path::new("d/acme/ca.example_dir"));
        assert_eq!(folder("https://../../x"), Path::new("d/acme/_.._x"));
        assert_ne!(folder("https://a.example/1"), folder("https://a.example/2"));
    }
}
