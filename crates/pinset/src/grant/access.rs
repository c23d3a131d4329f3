//! Which roots a session may ask for (I10).

use std::collections::HashSet;

use cid::Cid;

use crate::block::canonical;

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
    pub(crate) fn with(self, root: Cid) -> Self {
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
