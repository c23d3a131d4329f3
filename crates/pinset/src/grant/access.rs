//! Which roots a session may ask for (I10).

use std::{fmt, pin::Pin, sync::Arc};

use crate::{error::Error, path::root_cid::RootCid, unixfs::Target};

/// Which roots a session may ask for. There is no default: the embedder decides.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Access {
    /// These roots, and everything below them.
    Roots(Roots),
    /// Any CID. If a guest without network access may ask a node for any CID, it can send data out in the CIDs that it
    /// asks for, and learn which blocks the node holds.
    Any,
    /// The roots that the host's rules allow, and these besides.
    Ruled(Arc<dyn Rules>, Roots),
}

/// The host's own rules about roots, and about what lies below them. They are asked on every walk, so they may change;
/// only open handles stay.
pub trait Rules: fmt::Debug + Send + Sync {
    /// The roots that `/ipfs` lists.
    fn listed(&self) -> &Roots;

    /// Returns whether `root` may be asked for, or `None` if [`ask`](Self::ask) has to decide.
    fn allows(&self, root: &RootCid) -> Option<bool>;

    /// Decides about a root, before anything is looked up below it. The walk waits for it, at most for as long as for a
    /// block, and holds nothing that others wait for. A walk that is given up drops the future.
    fn ask(&self, request: RootRequest) -> Pin<Box<dyn Future<Output = bool> + Send>>;

    /// Returns whether `target`, a root or a node below one, is withheld. Only the node itself counts, not the way that
    /// leads to it.
    fn denies(&self, target: &RootCid) -> bool;
}

/// A root that is about to be looked up, and the way that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RootRequest {
    /// The root, as CIDv1.
    pub root: RootCid,
    /// The path that is being walked, as it was given.
    pub path: String,
    /// The number of symlinks that were followed on the way to the root.
    pub symlinks: usize,
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
            Self::Ruled(rules, mut roots) => {
                roots.insert(root);
                Self::Ruled(rules, roots)
            }
        }
    }

    /// The roots that `/ipfs` lists.
    pub(crate) fn listed(&self) -> Option<&Roots> {
        match self {
            Self::Roots(roots) => Some(roots),
            Self::Any => None,
            Self::Ruled(rules, _) => Some(rules.listed()),
        }
    }

    /// The rules that decide about `root` when they are asked.
    pub(crate) fn asks(&self, root: &RootCid) -> Option<&Arc<dyn Rules>> {
        match self {
            Self::Ruled(rules, _) if rules.allows(root).is_none() => Some(rules),
            Self::Ruled(..) | Self::Roots(_) | Self::Any => None,
        }
    }

    /// Refuses a target that is withheld, wherever it is found.
    pub(crate) fn check(&self, target: &Target) -> Result<(), Error> {
        if let Self::Ruled(rules, _) = self {
            let root = RootCid::of(target);
            if rules.denies(&root) {
                return Err(Error::NotGranted { root });
            }
        }
        Ok(())
    }

    /// Returns whether the session may ask for `root`, as far as that is known without [asking](Rules::ask).
    pub fn allows(&self, root: &RootCid) -> bool {
        match self {
            Self::Roots(roots) => roots.contains(root),
            Self::Any => true,
            Self::Ruled(rules, roots) => roots.contains(root) || rules.allows(root) == Some(true),
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
