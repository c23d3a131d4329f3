//! One total in bytes for any number of staging directories, and how much of it each may use.
//!
//! Each member has a **share**: the total, divided by the number of members. So the space of a member depends on how
//! many the host has started, and on nothing that a neighbour does: a guest learns nothing of another from its own
//! evictions. For that reason no member borrows space that a neighbour leaves unused.
//!
//! Each member has a **grant**: the bytes that it may use at this instant. A new member lowers the share. The others
//! then evict their blocks beyond it, in small steps and beside their other work, and their grants come down accordingly.
//! Blocks that are inside a read follow when the read is over. The new member starts with the least share, and rises as
//! the others come down. A member that ends raises the share, and each other takes the bytes due to it the next time it
//! stages a block.
//!
//! Invariant (I2): all grants and the free bytes add up to the total (or to more, by the debt that is left after the
//! total was lowered), and no member uses more than its grant. So the
//! total holds however the shares change. No lock of one member is held while another's is taken.
//!
//! This file knows neither blocks nor files: `Overhead` computes how many bytes of blocks a grant is worth.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use crate::{
    space::overhead::Overhead,
    sync::{AtomicU64, Mutex, Ordering, lock, sleep},
};

#[cfg(all(test, not(shuttle)))]
mod tests;

/// How often a new member checks whether the others have given it the least share, and how long it waits in between.
/// Their reads, and the holes that are being punched, are finished in a moment.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(2);

/// A total in bytes, which all its members share. It is cheap to clone.
///
/// The usage that the file system reports for all their staging directories together never exceeds it. Each member may
/// use an equal share ([`share_bytes`](Self::share_bytes)). A new member lowers the shares of the others, which evict
/// their blocks beyond it; a member that ends raises the shares again.
///
/// ```
/// use block_staging::Budget;
///
/// let all = Budget::new(64 << 30);
/// let one = all.join()?;
/// assert_eq!(one.bytes(), 64 << 30);
/// let two = all.join()?;
/// assert_eq!((one.bytes(), two.bytes()), (32 << 30, 32 << 30));
/// # Ok::<(), block_staging::budget::Refused>(())
/// ```
#[derive(Clone)]
pub struct Budget {
    inner: Arc<Inner>,
}

struct Inner {
    total: AtomicU64,
    /// The bytes that are still granted beyond a total that was lowered. Bytes that members return pay it first.
    debt: AtomicU64,
    /// The bytes that are granted to no member.
    free: AtomicU64,
    /// The total, divided by the number of members.
    share: AtomicU64,
    members: Mutex<Vec<Weak<Share>>>,
    /// Members that had more than their share when all were asked to come down, and could not: reads were under way.
    owing: Mutex<VecDeque<Weak<Share>>>,
}

impl Budget {
    /// The least share of one member, in bytes: enough for its directories and locks, and a few small blocks. Blocks
    /// without room in a share are served from memory, and fetched again at their next use.
    pub const MIN_SHARE: u64 = 64 << 10;

