//! Bytes of real clients and counted by hand, round trips, an independent implementation as oracle,
//! and hostile bytes.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rtc_rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc_rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::SourceDescription;
use rtc_rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc_rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;

use super::*;

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 0x0102_0304,
    fraction_lost: 64,
    cumulative_lost: -2,
    highest_seq: 0x0001_fffe,
    jitter: 900,
    lsr: 0xcafe_8000,
    dlsr: 0x0001_8000,
};
#[rustfmt::skip]
const BLOCK_BYTES: [u8; 24] = [
    1, 2, 3, 4, 64, 0xff, 0xff, 0xfe, 0, 1, 0xff, 0xfe, 0, 0, 3, 0x84, 0xca, 0xfe, 0x80, 0, 0, 1, 0x80, 0,
];
/// One packet that came, as a Chromium of 2019 sent it: padded, 148 deltas behind the reference.
#[rustfmt::skip]
const CHROMIUM: [u8; 24] = [
    0xaf, 0xcd, 0, 5, 0xfa, 0x17, 0xfa, 0x17, 0x43, 0x03, 0x2f, 0xa0,
    0, 0x99, 0, 1, 0x3d, 0xe8, 2, 0x17, 0x20, 1, 0x94, 1,
];

type Arrival = (u16, Option<i64>);

/// The compound that `write` writes.
fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut buffer = [0xaa; 9000];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer).expect("room");
    writer.written().to_vec()
}

fn only(compound: &[u8]) -> Packet<'_> {
    let mut all = packets(compound);
    let first = all.next().expect("a packet");
    assert!(all.next().is_none(), "more than one packet");
    first
}

/// One packet of feedback with this body behind the two SSRCs.
fn feedback(format: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let words = (body.len() / 4 + 2) as u8;
    [&[0x80 | format, kind, 0, words, 0, 0, 0, 1, 0, 0, 0, 2], body].concat()
}

/// Reads everything that is there to be read. How many packets, and how many entries in them.
fn drain(compound: &[u8]) -> (usize, usize) {
    let (mut count, mut entries) = (0, 0);
    let mut all = packets(compound);
    while let Some(packet) = all.next() {
        count += 1;
        entries += match packet {
            Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } => {
                blocks.inspect(|b| assert!(rtt(7, b) <= Some(Duration::from_secs(60)))).count()
            }
            Packet::Nack { seqs, .. } => seqs.count(),
            Packet::TransportCc(feedback) => {
                let arrivals = feedback.arrivals().count();
                assert_eq!(arrivals, usize::from(feedback.status_count));
                arrivals
            }
            Packet::Remb { ssrcs, .. } => ssrcs.count(),
            Packet::Malformed => {
                assert!(all.next().is_none(), "something behind what cannot be read");
                0
            }
            _ => 0,
        }
    }
    assert!(count <= compound.len() / 4 + 1);
    assert!(entries <= 17 * compound.len() / 4 + MAX_STATUSES as usize);
    (count, entries)
}

/// One of everything.
fn all_kinds() -> Vec<u8> {
    written(|w| {
        let info = SenderInfo { ntp: u64::MAX / 3, rtp_timestamp: 1, packets: 2, octets: 3 };
        w.sender_report(1, &info, &[BLOCK])?;
        w.cname(1, "weir")?;
        w.receiver_report(1, &[BLOCK, BLOCK])?;
        w.nack(1, 2, [9, 10, 26, 65_535])?;
        w.pli(1, 2)?;
        w.fir(1, 2, 3)?;
        w.transport_cc(1, 2, 3, &[(1, Some(0)), (2, None), (3, Some(90_000)), (5, Some(9))])?;
        w.remb(1, 1_000_000, &[2, 3])?;
        w.bye(&[1])
    })
}

#[test]
fn reports_byte_for_byte() {
    let head = [0x81, 201, 0, 7, 0, 0, 0, 9];
    let bytes = [&head[..], &BLOCK_BYTES].concat();
    assert_eq!(written(|w| w.receiver_report(9, &[BLOCK])), bytes);
    let Packet::ReceiverReport { ssrc: 9, blocks } = only(&bytes) else { panic!() };
    assert_eq!(blocks.collect::<Vec<_>>(), [BLOCK]);

    #[rustfmt::skip]
    let head = [
        0x81, 200, 0, 12, 0, 0, 0, 9, 0xe0, 0, 0, 1, 0x80, 0, 0, 0,
        0, 1, 0x5f, 0x90, 0, 0, 0, 7, 0, 0, 0x20, 0,
    ];
    let bytes = [&head[..], &BLOCK_BYTES].concat();
    let ntp = 0xe000_0001_8000_0000;
    let sent = SenderInfo { ntp, rtp_timestamp: 90_000, packets: 7, octets: 8192 };
    assert_eq!(written(|w| w.sender_report(9, &sent, &[BLOCK])), bytes);
    let Packet::SenderReport { ssrc: 9, info, blocks } = only(&bytes) else { panic!() };
    assert_eq!((info, blocks.collect::<Vec<_>>()), (sent, vec![BLOCK]));
}

