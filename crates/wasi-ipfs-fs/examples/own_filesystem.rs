//! A host with a filesystem of its own, and IPFS in front of it: run async, or without async.
//!
//! `own_filesystem async|sync COMPONENT CAR FOLDER [ARGUMENT…]`: the guest finds the folder as `/native`, read-only. The
//! host's filesystem is wasmtime-wasi's with one addition: it tells on standard error which paths the guest opens below
//! the folder. Paths below `/ipfs` never come to it.

use std::{env, path::Path, sync::Arc};

use pinner_car::CarPinner;
use pinset::{Access, CacheMode, PinsetBuilder};
use wasi_ipfs_fs::{
    IpfsCtx, IpfsView,
    p2::{Filesystem, HostFilesystemView},
};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker, Resource, ResourceTable},
};
use wasmtime_wasi::{
    FsPerms, WasiCtx, WasiCtxView, WasiView,
    filesystem::{Descriptor, WasiFilesystemCtxView},
    p2::{
        DynInputStream, DynOutputStream, FsError, FsResult, ReaddirIterator,
        bindings::{
            Command,
            filesystem::{
                preopens,
                types::{
                    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
                    ErrorCode, Filesize, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
                },
            },
            sync,
        },
    },
};

/// The host's filesystem, as one call sees it.
struct Told<'a> {
    wasi: WasiFilesystemCtxView<'a>,
    /// How many paths the guest opened.
    opened: &'a mut u64,
}

/// Methods of a descriptor that go to wasmtime-wasi as they are.
macro_rules! passed_on {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        async fn $name(&mut self, fd: Resource<Descriptor>, $($argument: $type),*) -> FsResult<$result> {
            self.wasi.$name(fd, $($argument),*).await
        }
    )*};
}

impl types::HostDescriptor for Told<'_> {
    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        *self.opened += 1;
        eprintln!("{}: {path}", self.opened);
        self.wasi
            .open_at(fd, path_flags, path, open_flags, flags)
            .await
    }

    passed_on! {
        fn advise(offset: Filesize, len: Filesize, advice: Advice) -> ();
        fn sync_data() -> ();
        fn get_flags() -> DescriptorFlags;
        fn get_type() -> DescriptorType;
        fn set_size(size: Filesize) -> ();
        fn set_times(accessed: NewTimestamp, modified: NewTimestamp) -> ();
        fn read(len: Filesize, offset: Filesize) -> (Vec<u8>, bool);
        fn write(buffer: Vec<u8>, offset: Filesize) -> Filesize;
        fn read_directory() -> Resource<ReaddirIterator>;
        fn sync() -> ();
        fn create_directory_at(path: String) -> ();
        fn stat() -> DescriptorStat;
        fn stat_at(path_flags: PathFlags, path: String) -> DescriptorStat;
        fn set_times_at(path_flags: PathFlags, path: String, accessed: NewTimestamp, modified: NewTimestamp) -> ();
        fn link_at(flags: PathFlags, path: String, new_fd: Resource<Descriptor>, new_path: String) -> ();
        fn readlink_at(path: String) -> String;
        fn remove_directory_at(path: String) -> ();
        fn rename_at(path: String, new_fd: Resource<Descriptor>, new_path: String) -> ();
        fn symlink_at(target: String, path: String) -> ();
        fn unlink_file_at(path: String) -> ();
        fn metadata_hash() -> MetadataHashValue;
        fn metadata_hash_at(path_flags: PathFlags, path: String) -> MetadataHashValue;
    }

    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        self.wasi.read_via_stream(fd, offset)
    }

    fn write_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.wasi.write_via_stream(fd, offset)
    }

    fn append_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.wasi.append_via_stream(fd)
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.wasi.is_same_object(one, other).await
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        types::HostDescriptor::drop(&mut self.wasi, fd)
    }
}

impl types::HostDirectoryEntryStream for Told<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<ReaddirIterator>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.wasi.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<ReaddirIterator>) -> wasmtime::Result<()> {
        types::HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}

