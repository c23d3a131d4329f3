//! Opens a persistent directory. The process that holds the directory's lock is the writer; all others follow.
//!
//! Invariant: at most one process has the lock, and only that process writes to the directory's own files. It keeps the
//! lock until its last extent is dropped, and releases it at once if it could not become the writer.

use std::{path::Path, sync::Arc};

use crate::{
    disk::layout,
    error::StagingError,
    follower::Follower,
    lock_dir::{StagingDir, private_dir},
    resume::Earlier,
    space::budget::Share,
    writer::Staging,
};

/// The role that this process has in a persistent directory.
#[derive(Debug)]
pub enum Opened {
    /// This process is the writer. The blocks are those that earlier runs left, in the order of their admission.
    Writer(Staging, Earlier),
    /// Another process is the writer, or this one cannot write for now.
    Follower(Follower),
}

/// Opens the persistent directory at `path`. Creates it with mode 0700 if it does not exist, but not its parents.
///
/// The first process that opens it becomes its writer, and the others follow. If the disk is full or the file system
/// read-only, the directory is followed too, until [`Follower::take_over`] succeeds.
///
/// All processes that stage in the directory divide its total, which is the budget of its writer. In each, a thread of
/// this crate looks after its part, for as long as what is returned lives.
///
/// Waits for the disk. Reads the index, but no block.
///
/// # Errors
/// [`StagingError`]: the directory is not this user's alone, has an unknown layout, cannot be locked, or cannot be used.
pub fn open(path: &Path, share: Arc<Share>) -> Result<Opened, StagingError> {
    let dir = private_dir::open_or_make(path);
    let dir = dir.map_err(|refusal| StagingError::refused(path, refusal))?;
    let follower = Follower::open(StagingDir::from_dir(dir, path))?;
    match follower.take_over(share) {
        Ok(Some((staging, earlier))) => return Ok(Opened::Writer(staging, earlier)),
        Ok(None) => {}
        // The staged blocks can be read, and once there is space the directory is taken over.
        Err(error) if error.is_want_of_space() => {
            tracing::warn!(%error, "nothing is staged for now");
        }
        Err(error) => return Err(error),
    }
    Ok(Opened::Follower(follower))
}

impl Follower {
    /// Becomes the writer if there is none any more, and returns the blocks that were left, like [`open`]. Returns
    /// `None` while there is a writer, or while the directory is read-only.
    ///
    /// Waits for the disk. Leases of this follower stay valid. A part of its [own](Self::own_part) stays as it is, and
    /// takes space from the writer's: drop it soon.
    ///
    /// # Errors
    /// [`StagingError`]: the directory could not be taken over. It can still be followed.
    pub fn take_over(&self, share: Arc<Share>) -> Result<Option<(Staging, Earlier)>, StagingError> {
        let dir = self.dir();
        if !layout::is_writable(dir) || !layout::try_lock(dir)? {
            return Ok(None);
        }
        let resumed = self.resume(share);
        if resumed.is_err() {
            layout::unlock(dir);
        }
        resumed.map(Some)
    }

    /// Resumes the directory, whose lock this process holds.
    fn resume(&self, share: Arc<Share>) -> Result<(Staging, Earlier), StagingError> {
        let writers = self.dir().try_clone();
        let writers = writers.map_err(|error| StagingError::of("opening", ".", error))?;
        // From here on, no writer of an earlier version opens it.
        layout::check_or_make(&writers)?;
        let member = self.member(&share)?;
        let member = member.ok_or_else(|| StagingError::TooMany {
            dir: self.dir().path().to_owned(),
        })?;
        Staging::resume(writers, share, Some(member.begin_main()?))
    }
}
