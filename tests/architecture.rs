//! The laws of the house, held by tests and not by reviewers: which crate may use which, what may not enter
//! the sans-IO floors, who names str0m, that `ARCHITECTURE.md` names files that exist, licences.
//!
//! Each law is one test. A failure says which file or crate breaks it and how to mend it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

#[path = "architecture/letter.rs"]
mod letter;
#[path = "architecture/spdx.rs"]
mod spdx;

use spdx::Spdx;

/// Every crate has a floor, and uses floors below its own.
const FLOORS: &[(&str, u8)] = &[
    ("media", 0),
    ("signaling", 0),
    ("stream", 1),
    ("sfu", 1),
    ("whip", 1),
    ("whep", 1),
    ("rtmp", 1),
    ("packager", 1),
    ("transcode", 2),
    ("weir-transcoder", 3),
    ("server", 3),
];

/// Crates that see everything and that nothing uses.
const OUTSIDE: &[&str] = &["tests", "bench"];

/// Arrows within one floor. F0 is a vocabulary: `signaling` speaks of codecs.
const WITHIN_A_FLOOR: &[(&str, &str)] = &[("signaling", "media")];

/// What a sans-IO crate does not name in its own `[dependencies]`.
const NO_SHELL_CRATES: &[&str] = &[
    "async-std",
    "axum",
    "getrandom",
    "hyper",
    "if-addrs",
    "mio",
    "quinn-udp",
    "rand",
    "smol",
    "socket2",
    "tokio",
    "tower-http",
];

/// What a sans-IO crate does not pull in by others either.
const NO_RUNTIMES: &[&str] = &["async-std", "axum", "hyper", "mio", "smol", "socket2", "tokio"];

/// What the sources of a sans-IO crate do not say outside tests.
const NO_SHELL_WORDS: &[(&str, &str)] = &[
    ("Instant::now", "take `now: Instant` as an argument"),
    ("SystemTime::now", "take the time as an argument"),
    (".elapsed()", "it reads the clock: subtract from a `now` argument"),
    ("UdpSocket", "return datagrams; `server/src/net` owns the sockets"),
    ("TcpStream", "take and return bytes; `server` owns the sockets"),
    ("TcpListener", "take and return bytes; `server` owns the sockets"),
    ("std::thread", "threads belong to `server`"),
    ("thread::spawn", "threads belong to `server`"),
    ("std::fs", "take and return bytes; files belong to `server`"),
    ("std::env", "configuration is an argument"),
    ("rand::", "randomness is an argument"),
    ("tokio::", "no runtime below `server`"),
];

/// Files above [`MAX_LINES`], with the reason that each has.
const LONG_FILES: &[(&str, &str)] = &[];

const MAX_LINES: usize = 600;

static METADATA: LazyLock<Metadata> = LazyLock::new(Metadata::read);

#[test]
fn arrows_point_down() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let mut broken = Vec::new();
    for (name, uses) in &METADATA.members {
        if OUTSIDE.contains(&name.as_str()) {
            continue;
        }
        let Some(floor) = floors.get(name.as_str()) else {
            broken.push(format!("`{name}` has no floor: add it to FLOORS and to ARCHITECTURE.md"));
            continue;
        };
        for used in uses.iter().filter(|used| METADATA.members.contains_key(*used)) {
            let down = floors.get(used.as_str()).is_some_and(|below| below < floor);
            if !down && !WITHIN_A_FLOOR.contains(&(name, used)) {
                broken.push(format!(
                    "`{name}` uses `{used}`, which is not below it: move what both need to F0, or the wiring to `server`"
                ));
            }
        }
    }
    hold("arrows point down only", broken);
}

#[test]
fn sans_io_floors_depend_on_no_shell() {
    let mut broken = Vec::new();
    for name in sans_io() {
        let direct = &METADATA.members[name];
        broken.extend(NO_SHELL_CRATES.iter().filter(|c| direct.contains(**c)).map(|c| {
            format!("`{name}` depends on `{c}`: time, randomness and bytes are arguments; the shell is `server`")
        }));
        let all = METADATA.closure(name);
        broken.extend(
            NO_RUNTIMES.iter().filter(|c| all.contains(**c) && !direct.contains(**c)).map(|c| {
                format!(
                    "`{name}` pulls in `{c}`: find who with `cargo tree -p {name} -e normal -i {c}`"
                )
            }),
        );
    }
    hold("F0 and F1 are sans-IO", broken);
}

