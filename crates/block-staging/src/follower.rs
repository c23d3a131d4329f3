//! A follower: it reads blocks that another process, the writer, has staged in a persistent directory.
//!
//! A look-up uses a copy of the index in memory, which the [journal](crate::disk::journal) keeps up to date. Then the
//! slot is leased, and the record is read again: if it still names the block, its bytes stay in place until the lease
//! ends, since the writer does not evict leased blocks.
//!
//! A follower must not write. Invariant: an extent that it returns is leased, and its record named the block after the
//! lease was taken.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    hash::BuildHasher as _,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use crate::{
    class::{CLASSES, SlotAddress, class_bytes},
    disk::{
        files::{self, Access},
        index,
        journal::{self, Reader, Updates},
        layout::{self, Version},
        record::Record,
        slots,
    },
    error::StagingError,
    extent::Extent,
    key::{Key, KeyHash},
    lease::Leases,
    lock_dir::StagingDir,
    member::{Member, Watch},
    platform::{self, ReadWay},
    space::budget::Share,
    sync::{Mutex, lock},
    writer::Staging,
};

/// A directory whose writer is another process. It is cheap to clone, and all clones share their state.
///
/// Its methods wait for the disk, except those that mark a block.
#[derive(Clone)]
pub struct Follower {
    shared: Arc<Watched>,
}

/// The part that all clones of a follower share. When it is dropped, nobody else has the directory open by it, so that
/// its lock is free.
struct Watched(Arc<Shared>);

impl Drop for Watched {
    fn drop(&mut self) {
        let member = lock(&self.0.member).clone();
        if let Some(member) = member {
            member.unwatch();
        }
    }
}

