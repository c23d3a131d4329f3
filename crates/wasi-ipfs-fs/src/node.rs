//! The node of a read-only tree, as the adapters need it: [`FileNode`] and [`DirNode`]. All previews serve nothing else.
//!
//! IPFS is the first tree: [`pinset`]'s files and directories implement these traits. A host shows a tree of its own to a
//! guest with [`IpfsCtxBuilder::mount_tree`](crate::IpfsCtxBuilder::mount_tree), whatever stands behind it. Nodes can
//! also wrap nodes, such as those of [`IpfsCtx::dir_node`](crate::IpfsCtx::dir_node).
//!
//! # Contract
//!
//! * The tree does not change while a guest sees it. The entries of a directory come in one order, and each node has one
//!   [`Identity`], which no other node of the guest's trees has.
//! * A file's bytes end at the length in its metadata and nowhere else. An error is an [`Error`], never an end (I7).
//! * A node keeps a bounded amount for a guest, whatever the guest does (I9). This crate counts the handles and listings
//!   that are open in a host's tree, and the bytes that it waits for, towards the [`Limits`](pinset::Limits) of the guest.
//!   It does not count what a node keeps besides.
//!
//! # Cancellation
//!
//! Any future may be dropped, and a listing too. The node is then as it was before.
//!
//! # Concurrency
//!
//! Calls on one node may come from several threads at once. A future may be left without being polled for ever, since a
//! guest decides when it looks again. So it must hold nothing that others wait for, such as a lock or a permit (I11).
//! Calls that are not async, and each poll, must not block.
//!
//! # One pointer, and one box for each wait
//!
//! The adapters hold nodes as `Arc<dyn …>`. Were they generic over the tree instead, each embedder's types would name its
//! tree, and a guest could see only one kind of tree. The price is a virtual call. The way of a read whose bytes are
//! there has nothing else: [`FileNode::try_read_into`] copies into the guest's memory, without a future or an allocation.
//! A call that may wait is a future in a box. An open, which makes a handle anyway, can afford one.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use cid::Cid;
use futures_core::Stream;
pub use pinset::{Advice, Identity, Kind, MAX_SYMLINKS, MadeBy, Metadata, Mtime, Symlinks};
/// Turns `async fn` in an implementation of these traits into what they want.
pub use wasmtime_wasi::async_trait;

/// The longest target of a symlink that is followed, in bytes.
const MOST_TARGET: usize = 4096;

/// A call that waits, on its own.
pub type Waiting<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// The listing of a directory. It is not polled again after its end or an error.
pub type Entries = Pin<Box<dyn Stream<Item = Result<Entry, Error>> + Send>>;

/// An open file. The [module](self) has the contract.
#[async_trait]
pub trait FileNode: Send + Sync + 'static {
    /// The file's metadata. Its [`len`](Metadata::len) is the exact length.
    fn metadata(&self) -> Metadata;

    /// The value by which a guest tells the file from others.
    fn identity(&self) -> Identity;

    /// Reads `len` bytes from `offset`, or fewer if the file ends before or the rest cannot be read. The result is empty
    /// only at or past the end. `len` is at most 256 KiB.
    ///
    /// # Errors
    /// If not a single byte can be read.
    async fn read(&self, offset: u64, len: usize) -> Result<Bytes, Error>;

    /// Reads into the caller's buffer, which may be the guest's memory, as much as is there without waiting. Returns the
    /// number of bytes, which is 0 only at or past the end, or `None` if [`read`](Self::read) has to wait for the first
    /// byte. The rest of the buffer is unspecified.
    ///
    /// Unless implemented, every read waits, which is right and slow.
    ///
    /// # Errors
    /// If not a single byte can be read.
    fn try_read_into(&self, _offset: u64, _into: &mut [u8]) -> Option<Result<usize, Error>> {
        None
    }

    /// As [`try_read_into`](Self::try_read_into), into new memory of at most `len` bytes.
    ///
    /// # Errors
    /// If not a single byte can be read.
    fn try_read(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        let mut bytes = vec![0; len];
        let read = self.try_read_into(offset, &mut bytes)?;
        Some(read.map(|read| {
            bytes.truncate(read);
            bytes.into()
        }))
    }

    /// Begins a [`read`](Self::read) for a guest that waits until its file is ready, and may never come back.
    ///
    /// # Errors
    /// A limit that the bytes would exceed.
    fn begin_read(self: Arc<Self>, offset: u64, len: usize) -> Result<Waiting<Bytes>, Error> {
        Ok(Box::pin(async move { self.read(offset, len).await }))
    }

    /// Takes the guest's advice about its future reads. It is a hint, so this never fails.
    fn advise(&self, _offset: u64, _len: u64, _advice: Advice) {}
}

