//! Which roots a session may ask for (I10).

use std::collections::HashSet;

use crate::path::root_cid::RootCid;

/// Which roots a session may ask for. There is no default: the embedder decides.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Access {
    /// These roots, and everything below them.
    Roots(HashSet<RootCid>),
    /// Any CID. If a guest without network access may ask a node for any CID, it can send data out in the CIDs that it
    /// asks for, and learn which blocks the node holds.
    Any,
}

impl Access {
    /// Allows no root. Mounts and granted names can still be read.
    pub fn none() -> Self {
        Self::Roots(HashSet::new())
    }

    /// Allows these roots, and everything below them. CIDv0 and CIDv1 of one block are one root.
    pub fn roots(roots: impl IntoIterator<Item = impl Into<RootCid>>) -> Self {
        let roots = roots.into_iter().map(|root| root.into().canonical());
        Self::Roots(roots.collect())
    }

    /// Adds `root`.
    pub(crate) fn with(self, root: RootCid) -> Self {
        match self {
            Self::Roots(mut roots) => {
                roots.insert(root.canonical());
                Self::Roots(roots)
            }
            Self::Any => Self::Any,
        }
    }

    /// Returns whether the session may ask for `root`.
    pub fn allows(&self, root: &RootCid) -> bool {
        match self {
            Self::Roots(roots) => roots.contains(root) || roots.contains(&root.canonical()),
            Self::Any => true,
        }
    }
}
