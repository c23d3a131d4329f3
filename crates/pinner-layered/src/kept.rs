//! The pins that are kept here, beside the sources.

use std::collections::BTreeSet;

use pinner_api::{Cid, Holder, Pin};

/// The pins that are kept here, in the memory of this process, as those of a CAR are.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) here: BTreeSet<Pin>,
    /// Pairs of holder and root that had to be pinned on the keeper, since their DAGs are not complete here.
    pub(crate) on_keeper_too: BTreeSet<(Holder, Cid)>,
}
