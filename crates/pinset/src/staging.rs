//! The staging directories of [`block_staging`]. That crate does not hash; the verification is added here.

pub(crate) use block_staging::{Earlier, Follower, Key, Opened, Parked, Warm, open};
pub use block_staging::{Extent, MAX_STAGED, Reservation, Staging, StagingError, StagingUsage};

/// Lists, verifies and empties a persistent staging directory from outside of a pinset. For commands that a person
/// runs.
///
/// All functions wait for the disk: call them on a blocking thread. None of them creates a missing directory.
pub mod stored {
    use std::path::Path;

    use cid::Cid;

    use super::{Key, StagingError};
    use crate::block::UnverifiedBlock;

    pub use block_staging::stored::{
        Class, Cleared, Contents, Progress, Rotten, Verified, Writer, clear, contents,
    };

    /// The multicodec of raw blocks. The codec does not matter: a block is verified by its multihash.
    const RAW: u64 = 0x55;

    /// Hashes every block in the staging directory at `path`, and calls `progress` after each.
    ///
    /// With [`Rotten::Report`] it changes nothing, and also works while a pinset uses the directory.
    ///
    /// # Errors
    /// [`StagingError::InUse`] if rotten blocks are to be cleared while a pinset uses the directory; the errors of
    /// [`contents`].
    pub fn verify(
        path: &Path,
        rotten: Rotten,
        progress: impl FnMut(Progress),
    ) -> Result<Verified, StagingError> {
        let is_right = |key: &Key, bytes: Vec<u8>| {
            let cid = Cid::new_v1(RAW, *key);
            UnverifiedBlock::new(bytes.into()).verify(&cid).is_ok()
        };
        block_staging::stored::verify(path, rotten, is_right, progress)
    }
}
