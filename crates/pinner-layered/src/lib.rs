//! Several sources of blocks as one [`Pinner`](pinner_api::Pinner), and the parts that such a backend is made of.
//!
//! No source is believed, and none can stop the others. A source that fails, lies or hangs is asked last for a while,
//! and the next one has its turn.
//!
//! # The way of one block
//!
//! 1. [`Layered`]: which sources are asked, in which order, and what their answers mean together.
//! 2. [`Breaker`]: whether a source is to be asked now, by what its calls came to.
//! 3. [`race`]: the sources of one order are asked one after the other, or side by side if one takes long. The first
//!    answer wins.
//! 4. `layer`: one source, its breaker, and the blocks that it had wrong.
//!
//! A backend with several sources of its own, such as one over gateways, uses [`Breaker`] and [`race`] by themselves.
//!
//! # Wrong bytes
//!
//! No source is verified here: the caller hashes each block, and returns its verdict
//! ([`Pinner::verdict`](pinner_api::Pinner::verdict)). Every answer of a [`Layered`] therefore names its source.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod breaker;
mod kept;
mod layer;
mod layered;
mod pins;
mod race;

pub use breaker::{Breaker, Readiness};
pub use layered::{Layered, LayeredBuilder};
pub use race::{Overtaken, Won, race};

/// How long a source is waited for before the next one is asked beside it, unless set: a second.
pub const HEDGE: std::time::Duration = std::time::Duration::from_secs(1);
