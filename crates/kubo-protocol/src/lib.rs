//! What this library writes into a Kubo node, and how the node answers. Pure: texts and bytes in, values out.
//!
//! The backends that speak to a Kubo node differ in their HTTP client, and must not differ in anything that stays
//! behind on the node: a pin that one of them made is listed and released by the other. So what they write, and how
//! they understand the node, is here once.
//!
//! * [`Wrapper`]: a counted recursive pin. One block of our own per `(holder, root)`, which is its own CID.
//! * [`mfs`]: a counted lazy pin. One entry per `(holder, root)` in the node's mutable file system.
//! * [`Refusal`]: what a failed call means, from the words of the node.
//! * [`PinAddLine`], [`PinLsLine`], [`Pinned`], [`Listing`], [`Resolution`]: the answers that are JSON.
//! * [`Version`]: which node can do what.
//!
//! Everything that a node sends is hostile until it has been parsed here: no function panics, whatever it is given.

mod answer;
pub mod mfs;
mod refusal;
mod version;
mod wrapper;

pub use answer::{
    Listing, ListingEntry, PinAddLine, PinLsLine, Pinned, Resolution, WrongResolution,
};
pub use refusal::{Reason, Refusal};
pub use version::{ParseVersionError, Version};
pub use wrapper::{Wrapper, WrapperCid};
