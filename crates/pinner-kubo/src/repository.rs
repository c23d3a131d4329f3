//! A Kubo repository, read from its files.
//!
//! 1. `flatfs` finds the files and reads one. It decides what is read at all.
//! 2. `reads` does so on blocking threads, and bounds how many there are.
//! 3. [`RepositoryPinner`]: the repository alone, without a node.
//! 4. `beside`: the repository in front of its node, for [`KuboPinner`](crate::KuboPinner).
//! 5. `error`: why a repository cannot be opened.

mod beside;
mod error;
mod flatfs;
mod reads;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use pinner_api::{Answer, BlockRequest, Bytes, Pinner, PinnerError, async_trait};
use tokio::time::{Instant, timeout_at};

pub(crate) use beside::Beside;
pub use error::RepositoryError;
use reads::Reads;

/// The multihash code of identity: the digest is the data.
const IDENTITY: u64 = 0x00;

/// How many files are read at once.
const AT_ONCE: usize = 16;

/// The repository of a Kubo node on this machine, as a backend without pins.
///
/// Blocks are read from the files of the datastore flatfs, which Kubo uses unless it is told otherwise. Nothing is
/// written, and no daemon is needed. One that runs is not disturbed: it may add blocks and collect garbage all the
/// while.
///
/// Only blocks in the files are found. Those that Kubo keeps as references to files or URLs outside of the repository
/// (`ipfs add --nocopy`) are not. **A node's denylists are not consulted**: they bind the node, not its files.
///
/// # Errors
/// A block without a file is [`NotFound`](PinnerError::NotFound) if the repository has blocks nowhere else, and
/// [`Unavailable`](PinnerError::Unavailable) otherwise. Anything in the place of a block that is not a regular file of
/// at most [`MAX_BLOCK`](pinner_api::MAX_BLOCK) bytes is [`Corrupt`](PinnerError::Corrupt); symbolic links are not
/// followed. A file that this user may not read is [`Denied`](PinnerError::Denied).
///
/// # Cancellation
/// A read that has begun ends in its own time on its thread, because a thread that waits for a disk cannot be stopped.
/// At most 16 threads are used, so further reads wait then, until their deadlines.
///
/// # Panics
/// Calls outside of a tokio runtime panic.
#[derive(Debug)]
pub struct RepositoryPinner {
    reads: Reads,
    block_deadline: Duration,
}

impl RepositoryPinner {
    /// Opens the repository at `path`: the directory that `IPFS_PATH` names for `ipfs`.
    ///
    /// The repository's `blocks` may be a symbolic link, as it is where it was moved to another disk.
    ///
    /// # Errors
    /// Every [`RepositoryError`].
    ///
    /// # Cancellation
    /// Leaves nothing behind.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, RepositoryError> {
        Ok(Self {
            reads: Reads::open(&path.into(), AT_ONCE).await?,
            block_deadline: Duration::from_secs(30),
        })
    }

    /// Sets how long a block may take, unless its request says less. 30 seconds unless set.
    pub fn block_deadline(self, deadline: Duration) -> Self {
        Self {
            block_deadline: deadline,
            ..self
        }
    }

    /// The path of the repository.
    pub fn path(&self) -> &Path {
        self.reads.repository()
    }
}

#[async_trait]
impl Pinner for RepositoryPinner {
    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        let started = Instant::now();
        request.in_time(started.into_std())?;
        let cid = request.cid();
        if cid.hash().code() == IDENTITY {
            return Ok(Bytes::copy_from_slice(cid.hash().digest()).into());
        }
        let deadline = request.ends_by(started.into_std(), self.block_deadline);
        let deadline = Instant::from_std(deadline);
        let late = || PinnerError::TimedOut {
            operation: format!("block {cid} from {}", self.reads.source()),
            after: deadline - started,
        };
        let reading = async {
            let place = self.reads.place().await.ok_or_else(late)?;
            self.reads.block(place, cid).await
        };
        let read = timeout_at(deadline, reading).await;
        let block = read.unwrap_or_else(|_| Err(late()))?;
        Ok(Answer::new(block).with_source(self.reads.source().clone()))
    }

    /// As many files as are read at once.
    fn concurrency(&self) -> usize {
        AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of a disk that does not answer are all taken.
    #[tokio::test]
    async fn a_disk_that_does_not_answer_is_late_and_bounded() {
        let (dir, cid) = flatfs::sample();
        let pinner = RepositoryPinner::open(dir.path()).await.expect("it opens");
        let mut taken = Vec::new();
        for _ in 0..pinner.concurrency() {
            taken.push(pinner.reads.place().await.expect("a place"));
        }
        assert!(pinner.reads.free_place().is_none());
        let short = Duration::from_millis(50);
        let request = BlockRequest::new(cid).with_deadline((Instant::now() + short).into_std());
        let error = pinner.block(&request).await.expect_err("no place is free");
        assert!(matches!(error, PinnerError::TimedOut { .. }), "{error:?}");
        let pinner = pinner.block_deadline(short);
        let error = pinner.block(&BlockRequest::new(cid)).await;
        let error = error.expect_err("no place is free");
        assert!(
            matches!(error, PinnerError::TimedOut { after, .. } if after == short),
            "{error:?}"
        );
        drop(taken);
        let answer = pinner.block(&BlockRequest::new(cid)).await;
        assert_eq!(&answer.expect("a block").bytes[..], b"a block");
    }
}
