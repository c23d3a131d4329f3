//! The record of the calls on the node: the calls in order, and counters.
//!
//! Invariant: a call counts when it arrives, however it ends, and is in flight until it ends or is dropped.

use std::{collections::HashMap, time::Instant};

use cid::Cid;
use pinner_api::{Holder, Origin, PinDepth, SourceId, Verdict};

use crate::store::Multihash;

/// One call on the node, recorded when it arrives. Refused and abandoned calls are recorded too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// `block`, called directly or by `blocks`.
    Block {
        /// The CID as the caller gave it.
        cid: Cid,
        /// The hint that came with it.
        origin: Origin,
        /// The moment by which it had to end, if the caller set one.
        deadline: Option<Instant>,
        /// The sources to avoid.
        avoid: Vec<SourceId>,
    },
    /// `pin`.
    Pin {
        /// The holder that pins.
        holder: Holder,
        /// The root to pin.
        root: Cid,
        /// How deep to pin it.
        depth: PinDepth,
    },
    /// `unpin`.
    Unpin {
        /// The holder that releases.
        holder: Holder,
        /// The root to release.
        root: Cid,
    },
    /// `pins`, at its first poll.
    Pins,
    /// `resolve`.
    Resolve {
        /// The name.
        name: String,
    },
}

/// One verdict, recorded when it arrives. It is not a [`Call`]: nothing waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judged {
    /// The block as the caller had asked for it.
    pub cid: Cid,
    /// The source that the verdict is on, as the caller gave it.
    pub source: Option<SourceId>,
    /// The verdict.
    pub verdict: Verdict,
}

/// How much of the calls is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// Every call (some 250 bytes each), every verdict, and the counters.
    #[default]
    Calls,
    /// The counters alone, for millions of calls. [`MockNode::log`](crate::MockNode::log) and
    /// [`MockNode::verdicts`](crate::MockNode::verdicts) are empty then.
    Counters,
}

/// Totals since the node was built or the log last cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Blocks asked for.
    pub blocks: u64,
    /// Bytes returned, wrong ones included.
    pub bytes: u64,
    /// Blocks fetched from elsewhere, for reads and for pins.
    pub fetched: u64,
    /// Calls of `pin`.
    pub pins: u64,
    /// Calls of `unpin`.
    pub unpins: u64,
    /// Listings of pins.
    pub listings: u64,
    /// Names asked for.
    pub resolutions: u64,
    /// Calls of all kinds that have not ended yet.
    pub in_flight: u64,
    /// The largest number of calls that were in flight at one time.
    pub in_flight_max: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) recording: Recording,
    pub(crate) calls: Vec<Call>,
    pub(crate) verdicts: Vec<Judged>,
    pub(crate) counters: Counters,
    pub(crate) asked: HashMap<Multihash, usize>,
}

impl Journal {
    /// Counts the call as arrived, and as in flight.
    pub(crate) fn begin(&mut self, call: Call) {
        let counters = &mut self.counters;
        match &call {
            Call::Block { cid, .. } => {
                counters.blocks += 1;
                *self.asked.entry(*cid.hash()).or_default() += 1;
            }
            Call::Pin { .. } => counters.pins += 1,
            Call::Unpin { .. } => counters.unpins += 1,
            Call::Pins => counters.listings += 1,
            Call::Resolve { .. } => counters.resolutions += 1,
        }
        counters.in_flight += 1;
        counters.in_flight_max = counters.in_flight_max.max(counters.in_flight);
        match self.recording {
            Recording::Calls => self.calls.push(call),
            Recording::Counters => {}
        }
    }

    /// Records a verdict.
    pub(crate) fn judge(&mut self, judged: Judged) {
        match self.recording {
            Recording::Calls => self.verdicts.push(judged),
            Recording::Counters => {}
        }
    }

    /// Records that one call has ended.
    pub(crate) fn end(&mut self) {
        self.counters.in_flight -= 1;
    }

    /// Forgets everything except the calls in flight.
    pub(crate) fn clear(&mut self) {
        let in_flight = self.counters.in_flight;
        self.calls.clear();
        self.verdicts.clear();
        self.asked.clear();
        self.counters = Counters {
            in_flight,
            in_flight_max: in_flight,
            ..Counters::default()
        };
    }
}
