//! Reads of a repository's files on blocking threads, so many at once and no more.
//!
//! Invariant: a read that has begun keeps its place until it ends, although nobody may wait for it any more. A disk that
//! does not answer thus holds at most that many threads.

use std::{path::Path, sync::Arc};

use cid::Cid;
use pinner_api::{Bytes, Cause, PinnerError, SourceId};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, spawn_blocking},
};

use super::{error::RepositoryError, flatfs::Flatfs};

/// A repository's files, and places for reads.
#[derive(Debug)]
pub(super) struct Reads {
    flatfs: Arc<Flatfs>,
    places: Arc<Semaphore>,
    source: SourceId,
}

/// The right to read one file.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Reads {
    /// Opens the repository at `path`, for at most `at_once` reads at once.
    pub(super) async fn open(path: &Path, at_once: usize) -> Result<Self, RepositoryError> {
        let opened = spawn_blocking({
            let path = path.to_owned();
            move || Flatfs::open(&path)
        });
        let opened = opened.await.unwrap_or_else(|error| {
            Err(RepositoryError::Unreadable {
                path: path.to_owned(),
                source: Cause::new(unless_panicked(error)),
            })
        });
        Ok(Self {
            flatfs: Arc::new(opened?),
            places: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))),
            source: SourceId::new(format!("the files of {}", path.display())),
        })
    }

    /// The path of the repository.
    pub(super) fn repository(&self) -> &Path {
        self.flatfs.repository()
    }

    /// The repository as a source of blocks.
    pub(super) fn source(&self) -> &SourceId {
        &self.source
    }

    /// Waits for a place. It is `None` only if the places were closed, which nobody does.
    pub(super) async fn place(&self) -> Option<Place> {
        let permit = self.places.clone().acquire_owned().await;
        permit.ok().map(|_permit| Place { _permit })
    }

    /// Returns a place if one is free.
    pub(super) fn free_place(&self) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned();
        permit.ok().map(|_permit| Place { _permit })
    }

    /// Reads a block's file.
    ///
    /// # Cancellation
    /// A read that has begun runs to its end, and keeps its place until then.
    pub(super) async fn block(&self, place: Place, cid: &Cid) -> Result<Bytes, PinnerError> {
        let (flatfs, cid) = (self.flatfs.clone(), *cid);
        let reading = spawn_blocking(move || {
            let read = flatfs.block(&cid);
            drop(place);
            read
        });
        reading.await.unwrap_or_else(|error| {
            Err(PinnerError::Unavailable {
                operation: format!("block {cid} from {}", self.source),
                source: Some(Cause::new(unless_panicked(error))),
            })
        })
    }
}

/// Returns the error of a task that was cancelled, by the end of its runtime. A panic goes on in the caller.
fn unless_panicked(error: JoinError) -> JoinError {
    match error.is_panic() {
        true => std::panic::resume_unwind(error.into_panic()),
        false => error,
    }
}
