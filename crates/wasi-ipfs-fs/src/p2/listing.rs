//! A directory's entries as the guest pulls them. No block is held between two calls, and no child is fetched (I9).

use std::{future::poll_fn, pin::Pin};

use futures_core::Stream;
use wasmtime_wasi::p2::{
    FsResult,
    bindings::filesystem::types::{DirectoryEntry, HostDirectoryEntryStream},
};

use super::{
    errno,
    linker::IpfsFilesystemView,
    stat::entry_type,
    table::{self, DirFd, DirStream},
};

impl HostDirectoryEntryStream for IpfsFilesystemView<'_> {
    async fn read_directory_entry(&mut self, stream: DirFd) -> FsResult<Option<DirectoryEntry>> {
        let Some(listing) = table::get_stream(self.wasi.table, &stream) else {
            return self.wasi.read_directory_entry(stream).await;
        };
        let DirStream { entries, failed } = listing;
        // A listing whose blocks are all staged never waits; it must still let other tasks have the thread.
        tokio::task::coop::consume_budget().await;
        if let Some(error) = failed {
            return Err(errno::failed(error.clone(), &self.failures));
        }
        let entry = poll_fn(|context| Pin::new(&mut *entries).poll_next(context)).await;
        let entry = entry.transpose().map_err(|error| {
            *failed = Some(error.clone());
            errno::failed(error, &self.failures)
        })?;
        Ok(entry.map(|entry| DirectoryEntry {
            type_: entry_type(entry.kind()),
            name: entry.into_name(),
        }))
    }

    fn drop(&mut self, stream: DirFd) -> wasmtime::Result<()> {
        if table::delete_stream(self.wasi.table, &stream) {
            return Ok(());
        }
        HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}
