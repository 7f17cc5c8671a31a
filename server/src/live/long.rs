//! Playlists of windows of hours: what it takes to write and to compress one, and for how long others wait meanwhile. The
//! figures are printed (`cargo test -p server --lib long_windows -- --nocapture`); only what is written is held to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{AccessUnit, Codec, Kind, MediaTime};
use packager::hls::Form;
use packager::{Anchor, Config, Epoch, Packager, Rendition, RenditionId, Segment, View};

use super::channel::{Playlist, Show};
use super::text::Coding;
use crate::clock;

const SOUND: RenditionId = RenditionId { kind: Kind::Audio, index: 0 };
const SEGMENT: Duration = Duration::from_secs(2);

/// A rendition with a window so long.
fn view(hours: u64) -> Arc<View> {
    let window = Duration::from_secs(hours * 3600);
    let part = Some(Duration::from_millis(200));
    let config = Config { segment: SEGMENT, part, window, bytes: 64 << 20 };
    let (instant, unix) = (clock::now(), Duration::from_secs(1_700_000_000));
    let anchor = Anchor { instant, unix };
    let mut packager = Packager::new(config, Epoch::new("e1").unwrap(), anchor);
    packager.show();
    packager.add(Rendition { id: SOUND, label: String::new(), language: None });
    let head = media::config::opus::Head::stereo().build();
    packager.format(SOUND, &media::config::format(Codec::Opus, head).unwrap()).unwrap();
    for n in 0..500 {
        let at = MediaTime::from_millis(20 * n);
        let data = vec![0xfc; 100].into();
        let unit = AccessUnit { dts: at, pts: at, keyframe: true, data };
        packager.unit(SOUND, &unit, instant + Duration::from_millis(20 * n as u64));
    }
    let short = packager.views().pop().unwrap();
    let like = |segment: &Segment, msn: u64| {
        let start = MediaTime::new(2 * i64::try_from(msn).unwrap(), 1);
        Arc::new(Segment { msn, start, unix: unix + SEGMENT * msn as u32, ..segment.clone() })
    };
    let count = hours * 1800;
    let template = short.segments.last().unwrap();
    let segments = (1..=count).map(|msn| like(template, msn)).collect();
    let running = short.running.as_deref().map(|running| like(running, count + 1));
    let targets = packager::Targets { segment: 2, ..short.targets };
    Arc::new(View { segments: Arc::new(segments), running, targets, ..(*short).clone() })
}

fn ms(since: Instant) -> f64 {
    clock::now().saturating_duration_since(since).as_secs_f64() * 1000.0
}

/// On one thread, so that whoever holds it holds up all.
#[tokio::test]
async fn long_windows_hold_nobody_up() {
    println!("window  bytes    written  delta    br       gzip     longest wait of others");
    for hours in [1, 6, 24] {
        let view = view(hours);
        let start = clock::now();
        let full = packager::hls::media(&view, &[], Form::Full, "");
        let write = ms(start);
        let start = clock::now();
        let delta = packager::hls::media(&view, &[], Form::Delta, "");
        let skip = ms(start);
        assert!(
            delta.len() * 10 < full.len() && full.matches("#EXTINF").count() as u64 >= hours * 1800
        );

        let show = Show::new(Epoch::new("e1").unwrap(), None);
        show.publish(vec![view]);
        let sheet = show.sheet(SOUND).unwrap();
        let made = async {
            let start = clock::now();
            let text = sheet.text(Playlist::Media(Form::Full), "").await.unwrap();
            let written = ms(start);
            let brotli = text.coded(Coding::Brotli).await.unwrap();
            let br = ms(start) - written;
            text.coded(Coding::Gzip).await.unwrap();
            assert!(brotli.len() * 5 < full.len());
            assert_eq!(text.coded(Coding::Plain).await.unwrap(), full);
            (br, ms(start) - written - br)
        };
        let mut longest = 0.0_f64;
        let others = async {
            loop {
                let start = clock::now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                longest = longest.max(ms(start));
            }
        };
        let (br, gzip) = tokio::select! {
            biased;
            () = others => unreachable!(),
            made = made => made,
        };
        println!(
            "{hours:>4} h {:>8} {write:>8.2} {skip:>8.3} {br:>8.2} {gzip:>8.2} {longest:>8.2} ms",
            full.len()
        );
    }
}
