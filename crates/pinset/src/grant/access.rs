//! Which roots a session may ask for (I10).

use std::collections::HashSet;

use crate::path::root_cid::RootCid;

/// Which roots a session may ask for. There is no default: whoever embeds decides.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Access {
    /// These roots, and what lies below them.
    Roots(HashSet<RootCid>),
    /// Any CID. A guest without network that may ask a node for any CID can send data out in what it asks for,
    /// and learn what the node holds.
    Any,
}

impl Access {
    /// No root. What a host mounts or grants by name can be read all the same.
    pub fn none() -> Self {
        Self::Roots(HashSet::new())
    }

    /// These roots, and what lies below them. CIDv0 and CIDv1 of one block are one root.
    pub fn roots(roots: impl IntoIterator<Item = impl Into<RootCid>>) -> Self {
        let roots = roots.into_iter().map(|root| root.into().canonical());
        Self::Roots(roots.collect())
    }

    /// With `root` as well.
    pub(crate) fn with(self, root: RootCid) -> Self {
        match self {
            Self::Roots(mut roots) => {
                roots.insert(root.canonical());
                Self::Roots(roots)
            }
            Self::Any => Self::Any,
        }
    }

    /// Whether `root` may be asked for.
    pub fn allows(&self, root: &RootCid) -> bool {
        match self {
            Self::Roots(roots) => roots.contains(root) || roots.contains(&root.canonical()),
            Self::Any => true,
        }
    }
}
