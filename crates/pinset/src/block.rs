//! Verification: the one place where unverified bytes become a [`Block`] (I1).
//!
//! It does not know where the bytes come from or where they go.

use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

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

/// Returns the CID of a target, for messages and identities. An identity CID is cut to the 64 bytes that fit.
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

/// The shortest digest that is accepted, in bytes: Kubo's limit (boxo's `verifcid`). Bytes for a shorter digest could
/// be found by trying.
const MIN_DIGEST: u8 = 20;

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
        let wanted = cid.hash();
        let code = acceptable(cid)?;
        let got = code.digest(&self.0);
        // Multihash allows a digest to be cut. The part that is there has to match.
        if wanted.size() <= got.size() && got.digest().starts_with(wanted.digest()) {
            Ok(Block(self.0))
        } else {
            Err(Error::Corrupt {
                cid: *cid,
                len: self.0.len(),
            })
        }
    }
}

/// Returns the hash function of `cid`, if it can be verified.
///
/// # Errors
/// [`Error::Unsupported`] for an unknown function or a digest that is too short to prove anything.
pub(crate) fn acceptable(cid: &Cid) -> Result<Code, Error> {
    let hash = cid.hash();
    let unsupported = |what: String| Error::Unsupported { cid: *cid, what };
    if hash.size() < MIN_DIGEST {
        return Err(unsupported(format!("a digest of {} bytes", hash.size())));
    }
    Code::try_from(hash.code())
        .map_err(|_| unsupported(format!("the hash function 0x{:x}", hash.code())))
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
