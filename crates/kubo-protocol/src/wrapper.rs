//! A counted recursive pin: a block of our own for each `(holder, root)`, pinned recursively.
//!
//! Kubo has one pin for a CID, and whoever removes it removes it for everybody. So roots are never pinned themselves:
//! each holder pins a block of its own that links to the root. The block is the dag-cbor map
//! `{"c": <link to the root>, "h": <the 24 bytes of the holder>}`, encoded as an identity CID: the CID contains the
//! block. Nothing has to be stored on the node, nothing is left behind, and the node's list of recursive pins is the
//! register.
//!
//! Invariant: for every CID that [`Wrapper::parse`] accepts, [`Wrapper::cid`] returns the same bytes. Anything else
//! that looks similar is somebody else's pin, and is neither listed nor touched.

use std::fmt;

use cid::{Cid, CidGeneric, Version};
use multihash::Multihash;
use pinner_api::Holder;

/// A CID long enough for a [`Wrapper`]; Kubo allows identity digests of up to 128 bytes.
pub type WrapperCid = CidGeneric<128>;

/// The codecs of dag-cbor and of the identity hash.
const DAG_CBOR: u64 = 0x71;
const IDENTITY: u64 = 0x00;

/// `{"c": 42(h'00…')`: a map of two, the key `c`, a link, up to the length of the link's bytes.
const BEFORE_ROOT: [u8; 5] = [0xa2, 0x61, b'c', 0xd8, 0x2a];
/// `"h": h'…'`: the key `h`, and the head of a byte string of 24.
const BEFORE_HOLDER: [u8; 4] = [0x61, b'h', 0x58, Holder::LEN as u8];
/// The byte before a CID's bytes in a dag-cbor link.
const LINK_PREFIX: u8 = 0x00;

/// One holder's recursive pin of one root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wrapper {
    /// The holder of the pin.
    pub holder: Holder,
    /// The root that the pin keeps.
    pub root: Cid,
}

impl Wrapper {
    /// The pin of `root` by `holder`.
    pub fn new(holder: Holder, root: Cid) -> Self {
        Self { holder, root }
    }

    /// The CID that is pinned.
    pub fn cid(&self) -> WrapperCid {
        let link = self.root.to_bytes();
        let mut block = Vec::with_capacity(128);
        block.extend(BEFORE_ROOT);
        byte_string_head(link.len() + 1, &mut block);
        block.push(LINK_PREFIX);
        block.extend(&link);
        block.extend(BEFORE_HOLDER);
        block.extend(self.holder.as_bytes());
        // A CID is at most 85 bytes (64 of digest, three numbers of up to 9 bytes, the version), so the block is at
        // most 122, and always fits.
        let digest = Multihash::wrap(IDENTITY, &block).unwrap_or_default();
        WrapperCid::new_v1(DAG_CBOR, digest)
    }

    /// Parses a CID from a node's list of pins; `None` if the pin is not ours.
    pub fn parse(text: &str) -> Option<Self> {
        let cid = WrapperCid::try_from(text).ok()?;
        let ours = cid.version() == Version::V1
            && cid.codec() == DAG_CBOR
            && cid.hash().code() == IDENTITY;
        if !ours {
            return None;
        }
        let rest = cid.hash().digest().strip_prefix(&BEFORE_ROOT)?;
        let (link, rest) = split_byte_string(rest)?;
        let holder = rest.strip_prefix(&BEFORE_HOLDER)?;
        let wrapper = Self {
            holder: Holder::from_bytes(holder.try_into().ok()?),
            root: Cid::try_from(link.strip_prefix(&[LINK_PREFIX])?).ok()?,
        };
        // Other encodings of the same pair (a longer head, bytes after the root's CID) are not ours.
        (wrapper.cid() == cid).then_some(wrapper)
    }
}

/// Base32, as a node accepts and lists it.
impl fmt::Display for Wrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cid().fmt(f)
    }
}

/// Appends the head of a CBOR byte string, in its shortest form, as dag-cbor requires.
fn byte_string_head(length: usize, out: &mut Vec<u8>) {
    match u8::try_from(length) {
        Ok(short @ 0..24) => out.push(0x40 | short),
        Ok(long) => out.extend([0x58, long]),
        // Longer than any CID: see `cid`.
        Err(_) => {}
    }
}

fn split_byte_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_first()?;
    let (length, rest) = match head {
        0x40..0x58 => (head & 0x1f, rest),
        0x58 => rest.split_first().map(|(length, rest)| (*length, rest))?,
        _ => return None,
    };
    rest.split_at_checked(length.into())
}

#[cfg(test)]
mod tests {
    use multihash_codetable::{Code, MultihashDigest};
    use proptest::prelude::*;

