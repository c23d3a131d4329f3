//! Read-ahead of one handle: which blocks a sequential reader will want next, fetched before it asks.
//!
//! None for random reads. As far ahead as the reader's pace and the backend's latency call for (`pace`), bounded in
//! blocks and bytes and by a share of the budget, and cancelled when the reader goes elsewhere. What is fetched ahead
//! enters the cache at its cold end, and counts as no use.
//!
//! A read that stays in its leaf costs a comparison here; one that comes to the next leaf a look at as many leaves
//! further on as it has come: with everything staged that is one look-up in the store a leaf.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    cache::staged::{Kept, Staged},
    read::tree::{Above, Descent, Piece, Purpose, Source, Tree},
    session::Session,
    sync::{Mutex, lock},
    task::Task,
};

use super::{
    latency::Latency,
    pace::{MOST_LEAVES, Pace},
};

/// What a guest says of the reads to come (`posix_fadvise`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing in particular.
    Normal,
    /// In order: read-ahead starts with the first read.
    Sequential,
    /// In no order: no read-ahead.
    Random,
    /// This range soon: it is fetched, as far as read-ahead may go, wherever the reads are meanwhile.
    WillNeed,
    /// This range no more: what is on its way there is cancelled. What is staged stays, as others may want it.
    DontNeed,
    /// This range once.
    NoReuse,
}

/// The most bytes ahead of a reader.
const MOST_BYTES: u64 = 16 << 20;

/// The share of the budget that one reader's read-ahead may fill.
const READER_SHARE: u64 = 4;

/// The share of the budget that all readers' read-ahead may keep from being replaced.
const KEPT_SHARE: u64 = 2;

/// A reader is sequential once it has read so many bytes in order, or a quarter of a leaf, if that is less.
const SEQUENTIAL_BYTES: u64 = 128 << 10;

/// A leaf's length in bytes, for a guess where none has been seen: most files' leaves have it.
const USUAL_LEAF: u64 = 256 << 10;

/// The state of one handle's read-ahead.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    advice: Pattern,
    /// The reads so far without a gap.
    run: Range<u64>,
    /// The leaf of the last read by its start, once the reader is sequential.
    leaf: Option<u64>,
    /// The last leaf's length, for a guess.
    stride: Option<u64>,
    pace: Pace,
    /// What is on its way or there, and not consumed yet, in order.
    ahead: VecDeque<Ahead>,
    /// Up to where leaves have been asked for.
    until: u64,
    /// What was asked for by advice, or by a read over several leaves, in the order of asking.
    wanted: VecDeque<Ahead>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pattern {
    #[default]
    Seen,
    Sequential,
    Random,
}

/// What read-ahead works with beside its own state.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) session: &'a Session,
    pub(crate) tree: &'a Tree,
    /// The inner node above the current leaf.
    pub(crate) above: Option<&'a Arc<Above>>,
}

impl Reading<'_> {
    /// How many bytes may be ahead of one reader.
    fn most_bytes(&self) -> u64 {
        MOST_BYTES.min(self.session.engine().budget_bytes() / READER_SHARE)
    }

    /// Looks at the leaf at `offset`, and has it fetched if it is not there; gives where the next leaf begins.
    ///
    /// A span that a block cannot hold is many leaves below an inner node that is not there: then the next leaf is
    /// guessed to begin `stride` further on. A wrong guess asks for the same leaf twice, which is fetched once.
    fn look_at(&self, offset: u64, stride: u64, latency: &Arc<Latency>) -> (u64, Option<Ahead>) {
        let mut descent = self.tree.descent(offset, Purpose::Ahead, self.above);
        let engine = self.session.engine();
        match descent.step(engine) {
            Ok(Some(piece)) => (piece.span.end, None),
            Ok(None) => {
                let end = descent.leaf_end();
                let end = end.unwrap_or_else(|| offset.saturating_add(stride));
                let end = end.min(descent.span_end());
                let counters = &engine.counters;
                counters.read_ahead_blocks.fetch_add(1, Ordering::Relaxed);
                let ahead = Ahead::fetch(self.session, self.tree, descent, end, latency);
                (end, Some(ahead))
            }
            // The reader meets it when it gets there.
            Err(_) => (offset.saturating_add(stride), None),
        }
    }
}

