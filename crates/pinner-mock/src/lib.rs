//! An in-memory IPFS node that behaves, for anybody's tests: a [`Pinner`](pinner_api::Pinner) whose pins are
//! counted by holder, whose garbage collector takes what nothing protects, and which fails when it is told to.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use pinner_api::{Origin, Pinner, PinnerError};
//! use pinner_mock::{Fault, MockNode, When};
//!
//! let node = MockNode::new();
//! let cid = node.put(0x55, "hello");
//! node.script(When::block(&cid).first(1), Fault::WrongBytes);
//!
//! let origin = Origin::root(cid);
//! assert_ne!(node.block(&cid, &origin).await.unwrap(), "hello");
//! assert_eq!(node.block(&cid, &origin).await.unwrap(), "hello");
//! assert_eq!(node.blocks_asked(&cid), 2);
//!
//! node.collect_garbage().unwrap();
//! let gone = node.block(&cid, &origin).await;
//! assert!(matches!(gone, Err(PinnerError::NotFound { .. })));
//! # }
//! ```
//!
//! A [`MockNode`] is a handle: clones are other handles to the same node, as other processes would have them.
//!
//! * [`MockNode`], [`Builder`]: the node, and what a test does to it behind the trait's back.
//! * [`When`], [`Fault`], [`Gate`], [`Oversize`]: what goes wrong, and at which call.
//! * [`Call`], [`Counters`], [`Recording`]: what was asked of it.
//! * [`Collected`], [`MockError`]: what a collection did, and why one fails.
//!
//! # What it knows of a DAG
//!
//! Links of dag-pb blocks are followed. Every other codec is a leaf, dag-cbor too. Whatever its CID's codec, a
//! block is stored and found by its multihash. Time passes only in [`Fault::Delay`], on tokio's clock, which a
//! test can pause.

#![allow(
    clippy::result_large_err,
    reason = "an error that names two CIDs is large, and no test is the slower for it"
)]

mod collect;
mod dag;
mod error;
mod journal;
mod node;
mod pinner;
mod script;
mod store;

pub use collect::Collected;
pub use error::MockError;
pub use journal::{Call, Counters, Recording};
pub use node::{Builder, MockNode};
pub use script::{Fault, Gate, Oversize, When};
