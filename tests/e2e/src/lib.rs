//! End-to-end tests across crates: real guests, in real wasmtime, over real content. This library is the harness. The
//! tests are beside it in `tests/`, the guests in `../guests` (`cargo xtask guests` builds them).
//!
//! A test has four parts:
//!
//! ```no_run
//! # async fn test() -> wasmtime::Result<()> {
//! use e2e::{Preview, Run, Sample, Sharing, Variant, guests};
//!
//! let variant = Variant { preview: Preview::One, sharing: Sharing::Shared };
//! let sample = Sample::new();                                   // 1. content: a local tree, imported to a mock node
//! let ctx = variant.ctx(&sample.content).await;                 // 2. what the guest may do: one root, here
//! let run = Run::new(["cat", &sample.path("hello.txt")]);       // 3. arguments, environment, preopened directories
//! let outcome = run.ipfs(ctx).program(&variant.program(guests::CAT)).await;
//! assert_eq!(outcome.success(), "hello, /ipfs\n");              // 4. exit status, standard output and error
//! assert!(sample.content.node.distinct_blocks_asked() > 0);     //    and the requests to the backend
//! # Ok(())
//! # }
//! ```
//!
//! * [`Content`]: blocks on a [`MockNode`](pinner_mock::MockNode), whose log and faults belong to the test;
//!   [`Sample`]: a tree with something of everything; [`Large`]: a file of any size that takes no memory.
//! * [`Variant`], [`each_variant`]: previews 1 and 2, on a shared and on an isolated pinset.
//! * [`guests`]: a constant for each guest, and `foreach_guest!`, so that every guest is tested; [`Program`]: a guest
//!   or any other file, compiled.
//! * [`suite`]: other people's tests, each with the adapter and without.
//! * [`Run`], [`Outcome`]: one run, with the adapter, with the adapter but no IPFS, or with wasmtime-wasi alone.
//!
//! The guests are read from `$WASI_IPFS_GUESTS/{p1,p2}/NAME.wasm`, by default from `target/guests` below the workspace.
//! A guest that was not built fails the test with a message that says how to build it. wasmtime's own cache in the
//! target directory keeps compiled guests, so that only the first run after a change is slow.

mod content;
mod guest;
mod large;
mod ruby;
mod run;
mod sample;
pub mod suite;
mod variant;

pub use content::Content;
pub use guest::{Entry, Guest, Preview, Program};
pub use large::Large;
pub use run::{End, NativeCalls, Outcome, Run, State};
pub use sample::Sample;
pub use variant::{Sharing, Variant, pinset};

/// The guests, as the build script found their sources.
pub mod guests {
    use crate::Guest;

    include!(concat!(env!("OUT_DIR"), "/guest_list.rs"));
}
