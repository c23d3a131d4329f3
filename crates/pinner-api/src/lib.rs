//! The [`Pinner`] trait, its types and its error, alone.
//!
//! A `Pinner` is a place that IPFS blocks come from and that can be told to keep them: a Kubo node, a CAR
//! file, an HTTP gateway, a test's mock. This crate knows no runtime, no I/O and no backend, so that whoever
//! writes a backend, and whoever uses one, depends on nothing else.
//!
//! What a backend hands out is **unverified**: the caller hashes every block against the CID it asked for.
//! A backend is therefore never trusted with integrity, only with availability and with keeping its pins.
//!
//! # Contract
//!
//! * **Pins are counted by holder.** The set of pins holds `(holder, root)` pairs. Content stays protected while
//!   any pair names it, whichever process put it there. A backend whose own pins are not counted (Kubo's are
//!   not) counts them itself.
//! * **A foreign pin is never touched**: what somebody else pinned on the backend, under whatever name and even
//!   on the same CID, is neither listed by [`Pinner::pins`] nor changed by [`Pinner::unpin`].
//! * **Failure is not absence.** [`PinnerError::NotFound`] is given only where the backend proves that the block
//!   is not there; everything else has a variant of its own.
//! * **Deadlines.** Every block has an absolute deadline: a source that drips one byte a second has failed.
//!   A recursive pin, which may rightly take hours, has a no-progress deadline instead.
//!
//! # Cancellation
//!
//! Every future and stream may be dropped at any point. The backend is then as before the call or as after it,
//! and no pin that another holder relies on is lost.
//!
//! # Concurrency
//!
//! All methods take `&self` and may be called side by side from any number of tasks. Two calls on the same
//! `(holder, root)` take effect in some order; each is idempotent, so the order of equal calls does not matter.
//!
//! # Writing a backend
//!
//! A backend without pins and names is [`Pinner::block`] alone: everything else has a default.
//!
//! ```
//! use std::collections::HashMap;
//!
//! use pinner_api::{Bytes, Cid, Origin, Pinner, PinnerError, async_trait};
//!
//! #[derive(Debug, Default)]
//! struct InMemory(HashMap<Cid, Bytes>);
//!
//! #[async_trait]
//! impl Pinner for InMemory {
//!     async fn block(&self, cid: &Cid, _: &Origin) -> Result<Bytes, PinnerError> {
//!         let block = self.0.get(cid).cloned();
//!         block.ok_or(PinnerError::NotFound { cid: *cid })
//!     }
//! }
//!
//! assert!(!InMemory::default().capabilities().any_pins());
//! ```
//!
//! One with pins overrides [`capabilities`](Pinner::capabilities), [`pin`](Pinner::pin), [`unpin`](Pinner::unpin) and
//! [`pins`](Pinner::pins) together. A backend that wraps another one forwards every method, the provided ones too:
//! `#[deny(clippy::missing_trait_methods)]` on its `impl` makes sure. The conformance suite of the crate
//! `pinner-conformance` shows whether a backend keeps the contract.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use cid::Cid;
pub use futures_core::stream::BoxStream;
use futures_core::stream::Stream;
use futures_util::{StreamExt, stream::FuturesUnordered};

/// The largest block a backend may hand out, in bytes: 2 MiB, the limit of Bitswap and of Kubo's `block/put`
/// (<https://specs.ipfs.tech/bitswap-protocol/#block-sizes>). What is larger is [`PinnerError::Corrupt`].
pub const MAX_BLOCK: usize = 2 * 1024 * 1024;

/// A source of blocks, and a keeper of pins.
///
/// The crate's documentation states the contract, what cancelling does, and what may run side by side.
#[async_trait]
pub trait Pinner: Send + Sync + fmt::Debug {
    /// What this backend can do.
    ///
    /// # Behavior
    /// * Provided: [blocks alone](Capabilities::blocks_only).
    /// * Answers at once, and the same for the life of the value.
    /// * What it denies is refused with [`PinnerError::Unsupported`], before any effect.
    fn capabilities(&self) -> Capabilities {
        Capabilities::blocks_only()
    }

    /// One block's bytes, as the backend has them: **unverified**.
    ///
    /// # Behavior
    /// * `cid` selects by multihash: a backend may ignore the codec.
    /// * `origin` is a hint for where to look (a node asks the providers of the root); a wrong or missing one
    ///   never changes the bytes.
    /// * At most [`MAX_BLOCK`] bytes are read, whatever the source sends.
    /// * An identity CID holds its own data and need not be asked for; a backend may answer it or not.
    ///
    /// # Errors
    /// * [`NotFound`](PinnerError::NotFound): the backend proves that it is not there.
    /// * [`Unavailable`](PinnerError::Unavailable), [`RateLimited`](PinnerError::RateLimited),
    ///   [`TimedOut`](PinnerError::TimedOut): may pass; the same call may succeed later.
    /// * [`Denied`](PinnerError::Denied): credentials or policy.
    /// * [`Corrupt`](PinnerError::Corrupt): the answer is no block (too large, cut short, garbled framing).
    async fn block(&self, cid: &Cid, origin: &Origin) -> Result<Bytes, PinnerError>;

