//! A member of a persistent directory: a process that stages in it, as its writer or in a part of its own.
//!
//! The directory's total is divided by the number of members, like that of a [budget](crate::budget). The writer has
//! its share for the directory's own files. Each follower has its share for a *part*: a temporary directory in the
//! directory, for the blocks that the follower fetches. The file [`shares`](crate::disk::shares) says how much each may take
//! at this instant; a member's seat there is locked for as long as it lives.
//!
//! The writer sets the total: to its own budget while no other member is there. While others are, the total stays, and
//! each takes at most its share of it and at most its own budget.
//!
//! A new member starts with nothing. Within a fraction of a second, the others notice it, evict what they have beyond
//! the smaller share, and say so in the file; then the newcomer takes what is free. So does each, when a member has
//! ended. The remains of a member that was killed are removed by the first that finds its seat free, and only then is
//! its share free. The bytes of the directory's own files stay taken when the writer ends: whoever becomes the writer
//! takes them over.
//!
//! Invariant (I2): what the file says adds up to at most the total, except after the total fell; and no member has more
//! on the disk than the file says: it says so before a member takes more, and after the member has come down.

use std::{
    fmt, io,
    sync::{Arc, OnceLock, Weak},
    thread,
    time::Duration,
};

use cap_std::fs::{DirBuilder, DirBuilderExt as _};

use crate::{
    disk::shares::{Head, Locked, SEATS, SHARES, Seat, Shares, Table, part_name},
    error::StagingError,
    lock_dir::StagingDir,
    space::budget::{Budget, Share},
    sync::{Mutex, lock},
};

/// How often a member looks at the file, and a follower at the journal.
const EVERY: Duration = Duration::from_millis(250);

/// Something that is to be done as often as a member looks at the file.
pub(crate) trait Watch: Send + Sync {
    /// Does it.
    fn look(&self);
}

/// This process's membership. It ends when it is dropped, or with the process.
pub(crate) struct Member {
    shares: Shares,
    /// The directory, by an open file of its own: the writer's lock does not depend on this one.
    dir: StagingDir,
    seat: usize,
    share: Arc<Share>,
    standing: Mutex<Standing>,
    watched: Mutex<Option<Weak<dyn Watch>>>,
    keeper: OnceLock<thread::Thread>,
}

/// The member's role, and its part.
#[derive(Debug)]
struct Standing {
    role: Role,
    /// Whether its part exists.
    part: bool,
}

/// The files for which the member's share is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Its part.
    Part,
    /// The directory's own files, which are being taken over. Until this is done, nothing changes.
    Beginning,
    /// The directory's own files.
    Main,
    /// Nothing any more.
    Left,
}

impl Member {
    /// Takes a seat in a directory, if one is free. Until the member takes its share, nothing can be reserved.
    ///
    /// # Errors
    /// Errors of the system; [`StagingError::NotAFile`].
    pub(crate) fn join(
        dir: &StagingDir,
        share: Arc<Share>,
    ) -> Result<Option<Arc<Self>>, StagingError> {
        let again = dir.handle().open_dir(".");
        let again = again.map_err(|error| StagingError::of("opening", ".", error))?;
        let dir = StagingDir::from_dir(again, dir.path());
        let shares = Shares::open(&dir)?;
        let Some(seat) = sit_down(&shares, &dir).map_err(failed)? else {
            return Ok(None);
        };
        share.set_cap(0);
        let member = Arc::new(Self {
            shares,
            dir,
            seat,
            share,
            standing: Mutex::new(Standing {
                role: Role::Part,
                part: false,
            }),
            watched: Mutex::default(),
            keeper: OnceLock::new(),
        });
        // A model has no thread that its scheduler does not know.
        if cfg!(not(shuttle)) {
            member.start_keeper();
        }
        Ok(Some(member))
    }

    /// Starts the thread that looks at the file until the member is dropped.
    fn start_keeper(self: &Arc<Self>) {
        let member = Arc::downgrade(self);
        let keeper = thread::Builder::new().name("staging-shares".to_owned());
        let started = keeper.spawn(move || {
            while let Some(member) = member.upgrade() {
                member.settle();
                let watched = lock(&member.watched);
                if let Some(watched) = watched.as_ref().and_then(Weak::upgrade) {
                    watched.look();
                }
                drop(watched);
                drop(member);
                thread::park_timeout(EVERY);
            }
        });
        match started {
            Ok(keeper) => _ = self.keeper.set(keeper.thread().clone()),
            // It keeps what it has, and others wait for their shares.
            Err(error) => {
                tracing::warn!(%error, "the shares of the staging directory are not kept")
            }
        }
    }

    /// Looks at the file now, and not at the next turn only.
    pub(crate) fn wake(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }

