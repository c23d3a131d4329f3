//! Digests as other implementations compute them, and what may not match.

use block_hash::{HashFunction, SHORTEST_DIGEST, Unprovable};
use multihash::Multihash;

/// The digests of `right`: the function's code, and the digest in hexadecimal, by Python's hashlib.
const DIGESTS: &[(u64, &str)] = &[
    (0x11, "d27a1f11771200949714b1af99f048a416f5d6f4"),
    (
        0x12,
        "27042f4e6eca7d0b2a7ee4026df2ecfa51d3339e6d122aa099118ecd8563bad9",
    ),
    (
        0x13,
        "55c972106a0b3267b1e1fa7af7d584ddcf6051ee51630da49cce80d953992390\
         cd6e4c718adc852beb7618a7221b7e3a03eeae6c6fb52d3a8805665c357f6b1f",
    ),
    (
        0x14,
        "06dd78c769d596d755bdf96632ba929807380a1ef31083931780f1ac4ae35600\
         b76197203d057591670df5c414735159058e0ba0d49c9177e38728cb67d3194b",
    ),
    (
        0x15,
        "61a078e0ef5c620842d1038a623ef28198f928b977be21471267c80dd9b03e27\
         3bc97c13ed2959b8bb9a73f1d6fcf306",
    ),
    (
        0x16,
        "6a8b26bf76d8dd2ee1fa130bc0432c1f62d7394b81d896e3855332b73c313083",
    ),
    (
        0x17,
        "66a0276216b833191b119f33ec0cac0658a8625e01cf1ce811123c80",
    ),
    (
        0x19,
        "50480d183b35c8c47f649b09572f1db9685a3cc6b1f3f8ce9a359c9646f7c64c\
         d59e1bfd07a366c48192a36957adbe149af94201049cc368050bc3a6ada72ab1",
    ),
    (
        0x56,
        "6705ae9b9e6fe6288c2f8c993899277bd77bf0872ccc97434f496a1a7f5c358b",
    ),
    (0xb214, "34687a5ef61f55ccb717863795a5d36ddceb4a2a"),
    (
        0xb21a,
        "4c998e0b7f0f7ef5ff09d872870b5d30874191026ba08287f7a9",
    ),
    (
        0xb220,
        "3a54996c3d06a8b587acb03e34d4c9ae4776d6ac272b39d3d7b615fa7c91624e",
    ),
    (
        0xb230,
        "4593c02668c99fcbbd33f1414e38060264792e3e2b3cc540c081603846f12d71\
         b196edaa4eccf5280a59069875930bea",
    ),
    (
        0xb240,
        "e2c07682cfea41991a39a51799f1c2d23c583c4e8becaab8c6b709a7b12d9b35\
         b51f9d33644a90e19a3f02dee7a518bf3be2b69dacc440f8c6bdf4cbee85f4f2",
    ),
    (
        0xb260,
        "59fbe229f380c0a4852631b9c4897b807786aa37729d293cf8af0085e773f660",
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn hash(code: u64, digest: &[u8]) -> Multihash<64> {
    Multihash::wrap(code, digest).unwrap()
}

#[test]
fn digests_are_those_of_other_implementations() {
    for (code, digest) in DIGESTS {
        let wanted = hash(*code, &bytes(digest));
        let function = HashFunction::of(&wanted).unwrap();
        assert_eq!(function.digest(b"right"), Some(wanted), "0x{code:x}");
        assert!(function.matches(b"right", &wanted), "0x{code:x}");
        for wrong in [&b""[..], b"righ", b"wrong", b"right "] {
            assert!(!function.matches(wrong, &wanted), "0x{code:x}");
        }
        // BLAKE3 has another code, and the same length.
        let other = hash(0x1e, wanted.digest());
        assert!(!function.matches(b"right", &other), "0x{code:x}");
    }
    assert!(HashFunction::by_code(0x1e).is_some());
}

#[test]
fn a_cut_digest_matches_down_to_the_limit_and_a_longer_one_never() {
    for (code, digest) in DIGESTS {
        let mut digest = bytes(digest);
        let shortest = usize::from(SHORTEST_DIGEST);
        let function = HashFunction::by_code(*code).unwrap();
        assert!(function.matches(b"right", &hash(*code, &digest[..shortest])));
        let short = HashFunction::of(&hash(*code, &digest[..shortest - 1])).unwrap_err();
        assert_eq!(short, Unprovable::ShortDigest { len: 19 });
        if digest.len() < 64 {
            digest.push(0);
            assert!(!function.matches(b"right", &hash(*code, &digest)));
        }
    }
}

#[test]
fn functions_that_nodes_refuse_are_named() {
    // Identity, MD4, MD5, Murmur3, BLAKE2b of 152 bits, BLAKE2s of 160 and 264.
    for code in [0x00, 0xd4, 0xd5, 0x22, 0xb213, 0xb254, 0xb261] {
        let error = HashFunction::of(&hash(code, &[7; 32])).unwrap_err();
        assert_eq!(error, Unprovable::Function { code });
        assert!(error.to_string().contains(&format!("0x{code:x}")));
    }
}

/// The beginnings of the two files of the SHAttered attack, as far as they differ: 192 bytes in common, then two blocks
/// of SHA-1 each.
const SHATTERED: &str = include_str!("shattered.hex");

#[test]
fn bytes_that_were_made_for_a_collision_match_nothing() {
    let collision = hash(0x11, &bytes("f92d74e3874587aaf443d1db961d4e26dde13e9c"));
    let function = HashFunction::of(&collision).unwrap();
    let made: Vec<_> = SHATTERED.lines().map(bytes).collect();
    assert!(made.len() == 2 && made[0] != made[1]);
    for made in &made {
        assert_eq!(function.digest(made), None);
        assert!(!function.matches(made, &collision));
    }
    // Their common beginning is harmless.
    assert!(function.digest(&made[0][..192]).is_some());
}
