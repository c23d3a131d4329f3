//! The options of an import: profiles, and the options of `ipfs add`.
//!
//! Decides which options exclude each other, and which metadata of a file is kept. Accesses no file.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

use unixfs::{Attributes, Layout, Leaves, Mtime, Profile};

use crate::error::CarError;

/// The options of an import, named like those of `ipfs add`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// The parameters of chunks, nodes, CIDs and sharding.
    pub profile: Profile,
    /// `--hidden`: also imports entries whose names start with a dot. The given path itself is always imported.
    pub hidden: bool,
    /// `--raw-leaves`: whether a chunk is a raw block. `None` leaves it to the profile.
    pub raw_leaves: Option<bool>,
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
        let layout = self.profile.layout();
        let layout = match self.raw_leaves {
            Some(true) => layout.with_leaves(Leaves::Raw),
            Some(false) => layout.with_leaves(Leaves::DagPb),
            None => layout,
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
