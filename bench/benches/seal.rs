//! One packet sealed for one viewer, per SRTP profile: with one key that stays in the cache, and
//! with the keys of a thousand viewers in turn.
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sfu::transport::srtp::{Keys, Profile, Sealer};

const HEADER: usize = 20;
const PAYLOAD: usize = 1172;

fn sealers(profile: Profile, count: usize) -> Vec<Sealer> {
    let sealer = |i: usize| {
        let mut material = vec![7; profile.material_len()];
        material[..8].copy_from_slice(&(i as u64).to_be_bytes());
        let (keys, _) = Keys::pair(profile, &material).expect("as long as the profile says");
        Sealer::new(&keys).expect("keys of this profile")
    };
    (0..count).map(sealer).collect()
}

fn seal(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal");
    group.throughput(Throughput::Elements(1));
    for profile in [Profile::Aes128Gcm, Profile::Aes256Gcm, Profile::Aes128CmSha1] {
        for viewers in [1, 1000] {
            let mut sealers = sealers(profile, viewers);
            let payload = [0x5a; PAYLOAD];
            let mut packet = vec![0; HEADER + PAYLOAD + profile.rtp_overhead()];
            let mut turn = 0u64;
            let id = BenchmarkId::new(profile.name(), format!("{viewers} keys"));
            group.bench_function(id, |b| {
                b.iter(|| {
                    turn += 1;
                    packet[..4].copy_from_slice(&[0x80, 102, (turn >> 8) as u8, turn as u8]);
                    packet[HEADER..HEADER + PAYLOAD].copy_from_slice(&payload);
                    let sealer = &mut sealers[turn as usize % viewers];
                    assert!(sealer.seal_rtp(&mut packet, HEADER, turn));
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, seal);
criterion_main!(benches);
