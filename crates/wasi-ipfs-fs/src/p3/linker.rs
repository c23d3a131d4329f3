//! The linker function.

use wasmtime::component::Linker;
use wasmtime_wasi::p3::bindings::filesystem::{preopens, types};

use crate::{
    p2::linker::{IpfsFilesystem, IpfsPreopens, filesystem, preopened},
    view::IpfsView,
};

/// Adds `wasi:filesystem/types` and `wasi:filesystem/preopens` of WASI 0.3 with IPFS to a linker. They replace
/// wasmtime-wasi's own, which the linker must already have ([`wasmtime_wasi::p3::add_to_linker`]).
///
/// A component of today imports WASI 0.2 too, by its standard library. Add both previews, in any order:
///
/// ```no_run
/// # fn linked<State: wasi_ipfs_fs::IpfsView + 'static>(
/// #     engine: &wasmtime::Engine,
/// # ) -> wasmtime::Result<wasmtime::component::Linker<State>> {
/// let mut linker = wasmtime::component::Linker::<State>::new(engine);
/// wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
/// wasi_ipfs_fs::p2::add_to_linker_async(&mut linker)?;
/// wasmtime_wasi::p3::add_to_linker(&mut linker)?;
/// wasi_ipfs_fs::p3::add_to_linker(&mut linker)?;
/// # Ok(linker)
/// # }
/// ```
///
/// The engine must support concurrency, as it does unless [`concurrency_support`] was turned off. The guest is run within
/// [`Store::run_concurrent`](wasmtime::Store::run_concurrent), as [`Command`] shows.
///
/// Shadowing is allowed for these two interfaces only. The linker's flag has no getter, so it is **off** when this
/// returns, whatever it was before.
///
/// # Errors
/// As for [`Linker::instance`]: when the linker has definitions of another shape under these names.
///
/// [`concurrency_support`]: wasmtime::Config::concurrency_support
/// [`Command`]: wasmtime_wasi::p3::bindings::Command
pub fn add_to_linker<T: IpfsView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let added = types::add_to_linker::<T, IpfsFilesystem>(linker, filesystem)
        .and_then(|()| preopens::add_to_linker::<T, IpfsPreopens>(linker, preopened));
    linker.allow_shadowing(false);
    added
}
