//! The real browser and other people's clients: runs each of `browser/*.test.mjs` under Node's own
//! test runner, against the program that this build made. A missing browser or package is a failure.
#![allow(clippy::panic, reason = "a panic with its reason is how a test says no")]
#![allow(clippy::print_stdout, reason = "what a test prints is shown when it fails")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the tests.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}

/// Runs one file; its output is the test's output.
fn run(file: &str) {
    let folder = folder();
    assert!(
        folder.join("node_modules/playwright-core").is_dir(),
        "the npm packages of tests/browser are not installed: `make test` does it, or `npm ci` there"
    );
    // The program that the rest of this build made, unless somebody names another.
    let weir = std::env::var_os("WEIR_BIN")
        .map_or_else(|| tests::weir::target().join("weir"), PathBuf::from);
    // One browser at a time, also across processes: it needs the machine for itself.
    let lock = File::create(std::env::temp_dir().join("weir-browser-tests.lock"))
        .expect("a writable temporary folder");
    lock.lock().expect("a lock on a file of our own");
    let output = Command::new("node")
        .args(["--test", "--test-reporter=spec", file])
        .current_dir(&folder)
        .env("WEIR_BIN", weir)
        .env("WEIR_TEST_PUBLISHER", env!("CARGO_BIN_EXE_webrtc-publisher"))
        .env("WEIR_TEST_VIEWER", env!("CARGO_BIN_EXE_webrtc-viewer"))
        .output()
        .unwrap_or_else(|e| panic!("node does not start ({e}): `make test` installs it"));
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{file}: {}", output.status);
}

macro_rules! files {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(concat!(stringify!($name), ".test.mjs"));
            }
        )*

        /// A file that nobody runs proves nothing.
        #[test]
        fn every_file_is_run() {
            let there: BTreeSet<String> = fs::read_dir(folder())
                .expect("tests/browser")
                .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned())
                .filter_map(|name| name.strip_suffix(".test.mjs").map(str::to_owned))
                .collect();
            let run: BTreeSet<String> = [$(stringify!($name)),*].map(str::to_owned).into();
            assert_eq!(there, run);
        }
    };
}

files!(admin audio clients counters embed hls https instant pages refusals restart rtmp simulcast smooth spaces standby survive switch table tcp);
