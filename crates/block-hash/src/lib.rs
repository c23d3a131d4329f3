//! The hash functions of IPFS blocks: which of them are taken, and whether bytes match a multihash.
//!
//! Knows nothing of CIDs, backends or caches. Its invariant: [`HashFunction::matches`] is true only for bytes that
//! nobody could have exchanged for others, as far as the function itself is unbroken. SHA-1 is broken, so bytes in
//! which its collisions can be recognized match nothing.
//!
//! The identity "hash" is not a hash function: its digest is the content, and there is nothing to check.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

use multihash::Multihash;
use multihash_codetable::{Code, MultihashDigest};
use sha3::digest::ExtendableOutput;

const SHA1: u64 = 0x11;
const SHAKE_256: u64 = 0x19;
const DOUBLE_SHA2_256: u64 = 0x56;
/// The code of BLAKE2b with a digest of n bytes is this plus n.
const BLAKE2B: u64 = 0xb200;
const BLAKE2S_256: u64 = 0xb260;

/// The length of the shortest digest that proves anything, in bytes. Bytes for a shorter one could be found by trying.
/// Kubo has the same limit.
pub const SHORTEST_DIGEST: u8 = 20;

/// A hash function for blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashFunction(Function);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    /// SHA-2, SHA-3, Keccak and BLAKE3.
    Table(Code),
    Sha1,
    Shake256,
    DoubleSha2,
    /// The length of the digest, in bytes.
    Blake2b(u8),
    Blake2s,
}

/// Why no bytes can be proven to match a multihash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unprovable {
    /// The hash function is unknown, or IPFS nodes do not take it.
    #[error("the hash function 0x{code:x}")]
    Function {
        /// Its multicodec number.
        code: u64,
    },
    /// The digest is shorter than [`SHORTEST_DIGEST`].
    #[error("a digest of {len} bytes")]
    ShortDigest {
        /// Its length in bytes.
        len: u8,
    },
}

impl HashFunction {
    /// The hash function of a multihash with which bytes can be checked.
    ///
    /// # Errors
    /// [`Unprovable`]: no bytes can be proven to match this multihash.
    pub fn of<const S: usize>(hash: &Multihash<S>) -> Result<Self, Unprovable> {
        let (code, len) = (hash.code(), hash.size());
        if len < SHORTEST_DIGEST {
            return Err(Unprovable::ShortDigest { len });
        }
        Self::by_code(code).ok_or(Unprovable::Function { code })
    }

    /// The hash function with this multicodec number, if IPFS nodes take it.
    pub fn by_code(code: u64) -> Option<Self> {
        Some(Self(match code {
            SHA1 => Function::Sha1,
            SHAKE_256 => Function::Shake256,
            DOUBLE_SHA2_256 => Function::DoubleSha2,
            BLAKE2S_256 => Function::Blake2s,
            // Cargo may have enabled more of the table than this crate asks for.
            0x12..=0x17 | 0x1a..=0x1e => Function::Table(Code::try_from(code).ok()?),
            _ => match code.checked_sub(BLAKE2B) {
                Some(len @ 20..=64) => Function::Blake2b(len as u8),
                _ => return None,
            },
        }))
    }

    /// The multihash of `bytes`; `None` if they were made for a collision.
    pub fn digest(self, bytes: &[u8]) -> Option<Multihash<64>> {
        let wrap = |code, digest: &[u8]| Multihash::wrap(code, digest).ok();
        match self.0 {
            Function::Table(code) => Some(code.digest(bytes)),
            Function::Sha1 => match sha1_checked::Sha1::try_digest(bytes) {
                sha1_checked::CollisionResult::Ok(digest) => wrap(SHA1, &digest),
                sha1_checked::CollisionResult::Mitigated(_)
                | sha1_checked::CollisionResult::Collision(_) => None,
            },
            Function::Shake256 => {
                let mut digest = [0; 64];
                sha3::Shake256::digest_xof(bytes, &mut digest);
                wrap(SHAKE_256, &digest)
            }
            Function::DoubleSha2 => {
                let once = Code::Sha2_256.digest(bytes);
                let twice = Code::Sha2_256.digest(once.digest());
                wrap(DOUBLE_SHA2_256, twice.digest())
            }
            Function::Blake2b(len) => {
                let mut function = blake2b_simd::Params::new();
                let digest = function.hash_length(usize::from(len)).hash(bytes);
                wrap(BLAKE2B + u64::from(len), digest.as_bytes())
            }
            Function::Blake2s => {
                let digest = blake2s_simd::blake2s(bytes);
                wrap(BLAKE2S_256, digest.as_bytes())
            }
        }
    }

    /// Whether `bytes` match `hash`, which is of this function. A multihash may hold the first bytes of a digest; all
    /// that is there has to match.
    pub fn matches<const S: usize>(self, bytes: &[u8], hash: &Multihash<S>) -> bool {
        self.digest(bytes).is_some_and(|got| {
            got.code() == hash.code()
                && got.size() >= hash.size()
                && got.digest().starts_with(hash.digest())
        })
    }
}
