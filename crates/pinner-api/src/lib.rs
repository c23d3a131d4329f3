//! The [`Pinner`] trait, its types and its error, alone.
//!
//! A `Pinner` is a place that IPFS blocks come from and that can be told to keep them: a Kubo node, a CAR file, an
//! HTTP gateway, a mock for tests. This crate has no runtime, no I/O and no backend, so those who write a backend and
//! those who use one depend on nothing else.
//!
//! The blocks that a backend returns are **unverified**: the caller hashes every block against the CID it asked for.
//! A backend is therefore never trusted with integrity, only with availability and with keeping its pins.
//!
//! # Contract
//!
//! * **Pins are counted by holder.** The set of pins holds `(holder, root)` pairs. Content stays protected while any
//!   pair names it, whichever process put it there. A backend whose own pins are not counted (Kubo's are not) counts
//!   them itself.
//! * **A foreign pin is never touched.** A pin that somebody else made on the backend, under whatever name and even
//!   on the same CID, is neither listed by [`Pinner::pins`] nor changed by [`Pinner::unpin`].
//! * **Failure is not absence.** A backend returns [`PinnerError::NotFound`] only where it proves that it does not
//!   have the block. Every other failure has a variant of its own.
//! * **Deadlines.** Every block has an absolute deadline, that of its [`BlockRequest`] or the backend's own: a source
//!   that drips one byte a second has failed. A recursive pin, which may rightly take hours, has a no-progress
//!   deadline instead.
//! * **A wrong answer is not the end.** An [`Answer`] may name its source. The caller returns its [`Verdict`] on it
//!   ([`Pinner::verdict`]), and asks again with that source among those to avoid, until an answer is right or comes from
//!   a source that was wrong before. A backend with several sources therefore names them, and lets one that was wrong
//!   rest. A wrong answer without a source is final.
//! * **A panic fails one call.** A backend that panicked in one call serves the next.
//!
//! # Cancellation
//!
//! Every future and stream may be dropped at any point. The backend is then either as before the call or as after it,
//! and no pin that another holder relies on is lost.
//!
//! # Concurrency
//!
//! All methods take `&self` and may be called side by side from any number of tasks. Two calls on the same
//! `(holder, root)` take effect in some order; each is idempotent, so the order of equal calls does not matter.
//!
//! # Writing a backend
//!
//! A backend without pins and names implements [`Pinner::block`] alone: everything else has a default.
//!
//! ```
//! use std::{collections::HashMap, time::Instant};
//!
//! use pinner_api::{Answer, BlockRequest, Bytes, Cid, Pinner, PinnerError, async_trait};
//!
//! #[derive(Debug, Default)]
//! struct InMemory(HashMap<Cid, Bytes>);
//!
//! #[async_trait]
//! impl Pinner for InMemory {
//!     async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
//!         request.in_time(Instant::now())?;
//!         let block = self.0.get(request.cid()).cloned();
//!         block.map(Answer::from).ok_or(PinnerError::NotFound { cid: *request.cid() })
//!     }
//! }
//!
//! assert!(!InMemory::default().capabilities().any_pins());
//! ```
//!
//! A backend with several sources names the one of each answer ([`Answer::with_source`]), asks those to avoid last, and
//! lets one rest after [`Verdict::Wrong`]. The crate `pinner-layered` does this for several backends of one source each.
//!
//! A backend with pins overrides [`capabilities`](Pinner::capabilities), [`pin`](Pinner::pin),
//! [`unpin`](Pinner::unpin) and [`pins`](Pinner::pins) together. A backend that wraps another one forwards every
//! method, the provided ones too: `#[deny(clippy::missing_trait_methods)]` on its `impl` enforces this. The
//! conformance suite of the crate `pinner-conformance` shows whether a backend keeps the contract.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod error;
mod request;

use std::{fmt, str::FromStr, time::Duration};

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use cid::Cid;
pub use error::{Cause, PinnerError};
pub use futures_core::stream::BoxStream;
use futures_core::stream::Stream;
use futures_util::{StreamExt, stream};
pub use request::{Answer, BlockRequest, Origin, SourceId, Verdict};