impl Deref for Watched {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

struct Shared {
    leases: Arc<Leases>,
    /// The slot file of each class, opened at its first use.
    slots: [OnceLock<(Arc<File>, ReadWay)>; CLASSES],
    known: Mutex<Known>,
    member: Mutex<Option<Arc<Member>>>,
}

/// The copy of the index: for each block a hash of its key, and where its record was.
///
/// The key itself is in the record, which is read again in any case. Where two blocks have the same hash, one of them
/// is not found, and is fetched.
#[derive(Default)]
struct Known {
    journal: Option<Reader>,
    hasher: KeyHash,
    blocks: HashMap<u64, At, KeyHash>,
    /// The hash of the block in each place.
    places: HashMap<Place, u64, KeyHash>,
    /// Where the index is to be read from, since the journal had more changes than its ring holds.
    unread: Option<Unread>,
}

/// The address of a slot, in few bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place(u64);

#[derive(Clone, Copy)]
struct At {
    place: Place,
    change: u64,
    /// Whether the bytes have been verified here since that change.
    verified: bool,
}

/// A class, and an offset in its index file.
#[derive(Clone, Copy)]
struct Unread {
    class: usize,
    from: u64,
}

/// A leased block: the writer does not evict it as long as the extent lives.
#[derive(Debug)]
#[non_exhaustive]
pub struct Leased {
    /// Its bytes.
    pub extent: Extent,
    /// The number of the change that staged it. If the same block is staged again, it has another.
    pub change: u64,
    /// Whether its bytes have been [verified](Follower::mark_verified) here since that change.
    pub verified: bool,
}

impl Follower {
    /// Follows a directory. Until a writer has laid it out, no block is found in it.
    ///
    /// # Errors
    /// [`StagingError::UnknownLayout`], and errors of the system.
    pub(crate) fn open(dir: StagingDir) -> Result<Self, StagingError> {
        layout::check(&dir)?;
        Ok(Self {
            shared: Arc::new(Watched(Arc::new(Shared {
                leases: Arc::new(Leases::new(dir)),
                slots: Default::default(),
                known: Mutex::default(),
                member: Mutex::default(),
            }))),
        })
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &StagingDir {
        self.shared.leases.dir()
    }

    /// This process's membership, which begins now if it has not begun before. Returns `None` if all seats are taken.
    ///
    /// # Errors
    /// Errors of the system; [`StagingError::NotAFile`].
    pub(crate) fn member(&self, share: &Arc<Share>) -> Result<Option<Arc<Member>>, StagingError> {
        let mut member = lock(&self.shared.member);
        if member.is_none() {
            *member = Member::join(self.dir(), share.clone())?;
            if let Some(joined) = &*member {
                let watched: Arc<dyn Watch> = self.shared.0.clone();
                joined.watch(Arc::downgrade(&watched));
            }
        }
        Ok(member.clone())
    }

    /// Opens a temporary staging of this process's own, in a directory in the directory: for the blocks that it does not
    /// find. Returns `None` while it exists already, and while there is no share for it: from the first call on, this
    /// process counts as one that stages, and it has its share once the others have come down to theirs.
    ///
    /// # Errors
    /// [`StagingError`]: the part could not be created.
    pub fn own_part(&self, share: &Arc<Share>) -> Result<Option<Staging>, StagingError> {
        let joined = lock(&self.shared.member).clone();
        let member = match joined {
            Some(member) => member,
            // A writer of an earlier version knows nothing of others' parts.
            None if layout::check(self.dir())? != Some(Version::Current)
                || !layout::is_writable(self.dir()) =>
            {
                return Ok(None);
            }
            None => match self.member(share)? {
                Some(member) => member,
                None => return Ok(None),
            },
        };
        if !member.may_have_part() {
            return Ok(None);
        }
        let (dir, part) = member.make_part()?;
        Staging::create_part(dir, share.clone(), part).map(Some)
    }

    /// Leases the block, if it is staged.
    ///
    /// # Errors
    /// [`StagingError`]: the disk failed, or no descriptor is left.
    pub fn lease(&self, key: &Key) -> Result<Option<Leased>, StagingError> {
        let at = {
            let mut known = lock(&self.shared.known);
            self.shared.update(&mut known)?;
            known.find(key)
        };
        let Some(at) = at else { return Ok(None) };
        let leased = self.shared.lease_at(key, at)?;
        if leased.is_none() {
            // It is being evicted, or has been.
            lock(&self.shared.known).forget(at.place);
        }
        Ok(leased)
    }

    /// Remembers that the bytes of a block are correct, as that change staged it.
    pub fn mark_verified(&self, key: &Key, change: u64) {
        let mut known = lock(&self.shared.known);
        let hash = known.hash(key);
        if let Some(at) = known.blocks.get_mut(&hash)
            && at.change == change
        {
            at.verified = true;
        }
    }

    /// Remembers that the bytes of a block are wrong. The block is not found again until its record changes.
    pub fn mark_wrong(&self, key: &Key) {
        let mut known = lock(&self.shared.known);
        if let Some(at) = known.find(key) {
            known.forget(at.place);
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("dir", self.dir())
            .finish_non_exhaustive()
    }
}

impl Watch for Shared {
    /// Reads the journal, so that its ring does not go round between two misses.
    fn look(&self) {
        let mut known = lock(&self.known);
        // Nobody has looked for a block yet.
        if known.journal.is_none() {
            return;
        }
        if let Err(error) = self.update(&mut known) {
            tracing::debug!(%error, "the staging directory could not be followed");
        }
    }
}

impl Shared {
    fn lease_at(&self, key: &Key, at: At) -> Result<Option<Leased>, StagingError> {
        let address = at.place.address();
        let Some(lease) = self.leases.lease(address)? else {
            return Ok(None);
        };
        let record = self.leases.record(address)?;
        let record = record.filter(|record| record.key == *key && record.change == at.change);
        let (Some(record), Some((file, read_way))) = (record, self.slots(address.class)?) else {
            return Ok(None);
        };
        let start = u64::from(address.slot) * class_bytes(address.class);
        let place = (file.clone(), start);
        let extent = Extent::leased(lease, record.len as usize, place, *read_way);
        Ok(Some(Leased {
            extent,
            change: at.change,
            verified: at.verified,
        }))
    }

    /// Brings the copy of the index up to date. At the first time it reads the whole index; later, at most a piece of it.
    fn update(&self, known: &mut Known) -> Result<(), StagingError> {
        let Some(journal) = &mut known.journal else {
            // Opened before the index is read, so that every later change is an update.
            known.journal = Reader::open(self.leases.dir())?;
            if known.journal.is_some() {
                known.unread = Some(Unread::ALL);
                while known.unread.is_some() {
                    self.read_piece(known)?;
                }
            }
            return Ok(());
        };
        match journal.updates() {
            Ok(Updates::Of(changed)) => {
                for address in changed {
                    let place = Place::of(address);
                    known.forget(place);
                    if let Some(record) = self.leases.record(address)? {
                        known.learn(place, &record);
                    }
                }
            }
            // The copy of the rest may be old, which shows when the record is read again.
            Ok(Updates::TooMany) => known.unread = Some(Unread::ALL),
            Err(error) => return Err(StagingError::of("read", journal::CHANGES, error)),
        }
        self.read_piece(known)
    }

    /// Reads a piece of the index, if it is to be read.
    fn read_piece(&self, known: &mut Known) -> Result<(), StagingError> {
        let mut read = 0;
        while let Some(Unread { class, from }) = known.unread {
            let next = match self.leases.index(class)? {
                Some(file) => index::records_from(file, class, from, |slot, record| {
                    let place = Place::of(SlotAddress { class, slot });
                    match record {
                        Some(record) => known.learn(place, &record),
                        None => known.forget(place),
                    }
                })
                .map_err(|error| {
                    StagingError::of("read", &index::name(class_bytes(class)), error)
                })?,
                None => None,
            };
            known.unread = match next {
                Some(from) => Some(Unread { class, from }),
                None if class + 1 < CLASSES => Some(Unread {
                    class: class + 1,
                    from: 0,
                }),
                None => None,
            };
            read += next.map_or(0, |next| next - from);
            if read >= index::AT_ONCE {
                return Ok(());
            }
        }
        Ok(())
    }

    fn slots(&self, class: usize) -> Result<Option<&(Arc<File>, ReadWay)>, StagingError> {
        let opened = &self.slots[class];
        if opened.get().is_none() {
            let name = slots::name(class_bytes(class));
            let Some(file) = files::open_existing(self.leases.dir(), &name, Access::Read)? else {
                return Ok(None);
            };
            let read_way = platform::read_way(&file)
                .map_err(|error| StagingError::of("read", &name, error))?;
            let _ = opened.set((Arc::new(file), read_way));
        }
        Ok(opened.get())
    }
}

impl Known {
    fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key)
    }

