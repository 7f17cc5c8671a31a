//! Against the vectors of the RFCs and of libsrtp, and every profile against itself.

use super::cipher::{Cipher, counter_mode, derive};
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(text, 16).expect("hex")
    };
    digits.chunks(2).map(byte).collect()
}

/// RFC 3711 appendix B.3.
#[test]
fn session_keys_come_from_the_master_key_as_in_rfc_3711() {
    let master = counter_mode(&hex("E1F97A0D3E018BE0D64FA32C06DE4139")).expect("a key");
    let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
    let key = |label, len| {
        let mut out = vec![0; len];
        derive(&master, &salt, label, &mut out).expect("derives");
        out
    };
    assert_eq!(key(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(key(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
    let mac = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327A\
        D175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C\
        59BBFC2F34DB60DBDFB2DC68";
    assert_eq!(key(1, 94), hex(mac)[..94]);
}

/// A session key of RFC 7714 sections 16 and 17: of 128 or 256 bits, counting up from 0.
fn rfc7714(profile: Profile) -> Cipher {
    let key: Vec<u8> = (0..32).collect();
    let mut salt = [0; 14];
    salt[..12].copy_from_slice(&hex("517569642070726f2071756f"));
    Cipher::from_session(profile, &key[..profile.key_len()], &[], salt).expect("a key")
}

/// RFC 7714 sections 16.1.1 and 16.2.1.
#[test]
fn rtp_is_sealed_as_in_rfc_7714() {
    let plain = hex("8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 \
        69736120 696e2070 61727465 73207472 6573");
    let short = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f \
        42a5f47a 51c7d19b 36de3adf 8833 899d7f27 beb16a91 52cf765e e4390cce";
    let long = "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 \
        b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13";
    for (profile, sealed) in [(Profile::Aes128Gcm, short), (Profile::Aes256Gcm, long)] {
        let cipher = rfc7714(profile);
        let mut packet = plain.clone();
        packet.resize(plain.len() + 16, 0);
        cipher.seal_rtp(&mut packet, 12, 0xf17b).expect("seals");
        let sealed = hex(sealed);
        assert_eq!(packet[..sealed.len()], sealed, "{profile:?}");
        assert_eq!(cipher.open_rtp(&mut packet, 12, 0xf17b), Some(plain.len()));
        assert_eq!(packet[..plain.len()], plain);
    }
}

/// RFC 7714 sections 17.1 and 17.3.
#[test]
fn rtcp_is_sealed_as_in_rfc_7714() {
    let plain = hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 \
        deadbeef deadbeef deadbeef deadbeef deadbeef");
    let short = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 \
        730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";
    let long = "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 \
        110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4";
    for (profile, sealed) in [(Profile::Aes128Gcm, short), (Profile::Aes256Gcm, long)] {
        let cipher = rfc7714(profile);
        let mut packet = plain.clone();
        packet.resize(plain.len() + 20, 0);
        cipher.seal_rtcp(&mut packet, 0x5d4).expect("seals");
        assert_eq!(packet, hex(sealed), "{profile:?}");
        assert_eq!(cipher.rtcp_index(&packet), Some(0x5d4));
        assert_eq!(cipher.open_rtcp(&mut packet, 0x5d4), Some(&plain[..]));
    }
}

/// The packets that libsrtp checks itself with.
#[test]
fn counter_mode_is_that_of_libsrtp() {
    let mut keys = Keys { profile: Profile::Aes128CmSha1, key: [0; 32], salt: [0; 14] };
    keys.key[..16].copy_from_slice(&hex("e1f97a0d3e018be0d64fa32c06de4139"));
    keys.salt.copy_from_slice(&hex("0ec675ad498afeebb6960b3aabe6"));
    let mut sealer = Sealer::new(&keys).expect("keys");

    let mut rtp = hex("800f1234decafbadcafebabe");
    rtp.extend([0xab; 16]);
    rtp.extend([0; 10]);
    assert!(sealer.seal_rtp(&mut rtp, 12, 0x1234));
    let sealed = "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb";
    assert_eq!(rtp, hex(sealed));

    let mut rtcp = hex("81c8000bcafebabe");
    rtcp.extend([0xab; 16]);
    rtcp.extend([0; 14]);
    // libsrtp counts from 1.
    sealer.next_rtcp = 1;
    assert!(sealer.seal_rtcp(&mut rtcp));
    let sealed = "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798";
    assert_eq!(rtcp, hex(sealed));
}

fn pair(profile: Profile) -> (Sealer, Opener) {
    let material: Vec<u8> = (0..profile.material_len() as u8).collect();
    let (client, _) = Keys::pair(profile, &material).expect("of the right length");
    (Sealer::new(&client).expect("keys"), Opener::new(&client).expect("keys"))
}

fn rtp(profile: Profile, index: u64, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend((index as u16).to_be_bytes());
    packet.extend([0, 0, 0, 1, 1, 2, 3, 4]);
    packet.extend(vec![7; payload]);
    packet.extend(vec![0; profile.rtp_overhead()]);
    packet
}

const COMPOUND: [u8; 20] = [0x80, 201, 0, 1, 1, 2, 3, 4, 0x81, 206, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];

fn rtcp(sealer: &mut Sealer) -> Vec<u8> {
    let mut packet = COMPOUND.to_vec();
    packet.resize(COMPOUND.len() + sealer.profile().rtcp_overhead(), 0);
    assert!(sealer.seal_rtcp(&mut packet));
    packet
}

#[test]
fn each_side_opens_the_other_and_not_itself() {
    for profile in Profile::ALL {
        let material: Vec<u8> = (0..profile.material_len() as u8).map(|b| b ^ 0x5a).collect();
        let (client, server) = Keys::pair(profile, &material).expect("of the right length");
        let mut sealer = Sealer::new(&client).expect("keys");
        let plain = rtp(profile, 9, 1100);
        let mut sealed = plain.clone();
        assert!(sealer.seal_rtp(&mut sealed, 12, 9));
        assert_eq!(sealed[..12], plain[..12]);
        assert_ne!(sealed[12..28], plain[12..28]);
        let ours = Opener::new(&server).expect("keys");
        assert_eq!(ours.open_rtp(&mut sealed.clone(), 12, 9), None);
        let theirs = Opener::new(&client).expect("keys");
        assert_eq!(theirs.open_rtp(&mut sealed, 12, 9), Some(1112));
        assert_eq!(sealed[..1112], plain[..1112]);
    }
    assert!(Keys::pair(Profile::Aes128Gcm, &[0; 55]).is_none());
}

#[test]
fn the_rollover_counter_is_part_of_the_nonce() {
    for profile in Profile::ALL {
        let (mut sealer, opener) = pair(profile);
        let indices = [0xffff, 0x1_0000, 0x1_ffff, 0xffff_ffff_ffff];
        for index in indices {
            let mut packet = rtp(profile, index, 40);
            assert!(sealer.seal_rtp(&mut packet, 12, index));
            let other_roc = index ^ 0x1_0000;
            assert_eq!(opener.open_rtp(&mut packet.clone(), 12, other_roc), None);
            assert_eq!(opener.open_rtp(&mut packet, 12, index), Some(52), "{index:#x}");
        }
        let (mut first, mut second) = (rtp(profile, 0, 40), rtp(profile, 0x1_0000, 40));
        assert!(sealer.seal_rtp(&mut first, 12, 0) && sealer.seal_rtp(&mut second, 12, 0x1_0000));
        assert_ne!(first[12..], second[12..], "one key stream for two packets");
    }
}

#[test]
fn a_packet_may_be_sealed_again_as_it_was() {
    let (mut sealer, _) = pair(Profile::Aes128Gcm);
    let (mut first, mut again) = (rtp(Profile::Aes128Gcm, 5, 9), rtp(Profile::Aes128Gcm, 5, 9));
    assert!(sealer.seal_rtp(&mut first, 12, 5) && sealer.seal_rtp(&mut again, 12, 5));
    assert_eq!(first, again);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "sealed twice, with different bytes")]
fn other_bytes_under_the_same_index_are_a_bug() {
    let (mut sealer, _) = pair(Profile::Aes128Gcm);
    sealer.seal_rtp(&mut rtp(Profile::Aes128Gcm, 5, 9), 12, 5);
    sealer.seal_rtp(&mut rtp(Profile::Aes128Gcm, 5, 10), 12, 5);
}

#[test]
fn srtcp_indices_never_repeat_and_end() {
    for profile in Profile::ALL {
        let (mut sealer, mut opener) = pair(profile);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let mut packet = rtcp(&mut sealer);
            let index = opener.rtcp.cipher.rtcp_index(&packet).expect("sealed");
            assert!(seen.insert(index));
            assert_eq!(opener.open_rtcp(&mut packet), Ok(&COMPOUND[..]));
        }
        sealer.next_rtcp = LAST_RTCP_INDEX;
        assert!(sealer.takes_rtcp(COMPOUND.len()));
        let mut last = rtcp(&mut sealer);
        assert_eq!(opener.open_rtcp(&mut last), Ok(&COMPOUND[..]));
        assert!(!sealer.takes_rtcp(COMPOUND.len()));
        for _ in 0..2 {
            let mut more = [1; 40];
            assert!(!sealer.seal_rtcp(&mut more), "the key is used up");
            assert_eq!(more, [0; 40]);
        }
    }
}

#[test]
fn srtcp_passes_once() {
    for profile in Profile::ALL {
        let (mut sealer, mut opener) = pair(profile);
        let packets: Vec<Vec<u8>> = (0..100).map(|_| rtcp(&mut sealer)).collect();
        let mut open = |n: usize| opener.open_rtcp(&mut packets[n].clone()).map(<[u8]>::to_vec);
        assert_eq!(open(70), Ok(COMPOUND.to_vec()));
        assert_eq!(open(70), Err(OpenError::Replayed));
        assert_eq!(open(7), Ok(COMPOUND.to_vec()));
        assert_eq!(open(7), Err(OpenError::Replayed));
        assert_eq!(open(6), Err(OpenError::Replayed), "too old to tell");
        assert_eq!(open(71), Ok(COMPOUND.to_vec()));
    }
}

#[test]
fn what_was_changed_or_cut_is_not_opened_and_moves_no_window() {
    for profile in Profile::ALL {
        let (mut sealer, mut opener) = pair(profile);
        let good = rtcp(&mut sealer);
        for end in 0..good.len() {
            assert!(opener.open_rtcp(&mut good[..end].to_vec()).is_err(), "cut at {end}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open_rtcp(&mut bad).is_err(), "{profile:?}: bit {bit}");
        }
        assert_eq!(opener.open_rtcp(&mut good.clone()), Ok(&COMPOUND[..]));

        let mut sealed = rtp(profile, 1, 30);
        assert!(sealer.seal_rtp(&mut sealed, 12, 1));
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opener.open_rtp(&mut bad, 12, 1), None, "{profile:?}: bit {bit}");
        }
        for end in 0..sealed.len() {
            assert_eq!(opener.open_rtp(&mut sealed[..end].to_vec(), 12, 1), None);
        }
        for header in (0..12).chain(43..80).chain([usize::MAX]) {
            assert_eq!(opener.open_rtp(&mut sealed.clone(), header, 1), None, "{header}");
        }
    }
}

#[test]
fn nothing_leaves_unsealed() {
    for profile in Profile::ALL {
        let (mut sealer, _) = pair(profile);
        for (len, header) in [(0, 0), (9, 12), (40, 11), (40, 39), (40, usize::MAX)] {
            let mut packet = vec![9; len];
            assert!(!sealer.seal_rtp(&mut packet, header, 1), "{len} {header}");
            assert_eq!(packet, vec![0; len]);
        }
        let mut short = [9; 17];
        assert!(!sealer.seal_rtcp(&mut short));
        assert_eq!(short, [0; 17]);
    }
}
