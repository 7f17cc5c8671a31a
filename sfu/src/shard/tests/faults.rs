//! One viewer misbehaves, another one watches the same: it gets every packet, and no keyframe more
//! than half-second coalescing allows. Everything that is refused is counted under its reason.

use super::*;
use crate::stats::{Drops, Totals};
use crate::test::peer::{Offer, Peer};

const BAD: u32 = VIEWER;
const GOOD: u32 = VIEWER + 1;
/// How long the bad one does it.
const ATTACK: Duration = Duration::from_secs(2);

/// What the bad one did to the world.
struct Outcome {
    before: Totals,
    after: Totals,
    /// Packets that went to the bad one meanwhile, and packets of media sent.
    to_bad: u64,
    media: u64,
    keyframes: u32,
    world: World,
}

impl Outcome {
    fn drops(&self, reason: Drop) -> u64 {
        let of = |drops: &Drops| drops.get(reason);
        of(&self.after.drops) - of(&self.before.drops)
    }

    /// Nothing was refused for other reasons than these.
    fn only(&self, reasons: &[Drop]) {
        let names: Vec<&str> = reasons.iter().map(|r| r.name()).collect();
        let before = self.before.drops.iter().map(|(_, n)| n);
        for ((name, after), before) in self.after.drops.iter().zip(before) {
            assert!(after == before || names.contains(&name), "{} of {name}", after - before);
        }
    }

    fn repaired(&self) -> u64 {
        self.after.repaired - self.before.repaired
    }
}

/// Both play for four seconds, then `attack` runs each millisecond for [`ATTACK`].
fn under(attack: impl FnMut(&mut Peer)) -> Outcome {
    under_with(&Offer::viewer(BAD), attack)
}

fn under_with(offer: &Offer, mut attack: impl FnMut(&mut Peer)) -> Outcome {
    let mut world = World::new();
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    world.join_peer(BAD, offer);
    world.attach(BAD, PUBLISHER);
    world.watch(GOOD, PUBLISHER);
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::Opus, Content::H264 { sets: true }]);
    play(&mut world, &mut studio, SECOND * 4);
    world.run(SECOND / 100, |_| {});
    let before = world.totals();
    let sent = |studio: &Studio| studio.streams.iter().map(|s| s.sent.len() as u64).sum::<u64>();
    let (media, keyframes) = (sent(&studio), studio.video().keyframes);
    let received = world.peers[&BAD].received;
    let end = world.now + ATTACK;
    world.run(ATTACK + SECOND / 10, |w| {
        if w.now <= end {
            studio.step(w);
            attack(w.peer(BAD));
        }
    });
    let good = &world.peers[&GOOD];
    assert_all(&good.stream(good.audio()), &studio.streams[0].sent);
    assert_all(&good.stream(good.video()), &studio.streams[1].sent);
    for (packet, sent) in good.stream(good.video()).values().zip(&studio.video().sent) {
        let late = packet.at - sent.at;
        assert!(late <= Duration::from_millis(4), "the good one got a packet after {late:?}");
    }
    let again = good.media.iter().filter(|p| p.original.is_some()).count();
    assert_eq!((again, good.broken), (0, 0), "the good one noticed something");
    let keyframes = studio.video().keyframes - keyframes;
    assert!(keyframes <= 5, "{keyframes} keyframes in {ATTACK:?}");
    Outcome {
        before,
        after: world.totals(),
        to_bad: world.peers[&BAD].received - received,
        media: sent(&studio) - media,
        keyframes,
        world,
    }
}

fn newest(peer: &Peer) -> u16 {
    peer.stream(peer.video()).keys().next_back().map_or(0, |seq| *seq as u16)
}

#[test]
fn a_viewer_that_does_nothing_wrong_is_refused_nothing() {
    let outcome = under(|_| {});
    outcome.only(&[]);
    assert_eq!((outcome.keyframes, outcome.to_bad), (0, outcome.media));
}

#[test]
fn nacks_of_what_is_there_are_answered_up_to_a_budget() {
    let outcome = under(|bad| {
        let (video, newest) = (bad.video(), newest(bad));
        let seqs: Vec<u16> = (0..200).map(|back| newest.wrapping_sub(199 - back)).collect();
        bad.nack(video, &seqs);
    });
    outcome.only(&[Drop::RepairLimit, Drop::RtcpFlood]);
    // A burst of 256 KB, then what the media itself takes and a quarter of that burst, each second.
    assert!((300..=700).contains(&outcome.repaired()), "{} repairs", outcome.repaired());
    assert_eq!(outcome.to_bad, outcome.media + outcome.repaired());
    // Each of a datagram's 200 wishes is refused by itself.
    assert!(outcome.drops(Drop::RepairLimit) > 50_000);
    assert!(outcome.drops(Drop::RtcpFlood) > 1_400);
    assert_eq!(outcome.keyframes, 0);
}

