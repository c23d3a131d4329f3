//! Scripted faults: which calls fail, and how.
//!
//! [`When`] selects calls, [`Fault`] says what happens to them, and [`Script`] counts the calls of each rule. Knows
//! nothing of what a call does without faults.

mod gate;

use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use pinner_api::{BlockRequest, Cause, MAX_BLOCK, PinnerError};
use tokio::time::Instant;

pub use self::gate::Gate;
use crate::store::Multihash;

/// The calls that a [`Fault`] applies to.
///
/// Each rule counts calls by itself, from the moment it is scripted, and counts only those that it selects.
#[derive(Clone, Debug)]
pub struct When {
    operation: Operation,
    of: Option<Multihash>,
    first: u64,
    last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Block,
    Pin,
    Unpin,
    Pins,
    Resolve,
}

impl When {
    const fn all(operation: Operation, of: Option<Multihash>) -> Self {
        Self {
            operation,
            of,
            first: 1,
            last: u64::MAX,
        }
    }

    /// Every block.
    pub const fn any_block() -> Self {
        Self::all(Operation::Block, None)
    }

    /// The block of this CID's multihash, each time it is asked for.
    pub fn block(cid: &Cid) -> Self {
        Self::all(Operation::Block, Some(*cid.hash()))
    }

    /// Every `pin`.
    pub const fn any_pin() -> Self {
        Self::all(Operation::Pin, None)
    }

    /// Every `pin` of roots with this CID's multihash.
    pub fn pin(root: &Cid) -> Self {
        Self::all(Operation::Pin, Some(*root.hash()))
    }

    /// Every `unpin`.
    pub const fn any_unpin() -> Self {
        Self::all(Operation::Unpin, None)
    }

    /// Every `unpin` of roots with this CID's multihash.
    pub fn unpin(root: &Cid) -> Self {
        Self::all(Operation::Unpin, Some(*root.hash()))
    }

    /// Every listing of pins.
    pub const fn pins() -> Self {
        Self::all(Operation::Pins, None)
    }

    /// Every resolution of a name.
    pub const fn resolve() -> Self {
        Self::all(Operation::Resolve, None)
    }

    /// Only the `n`-th of these calls from now on. The next call is the first.
    pub const fn nth(self, n: u64) -> Self {
        Self {
            first: n,
            last: n,
            ..self
        }
    }

    /// Only the next `k` of these calls.
    pub const fn first(self, k: u64) -> Self {
        Self {
            first: 1,
            last: k,
            ..self
        }
    }

    /// All of these calls, except those before the `n`-th from now on.
    pub const fn from_nth(self, n: u64) -> Self {
        Self {
            first: n,
            last: u64::MAX,
            ..self
        }
    }
}

/// A fault: how a call fails or is delayed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails, without effect.
    Error(PinnerError),
    /// The call has its effect, but its answer is lost on the way, so it fails. A listing of pins returns half of
    /// them first.
    ErrorAfter(PinnerError),
    /// The block or name is absent: the call fails with `NotFound` or `NameNotFound`. Not for listings, which ask for
    /// neither.
    Missing,
    /// The call waits for that long, and then goes on. A request for a block whose deadline comes first ends by it, with
    /// `TimedOut`: the source is slow, the backend is sound.
    Delay(Duration),
    /// The call never ends, whatever the deadline: the backend breaks its contract. To learn when a call has come this
    /// far, use [`HangUntil`](Self::HangUntil).
    Hang,
    /// The call waits until the gate is opened, whatever the deadline, and then goes on.
    HangUntil(Gate),
    /// The call panics, in the task that polls it.
    Panic,
    /// The call hands its work to a task of its own, which panics. The call fails with `Unavailable`.
    PanicInTask,
    /// One bit of the block's bytes is wrong. An empty block gets one byte.
    WrongBytes,
    /// The answer has only that many of the block's bytes, and nothing says that there are more.
    Truncated(usize),
    /// The answer has these bytes instead of the block's, at any length, whether the block is present or not.
    Replaced(Bytes),
    /// The source sends more bytes than a block may have.
    Oversize(Oversize),
}

/// How a backend reacts to a source that sends more bytes than a block may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// As the contract requires: it stops reading and answers `Corrupt`.
    Noticed,
    /// It returns all of the bytes, one more than is allowed: this backend breaks its contract.
    HandedOut,
}

impl Fault {
    /// Whether a call of this kind can fail in this way.
    fn fits(&self, operation: Operation) -> bool {
        match self {
            Self::WrongBytes | Self::Truncated(_) | Self::Replaced(_) | Self::Oversize(_) => {
                operation == Operation::Block
            }
            Self::Missing => operation != Operation::Pins,
            Self::Error(_)
            | Self::ErrorAfter(_)
            | Self::Delay(_)
            | Self::Hang
            | Self::HangUntil(_)
            | Self::Panic
            | Self::PanicInTask => true,
        }
    }
}