/// The largest block a backend may return, in bytes: 2 MiB, the limit of Bitswap and of Kubo's `block/put`
/// (<https://specs.ipfs.tech/bitswap-protocol/#block-sizes>). A larger block is [`PinnerError::Corrupt`].
pub const MAX_BLOCK: usize = 2 * 1024 * 1024;

/// A source of blocks, and a keeper of pins.
///
/// The crate's documentation states the contract, the effect of cancellation, and which calls may run side by side.
#[async_trait]
pub trait Pinner: Send + Sync + fmt::Debug {
    /// The capabilities of this backend.
    ///
    /// # Behavior
    /// * Provided: [blocks alone](Capabilities::blocks_only).
    /// * Returns at once, and returns the same value for the life of the backend.
    /// * A call that needs a missing capability is refused with [`PinnerError::Unsupported`], before any effect.
    fn capabilities(&self) -> Capabilities {
        Capabilities::blocks_only()
    }

    /// Returns one block's bytes as the backend has them: **unverified**.
    ///
    /// # Behavior
    /// * The CID selects by multihash: a backend may ignore the codec.
    /// * The origin is a hint for where to look (a node asks the providers of the root); a wrong or missing one
    ///   never changes the bytes.
    /// * The call ends by the request's deadline, or by the backend's own if that comes first
    ///   ([`BlockRequest::ends_by`]). It covers everything: the wait for a turn, every attempt and every source. A
    ///   request whose deadline has passed ends at once ([`BlockRequest::in_time`]).
    /// * The sources to avoid are asked last, after all others that may have the block, so they prove no absence by
    ///   being left out. If one of the others failed in a way that may pass, they need not be asked at all, and the
    ///   error is that one. Those that the backend does not know change nothing.
    /// * At most [`MAX_BLOCK`] bytes are read, whatever the source sends.
    /// * An identity CID holds its own data, so nobody needs to ask for it. A backend may answer it or not.
    ///
    /// # Errors
    /// * [`NotFound`](PinnerError::NotFound): the backend proves that it does not have the block.
    /// * [`Unavailable`](PinnerError::Unavailable), [`RateLimited`](PinnerError::RateLimited),
    ///   [`TimedOut`](PinnerError::TimedOut): may pass; the same call may succeed later.
    /// * [`Denied`](PinnerError::Denied): credentials or policy.
    /// * [`Corrupt`](PinnerError::Corrupt): the answer is not a block (too large, cut short, garbled framing).
    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError>;

    /// Tells the backend whether the block that it returned for `request` has the hash of its CID. `source` is that of
    /// the [`Answer`].
    ///
    /// # Behavior
    /// * Provided: does nothing.
    /// * After [`Verdict::Wrong`], a backend with several sources asks this one last for a while: for this block, and
    ///   for all others unless the block alone can be at fault, as in an archive.
    /// * Returns at once and never panics: it takes no lock that a call holds, and does no I/O.
    /// * Any verdict may come at any time, once, several times or never; also one on a source that the backend never
    ///   had, which changes nothing.
    fn verdict(&self, request: &BlockRequest, source: Option<&SourceId>, verdict: Verdict) {
        let _ = (request, source, verdict);
    }

    /// Returns how many blocks the backend serves well at once. A caller with more to ask for lets the others wait on
    /// its own side.
    ///
    /// # Behavior
    /// * Provided: 64.
    /// * At least one, and the same for the life of the backend.
    fn concurrency(&self) -> usize {
        64
    }

