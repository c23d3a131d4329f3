//! Every method of `wasi:filesystem/types`. Each looks its descriptor up by type: calls on ours are answered here, all
//! others go to wasmtime-wasi unchanged (I8).
//!
//! Checks come in the order of wasmtime-wasi's read-only preopens, so that a guest gets the same answer from both. The
//! error codes are in `errno.rs`.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, FsError, FsResult,
    bindings::filesystem::types::{
        Advice, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, Filesize, Host,
        HostDescriptor, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
    },
};

use super::{
    errno,
    linker::{Filesystem, Layered},
    stat,
    stream::{self, FileStream, MAX_READ},
    table::{self, DirFd, Fd},
};
use crate::{
    errno::Refusal,
    listing::Listing,
    node::{self, Error, Symlinks},
    paths::{self, Open, OpenRequest},
};

impl<W: Filesystem> Host for Layered<W> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.wasi.convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        match errno::stream_code(self.wasi.table().get(&error)?) {
            Some(code) => Ok(Some(code)),
            None => self.wasi.filesystem_error_code(error),
        }
    }
}

impl<W: Filesystem> HostDescriptor for Layered<W> {
    async fn advise(
        &mut self,
        fd: Fd,
        offset: Filesize,
        len: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        let Some(open) = self.ours(&fd) else {
            return self.wasi.advise(fd, offset, len, advice).await;
        };
        open.file()?.advise(offset, len, expected_use(advice));
        Ok(())
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        match self.ours(&fd) {
            Some(_) => Ok(()),
            None => self.wasi.sync_data(fd).await,
        }
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<DescriptorFlags> {
        match self.ours(&fd) {
            Some(_) => Ok(DescriptorFlags::READ),
            None => self.wasi.get_flags(fd).await,
        }
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<DescriptorType> {
        match self.ours(&fd) {
            Some(Open::File(_)) => Ok(DescriptorType::RegularFile),
            Some(Open::Dir(_)) => Ok(DescriptorType::Directory),
            None => self.wasi.get_type(fd).await,
        }
    }

    async fn set_size(&mut self, fd: Fd, size: Filesize) -> FsResult<()> {
        match self.ours(&fd) {
            Some(open) => read_only(open.file()),
            None => self.wasi.set_size(fd, size).await,
        }
    }

    async fn set_times(
        &mut self,
        fd: Fd,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        match self.ours(&fd) {
            Some(_) => Err(Refusal::ReadOnly.into()),
            None => self.wasi.set_times(fd, accessed, modified).await,
        }
    }

    async fn read(&mut self, fd: Fd, len: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)> {
        let Some(open) = self.ours(&fd) else {
            return self.wasi.read(fd, len, offset).await;
        };
        let Open::File(file) = open else {
            return Err(Refusal::ReadOfDirectory.into());
        };
        let len = usize::try_from(len).unwrap_or(MAX_READ);
        let bytes = stream::read_at(&**file, offset, len)
            .await
            .map_err(|error| self.failed(error))?;
        // wasmtime-wasi reports "end" exactly when it read nothing, so also when zero bytes were asked for.
        let end = bytes.is_empty();
        Ok((bytes.into(), end))
    }

    async fn write(&mut self, fd: Fd, buffer: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        match self.ours(&fd) {
            Some(open) => read_only(open.file()),
            None => self.wasi.write(fd, buffer, offset).await,
        }
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<DirFd> {
        let Some(open) = self.ours(&fd) else {
            return self.wasi.read_directory(fd).await;
        };
        let listing = Listing::new(&**open.dir()?, 0);
        let listing = listing.map_err(|error| self.failed(error))?;
        Ok(table::push_stream(self.wasi.table_mut(), listing)?)
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        match self.ours(&fd) {
            Some(_) => Ok(()),
            None => self.wasi.sync(fd).await,
        }
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        match self.ours(&fd) {
            Some(open) => read_only(open.dir()),
            None => self.wasi.create_directory_at(fd, path).await,
        }
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<DescriptorStat> {
        match self.ours(&fd) {
            Some(open) => Ok(stat::stat(&open.metadata())),
            None => self.wasi.stat(fd).await,
        }
    }

    async fn stat_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        let Some(open) = self.ours(&fd) else {
            return self.wasi.stat_at(fd, path_flags, path).await;
        };
        let metadata = open.dir()?.metadata_at(&path, last(path_flags)).await;
        Ok(stat::stat(&metadata.map_err(|error| self.failed(error))?))
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        match self.ours(&fd) {
            Some(open) => read_only(open.dir()),
            None => {
                self.wasi
                    .set_times_at(fd, path_flags, path, accessed, modified)
                    .await
            }
        }
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        old_path_flags: PathFlags,
        old_path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        match self.refuses_two(&fd, &new_fd)? {
            Some(refusal) => Err(refusal.into()),
            None => {
                self.wasi
                    .link_at(fd, old_path_flags, old_path, new_fd, new_path)
                    .await
            }
        }
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let Some(open) = self.ours(&fd) else {
            return self
                .wasi
                .open_at(fd, path_flags, path, open_flags, flags)
                .await;
        };
        let request = request(path_flags, open_flags, flags);
        let opened = paths::open_at(open.dir()?, &path, request, &self.failures).await;
        let opened = opened.map_err(ErrorCode::from)?;
        Ok(table::push(self.wasi.table_mut(), opened)?)
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        if table::delete(self.wasi.table_mut(), &fd) {
            return Ok(());
        }
        HostDescriptor::drop(&mut self.wasi, fd)
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        let Some(open) = self.ours(&fd) else {
            return self.wasi.readlink_at(fd, path).await;
        };
        let target = paths::readlink_at(&**open.dir()?, &path, &self.failures).await;
        Ok(target.map_err(ErrorCode::from)?)
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        match self.ours(&fd) {
            Some(open) => read_only(open.dir()),
            None => self.wasi.remove_directory_at(fd, path).await,
        }
    }

    async fn rename_at(
        &mut self,
        fd: Fd,
        old_path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        match self.refuses_two(&fd, &new_fd)? {
            Some(refusal) => Err(refusal.into()),
            None => self.wasi.rename_at(fd, old_path, new_fd, new_path).await,
        }
    }

    async fn symlink_at(&mut self, fd: Fd, old_path: String, new_path: String) -> FsResult<()> {
        match self.ours(&fd) {
            Some(open) => read_only(open.dir()),
            None => self.wasi.symlink_at(fd, old_path, new_path).await,
        }
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        match self.ours(&fd) {
            Some(open) => read_only(open.dir()),
            None => self.wasi.unlink_file_at(fd, path).await,
        }
    }

    fn read_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        let stream: DynInputStream = match self.ours(&fd) {
            Some(Open::File(file)) => {
                Box::new(FileStream::new(file.clone(), offset, self.failures.clone()))
            }
            Some(Open::Dir(_)) => return Err(Refusal::ReadOfDirectory.into()),
            None => return self.wasi.read_via_stream(fd, offset),
        };
        Ok(self.wasi.table_mut().push(stream)?)
    }

    fn write_via_stream(
        &mut self,
        fd: Fd,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        match self.ours(&fd) {
            Some(open) => read_only(open.file()),
            None => self.wasi.write_via_stream(fd, offset),
        }
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        match self.ours(&fd) {
            Some(open) => read_only(open.file()),
            None => self.wasi.append_via_stream(fd),
        }
    }

    async fn is_same_object(&mut self, one: Fd, other: Fd) -> wasmtime::Result<bool> {
        match table::is_same(self.wasi.table(), &one, &other)? {
            Some(same) => Ok(same),
            None => self.wasi.is_same_object(one, other).await,
        }
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<MetadataHashValue> {
        match self.ours(&fd) {
            Some(open) => Ok(stat::hash(open.identity())),
            None => self.wasi.metadata_hash(fd).await,
        }
    }

    /// The usual libraries ask this before every stat and for every entry of a listing. With no-follow, the directory
    /// alone answers it, without fetching the entry's target.
    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        let Some(open) = self.ours(&fd) else {
            return self.wasi.metadata_hash_at(fd, path_flags, path).await;
        };
        let identity = open.dir()?.identity_at(&path, last(path_flags)).await;
        Ok(stat::hash(identity.map_err(|error| self.failed(error))?))
    }
}

impl<W: Filesystem> Layered<W> {
    fn failed(&self, error: Error) -> FsError {
        errno::failed(error, &self.failures)
    }

    /// Returns the refusal of a link or rename, unless both directories are native.
    fn refuses_two(&self, from: &Fd, to: &Fd) -> FsResult<Option<Refusal>> {
        table::refuses_two(self.wasi.table(), from, to).map_err(FsError::trap)
    }
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

/// Refuses a write to a node of ours. The error of a wrong kind comes first.
fn read_only<T, R>(kind: Result<T, Refusal>) -> FsResult<R> {
    Err(kind.err().unwrap_or(Refusal::ReadOnly).into())
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
