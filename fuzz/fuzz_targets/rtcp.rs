//! A decrypted RTCP compound of a viewer: reading it never panics, ends, and costs no more than its
//! length allows; feedback that we write again says the same.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sfu::rtcp::{MAX_STATUSES, Packet, Writer, packets, rtt};

const MINUTE: Duration = Duration::from_secs(60);

fuzz_target!(|data: &[u8]| {
    // A datagram.
    let data = &data[..data.len().min(2048)];
    let (mut count, mut entries, mut statuses) = (0, 0, 0);
    let mut malformed = false;
    for packet in packets(data) {
        assert!(!malformed, "something behind what cannot be read");
        count += 1;
        match packet {
            Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } => {
                entries += blocks.inspect(|b| assert!(rtt(0x1234_5678, b) <= Some(MINUTE))).count();
            }
            Packet::Nack { media_ssrc, seqs } => {
                let asked: Vec<u16> = seqs.collect();
                entries += asked.len().div_ceil(17);
                let mut buffer = [0; 16 * 2048];
                let mut writer = Writer::new(&mut buffer);
                writer.nack(1, media_ssrc, asked.iter().copied()).expect("room");
                let Some(Packet::Nack { seqs, .. }) = packets(writer.written()).next() else {
                    assert!(asked.is_empty());
                    continue;
                };
                let mut again: Vec<u16> = seqs.collect();
                let mut asked = asked;
                asked.sort_unstable();
                asked.dedup();
                again.sort_unstable();
                again.dedup();
                assert_eq!(again, asked);
            }
            Packet::Remb { ssrcs, .. } => entries += ssrcs.count(),
            Packet::TransportCc(feedback) => {
                let arrivals: Vec<_> = feedback.arrivals().collect();
                assert_eq!(arrivals.len(), usize::from(feedback.status_count));
                statuses += arrivals.len();
                rewrite(&arrivals);
            }
            Packet::Malformed => malformed = true,
            _ => {}
        }
    }
    assert!(count <= data.len() / 4 + 1);
    assert!(entries <= data.len() / 4);
    assert!(statuses <= MAX_STATUSES as usize);
});

/// What was read is written, and read again, in as many packets as it takes.
fn rewrite(mut arrivals: &[(u16, Option<i64>)]) {
    let mut buffer = [0; 32 * 1024];
    while !arrivals.is_empty() {
        let mut writer = Writer::new(&mut buffer);
        let taken = writer.transport_cc(1, 2, 3, arrivals).expect("room");
        assert!(taken > 0);
        let (now, later) = arrivals.split_at(taken);
        let mut read = packets(writer.written());
        let Some(Packet::TransportCc(feedback)) = read.next() else { panic!("not what we wrote") };
        assert!(read.next().is_none());
        let first = now.iter().find_map(|(_, at)| *at).unwrap_or_default();
        let reference = first.div_euclid(64_000) * 64_000;
        for (read, (seq, at)) in feedback.arrivals().zip(now) {
            assert_eq!(read, (*seq, at.map(|at| at - reference)));
        }
        arrivals = later;
    }
}
