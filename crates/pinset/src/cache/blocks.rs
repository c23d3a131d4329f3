//! The table of the staged blocks: the index, replacement and the place of each block, in one entry of a hundred bytes.
//!
//! Invariant: what is in the table and what replacement counts are the same. A block has a handle ([`Staged`]) while
//! somebody reads or watches it, and if it is one of the last [`HELD`] that had one. All others are parked.

use std::{collections::VecDeque, mem, sync::Arc};

use pinset_policy::{
    Slot,
    replacement::{Admission, Decision, Eviction, Insertion, Replacement, ReplacementStats, Room},
};

use crate::{
    block::{Key, KeyHash},
    cache::{
        short_key::{ShortKey, Sought},
        staged::{Rest, Staged},
    },
    staging::{Parked, Staging},
};

/// How many blocks that nobody reads keep their handle.
const HELD: usize = 1024;

/// How many blocks one step evicts at most, so that the lock of the table is never held for long.
const STEP: usize = 128;

pub(crate) struct Blocks {
    policy: Replacement<ShortKey, Entry, KeyHash>,
    /// The blocks that have a handle, in the order in which they got it. It also has keys that have left since.
    held: VecDeque<Key>,
    /// Where parked blocks lie; `None` if this process does not write.
    staging: Option<Staging>,
}

enum Entry {
    /// The block is being written.
    Pending,
    Held(Arc<Staged>),
    Parked(Parked, Rest),
}

/// A block that has left the table.
pub(crate) struct Victim {
    key: ShortKey,
    entry: Entry,
    weight: u64,
}

/// The result of one step of an admission.
pub(crate) enum Admitted {
    /// The block is resident and its bytes are not here yet.
    Yes,
    /// There is no room for it.
    No,
    /// More has to be evicted first.
    NotYet(Room),
}

impl Entry {
    fn is_read(&self) -> bool {
        match self {
            Self::Pending => true,
            Self::Held(staged) => staged.is_read(),
            Self::Parked(..) => false,
        }
    }

    fn in_use(&self) -> bool {
        match self {
            Self::Pending => true,
            Self::Held(staged) => staged.in_use(),
            Self::Parked(..) => false,
        }
    }

    fn is_verified(&self) -> bool {
        match self {
            Self::Pending => false,
            Self::Held(staged) => staged.is_verified(),
            Self::Parked(_, rest) => rest.verified,
        }
    }
}

impl Blocks {
    pub(crate) fn new(staging: Option<Staging>, budget_bytes: u64) -> Self {
        Self {
            policy: Replacement::with_hasher(budget_bytes, KeyHash::default()),
            held: VecDeque::new(),
            staging,
        }
    }

