//! The options of an import: profiles, and the options of `ipfs add`.
//!
//! Decides which options exclude each other, and which metadata of a file is kept. Accesses no file.

use std::{fmt, fs::Metadata, os::unix::fs::MetadataExt, str::FromStr};

use cid::Version;
use unixfs::{Attributes, Layout, Leaves, Mtime, Profile};

use crate::error::CarError;

/// The options of an import, named like those of `ipfs add`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// The parameters of chunks, nodes, CIDs and sharding.
    pub profile: Profile,
    /// `--hidden`: also imports entries whose names start with a dot. The given path itself is always imported.
    pub hidden: bool,
    /// `--raw-leaves`: whether a chunk is a raw block. `None` leaves it to the CID version, and then to the profile.
    pub raw_leaves: Option<bool>,
    /// `--cid-version`: the version of the CIDs of files, directories and symlinks. With version 1, leaves are raw unless
    /// `raw_leaves` says otherwise. `None` leaves both to the profile.
    pub cid_version: Option<Version>,
    /// `--chunker`: how files are cut. `None` leaves it to the profile.
    pub chunker: Option<Chunker>,
    /// `--wrap-with-directory`: puts what is imported into a directory, under its own names.
    pub wrap: bool,
    /// `--preserve-mode`: keeps the permissions of files and directories. Excludes raw leaves.
    pub preserve_mode: bool,
    /// `--preserve-mtime`: keeps the modification times of files, directories and symlinks. Excludes raw leaves.
    pub preserve_mtime: bool,
    /// `--dereference-args`: follows the given path if it is a symlink. Symlinks below it are never followed.
    pub dereference_args: bool,
}

impl ImportOptions {
    /// The profile's layout, with the requested form of leaves.
    pub(super) fn layout(&self) -> Result<Layout, CarError> {
        let mut layout = self.profile.layout();
        if let Some(version) = self.cid_version {
            layout = layout.with_cid_version(version);
        }
        if let Some(Chunker { bytes }) = self.chunker {
            layout = layout.with_chunk_bytes(bytes);
        }
        let layout = match (self.raw_leaves, self.cid_version) {
            (Some(true), _) | (None, Some(Version::V1)) => layout.with_leaves(Leaves::Raw),
            (Some(false), _) => layout.with_leaves(Leaves::DagPb),
            (None, Some(Version::V0) | None) => layout,
        };
        if layout.leaves() == Leaves::Raw && (self.preserve_mode || self.preserve_mtime) {
            return Err(CarError::MetadataInRawLeaves);
        }
        Ok(layout)
    }

    /// The metadata that is kept of a file, directory or symlink. As in Kubo, a mode of zero is kept for a directory
    /// but not for a file, and the mode of a symlink is never kept.
    pub(super) fn attributes(&self, metadata: &Metadata) -> Attributes {
        let permissions = metadata.mode() & 0o7777;
        let has_mode =
            self.preserve_mode && !metadata.is_symlink() && (permissions != 0 || metadata.is_dir());
        Attributes {
            mode: has_mode.then_some(permissions),
            mtime: self.preserve_mtime.then(|| {
                let nanos = u32::try_from(metadata.mtime_nsec()).unwrap_or_default();
                Mtime {
                    seconds: metadata.mtime(),
                    nanos,
                }
            }),
        }
    }
}

/// How files are cut into chunks: `size-N`, pieces of N bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunker {
    bytes: usize,
}

impl Chunker {
    /// The largest chunk, in bytes: Kubo's limit, with which a leaf fits into a block whatever its form.
    pub const MAX_BYTES: usize = 2 * 1024 * 1024 - 256;

    /// Pieces of this many bytes: at least 1, and at most [`MAX_BYTES`](Self::MAX_BYTES).
    pub const fn size(bytes: usize) -> Option<Self> {
        match bytes {
            1..=Self::MAX_BYTES => Some(Self { bytes }),
            _ => None,
        }
    }
}

impl fmt::Display for Chunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "size-{}", self.bytes)
    }
}

/// The text does not name a [`Chunker`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown chunker '{0}': expected size-N, with N from 1 to {max} bytes; rabin and buzhash are not supported",
    max = Chunker::MAX_BYTES
)]
pub struct ParseChunkerError(String);

impl FromStr for Chunker {
    type Err = ParseChunkerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text
            .strip_prefix("size-")
            .and_then(|bytes| bytes.parse().ok());
        bytes
            .and_then(Self::size)
            .ok_or_else(|| ParseChunkerError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunkers_are_those_that_kubo_takes() {
        for text in ["size-1", "size-262144", "size-2096896"] {
            assert_eq!(text.parse::<Chunker>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "size-",
            "size-0",
            "size-2096897",
            "size--1",
            "262144",
            "rabin",
            "buzhash",
        ] {
            let error = text.parse::<Chunker>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }
}
