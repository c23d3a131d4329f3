//! Read-ahead of one handle: which blocks a sequential reader will want next, fetched before it asks.
//!
//! None for random reads. Bounded in blocks and bytes, and cancelled when the reader goes elsewhere. What is
//! fetched ahead enters the cache at its cold end, and counts as no use.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, OnceLock, atomic::Ordering},
};

use crate::{
    session::Session,
    store::Kept,
    task::Task,
    tree::{Purpose, Scratch, Source, Step, Tree},
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
    /// This range soon: it is fetched, as far as read-ahead may go.
    WillNeed,
    /// This range no more.
    DontNeed,
    /// This range once.
    NoReuse,
}

/// The most blocks on their way ahead of a reader: what hides 40 ms a block at 160 MB/s with blocks of 256 KiB,
/// or at ten times that with blocks of 1 MiB.
const MAX_BLOCKS: u64 = 16;

/// The most bytes.
const MAX_BYTES: u64 = 16 << 20;

/// The share of the budget that one reader's read-ahead may fill.
const BUDGET_SHARE: u64 = 4;

/// A reader is sequential once it has read so many bytes in order, or a quarter of a leaf, if that is less.
const SEQUENTIAL_BYTES: u64 = 128 << 10;

/// The state of one handle's read-ahead.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    advice: Pattern,
    /// The reads so far without a gap.
    run: Range<u64>,
    /// How many leaves to have on their way. Doubles with each leaf that is read through.
    window: u64,
    /// What is on its way or there, and not consumed yet, in order.
    ahead: VecDeque<Ahead>,
    /// Up to where leaves have been asked for.
    until: u64,
    /// The leaf of the last read, by its start.
    leaf: Option<u64>,
}

/// A leaf that was asked for.
#[derive(Debug)]
struct Ahead {
    offset: u64,
    _task: Task,
    /// Its block, once it is there: read ahead and not consumed yet is in use, else the next one to arrive would
    /// push it out.
    _kept: Arc<OnceLock<Kept>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pattern {
    #[default]
    Seen,
    Sequential,
    Random,
}

impl ReadAhead {
    /// Takes note of a read, whose last block held the file's bytes `leaf`.
    pub(crate) fn note(
        &mut self,
        session: &Session,
        tree: &Tree,
        read: Range<u64>,
        leaf: Option<Range<u64>>,
    ) {
        if read.start != self.run.end {
            self.stop();
            self.run = read.start..read.start;
        }
        self.run.end = read.end;
        let Some(leaf) = leaf else { return };
        let entered = self.leaf.replace(leaf.start) != Some(leaf.start);
        if self.advice == Pattern::Random || leaf.end >= tree.len {
            return;
        }
        let length = leaf.end - leaf.start;
        if self.window == 0 {
            let enough = SEQUENTIAL_BYTES.min(length / 4).max(1);
            let run = self.run.end - self.run.start;
            // One large read is one read: it takes a second one to make a sequence.
            let sequence = run > read.end - read.start && run >= enough;
            if self.advice != Pattern::Sequential && !sequence {
                return;
            }
            self.window = 1;
        } else if entered {
            self.window = (self.window * 2).min(MAX_BLOCKS);
        } else {
            return;
        }
        let most = MAX_BYTES.min(session.engine().budget_bytes() / BUDGET_SHARE) / length.max(1);
        let window = self.window.min(most);
        self.fill(session, tree, &leaf, window);
    }

    /// Takes advice.
    pub(crate) fn advise(
        &mut self,
        session: &Session,
        tree: &Tree,
        offset: u64,
        len: u64,
        advice: Advice,
    ) {
        match advice {
            Advice::Normal => self.advice = Pattern::Seen,
            Advice::Sequential => self.advice = Pattern::Sequential,
            Advice::Random => {
                self.advice = Pattern::Random;
                self.stop();
            }
            Advice::WillNeed => {
                let most = MAX_BYTES.min(session.engine().budget_bytes() / BUDGET_SHARE);
                let end = offset.saturating_add(len.min(most)).min(tree.len);
                if offset < end && self.ahead.len() < MAX_BLOCKS as usize {
                    self.ahead
                        .push_back(Ahead::fetch(session, tree, offset..end));
                }
            }
            Advice::DontNeed | Advice::NoReuse => {}
        }
    }

    /// Puts the next `window` leaves behind `leaf` on their way, as if all were as long as this one: so they are,
    /// but for the last, in every file that an importer makes. Where they are not, too few or the same are asked
    /// for, and a read that finds its block missing fetches it.
    fn fill(&mut self, session: &Session, tree: &Tree, leaf: &Range<u64>, window: u64) {
        while let Some(ahead) = self.ahead.front()
            && ahead.offset < leaf.end
        {
            self.ahead.pop_front();
        }
        let length = (leaf.end - leaf.start).max(1);
        let end = leaf.end.saturating_add(window.saturating_mul(length));
        let mut offset = self.until.max(leaf.end);
        while offset < end.min(tree.len) && self.ahead.len() < MAX_BLOCKS as usize {
            let scratch = Scratch::default();
            let step = tree.step(session, offset, &scratch, Purpose::Ahead, None);
            if let Ok(Step::Need(_)) = step {
                let counters = &session.engine().counters;
                counters.read_ahead_blocks.fetch_add(1, Ordering::Relaxed);
                let ahead = Ahead::fetch(session, tree, offset..offset + 1);
                self.ahead.push_back(ahead);
            }
            offset = offset.saturating_add(length);
        }
        self.until = offset;
    }

    fn stop(&mut self) {
        self.window = 0;
        self.until = 0;
        self.ahead.clear();
        self.leaf = None;
    }
}

impl Ahead {
    /// Has the leaves of a range at hand, and keeps the last of them in use. A failure is not seen here: the reader
    /// meets it when it gets there.
    fn fetch(session: &Session, tree: &Tree, range: Range<u64>) -> Self {
        let (session, tree) = (session.clone(), tree.clone());
        let kept = Arc::new(OnceLock::new());
        let keep = kept.clone();
        let offset = range.start;
        let work = async move {
            let mut offset = range.start;
            while offset < range.end {
                let Ok(piece) = tree.descend(&session, offset, Purpose::Ahead).await else {
                    return;
                };
                offset = piece.span.end;
                if let Source::Staged { block, .. } = piece.source
                    && offset >= range.end
                {
                    _ = keep.set(block.keep());
                }
            }
        };
        Self {
            offset,
            _task: Task::spawn(work),
            _kept: kept,
        }
    }
}
