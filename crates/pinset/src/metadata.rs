//! What is known of a file, directory or symlink: its kind, its metadata, and an identity made from its CID.

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use crate::block::canonical;

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

/// What is known of a node without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Which it is.
    pub kind: Kind,
    /// A file's length, or a symlink target's, in bytes; 0 for a directory.
    pub len: u64,
    /// The permission bits, where UnixFS 1.5 records them.
    pub mode: Option<u32>,
    /// When it was modified, where UnixFS 1.5 records it.
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

/// 128 bits made from a CID: equal for equal content, the same on every host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 16]);

impl Identity {
    /// Of what `cid` names. CIDv0 and CIDv1 of one block are the same.
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

/// Whose word a symlink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeBy {
    /// The DAG's author's: text that nobody has checked.
    Content,
    /// The host's: a name in `/ipns`, which leads to the absolute path of what was granted with it.
    Host,
}
