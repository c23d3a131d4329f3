//! The trait by which every preview reaches the embedder's state.

use wasmtime_wasi::WasiView;

use crate::ctx::IpfsCtx;

/// The embedder's state: that of wasmtime-wasi, and IPFS if the guest has it.
pub trait IpfsView: WasiView {
    /// The guest's IPFS. With `None`, everything behaves exactly as in wasmtime-wasi: nothing is intercepted or added.
    fn ipfs(&self) -> Option<&IpfsCtx>;
}
