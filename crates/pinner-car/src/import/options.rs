//! How to import: profiles, and the options of `ipfs add`.
//!
//! Owns which options exclude each other, and what of a file's metadata is kept. Touches no file.

use std::{fmt, fs::Metadata, os::unix::fs::MetadataExt, str::FromStr};

use cid::Version;

use super::{
    directory::SizeEstimate,
    file::{Layout, Leaves},
    unixfs::Attributes,
};
use crate::error::CarError;

/// A set of import parameters that has a name, so that the same content gets the same CID everywhere
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
    /// All there are.
    pub const ALL: [Self; 2] = [Self::UnixfsV1_2025, Self::UnixfsV0_2015];

    /// As Kubo's configuration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnixfsV1_2025 => "unixfs-v1-2025",
            Self::UnixfsV0_2015 => "unixfs-v0-2015",
        }
    }

    pub(super) const fn cid_version(self) -> Version {
        match self {
            Self::UnixfsV1_2025 => Version::V1,
            Self::UnixfsV0_2015 => Version::V0,
        }
    }

    const fn layout(self) -> Layout {
        match self {
            Self::UnixfsV1_2025 => Layout {
                chunk_bytes: 1024 * 1024,
                max_links: 1024,
                leaves: Leaves::Raw,
            },
            Self::UnixfsV0_2015 => Layout {
                chunk_bytes: 256 * 1024,
                max_links: 174,
                leaves: Leaves::DagPb,
            },
        }
    }

    pub(super) const fn size_estimate(self) -> SizeEstimate {
        match self {
            Self::UnixfsV1_2025 => SizeEstimate::Block,
            Self::UnixfsV0_2015 => SizeEstimate::Links,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no [`Profile`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no import profile; there are unixfs-v1-2025 and unixfs-v0-2015")]
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

/// How to import, by the names of `ipfs add`'s options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Chunks, nodes, CIDs and sharding.
    pub profile: Profile,
    /// `--hidden`: entries whose names start with a dot are imported too. The imported path itself always is.
    pub hidden: bool,
    /// `--raw-leaves`: whether a chunk is a raw block; the profile says so if this does not.
    pub raw_leaves: Option<bool>,
    /// `--preserve-mode`: keeps the permissions of files and directories. Not with raw leaves.
    pub preserve_mode: bool,
    /// `--preserve-mtime`: keeps the modification times of files, directories and symlinks. Not with raw leaves.
    pub preserve_mtime: bool,
    /// `--dereference-args`: the imported path is followed where it is a symlink. Symlinks below it never are.
    pub dereference_args: bool,
}

impl ImportOptions {
    /// The profile's layout, with the leaves that are asked for.
    pub(super) fn layout(&self) -> Result<Layout, CarError> {
        let mut layout = self.profile.layout();
        match self.raw_leaves {
            Some(true) => layout.leaves = Leaves::Raw,
            Some(false) => layout.leaves = Leaves::DagPb,
            None => {}
        }
        if layout.leaves == Leaves::Raw && (self.preserve_mode || self.preserve_mtime) {
            return Err(CarError::MetadataInRawLeaves);
        }
        Ok(layout)
    }

    /// What is kept of a file's or directory's metadata. As in Kubo, no permission at all is kept of a directory
    /// and not of a file, and a symlink has none.
    pub(super) fn attributes(&self, metadata: &Metadata) -> Attributes {
        let permissions = metadata.mode() & 0o7777;
        let has_mode =
            self.preserve_mode && !metadata.is_symlink() && (permissions != 0 || metadata.is_dir());
        Attributes {
            mode: has_mode.then_some(permissions),
            mtime: self.preserve_mtime.then(|| {
                let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or_default();
                (metadata.mtime(), nanoseconds)
            }),
        }
    }
}
