//! A whole DAG into staging, several blocks at a time, each once, in memory that does not grow with the DAG (I9).
//!
//! What is remembered: of each block on the way down which of its links were taken (a [`Level`]), links that are to be
//! followed ([`WAITING`] of them), and which blocks have been seen ([`Seen`]). The links of a block with more than
//! there is room for are taken in turns, for which the block is looked at again: it is staged by then.

use std::collections::HashSet;

use futures_util::{StreamExt, stream::FuturesUnordered};
use pinner_api::Origin;

use super::progress::Progress;
use crate::{
    block::{Key, KeyHash, cid_of},
    error::Error,
    session::Session,
    unixfs::{self, Codec, Target},
};

/// Blocks on their way side by side.
const SIDE_BY_SIDE: usize = 16;

/// Links that wait to be followed, of some 100 bytes each: [`SIDE_BY_SIDE`] times the 1,024 of a full node of a file.
const WAITING: usize = 16_384;

/// The deepest DAG that is gone into, in blocks. A directory has a few blocks from its top to an entry, and the tree
/// of the longest file seven: no real DAG comes near.
const MAX_DEPTH: usize = 1_024;

/// As many blocks are told from new ones, and at most twice as many. Of 9 to 18 bytes each.
const REMEMBERED: usize = 1 << 20;

/// What a prefetch went over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// Distinct blocks. (One that comes again after a million others may be counted again.)
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Has every block of the DAG below `target` at hand, once each.
///
/// Goes depth first, so that what waits is a path's siblings and not a level of the DAG.
pub(crate) async fn prefetch(
    session: &Session,
    target: Target,
    origin: &Origin,
    progress: &dyn Progress,
) -> Result<Fetched, Error> {
    let mut fetched = Fetched::default();
    let mut seen = Seen::default();
    let mut todo = Todo::new(target, WAITING);
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < SIDE_BY_SIDE
            && let Some(visit) = todo.next()
        {
            let new = match &visit.target {
                Target::Block(cid) => visit.from > 0 || seen.insert(cid.hash()),
                Target::Inline { .. } => true,
            };
            if new {
                let room = todo.room();
                under_way.push(look(session, visit, origin, room));
            }
        }
        let Some(looked) = under_way.next().await else {
            return Ok(fetched);
        };
        let looked = looked?;
        if let (0, Some(bytes)) = (looked.visit.from, looked.block_len) {
            fetched.blocks += 1;
            fetched.bytes += bytes;
            progress.advanced(fetched.blocks, fetched.bytes);
        }
        todo.found(looked)?;
    }
}

/// A block to look at.
struct Visit {
    target: Target,
    /// How many blocks are above it.
    depth: usize,
    /// How many of its links were taken before.
    from: usize,
}

/// What a look at a block gave.
struct Looked {
    visit: Visit,
    /// Its length in bytes, if it is a block and does not lie in its CID.
    block_len: Option<u64>,
    /// Its next links, the last one first.
    links: Vec<Target>,
    /// Whether it has still more.
    more: bool,
}

/// What is to be gone over, in bounded memory.
struct Todo {
    /// From the root down.
    levels: Vec<Level>,
    /// Links in all levels.
    waiting: usize,
    most: usize,
}

/// The links of one block that wait.
struct Level {
    links: Vec<Target>,
    /// The depth of what they lead to.
    depth: usize,
    /// The block itself, where it has more links than these.
    again: Option<Visit>,
}

impl Todo {
    fn new(root: Target, most: usize) -> Self {
        let root = Level {
            links: vec![root],
            depth: 0,
            again: None,
        };
        Self {
            levels: vec![root],
            waiting: 1,
            most,
        }
    }

    /// How many links may be taken of the next block, while as many as may be are looked at beside it; always one, or
    /// there would be no progress.
    fn room(&self) -> usize {
        (self.most.saturating_sub(self.waiting) / SIDE_BY_SIDE).max(1)
    }

    /// What to look at next: the deepest first.
    fn next(&mut self) -> Option<Visit> {
        loop {
            let level = self.levels.last_mut()?;
            if let Some(target) = level.links.pop() {
                self.waiting -= 1;
                let depth = level.depth;
                return Some(Visit {
                    target,
                    depth,
                    from: 0,
                });
            }
            if let Some(visit) = self.levels.pop().and_then(|level| level.again) {
                return Some(visit);
            }
        }
    }

    /// Takes the links that a look gave.
    fn found(&mut self, looked: Looked) -> Result<(), Error> {
        let Looked {
            visit, links, more, ..
        } = looked;
        if links.is_empty() {
            return Ok(());
        }
        let depth = visit.depth + 1;
        if depth > MAX_DEPTH {
            return Err(Error::Malformed {
                cid: cid_of(&visit.target),
                reason: format!("it lies more than {MAX_DEPTH} blocks deep and has links"),
            });
        }
        self.waiting += links.len();
        let from = visit.from + links.len();
        let again = more.then_some(Visit { from, ..visit });
        self.levels.push(Level {
            links,
            depth,
            again,
        });
        Ok(())
    }
}

/// Which blocks were seen, by the start of their digests, all of which are at least 20 bytes long: all of the last
/// [`REMEMBERED`], and at most twice as many.
///
/// So a DAG of up to so many blocks is gone over once, however often its parts repeat.
#[derive(Default)]
struct Seen {
    recent: HashSet<u64, KeyHash>,
    before: HashSet<u64, KeyHash>,
}

