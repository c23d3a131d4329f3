//! What earlier runs and other processes left in a persistent staging directory: taken over, or read along; and
//! verified before it is handed out (I3).
//!
//! Exactly one process admits and evicts: the one that holds the directory's lock. The others look at each miss
//! whether it is free, and the first that gets it takes over.

use std::{
    path::Path,
    sync::{Arc, TryLockError, atomic::Ordering},
};

use bytes::Bytes;

use crate::{
    block::Key,
    budget::Share,
    buffers::Buffers,
    lock_dir::StagingDir,
    private_dir,
    replacement::Admission,
    staging::{Staging, StagingError, along::Along, layout, resume::Warm},
    store::{Role, Staged, State, Store, TakingOver, let_go},
    sync::lock,
};

/// How much one that reads along keeps leased for the next read of it, in bytes: while it does, the one that admits
/// cannot evict it. At most this, and this share of its own budget.
const LEASED_BYTES: u64 = 8 << 20;
const LEASED_SHARE: u64 = 8;

impl Store {
    /// Over the persistent staging directory at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// [`StagingError`]: the directory is not this user's alone, of another layout, or cannot be used.
    pub(crate) fn open(path: &Path, share: Arc<Share>) -> Result<Arc<Self>, StagingError> {
        let dir = private_dir::open_or_make(path);
        let dir = dir.map_err(|refusal| StagingError::refused(path, refusal))?;
        let dir = StagingDir::from_dir(dir, path);
        let buffers = Arc::default();
        let state = if is_for_us(&dir) {
            let (staging, warm) = Staging::resume(dir, share.clone())?;
            State::resumed(staging, warm, &buffers)
        } else {
            let leased = LEASED_BYTES.min(share.bytes() / LEASED_SHARE);
            State::new(Role::ReadsAlong(Along::open(dir)?), leased)
        };
        Ok(Self::of(path.to_owned(), share, buffers, state))
    }

    /// Whether there may be something of the block that [`warm`](Self::warm) would find. No I/O.
    pub(crate) fn may_be_warm(&self, key: &Key) -> bool {
        let state = lock(&self.state);
        match state.role {
            Role::Admits(_) => state.index.contains_key(key),
            Role::ReadsAlong(_) => true,
            Role::Closed => false,
        }
    }

    /// The block, if an earlier run or another process left it and `is_right` says so of its bytes; or if it is
    /// here by now. One that is wrong is forgotten.
    ///
    /// Reads the disk and hashes: for a blocking thread.
    pub(crate) fn warm(
        &self,
        key: &Key,
        is_right: impl FnOnce(Bytes) -> bool,
    ) -> Option<Arc<Staged>> {
        if let Some(along) = self.along()
            && !self.take_over(&along)
        {
            return self.leased(&along, key, is_right);
        }
        let staged = lock(&self.state).index.get(key)?.clone();
        if staged.is_verified() {
            return Some(staged);
        }
        if !self.verify(&staged, is_right) {
            self.forget(key);
            let_go(staged);
            return None;
        }
        staged.set_verified();
        Some(staged)
    }

    fn along(&self) -> Option<Along> {
        match &lock(&self.state).role {
            Role::ReadsAlong(along) => Some(along.clone()),
            Role::Admits(_) | Role::Closed => None,
        }
    }

    /// Hashes a block that nobody has verified in this run.
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
                "a staged block is not what it was; it is fetched again"
            );
        }
        right
    }

    /// What another process has staged.
    fn leased(
        &self,
        along: &Along,
        key: &Key,
        is_right: impl FnOnce(Bytes) -> bool,
    ) -> Option<Arc<Staged>> {
        let found = match along.lease(key) {
            Ok(found) => found?,
            Err(error) => {
                tracing::warn!(%error, "the staging directory could not be read along");
                return None;
            }
        };
        let staged = Arc::new(Staged::new(*key, found.extent, true, self.buffers.clone()));
        if !found.verified {
            if !self.verify(&staged, is_right) {
                along.wrong(key);
                return None;
            }
            along.verified(key, found.change);
        }
        let mut gone = Vec::new();
        let mut state = lock(&self.state);
        if let Role::ReadsAlong(_) = state.role
            && state.admit(*key, staged.len() as u64, Admission::Use, &mut gone)
        {
            state.index.insert(*key, staged.clone());
        }
        drop(state);
        drop(gone);
        Some(staged)
    }

    /// Takes the directory over, if the one that admitted is gone. Whether this process admits now.
    fn take_over(&self, along: &Along) -> bool {
        let mut taking_over = match self.taking_over.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Until the other thread is done, it is read along.
            Err(TryLockError::WouldBlock) => return false,
        };
        match (&*taking_over, &lock(&self.state).role) {
            (TakingOver::Possible, Role::ReadsAlong(_)) => {}
            (_, Role::Admits(_)) => return true,
            (_, Role::ReadsAlong(_) | Role::Closed) => return false,
        }
        if !is_for_us(along.dir()) {
            return false;
        }
        let dir = along.dir();
        let again = dir
            .again()
            .map_err(|error| StagingError::of("opening", ".", error));
        match again.and_then(|again| Staging::resume(again, self.share.clone())) {
            Ok((staging, warm)) => {
                let resumed = State::resumed(staging, warm, &self.buffers);
                let mut state = lock(&self.state);
                let before = match state.role {
                    Role::ReadsAlong(_) => std::mem::replace(&mut *state, resumed),
                    Role::Admits(_) | Role::Closed => return false,
                };
                drop(state);
                // Leases end outside the lock.
                drop(before);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the staging directory could not be taken over; it is read along");
                layout::unlock(dir);
                *taking_over = TakingOver::Failed;
                false
            }
        }
    }
}

impl State {
    /// With what an earlier run left, as used once each, in the order in which it was admitted.
    fn resumed(staging: Staging, warm: Vec<Warm>, buffers: &Arc<Buffers>) -> Self {
        let for_blocks = staging.for_blocks();
        let mut state = Self::new(Role::Admits(staging), for_blocks);
        let mut gone = Vec::new();
        for Warm { key, extent } in warm {
            let staged = Arc::new(Staged::new(key, extent, false, buffers.clone()));
            if state.admit(key, staged.extent().charge(), Admission::Use, &mut gone) {
                state.index.insert(key, staged);
            } else {
                gone.push(staged);
            }
        }
        gone.into_iter().for_each(let_go);
        state
    }
}

/// Whether this process is to admit: it can write, and nobody else does.
fn is_for_us(dir: &StagingDir) -> bool {
    layout::is_writable(dir) && layout::try_lock(dir)
}
