//! The bench itself: its clips decode after a round through RTP, its network is as bad as it says.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc_rtp::packetizer::Payloader;
use tests::clip::{self, Clip, Codec};
use tests::pictures::pictures;
use tests::random::Random;
use tests::relay::{Impairment, Relay};
use tests::track::{Packet, Track};
use tokio::net::UdpSocket;

#[test]
fn clips_of_every_codec_decode_after_packetizing() {
    for codec in Codec::ALL {
        let clip = Clip::small(codec);
        let mut payloader: Box<dyn Payloader> = match codec {
            Codec::H264 => Box::new(rtc_rtp::codec::h264::H264Payloader::default()),
            Codec::Vp8 => Box::new(rtc_rtp::codec::vp8::Vp8Payloader::default()),
            Codec::Vp9 => Box::new(rtc_rtp::codec::vp9::Vp9Payloader::default()),
            Codec::Av1 => Box::new(rtc_rtp::codec::av1::Av1Payloader::default()),
        };
        let mut track = Track::default();
        let mut seq = 65_500u16;
        for (i, frame) in clip.frames.iter().enumerate() {
            let payloads = payloader.payload(1_150, frame).expect("a real bitstream");
            let last = payloads.len() - 1;
            for (j, payload) in payloads.into_iter().enumerate() {
                track.push(seq, packet(i as u32 * 3_000, j == last, payload));
                seq = seq.wrapping_add(1);
            }
        }
        assert_eq!(track.missing(), Vec::<u64>::new());
        let shown = pictures(codec, &track.in_order());
        assert_eq!(shown.len(), clip.frames.len(), "{codec:?}");
        let data: Vec<Bytes> = shown.into_iter().map(|p| p.data).collect();
        let hashes = clip::decoded(codec, clip.width, clip.height, &data);
        assert_eq!(hashes.len(), clip.frames.len(), "{codec:?}");
    }
}

#[test]
fn a_lost_picture_shows_in_the_hashes() {
    for codec in [Codec::H264, Codec::Vp8] {
        let clip = Clip::small(codec);
        let hash = |frames: &[Bytes]| {
            let (width, height) = (clip.width, clip.height);
            std::panic::catch_unwind(|| clip::decoded(codec, width, height, frames)).ok()
        };
        let whole = hash(&clip.frames).expect("the clip decodes");
        let mut frames = clip.frames.clone();
        frames.remove(5);
        assert_ne!(hash(&frames).map(|h| h.last().cloned()), Some(whole.last().cloned()));
    }
}

#[tokio::test]
async fn the_relay_loses_and_reorders_as_told() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let weather = Impairment { loss: 0.05, reorder: 0.05, ..Impairment::NONE };
    let relay = Relay::new(server.local_addr().unwrap(), weather, 7).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut got = Vec::new();
    let mut buffer = [0; 16];
    for i in 0..2_000u32 {
        client.send_to(&i.to_be_bytes(), relay.address).await.unwrap();
        while let Ok((len, _)) = server.try_recv_from(&mut buffer) {
            got.push(u32::from_be_bytes(buffer[..len].try_into().unwrap()));
        }
        if i % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        let one = tokio::time::timeout(Duration::from_millis(100), server.recv_from(&mut buffer));
        let Ok(Ok((len, _))) = one.await else { break };
        got.push(u32::from_be_bytes(buffer[..len].try_into().unwrap()));
    }
    let late = got.windows(2).filter(|w| w[1] < w[0]).count();
    assert!((1_850..1_950).contains(&got.len()), "{} of 2000 came", got.len());
    assert!(late > 20, "only {late} were overtaken");
}

#[test]
fn the_same_seed_throws_the_same_die() {
    let throw = |seed| {
        let mut random = Random::seeded(seed);
        (0..100).map(|_| random.chance(0.05)).collect::<Vec<_>>()
    };
    assert_eq!(throw(3), throw(3));
    assert_ne!(throw(3), throw(4));
}

fn packet(timestamp: u32, marker: bool, payload: Bytes) -> Packet {
    Packet { at: Instant::now(), seq: 0, timestamp, pt: 96, marker, payload, repaired: false }
}