    /// Returns whether the block is here or is being written.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.policy.contains(&Sought(key))
    }

    /// Returns the block, verified or not, without noting a use.
    pub(crate) fn get(&mut self, key: &Key) -> Option<Arc<Staged>> {
        let slot = self.policy.find(&Sought(key))?;
        if let Entry::Held(staged) = self.policy.value(slot) {
            return Some(staged.clone());
        }
        let (parked, rest) = match mem::replace(self.policy.value_mut(slot), Entry::Pending) {
            Entry::Parked(parked, rest) => (parked, rest),
            other => {
                *self.policy.value_mut(slot) = other;
                return None;
            }
        };
        let extent = self.staging.as_ref()?.unpark(parked);
        let staged = Arc::new(Staged::unparked(*key, extent, rest));
        *self.policy.value_mut(slot) = Entry::Held(staged.clone());
        self.now_held(*key);
        Some(staged)
    }

    /// Returns the block, if it is verified, without noting a use.
    pub(crate) fn peek(&mut self, key: &Key) -> Option<Arc<Staged>> {
        let slot = self.policy.find(&Sought(key))?;
        self.verified(slot, key)
    }

    fn verified(&mut self, slot: Slot, key: &Key) -> Option<Arc<Staged>> {
        match self.policy.value(slot) {
            Entry::Held(staged) => staged.is_verified().then(|| staged.clone()),
            entry if entry.is_verified() => self.get(key),
            _ => None,
        }
    }

    /// Returns the block, if it is verified, and notes a use of it and of each block on the way to it.
    pub(crate) fn take_use(&mut self, key: &Key, way: &[Key]) -> Option<Arc<Staged>> {
        let slot = self.policy.find(&Sought(key))?;
        let staged = self.verified(slot, key)?;
        for inner in way {
            self.touch(inner);
        }
        // A use moves no entry out of its slot.
        self.policy.used(slot);
        Some(staged)
    }

    /// Notes a use.
    pub(crate) fn touch(&mut self, key: &Key) {
        self.policy.touch(&Sought(key));
    }

    /// Requests room for a block that is not here. Returns `None` if it is here, or has no room even alone.
    pub(crate) fn request(&mut self, key: &Key, weight: u64, admission: Admission) -> Option<Room> {
        match self.policy.request(&Sought(key), weight, admission) {
            Decision::Admit(room) => Some(room),
            Decision::Resident | Decision::Oversize => None,
        }
    }

    /// Evicts some blocks, and makes `key` resident once there is room. Then the caller [`put`](Self::put)s the block.
    /// The evicted blocks go to `gone`, even if there is no room in the end.
    pub(crate) fn admit(&mut self, key: &Key, room: Room, gone: &mut Vec<Victim>) -> Admitted {
        for _ in 0..STEP {
            match self
                .policy
                .evict_value(&room, |_, entry: &Entry| entry.in_use())
            {
                Eviction::Enough => {
                    let (key, entry) = (ShortKey::of(key), Entry::Pending);
                    return match self.policy.insert_value(key, entry, room) {
                        Insertion::Admitted => Admitted::Yes,
                        Insertion::Resident | Insertion::NoRoom(_) => Admitted::No,
                    };
                }
                Eviction::NoneFree => return Admitted::No,
                victim => gone.extend(Victim::of(victim)),
            }
        }
        Admitted::NotYet(room)
    }

    /// Evicts some of the blocks beyond the budget, except those inside a read. Returns whether there may be more.
    pub(crate) fn evict_excess(&mut self, gone: &mut Vec<Victim>) -> bool {
        for _ in 0..STEP {
            match self
                .policy
                .evict_excess_value(|_, entry: &Entry| entry.is_read())
            {
                Eviction::Enough | Eviction::NoneFree => return false,
                victim => gone.extend(Victim::of(victim)),
            }
        }
        true
    }

    /// Takes a victim back that another process leases. Returns it if there is another block of its key by now.
    pub(crate) fn take_back(&mut self, victim: Victim) -> Option<Victim> {
        let Victim { key, entry, weight } = victim;
        let (key, entry) = self.policy.take_back(key, entry, weight)?;
        Some(Victim { key, entry, weight })
    }

    /// Sets the block of a key that was admitted. Returns whether its place was still there.
    pub(crate) fn put(&mut self, key: Key, staged: Arc<Staged>) -> bool {
        let Some(slot) = self.policy.find(&Sought(&key)) else {
            return false;
        };
        let entry = self.policy.value_mut(slot);
        if !matches!(entry, Entry::Pending) {
            return false;
        }
        *entry = Entry::Held(staged);
        self.now_held(key);
        true
    }

    /// Drops the place of a block that could not be written.
    pub(crate) fn give_up(&mut self, key: &Key) {
        if let Some(slot) = self.policy.find(&Sought(key))
            && matches!(self.policy.value(slot), Entry::Pending)
        {
            self.policy.take(slot);
        }
    }

    /// Forgets this very block. A newer block of the same key stays.
    pub(crate) fn forget(&mut self, block: &Staged) {
        if let Some(slot) = self.policy.find(&Sought(&block.key))
            && let Entry::Held(staged) = self.policy.value(slot)
            && std::ptr::eq(Arc::as_ptr(staged), block)
        {
            self.policy.take(slot);
        }
    }

    /// Takes a block out that nobody is reading.
    pub(crate) fn take(&mut self, key: &Key) -> Option<Victim> {
        let slot = self.policy.find(&Sought(key))?;
        if self.policy.value(slot).is_read() {
            return None;
        }
        let (key, entry, weight) = self.policy.take(slot)?;
        Some(Victim { key, entry, weight })
    }

    /// Takes some of the blocks out that are in places below `end`. Returns where the next step goes on.
    pub(crate) fn take_below(&mut self, end: usize, gone: &mut Vec<Victim>) -> Option<usize> {
        let places = self.policy.below(end).take(STEP);
        // From the last place to the first: the entry that moves into a freed place comes from behind it.
        let slots: Vec<_> = places
            .filter(|(_, _, entry)| !matches!(entry, Entry::Pending))
            .map(|(slot, ..)| slot)
            .collect();
        let next = end.min(self.policy.len()).saturating_sub(STEP);
        for slot in slots {
            let taken = self.policy.take(slot);
            gone.extend(taken.map(|(key, entry, weight)| Victim { key, entry, weight }));
        }
        (next > 0).then_some(next)
    }

    /// The keys of at most `most` blocks in places below `end`, and where the next step goes on. A block that stays is
    /// not left out, and one may come twice.
    pub(crate) fn keys_below(&self, end: usize, most: usize) -> (Vec<Key>, Option<usize>) {
        let places = self.policy.below(end).take(most);
        let keys = places
            .filter(|(_, _, entry)| !matches!(entry, Entry::Pending))
            .map(|(_, key, _)| key.key())
            .collect();
        let next = end.min(self.policy.len()).saturating_sub(most);
        (keys, (next > 0).then_some(next))
    }

    /// Leaves all blocks that nobody reads to the directory, which is being closed.
    pub(crate) fn abandon(&mut self) {
        for key in mem::take(&mut self.held) {
            let Some(slot) = self.policy.find(&Sought(&key)) else {
                continue;
            };
            if let Entry::Held(staged) = mem::replace(self.policy.value_mut(slot), Entry::Pending) {
                staged.abandon();
            }
        }
    }

    /// Sets the budget, in bytes. Nothing is admitted until the blocks beyond it are evicted.
    pub(crate) fn set_budget(&mut self, bytes: u64) {
        if bytes != self.policy.budget() {
            self.policy.set_budget(bytes);
        }
    }

    /// The number of blocks, including those that are being written.
    pub(crate) fn len(&self) -> usize {
        self.policy.len()
    }

    /// The counters and the current state of replacement.
    pub(crate) fn stats(&self) -> ReplacementStats {
        self.policy.stats()
    }

    /// Notes that a block has a handle now, and parks one that has had its handle for long.
    fn now_held(&mut self, key: Key) {
        self.held.push_back(key);
        // Two, since the first may be in use.
        for _ in 0..2 {
            if self.held.len() <= HELD {
                return;
            }
            let Some(key) = self.held.pop_front() else {
                return;
            };
            let Some(slot) = self.policy.find(&Sought(&key)) else {
                continue;
            };
            let entry = self.policy.value_mut(slot);
            *entry = match mem::replace(entry, Entry::Pending) {
                Entry::Held(staged) => match staged.park() {
                    Ok((parked, rest)) => Entry::Parked(parked, rest),
                    Err(staged) => {
                        self.held.push_back(key);
                        Entry::Held(staged)
                    }
                },
                other => other,
            };
        }
    }
}

