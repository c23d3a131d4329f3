//! The entries of a directory in IPFS, with their types.
//!
//! A guest expects a type with each entry, as a native directory has it: the standard library of Rust up to 1.92 takes
//! an entry without a type for neither a file nor a directory, and walks end there. A link to a raw block is a file. For
//! other links the entry's root block tells, so these blocks are fetched ahead of the guest, [`AHEAD`] at once.
//!
//! Invariants: an entry is never lost if a call is dropped midway. A type that cannot be had is unknown; it never fails
//! the listing. No block is held between two calls (I9), and whatever is under way goes on by itself (I11).

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use pinset::{Dir, Entries, Entry, Error, Kind, Rank};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{node, types::Types};

/// The number of entries that a listing looks at: the one that the guest asks for, and those behind it. It bounds the
/// blocks under way.
const AHEAD: usize = 32;

/// How long a type may take, from the start of its fetch. A neighbouring node answers within some tens of milliseconds,
/// a gateway across the internet within some hundred. All entries that are looked at have this time together.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long a listing waits in vain for types, all in all. It bounds what a directory of missing blocks costs.
const PATIENCE: Duration = Duration::from_secs(3);

/// The time for a type once the patience is at its end. Blocks that are near still arrive.
const SHORT_DEADLINE: Duration = Duration::from_millis(50);

/// An open listing.
pub(super) struct Listing {
    entries: Entries,
    /// The number of entries to pass over first. Their types are not looked up.
    skipped: u64,
    dir: Dir,
    types: Arc<Types>,
    /// The entries that the guest gets next, in order.
    ahead: VecDeque<Slot>,
    /// The end of the directory, once it was reached. It comes behind the entries in `ahead`.
    end: Option<Result<(), Error>>,
    /// When the guest began to wait for the next entry's type.
    waits_since: Option<Instant>,
    /// How long it has waited in vain.
    in_vain: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// One entry, as a guest sees it.
#[derive(Debug)]
struct Listed {
    /// Its name and CID.
    entry: Entry,
    /// Its type; `None` if it could not be learnt, or is not to be looked up.
    kind: Option<Kind>,
}

struct Slot {
    entry: Entry,
    state: State,
}

enum State {
    /// The type is known, or it was given up.
    Over(Option<Kind>),
    /// The type is to be looked up.
    Due,
    /// There was no room for the fetch beside others.
    NoRoom,
    /// The type is being looked up.
    Runs {
        work: Box<dyn Future<Output = Result<Kind, Error>> + Send + Unpin>,
        rank: Rank,
        since: Instant,
    },
}

impl Listing {
    /// Starts a listing of `dir` behind its first `skipped` entries, within the limits of the directory's session.
    ///
    /// # Errors
    /// [`Error::LimitReached`] with too many open handles.
    pub(super) fn new(dir: &Dir, types: &Arc<Types>, skipped: u64) -> Result<Self, Error> {
        Ok(Self {
            entries: dir.entries()?,
            skipped,
            dir: dir.clone(),
            types: types.clone(),
            ahead: VecDeque::new(),
            end: None,
            waits_since: None,
            in_vain: Duration::ZERO,
            alarm: None,
        })
    }

    /// Returns the next entry, or `None` at the end. An error comes again with each further call.
    fn poll_listed(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Listed>, Error>> {
        ready!(self.poll_skipped(context));
        self.fill(context);
        let (dir, types) = (&self.dir, &*self.types);
        for (index, slot) in self.ahead.iter_mut().enumerate() {
            slot.look_up(index == 0, dir, types, context);
        }
        match (self.ahead.front(), &self.end) {
            (Some(_), _) => {}
            (None, None) => return Poll::Pending,
            (None, Some(end)) => return Poll::Ready(end.clone().map(|()| None)),
        }
        ready!(self.poll_front(context));
        self.waits_since = None;
        let next = self.ahead.pop_front();
        for slot in &mut self.ahead {
            if let State::NoRoom = slot.state {
                slot.state = State::Due;
            }
        }
        Poll::Ready(Ok(next.map(Slot::into_listed)))
    }

    /// Passes over the entries that are skipped.
    fn poll_skipped(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.skipped > 0 && self.end.is_none() {
            ready!(pin!(tokio::task::coop::consume_budget()).poll(context));
            match ready!(Pin::new(&mut self.entries).poll_next(context)) {
                Some(Ok(_)) => self.skipped -= 1,
                Some(Err(error)) => self.end = Some(Err(error)),
                None => self.end = Some(Ok(())),
            }
        }
        Poll::Ready(())
    }

    /// Takes entries out of the directory, as far as they come without waiting.
    fn fill(&mut self, context: &mut Context<'_>) {
        let most = if self.types.are_lazy() { 1 } else { AHEAD };
        while self.end.is_none() && self.ahead.len() < most {
            match Pin::new(&mut self.entries).poll_next(context) {
                Poll::Pending => return,
                Poll::Ready(None) => self.end = Some(Ok(())),
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(error)),
                Poll::Ready(Some(Ok(entry))) => {
                    let state = State::by_link(entry.kind(), &self.types);
                    self.ahead.push_back(Slot { entry, state });
                }
            }
        }
    }