impl ReadAhead {
    /// Takes note that the reader is about to wait for the block at `offset`: what is queued for where it was would be
    /// in its way. Gives where to note what the backend takes for the handle's blocks.
    pub(crate) fn waits_at(&mut self, offset: u64) -> Arc<Latency> {
        if !self.goes_on_at(offset) {
            self.stop();
        }
        self.pace.latency.clone()
    }

    /// Takes note that the reader waited for a block.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.pace.waited(time);
    }

    /// Takes note of a read, whose last block held the file's bytes `leaf`.
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
            // There is nothing behind it.
            self.ahead.clear();
            return;
        }
        if self.leaf.is_none() {
            let enough = SEQUENTIAL_BYTES.min(length / 4).max(1);
            let run = self.run.end - self.run.start;
            // One large read is one read: it takes a second one to make a sequence.
            let sequence = run > read.end - read.start && run >= enough;
            if self.advice != Pattern::Sequential && !sequence {
                return;
            }
        }
        self.leaf = Some(leaf.start);
        self.pace.enter(Instant::now());
        self.fill(reading, &leaf, length);
    }

    /// Has what comes behind `leaf` on its way, as far ahead as it should be.
    fn fill(&mut self, reading: Reading<'_>, leaf: &Range<u64>, length: u64) {
        while let Some(ahead) = self.ahead.front()
            && ahead.range.start < leaf.end
        {
            self.ahead.pop_front();
        }
        let leaves = self.pace.leaves_ahead().min(reading.most_bytes() / length);
        let end = leaf.end.saturating_add(leaves.saturating_mul(length));
        let end = end.min(reading.tree.len);
        let mut at = self.until.max(leaf.end);
        while at < end && self.ahead.len() < MOST_LEAVES as usize {
            let (next, ahead) = reading.look_at(at, length, &self.pace.latency);
            self.ahead.extend(ahead);
            at = next;
        }
        self.until = at;
    }

    /// Takes advice. A length of 0 is all that follows.
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

    /// Has the leaves of a range on their way, side by side. A seek does not cancel them.
    pub(crate) fn want(&mut self, reading: Reading<'_>, range: Range<u64>) {
        let end = range.start.saturating_add(reading.most_bytes());
        let end = end.min(range.end).min(reading.tree.len);
        let stride = self.stride.unwrap_or(USUAL_LEAF);
        let mut at = range.start;
        while at < end {
            let mut asked_for = self.wanted.iter().chain(&self.ahead);
            // What failed is asked for again.
            let under_way = |it: &&Ahead| it.range.contains(&at) && !it.task.is_over();
            if let Some(ahead) = asked_for.find(under_way) {
                at = ahead.range.end;
                continue;
            }
            if self.wanted.len() >= MOST_LEAVES as usize {
                // What is there already only loses its protection.
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

    /// Whether a read at `offset` goes on where the last one ended, or skips a bit and lands in what is ahead.
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

/// Leaves that were asked for: on their way, or there. Dropping it cancels what is on its way.
#[derive(Debug)]
struct Ahead {
    /// The file's bytes that they hold.
    range: Range<u64>,
    task: Task,
    _protected: Arc<Protected>,
}

impl Ahead {
    /// Has the leaves from the one that `descent` leads to up to `end` at hand. A failure is not seen here: the reader
    /// meets it when it gets there.
    fn fetch(
        session: &Session,
        tree: &Tree,
        descent: Descent,
        end: u64,
        latency: &Arc<Latency>,
    ) -> Self {
        let range = descent.offset()..end;
        let (session, tree, latency) = (session.clone(), tree.clone(), latency.clone());
        let protected = Arc::new(Protected {
            session: session.clone(),
            blocks: Mutex::default(),
        });
        let protect = protected.clone();
        let work = async move {
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
        };
        Self {
            range,
            task: Task::spawn(work),
            _protected: protected,
        }
    }
}

/// Blocks that are there and not consumed yet: kept, else the next one to arrive in a full cache would push them out.
#[derive(Debug)]
struct Protected {
    session: Session,
    blocks: Mutex<Vec<(Kept, u64)>>,
}

impl Protected {
    /// Protects a block, unless all readers' read-ahead protects too much already: then it may be pushed out, no more.
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
