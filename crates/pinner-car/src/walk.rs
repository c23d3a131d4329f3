//! The walk that finds out whether a DAG is whole. This is what a recursive pin on a CAR file does.
//!
//! The walk is depth first, in the order of the links. It has a stack of its own, so a chain of any depth takes heap
//! and not the thread's stack. Raw leaves are looked up but not read. The walk is pure except for the `Source` it is
//! given.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use pinner_api::{Cid, PinnerError};
use unixfs::Target;

use crate::{index::Key, links::Codec};

/// The source of the walk's blocks.
pub(crate) trait Source {
    /// Whether the block is there.
    fn has(&self, cid: &Cid) -> bool;
    /// The block, or `NotFound` if it is not there.
    fn read(&self, cid: &Cid) -> Result<Bytes, PinnerError>;
}

/// Returns `Ok` if every block below `root` is there, or else an error for the first block that is missing or has no
/// readable links. Ends early if `cancelled` is set.
pub(crate) fn check_complete(
    root: &Cid,
    source: &impl Source,
    cancelled: &AtomicBool,
) -> Result<(), PinnerError> {
    // Keyed by the codec too: the same bytes under another codec have other links.
    let mut seen: HashSet<(u64, Key)> = HashSet::new();
    let mut open = vec![Target::Block(*root)];
    while let Some(target) = open.pop() {
        if cancelled.load(Ordering::Relaxed) {
            return Err(PinnerError::Unavailable {
                operation: format!("pin {root}: cancelled"),
                source: None,
            });
        }
        let code = u64::from(target.codec());
        if let Target::Block(cid) = &target
            && !seen.insert((code, Key::new(cid.hash())))
        {
            continue;
        }
        let named = || match &target {
            Target::Block(cid) => cid.to_string(),
            Target::Inline { .. } => "an identity CID".to_owned(),
        };
        let Some(codec) = Codec::of(code) else {
            return Err(PinnerError::Denied {
                operation: format!("pin {root}"),
                reason: format!(
                    "the links of {} are unknown, because its codec 0x{code:x} is neither dag-pb, dag-cbor nor raw; \
                     the DAG cannot be proven whole",
                    named()
                ),
            });
        };
        let block = match &target {
            Target::Block(cid) if codec == Codec::Leaf => match source.has(cid) {
                true => continue,
                false => return Err(PinnerError::NotFound { cid: *cid }),
            },
            Target::Block(cid) => source.read(cid)?,
            Target::Inline { bytes, .. } => bytes.clone(),
        };
        let links = codec.links(&block).map_err(|reason| PinnerError::Corrupt {
            operation: format!("pin {root}"),
            reason: format!("block {} does not decode: {reason}", named()),
        })?;
        open.extend(links.into_iter().rev());
    }
    Ok(())
}
