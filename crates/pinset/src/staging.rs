//! The staging directories, out of [`block_staging`], which does not hash: here the verification is filled in.

pub use block_staging::{Extent, MAX_STAGED, Reservation, Staging, StagingError, StagingUsage};
pub(crate) use block_staging::{Follower, Key, KeyHash, Opened, Warm, open};

/// A persistent staging directory from outside of a pinset: what is in it, whether that is right, and how it is
/// emptied. For the commands that a person runs.
///
/// All of it waits for the disk: call it on a thread that may. Nothing here makes a directory that is not there.
pub mod stored {
    use std::path::Path;

    use cid::Cid;

    use super::{Key, StagingError};
    use crate::block::UnverifiedBlock;

    pub use block_staging::stored::{
        Class, Cleared, Contents, Progress, Rotten, Verified, Writer, clear, contents,
    };

    /// The multicodec of raw blocks: a block is verified by its multihash, whatever it holds.
    const RAW: u64 = 0x55;

    /// Hashes every block in the staging directory at `path`, and tells `progress` after each.
    ///
    /// With [`Rotten::Report`] it works beside a pinset that uses the directory, and changes nothing.
    ///
    /// # Errors
    /// [`StagingError::InUse`] where rotten blocks are to be cleared while a pinset uses the directory; as
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
