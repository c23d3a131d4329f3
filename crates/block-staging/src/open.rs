//! Who is the writer of a persistent directory: the process that holds its lock. All others follow.
//!
//! Invariant: at most one process has the lock, and only that one writes. It keeps it until its last extent is dropped,
//! or gives it back where it could not become the writer.

use std::{path::Path, sync::Arc};

use crate::{
    disk::layout,
    error::StagingError,
    follower::Follower,
    lock_dir::{StagingDir, private_dir},
    resume::Warm,
    space::budget::Share,
    writer::Staging,
};

/// A persistent directory, as this process may use it.
#[derive(Debug)]
pub enum Opened {
    /// It writes. With what earlier runs left: the blocks that were admitted first come first.
    Writer(Staging, Vec<Warm>),
    /// Another process does, or this one cannot for now.
    Follower(Follower),
}

/// Opens the persistent directory at `path`; makes it, mode 0700, where there is none (but not its parents).
///
/// The first process to do so becomes its writer, and the others follow. Where the disk is full, or the file system
/// read-only, the directory is followed too, until [`Follower::take_over`] succeeds.
///
/// Waits for the disk. Reads the index and no block.
///
/// # Errors
/// [`StagingError`]: the directory is not this user's alone, is of another layout, or cannot be used.
pub fn open(path: &Path, share: Arc<Share>) -> Result<Opened, StagingError> {
    let dir = private_dir::open_or_make(path);
    let dir = dir.map_err(|refusal| StagingError::refused(path, refusal))?;
    let dir = StagingDir::from_dir(dir, path);
    match resume_if_free(&dir, share) {
        Ok(Some((staging, warm))) => return Ok(Opened::Writer(staging, warm)),
        Ok(None) => {}
        // What is there can be read, and once there is space it is taken over.
        Err(error) if error.is_want_of_space() => {
            tracing::warn!(%error, "nothing is staged for now");
        }
        Err(error) => return Err(error),
    }
    Ok(Opened::Follower(Follower::open(dir)?))
}

impl Follower {
    /// Becomes the writer, if there is none any more; with what was left, as [`open`]. `None` while there is one, or
    /// while the directory is read-only.
    ///
    /// Waits for the disk. Leases of this follower last on.
    ///
    /// # Errors
    /// [`StagingError`]: the directory could not be taken over. It can be followed all the same.
    pub fn take_over(
        &self,
        share: Arc<Share>,
    ) -> Result<Option<(Staging, Vec<Warm>)>, StagingError> {
        resume_if_free(self.dir(), share)
    }
}

/// Takes the lock and resumes, where this process can write and nobody else does.
fn resume_if_free(
    dir: &StagingDir,
    share: Arc<Share>,
) -> Result<Option<(Staging, Vec<Warm>)>, StagingError> {
    if !layout::is_writable(dir) || !layout::try_lock(dir) {
        return Ok(None);
    }
    let writers = dir
        .try_clone()
        .map_err(|error| StagingError::of("opening", ".", error));
    let resumed = writers.and_then(|writers| Staging::resume(writers, share));
    if resumed.is_err() {
        layout::unlock(dir);
    }
    resumed.map(Some)
}
