//! The faults that can be applied to an answer, and the requests that they apply to.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A fault in a request or its answer. Bytes are counted in the answer's body, without its framing. A fault beyond the
/// end of the body has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request is passed on after this time.
    Delay(Duration),
    /// The connection is closed without an answer; the server is not asked.
    Close,
    /// There is no answer, and the connection stays open; the server is not asked.
    Silence,
    /// The connection is closed after this many bytes.
    Cut {
        /// The number of bytes.
        after_bytes: u64,
    },
    /// After this many bytes nothing more comes, and the connection stays open.
    Stall {
        /// The number of bytes.
        after_bytes: u64,
    },
    /// The answer ends after this many bytes as if it were complete: its length or its last chunk says so, and it has
    /// no trailers.
    Truncate {
        /// The number of bytes.
        after_bytes: u64,
    },
    /// The bits of one byte are inverted.
    Change {
        /// Its offset.
        at_byte: u64,
    },
    /// The body arrives byte by byte.
    Drip {
        /// The time for each byte.
        every: Duration,
    },
    /// The proxy sends this answer; the server is not asked.
    Answer {
        /// The status.
        status: u16,
        /// Fields in addition to the length.
        fields: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// The answer is not HTTP, and then the connection is closed; the server is not asked.
    Garbage,
}

impl Fault {
    /// Returns an answer with a plain text and no further fields.
    pub fn status(status: u16, text: &str) -> Self {
        Self::Answer {
            status,
            fields: vec![("Content-Type".to_owned(), "text/plain".to_owned())],
            body: text.as_bytes().to_vec(),
        }
    }

    /// Returns 429, with `Retry-After` in whole seconds.
    pub fn too_many_requests(retry_after: Duration) -> Self {
        Self::Answer {
            status: 429,
            fields: vec![("Retry-After".to_owned(), retry_after.as_secs().to_string())],
            body: b"too many requests".to_vec(),
        }
    }
}

/// The matching requests to which a fault applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// All of them.
    Every,
    /// The first ones, up to this number.
    First(usize),
    /// Only this one; 1 is the first.
    Nth(usize),
    /// This one and all later ones; 1 is the first.
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

/// A fault, and the requests to which it applies.
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

    /// The number of requests to which it was applied so far.
    pub fn hits(&self) -> usize {
        self.counts().hits
    }

    /// Returns the fault, if it applies to this request.
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
