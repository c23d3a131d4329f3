//! The staged blocks: which are there, and which are evicted when there is no room.
//!
//! Joins the staging directory (bytes under a budget, I2) with the replacement policy (which bytes). Knows nothing of
//! fetching. Invariant (I3): every block that it hands out was verified in this run and is complete. The table also has
//! the blocks that an earlier run or another process left; these are handed out once
//! [`verify_at_first_use`](Store::verify_at_first_use) has verified them.
//!
//! The lock of the table is held for a bounded number of steps, and never while the disk is written or a lock of a file
//! is tried.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Instant,
};

use bytes::Bytes;
use pinset_policy::replacement::{Admission, ReplacementStats};
use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    block::Key,
    budget::{Evict, Share},
    cache::{
        blocks::{Admitted, Blocks, Victim},
        most_blocks, off_thread,
        staged::Staged,
        writing::{Queue, Queued, Write},
    },
    staging::{Follower, Staging},
    sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock},
};

#[cfg(test)]
mod tests;

/// How many steps of evictions one admission takes at most. A step evicts 128 blocks.
const STEPS: usize = 16;

/// A store with more blocks than this is dropped on a blocking thread.
const FEW: usize = 64;

/// All staged blocks of a pinset.
pub(crate) struct Store {
    /// The directory, for messages.
    pub(crate) path: PathBuf,
    me: Weak<Self>,
    pub(crate) state: Mutex<State>,
    writes: Queue<oneshot::Sender<Option<Arc<Staged>>>>,
    /// Whether a thread is bringing the use down to the share.
    coming_down: AtomicBool,
    /// When a take-over of the directory last failed. The lock is held during a take-over, so that only one thread
    /// tries it.
    pub(crate) taking_over: Mutex<Option<Instant>>,
    /// How many blocks all pinsets with the same budget may stage.
    most_blocks: AtomicU64,
    pub(crate) unstaged: AtomicU64,
    /// Blocks that could not be written to disk.
    pub(crate) failures: AtomicU64,
    pub(crate) evicted: AtomicU64,
    /// Blocks of an earlier run or another process that were verified at their first use and were right.
    pub(crate) reverified: AtomicU64,
    /// Blocks of an earlier run or another process that turned out to be wrong at their first use.
    pub(crate) rotten: AtomicU64,
    /// Dropped after everything that it pays for.
    pub(crate) share: Arc<Share>,
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
    /// The blocks that can be handed out once they are verified; for a follower, the blocks that it leases now.
    pub(crate) blocks: Blocks,
    /// The blocks that a follower has fetched and staged in a part of its own.
    pub(crate) own: Option<Arc<Store>>,
}

impl State {
    pub(crate) fn new(role: Role, budget_bytes: u64) -> Self {
        let staging = match &role {
            Role::Writer(staging) => Some(staging.clone()),
            Role::Follower(_) | Role::Closed => None,
        };
        Self {
            role,
            blocks: Blocks::new(staging, budget_bytes),
            own: None,
        }
    }

    /// Makes a block resident, if the policy admits it, and returns whether it did. The blocks that are evicted for it
    /// go to `gone`.
    pub(crate) fn admit(
        &mut self,
        key: Key,
        weight: u64,
        admission: Admission,
        gone: &mut Vec<Victim>,
    ) -> bool {
        let Some(mut room) = self.blocks.request(&key, weight, admission) else {
            return false;
        };
        loop {
            match self.blocks.admit(&key, room, gone) {
                Admitted::Yes => return true,
                Admitted::No => return false,
                Admitted::NotYet(rest) => room = rest,
            }
        }
    }
}

