//! A host's own tree, within the limits of one guest's session (I9): its open nodes and listings count as handles, and
//! bytes that are waited for as kept memory. A path is as long as the session allows.
//!
//! A tree is the embedder's code. Whatever it returns, no buffer of a guest is overrun.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use pinset::{KeptHandle, Session};

use crate::node::{
    Advice, DirNode, Entries, Entry, Error, FileNode, Identity, Metadata, Node, Symlinks, Waiting,
    async_trait,
};

/// An open directory.
pub(crate) struct CountedDir {
    dir: Arc<dyn DirNode>,
    session: Session,
    _handle: KeptHandle,
}

impl CountedDir {
    /// Counts `dir` as a handle of `session`.
    ///
    /// # Errors
    /// [`pinset::Error::LimitReached`] with too many open handles, [`pinset::Error::Closed`].
    pub(crate) fn new(dir: Arc<dyn DirNode>, session: &Session) -> Result<Self, pinset::Error> {
        Ok(Self {
            dir,
            session: session.clone(),
            _handle: session.keep_handle(0)?,
        })
    }

    fn counted(&self, node: Node) -> Result<Node, Error> {
        Ok(match node {
            Node::File(file) => Node::File(Arc::new(CountedFile {
                file,
                session: self.session.clone(),
                _handle: self.session.keep_handle(0)?,
            })),
            Node::Dir(dir) => Node::Dir(Arc::new(Self::new(dir, &self.session)?)),
            link @ Node::Symlink(_) => link,
        })
    }

    fn check(&self, path: &str) -> Result<(), Error> {
        let (len, limit) = (path.len(), self.session.limits().path_bytes);
        match len > limit {
            true => Err(Error::PathTooLong { len, limit }),
            false => Ok(()),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl DirNode for CountedDir {
    fn metadata(&self) -> Metadata {
        self.dir.metadata()
    }

    fn identity(&self) -> Identity {
        self.dir.identity()
    }

    async fn look_up(&self, name: &str) -> Result<Node, Error> {
        self.check(name)?;
        self.counted(self.dir.look_up(name).await?)
    }

    fn list(&self, skipped: u64) -> Result<Entries, Error> {
        let _handle = self.session.keep_handle(0)?;
        let entries = self.dir.list(skipped)?;
        Ok(Box::pin(CountedEntries { entries, _handle }))
    }

    async fn open_at(&self, path: &str, last: Symlinks) -> Result<Option<Node>, Error> {
        self.check(path)?;
        let opened = self.dir.open_at(path, last).await?;
        // This directory once more is one more handle.
        let opened = opened.unwrap_or_else(|| Node::Dir(self.dir.clone()));
        self.counted(opened).map(Some)
    }

    async fn metadata_at(&self, path: &str, last: Symlinks) -> Result<Metadata, Error> {
        self.check(path)?;
        self.dir.metadata_at(path, last).await
    }

    async fn identity_at(&self, path: &str, last: Symlinks) -> Result<Identity, Error> {
        self.check(path)?;
        self.dir.identity_at(path, last).await
    }
}

/// An open file.
struct CountedFile {
    file: Arc<dyn FileNode>,
    session: Session,
    _handle: KeptHandle,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl FileNode for CountedFile {
    fn metadata(&self) -> Metadata {
        self.file.metadata()
    }

    fn identity(&self) -> Identity {
        self.file.identity()
    }

    async fn read(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let mut bytes = self.file.read(offset, len).await?;
        bytes.truncate(len);
        Ok(bytes)
    }

    fn try_read_into(&self, offset: u64, into: &mut [u8]) -> Option<Result<usize, Error>> {
        let len = into.len();
        let read = self.file.try_read_into(offset, into)?;
        Some(read.map(|read| read.min(len)))
    }

    fn try_read(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        let mut read = self.file.try_read(offset, len)?;
        if let Ok(bytes) = &mut read {
            bytes.truncate(len);
        }
        Some(read)
    }

    fn begin_read(self: Arc<Self>, offset: u64, len: usize) -> Result<Waiting<Bytes>, Error> {
        let kept = self.session.keep_handle(len as u64)?;
        let read = self.file.clone().begin_read(offset, len)?;
        Ok(Box::pin(async move {
            let mut bytes = read.await?;
            bytes.truncate(len);
            Ok(Bytes::from_owner(KeptBytes { bytes, _kept: kept }))
        }))
    }

    fn advise(&self, offset: u64, len: u64, advice: Advice) {
        self.file.advise(offset, len, advice);
    }
}

/// Bytes that were read before the guest came for them.
struct KeptBytes {
    bytes: Bytes,
    _kept: KeptHandle,
}

impl AsRef<[u8]> for KeptBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An open listing.
struct CountedEntries {
    entries: Entries,
    _handle: KeptHandle,
}

impl Stream for CountedEntries {
    type Item = Result<Entry, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.entries.as_mut().poll_next(context)
    }
}
