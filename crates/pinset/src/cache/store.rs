//! The staged blocks: which are there, and which are evicted when there is no room.
//!
//! Joins the staging directory (bytes under a budget, I2) with the replacement policy (which bytes). Knows nothing of
//! fetching. Invariant (I3): every block that it hands out was verified in this run and is complete. The index also has
//! the blocks that an earlier run or another process left; these are handed out once
//! [`verify_at_first_use`](Store::verify_at_first_use) has verified them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use crate::{
    block::{Key, KeyHash},
    budget::{Evict, Share},
    cache::staged::{Staged, let_go},
    policy::{
        replacement::{Admission, ReplacementStats},
        residents::Residents,
    },
    staging::{Follower, Staging},
    sync::{AtomicU64, Mutex, Ordering, lock},
};

/// All staged blocks of a pinset.
pub(crate) struct Store {
    /// The directory, for messages.
    pub(crate) path: PathBuf,
    pub(crate) state: Mutex<State>,
    /// When a take-over of the directory last failed. The lock is held during a take-over, so that only one thread
    /// tries it.
    pub(crate) taking_over: Mutex<Option<Instant>>,
    /// Dropped after everything that it pays for.
    pub(crate) share: Arc<Share>,
    pub(crate) unstaged: AtomicU64,
    /// Blocks that could not be written to disk.
    pub(crate) failures: AtomicU64,
    pub(crate) evicted: AtomicU64,
    /// Blocks of an earlier run or another process that were verified at their first use and were right.
    pub(crate) reverified: AtomicU64,
    /// Blocks of an earlier run or another process that turned out to be wrong at their first use.
    pub(crate) rotten: AtomicU64,
}

/// The role of this process in the staging directory.
pub(crate) enum Role {
    /// This process stages and evicts.
    Writer(Staging),
    /// Another process stages and evicts; this one only reads.
    Follower(Follower),
    /// The store is closed.
    Closed,
}

pub(crate) struct State {
    pub(crate) role: Role,
    /// The blocks that can be handed out once they are verified; for a follower, the blocks that it leases now. A block
    /// that is being written is resident and has no value yet.
    pub(crate) blocks: Residents<Key, Arc<Staged>, KeyHash>,
    /// The blocks that a follower has fetched and staged in a part of its own.
    pub(crate) own: Option<Arc<Store>>,
}

impl State {
    pub(crate) fn new(role: Role, budget_bytes: u64) -> Self {
        Self {
            role,
            blocks: Residents::new(budget_bytes),
            own: None,
        }
    }

    fn staged(&self, key: &Key) -> Option<Arc<Staged>> {
        let staged = self.blocks.get(key)?;
        staged.is_verified().then(|| staged.clone())
    }

    /// Makes a block resident, if the policy admits it, and returns whether it did. The blocks that are evicted for it
    /// go to `gone`.
    pub(crate) fn admit(
        &mut self,
        key: Key,
        charge: u64,
        admission: Admission,
        gone: &mut Vec<Arc<Staged>>,
    ) -> bool {
        let let_go = |_, staged| gone.push(staged);
        self.blocks
            .admit(key, charge, admission, Staged::in_use, let_go)
    }
}

impl Store {
    /// Creates a store over a temporary staging directory.
    pub(crate) fn new(staging: Staging) -> Arc<Self> {
        let path = staging.dir().path().to_owned();
        let share = staging.share().clone();
        let for_blocks = staging.for_blocks();
        let state = State::new(Role::Writer(staging), for_blocks);
        Self::of(path, share, state)
    }

