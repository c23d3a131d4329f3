//! What a path leads to: a file, a directory, or a symlink; and what is known of it.

use std::sync::Arc;

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use crate::{
    read::{dir::Dir, file::File},
    session::{HandleGuard, canonical},
};

/// What a path leads to. Each is an open handle, counted in its session.
#[derive(Clone, Debug)]
pub enum Node {
    /// A file.
    File(File),
    /// A directory.
    Dir(Dir),
    /// A symlink that was not to be followed.
    Symlink(Symlink),
}

impl Node {
    /// What is known of it.
    pub fn metadata(&self) -> Metadata {
        match self {
            Self::File(file) => file.metadata(),
            Self::Dir(dir) => dir.metadata(),
            Self::Symlink(link) => link.metadata(),
        }
    }

    /// Which it is.
    pub fn kind(&self) -> Kind {
        self.metadata().kind
    }

    /// Equal for equal content, and on every host.
    pub fn identity(&self) -> Identity {
        match self {
            Self::File(file) => file.identity(),
            Self::Dir(dir) => dir.identity(),
            Self::Symlink(link) => link.identity(),
        }
    }
}

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

/// A symlink that was not to be followed.
#[derive(Clone, Debug)]
pub struct Symlink {
    pub(crate) target: Arc<str>,
    pub(crate) mode: Option<u32>,
    pub(crate) mtime: Option<Mtime>,
    pub(crate) identity: Identity,
    pub(crate) made_by: MadeBy,
    pub(crate) _handle: Arc<HandleGuard>,
}

impl Symlink {
    /// Where it points: as the DAG says, text that nobody has checked, or as the host does.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whose word that is.
    pub fn made_by(&self) -> MadeBy {
        self.made_by
    }

    /// What is known of it.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            kind: Kind::Symlink,
            len: self.target.len() as u64,
            mode: self.mode,
            mtime: self.mtime,
        }
    }

    /// Equal for equal content, and on every host.
    pub fn identity(&self) -> Identity {
        self.identity
    }
}
