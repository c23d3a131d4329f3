//! The staged blocks: which are there, which go when there is no room, and how each is read.
//!
//! Joins the staging directory (bytes under a budget, I2) with the replacement policy (which bytes). Knows
//! nothing of fetching. Invariant (I3): what the index names was verified in this run and written whole.

use std::{
    collections::HashMap,
    io,
    ops::Range,
    sync::{Arc, OnceLock, Weak},
};

use bytes::Bytes;

use crate::{
    block::{Key, KeyHash},
    budget::Evict,
    buffers::Buffers,
    replacement::{Admission, Decision, Eviction, Insertion, Replacement, ReplacementStats},
    staging::{Extent, Staging},
    sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock},
};

/// What is longer is hashed, written and read on a blocking thread, in bytes.
pub(crate) const OFF_THREAD: usize = 64 * 1024;

/// One staged block. Whoever holds the `Arc` may read it: it is "in use", and not evicted meanwhile.
pub(crate) struct Staged {
    pub(crate) key: Key,
    extent: Arc<Extent>,
    /// Where a file's bytes lie in the block, once it was decoded as a dag-pb leaf.
    leaf: OnceLock<Range<u32>>,
    buffers: Arc<Buffers>,
    /// How often it was read ahead and has not been consumed yet.
    kept: AtomicUsize,
}

impl Staged {
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
        self.is_read() || self.kept.load(Ordering::SeqCst) > 0
    }

    /// Whether somebody is reading it.
    fn is_read(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

    /// What the page cache has, on this thread; `None` where the disk would have to be waited for.
    pub(crate) fn try_read(&self, at: u64, len: usize) -> io::Result<Option<Bytes>> {
        let at = at as usize;
        let len = len.min(self.len().saturating_sub(at));
        let read = |into: &mut [u8]| self.extent.try_read_into(at, into);
        self.buffers.fill(len, read)
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

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Staged({} bytes)", self.len())
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
    staging: Staging,
    buffers: Arc<Buffers>,
    state: Mutex<State>,
    pub(crate) unstaged: AtomicU64,
    /// Blocks that the disk would not take.
    pub(crate) failures: AtomicU64,
    pub(crate) evicted: AtomicU64,
}

struct State {
    /// Invariant: every key is resident in `policy`. The reverse does not hold: a block that is being written is
    /// resident, and not in here yet.
    index: HashMap<Key, Arc<Staged>, KeyHash>,
    policy: Replacement<Key, KeyHash>,
}

impl Store {
    pub(crate) fn new(staging: Staging) -> Arc<Self> {
        let state = State {
            index: HashMap::default(),
            policy: Replacement::with_hasher(staging.usable(), KeyHash::default()),
        };
        let store = Arc::new(Self {
            staging,
            buffers: Arc::default(),
            state: Mutex::new(state),
            unstaged: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&store);
        store.staging.share().owned_by(weak);
        store
    }

    /// The block, if it is staged; no use is noted.
    pub(crate) fn peek(&self, key: &Key) -> Option<Arc<Staged>> {
        lock(&self.state).index.get(key).cloned()
    }

    /// The block, if it is staged; a use of it is noted, and one of each of the inner nodes on the way to it.
    pub(crate) fn take_use(&self, key: &Key, way: &[Key]) -> Option<Arc<Staged>> {
        let mut state = lock(&self.state);
        let staged = state.index.get(key)?.clone();
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

    /// Forgets a block whose bytes cannot be read back.
    pub(crate) fn forget(&self, key: &Key) {
        let mut state = lock(&self.state);
        state.policy.remove(key);
        let gone = state.index.remove(key);
        drop(state);
        drop(gone);
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
        self.staging.share().settle();
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.policy.set_budget(self.staging.usable());
        let charge = self.staging.charge(bytes.len());
        let room = match state.policy.request(&key, charge, Admission::Ahead) {
            Decision::Resident => return state.index.get(&key).cloned(),
            Decision::Oversize => return None,
            Decision::Admit(room) => room,
        };
        let mut gone = Vec::new();
        let index = &mut state.index;
        let found = loop {
            // What is not in the index is being written: in use as well.
            let in_use = |key: &Key| index.get(key).is_none_or(Staged::in_use);
            match state.policy.evict(&room, in_use) {
                Eviction::Enough => break true,
                Eviction::NoneFree => break false,
                Eviction::Victim { key, .. } => gone.extend(index.remove(&key)),
            }
        };
        let admitted = found && matches!(state.policy.insert(key, room), Insertion::Admitted);
        drop(guard);
        self.evicted.fetch_add(gone.len() as u64, Ordering::Relaxed);
        // Holes are punched outside the lock, and before the room that they give is reserved.
        drop(gone);
        if !admitted {
            return None;
        }
        let written = match self.staging.reserve(bytes.len()) {
            Some(room) => self.staging.write(room, bytes).map_err(Some),
            // A victim's last reader is still at it.
            None => Err(None),
        };
        let mut state = lock(&self.state);
        match written {
            Ok(extent) => {
                let staged = Arc::new(Staged {
                    key,
                    extent,
                    leaf: OnceLock::new(),
                    buffers: self.buffers.clone(),
                    kept: AtomicUsize::new(0),
                });
                state.index.insert(key, staged.clone());
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
        self.staging.share().bytes()
    }

    /// Where the blocks are, for messages.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.staging.dir().path()
    }

    /// Bytes resident now, as the file system counts them.
    pub(crate) fn used(&self) -> u64 {
        self.staging.usage().reserved
    }

    /// What replacement has counted, and where it stands.
    pub(crate) fn replacement(&self) -> ReplacementStats {
        lock(&self.state).policy.stats()
    }

    /// Number of blocks resident now.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).index.len()
    }

    /// Lets everything go.
    pub(crate) fn clear(&self) {
        let mut state = lock(&self.state);
        let gone = std::mem::take(&mut state.index);
        state.policy = Replacement::with_hasher(self.staging.usable(), KeyHash::default());
        drop(state);
        drop(gone);
    }
}

impl Evict for Store {
    fn evict_beyond_share(&self) {
        let mut gone = Vec::new();
        let mut guard = lock(&self.state);
        let State { index, policy } = &mut *guard;
        policy.set_budget(self.staging.usable());
        let in_use = |key: &Key| index.get(key).is_none_or(Staged::is_read);
        while let Eviction::Victim { key, .. } = policy.evict_excess(in_use) {
            gone.push(key);
        }
        let gone: Vec<_> = gone.iter().filter_map(|key| index.remove(key)).collect();
        drop(guard);
        self.evicted.fetch_add(gone.len() as u64, Ordering::Relaxed);
        // As for a block that needs room: the holes come first.
        drop(gone);
        self.staging.lower();
    }
}
