//! Places in the tree that guests see: the target of a path, before its block is loaded.
//!
//! A place knows its link, but nothing of the block that the link names.

use std::sync::Arc;

use bytes::Bytes;
use pinner_api::{Origin, PinnerError};

use crate::{
    error::Error,
    metadata::Identity,
    path::{fixed_name::FixedName, ipfs_path::IpfsPath, root_cid::RootCid},
    unixfs::{Codec, Link, Target},
};

/// A position of a walk: `/ipfs` or `/ipns` itself, a name in `/ipns`, or the target of a link.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// `/ipfs`: the directory of all roots.
    Ipfs,
    /// `/ipns`: the directory of the granted names.
    Ipns,
    /// A name in `/ipns`: a symlink into `/ipfs`.
    Name(Arc<FixedName>),
    /// A node with a CID.
    Link(Arc<Linked>),
}

/// The most bytes of an origin's path. Every handle owns its origin, and a guest can go down as deep as it likes, one
/// directory after the other (I9).
const LONGEST_HINT: usize = 4096;

/// The target of a link.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) link: Link,
    /// A hint for the backend. Its path ends at the last segment that fits into [`LONGEST_HINT`] bytes.
    pub(crate) origin: Origin,
    /// Whether the origin's path leads all the way to this target.
    whole: bool,
    /// Whether this is the path's first CID.
    pub(crate) is_root: bool,
}

impl Linked {
    pub(crate) fn is_raw(&self) -> bool {
        self.link.target.codec() == Codec::Raw
    }

    /// Turns the absence of the root's block into [`Error::RootNotFound`]. The absence of a block below the root says
    /// nothing about the path, and stays a failed fetch (I7).
    pub(crate) fn unknown_if_root(&self, error: Error) -> Error {
        match error {
            Error::Fetch {
                cid,
                source: PinnerError::NotFound { .. },
            } if self.is_root => Error::RootNotFound { cid },
            other => other,
        }
    }

    /// Returns the origin of the entry `name` of this directory, and whether its path is whole. A path that would be too
    /// long stays that of the directory, without a copy.
    pub(crate) fn origin_below(&self, name: &str) -> (Origin, bool) {
        let above = &self.origin;
        if !self.whole || above.path.len() + 1 + name.len() > LONGEST_HINT {
            return (above.clone(), false);
        }
        let path: Arc<str> = match &*above.path {
            "" => name.into(),
            path => format!("{path}/{name}").into(),
        };
        (Origin::new(above.root, path), true)
    }
}

impl Place {
    pub(crate) fn of_root(root: &RootCid) -> Self {
        Self::rooted(root, IpfsPath::from(*root).origin())
    }

    pub(crate) fn of_name(fixed: &FixedName) -> Self {
        Self::rooted(fixed.target(), fixed.origin())
    }

    /// Returns the place that `link` names. The link is the entry `name` of the directory `above`.
    pub(crate) fn below(above: &Linked, name: &str, mut link: Link) -> Self {
        if let Target::Inline { bytes, .. } = &mut link.target {
            // A slice of the directory's block would keep the whole block in memory (I9).
            *bytes = Bytes::copy_from_slice(bytes);
        }
        let (origin, whole) = above.origin_below(name);
        Self::Link(Arc::new(Linked {
            link,
            origin,
            whole,
            is_root: false,
        }))
    }

    fn rooted(root: &RootCid, origin: Origin) -> Self {
        Self::Link(Arc::new(Linked {
            link: Link {
                target: root.target(),
                tsize: None,
            },
            origin,
            whole: true,
            is_root: true,
        }))
    }

    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Ipfs => Identity::of_bytes(b"/ipfs"),
            Self::Ipns => Identity::of_bytes(b"/ipns"),
            Self::Name(fixed) => fixed.identity(),
            Self::Link(linked) => match &linked.link.target {
                Target::Block(cid) => Identity::of(cid),
                Target::Inline { bytes, .. } => Identity::of_bytes(bytes),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use cid::Cid;

    use super::*;

    fn link(target: Target) -> Link {
        Link {
            target,
            tsize: None,
        }
    }

    /// Goes from a root down through directories of these names.
    fn down<'n>(names: impl IntoIterator<Item = &'n str>) -> Arc<Linked> {
        let mut place = Place::of_root(&Cid::default().into());
        for name in names {
            let Place::Link(above) = &place else {
                unreachable!("it is below a root");
            };
            place = Place::below(above, name, link(Target::Block(Cid::default())));
        }
        match place {
            Place::Link(linked) => linked,
            other => unreachable!("{other:?} is not below a root"),
        }
    }

    #[test]
    fn an_entry_keeps_no_block_of_its_directory() {
        let block = Bytes::from(vec![7; 2 << 20]);
        let target = Target::Inline {
            codec: Codec::Raw,
            bytes: block.slice(100..104),
        };
        let place = Place::below(&down([]), "entry", link(target));
        assert!(block.is_unique(), "{place:?}");
    }

    #[test]
    fn a_path_that_is_too_long_ends_where_it_was() {
        let long = "x".repeat(LONGEST_HINT - 4);
        assert_eq!(&*down(["a", "b"]).origin.path, "a/b");
        let fits = down(["a", &long, "b"]);
        assert_eq!(fits.origin.path.len(), LONGEST_HINT);
        // A later segment never follows a gap, however short it is.
        let cut = down(["a", &long, "bc", "d", "e"]);
        assert_eq!(*cut.origin.path, format!("a/{long}"));
        assert_eq!(&*down([&*"y".repeat(LONGEST_HINT), "z"]).origin.path, "");
        let deep = down(std::iter::repeat_n("deep", 10_000));
        assert!(deep.origin.path.len() <= LONGEST_HINT);
        assert!(deep.origin.path.ends_with("/deep"));
    }
}
