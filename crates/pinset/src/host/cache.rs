//! Shared or isolated: the two ways in which guests use one host's pinset.

use std::sync::Arc;

use cid::Cid;
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
        place,
        root_cid::RootCid,
    },
    read::node::Node,
    session::Session,
    unixfs::Codec,
    whole::{
        materialize,
        prefetch::{self, Fetched},
        progress::Progress,
        stream::ContentStream,
    },
};

/// One pinset for all guests of a host: what one has fetched, the others find.
#[derive(Debug)]
pub struct PinsetCache {
    engine: Arc<Engine>,
}

/// One guest's own pinset: own holder, own staging, nothing shared, so that no guest can tell by the time a read
/// takes what another has read.
///
/// Isolated pinsets that share a [`Budget`](crate::Budget) have equal shares of it, whatever their guests do: a guest
/// can tell how many there are, from what it may stage, and nothing of what is in them. A new one makes the others'
/// shares smaller, at once.
///
/// # What is not hidden
/// What lies outside this library is one for all: the backend's own store and connections, the disk and the processor.
/// A block that a neighbour has fetched comes faster out of an IPFS node, which keeps it: who must not be able to tell
/// that either needs a node of its own. The node's owner sees each holder's pins and each request; other processes of
/// the same user see the lock directory, with a name for each pinset and the sizes of what it has staged.
///
/// # What one costs
/// Descriptors: three, and one for each of up to ten sizes of blocks that it has staged. Memory: what its guest makes
/// of [`in_flight_bytes`](crate::PinsetBuilder::in_flight_bytes) and
/// [`node_cache_bytes`](crate::PinsetBuilder::node_cache_bytes), which are limits for this one pinset, and blocks that
/// found no room in staging, of which it keeps as many bytes as it may stage, at least 2 MiB and at most 8 MiB; a few
/// kilobytes when it does nothing. It has no thread of its own, and no task
/// while nothing is under way. For a thousand, set these limits lower than for one, and the process's limit of
/// descriptors (`ulimit -n`) higher: where none are left, blocks are served from memory.
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

/// A pinset, as an embedder holds it: shared by all guests of the host, or isolated for one.
///
/// Cheap to clone; all clones are one pinset.
#[derive(Clone, Debug)]
pub enum CacheMode {
    /// Together.
    Shared(Arc<PinsetCache>),
    /// One guest alone.
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

    /// What one guest gets: these roots, within these limits.
    pub fn session(&self, access: Access, limits: Limits) -> Session {
        self.session_with_names(access, limits, [])
    }

    /// As [`session`](Self::session), with these names as links in its [`/ipns`](Session::names_root). What they
    /// lead to is granted: by its own CID, and not by what is above it.
    pub fn session_with_names(
        &self,
        access: Access,
        limits: Limits,
        names: impl IntoIterator<Item = FixedName>,
    ) -> Session {
        Session::new(self.engine().clone(), access, limits, names)
    }

    /// Asks the backend what `name` stands for now, and finds the CID of what is there. The answer does not change
    /// any more, whatever becomes of the name.
    ///
    /// Which CID it is is the backend's word, which cannot be verified; what is below it is verified as ever.
    ///
    /// # Errors
    /// [`Error::NoNames`] where the backend resolves none; [`Error::Name`]; those of [`open`](Self::open) where what
    /// it stands for cannot be had.
    pub async fn fix(&self, name: &IpnsName) -> Result<FixedName, Error> {
        fix(&self.host(), name).await
    }

    /// The immutable path that `path` stands for now: itself, or what is below its name, which is asked for as in
    /// [`fix`](Self::fix).
    ///
    /// # Errors
    /// As [`fix`](Self::fix).
    pub async fn resolve(&self, path: &ContentPath) -> Result<IpfsPath, Error> {
        match path {
            ContentPath::Ipfs(path) => Ok(path.clone()),
            ContentPath::Ipns(path) => self.fix(path.name()).await?.join(path.rest()),
        }
    }

    /// The host's own session: any root, no limits beyond the defaults.
    fn host(&self) -> Session {
        self.session(Access::Any, Limits::default())
    }

