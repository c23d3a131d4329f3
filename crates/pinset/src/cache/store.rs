//! The staged blocks: which are there, which go when there is no room, and how each is read.
//!
//! Joins the staging directory (bytes under a budget, I2) with the replacement policy (which bytes). Knows
//! nothing of fetching. Invariant (I3): what it hands out was verified in this run and written whole; what an earlier
//! run or another process left is in the index too, and handed out once
//! [`verify_at_first_use`](Store::verify_at_first_use) has verified it.

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
    /// Where they are, for messages.
    pub(crate) path: PathBuf,
    pub(crate) state: Mutex<State>,
    /// Held by the one that takes the directory over, which is done once. When that failed last.
    pub(crate) taking_over: Mutex<Option<Instant>>,
    /// Goes back after all that it paid for.
    pub(crate) share: Arc<Share>,
    pub(crate) unstaged: AtomicU64,
    /// Blocks that the disk would not take.
    pub(crate) failures: AtomicU64,
    pub(crate) evicted: AtomicU64,
    /// Blocks of an earlier run or another process that were verified at their first use.
    pub(crate) reverified: AtomicU64,
    /// Those that were wrong.
    pub(crate) rotten: AtomicU64,
}

/// What this process does in the staging directory.
pub(crate) enum Role {
    /// It stages and evicts.
    Writer(Staging),
    /// Another does; what is there is read.
    Follower(Follower),
    /// Nothing any more.
    Closed,
}

pub(crate) struct State {
    pub(crate) role: Role,
    /// What can be handed out, once it is verified; for a follower: what it leases just now. A block that is
    /// being written is resident, and has no value yet.
    pub(crate) blocks: Residents<Key, Arc<Staged>, KeyHash>,
}

impl State {
    pub(crate) fn new(role: Role, budget_bytes: u64) -> Self {
        Self {
            role,
            blocks: Residents::new(budget_bytes),
        }
    }

    fn staged(&self, key: &Key) -> Option<Arc<Staged>> {
        let staged = self.blocks.get(key)?;
        staged.is_verified().then(|| staged.clone())
    }

    /// Makes a block resident, if the policy lets it in; what has to give way for it goes to `gone`.
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
    /// Over a temporary staging directory.
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

    /// The block, if it is staged; no use is noted.
    pub(crate) fn peek(&self, key: &Key) -> Option<Arc<Staged>> {
        lock(&self.state).staged(key)
    }

    /// The block, if it is staged; a use of it is noted, and one of each of the inner nodes on the way to it.
    pub(crate) fn take_use(&self, key: &Key, way: &[Key]) -> Option<Arc<Staged>> {
        let mut state = lock(&self.state);
        let staged = state.staged(key)?;
        for inner in way {
            state.blocks.touch(inner);
        }
        state.blocks.touch(key);
        Some(staged)
    }

    /// Notes a use of a block, if it is staged.
    pub(crate) fn touch(&self, key: &Key) {
        lock(&self.state).blocks.touch(key);
    }

    /// Forgets a block whose bytes cannot be read back, or are wrong.
    pub(crate) fn forget(&self, key: &Key) {
        let mut state = lock(&self.state);
        let gone = state.blocks.remove(key);
        if let Role::Follower(follower) = &state.role {
            follower.mark_wrong(key);
        }
        drop(state);
        gone.into_iter().for_each(let_go);
    }

    /// Stages a verified block, evicting what the policy lets go. `None` where there is no room for it, or the
    /// disk would not take it: it is then to be served from memory.
    ///
    /// Staging counts as no use, whoever asked for the block: the read that follows is its first.
    ///
    /// Writes to disk; a caller on an async thread moves what is over
    /// [`OFF_THREAD`](crate::cache::staged::OFF_THREAD) elsewhere.
    pub(crate) fn stage(&self, key: Key, bytes: &[u8]) -> Option<Arc<Staged>> {
        let staged = self.try_stage(key, bytes);
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
        // Else blocks would be evicted for nothing.
        if !staging.takes_writes() {
            // coverage: needs a file system that turns read-only under files that are open for writing.
            return None;
        }
        state.blocks.set_budget(staging.for_blocks());
        let mut gone = Vec::new();
        let charge = staging.charge(bytes.len());
        let admitted = state.admit(key, charge, Admission::Ahead, &mut gone);
        drop(state);
        self.evicted.fetch_add(gone.len() as u64, Ordering::Relaxed);
        // Holes are punched outside the lock, and before the room that they give is reserved.
        gone.into_iter().for_each(let_go);
        if !admitted {
            return None;
        }
        let written = match staging.reserve(bytes.len()) {
            Some(room) => staging.write_as(room, &key, bytes).map_err(Some),
            // A victim's last reader is still at it.
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
                    tracing::warn!(%error, "a block was not staged, and is served from memory");
                }
                None
            }
        }
    }

    /// What the pinset may use of its budget now, in bytes.
    pub(crate) fn budget_bytes(&self) -> u64 {
        self.share.bytes()
    }

    /// Where the blocks are, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes resident now, as the file system counts them; none where another process is the writer.
    pub(crate) fn used(&self) -> u64 {
        match &lock(&self.state).role {
            Role::Writer(staging) => staging.usage().reserved,
            Role::Follower(_) | Role::Closed => 0,
        }
    }

    /// What replacement has counted, and where it stands.
    pub(crate) fn replacement(&self) -> ReplacementStats {
        lock(&self.state).blocks.stats()
    }

    /// Number of blocks resident now; for a follower, of those that it leases.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).blocks.len()
    }

    /// Whether another process is the writer, so that nothing is staged.
    pub(crate) fn reads_along(&self) -> bool {
        matches!(lock(&self.state).role, Role::Follower(_))
    }

    /// Lets everything go: what is temporary is freed, what is persistent stays on the disk.
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
        let State { role, blocks } = &mut *guard;
        let Role::Writer(staging) = role else {
            drop(guard);
            return self.share.lower();
        };
        let staging = staging.clone();
        blocks.set_budget(staging.for_blocks());
        blocks.evict_excess(Staged::is_read, |_, staged| gone.push(staged));
        drop(guard);
        self.evicted.fetch_add(gone.len() as u64, Ordering::Relaxed);
        // As for a block that needs room: the holes come first.
        gone.into_iter().for_each(let_go);
        staging.lower();
    }
}