#[test]
fn sans_io_sources_touch_no_clock_socket_or_thread() {
    let mut broken = Vec::new();
    for name in sans_io() {
        for file in product_sources(&format!("{name}/src")) {
            for (number, line) in product_lines(&file) {
                broken.extend(NO_SHELL_WORDS.iter().filter(|(word, _)| says(&line, word)).map(
                    |(word, mend)| format!("{}:{number} says `{word}`: {mend}", shown(&file)),
                ));
            }
        }
    }
    hold("no clocks, sockets, threads or randomness in F0 and F1", broken);
}

#[test]
fn only_the_transport_names_str0m() {
    let mut broken = Vec::new();
    for (name, uses) in &METADATA.members {
        if uses.contains("str0m") && name != "sfu" && !OUTSIDE.contains(&name.as_str()) {
            broken.push(format!("`{name}` depends on str0m: it breaks monthly; go through `sfu`"));
        }
    }
    for (name, _) in FLOORS {
        for file in product_sources(&format!("{}/src", METADATA.folders[*name])) {
            if shown(&file).starts_with("sfu/src/rtc/") {
                continue;
            }
            broken.extend(
                product_lines(&file).into_iter().filter(|(_, line)| says(line, "str0m")).map(
                    |(number, _)| {
                        format!("{}:{number} names str0m: keep it behind sfu/src/rtc", shown(&file))
                    },
                ),
            );
        }
    }
    hold("only sfu/src/rtc names str0m", broken);
}

#[test]
fn only_the_worker_links_libav() {
    let libav = |name: &&String| name.starts_with("ffmpeg-") || name.starts_with("rusty_ffmpeg");
    let mut broken = Vec::new();
    for (name, uses) in METADATA.members.iter().filter(|(name, _)| *name != "weir-transcoder") {
        broken.extend(uses.iter().filter(libav).map(|found| {
            format!("`{name}` depends on `{found}`: codecs are the worker's, behind `transcode`")
        }));
        if uses.contains("weir-transcoder") {
            broken.push(format!("`{name}` depends on the worker: it is a program to be started"));
        }
    }
    broken.extend(METADATA.closure("server").iter().filter(libav).map(|found| {
        format!("`weir` pulls in `{found}`: Debian's libav is GPL, and a codec that crashes must not take it down")
    }));
    hold("only `weir-transcoder` links libav", broken);
}

#[test]
fn architecture_names_what_exists() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let named: BTreeSet<&str> = quoted(&text).filter(|name| looks_like_a_path(name)).collect();
    assert!(named.len() > 20, "ARCHITECTURE.md names {} files: are the walks gone?", named.len());
    let mut broken: Vec<String> = named
        .iter()
        .filter(|name| !root().join(name).exists())
        .map(|name| format!("ARCHITECTURE.md names `{name}`, which is not there: correct the walk"))
        .collect();
    for member in METADATA.members.keys() {
        let folder = format!("{}/", METADATA.folders[member]);
        if !named.iter().any(|name| name.starts_with(&folder)) {
            broken
                .push(format!("ARCHITECTURE.md does not name `{folder}`: say what the crate does"));
        }
    }
    hold("ARCHITECTURE.md tells the truth", broken);
}

#[test]
fn readme_names_every_key() {
    let keys = product_lines(&root().join("server/src/config/keys.rs"));
    // `("http.listen", "help"),`
    let known: BTreeSet<&str> = keys
        .iter()
        .filter_map(|(_, line)| line.trim().strip_prefix("(\"")?.split_once("\", "))
        .map(|(key, _)| key)
        .collect();
    assert!(
        known.len() > 10,
        "only {known:?} found: has server/src/config/keys.rs changed its form?"
    );
    let parts: BTreeSet<&str> = known.iter().filter_map(|key| key.split('.').next()).collect();
    let readme = read(&root().join("README.md"));
    let named: BTreeSet<&str> = quoted(&readme).collect();
    let missing = known.difference(&named).map(|key| {
        format!("README.md does not name `{key}`: add it to the table of the configuration")
    });
    let invented = named
        .iter()
        .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c)))
        .filter(|name| name.split_once('.').is_some_and(|(part, _)| parts.contains(part)))
        .filter(|name| !known.contains(*name))
        .map(|name| format!("README.md names `{name}`, which is no key: correct or remove it"));
    hold("README.md names every configuration key", missing.chain(invented).collect());
}

#[test]
fn every_file_says_what_it_is_for() {
    let broken = files(&root(), "rs").into_iter().filter(|file| !read(file).starts_with("//!"));
    hold(
        "every .rs file opens with `//!`",
        broken
            .map(|file| {
                format!("{} does not: say what this room is for and which RFC", shown(&file))
            })
            .collect(),
    );
}

