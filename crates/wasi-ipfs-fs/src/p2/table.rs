//! Our nodes in wasmtime's `ResourceTable`, and how they are recognised.
//!
//! A node is pushed under a Rust type of ours, [`Open`] or [`Listing`], and handed out under wasmtime-wasi's nominal
//! type with the same number. A later call with that number is ours exactly if the table holds one of our types there.
//! Invariant: no handle of ours is ever passed to wasmtime-wasi. It would find a wrong type in the table, and the guest
//! would trap.

use pinset::{Dir, File, Session};
use wasmtime::component::{Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::{
    filesystem::Descriptor,
    p2::{FsResult, ReaddirIterator},
};

use crate::{errno::Refusal, listing::Listing};

/// A descriptor as the bindings know it, ours or native.
pub(crate) type Fd = Resource<Descriptor>;

/// A directory stream as the bindings know it, ours or native.
pub(crate) type DirFd = Resource<ReaddirIterator>;

/// An open node of ours. Symlinks are never open: WASI has no descriptor for one.
pub(crate) enum Open {
    /// A file.
    File(File),
    /// A directory.
    Dir(OpenDir),
}

/// An open directory, and the session that paths relative to it are resolved for (I10).
#[derive(Clone)]
pub(crate) struct OpenDir {
    /// The directory.
    pub(crate) dir: Dir,
    /// The session, whose access and limits apply.
    pub(crate) session: Session,
}

impl Open {
    /// Returns the directory, or wasmtime-wasi's answer to a directory's method on a file.
    pub(crate) fn dir(&self) -> FsResult<&OpenDir> {
        match self {
            Self::Dir(dir) => Ok(dir),
            Self::File(_) => Err(Refusal::NotDirectory.into()),
        }
    }

    /// Returns the file, or wasmtime-wasi's answer to a file's method on a directory.
    pub(crate) fn file(&self) -> FsResult<&File> {
        match self {
            Self::File(file) => Ok(file),
            Self::Dir(_) => Err(Refusal::NotFile.into()),
        }
    }
}

/// Puts a node into the table.
pub(crate) fn push(table: &mut ResourceTable, open: Open) -> Result<Fd, ResourceTableError> {
    Ok(Resource::new_own(table.push(open)?.rep()))
}

/// Returns the node, if the descriptor is ours.
pub(crate) fn get<'t>(table: &'t ResourceTable, fd: &Fd) -> Option<&'t Open> {
    table.get(&Resource::<Open>::new_borrow(fd.rep())).ok()
}

/// Closes the node, if the descriptor is ours. `false` means that the table is unchanged.
///
/// The type is checked first, because `ResourceTable::delete` frees an entry before it finds that the type differs.
pub(crate) fn delete(table: &mut ResourceTable, fd: &Fd) -> bool {
    get(table, fd).is_some() && table.delete(Resource::<Open>::new_own(fd.rep())).is_ok()
}

/// Puts a directory stream into the table.
pub(crate) fn push_stream(
    table: &mut ResourceTable,
    listing: Listing,
) -> Result<DirFd, ResourceTableError> {
    Ok(Resource::new_own(table.push(listing)?.rep()))
}

/// Returns the directory stream, if it is ours.
pub(crate) fn get_stream<'t>(table: &'t mut ResourceTable, fd: &DirFd) -> Option<&'t mut Listing> {
    table
        .get_mut(&Resource::<Listing>::new_borrow(fd.rep()))
        .ok()
}

/// Closes the directory stream, if it is ours. `false` means that the table is unchanged.
pub(crate) fn delete_stream(table: &mut ResourceTable, fd: &DirFd) -> bool {
    get_stream(table, fd).is_some() && table.delete(Resource::<Listing>::new_own(fd.rep())).is_ok()
}