    /// Creates a budget of `total_bytes` for all members that [join](Self::join) it or a clone of it.
    pub fn new(total_bytes: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                total: AtomicU64::new(total_bytes),
                debt: AtomicU64::new(0),
                free: AtomicU64::new(total_bytes),
                share: AtomicU64::new(total_bytes),
                members: Mutex::new(Vec::new()),
                owing: Mutex::default(),
            }),
        }
    }

    /// The total, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.inner.total()
    }

    /// Changes the total, in bytes. Where it becomes smaller, the members evict what is beyond their new shares in small
    /// steps, on threads of their own if there are any, so their usage may exceed the new total until they are done.
    ///
    /// # Errors
    /// [`Refused::TooSmall`]: there are too many members for such a total. Nothing changes then.
    pub fn set_total(&self, total_bytes: u64) -> Result<(), Refused> {
        let inner = &self.inner;
        {
            let members = lock(&inner.members);
            let least = Self::MIN_SHARE.saturating_mul(members.len() as u64);
            if total_bytes < least {
                return Err(Refused::TooSmall { least });
            }
            let before = inner.total.swap(total_bytes, Ordering::SeqCst);
            inner.divide(members.len());
            if total_bytes < before {
                inner.debt.fetch_add(before - total_bytes, Ordering::SeqCst);
                inner.give(inner.take_up_to(before - total_bytes));
            } else {
                inner.give(total_bytes - before);
            }
        }
        inner.come_down();
        Ok(())
    }

    /// The share of each member, in bytes: the total, divided by the number of members.
    pub fn share_bytes(&self) -> u64 {
        self.inner.share()
    }

    /// The number of members now. A member counts until its [`Share`] is dropped, with the last of its handles: its
    /// blocks are on the disk until then, or until it is closed.
    pub fn members(&self) -> usize {
        lock(&self.inner.members).len()
    }

    /// The bytes that are granted to no member.
    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> u64 {
        self.inner.free.load(Ordering::SeqCst)
    }

    /// Adds a member, until the returned share is dropped. Blocks for at most a tenth of a second, and for a step of
    /// eviction of the others. The new member has at least [`MIN_SHARE`](Self::MIN_SHARE) at once, and the rest of its
    /// share when it stages something after the others have come down.
    ///
    /// # Errors
    /// [`Refused`]: the total is too small for another member, or the others are reading all of it.
    pub fn join(&self) -> Result<Arc<Share>, Refused> {
        let joined = {
            let mut members = lock(&self.inner.members);
            let least = Self::MIN_SHARE.saturating_mul(members.len() as u64 + 1);
            if self.inner.total() < least {
                return Err(Refused::TooSmall { least });
            }
            self.add(&mut members)
        };
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                sleep(PAUSE);
            }
            self.inner.come_down();
            joined.rise();
            if joined.granted() >= Self::MIN_SHARE {
                return Ok(joined);
            }
        }
        // Dropping `joined` removes the member again.
        Err(Refused::InUse)
    }

    /// Creates a budget of its own for a single member, however small, and returns its share.
    pub fn alone(total_bytes: u64) -> Arc<Share> {
        let budget = Self::new(total_bytes);
        let share = budget.add(&mut lock(&budget.inner.members));
        share.rise();
        share
    }

    fn add(&self, members: &mut Vec<Weak<Share>>) -> Arc<Share> {
        let added = Arc::new(Share::new(self.inner.clone()));
        members.push(Arc::downgrade(&added));
        self.inner.divide(members.len());
        added
    }
}

impl From<u64> for Budget {
    /// The same as [`Budget::new`].
    fn from(total_bytes: u64) -> Self {
        Self::new(total_bytes)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("total_bytes", &self.total_bytes())
            .field("members", &self.members())
            .finish_non_exhaustive()
    }
}

/// Why there is no share for another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// With another member, each share would be less than [`Budget::MIN_SHARE`].
    #[error("the budget is too small for another member: at least {least} bytes are needed")]
    TooSmall {
        /// The least total that would be enough, in bytes.
        least: u64,
    },
    /// All of the budget is used by blocks that are inside a read at this instant.
    #[error("the other members are reading all of the budget at this instant")]
    InUse,
}

impl Inner {
    fn share(&self) -> u64 {
        self.share.load(Ordering::SeqCst)
    }

    fn total(&self) -> u64 {
        self.total.load(Ordering::SeqCst)
    }

    /// Lets every member come down to its share. Each takes one step here, and further ones beside its other work.
    fn come_down(&self) {
        // Collected first, so that no `Share` is dropped under the lock: the drop of the last reference takes the lock.
        let members: Vec<_> = lock(&self.members)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let owing = members.iter().filter(|member| member.is_beyond_share());
        let owing: VecDeque<_> = owing
            .filter(|member| {
                member.come_down(Steps::All);
                member.is_beyond_share()
            })
            .map(Arc::downgrade)
            .collect();
        *lock(&self.owing) = owing;
    }

    /// Lets one of the members that owe bytes take a step.
    fn ask_one(&self) {
        let Some(asked) = lock(&self.owing).pop_front() else {
            return;
        };
        if let Some(member) = asked.upgrade() {
            member.come_down(Steps::One);
            if member.is_beyond_share() {
                lock(&self.owing).push_back(asked);
            }
        }
    }

