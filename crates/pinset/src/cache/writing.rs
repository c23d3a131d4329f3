//! The queue of blocks that wait to be written to staging. Blocking threads write them, at most [`WRITERS`] at once.
//!
//! The queue is bounded. Where the disk is slower than the network, the blocks that find no room in it are not staged,
//! and their readers do not wait for the disk.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    block::Key,
    sync::{Mutex, lock},
};

/// The most bytes and the most blocks that wait.
const MOST_BYTES: usize = 16 << 20;
const MOST_BLOCKS: usize = 1024;

/// The most threads that write.
const WRITERS: usize = 2;

/// A queue of writes, each with something that waits for its result.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    waiting: VecDeque<Write<T>>,
    bytes: usize,
    writers: usize,
}

pub(super) struct Write<T> {
    pub(super) key: Key,
    pub(super) bytes: Bytes,
    pub(super) done: T,
}

/// The end of a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// One of the writers will get to it.
    Yes,
    /// The caller starts another writer, which [takes](Queue::take) writes until there are none.
    StartWriter,
    /// The queue is full.
    Full,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                bytes: 0,
                writers: 0,
            }),
        }
    }

    pub(super) fn push(&self, write: Write<T>) -> Queued {
        let mut state = lock(&self.state);
        let bytes = state.bytes + write.bytes.len();
        if bytes > MOST_BYTES || state.waiting.len() >= MOST_BLOCKS {
            return Queued::Full;
        }
        state.bytes = bytes;
        state.waiting.push_back(write);
        if state.writers >= WRITERS {
            return Queued::Yes;
        }
        state.writers += 1;
        Queued::StartWriter
    }

    /// The next write for one of the writers. After `None` this writer has ended.
    pub(super) fn take(&self) -> Option<Write<T>> {
        let mut state = lock(&self.state);
        let write = state.waiting.pop_front();
        match &write {
            Some(write) => state.bytes -= write.bytes.len(),
            None => {
                state.writers -= 1;
                // An idle queue takes no memory.
                state.waiting = VecDeque::new();
            }
        }
        write
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(len: usize) -> Write<()> {
        Write {
            key: Key::default(),
            bytes: vec![0; len].into(),
            done: (),
        }
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_and_in_blocks() {
        let queue = Queue::new();
        for n in 0..MOST_BYTES >> 20 {
            let expected = match n < WRITERS {
                true => Queued::StartWriter,
                false => Queued::Yes,
            };
            assert_eq!(queue.push(write(1 << 20)), expected);
        }
        assert_eq!(queue.push(write(1)), Queued::Full);
        assert!(queue.take().is_some());
        for _ in 0..MOST_BLOCKS - (MOST_BYTES >> 20) + 1 {
            assert_eq!(queue.push(write(1)), Queued::Yes);
        }
        assert_eq!(queue.push(write(1)), Queued::Full);
        // Both writers go on until nothing is left.
        while queue.take().is_some() {}
        assert_eq!(queue.take().map(|_| ()), None);
        assert_eq!(queue.push(write(MOST_BYTES)), Queued::StartWriter);
    }
}
