//! Certificates by ACME (RFC 8555, RFC 8737), of the real program, from Pebble.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tests::authority::Pebble;
use tests::clip::{Clip, Codec};
use tests::{Publisher, Viewer, Weir, http, tls};

/// Proofs are looked for, keys made and nonces refused meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder for what is kept, over several runs.
struct Data(PathBuf);

impl Data {
    fn new(name: &str) -> Self {
        let name = format!("weir-test-acme-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn weir(&self, toml: &str) -> Weir {
        Weir::with(&["--data-dir", &self.0.display().to_string()], toml)
    }

    /// Everything in it.
    fn files(&self) -> Vec<PathBuf> {
        fn all(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { all(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        all(&self.0.join("acme"), &mut found);
        found.sort();
        found
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits for a certificate other than that with this number.
#[track_caller]
fn next(weir: &Weir, old: Option<&str>) -> String {
    let begun = Instant::now();
    loop {
        if let Ok(shown) = tls::try_shown(weir.host())
            && old != Some(&shown)
        {
            return shown;
        }
        assert!(begun.elapsed() < PATIENCE, "no other certificate:\n{}", weir.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// From nothing to a certificate; renewed while a stream goes on; kept for the next start, also without the authority.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_got_renewed_and_kept() {
    let (pebble, data) = (Pebble::start(36), Data::new("life"));
    tls::also_trust(&pebble.root());
    let toml = pebble.toml(&["localhost", "other.weir.example"]);
    let weir = data.weir(&toml);
    pebble.leads_to(weir.host());
    // Nobody has one yet, or it is there already: never anything in between.
    let early = http::send("POST", &format!("http://{}/whip/show", weir.host()), &[], b"v=0");
    assert!(matches!(early.status, 503 | 426), "{} {}", early.status, early.text());
    let first = next(&weir, None);

    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    viewer.more_video(30).await;
    // It is asked for when a third of its 36 s is left.
    next(&weir, Some(&first));
    viewer.more_video(30).await;
    assert_eq!(http::by_two("GET", &weir.at("/api/v1/streams"), &[], &[]).status, 200);
    viewer.leave().await;
    publisher.leave().await;

    let files = data.files();
    let names: Vec<_> = files.iter().filter_map(|file| file.file_name()?.to_str()).collect();
    assert_eq!(names, ["account.json", "certificate.pem", "orders"]);
    for file in files {
        let mode = std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    let log = weir.log();
    assert!(log.contains("a new certificate for localhost, other.weir.example"), "{log}");
    assert!(!log.contains("PRIVATE"), "{log}");
    weir.terminate(Duration::from_secs(15));
    drop(pebble);
    let certificate = data.files().into_iter().find(|file| file.ends_with("certificate.pem"));
    let kept = tls::serial_in(&certificate.expect("it is there"));
    assert_ne!(kept, first);

    let weir = data.weir(&toml);
    assert_eq!(tls::shown(weir.host()), kept);
}

/// A name that does not lead here: the log says which and why, nobody is served in clear, and nobody asks in a hurry.
#[test]
fn a_name_that_leads_elsewhere_is_said() {
    let (pebble, data) = (Pebble::start(3600), Data::new("elsewhere"));
    let elsewhere = Weir::start();
    pebble.leads_to(elsewhere.host());
    let weir = data.weir(&pebble.toml(&["lost.weir.example"]));
    let begun = Instant::now();
    while !weir.log().contains("no certificate for lost.weir.example, next try in 1 min") {
        assert!(begun.elapsed() < PATIENCE, "it says nothing:\n{}", weir.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(weir.log().contains("did not find lost.weir.example here"), "{}", weir.log());
    let clear = |path: &str| format!("http://{}{path}", weir.host());
    let problem = http::send("GET", &clear("/"), &[], &[]).problem(503);
    assert_eq!(problem["type"], "urn:weir:problem:no-certificate");
    assert_eq!(http::send("GET", &clear("/healthz"), &[], &[]).status, 200);
    assert!(tls::try_shown(weir.host()).is_err());
    // The account is kept, so that the next try makes no other one.
    assert!(data.files().iter().any(|file| file.ends_with("account.json")));
}