    /// Sets what is done as often as the member looks at the file.
    pub(crate) fn watch(&self, watched: Weak<dyn Watch>) {
        *lock(&self.watched) = Some(watched);
    }

    /// Ends that. After this, no look is under way.
    pub(crate) fn unwatch(&self) {
        *lock(&self.watched) = None;
    }

    /// Adjusts what this member may take to its share: takes what is missing and free, or evicts what is beyond.
    pub(crate) fn settle(&self) {
        let adjusted = self.adjust().and_then(|comes_down| {
            if !comes_down {
                return Ok(());
            }
            self.share.evict();
            self.adjust().map(|_| ())
        });
        if let Err(error) = adjusted {
            tracing::warn!(%error, "the shares of the staging directory could not be kept");
        }
    }

    /// Returns whether more is on the disk than the member's share.
    fn adjust(&self) -> io::Result<bool> {
        let standing = lock(&self.standing);
        let main = match standing.role {
            Role::Main => true,
            Role::Part => false,
            Role::Beginning | Role::Left => return Ok(false),
        };
        let Some(locked) = self.shares.lock()? else {
            return Ok(false);
        };
        let mut table = locked.read()?;
        let members = self.members(&locked, &mut table)?;
        let (Some(mut head), Some(mut seat)) = (table.head, table.seat(self.seat)) else {
            // Somebody damaged the file. Nothing is taken beyond what was.
            return Ok(false);
        };
        if main && !standing.part {
            seat.part = 0;
        }
        let own = self.share.bytes();
        if main && members == 1 {
            head.total = own;
        }
        let due = (head.total / members).min(own);
        let now = if main { head.main } else { seat.part };
        let others = (head.main + table.parts()).saturating_sub(now);
        let next = if now <= due {
            let free = head.total.saturating_sub(others);
            due.min(free).max(now)
        } else {
            // From here on, nothing is taken beyond the share.
            self.share.set_cap(due);
            self.share.least(now, due)
        };
        match main {
            true => head.main = next,
            false => seat.part = next,
        }
        if table.head != Some(head) {
            locked.set_head(head)?;
        }
        if table.seat(self.seat) != Some(seat) {
            locked.set_seat(self.seat, Some(seat))?;
        }
        // After the file says so.
        self.share.set_cap(next.min(due));
        Ok(next > due)
    }

    /// Counts the members, this one included. Removes the remains of dead ones, and then clears their seats.
    fn members(&self, locked: &Locked<'_>, table: &mut Table) -> io::Result<u64> {
        let mut living = 1;
        for seat in table.taken().collect::<Vec<_>>() {
            if seat == self.seat {
                continue;
            }
            if !locked.take(seat)? {
                living += 1;
                continue;
            }
            if clear_seat(locked, &self.dir, seat) {
                *table = locked.read()?;
            }
            locked.release(seat);
        }
        Ok(living)
    }

    /// Begins to take over the directory's own files. The caller holds the directory's lock.
    ///
    /// # Errors
    /// Errors of the system. `WouldBlock`: another process keeps the file locked.
    pub(crate) fn begin_main(self: &Arc<Self>) -> Result<Main, StagingError> {
        self.allow_main().map_err(failed)?;
        Ok(Main {
            member: self.clone(),
        })
    }

    /// The directory's own files may take what they take already, within this process's budget, and the member's share
    /// as far as it is free. They come down later, as replacement decides.
    fn allow_main(&self) -> io::Result<()> {
        let mut standing = lock(&self.standing);
        let locked = self.shares.lock()?.ok_or(io::ErrorKind::WouldBlock)?;
        let mut table = locked.read()?;
        let members = self.members(&locked, &mut table)?;
        if let Some(seat) = table.seat(self.seat).filter(|_| !standing.part) {
            // It may have been granted for a part that was never made.
            locked.set_seat(self.seat, Some(Seat { part: 0, ..seat }))?;
            table = locked.read()?;
        }
        let own = self.share.bytes();
        let mut head = table.head.unwrap_or(Head {
            total: own,
            main: 0,
        });
        if members == 1 {
            head.total = own;
        }
        let due = (head.total / members).min(own);
        let free = head.total.saturating_sub(table.parts());
        let most = due.min(free).max(head.main.min(own));
        head.main = head.main.max(most);
        locked.set_head(head)?;
        self.share.set_cap(most);
        standing.role = Role::Beginning;
        Ok(())
    }

    /// Whether the member may have a part now.
    pub(crate) fn may_have_part(&self) -> bool {
        let standing = lock(&self.standing);
        standing.role == Role::Part && !standing.part && self.share.cap() >= Budget::MIN_SHARE
    }

