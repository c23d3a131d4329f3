//! The two ways in which guests use one host's pinset: shared or isolated.

use std::sync::Arc;

use cid::{Cid, multihash::Multihash};
use pinner_api::{Holder, Origin};
use tracing::{Instrument, field::Empty};

use crate::{
    block::{cid_of, target_of},
    error::Error,
    fetch::engine::Engine,
    grant::{access::Access, allowance::Limits},
    host::{fix::fix, stats::Stats},
    path::{
        fixed_name::FixedName,
        ipfs_path::{IpfsPath, Symlinks},
        name::{ContentPath, IpnsName},
        root_cid::RootCid,
    },
    pins::ensure::EnsuredPin,
    read::node::Node,
    session::Session,
    task,
    unixfs::{Codec, Target},
    whole::{
        materialize,
        prefetch::{self, Fetched},
        progress::Progress,
        stream::ContentStream,
    },
};

/// One pinset for all guests of a host. A block that one guest fetched is there for the others.
#[derive(Debug)]
pub struct PinsetCache {
    engine: Arc<Engine>,
}

/// One guest's own pinset, with its own holder and its own staging. It shares nothing with other pinsets, so a guest
/// cannot tell from the duration of a read whether another guest has read the same block.
///
/// Isolated pinsets that share a [`Budget`](crate::Budget) have equal shares of it, whatever their guests do. A guest
/// can tell from its share how many pinsets there are, but learns nothing of their content. A new pinset makes the
/// shares of the others smaller at once.
///
/// # Limits of the isolation
/// All pinsets share whatever lies outside this library: the backend's own store and connections, the disk and the
/// processor. An IPFS node keeps the blocks that it fetches, so it returns a block faster if a neighbour has fetched
/// it. A guest that must not be able to tell that either needs a node of its own. The node's owner sees each holder's
/// pins and each request. Other processes of the same user see the lock directory, with a name for each pinset and the
/// sizes of its staged blocks.
///
/// # Cost
/// Descriptors: three, and one for each of up to ten size classes of blocks that it has staged. Memory: up to
/// [`in_flight_bytes`](crate::PinsetBuilder::in_flight_bytes) and
/// [`node_cache_bytes`](crate::PinsetBuilder::node_cache_bytes), which are limits for this pinset alone, and blocks
/// that found no room in staging, of which it keeps as many bytes as it may stage, at least 2 MiB and at most 8 MiB; a
/// few kilobytes when it is idle. It has no thread of its own, and no task while nothing is in progress. For a thousand
/// pinsets, set these limits lower than for one, and the process's limit of descriptors (`ulimit -n`) higher. If no
/// descriptors are left, blocks are served from memory.
#[derive(Clone, Debug)]
pub struct IsolatedPinset {
    engine: Arc<Engine>,
}

impl PinsetCache {
    pub(crate) fn new(engine: Engine) -> Self {
        let engine = Arc::new(engine);
        Self { engine }
    }
}

impl IsolatedPinset {
    pub(crate) fn new(engine: Engine) -> Self {
        let engine = Arc::new(engine);
        Self { engine }
    }
}

/// A position in the list of staged blocks ([`CacheMode::staged`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedCursor(usize);

impl Default for StagedCursor {
    fn default() -> Self {
        Self(usize::MAX)
    }
}

/// The embedder's handle of a pinset, which is shared by all guests of the host, or isolated for one.
///
/// Cheap to clone; all clones are the same pinset.
#[derive(Clone, Debug)]
pub enum CacheMode {
    /// All guests share one pinset.
    Shared(Arc<PinsetCache>),
    /// The pinset is one guest's alone.
    Isolated(IsolatedPinset),
}

impl From<Arc<PinsetCache>> for CacheMode {
    fn from(cache: Arc<PinsetCache>) -> Self {
        Self::Shared(cache)
    }
}

impl From<IsolatedPinset> for CacheMode {
    fn from(pinset: IsolatedPinset) -> Self {
        Self::Isolated(pinset)
    }
}

impl CacheMode {
    fn engine(&self) -> &Arc<Engine> {
        match self {
            Self::Shared(cache) => &cache.engine,
            Self::Isolated(pinset) => &pinset.engine,
        }
    }

    /// Returns a session for one guest, with access to these roots, and with these limits.
    pub fn session(&self, access: Access, limits: Limits) -> Session {
        self.session_with_names(access, limits, [])
    }

    /// Like [`session`](Self::session), with these names as links in its [`/ipns`](Session::names_root). The session
    /// may read their targets: each by its own CID, not through the directories above it.
    pub fn session_with_names(
        &self,
        access: Access,
        limits: Limits,
        names: impl IntoIterator<Item = FixedName>,
    ) -> Session {
        Session::new(self.engine().clone(), access, limits, names)
    }

