//! Shows `/ipfs`, `/ipns` (if a name was granted) and the mounts beside wasmtime-wasi's preopened directories, after
//! them. No host directory stands behind ours.

use wasmtime_wasi::p2::bindings::filesystem::preopens::Host;

use super::{
    linker::IpfsPreopensView,
    table::{self, Fd, Open, OpenDir},
};
use crate::ctx::{IPFS, IPNS};

impl Host for IpfsPreopensView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let native = Host::get_directories(&mut self.wasi)?;
        self.with_ours(native)
    }
}

impl IpfsPreopensView<'_> {
    /// Adds our directories to wasmtime-wasi's.
    ///
    /// A guest may ask as often as it likes. Each call takes handles. Past the limit the guest traps, because the
    /// interface has no way to refuse.
    pub(crate) fn with_ours(
        &mut self,
        mut directories: Vec<(Fd, String)>,
    ) -> wasmtime::Result<Vec<(Fd, String)>> {
        let Some(ipfs) = &self.ipfs else {
            return Ok(directories);
        };
        let session = ipfs.session();
        let root = (IPFS.to_owned(), session.root()?);
        let names = match ipfs.names().next() {
            Some(_) => Some((IPNS.to_owned(), session.names_root()?)),
            None => None,
        };
        let mounts = ipfs
            .mounts()
            .iter()
            .map(|mount| (mount.guest.clone(), mount.dir.clone()));
        for (name, dir) in std::iter::once(root).chain(names).chain(mounts) {
            let open = Open::Dir(OpenDir {
                dir,
                session: session.clone(),
            });
            directories.push((table::push(self.wasi.table, open)?, name));
        }
        Ok(directories)
    }
}
