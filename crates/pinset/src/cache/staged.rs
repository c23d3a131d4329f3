//! One staged block: how it is read, and what keeps it from being replaced.

use std::{
    io,
    ops::Range,
    sync::{Arc, OnceLock, Weak},
};

use bytes::Bytes;

use crate::{
    block::Key,
    staging::Extent,
    sync::{AtomicBool, AtomicUsize, Ordering},
};

/// What is longer is hashed, written and read on a blocking thread, in bytes.
pub(crate) const OFF_THREAD: usize = 64 * 1024;

/// One staged block. Whoever holds the `Arc` may read it: it is "in use", and not evicted meanwhile.
///
/// In C's order: what a read needs comes first. A reader that jumps finds a block in no cache of the processor's, and
/// each line of it costs as much as all the rest of the look-up.
#[repr(C)]
pub(crate) struct Staged {
    /// Whether the bytes were hashed in this run.
    verified: AtomicBool,
    extent: Extent,
    /// Where a file's bytes lie in the block, once it was decoded as a dag-pb leaf.
    leaf: OnceLock<Range<u32>>,
    /// How often it was read ahead and has not been consumed yet.
    kept: AtomicUsize,
    pub(crate) key: Key,
}

impl Staged {
    pub(crate) fn new(key: Key, extent: Extent, verified: bool) -> Self {
        Self {
            key,
            extent,
            leaf: OnceLock::new(),
            verified: AtomicBool::new(verified),
            kept: AtomicUsize::new(0),
        }
    }

    pub(crate) fn extent(&self) -> &Extent {
        &self.extent
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Acquire)
    }

    pub(crate) fn set_verified(&self) {
        self.verified.store(true, Ordering::Release);
    }

    /// The block's length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.extent.len()
    }

    /// Where the payload lies, if this block is known to be a dag-pb leaf.
    pub(crate) fn leaf(&self) -> Option<Range<u64>> {
        self.leaf
            .get()
            .map(|span| u64::from(span.start)..u64::from(span.end))
    }

    pub(crate) fn set_leaf(&self, payload: Range<usize>) {
        // A block is at most 2 MiB.
        _ = self.leaf.set(payload.start as u32..payload.end as u32);
    }

    /// Keeps it from replacement: it was read ahead, and the reader has not come to it.
    pub(crate) fn keep(self: &Arc<Self>) -> Kept {
        self.kept.fetch_add(1, Ordering::SeqCst);
        Kept(Arc::downgrade(self))
    }

    /// Whether replacement is to pass it over. The index has one `Arc` of it.
    pub(super) fn in_use(self: &Arc<Self>) -> bool {
        self.kept.load(Ordering::SeqCst) > 0 || self.is_read()
    }

    /// Whether somebody is reading it, here or in another process.
    pub(super) fn is_read(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || !self.extent.claim()
    }

    /// What the page cache has, on this thread; `None` where the disk would have to be waited for.
    pub(crate) fn try_read(&self, at: u64, len: usize) -> io::Result<Option<Bytes>> {
        Ok(self.extent.try_read(at as usize, len)?.map(Bytes::from))
    }

    /// `len` bytes from `at`, from a blocking thread if need be.
    pub(crate) async fn read(self: &Arc<Self>, at: u64, len: usize) -> io::Result<Bytes> {
        if let Some(bytes) = self.try_read(at, len)? {
            return Ok(bytes);
        }
        let staged = self.clone();
        tokio::task::spawn_blocking(move || staged.extent.read_blocking(at as usize, len))
            .await
            .map_err(io::Error::other)?
            .map(Bytes::from)
    }
}

/// A block that was read ahead: in use, so that the next to arrive does not push it out. It yields to a share of the
/// budget that became smaller, though, or one reader that stops in its file could hold up every new pinset.
#[derive(Debug)]
pub(crate) struct Kept(Weak<Staged>);

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(staged) = self.0.upgrade() {
            staged.kept.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Drops a block that is not to stay: the last to do so frees its slot.
pub(crate) fn let_go(staged: Arc<Staged>) {
    staged.extent.discard();
}