#[test]
fn description_and_goodbye_byte_for_byte() {
    // 2 + 4 bytes of item: two zeros end it; 2 + 6: a whole word of zeros.
    let short = [0x81, 202, 0, 3, 0, 0, 0, 9, 1, 4, b'w', b'e', b'i', b'r', 0, 0];
    assert_eq!(written(|w| w.cname(9, "weir")), short);
    let long = [0x81, 202, 0, 4, 0, 0, 0, 9, 1, 6, b's', b't', b'r', b'e', b'a', b'm', 0, 0, 0, 0];
    assert_eq!(written(|w| w.cname(9, "stream")), long);
    assert!(matches!(only(&long), Packet::Other));
    let bytes = [0x82, 203, 0, 2, 0, 0, 0, 9, 0, 0, 0, 8];
    assert_eq!(written(|w| w.bye(&[9, 8])), bytes);
    assert!(matches!(only(&bytes), Packet::Bye));
}

#[test]
fn keyframe_requests_byte_for_byte() {
    let bytes = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    assert_eq!(written(|w| w.pli(1, 2)), bytes);
    assert!(matches!(only(&bytes), Packet::Pli { media_ssrc: 2 }));
    let bytes = [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 7, 0, 0, 0];
    assert_eq!(written(|w| w.fir(1, 2, 7)), bytes);
    assert!(matches!(only(&bytes), Packet::Fir { media_ssrc: 2, seq: 7 }));
}

#[test]
fn each_entry_of_an_intra_request_counts() {
    let two = feedback(4, 206, &[0, 0, 0, 5, 1, 0, 0, 0, 0, 0, 0, 6, 2, 0, 0, 0]);
    let bytes = [two, written(|w| w.pli(1, 2))].concat();
    let seen: Vec<_> = packets(&bytes).collect();
    assert!(
        matches!(
            seen[..],
            [
                Packet::Fir { media_ssrc: 5, seq: 1 },
                Packet::Fir { media_ssrc: 6, seq: 2 },
                Packet::Pli { media_ssrc: 2 },
            ]
        ),
        "{seen:?}"
    );
}

#[test]
fn lost_packets_byte_for_byte() {
    // 65530 and its 1st, 6th (= 0) and 16th (= 10) follower; 11 needs an entry of its own.
    let bytes = feedback(1, 205, &[0xff, 0xfa, 0x80, 0x21, 0, 11, 0, 0]);
    let seqs = [65_530, 65_531, 0, 10, 11];
    assert_eq!(written(|w| w.nack(1, 2, seqs)), bytes);
    let Packet::Nack { media_ssrc: 2, seqs: read } = only(&bytes) else { panic!() };
    assert_eq!(read.collect::<Vec<_>>(), seqs);
    assert!(written(|w| w.nack(1, 2, [])).is_empty());
}

#[test]
fn bitrate_byte_for_byte() {
    // 5 Mbit/s = 156,250 << 5.
    let bytes = feedback(15, 206, &[b'R', b'E', b'M', b'B', 1, 0x16, 0x62, 0x5a, 0, 0, 0, 4]);
    let mut ours = written(|w| w.remb(1, 5_000_000, &[4]));
    ours[11] = 2;
    assert_eq!(ours, bytes);
    let Packet::Remb { bitrate_bps: 5_000_000, ssrcs } = only(&bytes) else { panic!() };
    assert_eq!(ssrcs.collect::<Vec<_>>(), [4]);

    // 2^18 - 1 << 46 just fits 64 bits, one more does not.
    let most = feedback(15, 206, &[b'R', b'E', b'M', b'B', 0, 46 << 2 | 3, 0xff, 0xff]);
    let Packet::Remb { bitrate_bps, .. } = only(&most) else { panic!() };
    assert_eq!(bitrate_bps, 0x3_ffff << 46);
    let more = feedback(15, 206, &[b'R', b'E', b'M', b'B', 0, 47 << 2 | 3, 0xff, 0xff]);
    assert!(matches!(only(&more), Packet::Malformed));
    let foreign = feedback(15, 206, b"LOSS");
    assert!(matches!(only(&foreign), Packet::Other));
}

