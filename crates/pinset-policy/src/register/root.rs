//! One root in the register: its state, and who wants a pin on it.

/// Which pins of ours are on the backend under a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing.
    Nothing,
    /// Perhaps a pin: the answer of a call was lost.
    Uncertain,
    /// A lazy pin.
    Lazy,
    /// A recursive pin, perhaps beside a lazy one. One release removes both.
    Whole,
}

/// The work for a root that is under way, or waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Idle,
    /// A lazy pin waits, with this number in the queue.
    LazyQueued(u64),
    /// A lazy pin is being made.
    LazyMaking,
    /// A recursive pin is being made.
    WholeMaking,
    /// A release waits, with this number in the queue.
    ReleaseQueued(u64),
    /// A release is under way.
    Releasing,
    /// A release has failed. The number is that among the failed.
    ReleaseFailed(u64),
}

#[derive(Debug)]
pub(super) struct Root {
    pub(super) there: There,
    pub(super) work: Work,
    /// The number of open handles on it.
    pub(super) opens: usize,
    /// The number of those who hold the whole pin, or wait for it.
    pub(super) claims: usize,
    /// Whether the whole pin stays without a claim.
    pub(super) kept: bool,
    /// Whether a handle that is open asked for a lazy pin while something else was under way.
    pub(super) lazy_wanted: bool,
    /// The size that it counts for in the budget, in bytes.
    pub(super) weight: u64,
}

impl Root {
    pub(super) fn new(weight: u64) -> Self {
        Self {
            there: There::Nothing,
            work: Work::Idle,
            opens: 0,
            claims: 0,
            kept: false,
            lazy_wanted: false,
            weight,
        }
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.opens > 0 || self.claims > 0 || self.work != Work::Idle
    }
}