    /// Adds bytes to the free ones, as far as they do not pay the debt.
    fn give(&self, bytes: u64) {
        let mut paid = 0;
        let update = |debt: u64| {
            paid = debt.min(bytes);
            Some(debt - paid)
        };
        _ = self
            .debt
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, update);
        self.free.fetch_add(bytes - paid, Ordering::SeqCst);
    }

    /// Sets the share. Called under the members' lock.
    fn divide(&self, members: usize) {
        let share = self.total() / (members as u64).max(1);
        self.share.store(share, Ordering::SeqCst);
    }

    /// Takes up to `bytes` of the free bytes. Returns the number taken.
    fn take_up_to(&self, bytes: u64) -> u64 {
        let mut taken = 0;
        let update = |free: u64| {
            taken = free.min(bytes);
            Some(free - taken)
        };
        _ = self
            .free
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, update);
        taken
    }
}

/// A member's replacement, which can reduce its use.
pub trait Evict: Send + Sync {
    /// Takes one step: evicts a bounded number of blocks beyond the member's share, except those inside a read, and then
    /// [lowers](Share::lower) its grant. Returns whether another step would evict more. Neighbours call it too.
    fn evict_beyond_share(&self) -> bool;

    /// Takes further steps until there is nothing more to evict, if possible on a thread of its own.
    fn go_on(self: Arc<Self>) {
        while self.evict_beyond_share() {}
    }
}

/// How far a member comes down at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Steps {
    One,
    /// One now, and the others beside its other work.
    All,
}

/// A member that is short asks others at each of so many blocks that it stages.
const ASK_EACH: u64 = 16;

/// The account of one member of a [`Budget`]. Dropping it gives the grant back, so everything that it paid for must be
/// removed before.
pub struct Share {
    budget: Arc<Inner>,
    account: Mutex<Account>,
    owner: OnceLock<Weak<dyn Evict>>,
    /// How often the member was short when it staged a block.
    short: AtomicU64,
}

/// Invariant: `used` is at most the usable part of the grant, and of the cap. There are two exceptions: metadata beyond
/// the bytes set aside for it, and the blocks of an earlier run until replacement has made them fit.
#[derive(Debug)]
struct Account {
    granted: u64,
    /// The bytes that the member may use now because others use the same directory; `u64::MAX` without such a bound.
    cap: u64,
    /// The bytes reserved for blocks, in whole units of the file system, and `excess`.
    used: u64,
    excess: u64,
    overhead: Overhead,
}

impl Share {
    fn new(budget: Arc<Inner>) -> Self {
        Self {
            budget,
            account: Mutex::new(Account {
                granted: 0,
                cap: u64::MAX,
                used: 0,
                excess: 0,
                overhead: Overhead::unknown(Budget::MIN_SHARE),
            }),
            owner: OnceLock::new(),
            short: AtomicU64::new(0),
        }
    }

    /// Sets the replacement that neighbours call to lower this member's use.
    pub fn owned_by(&self, owner: Weak<dyn Evict>) {
        _ = self.owner.set(owner);
    }

    /// Sets the overhead of the file system, once that is known.
    pub(crate) fn set_overhead(&self, overhead: Overhead) {
        lock(&self.account).overhead = overhead;
    }

    /// The bytes of the budget that the member may use now, overhead included. If other processes use the same
    /// directory, it has less for staging.
    pub fn bytes(&self) -> u64 {
        self.granted().min(self.budget.share())
    }

