//! A repository in front of its node: blocks are read from files while that works, and the node is asked for the rest.
//!
//! Invariant: nothing that is wrong with the repository is an answer, and an absence proves nothing here. The node has
//! the last word.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cid::{Cid, multihash::Multihash};
use pinner_api::{Answer, BlockRequest, PinnerError, SourceId, Verdict};
use tokio::time::{Instant, timeout_at};

use super::{error::RepositoryError, reads::Reads};

/// How long a file is waited for while the node could be asked. A disk that has to start up takes seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many wrong blocks are remembered. A repository with more of them is not read any more.
const MOST_WRONG: usize = 1024;

/// A repository in front of a node.
#[derive(Debug)]
pub(crate) struct Beside {
    reads: Reads,
    /// Blocks whose files hold wrong bytes.
    wrong: Mutex<HashSet<Multihash<64>>>,
}

impl Beside {
    /// Opens the repository at `path`, for at most `at_once` reads at once.
    pub(crate) async fn open(path: &Path, at_once: usize) -> Result<Self, RepositoryError> {
        Ok(Self {
            reads: Reads::open(path, at_once).await?,
            wrong: Mutex::default(),
        })
    }

    /// The path of the repository.
    pub(crate) fn repository(&self) -> &Path {
        self.reads.repository()
    }

    /// Returns the block, or `None` if the node is to be asked.
    pub(crate) async fn block(&self, request: &BlockRequest, deadline: Instant) -> Option<Answer> {
        let cid = request.cid();
        if request.avoids(self.reads.source()) || self.is_wrong(cid) {
            return None;
        }
        // Places run out only if the disk does not answer. The node may know the block by now.
        let place = self.reads.free_place()?;
        let now = Instant::now();
        let half = deadline.saturating_duration_since(now) / 2;
        let read = self.reads.block(place, cid);
        match timeout_at(now + half.min(PATIENCE), read).await {
            Ok(Ok(block)) => Some(Answer::new(block).with_source(self.reads.source().clone())),
            Ok(Err(PinnerError::NotFound { .. })) => None,
            Ok(Err(error)) => {
                tracing::debug!(%cid, %error, "the node is asked instead of its repository");
                None
            }
            Err(_) => {
                tracing::debug!(%cid, "the disk does not answer, so the node is asked");
                None
            }
        }
    }

    /// Remembers a block whose file is wrong, so that the node is asked the next time.
    pub(crate) fn verdict(&self, cid: &Cid, source: Option<&SourceId>, verdict: Verdict) {
        if verdict != Verdict::Wrong || source != Some(self.reads.source()) {
            return;
        }
        let mut wrong = self.wrong();
        if wrong.len() < MOST_WRONG {
            wrong.insert(*cid.hash());
            if wrong.len() == MOST_WRONG {
                tracing::warn!(
                    repository = %self.repository().display(),
                    "{MOST_WRONG} of its blocks are wrong, so it is not read any more; `ipfs repo verify` finds them"
                );
            }
        }
    }

    fn is_wrong(&self, cid: &Cid) -> bool {
        let wrong = self.wrong();
        wrong.len() >= MOST_WRONG || wrong.contains(cid.hash())
    }

    fn wrong(&self) -> MutexGuard<'_, HashSet<Multihash<64>>> {
        // A set of plain values stays whole even if another thread panics while it holds the lock.
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::flatfs::sample;
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_a_disk_that_does_not_answer() {
        let (dir, cid) = sample();
        let beside = Beside::open(dir.path(), 1).await.expect("it opens");
        let request = BlockRequest::new(cid);
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs(60);
        let taken = beside.reads.place().await;
        assert!(beside.block(&request, deadline).await.is_none());
        assert!(begun.elapsed() < PATIENCE);
        drop(taken);
        let answer = beside.block(&request, deadline).await.expect("a block");
        assert_eq!(&answer.bytes[..], b"a block");
    }
}
