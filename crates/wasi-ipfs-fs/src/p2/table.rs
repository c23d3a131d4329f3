//! Our nodes in wasmtime's `ResourceTable`, and how they are recognised.
//!
//! A node is pushed under a Rust type of ours, [`Open`] or [`Listing`], and handed out under wasmtime-wasi's nominal
//! type with the same number. A later call with that number is ours exactly if the table holds one of our types there.
//! Invariant: no handle of ours is ever passed to wasmtime-wasi. It would find a wrong type in the table, and the guest
//! would trap.
//!
//! Preview 3 uses the same table and the same nodes, so one component may use both.

use wasmtime::component::{Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::{filesystem::Descriptor, p2::ReaddirIterator};

use crate::{errno::Refusal, listing::Listing, paths::Open};

/// A descriptor as the bindings know it, ours or native.
pub(crate) type Fd = Resource<Descriptor>;

/// A directory stream as the bindings know it, ours or native.
pub(crate) type DirFd = Resource<ReaddirIterator>;

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

/// Checks a link or rename from one directory to another. It may be delegated only if both are native, because
/// wasmtime-wasi traps on a descriptor of ours. Otherwise this returns the refusal.
///
/// # Errors
/// A number that stands for no descriptor. It traps, as in wasmtime-wasi.
pub(crate) fn refuses_two(
    table: &ResourceTable,
    from: &Fd,
    to: &Fd,
) -> Result<Option<Refusal>, ResourceTableError> {
    let ours = [from, to].map(|fd| get(table, fd));
    if let [None, None] = ours {
        return Ok(None);
    }
    for (fd, ours) in [from, to].into_iter().zip(ours) {
        let directory = match ours {
            Some(open) => open.dir().is_ok(),
            None => matches!(table.get(fd)?, Descriptor::Dir(_)),
        };
        if !directory {
            return Ok(Some(Refusal::NotDirectory));
        }
    }
    Ok(Some(match ours {
        [Some(_), Some(_)] => Refusal::ReadOnly,
        _ => Refusal::CrossDevice,
    }))
}

/// Returns whether two descriptors are the same object, or `None` if both are native.
///
/// # Errors
/// As [`refuses_two`].
pub(crate) fn is_same(
    table: &ResourceTable,
    one: &Fd,
    other: &Fd,
) -> Result<Option<bool>, ResourceTableError> {
    match [one, other].map(|fd| get(table, fd)) {
        [None, None] => Ok(None),
        [Some(one), Some(other)] => Ok(Some(one.identity() == other.identity())),
        [Some(_), None] => table.get(other).map(|_| Some(false)),
        [None, Some(_)] => table.get(one).map(|_| Some(false)),
    }
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
