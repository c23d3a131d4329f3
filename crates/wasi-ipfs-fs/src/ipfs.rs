//! IPFS as a tree: [`pinset`]'s nodes are [`node`](crate::node)s.
//!
//! Every check stands where it was, in `pinset`: the session that a directory carries grants roots, resolves whole paths,
//! and counts handles, bytes and pins (I9, I10).

use std::sync::Arc;

use bytes::Bytes;
use pinset::{Dir, File, Session};

use self::listing::Listing;
use crate::{
    node::{
        Advice, DirNode, Entries, Error, FileNode, Identity, Metadata, Node, Symlink, Symlinks,
        Waiting, async_trait,
    },
    types::Types,
};

mod listing;

#[async_trait]
impl FileNode for File {
    fn metadata(&self) -> Metadata {
        self.metadata()
    }

    fn identity(&self) -> Identity {
        self.identity()
    }

    async fn read(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        Ok(self.read_up_to(offset, len).await?)
    }

    fn try_read_into(&self, offset: u64, into: &mut [u8]) -> Option<Result<usize, Error>> {
        let read = self.try_read_into(offset, into)?;
        Some(read.map_err(Error::from))
    }

    fn try_read(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        let read = self.try_read_at(offset, len)?;
        Some(read.map_err(Error::from))
    }

    fn begin_read(self: Arc<Self>, offset: u64, len: usize) -> Result<Waiting<Bytes>, Error> {
        let read = File::begin_read(&self, offset, len)?;
        Ok(Box::pin(async move { Ok(read.await?) }))
    }

    fn advise(&self, offset: u64, len: u64, advice: Advice) {
        self.advise(offset, len, advice);
    }
}

/// An open directory, and the session that paths relative to it are resolved for.
pub(crate) struct IpfsDir {
    dir: Dir,
    session: Session,
    types: Arc<Types>,
}

impl IpfsDir {
    /// The directory `dir` of the guest with `session` and `types`.
    pub(crate) fn new(dir: Dir, session: &Session, types: &Arc<Types>) -> Self {
        Self {
            dir,
            session: session.clone(),
            types: types.clone(),
        }
    }

    async fn open(&self, path: &str, last: Symlinks) -> Result<Node, Error> {
        let opened = self.session.open_at(&self.dir, path, last).await?;
        Ok(match opened {
            pinset::Node::File(file) => Node::File(Arc::new(file)),
            pinset::Node::Dir(dir) => {
                Node::Dir(Arc::new(Self::new(dir, &self.session, &self.types)))
            }
            pinset::Node::Symlink(link) => {
                let mut shown = Symlink::new(link.target(), link.identity());
                shown.metadata = link.metadata();
                shown.made_by = link.made_by();
                Node::Symlink(shown)
            }
        })
    }
}

#[async_trait]
impl DirNode for IpfsDir {
    fn metadata(&self) -> Metadata {
        self.dir.metadata()
    }

    fn identity(&self) -> Identity {
        self.dir.identity()
    }

    async fn look_up(&self, name: &str) -> Result<Node, Error> {
        self.open(name, Symlinks::NoFollow).await
    }

    fn list(&self, skipped: u64) -> Result<Entries, Error> {
        let listing = Listing::new(&self.dir, &self.types, skipped)?;
        Ok(Box::pin(listing))
    }

    async fn open_at(&self, path: &str, last: Symlinks) -> Result<Option<Node>, Error> {
        self.open(path, last).await.map(Some)
    }

    async fn metadata_at(&self, path: &str, last: Symlinks) -> Result<Metadata, Error> {
        Ok(self.session.metadata_at(&self.dir, path, last).await?)
    }

    /// With no-follow, the directory alone answers it, without fetching the entry's target.
    async fn identity_at(&self, path: &str, last: Symlinks) -> Result<Identity, Error> {
        Ok(self.session.identity_at(&self.dir, path, last).await?)
    }
}
