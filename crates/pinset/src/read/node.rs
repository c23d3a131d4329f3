//! What a path leads to: a file, a directory, or a symlink.

use std::sync::Arc;

use crate::{
    grant::allowance::HandleGuard,
    metadata::{Identity, Kind, MadeBy, Metadata, Mtime},
    read::{dir::Dir, file::File},
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
