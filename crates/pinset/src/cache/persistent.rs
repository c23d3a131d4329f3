//! The blocks that earlier runs and other processes left in a persistent staging directory. They are taken over or
//! followed, and verified before they are handed out (I3).
//!
//! Exactly one process is the writer, which admits and evicts. Followers try at each miss to take its place, and the
//! first one that tries after the writer is gone succeeds. A follower stages what it fetches in a part of its own, which
//! is a store within the store, and ends when the follower becomes the writer.

use std::{
    path::Path,
    sync::{Arc, TryLockError, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use pinset_policy::replacement::Admission;

use crate::{
    block::Key,
    budget::Share,
    cache::{
        staged::Staged,
        store::{Role, State, Store},
    },
    staging::{self, Earlier, Follower, Opened, Staging, StagingError, Warm},
    sync::lock,
};

/// How much a follower keeps leased for later reads, in bytes: at most this, and at most the share below of its own
/// budget. The writer cannot evict a leased block.
const LEASED_BYTES: u64 = 8 << 20;
const LEASED_SHARE: u64 = 8;

/// The least weight of a leased block among these bytes: so at most 256 are leased. The system keeps the locks of a file
/// in a list, which the writer's claims walk.
const LEASE_WEIGHT: u64 = LEASED_BYTES / 256;

/// The pause after a take-over that failed (for want of descriptors, say) until the next try.
const TRY_AGAIN: Duration = Duration::from_secs(10);

impl Store {
    /// Opens the persistent staging directory at `path`, which is created if it does not exist.
    ///
    /// # Errors
    /// [`StagingError`]: the directory does not belong to this user alone, has another layout, or cannot be used.
    pub(crate) fn open(path: &Path, share: Arc<Share>) -> Result<Arc<Self>, StagingError> {
        let state = match staging::open(path, share.clone())? {
            Opened::Writer(staging, earlier) => State::resumed(staging, earlier),
            Opened::Follower(follower) => {
                let leased = LEASED_BYTES.min(share.bytes() / LEASED_SHARE);
                State::new(Role::Follower(follower), leased)
            }
        };
        Ok(Self::of(path.to_owned(), share, state))
    }

    /// Returns whether [`verify_at_first_use`](Self::verify_at_first_use) may find the block. Does no I/O.
    pub(crate) fn may_be_unverified(&self, key: &Key) -> bool {
        let state = lock(&self.state);
        match state.role {
            Role::Writer(_) => state.blocks.contains(key),
            Role::Follower(_) => true,
            Role::Closed => false,
        }
    }

    /// Returns the block, if an earlier run or another process left it and its bytes pass `is_right`, or if it has been
    /// verified by now. A block whose bytes are wrong is forgotten.
    ///
    /// Reads the disk and hashes, so it must run on a blocking thread.
    pub(crate) fn verify_at_first_use(
        &self,
        key: &Key,
        is_right: impl FnOnce(Bytes) -> bool,
    ) -> Option<Arc<Staged>> {
        if let Some(follower) = self.follower()
            && !self.take_over(&follower)
        {
            let leased = self.leased(&follower, key, is_right);
            if leased.is_none() {
                // The missing block is fetched next.
                self.have_own_part(&follower);
            }
            return leased;
        }
        let staged = lock(&self.state).blocks.get(key)?;
        if staged.is_verified() {
            return Some(staged);
        }
        if !self.verify(&staged, is_right) {
            self.forget(&staged);
            return None;
        }
        staged.set_verified();
        Some(staged)
    }

    fn follower(&self) -> Option<Follower> {
        match &lock(&self.state).role {
            Role::Follower(follower) => Some(follower.clone()),
            Role::Writer(_) | Role::Closed => None,
        }
    }

    /// Hashes a block that has not been verified in this run, and returns whether its bytes are right.
    fn verify(&self, staged: &Staged, is_right: impl FnOnce(Bytes) -> bool) -> bool {
        let right = match staged.extent().read_blocking(0, staged.len()) {
            Ok(bytes) => is_right(bytes.into()),
            Err(error) => {
                tracing::warn!(%error, "a staged block cannot be read back");
                false
            }
        };
        let counter = match right {
            true => &self.reverified,
            false => &self.rotten,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if !right {
            tracing::warn!(
                directory = %self.path.display(),
                "a staged block is damaged and is fetched again"
            );
        }
        right
    }

    /// Leases a block that another process has staged.
    fn leased(
        &self,
        follower: &Follower,
        key: &Key,
        is_right: impl FnOnce(Bytes) -> bool,
    ) -> Option<Arc<Staged>> {
        let found = match follower.lease(key) {
            Ok(found) => found?,
            Err(error) => {
                tracing::warn!(%error, "the staging directory could not be followed");
                return None;
            }
        };
        let staged = Arc::new(Staged::new(*key, found.extent, true));
        if !found.verified {
            if !self.verify(&staged, is_right) {
                follower.mark_wrong(key);
                return None;
            }
            follower.mark_verified(key, found.change);
        }
        let mut gone = Vec::new();
        let mut state = lock(&self.state);
        if let Role::Follower(_) = state.role
            && state.admit(*key, lease_weight(&staged), Admission::Use, &mut gone)
        {
            state.blocks.put(*key, staged.clone());
        }
        drop(state);
        drop(gone);
        Some(staged)
    }

    /// Opens a part of this process's own in the directory, if it has none and may have one.
    fn have_own_part(&self, follower: &Follower) {
        // One thread does it; the others do not wait.
        let Ok(_one) = self.taking_over.try_lock() else {
            return;
        };
        if lock(&self.state).own.is_some() {
            return;
        }
        let part = match follower.own_part(&self.share) {
            Ok(Some(staging)) => Self::new(staging),
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "what is fetched is not staged for now");
                return;
            }
        };
        let mut state = lock(&self.state);
        if let Role::Follower(_) = state.role {
            state.own = Some(part);
        }
    }

    /// Takes the directory over, if its writer is gone. Returns whether this process is now the writer.
    fn take_over(&self, follower: &Follower) -> bool {
        let mut failed_at = match self.taking_over.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Until the other thread is done, this process is a follower.
            Err(TryLockError::WouldBlock) => return false,
        };
        match lock(&self.state).role {
            Role::Follower(_) => {}
            Role::Writer(_) => return true,
            Role::Closed => return false,
        }
        if failed_at.is_some_and(|failed: Instant| failed.elapsed() < TRY_AGAIN) {
            return false;
        }
        match follower.take_over(self.share.clone()) {
            Ok(None) => false,
            Ok(Some((staging, earlier))) => {
                let resumed = State::resumed(staging, earlier);
                let mut state = lock(&self.state);
                let before = match state.role {
                    Role::Follower(_) => std::mem::replace(&mut *state, resumed),
                    Role::Writer(_) | Role::Closed => return false,
                };
                drop(state);
                // Leases are released outside the lock, and so is this process's own part of the directory: its share
                // is the writer's from now on.
                drop(before);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the staging directory could not be taken over; it is followed");
                *failed_at = Some(Instant::now());
                false
            }
        }
    }
}