    /// Puts `(holder, root)` into the set of pins.
    ///
    /// # Behavior
    /// * Provided: refuses, for a backend without pins.
    /// * Idempotent: a pair that is in the set stays, and the result is `Ok`. A pair may be in it once for each
    ///   depth; one [`unpin`](Self::unpin) removes both.
    /// * [`PinDepth::Recursive`] returns once the whole DAG is complete on the backend.
    /// * [`PinDepth::Lazy`] returns once the blocks that are there, and those that arrive later, are protected. It
    ///   fetches nothing beyond the root's own block.
    ///
    /// # Errors
    /// * [`NotFound`](PinnerError::NotFound): a block of the DAG is proven absent; nothing is pinned then.
    /// * [`Unsupported`](PinnerError::Unsupported): the backend has no pins of this depth.
    /// * The errors of [`block`](Self::block) that may pass: nothing is pinned then.
    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        let _ = (holder, root);
        Err(PinnerError::Unsupported {
            operation: match depth {
                PinDepth::Recursive => "recursive pins",
                PinDepth::Lazy => "lazy pins",
            },
        })
    }

    /// Removes `(holder, root)` from the set, at every depth.
    ///
    /// # Behavior
    /// * Provided: refuses, for a backend without pins.
    /// * For a pair that is not in the set, returns `Ok`.
    /// * Content that another holder's pin or a foreign pin protects stays protected.
    ///
    /// # Errors
    /// * [`Unsupported`](PinnerError::Unsupported): the backend has no pins at all.
    /// * The errors of [`block`](Self::block) that may pass: the pair may or may not be in the set still; ask again.
    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        let _ = (holder, root);
        Err(PinnerError::Unsupported { operation: "pins" })
    }

    /// Lists every pin that this library made on the backend, of any holder. Recovery reads it.
    ///
    /// # Behavior
    /// * Provided: refuses, for a backend without pins.
    /// * Lists each pair and depth once, in no order. Pins made while the stream runs may be missing from it.
    /// * Does not list foreign pins.
    ///
    /// # Errors
    /// The stream ends at its first error: the pins before it are true, but others may be missing. The error is
    /// [`Unsupported`](PinnerError::Unsupported) where the backend has no pins at all.
    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        refused("pins")
    }

    /// The resolver of mutable names, where the backend has one. Provided: `None`.
    fn names(&self) -> Option<&dyn Names> {
        None
    }
}

/// Resolves mutable names: the paths below `/ipns/<name>`.
///
/// A resolved name is the backend's word, unless the backend verifies the name's signed record and says so. The caller
/// can verify only the content *below* the CID that it names.
#[async_trait]
pub trait Names: Send + Sync + fmt::Debug {
    /// Returns the immutable path that `name` (a key or a DNSLink domain, without `/ipns/`) points to now.
    ///
    /// # Errors
    /// * [`NameNotFound`](PinnerError::NameNotFound): the backend proves that the name points to nothing.
    /// * The errors of [`Pinner::block`] that may pass.
    async fn resolve(&self, name: &str) -> Result<Resolved, PinnerError>;
}

/// The target of a mutable name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The CID.
    pub root: Cid,
    /// The path below it, without a leading slash; empty where the name points to the CID itself.
    pub path: String,
    /// How long the answer may be kept, if the backend knows.
    pub ttl: Option<Duration>,
}

impl Resolved {
    /// `path` below `root`, without a time to live.
    pub fn new(root: Cid, path: impl Into<String>) -> Self {
        Self {
            root,
            path: path.into(),
            ttl: None,
        }
    }

    /// Sets how long the answer may be kept.
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl),
            ..self
        }
    }
}

/// The capabilities of a backend. All are false by default; every backend can return blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`PinDepth::Recursive`] pins.
    pub recursive_pins: bool,
    /// [`PinDepth::Lazy`] pins.
    pub lazy_pins: bool,
    /// The backend keeps content only while it is pinned: a collection may remove unpinned content. Where this is
    /// false (a CAR file), pins change nothing but the set of pins.
    pub collects: bool,
    /// Mutable names, through [`Pinner::names`].
    pub names: bool,
}

impl Capabilities {
    /// Blocks alone.
    pub const fn blocks_only() -> Self {
        Self {
            recursive_pins: false,
            lazy_pins: false,
            collects: false,
            names: false,
        }
    }

