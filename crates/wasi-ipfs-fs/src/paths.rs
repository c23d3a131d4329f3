//! A guest's calls by a path below a directory of ours, in no preview's types: open it, and read a link. Each preview
//! spells the flags and the [`Code`]s.

use std::sync::Arc;

use crate::{
    errno::{Code, Failures, Refusal},
    node::{DirNode, FileNode, Identity, MadeBy, Metadata, Node, Symlinks},
};

/// A guest's request to open a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenRequest {
    /// Whether a symlink at the end is followed.
    pub(crate) last: Symlinks,
    /// Only a directory will do.
    pub(crate) directory: bool,
    /// It is created if it is missing.
    pub(crate) create: bool,
    /// With `create`: it must be missing.
    pub(crate) exclusive: bool,
    /// It is cut to nothing.
    pub(crate) truncate: bool,
    /// It is opened for writing.
    pub(crate) write: bool,
    /// Reads or writes are to be synchronised with the disk.
    pub(crate) synchronised: bool,
}

/// An open node of ours. Symlinks are never open: WASI has no descriptor for one. All clones are the same handle.
#[derive(Clone)]
pub(crate) enum Open {
    /// A file.
    File(Arc<dyn FileNode>),
    /// A directory.
    Dir(Arc<dyn DirNode>),
}

impl Open {
    /// Returns the directory, or wasmtime-wasi's answer to a directory's method on a file.
    pub(crate) fn dir(&self) -> Result<&Arc<dyn DirNode>, Refusal> {
        match self {
            Self::Dir(dir) => Ok(dir),
            Self::File(_) => Err(Refusal::NotDirectory),
        }
    }

    /// Returns the file, or wasmtime-wasi's answer to a file's method on a directory.
    pub(crate) fn file(&self) -> Result<&Arc<dyn FileNode>, Refusal> {
        match self {
            Self::File(file) => Ok(file),
            Self::Dir(_) => Err(Refusal::NotFile),
        }
    }

    pub(crate) fn metadata(&self) -> Metadata {
        match self {
            Self::File(file) => file.metadata(),
            Self::Dir(dir) => dir.metadata(),
        }
    }

    /// Returns the value that tells the node from others.
    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::File(file) => file.identity(),
            Self::Dir(dir) => dir.identity(),
        }
    }
}

/// Opens `path` below `dir`. The checks come in wasmtime-wasi's order: first the flags, then the right to write, and
/// only then what is there. The exception is a creation with `exclusive`: it first looks at what is there, since
/// programs rely on the answer "it exists".
pub(crate) async fn open_at(
    dir: &Arc<dyn DirNode>,
    path: &str,
    request: OpenRequest,
    failures: &Failures,
) -> Result<Open, Code> {
    let OpenRequest {
        last,
        directory,
        create,
        exclusive,
        truncate,
        write,
        synchronised,
    } = request;
    if synchronised {
        return Err(Refusal::SynchronisedIo.code());
    }
    if directory && (create || exclusive || truncate) {
        return Err(Refusal::ContradictoryFlags.code());
    }
    if create || truncate || write {
        if create && exclusive {
            // A symlink at the end counts as existing, wherever it leads.
            let found = dir.identity_at(path, Symlinks::NoFollow).await;
            if found.is_ok() {
                return Err(Refusal::Exists.code());
            }
        }
        return Err(Refusal::ReadOnly.code());
    }
    match dir.open_at(path, last).await {
        Ok(Some(Node::File(_))) if directory => Err(Refusal::NotDirectory.code()),
        Ok(Some(Node::File(file))) => Ok(Open::File(file)),
        Ok(Some(Node::Dir(below))) => Ok(Open::Dir(below)),
        Ok(None) => Ok(Open::Dir(dir.clone())),
        Ok(Some(Node::Symlink(_))) => Err(Refusal::SymlinkNotFollowed.code()),
        Err(error) => Err(failures.log(&error)),
    }
}

/// Returns the target of the symlink `path` below `dir`.
///
/// wasmtime-wasi refuses to show an absolute target, so a link in content is refused as well. The link of a granted name
/// is shown: the host made it, and the guest can reach its target.
pub(crate) async fn readlink_at(
    dir: &dyn DirNode,
    path: &str,
    failures: &Failures,
) -> Result<String, Code> {
    match dir.open_at(path, Symlinks::NoFollow).await {
        Ok(Some(Node::Symlink(link)))
            if link.made_by == MadeBy::Content && link.target.starts_with('/') =>
        {
            Err(Refusal::AbsoluteTarget.code())
        }
        Ok(Some(Node::Symlink(link))) => Ok(link.target),
        Ok(None | Some(Node::File(_) | Node::Dir(_))) => Err(Refusal::NotSymlink.code()),
        Err(error) => Err(failures.log(&error)),
    }
}
