//! What can be done to an answer, and to which.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What is done to a request or its answer. Bytes are counted in the answer's body, without its framing; where it
/// has no more than that, nothing happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request is passed on after this time.
    Delay(Duration),
    /// The connection is closed without an answer; the server is not asked.
    Close,
    /// There is no answer, and the connection stays open; the server is not asked.
    Silence,
    /// The connection is closed after so many bytes.
    Cut {
        /// How many.
        after_bytes: u64,
    },
    /// After so many bytes nothing more comes, and the connection stays open.
    Stall {
        /// How many.
        after_bytes: u64,
    },
    /// The answer ends after so many bytes as if that were all: its length or its last chunk says so, and there are
    /// no trailers.
    Truncate {
        /// How many.
        after_bytes: u64,
    },
    /// The bits of one byte are turned over.
    Change {
        /// Its offset.
        at_byte: u64,
    },
    /// The body comes byte by byte.
    Drip {
        /// One byte in each of these.
        every: Duration,
    },
    /// This is answered, and the server is not asked.
    Answer {
        /// The status.
        status: u16,
        /// More fields than the length.
        fields: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// What is answered is no HTTP, and then the connection is closed; the server is not asked.
    Garbage,
}

impl Fault {
    /// An answer with a plain text and no further fields.
    pub fn status(status: u16, text: &str) -> Self {
        Self::Answer {
            status,
            fields: vec![("Content-Type".to_owned(), "text/plain".to_owned())],
            body: text.as_bytes().to_vec(),
        }
    }

    /// 429, with `Retry-After` in whole seconds.
    pub fn too_many_requests(retry_after: Duration) -> Self {
        Self::Answer {
            status: 429,
            fields: vec![("Retry-After".to_owned(), retry_after.as_secs().to_string())],
            body: b"too many requests".to_vec(),
        }
    }
}

/// Which of the requests that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// All of them.
    Every,
    /// The first so many.
    First(usize),
    /// This one alone; 1 is the first.
    Nth(usize),
    /// This one and all that follow; 1 is the first.
    From(usize),
}

impl Times {
    fn holds(self, nth: usize) -> bool {
        match self {
            Self::Every => true,
            Self::First(most) => nth <= most,
            Self::Nth(one) => nth == one,
            Self::From(first) => nth >= first,
        }
    }
}

/// A fault, and the requests that it is done to.
#[derive(Clone, Debug)]
pub struct Rule {
    pattern: Arc<str>,
    times: Times,
    fault: Fault,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    matched: usize,
    hits: usize,
}

impl Rule {
    pub(super) fn new(pattern: &str, times: Times, fault: Fault) -> Self {
        Self {
            pattern: pattern.into(),
            times,
            fault,
            counts: Arc::default(),
        }
    }

    /// To how many requests it was done so far.
    pub fn hits(&self) -> usize {
        self.counts().hits
    }

    /// The fault, if this request is one to do it to.
    pub(super) fn take(&self, line: &str) -> Option<Fault> {
        if !line.contains(&*self.pattern) {
            return None;
        }
        let mut counts = self.counts();
        counts.matched += 1;
        self.times.holds(counts.matched).then(|| {
            counts.hits += 1;
            self.fault.clone()
        })
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
