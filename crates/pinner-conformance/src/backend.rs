//! The fixture's side of the suite: a running backend, and the operations that the trait `Pinner` cannot do.
//!
//! Owns the types in which a fixture says what it can do. Knows no case, and no backend.

use std::{error::Error, sync::Arc};

use async_trait::async_trait;
use cid::Cid;
use pinner_api::Pinner;

use crate::Block;

/// The result of a fixture's method. An error stops the case, and says that the fixture failed, not the backend.
pub type FixtureResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A backend under test, started afresh for each case over the [`Content`] that the case names.
///
/// Only [`pinner`](Self::pinner) is required. Not every fixture can do the others: `None` says that it cannot, and is
/// checked against the backend's capabilities.
///
/// # Isolation
/// The cases run side by side. They never share content or holders, so one node may serve them all, unless it
/// [collects](Self::collect): a collection removes the unpinned content of every case. The fixture of such a node
/// gives each case a node of its own, or holds a lock for as long as the value lives.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The backend. Each call returns the same one.
    fn pinner(&self) -> Arc<dyn Pinner>;

    /// The abilities of the fixture that the backend's capabilities do not state. The default is the strictest.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// The same backend as another process sees it: the same node over other connections, with no shared memory.
    ///
    /// `None` where there can be no other: the set of pins lives in the value itself, as in a CAR file's backend.
    async fn second(&self) -> FixtureResult<Option<Arc<dyn Pinner>>> {
        Ok(None)
    }

    /// Whether the block is on the backend itself. Finding out must fetch nothing.
    ///
    /// `None` where the fixture cannot tell. That is not allowed where the backend has lazy pins and is
    /// [`Elsewhere::Reachable`].
    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        let _ = cid;
        Ok(None)
    }

    /// Makes the source behind the backend slow: from now on, no block comes from it within an hour.
    ///
    /// `None` where the fixture cannot. The suite then knows only that a search for an absent block keeps its deadline.
    async fn stall(&self) -> FixtureResult<Option<()>> {
        Ok(None)
    }

    /// Makes the source behind the backend drip: from now on it begins each answer in time, and sends so little at a time
    /// that no block is whole within an hour.
    ///
    /// `None` where the fixture cannot.
    async fn drip(&self) -> FixtureResult<Option<()>> {
        Ok(None)
    }

    /// Makes a source of the backend lie, the one that it prefers: from now on that source answers each request for a
    /// block with bytes of another hash. Another source of the backend has all the blocks.
    ///
    /// `None` where the backend has one source, or where the fixture cannot.
    async fn spoil(&self) -> FixtureResult<Option<()>> {
        Ok(None)
    }

    /// Runs a garbage collection, and returns once it is done. Returns an error if the collection fails.
    ///
    /// `None` exactly where the backend's capabilities say that it does not collect.
    async fn collect(&self) -> FixtureResult<Option<()>> {
        Ok(None)
    }

    /// Pins the whole DAG below `root` as the backend's owner would, by means other than this library.
    ///
    /// `None` where nobody else can pin. That is not allowed where the backend has pins and collects.
    async fn foreign_pin(&self, root: &Cid) -> FixtureResult<Option<()>> {
        let _ = root;
        Ok(None)
    }

    /// Makes a mutable name that points to `path` (no leading slash, maybe empty) below `root`, and returns the name.
    ///
    /// `None` exactly where the backend's capabilities say that it has no names.
    async fn set_name(&self, root: &Cid, path: &str) -> FixtureResult<Option<String>> {
        let _ = (root, path);
        Ok(None)
    }
}

/// The content that a backend is started over.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Content {
    /// Blocks on the backend, pinned by nobody.
    pub blocks: Vec<Block>,
    /// Blocks that are not on the backend, but in a place from which a backend that is [`Elsewhere::Reachable`] can
    /// fetch them. Other backends ignore them.
    pub elsewhere: Vec<Block>,
    /// Blocks that are larger than allowed, for backends with [`Oversize::Held`]. Other backends ignore them.
    pub oversize: Vec<Block>,
}

impl Content {
    /// These blocks, on the backend itself.
    pub fn of(blocks: impl IntoIterator<Item = Block>) -> Self {
        Self {
            blocks: blocks.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Adds blocks to the place that the backend can fetch from.
    pub fn with_elsewhere(mut self, blocks: impl IntoIterator<Item = Block>) -> Self {
        self.elsewhere.extend(blocks);
        self
    }

    /// Adds a block that is too large.
    pub fn with_oversize(mut self, block: Block) -> Self {
        self.oversize.push(block);
        self
    }
}

/// The properties of a backend and its fixture that the capabilities do not state. The default is the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// The backend's answer to a request for a block that exists nowhere.
    pub absence: Absence,
    /// Whether the backend can fetch blocks from elsewhere.
    pub elsewhere: Elsewhere,
    /// Whether the fixture can put blocks that are too large.
    pub oversize: Oversize,
}

/// A backend's answer to a request for a block that exists nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absence {
    /// It proves the absence: the answer is always [`NotFound`](pinner_api::PinnerError::NotFound).
    #[default]
    Proven,
    /// It cannot know, because there is a network behind it: the answer is an error that may pass, or `NotFound`.
    Unproven,
}

/// Whether a backend can fetch blocks that are not on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Elsewhere {
    /// It cannot.
    #[default]
    Unreachable,
    /// It can fetch [`Content::elsewhere`].
    Reachable,
}

/// Whether the fixture can make the backend hold, or be sent, a block larger than
/// [`MAX_BLOCK`](pinner_api::MAX_BLOCK).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Oversize {
    /// It cannot: the store below the backend refuses the block. The backend then must not return it either.
    #[default]
    Refused,
    /// It can: the backend must answer [`Corrupt`](pinner_api::PinnerError::Corrupt).
    Held,
}
