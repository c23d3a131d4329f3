//! One guest's view of a pinset: which roots it may ask for (I10), and how much of everything (I9).
//!
//! A session knows no wasm. Every node that a walk yields carries its session, so that no read can be made
//! without its limits.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use cid::Cid;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument;

use crate::{
    block::{KeyHash, canonical},
    error::{Error, Limit},
    fetch::engine::Engine,
    metadata::{Identity, Metadata},
    path::{
        fixed_name::FixedName,
        ipfs_path::{IpfsPath, Symlinks, parse_root},
        walked::Walked,
    },
    read::{dir::Dir, node::Node},
    resolve::walk,
    sync::lock,
    unixfs::Target,
};

/// Which roots a session may ask for. There is no default: whoever embeds decides.
#[derive(Clone, Debug)]
pub enum Access {
    /// These roots, and what lies below them.
    Roots(HashSet<Cid>),
    /// Any CID. A guest without network that may ask a node for any CID can send data out in what it asks for,
    /// and learn what the node holds.
    Any,
}

impl Access {
    /// These roots, and what lies below them. CIDv0 and CIDv1 of one block are one root.
    pub fn roots(roots: impl IntoIterator<Item = Cid>) -> Self {
        Self::Roots(roots.into_iter().map(canonical).collect())
    }

    /// With `root` as well.
    fn with(self, root: Cid) -> Self {
        match self {
            Self::Roots(mut roots) => {
                roots.insert(canonical(root));
                Self::Roots(roots)
            }
            Self::Any => Self::Any,
        }
    }

    /// Whether `root` may be asked for.
    pub fn allows(&self, root: &Cid) -> bool {
        match self {
            Self::Roots(roots) => roots.contains(root) || roots.contains(&canonical(*root)),
            Self::Any => true,
        }
    }
}

/// How much a session may use. Every limit has a default that ordinary programs do not notice.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Files and directories open at once. Default 65,536.
    pub open_handles: usize,
    /// Blocks being fetched at once, read-ahead included; more wait. Default 32.
    pub fetches_in_flight: usize,
    /// Distinct CIDs opened in the session's life. Default 1,000,000.
    pub targets: usize,
    /// Bytes fetched from the backend for the session in its life. Default: no limit.
    pub fetched_bytes: u64,
    /// A path's length in bytes. Default 4,096, as Linux has it.
    pub path_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_handles: 65_536,
            fetches_in_flight: 32,
            targets: 1_000_000,
            fetched_bytes: u64::MAX,
            path_bytes: 4096,
        }
    }
}

/// One guest's view of a pinset. Cheap to clone; all clones share its limits.
#[derive(Clone)]
pub struct Session {
    pub(crate) inner: Arc<SessionInner>,
}

