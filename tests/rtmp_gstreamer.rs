//! GStreamer publishes and plays by RTMP, by both of its sinks: the one over librtmp, and its own.

use std::time::Duration;

use tests::{Encoder, Viewer, Weir};

/// Pictures and a tone, as live sources make them.
fn studio(sink: &str, url: &str) -> String {
    format!(
        "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 \
         ! x264enc tune=zerolatency key-int-max=60 bitrate=300 ! flvmux name=mux streamable=true \
         ! {sink} location={url} audiotestsrc is-live=true ! audioconvert ! voaacenc ! mux."
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sinks_publish_and_viewers_see_and_hear() {
    let weir = Weir::start();
    for sink in ["rtmpsink", "rtmp2sink"] {
        let mut encoder = Encoder::gstreamer(&studio(sink, &weir.rtmp_url(sink)));
        let live = weir.until(sink, |s| {
            s["state"] == "live" && s["tracks"].as_array().is_some_and(|tracks| tracks.len() == 2)
        });
        assert_eq!(live["publisher"]["protocol"], "rtmp", "{live:#}");
        let viewer = Viewer::join(&weir, sink).await;
        viewer.until_video("pictures", |t| t.len() > 150).await;
        viewer.until_audio("sound", |t| t.len() > 200).await;

        // Its own source plays what it publishes, and then has had enough.
        let url = weir.rtmp_url(sink);
        let mut player =
            Encoder::gstreamer(&format!("rtmp2src location={url} num-buffers=100 ! fakesink"));
        assert!(player.ended(Duration::from_secs(15)).success(), "{}", player.log());
        assert!(encoder.runs(), "{}", encoder.log());
        viewer.leave().await;
        encoder.stop();
        weir.until(sink, |s| s["state"] != "live");
    }
}

#[test]
fn who_may_not_publish_is_told_so() {
    let weir = Weir::configured("[[access]]\naction = \"publish\"\ntoken = \"hush\"\n");
    for sink in ["rtmpsink", "rtmp2sink"] {
        let mut encoder = Encoder::gstreamer(&studio(sink, &weir.rtmp_url("show")));
        assert!(!encoder.ended(Duration::from_secs(15)).success(), "{sink}:\n{}", encoder.log());
        assert_eq!(weir.state("show"), "gone");
    }
}
