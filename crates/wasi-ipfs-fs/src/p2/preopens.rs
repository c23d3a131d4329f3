//! Shows `/ipfs`, `/ipns` (if a name was granted) and the mounts beside the native preopened directories, after them.
//! No host directory stands behind ours.

use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::bindings::filesystem::preopens::Host;

use super::{
    linker::{Filesystem, LayeredPreopens},
    table::{self, Fd},
};
use crate::{ctx::IpfsCtx, paths::Open};

impl<W: Filesystem> Host for LayeredPreopens<W> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let native = self.wasi.get_directories()?;
        with_ours(self.ipfs.as_ref(), self.wasi.table_mut(), native)
    }
}

/// Adds our directories to the native ones.
///
/// A guest may ask as often as it likes. Each call takes handles. Past the limit the guest traps, because the interface
/// has no way to refuse.
pub(crate) fn with_ours(
    ipfs: Option<&IpfsCtx>,
    table: &mut ResourceTable,
    mut directories: Vec<(Fd, String)>,
) -> wasmtime::Result<Vec<(Fd, String)>> {
    let Some(ipfs) = ipfs else {
        return Ok(directories);
    };
    for (name, dir) in ipfs.preopens()? {
        directories.push((table::push(table, Open::Dir(dir))?, name));
    }
    Ok(directories)
}
