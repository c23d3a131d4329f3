//! From an offset to the block that holds it: down a file's tree, through verified inner nodes. Each claim of an inner
//! node is checked against the block that it leads to.

use std::{
    ops::Range,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use pinner_api::{MAX_BLOCK, Origin};
use smallvec::SmallVec;

use crate::{
    block::{Key, cid_of},
    cache::{nodes::Decoded, staged::Staged},
    error::Error,
    fetch::{
        ask::{Held, Obtained, Rank},
        engine::Engine,
    },
    path::place::Linked,
    read::latency::Latency,
    session::Session,
    unixfs::{self, Codec, Piece as InNode, Target},
};

#[cfg(test)]
mod tests;

/// The most levels of a tree. A balanced tree of 2^64 bytes in blocks of 256 KiB has 7 levels.
const MAX_DEPTH: usize = 64;

/// A file's tree of blocks.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) linked: Arc<Linked>,
    pub(crate) len: u64,
}

/// The bytes of a file that lie together in one block.
pub(crate) struct Piece {
    /// The range of the file's bytes that the leaf holds.
    pub(crate) span: Range<u64>,
    pub(crate) source: Source,
    /// The inner node right above, if there is one. The next descent may start there.
    pub(crate) above: Option<Arc<Above>>,
}

/// An inner node that a descent went through.
pub(crate) struct Above {
    span: Range<u64>,
    node: Weak<Decoded>,
}