fn arrivals(bytes: &[u8]) -> Vec<Arrival> {
    let Packet::TransportCc(feedback) = only(bytes) else { panic!("no feedback in {bytes:?}") };
    feedback.into_iter().collect()
}

#[test]
fn feedback_of_a_browser() {
    let Packet::TransportCc(feedback) = only(&CHROMIUM) else { panic!() };
    assert_eq!(feedback.media_ssrc, 0x4303_2fa0);
    assert_eq!((feedback.reference, feedback.feedback_count), (0x3d_e802, 23));
    assert_eq!(arrivals(&CHROMIUM), [(153, Some(148 * 250))]);
    let at = 0x3d_e802 * 64_000 + 148 * 250;
    let same =
        written(|w| w.transport_cc(0xfa17_fa17, 0x4303_2fa0, 23, &[(153, Some(at))]).map(drop));
    assert_eq!(same, CHROMIUM);
}

#[test]
fn chunks_of_every_kind() {
    // The examples of the draft: a run of 221 losses; then a vector of 14: 1 loss, 5 that came, 3, 3, 2.
    let bytes = [0, 1, 0, 235, 0, 0, 0, 0, 0x00, 0xdd, 0x9f, 0x1c];
    let deltas = [1, 2, 3, 4, 5, 6, 7, 8];
    let read = arrivals(&feedback(15, 205, &[&bytes[..], &deltas].concat()));
    let came: Vec<Arrival> = read.iter().copied().filter(|(_, at)| at.is_some()).collect();
    let at = [250, 750, 1500, 2500, 3750, 5250, 7000, 9000].map(Some);
    let seqs = [223, 224, 225, 226, 227, 231, 232, 233];
    assert_eq!(read.len(), 235);
    assert_eq!(came, seqs.into_iter().zip(at).collect::<Vec<_>>());

    // Two bits each: a loss, small, back by 2 (large), small; the last three count no more.
    let bytes = [0xff, 0xfe, 0, 4, 0xff, 0xff, 0xff, 9, 0b1100_0110, 0b0101_0101, 8, 0xff, 0xfe, 1];
    let bytes = feedback(15, 205, &[&bytes[..], &[0, 0]].concat());
    let expected = [(65_534, None), (65_535, Some(2000)), (0, Some(1500)), (1, Some(1750))];
    assert_eq!(arrivals(&bytes), expected);
}

#[test]
fn feedback_that_announces_what_is_not_there() {
    let cases: [(&str, &[u8]); 6] = [
        ("no chunk", &[0, 1, 0, 1, 0, 0, 0, 0]),
        ("chunks for fewer", &[0, 1, 0, 9, 0, 0, 0, 0, 0, 1, 0, 1]),
        ("a run of none", &[0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9]),
        ("no delta", &[0, 1, 0, 3, 0, 0, 0, 0, 0x20, 3, 1, 1]),
        ("half a delta", &[0, 1, 0, 2, 0, 0, 0, 0, 0x40, 2, 1, 1]),
        ("a reserved symbol", &[0, 1, 0, 1, 0, 0, 0, 0, 0x60, 1, 0, 0]),
    ];
    for (what, body) in cases {
        let bytes = feedback(15, 205, body);
        assert!(matches!(packets(&bytes).last(), Some(Packet::Malformed)), "{what}");
    }
}

#[test]
fn the_reference_time_wraps() {
    let at = |reference: i64| {
        written(|w| w.transport_cc(1, 2, 0, &[(1, Some(reference * 64_000))]).map(drop))
    };
    let (early, late) = (at(0xff_ffff), at(0x100_0001));
    let (Packet::TransportCc(early), Packet::TransportCc(late)) = (only(&early), only(&late))
    else {
        panic!()
    };
    assert_eq!(late.since(&early), 128_000);
    assert_eq!(early.since(&late), -128_000);
}

#[test]
fn one_datagram_speaks_of_so_many_packets_and_no_more() {
    let liar = feedback(15, 205, &[0, 1, 0x1f, 0xff, 0, 0, 0, 0, 0x1f, 0xff, 0, 0]);
    assert_eq!(drain(&liar), (1, 8191));
    assert_eq!(drain(&liar.repeat(50)), (2, 8191));
}

