//! A read that goes on whether or not it is polled.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use crate::{error::Error, grant::allowance::KeptMemory, read::file::File, task::Answer};

/// The cost of a pending read beside its bytes.
const OVERHEAD: u64 = 2048;

impl File {
    /// Begins to read up to `len` bytes from `offset`, as [`read_up_to`](Self::read_up_to) does. `len` should be small:
    /// this is for those who may not come back for a long time.
    ///
    /// The bytes count towards [`Limits::memory_bytes`](crate::Limits::memory_bytes) from now on, until the read, or the
    /// last part of what it returned, is dropped. The read holds no block and no part of one.
    ///
    /// # Cancellation
    /// Dropping the read ends it, without effect on others who wait for the same block.
    ///
    /// # Errors
    /// [`Error::LimitReached`]. The read itself fails as [`read_at`](Self::read_at).
    pub fn begin_read(&self, offset: u64, len: usize) -> Result<PendingRead, Error> {
        let left = self.len().saturating_sub(offset);
        let len = usize::try_from(left).map_or(len, |left| left.min(len));
        let memory = self.session().allowance().keep(len as u64 + OVERHEAD)?;
        let file = self.clone();
        let answer = Answer::of(async move {
            let bytes = file.read_up_to(offset, len).await?;
            Ok(Bytes::copy_from_slice(&bytes))
        });
        Ok(PendingRead {
            answer,
            memory: Some(memory),
        })
    }
}

/// A read that was begun by [`File::begin_read`]: a future of its bytes. Once it was polled, it goes on in a task of its
/// own, so an owner that does not poll it delays nobody.
pub struct PendingRead {
    answer: Answer<Bytes>,
    memory: Option<KeptMemory>,
}

impl Future for PendingRead {
    type Output = Result<Bytes, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let read = ready!(Pin::new(&mut self.answer).poll(context));
        let memory = self.memory.take();
        Poll::Ready(read.map(|bytes| {
            Bytes::from_owner(Kept {
                bytes,
                _memory: memory,
            })
        }))
    }
}

impl fmt::Debug for PendingRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingRead").finish_non_exhaustive()
    }
}

/// Bytes that were read before their owner came for them, and that count towards the session's memory.
struct Kept {
    bytes: Bytes,
    _memory: Option<KeptMemory>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
