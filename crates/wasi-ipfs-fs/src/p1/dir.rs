//! An open directory of ours, and what a guest does by a path below it.

use std::sync::Arc;

use wasmtime_wasi::p1::types::{
    Dircookie, Fdflags, Fdstat, Filestat, Filetype, Lookupflags, Oflags, Rights, Size,
};
use wiggle::{GuestMemory, GuestPtr};

use super::{
    Result,
    errno::{coded, failed},
    listing::{self, Listing},
    stat::{filestat, last},
};
use crate::{
    errno::Failures,
    node::{DirNode, Error},
    paths::{self, Open, OpenRequest},
};

/// An open directory.
///
/// Its calls that wait have it to themselves, since a listing under way cannot be shared among threads.
pub(super) struct OpenDir {
    dir: Arc<dyn DirNode>,
    /// Its name, if the guest finds it open.
    preopen: Option<Box<str>>,
    /// Its listing under way.
    listing: Option<Box<Listing>>,
}

impl OpenDir {
    pub(super) fn new(dir: Arc<dyn DirNode>) -> Self {
        Self {
            dir,
            preopen: None,
            listing: None,
        }
    }

    /// A directory that the guest finds open, under a name.
    pub(super) fn preopened(name: &str, dir: Arc<dyn DirNode>) -> Self {
        Self {
            preopen: Some(name.into()),
            ..Self::new(dir)
        }
    }

    /// Its name, if the guest finds it open.
    pub(super) fn preopen(&self) -> Option<&str> {
        self.preopen.as_deref()
    }

    pub(super) async fn open_at(
        &mut self,
        flags: Lookupflags,
        path: &str,
        oflags: Oflags,
        rights: Rights,
        fdflags: Fdflags,
        failures: &Failures,
    ) -> Result<Open> {
        let request = OpenRequest {
            last: last(flags),
            directory: oflags.contains(Oflags::DIRECTORY),
            create: oflags.contains(Oflags::CREAT),
            exclusive: oflags.contains(Oflags::EXCL),
            truncate: oflags.contains(Oflags::TRUNC),
            // As natively, every other right is given whether it is asked for or not.
            write: rights.contains(Rights::FD_WRITE),
            synchronised: fdflags.intersects(Fdflags::SYNC | Fdflags::DSYNC | Fdflags::RSYNC),
        };
        let opened = paths::open_at(&self.dir, path, request, failures).await;
        opened.map_err(coded)
    }

    /// Lists from `cookie` on, into the guest's buffer.
    pub(super) async fn readdir(
        &mut self,
        memory: &mut GuestMemory<'_>,
        buffer: GuestPtr<[u8]>,
        cookie: Dircookie,
        failures: &Failures,
    ) -> Result<Size> {
        let Self { dir, listing, .. } = self;
        listing::readdir(&**dir, listing, memory, buffer, cookie, failures).await
    }

    pub(super) async fn filestat_at(
        &mut self,
        flags: Lookupflags,
        path: &str,
        failures: &Failures,
    ) -> Result<Filestat> {
        let dir = &self.dir;
        let found = async {
            let metadata = dir.metadata_at(path, last(flags)).await?;
            let identity = dir.identity_at(path, last(flags)).await?;
            Ok(filestat(&metadata, identity))
        };
        found.await.map_err(|error: Error| failed(&error, failures))
    }

    pub(super) async fn readlink_at(&mut self, path: &str, failures: &Failures) -> Result<String> {
        let target = paths::readlink_at(&*self.dir, path, failures).await;
        target.map_err(coded)
    }

    pub(super) fn filestat(&self) -> Filestat {
        filestat(&self.dir.metadata(), self.dir.identity())
    }

    /// As natively: a preopened directory has the rights by which the usual libraries decide what to ask for, and any
    /// other all that fit a directory.
    pub(super) fn fdstat(&self) -> Fdstat {
        let (base, inheriting) = match self.preopen {
            Some(_) => (PREOPEN, PREOPEN | INHERITED),
            None => {
                let all = Rights::all() & !(Rights::FD_WRITE | FILES_ALONE);
                (all, all)
            }
        };
        Fdstat {
            fs_filetype: Filetype::Directory,
            fs_flags: Fdflags::empty(),
            fs_rights_base: base,
            fs_rights_inheriting: inheriting,
        }
    }
}

/// Rights that fit no directory.
const FILES_ALONE: Rights = Rights::FD_SEEK
    .union(Rights::FD_FILESTAT_SET_SIZE)
    .union(Rights::PATH_FILESTAT_SET_SIZE);

/// The rights of a preopened directory, as wasmtime-wasi has them for native ones.
const PREOPEN: Rights = Rights::PATH_CREATE_DIRECTORY
    .union(Rights::PATH_CREATE_FILE)
    .union(Rights::PATH_LINK_SOURCE)
    .union(Rights::PATH_LINK_TARGET)
    .union(Rights::PATH_OPEN)
    .union(Rights::FD_READDIR)
    .union(Rights::PATH_READLINK)
    .union(Rights::PATH_RENAME_SOURCE)
    .union(Rights::PATH_RENAME_TARGET)
    .union(Rights::PATH_SYMLINK)
    .union(Rights::PATH_REMOVE_DIRECTORY)
    .union(Rights::PATH_UNLINK_FILE)
    .union(Rights::PATH_FILESTAT_GET)
    .union(Rights::PATH_FILESTAT_SET_TIMES)
    .union(Rights::FD_FILESTAT_GET)
    .union(Rights::FD_FILESTAT_SET_TIMES);

/// The rights that what is opened below a preopened directory has besides.
const INHERITED: Rights = Rights::FD_DATASYNC
    .union(Rights::FD_READ)
    .union(Rights::FD_SEEK)
    .union(Rights::FD_FDSTAT_SET_FLAGS)
    .union(Rights::FD_SYNC)
    .union(Rights::FD_TELL)
    .union(Rights::FD_WRITE)
    .union(Rights::FD_ADVISE)
    .union(Rights::FD_ALLOCATE)
    .union(Rights::FD_FILESTAT_SET_SIZE)
    .union(Rights::POLL_FD_READWRITE);