    /// With [`PinDepth::Recursive`] pins.
    pub const fn with_recursive_pins(self) -> Self {
        Self {
            recursive_pins: true,
            ..self
        }
    }

    /// With [`PinDepth::Lazy`] pins.
    pub const fn with_lazy_pins(self) -> Self {
        Self {
            lazy_pins: true,
            ..self
        }
    }

    /// With a garbage collection that removes whatever no pin protects.
    pub const fn with_collection(self) -> Self {
        Self {
            collects: true,
            ..self
        }
    }

    /// With [`Names`].
    pub const fn with_names(self) -> Self {
        Self {
            names: true,
            ..self
        }
    }

    /// Whether there are pins of any depth, and so [`Pinner::unpin`] and [`Pinner::pins`].
    pub const fn any_pins(&self) -> bool {
        self.recursive_pins || self.lazy_pins
    }

    /// Whether there are pins of this depth.
    pub const fn pins(&self, depth: PinDepth) -> bool {
        match depth {
            PinDepth::Recursive => self.recursive_pins,
            PinDepth::Lazy => self.lazy_pins,
        }
    }
}

/// How much of a DAG a pin protects.
///
/// Exhaustive on purpose: a further depth is a further promise, which every backend has to make or refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PinDepth {
    /// The whole DAG is fetched and kept. The pin is made once the DAG is complete on the backend.
    Recursive,
    /// The blocks fetched so far and later are kept. Nothing is fetched for the sake of the pin.
    Lazy,
}

/// One pin in a backend's set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Pin {
    /// The holder of the pin.
    pub holder: Holder,
    /// The root of the protected content.
    pub root: Cid,
    /// How much of the DAG is protected.
    pub depth: PinDepth,
}

impl Pin {
    /// A pin by `holder` that protects `root` to `depth`.
    pub const fn new(holder: Holder, root: Cid, depth: PinDepth) -> Self {
        Self {
            holder,
            root,
            depth,
        }
    }
}

/// The holder of a pin: 24 bytes, of which the first 8 name the lock directory that the holder lives in and the other
/// 16 are random.
///
/// Only a process that can look into the named lock directory can prove that the holder is dead; see `pinset`'s
/// recovery. The text form is 48 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder([u8; Holder::LEN]);

impl Holder {
    /// The length in bytes.
    pub const LEN: usize = 24;

    /// A holder of the lock directory `lock_dir`. `unique` sets it apart from the others there, so it must be random.
    pub fn new(lock_dir: [u8; 8], unique: [u8; 16]) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&lock_dir);
        bytes[8..].copy_from_slice(&unique);
        Self(bytes)
    }

    /// The holder with the 24 bytes that [`as_bytes`](Self::as_bytes) returned.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// All 24 bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The name of the lock directory that this holder lives in.
    pub fn lock_dir(&self) -> [u8; 8] {
        let mut name = [0; 8];
        name.copy_from_slice(&self.0[..8]);
        name
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holder({self})")
    }
}

/// The error for a text that is not a [`Holder`]: it is not 48 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid holder '{0}': expected 48 hex digits, as `wasi-ipfs pins` prints them")]
pub struct ParseHolderError(String);

impl FromStr for Holder {
    type Err = ParseHolderError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseHolderError(text.to_owned());
        if text.len() != 2 * Self::LEN || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; Self::LEN];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

/// A stream that ends at once with one error. [`Pinner::pins`] returns it where there are no pins.
pub fn refused(operation: &'static str) -> BoxStream<'static, Result<Pin, PinnerError>> {
    stream::once(async move { Err(PinnerError::Unsupported { operation }) }).boxed()
}

// `Pinner` is used behind `Arc<dyn Pinner>`, and its streams are passed around: both must stay possible.
const _: () = {
    const fn object_safe(_: Option<&dyn Pinner>) {}
    const fn stream<S: Stream>() {}
    object_safe(None);
    stream::<BoxStream<'static, Pin>>();
};

#[cfg(test)]
mod tests;
