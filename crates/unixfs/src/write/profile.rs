//! The import parameters: how content is cut into blocks, which decides its CID, and the named sets of parameters.
//!
//! This file touches no content.

use std::{fmt, str::FromStr};

use cid::Version;

/// A named set of import parameters, with which the same content gets the same CID everywhere
/// (<https://specs.ipfs.tech/ipips/ipip-0499/>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// `unixfs-v1-2025`: CIDv1, raw leaves of 1 MiB, 1024 links a node; a directory is sharded once its block
    /// would be over 256 KiB.
    #[default]
    UnixfsV1_2025,
    /// `unixfs-v0-2015`: CIDv0, dag-pb leaves of 256 KiB, 174 links a node; a directory is sharded once its names
    /// and CIDs are over 256 KiB. Kubo's default.
    UnixfsV0_2015,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 2] = [Self::UnixfsV1_2025, Self::UnixfsV0_2015];

    /// The profile's name, as Kubo's configuration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnixfsV1_2025 => "unixfs-v1-2025",
            Self::UnixfsV0_2015 => "unixfs-v0-2015",
        }
    }

    /// The parameters themselves.
    pub const fn layout(self) -> Layout {
        match self {
            Self::UnixfsV1_2025 => Layout {
                cid_version: Version::V1,
                chunk_bytes: 1024 * 1024,
                max_links: 1024,
                leaves: Leaves::Raw,
                size_estimate: SizeEstimate::Block,
            },
            Self::UnixfsV0_2015 => Layout {
                cid_version: Version::V0,
                chunk_bytes: 256 * 1024,
                max_links: 174,
                leaves: Leaves::DagPb,
                size_estimate: SizeEstimate::Links,
            },
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text does not name a [`Profile`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown import profile '{0}': expected unixfs-v1-2025 or unixfs-v0-2015")]
pub struct ParseProfileError(String);

impl FromStr for Profile {
    type Err = ParseProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name() == text)
            .ok_or_else(|| ParseProfileError(text.to_owned()))
    }
}

/// How content is cut into blocks and linked. Start from [`Profile::layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    cid_version: Version,
    chunk_bytes: usize,
    max_links: usize,
    leaves: Leaves,
    size_estimate: SizeEstimate,
}

/// The form of the leaf that a file's chunk becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// A block of the raw codec: the bytes themselves.
    Raw,
    /// A UnixFS file without links, in dag-pb.
    DagPb,
}

/// How the size of a directory is estimated, to compare it with the limit above which it is sharded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SizeEstimate {
    /// The sum of the lengths of names and CIDs.
    Links,
    /// The length of the plain dag-pb block.
    Block,
}

impl Layout {
    /// The version of the CIDs of dag-pb blocks. The CID of a raw block always has version 1.
    pub const fn cid_version(&self) -> Version {
        self.cid_version
    }

    /// The length of a chunk in bytes.
    pub const fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// The most links in one node of a file.
    pub const fn max_links(&self) -> usize {
        self.max_links
    }

    /// The form of the leaves.
    pub const fn leaves(&self) -> Leaves {
        self.leaves
    }

    pub(super) const fn size_estimate(&self) -> SizeEstimate {
        self.size_estimate
    }

    /// Returns the layout with other leaves, like `--raw-leaves` of `ipfs add`.
    #[must_use]
    pub const fn with_leaves(self, leaves: Leaves) -> Self {
        Self { leaves, ..self }
    }

    /// Returns the layout with another CID version for dag-pb blocks.
    #[must_use]
    pub const fn with_cid_version(self, cid_version: Version) -> Self {
        Self {
            cid_version,
            ..self
        }
    }

    /// Returns the layout with chunks of another length, at least one byte, like `--chunker=size-N` of `ipfs add`.
    /// Nodes accept blocks of at most 2 MiB.
    #[must_use]
    pub const fn with_chunk_bytes(self, chunk_bytes: usize) -> Self {
        let chunk_bytes = if chunk_bytes < 1 { 1 } else { chunk_bytes };
        Self {
            chunk_bytes,
            ..self
        }
    }

    /// Returns the layout with another maximum of links in a node, at least two: fewer cannot form a tree.
    #[must_use]
    pub const fn with_max_links(self, max_links: usize) -> Self {
        let max_links = if max_links < 2 { 2 } else { max_links };
        Self { max_links, ..self }
    }
}