impl Victim {
    fn of(eviction: Eviction<ShortKey, Entry>) -> Option<Self> {
        match eviction {
            Eviction::Victim { key, value, weight } => Some(Self {
                key,
                entry: value,
                weight,
            }),
            Eviction::Enough | Eviction::NoneFree => None,
        }
    }

    /// Frees the block's slot, now or with its last reader. If another process leases the block, it is returned.
    ///
    /// Writes to the disk, so it must run on a blocking thread, outside the lock of the table.
    pub(crate) fn free(self, staging: &Staging) -> Result<(), Self> {
        let Self { key, entry, weight } = self;
        let entry = match entry {
            Entry::Pending => return Ok(()),
            Entry::Held(staged) => {
                if staged.extent().claim() {
                    staged.extent().discard();
                    return Ok(());
                }
                Entry::Held(staged)
            }
            Entry::Parked(parked, rest) => {
                let mut extent = staging.unpark(parked);
                if extent.claim() {
                    extent.discard();
                    return Ok(());
                }
                match extent.park() {
                    Some(parked) => Entry::Parked(parked, rest),
                    None => return Ok(()),
                }
            }
        };
        Err(Self { key, entry, weight })
    }

    /// Frees the block's slot as soon as no other process leases it. Nobody finds the block any more.
    ///
    /// Writes to the disk, as [`free`](Self::free) does.
    pub(crate) fn discard(self, staging: &Staging) {
        match self.entry {
            Entry::Pending => {}
            Entry::Held(staged) => staged.extent().discard(),
            Entry::Parked(parked, _) => staging.unpark(parked).discard(),
        }
    }
}