    /// Asks the backend for the path that `name` stands for now, and walks it to find the CID of the target. The result
    /// stays the same when the name changes later.
    ///
    /// The backend chooses the CID, and its choice cannot be verified. The blocks below the CID are verified as usual.
    ///
    /// # Errors
    /// [`Error::NoNames`] if the backend does not resolve names; [`Error::Name`]; the errors of [`open`](Self::open) if
    /// the target cannot be loaded.
    pub async fn fix(&self, name: &IpnsName) -> Result<FixedName, Error> {
        fix(&self.host(), name).await
    }

    /// Returns the immutable path that `path` stands for now. An immutable path is returned as it is; a name is
    /// resolved as in [`fix`](Self::fix).
    ///
    /// # Errors
    /// As [`fix`](Self::fix).
    pub async fn resolve(&self, path: &ContentPath) -> Result<IpfsPath, Error> {
        match path {
            ContentPath::Ipfs(path) => Ok(path.clone()),
            ContentPath::Ipns(path) => self.fix(path.name()).await?.join(path.rest()),
        }
    }

    /// Returns the host's own session, with access to any root and the default limits.
    fn host(&self) -> Session {
        self.session(Access::Any, Limits::default())
    }

    /// Opens `/ipfs/<CID>/a/b` for the host, which may read any root. Symlinks are followed.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open(&self, path: &IpfsPath) -> Result<Node, Error> {
        self.host().open(path).await
    }

    /// Pins the whole DAG below `cid`, and returns once the backend has all of it.
    ///
    /// Concurrent callers share one call to the backend and its result, also if it fails. Dropping the future cancels
    /// the pin if nobody else waits for it. The pin is kept until replacement releases it for another whole pin, or
    /// until [`close`](Self::close).
    ///
    /// # Errors
    /// [`Error::OverBudget`], before anything is pinned, if the root declares more than the budget; [`Error::Pin`]; the
    /// errors of fetching the root's block.
    pub async fn ensure(&self, cid: &Cid) -> Result<(), Error> {
        self.pin(cid).await?.keep()
    }

    /// Pins the whole DAG below `cid` as [`ensure`](Self::ensure) does, and returns a guard: the pin is kept as long as
    /// the guard exists, and released in the background when it is dropped.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure).
    pub async fn pin(&self, cid: &Cid) -> Result<EnsuredPin, Error> {
        let engine = self.engine();
        engine.ensure_open()?;
        let session = self.host();
        let (target, origin) = (target_of(cid), Origin::root(*cid));
        let ask = session.ask(&origin);
        let declared_bytes = match target.codec() {
            Codec::Raw => engine.obtain(&target, ask).await?.len() as u64,
            Codec::DagPb | Codec::Other(_) => {
                let held = engine.obtain(&target, ask).await?;
                let decoded = engine.decode(&target, &held).await?;
                decoded.node.declared_size(held.len() as u64)
            }
        };
        engine.pins.ensure(&cid_of(&target), declared_bytes).await
    }

    /// Returns a file's whole content as a stream: verified, in order, in pieces of at most 256 KiB. The stream ends
    /// after an error.
    pub fn fetch(&self, cid: &Cid) -> ContentStream {
        self.fetch_path(&IpfsPath::root(*cid))
    }

    /// Like [`fetch`](Self::fetch), for the file at `path`.
    pub fn fetch_path(&self, path: &IpfsPath) -> ContentStream {
        ContentStream::new(self.host(), path.clone())
    }

    /// Fetches every block of the DAG below `path` into staging, as far as the budget has room for them.
    ///
    /// # Errors
    /// The errors of the walk and of fetching. Blocks that were fetched before the error stay.
    pub async fn prefetch(
        &self,
        path: &IpfsPath,
        progress: &dyn Progress,
    ) -> Result<Fetched, Error> {
        self.prefetch_within(&self.host(), path, progress).await
    }

    async fn prefetch_within(
        &self,
        session: &Session,
        path: &IpfsPath,
        progress: &dyn Progress,
    ) -> Result<Fetched, Error> {
        let node = session.open(path).await?;
        let target = match &node {
            Node::File(file) => Some(file.target()),
            Node::Dir(dir) => dir.target(),
            Node::Symlink(_) => None,
        };
        let Some(target) = target else {
            return Ok(Fetched::default());
        };
        let origin = path.origin();
        let cid = RootCid::of(target);
        let span = tracing::debug_span!("prefetch", %cid, blocks = Empty, bytes = Empty);
        let fetched = prefetch::prefetch(session, target.clone(), &origin, progress);
        let fetched = fetched.instrument(span.clone()).await?;
        span.record("blocks", fetched.blocks);
        span.record("bytes", fetched.bytes);
        Ok(fetched)
    }

    /// Returns whether every block of the DAG below `path` is on this host. Blocks that were not verified in this run are
    /// verified for it. Nothing is fetched, and no use is counted.
    ///
    /// # Errors
    /// The errors of the walk, except that something is missing.
    pub async fn is_complete(&self, path: &IpfsPath) -> Result<bool, Error> {
        let session = self.host().offline();
        match self.prefetch_within(&session, path, &()).await {
            Ok(_) => Ok(true),
            Err(Error::NotCached { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts a block into the cache, from wherever the host has it. The bytes are hashed first, whatever their source.
    /// Returns whether the block found room; if not, it is not kept.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes do not hash to `cid`; [`Error::Unsupported`]; [`Error::Closed`].
    pub async fn put(
        &self,
        cid: &Cid,
        bytes: impl Into<bytes::Bytes> + Send,
    ) -> Result<bool, Error> {
        match target_of(cid) {
            Target::Block(cid) => self.engine().put(cid, bytes.into()).await,
            // The block lies in its CID.
            Target::Inline { .. } => Ok(true),
        }
    }

    /// Returns the multihashes of staged blocks, in slices of at most `most`, and the cursor of the next slice. The first
    /// call takes [`StagedCursor::default`]. A block that stays is not left out; one that moves may come twice.
    ///
    /// A follower has the blocks that it leases now.
    pub fn staged(
        &self,
        cursor: StagedCursor,
        most: usize,
    ) -> (Vec<Multihash<64>>, Option<StagedCursor>) {
        let (keys, next) = self.engine().store.keys_from(cursor.0, most);
        (keys, next.map(StagedCursor))
    }

    /// Evicts a staged block, unless somebody is reading it, here or in another process. Returns whether it was evicted.
    /// Its decoded node may stay in memory for a while.
    ///
    /// # Errors
    /// [`Error::Closed`] if the runtime has ended.
    pub async fn evict(&self, cid: &Cid) -> Result<bool, Error> {
        let (store, key) = (self.engine().store.clone(), *cid.hash());
        task::blocking(move || Ok(store.evict(&key))).await
    }

    /// Evicts all blocks that are staged now. Blocks that are being read go when their readers are done. A block that is
    /// fetched meanwhile is staged as usual, and pins stay.
    ///
    /// # Errors
    /// [`Error::Closed`] if the runtime has ended.
    pub async fn clear(&self) -> Result<(), Error> {
        let store = self.engine().store.clone();
        task::blocking(move || {
            store.clear();
            Ok(())
        })
        .await
    }

    /// Copies the file or tree at `path` to `dest/name`, which must not exist. A symlink at the end of the path is
    /// followed; symlinks in the tree are copied as symlinks. After an error, or when the future is dropped, the copy
    /// is removed.
    ///
    /// # Errors
    /// The errors of the walk and of fetching; [`Error::Write`].
    pub async fn materialize(
        &self,
        path: &IpfsPath,
        dest: &cap_std::fs::Dir,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let session = self.host();
        let node = session.open(path).await?;
        materialize::materialize(&session, node, dest, name, progress).await
    }

    /// Opens the node at `path`, for its CID and metadata, of which only its own block tells the truth. A symlink at the
    /// end is not followed.
    ///
    /// # Errors
    /// As [`Session::open_at`].
    pub async fn stat(&self, path: &IpfsPath) -> Result<Node, Error> {
        self.host().open_below(path, Symlinks::NoFollow).await
    }

    /// Runs `work`, a call of this pinset or several, to its end, and blocks the current thread meanwhile: for code that
    /// is not async. The pinset's own work goes on in the runtime in which the pinset was made, which must be one with
    /// threads of its own.
    ///
    /// # Errors
    /// [`Error::Closed`] if the pinset was made without a runtime.
    ///
    /// # Panics
    /// On a thread that drives async tasks, as `tokio::runtime::Handle::block_on` does.
    pub fn block_on<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let done = self.engine().runtime.block_on(work);
        done.unwrap_or(Err(Error::Closed))
    }

    /// Returns the holder of this pinset's pins.
    pub fn holder(&self) -> Holder {
        self.engine().pins.holder()
    }

    /// Returns the directory in which the blocks are staged, for messages. Its content belongs to this library.
    pub fn staging_dir(&self) -> std::path::PathBuf {
        self.engine().store.path().to_owned()
    }

    /// Returns the statistics of this pinset.
    pub fn stats(&self) -> Stats {
        Stats::of(self.engine())
    }

    /// Returns a publisher of [`stats`](Self::stats) with these labels, through the `metrics` facade, to the recorder
    /// that is installed now.
    #[cfg(feature = "metrics")]
    pub fn metrics(&self, labels: impl ::metrics::IntoLabels) -> crate::metrics::Metrics {
        crate::metrics::Metrics::new(self.engine(), labels)
    }

    /// Closes the pinset: releases the pins and empties staging, except a
    /// [persistent](crate::PinsetBuilder::staging) directory. Every later call fails with [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Pin`] if a pin could not be released. The next start on the same lock directory finds it.
    pub async fn close(&self) -> Result<(), Error> {
        self.engine().close().await
    }
}
