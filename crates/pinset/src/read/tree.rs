//! From an offset to the block that holds it: down a file's tree, through verified inner nodes, each of whose
//! claims is checked against what it leads to.

use std::{
    ops::Range,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{
    block::{Key, cid_of},
    cache::{nodes::Decoded, staged::Staged},
    error::Error,
    fetch::engine::{Held, Obtained},
    path::place::Linked,
    read::latency::Latency,
    session::Session,
    unixfs::{self, Codec, Piece as InNode, Target},
};

/// The deepest tree that is read. A balanced one of 2^64 bytes in blocks of 256 KiB has 7 levels.
const MAX_DEPTH: usize = 64;

/// A file's tree of blocks.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) linked: Arc<Linked>,
    pub(crate) len: u64,
}

/// Bytes of a file that lie together in one block.
pub(crate) struct Piece {
    /// Which of the file's bytes these are: the whole leaf's.
    pub(crate) span: Range<u64>,
    pub(crate) source: Source,
    /// The inner node right above, if there is one: where the next descent may start.
    pub(crate) above: Option<Arc<Above>>,
}

/// An inner node that a descent went through.
pub(crate) struct Above {
    span: Range<u64>,
    node: Weak<Decoded>,
}

impl Above {
    /// The child that has `offset`, and which of the file's bytes it has, if the node is still here.
    fn child_at(&self, offset: u64) -> Option<(Target, Range<u64>)> {
        let decoded = self.node.upgrade()?;
        let unixfs::Node::File(file) = &decoded.node else {
            // coverage: the descent found it to be one.
            return None;
        };
        let within = offset.checked_sub(self.span.start)?;
        let InNode::Child { index, start, len } = file.locate(within) else {
            return None;
        };
        let start = self.span.start + start;
        Some((file.child_target(index).ok()?, start..start + len))
    }
}

/// Where a piece's bytes are.
pub(crate) enum Source {
    /// In a staged block, the span's first byte at `at`.
    Staged { block: Arc<Staged>, at: u64 },
    /// In memory, the whole span.
    Memory(Bytes),
}

/// What one try to get down the tree gives.
pub(crate) enum Step {
    Ready(Piece),
    /// This block has to be had first: the one that holds, or leads to, these of the file's bytes.
    Need {
        target: Target,
        span: Range<u64>,
    },
}

/// What a look at a block is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To read it: it is used, and so is every inner node on the way.
    Read,
    /// To have it at hand: no use.
    Ahead,
}

/// What has been had on the way down, for the time of one descent: no cache may take it away before it is used.
#[derive(Default)]
pub(crate) struct Scratch {
    nodes: Vec<(Key, Arc<Decoded>)>,
    block: Option<(Key, Held)>,
}

impl Scratch {
    fn node(&self, key: &Key) -> Option<Arc<Decoded>> {
        let found = self.nodes.iter().find(|(had, _)| had == key);
        found.map(|(_, node)| node.clone())
    }

    fn held(&self, key: &Key) -> Option<&Held> {
        self.block
            .as_ref()
            .filter(|(held, _)| held == key)
            .map(|(_, held)| held)
    }
}

impl Tree {
    pub(crate) fn target(&self) -> &Target {
        &self.linked.link.target
    }

