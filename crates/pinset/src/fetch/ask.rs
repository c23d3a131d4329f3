//! The questions to the engine and its answers: who asks for a block and how urgently, and where the block lies.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use pinner_api::Origin;

use crate::{cache::staged::Staged, error::Error, grant::allowance::Allowance};

/// A verified block, and where it lies.
#[derive(Clone)]
pub(crate) enum Held {
    /// In the staging directory.
    Staged(Arc<Staged>),
    /// In memory, because staging had no room for it, or because it lies in its CID.
    Memory(Bytes),
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Staged(staged) => staged.len(),
            Self::Memory(bytes) => bytes.len(),
        }
    }
}

/// A block, and how it was obtained.
#[derive(Clone)]
pub(crate) struct Obtained {
    pub(crate) held: Held,
    /// How long the backend took for it, if the backend was asked.
    pub(crate) took: Option<Duration>,
}

impl From<Held> for Obtained {
    fn from(held: Held) -> Self {
        Self { held, took: None }
    }
}

/// Who asks for a block, and for which origin.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) allowance: &'a Arc<Allowance>,
    pub(crate) origin: &'a Origin,
    pub(crate) rank: Rank,
    /// The block's length in bytes, as far as the block above tells.
    pub(crate) expected: Option<u64>,
    /// Whether the backend is left alone.
    pub(crate) offline: bool,
}

/// How urgent a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Somebody waits for the block.
    Demand,
    /// The block may be wanted soon. It is fetched if there is room now.
    Ahead,
}

/// The result of looking for a block that was staged and has not been verified.
pub(super) enum Reverified {
    Right(Held),
    /// It is not here, or it was wrong.
    Absent,
    /// It was verified, and the result was given up before this waiter took it.
    LookAgain,
}

/// The error of a thread or a file of staging.
pub(super) fn staging(what: &str, source: io::Error) -> Error {
    Error::Staging {
        what: what.to_owned(),
        source: Some(Arc::new(source)),
    }
}