/// The weight of a leased block among all that are.
fn lease_weight(staged: &Staged) -> u64 {
    (staged.len() as u64).max(LEASE_WEIGHT)
}

impl State {
    /// Starts with the blocks that an earlier run left, in the order in which they were admitted. Each counts as used
    /// once.
    fn resumed(staging: Staging, earlier: Earlier) -> Self {
        let for_blocks = staging.for_blocks();
        let mut state = Self::new(Role::Writer(staging), for_blocks);
        let mut gone = Vec::new();
        for Warm { key, extent, .. } in earlier {
            let staged = Arc::new(Staged::new(key, extent, false));
            if state.admit(key, staged.extent().charge(), Admission::Use, &mut gone) {
                state.blocks.put(key, staged);
            } else {
                staged.extent().discard();
            }
        }
        state.free(gone);
        state
    }
}

#[cfg(test)]
mod tests {
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;
    use crate::budget::Budget;

    const BUDGET: u64 = 4 << 20;

    fn open(path: &Path) -> Result<Arc<Store>, StagingError> {
        Store::open(path, Budget::alone(BUDGET))
    }

    fn block(n: u8) -> (Key, Vec<u8>) {
        let bytes = vec![n; 100_000];
        (Code::Sha2_256.digest(&bytes), bytes)
    }

    fn right(_: Bytes) -> bool {
        true
    }

