//! What a viewer's feedback costs: a report, a NACK, and the transport-wide feedback of 60 ms, read.
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sfu::rtcp::{Packet, Writer, packets};

const OURS: u32 = 1;
const THEIRS: u32 = 2;

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer);
    writer.written().to_vec()
}

/// Reads all that a compound says, as a server has to.
fn read(compound: &[u8]) -> usize {
    packets(compound).fold(0, |sum, packet| {
        sum + match packet {
            Packet::Nack { seqs, .. } => seqs.map(usize::from).sum(),
            Packet::TransportCc(feedback) => feedback.arrivals().count(),
            Packet::ReceiverReport { blocks, .. } => blocks.count(),
            _ => 1,
        }
    })
}

fn rtcp(c: &mut Criterion) {
    let mut group = c.benchmark_group("rtcp");
    group.throughput(Throughput::Elements(1));
    let arrivals: Vec<(u16, Option<i64>)> =
        (0..16).map(|i| (i, (i != 7).then_some(64_000_000 + i64::from(i) * 3_700))).collect();
    let compounds = [
        (
            "transport-cc of 16 packets",
            written(|w| {
                w.transport_cc(OURS, THEIRS, 3, &arrivals).expect("it fits");
            }),
        ),
        (
            "nack of 20 packets",
            written(|w| {
                w.nack(OURS, THEIRS, (100..140).step_by(2)).expect("it fits");
            }),
        ),
        ("pli", written(|w| w.pli(OURS, THEIRS).expect("it fits"))),
    ];
    for (name, compound) in compounds {
        group.bench_function(name, |b| b.iter(|| read(black_box(&compound))));
    }
    group.finish();
}

criterion_group!(benches, rtcp);
criterion_main!(benches);
