//! MurmurHash3, the x64 variant of 128 bits: it decides an entry's place in a HAMT directory.
//!
//! It is not a cryptographic hash: names that collide are easy to make, and a HAMT must stay sound when they occur.

/// murmur3-x64-64 by its multicodec: the only hash function of HAMT directories.
pub(crate) const HASH_TYPE: u64 = 0x22;

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// The first 64 bits of the hash with seed 0.
pub(crate) fn hash64(bytes: &[u8]) -> u64 {
    hash128(bytes, 0).0
}

/// The hash, as its first and second half.
fn hash128(bytes: &[u8], seed: u64) -> (u64, u64) {
    let (mut h1, mut h2) = (seed, seed);
    let mut chunks = bytes.chunks_exact(16);
    for chunk in &mut chunks {
        let (k1, k2) = halves(chunk);
        h1 ^= mix_k1(k1);
        h1 = h1.rotate_left(27).wrapping_add(h2);
        h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mix_k2(k2);
        h2 = h2.rotate_left(31).wrapping_add(h1);
        h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    // The rest is hashed as if padded with zeros, which change neither half.
    let (k1, k2) = halves(chunks.remainder());
    h1 ^= mix_k1(k1);
    h2 ^= mix_k2(k2);

    let len = bytes.len() as u64;
    h1 ^= len;
    h2 ^= len;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = finish(h1);
    h2 = finish(h2);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2)
}

/// At most 16 bytes, padded with zeros, as two little-endian numbers.
fn halves(bytes: &[u8]) -> (u64, u64) {
    let mut both = [0; 16];
    both[..bytes.len()].copy_from_slice(bytes);
    let both = u128::from_le_bytes(both);
    (both as u64, (both >> 64) as u64)
}

fn mix_k1(k: u64) -> u64 {
    k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mix_k2(k: u64) -> u64 {
    k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn finish(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors() {
        assert_eq!(hash128(b"", 0), (0, 0));
        assert_eq!(
            hash128(b"hello", 0),
            (0xcbd8_a7b3_41bd_9b02, 0x5b1e_906a_48ae_1d19)
        );
        assert_eq!(
            hash128(b"The quick brown fox jumps over the lazy dog", 0),
            (0xe34b_bc7b_bc07_1b6c, 0x7a43_3ca9_c49a_9347)
        );
        assert_eq!(hash64(b"470.txt"), 0x006e_88df_5847_e67c);
    }

    /// SMHasher's own check: all lengths from 0 to 255, each with its own seed.
    #[test]
    fn the_verification_value_of_the_author() {
        let keys: Vec<u8> = (0..=255).collect();
        let hashes: Vec<u8> = (0..256_usize)
            .flat_map(|len| {
                let (h1, h2) = hash128(&keys[..len], 256 - len as u64);
                [h1.to_le_bytes(), h2.to_le_bytes()].concat()
            })
            .collect();
        assert_eq!(hash128(&hashes, 0).0 as u32, 0x6384_ba69);
    }
}
