//! Verification: the one place where unverified bytes become a [`Block`] (I1).
//!
//! It does not know where the bytes come from or where they go.

use block_hash::HashFunction;
use bytes::Bytes;
use cid::Cid;

use crate::{
    error::Error,
    path::root_cid::IDENTITY,
    unixfs::{Codec, Target},
};

pub(crate) use block_staging::{Key, KeyHash};

/// Returns the target of a CID: its block, or the data that lies in the CID itself.
pub(crate) fn target_of(cid: &Cid) -> Target {
    if cid.hash().code() == IDENTITY {
        Target::Inline {
            codec: Codec::from(cid.codec()),
            bytes: Bytes::copy_from_slice(cid.hash().digest()),
        }
    } else {
        Target::Block(*cid)
    }
}

/// Returns the CID of a target, for errors and hints. An identity CID is cut to the 64 bytes that fit; `RootCid::of` is
/// whole.
pub(crate) fn cid_of(target: &Target) -> Cid {
    match target {
        Target::Block(cid) => *cid,
        Target::Inline { codec, bytes } => {
            let digest = &bytes[..bytes.len().min(64)];
            let hash = Key::wrap(IDENTITY, digest).unwrap_or_default();
            Cid::new_v1(u64::from(*codec), hash)
        }
    }
}

/// Returns the CIDv1 of a CID, so that both versions of it compare equal.
pub(crate) fn canonical(cid: Cid) -> Cid {
    Cid::new_v1(cid.codec(), *cid.hash())
}

/// Bytes that a backend returned and that have not been verified.
pub(crate) struct UnverifiedBlock(Bytes);

impl UnverifiedBlock {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Hashes the bytes and compares the digest with `cid`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if they differ; [`Error::Unsupported`] as for [`acceptable`].
    pub(crate) fn verify(self, cid: &Cid) -> Result<Block, Error> {
        match acceptable(cid)?.matches(&self.0, cid.hash()) {
            true => Ok(Block(self.0)),
            false => Err(Error::Corrupt {
                cid: *cid,
                len: self.0.len(),
            }),
        }
    }
}

/// Returns the hash function of `cid`, if it can be verified.
///
/// # Errors
/// [`Error::Unsupported`] for an unknown function or a digest that is too short to prove anything.
pub(crate) fn acceptable(cid: &Cid) -> Result<HashFunction, Error> {
    HashFunction::of(cid.hash()).map_err(|unprovable| Error::Unsupported {
        cid: *cid,
        what: unprovable.to_string(),
    })
}

/// A block whose bytes hash to the CID that led to it.
#[derive(Clone)]
pub(crate) struct Block(Bytes);

impl Block {
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.0
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;

    fn cid(code: Code, bytes: &[u8]) -> Cid {
        Cid::new_v1(0x55, code.digest(bytes))
    }

    #[test]
    fn every_function_verifies_what_is_right_and_nothing_else() {
        for code in [
            Code::Sha2_256,
            Code::Sha2_512,
            Code::Blake2b256,
            Code::Blake3_256,
            Code::Sha3_256,
        ] {
            let cid = cid(code, b"right");
            let verify = |bytes| UnverifiedBlock::new(Bytes::from_static(bytes)).verify(&cid);
            assert!(verify(b"right").is_ok(), "{code:?}");
            for wrong in [&b""[..], b"righ", b"wrong", b"right "] {
                assert!(
                    matches!(verify(wrong), Err(Error::Corrupt { .. })),
                    "{code:?}"
                );
            }
        }
    }

    #[test]
    fn a_cut_digest_verifies_down_to_the_limit() {
        let full = Code::Sha2_256.digest(b"right");
        let cut = |len: usize| Cid::new_v1(0x55, Key::wrap(0x12, &full.digest()[..len]).unwrap());
        let right = || UnverifiedBlock::new(Bytes::from_static(b"right"));
        assert!(right().verify(&cut(20)).is_ok());
        assert!(matches!(
            right().verify(&cut(19)),
            Err(Error::Unsupported { .. })
        ));
        assert!(matches!(
            right().verify(&cut(0)),
            Err(Error::Unsupported { .. })
        ));
        // A digest that is longer than the function's own: zeros behind it prove nothing.
        let mut long = full.digest().to_vec();
        long.push(0);
        let long = Cid::new_v1(0x55, Key::wrap(0x12, &long).unwrap());
        assert!(matches!(right().verify(&long), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn an_unknown_function_is_unsupported() {
        let md5 = Cid::new_v1(0x55, Key::wrap(0xd5, &[7; 32]).unwrap());
        let error = UnverifiedBlock::new(Bytes::new()).verify(&md5).err();
        assert!(error.unwrap().to_string().contains("0xd5"));
    }
}
