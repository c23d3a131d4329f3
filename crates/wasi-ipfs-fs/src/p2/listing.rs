//! A directory's entries as the guest pulls them, one with each call.

use wasmtime_wasi::p2::{
    FsResult,
    bindings::filesystem::types::{DirectoryEntry, HostDirectoryEntryStream},
};

use super::{
    errno,
    linker::{Filesystem, Layered},
    stat::entry_type,
    table::{self, DirFd},
};

impl<W: Filesystem> HostDirectoryEntryStream for Layered<W> {
    async fn read_directory_entry(&mut self, stream: DirFd) -> FsResult<Option<DirectoryEntry>> {
        let Some(listing) = table::get_stream(self.wasi.table_mut(), &stream) else {
            return self.wasi.read_directory_entry(stream).await;
        };
        let entry = listing.next().await;
        let entry = entry.map_err(|error| errno::failed(error, &self.failures))?;
        Ok(entry.map(|entry| DirectoryEntry {
            type_: entry_type(entry.kind()),
            name: entry.into_name(),
        }))
    }

    fn drop(&mut self, stream: DirFd) -> wasmtime::Result<()> {
        if table::delete_stream(self.wasi.table_mut(), &stream) {
            return Ok(());
        }
        HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}
