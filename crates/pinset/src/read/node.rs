//! The target of a path: a file, a directory, or a symlink.

use std::sync::Arc;

use crate::{
    grant::allowance::HandleGuard,
    metadata::{Identity, Kind, MadeBy, Metadata, Mtime},
    path::root_cid::RootCid,
    read::{dir::Dir, file::File},
};

/// The target of a path, as an open handle, which counts towards its session's limit.
#[derive(Clone, Debug)]
pub enum Node {
    /// A file.
    File(File),
    /// A directory.
    Dir(Dir),
    /// A symlink that the walk was told not to follow.
    Symlink(Symlink),
}

impl Node {
    /// The node's metadata.
    pub fn metadata(&self) -> Metadata {
        match self {
            Self::File(file) => file.metadata(),
            Self::Dir(dir) => dir.metadata(),
            Self::Symlink(link) => link.metadata(),
        }
    }

    /// The node's kind.
    pub fn kind(&self) -> Kind {
        self.metadata().kind
    }

    /// The node's identity, which is the same for the same content on every host.
    pub fn identity(&self) -> Identity {
        match self {
            Self::File(file) => file.identity(),
            Self::Dir(dir) => dir.identity(),
            Self::Symlink(link) => link.identity(),
        }
    }
}

/// A symlink that a walk was told not to follow.
#[derive(Clone, Debug)]
pub struct Symlink {
    pub(crate) target: Arc<str>,
    pub(crate) cid: Option<Box<RootCid>>,
    pub(crate) mode: Option<u32>,
    pub(crate) mtime: Option<Mtime>,
    pub(crate) identity: Identity,
    pub(crate) made_by: MadeBy,
    pub(crate) _handle: Arc<HandleGuard>,
}

impl Symlink {
    /// The text of the symlink. It is the host's, or it is from the DAG and unchecked.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The symlink's own CID; `None` if the host made it.
    pub fn cid(&self) -> Option<&RootCid> {
        self.cid.as_deref()
    }

    /// Whether the text is the host's or the DAG's.
    pub fn made_by(&self) -> MadeBy {
        self.made_by
    }

    /// The symlink's metadata.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            kind: Kind::Symlink,
            len: self.target.len() as u64,
            mode: self.mode,
            mtime: self.mtime,
        }
    }

    /// The symlink's identity, which is the same for the same content on every host.
    pub fn identity(&self) -> Identity {
        self.identity
    }
}
