//! The node: what is on it, and what a test does to it behind the trait's back.
//!
//! Invariant: the one lock is never held across an await, so that dropping a call leaves the state whole.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::{Capabilities, Pin, PinnerError, Resolved};

use crate::{
    dag,
    error::MockError,
    journal::{Call, Counters, Journal, Recording},
    script::{Fault, Script, When},
    store::{Store, Stored},
};

/// An in-memory IPFS node. A clone is another handle to the same one.
#[derive(Clone)]
pub struct MockNode {
    capabilities: Capabilities,
    state: Arc<Mutex<State>>,
}

/// Numbers alone: a node may have a million blocks, and whoever has one inside shows it in its logs.
impl fmt::Debug for MockNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MockNode")
            .field("blocks", &state.here.len())
            .field("pins", &state.pins.len())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(crate) struct State {
    /// The blocks on the node.
    pub(crate) here: Store,
    /// The blocks that it can fetch.
    pub(crate) elsewhere: Store,
    pub(crate) pins: BTreeSet<Pin>,
    pub(crate) foreign: BTreeSet<Cid>,
    pub(crate) names: HashMap<String, Resolved>,
    pub(crate) script: Script,
    pub(crate) journal: Journal,
}

impl State {
    /// The block, wherever it is.
    pub(crate) fn find(&self, cid: &Cid) -> Option<Stored> {
        self.here.get(cid).or_else(|| self.elsewhere.get(cid))
    }

    /// The block, which is on the node from now on.
    pub(crate) fn fetch(&mut self, cid: &Cid) -> Option<Stored> {
        if let Some(stored) = self.here.get(cid) {
            return Some(stored);
        }
        let stored = self.elsewhere.get(cid)?;
        self.here.put(*cid, stored.clone());
        self.journal.counters.fetched += 1;
        Some(stored)
    }

    /// Brings the whole DAG onto the node; does nothing where that cannot be.
    pub(crate) fn complete(&mut self, root: &Cid) -> Result<(), PinnerError> {
        let reached = dag::reach(root, |cid| self.find(cid));
        if let Some((block, reason)) = reached.poisoned {
            return Err(PinnerError::Corrupt {
                operation: format!("pin {root}"),
                reason: format!("block {block} {reason}"),
            });
        }
        if let Some(cid) = reached.missing {
            return Err(PinnerError::NotFound { cid });
        }
        for hash in reached.present {
            // The codec does not matter here; blocks are found by multihash.
            self.fetch(&Cid::new_v1(0x55, hash));
        }
        Ok(())
    }
}

/// What a node can do, before it is made. See [`MockNode::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    capabilities: Capabilities,
    recording: Recording,
}

impl Builder {
    /// What the node can do; it refuses the rest. Everything unless said otherwise.
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// How much of the calls is kept. All unless said otherwise.
    pub fn recording(mut self, recording: Recording) -> Self {
        self.recording = recording;
        self
    }

    /// The node, empty.
    pub fn build(self) -> MockNode {
        let mut state = State::default();
        state.journal.recording = self.recording;
        MockNode {
            capabilities: self.capabilities,
            state: Arc::new(Mutex::new(state)),
        }
    }
}

impl Default for MockNode {
    fn default() -> Self {
        Self::new()
    }
}

impl MockNode {
    /// An empty node that can do everything and logs every call.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A node to be configured.
    pub fn builder() -> Builder {
        Builder {
            capabilities: Capabilities::blocks_only()
                .with_recursive_pins()
                .with_lazy_pins()
                .with_collection()
                .with_names(),
            recording: Recording::default(),
        }
    }