#[test]
fn each_kind_is_found_in_a_compound() {
    let bytes = all_kinds();
    assert_eq!(packets(&bytes).count(), 9);
    assert!(!packets(&bytes).any(|packet| matches!(packet, Packet::Malformed)));
    // Behind reduced-size feedback a broken packet: what came before it stands.
    let broken = [written(|w| w.pli(1, 2)), vec![0x41, 206, 0, 0]].concat();
    let seen: Vec<_> = packets(&broken).collect();
    assert!(matches!(seen[..], [Packet::Pli { .. }, Packet::Malformed]), "{seen:?}");
}

#[test]
fn padding_is_no_content() {
    let mut bytes = feedback(1, 205, &[0, 5, 0, 0, 0, 0, 0, 4]);
    bytes[0] |= 0x20;
    let Packet::Nack { seqs, .. } = only(&bytes) else { panic!() };
    assert_eq!(seqs.collect::<Vec<_>>(), [5]);
    *bytes.last_mut().unwrap() = 200;
    assert!(matches!(only(&bytes), Packet::Malformed));
}

#[test]
fn what_does_not_fit_leaves_no_trace() {
    let bytes = all_kinds();
    let mut buffer = [0; 20];
    let mut writer = Writer::new(&mut buffer);
    writer.pli(1, 2).expect("room");
    assert_eq!(writer.sender_report(1, &SenderInfo::default(), &[]), Err(Full));
    assert_eq!(writer.written(), written(|w| w.pli(1, 2)));
    assert!(bytes.len() > 20);
    assert_eq!(written(|w| w.receiver_report(1, &[BLOCK; 40])).len(), 8 + 31 * 24);
}

#[test]
fn round_trip_time() {
    // RFC 3550, figure 2: A = 0xb710:8000, LSR = 0xb705:2000, DLSR = 5.250 s, 6.125 s of round trip.
    let block = ReportBlock { lsr: 0xb705_2000, dlsr: 0x0005_4000, ..BLOCK };
    assert_eq!(rtt(0xb710_8000, &block), Some(Duration::from_millis(6125)));
    // The middle of NTP wraps every 18 hours.
    let wrapped = ReportBlock { lsr: 0xffff_f000, dlsr: 0x1000, ..BLOCK };
    assert_eq!(rtt(0x1000, &wrapped), Some(Duration::from_micros(62_500)));
    assert_eq!(rtt(0xb710_8000, &ReportBlock { lsr: 0, ..block }), None);
    assert_eq!(rtt(0xb705_2000, &ReportBlock { dlsr: 1, ..block }), Some(Duration::ZERO));
    assert_eq!(rtt(0xb705_2000, &ReportBlock { dlsr: 0x1000, ..block }), None);
    assert_eq!(rtt(0xb805_2000, &ReportBlock { dlsr: 0, ..block }), None);
}

#[test]
fn ntp_of_a_wall_clock() {
    // 2026-01-01T00:00:00.5Z.
    let time = ntp(Duration::from_millis(1_767_225_600_500));
    assert_eq!(time, 0xed00_3780_8000_0000);
    assert_eq!(ntp_middle(time), 0x3780_8000);
}

/// What the independent implementation reads, one of it.
fn oracle<T: Clone + 'static>(bytes: &[u8]) -> T {
    let all = rtc_rtcp::packet::unmarshal(&mut Bytes::copy_from_slice(bytes)).expect("readable");
    all[0].as_any().downcast_ref::<T>().expect("the same kind").clone()
}

