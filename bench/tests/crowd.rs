//! The load tool against the real server: twenty viewers get the whole stream, and the JSON keeps its promise.

use std::path::{Path, PathBuf};
use std::process::Command;

use bench::server::{Process, Weir};
use serde_json::Value;

/// `$WEIR_BIN`, else the one that this build puts beside its tests, built if it is missing.
fn weir() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_BIN") {
        return path.into();
    }
    let tool = Path::new(env!("CARGO_BIN_EXE_weir-bench"));
    let path = tool.with_file_name("weir");
    if !path.exists() {
        let target = tool.parent().and_then(Path::parent).expect("target/debug lies in target");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--bin", "weir", "--target-dir"])
            .arg(target)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .status()
            .expect("cargo runs");
        assert!(built.success() && path.exists(), "`cargo build --bin weir` made no {path:?}");
    }
    path
}

#[test]
fn twenty_viewers_get_everything() {
    let weir = Weir::start(&weir(), 0, "127.0.0.1").unwrap();
    let tool = Path::new(env!("CARGO_BIN_EXE_weir-bench"));
    let whip = format!("{}/whip/show", weir.url);
    let arguments = ["whip", "--url", &whip, "--audio", "--bitrate", "500000"];
    let _publisher = Process::pinned(0, tool, &arguments, &std::env::temp_dir()).unwrap();
    weir.until_live("show").unwrap();

    let output = Command::new(tool)
        .args(["whep", "--url", &format!("{}/whep/show", weir.url)])
        .args(["--viewers", "20", "--seconds", "3", "--json"])
        .args(["--server-pid", &weir.pid().to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["viewers"], 20, "{found} {said}");
    assert_eq!(found["lost"], 0, "{found} {said}");
    assert_eq!(found["out_of_order"], 0, "{found}");
    assert_eq!(found["decrypt_failures"], 0, "{found}");
    // 30 frames of two packets or more, 50 packets of audio.
    let packets = found["packets"].as_u64().unwrap();
    assert!(packets > 20 * 3 * 90, "{found}");
    assert!(found["bits_per_second"].as_f64().unwrap() > 20.0 * 400_000.0, "{found}");
    for (object, field) in
        [("join_ms", "p50"), ("join_ms", "p99"), ("latency_us", "p50"), ("latency_us", "p99")]
    {
        assert!(found[object][field].as_f64().unwrap() > 0.0, "{object}.{field}: {found}");
    }
    for field in [
        "server_cpu_seconds",
        "server_cpu_ns_per_packet",
        "server_rss_bytes",
        "server_rss_per_viewer_bytes",
    ] {
        assert!(found[field].as_f64().unwrap() > 0.0, "{field}: {found}");
    }
    // They have left: nobody waits for consent to run out.
    assert_eq!(weir.metric("weir_viewers").unwrap(), 0.0);
}

#[test]
fn twenty_players_by_ll_hls_get_everything() {
    let weir = Weir::start(&weir(), 0, "127.0.0.1").unwrap();
    let tool = Path::new(env!("CARGO_BIN_EXE_weir-bench"));
    let rtmp = format!("{}/film", weir.rtmp().unwrap());
    let arguments = ["rtmp", "--url", &rtmp, "--publishers", "1", "--bitrate", "800000"];
    let arguments = [&arguments[..], &["--seconds", "600"]].concat();
    let _publisher = Process::pinned(0, tool, &arguments, &std::env::temp_dir()).unwrap();
    weir.until_live("film").unwrap();

    let output = Command::new(tool)
        .args(["hls", "--url", &format!("{}/live/film/index.m3u8", weir.url)])
        .args(["--viewers", "20", "--seconds", "5", "--json"])
        .args(["--server-pid", &weir.pid().to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["viewers"], &found["renditions"]), (&20.into(), &2.into()), "{found}");
    assert_eq!((&found["errors"], &found["missed"]), (&0.into(), &0.into()), "{found} {said}");
    // Five seconds in parts of at most 300 ms, of pictures and of sound.
    assert!(found["parts"].as_u64().unwrap() > 20 * 2 * 15, "{found}");
    assert!(found["bits_per_second"].as_f64().unwrap() > 20.0 * 500_000.0, "{found}");
    // From the end of a part's media until a player has it.
    assert!(found["part_age_ms"]["p50"].as_f64().unwrap() < 300.0, "{found}");
}
