//! What the shared ring of an encoding costs: a packet that comes in, one that is found for a
//! retransmission, and a group of pictures that is walked for a viewer who joins.
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use media::payload::PayloadInfo;
use media::{Kind, RtpPacket};
use sfu::feed::Packet;
use sfu::history::{History, Limits};

/// 2.5 Mbit/s.
const EVERY: Duration = Duration::from_micros(3_750);
const GOP: u64 = 1_000;

fn packet(seq: u64, begun: Instant, payload: &Arc<[u8]>) -> Arc<Packet> {
    let at = begun + EVERY * u32::try_from(seq).expect("a short bench");
    let rtp = RtpPacket {
        time: at,
        seq,
        timestamp: (seq / 9 * 3000) as u32,
        marker: seq % 9 == 8,
        arrival: at,
        payload: Arc::clone(payload),
        info: PayloadInfo::default(),
        extensions: media::rtp::Extensions::default(),
    };
    let start = seq.is_multiple_of(GOP);
    let kind = Kind::Video;
    Arc::new(Packet { encoding: 0, kind, start, position: seq, pad: 0, prefix: None, rtp })
}

fn history(c: &mut Criterion) {
    let begun = Instant::now();
    let payload: Arc<[u8]> = vec![7; 1_172].into();
    let mut group = c.benchmark_group("history");
    group.throughput(Throughput::Elements(1));
    // Full from the first round on: every packet that comes makes another one leave.
    let packets: Vec<Arc<Packet>> = (0..100_000).map(|i| packet(i, begun, &payload)).collect();
    let mut ring = History::new(Limits::default());
    let mut next = 0;
    group.bench_function("insert", |b| {
        b.iter(|| {
            if next == packets.len() {
                (ring, next) = (History::new(Limits::default()), 0);
            }
            next += 1;
            assert!(ring.insert(Arc::clone(&packets[next - 1])));
        });
    });
    let mut ring = History::new(Limits::default());
    packets[..3_000].iter().for_each(|packet| assert!(ring.insert(Arc::clone(packet))));
    let mut seq = 0;
    group.bench_function("get", |b| {
        b.iter(|| {
            seq = (seq + 777) % 3_000;
            black_box(ring.get(black_box(seq))).is_some()
        });
    });
    group.throughput(Throughput::Elements(GOP));
    group.bench_function("walk a group of pictures", |b| {
        b.iter(|| ring.from(black_box(2_000)).map(|p| p.rtp.payload.len()).sum::<usize>());
    });
    group.finish();
}

criterion_group!(benches, history);
criterion_main!(benches);
