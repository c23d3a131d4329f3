//! A directory's entries as the guest pulls them. One shard is held at a time, and no child is fetched (I9).

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
        let Some(DirStream(entries)) = table::get_stream(self.wasi.table, &stream) else {
            return self.wasi.read_directory_entry(stream).await;
        };
        // A listing whose blocks are all staged never waits; it must still let other tasks have the thread.
        tokio::task::coop::consume_budget().await;
        let entry = entries.next().await.map_err(errno::failed)?;
        Ok(entry.map(|entry| DirectoryEntry {
            type_: entry_type(entry.kind),
            name: entry.name,
        }))
    }

    fn drop(&mut self, stream: DirFd) -> wasmtime::Result<()> {
        if table::delete_stream(self.wasi.table, &stream) {
            return Ok(());
        }
        HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}
