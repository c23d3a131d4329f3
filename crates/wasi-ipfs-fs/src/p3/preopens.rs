//! Shows our directories beside wasmtime-wasi's preopened directories.

use wasmtime_wasi::p3::bindings::filesystem::preopens::Host;

use crate::p2::{linker::IpfsPreopensView, preopens::with_ours, table::Fd};

impl Host for IpfsPreopensView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let native = Host::get_directories(&mut self.wasi)?;
        with_ours(self.ipfs.as_ref(), self.wasi.table, native)
    }
}
