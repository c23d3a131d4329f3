//! The linker functions, and which part of the embedder's state the host calls see.

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, LazyLock},
};

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::{
    filesystem::{WasiFilesystemCtxView, WasiFilesystemView as _},
    p2::bindings::{
        filesystem::{preopens, types},
        sync,
    },
};

use super::table::{self, Fd};
use crate::{ctx::IpfsCtx, errno::Failures, paths::Open, view::IpfsView};

/// Adds `wasi:filesystem/types` and `wasi:filesystem/preopens` with IPFS to a linker. They replace wasmtime-wasi's own,
/// which the linker must already have ([`wasmtime_wasi::p2::add_to_linker_async`]).
///
/// Shadowing is allowed for these two interfaces only. The linker's flag has no getter, so it is **off** when this
/// returns, whatever it was before.
///
/// # Errors
/// As for [`Linker::instance`]: when the linker has definitions of another shape under these names.
pub fn add_to_linker_async<T: IpfsView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    shadow(linker, |linker| {
        types::add_to_linker::<T, IpfsFilesystem>(linker, filesystem)?;
        preopens::add_to_linker::<T, IpfsPreopens>(linker, preopened)
    })
}

/// Like [`add_to_linker_async`], for an embedder whose stores are not async. It goes with
/// [`wasmtime_wasi::p2::add_to_linker_sync`]. A call that waits blocks its thread.
///
/// It waits in tokio's runtime if the thread has entered one, else in one of wasmtime-wasi's. As there, this panics within
/// an async task.
///
/// # Errors
/// As [`add_to_linker_async`].
pub fn add_to_linker_sync<T: IpfsView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    shadow(linker, |linker| {
        sync::filesystem::types::add_to_linker::<T, IpfsFilesystem>(linker, filesystem)?;
        preopens::add_to_linker::<T, IpfsPreopens>(linker, preopened)
    })
}

/// Like [`add_to_linker_async`], for a host with a filesystem of its own: it answers the calls on every descriptor that is
/// not this crate's, in the place of wasmtime-wasi's.
///
/// # Errors
/// As [`add_to_linker_async`].
pub fn add_to_linker_over_async<T: HostFilesystemView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    shadow(linker, |linker| {
        types::add_to_linker::<T, Over<T>>(linker, over)?;
        preopens::add_to_linker::<T, PreopensOver<T>>(linker, preopened_over)
    })
}

/// Like [`add_to_linker_sync`], for a host with a filesystem of its own, as [`add_to_linker_over_async`].
///
/// # Errors
/// As [`add_to_linker_async`].
pub fn add_to_linker_over_sync<T: HostFilesystemView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    shadow(linker, |linker| {
        sync::filesystem::types::add_to_linker::<T, Over<T>>(linker, over)?;
        preopens::add_to_linker::<T, PreopensOver<T>>(linker, preopened_over)
    })
}

fn shadow<T: 'static>(
    linker: &mut Linker<T>,
    add: impl FnOnce(&mut Linker<T>) -> wasmtime::Result<()>,
) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let added = add(linker);
    linker.allow_shadowing(false);
    added
}

/// The filesystem under ours. It answers the calls on every descriptor that is not ours.
///
/// wasmtime-wasi's is one. A host's own implements the traits that wasmtime-wasi generates, with its async functions for
/// both kinds of linkers.
pub trait Filesystem: types::Host + preopens::Host + Send {
    /// The table with its descriptors. Ours are put there too.
    fn table(&self) -> &ResourceTable;

    /// As [`table`](Self::table).
    fn table_mut(&mut self) -> &mut ResourceTable;
}

impl Filesystem for WasiFilesystemCtxView<'_> {
    fn table(&self) -> &ResourceTable {
        self.table
    }

    fn table_mut(&mut self) -> &mut ResourceTable {
        self.table
    }
}

/// The embedder's state, which has a filesystem of its own.
pub trait HostFilesystemView: IpfsView {
    /// The filesystem, as a call sees it.
    type Filesystem<'a>: Filesystem
    where
        Self: 'a;

    /// The filesystem of a guest.
    fn host_filesystem(&mut self) -> Self::Filesystem<'_>;
}

