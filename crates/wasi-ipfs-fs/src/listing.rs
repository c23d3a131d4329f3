//! An open listing, for every preview.
//!
//! Invariants: an entry is never lost if a call is dropped midway. After an error the guest gets the error again and
//! again, and never an end of the listing instead (I7).

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use crate::node::{DirNode, Entries, Entry, Error};

/// A listing under way.
pub(crate) struct Listing {
    entries: Entries,
    /// How it ended, once it has.
    end: Option<Result<(), Error>>,
}

impl Listing {
    /// Starts a listing of `dir` behind its first `skipped` entries.
    ///
    /// # Errors
    /// Those of [`DirNode::list`].
    pub(crate) fn new(dir: &dyn DirNode, skipped: u64) -> Result<Self, Error> {
        Ok(Self {
            entries: dir.list(skipped)?,
            end: None,
        })
    }

    /// Returns the next entry, or `None` at the end. Dropping the future loses no entry.
    ///
    /// # Errors
    /// Those of the directory. They come again with each further call.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, Error> {
        // A listing that never waits must still let other tasks have the thread.
        tokio::task::coop::consume_budget().await;
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Entry>, Error>> {
        let end = match &self.end {
            Some(end) => end,
            None => match ready!(self.entries.as_mut().poll_next(context)) {
                Some(Ok(entry)) => return Poll::Ready(Ok(Some(entry))),
                Some(Err(error)) => self.end.insert(Err(error)),
                None => self.end.insert(Ok(())),
            },
        };
        Poll::Ready(end.clone().map(|()| None))
    }
}