    /// Several blocks, in whatever order they come; each exactly once.
    ///
    /// # Behavior
    /// * As many answers as `cids`, each with the CID as it was given; one failure does not end the stream.
    /// * Provided, by [`block`](Self::block) side by side. A backend that has a cheaper way overrides it.
    ///
    /// # Errors
    /// As for [`block`](Self::block), one by one.
    fn blocks<'a>(
        &'a self,
        cids: &'a [Cid],
        origin: &'a Origin,
    ) -> BoxStream<'a, (Cid, Result<Bytes, PinnerError>)> {
        cids.iter()
            .map(|cid| async move { (*cid, self.block(cid, origin).await) })
            .collect::<FuturesUnordered<_>>()
            .boxed()
    }

    /// Puts `(holder, root)` into the set of pins.
    ///
    /// # Behavior
    /// * Provided: refused, for a backend without pins.
    /// * Idempotent: a pair that is in the set stays, and the answer is `Ok`. A pair may be in it once for each
    ///   depth; both are taken out by one [`unpin`](Self::unpin).
    /// * [`PinDepth::Recursive`] returns once the whole DAG is complete on the backend.
    /// * [`PinDepth::Lazy`] returns once what is there, and what arrives later, is protected; it fetches nothing
    ///   beyond the root's own block.
    ///
    /// # Errors
    /// * [`NotFound`](PinnerError::NotFound): a block of the DAG is proven absent; nothing is pinned then.
    /// * [`Unsupported`](PinnerError::Unsupported): the backend has no pins of this depth.
    /// * the passing ones of [`block`](Self::block): nothing is pinned then.
    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        let _ = (holder, root);
        Err(PinnerError::Unsupported {
            operation: match depth {
                PinDepth::Recursive => "recursive pins",
                PinDepth::Lazy => "lazy pins",
            },
        })
    }

    /// Takes `(holder, root)` out of the set, at every depth.
    ///
    /// # Behavior
    /// * Provided: refused, for a backend without pins.
    /// * A pair that is not in the set is `Ok`.
    /// * Content that another holder, or somebody else's pin, protects stays protected.
    ///
    /// # Errors
    /// * [`Unsupported`](PinnerError::Unsupported): the backend has no pins at all.
    /// * the passing ones of [`block`](Self::block): the pair is still in the set, or is not; ask again.
    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        let _ = (holder, root);
        Err(PinnerError::Unsupported { operation: "pins" })
    }

    /// Every pin of this library's on the backend, any holder's: what recovery reads.
    ///
    /// # Behavior
    /// * Provided: refused, for a backend without pins.
    /// * Each pair and depth once, in no order. Pins made while the stream runs may be missing from it.
    /// * Foreign pins are not in it.
    ///
    /// # Errors
    /// The stream ends at its first error: what came before it is true, but not all there is.
    /// [`Unsupported`](PinnerError::Unsupported) where the backend has no pins at all.
    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        refused("pins")
    }

    /// The resolver of mutable names, where the backend has one (provided: none).
    fn names(&self) -> Option<&dyn Names> {
        None
    }
}

/// Backends that resolve mutable names: what stands behind `/ipns/<name>`.
///
/// A resolved name is the backend's word: nothing in it can be verified by the caller but what lies *below* the
/// CID it names.
#[async_trait]
pub trait Names: Send + Sync + fmt::Debug {
    /// The immutable path that `name` (a key or a DNSLink domain, without `/ipns/`) stands for now.
    ///
    /// # Errors
    /// * [`NameNotFound`](PinnerError::NameNotFound): the backend proves that the name stands for nothing.
    /// * the passing ones of [`Pinner::block`].
    async fn resolve(&self, name: &str) -> Result<Resolved, PinnerError>;
}

/// What a mutable name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The CID.
    pub root: Cid,
    /// The path below it, without a leading slash; empty where the name stands for the CID itself.
    pub path: String,
    /// How long the answer may be kept, where the backend knows.
    pub ttl: Option<Duration>,
}

impl Resolved {
    /// `path` below `root`, for how long is not known.
    pub fn new(root: Cid, path: impl Into<String>) -> Self {
        Self {
            root,
            path: path.into(),
            ttl: None,
        }
    }

    /// The same, where the backend says how long it may be kept.
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl),
            ..self
        }
    }
}

/// What a backend can do. All of it is denied by default; reading blocks is what every backend can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`PinDepth::Recursive`] pins.
    pub recursive_pins: bool,
    /// [`PinDepth::Lazy`] pins.
    pub lazy_pins: bool,
    /// The backend keeps content only while it is pinned: without a pin, a collection may remove it. Where this
    /// is false (a CAR file), pins change nothing but the set of pins.
    pub collects: bool,
    /// Mutable names, by [`Pinner::names`].
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

    /// With a garbage collection that takes what no pin protects.
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
/// Exhaustive on purpose: a further depth is a further promise, which every backend has to make or to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PinDepth {
    /// The whole DAG is fetched and kept; the pin is made once it is complete on the backend.
    Recursive,
    /// What has been fetched, and what will be, is kept; nothing is fetched for the pin's sake.
    Lazy,
}