    /// Creates the member's part, which must not exist. It is removed when what is returned second is dropped.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn make_part(self: &Arc<Self>) -> Result<(StagingDir, Part), StagingError> {
        let name = part_name(self.seat);
        let failed = |operation: &'static str| {
            let name = name.clone();
            move |error| StagingError::of(operation, &name, error)
        };
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        let parent = self.dir.handle();
        let mut standing = lock(&self.standing);
        parent
            .create_dir_with(&name, &builder)
            .map_err(failed("creation"))?;
        standing.part = true;
        drop(standing);
        let part = Part {
            member: self.clone(),
        };
        let dir = parent.open_dir(&name).map_err(failed("opening"))?;
        let path = self.dir.path().join(&name);
        Ok((StagingDir::from_dir(dir, &path), part))
    }

    /// The part is removed, and takes nothing any more.
    fn end_part(&self) {
        let mut standing = lock(&self.standing);
        match standing.role {
            Role::Part => self.share.set_cap(0),
            Role::Beginning | Role::Main => {}
            // It was removed with the seat.
            Role::Left => return,
        }
        let removed = self.dir.handle().remove_dir_all(part_name(self.seat));
        standing.part = removed.is_err();
        let cleared = removed.and_then(|()| {
            let Some(locked) = self.shares.lock()? else {
                return Ok(());
            };
            match locked.read()?.seat(self.seat) {
                Some(seat) => locked.set_seat(self.seat, Some(Seat { part: 0, ..seat })),
                None => Ok(()),
            }
        });
        drop(standing);
        if let Err(error) = cleared {
            // The next member that sits down there removes it.
            tracing::warn!(%error, "a part of the staging directory could not be removed");
        }
        self.wake();
    }

    /// Leaves the seat.
    fn leave(&self) {
        let mut standing = lock(&self.standing);
        if std::mem::replace(&mut standing.role, Role::Left) == Role::Left {
            return;
        }
        // If this fails, the next member that looks clears the seat.
        if let Ok(Some(locked)) = self.shares.lock() {
            clear_seat(&locked, &self.dir, self.seat);
            locked.release(self.seat);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
        self.wake();
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("dir", &self.dir)
            .field("seat", &self.seat)
            .field("standing", &*lock(&self.standing))
            .finish_non_exhaustive()
    }
}

/// Takes the first free seat, and removes the remains of the dead in all.
fn sit_down(shares: &Shares, dir: &StagingDir) -> io::Result<Option<usize>> {
    let locked = shares.lock()?.ok_or(io::ErrorKind::WouldBlock)?;
    locked.allocate()?;
    let table = locked.read()?;
    // Without a row in the table, if somebody deleted or damaged it.
    let parts: Vec<_> = dir
        .handle()
        .entries()?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<_>>()?;
    let mut own = None;
    for seat in 1..=SEATS {
        let is_left = || parts.iter().any(|name| *name == *part_name(seat));
        if own.is_some() && table.seat(seat).is_none() && !is_left() {
            continue;
        }
        if !locked.take(seat)? {
            continue;
        }
        if clear_seat(&locked, dir, seat) && own.is_none() {
            own = Some(seat);
        } else {
            locked.release(seat);
        }
    }
    if let Some(seat) = own {
        let process = std::process::id();
        locked.set_seat(seat, Some(Seat { part: 0, process }))?;
    }
    Ok(own)
}

/// Removes the part of a seat that nobody else has, and then clears the seat. Returns whether it did: a part that stays
/// stays counted.
fn clear_seat(locked: &Locked<'_>, dir: &StagingDir, seat: usize) -> bool {
    let removed = match dir.handle().remove_dir_all(part_name(seat)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => locked.set_seat(seat, None),
    };
    removed.is_ok()
}

fn failed(error: io::Error) -> StagingError {
    StagingError::of("sharing", SHARES, error)
}

/// The right to the directory's own files. When it is dropped, the member has left, or follows again if the take-over
/// was never [done](Self::done).
#[derive(Debug)]
pub(crate) struct Main {
    member: Arc<Member>,
}

impl Main {
    /// The files are taken over, and charged.
    pub(crate) fn done(&self) {
        lock(&self.member.standing).role = Role::Main;
        self.member.wake();
    }
}

impl Drop for Main {
    fn drop(&mut self) {
        let mut standing = lock(&self.member.standing);
        match standing.role {
            Role::Beginning => {
                standing.role = Role::Part;
                // The bound of its part is in the file. The member looks there at once.
                self.member.share.set_cap(0);
                drop(standing);
                self.member.wake();
            }
            Role::Main => {
                drop(standing);
                self.member.leave();
            }
            Role::Part | Role::Left => {}
        }
    }
}

/// A member's part. When this is dropped, the part is removed, and the member takes nothing.
#[derive(Debug)]
pub(crate) struct Part {
    member: Arc<Member>,
}

impl Drop for Part {
    fn drop(&mut self) {
        self.member.end_part();
    }
}
