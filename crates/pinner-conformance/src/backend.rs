//! What the suite asks of a fixture: a backend that runs, and hands on what the trait `Pinner` cannot do.
//!
//! Owns the words in which a fixture says what it can do. Knows no case, and no backend.

use std::{error::Error, sync::Arc};

use async_trait::async_trait;
use cid::Cid;
use pinner_api::Pinner;

use crate::Block;

/// What a fixture's method gives: its error stops the case, and says that the fixture has failed, not the backend.
pub type FixtureResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A backend under test, started afresh for each case over the [`Content`] that the case names.
///
/// Only [`pinner`](Self::pinner) has to be written. Each of the others is a thing that not every fixture can do:
/// `None` says so, and is checked against the backend's capabilities.
///
/// # Isolation
/// The cases run side by side. They never share content or holders, so one node may serve them all, unless it
/// [collects](Self::collect): a collection takes the unpinned content of every case. Such a fixture gives each
/// case a node of its own, or holds a lock for as long as the value lives.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The backend. Each call gives the same one.
    fn pinner(&self) -> Arc<dyn Pinner>;

    /// What the fixture can do and the backend's capabilities do not tell. Strict unless it is said otherwise.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// The same backend as another process sees it: other connections, no memory shared, the same node.
    ///
    /// `None` where there can be no other: the set of pins lives in the value itself, as a CAR file's does.
    async fn second(&self) -> FixtureResult<Option<Arc<dyn Pinner>>> {
        Ok(None)
    }

    /// Whether the block lies on the backend itself, without anything being fetched to find out.
    ///
    /// `None` where it cannot be told; it has to be told where lazy pins meet [`Elsewhere::Reachable`].
    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        let _ = cid;
        Ok(None)
    }

    /// Runs a garbage collection and returns when it is through; an error where the collection fails.
    ///
    /// `None` exactly where the backend's capabilities say that it does not collect.
    async fn collect(&self) -> FixtureResult<Option<()>> {
        Ok(None)
    }

    /// Pins the whole DAG below `root` as the backend's owner would, by other means than this library's.
    ///
    /// `None` where nobody else can pin; not allowed where the backend has pins and collects.
    async fn foreign_pin(&self, root: &Cid) -> FixtureResult<Option<()>> {
        let _ = root;
        Ok(None)
    }

    /// Makes a mutable name that stands for `path` (no leading slash, maybe empty) below `root`, and gives it.
    ///
    /// `None` exactly where the backend's capabilities say that it has no names.
    async fn set_name(&self, root: &Cid, path: &str) -> FixtureResult<Option<String>> {
        let _ = (root, path);
        Ok(None)
    }
}

/// What a backend is started over.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Content {
    /// What lies on the backend, pinned by nobody.
    pub blocks: Vec<Block>,
    /// What does not lie on the backend, but is where a backend with [`Elsewhere::Reachable`] can fetch it from.
    /// The others leave it out.
    pub elsewhere: Vec<Block>,
    /// What is larger than a block may be, for backends with [`Oversize::Held`]. The others leave it out.
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

    /// With these where the backend can fetch them from.
    pub fn with_elsewhere(mut self, blocks: impl IntoIterator<Item = Block>) -> Self {
        self.elsewhere.extend(blocks);
        self
    }

    /// With this one, which is too large.
    pub fn with_oversize(mut self, block: Block) -> Self {
        self.oversize.push(block);
        self
    }
}

/// What the capabilities do not tell of a backend and its fixture. The default is the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// What the backend says of a block that is nowhere.
    pub absence: Absence,
    /// Whether the backend can fetch from somewhere.
    pub elsewhere: Elsewhere,
    /// Whether the fixture can put blocks that are too large.
    pub oversize: Oversize,
}

/// What a backend says of a block that is nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absence {
    /// It proves it: [`NotFound`](pinner_api::PinnerError::NotFound), always.
    #[default]
    Proven,
    /// It cannot know, for there is a network behind it: an error that may pass, or `NotFound`.
    Unproven,
}

/// Whether a backend can fetch what does not lie on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Elsewhere {
    /// What does not lie on it is not to be had.
    #[default]
    Unreachable,
    /// [`Content::elsewhere`] is to be had through it.
    Reachable,
}

/// Whether the fixture can make the backend hold, or be sent, a block larger than
/// [`MAX_BLOCK`](pinner_api::MAX_BLOCK).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Oversize {
    /// It cannot: what holds the blocks refuses such a one. The backend then must not give it either.
    #[default]
    Refused,
    /// It can: the backend must answer [`Corrupt`](pinner_api::PinnerError::Corrupt).
    Held,
}
