//! An in-memory IPFS node for tests: a [`Pinner`](pinner_api::Pinner) that counts pins by holder, has a garbage
//! collector that removes what nothing protects, and fails when a test tells it to.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use pinner_api::{BlockRequest, Pinner, PinnerError};
//! use pinner_mock::{Fault, MockNode, When};
//!
//! let node = MockNode::new();
//! let cid = node.put(0x55, "hello");
//! node.script(When::block(&cid).first(1), Fault::WrongBytes);
//!
//! let request = BlockRequest::new(cid);
//! assert_ne!(node.block(&request).await.unwrap().bytes, "hello");
//! assert_eq!(node.block(&request).await.unwrap().bytes, "hello");
//! assert_eq!(node.blocks_asked(&cid), 2);
//!
//! node.collect_garbage().unwrap();
//! let gone = node.block(&request).await;
//! assert!(matches!(gone, Err(PinnerError::NotFound { .. })));
//! # }
//! ```
//!
//! A [`MockNode`] is a handle: its clones are handles to the same node, as other processes would have them.
//!
//! * [`MockNode`], [`Builder`]: the node, and the methods by which a test changes it without the trait.
//! * [`When`], [`Fault`], [`Gate`], [`Oversize`]: which calls fail, and how.
//! * [`Call`], [`Judged`], [`Counters`], [`Recording`]: the record of the calls and of the verdicts.
//! * [`Collected`], [`MockError`]: the result of a collection, and the reasons why one fails.
//!
//! # DAGs and time
//!
//! The links of dag-pb blocks are followed. A block of any other codec is a leaf, dag-cbor included. A block is
//! stored and found by its multihash, whatever its CID's codec. Time passes only in [`Fault::Delay`], on tokio's
//! clock, which a test can pause. Deadlines are on the same clock.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![allow(
    clippy::result_large_err,
    reason = "an error that names two CIDs is large, and tests do not notice"
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
pub use journal::{Call, Counters, Judged, Recording};
pub use node::{Builder, MockNode};
pub use script::{Fault, Gate, Oversize, When};