#[test]
fn packets_without_a_payload_cannot_be_asked_for_for_ever() {
    let mut world = World::new();
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    world.watch(BAD, PUBLISHER);
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::H264 { sets: true }]);
    play(&mut world, &mut studio, SECOND * 4);
    // Packets of nothing, as probes for bandwidth are.
    let ssrc = studio.video().ssrc;
    let (seq, timestamp) = (studio.video().seq, 77);
    for step in 0..100 {
        let (pt, seq) = (96, seq + step);
        let packet =
            crate::test::peer::Outgoing { ssrc, pt, seq, timestamp, marker: false, rid: None };
        world.peer(PUBLISHER).send(packet, &[]);
    }
    world.run(SECOND / 10, |_| {});
    let before = world.totals().repaired;
    world.run(SECOND, |w| {
        let bad = w.peer(BAD);
        let (video, newest) = (bad.video(), newest(bad));
        let seqs: Vec<u16> = (0..100).map(|back| newest.wrapping_sub(99 - back)).collect();
        bad.nack(video, &seqs);
    });
    let repaired = world.totals().repaired - before;
    assert!(repaired < 8_000, "{repaired} datagrams for {} requests", 1000);
}

#[test]
fn nacks_of_what_never_went_out_cost_nothing() {
    let outcome = under(|bad| {
        let (video, audio, rtx, newest) = (bad.video(), bad.audio(), bad.rtx(), newest(bad));
        // Ahead; half the circle away; of a stream of retransmissions; of nobody.
        let ahead: Vec<u16> = (500..600).map(|step| newest.wrapping_add(step)).collect();
        bad.nack(video, &ahead);
        bad.nack(audio, &ahead);
        bad.nack(video, &[newest.wrapping_add(0x8000), newest.wrapping_sub(0x7fff)]);
        bad.nack(rtx, &[0, 1, newest]);
        bad.nack(0xdead_beef, &[newest]);
    });
    outcome.only(&[Drop::RepairUnknown, Drop::RtcpFlood]);
    assert_eq!((outcome.repaired(), outcome.to_bad), (0, outcome.media));
    assert!(outcome.drops(Drop::RepairUnknown) > 10_000);
    assert!(outcome.drops(Drop::RtcpFlood) > 9_000);
}

#[test]
fn keyframe_wishes_are_one_in_half_a_second() {
    type Wish = fn(&mut Peer, u8);
    let wishes: [Wish; 2] = [
        |bad, _| {
            let video = bad.video();
            bad.tell(|w| w.pli(1, video));
        },
        |bad, n| {
            let video = bad.video();
            bad.tell(|w| w.fir(1, video, n));
        },
    ];
    for wish in wishes {
        let mut n = 0;
        let outcome = under(|bad| {
            n = (n + 1) % 250;
            wish(bad, n);
        });
        outcome.only(&[Drop::RtcpFlood]);
        assert!((3..=5).contains(&outcome.keyframes), "{} keyframes", outcome.keyframes);
        assert!(outcome.drops(Drop::RtcpFlood) > 1_400);
        assert_eq!(outcome.to_bad, outcome.media, "its backlog came again and again");
    }
}

#[test]
fn reports_without_end_are_listened_to_two_hundred_times_a_second() {
    let outcome = under(|bad| {
        for _ in 0..5 {
            bad.tell(|w| w.receiver_report(1, &[]));
        }
    });
    outcome.only(&[Drop::RtcpFlood]);
    let heard = 10_000 - outcome.drops(Drop::RtcpFlood);
    assert!((300..=650).contains(&heard), "{heard} were listened to");
    assert_eq!(outcome.to_bad, outcome.media);
}

