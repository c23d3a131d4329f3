//! Read-ahead of one handle: the blocks that a sequential reader will want next are fetched before it asks.
//!
//! There is no read-ahead for random reads. It goes as far ahead as the reader's pace and the backend's latency require
//! (`pace`), is bounded in blocks, in bytes and by a share of the budget, and is cancelled when the reader goes
//! elsewhere. A block that is fetched ahead enters the cache at its cold end, and this does not count as a use.
//!
//! Cost: one comparison for a read within a leaf; on entering a new leaf, one look-up per leaf advanced, if everything
//! is staged.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    cache::staged::{Kept, Staged},
    error::Error,
    read::tree::{Above, Descent, Piece, Purpose, Source, Tree},
    session::Session,
    sync::{Mutex, lock},
    task::Task,
};

use super::{
    latency::Latency,
    pace::{MOST_LEAVES, Pace},
};

/// A guest's advice about the reads to come (`posix_fadvise`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// There is nothing special about the reads.
    Normal,
    /// The reads come in order, so read-ahead starts with the first one.
    Sequential,
    /// The reads come in no order, so there is no read-ahead.
    Random,
    /// This range will be read soon. It is fetched as far as read-ahead may go, wherever the reads are meanwhile.
    WillNeed,
    /// This range will not be read again. Its fetches are cancelled; staged blocks stay, since others may want them.
    DontNeed,
    /// This range will be read once. It has no effect.
    NoReuse,
}

/// The most bytes of read-ahead for one reader.
const MOST_BYTES: u64 = 16 << 20;

/// The read-ahead of one reader may fill this fraction of the budget: a quarter.
const READER_SHARE: u64 = 4;

/// The read-ahead of all readers may protect this fraction of the budget from replacement: half.
const KEPT_SHARE: u64 = 2;

/// The most leaves that one call examines. A file may have millions of leaves that need no fetch, and one call must not
/// work for long. The next call goes on.
const MOST_EXAMINED: usize = 64;

/// A reader is sequential once it has read this many bytes in order, or a quarter of a leaf if that is less.
const SEQUENTIAL_BYTES: u64 = 128 << 10;

/// The assumed length of a leaf in bytes, as long as no leaf has been seen. Most files have leaves of this length.
const USUAL_LEAF: u64 = 256 << 10;

/// The state of one handle's read-ahead.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    advice: Pattern,
    /// The range of the reads so far without a gap.
    run: Range<u64>,
    /// The start of the last read's leaf, once the reader is sequential.
    leaf: Option<u64>,
    /// The length of the last leaf, as a guess for others.
    stride: Option<u64>,
    pace: Pace,
    /// The leaves in flight or already here that have not been consumed yet, in order.
    ahead: VecDeque<Ahead>,
    /// The offset up to which leaves have been requested.
    until: u64,
    /// The leaves requested by advice, or by a read over several leaves, in the order of the requests.
    wanted: VecDeque<Ahead>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pattern {
    #[default]
    Seen,
    Sequential,
    Random,
}

/// The context that read-ahead needs besides its own state.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) session: &'a Session,
    pub(crate) tree: &'a Tree,
    /// The inner node above the current leaf.
    pub(crate) above: Option<&'a Arc<Above>>,
    /// Whether the current leaf found no room in staging.
    pub(crate) unstaged: bool,
}

impl Reading<'_> {
    /// The most bytes of read-ahead for this reader. If blocks find no room in staging, they stay in memory, which is
    /// small: a reader that is too far ahead would push out what it is about to read.
    fn most_bytes(&self) -> u64 {
        let engine = self.session.engine();
        match self.unstaged {
            true => engine.pool_bytes() as u64 / READER_SHARE,
            false => MOST_BYTES.min(engine.budget_bytes() / READER_SHARE),
        }
    }

    /// Looks up the leaf at `offset`, and starts to fetch it if it is missing. Returns the start of the next leaf, and
    /// the fetch.
    ///
    /// A span that is too long for a block means many leaves below a missing inner node. Then the next leaf is assumed
    /// to begin `stride` bytes further on. A wrong guess requests the same leaf twice, but it is fetched once.
    fn look_at(&self, offset: u64, stride: u64, latency: &Arc<Latency>) -> (u64, Option<Ahead>) {
        let mut descent = self.tree.descent(offset, Purpose::Ahead, self.above);
        let engine = self.session.engine();
        match descent.step(engine) {
            Ok(Some(piece)) => (piece.span.end, None),
            Ok(None) => {
                let end = descent.leaf_end();
                let end = end.unwrap_or_else(|| offset.saturating_add(stride));
                let end = end.min(descent.span_end());
                (
                    end,
                    Ahead::fetch(self.session, self.tree, descent, end, latency),
                )
            }
            // The reader meets the error when it gets there.
            Err(_) => (offset.saturating_add(stride), None),
        }
    }
}

