//! The request to a backend for one block, the answer, and the verdict on it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cid::Cid;

use crate::error::PinnerError;

/// The longest time that a call gets, so that adding it to the current time cannot overflow: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A request for one block.
///
/// ```
/// use std::time::{Duration, Instant};
/// use pinner_api::{BlockRequest, Cid, Origin};
///
/// # let (root, leaf) = (Cid::default(), Cid::default());
/// let request = BlockRequest::new(leaf)
///     .with_origin(Origin::new(root, "a/b.db"))
///     .with_deadline(Instant::now() + Duration::from_secs(30));
/// assert_eq!(request.cid(), &leaf);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockRequest {
    cid: Cid,
    origin: Origin,
    deadline: Option<Instant>,
    avoid: Vec<SourceId>,
}

impl BlockRequest {
    /// A request for the block `cid`, with the block itself as the origin, the backend's own deadline, and any
    /// source.
    pub fn new(cid: Cid) -> Self {
        Self {
            cid,
            origin: Origin::root(cid),
            deadline: None,
            avoid: Vec::new(),
        }
    }

    /// Sets the context in which the block is asked for.
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// Sets the moment by which the call has to end, one way or the other. A backend may end it earlier, by its own
    /// settings.
    pub fn with_deadline(self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            ..self
        }
    }

    /// Adds sources that are to be asked last, because their answer was wrong.
    pub fn avoiding(mut self, sources: impl IntoIterator<Item = SourceId>) -> Self {
        self.avoid.extend(sources);
        self
    }

    /// The block.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The context in which the block is asked for: the block itself unless set.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The moment by which the call has to end, if the caller set one.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The sources that are to be asked last.
    pub fn avoid(&self) -> &[SourceId] {
        &self.avoid
    }

    /// Whether `source` is one of those to avoid.
    pub fn avoids(&self, source: &SourceId) -> bool {
        self.avoid.contains(source)
    }

    /// Returns the moment by which a call that begins at `now` has to end: `own`, which is the backend's setting, from
    /// `now` on, or the request's deadline if that comes first.
    ///
    /// `now` comes from the clock that the backend waits by: with tokio,
    /// `tokio::time::Instant::now().into_std()`.
    pub fn ends_by(&self, now: Instant, own: Duration) -> Instant {
        let own = now + own.min(LONGEST);
        self.deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// Refuses the request if its deadline has passed at `now`. A backend calls this before it does anything.
    ///
    /// # Errors
    /// [`PinnerError::TimedOut`].
    pub fn in_time(&self, now: Instant) -> Result<(), PinnerError> {
        match self.deadline {
            Some(deadline) if deadline <= now => Err(PinnerError::TimedOut {
                operation: format!("block {}", self.cid),
                after: Duration::ZERO,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// The context in which a block is asked for: the root that led to it, and the path below that root.
///
/// A hint for backends that look for providers: there may be none that announces a leaf, although some announce its
/// root.
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

/// One of a backend's sources: a gateway, an archive, a node's RPC.
///
/// Only the backend that named it knows what it stands for. The caller compares it, and hands it back in
/// [`BlockRequest::avoid`] and in a [verdict](crate::Pinner::verdict). A clone is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(Arc<str>);

impl SourceId {
    /// A source by a name that is unique within its backend, such as an address. It may be logged, so it holds no
    /// secret.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name that the backend gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceId({})", self.0.escape_debug())
    }
}

/// A backend's answer to a [`BlockRequest`]: **unverified** bytes.
///
/// A backend that does not tell its sources apart makes one from the bytes alone: `Answer::from(bytes)`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The block's bytes as the source sent them.
    pub bytes: Bytes,
    /// The source, if the backend tells its sources apart.
    pub source: Option<SourceId>,
}

impl Answer {
    /// These bytes, of an unnamed source.
    pub fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            source: None,
        }
    }

    /// Names the source.
    pub fn with_source(self, source: SourceId) -> Self {
        Self {
            source: Some(source),
            ..self
        }
    }
}

impl From<Bytes> for Answer {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes)
    }
}

/// The caller's finding about an [`Answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The bytes have the hash of the CID.
    Right,
    /// They have not.
    Wrong,
}
