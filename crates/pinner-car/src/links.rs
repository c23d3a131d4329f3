//! The links of a block, by the codec of the CID that names it. The walk of a recursive pin follows them.
//!
//! Knows dag-pb, dag-cbor and the codecs that have no links. Never panics on hostile bytes.

use bytes::Bytes;
use cid::Cid;
use ipld_core::codec::Links;
use ipld_dagpb::PbNode;
use serde_ipld_dagcbor::codec::DagCborCodec;

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
    pub(crate) fn of(cid: &Cid) -> Option<Self> {
        match cid.codec() {
            RAW | CBOR | JSON => Some(Self::Leaf),
            DAG_PB => Some(Self::DagPb),
            DAG_CBOR => Some(Self::DagCbor),
            _ => None,
        }
    }

    /// The links in `block`, in order, or the reason why it does not decode.
    pub(crate) fn links(self, block: Bytes) -> Result<Vec<Cid>, String> {
        match self {
            Self::Leaf => Ok(Vec::new()),
            Self::DagPb => {
                let node = PbNode::from_bytes(block).map_err(|error| error.to_string())?;
                Ok(node.links.into_iter().map(|link| link.cid).collect())
            }
            Self::DagCbor => Ok(DagCborCodec::links(&block)
                .map_err(|error| error.to_string())?
                .collect()),
        }
    }
}