#[test]
fn broken_srtcp_is_not_authentic() {
    let mut n = 0;
    let outcome = under(|bad| {
        let video = bad.video();
        let mut buffer = [0; 64];
        let mut writer = crate::rtcp::Writer::new(&mut buffer);
        writer.pli(1, video).expect("it fits");
        let mut bytes = bad.sealed(writer.written());
        n += 1;
        // One bit of it, but for the first two bytes by which it is known as RTCP.
        let bits = (bytes.len() - 2) * 8;
        let bit = 16 + n * 7 % bits;
        bytes[bit / 8] ^= 1 << (bit % 8);
        bad.throw(bytes);
    });
    // A flipped bit of the index may look like one that was there.
    outcome.only(&[Drop::NotAuthentic, Drop::Replayed]);
    assert!(outcome.drops(Drop::NotAuthentic) > 1_900);
    assert_eq!((outcome.keyframes, outcome.to_bad), (0, outcome.media));
}

#[test]
fn cut_srtcp_is_not_authentic_and_too_short_is_malformed() {
    let mut n = 0;
    let outcome = under(|bad| {
        let bytes = bad.sealed(&[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]);
        n += 1;
        bad.throw(bytes[..n % bytes.len()].to_vec());
    });
    outcome.only(&[Drop::NotAuthentic, Drop::Malformed, Drop::Replayed, Drop::UnknownSource]);
    assert!(outcome.drops(Drop::NotAuthentic) > 1_700);
    assert!(outcome.drops(Drop::Malformed) > 50);
    assert_eq!((outcome.keyframes, outcome.to_bad), (0, outcome.media));
}

#[test]
fn replayed_srtcp_is_heard_once() {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let outcome = under(|bad| {
        if kept.len() < 20 {
            let video = bad.video();
            let newest = newest(bad);
            let mut buffer = [0; 64];
            let mut writer = crate::rtcp::Writer::new(&mut buffer);
            writer.nack(1, video, [newest]).expect("it fits");
            kept.push(bad.sealed(writer.written()));
        }
        for bytes in &kept {
            bad.throw(bytes.clone());
        }
    });
    outcome.only(&[Drop::Replayed]);
    assert_eq!(outcome.repaired(), 20);
    assert_eq!(outcome.to_bad, outcome.media + 20);
    assert!(outcome.drops(Drop::Replayed) > 30_000);
}

#[test]
fn garbage_in_a_compound_ends_it_there() {
    let pli = |ssrc: u32| {
        let mut bytes = vec![0x81, 206, 0, 2, 0, 0, 0, 1];
        bytes.extend(ssrc.to_be_bytes());
        bytes
    };
    let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
    for (garbage, name) in [
        (&[0x41, 206, 0, 2, 1, 1, 1, 1][..], "another version"),
        (&[0x80, 201, 0xff, 0xff, 0, 0, 0, 0], "longer than the datagram"),
        (&[0x9f, 201, 0, 1, 0, 0, 0, 1], "fewer blocks than it says"),
        (&[0x8f, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0xff, 0xff, 0, 0, 0, 1], "no statuses"),
    ] {
        let mut n = 0;
        let outcome = under(|bad| {
            n += 1;
            if n % 20 == 0 {
                let video = bad.video();
                bad.say(&[&report[..], garbage, &pli(video)].concat());
            }
        });
        outcome.only(&[Drop::RtcpMalformed]);
        assert_eq!(outcome.drops(Drop::RtcpMalformed), 100, "{name}");
        assert_eq!(outcome.keyframes, 0, "{name}: what stands behind it was believed");
        let mut n = 0;
        let outcome = under(|bad| {
            n += 1;
            if n == 20 {
                let video = bad.video();
                bad.say(&[&report[..], &pli(video), garbage].concat());
            }
        });
        assert_eq!(outcome.drops(Drop::RtcpMalformed), 1, "{name}");
        assert_eq!(outcome.keyframes, 1, "{name}: what came before it stands");
    }
}

#[test]
fn feedback_that_makes_no_sense_moves_nothing() {
    let mut n = 0_u32;
    let outcome = under(|bad| {
        n += 1;
        if n.is_multiple_of(10) {
            let (video, count) = (bad.video(), n as u8);
            // Numbers that never were, in the wrong order of time, 65 thousand of them at once.
            let seq = (n as u16).wrapping_mul(40_503);
            let all: Vec<(u16, Option<i64>)> = (0..300)
                .map(|i| (seq.wrapping_add(i), (i % 3 > 0).then_some(-9_000_000)))
                .collect();
            bad.tell(|w| w.transport_cc(1, video, count, &all).map(|_| ()));
            bad.tell(|w| w.remb(1, u64::from(n) << 30, &[video]));
            let block = crate::rtcp::ReportBlock {
                ssrc: video,
                fraction_lost: 255,
                cumulative_lost: -1,
                highest_seq: u32::MAX,
                jitter: u32::MAX,
                lsr: n,
                dlsr: u32::MAX,
            };
            bad.tell(|w| w.receiver_report(1, &[block; 31]));
        }
    });
    outcome.only(&[Drop::RtcpFlood, Drop::RtcpMalformed]);
    assert_eq!((outcome.keyframes, outcome.to_bad), (0, outcome.media));
    assert_eq!(outcome.world.snapshot(GOOD).expect("there").loss, Some(0.0));
}