    #[test]
    fn what_another_leases_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("staging");
        let first = open(&path).unwrap();
        let (key, bytes) = block(0);
        first.stage(key, &bytes).unwrap();
        let second = open(&path).unwrap();
        assert!(second.reads_along() && !first.reads_along());
        assert!(second.stage(block(1).0, &block(1).1).is_none());
        let leased = second.verify_at_first_use(&key, right).unwrap();
        let pressed = || {
            for n in 1..100 {
                let (key, bytes) = block(n);
                first.stage(key, &bytes).unwrap();
            }
        };
        pressed();
        assert!(first.peek(&key).is_some(), "it is passed over");
        assert_eq!(leased.extent().read_blocking(0, usize::MAX).unwrap(), bytes);
        // The follower keeps the lease for its next read, until it forgets the block.
        drop(leased);
        pressed();
        assert!(first.peek(&key).is_some(), "it is passed over again");
        let leased = second.peek(&key).unwrap();
        second.forget(&leased);
        drop(leased);
        pressed();
        assert!(first.peek(&key).is_none());
        assert!(first.evicted.load(Ordering::Relaxed) > 50);
    }

    #[test]
    fn what_is_wrong_is_forgotten_by_the_writer_and_by_the_follower() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("staging");
        let (key, bytes) = block(0);
        let first = open(&path).unwrap();
        first.stage(key, &bytes).unwrap();
        let second = open(&path).unwrap();
        assert!(second.verify_at_first_use(&key, |_| false).is_none());
        assert!(
            second.verify_at_first_use(&key, right).is_none(),
            "until it changes"
        );
        assert_eq!(second.rotten.load(Ordering::Relaxed), 1);
        let leased = second.verify_at_first_use(&block(1).0, right);
        assert!(leased.is_none());
        second.close();
        first.close();
        let third = open(&path).unwrap();
        assert!(third.peek(&key).is_none(), "it is not verified");
        assert!(third.stage(key, &bytes).is_none(), "it is there");
        assert!(third.may_be_unverified(&key));
        assert!(third.verify_at_first_use(&key, |_| false).is_none());
        assert!(!third.may_be_unverified(&key));
        assert!(third.stage(key, &bytes).is_some());
        assert!(
            third.verify_at_first_use(&key, |_| false).is_some(),
            "it is verified"
        );
        third.close();
        assert!(!third.may_be_unverified(&key));
        assert!(third.verify_at_first_use(&key, right).is_none());
    }

    #[test]
    fn a_block_heavier_than_what_may_stay_leased_is_served_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("staging");
        let first = open(&path).unwrap();
        let bytes = vec![7; 1 << 20];
        let key = Code::Sha2_256.digest(&bytes);
        first.stage(key, &bytes).unwrap();
        let second = open(&path).unwrap();
        for _ in 0..2 {
            let leased = second.verify_at_first_use(&key, right).unwrap();
            assert!(leased.extent().read_blocking(0, usize::MAX).unwrap() == bytes);
            assert_eq!(second.len(), 0);
        }
        assert_eq!(second.reverified.load(Ordering::Relaxed), 1);
        let leased = second.verify_at_first_use(&key, right).unwrap();
        second.forget(&leased);
        drop(leased);
        assert!(
            second.verify_at_first_use(&key, right).is_none(),
            "until it changes"
        );
    }

    /// Lets a follower miss until it has a part of its own.
    fn with_own_part(store: &Store) {
        for _ in 0..2000 {
            assert!(store.verify_at_first_use(&block(255).0, right).is_none());
            if lock(&store.state).own.is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it has no part of its own");
    }

    #[test]
    fn a_follower_stages_in_a_part_of_its_own_until_it_takes_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("staging");
        let first = open(&path).unwrap();
        let (there, bytes) = block(0);
        first.stage(there, &bytes).unwrap();
        let second = open(&path).unwrap();
        with_own_part(&second);
        for n in 1..60 {
            let (key, bytes) = block(n);
            let staged = second.stage(key, &bytes).unwrap();
            assert_eq!(staged.extent().read_blocking(0, usize::MAX).unwrap(), bytes);
        }
        let evicted = second.evicted.load(Ordering::Relaxed);
        assert!(evicted > 30, "{evicted}");
        assert!(second.used() > BUDGET / 4 && second.used() <= BUDGET / 2);
        let (key, _) = block(59);
        assert!(second.peek(&key).is_some());
        let staged = second.take_use(&key, &[]).unwrap();
        second.forget(&staged);
        drop(staged);
        assert!(second.peek(&key).is_none() && first.peek(&key).is_none());
        assert!(second.verify_at_first_use(&there, right).is_some());
        // Its own blocks are gone with its part, and it has the whole budget.
        first.close();
        drop(first);
        let (last, bytes) = block(100);
        for _ in 0..2000 {
            second.verify_at_first_use(&last, right);
            if !second.reads_along() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(second.peek(&block(58).0).is_none());
        assert!(second.verify_at_first_use(&there, right).is_some());
        for _ in 0..2000 {
            second.stage(last, &bytes);
            for n in 1..100 {
                let (key, bytes) = block(n);
                second.stage(key, &bytes);
            }
            if second.used() > BUDGET / 4 * 3 {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it has {} bytes", second.used());
    }

    #[test]
    fn few_blocks_stay_leased_however_small_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("staging");
        let budget = 64 << 20;
        let first = Store::open(&path, Budget::alone(budget)).unwrap();
        let second = Store::open(&path, Budget::alone(budget)).unwrap();
        for n in 0..1000_u32 {
            let bytes = n.to_le_bytes();
            let key = Code::Sha2_256.digest(&bytes);
            first.stage(key, &bytes).unwrap();
            assert!(second.verify_at_first_use(&key, right).is_some());
        }
        assert_eq!(second.len(), 256);
    }

    #[test]
    fn what_is_all_in_use_leaves_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(&dir.path().join("staging")).unwrap();
        let mut held = Vec::new();
        for n in 0..100 {
            let (key, bytes) = block(n);
            held.extend(first.stage(key, &bytes));
        }
        assert!(held.len() > 30 && held.len() < 45, "{}", held.len());
        assert_eq!(first.evicted.load(Ordering::Relaxed), 0);
        held.clear();
        let (key, bytes) = block(100);
        assert!(first.stage(key, &bytes).is_some());
    }
}