impl Seen {
    /// Whether the block is new.
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

/// A block's length, if it is one, and at most `room` of its links.
async fn look(
    session: &Session,
    visit: Visit,
    origin: &Origin,
    room: usize,
) -> Result<Looked, Error> {
    let engine = session.engine();
    let Visit { target, from, .. } = &visit;
    let held = engine.obtain(target, session.ask(origin)).await?;
    let block_len = matches!(target, Target::Block(_)).then_some(held.len() as u64);
    let (mut links, mut more) = (Vec::new(), false);
    if target.codec() != Codec::Raw {
        let bytes = engine.bytes_of(&held).await?;
        let malformed = |error: unixfs::Malformed| Error::Malformed {
            cid: cid_of(target),
            reason: error.to_string(),
        };
        let all = unixfs::links(target.codec(), &bytes).map_err(malformed)?;
        let mut all = all.skip(*from);
        for link in all.by_ref().take(room) {
            links.push(link.map_err(malformed)?.target);
        }
        more = all.next().is_some();
        // The first link is gone to next.
        links.reverse();
    }
    Ok(Looked {
        visit,
        block_len,
        links,
        more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// A target that tells its place by its bytes.
    fn target(depth: usize, index: usize) -> Target {
        Target::Inline {
            codec: Codec::DagPb,
            bytes: Bytes::from(format!("{depth} {index}")),
        }
    }

    /// Goes over a DAG in which each block at `depth` has `links(depth)` links; gives the blocks that were looked at,
    /// how often, and the most links and levels that waited.
    fn go_over(most: usize, links: impl Fn(usize) -> usize) -> (u64, u64, usize, usize) {
        let mut todo = Todo::new(target(0, 0), most);
        let (mut blocks, mut again, mut waiting, mut levels) = (0, 0, 0, 0);
        let mut under_way = std::collections::VecDeque::new();
        loop {
            while under_way.len() < SIDE_BY_SIDE
                && let Some(visit) = todo.next()
            {
                let room = todo.room();
                under_way.push_back((visit, room));
            }
            let Some((visit, room)) = under_way.pop_front() else {
                return (blocks, again, waiting, levels);
            };
            if visit.from == 0 {
                blocks += 1;
            } else {
                again += 1;
            }
            let all = links(visit.depth);
            let end = all.min(visit.from + room);
            let depth = visit.depth + 1;
            todo.found(Looked {
                block_len: Some(1),
                links: (visit.from..end)
                    .rev()
                    .map(|index| target(depth, index))
                    .collect(),
                more: end < all,
                visit,
            })
            .unwrap();
            waiting = waiting.max(todo.waiting);
            levels = levels.max(todo.levels.len());
        }
    }

    #[test]
    fn what_waits_is_bounded_whatever_the_dag() {
        // A directory of 100,000 entries in one block; two levels of it; a chain; a comb; a tree of shards.
        let (blocks, again, waiting, _) = go_over(WAITING, |depth| [100_000, 0][depth.min(1)]);
        assert_eq!(blocks, 100_001);
        assert!(waiting <= 1_024 && again <= 98, "{waiting} {again}");
        let (blocks, _, waiting, _) = go_over(1_000, |depth| [300, 300, 0][depth.min(2)]);
        assert_eq!(blocks, 1 + 300 + 90_000);
        assert!(waiting <= 1_000 + SIDE_BY_SIDE, "{waiting}");
        let (blocks, again, waiting, levels) =
            go_over(WAITING, |depth| usize::from(depth < MAX_DEPTH));
        assert_eq!((blocks, again), (MAX_DEPTH as u64 + 1, 0));
        assert!(waiting <= 1 && levels <= 2, "{waiting} {levels}");
        let (blocks, again, waiting, _) = go_over(WAITING, |depth| [256, 256, 2, 0][depth.min(3)]);
        assert_eq!((blocks, again), (1 + 256 + 256 * 256 * 3, 0));
        assert!(waiting <= 256 * (SIDE_BY_SIDE + 1), "{waiting}");
    }

    #[test]
    fn without_room_there_is_progress_all_the_same() {
        let (blocks, again, waiting, levels) = go_over(1, |depth| [8, 8, 8, 0][depth.min(3)]);
        assert_eq!(blocks, 1 + 8 + 64 + 512);
        assert!(again > 0 && waiting <= SIDE_BY_SIDE, "{again} {waiting}");
        assert!(levels <= 4 * SIDE_BY_SIDE, "{levels}");
    }

    #[test]
    fn what_was_seen_is_remembered_and_no_more_than_that() {
        let mut seen = Seen::default();
        let key = |n: usize| {
            let mut digest = [0x5a; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            Key::wrap(0x12, &digest).unwrap()
        };
        for n in 0..3 * REMEMBERED {
            assert!(seen.insert(&key(n)));
            assert!(!seen.insert(&key(n)));
            if let Some(earlier) = n.checked_sub(REMEMBERED - 1) {
                assert!(!seen.insert(&key(earlier)), "{n}");
            }
        }
        assert!(seen.recent.len() + seen.before.len() <= 2 * REMEMBERED);
    }
}
