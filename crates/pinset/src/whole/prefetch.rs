//! Fetches a whole DAG into staging, several blocks at a time, each once. The memory that this takes does not grow with
//! the DAG (I9).
//!
//! The prefetch remembers which links of each block on the way down were taken (a [`Level`]), links that are still to
//! be followed ([`WAITING`] of them), and which blocks were seen ([`Seen`]). If a block has more links than there is
//! room for, they are taken in portions, and the block is read again for each. It is staged by then.

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

/// The number of blocks that are fetched concurrently.
const SIDE_BY_SIDE: usize = 16;

/// The limit on links that wait to be followed, of some 100 bytes each. It is [`SIDE_BY_SIDE`] times the 1,024 links of
/// a full node of a file.
const WAITING: usize = 16_384;

/// The depth of the deepest DAG that is fetched, in blocks. A directory has a few blocks from its top to an entry, and
/// the tree of the longest file has seven levels, so no real DAG comes near.
const MAX_DEPTH: usize = 1_024;

/// The number of seen blocks that are remembered at least. At most twice as many are. Each takes 9 to 18 bytes.
const REMEMBERED: usize = 1 << 20;

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
/// It goes depth first, so that only the siblings along one path wait, and not a whole level of the DAG.
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

/// A block to load.
struct Visit {
    target: Target,
    /// The number of blocks above it.
    depth: usize,
    /// The number of its links that were taken before.
    from: usize,
}

/// The result of a visit.
struct Looked {
    visit: Visit,
    /// The block's length in bytes; `None` if the content is in the CID.
    block_len: Option<u64>,
    /// The block's next links, the last one first.
    links: Vec<Target>,
    /// Whether the block has more links than these.
    more: bool,
}

/// The visits that are still to be made, in bounded memory.
struct Todo {
    /// The levels, from the root down.
    levels: Vec<Level>,
    /// The number of links in all levels.
    waiting: usize,
    most: usize,
}

/// The links of one block that wait to be followed.
struct Level {
    links: Vec<Target>,
    /// The depth of their targets.
    depth: usize,
    /// The block itself, if it has more links than these.
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

    /// Returns how many links of the next block may be taken. The room is divided among as many blocks as may be
    /// visited concurrently. At least one link may be taken, or there would be no progress.
    fn room(&self) -> usize {
        (self.most.saturating_sub(self.waiting) / SIDE_BY_SIDE).max(1)
    }

    /// Returns the next visit, the deepest first.
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

    /// Takes the links that a visit found.
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
                reason: format!("it is more than {MAX_DEPTH} blocks deep and has links"),
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

/// Loads a block, and returns its length and at most `room` of its links.
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
        // The first link is followed next, and links are taken from the end.
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

    /// Returns a target whose bytes are its place in the DAG.
    fn target(depth: usize, index: usize) -> Target {
        Target::Inline {
            codec: Codec::DagPb,
            bytes: Bytes::from(format!("{depth} {index}")),
        }
    }

    /// Goes through a DAG in which each block at `depth` has `links(depth)` links. Returns the number of blocks, the
    /// number of repeated visits, and the largest numbers of links and levels that waited.
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
        // The cases are a directory of 100,000 entries in one block, two levels, a chain, and a tree of shards.
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
