//! The node: its blocks, pins and names, and the methods by which a test changes them without the trait.
//!
//! Invariant: the one lock is never held across an await, so a dropped call leaves the state whole.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use block_hash::HashFunction;
use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::{Capabilities, Pin, PinnerError, Resolved, SourceId};

use crate::{
    dag,
    error::MockError,
    journal::{Call, Counters, Journal, Judged, Recording},
    script::{Fault, Script, When},
    store::{Store, Stored},
};

/// An in-memory IPFS node. A clone is another handle to the same node.
#[derive(Clone)]
pub struct MockNode {
    capabilities: Capabilities,
    concurrency: usize,
    source: Option<SourceId>,
    state: Arc<Mutex<State>>,
}

/// Shows numbers alone: a node may have a million blocks, and types that contain a node print it in logs.
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
    /// The blocks that the node can fetch.
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

    /// The block. If it was elsewhere, it is on the node from now on.
    pub(crate) fn fetch(&mut self, cid: &Cid) -> Option<Stored> {
        if let Some(stored) = self.here.get(cid) {
            return Some(stored);
        }
        let stored = self.elsewhere.get(cid)?;
        self.here.put(*cid, stored.clone());
        self.journal.counters.fetched += 1;
        Some(stored)
    }

    /// Brings the whole DAG onto the node. Where that is impossible, changes nothing and fails.
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

/// The settings of a node that is not built yet. See [`MockNode::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    capabilities: Capabilities,
    concurrency: usize,
    source: Option<SourceId>,
    recording: Recording,
}

impl Builder {
    /// Sets what the node can do; it refuses the rest. The default is everything.
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Sets how many blocks the node says it serves well at once. The default is 1,024, since it is in memory. The node serves
    /// more if it is asked for more.
    pub fn concurrency(mut self, blocks: usize) -> Self {
        self.concurrency = blocks;
        self
    }

    /// Sets the source that every answer names. The default is none.
    pub fn source(mut self, source: SourceId) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets how much of the calls is recorded. The default is every call.
    pub fn recording(mut self, recording: Recording) -> Self {
        self.recording = recording;
        self
    }

