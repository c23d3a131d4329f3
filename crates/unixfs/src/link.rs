//! Links: the bytes of a CID, parsed into the target that they point at.
//!
//! Owns the form of a CID inside a block: exactly as long as its field, with identity digests of up to 128 bytes. Does
//! not know which hash functions can be verified; the code that hashes does. Invariant: bytes behind a CID's end are
//! never ignored, so two fields that differ never parse to the same target.

use std::ops::Range;

use bytes::Bytes;
use cid::{Cid, CidGeneric, multihash::Multihash};

use crate::malformed::Malformed;

/// The multihash code under which the digest is the data itself.
const IDENTITY: u64 = 0x00;
const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;

/// The longest digest that is parsed, in bytes. Nodes accept identity digests up to this length.
const MAX_DIGEST: usize = 128;

/// How a block's bytes are decoded, according to the link that names the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// 0x55: the bytes themselves.
    Raw,
    /// 0x70: a dag-pb node, with or without UnixFS data.
    DagPb,
    /// Any other codec, by its multicodec number.
    Other(u64),
}

impl From<u64> for Codec {
    fn from(code: u64) -> Self {
        match code {
            RAW => Self::Raw,
            DAG_PB => Self::DagPb,
            other => Self::Other(other),
        }
    }
}

impl From<Codec> for u64 {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::Raw => RAW,
            Codec::DagPb => DAG_PB,
            Codec::Other(code) => code,
        }
    }
}

/// The target of a CID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A block that has to be fetched and verified.
    Block(Cid),
    /// An identity CID. Its data is in the CID, and so is verified with the block that holds the link.
    Inline {
        /// The codec of the data.
        codec: Codec,
        /// The data, at most 128 bytes. It is a slice of the block that holds the link, and keeps that block alive.
        bytes: Bytes,
    },
}

impl Target {
    /// The codec that the CID names.
    pub fn codec(&self) -> Codec {
        match self {
            Self::Block(cid) => Codec::from(cid.codec()),
            Self::Inline { codec, .. } => *codec,
        }
    }
}

/// One link of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The block or the inline data that it points at.
    pub target: Target,
    /// The cumulative size in bytes of the DAG below, as its author claims. A true claim about a raw block is the
    /// block's length.
    pub tsize: Option<u64>,
}

/// Checks that the CID in this span of a block parses to its last byte.
///
/// The two forms that nearly all CIDs have are recognized by their first bytes. Speed matters here: all links of a node
/// of a thousand are checked, and most of them are never followed.
pub(crate) fn check_cid(block: &Bytes, span: Range<usize>) -> Result<(), Malformed> {
    const SHA2_256: u8 = 0x12;
    match &block[span.clone()] {
        // Version 1 with a codec of one byte; version 0. Both end with the 32 bytes of the digest.
        [0x01, 0x00..=0x7f, SHA2_256, 32, digest @ ..] if digest.len() == 32 => Ok(()),
        [SHA2_256, 32, digest @ ..] if digest.len() == 32 => Ok(()),
        _ => parse_cid_bytes(&block.slice(span)).map(drop),
    }
}

/// Parses the two forms that nearly all CIDs have, both of SHA2-256: version 0, and version 1 with a codec of one byte.
/// Every read follows a link, so this is on the hot path.
fn usual(field: &[u8]) -> Option<Cid> {
    const SHA2_256: u8 = 0x12;
    const LEN: u8 = 32;
    match field {
        [1, codec @ 0..0x80, SHA2_256, LEN, digest @ ..] if digest.len() == usize::from(LEN) => {
            let hash = Multihash::wrap(u64::from(SHA2_256), digest).ok()?;
            Some(Cid::new_v1(u64::from(*codec), hash))
        }
        [SHA2_256, LEN, digest @ ..] if digest.len() == usize::from(LEN) => {
            Cid::new_v0(Multihash::wrap(u64::from(SHA2_256), digest).ok()?).ok()
        }
        _ => None,
    }
}

/// The target of the CID in this span of a block.
pub(crate) fn target_in(block: &Bytes, span: Range<usize>) -> Result<Target, Malformed> {
    match usual(&block[span.clone()]) {
        Some(cid) => Ok(Target::Block(cid)),
        None => parse_cid_bytes(&block.slice(span)),
    }
}

/// Parses a CID in its binary form, which has to fill `field` to the last byte.
///
/// # Errors
/// [`Malformed`]: `field` is not a CID, has bytes behind the CID's end, or holds an identity digest of more than 128
/// bytes or another digest of more than 64, which no hash function can verify.
pub fn parse_cid_bytes(field: &Bytes) -> Result<Target, Malformed> {
    if let Some(cid) = usual(field) {
        return Ok(Target::Block(cid));
    }
    let wide = CidGeneric::<MAX_DIGEST>::read_bytes(field.as_ref()).map_err(|error| {
        Malformed::new(format!(
            "a CID of {} bytes does not parse: {error}",
            field.len()
        ))
    })?;
    let encoded_len = wide.encoded_len();
    if encoded_len != field.len() {
        return Err(Malformed::new(format!(
            "a CID of {encoded_len} bytes in a field of {}",
            field.len()
        )));
    }
    let digest = wide.hash().digest();
    if wide.hash().code() == IDENTITY {
        return Ok(Target::Inline {
            codec: Codec::from(wide.codec()),
            // The digest is the CID's tail.
            bytes: field.slice(field.len() - digest.len()..),
        });
    }
    Multihash::<64>::wrap(wide.hash().code(), digest)
        .ok()
        .and_then(|hash| Cid::new(wide.version(), wide.codec(), hash).ok())
        .map(Target::Block)
        .ok_or_else(|| {
            Malformed::new(format!(
                "a CID with a digest of {} bytes under hash function 0x{:x}; more than 64 cannot be verified",
                digest.len(),
                wide.hash().code()
            ))
        })
}
