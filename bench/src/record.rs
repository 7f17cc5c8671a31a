//! Records a packet trace by watching: everything is opened, retransmissions are put back in their
//! place, and the file begins at a keyframe.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use media::{Codec, Kind, payload};
use mio::{Events, Poll, Token};

use crate::dtls::Shared;
use crate::rtp::{self, Header};
use crate::signal::Signal;
use crate::sys::{self, Receiver};
use crate::trace::{Record, Trace};
use crate::viewer::{Opened, Tally, Viewer};

/// Without a packet for so long there is no stream.
const PATIENCE: u64 = 15_000_000;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// WHEP endpoint.
    pub url: String,
    /// Bearer token.
    pub token: Option<String>,
    /// How long, from the first packet.
    pub seconds: f64,
    /// Where to.
    pub out: PathBuf,
}

/// Records; says how many packets.
///
/// # Errors
/// If there is no stream, no keyframe, or the file cannot be written.
pub fn run(plan: &Plan) -> Result<usize> {
    let signal = Signal::new(&plan.url, plan.token.clone(), Arc::new(Shared::new(None)?), None)?;
    let mut viewer = Viewer::new(signal.watch(0)?, 0);
    let mut tape = Tape::default();
    let ended = watch(plan, &mut viewer, &mut tape);
    viewer.link.close();
    if let Some(resource) = &viewer.resource {
        signal.leave(resource);
    }
    ended?;
    let trace = tape.finish()?;
    trace.write(&plan.out)?;
    Ok(trace.records.len())
}

fn watch(plan: &Plan, viewer: &mut Viewer, tape: &mut Tape) -> Result<()> {
    let mut poll = Poll::new()?;
    let fd = viewer.link.fd();
    viewer.link.register(poll.registry(), Token(0))?;
    let (mut events, mut receiver) = (Events::with_capacity(8), Receiver::new(8));
    let mut tally = Tally::default();
    let started = sys::now_us();
    while !sys::stopped() {
        match poll.poll(&mut events, Some(Duration::from_millis(20))) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(error.into());
            }
            _ => {}
        }
        loop {
            let runs = receiver.receive(fd).unwrap_or(0);
            let now = sys::now_us();
            for run in 0..runs {
                let run = receiver.run(run);
                for datagram in run.datagrams {
                    if !rtp::is_media(datagram) {
                        viewer.link.control(now, run.from, datagram)?;
                    } else if let Some(opened) = viewer.media_all(now, run.at, datagram, &mut tally)
                    {
                        tape.take(now, &opened, datagram);
                    }
                }
            }
            if runs < receiver.capacity() {
                break;
            }
        }
        let now = sys::now_us();
        viewer.tick(now);
        if let Some(failed) = &viewer.failed {
            bail!("{failed}");
        }
        match viewer.first_media {
            Some(first) if now >= first + (plan.seconds * 1e6) as u64 => break,
            None if now >= started + PATIENCE => bail!("no packet came"),
            _ => {}
        }
    }
    Ok(())
}

/// What was recorded, by kind and sequence number.
#[derive(Default)]
struct Tape {
    codec: Option<Codec>,
    packets: BTreeMap<(bool, u64), (u64, Header, Vec<u8>)>,
}

impl Tape {
    fn take(&mut self, now: u64, opened: &Opened, datagram: &[u8]) {
        let Opened { header, index, codec, kind, ref range } = *opened;
        let video = kind == Kind::Video;
        if video {
            self.codec = self.codec.or(codec);
        }
        // What came again keeps the time of its first coming.
        let payload = datagram[range.clone()].to_vec();
        self.packets.entry((video, index)).or_insert((now, header, payload));
    }

    fn finish(self) -> Result<Trace> {
        let codec = self.codec.context("no video came that we know")?;
        let start = self
            .packets
            .iter()
            .filter(|((video, _), _)| *video)
            .find(|(_, (_, _, bytes))| payload::inspect(codec, bytes).keyframe_start)
            .map(|(_, (at, _, _))| *at)
            .context("no keyframe came: record for longer")?;
        let mut records = Vec::new();
        let mut base = [None; 2];
        for ((video, _), (at, header, payload)) in self.packets {
            if at < start {
                continue;
            }
            let base = base[usize::from(video)].get_or_insert(header.timestamp);
            let timestamp = header.timestamp.wrapping_sub(*base);
            records.push(Record {
                at: at - start,
                video,
                marker: header.marker,
                timestamp,
                payload,
            });
        }
        // Both kinds in the order of their arrival, each in the order of its numbers.
        let mut latest = [0; 2];
        for record in &mut records {
            let latest = &mut latest[usize::from(record.video)];
            *latest = record.at.max(*latest);
            record.at = *latest;
        }
        records.sort_by_key(|r| r.at);
        Ok(Trace { codec, records })
    }
}
