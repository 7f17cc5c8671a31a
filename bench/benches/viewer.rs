//! What is done for each viewer and packet before the seal: the choice that gates a packet, and the
//! header it gets; and what is done when something changes: which encoding to show.
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use media::payload::PayloadInfo;
use media::{Codec, EncodingId, RtpPacket};
use sfu::stats::Origin;
use sfu::viewer::rewriter::{Rewriter, Target};
use sfu::viewer::selector::{Candidate, Selector, Verdict, Wanted, choose};

const VIEWERS: usize = 1_000;
const TARGET: Target = Target { encoding: 2, codec: Codec::H264, pt: 102, rtx: Some(103) };

fn packet(seq: u64, begun: Instant) -> RtpPacket {
    let at = begun + Duration::from_micros(3_750) * u32::try_from(seq).expect("a short bench");
    RtpPacket {
        time: at,
        seq,
        timestamp: (seq / 9 * 3000) as u32,
        marker: seq % 9 == 8,
        arrival: at,
        payload: Arc::from([7; 1_172]),
        info: PayloadInfo::default(),
        extensions: media::rtp::Extensions::default(),
    }
}

fn rewriter(c: &mut Criterion) {
    let begun = Instant::now();
    let packets: Vec<RtpPacket> = (0..10_000).map(|seq| packet(seq, begun)).collect();
    let mut group = c.benchmark_group("rewriter");
    group.throughput(Throughput::Elements(1));
    let fresh = || -> Vec<Rewriter> {
        let one = |i| {
            let mut rewriter = Rewriter::new(i as u16);
            rewriter.switch(TARGET, &packets[0], false);
            rewriter
        };
        (0..VIEWERS).map(one).collect()
    };
    let (mut viewers, mut turn) = (fresh(), 0);
    group.bench_function("rewrite, 1000 viewers", |b| {
        b.iter(|| {
            let (viewer, number) = (turn % VIEWERS, turn / VIEWERS % packets.len());
            turn += 1;
            viewers[viewer].rewrite(black_box(&packets[number]))
        });
    });
    let mut viewer = fresh().remove(0);
    assert!(packets.iter().all(|packet| viewer.rewrite(packet).is_some()));
    let mut back = 0;
    group.bench_function("origin of a packet asked for again", |b| {
        b.iter(|| {
            back = (back + 7) % 5_000;
            black_box(viewer.origin(black_box(9_999 - back)))
        });
    });
    group.finish();
}

fn selector(c: &mut Criterion) {
    let mut group = c.benchmark_group("selector");
    group.throughput(Throughput::Elements(1));
    let mut selector = Selector::default();
    selector.aim(Some(2));
    assert_eq!(selector.judge(2, true), Verdict::Switch);
    let mut turn = 0;
    group.bench_function("judge", |b| {
        b.iter(|| {
            turn += 1;
            black_box(selector.judge(black_box(turn % 3), false))
        });
    });
    let layers: Vec<Candidate> = ["q", "h", "f"]
        .iter()
        .enumerate()
        .map(|(index, id)| Candidate {
            index,
            id: EncodingId::new(id).expect("a valid id"),
            origin: Origin::Source,
            codec: Codec::H264,
            takeable: true,
            active: true,
            dimensions: None,
            rank: (100 << (2 * index), 0),
        })
        .collect();
    group.bench_function("choose of three encodings", |b| {
        let wanted = Wanted::Encoding(EncodingId::new("h").expect("a valid id"));
        b.iter(|| black_box(choose(black_box(&layers), wanted, Some(2))));
    });
    group.finish();
}

criterion_group!(benches, rewriter, selector);
criterion_main!(benches);