    /// Waits until the type of the next entry is known or given up.
    fn poll_front(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(front) = self.ahead.front_mut() else {
            return Poll::Ready(());
        };
        let State::Runs { since, .. } = front.state else {
            return Poll::Ready(());
        };
        let waits_since = *self.waits_since.get_or_insert_with(Instant::now);
        let time = match self.in_vain < PATIENCE {
            true => DEADLINE,
            false => SHORT_DEADLINE,
        };
        let until = since + time;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        if alarm.deadline() != until {
            alarm.as_mut().reset(until);
        }
        ready!(alarm.as_mut().poll(context));
        self.in_vain += waits_since.elapsed();
        let why = format!("its block did not arrive within {time:?}");
        self.types.count_unknown(&front.entry, &why);
        front.state = State::Over(None);
        Poll::Ready(())
    }
}

impl Stream for Listing {
    type Item = Result<node::Entry, node::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let listed = ready!(self.poll_listed(context));
        let listed = listed.map(|listed| listed.map(Listed::into_entry));
        Poll::Ready(listed.map_err(node::Error::from).transpose())
    }
}

impl Listed {
    fn into_entry(self) -> node::Entry {
        let cid = self.entry.cid();
        // The identity of an inline node comes of its bytes. Libraries ask the stat for it.
        let cid = (!cid.is_inline()).then(|| cid.cid()).flatten();
        node::Entry::of_cid(self.entry.into_name(), self.kind, cid)
    }
}

impl State {
    fn by_link(kind: Option<Kind>, types: &Types) -> Self {
        match kind {
            None if !types.are_lazy() => Self::Due,
            kind => Self::Over(kind),
        }
    }
}

impl Slot {
    /// Looks the type up as far as that goes without waiting. A fetch has the rank of read-ahead, so that it takes no
    /// turn from anybody who waits. But the guest itself waits for the `first` entry: if there is no room for its fetch,
    /// it is a demand, which has its turn.
    fn look_up(&mut self, first: bool, dir: &Dir, types: &Types, context: &mut Context<'_>) {
        if let State::Due = self.state {
            self.start(dir, Rank::Ahead);
        }
        loop {
            self.state = match &mut self.state {
                State::NoRoom if first => {
                    self.start(dir, Rank::Demand);
                    continue;
                }
                State::Over(_) | State::Due | State::NoRoom => return,
                State::Runs { work, rank, .. } => match (Pin::new(work).poll(context), *rank) {
                    (Poll::Pending, _) => return,
                    (Poll::Ready(Ok(kind)), _) => State::Over(Some(kind)),
                    (Poll::Ready(Err(Error::Busy { .. })), Rank::Ahead) => State::NoRoom,
                    (Poll::Ready(Err(error)), _) => {
                        types.count_unknown(&self.entry, &error);
                        State::Over(None)
                    }
                },
            };
        }
    }

    fn start(&mut self, dir: &Dir, rank: Rank) {
        self.state = State::Runs {
            work: Box::new(dir.kind_of(&self.entry, rank)),
            rank,
            since: Instant::now(),
        };
    }

    fn into_listed(self) -> Listed {
        Listed {
            kind: match self.state {
                State::Over(kind) => kind,
                State::Due | State::NoRoom | State::Runs { .. } => None,
            },
            entry: self.entry,
        }
    }
}

#[cfg(test)]
mod tests;