#[test]
fn another_implementation_reads_the_same() {
    let info = SenderInfo { ntp: u64::MAX / 3, rtp_timestamp: 1, packets: 2, octets: 3 };
    let sr: SenderReport = oracle(&written(|w| w.sender_report(9, &info, &[BLOCK])));
    assert_eq!((sr.ssrc, sr.ntp_time, sr.rtp_time), (9, info.ntp, 1));
    assert_eq!((sr.packet_count, sr.octet_count, sr.reports.len()), (2, 3, 1));
    let rr: ReceiverReport = oracle(&written(|w| w.receiver_report(9, &[BLOCK])));
    let block = &rr.reports[0];
    assert_eq!((block.ssrc, block.fraction_lost, block.total_lost), (BLOCK.ssrc, 64, 0xff_fffe));
    assert_eq!((block.last_sender_report, block.delay), (BLOCK.lsr, BLOCK.dlsr));
    for name in ["", "w", "we", "wei", "weir"] {
        let sdes: SourceDescription = oracle(&written(|w| w.cname(9, name)));
        assert_eq!(&sdes.chunks[0].items[0].text[..], name.as_bytes());
    }
    let fir: FullIntraRequest = oracle(&written(|w| w.fir(1, 2, 3)));
    assert_eq!((fir.fir[0].ssrc, fir.fir[0].sequence_number), (2, 3));
    let remb: ReceiverEstimatedMaximumBitrate = oracle(&written(|w| w.remb(1, 5_000_000, &[4])));
    assert_eq!((remb.bitrate, remb.ssrcs), (5_000_000.0, vec![4]));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        drain(&bytes);
    }

    #[test]
    fn no_flips_or_cuts_make_it_panic(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..6),
    ) {
        let mut bytes = all_kinds();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
        }
        for end in 0..=bytes.len() {
            drain(&bytes[..end]);
        }
    }

    #[test]
    fn lost_packets_round_trip(
        first in any::<u16>(),
        gaps in proptest::collection::vec(1..40_u16, 0..300),
    ) {
        let next = |seq: &mut u16, gap| { *seq = seq.wrapping_add(gap); Some(*seq) };
        let seqs: Vec<u16> = gaps.iter().scan(first, |seq, gap| next(seq, *gap)).collect();
        prop_assume!(!seqs.is_empty());
        let bytes = written(|w| w.nack(1, 2, seqs.iter().copied()));
        let Packet::Nack { seqs: read, .. } = only(&bytes) else { panic!() };
        prop_assert_eq!(&read.collect::<Vec<_>>(), &seqs);
        let theirs: TransportLayerNack = oracle(&bytes);
        let theirs = theirs.nacks.iter().flat_map(|pair| pair.packet_list());
        prop_assert_eq!(theirs.collect::<Vec<_>>(), seqs);
    }

    #[test]
    fn bitrate_round_trip(bitrate in any::<u64>(), shift in 0..64) {
        let bitrate = bitrate >> shift;
        let bytes = written(|w| w.remb(1, bitrate, &[]));
        let Packet::Remb { bitrate_bps, .. } = only(&bytes) else { panic!() };
        prop_assert!(bitrate_bps <= bitrate && bitrate - bitrate_bps <= bitrate >> 17);
    }

    #[test]
    fn arrivals_round_trip(
        base in any::<u16>(),
        start in 0..1_i64 << 40,
        steps in proptest::collection::vec(
            (prop_oneof![9 => Just(1_u16), 1 => 1..50_u16], 0..10_u8, -9_000..90_000_i64),
            1..400,
        ),
    ) {
        let (mut seq, mut time) = (base, start);
        let list: Vec<Arrival> = steps.iter().map(|(gap, lost, step)| {
            let entry = (seq, (*lost > 1).then_some(time));
            (seq, time) = (seq.wrapping_add(*gap), time + step);
            entry
        }).collect();
        let bytes = written(|w| w.transport_cc(1, 2, 3, &list).map(|n| assert_eq!(n, list.len())));
        let first = list.iter().find_map(|(_, at)| *at).unwrap_or_default();
        let zero = first.div_euclid(64_000) * 64_000;
        let read = arrivals(&bytes);
        let came: Vec<Arrival> = read.iter().copied().filter(|(_, at)| at.is_some()).collect();
        let exact = |at: i64| at.div_euclid(250) * 250 - zero;
        let expected: Vec<Arrival> =
            list.iter().filter_map(|(seq, at)| at.map(|at| (*seq, Some(exact(at))))).collect();
        prop_assert_eq!(&came, &expected);
        prop_assert_eq!(read.last().unwrap().0, list.last().unwrap().0);
        let theirs: TransportLayerCc = oracle(&bytes);
        prop_assert_eq!(usize::from(theirs.packet_status_count), read.len());
        let deltas: Vec<i64> = theirs.recv_deltas.iter().map(|delta| delta.delta).collect();
        let at = came.iter().filter_map(|(_, at)| *at);
        let ours = at.scan(0, |last, at| Some(at - std::mem::replace(last, at)));
        prop_assert_eq!(deltas, ours.collect::<Vec<_>>());
    }
}

#[test]
fn arrivals_too_far_apart_take_another_packet() {
    let list = [(1, Some(0)), (2, Some(9_000_000)), (9_000, Some(9_000_000)), (8_999, None)];
    let mut rest = &list[..];
    let mut packets = 0;
    while !rest.is_empty() {
        let mut buffer = [0; 100];
        let taken = Writer::new(&mut buffer).transport_cc(1, 2, 0, rest).expect("room");
        rest = &rest[taken..];
        packets += 1;
        assert!(taken > 0 && packets <= 4);
    }
    assert_eq!(packets, 4);
}
