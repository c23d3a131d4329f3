//! What is asked of [`Replacement`](super::replacement::Replacement), and what it answers: the words of its protocol,
//! without any of its logic. Invariant: a [`Room`] is made by a request alone, and used up by one insertion.

/// Why an entry is to become resident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is used.
    Use,
    /// It is read ahead of its use, which may come or not.
    Ahead,
}

/// The ghost list that a key was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ghost {
    /// B1: used once before it was evicted.
    Recent,
    /// B2: used more than once before it was evicted.
    Frequent,
}

/// What [`Replacement::request`](super::replacement::Replacement::request) decides.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// It is resident; a [use](Admission::Use) has been noted.
    Resident,
    /// It is heavier than the whole budget: serve it without keeping it.
    Oversize,
    /// It is to become resident: [evict](super::replacement::Replacement::evict) until there is room, then
    /// [insert](super::replacement::Replacement::insert).
    Admit(Room),
}

/// Room that is asked for, for one key: from [`Replacement::request`](super::replacement::Replacement::request) to
/// [`Replacement::insert`](super::replacement::Replacement::insert).
#[derive(Debug)]
#[must_use]
pub struct Room {
    pub(super) weight: u64,
    pub(super) admission: Admission,
    pub(super) ghost: Option<Ghost>,
}

impl Room {
    /// What the entry is charged, in bytes: its weight, at least 1.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// The ghost list that the key was found in.
    pub fn ghost(&self) -> Option<Ghost> {
        self.ghost
    }

    /// Whether this is a hit in B2, for the paper's "x in B2 and |T1| = p". Read-ahead is no hit.
    pub(super) fn is_frequent_ghost_hit(&self) -> bool {
        self.admission == Admission::Use && self.ghost == Some(Ghost::Frequent)
    }
}

/// What [`Replacement::evict`](super::replacement::Replacement::evict) decides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Eviction<K> {
    /// There is room; nothing was evicted.
    Enough,
    /// This entry is not resident any more; there may be room now.
    Victim {
        /// Its key.
        key: K,
        /// What it was charged, in bytes.
        weight: u64,
    },
    /// There is no room, and no victim was found: what was [looked at](super::replacement::LOOKED_AT) is in use, or the
    /// budget has become smaller than the room.
    NoneFree,
}

/// What became of [`Replacement::insert`](super::replacement::Replacement::insert).
#[derive(Debug)]
#[must_use]
pub enum Insertion {
    /// It is resident now.
    Admitted,
    /// It was resident already, by somebody else's doing; the use, if it was one, has been noted. Its weight
    /// stays what it was.
    Resident,
    /// There is no room: others took it, or the budget is smaller now. Evict again, or give up.
    NoRoom(Room),
}
