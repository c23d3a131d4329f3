//! Every method of `wasi:filesystem/types`. Each looks its descriptor up by type: calls on ours are answered here, all
//! others go to wasmtime-wasi unchanged (I8).
//!
//! `paths.rs` says what is opened and in which order that is checked, and `errno.rs` has the error codes.

use std::sync::Arc;

use pinset::Limit;
use wasmtime::{
    AsContextMut,
    component::{Access, Accessor, StreamReader},
};
use wasmtime_wasi::{
    filesystem::{WasiFilesystem, WasiFilesystemView as _},
    p3::{
        bindings::filesystem::types::{
            Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode,
            Filesize, Host, HostDescriptor, HostDescriptorWithStore, MetadataHashValue,
            NewTimestamp, OpenFlags, PathFlags,
        },
        filesystem::{FilesystemError, FilesystemResult},
    },
};

use super::{
    listing::ListingProducer,
    outcome::{self, Ended, Outcome, Streamed},
    stat,
    stream::FileProducer,
};
use crate::{
    errno::{Failures, Refusal},
    listing::Listing,
    node::{self, Error, Symlinks},
    p2::{
        linker::{IpfsFilesystem, IpfsFilesystemView},
        table::{self, Fd},
    },
    paths::{self, Open, OpenRequest},
    streams::StreamGuard,
    view::IpfsView,
};

impl Host for IpfsFilesystemView<'_> {
    fn convert_error_code(&mut self, error: FilesystemError) -> wasmtime::Result<ErrorCode> {
        self.wasi.convert_error_code(error)
    }
}

impl HostDescriptor for IpfsFilesystemView<'_> {
    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        if table::delete(self.wasi.table, &fd) {
            return Ok(());
        }
        HostDescriptor::drop(&mut self.wasi, fd)
    }
}

