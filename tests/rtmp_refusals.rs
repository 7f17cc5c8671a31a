//! What an encoder is told that may not publish, or not any more; and RTMPS.

use std::time::{Duration, Instant};

use tests::clip::{Clip, Codec};
use tests::film::{Ffmpeg, Film, Recipe};
use tests::rtmp::Air;
use tests::tls::Identity;
use tests::{Encoder, Publisher, Rtmp, Viewer, Weir, http};

const AT_ONCE: Duration = Duration::from_secs(5);

fn air(weir: &Weir, film: &Film) -> Air {
    let rtmp = Rtmp::publish(weir, "live", "show").expect("it may publish");
    Air::start(rtmp, film.tags(), film.length(), 0)
}

#[test]
fn a_token_is_asked_for_and_taken_from_the_key() {
    let weir = Weir::configured("[[access]]\naction = \"publish\"\ntoken = \"hush\"\n");
    for key in ["show", "show?token=loud"] {
        let refused = Rtmp::publish(&weir, "live", key).err().expect("it has no right to");
        assert_eq!(refused.level, "error", "{key}: {refused:?}");
        assert!(refused.description.contains("token"), "{key}: {refused:?}");
    }
    let film = Film::small(Recipe::PLAIN);
    let mut encoder = Encoder::publish(&film, &weir.rtmp_url("show?token=loud"));
    assert!(!encoder.ended(AT_ONCE * 2).success());
    assert!(encoder.log().contains("token"), "FFmpeg says why:\n{}", encoder.log());
    assert_eq!(weir.state("show"), "gone");

    let _encoder = Encoder::publish(&film, &weir.rtmp_url("show?token=hush"));
    let live = weir.until("show", |s| s["state"] == "live");
    assert!(!live.to_string().contains("hush"), "the token is nobody's business: {live:#}");
    assert!(!weir.log().contains("hush"), "nor the log's:\n{}", weir.log());
}

#[test]
fn names_and_applications_are_checked() {
    let weir = Weir::start();
    for key in ["", "a/b", "über", &"x".repeat(129)] {
        let refused = Rtmp::publish(&weir, "live", key).err().unwrap_or_else(|| panic!("{key:?}"));
        assert_eq!(refused.level, "error", "{key:?}: {refused:?}");
        assert!(!refused.description.is_empty(), "{key:?}: {refused:?}");
    }
    let refused = Rtmp::publish(&weir, "elsewhere", "show").err().expect("no such application");
    assert_eq!(refused.level, "error", "{refused:?}");
    assert!(
        refused.description.contains("elsewhere") || refused.description.contains("live"),
        "{refused:?}"
    );
    let mut encoder = Encoder::publish(
        &Film::small(Recipe::PLAIN),
        &format!("rtmp://{}/elsewhere/show", weir.rtmp()),
    );
    assert!(!encoder.ended(AT_ONCE * 2).success());
    let log = encoder.log();
    assert!(log.contains("live") || log.contains("elsewhere"), "FFmpeg says why:\n{log}");
    let log = weir.log();
    let line = |what: &str| log.lines().any(|l| l.contains("refused by RTMP") && l.contains(what));
    assert!(line("app=\"elsewhere\"") && line("stream=a/b"), "{log}");
}

#[test]
fn an_instance_of_an_application_is_not_taken_for_the_application() {
    let weir = Weir::start();
    let url = format!("rtmp://{}/live/a/b", weir.rtmp());
    let mut encoder = Encoder::publish(&Film::small(Recipe::PLAIN), &url);
    assert!(!encoder.ended(AT_ONCE * 2).success());
    assert!(encoder.log().contains("has no slash"), "FFmpeg says why:\n{}", encoder.log());
    assert_eq!(weir.state("b"), "gone");
    for app in ["live/_definst_", "live"] {
        Rtmp::publish(&weir, app, "show").expect("it may publish").leave("show");
    }
    let weir = Weir::configured("[rtmp]\napp = \"live,live/0\"\n");
    Rtmp::publish(&weir, "live/0", "show").expect("it may publish").leave("show");
}

