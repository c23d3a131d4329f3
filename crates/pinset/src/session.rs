//! One guest's view of a pinset: which roots it may ask for (I10), and how much of everything (I9).
//!
//! A session knows no wasm. Every node that a walk yields carries its session, so that no read can be made
//! without its limits.

use std::{collections::BTreeMap, sync::Arc};

use pinner_api::Origin;

use crate::{
    error::Error,
    fetch::engine::{Ask, Engine},
    grant::{
        access::Access,
        allowance::{Allowance, Limits},
    },
    path::{fixed_name::FixedName, root_cid::RootCid, walked::Walked},
    sync::{Mutex, lock},
};

/// One guest's view of a pinset. Cheap to clone; all clones share its limits.
#[derive(Clone)]
pub struct Session {
    inner: Arc<SessionInner>,
}

struct SessionInner {
    engine: Arc<Engine>,
    access: Access,
    /// What `/ipns` shows, by name. Nothing changes it.
    names: BTreeMap<Box<str>, Arc<FixedName>>,
    allowance: Arc<Allowance>,
    /// The root that was named last, if it was granted: a guest names the same one again and again.
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
        }
    }

    /// The names that were granted, in their order.
    pub fn names(&self) -> impl Iterator<Item = &FixedName> {
        self.inner.names.values().map(|fixed| &**fixed)
    }

    pub(crate) fn fixed_name(&self, name: &str) -> Option<&Arc<FixedName>> {
        self.inner.names.get(name)
    }

    /// The limits that were set.
    pub fn limits(&self) -> &Limits {
        self.inner.allowance.limits()
    }

    /// Which roots may be asked for.
    pub fn access(&self) -> &Access {
        &self.inner.access
    }

    /// Bytes fetched from the backend for this session so far.
    pub fn fetched_bytes(&self) -> u64 {
        self.inner.allowance.fetched_bytes()
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.inner.engine
    }

    pub(crate) fn allowance(&self) -> &Arc<Allowance> {
        &self.inner.allowance
    }

    /// Asks for blocks within this session's allowance, as parts of what is at `origin`.
    pub(crate) fn ask<'a>(&'a self, origin: &'a Origin) -> Ask<'a> {
        Ask {
            allowance: &self.inner.allowance,
            origin,
        }
    }

    pub(crate) fn walked(&self) -> &Walked {
        &self.inner.walked
    }

    /// The CID that `name` is, where the session may ask for it: below `/ipfs`, the first segment.
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
        *lock(&self.inner.last_root) = Some((name.into(), root));
        Ok(Some(root))
    }
}
