//! Which roots a session may ask for (I10).

use std::collections::HashSet;

use cid::Cid;

use crate::block::canonical;

/// Which roots a session may ask for. There is no default: the embedder decides.
#[derive(Clone, Debug)]
pub enum Access {
    /// These roots, and everything below them.
    Roots(HashSet<Cid>),
    /// Any CID. If a guest without network access may ask a node for any CID, it can send data out in the CIDs that it
    /// asks for, and learn which blocks the node holds.
    Any,
}

impl Access {
    /// Allows these roots, and everything below them. CIDv0 and CIDv1 of one block are one root.
    pub fn roots(roots: impl IntoIterator<Item = Cid>) -> Self {
        Self::Roots(roots.into_iter().map(canonical).collect())
    }

    /// Adds `root`.
    pub(crate) fn with(self, root: Cid) -> Self {
        match self {
            Self::Roots(mut roots) => {
                roots.insert(canonical(root));
                Self::Roots(roots)
            }
            Self::Any => Self::Any,
        }
    }

    /// Returns whether the session may ask for `root`.
    pub fn allows(&self, root: &Cid) -> bool {
        match self {
            Self::Roots(roots) => roots.contains(root) || roots.contains(&canonical(*root)),
            Self::Any => true,
        }
    }
}
