//! One total in bytes for any number of staging directories, and how much of it each may use.
//!
//! Each member has a **share**: the total, divided by how many there are. So what one may stage depends on how many
//! the host has started, and on nothing that a neighbour does: a guest learns nothing of another from its own
//! evictions. For that reason nobody borrows what a neighbour leaves unused.
//!
//! What a member may use at this instant is its **grant**. A start lowers the share; the others evict what they have
//! beyond it, and their grants come down with that (all at once, but for blocks that are inside a read: those follow
//! when it is over). An end raises the share, and each takes what is due to it the next time it stages a block.
//!
//! Invariant (I2): all grants and what is free add up to the total, and nobody uses more than its grant. So the total
//! holds whatever the shares are doing. No lock of one member is held while another's is taken.
//!
//! Knows neither blocks nor files: what a grant is worth in blocks, `Overhead` says.

use std::{
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

/// How often a newcomer looks whether the others have come down to their shares, and how long it waits in between: what
/// they are reading, and the holes that are being punched, are done with in a moment.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(2);

/// A total in bytes, which all its members share. Cheap to clone.
///
/// What the file system reports for all their staging directories together never exceeds it. Each may use an equal
/// share ([`share_bytes`](Self::share_bytes)): one that starts lowers the others', which evict what they have beyond;
/// one that ends raises them again.
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
    total: u64,
    /// What is granted to nobody.
    free: AtomicU64,
    /// The total, divided by the number of members.
    share: AtomicU64,
    members: Mutex<Vec<Weak<Share>>>,
}

impl Budget {
    /// The least share of one member, in bytes: its directories and locks, and a few small blocks. Blocks that find no
    /// room in a share are served from memory, and fetched again when they are wanted again.
    pub const MIN_SHARE: u64 = 64 << 10;

    /// So many bytes for all that [join](Self::join) this, or a clone of it.
    pub fn new(total_bytes: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                total: total_bytes,
                free: AtomicU64::new(total_bytes),
                share: AtomicU64::new(total_bytes),
                members: Mutex::new(Vec::new()),
            }),
        }
    }

    /// The total, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.inner.total
    }

    /// What each member may use, in bytes: the total, divided by how many there are.
    pub fn share_bytes(&self) -> u64 {
        self.inner.share()
    }

    /// How many share it now. A member counts until its [`Share`] is dropped, which is once the last of its handles
    /// is: what it staged is on the disk until then, or until it is closed.
    pub fn members(&self) -> usize {
        lock(&self.inner.members).len()
    }

    /// What is granted to nobody, in bytes.
    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> u64 {
        self.inner.free.load(Ordering::SeqCst)
    }

    /// Adds a member, until the returned share is dropped. Blocks for a tenth of a second at most.
    ///
    /// # Errors
    /// [`Refused`]: the total is too small for one more, or others are reading all of it.
    pub fn join(&self) -> Result<Arc<Share>, Refused> {
        let joined = {
            let mut members = lock(&self.inner.members);
            let least = Self::MIN_SHARE.saturating_mul(members.len() as u64 + 1);
            if self.inner.total < least {
                return Err(Refused::TooSmall { least });
            }
            self.add(&mut members)
        };
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                sleep(PAUSE);
            }
            joined.claim();
            if joined.granted() >= Self::MIN_SHARE {
                return Ok(joined);
            }
        }
        // Dropped, it leaves again.
        Err(Refused::InUse)
    }

    /// The only share of a total of its own, however small.
    pub fn alone(total_bytes: u64) -> Arc<Share> {
        let budget = Self::new(total_bytes);
        let share = budget.add(&mut lock(&budget.inner.members));
        share.claim();
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
    /// So many bytes.
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

/// Why there is no share for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Divided by one more, the total would give less than [`Budget::MIN_SHARE`]; this would be enough.
    #[error("the budget is too small for one more: it would take {least} bytes")]
    TooSmall {
        /// So many bytes.
        least: u64,
    },
    /// All of it lies in blocks that are inside a read at this instant.
    #[error("others are reading all of the budget at this instant")]
    InUse,
}

impl Inner {
    fn share(&self) -> u64 {
        self.share.load(Ordering::SeqCst)
    }

    /// To be called under the members' lock.
    fn divide(&self, members: usize) {
        let share = self.total / (members as u64).max(1);
        self.share.store(share, Ordering::SeqCst);
    }

