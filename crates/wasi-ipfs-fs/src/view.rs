//! The trait by which every preview reaches the embedder's state.

use wasmtime_wasi::WasiView;

use crate::ctx::IpfsCtx;

/// The embedder's state, which has wasmtime-wasi's state, and an IPFS context if the guest has one.
pub trait IpfsView: WasiView {
    /// The guest's IPFS. With `None`, everything behaves exactly as in wasmtime-wasi: nothing is intercepted or added.
    fn ipfs(&self) -> Option<&IpfsCtx>;
}
