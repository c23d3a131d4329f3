//! A directory's entries as the guest pulls them. No entry is taken that no read asked for.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
};

use wasmtime::{
    StoreContextMut,
    component::{Destination, StreamProducer, StreamResult, VecBuffer},
};
use wasmtime_wasi::p3::bindings::filesystem::types::DirectoryEntry;

use super::{outcome::Outcome, stat::entry_type};
use crate::{listing::Listing, node::Entry};

/// The most entries that one read returns, as in wasmtime-wasi for a reader without a bound of its own.
const MAX_ENTRIES: usize = 32;

/// `read-directory` on a directory of ours.
pub(crate) struct ListingProducer {
    listing: Listing,
    outcome: Outcome,
}

impl ListingProducer {
    pub(crate) fn new(listing: Listing, outcome: Outcome) -> Self {
        Self { listing, outcome }
    }
}

impl<D> StreamProducer<D> for ListingProducer {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, DirectoryEntry, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let me = self.get_mut();
        let asked = destination.remaining(&mut store).unwrap_or(MAX_ENTRIES);
        let mut taken = Vec::new();
        let result = loop {
            // A read of no entries only asks whether there are any. Like wasmtime-wasi's, this stream cannot tell.
            if taken.len() >= asked.min(MAX_ENTRIES) {
                break StreamResult::Completed;
            }
            match pin!(me.listing.next()).poll(context) {
                Poll::Ready(Ok(Some(entry))) => taken.push(shown(entry)),
                Poll::Ready(Err(error)) => {
                    me.outcome.failed(&error);
                    break StreamResult::Dropped;
                }
                Poll::Ready(Ok(None)) => {
                    me.outcome.end();
                    break StreamResult::Dropped;
                }
                Poll::Pending if !taken.is_empty() => break StreamResult::Completed,
                Poll::Pending if finish => break StreamResult::Cancelled,
                Poll::Pending => return Poll::Pending,
            }
        };
        destination.set_buffer(taken.into());
        Poll::Ready(Ok(result))
    }
}

fn shown(entry: Entry) -> DirectoryEntry {
    DirectoryEntry {
        type_: entry_type(entry.kind()),
        name: entry.into_name(),
    }
}
