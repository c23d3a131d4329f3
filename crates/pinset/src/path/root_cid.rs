//! The CID that a path starts with.
//!
//! It can be an identity CID, which holds its own content, of up to 128 bytes. That is more than the 64 bytes of a
//! digest that [`Cid`] can hold. Identity CIDs are never fetched.

use std::fmt;

use bytes::Bytes;
use cid::{Cid, CidGeneric, multihash::Multihash};

use crate::unixfs::{Codec, Target};

/// The multihash code of identity "hashes".
pub(crate) const IDENTITY: u64 = 0x00;

/// The length of the longest text of a CID, in characters. An identity CID of 128 bytes has 267 in base 16. There is a
/// limit because the parser's work grows with the square of the length in base 58.
const LONGEST_TEXT: usize = 272;

/// The most characters of a text that is not a CID, escaped, in a message.
const LONGEST_SHOWN: usize = 200;

/// The CID that a path starts with: the CID of a block, or an identity CID, which holds its own content of up to 128
/// bytes.
///
/// A CIDv0 and the same CID as CIDv1 are different values, but [`Access`](crate::Access) treats them as one root.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootCid(CidGeneric<{ RootCid::MAX_DIGEST }>);

impl RootCid {
    /// The length of the longest identity digest, in bytes. This is Kubo's limit.
    pub const MAX_DIGEST: usize = 128;

    /// Returns the CID, unless it is an identity CID that is too long for a [`Cid`].
    pub fn cid(&self) -> Option<Cid> {
        let hash = Multihash::wrap(self.0.hash().code(), self.0.hash().digest()).ok()?;
        Cid::new(self.0.version(), self.0.codec(), hash).ok()
    }

    /// Returns whether the content is in the CID itself, so that it is never fetched.
    pub fn is_inline(&self) -> bool {
        self.0.hash().code() == IDENTITY
    }

    /// Returns the target of a link with this CID.
    pub(crate) fn target(&self) -> Target {
        match self.cid() {
            Some(cid) if !self.is_inline() => Target::Block(cid),
            // Of the digests over 64 bytes, `parse` accepts only identity digests.
            _ => Target::Inline {
                codec: Codec::from(self.0.codec()),
                bytes: Bytes::copy_from_slice(self.0.hash().digest()),
            },
        }
    }

    /// Returns the CID of `target`.
    pub(crate) fn of(target: &Target) -> Self {
        match target {
            Target::Block(cid) => Self::from(*cid),
            Target::Inline { codec, bytes } => {
                // This does not fail: an inline target has at most 128 bytes.
                let hash = Multihash::wrap(IDENTITY, bytes).unwrap_or_default();
                Self(CidGeneric::new_v1(u64::from(*codec), hash))
            }
        }
    }

    /// Returns the CID as CIDv1, so that a CIDv0 and its CIDv1 form compare equal.
    pub fn canonical(self) -> Self {
        Self(CidGeneric::new_v1(self.0.codec(), *self.0.hash()))
    }

    /// Parses a path's first segment as a CID.
    ///
    /// # Errors
    /// A message that says why the segment is invalid.
    pub(crate) fn parse(segment: &str) -> Result<Self, String> {
        if segment.is_empty() {
            return Err("it has no CID".to_owned());
        }
        if segment.len() > LONGEST_TEXT {
            return Err(format!(
                "its CID of {} characters is too long",
                segment.len()
            ));
        }
        let wide = CidGeneric::try_from(segment).map_err(|error| {
            let shown: String = segment.escape_debug().take(LONGEST_SHOWN).collect();
            format!("'{shown}' is not a CID ({error})")
        })?;
        let root = Self(wide);
        if !root.is_inline() && root.cid().is_none() {
            let size = wide.hash().size();
            return Err(format!(
                "'{segment}' has a digest of {size} bytes, more than can be verified"
            ));
        }
        Ok(root)
    }
}