/// An open directory. The [module](self) has the contract.
///
/// Four methods are enough. The others work on whole paths: `..` and symlinks resolve physically and never lead out of
/// the directory, as in a native preopen. A tree that does better than one look-up for each segment implements them too.
#[async_trait]
pub trait DirNode: Send + Sync + 'static {
    /// The directory's metadata.
    fn metadata(&self) -> Metadata;

    /// The value by which a guest tells the directory from others.
    fn identity(&self) -> Identity;

    /// Opens the entry `name`, which is a single segment, and neither `.` nor `..`. A symlink is not followed.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such entry.
    async fn look_up(&self, name: &str) -> Result<Node, Error>;

    /// Lists the directory, after the first `skipped` entries. `.` and `..` are not among them.
    ///
    /// # Errors
    /// If it cannot begin. It can also end with an error.
    fn list(&self, skipped: u64) -> Result<Entries, Error>;

    /// Opens the target of `path`. `None` is this directory itself.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotDirectory`], [`Error::Escapes`], [`Error::TooManySymlinks`],
    /// [`Error::PathTooLong`], and those of the tree.
    async fn open_at(&self, path: &str, last: Symlinks) -> Result<Option<Node>, Error> {
        walk(self, path, last).await
    }

    /// Returns the metadata of the target of `path`, without keeping it open.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    async fn metadata_at(&self, path: &str, last: Symlinks) -> Result<Metadata, Error> {
        let found = self.open_at(path, last).await?;
        Ok(found.map_or_else(|| self.metadata(), |node| node.metadata()))
    }

    /// Returns the identity of the target of `path`. The usual libraries ask for it before every stat.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    async fn identity_at(&self, path: &str, last: Symlinks) -> Result<Identity, Error> {
        let found = self.open_at(path, last).await?;
        Ok(found.map_or_else(|| self.identity(), |node| node.identity()))
    }
}

/// The target of a path.
#[derive(Clone)]
pub enum Node {
    /// A file.
    File(Arc<dyn FileNode>),
    /// A directory.
    Dir(Arc<dyn DirNode>),
    /// A symlink that was not followed.
    Symlink(Symlink),
}

impl Node {
    /// The node's metadata.
    pub fn metadata(&self) -> Metadata {
        match self {
            Self::File(file) => file.metadata(),
            Self::Dir(dir) => dir.metadata(),
            Self::Symlink(link) => link.metadata,
        }
    }

    /// The value by which a guest tells the node from others.
    pub fn identity(&self) -> Identity {
        match self {
            Self::File(file) => file.identity(),
            Self::Dir(dir) => dir.identity(),
            Self::Symlink(link) => link.identity,
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({:?})", self.metadata())
    }
}

/// A symlink.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Symlink {
    /// The path that it leads to, relative to its directory.
    pub target: String,
    /// Its metadata. The length is the target's.
    pub metadata: Metadata,
    /// The value by which a guest tells it from others.
    pub identity: Identity,
    /// Who chose the target. A guest is not shown an absolute one that content chose.
    pub made_by: MadeBy,
}

impl Symlink {
    /// A symlink without a time.
    pub fn new(target: impl Into<String>, identity: Identity) -> Self {
        let target = target.into();
        Self {
            metadata: Metadata::new(Kind::Symlink, target.len() as u64),
            target,
            identity,
            made_by: MadeBy::Content,
        }
    }
}

/// One entry of a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    name: String,
    kind: Option<Kind>,
    identity: Told,
}

/// The source of an entry's identity.
#[derive(Clone, Debug)]
enum Told {
    Nothing,
    Identity(Identity),
    /// It is a hash of the CID, and few listings ask for it.
    Cid(Cid),
}

impl Entry {
    /// An entry, with its kind and its identity as far as they are known. The usual libraries ask for a stat where they
    /// are not.
    pub fn new(name: impl Into<String>, kind: Option<Kind>, identity: Option<Identity>) -> Self {
        Self {
            name: name.into(),
            kind,
            identity: identity.map_or(Told::Nothing, Told::Identity),
        }
    }

    /// An entry whose identity is its CID's, if it has one.
    pub(crate) fn of_cid(name: String, kind: Option<Kind>, cid: Option<Cid>) -> Self {
        let identity = cid.map_or(Told::Nothing, Told::Cid);
        Self {
            name,
            kind,
            identity,
        }
    }

    /// The entry's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the [`name`](Self::name), and drops the rest.
    pub fn into_name(self) -> String {
        self.name
    }

    /// The entry's kind, if it is known.
    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// The entry's identity, if it is known.
    pub fn identity(&self) -> Option<Identity> {
        match &self.identity {
            Told::Nothing => None,
            Told::Identity(identity) => Some(*identity),
            Told::Cid(cid) => Some(Identity::of(cid)),
        }
    }
}

