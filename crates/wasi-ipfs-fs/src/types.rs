//! The types of entries in one guest's listings: whether they are looked up, and how many could not be learnt.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use pinset::Entry;

/// One guest's record. All its listings share it.
#[derive(Debug, Default)]
pub(crate) struct Types {
    lazy: bool,
    unknown: AtomicU64,
}

impl Types {
    /// Makes a record. With `lazy`, entries have only the types that their links tell.
    pub(crate) fn new(lazy: bool) -> Self {
        Self {
            lazy,
            unknown: AtomicU64::new(0),
        }
    }

    pub(crate) fn are_lazy(&self) -> bool {
        self.lazy
    }

    /// The number of entries so far whose type could not be learnt.
    pub(crate) fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Counts an entry whose type could not be learnt. The guest's first one is logged; a guest that lists such
    /// entries again and again must not fill the log.
    pub(crate) fn count_unknown(&self, entry: &Entry, why: &dyn fmt::Display) {
        let cid = entry.cid();
        if self.unknown.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(%cid, %why, "an entry is listed without its type; more of them are only counted");
        } else {
            tracing::debug!(%cid, %why, "an entry is listed without its type");
        }
    }
}
