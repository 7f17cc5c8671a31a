//! Rows of the suite: how late WebRTC viewers of a stream get it, and how late while a crowd plays the same stream by
//! LL-HLS: the server's media threads and those that answer HTTP share one core.

use anyhow::{Context as _, Result};

use super::beside::{STREAM, plan, until_listed};
use super::{Outcome, Plan, run};
use crate::load::{self, Hooks};
use crate::outcome::percentiles;
use crate::server::Weir;
use crate::source::Shape;
use crate::suite::{Config, Source};
use crate::table::{Row, Table, Values};

/// WebRTC viewers.
const VIEWERS: usize = 20;
/// Players by HLS, and the stream that they play: most of what they cost are requests, or bits.
const CROWDS: [(usize, Shape, &str); 2] = [
    (2000, Shape { bitrate: 300_000, fps: 30, gop: 60, audio: false }, "0.3 Mbit/s"),
    (1000, Shape { bitrate: 2_500_000, fps: 30, gop: 60, audio: false }, "2.5 Mbit/s"),
];
/// Of the short form.
const FEW: usize = 200;

/// The floor of these rows is the same without the crowd.
pub(crate) fn rows(config: &Config, table: &mut Table) -> Result<()> {
    for (players, shape, bitrate) in CROWDS {
        let players = if config.quick { FEW } else { players };
        let mut with = [Values::default(), Values::default()];
        let mut without = with.clone();
        let mut about = String::new();
        for _ in 0..config.repeats {
            measure(config, shape, None, &mut without)?;
            let crowd = measure(config, shape, Some(players), &mut with)?;
            about = crowd.map(|crowd| said(&crowd)).unwrap_or_default();
            eprintln!("WHEP latency meanwhile: {about}");
        }
        for (values, floor, which) in
            with.into_iter().zip(without).zip(["p50", "p99"]).map(|((a, b), c)| (a, b, c))
        {
            let name = format!(
                "WHEP latency, {VIEWERS} viewers, while {players} play {bitrate} by LL-HLS: {which}"
            );
            table.push(Row::new(&name, "µs", values, Some(floor)).about(&about));
        }
    }
    Ok(())
}

fn said(crowd: &Outcome) -> String {
    let server = crowd.server.unwrap_or_default();
    format!(
        "{} players, {:.0} requests/s, {:.2} Gbit/s, {} late, {} errors, server {:.0} % busy, waited {:.1} % for its core; the floor is nobody by HLS",
        crowd.viewers,
        crowd.requests_per_second(),
        crowd.bits_per_second() / 1e9,
        crowd.late,
        crowd.errors,
        100.0 * server.cpu_seconds / crowd.seconds.max(1e-9),
        100.0 * server.waited_seconds / crowd.seconds.max(1e-9),
    )
}

/// One server, with the crowd or without: p50 and p99 in µs.
fn measure(
    config: &Config,
    shape: Shape,
    players: Option<usize>,
    values: &mut [Values; 2],
) -> Result<Option<Outcome>> {
    let weir = Weir::start(&config.weir, config.server_core, "127.0.0.1")?;
    let _publisher = config.publisher(&weir.url, &Source::Made(shape), 1)?;
    weir.until_live(STREAM)?;
    let url = format!("{}/live/{STREAM}/index.m3u8", weir.url);
    // Longer than the viewers are measured, who begin when all of the crowd play.
    let crowd = players.map(|players| Plan {
        url,
        seconds: config.seconds + 8.0,
        server_pid: Some(weir.pid()),
        ..plan(config, players)
    });
    let ramp = crowd.as_ref().map_or(0.0, |crowd| crowd.viewers as f64 / crowd.ramp + 2.0);
    std::thread::scope(|scope| {
        let crowd = match crowd {
            Some(crowd) => {
                until_listed(&crowd.url)?;
                Some(scope.spawn(move || run(&crowd)))
            }
            None => None,
        };
        std::thread::sleep(std::time::Duration::from_secs_f64(ramp));
        let plan = load::Plan { seconds: config.seconds, ..config.plan(&weir, VIEWERS) };
        let outcome = load::run(&plan, &mut () as &mut dyn Hooks)?;
        let (p50, p99) = percentiles(&outcome.latency_us).context("no times came")?;
        values[0].push(f64::from(p50));
        values[1].push(f64::from(p99));
        let crowd =
            crowd.map(|crowd| crowd.join().unwrap_or_else(|_| anyhow::bail!("it panicked")));
        crowd.transpose()
    })
}