/// Makes a listing of entries that are all there.
pub fn listed(
    entries: impl IntoIterator<Item = Entry, IntoIter: Send + Unpin + 'static>,
) -> Entries {
    Box::pin(Listed(entries.into_iter()))
}

struct Listed<I>(I);

impl<I: Iterator<Item = Entry> + Unpin> Stream for Listed<I> {
    type Item = Result<Entry, Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

/// The reason why a call on a node failed. `errno.rs` has the code that the guest sees.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no node of this name. It must be proven: a failure is not an absence (I7).
    #[error("there is no '{name}'")]
    NotFound {
        /// The name.
        name: String,
    },
    /// A path leads to something else where a directory is needed.
    #[error("{path} is not a directory")]
    NotDirectory {
        /// The path that was used as a directory.
        path: String,
    },
    /// `..` or a symlink leads out of the directory that the walk started in.
    #[error("'{path}' leaves the directory it is relative to")]
    Escapes {
        /// The path as it was given.
        path: String,
    },
    /// The path goes through more symlinks than [`MAX_SYMLINKS`].
    #[error("the path '{path}' goes through more than {limit} symlinks", limit = MAX_SYMLINKS)]
    TooManySymlinks {
        /// The path as it was given.
        path: String,
    },
    /// The path, or a symlink's target, is longer than the limit.
    #[error("a path of {len} bytes is longer than the limit of {limit}")]
    PathTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The tree failed. The guest sees an I/O error, and the host's log has the reason.
    #[error(transparent)]
    Failed(Arc<dyn std::error::Error + Send + Sync>),
    /// IPFS failed, or a limit of the guest's session is reached.
    #[error(transparent)]
    Ipfs(#[from] pinset::Error),
}

impl Error {
    /// An error of the tree's own.
    pub fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(Arc::new(error))
    }
}

/// Opens the target of `path` by one look-up for each segment. `None` is `base` itself.
async fn walk<D: DirNode + ?Sized>(
    base: &D,
    path: &str,
    last: Symlinks,
) -> Result<Option<Node>, Error> {
    let mut walk = Walk::new(path);
    walk.push(path)?;
    while let Some(segment) = walk.todo.pop() {
        if segment == ".." {
            walk.below.pop().ok_or_else(|| walk.escapes())?;
            continue;
        }
        // Look-ups that never wait let others have the thread.
        tokio::task::coop::consume_budget().await;
        let found = match walk.below.last() {
            Some(dir) => dir.look_up(&segment).await?,
            None => base.look_up(&segment).await?,
        };
        let ends_here = walk.todo.is_empty() && !walk.directory;
        match found {
            Node::Symlink(link) if !(ends_here && last == Symlinks::NoFollow) => {
                walk.follow(&link.target)?;
            }
            Node::Dir(dir) => walk.below.push(dir),
            found if ends_here => return Ok(Some(found)),
            Node::File(_) | Node::Symlink(_) => {
                return Err(Error::NotDirectory { path: path.into() });
            }
        }
    }
    Ok(walk.below.pop().map(Node::Dir))
}

/// A walk under way.
struct Walk<'a> {
    /// The path as it was given, for messages.
    path: &'a str,
    /// The directories from below the base down to the current one.
    below: Vec<Arc<dyn DirNode>>,
    /// The remaining segments, the next one last.
    todo: Vec<String>,
    /// Whether the path's end must be a directory.
    directory: bool,
    symlinks: usize,
}

impl<'a> Walk<'a> {
    fn new(path: &'a str) -> Self {
        Self {
            path,
            below: Vec::new(),
            todo: Vec::new(),
            directory: false,
            symlinks: 0,
        }
    }

    /// Puts the segments of `path` before the remaining ones.
    fn push(&mut self, path: &str) -> Result<(), Error> {
        if path.is_empty() {
            return Err(Error::NotFound { name: path.into() });
        }
        if path.starts_with('/') {
            return Err(self.escapes());
        }
        if self.todo.is_empty() {
            self.directory |= path.ends_with('/') || path.ends_with("/.");
        }
        let segments = path.rsplit('/');
        let segments = segments.filter(|segment| !matches!(*segment, "" | "."));
        self.todo.extend(segments.map(str::to_owned));
        Ok(())
    }

    fn follow(&mut self, target: &str) -> Result<(), Error> {
        self.symlinks += 1;
        if self.symlinks > MAX_SYMLINKS {
            let path = self.path.into();
            return Err(Error::TooManySymlinks { path });
        }
        let (len, limit) = (target.len(), MOST_TARGET);
        if len > limit {
            return Err(Error::PathTooLong { len, limit });
        }
        self.push(target)
    }

    fn escapes(&self) -> Error {
        let path = self.path.into();
        Error::Escapes { path }
    }
}

#[cfg(test)]
mod tests;
