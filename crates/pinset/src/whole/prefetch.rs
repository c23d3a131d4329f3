//! Fetches a whole DAG into staging, several blocks at a time, each once. The memory that this takes does not grow with
//! the DAG (I9), and the work is linear in its links.
//!
//! Of each block on the way down, the prefetch remembers up to which byte its links were followed (a [`Level`]). The
//! blocks of the last few levels are kept for the rest of their links ([`KEPT_BYTES`]). A block further up is loaded
//! again when the prefetch comes back to it; it is staged by then. The prefetch also remembers which blocks it saw
//! ([`Seen`]).

use std::{collections::HashSet, pin::pin};

use bytes::Bytes;
use cid::Cid;
use futures_util::{
    StreamExt,
    future::{Either, pending, select},
    stream::FuturesUnordered,
};
use pinner_api::Origin;

use super::progress::Progress;
use crate::{
    block::{Key, KeyHash, cid_of},
    error::Error,
    session::Session,
    unixfs::{self, Codec, LinkPosition, Target},
};

/// The number of blocks that are fetched concurrently.
const SIDE_BY_SIDE: usize = 16;

/// The most bytes of blocks that are kept because not all of their links were followed. The last block is kept whatever
/// its size.
const KEPT_BYTES: usize = 8 << 20;

/// The depth of the deepest DAG that is fetched, in blocks. A directory has a few blocks from its top to an entry, and
/// the tree of the longest file has seven levels, so no real DAG comes near.
const MAX_DEPTH: usize = 1_024;

/// The number of seen blocks that are remembered at least. At most twice as many are. Each takes 9 to 18 bytes.
const REMEMBERED: usize = 1 << 20;

/// The number of links that are parsed before other tasks get their turn. This takes a fraction of a millisecond.
const LINKS_A_TURN: usize = 1_024;

/// The share of a turn that the arrival of a block takes, in links.
const ARRIVAL: usize = 32;

/// The blocks that a prefetch went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// The number of distinct blocks. (A block that comes again after a million others may be counted again.)
    pub blocks: u64,
    /// The total size of these blocks, in bytes.
    pub bytes: u64,
}

/// Loads every block of the DAG below `target`, once each.
///
/// It goes depth first, so that it has to remember one path and not a whole level of the DAG.
pub(crate) async fn prefetch(
    session: &Session,
    target: Target,
    origin: &Origin,
    progress: &dyn Progress,
) -> Result<Fetched, Error> {
    let mut fetched = Fetched::default();
    let mut todo = Todo::new(&target)?;
    let mut under_way = FuturesUnordered::new();
    let mut turn = LINKS_A_TURN;
    loop {
        let mut turn_is_over = false;
        while under_way.len() < SIDE_BY_SIDE {
            match todo.next(&mut turn)? {
                Next::Visit(visit) => under_way.push(load(session, visit, origin)),
                Next::Later => {
                    turn_is_over = true;
                    break;
                }
                Next::Nothing => break,
            }
        }
        let loaded = if turn_is_over {
            let arrives = async {
                match under_way.next().await {
                    Some(loaded) => loaded,
                    None => pending().await,
                }
            };
            match select(pin!(tokio::task::yield_now()), pin!(arrives)).await {
                Either::Left(_) => {
                    turn = LINKS_A_TURN;
                    continue;
                }
                Either::Right((loaded, _)) => loaded,
            }
        } else {
            match under_way.next().await {
                Some(loaded) => loaded,
                None => return Ok(fetched),
            }
        };
        let loaded = loaded?;
        turn = turn.saturating_sub(ARRIVAL);
        if loaded.visit.again.is_none() {
            if loaded.visit.depth == 0 {
                progress.expects(declared_bytes(session, &target, loaded.len));
            }
            fetched.blocks += 1;
            fetched.bytes += loaded.len;
            progress.advanced(fetched.blocks, fetched.bytes);
        }
        todo.arrived(loaded);
    }
}

/// Returns the size of the DAG whose root is a block of `len` bytes, as the root declares it.
fn declared_bytes(session: &Session, root: &Target, len: u64) -> u64 {
    let node = session.engine().cached_node(root);
    node.map_or(len, |node| node.node.declared_size(len))
}

/// A block to load.
struct Visit {
    cid: Cid,
    /// The number of blocks above it.
    depth: usize,
    /// The block's length in bytes, as far as the block above tells.
    expected: Option<u64>,
    /// Where to go on in its links; `None` at the first visit.
    again: Option<LinkPosition>,
}

/// The result of a visit.
struct Loaded {
    visit: Visit,
    /// The block's length in bytes.
    len: u64,
    /// The block, if it may have links.
    bytes: Option<Bytes>,
}

/// The step that comes next.
enum Next {
    Visit(Visit),
    /// The turn is over before the next visit was found.
    Later,
    /// Only the blocks that are on their way can lead to more.
    Nothing,
}

/// The links that are still to be followed, in bounded memory.
struct Todo {
    /// The blocks with further links. Those of the last one are followed next.
    levels: Vec<Level>,
    /// The visits that the last link led to. A CID with content in it may lead to a few.
    found: Vec<Visit>,
    seen: Seen,
}

/// A block whose links are being followed.
struct Level {
    cid: Cid,
    depth: usize,
    /// The position of the next link.
    at: LinkPosition,
    /// The block, if it is kept.
    bytes: Option<Bytes>,
    /// Whether all links were followed.
    is_over: bool,
}

impl Level {
    /// Keeps the block no longer. It is loaded again if it has further links.
    fn let_go(&mut self) {
        if let Some(bytes) = self.bytes.take()
            && let Ok(links) = unixfs::links(Codec::DagPb, &bytes)
        {
            self.is_over = links.resumed_at(self.at).next().is_none();
        }
    }
}