    /// Takes `bytes` of what is free, or all of it.
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

/// Makes a member's use smaller: its replacement.
pub trait Evict: Send + Sync {
    /// Evicts what is beyond the member's share, as far as no read is in it, and then [lowers](Share::lower) its
    /// grant. Called by neighbours too.
    fn evict_beyond_share(&self);
}

/// One member's part in a [`Budget`]: its account. It goes back when this is dropped, which therefore comes after the
/// removal of everything that it paid for.
pub struct Share {
    budget: Arc<Inner>,
    account: Mutex<Account>,
    owner: OnceLock<Weak<dyn Evict>>,
}

/// Invariant: `used` is at most what the grant is worth, but for metadata that was found beyond what is set aside, and
/// what an earlier run left until it was made to fit.
#[derive(Debug)]
struct Account {
    granted: u64,
    /// Reserved for blocks, in whole units of the file system, and `excess`.
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
                used: 0,
                excess: 0,
                overhead: Overhead::unknown(Budget::MIN_SHARE),
            }),
            owner: OnceLock::new(),
        }
    }

    /// Says whom a neighbour asks to come down.
    pub fn owned_by(&self, owner: Weak<dyn Evict>) {
        _ = self.owner.set(owner);
    }

    /// Says what the file system takes beyond the blocks, once that is known.
    pub(crate) fn set_overhead(&self, overhead: Overhead) {
        lock(&self.account).overhead = overhead;
    }

    /// What the member may use now, in bytes, overhead included.
    pub fn bytes(&self) -> u64 {
        self.granted().min(self.budget.share())
    }

    /// What of it blocks may take.
    pub(crate) fn usable(&self) -> u64 {
        let account = lock(&self.account);
        let bytes = account.granted.min(self.budget.share());
        account.overhead.usable(bytes)
    }

    /// What is reserved.
    pub(crate) fn used(&self) -> u64 {
        lock(&self.account).used
    }

    /// Metadata beyond what is set aside for it.
    pub(crate) fn excess(&self) -> u64 {
        lock(&self.account).excess
    }

    /// Reserves `bytes`, or nothing where there is not so much.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let mut account = lock(&self.account);
        let usable = account
            .overhead
            .usable(account.granted.min(self.budget.share()));
        let used = account.used.checked_add(bytes);
        match used.filter(|used| *used <= usable) {
            Some(used) => {
                account.used = used;
                true
            }
            None => false,
        }
    }

    /// Charges what is there already, whether there is room for it or not: replacement makes room before anything else
    /// is admitted.
    pub(crate) fn take_what_is_there(&self, bytes: u64) {
        lock(&self.account).used += bytes;
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        lock(&self.account).used -= bytes;
    }

    /// Told how much metadata there is beyond what is set aside. It is there whether there is room for it or not:
    /// what is used may pass what is usable by it until replacement has made room, which the next block asks for.
    pub(crate) fn set_excess(&self, bytes: u64) {
        let mut account = lock(&self.account);
        account.used = account.used - account.excess + bytes;
        account.excess = bytes;
    }

    /// Brings the grant to the share: takes what is due, or gives up what is too much. Cheap where nothing is.
    pub fn settle(&self) {
        self.come_down();
        self.claim();
    }

    /// Gives up what is granted beyond the share, as far as it is not used.
    pub fn lower(&self) {
        let given = {
            let mut account = lock(&self.account);
            let lowered = account.least(self.budget.share());
            let given = account.granted - lowered;
            account.granted = lowered;
            given
        };
        self.budget.free.fetch_add(given, Ordering::SeqCst);
    }

    /// What the member may use of the total at this instant, more than its share where it has not come down yet.
    pub(crate) fn granted(&self) -> u64 {
        lock(&self.account).granted
    }

    fn come_down(&self) {
        if self.granted() > self.budget.share() {
            match self.owner.get().and_then(Weak::upgrade) {
                Some(owner) => owner.evict_beyond_share(),
                // Not begun yet, or ended: no block can be evicted.
                None => self.lower(),
            }
        }
    }

    /// Takes what the share says beyond the grant: what is free, and what others have beyond their share.
    fn claim(&self) {
        if self.rise() {
            return;
        }
        // None of them is dropped under the lock: the last owner of one leaves, which takes the lock.
        let members: Vec<_> = lock(&self.budget.members)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for member in &members {
            member.come_down();
        }
        self.rise();
    }

    /// Takes of what is free; whether that was enough.
    fn rise(&self) -> bool {
        let short = self.budget.share().saturating_sub(self.granted());
        if short == 0 {
            return true;
        }
        let taken = self.budget.take_up_to(short);
        lock(&self.account).granted += taken;
        taken == short
    }
}

impl Account {
    /// The least grant, `share` or more, that what is used fits into.
    fn least(&self, share: u64) -> u64 {
        if self.granted <= share || self.used <= self.overhead.usable(share) {
            return self.granted.min(share);
        }
        // A byte less of the grant is at most a byte less to use.
        let unused = self.overhead.usable(self.granted).saturating_sub(self.used);
        self.granted - unused
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let granted = self.granted();
        self.budget.free.fetch_add(granted, Ordering::SeqCst);
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