/// A call, reduced to what the script looks at.
#[derive(Debug)]
pub(crate) enum Subject<'a> {
    Block(&'a BlockRequest),
    Pin(&'a Cid),
    Unpin(&'a Cid),
    Pins,
    Resolve(&'a str),
}

impl Subject<'_> {
    fn operation(&self) -> (Operation, Option<&Cid>) {
        match self {
            Self::Block(request) => (Operation::Block, Some(request.cid())),
            Self::Pin(cid) => (Operation::Pin, Some(cid)),
            Self::Unpin(cid) => (Operation::Unpin, Some(cid)),
            Self::Pins => (Operation::Pins, None),
            Self::Resolve(_) => (Operation::Resolve, None),
        }
    }

    /// The error for an absent block or name; a listing has none.
    fn missing(&self) -> Option<PinnerError> {
        match self {
            Self::Block(request) => Some(PinnerError::NotFound {
                cid: *request.cid(),
            }),
            Self::Pin(cid) | Self::Unpin(cid) => Some(PinnerError::NotFound { cid: **cid }),
            Self::Resolve(name) => Some(PinnerError::NameNotFound {
                name: (*name).to_owned(),
            }),
            Self::Pins => None,
        }
    }

    /// Waits for that long. A request for a block waits until its deadline at most, and fails if that comes first.
    async fn wait(&self, time: Duration) -> Result<(), PinnerError> {
        let started = Instant::now();
        let wait = tokio::time::sleep(time);
        let Self::Block(request) = self else {
            wait.await;
            return Ok(());
        };
        let Some(deadline) = request.deadline().map(Instant::from_std) else {
            wait.await;
            return Ok(());
        };
        let waited = tokio::time::timeout_at(deadline, wait).await;
        waited.map_err(|_| PinnerError::TimedOut {
            operation: format!("block {}", request.cid()),
            after: deadline.saturating_duration_since(started),
        })
    }
}

/// The rules, in the order in which they were scripted.
#[derive(Debug, Default)]
pub(crate) struct Script(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    when: When,
    fault: Fault,
    /// How many of the calls that it selects it has seen.
    seen: u64,
}

impl Script {
    pub(crate) fn add(&mut self, when: When, fault: Fault) {
        assert!(
            fault.fits(when.operation),
            "{fault:?} cannot happen to a call of {:?}: script it for another call, or script another fault",
            when.operation
        );
        self.0.push(Rule {
            when,
            fault,
            seen: 0,
        });
    }

    /// The faults of this call. Each rule that selects the call counts it.
    pub(crate) fn next(&mut self, subject: &Subject<'_>) -> Vec<Fault> {
        let (operation, cid) = subject.operation();
        let mut faults = Vec::new();
        for rule in &mut self.0 {
            let when = &rule.when;
            let selected = when.operation == operation
                && when
                    .of
                    .is_none_or(|of| cid.is_some_and(|cid| *cid.hash() == of));
            if selected {
                rule.seen += 1;
                if (when.first..=when.last).contains(&rule.seen) {
                    faults.push(rule.fault.clone());
                }
            }
        }
        faults
    }
}

/// The faults that still apply to the answer of a call once it has waited.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    of_bytes: Vec<Fault>,
    lost: Option<PinnerError>,
}

impl Orders {
    /// Waits and fails as the faults say, in their order.
    pub(crate) async fn follow(
        faults: Vec<Fault>,
        subject: &Subject<'_>,
    ) -> Result<Self, PinnerError> {
        let mut orders = Self::default();
        for fault in faults {
            match fault {
                Fault::Error(error) => return Err(error),
                Fault::Missing => subject.missing().map_or(Ok(()), Err)?,
                Fault::Delay(time) => subject.wait(time).await?,
                Fault::Panic => panic!("the script has this call panic"),
                Fault::PanicInTask => return Err(panicked_in_task().await),
                Fault::Hang => std::future::pending().await,
                Fault::HangUntil(gate) => gate.pass().await,
                Fault::ErrorAfter(error) => orders.lost = orders.lost.or(Some(error)),
                Fault::WrongBytes
                | Fault::Truncated(_)
                | Fault::Replaced(_)
                | Fault::Oversize(_) => orders.of_bytes.push(fault),
            }
        }
        Ok(orders)
    }

    /// The result of a call that returns no data.
    pub(crate) fn answer(self) -> Result<(), PinnerError> {
        self.lost.map_or(Ok(()), Err)
    }

    /// The result of a call for a block: the genuine answer, spoilt as ordered.
    pub(crate) fn bytes(
        self,
        cid: &Cid,
        genuine: Result<Bytes, PinnerError>,
    ) -> Result<Bytes, PinnerError> {
        let mut answer = genuine;
        for fault in self.of_bytes {
            answer = match fault {
                Fault::WrongBytes => answer.map(flip),
                Fault::Truncated(len) => answer.map(|bytes| bytes.slice(..len.min(bytes.len()))),
                Fault::Replaced(bytes) => Ok(bytes),
                Fault::Oversize(Oversize::Noticed) => Err(too_large(cid, MAX_BLOCK + 1)),
                Fault::Oversize(Oversize::HandedOut) => Ok(vec![0x5a; MAX_BLOCK + 1].into()),
                Fault::Error(_)
                | Fault::ErrorAfter(_)
                | Fault::Missing
                | Fault::Delay(_)
                | Fault::Hang
                | Fault::HangUntil(_)
                | Fault::Panic
                | Fault::PanicInTask => answer,
            };
        }
        match self.lost {
            Some(lost) => Err(lost),
            None => answer,
        }
    }
}

/// Lets a task panic. Returns the error of a backend that waits for such a task.
async fn panicked_in_task() -> PinnerError {
    let task = tokio::spawn(async { panic!("the script has this call's task panic") });
    let stopped: Result<(), _> = task.await;
    PinnerError::Unavailable {
        operation: "a task of the backend".to_owned(),
        source: stopped.err().map(Cause::new),
    }
}

/// The bytes with one bit of the middle byte changed.
fn flip(bytes: Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    match bytes.get_mut(middle) {
        Some(byte) => *byte ^= 1,
        None => bytes.push(0),
    }
    bytes.into()
}

/// The answer of an honest backend to a source that sends more bytes than a block may have.
pub(crate) fn too_large(cid: &Cid, len: usize) -> PinnerError {
    PinnerError::Corrupt {
        operation: format!("block {cid}"),
        reason: format!("{len} bytes, but a block has at most {MAX_BLOCK}"),
    }
}
