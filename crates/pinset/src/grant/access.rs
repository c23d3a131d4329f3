//! Which roots a session may ask for (I10).

use crate::path::root_cid::RootCid;

/// Which roots a session may ask for. There is no default: the embedder decides.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Access {
    /// These roots, and everything below them.
    Roots(Roots),
    /// Any CID. If a guest without network access may ask a node for any CID, it can send data out in the CIDs that it
    /// asks for, and learn which blocks the node holds.
    Any,
}

impl Access {
    /// Allows no root. Mounts and granted names can still be read.
    pub fn none() -> Self {
        Self::Roots(Roots::default())
    }

    /// Allows these roots, and everything below them. CIDv0 and CIDv1 of one block are one root.
    pub fn roots(roots: impl IntoIterator<Item = impl Into<RootCid>>) -> Self {
        Self::Roots(roots.into_iter().collect())
    }

    /// Adds `root`.
    pub(crate) fn with(self, root: RootCid) -> Self {
        match self {
            Self::Roots(mut roots) => {
                roots.insert(root);
                Self::Roots(roots)
            }
            Self::Any => Self::Any,
        }
    }

    /// Returns whether the session may ask for `root`.
    pub fn allows(&self, root: &RootCid) -> bool {
        match self {
            Self::Roots(roots) => roots.contains(root),
            Self::Any => true,
        }
    }
}

/// A set of roots. A CIDv0 and the same CID as CIDv1 are one root of it, which it names as CIDv1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// Canonical, sorted, each once.
    sorted: Vec<RootCid>,
}

impl Roots {
    /// Returns whether `root` is in the set, in whichever of its forms.
    pub fn contains(&self, root: &RootCid) -> bool {
        self.sorted.binary_search(&root.canonical()).is_ok()
    }

    /// The roots, sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RootCid> {
        self.sorted.iter()
    }

    fn insert(&mut self, root: RootCid) {
        let root = root.canonical();
        if let Err(at) = self.sorted.binary_search(&root) {
            self.sorted.insert(at, root);
        }
    }
}

impl<R: Into<RootCid>> FromIterator<R> for Roots {
    fn from_iter<I: IntoIterator<Item = R>>(roots: I) -> Self {
        let canonical = roots.into_iter().map(|root| root.into().canonical());
        let mut sorted: Vec<_> = canonical.collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self { sorted }
    }
}

#[cfg(test)]
mod tests {
    use cid::Cid;
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;

    #[test]
    fn both_forms_of_a_cid_are_one_root_however_it_was_granted() {
        let hash = Code::Sha2_256.digest(b"block");
        let v0 = RootCid::from(Cid::new_v0(hash).unwrap());
        let v1 = RootCid::from(Cid::new_v1(0x70, hash));
        let other = RootCid::from(Cid::new_v1(0x55, hash));
        let both = [v0, v1];
        let alone = Access::Roots([v0].into_iter().collect());
        for access in [
            alone,
            Access::roots([v0]),
            Access::roots([v1]),
            Access::roots(both),
            Access::none().with(v0).with(v1),
        ] {
            assert!(access.allows(&v0) && access.allows(&v1), "{access:?}");
            assert!(!access.allows(&other), "{access:?}");
            let Access::Roots(roots) = access else {
                panic!("they are roots");
            };
            assert_eq!(roots.iter().collect::<Vec<_>>(), [&v1]);
        }
        assert!(!Access::none().allows(&v1) && Access::Any.allows(&v1));
    }
}
