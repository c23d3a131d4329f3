//! How to import: profiles, and the options of `ipfs add`.
//!
//! Owns which options exclude each other, and what of a file's metadata is kept. Touches no file.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

use unixfs::{Attributes, Layout, Leaves, Mtime, Profile};

use crate::error::CarError;

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

    /// What is kept of a file's or directory's metadata. As in Kubo, no permission at all is kept of a directory
    /// and not of a file, and a symlink has none.
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