pub(crate) struct SessionInner {
    pub(crate) engine: Arc<Engine>,
    access: Access,
    /// What `/ipns` shows, by name. Nothing changes it.
    names: BTreeMap<Box<str>, Arc<FixedName>>,
    limits: Limits,
    open_handles: AtomicUsize,
    fetched_bytes: AtomicU64,
    fetches: Semaphore,
    /// Hashes of the distinct CIDs opened: 8 bytes each, so that a million targets are 8 MB and no more (I9).
    targets: Mutex<HashSet<u64, KeyHash>>,
    /// The root that was named last, if it was granted: a guest names the same one again and again.
    last_root: Mutex<Option<(Box<str>, Cid)>>,
    walked: Walked,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("access", &self.inner.access)
            .field("names", &self.inner.names)
            .field("limits", &self.inner.limits)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(
        engine: Arc<Engine>,
        mut access: Access,
        limits: Limits,
        fixed: impl IntoIterator<Item = FixedName>,
    ) -> Self {
        let mut names = BTreeMap::new();
        for fixed in fixed {
            access = access.with(*fixed.target());
            names.insert(fixed.name().as_str().into(), Arc::new(fixed));
        }
        let inner = SessionInner {
            engine,
            fetches: Semaphore::new(limits.fetches_in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            access,
            names,
            limits,
            open_handles: AtomicUsize::new(0),
            fetched_bytes: AtomicU64::new(0),
            targets: Mutex::default(),
            last_root: Mutex::default(),
            walked: Walked::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// `/ipfs` itself: a directory without a CID, whose listing is the roots that were granted.
    ///
    /// # Errors
    /// [`Error::LimitReached`] with too many open handles.
    pub fn root(&self) -> Result<Dir, Error> {
        Dir::namespace(self)
    }

    /// `/ipns`: a directory whose entries are links, from the names that were granted into `/ipfs`. Theirs is the
    /// only way from one directory without a CID to the other.
    ///
    /// # Errors
    /// [`Error::LimitReached`] with too many open handles.
    pub fn names_root(&self) -> Result<Dir, Error> {
        Dir::names(self)
    }

    /// The names that were granted, in their order.
    pub fn names(&self) -> impl Iterator<Item = &FixedName> {
        self.inner.names.values().map(|fixed| &**fixed)
    }

    pub(crate) fn fixed_name(&self, name: &str) -> Option<&Arc<FixedName>> {
        self.inner.names.get(name)
    }

    /// Opens `/ipfs/<CID>/a/b`; symlinks are followed.
    ///
    /// # Errors
    /// [`Error::InvalidPath`], and those of [`open_at`](Self::open_at).
    pub async fn open(&self, path: &str) -> Result<Node, Error> {
        let path: IpfsPath = path.parse()?;
        self.open_at(&self.root()?, &path.below_ipfs(), Symlinks::Follow)
            .await
    }

    /// Opens what `path` names, seen from `base`.
    ///
    /// Fetches the directory blocks on the way that are not at hand, and the target's root block; not even that
    /// for a file whose link says that it is one raw block. Queues a lazy pin for a target that leads to raw blocks
    /// alone.
    ///
    /// # Errors
    /// Those of the walk ([`Error::NotFound`], [`Error::RootNotFound`], [`Error::NotGranted`],
    /// [`Error::NotDirectory`], [`Error::Escapes`], [`Error::TooManySymlinks`], [`Error::PathTooLong`]), those of
    /// fetching ([`Error::Fetch`], [`Error::Corrupt`], [`Error::Malformed`], [`Error::Unsupported`]), and
    /// [`Error::LimitReached`].
    pub async fn open_at(&self, base: &Dir, path: &str, last: Symlinks) -> Result<Node, Error> {
        if tracing::enabled!(tracing::Level::TRACE) {
            let span = tracing::trace_span!("open", path);
            // Boxed, so that an open that nobody follows has a small future.
            return Box::pin(self.walk_and_open(base, path, last).instrument(span)).await;
        }
        self.walk_and_open(base, path, last).await
    }

    async fn walk_and_open(&self, base: &Dir, path: &str, last: Symlinks) -> Result<Node, Error> {
        let found = walk::walk(self, base, path, last).await?;
        found.open(self).await
    }

    /// What is known of what `path` names, without opening it.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    pub async fn metadata_at(
        &self,
        base: &Dir,
        path: &str,
        last: Symlinks,
    ) -> Result<Metadata, Error> {
        let mut found = walk::walk(self, base, path, last).await?;
        found.metadata(self).await
    }

    /// The identity of what `path` names. With [`Symlinks::NoFollow`] the target itself is never fetched: its
    /// link is enough.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    pub async fn identity_at(
        &self,
        base: &Dir,
        path: &str,
        last: Symlinks,
    ) -> Result<Identity, Error> {
        Ok(walk::walk(self, base, path, last).await?.identity())
    }

    /// The limits that were set.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Which roots may be asked for.
    pub fn access(&self) -> &Access {
        &self.inner.access
    }

    /// Bytes fetched from the backend for this session so far.
    pub fn fetched_bytes(&self) -> u64 {
        self.inner.fetched_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.inner.engine
    }

    pub(crate) fn walked(&self) -> &Walked {
        &self.inner.walked
    }

    /// Counts one more open handle.
    pub(crate) fn handle(&self) -> Result<HandleGuard, Error> {
        let limit = self.inner.limits.open_handles;
        let before = self.inner.open_handles.fetch_add(1, Ordering::Relaxed);
        let guard = HandleGuard {
            session: self.clone(),
        };
        if before >= limit {
            // The guard takes the count back.
            return Err(reached(Limit::OpenHandles, limit as u64));
        }
        Ok(guard)
    }

    /// The CID that `name` is, where the session may ask for it: below `/ipfs`, the first segment.
    pub(crate) fn granted_root(&self, name: &str) -> Result<Option<Cid>, Error> {
        if let Some((last, cid)) = &*lock(&self.inner.last_root)
            && **last == *name
        {
            return Ok(Some(*cid));
        }
        let Ok(cid) = parse_root(name) else {
            return Ok(None);
        };
        if !self.access().allows(&cid) {
            return Err(Error::NotGranted { cid });
        }
        *lock(&self.inner.last_root) = Some((name.into(), cid));
        Ok(Some(cid))
    }

    /// Counts `target` among the distinct CIDs opened: by the start of its digest. Two that start alike count as
    /// one, which lets nobody open more than a few more.
    pub(crate) fn target(&self, target: &Target) -> Result<(), Error> {
        let limit = self.inner.limits.targets;
        let digest = match target {
            Target::Block(cid) => cid.hash().digest(),
            // It costs nobody anything.
            Target::Inline { .. } => return Ok(()),
        };
        let mut hash = [0; 8];
        let len = digest.len().min(8);
        hash[..len].copy_from_slice(&digest[..len]);
        let hash = u64::from_le_bytes(hash);
        let mut targets = lock(&self.inner.targets);
        if targets.len() >= limit && !targets.contains(&hash) {
            return Err(reached(Limit::Targets, limit as u64));
        }
        targets.insert(hash);
        Ok(())
    }

    /// Waits for leave to fetch one more block at the same time as the others.
    pub(crate) async fn fetch_permit(&self) -> Result<SemaphorePermit<'_>, Error> {
        let limit = self.inner.limits.fetched_bytes;
        if self.fetched_bytes() >= limit {
            return Err(reached(Limit::FetchedBytes, limit));
        }
        self.inner
            .fetches
            .acquire()
            .await
            .map_err(|_| Error::Closed)
    }

    /// Counts what was fetched.
    pub(crate) fn fetched(&self, bytes: u64) {
        self.inner.fetched_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn reached(limit: Limit, value: u64) -> Error {
    Error::LimitReached { limit, value }
}

/// One open handle; taken off the session's count when dropped.
pub(crate) struct HandleGuard {
    session: Session,
}

impl HandleGuard {
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }
}

impl std::fmt::Debug for HandleGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandleGuard")
    }
}

impl Drop for HandleGuard {
    fn drop(&mut self) {
        let handles = &self.session.inner.open_handles;
        handles.fetch_sub(1, Ordering::Relaxed);
    }
}