/// One pin in a backend's set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Pin {
    /// Who holds it.
    pub holder: Holder,
    /// What it protects.
    pub root: Cid,
    /// How much of it.
    pub depth: PinDepth,
}

impl Pin {
    /// That `holder` protects `root`, `depth` deep.
    pub const fn new(holder: Holder, root: Cid, depth: PinDepth) -> Self {
        Self {
            holder,
            root,
            depth,
        }
    }
}

/// Who holds a pin: 24 bytes, of which the first 8 name the lock directory that the holder lives in and the
/// other 16 are random.
///
/// Only whoever can look into the named lock directory can prove that the holder is dead; see `pinset`'s
/// recovery. Written as 48 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder([u8; Holder::LEN]);

impl Holder {
    /// Length in bytes.
    pub const LEN: usize = 24;

    /// A holder of the lock directory `lock_dir`, told from its others by `unique`, which is to be random.
    pub fn new(lock_dir: [u8; 8], unique: [u8; 16]) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&lock_dir);
        bytes[8..].copy_from_slice(&unique);
        Self(bytes)
    }

    /// From the 24 bytes that [`as_bytes`](Self::as_bytes) gave.
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

/// A text that is not a [`Holder`]: it is not 48 hex digits.
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

/// Where a block is asked from: the root that led to it, and the path below that root.
///
/// A hint for backends that look for providers: a leaf may be announced by nobody, while its root is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The CID that the path started with.
    pub root: Cid,
    /// The path below it, segments joined by `/`, empty for the root itself.
    pub path: Arc<str>,
}

impl Origin {
    /// `path` below `root`.
    pub fn new(root: Cid, path: impl Into<Arc<str>>) -> Self {
        Self {
            root,
            path: path.into(),
        }
    }

    /// The root itself.
    pub fn root(root: Cid) -> Self {
        let path = Arc::default();
        Self { root, path }
    }
}

/// Why a backend could not do what it was asked.
///
/// A variant is what the caller can do about it. `Display` says what failed and on what; the cause, where there
/// is one, is the `source`.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinnerError {
    /// The backend proves that the block is not there. Asking again gives the same answer, until somebody adds it.
    #[error("block {cid} is not on the backend")]
    NotFound {
        /// The block.
        cid: Cid,
    },
    /// The backend proves that the name stands for nothing.
    #[error("the name '{name}' stands for nothing")]
    NameNotFound {
        /// The name.
        name: String,
    },
    /// The backend cannot be reached, or fails for reasons of its own. May pass.
    #[error("the backend is unavailable: {operation}")]
    Unavailable {
        /// What was asked, and of what: `block/get bafy…`.
        operation: String,
        /// The cause, where there is one.
        source: Option<Cause>,
    },
    /// The backend asks for fewer calls.
    #[error("the backend limits the rate of calls: {operation}")]
    RateLimited {
        /// What was asked, and of what.
        operation: String,
        /// When to ask again, where the backend says.
        retry_after: Option<Duration>,
    },
    /// The deadline passed. May succeed later, or with a longer one.
    #[error("no answer within {after:?}: {operation}")]
    TimedOut {
        /// What was asked, and of what.
        operation: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// Credentials or policy forbid it.
    #[error("the backend refuses: {operation}: {reason}")]
    Denied {
        /// What was asked, and of what.
        operation: String,
        /// The backend's words.
        reason: String,
    },
    /// The backend has no such thing ([`Capabilities`] says so too).
    #[error("the backend has no {operation}")]
    Unsupported {
        /// What it lacks: `lazy pins`.
        operation: &'static str,
    },
    /// What came back cannot be the thing asked for: too large, cut short, garbled.
    #[error("a corrupt answer: {operation}: {reason}")]
    Corrupt {
        /// What was asked, and of what.
        operation: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl PinnerError {
    /// Whether the same call may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::RateLimited { .. } | Self::TimedOut { .. } => true,
            Self::NotFound { .. }
            | Self::NameNotFound { .. }
            | Self::Denied { .. }
            | Self::Unsupported { .. }
            | Self::Corrupt { .. } => false,
        }
    }

    /// Whether the backend proved that the thing is not there.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::NameNotFound { .. })
    }
}

/// A cause that can be handed to everybody who waits for the same answer.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl Cause {
    /// From any error.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into().into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// A stream that is at once over, with one error: what [`Pinner::pins`] gives where there are no pins.
pub fn refused(operation: &'static str) -> BoxStream<'static, Result<Pin, PinnerError>> {
    futures_util::stream::once(async move { Err(PinnerError::Unsupported { operation }) }).boxed()
}

// `Pinner` is used behind `Arc<dyn Pinner>`, and its streams are handed about: both must stay possible.
const _: () = {
    // coverage: the compiler is the test.
    const fn object_safe(_: Option<&dyn Pinner>) {}
    const fn stream<S: Stream>() {}
    object_safe(None);
    stream::<BoxStream<'static, Pin>>();
};

#[cfg(test)]
mod tests;
