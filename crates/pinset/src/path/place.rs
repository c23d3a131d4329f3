//! Places in the tree that guests see: what a path names, before anybody has looked at it.
//!
//! A place knows what its link says, and nothing of what stands there.

use std::sync::Arc;

use bytes::Bytes;
use pinner_api::{Origin, PinnerError};

use crate::{
    block::cid_of,
    error::Error,
    metadata::Identity,
    path::{fixed_name::FixedName, root_cid::RootCid},
    unixfs::{Codec, Link, Target},
};

/// Where a walk stands: `/ipfs` or `/ipns` itself, a name in the latter, or what a link names.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// `/ipfs`: the directory of all roots.
    Ipfs,
    /// `/ipns`: the directory of the names that were granted.
    Ipns,
    /// A name in it: a link into `/ipfs`.
    Name(Arc<FixedName>),
    /// Something with a CID.
    Link(Arc<Linked>),
}

/// What a link names.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) link: Link,
    pub(crate) origin: Origin,
    /// Whether this is the path's first CID.
    pub(crate) is_root: bool,
}

impl Linked {
    pub(crate) fn is_raw(&self) -> bool {
        self.link.target.codec() == Codec::Raw
    }

    /// An absence is one of the path's only where it is the root that is absent: below it, a block is missing (I7).
    pub(crate) fn unknown_if_root(&self, error: Error) -> Error {
        match error {
            Error::Fetch {
                cid,
                source: PinnerError::NotFound { .. },
            } if self.is_root => Error::RootNotFound { cid },
            other => other,
        }
    }
}

impl Place {
    pub(crate) fn of_root(root: &RootCid) -> Self {
        Self::rooted(root, origin(root, ""))
    }

    pub(crate) fn of_name(fixed: &FixedName) -> Self {
        Self::rooted(fixed.target(), fixed.origin())
    }

    /// What `link` names, an entry `name` of what is at `above`.
    pub(crate) fn below(above: &Origin, name: &str, mut link: Link) -> Self {
        if let Target::Inline { bytes, .. } = &mut link.target {
            // A part of the directory's block, which as long as it lives keeps all of that in memory (I9).
            *bytes = Bytes::copy_from_slice(bytes);
        }
        let path: Arc<str> = match &*above.path {
            "" => name.into(),
            above => format!("{above}/{name}").into(),
        };
        Self::Link(Arc::new(Linked {
            link,
            origin: Origin::new(above.root, path),
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

/// What is asked for as parts of what is at `rest` below `root`. (A backend is told the first 64 bytes of an identity
/// CID that is longer. It cannot have a block under it.)
pub(crate) fn origin(root: &RootCid, rest: &str) -> Origin {
    let root = root.cid().unwrap_or_else(|| cid_of(&root.target()));
    Origin::new(root, rest)
}

#[cfg(test)]
mod tests {
    use cid::Cid;

    use super::*;

    #[test]
    fn an_entry_keeps_no_block_of_its_directory() {
        let block = Bytes::from(vec![7; 2 << 20]);
        let link = Link {
            target: Target::Inline {
                codec: Codec::Raw,
                bytes: block.slice(100..104),
            },
            tsize: None,
        };
        let place = Place::below(&Origin::root(Cid::default()), "entry", link);
        assert!(block.is_unique(), "{place:?}");
    }
}