impl ReadAhead {
    /// Notes that the reader is about to wait for the block at `offset`. If this is elsewhere, fetches for the old
    /// position are cancelled, since they would be in its way. Returns the record of the backend's time for blocks.
    pub(crate) fn waits_at(&mut self, offset: u64) -> Arc<Latency> {
        if !self.goes_on_at(offset) {
            self.stop();
        }
        self.pace.latency.clone()
    }

    /// Notes how long the reader waited for a block.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.pace.waited(time);
    }

    /// Notes a read whose last block held the file's bytes `leaf`.
    pub(crate) fn note(
        &mut self,
        reading: Reading<'_>,
        read: Range<u64>,
        leaf: Option<Range<u64>>,
    ) {
        if !self.goes_on_at(read.start) {
            self.stop();
            self.run = read.start..read.start;
        }
        self.run.end = read.end;
        if !self.wanted.is_empty() {
            let read_through = |end: u64| read.start < end && end <= read.end;
            self.wanted.retain(|it| !read_through(it.range.end));
        }
        let Some(leaf) = leaf.filter(|leaf| self.leaf != Some(leaf.start)) else {
            return;
        };
        let length = (leaf.end - leaf.start).max(1);
        self.stride = Some(length);
        if self.advice == Pattern::Random {
            return;
        }
        if leaf.end >= reading.tree.len {
            // This is the last leaf.
            self.ahead.clear();
            return;
        }
        if self.leaf.is_none() {
            let enough = SEQUENTIAL_BYTES.min(length / 4).max(1);
            let run = self.run.end - self.run.start;
            // One large read is not a sequence: it takes a second read.
            let sequence = run > read.end - read.start && run >= enough;
            if self.advice != Pattern::Sequential && !sequence {
                return;
            }
        }
        self.leaf = Some(leaf.start);
        self.pace.enter(Instant::now());
        self.fill(reading, &leaf, length);
    }

    /// Requests the leaves behind `leaf`, as far ahead as the pace requires.
    fn fill(&mut self, reading: Reading<'_>, leaf: &Range<u64>, length: u64) {
        while let Some(ahead) = self.ahead.front()
            && ahead.range.start < leaf.end
        {
            self.ahead.pop_front();
        }
        let leaves = self.pace.leaves_ahead().min(reading.most_bytes() / length);
        let end = leaf.end.saturating_add(leaves.saturating_mul(length));
        let end = end.min(reading.tree.len);
        // Fetches that found no room are tried again from the first one on.
        if let Some(first) = self.ahead.iter().position(Ahead::found_no_room) {
            self.until = self.until.min(self.ahead[first].range.start);
            self.ahead.truncate(first);
        }
        let mut at = self.until.max(leaf.end);
        for _ in 0..MOST_EXAMINED {
            if at >= end || self.ahead.len() >= MOST_LEAVES as usize {
                break;
            }
            let (next, ahead) = reading.look_at(at, length, &self.pace.latency);
            self.ahead.extend(ahead);
            at = next;
        }
        self.until = at;
    }

    /// Takes advice. A length of 0 means up to the end of the file.
    pub(crate) fn advise(&mut self, reading: Reading<'_>, offset: u64, len: u64, advice: Advice) {
        let len = if len == 0 { u64::MAX } else { len };
        let range = offset..offset.saturating_add(len);
        match advice {
            Advice::Normal => self.advice = Pattern::Seen,
            Advice::Sequential => self.advice = Pattern::Sequential,
            Advice::Random => {
                self.advice = Pattern::Random;
                self.stop();
            }
            Advice::WillNeed => self.want(reading, range),
            Advice::DontNeed => {
                let inside =
                    |it: &Ahead| range.start <= it.range.start && it.range.end <= range.end;
                self.ahead.retain(|it| !inside(it));
                self.wanted.retain(|it| !inside(it));
            }
            Advice::NoReuse => {}
        }
    }

    /// Requests the leaves of a range, side by side. A seek does not cancel them.
    pub(crate) fn want(&mut self, reading: Reading<'_>, range: Range<u64>) {
        let end = range.start.saturating_add(reading.most_bytes());
        let end = end.min(range.end).min(reading.tree.len);
        let stride = self.stride.unwrap_or(USUAL_LEAF);
        let mut at = range.start;
        for _ in 0..MOST_EXAMINED {
            if at >= end {
                return;
            }
            let mut asked_for = self.wanted.iter().chain(&self.ahead);
            // A leaf whose fetch failed is requested again.
            let under_way = |it: &&Ahead| it.range.contains(&at) && !it.task.is_over();
            if let Some(ahead) = asked_for.find(under_way) {
                at = ahead.range.end;
                continue;
            }
            if self.wanted.len() >= MOST_LEAVES as usize {
                // Leaves that are already here only lose their protection.
                self.wanted.retain(|it| !it.task.is_over());
            }
            if self.wanted.len() >= MOST_LEAVES as usize {
                return;
            }
            let (next, ahead) = reading.look_at(at, stride, &self.pace.latency);
            self.wanted.extend(ahead);
            at = next;
        }
    }

    /// Returns whether a read at `offset` goes on where the last one ended, or skips a bit and lands within the
    /// read-ahead.
    fn goes_on_at(&self, offset: u64) -> bool {
        (self.run.end..=self.until.max(self.run.end)).contains(&offset)
    }

    fn stop(&mut self) {
        self.leaf = None;
        self.until = 0;
        self.ahead.clear();
        self.pace.reset();
    }
}