impl types::Host for Told<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        types::Host::convert_error_code(&mut self.wasi, error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        types::Host::filesystem_error_code(&mut self.wasi, error)
    }
}

impl preopens::Host for Told<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        preopens::Host::get_directories(&mut self.wasi)
    }
}

impl Filesystem for Told<'_> {
    fn table(&self) -> &ResourceTable {
        self.wasi.table
    }

    fn table_mut(&mut self) -> &mut ResourceTable {
        self.wasi.table
    }
}

/// The state that the host keeps for one guest.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    ipfs: IpfsCtx,
    opened: u64,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl IpfsView for State {
    fn ipfs(&self) -> Option<&IpfsCtx> {
        Some(&self.ipfs)
    }
}

impl HostFilesystemView for State {
    type Filesystem<'a> = Told<'a>;

    fn host_filesystem(&mut self) -> Told<'_> {
        Told {
            wasi: WasiFilesystemCtxView {
                ctx: self.wasi.filesystem(),
                table: &mut self.table,
            },
            opened: &mut self.opened,
        }
    }
}

fn main() -> wasmtime::Result<()> {
    let mut arguments = env::args().skip(1);
    let [Some(how), Some(guest), Some(car), Some(folder)] =
        std::array::from_fn(|_| arguments.next())
    else {
        wasmtime::bail!("usage: own_filesystem async|sync COMPONENT CAR FOLDER [ARGUMENT…]");
    };

    // The cache has tasks of its own, also for a guest that is not run as one.
    let runtime = tokio::runtime::Runtime::new()?;
    let (cache, ipfs) = runtime.block_on(content(&car))?;
    let state = State {
        wasi: wasi(&folder, &arguments.collect::<Vec<_>>())?,
        table: ResourceTable::new(),
        ipfs,
        opened: 0,
    };
    let engine = Engine::default();
    let component = Component::from_file(&engine, guest)?;
    let mut store = Store::new(&engine, state);
    let outcome = match how.as_str() {
        "async" => runtime.block_on(run_async(&mut store, &component)),
        "sync" => {
            let _entered = runtime.enter();
            run_sync(&mut store, &component)
        }
        _ => wasmtime::bail!("{how} is neither async nor sync"),
    };
    runtime.block_on(cache.close())?;
    outcome?.map_err(|()| wasmtime::format_err!("the guest failed"))
}

/// A cache over a CAR file, and a guest's IPFS with the CAR's roots.
async fn content(car: &str) -> wasmtime::Result<(CacheMode, IpfsCtx)> {
    let pinner = Arc::new(CarPinner::open([car]).await?);
    let access = Access::roots(pinner.roots().iter().copied());
    let cache = PinsetBuilder::new(pinner, 256 << 20).shared().await?;
    let ipfs = IpfsCtx::builder(cache.clone(), access).build().await?;
    Ok((cache, ipfs))
}

fn wasi(folder: impl AsRef<Path>, arguments: &[String]) -> wasmtime::Result<WasiCtx> {
    let mut wasi = WasiCtx::builder();
    wasi.inherit_stdio().arg("guest").args(arguments);
    wasi.preopened_dir(folder, "/native", FsPerms::ReadOnly)?;
    Ok(wasi.build())
}

async fn run_async(
    store: &mut Store<State>,
    component: &Component,
) -> wasmtime::Result<Result<(), ()>> {
    let mut linker = Linker::<State>::new(store.engine());
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasi_ipfs_fs::p2::add_to_linker_over_async(&mut linker)?;
    let command = Command::instantiate_async(&mut *store, component, &linker).await?;
    command.wasi_cli_run().call_run(store).await
}

fn run_sync(store: &mut Store<State>, component: &Component) -> wasmtime::Result<Result<(), ()>> {
    let mut linker = Linker::<State>::new(store.engine());
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    wasi_ipfs_fs::p2::add_to_linker_over_sync(&mut linker)?;
    let command = sync::Command::instantiate(&mut *store, component, &linker)?;
    command.wasi_cli_run().call_run(store)
}
