//! Opens a persistent directory. The process that holds the directory's lock is the writer; all others follow.
//!
//! Invariant: at most one process has the lock, and only that process writes. It keeps the lock until its last extent
//! is dropped, and releases it at once if it could not become the writer.

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

/// The role that this process has in a persistent directory.
#[derive(Debug)]
pub enum Opened {
    /// This process is the writer. The blocks are those that earlier runs left, in the order of their admission.
    Writer(Staging, Vec<Warm>),
    /// Another process is the writer, or this one cannot write for now.
    Follower(Follower),
}

/// Opens the persistent directory at `path`. Creates it with mode 0700 if it does not exist, but not its parents.
///
/// The first process that opens it becomes its writer, and the others follow. If the disk is full or the file system
/// read-only, the directory is followed too, until [`Follower::take_over`] succeeds.
///
/// Waits for the disk. Reads the index, but no block.
///
/// # Errors
/// [`StagingError`]: the directory is not this user's alone, has an unknown layout, or cannot be used.
pub fn open(path: &Path, share: Arc<Share>) -> Result<Opened, StagingError> {
    let dir = private_dir::open_or_make(path);
    let dir = dir.map_err(|refusal| StagingError::refused(path, refusal))?;
    let dir = StagingDir::from_dir(dir, path);
    match resume_if_free(&dir, share) {
        Ok(Some((staging, warm))) => return Ok(Opened::Writer(staging, warm)),
        Ok(None) => {}
        // The staged blocks can be read, and once there is space the directory is taken over.
        Err(error) if error.is_want_of_space() => {
            tracing::warn!(%error, "nothing is staged for now");
        }
        Err(error) => return Err(error),
    }
    Ok(Opened::Follower(Follower::open(dir)?))
}

impl Follower {
    /// Becomes the writer if there is none any more, and returns the blocks that were left, like [`open`]. Returns
    /// `None` while there is a writer, or while the directory is read-only.
    ///
    /// Waits for the disk. Leases of this follower stay valid.
    ///
    /// # Errors
    /// [`StagingError`]: the directory could not be taken over. It can still be followed.
    pub fn take_over(
        &self,
        share: Arc<Share>,
    ) -> Result<Option<(Staging, Vec<Warm>)>, StagingError> {
        resume_if_free(self.dir(), share)
    }
}

/// Takes the lock and resumes, if this process can write and no other does.
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