    /// Opens `/ipfs/<CID>/a/b` for the host: any root. Symlinks are followed.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open(&self, path: &IpfsPath) -> Result<Node, Error> {
        self.host().open(path).await
    }

    /// Pins the whole DAG below `cid`; returns once the backend has all of it.
    ///
    /// Concurrent callers share one call to the backend and one answer, failures too. Dropping the future cancels
    /// the pin when nobody else waits for it. The pin is kept until replacement lets it go, or until
    /// [`close`](Self::close).
    ///
    /// # Errors
    /// [`Error::OverBudget`] before anything is pinned, where the root declares more than the budget;
    /// [`Error::Pin`]; those of fetching the root's block.
    pub async fn ensure(&self, cid: &Cid) -> Result<(), Error> {
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

    /// A file's whole content, verified, in order, in pieces of at most 256 KiB; nothing after an error.
    pub fn fetch(&self, cid: &Cid) -> ContentStream {
        self.fetch_path(&IpfsPath::root(*cid))
    }

    /// The content of the file at `path`, as [`fetch`](Self::fetch).
    pub fn fetch_path(&self, path: &IpfsPath) -> ContentStream {
        ContentStream::new(self.host(), path.clone())
    }

    /// Fetches every block of the DAG below `path` into staging, as far as the budget keeps them.
    ///
    /// # Errors
    /// Those of the walk and of fetching; what was fetched until then stays.
    pub async fn prefetch(
        &self,
        path: &IpfsPath,
        progress: &dyn Progress,
    ) -> Result<Fetched, Error> {
        let session = self.host();
        let node = session.open(path).await?;
        let target = match &node {
            Node::File(file) => Some(file.target()),
            Node::Dir(dir) => dir.target(),
            // coverage: symlinks were followed.
            Node::Symlink(_) => None,
        };
        let Some(target) = target else {
            return Ok(Fetched::default());
        };
        let origin = place::origin(path.root_cid(), path.rest());
        let cid = RootCid::of(target);
        let span = tracing::debug_span!("prefetch", %cid, blocks = Empty, bytes = Empty);
        let fetched = prefetch::prefetch(&session, target.clone(), &origin, progress);
        let fetched = fetched.instrument(span.clone()).await?;
        span.record("blocks", fetched.blocks);
        span.record("bytes", fetched.bytes);
        Ok(fetched)
    }

    /// Copies the file or tree at `path` to `dest/name`, which must not be there; a symlink at the end of the
    /// path is followed, those below are copied as they are. After an error, or when the future is dropped, what
    /// was written is removed.
    ///
    /// # Errors
    /// Those of the walk and of fetching; [`Error::Write`].
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

    /// The CID that `path` names, and what is known of it, without fetching the target itself where its link says
    /// enough. A symlink at the end is not followed.
    ///
    /// # Errors
    /// As [`Session::open_at`].
    pub async fn stat(&self, path: &IpfsPath) -> Result<Node, Error> {
        let session = self.host();
        session
            .open_at(&session.root()?, &path.below_ipfs(), Symlinks::NoFollow)
            .await
    }

    /// Who holds this pinset's pins.
    pub fn holder(&self) -> Holder {
        self.engine().pins.holder()
    }

    /// Where the blocks are staged, for messages: what lies there is this library's own.
    pub fn staging_dir(&self) -> std::path::PathBuf {
        self.engine().store.path().to_owned()
    }

    /// What it did so far.
    pub fn stats(&self) -> Stats {
        Stats::of(self.engine())
    }

    /// What [`stats`](Self::stats) says, to be published with these labels through the facade `metrics`, to the
    /// recorder that is installed now.
    #[cfg(feature = "metrics")]
    pub fn metrics(&self, labels: impl ::metrics::IntoLabels) -> crate::metrics::Metrics {
        crate::metrics::Metrics::new(self.engine(), labels)
    }

    /// Ends it: releases the pins and empties staging, but for what lies in a
    /// [persistent](crate::PinsetBuilder::staging) directory. Every later call fails with [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Pin`] where a pin could not be released: the next start on the same lock directory finds it.
    pub async fn close(&self) -> Result<(), Error> {
        self.engine().close().await
    }
}
