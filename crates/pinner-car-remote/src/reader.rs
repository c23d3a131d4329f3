//! The ranges of one archive that are waited for.
//!
//! Those that lie near each other become one request. Requests are tasks of their own, of which a bounded number runs at
//! once: a waiter holds nothing that another waits for, and a request ends when all its waiters have gone.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use pinner_api::PinnerError;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout_at},
};

use crate::{failure::reading, near::near_the_first, object::Object};

/// How long a request waits for others that lie near. Those that are made side by side come within it.
const GATHER: Duration = Duration::from_millis(1);

/// An archive that is read by many at once.
#[derive(Debug)]
pub(crate) struct Reader {
    object: Object,
    /// The first bytes of the archive, which came when it was opened.
    head: Bytes,
    at_once: usize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// In the order in which they came.
    waiting: Vec<Wanted>,
    /// The number of tasks that make requests.
    running: usize,
}

/// A range that somebody waits for.
#[derive(Debug)]
struct Wanted {
    range: Range<u64>,
    by: Instant,
    reply: oneshot::Sender<Result<Bytes, PinnerError>>,
}

impl Reader {
    /// Makes at most `at_once` requests at once.
    pub(crate) fn new(object: Object, head: Bytes, at_once: usize) -> Arc<Self> {
        Arc::new(Self {
            object,
            head,
            at_once: at_once.max(1),
            queue: Mutex::default(),
        })
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    /// The bytes in `range`, by `by`.
    ///
    /// # Cancellation
    /// The request goes on for others that wait for it, and ends if there are none.
    pub(crate) async fn read(
        self: &Arc<Self>,
        range: Range<u64>,
        by: Instant,
    ) -> Result<Bytes, PinnerError> {
        if let Some(bytes) = self.in_head(&range) {
            return Ok(bytes);
        }
        let started = Instant::now();
        let operation = reading(self.object.name(), &range);
        let (reply, answer) = oneshot::channel();
        let starts = {
            let mut queue = self.queue();
            queue.waiting.push(Wanted { range, by, reply });
            let starts = queue.running < self.at_once;
            queue.running += usize::from(starts);
            starts
        };
        if starts {
            let turn = Turn(Some(self.clone()));
            tokio::spawn(turn.serve());
        }
        match timeout_at(by, answer).await {
            Ok(Ok(answer)) => answer,
            // The runtime is shutting down, or the task has panicked.
            Ok(Err(_)) => Err(PinnerError::Unavailable {
                operation,
                source: None,
            }),
            Err(_) => Err(PinnerError::TimedOut {
                operation,
                after: by.saturating_duration_since(started),
            }),
        }
    }

    /// The bytes, if they are known without a request.
    fn in_head(&self, range: &Range<u64>) -> Option<Bytes> {
        if range.is_empty() {
            // The data of an empty block. Nobody can ask for no bytes.
            return Some(Bytes::new());
        }
        let start = usize::try_from(range.start).ok()?;
        let end = usize::try_from(range.end).ok()?;
        (start <= end && end <= self.head.len()).then(|| self.head.slice(start..end))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Each change of the queue is whole before the next step that could panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Takes the range that has waited longest and those near it.
    fn next(&mut self) -> Option<(Vec<Wanted>, Range<u64>)> {
        self.waiting.retain(|wanted| !wanted.reply.is_closed());
        let ranges: Vec<_> = self.waiting.iter().map(|w| w.range.clone()).collect();
        let (mut places, all) = near_the_first(&ranges)?;
        // From the back, so that the places in front stay.
        places.sort_unstable_by(|a, b| b.cmp(a));
        let taken = places.into_iter().map(|place| self.waiting.remove(place));
        Some((taken.collect(), all))
    }
}

/// A task's leave to make requests. It is returned when the queue is empty, when the task panics, and when its runtime
/// shuts down.
struct Turn(Option<Arc<Reader>>);

impl Turn {
    async fn serve(mut self) {
        sleep(GATHER).await;
        while let Some(reader) = self.0.clone() {
            let next = {
                let mut queue = reader.queue();
                let next = queue.next();
                if next.is_none() {
                    // Under the same lock, so that whoever comes now starts another task.
                    queue.running -= 1;
                    self.0 = None;
                }
                next
            };
            if let Some((wanted, all)) = next {
                answer(&reader.object, wanted, all).await;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(reader) = &self.0 {
            let mut queue = reader.queue();
            queue.running -= 1;
            if queue.running == 0 {
                // Other runtimes go on, and their ranges have no task any more: their waiters are told.
                queue.waiting.clear();
            }
        }
    }
}

/// Makes one request for `all`, and hands each its part.
async fn answer(object: &Object, mut wanted: Vec<Wanted>, all: Range<u64>) {
    let by = wanted.iter().map(|wanted| wanted.by).max();
    let by = by.unwrap_or_else(Instant::now);
    let everybody_gone = join_all(wanted.iter_mut().map(|wanted| wanted.reply.closed()));
    let read = tokio::select! {
        read = object.read(all.clone(), by) => read,
        _ = everybody_gone => return,
    };
    let alone = wanted.len() == 1;
    for Wanted { range, reply, .. } in wanted {
        let part = read.as_ref().map_err(Clone::clone).map(|bytes| {
            // Both are inside `all`, whose length is that of `bytes`.
            let start = (range.start - all.start) as usize;
            let end = (range.end - all.start) as usize;
            match alone {
                true => bytes.clone(),
                // A part would keep the whole in memory.
                false => Bytes::copy_from_slice(&bytes[start..end]),
            }
        });
        // Whoever has gone meanwhile needs no answer.
        let _ = reply.send(part);
    }
}
