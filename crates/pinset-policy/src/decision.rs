//! The requests to [`Replacement`](crate::replacement::Replacement) and its answers: the types of its protocol, without
//! any of its logic. Invariant: only a request makes a [`Room`], and one insertion uses it up.

/// The reason for making an entry resident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is being used.
    Use,
    /// It is read ahead of its use, which may never come.
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

/// The decision of [`Replacement::request`](crate::replacement::Replacement::request).
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// The entry is resident; a [use](Admission::Use) has been noted.
    Resident,
    /// The entry is heavier than the whole budget: serve it without keeping it.
    Oversize,
    /// The entry may become resident: [evict](crate::replacement::Replacement::evict) until there is room, then
    /// [insert](crate::replacement::Replacement::insert).
    Admit(Room),
}

/// Room that was requested for one key: [`Replacement::request`](crate::replacement::Replacement::request) returns it,
/// and [`Replacement::insert`](crate::replacement::Replacement::insert) takes it.
#[derive(Debug)]
#[must_use]
pub struct Room {
    pub(super) weight: u64,
    pub(super) admission: Admission,
    pub(super) ghost: Option<Ghost>,
}

impl Room {
    /// The charge for the entry, in bytes: its weight, at least 1.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// The ghost list that the key was found in.
    pub fn ghost(&self) -> Option<Ghost> {
        self.ghost
    }

    /// Whether this is a hit in B2, for the paper's "x in B2 and |T1| = p". Read-ahead is not a hit.
    pub(super) fn is_frequent_ghost_hit(&self) -> bool {
        self.admission == Admission::Use && self.ghost == Some(Ghost::Frequent)
    }
}

/// The decision of [`Replacement::evict`](crate::replacement::Replacement::evict).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Eviction<K, V = ()> {
    /// There is room; nothing was evicted.
    Enough,
    /// This entry is no longer resident; there may be room now.
    Victim {
        /// Its key.
        key: K,
        /// Its value.
        value: V,
        /// Its charge, in bytes.
        weight: u64,
    },
    /// There is no room, and no victim was found: all entries that were
    /// [looked at](crate::replacement::LOOKED_AT) are in use, or the budget has become smaller than the room.
    NoneFree,
}

/// The outcome of [`Replacement::insert`](crate::replacement::Replacement::insert).
#[derive(Debug)]
#[must_use]
pub enum Insertion {
    /// The entry is resident now.
    Admitted,
    /// Another caller had already made the entry resident. The use, if it was one, has been noted. Its weight does not
    /// change.
    Resident,
    /// There is no room: others took it, or the budget is smaller now. Evict again, or give up.
    NoRoom(Room),
}
