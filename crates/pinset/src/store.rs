//! The staged blocks: which are there, which go when there is no room, and how each is read.
//!
//! Joins the staging directory (bytes under a budget, I2) with the replacement policy (which bytes). Knows
//! nothing of fetching. Invariant (I3): what it hands out was verified in this run and written whole; what an earlier
//! run or another process left is in the index too, and handed out once [`warm`](Store::warm) has verified it.

use std::{
    collections::HashMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
    time::Instant,
};

use bytes::Bytes;

use crate::{
    block::{Key, KeyHash},
    budget::{Evict, Share},
    replacement::{Admission, Decision, Eviction, Insertion, Replacement, ReplacementStats},
    staging::{Extent, Follower, Staging},
    sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, lock},
};

/// What is longer is hashed, written and read on a blocking thread, in bytes.
pub(crate) const OFF_THREAD: usize = 64 * 1024;

/// One staged block. Whoever holds the `Arc` may read it: it is "in use", and not evicted meanwhile.
///
/// In C's order: what a read needs comes first. A reader that jumps finds a block in no cache of the processor's, and
/// each line of it costs as much as all the rest of the look-up.
#[repr(C)]
pub(crate) struct Staged {
    /// Whether the bytes were hashed in this run.
    verified: AtomicBool,
    extent: Extent,
    /// Where a file's bytes lie in the block, once it was decoded as a dag-pb leaf.
    leaf: OnceLock<Range<u32>>,
    /// How often it was read ahead and has not been consumed yet.
    kept: AtomicUsize,
    pub(crate) key: Key,
}

impl Staged {
    pub(crate) fn new(key: Key, extent: Extent, verified: bool) -> Self {
        Self {
            key,
            extent,
            leaf: OnceLock::new(),
            verified: AtomicBool::new(verified),
            kept: AtomicUsize::new(0),
        }
    }

    pub(crate) fn extent(&self) -> &Extent {
        &self.extent
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Acquire)
    }

    pub(crate) fn set_verified(&self) {
        self.verified.store(true, Ordering::Release);
    }

    /// The block's length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.extent.len()
    }

    /// Where the payload lies, if this block is known to be a dag-pb leaf.
    pub(crate) fn leaf(&self) -> Option<Range<u64>> {
        self.leaf
            .get()
            .map(|span| u64::from(span.start)..u64::from(span.end))
    }

    pub(crate) fn set_leaf(&self, payload: Range<usize>) {
        // A block is at most 2 MiB.
        _ = self.leaf.set(payload.start as u32..payload.end as u32);
    }

    /// Keeps it from replacement: it was read ahead, and the reader has not come to it.
    pub(crate) fn keep(self: &Arc<Self>) -> Kept {
        self.kept.fetch_add(1, Ordering::SeqCst);
        Kept(Arc::downgrade(self))
    }

    /// Whether replacement is to pass it over. The index has one `Arc` of it.
    fn in_use(self: &Arc<Self>) -> bool {
        self.kept.load(Ordering::SeqCst) > 0 || self.is_read()
    }

    /// Whether somebody is reading it, here or in another process.
    fn is_read(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || !self.extent.claim()
    }

    /// What the page cache has, on this thread; `None` where the disk would have to be waited for.
    pub(crate) fn try_read(&self, at: u64, len: usize) -> io::Result<Option<Bytes>> {
        Ok(self.extent.try_read(at as usize, len)?.map(Bytes::from))
    }

    /// `len` bytes from `at`, from a blocking thread if need be.
    pub(crate) async fn read(self: &Arc<Self>, at: u64, len: usize) -> io::Result<Bytes> {
        if let Some(bytes) = self.try_read(at, len)? {
            return Ok(bytes);
        }
        let staged = self.clone();
        tokio::task::spawn_blocking(move || staged.extent.read_blocking(at as usize, len))
            .await
            .map_err(io::Error::other)?
            .map(Bytes::from)
    }
}

