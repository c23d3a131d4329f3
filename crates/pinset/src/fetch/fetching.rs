//! The part of a fetch that its waiters share with it, and its end.

use std::sync::Arc;

use crate::{
    fetch::{ask::Obtained, queue::Slot},
    grant::allowance::Allowance,
    sync::{Mutex, lock},
};

/// The end of a fetch.
#[derive(Clone)]
pub(crate) enum Landed {
    Block(Obtained),
    /// Read-ahead found no room. Whoever needs the block has to ask on demand.
    NoRoom,
}

/// The part of a fetch that its waiters share with it.
pub(crate) struct Fetching {
    slot: Arc<Slot>,
    payers: Mutex<Payers>,
}

/// The sessions for which a block is fetched. It counts once for each.
#[derive(Default)]
struct Payers {
    sessions: Vec<Arc<Allowance>>,
    /// The block's length, once it is known.
    bytes: Option<u64>,
}

impl Fetching {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Self {
            slot,
            payers: Mutex::default(),
        }
    }

    /// Where the room for the fetch arrives.
    pub(super) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Counts the fetch for a session, once.
    pub(super) fn paid_by(&self, session: &Arc<Allowance>) {
        let mut payers = lock(&self.payers);
        if !payers.sessions.iter().any(|it| Arc::ptr_eq(it, session)) {
            payers.sessions.push(session.clone());
            if let Some(bytes) = payers.bytes {
                session.count_fetched(bytes);
            }
        }
    }

    /// Takes note of the block's length.
    pub(super) fn arrived(&self, bytes: u64) {
        let mut payers = lock(&self.payers);
        payers.bytes = Some(bytes);
        for session in &payers.sessions {
            session.count_fetched(bytes);
        }
    }
}