    use super::*;

    fn holder() -> Holder {
        Holder::new([1; 8], [2; 16])
    }

    #[test]
    fn the_encoding_is_fixed() {
        // Nodes store these: a change would lose every pin that was ever made.
        let root = Cid::new_v1(0x70, Code::Sha2_256.digest(b"root"));
        let wrapper = Wrapper::new(holder(), root);
        let block = [
            &[0xa2, 0x61, 0x63, 0xd8, 0x2a, 0x58, 0x25, 0x00][..],
            &root.to_bytes(),
            &[0x61, 0x68, 0x58, 0x18],
            holder().as_bytes(),
        ]
        .concat();
        assert_eq!(wrapper.cid().hash().digest(), block);
        assert_eq!(block.len(), 72);
        let bytes = [&[0x01, 0x71, 0x00, 72][..], &block].concat();
        assert_eq!(wrapper.cid().to_bytes(), bytes);
        assert!(wrapper.to_string().starts_with("bafyqa"), "{wrapper}");
    }

    #[test]
    fn every_root_comes_back() {
        let hash = Code::Sha2_256.digest(b"root");
        let short = Multihash::wrap(IDENTITY, b"x").expect("it fits");
        let long = Multihash::wrap(u64::MAX >> 1, &[7; 64]).expect("it fits");
        let roots = [
            Cid::new_v0(hash).expect("sha2-256"),
            Cid::new_v1(0x70, hash),
            Cid::new_v1(0x55, Code::Blake3_256.digest(b"root")),
            Cid::new_v1(0x55, Code::Sha2_512.digest(b"root")),
            Cid::new_v1(0x55, short),
            // The longest possible CID.
            Cid::new_v1(u64::MAX >> 1, long),
        ];
        for root in roots {
            let wrapper = Wrapper::new(holder(), root);
            assert_eq!(Wrapper::parse(&wrapper.to_string()), Some(wrapper));
            assert!(wrapper.cid().hash().digest().len() <= 128);
        }
    }

    #[test]
    fn what_is_not_ours_is_nobody_s() {
        let root = Cid::new_v1(0x70, Code::Sha2_256.digest(b"root"));
        let ours = Wrapper::new(holder(), root).cid();
        let identity = |codec: u64, block: &[u8]| {
            let digest = Multihash::<128>::wrap(IDENTITY, block).expect("it fits");
            WrapperCid::new_v1(codec, digest).to_string()
        };
        let block = ours.hash().digest();
        assert!(Wrapper::parse(&identity(DAG_CBOR, block)).is_some());
        assert_eq!(Wrapper::parse(&identity(0x55, block)), None);
        assert_eq!(
            Wrapper::parse(&identity(DAG_CBOR, &block[..block.len() - 1])),
            None
        );
        assert_eq!(
            Wrapper::parse(&identity(DAG_CBOR, &[block, &[0]].concat())),
            None
        );
        // The same values, not in their shortest form.
        let mut padded = block.to_vec();
        padded[0] = 0xb8;
        padded.insert(1, 2);
        assert_eq!(Wrapper::parse(&identity(DAG_CBOR, &padded)), None);
        // Bytes behind the root's CID.
        let mut trailing = block.to_vec();
        trailing[6] += 1;
        trailing.insert(8 + root.encoded_len(), 0);
        assert_eq!(Wrapper::parse(&identity(DAG_CBOR, &trailing)), None);
        let named = [&root.to_string(), "", "bafy", "Qm", "bafyqa", "é"];
        for text in named {
            assert_eq!(Wrapper::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_block_is_taken_whole_or_not_at_all(block in prop::collection::vec(any::<u8>(), 0..=128)) {
            let digest = Multihash::<128>::wrap(IDENTITY, &block).expect("it fits");
            let cid = WrapperCid::new_v1(DAG_CBOR, digest);
            if let Some(wrapper) = Wrapper::parse(&cid.to_string()) {
                prop_assert_eq!(wrapper.cid(), cid);
            }
        }

        #[test]
        fn one_changed_byte_is_another_pin_or_none(at in 0_usize..72, to in any::<u8>()) {
            let root = Cid::new_v1(0x70, Code::Sha2_256.digest(b"root"));
            let wrapper = Wrapper::new(holder(), root);
            let mut block = wrapper.cid().hash().digest().to_vec();
            block[at] = to;
            let digest = Multihash::<128>::wrap(IDENTITY, &block).expect("it fits");
            let cid = WrapperCid::new_v1(DAG_CBOR, digest);
            if let Some(read) = Wrapper::parse(&cid.to_string()) {
                prop_assert_eq!(read.cid(), cid);
                prop_assert_eq!(read == wrapper, cid == wrapper.cid());
            }
        }
    }
}
