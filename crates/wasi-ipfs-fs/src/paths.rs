//! A guest's calls by a path below a directory of ours, in no preview's types: open it, and read a link. Each preview
//! spells the flags and the [`Code`]s.

use pinset::{Dir, File, MadeBy, Node, Session, Symlinks};

use crate::errno::{Code, Failures, Refusal};

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

/// An opened node. Symlinks are never open: WASI has no descriptor for one.
pub(crate) enum Opened {
    /// A file.
    File(File),
    /// A directory.
    Dir(Dir),
}

/// Opens `path` below `dir`. The checks come in wasmtime-wasi's order: first the flags, then the right to write, and
/// only then what is there. The exception is a creation with `exclusive`: it first looks at what is there, since
/// programs rely on the answer "it exists".
pub(crate) async fn open_at(
    session: &Session,
    dir: &Dir,
    path: &str,
    request: OpenRequest,
    failures: &Failures,
) -> Result<Opened, Code> {
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
            let found = session.identity_at(dir, path, Symlinks::NoFollow).await;
            if found.is_ok() {
                return Err(Refusal::Exists.code());
            }
        }
        return Err(Refusal::ReadOnly.code());
    }
    match session.open_at(dir, path, last).await {
        Ok(Node::File(_)) if directory => Err(Refusal::NotDirectory.code()),
        Ok(Node::File(file)) => Ok(Opened::File(file)),
        Ok(Node::Dir(dir)) => Ok(Opened::Dir(dir)),
        Ok(Node::Symlink(_)) => Err(Refusal::SymlinkNotFollowed.code()),
        Err(error) => Err(failures.log(&error)),
    }
}

/// Returns the target of the symlink `path` below `dir`.
///
/// wasmtime-wasi refuses to show an absolute target, so a link in content is refused as well. The link of a granted name
/// is shown: the host made it, and the guest can reach its target.
pub(crate) async fn readlink_at(
    session: &Session,
    dir: &Dir,
    path: &str,
    failures: &Failures,
) -> Result<String, Code> {
    match session.open_at(dir, path, Symlinks::NoFollow).await {
        Ok(Node::Symlink(link))
            if link.made_by() == MadeBy::Content && link.target().starts_with('/') =>
        {
            Err(Refusal::AbsoluteTarget.code())
        }
        Ok(Node::Symlink(link)) => Ok(link.target().to_owned()),
        Ok(Node::File(_) | Node::Dir(_)) => Err(Refusal::NotSymlink.code()),
        Err(error) => Err(failures.log(&error)),
    }
}
