//! Every method of `wasi:filesystem/types` for hosts that are not async: it waits on the thread for the async one. So does
//! wasmtime-wasi with its own.

use wasmtime::component::Resource;
use wasmtime_wasi::{
    p2::{
        DynInputStream, DynOutputStream, FsError, FsResult,
        bindings::{
            filesystem::types as waiting,
            sync::filesystem::types::{
                Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode,
                Filesize, Host, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue,
                NewTimestamp, OpenFlags, PathFlags,
            },
        },
    },
    runtime::in_tokio,
};

use super::{
    linker::{Filesystem, Layered},
    table::{DirFd, Fd},
};

impl<W: Filesystem> Host for Layered<W> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        Ok(waiting::Host::convert_error_code(self, error)?.into())
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let code = waiting::Host::filesystem_error_code(self, error)?;
        Ok(code.map(ErrorCode::from))
    }
}

/// Methods that wait for the async ones. The arguments are converted one by one, and so is the result.
macro_rules! methods_that_wait {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $name(&mut self, fd: Fd, $($argument: $type),*) -> FsResult<$result> {
            let done = waiting::HostDescriptor::$name(self, fd, $($argument.into()),*);
            in_tokio(done).map(Into::into)
        }
    )*};
}

impl<W: Filesystem> HostDescriptor for Layered<W> {
    methods_that_wait! {
        fn advise(offset: Filesize, len: Filesize, advice: Advice) -> ();
        fn sync_data() -> ();
        fn get_flags() -> DescriptorFlags;
        fn get_type() -> DescriptorType;
        fn set_size(size: Filesize) -> ();
        fn set_times(accessed: NewTimestamp, modified: NewTimestamp) -> ();
        fn read(len: Filesize, offset: Filesize) -> (Vec<u8>, bool);
        fn write(buffer: Vec<u8>, offset: Filesize) -> Filesize;
        fn read_directory() -> DirFd;
        fn sync() -> ();
        fn create_directory_at(path: String) -> ();
        fn stat() -> DescriptorStat;
        fn stat_at(path_flags: PathFlags, path: String) -> DescriptorStat;
        fn set_times_at(path_flags: PathFlags, path: String, accessed: NewTimestamp, modified: NewTimestamp) -> ();
        fn link_at(old_path_flags: PathFlags, old_path: String, new_fd: Fd, new_path: String) -> ();
        fn open_at(path_flags: PathFlags, path: String, open_flags: OpenFlags, flags: DescriptorFlags) -> Fd;
        fn readlink_at(path: String) -> String;
        fn remove_directory_at(path: String) -> ();
        fn rename_at(old_path: String, new_fd: Fd, new_path: String) -> ();
        fn symlink_at(old_path: String, new_path: String) -> ();
        fn unlink_file_at(path: String) -> ();
        fn metadata_hash() -> MetadataHashValue;
        fn metadata_hash_at(path_flags: PathFlags, path: String) -> MetadataHashValue;
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        waiting::HostDescriptor::drop(self, fd)
    }

    fn read_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        waiting::HostDescriptor::read_via_stream(self, fd, offset)
    }

    fn write_via_stream(
        &mut self,
        fd: Fd,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        waiting::HostDescriptor::write_via_stream(self, fd, offset)
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        waiting::HostDescriptor::append_via_stream(self, fd)
    }

    fn is_same_object(&mut self, one: Fd, other: Fd) -> wasmtime::Result<bool> {
        in_tokio(waiting::HostDescriptor::is_same_object(self, one, other))
    }
}

impl<W: Filesystem> HostDirectoryEntryStream for Layered<W> {
    fn read_directory_entry(&mut self, stream: DirFd) -> FsResult<Option<DirectoryEntry>> {
        let entry = waiting::HostDirectoryEntryStream::read_directory_entry(self, stream);
        Ok(in_tokio(entry)?.map(DirectoryEntry::from))
    }

    fn drop(&mut self, stream: DirFd) -> wasmtime::Result<()> {
        waiting::HostDirectoryEntryStream::drop(self, stream)
    }
}