    /// Gets down to the leaf at `offset`, which is below the file's length, as far as that goes without waiting.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unsupported`].
    pub(crate) fn step(
        &self,
        session: &Session,
        offset: u64,
        scratch: &Scratch,
        purpose: Purpose,
        start: Option<&Arc<Above>>,
    ) -> Result<Step, Error> {
        let engine = session.engine();
        let mut way: SmallVec<[Key; 2]> = SmallVec::new();
        // Where the last descent went through, and has checked all above. One handle that stays below one inner node
        // makes one use of it, as of a leaf.
        let child = start.and_then(|start| start.child_at(offset));
        let (mut above, (mut target, mut span)) = match child {
            Some(child) => (start.cloned(), child),
            None => (None, (self.target().clone(), 0..self.len)),
        };
        for _ in 0..=MAX_DEPTH {
            let wrong_len = |len: u64| {
                let claimed = span.end - span.start;
                malformed(
                    &target,
                    format!("it holds {len} bytes of the file, not the {claimed} that are claimed"),
                )
            };
            if let Target::Inline { codec, bytes } = &target {
                let node = unixfs::decode(*codec, bytes.clone());
                let node = node.map_err(|error| malformed(&target, error.to_string()))?;
                let unixfs::Node::File(file) = &node else {
                    return Err(malformed(
                        &target,
                        "a part of a file that is no file".to_owned(),
                    ));
                };
                if file.len() != span.end - span.start {
                    return Err(wrong_len(file.len()));
                }
                match file.locate(offset - span.start) {
                    InNode::Inline { .. } => {
                        let payload = file.payload();
                        let source = Source::Memory(bytes.slice(payload.clone()));
                        let span = span.start..span.start + payload.len() as u64;
                        return Ok(Step::Ready(Piece {
                            span,
                            source,
                            above,
                        }));
                    }
                    InNode::Child { index, start, len } => {
                        let child = file.child_target(index);
                        let child = child.map_err(|error| malformed(&target, error.to_string()))?;
                        span = span.start + start..span.start + start + len;
                        target = child;
                        continue;
                    }
                    // coverage: the offset is below the length, which was checked.
                    InNode::End => return Err(wrong_len(file.len())),
                }
            }
            // coverage: what lies in its CID was dealt with.
            let Target::Block(cid) = &target else {
                continue;
            };
            let key = cid.hash();
            match target.codec() {
                Codec::Other(code) => {
                    return Err(Error::Unsupported {
                        cid: *cid,
                        what: format!("the codec 0x{code:x}"),
                    });
                }
                Codec::Raw => {
                    let staged = match purpose {
                        Purpose::Read => engine.store.take_use(key, &way),
                        Purpose::Ahead => engine.store.peek(key),
                    };
                    let source = match (staged, scratch.held(key)) {
                        (Some(block), _) => Source::Staged { block, at: 0 },
                        (None, Some(Held::Staged(block))) => {
                            let block = block.clone();
                            Source::Staged { block, at: 0 }
                        }
                        (None, Some(Held::Memory(bytes))) => Source::Memory(bytes.clone()),
                        (None, None) => match engine.pooled(key) {
                            Some(bytes) => Source::Memory(bytes),
                            None => return Ok(Step::Need { target, span }),
                        },
                    };
                    let len = source.block_len();
                    if len != span.end - span.start {
                        return Err(wrong_len(len));
                    }
                    return Ok(Step::Ready(Piece {
                        span,
                        source,
                        above,
                    }));
                }
                Codec::DagPb => {}
            }
            let Some(decoded) = scratch.node(key).or_else(|| engine.cached_node(&target)) else {
                // A leaf whose payload has been found before is read where it is staged.
                let staged = match purpose {
                    Purpose::Read => engine.store.take_use(key, &way),
                    Purpose::Ahead => engine.store.peek(key),
                };
                let leaf = staged.and_then(|block| Some((block.leaf()?, block)));
                let Some((payload, block)) = leaf else {
                    return Ok(Step::Need { target, span });
                };
                if payload.end - payload.start != span.end - span.start {
                    return Err(wrong_len(payload.end - payload.start));
                }
                let at = payload.start;
                let source = Source::Staged { block, at };
                return Ok(Step::Ready(Piece {
                    span,
                    source,
                    above,
                }));
            };
            let unixfs::Node::File(file) = &decoded.node else {
                return Err(malformed(
                    &target,
                    "a part of a file that is no file".to_owned(),
                ));
            };
            if file.len() != span.end - span.start {
                return Err(wrong_len(file.len()));
            }
            match file.locate(offset - span.start) {
                InNode::Inline { .. } => {
                    let payload = file.payload();
                    let end = span.start + payload.len() as u64;
                    let held = scratch
                        .held(key)
                        .cloned()
                        .or_else(|| engine.at_hand(&target));
                    let source = match held {
                        Some(Held::Staged(block)) => {
                            if purpose == Purpose::Read {
                                engine.store.take_use(key, &way);
                            }
                            let at = payload.start as u64;
                            Source::Staged { block, at }
                        }
                        Some(Held::Memory(bytes)) => Source::Memory(bytes.slice(payload)),
                        // coverage: needs an inner node with bytes of its own that is evicted just then.
                        None => return Ok(Step::Need { target, span }),
                    };
                    let span = span.start..end;
                    return Ok(Step::Ready(Piece {
                        span,
                        source,
                        above,
                    }));
                }
                InNode::Child { index, start, len } => {
                    let child = file.child_target(index);
                    let child = child.map_err(|error| malformed(&target, error.to_string()))?;
                    way.push(*key);
                    above = Some(Arc::new(Above {
                        span: span.clone(),
                        node: Arc::downgrade(&decoded),
                    }));
                    span = span.start + start..span.start + start + len;
                    target = child;
                }
                // coverage: the offset is below the length, which was checked.
                InNode::End => return Err(wrong_len(file.len())),
            }
        }
        let reason = format!("it lies more than {MAX_DEPTH} levels below its file's root");
        Err(malformed(&target, reason))
    }

    /// Gets down to the leaf at `offset`, fetching what is missing: just the blocks on the way. `latency` is told how
    /// long the backend took for each.
    ///
    /// # Errors
    /// Those of [`step`](Self::step) and of fetching.
    pub(crate) async fn descend(
        &self,
        session: &Session,
        offset: u64,
        purpose: Purpose,
        latency: &Latency,
    ) -> Result<Piece, Error> {
        let engine = session.engine();
        let mut scratch = Scratch::default();
        loop {
            // Every turn adds to the scratch what the one before needed, so there are as many as levels.
            let target = match self.step(session, offset, &scratch, purpose, None)? {
                Step::Ready(piece) => return Ok(piece),
                Step::Need { target, .. } => target,
            };
            let Obtained { held, took } = engine
                .obtain_timed(&target, session.ask(&self.linked.origin))
                .await?;
            if let Some(took) = took {
                latency.saw(took);
            }
            let Target::Block(cid) = &target else {
                // coverage: what lies in its CID is never needed.
                continue;
            };
            let key = *cid.hash();
            if target.codec() == Codec::DagPb {
                let node = engine.decode(&target, &held).await?;
                scratch.nodes.push((key, node));
            }
            scratch.block = Some((key, held));
        }
    }
}

impl Source {
    fn block_len(&self) -> u64 {
        match self {
            Self::Staged { block, .. } => block.len() as u64,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }
}

fn malformed(target: &Target, reason: String) -> Error {
    let cid = cid_of(target);
    Error::Malformed { cid, reason }
}