    pub(crate) fn of(path: PathBuf, share: Arc<Share>, state: State) -> Arc<Self> {
        let store = Arc::new(Self {
            path,
            state: Mutex::new(state),
            taking_over: Mutex::default(),
            share,
            unstaged: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            reverified: AtomicU64::new(0),
            rotten: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&store);
        store.share.owned_by(weak);
        store
    }

    /// Returns the block, if it is staged, without noting a use.
    pub(crate) fn peek(&self, key: &Key) -> Option<Arc<Staged>> {
        let state = lock(&self.state);
        let own = || state.own.as_ref()?.peek(key);
        state.staged(key).or_else(own)
    }

    /// Returns the block, if it is staged, and notes a use of it and of each inner node on the way to it.
    pub(crate) fn take_use(&self, key: &Key, way: &[Key]) -> Option<Arc<Staged>> {
        let mut state = lock(&self.state);
        let own = || state.own.as_ref()?.take_use(key, way);
        let staged = state.staged(key).or_else(own)?;
        for inner in way {
            state.blocks.touch(inner);
        }
        state.blocks.touch(key);
        Some(staged)
    }

    /// Notes a use of a block, if it is staged.
    pub(crate) fn touch(&self, key: &Key) {
        let mut state = lock(&self.state);
        state.blocks.touch(key);
        if let Some(own) = &state.own {
            own.touch(key);
        }
    }

    /// Forgets a block whose bytes cannot be read back or are wrong.
    pub(crate) fn forget(&self, key: &Key) {
        let mut state = lock(&self.state);
        let gone = state.blocks.remove(key);
        if let Role::Follower(follower) = &state.role {
            follower.mark_wrong(key);
        }
        let own = state.own.clone();
        drop(state);
        gone.into_iter().for_each(let_go);
        if let Some(own) = own {
            own.forget(key);
        }
    }

    /// Stages a verified block, and evicts as the policy decides. Returns `None` if there is no room for the block, or
    /// if it cannot be written to disk; the caller then serves it from memory.
    ///
    /// Staging a block does not count as a use of it, whoever asked for it. Its first use is the read that follows.
    ///
    /// Writes to disk. A caller on an async thread must move blocks longer than
    /// [`OFF_THREAD`](crate::cache::staged::OFF_THREAD) to a blocking thread.
    pub(crate) fn stage(&self, key: Key, bytes: &[u8]) -> Option<Arc<Staged>> {
        let own = lock(&self.state).own.clone();
        let staged = match own {
            Some(own) => {
                let staged = own.try_stage(key, bytes);
                for (all, of_own) in [
                    (&self.evicted, &own.evicted),
                    (&self.failures, &own.failures),
                ] {
                    all.fetch_add(of_own.swap(0, Ordering::Relaxed), Ordering::Relaxed);
                }
                staged
            }
            None => self.try_stage(key, bytes),
        };
        if staged.is_none() {
            self.unstaged.fetch_add(1, Ordering::Relaxed);
        }
        staged
    }

    fn try_stage(&self, key: Key, bytes: &[u8]) -> Option<Arc<Staged>> {
        self.share.settle();
        let mut state = lock(&self.state);
        let staging = match &state.role {
            Role::Writer(staging) => staging.clone(),
            Role::Follower(_) | Role::Closed => return None,
        };
        if state.blocks.get(&key).is_some() {
            return state.staged(&key);
        }
        // Otherwise blocks would be evicted for nothing.
        if !staging.takes_writes() {
            return None;
        }
        state.blocks.set_budget(staging.for_blocks());
        let mut gone = Vec::new();
        let charge = staging.charge(bytes.len());
        let admitted = state.admit(key, charge, Admission::Ahead, &mut gone);
        drop(state);
        self.evicted.fetch_add(gone.len() as u64, Ordering::Relaxed);
        // Holes are punched outside the lock, and before the room that they free is reserved.
        gone.into_iter().for_each(let_go);
        if !admitted {
            return None;
        }
        let written = match staging.reserve(bytes.len()) {
            Some(room) => staging.write_as(room, &key, bytes).map_err(Some),
            // A victim still has a reader, so its room is not free yet.
            None => Err(None),
        };
        let mut state = lock(&self.state);
        match written {
            Ok(extent) => {
                let staged = Arc::new(Staged::new(key, extent, true));
                if let Role::Writer(_) = state.role {
                    state.blocks.put(key, staged.clone());
                }
                Some(staged)
            }
            Err(error) => {
                state.blocks.remove(&key);
                drop(state);
                if let Some(error) = error {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "a block was not staged and is served from memory");
                }
                None
            }
        }
    }

    /// How much of its budget the pinset may use now, in bytes.
    pub(crate) fn budget_bytes(&self) -> u64 {
        self.share.bytes()
    }

    /// The directory of the blocks, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes that are resident now, as the file system counts them; if another process is the writer, those of this
    /// process's own part.
    pub(crate) fn used(&self) -> u64 {
        let state = lock(&self.state);
        match &state.role {
            Role::Writer(staging) => staging.usage().reserved,
            Role::Follower(_) | Role::Closed => state.own.as_ref().map_or(0, |own| own.used()),
        }
    }

    /// The counters and the current state of replacement.
    pub(crate) fn replacement(&self) -> ReplacementStats {
        lock(&self.state).blocks.stats()
    }

    /// The number of blocks that are resident now; for a follower, of those that it leases and those in its own part.
    pub(crate) fn len(&self) -> usize {
        let state = lock(&self.state);
        state.blocks.len() + state.own.as_ref().map_or(0, |own| own.len())
    }

    /// Returns whether another process is the writer. This process then stages in a part of its own, once it has a share
    /// for one.
    pub(crate) fn reads_along(&self) -> bool {
        matches!(lock(&self.state).role, Role::Follower(_))
    }

    /// Closes the store. A temporary directory is freed; a persistent one stays on the disk.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        let gone = std::mem::replace(&mut *state, State::new(Role::Closed, 0));
        drop(state);
        drop(gone);
    }
}

impl Evict for Store {
    fn evict_beyond_share(&self) {
        let mut gone = Vec::new();
        let mut guard = lock(&self.state);
        let State { role, blocks, own } = &mut *guard;
        let Role::Writer(staging) = role else {
            let own = own.clone();
            drop(guard);
            return match own {
                Some(own) => own.evict_beyond_share(),
                None => self.share.lower(),
            };
        };
        let staging = staging.clone();
        blocks.set_budget(staging.for_blocks());
        blocks.evict_excess(Staged::is_read, |_, staged| gone.push(staged));
        drop(guard);
        self.evicted.fetch_add(gone.len() as u64, Ordering::Relaxed);
        // As when a block needs room, the holes are punched first.
        gone.into_iter().for_each(let_go);
        staging.lower();
    }
}
