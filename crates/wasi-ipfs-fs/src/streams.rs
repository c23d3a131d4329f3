//! The count of a guest's open streams (I9).
//!
//! A stream of preview 3 lives in the store, outside the `ResourceTable` with its bound, and keeps its file open. So a
//! guest may have as many streams at once as it may have handles.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many streams of one guest are open.
#[derive(Debug, Default)]
pub(crate) struct Streams(AtomicUsize);

/// An open stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct StreamGuard(Arc<Streams>);

impl Streams {
    /// Counts one more stream, unless there are `limit` already.
    pub(crate) fn open(self: &Arc<Self>, limit: usize) -> Option<StreamGuard> {
        let more = |open: usize| (open < limit).then_some(open + 1);
        let counted = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.ok().map(|_| StreamGuard(self.clone()))
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Streams;

    #[test]
    fn a_closed_stream_makes_room_for_another() {
        let streams = Arc::new(Streams::default());
        let first = streams.open(2).expect("room");
        let _second = streams.open(2).expect("room");
        assert!(streams.open(2).is_none());
        drop(first);
        let _third = streams.open(2).expect("room again");
        assert!(streams.open(2).is_none());
    }
}