#[test]
fn files_stay_short() {
    let mut broken = Vec::new();
    for file in files(&root(), "rs") {
        let lines = read(&file).lines().count();
        let name = shown(&file);
        match LONG_FILES.iter().find(|(long, _)| *long == name) {
            Some(_) if lines <= MAX_LINES => {
                broken.push(format!("{name} is short now: take it off LONG_FILES"))
            }
            None if lines > MAX_LINES => broken.push(format!(
                "{name} has {lines} lines: split it by topic (unit tests into `tests.rs` beside it), or list it in LONG_FILES with its reason"
            )),
            _ => {}
        }
    }
    hold("no file above 600 lines without a reason", broken);
}

#[test]
fn anyhow_stays_in_main() {
    let mut broken = Vec::new();
    for (name, uses) in &METADATA.members {
        if uses.contains("anyhow") && name != "server" && !OUTSIDE.contains(&name.as_str()) {
            broken.push(format!("`{name}` depends on anyhow: give it a `thiserror` enum"));
        }
    }
    for file in product_sources("server/src") {
        let named = product_lines(&file).iter().any(|(_, line)| says(line, "anyhow"));
        if named && shown(&file) != "server/src/main.rs" {
            broken.push(format!("{} names anyhow: return the crate's own error", shown(&file)));
        }
    }
    hold("anyhow only in server/src/main.rs", broken);
}

#[test]
fn crates_take_lints_from_the_workspace() {
    let broken = METADATA.members.keys().filter(|name| {
        let manifest: toml::Table = read(&root().join(&METADATA.folders[*name]).join("Cargo.toml"))
            .parse()
            .expect("a manifest is TOML");
        let inherits =
            manifest.get("lints").and_then(|l| l.get("workspace")).and_then(|w| w.as_bool());
        inherits != Some(true)
    });
    hold(
        "every crate has `[lints] workspace = true`",
        broken.map(|name| format!("`{name}/Cargo.toml` has not: add it")).collect(),
    );
}

#[test]
fn bans_carry_their_reason() {
    let clippy: toml::Table =
        read(&root().join("clippy.toml")).parse().expect("clippy.toml is TOML");
    let bans = clippy["disallowed-methods"].as_array().expect("a list");
    assert!(!bans.is_empty(), "clippy.toml bans nothing");
    let broken = bans
        .iter()
        .filter(|ban| ban.get("reason").and_then(|r| r.as_str()).is_none_or(str::is_empty))
        .map(|ban| format!("{ban} has no reason: say why and what to do instead"))
        .collect();
    hold("every ban in clippy.toml has a reason", broken);
}

#[test]
fn licences_of_the_product_are_permissive() {
    let deny: toml::Table = read(&root().join("deny.toml")).parse().expect("deny.toml is TOML");
    let allowed: BTreeSet<&str> = deny["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|licence| licence.as_str())
        .collect();
    let product = METADATA.closure("server");
    assert!(product.len() > 50, "only {} crates: is the closure right?", product.len());
    let broken = product
        .iter()
        .filter(|name| {
            let licences = &METADATA.licences[*name];
            !licences.iter().all(|licence| Spdx::allows(licence, &allowed))
        })
        .map(|name| {
            format!(
                "`{name}` is under {:?}: choose another crate, or add a permissive licence to deny.toml",
                METADATA.licences[name]
            )
        })
        .collect();
    hold("everything in `weir` has a permissive licence", broken);
}

#[test]
fn no_path_of_one_machine() {
    // Put together here, so that this file does not say them.
    let words = [["/wo", "rk/"].concat(), ["/ho", "me/"].concat(), ["/tmp/", "target"].concat()];
    let mut broken = Vec::new();
    for extension in ["rs", "toml", "md", "sh", "ts", "mjs", "js", "json", "html", "css", "lock"] {
        for file in files(&root(), extension) {
            let text = read(&file);
            broken.extend(words.iter().filter(|word| text.contains(*word)).map(|word| {
                format!("{} says `{word}`: use a path from the repository's root", shown(&file))
            }));
        }
    }
    hold("no path of one machine", broken);
}

/// What `cargo metadata` says, as far as the laws ask.
struct Metadata {
    /// Workspace member → the names in its `[dependencies]` and `[build-dependencies]`.
    members: BTreeMap<String, BTreeSet<String>>,
    /// Workspace member → its folder, from the root.
    folders: BTreeMap<String, String>,
    /// Package id → ids that it is built from on this platform, without dev-dependencies.
    edges: BTreeMap<String, Vec<String>>,
    names: BTreeMap<String, String>,
    /// Package name → licences of all its versions.
    licences: BTreeMap<String, BTreeSet<String>>,
}

impl Metadata {
    fn read() -> Self {
        // Only this platform, so that nothing has to be fetched after a build.
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", &platform])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();

        let inside: BTreeSet<String> = list(&json["workspace_members"]).iter().map(text).collect();
        let (mut members, mut folders) = (BTreeMap::new(), BTreeMap::new());
        let mut names = BTreeMap::new();
        let mut licences: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for package in list(&json["packages"]) {
            let (id, name) = (text(&package["id"]), text(&package["name"]));
            licences.entry(name.clone()).or_default().insert(text(&package["license"]));
            if inside.contains(&id) {
                let uses = list(&package["dependencies"])
                    .iter()
                    .filter(|dependency| dependency["kind"] != "dev")
                    .map(|dependency| text(&dependency["name"]))
                    .collect();
                members.insert(name.clone(), uses);
                let manifest = PathBuf::from(text(&package["manifest_path"]));
                folders.insert(name.clone(), manifest.parent().map(shown).unwrap_or_default());
            }
            names.insert(id, name);
        }
        let edges = list(&json["resolve"]["nodes"])
            .iter()
            .map(|node| {
                let built_from = list(&node["deps"]).into_iter().filter(|dependency| {
                    list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev")
                });
                (text(&node["id"]), built_from.map(|dependency| text(&dependency["pkg"])).collect())
            })
            .collect();
        Self { members, folders, edges, names, licences }
    }

    /// Names of all crates that `name` is built from, itself included.
    fn closure(&self, name: &str) -> BTreeSet<String> {
        let mut open: Vec<&String> =
            self.names.iter().filter(|(_, n)| *n == name).map(|(id, _)| id).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.edges.get(id).into_iter().flatten());
            }
        }
        seen.into_iter().map(|id| self.names[id].clone()).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_owned()
}