/// Leaves that were requested: in flight, or already here. Dropping it cancels those in flight.
#[derive(Debug)]
struct Ahead {
    /// The file's bytes that they hold.
    range: Range<u64>,
    task: Task,
    no_room: Arc<AtomicBool>,
    _protected: Arc<Protected>,
}

impl Ahead {
    /// Returns whether the fetch ended because there was no room for it beside others.
    fn found_no_room(&self) -> bool {
        self.no_room.load(Ordering::Relaxed)
    }

    /// Starts to fetch the leaves from the target of `descent` up to `end`, unless the session has as many such tasks as
    /// it may have. A failure is not reported here: the reader meets it when it gets there.
    fn fetch(
        session: &Session,
        tree: &Tree,
        descent: Descent,
        end: u64,
        latency: &Arc<Latency>,
    ) -> Option<Self> {
        let counted = session.allowance().count_ahead()?;
        let counters = &session.engine().counters;
        counters.read_ahead_blocks.fetch_add(1, Ordering::Relaxed);
        let range = descent.offset()..end;
        let (session, tree, latency) = (session.clone(), tree.clone(), latency.clone());
        let protected = Arc::new(Protected {
            session: session.clone(),
            blocks: Mutex::default(),
        });
        let protect = protected.clone();
        let no_room = Arc::new(AtomicBool::new(false));
        let tell = no_room.clone();
        let work = async move {
            let _counted = counted;
            let origin = &tree.linked.origin;
            let mut piece = descent.fetch(&session, origin, &latency).await;
            while let Ok(Piece {
                span,
                source,
                above,
            }) = piece
            {
                if let Source::Staged { block, .. } = &source {
                    protect.add(block);
                }
                if span.end >= end {
                    return;
                }
                let mut next = tree.descent(span.end, Purpose::Ahead, above.as_ref());
                piece = match next.step(session.engine()) {
                    Ok(Some(piece)) => Ok(piece),
                    Ok(None) => next.fetch(&session, origin, &latency).await,
                    Err(error) => Err(error),
                };
            }
            if let Err(Error::Busy { .. }) = piece {
                tell.store(true, Ordering::Relaxed);
            }
        };
        Some(Self {
            range,
            task: Task::spawn(work),
            no_room,
            _protected: protected,
        })
    }
}

/// Blocks that are here and not consumed yet. They are protected; otherwise the next block to arrive in a full cache
/// would push them out.
#[derive(Debug)]
struct Protected {
    session: Session,
    blocks: Mutex<Vec<(Kept, u64)>>,
}

impl Protected {
    /// Protects a block, unless the read-ahead of all readers already protects too much. Then the only consequence is
    /// that the block may be pushed out.
    fn add(&self, block: &Arc<Staged>) {
        let engine = self.session.engine();
        let (len, most) = (block.len() as u64, engine.budget_bytes() / KEPT_SHARE);
        let in_use = &engine.counters.bytes_in_use;
        let room = in_use.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |kept| {
            kept.checked_add(len).filter(|kept| *kept <= most)
        });
        if room.is_ok() {
            lock(&self.blocks).push((block.keep(), len));
        }
    }
}

impl Drop for Protected {
    fn drop(&mut self) {
        let len: u64 = lock(&self.blocks).iter().map(|(_, len)| len).sum();
        let counters = &self.session.engine().counters;
        counters.bytes_in_use.fetch_sub(len, Ordering::Relaxed);
    }
}
