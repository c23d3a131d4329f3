//! The data that this project writes into a Kubo node, and the meaning of the node's answers. Pure: texts and bytes in,
//! values out.
//!
//! The backends that talk to a Kubo node differ in their HTTP client, but must not differ in what they leave on the
//! node: a pin that one of them made is listed and released by the other. So the encodings that they write, and the
//! interpretation of the node's answers, are shared here.
//!
//! * [`Wrapper`]: a counted recursive pin. One block of our own per `(holder, root)`, whose CID contains the block.
//! * [`mfs`]: a counted lazy pin. One entry per `(holder, root)` in the node's mutable file system.
//! * [`Refusal`]: what a failed call means, from the words of the node.
//! * [`PinAddLine`], [`PinLsLine`], [`Pinned`], [`Listing`], [`Resolution`]: the node's JSON answers.
//! * [`Version`]: what a node can do, by its version.
//! * [`BlockStore`], [`Sharding`]: where a repository keeps its blocks, and the name of a block's file.
//!
//! Everything that a node sends or writes is hostile until it has been parsed here. No function panics on any input.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod answer;
mod datastore;
mod flatfs;
pub mod mfs;
mod refusal;
mod version;
mod wrapper;

pub use answer::{
    Listing, ListingEntry, PinAddLine, PinLsLine, Pinned, Resolution, WrongResolution,
};
pub use datastore::{BlockStore, NoBlockStore};
pub use flatfs::{BlockFile, ParseShardingError, Sharding};
pub use refusal::{Reason, Refusal};
pub use version::{ParseVersionError, Version};
pub use wrapper::{Wrapper, WrapperCid};
