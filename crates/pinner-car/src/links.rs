//! The links of a block, by the codec of the CID that names it. The walk of a recursive pin follows them.
//!
//! Knows dag-pb, dag-cbor and the codecs that have no links. Never panics on hostile bytes.

use bytes::Bytes;
use ipld_core::codec::Links;
use serde_ipld_dagcbor::codec::DagCborCodec;
use unixfs::Target;

const RAW: u64 = 0x55;
const CBOR: u64 = 0x51;
const JSON: u64 = 0x0200;
const DAG_PB: u64 = 0x70;
const DAG_CBOR: u64 = 0x71;

/// How to find the links of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// The block has no links, and need not be read.
    Leaf,
    DagPb,
    DagCbor,
}

impl Codec {
    /// `None` for a codec whose links this crate does not know.
    pub(crate) fn of(code: u64) -> Option<Self> {
        match code {
            RAW | CBOR | JSON => Some(Self::Leaf),
            DAG_PB => Some(Self::DagPb),
            DAG_CBOR => Some(Self::DagCbor),
            _ => None,
        }
    }

    /// The targets of the links in `block`, in order, or the reason why it does not decode.
    pub(crate) fn links(self, block: &Bytes) -> Result<Vec<Target>, String> {
        match self {
            Self::Leaf => Ok(Vec::new()),
            Self::DagPb => {
                let links = unixfs::links(unixfs::Codec::DagPb, block);
                let targets = links.map(|links| links.map(|link| link.map(|link| link.target)));
                let targets = targets.and_then(Iterator::collect);
                targets.map_err(|error| error.to_string())
            }
            Self::DagCbor => Ok(DagCborCodec::links(block)
                .map_err(|error| error.to_string())?
                .map(Target::Block)
                .collect()),
        }
    }
}