impl<U: IpfsView + 'static> HostDescriptorWithStore<U> for IpfsFilesystem {
    fn read_via_stream(
        mut store: Access<'_, U, Self>,
        fd: Fd,
        offset: Filesize,
    ) -> wasmtime::Result<Streamed<u8>> {
        let Some(Ours { open, failures }) = Ours::among(store.get(), &fd) else {
            return WasiFilesystem::read_via_stream(native_access(&mut store), fd, offset);
        };
        let Open::File(file) = open else {
            return outcome::refused(store, Refusal::ReadOfDirectory.code());
        };
        match count_stream(store.data_mut()) {
            Ok(counted) => {
                let (tells, told) = Outcome::new(failures);
                let producer = FileProducer::new(file, offset, tells, counted);
                outcome::streamed(store, producer, told)
            }
            Err(limit) => outcome::refused(store, failures.log(&limit)),
        }
    }

    fn write_via_stream(
        mut store: Access<'_, U, Self>,
        fd: Fd,
        data: StreamReader<u8>,
        offset: Filesize,
    ) -> wasmtime::Result<Ended> {
        match store.get().ours(&fd).map(Open::file) {
            Some(kind) => {
                let code = read_only(kind).code();
                outcome::refuse_data(store, data, code)
            }
            None => WasiFilesystem::write_via_stream(native_access(&mut store), fd, data, offset),
        }
    }

    fn append_via_stream(
        mut store: Access<'_, U, Self>,
        fd: Fd,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<Ended> {
        match store.get().ours(&fd).map(Open::file) {
            Some(kind) => {
                let code = read_only(kind).code();
                outcome::refuse_data(store, data, code)
            }
            None => WasiFilesystem::append_via_stream(native_access(&mut store), fd, data),
        }
    }

    async fn advise(
        store: &Accessor<U, Self>,
        fd: Fd,
        offset: Filesize,
        length: Filesize,
        advice: Advice,
    ) -> FilesystemResult<()> {
        let Some(Ours { open, .. }) = ours(store, &fd) else {
            return WasiFilesystem::advise(&native(store), fd, offset, length, advice).await;
        };
        open.file()?.advise(offset, length, expected_use(advice));
        Ok(())
    }

    async fn sync_data(store: &Accessor<U, Self>, fd: Fd) -> FilesystemResult<()> {
        match ours(store, &fd) {
            Some(_) => Ok(()),
            None => WasiFilesystem::sync_data(&native(store), fd).await,
        }
    }

    async fn get_flags(store: &Accessor<U, Self>, fd: Fd) -> FilesystemResult<DescriptorFlags> {
        match ours(store, &fd) {
            Some(_) => Ok(DescriptorFlags::READ),
            None => WasiFilesystem::get_flags(&native(store), fd).await,
        }
    }

    async fn get_type(store: &Accessor<U, Self>, fd: Fd) -> FilesystemResult<DescriptorType> {
        match ours(store, &fd) {
            Some(Ours { open, .. }) => Ok(stat::node_type(open.metadata().kind)),
            None => WasiFilesystem::get_type(&native(store), fd).await,
        }
    }

    async fn set_size(store: &Accessor<U, Self>, fd: Fd, size: Filesize) -> FilesystemResult<()> {
        match ours(store, &fd) {
            Some(Ours { open, .. }) => Err(read_only(open.file()).into()),
            None => WasiFilesystem::set_size(&native(store), fd, size).await,
        }
    }

    async fn set_times(
        store: &Accessor<U, Self>,
        fd: Fd,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FilesystemResult<()> {
        match ours(store, &fd) {
            Some(_) => Err(Refusal::ReadOnly.into()),
            None => WasiFilesystem::set_times(&native(store), fd, accessed, modified).await,
        }
    }

    fn read_directory(
        mut store: Access<'_, U, Self>,
        fd: Fd,
    ) -> wasmtime::Result<Streamed<DirectoryEntry>> {
        let Some(Ours { open, failures }) = Ours::among(store.get(), &fd) else {
            return WasiFilesystem::read_directory(native_access(&mut store), fd);
        };
        let listing = match open.dir() {
            Ok(dir) => Listing::new(&**dir, 0).map_err(|error| failures.log(&error)),
            Err(not_directory) => Err(not_directory.code()),
        };
        match listing {
            Ok(listing) => {
                let (tells, told) = Outcome::new(failures);
                outcome::streamed(store, ListingProducer::new(listing, tells), told)
            }
            Err(code) => outcome::refused(store, code),
        }
    }

    async fn sync(store: &Accessor<U, Self>, fd: Fd) -> FilesystemResult<()> {
        match ours(store, &fd) {
            Some(_) => Ok(()),
            None => WasiFilesystem::sync(&native(store), fd).await,
        }
    }

    async fn create_directory_at(
        store: &Accessor<U, Self>,
        fd: Fd,
        path: String,
    ) -> FilesystemResult<()> {
        match ours(store, &fd) {
            Some(Ours { open, .. }) => Err(read_only(open.dir()).into()),
            None => WasiFilesystem::create_directory_at(&native(store), fd, path).await,
        }
    }

    async fn stat(store: &Accessor<U, Self>, fd: Fd) -> FilesystemResult<DescriptorStat> {
        match ours(store, &fd) {
            Some(Ours { open, .. }) => Ok(stat::stat(&open.metadata())),
            None => WasiFilesystem::stat(&native(store), fd).await,
        }
    }

    async fn stat_at(
        store: &Accessor<U, Self>,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
    ) -> FilesystemResult<DescriptorStat> {
        let Some(Ours { open, failures }) = ours(store, &fd) else {
            return WasiFilesystem::stat_at(&native(store), fd, path_flags, path).await;
        };
        let metadata = open.dir()?.metadata_at(&path, last(path_flags)).await;
        let metadata = metadata.map_err(|error| failures.log(&error))?;
        Ok(stat::stat(&metadata))
    }

    async fn set_times_at(
        store: &Accessor<U, Self>,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FilesystemResult<()> {
        match ours(store, &fd) {
            Some(Ours { open, .. }) => Err(read_only(open.dir()).into()),
            None => {
                let native = native(store);
                WasiFilesystem::set_times_at(&native, fd, path_flags, path, accessed, modified)
                    .await
            }
        }
    }

    async fn link_at(
        store: &Accessor<U, Self>,
        fd: Fd,
        old_path_flags: PathFlags,
        old_path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FilesystemResult<()> {
        match refuses_two(store, &fd, &new_fd)? {
            Some(refusal) => Err(refusal.into()),
            None => {
                let native = native(store);
                WasiFilesystem::link_at(&native, fd, old_path_flags, old_path, new_fd, new_path)
                    .await
            }
        }
    }

    async fn open_at(
        store: &Accessor<U, Self>,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FilesystemResult<Fd> {
        let Some(Ours { open, failures }) = ours(store, &fd) else {
            let native = native(store);
            return WasiFilesystem::open_at(&native, fd, path_flags, path, open_flags, flags).await;
        };
        let request = request(path_flags, open_flags, flags);
        let opened = paths::open_at(open.dir()?, &path, request, &failures).await?;
        Ok(store.with(|mut access| table::push(access.get().wasi.table, opened))?)
    }

    async fn readlink_at(
        store: &Accessor<U, Self>,
        fd: Fd,
        path: String,
    ) -> FilesystemResult<String> {
        let Some(Ours { open, failures }) = ours(store, &fd) else {
            return WasiFilesystem::readlink_at(&native(store), fd, path).await;
        };
        Ok(paths::readlink_at(&**open.dir()?, &path, &failures).await?)
    }

    async fn remove_directory_at(
        store: &Accessor<U, Self>,
        fd: Fd,
        path: String,
    ) -> FilesystemResult<()> {
        match ours(store, &fd) {
            Some(Ours { open, .. }) => Err(read_only(open.dir()).into()),
            None => WasiFilesystem::remove_directory_at(&native(store), fd, path).await,
        }
    }

    async fn rename_at(
        store: &Accessor<U, Self>,
        fd: Fd,
        old_path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FilesystemResult<()> {
        match refuses_two(store, &fd, &new_fd)? {
            Some(refusal) => Err(refusal.into()),
            None => WasiFilesystem::rename_at(&native(store), fd, old_path, new_fd, new_path).await,
        }
    }

    async fn symlink_at(
        store: &Accessor<U, Self>,
        fd: Fd,
        old_path: String,
        new_path: String,
    ) -> FilesystemResult<()> {
        match ours(store, &fd) {
            Some(Ours { open, .. }) => Err(read_only(open.dir()).into()),
            None => WasiFilesystem::symlink_at(&native(store), fd, old_path, new_path).await,
        }
    }

    async fn unlink_file_at(
        store: &Accessor<U, Self>,
        fd: Fd,
        path: String,
    ) -> FilesystemResult<()> {
        match ours(store, &fd) {
            Some(Ours { open, .. }) => Err(read_only(open.dir()).into()),
            None => WasiFilesystem::unlink_file_at(&native(store), fd, path).await,
        }
    }

    async fn is_same_object(
        store: &Accessor<U, Self>,
        one: Fd,
        other: Fd,
    ) -> wasmtime::Result<bool> {
        let same =
            store.with(|mut access| table::is_same(access.get().wasi.table, &one, &other))?;
        match same {
            Some(same) => Ok(same),
            None => WasiFilesystem::is_same_object(&native(store), one, other).await,
        }
    }

    async fn metadata_hash(
        store: &Accessor<U, Self>,
        fd: Fd,
    ) -> FilesystemResult<MetadataHashValue> {
        match ours(store, &fd) {
            Some(Ours { open, .. }) => Ok(stat::hash(open.identity())),
            None => WasiFilesystem::metadata_hash(&native(store), fd).await,
        }
    }

    async fn metadata_hash_at(
        store: &Accessor<U, Self>,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
    ) -> FilesystemResult<MetadataHashValue> {
        let Some(Ours { open, failures }) = ours(store, &fd) else {
            return WasiFilesystem::metadata_hash_at(&native(store), fd, path_flags, path).await;
        };
        let identity = open.dir()?.identity_at(&path, last(path_flags)).await;
        let identity = identity.map_err(|error| failures.log(&error))?;
        Ok(stat::hash(identity))
    }
}

/// A node of ours, apart from the store, so that a call can wait.
struct Ours {
    open: Open,
    failures: Arc<Failures>,
}

impl Ours {
    /// Returns the node, if the descriptor is ours.
    fn among(view: IpfsFilesystemView<'_>, fd: &Fd) -> Option<Self> {
        let open = view.ours(fd)?.clone();
        let failures = view.failures;
        Some(Self { open, failures })
    }
}

fn ours<U: IpfsView>(store: &Accessor<U, IpfsFilesystem>, fd: &Fd) -> Option<Ours> {
    store.with(|mut access| Ours::among(access.get(), fd))
}

/// The store as wasmtime-wasi's methods want it.
fn native<U: IpfsView>(store: &Accessor<U, IpfsFilesystem>) -> Accessor<U, WasiFilesystem> {
    store.with_getter::<WasiFilesystem>(U::filesystem)
}

/// As [`native`], for methods that do not wait.
fn native_access<'s, U: IpfsView + 'static>(
    store: &'s mut Access<'_, U, IpfsFilesystem>,
) -> Access<'s, U, WasiFilesystem> {
    Access::<U, WasiFilesystem>::new(store.as_context_mut(), U::filesystem)
}

/// Returns the refusal of a link or rename, unless both directories are native.
fn refuses_two<U: IpfsView>(
    store: &Accessor<U, IpfsFilesystem>,
    from: &Fd,
    to: &Fd,
) -> FilesystemResult<Option<Refusal>> {
    store
        .with(|mut access| table::refuses_two(access.get().wasi.table, from, to))
        .map_err(FilesystemError::trap)
}

/// Counts a stream of the guest's.
fn count_stream(state: &impl IpfsView) -> Result<Option<StreamGuard>, Error> {
    let Some(ipfs) = state.ipfs() else {
        return Ok(None);
    };
    let limit = ipfs.session().limits().open_handles;
    match ipfs.streams().open(limit) {
        Some(counted) => Ok(Some(counted)),
        None => {
            let value = limit as u64;
            let limit = Limit::OpenHandles;
            Err(pinset::Error::LimitReached { limit, value }.into())
        }
    }
}

/// Returns the refusal of a write to a node of ours. The error of a wrong kind comes first.
fn read_only<T>(kind: Result<T, Refusal>) -> Refusal {
    kind.err().unwrap_or(Refusal::ReadOnly)
}

fn request(path_flags: PathFlags, open_flags: OpenFlags, flags: DescriptorFlags) -> OpenRequest {
    let synchronised = DescriptorFlags::FILE_INTEGRITY_SYNC
        | DescriptorFlags::DATA_INTEGRITY_SYNC
        | DescriptorFlags::REQUESTED_WRITE_SYNC;
    OpenRequest {
        last: last(path_flags),
        directory: open_flags.contains(OpenFlags::DIRECTORY),
        create: open_flags.contains(OpenFlags::CREATE),
        exclusive: open_flags.contains(OpenFlags::EXCLUSIVE),
        truncate: open_flags.contains(OpenFlags::TRUNCATE),
        // MUTATE_DIRECTORY alone does not ask to write: wasmtime-wasi opens with it and refuses the mutation.
        write: flags.contains(DescriptorFlags::WRITE),
        synchronised: flags.intersects(synchronised),
    }
}

fn last(flags: PathFlags) -> Symlinks {
    if flags.contains(PathFlags::SYMLINK_FOLLOW) {
        Symlinks::Follow
    } else {
        Symlinks::NoFollow
    }
}

fn expected_use(advice: Advice) -> node::Advice {
    match advice {
        Advice::Normal => node::Advice::Normal,
        Advice::Sequential => node::Advice::Sequential,
        Advice::Random => node::Advice::Random,
        Advice::WillNeed => node::Advice::WillNeed,
        Advice::DontNeed => node::Advice::DontNeed,
        Advice::NoReuse => node::Advice::NoReuse,
    }
}