/// A path as it is written from the root.
fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

fn read(file: &Path) -> String {
    let text = fs::read_to_string(file);
    assert!(text.is_ok(), "{}: {text:?}", shown(file));
    text.unwrap_or_default()
}

fn sans_io() -> impl Iterator<Item = &'static str> {
    FLOORS
        .iter()
        .filter(|(name, floor)| *floor <= 1 && METADATA.members.contains_key(*name))
        .map(|(name, _)| *name)
}

/// Files below `folder` with this extension, without what is built or installed.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    const NOT_OURS: &[&str] =
        &["target", "node_modules", "dist", "out", "corpus", "artifacts", ".git", "__pycache__"];
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !NOT_OURS.iter().any(|skip| name == *skip) {
                open.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The sources of a crate without its files of tests.
fn product_sources(folder: &str) -> Vec<PathBuf> {
    let all = files(&root().join(folder), "rs");
    assert!(!all.is_empty(), "{folder} has no sources: is FLOORS right?");
    let only_tests = |file: &PathBuf| {
        let inside = file.strip_prefix(root().join(folder)).unwrap_or(file);
        inside.components().any(|part| {
            let part = part.as_os_str().to_string_lossy();
            ["test", "tests", "test.rs", "tests.rs"].contains(&part.as_ref())
        })
    };
    all.into_iter().filter(|file| !only_tests(file)).collect()
}

/// Numbered lines without comments and without items under `#[cfg(test)]`. Formatted code closes an item
/// with a brace at the item's own indent, so no parser is needed.
fn product_lines(file: &Path) -> Vec<(usize, String)> {
    let text = read(file);
    let mut lines = text.lines().enumerate();
    let mut found = Vec::new();
    while let Some((number, line)) = lines.next() {
        let code = line.trim_start();
        if code.starts_with("#[cfg(test)]") {
            let indent = line.len() - code.len();
            let close = format!("{}}}", " ".repeat(indent));
            let one_line = |l: &str| {
                l.len() > indent
                    && l.as_bytes()[indent] != b'#'
                    && (l.ends_with(';') || l.ends_with("{}"))
            };
            for (_, line) in lines.by_ref() {
                if line == close
                    || (line.len() - line.trim_start().len() == indent && one_line(line))
                {
                    break;
                }
            }
        } else if !code.starts_with("//") {
            found.push((number + 1, line.to_owned()));
        }
    }
    found
}

/// True if `line` has `word` and no letter right before it (`operand::` is not `rand::`).
fn says(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !word.starts_with(char::is_alphabetic)
            || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// What stands in backticks, outside fenced blocks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split("```").step_by(2).flat_map(|part| part.split('`').skip(1).step_by(2))
}

/// `sfu/src/demux.rs`, `web/`, `Makefile.toml`; not `/whip/{stream}`, `Hub::local`, `a = b`.
fn looks_like_a_path(name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let known =
        [".rs", ".toml", ".md", ".sh", ".ts", ".lock"].iter().any(|end| name.ends_with(end));
    plain && !name.starts_with('/') && (name.contains('/') || known)
}

fn hold(law: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "The law: {law}.\n  - {}\n", broken.join("\n  - "));
}