/// A block that was read ahead: in use, so that the next to arrive does not push it out. It yields to a share of the
/// budget that became smaller, though, or one reader that stops in its file could hold up every new pinset.
#[derive(Debug)]
pub(crate) struct Kept(Weak<Staged>);

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(staged) = self.0.upgrade() {
            staged.kept.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

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
    /// What can be handed out, once it is verified; for a follower: what it leases just now.
    ///
    /// Invariant: every key is resident in `policy`. The reverse does not hold: a block that is being written is
    /// resident, and not in here yet.
    pub(crate) index: HashMap<Key, Arc<Staged>, KeyHash>,
    policy: Replacement<Key, KeyHash>,
}

impl State {
    pub(crate) fn new(role: Role, budget_bytes: u64) -> Self {
        Self {
            role,
            index: HashMap::default(),
            policy: Replacement::with_hasher(budget_bytes, KeyHash::default()),
        }
    }

    fn staged(&self, key: &Key) -> Option<Arc<Staged>> {
        let staged = self.index.get(key)?;
        staged.is_verified().then(|| staged.clone())
    }

    /// Makes `staged` resident, if the policy lets it in; what has to give way for it goes to `gone`.
    pub(crate) fn admit(
        &mut self,
        key: Key,
        charge: u64,
        admission: Admission,
        gone: &mut Vec<Arc<Staged>>,
    ) -> bool {
        let room = match self.policy.request(&key, charge, admission) {
            Decision::Admit(room) => room,
            Decision::Resident | Decision::Oversize => return false,
        };
        loop {
            let index = &self.index;
            // What is not in the index is being written: in use as well.
            let in_use = |key: &Key| index.get(key).is_none_or(Staged::in_use);
            match self.policy.evict(&room, in_use) {
                Eviction::Enough => break,
                Eviction::NoneFree => return false,
                Eviction::Victim { key, .. } => gone.extend(self.index.remove(&key)),
            }
        }
        matches!(self.policy.insert(key, room), Insertion::Admitted)
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
            state.policy.touch(inner);
        }
        state.policy.touch(key);
        Some(staged)
    }

    /// Notes a use of a block, if it is staged.
    pub(crate) fn touch(&self, key: &Key) {
        lock(&self.state).policy.touch(key);
    }

    /// Forgets a block whose bytes cannot be read back, or are wrong.
    pub(crate) fn forget(&self, key: &Key) {
        let mut state = lock(&self.state);
        state.policy.remove(key);
        let gone = state.index.remove(key);
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
    /// Writes to disk; a caller on an async thread moves what is over [`OFF_THREAD`] elsewhere.
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
        if state.index.contains_key(&key) {
            return state.staged(&key);
        }
        // Else blocks would be evicted for nothing.
        if !staging.takes_writes() {
            // coverage: needs a file system that turns read-only under files that are open for writing.
            return None;
        }
        let for_blocks = staging.for_blocks();
        if for_blocks != state.policy.budget() {
            state.policy.set_budget(for_blocks);
        }
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
                    state.index.insert(key, staged.clone());
                }
                Some(staged)
            }
            Err(error) => {
                state.policy.remove(&key);
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
        lock(&self.state).policy.stats()
    }

    /// Number of blocks resident now; for a follower, of those that it leases.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).index.len()
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
        let State {
            role,
            index,
            policy,
        } = &mut *guard;
        let Role::Writer(staging) = role else {
            drop(guard);
            return self.share.lower();
        };
        let staging = staging.clone();
        policy.set_budget(staging.for_blocks());
        let in_use = |key: &Key| index.get(key).is_none_or(Staged::is_read);
        while let Eviction::Victim { key, .. } = policy.evict_excess(in_use) {
            gone.push(key);
        }
        let gone: Vec<_> = gone.iter().filter_map(|key| index.remove(key)).collect();
        drop(guard);
        self.evicted.fetch_add(gone.len() as u64, Ordering::Relaxed);
        // As for a block that needs room: the holes come first.
        gone.into_iter().for_each(let_go);
        staging.lower();
    }
}

/// Drops a block that is not to stay: the last to do so frees its slot.
pub(crate) fn let_go(staged: Arc<Staged>) {
    staged.extent.discard();
}