impl Todo {
    fn new(root: &Target) -> Result<Self, Error> {
        let mut todo = Self {
            levels: Vec::new(),
            found: Vec::new(),
            seen: Seen::default(),
        };
        todo.follow(root, None, 0)?;
        Ok(todo)
    }

    /// Returns the next visit. Parses at most as many links as are left of the turn, and takes them off.
    fn next(&mut self, turn: &mut usize) -> Result<Next, Error> {
        loop {
            if let Some(visit) = self.found.pop() {
                if self.seen.insert(visit.cid.hash()) {
                    return Ok(Next::Visit(visit));
                }
                continue;
            }
            let Some(level) = self.levels.last_mut() else {
                return Ok(Next::Nothing);
            };
            let (cid, depth) = (level.cid, level.depth);
            let Some(bytes) = &level.bytes else {
                let visit = Visit {
                    cid,
                    depth,
                    expected: None,
                    again: Some(level.at),
                };
                self.levels.pop();
                return Ok(Next::Visit(visit));
            };
            if *turn == 0 {
                return Ok(Next::Later);
            }
            let malformed = |error| malformed(cid, &error);
            let links = unixfs::links(Codec::DagPb, bytes).map_err(malformed)?;
            let mut links = links.resumed_at(level.at);
            let Some(link) = links.next().transpose().map_err(malformed)? else {
                self.levels.pop();
                continue;
            };
            level.at = links.position();
            if depth >= MAX_DEPTH {
                return Err(Error::Malformed {
                    cid,
                    reason: format!("it is more than {MAX_DEPTH} blocks deep and has links"),
                });
            }
            let parsed = 1 + self.follow(&link.target, link.tsize, depth + 1)?;
            *turn = turn.saturating_sub(parsed);
        }
    }

    /// Notes that `target` is to be visited. Content that lies in its CID is not visited, but its links are followed.
    /// Returns their number.
    fn follow(
        &mut self,
        target: &Target,
        tsize: Option<u64>,
        depth: usize,
    ) -> Result<usize, Error> {
        let mut parsed = 0;
        match target {
            Target::Block(cid) => self.found.push(Visit {
                cid: *cid,
                depth,
                // A raw block has nothing below it.
                expected: tsize.filter(|_| target.codec() == Codec::Raw),
                again: None,
            }),
            Target::Inline {
                codec: Codec::Raw, ..
            } => {}
            Target::Inline { codec, bytes } => {
                let malformed = |error| malformed(cid_of(target), &error);
                // The content of a CID is at most 128 bytes, and content in that again is shorter.
                for link in unixfs::links(*codec, bytes).map_err(malformed)? {
                    let link = link.map_err(malformed)?;
                    parsed += 1 + self.follow(&link.target, link.tsize, depth + 1)?;
                }
            }
        }
        Ok(parsed)
    }

    /// Takes a block that a visit has loaded. Its links are followed next.
    fn arrived(&mut self, loaded: Loaded) {
        let Loaded { visit, bytes, .. } = loaded;
        let Some(bytes) = bytes else {
            return;
        };
        let mut left = KEPT_BYTES.saturating_sub(bytes.len());
        for level in self.levels.iter_mut().rev() {
            let len = level.bytes.as_ref().map_or(0, Bytes::len);
            match left.checked_sub(len) {
                Some(less) => left = less,
                None => {
                    left = 0;
                    level.let_go();
                }
            }
        }
        self.levels.retain(|level| !level.is_over);
        self.levels.push(Level {
            cid: visit.cid,
            depth: visit.depth,
            at: visit.again.unwrap_or_default(),
            bytes: Some(bytes),
            is_over: false,
        });
    }
}

/// The blocks that were seen: at least the last [`REMEMBERED`], and at most twice as many. They are identified by the
/// first 8 bytes of their digests, all of which are at least 20 bytes long.
///
/// So each block of a DAG of up to [`REMEMBERED`] blocks is visited once, however often its parts repeat.
#[derive(Default)]
struct Seen {
    recent: HashSet<u64, KeyHash>,
    before: HashSet<u64, KeyHash>,
}

impl Seen {
    /// Remembers the block. Returns whether it is new.
    fn insert(&mut self, key: &Key) -> bool {
        let mut short = [0; 8];
        let digest = key.digest();
        let len = digest.len().min(8);
        short[..len].copy_from_slice(&digest[..len]);
        let short = u64::from_le_bytes(short);
        if self.before.contains(&short) || !self.recent.insert(short) {
            return false;
        }
        if self.recent.len() >= REMEMBERED {
            self.before = std::mem::take(&mut self.recent);
        }
        true
    }
}

/// Loads a block.
async fn load(session: &Session, visit: Visit, origin: &Origin) -> Result<Loaded, Error> {
    let engine = session.engine();
    let target = Target::Block(visit.cid);
    let mut ask = session.ask(origin);
    ask.expected = visit.expected;
    let held = engine.obtain(&target, ask).await?;
    let bytes = match target.codec() {
        Codec::Raw => None,
        codec @ (Codec::DagPb | Codec::Other(_)) => {
            let bytes = engine.bytes_of(&held).await?;
            // A codec without known links is refused.
            unixfs::links(codec, &bytes).map_err(|error| malformed(visit.cid, &error))?;
            Some(bytes)
        }
    };
    Ok(Loaded {
        visit,
        len: held.len() as u64,
        bytes,
    })
}

fn malformed(cid: Cid, error: &unixfs::Malformed) -> Error {
    Error::Malformed {
        cid,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
