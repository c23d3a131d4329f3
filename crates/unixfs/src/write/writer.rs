//! Finished blocks on their way to the sink: hashed, counted, each distinct one handed over once.
//!
//! The one thing in an import whose memory grows with what is imported: 34 bytes for each distinct block, which is
//! some 70 MiB for a tebibyte.

use std::collections::HashSet;

use bytes::Bytes;
use cid::{Cid, Version};
use ipld_dagpb::PbLink;
use multihash::Multihash;
use multihash_codetable::{Code, MultihashDigest};

use crate::error::CarError;

/// What a block is encoded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Codec {
    Raw,
    DagPb,
}

/// A block's identity within one import, where every hash is sha2-256: a third of a `Cid`'s size, since large
/// directories hold many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BlockId {
    codec: Codec,
    digest: [u8; 32],
}

impl BlockId {
    /// Raw blocks have version 1 always; `version` is the others'.
    pub(super) fn cid(&self, version: Version) -> Cid {
        let hash = Multihash::wrap(Code::Sha2_256.into(), &self.digest)
            .expect("32 bytes are less than a multihash holds");
        let v1 = |codec| Cid::new_v1(codec, hash);
        match (self.codec, version) {
            (Codec::Raw, _) => v1(0x55),
            (Codec::DagPb, Version::V1) => v1(0x70),
            (Codec::DagPb, Version::V0) => Cid::new_v0(hash).unwrap_or_else(|_| v1(0x70)),
        }
    }
}

/// A finished DAG, as its parent links to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) id: BlockId,
    /// The length of its block and of all below it, counted as often as they are linked: the Tsize.
    pub(super) tsize: u64,
}

impl Node {
    pub(super) fn link(&self, name: String, version: Version) -> PbLink {
        PbLink {
            cid: self.id.cid(version),
            name: Some(name),
            size: Some(self.tsize),
        }
    }
}

/// The way to the sink.
pub(super) struct Blocks<S> {
    sink: S,
    version: Version,
    seen: HashSet<BlockId>,
    total_bytes: u64,
}

impl<S: FnMut(Cid, Bytes) -> Result<(), CarError>> Blocks<S> {
    pub(super) fn new(version: Version, sink: S) -> Self {
        Self {
            sink,
            version,
            seen: HashSet::new(),
            total_bytes: 0,
        }
    }

    /// The version of dag-pb blocks' CIDs.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Distinct blocks so far.
    pub(super) fn count(&self) -> u64 {
        self.seen.len() as u64
    }

    /// The distinct blocks' length together, in bytes.
    pub(super) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    pub(super) fn put_raw(&mut self, block: Bytes) -> Result<Node, CarError> {
        self.put(Codec::Raw, block, 0)
    }

    /// `children` is the sum of the links' Tsizes.
    pub(super) fn put_dag_pb(&mut self, block: Bytes, children: u64) -> Result<Node, CarError> {
        self.put(Codec::DagPb, block, children)
    }

    fn put(&mut self, codec: Codec, block: Bytes, children: u64) -> Result<Node, CarError> {
        let hash = Code::Sha2_256.digest(&block);
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.digest());
        let id = BlockId { codec, digest };
        let length = block.len() as u64;
        if self.seen.insert(id) {
            self.total_bytes += length;
            (self.sink)(id.cid(self.version), block)?;
        }
        Ok(Node {
            id,
            tsize: length.saturating_add(children),
        })
    }
}
