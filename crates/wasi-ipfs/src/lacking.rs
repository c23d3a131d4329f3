//! Parts that content lacks: they are in no source, or nobody can read or name them, so that asking again is in vain.
//! Commands go on without them, name them, and end with status 1.

use std::sync::atomic::{AtomicU64, Ordering};

use pinner_api::PinnerError;
use pinset::{Error, LeftOut, Progress};

use crate::{escape::escape, messages, progress::Line};

/// Whether the error is about a part that is lacking. Any other failure may pass, or is that of this machine.
pub(crate) fn is_lacking(error: &Error) -> bool {
    match error {
        Error::Fetch { source, .. } => matches!(source, PinnerError::NotFound { .. }),
        Error::Unsupported { .. } | Error::Malformed { .. } => true,
        // No file of this machine can have such a name.
        Error::Write { source, .. } => source.kind() == std::io::ErrorKind::InvalidFilename,
        _ => false,
    }
}

/// The progress of a copy that names what it lacks.
pub(crate) struct Copying {
    line: Line,
    lacking: AtomicU64,
}

impl Copying {
    pub(crate) fn new(line: Line) -> Self {
        Self {
            line,
            lacking: AtomicU64::new(0),
        }
    }

    /// How much is not in the copy.
    pub(crate) fn lacking(&self) -> u64 {
        self.lacking.load(Ordering::Relaxed)
    }
}

impl Progress for Copying {
    fn advanced(&self, count: u64, bytes: u64) {
        self.line.advanced(count, bytes);
    }

    fn expects(&self, bytes: u64) {
        self.line.expects(bytes);
    }

    fn lacks(&self, path: &str, error: Error) -> Result<(), Error> {
        if !is_lacking(&error) {
            return Err(error);
        }
        self.lacking.fetch_add(1, Ordering::Relaxed);
        let what = format!(
            "cannot copy {}'{}'",
            if path.ends_with('/') { "all of " } else { "" },
            escape(path)
        );
        let error = anyhow::Error::new(error).context(what);
        self.line.above(|| messages::error(&error));
        Ok(())
    }

    fn left_out(&self, directory: &str, left_out: &LeftOut) {
        self.lacking.fetch_add(left_out.count, Ordering::Relaxed);
        self.line.above(|| messages::left_out(directory, left_out));
    }
}