    pub(crate) fn can(&self) -> Capabilities {
        self.capabilities
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked under the lock has failed already; its node stays fit for others to look at.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blocks.
impl MockNode {
    /// Stores the bytes under their CIDv1 of `codec`, by sha2-256, and gives it.
    pub fn put(&self, codec: u64, bytes: impl Into<Bytes>) -> Cid {
        let bytes = bytes.into();
        let cid = Cid::new_v1(codec, Code::Sha2_256.digest(&bytes));
        self.put_unchecked(cid, bytes);
        cid
    }

    /// Stores the bytes under `cid`, once it is checked that they are its.
    ///
    /// # Errors
    /// [`WrongBytes`](MockError::WrongBytes), or [`UnknownHash`](MockError::UnknownHash) where that cannot be
    /// checked. Nothing is stored then.
    pub fn put_block(&self, cid: Cid, bytes: impl Into<Bytes>) -> Result<(), MockError> {
        let bytes = bytes.into();
        check(&cid, &bytes)?;
        self.put_unchecked(cid, bytes);
        Ok(())
    }

    /// Stores any bytes under `cid`: a node that lies. [`Pinner::block`](pinner_api::Pinner::block) hands them
    /// out as they are, but answers `Corrupt` where they are more than a block may be.
    pub fn put_unchecked(&self, cid: Cid, bytes: impl Into<Bytes>) {
        let stored = Stored::Bytes(bytes.into());
        self.state().here.put(cid, stored);
    }

    /// Stores a block that is made anew, unchecked, whenever it is looked at: a gigabyte of them needs no memory.
    ///
    /// `make` gives the same bytes each time. A pin or a collection calls it for blocks that can hold links, with
    /// the node locked: it must not call the node.
    pub fn put_generated(&self, cid: Cid, make: Arc<dyn Fn() -> Bytes + Send + Sync>) {
        self.state().here.put(cid, Stored::Generated(make));
    }

    /// Lets the node fetch this block "from the network": it is not on the node until a read or a recursive pin
    /// wants it. Unchecked.
    pub fn put_remote(&self, cid: Cid, bytes: impl Into<Bytes>) {
        let stored = Stored::Bytes(bytes.into());
        self.state().elsewhere.put(cid, stored);
    }

    /// [`put_remote`](Self::put_remote) of a block that is made anew, as [`put_generated`](Self::put_generated) has it.
    pub fn put_remote_generated(&self, cid: Cid, make: Arc<dyn Fn() -> Bytes + Send + Sync>) {
        self.state().elsewhere.put(cid, Stored::Generated(make));
    }

    /// Takes the block off the node, pinned or not; whether it was there. It may still be fetched anew.
    pub fn remove(&self, cid: &Cid) -> bool {
        self.state().here.remove(cid).is_some()
    }

    /// Takes the block out of what the node can fetch; whether it was there.
    pub fn remove_remote(&self, cid: &Cid) -> bool {
        self.state().elsewhere.remove(cid).is_some()
    }

    /// Whether the block is on the node itself.
    pub fn contains(&self, cid: &Cid) -> bool {
        self.state().here.get(cid).is_some()
    }

    /// How many blocks are on the node itself.
    pub fn len(&self) -> usize {
        self.state().here.len()
    }

    /// Whether no block is on the node itself.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The CIDs of the blocks on the node itself, as each was first put, in no order.
    pub fn blocks(&self) -> Vec<Cid> {
        self.state().here.cids().collect()
    }
}

/// Pins and names.
impl MockNode {
    /// The pins of this library's, in order: what [`Pinner::pins`](pinner_api::Pinner::pins) streams, without a
    /// call being logged.
    pub fn pinned(&self) -> Vec<Pin> {
        self.state().pins.iter().copied().collect()
    }

    /// Pins the whole DAG as the node's owner: no holder's call lists it, changes it or releases it.
    ///
    /// # Errors
    /// As those of a recursive [`pin`](pinner_api::Pinner::pin).
    pub fn foreign_pin(&self, root: &Cid) -> Result<(), PinnerError> {
        let mut state = self.state();
        state.complete(root)?;
        state.foreign.insert(*root);
        Ok(())
    }

    /// Releases the owner's pin; whether there was one.
    pub fn foreign_unpin(&self, root: &Cid) -> bool {
        self.state().foreign.remove(root)
    }

    /// The owner's pins, in order.
    pub fn foreign_pins(&self) -> Vec<Cid> {
        self.state().foreign.iter().copied().collect()
    }

    /// Lets `name` (without `/ipns/`) stand for `path` below `root`. `ttl`: how long an answer may be kept.
    pub fn set_name(
        &self,
        name: impl Into<String>,
        root: Cid,
        path: impl Into<String>,
        ttl: Option<Duration>,
    ) {
        let mut resolved = Resolved::new(root, path);
        resolved.ttl = ttl;
        self.state().names.insert(name.into(), resolved);
    }

    /// Lets `name` stand for nothing; whether it stood for something.
    pub fn remove_name(&self, name: &str) -> bool {
        self.state().names.remove(name).is_some()
    }
}

/// Faults, and what was asked.
impl MockNode {
    /// Lets the calls that `when` names go wrong as `fault` says.
    ///
    /// Several rules may meet in one call: they apply in the order in which they were scripted, until one ends it.
    ///
    /// # Panics
    /// Where the calls cannot go wrong in that way: a fault of a block's bytes for calls that give no block, or
    /// [`Missing`](Fault::Missing) for listings.
    pub fn script(&self, when: When, fault: Fault) {
        self.state().script.add(when, fault);
    }

    /// Forgets all rules. Calls that hang already hang on.
    pub fn clear_script(&self) {
        self.state().script = Script::default();
    }

    /// Every call since the log was last cleared, in the order of arrival.
    pub fn log(&self) -> Vec<Call> {
        self.state().journal.calls.clone()
    }

    /// How often the block of this multihash was asked for.
    pub fn blocks_asked(&self, cid: &Cid) -> usize {
        let state = self.state();
        state.journal.asked.get(cid.hash()).copied().unwrap_or(0)
    }

    /// How many blocks were asked for, each counted once.
    pub fn distinct_blocks_asked(&self) -> usize {
        self.state().journal.asked.len()
    }

    /// The totals.
    pub fn stats(&self) -> Counters {
        self.state().journal.counters
    }

    /// Forgets the log and the totals; what is in flight stays counted.
    pub fn clear_log(&self) {
        self.state().journal.clear();
    }

    /// Changes how much of the calls is kept from now on.
    pub fn record(&self, recording: Recording) {
        self.state().journal.recording = recording;
    }
}

/// Whether the bytes are those of the CID.
fn check(cid: &Cid, bytes: &[u8]) -> Result<(), MockError> {
    let code = cid.hash().code();
    if code == crate::store::IDENTITY {
        return match cid.hash().digest() == bytes {
            true => Ok(()),
            false => Err(MockError::WrongBytes { cid: *cid }),
        };
    }
    let function = Code::try_from(code).map_err(|_| MockError::UnknownHash { cid: *cid, code })?;
    match function.digest(bytes) == *cid.hash() {
        true => Ok(()),
        false => Err(MockError::WrongBytes { cid: *cid }),
    }
}