    /// The total of the budget that this is a share of, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.budget.total()
    }

    /// The part of [`bytes`](Self::bytes) that staging may use now, overhead included.
    pub(crate) fn for_staging(&self) -> u64 {
        lock(&self.account).allowed(self.budget.share())
    }

    /// The part of [`for_staging`](Self::for_staging) that blocks may take.
    pub(crate) fn usable(&self) -> u64 {
        let account = lock(&self.account);
        account
            .overhead
            .usable(account.allowed(self.budget.share()))
    }

    /// Sets what the member may use of a directory that others use too. Nothing is reserved beyond it from then on.
    pub(crate) fn set_cap(&self, bytes: u64) {
        lock(&self.account).cap = bytes;
    }

    /// Returns the bound that [`set_cap`](Self::set_cap) set.
    pub(crate) fn cap(&self) -> u64 {
        lock(&self.account).cap
    }

    /// The least number of bytes from `from` down to `to` into which the used bytes fit.
    pub(crate) fn least(&self, from: u64, to: u64) -> u64 {
        lock(&self.account).least(from, to)
    }

    /// Lets the member's replacement evict what is beyond its share, step by step.
    pub(crate) fn evict(&self) {
        if let Some(owner) = self.owner.get().and_then(Weak::upgrade) {
            while owner.evict_beyond_share() {}
        }
    }

    /// The reserved bytes.
    pub(crate) fn used(&self) -> u64 {
        lock(&self.account).used
    }

    /// The bytes of metadata beyond those set aside for it.
    pub(crate) fn excess(&self) -> u64 {
        lock(&self.account).excess
    }

    /// Reserves `bytes` if there is room for all of them. Returns whether there was.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let mut account = lock(&self.account);
        let usable = account
            .overhead
            .usable(account.allowed(self.budget.share()));
        let used = account.used.checked_add(bytes);
        match used.filter(|used| *used <= usable) {
            Some(used) => {
                account.used = used;
                true
            }
            None => false,
        }
    }

    /// Charges bytes that are on the disk already, even if there is no room for them: replacement makes room before
    /// anything else is admitted.
    pub(crate) fn take_what_is_there(&self, bytes: u64) {
        lock(&self.account).used += bytes;
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        lock(&self.account).used -= bytes;
    }

    /// Sets the bytes of metadata beyond those set aside for it. Metadata cannot be refused, so `used` may exceed the
    /// usable bytes by it until replacement makes room for the next block.
    pub(crate) fn set_excess(&self, bytes: u64) {
        let mut account = lock(&self.account);
        account.used = account.used - account.excess + bytes;
        account.excess = bytes;
    }

    /// Adjusts the grant to the share: takes missing bytes, or takes a step to give up surplus ones. It is cheap if the
    /// two are equal, and its cost does not grow with the number of members.
    pub fn settle(&self) {
        self.come_down(Steps::One);
        if self.rise() {
            return;
        }
        let before = self.short.fetch_add(1, Ordering::Relaxed);
        if before.is_multiple_of(ASK_EACH) {
            self.budget.ask_one();
            self.rise();
        }
    }

    /// Returns the unused part of the bytes that are granted beyond the share to the budget.
    pub fn lower(&self) {
        let given = {
            let mut account = lock(&self.account);
            let lowered = account.least(account.granted, self.budget.share());
            let given = account.granted - lowered;
            account.granted = lowered;
            given
        };
        self.budget.give(given);
    }

    /// The bytes of the total that are granted to the member now. This is more than its share if it has not come down
    /// yet.
    pub(crate) fn granted(&self) -> u64 {
        lock(&self.account).granted
    }

    fn is_beyond_share(&self) -> bool {
        self.granted() > self.budget.share()
    }

    fn come_down(&self, steps: Steps) {
        if !self.is_beyond_share() {
            return;
        }
        match self.owner.get().and_then(Weak::upgrade) {
            Some(owner) => {
                let more = owner.evict_beyond_share();
                if more && steps == Steps::All {
                    owner.go_on();
                }
            }
            // The member has not started yet, or has ended: no block can be evicted.
            None => self.lower(),
        }
    }

    /// Raises the grant from the free bytes. Returns whether they were enough.
    fn rise(&self) -> bool {
        let short = self.budget.share().saturating_sub(self.granted());
        if short == 0 {
            return true;
        }
        let taken = self.budget.take_up_to(short);
        lock(&self.account).granted += taken;
        if self.is_beyond_share() {
            // Meanwhile the share has become smaller, and this member may have been asked already.
            self.lower();
        }
        taken == short
    }
}

impl Account {
    /// The bytes that the member may use now, overhead included, where `share` is its share of the budget.
    fn allowed(&self, share: u64) -> u64 {
        self.granted.min(share).min(self.cap)
    }

    /// The least grant from `granted` down to `share` into which the used bytes fit.
    fn least(&self, granted: u64, share: u64) -> u64 {
        if granted <= share || self.used <= self.overhead.usable(share) {
            return granted.min(share);
        }
        // `unused` is whole units, so the usable bytes fall by no more than the grant.
        let unused = self.overhead.usable(granted).saturating_sub(self.used);
        granted - unused
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give(self.granted());
        let mut members = lock(&self.budget.members);
        let own = std::ptr::from_ref(self);
        members.retain(|member| !std::ptr::eq(member.as_ptr(), own));
        self.budget.divide(members.len());
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share")
            .field("bytes", &self.bytes())
            .field("account", &*lock(&self.account))
            .finish_non_exhaustive()
    }
}