/// The [`HasData`] of `wasi:filesystem/types` with IPFS.
#[derive(Debug)]
pub struct IpfsFilesystem;

impl HasData for IpfsFilesystem {
    type Data<'a> = IpfsFilesystemView<'a>;
}

/// The [`HasData`] over a filesystem of the host's.
struct Over<T>(PhantomData<fn() -> T>);

impl<T: HostFilesystemView + 'static> HasData for Over<T> {
    type Data<'a> = Layered<T::Filesystem<'a>>;
}

/// The state of `wasi:filesystem/types` over wasmtime-wasi's.
pub type IpfsFilesystemView<'a> = Layered<WasiFilesystemCtxView<'a>>;

/// The state of `wasi:filesystem/types`: ours over the [`Filesystem`] `W`.
pub struct Layered<W> {
    /// The filesystem to which every call on a native descriptor goes.
    pub wasi: W,
    /// The guest's calls that failed.
    pub(crate) failures: Arc<Failures>,
}

impl<W> Layered<W> {
    /// Makes a view of a guest's state, for a host that calls the filesystem itself.
    pub fn new(wasi: W, ipfs: Option<&IpfsCtx>) -> Self {
        let failures = failures_of(ipfs);
        Self { wasi, failures }
    }
}

/// Returns the record of the guest's failures. A guest without IPFS has nothing to record.
fn failures_of(ipfs: Option<&IpfsCtx>) -> Arc<Failures> {
    static NONE: LazyLock<Arc<Failures>> = LazyLock::new(Arc::default);
    ipfs.map_or(&*NONE, IpfsCtx::failures).clone()
}

impl<W: Filesystem> Layered<W> {
    /// Returns the node, if the descriptor is ours.
    pub(crate) fn ours(&self, fd: &Fd) -> Option<&Open> {
        table::get(self.wasi.table(), fd)
    }
}

impl<W> fmt::Debug for Layered<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").finish_non_exhaustive()
    }
}

pub(crate) fn filesystem<T: IpfsView>(state: &mut T) -> IpfsFilesystemView<'_> {
    let failures = failures_of(state.ipfs());
    Layered {
        wasi: state.filesystem(),
        failures,
    }
}

fn over<T: HostFilesystemView>(state: &mut T) -> Layered<T::Filesystem<'_>> {
    let failures = failures_of(state.ipfs());
    Layered {
        wasi: state.host_filesystem(),
        failures,
    }
}

/// The [`HasData`] of `wasi:filesystem/preopens` with IPFS.
#[derive(Debug)]
pub struct IpfsPreopens;

impl HasData for IpfsPreopens {
    type Data<'a> = IpfsPreopensView<'a>;
}

/// The [`HasData`] over a filesystem of the host's.
struct PreopensOver<T>(PhantomData<fn() -> T>);

impl<T: HostFilesystemView + 'static> HasData for PreopensOver<T> {
    type Data<'a> = LayeredPreopens<T::Filesystem<'a>>;
}

/// The state of `wasi:filesystem/preopens` over wasmtime-wasi's.
pub type IpfsPreopensView<'a> = LayeredPreopens<WasiFilesystemCtxView<'a>>;

/// The state of `wasi:filesystem/preopens`: ours beside those of the [`Filesystem`] `W`.
pub struct LayeredPreopens<W> {
    /// The filesystem that is not ours.
    pub wasi: W,
    /// The guest's IPFS, if it has any.
    pub ipfs: Option<IpfsCtx>,
}

impl<W> fmt::Debug for LayeredPreopens<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayeredPreopens")
            .field("ipfs", &self.ipfs)
            .finish_non_exhaustive()
    }
}

pub(crate) fn preopened<T: IpfsView>(state: &mut T) -> IpfsPreopensView<'_> {
    let ipfs = state.ipfs().cloned();
    LayeredPreopens {
        wasi: state.filesystem(),
        ipfs,
    }
}

fn preopened_over<T: HostFilesystemView>(state: &mut T) -> LayeredPreopens<T::Filesystem<'_>> {
    let ipfs = state.ipfs().cloned();
    LayeredPreopens {
        wasi: state.host_filesystem(),
        ipfs,
    }
}