impl Above {
    /// Returns the child that holds or leads to `offset`, and the range of the file's bytes below it, if the node is
    /// still in memory.
    fn child_at(&self, offset: u64) -> Option<(Target, Range<u64>)> {
        let decoded = self.node.upgrade()?;
        let unixfs::Node::File(file) = &decoded.node else {
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

/// The place of a piece's bytes.
pub(crate) enum Source {
    /// In a staged block, with the span's first byte at `at`.
    Staged { block: Arc<Staged>, at: u64 },
    /// In memory, the whole span.
    Memory(Bytes),
}

/// The purpose of a descent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To read the leaf. This is a use of the leaf and of every inner node on the way.
    Read,
    /// To load the leaf ahead of a read. This is not a use.
    Ahead,
}

/// A way down the tree to the leaf at one offset, as far as it has come. It stops where a block has to be fetched, and
/// goes on from there.
pub(crate) struct Descent {
    offset: u64,
    purpose: Purpose,
    /// The next block: it holds, or leads to, the bytes of `span`.
    target: Target,
    span: Range<u64>,
    /// The inner node right above `target`.
    above: Option<Arc<Above>>,
    /// The inner nodes that this descent went through. A handle that stays below one inner node uses it once, as it
    /// does a leaf.
    way: SmallVec<[Key; 2]>,
    levels: usize,
}

/// A block that was fetched for a descent. It is held until it is used, so that it cannot be evicted before.
struct Fetched {
    held: Held,
    /// The decoded block, unless it is a raw block.
    node: Option<Arc<Decoded>>,
}

/// A node of the tree.
enum Looked {
    /// The node lies in its CID.
    Inline(unixfs::Node),
    Block(Arc<Decoded>),
}

impl Tree {
    pub(crate) fn target(&self) -> &Target {
        &self.linked.link.target
    }

    /// Begins a descent to the leaf at `offset`, which must be below the file's length. It starts from the child of
    /// `start` that leads there, if there is one and `start` is still in memory, and otherwise from the root.
    pub(crate) fn descent(
        &self,
        offset: u64,
        purpose: Purpose,
        start: Option<&Arc<Above>>,
    ) -> Descent {
        // The nodes above that child were checked by the descent that went through them.
        let child = start.and_then(|start| start.child_at(offset));
        let (above, (target, span)) = match child {
            Some(child) => (start.cloned(), child),
            None => (None, (self.target().clone(), 0..self.len)),
        };
        Descent {
            offset,
            purpose,
            target,
            span,
            above,
            way: SmallVec::new(),
            levels: 0,
        }
    }
}

impl Descent {
    /// The offset in the file that the descent leads to.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The offset in the file at which the bytes end that the next block holds or leads to.
    pub(crate) fn span_end(&self) -> u64 {
        self.span.end
    }

    /// As [`span_end`](Self::span_end), if a block can hold that many bytes. Otherwise the next block is an inner node.
    pub(crate) fn leaf_end(&self) -> Option<u64> {
        (self.span.end - self.span.start <= MAX_BLOCK as u64).then_some(self.span.end)
    }

    /// Goes down as far as possible without waiting. Returns `None` if a block has to be fetched first.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unsupported`].
    pub(crate) fn step(&mut self, engine: &Engine) -> Result<Option<Piece>, Error> {
        self.step_with(engine, None)
    }

    /// Fetches the missing block and the missing blocks below it, but only those on the way to the leaf. Records in
    /// `latency` how long the backend took for each.
    ///
    /// # Errors
    /// Those of [`step`](Self::step) and of fetching.
    pub(crate) async fn fetch(
        mut self,
        session: &Session,
        origin: &Origin,
        latency: &Latency,
    ) -> Result<Piece, Error> {
        let engine = session.engine();
        loop {
            let mut ask = session.ask(origin);
            ask.expected = self.leaf_end().map(|end| end - self.span.start);
            if self.purpose == Purpose::Ahead {
                ask.rank = Rank::Ahead;
            }
            let obtained = engine.obtain_timed(&self.target, ask);
            let Obtained { held, took } = obtained.await?;
            if let Some(took) = took {
                latency.saw(took);
            }
            let node = match self.target.codec() {
                Codec::DagPb => Some(engine.decode(&self.target, &held).await?),
                Codec::Raw | Codec::Other(_) => None,
            };
            // Every turn goes below the block that it fetched, so there are no more turns than levels.
            if let Some(piece) = self.step_with(engine, Some(Fetched { held, node }))? {
                return Ok(piece);
            }
        }
    }

    fn step_with(
        &mut self,
        engine: &Engine,
        mut fetched: Option<Fetched>,
    ) -> Result<Option<Piece>, Error> {
        loop {
            let (held, node) = match fetched.take() {
                Some(Fetched { held, node }) => (Some(held), node),
                None => {
                    #[cfg(test)]
                    tests::looked();
                    (None, None)
                }
            };
            let looked = match &self.target {
                Target::Inline { codec, bytes } => {
                    let node = unixfs::decode(*codec, bytes.clone());
                    Looked::Inline(node.map_err(|error| self.malformed(error.to_string()))?)
                }
                Target::Block(cid) => match self.target.codec() {
                    Codec::Other(code) => {
                        return Err(Error::Unsupported {
                            cid: *cid,
                            what: format!("the codec 0x{code:x}"),
                        });
                    }
                    Codec::Raw => return self.raw_leaf(engine, cid.hash(), held),
                    Codec::DagPb => match node.or_else(|| engine.cached_node(&self.target)) {
                        Some(node) => Looked::Block(node),
                        None => return self.leaf_seen_before(engine, cid.hash()),
                    },
                },
            };
            let unixfs::Node::File(file) = looked.node() else {
                return Err(self.malformed("it must be a part of a file and is not".to_owned()));
            };
            self.check_len(file.len())?;
            let child = match file.locate(self.offset - self.span.start) {
                InNode::Inline { .. } => {
                    let payload = file.payload();
                    let end = self.span.start + payload.len() as u64;
                    let source = self.payload(engine, payload, held);
                    return Ok(source.map(|source| self.piece(end, source)));
                }
                InNode::Child { index, start, len } => {
                    let child = file.child_target(index);
                    let child = child.map_err(|error| self.malformed(error.to_string()))?;
                    (child, self.span.start + start, len)
                }
                InNode::End => return Err(self.wrong_len(file.len())),
            };
            self.go_below(&looked, child)?;
        }
    }

    /// Goes on to a child of the current node, given as its target, its start in the file, and its length.
    fn go_below(&mut self, looked: &Looked, child: (Target, u64, u64)) -> Result<(), Error> {
        if let (Target::Block(cid), Looked::Block(decoded)) = (&self.target, looked) {
            self.way.push(*cid.hash());
            self.above = Some(Arc::new(Above {
                span: self.span.clone(),
                node: Arc::downgrade(decoded),
            }));
        }
        let (target, start, len) = child;
        (self.target, self.span) = (target, start..start + len);
        self.levels += 1;
        if self.levels > MAX_DEPTH {
            let reason = format!("it lies more than {MAX_DEPTH} levels below its file's root");
            return Err(self.malformed(reason));
        }
        Ok(())
    }

    /// Returns the piece of a raw block, if the block is here. All its bytes are the file's.
    fn raw_leaf(
        &self,
        engine: &Engine,
        key: &Key,
        held: Option<Held>,
    ) -> Result<Option<Piece>, Error> {
        let staged = self.look_in_store(engine, key).map(Held::Staged);
        let pooled = || engine.pooled(key).map(Held::Memory);
        let source = match staged.or(held).or_else(pooled) {
            Some(Held::Staged(block)) => Source::Staged { block, at: 0 },
            Some(Held::Memory(bytes)) => Source::Memory(bytes),
            None => return Ok(None),
        };
        self.check_len(source.block_len())?;
        Ok(Some(self.piece(self.span.end, source)))
    }

    /// Returns the piece of a staged dag-pb leaf whose payload was located before, without decoding it again.
    fn leaf_seen_before(&self, engine: &Engine, key: &Key) -> Result<Option<Piece>, Error> {
        let staged = self.look_in_store(engine, key);
        let Some((payload, block)) = staged.and_then(|block| Some((block.leaf()?, block))) else {
            return Ok(None);
        };
        self.check_len(payload.end - payload.start)?;
        let at = payload.start;
        Ok(Some(
            self.piece(self.span.end, Source::Staged { block, at }),
        ))
    }

    /// Returns the source of the current node's own bytes, which lie at `payload` in its block.
    fn payload(
        &self,
        engine: &Engine,
        payload: Range<usize>,
        held: Option<Held>,
    ) -> Option<Source> {
        let cid = match &self.target {
            // A slice would keep the whole block of the node above in memory (I9).
            Target::Inline { bytes, .. } => {
                return Some(Source::Memory(Bytes::copy_from_slice(&bytes[payload])));
            }
            Target::Block(cid) => cid,
        };
        match held.or_else(|| engine.at_hand(&self.target)) {
            Some(Held::Staged(block)) => {
                if self.purpose == Purpose::Read {
                    engine.store.take_use(cid.hash(), &self.way);
                }
                let at = payload.start as u64;
                Some(Source::Staged { block, at })
            }
            Some(Held::Memory(bytes)) => Some(Source::Memory(bytes.slice(payload))),
            None => None,
        }
    }

    fn look_in_store(&self, engine: &Engine, key: &Key) -> Option<Arc<Staged>> {
        match self.purpose {
            Purpose::Read => engine.store.take_use(key, &self.way),
            Purpose::Ahead => engine.store.peek(key),
        }
    }

    /// Returns the piece with the file's bytes from the span's start to `end`.
    fn piece(&self, end: u64, source: Source) -> Piece {
        Piece {
            span: self.span.start..end,
            source,
            above: self.above.clone(),
        }
    }

    fn check_len(&self, len: u64) -> Result<(), Error> {
        match len == self.span.end - self.span.start {
            true => Ok(()),
            false => Err(self.wrong_len(len)),
        }
    }

    fn wrong_len(&self, len: u64) -> Error {
        let claimed = self.span.end - self.span.start;
        self.malformed(format!(
            "it holds {len} bytes of the file, not {claimed} as claimed"
        ))
    }

    fn malformed(&self, reason: String) -> Error {
        let cid = cid_of(&self.target);
        Error::Malformed { cid, reason }
    }
}

impl Looked {
    fn node(&self) -> &unixfs::Node {
        match self {
            Self::Inline(node) => node,
            Self::Block(decoded) => &decoded.node,
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
