//! One guest's view of a pinset: which roots it may ask for (I10), and its limits (I9).
//!
//! A session knows nothing of wasm. Every node that a walk yields carries its session, so that no read escapes its
//! limits.

use std::{collections::BTreeMap, sync::Arc};

use pinner_api::Origin;

use crate::{
    error::Error,
    fetch::{
        ask::{Ask, Rank},
        engine::Engine,
    },
    grant::{
        access::Access,
        allowance::{Allowance, KeptHandle, Limits},
    },
    path::{fixed_name::FixedName, root_cid::RootCid, walked::Walked},
    sync::{Mutex, lock},
};

/// One guest's view of a pinset. Cheap to clone; all clones share its limits.
#[derive(Clone)]
pub struct Session {
    inner: Arc<SessionInner>,
    /// Whether the backend is left alone.
    offline: bool,
}

/// The work of one session since it began, and what it holds now. All sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Open files, directories and listings.
    pub open_handles: usize,
    /// The memory that is kept for the session's open streams and files.
    pub memory_bytes: u64,
    /// Blocks that were fetched for it. A block counts for each session that waited for it.
    pub fetched_blocks: u64,
    /// The bytes of these blocks.
    pub fetched_bytes: u64,
    /// Bytes of files returned to it.
    pub served_bytes: u64,
}

struct SessionInner {
    engine: Arc<Engine>,
    access: Access,
    /// The entries of `/ipns`, by name. They never change.
    names: BTreeMap<Box<str>, Arc<FixedName>>,
    allowance: Arc<Allowance>,
    /// The last root that the guest named and that was granted. A guest names the same root again and again.
    last_root: Mutex<Option<(Box<str>, RootCid)>>,
    walked: Walked,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("access", &self.inner.access)
            .field("names", &self.inner.names)
            .field("limits", self.limits())
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
            access,
            names,
            allowance: Arc::new(Allowance::new(limits)),
            last_root: Mutex::default(),
            walked: Walked::default(),
        };
        Self {
            inner: Arc::new(inner),
            offline: false,
        }
    }

    /// Returns the same session without the backend: whatever it opens and reads comes from this host, and a block that
    /// is missing here is [`Error::NotCached`]. Its files and directories stay offline. Limits and counts are shared.
    pub fn offline(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            offline: true,
        }
    }

    /// Ends the session: from now on, whatever its clones and its open files would open, fetch or read from staging fails
    /// with [`Error::Closed`]. The pinset and other sessions are not affected.
    pub fn close(&self) {
        self.inner.allowance.close();
    }

    /// The session's figures at this moment.
    pub fn stats(&self) -> SessionStats {
        let allowance = &self.inner.allowance;
        let (open_handles, memory_bytes) = allowance.held();
        let (fetched_blocks, fetched_bytes, served_bytes) = allowance.done();
        SessionStats {
            open_handles,
            memory_bytes,
            fetched_blocks,
            fetched_bytes,
            served_bytes,
        }
    }

    /// The granted names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &FixedName> {
        self.inner.names.values().map(|fixed| &**fixed)
    }

    pub(crate) fn fixed_name(&self, name: &str) -> Option<&Arc<FixedName>> {
        self.inner.names.get(name)
    }

    /// The session's limits.
    pub fn limits(&self) -> &Limits {
        self.inner.allowance.limits()
    }

    /// The roots that the session may ask for.
    pub fn access(&self) -> &Access {
        &self.inner.access
    }

    /// Returns whether the session's access may change. Then no path may be remembered.
    pub(crate) fn has_rules(&self) -> bool {
        matches!(self.access(), Access::Ruled(..))
    }

    /// The number of bytes fetched from the backend for this session so far.
    pub fn fetched_bytes(&self) -> u64 {
        self.inner.allowance.fetched_bytes()
    }

    /// Counts something that the embedder keeps open for the session, such as a listing of its own, and `bytes` of memory
    /// for it, until the result is dropped.
    ///
    /// # Errors
    /// [`Error::LimitReached`] with too many open handles or too much kept memory, [`Error::Closed`].
    pub fn keep_handle(&self, bytes: u64) -> Result<KeptHandle, Error> {
        self.allowance().keep_handle(bytes)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.inner.engine
    }

    pub(crate) fn allowance(&self) -> &Arc<Allowance> {
        &self.inner.allowance
    }

    /// Returns an [`Ask`] for blocks that are part of the node at `origin`, within this session's allowance.
    pub(crate) fn ask<'a>(&'a self, origin: &'a Origin) -> Ask<'a> {
        Ask {
            allowance: &self.inner.allowance,
            origin,
            rank: Rank::Demand,
            expected: None,
            offline: self.offline,
        }
    }

    pub(crate) fn walked(&self) -> &Walked {
        &self.inner.walked
    }

    /// Parses `name`, the first segment below `/ipfs`, as a CID that the session may ask for. Returns `None` if it is
    /// not a CID.
    pub(crate) fn granted_root(&self, name: &str) -> Result<Option<RootCid>, Error> {
        if let Some((last, root)) = &*lock(&self.inner.last_root)
            && **last == *name
        {
            return Ok(Some(*root));
        }
        let Ok(root) = RootCid::parse(name) else {
            return Ok(None);
        };
        if !self.access().allows(&root) {
            return Err(Error::NotGranted { root });
        }
        if !self.has_rules() {
            *lock(&self.inner.last_root) = Some((name.into(), root));
        }
        Ok(Some(root))
    }
}
