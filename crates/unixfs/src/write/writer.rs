//! The writer: it hashes and counts finished blocks, and hands each distinct one to the sink once.
//!
//! Only here does the memory of an import grow with its content: 34 bytes for each distinct block, which is some
//! 70 MiB for a tebibyte.

use std::{collections::HashSet, fmt};

use bytes::Bytes;
use cid::{Cid, Version, multihash::Multihash};
use sha2::{Digest, Sha256};

use super::profile::Layout;
use crate::message::PbLink;

const SHA2_256: u64 = 0x12;
const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;

/// The codec of a block and the version of its CID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    /// CIDs of raw blocks always have version 1.
    Raw,
    DagPbV0,
    DagPbV1,
}

/// The identity of a block whose hash is sha2-256. It has a third of the size of a `Cid`, which matters since large
/// directories hold many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct BlockId {
    form: Form,
    digest: [u8; 32],
}

impl BlockId {
    fn cid(&self) -> Cid {
        let hash = Multihash::wrap(SHA2_256, &self.digest)
            .expect("32 bytes are less than a multihash holds");
        match self.form {
            Form::Raw => Cid::new_v1(RAW, hash),
            Form::DagPbV1 => Cid::new_v1(DAG_PB, hash),
            Form::DagPbV0 => Cid::new_v0(hash).unwrap_or_else(|_| Cid::new_v1(DAG_PB, hash)),
        }
    }
}

/// A finished DAG, with the properties that a link to it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    id: BlockId,
    tsize: u64,
}

impl Written {
    /// The CID of its root.
    pub fn cid(&self) -> Cid {
        self.id.cid()
    }

    /// The Tsize: the length in bytes of its root block and of all blocks below, each counted as often as it is linked.
    pub fn tsize(&self) -> u64 {
        self.tsize
    }

    pub(super) fn link(&self, name: impl Into<Bytes>) -> PbLink {
        PbLink {
            hash: Some(self.cid().to_bytes().into()),
            name: Some(name.into()),
            tsize: Some(self.tsize),
        }
    }
}

/// Writes files, directories and symlinks as blocks, with the CIDs that Kubo computes for them.
///
/// The sink receives each distinct block once, children before parents. Any of the writing methods may call it; an
/// error from it ends the call.
pub struct Writer<S> {
    layout: Layout,
    sink: S,
    seen: HashSet<BlockId>,
    total_bytes: u64,
}

impl<S> fmt::Debug for Writer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("layout", &self.layout)
            .field("blocks", &self.blocks())
            .field("block_bytes", &self.block_bytes())
            .finish_non_exhaustive()
    }
}

impl<S> Writer<S> {
    /// The layout that the writer follows.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The number of distinct blocks that the sink has received.
    pub fn blocks(&self) -> u64 {
        self.seen.len() as u64
    }

    /// The total length of those blocks, in bytes.
    pub fn block_bytes(&self) -> u64 {
        self.total_bytes
    }
}

impl<S, E> Writer<S>
where
    S: FnMut(Cid, Bytes) -> Result<(), E>,
{
    /// Creates a writer that hands its blocks to `sink`.
    pub fn new(layout: Layout, sink: S) -> Self {
        Self {
            layout,
            sink,
            seen: HashSet::new(),
            total_bytes: 0,
        }
    }

    pub(super) fn put_raw(&mut self, block: Bytes) -> Result<Written, E> {
        self.put(Form::Raw, block, 0)
    }

    /// `children` is the sum of the links' Tsizes.
    pub(super) fn put_dag_pb(&mut self, block: Bytes, children: u64) -> Result<Written, E> {
        let form = match self.layout.cid_version() {
            Version::V0 => Form::DagPbV0,
            Version::V1 => Form::DagPbV1,
        };
        self.put(form, block, children)
    }

    fn put(&mut self, form: Form, block: Bytes, children: u64) -> Result<Written, E> {
        let digest = Sha256::digest(&block).into();
        let id = BlockId { form, digest };
        let length = block.len() as u64;
        if self.seen.insert(id) {
            self.total_bytes += length;
            (self.sink)(id.cid(), block)?;
        }
        Ok(Written {
            id,
            tsize: length.saturating_add(children),
        })
    }
}