    /// Builds the node, empty.
    pub fn build(self) -> MockNode {
        let mut state = State::default();
        state.journal.recording = self.recording;
        MockNode {
            capabilities: self.capabilities,
            concurrency: self.concurrency,
            source: self.source,
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

    /// Starts to configure a node.
    pub fn builder() -> Builder {
        Builder {
            capabilities: Capabilities::blocks_only()
                .with_recursive_pins()
                .with_lazy_pins()
                .with_collection()
                .with_names(),
            concurrency: 1024,
            source: None,
            recording: Recording::default(),
        }
    }

    pub(crate) fn can(&self) -> Capabilities {
        self.capabilities
    }

    pub(crate) fn at_once(&self) -> usize {
        self.concurrency
    }

    pub(crate) fn named_source(&self) -> Option<&SourceId> {
        self.source.as_ref()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked under the lock has failed already. Other tests may still look at its node.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blocks.
impl MockNode {
    /// Stores the bytes under their CIDv1 with `codec` and sha2-256. Returns that CID.
    pub fn put(&self, codec: u64, bytes: impl Into<Bytes>) -> Cid {
        let bytes = bytes.into();
        let cid = Cid::new_v1(codec, Code::Sha2_256.digest(&bytes));
        self.put_unchecked(cid, bytes);
        cid
    }

    /// Stores the bytes under `cid` if they hash to it.
    ///
    /// # Errors
    /// [`WrongBytes`](MockError::WrongBytes) if they do not, [`UnknownHash`](MockError::UnknownHash) if that cannot
    /// be checked. Nothing is stored then.
    pub fn put_block(&self, cid: Cid, bytes: impl Into<Bytes>) -> Result<(), MockError> {
        let bytes = bytes.into();
        check(&cid, &bytes)?;
        self.put_unchecked(cid, bytes);
        Ok(())
    }

    /// Stores any bytes under `cid`, unchecked: this makes a node that lies.
    /// [`Pinner::block`](pinner_api::Pinner::block) returns the bytes as they are, but answers `Corrupt` if they are
    /// more than a block may have.
    pub fn put_unchecked(&self, cid: Cid, bytes: impl Into<Bytes>) {
        let stored = Stored::Bytes(bytes.into());
        self.state().here.put(cid, stored);
    }

    /// Stores a block, unchecked, that is generated at each read, so that a gigabyte of blocks needs no memory.
    ///
    /// `make` returns the same bytes each time. A pin or a collection calls it for blocks that can hold links, while
    /// the node is locked, so it must not call the node.
    pub fn put_generated(&self, cid: Cid, make: Arc<dyn Fn() -> Bytes + Send + Sync>) {
        self.state().here.put(cid, Stored::Generated(make));
    }

    /// Lets the node fetch this block "from the network". The block is not on the node until a read or a recursive
    /// pin wants it. It is unchecked.
    pub fn put_remote(&self, cid: Cid, bytes: impl Into<Bytes>) {
        let stored = Stored::Bytes(bytes.into());
        self.state().elsewhere.put(cid, stored);
    }

    /// [`put_remote`](Self::put_remote) for a block that is generated, as by [`put_generated`](Self::put_generated).
    pub fn put_remote_generated(&self, cid: Cid, make: Arc<dyn Fn() -> Bytes + Send + Sync>) {
        self.state().elsewhere.put(cid, Stored::Generated(make));
    }

    /// Removes the block from the node, pinned or not. Returns whether it was there. It may be fetched again.
    pub fn remove(&self, cid: &Cid) -> bool {
        self.state().here.remove(cid).is_some()
    }

    /// Removes the block from those that the node can fetch. Returns whether it was there.
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

    /// The CIDs of the blocks on the node itself, in no order. Each is the CID that the block was first put under.
    pub fn blocks(&self) -> Vec<Cid> {
        self.state().here.cids().collect()
    }
}

/// Pins and names.
impl MockNode {
    /// The pins that this library made, in order: those that [`Pinner::pins`](pinner_api::Pinner::pins) streams. Logs
    /// no call.
    pub fn pinned(&self) -> Vec<Pin> {
        self.state().pins.iter().copied().collect()
    }

    /// Pins the whole DAG as the node's owner. No holder's call lists, changes or releases this pin.
    ///
    /// # Errors
    /// The errors of a recursive [`pin`](pinner_api::Pinner::pin).
    pub fn foreign_pin(&self, root: &Cid) -> Result<(), PinnerError> {
        let mut state = self.state();
        state.complete(root)?;
        state.foreign.insert(*root);
        Ok(())
    }

    /// Releases the owner's pin. Returns whether there was one.
    pub fn foreign_unpin(&self, root: &Cid) -> bool {
        self.state().foreign.remove(root)
    }

    /// The owner's pins, in order.
    pub fn foreign_pins(&self) -> Vec<Cid> {
        self.state().foreign.iter().copied().collect()
    }

    /// Lets `name` (without `/ipns/`) point to `path` below `root`. `ttl` is how long an answer may be kept.
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

    /// Lets `name` point to nothing. Returns whether it pointed to something.
    pub fn remove_name(&self, name: &str) -> bool {
        self.state().names.remove(name).is_some()
    }
}

/// Faults, and the record of calls.
impl MockNode {
    /// Makes the calls that `when` selects fail as `fault` says.
    ///
    /// Several rules may select one call. They apply in the order in which they were scripted, until one ends the
    /// call.
    ///
    /// # Panics
    /// If these calls cannot fail in that way: a fault of a block's bytes for calls that return no block, or
    /// [`Missing`](Fault::Missing) for listings.
    pub fn script(&self, when: When, fault: Fault) {
        self.state().script.add(when, fault);
    }

    /// Forgets all rules. Calls that already hang go on hanging.
    pub fn clear_script(&self) {
        self.state().script = Script::default();
    }

    /// Every call since the log was last cleared, in the order of arrival.
    pub fn log(&self) -> Vec<Call> {
        self.state().journal.calls.clone()
    }

    /// Every verdict since the log was last cleared, in the order of arrival.
    pub fn verdicts(&self) -> Vec<Judged> {
        self.state().journal.verdicts.clone()
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

    /// Forgets the log, the verdicts and the totals. Calls in flight stay counted.
    pub fn clear_log(&self) {
        self.state().journal.clear();
    }

    /// Changes how much of the calls is recorded from now on.
    pub fn record(&self, recording: Recording) {
        self.state().journal.recording = recording;
    }
}

/// Whether the bytes hash to the CID.
fn check(cid: &Cid, bytes: &[u8]) -> Result<(), MockError> {
    let code = cid.hash().code();
    if code == crate::store::IDENTITY {
        return match cid.hash().digest() == bytes {
            true => Ok(()),
            false => Err(MockError::WrongBytes { cid: *cid }),
        };
    }
    let function = HashFunction::by_code(code).ok_or(MockError::UnknownHash { cid: *cid, code })?;
    match function.digest(bytes) == Some(*cid.hash()) {
        true => Ok(()),
        false => Err(MockError::WrongBytes { cid: *cid }),
    }
}