#[test]
fn media_of_a_viewer_goes_nowhere() {
    let mut seq = 0;
    let outcome = under(|bad| {
        let ssrc = 0x3000_0001;
        let packet = |pt, seq| crate::test::peer::Outgoing {
            ssrc,
            pt,
            seq,
            timestamp: 0,
            marker: false,
            rid: None,
        };
        bad.send(packet(96, seq), &[0x67, 1, 2, 3]);
        bad.send(packet(111, seq + 1), &[0; 100]);
        seq += 2;
    });
    outcome.only(&[Drop::RtpUnusable]);
    assert_eq!(outcome.drops(Drop::RtpUnusable), 4_000);
    assert_eq!((outcome.after.packets_in - outcome.before.packets_in), outcome.media);
}

#[test]
fn handshake_records_after_the_handshake_are_answered_little() {
    let outcome = under(|bad| {
        for kind in [20, 21, 22, 23, 24, 63] {
            let mut bytes = vec![kind, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40];
            bytes.extend([7; 40]);
            bad.throw(bytes);
        }
    });
    outcome.only(&[Drop::Transport]);
    assert_eq!(outcome.to_bad, outcome.media);
    assert!(outcome.world.snapshot(BAD).is_some_and(|s| s.connected), "it was not its goodbye");
}

#[test]
fn a_flood_of_checks_is_answered_and_a_wrong_one_is_not() {
    let mut port = 0;
    let mut answers = 0;
    let outcome = under(|bad| {
        port += 1;
        let (address, good) = (bad.address, bad.own_check(false));
        bad.throw(good);
        answers += 1;
        // From everywhere at once: routes are bounded.
        bad.address.set_port(20_000 + port);
        let check = bad.own_check(false);
        bad.throw(check);
        let ufrag = bad.agreement.local_ice.ufrag.clone();
        bad.throw(Peer::check(&ufrag, "another-password-of-22", true));
        bad.address = address;
    });
    outcome.only(&[Drop::NotAuthentic]);
    assert_eq!(outcome.drops(Drop::NotAuthentic), 2_000);
    // Eight for the bad one, one each for the others.
    assert!(outcome.world.len().2 <= 10, "{} routes", outcome.world.len().2);
    assert_eq!(outcome.to_bad, outcome.media, "checks that nominate nobody move no media");
}

#[test]
fn who_stops_answering_is_gone_after_fifteen_seconds() {
    let outcome = under(|bad| bad.silent = true);
    outcome.only(&[]);
    let mut world = outcome.world;
    world.run(SECOND * 12, |_| {});
    assert!(world.snapshot(BAD).is_some(), "too early");
    world.run(SECOND * 2, |_| {});
    let gone = Event::Closed { session: World::id(BAD), reason: Closed::Silent };
    assert!(world.events.contains(&gone));
    assert!(world.snapshot(GOOD).is_some_and(|s| s.connected));
    let received = world.peers[&BAD].received;
    world.run(SECOND, |_| {});
    assert_eq!(world.peers[&BAD].received, received);
}

/// In its first seconds a picture that was lost begins again: three times, not for each wish.
#[test]
fn wishes_of_a_beginner_bring_its_backlog_three_times() {
    let mut world = World::new();
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    let mut studio = Studio::new(&world, PUBLISHER, &[Content::H264 { sets: true }]);
    studio.video_mut().obeys = false;
    play(&mut world, &mut studio, SECOND * 2);
    world.watch(BAD, PUBLISHER);
    world.connect();
    let start = world.totals().sent.packets;
    world.run(SECOND * 4, |w| {
        studio.step(w);
        let video = w.peers[&BAD].video();
        w.peer(BAD).tell(|c| c.pli(1, video));
    });
    let sent = world.totals().sent.packets - start;
    let all = studio.video().sent.len() as u64;
    assert!(sent < all * 4, "{sent} packets for a backlog and live stream of {all}");
    let peer = &world.peers[&BAD];
    payloads(&peer.stream(peer.video()));
    assert!(world.now - peer.media.last().expect("plays").at < SECOND / 10);
}