    fn find(&self, key: &Key) -> Option<At> {
        self.blocks.get(&self.hash(key)).copied()
    }

    fn learn(&mut self, place: Place, record: &Record) {
        let hash = self.hash(&record.key);
        let before = self.blocks.get(&hash);
        let verified = before.is_some_and(|at| at.change == record.change && at.verified);
        if self.places.get(&place).is_some_and(|there| *there != hash) {
            self.forget(place);
        }
        let at = At {
            place,
            change: record.change,
            verified,
        };
        self.blocks.insert(hash, at);
        self.places.insert(place, hash);
    }

    fn forget(&mut self, place: Place) {
        if let Some(hash) = self.places.remove(&place)
            && self.blocks.get(&hash).is_some_and(|at| at.place == place)
        {
            self.blocks.remove(&hash);
        }
    }
}

impl Place {
    fn of(at: SlotAddress) -> Self {
        Self((at.class as u64) << 32 | u64::from(at.slot))
    }

    fn address(self) -> SlotAddress {
        SlotAddress {
            class: (self.0 >> 32) as usize,
            slot: self.0 as u32,
        }
    }
}

impl Unread {
    /// All of the index.
    const ALL: Self = Self { class: 0, from: 0 };
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::{class::JOURNAL_LEN, disk::journal::Journal, tests::private_dir_of};

    #[test]
    fn a_miss_reads_a_piece_of_the_index_at_most() {
        const PIECES: u64 = 4;
        let dir = tempfile::tempdir().unwrap();
        let dir = private_dir_of(dir.path());
        let slots = (PIECES * index::AT_ONCE / index::offset(1)) as u32;
        let key = |n: u32| Key::wrap(0x12, &n.to_le_bytes()).unwrap();
        let file = files::open(&dir, &index::name(4096), Access::Make).unwrap();
        let write = |n: u32, change: u64| {
            let record = Record {
                key: key(n),
                len: 1,
                change,
            };
            file.write_all_at(&record.encode(0, n), index::offset(n))
                .unwrap();
        };
        (0..slots).for_each(|n| write(n, 7));
        let journal = Journal::begin(&dir, 7, JOURNAL_LEN).unwrap();
        let follower = Follower::open(dir.try_clone().unwrap()).unwrap();
        let change = |n: u32| {
            lock(&follower.shared.known)
                .find(&key(n))
                .map(|at| at.change)
        };
        assert!(follower.lease(&key(slots)).unwrap().is_none());
        assert_eq!((change(0), change(slots - 1)), (Some(7), Some(7)));
        follower.mark_verified(&key(1), 7);
        // More changes than the ring holds, of which the follower sees none.
        drop(journal);
        write(0, 8);
        write(slots - 1, 9);
        file.write_all_at(&[0; 128], index::offset(2)).unwrap();
        let _journal = Journal::begin(&dir, 9, JOURNAL_LEN).unwrap();
        for piece in 1..=PIECES {
            assert!(follower.lease(&key(slots)).unwrap().is_none());
            let unread = lock(&follower.shared.known).unread;
            let from = unread.filter(|unread| unread.class == 0).map(|it| it.from);
            assert_eq!(from, Some(piece * index::AT_ONCE));
            assert_eq!((change(0), change(2)), (Some(8), None));
        }
        assert!(follower.lease(&key(slots)).unwrap().is_none());
        assert!(lock(&follower.shared.known).unread.is_none());
        assert_eq!(change(slots - 1), Some(9));
        let known = lock(&follower.shared.known);
        assert!(known.find(&key(1)).unwrap().verified);
        assert!(!known.find(&key(0)).unwrap().verified);
    }
}
