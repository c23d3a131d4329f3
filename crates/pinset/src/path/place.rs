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

/// The target of a link.
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
}

impl Place {
    pub(crate) fn of_root(root: &RootCid) -> Self {
        Self::rooted(root, IpfsPath::from(*root).origin())
    }

    pub(crate) fn of_name(fixed: &FixedName) -> Self {
        Self::rooted(fixed.target(), fixed.origin())
    }

    /// Returns the place that `link` names. The link is the entry `name` of the directory at `above`.
    pub(crate) fn below(above: &Origin, name: &str, mut link: Link) -> Self {
        if let Target::Inline { bytes, .. } = &mut link.target {
            // A slice of the directory's block would keep the whole block in memory (I9).
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
