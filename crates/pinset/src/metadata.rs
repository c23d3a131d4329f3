//! The kind and the metadata of a file, directory or symlink, and an identity made from its CID.

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use crate::{block::canonical, unixfs};

/// File, directory, or symlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory, sharded or not.
    Dir,
    /// A symlink.
    Symlink,
}

impl From<unixfs::Kind> for Kind {
    fn from(kind: unixfs::Kind) -> Self {
        match kind {
            unixfs::Kind::File => Self::File,
            unixfs::Kind::Directory | unixfs::Kind::Shard => Self::Dir,
            unixfs::Kind::Symlink => Self::Symlink,
        }
    }
}

/// The facts about a node that are known without reading its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Whether it is a file, a directory or a symlink.
    pub kind: Kind,
    /// A file's length, or a symlink target's, in bytes; 0 for a directory.
    pub len: u64,
    /// The permission bits, if UnixFS 1.5 records them.
    pub mode: Option<u32>,
    /// When the node was modified, if UnixFS 1.5 records it.
    pub mtime: Option<Mtime>,
}

impl Metadata {
    /// Without what UnixFS 1.5 can record.
    pub fn new(kind: Kind, len: u64) -> Self {
        Self {
            kind,
            len,
            mode: None,
            mtime: None,
        }
    }
}

pub use crate::unixfs::Mtime;

/// 128 bits made from a CID: equal for equal content, and the same on every host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 16]);

impl Identity {
    /// Returns the identity of the node that `cid` names. CIDv0 and CIDv1 of one block have the same identity.
    pub fn of(cid: &Cid) -> Self {
        Self::of_bytes(&canonical(*cid).to_bytes())
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let digest = Code::Sha2_256.digest(bytes);
        let mut identity = [0; 16];
        identity.copy_from_slice(&digest.digest()[..16]);
        Self(identity)
    }
}

/// Who made a symlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeBy {
    /// The author of the DAG: its target is unchecked text.
    Content,
    /// The host: it is a name in `/ipns`, which leads to the absolute path that was granted with it.
    Host,
}