#[test]
fn any_application_is_taken_if_the_configuration_says_so() {
    for apps in ["live,elsewhere", "*"] {
        let weir = Weir::configured(&format!("[rtmp]\napp = \"{apps}\"\n"));
        for app in ["live", "elsewhere"] {
            let rtmp = Rtmp::publish(&weir, app, app).expect("it may publish");
            rtmp.leave(app);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_second_takes_over_and_the_first_is_closed() {
    let weir = Weir::start();
    let (small, large) =
        (Film::new(Recipe::PLAIN, "320x180", 600), Film::new(Recipe::PLAIN, "640x360", 90));
    let first = air(&weir, &small);
    weir.until("show", |s| s["state"] == "live");
    let viewer = Viewer::join(&weir, "show").await;
    viewer.more_video(60).await;
    let _second = air(&weir, &large);
    weir.until("show", |s| s["tracks"][0]["encodings"][0]["width"] == 640);
    let rtmp = first.stop();
    rtmp.closed(AT_ONCE);
    let last = rtmp.statuses().pop().expect("it is told");
    assert!(last.description.contains("publisher") || last.code.contains("Unpublish"), "{last:?}");
    viewer.more_video(60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reject_says_no_to_the_second() {
    let weir = Weir::configured("[stream]\non_conflict = \"reject\"\n");
    let film = Film::small(Recipe::PLAIN);
    let first = air(&weir, &film);
    weir.until("show", |s| s["state"] == "live");
    let refused = Rtmp::publish(&weir, "live", "show").err().expect("there is one already");
    assert_eq!(refused.code, "NetStream.Publish.BadName", "{refused:?}");
    assert!(refused.description.contains("stream.on_conflict"), "{refused:?}");
    let offer = Publisher::offer(&tests::publisher::Show::of(Clip::small(Codec::Vp8))).await;
    weir.offer("/whip/show", &offer).problem(409);
    assert!(first.goes_on());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_ends_the_connection_and_the_encoder() {
    let weir = Weir::start();
    let mut encoder = Encoder::publish(&Film::small(Recipe::PLAIN), &weir.rtmp_url("show"));
    weir.until("show", |s| s["state"] == "live");
    let viewer = Viewer::join(&weir, "show").await;
    viewer.more_video(30).await;
    let kicked = http::send("DELETE", &weir.at("/api/v1/streams/show/publisher"), &[], &[]);
    assert_eq!(kicked.status / 100, 2, "{}", kicked.text());
    encoder.ended(AT_ONCE);
    weir.until("show", |s| s["state"] == "ended");

    // And so does it for one that only listens.
    let rtmp = air(&weir, &Film::small(Recipe::PLAIN)).stop();
    http::send("DELETE", &weir.at("/api/v1/streams/show/publisher"), &[], &[]);
    rtmp.closed(AT_ONCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_leaves_or_is_killed_is_known_to_be_gone() {
    let weir = Weir::start();
    let film = Film::small(Recipe::PLAIN);
    for how in ["INT", "KILL"] {
        let mut encoder = Encoder::publish(&film, &weir.rtmp_url("show"));
        weir.until("show", |s| s["state"] == "live");
        let _viewer = Viewer::join(&weir, "show").await;
        tests::encoder::signal(encoder.pid(), how);
        encoder.ended(AT_ONCE);
        let left = Instant::now();
        weir.until("show", |s| s["state"] != "live");
        assert!(
            left.elapsed() < Duration::from_secs(2),
            "{how}: noticed after {:?}",
            left.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rtmps_is_rtmp_in_tls() {
    let identity = Identity::new();
    let toml = format!("{}[rtmp]\ntls_listen = \"127.0.0.1:0\"\n", identity.toml());
    let weir = Weir::configured(&toml);
    let film = Film::small(Recipe::PLAIN);
    let url = format!("rtmps://{}/live/show", weir.listener("rtmp.tls_listen"));
    for by in [Ffmpeg::Old, Ffmpeg::New] {
        let film = Film { recipe: Recipe { by, ..film.recipe }, ..(*film).clone() };
        // It holds the certificate against the name.
        let ca = identity.authority().display().to_string();
        let encoder = Encoder::publish_with(&film, &url, &["-tls_verify", "1", "-ca_file", &ca]);
        weir.until("show", |s| s["state"] == "live");
        let viewer = Viewer::join(&weir, "show").await;
        viewer.more_video(60).await;
        encoder.stop();
        weir.until("show", |s| s["state"] != "live");
    }
}
