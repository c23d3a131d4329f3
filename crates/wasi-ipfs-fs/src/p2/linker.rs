//! The linker function, and which part of the embedder's state the host calls see.

use std::sync::{Arc, LazyLock};

use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::{
    filesystem::{WasiFilesystemCtxView, WasiFilesystemView as _},
    p2::bindings::filesystem::{preopens, types},
};

use super::table::{self, Fd, Open};
use crate::{ctx::IpfsCtx, errno::Failures, types::Types, view::IpfsView};

/// Adds `wasi:filesystem/types` and `wasi:filesystem/preopens` with IPFS to a linker. They replace wasmtime-wasi's own,
/// which the linker must already have ([`wasmtime_wasi::p2::add_to_linker_async`]).
///
/// Shadowing is allowed for these two interfaces only. The linker's flag has no getter, so it is **off** when this
/// returns, whatever it was before.
///
/// Only the async linker is supported. An embedder without a runtime of its own wraps the run in
/// [`wasmtime_wasi::runtime::in_tokio`].
///
/// # Errors
/// As for [`Linker::instance`]: when the linker has definitions of another shape under these names.
pub fn add_to_linker_async<T: IpfsView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let added = types::add_to_linker::<T, IpfsFilesystem>(linker, |state| {
        let (failures, types) = records_of(state.ipfs());
        IpfsFilesystemView {
            wasi: state.filesystem(),
            failures,
            types,
        }
    })
    .and_then(|()| {
        preopens::add_to_linker::<T, IpfsPreopens>(linker, |state| {
            let ipfs = state.ipfs().cloned();
            IpfsPreopensView {
                wasi: state.filesystem(),
                ipfs,
            }
        })
    });
    linker.allow_shadowing(false);
    added
}

/// The [`HasData`] of `wasi:filesystem/types` with IPFS.
#[derive(Debug)]
pub struct IpfsFilesystem;

impl HasData for IpfsFilesystem {
    type Data<'a> = IpfsFilesystemView<'a>;
}

/// The state of `wasi:filesystem/types`. Our nodes carry their session.
#[expect(
    missing_debug_implementations,
    reason = "wasmtime-wasi's view has none"
)]
pub struct IpfsFilesystemView<'a> {
    /// wasmtime-wasi's own view, to which every call on a native descriptor goes.
    pub wasi: WasiFilesystemCtxView<'a>,
    /// The guest's calls that failed.
    pub(crate) failures: Arc<Failures>,
    /// The types in the guest's listings.
    pub(crate) types: Arc<Types>,
}

/// Returns the records of the guest's failures and of its entries' types. A guest without IPFS has nothing to record.
fn records_of(ipfs: Option<&IpfsCtx>) -> (Arc<Failures>, Arc<Types>) {
    static NONE: LazyLock<(Arc<Failures>, Arc<Types>)> = LazyLock::new(Default::default);
    match ipfs {
        Some(ipfs) => (ipfs.failures().clone(), ipfs.types().clone()),
        None => NONE.clone(),
    }
}

impl<'a> IpfsFilesystemView<'a> {
    /// Makes a view of a guest's state, for a host that calls the filesystem itself.
    pub fn new(wasi: WasiFilesystemCtxView<'a>, ipfs: Option<&IpfsCtx>) -> Self {
        let (failures, types) = records_of(ipfs);
        Self {
            wasi,
            failures,
            types,
        }
    }

    /// Returns the node, if the descriptor is ours.
    pub(crate) fn ours(&self, fd: &Fd) -> Option<&Open> {
        table::get(self.wasi.table, fd)
    }
}

/// The [`HasData`] of `wasi:filesystem/preopens` with IPFS.
#[derive(Debug)]
pub struct IpfsPreopens;

impl HasData for IpfsPreopens {
    type Data<'a> = IpfsPreopensView<'a>;
}

/// The state of `wasi:filesystem/preopens`.
#[expect(
    missing_debug_implementations,
    reason = "wasmtime-wasi's view has none"
)]
pub struct IpfsPreopensView<'a> {
    /// wasmtime-wasi's own view.
    pub wasi: WasiFilesystemCtxView<'a>,
    /// The guest's IPFS, if it has any.
    pub ipfs: Option<IpfsCtx>,
}
