//! What every preview asks of the embedder's state.

use wasmtime_wasi::WasiView;

use crate::ctx::IpfsCtx;

/// The embedder's state: wasmtime-wasi's, and IPFS where the guest has it.
pub trait IpfsView: WasiView {
    /// The guest's IPFS. `None`: exactly wasmtime-wasi, nothing is intercepted and nothing is added.
    fn ipfs(&self) -> Option<&IpfsCtx>;
}