impl From<Cid> for RootCid {
    fn from(cid: Cid) -> Self {
        let hash = cid.hash();
        let wide = Multihash::wrap(hash.code(), hash.digest())
            .ok()
            .and_then(|hash| CidGeneric::new(cid.version(), cid.codec(), hash).ok());
        // The default is never used: a digest of at most 64 bytes fits into 128, and the version was valid before.
        Self(wide.unwrap_or_default())
    }
}

impl From<&Cid> for RootCid {
    fn from(cid: &Cid) -> Self {
        Self::from(*cid)
    }
}

impl fmt::Display for RootCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RootCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootCid({self})")
    }
}

impl PartialEq<Cid> for RootCid {
    fn eq(&self, other: &Cid) -> bool {
        *self == Self::from(*other)
    }
}

#[cfg(test)]
mod tests {
    use cid::multibase::Base;
    use proptest::prelude::*;

    use super::*;
    use crate::path::ipfs_path::IpfsPath;

    /// Identity CIDs of up to 128 bytes, and CIDs of both versions.
    fn cids() -> impl Strategy<Value = CidGeneric<128>> {
        let bytes = prop::collection::vec(any::<u8>(), 0..=128);
        let inline = (any::<u32>(), bytes).prop_map(|(codec, bytes)| {
            let hash = Multihash::wrap(IDENTITY, &bytes).unwrap();
            CidGeneric::new_v1(u64::from(codec), hash)
        });
        let hashed = (any::<u32>(), any::<[u8; 32]>()).prop_map(|(codec, digest)| {
            CidGeneric::new_v1(u64::from(codec), Multihash::wrap(0x12, &digest).unwrap())
        });
        let old = any::<[u8; 32]>().prop_map(|digest| {
            let hash = Multihash::wrap(0x12, &digest).unwrap();
            CidGeneric::new_v0(hash).unwrap()
        });
        prop_oneof![inline, hashed, old]
    }

    proptest! {
        #[test]
        fn what_is_written_out_reads_the_same(wide in cids(), rest in "[a-z./]{0,12}") {
            let root: RootCid = wide.to_string().parse().unwrap();
            prop_assert_eq!(root, RootCid(wide));
            prop_assert_eq!(root.is_inline(), wide.hash().code() == IDENTITY);
            prop_assert_eq!(root.cid().is_some(), wide.hash().size() <= 64);
            prop_assert_eq!(RootCid::of(&root.target()).canonical(), root.canonical());
            if let Some(cid) = root.cid() {
                prop_assert_eq!(root, cid);
                prop_assert_eq!(root.to_string(), cid.to_string());
            }
            let path: IpfsPath = format!("/ipfs/{root}/{rest}").parse().unwrap();
            prop_assert_eq!(path.root_cid(), &root);
            prop_assert_eq!(path.rest(), &*rest);
            prop_assert_eq!(path.to_string().parse::<IpfsPath>().unwrap(), path);
        }

        #[test]
        fn every_base_is_the_same_root(bytes in prop::collection::vec(any::<u8>(), 0..=128)) {
            let hash = Multihash::wrap(IDENTITY, &bytes).unwrap();
            let wide = CidGeneric::<128>::new_v1(0x55, hash);
            for base in [Base::Base16Lower, Base::Base32Lower, Base::Base58Btc, Base::Base64Url] {
                let text = wide.to_string_of_base(base).unwrap();
                prop_assert_eq!(text.parse::<RootCid>().unwrap(), RootCid(wide));
            }
        }
    }

    #[test]
    fn a_long_digest_that_is_not_the_content_is_refused() {
        let hash = Multihash::<128>::wrap(0x12, &[7; 65]).unwrap();
        let text = CidGeneric::new_v1(0x55, hash).to_string();
        let error = text.parse::<RootCid>().unwrap_err().to_string();
        assert!(error.contains("65 bytes"), "{error}");
    }
}