/// The least weight of a block under this share, in bytes: with it, at most `most_blocks` fit into the whole budget.
fn least_weight(share: &Share, most_blocks: u64) -> u64 {
    share.total_bytes() / most_blocks.max(1)
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
        let store = Arc::new_cyclic(|me: &Weak<Self>| Self {
            path,
            me: me.clone(),
            state: Mutex::new(state),
            writes: Queue::new(),
            coming_down: AtomicBool::new(false),
            taking_over: Mutex::default(),
            most_blocks: AtomicU64::new(most_blocks::by_memory()),
            unstaged: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            reverified: AtomicU64::new(0),
            rotten: AtomicU64::new(0),
            share,
        });
        let weak = store.me.clone();
        store.share.owned_by(weak);
        store
    }

    /// Sets how many blocks all pinsets with the same budget may stage, whatever their size.
    pub(crate) fn set_most_blocks(&self, most: u64) {
        self.most_blocks.store(most, Ordering::Relaxed);
    }

    /// Returns the block, if it is staged, without noting a use.
    pub(crate) fn peek(&self, key: &Key) -> Option<Arc<Staged>> {
        let mut state = lock(&self.state);
        let staged = state.blocks.peek(key);
        staged.or_else(|| state.own.as_ref()?.peek(key))
    }

    /// Returns the block, if it is staged, and notes a use of it and of each inner node on the way to it.
    pub(crate) fn take_use(&self, key: &Key, way: &[Key]) -> Option<Arc<Staged>> {
        let mut state = lock(&self.state);
        let staged = state.blocks.take_use(key, way);
        staged.or_else(|| state.own.as_ref()?.take_use(key, way))
    }

    /// Notes a use of a block, if it is staged.
    pub(crate) fn touch(&self, key: &Key) {
        let mut state = lock(&self.state);
        state.blocks.touch(key);
        if let Some(own) = &state.own {
            own.touch(key);
        }
    }

    /// Forgets a block whose bytes cannot be read back or are wrong: this very block, and not another one of the same
    /// key that was staged since.
    pub(crate) fn forget(&self, staged: &Staged) {
        staged.extent().discard();
        let mut state = lock(&self.state);
        state.blocks.forget(staged);
        if let Role::Follower(follower) = &state.role {
            follower.mark_wrong(&staged.key);
        }
        let own = state.own.clone();
        drop(state);
        if let Some(own) = own {
            own.forget(staged);
        }
    }

    /// Stages a verified block, and evicts as the policy decides. Returns `None` if there is no room for the block, or
    /// if it cannot be written to disk; the caller then serves it from memory.
    ///
    /// Staging a block does not count as a use of it, whoever asked for it. Its first use is the read that follows.
    ///
    /// Writes to disk, so it must run on a blocking thread. An async thread calls
    /// [`stage_off_thread`](Self::stage_off_thread).
    pub(crate) fn stage(&self, key: Key, bytes: &[u8]) -> Option<Arc<Staged>> {
        let own = lock(&self.state).own.clone();
        let staged = off_thread::waiting(|| match own {
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
        });
        if staged.is_none() {
            self.unstaged.fetch_add(1, Ordering::Relaxed);
        }
        staged
    }

    /// As [`stage`](Self::stage), on a blocking thread. If too many blocks wait to be written, returns `None` at once.
    ///
    /// A block that is in the queue is staged even if the future is dropped.
    pub(crate) async fn stage_off_thread(&self, key: Key, bytes: Bytes) -> Option<Arc<Staged>> {
        let (Ok(runtime), Some(store)) = (Handle::try_current(), self.me.upgrade()) else {
            return self.stage(key, &bytes);
        };
        let (done, staged) = oneshot::channel();
        match self.writes.push(Write { key, bytes, done }) {
            Queued::Yes => {}
            Queued::StartWriter => drop(runtime.spawn_blocking(move || store.write_queued())),
            Queued::Full => {
                self.unstaged.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        staged.await.ok().flatten()
    }

    fn write_queued(&self) {
        while let Some(Write { key, bytes, done }) = self.writes.take() {
            // A panic must not end the writer: others wait for it.
            let staged = catch_unwind(AssertUnwindSafe(|| self.stage(key, &bytes)));
            let staged = staged.unwrap_or_default();
            drop(bytes);
            // If nobody waits for it any more, the block is staged all the same.
            _ = done.send(staged);
        }
    }

    fn try_stage(&self, key: Key, bytes: &[u8]) -> Option<Arc<Staged>> {
        self.share.settle();
        let staging = {
            let mut state = lock(&self.state);
            if state.blocks.contains(&key) {
                return state.blocks.peek(&key);
            }
            self.writer(&state)?
        };
        // Otherwise blocks would be evicted for nothing.
        if !staging.takes_writes() || !self.make_room(&staging, &key, bytes.len()) {
            return None;
        }
        let written = match staging.reserve(bytes.len()) {
            Some(room) => staging.write_as(room, &key, bytes).map_err(Some),
            // A victim still has a reader, so its room is not free yet.
            None => Err(None),
        };
        match written {
            Ok(extent) => {
                let staged = Arc::new(Staged::new(key, extent, true));
                lock(&self.state).blocks.put(key, staged.clone());
                Some(staged)
            }
            Err(error) => {
                lock(&self.state).blocks.give_up(&key);
                if let Some(error) = error {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "a block was not staged and is served from memory");
                }
                None
            }
        }
    }

    /// Returns the staging directory, if this process writes to it.
    fn writer(&self, state: &State) -> Option<Staging> {
        match &state.role {
            Role::Writer(staging) => Some(staging.clone()),
            Role::Follower(_) | Role::Closed => None,
        }
    }

    /// Makes a block of `len` bytes resident, and frees the slots of those that are evicted for it. Returns whether
    /// there was room; if so, the caller writes the block.
    fn make_room(&self, staging: &Staging, key: &Key, len: usize) -> bool {
        let least = least_weight(&self.share, self.most_blocks.load(Ordering::Relaxed));
        let weight = staging.charge(len).max(least);
        let mut room = {
            let mut state = lock(&self.state);
            state.blocks.set_budget(staging.for_blocks());
            state.blocks.request(key, weight, Admission::Ahead)
        };
        if room.is_none() {
            return false;
        }
        let (mut refused, mut admitted) = (Vec::new(), false);
        for _ in 0..STEPS {
            let mut gone = Vec::new();
            self.take_back(std::mem::take(&mut refused), staging);
            let step = {
                let mut state = lock(&self.state);
                match room.take() {
                    Some(room) => state.blocks.admit(key, room, &mut gone),
                    // It is resident already, and so are blocks again that another process leases.
                    None => {
                        state.blocks.evict_excess(&mut gone);
                        Admitted::Yes
                    }
                }
            };
            // Holes are punched outside the lock, and before the room that they free is reserved.
            refused = self.free(gone, staging);
            match step {
                Admitted::Yes if refused.is_empty() => return true,
                Admitted::Yes => admitted = true,
                Admitted::NotYet(rest) => room = Some(rest),
                Admitted::No => break,
            }
        }
        self.take_back(refused, staging);
        // Otherwise another thread may be writing the same block.
        if admitted {
            lock(&self.state).blocks.give_up(key);
        }
        false
    }

    /// Frees the slots of these blocks. Returns those that another process leases.
    fn free(&self, gone: Vec<Victim>, staging: &Staging) -> Vec<Victim> {
        let count = gone.len();
        let freed = gone.into_iter().filter_map(|it| it.free(staging).err());
        let refused: Vec<_> = freed.collect();
        let freed = (count - refused.len()) as u64;
        self.evicted.fetch_add(freed, Ordering::Relaxed);
        refused
    }

    /// Takes blocks back that another process leases.
    fn take_back(&self, refused: Vec<Victim>, staging: &Staging) {
        if refused.is_empty() {
            return;
        }
        let doubles: Vec<_> = {
            let mut state = lock(&self.state);
            let doubles = refused.into_iter().map(|it| state.blocks.take_back(it));
            doubles.collect()
        };
        // Blocks that have been fetched and staged again meanwhile.
        let doubles = doubles.into_iter().flatten();
        doubles.for_each(|double| double.discard(staging));
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

    /// Closes the store, on a blocking thread. A temporary directory is freed; a persistent one stays on the disk. Goes on
    /// if the future is dropped.
    pub(crate) async fn close_off_thread(&self) {
        let gone = self.take_state();
        let (done, closed) = oneshot::channel();
        off_thread::run(move || {
            gone.abandon();
            // Nobody has to wait for it.
            _ = done.send(());
        });
        _ = closed.await;
    }

    fn take_state(&self) -> State {
        std::mem::replace(&mut *lock(&self.state), State::new(Role::Closed, 0))
    }
}

/// The operations of a host on the staged blocks.
impl Store {
    /// Evicts one block, unless somebody is reading it. Returns whether it did.
    ///
    /// Writes to disk, so it must run on a blocking thread.
    pub(crate) fn evict(&self, key: &Key) -> bool {
        let (victim, staging) = {
            let mut state = lock(&self.state);
            let Some(staging) = self.writer(&state) else {
                return false;
            };
            (state.blocks.take(key), staging)
        };
        let Some(victim) = victim else { return false };
        off_thread::waiting(|| {
            let refused = self.free(vec![victim], &staging);
            let evicted = refused.is_empty();
            self.take_back(refused, &staging);
            evicted
        })
    }

    /// Evicts all blocks that are here now, in steps. Those that are being read are freed by their last reader, and
    /// those that another process leases stay.
    ///
    /// Writes to disk, so it must run on a blocking thread.
    pub(crate) fn clear(&self) {
        let mut end = Some(usize::MAX);
        while let Some(below) = end {
            let mut gone = Vec::new();
            let staging = {
                let mut state = lock(&self.state);
                let Some(staging) = self.writer(&state) else {
                    return;
                };
                end = state.blocks.take_below(below, &mut gone);
                staging
            };
            off_thread::waiting(|| {
                let refused = self.free(gone, &staging);
                self.take_back(refused, &staging);
            });
        }
    }

    /// Returns the keys of at most `most` staged blocks, and where the next call goes on. The first call begins at
    /// `usize::MAX`. A block that stays is not left out, and one may come twice.
    pub(crate) fn keys_from(&self, cursor: usize, most: usize) -> (Vec<Key>, Option<usize>) {
        lock(&self.state).blocks.keys_below(cursor, most.max(1))
    }
}

#[cfg(test)]
impl Store {
    /// Closes the store on this thread.
    pub(crate) fn close(&self) {
        let gone = self.take_state();
        off_thread::waiting(|| gone.abandon());
    }
}

impl State {
    /// Frees the slots of blocks that were evicted, if this process writes.
    pub(crate) fn free(&self, gone: Vec<Victim>) {
        if let Role::Writer(staging) = &self.role {
            gone.into_iter().for_each(|victim| victim.discard(staging));
        }
    }

    /// Drops all blocks. With the last reader, a temporary directory goes as a whole, and not block by block.
    fn abandon(mut self) {
        self.blocks.abandon();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let gone = self.take_state();
        if gone.blocks.len() <= FEW {
            return off_thread::waiting(|| gone.abandon());
        }
        let share = self.share.clone();
        off_thread::run(move || {
            gone.abandon();
            drop(share);
        });
    }
}

impl Evict for Store {
    fn evict_beyond_share(&self) -> bool {
        off_thread::waiting(|| {
            let mut gone = Vec::new();
            let mut state = lock(&self.state);
            let Some(staging) = self.writer(&state) else {
                let own = state.own.clone();
                drop(state);
                return match own {
                    Some(own) => own.evict_beyond_share(),
                    None => {
                        self.share.lower();
                        false
                    }
                };
            };
            state.blocks.set_budget(staging.for_blocks());
            let more = state.blocks.evict_excess(&mut gone);
            drop(state);
            let count = gone.len();
            // As when a block needs room, the holes are punched first.
            let refused = self.free(gone, &staging);
            // If all are leased by other processes, there is nothing more to be had.
            let more = more && refused.len() < count;
            self.take_back(refused, &staging);
            staging.lower();
            more
        })
    }

    fn go_on(self: Arc<Self>) {
        if self.coming_down.swap(true, Ordering::SeqCst) {
            return;
        }
        let store = Arc::downgrade(&self);
        off_thread::run_beside(move || {
            // Between the steps, the store may be dropped.
            while let Some(store) = store.upgrade() {
                if !store.evict_beyond_share() {
                    return store.coming_down.store(false, Ordering::SeqCst);
                }
            }
        });
    }
}
