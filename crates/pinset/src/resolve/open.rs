//! Opening: the target of a path becomes a handle of the session. Its block is loaded only if its link does not say
//! enough.

use std::sync::Arc;

use pinner_api::MAX_BLOCK;
use tracing::Instrument;

use crate::{
    error::Error,
    metadata::{Identity, Kind, MadeBy, Metadata},
    path::{
        ipfs_path::{IpfsPath, Symlinks, Within},
        place::{Linked, Place},
        root_cid::RootCid,
    },
    read::{
        dir::Dir,
        file::File,
        node::{Node, Symlink},
    },
    resolve::walk::{self, Needed, Visited},
    session::Session,
    unixfs,
};

impl Session {
    /// Opens `/ipfs` itself: a directory without a CID, which lists the granted roots.
    ///
    /// # Errors
    /// [`Error::LimitReached`] with too many open handles.
    pub fn root(&self) -> Result<Dir, Error> {
        Dir::namespace(self)
    }

    /// Opens `/ipns`: a directory whose entries are links from the granted names into `/ipfs`. Only these links lead
    /// from one directory without a CID to the other.
    ///
    /// # Errors
    /// [`Error::LimitReached`] with too many open handles.
    pub fn names_root(&self) -> Result<Dir, Error> {
        Dir::names(self)
    }

    /// Opens `/ipfs/<CID>/a/b`, and follows symlinks. Nothing on the way leads out of the root.
    ///
    /// # Errors
    /// Those of [`open_at`](Self::open_at).
    pub async fn open(&self, path: &IpfsPath) -> Result<Node, Error> {
        self.open_below(path, Symlinks::Follow).await
    }

    /// Opens the target of an immutable path, without leaving the path's root.
    pub(crate) async fn open_below(&self, path: &IpfsPath, last: Symlinks) -> Result<Node, Error> {
        self.open_within(&self.root()?, &path.below_ipfs(), last, Within::Root)
            .await
    }

    /// Opens the target of `path`, relative to `base`.
    ///
    /// Fetches the directory blocks on the way that are not cached, and the target's root block, which for a file of one
    /// block is its content: the length of a file is that of its blocks, never what a link says. Queues a lazy pin for a
    /// target that leads to raw blocks only.
    ///
    /// # Errors
    /// Those of the walk ([`Error::NotFound`], [`Error::RootNotFound`], [`Error::NotGranted`],
    /// [`Error::NotDirectory`], [`Error::Escapes`], [`Error::TooManySymlinks`], [`Error::PathTooLong`]), those of
    /// fetching ([`Error::Fetch`], [`Error::Corrupt`], [`Error::Malformed`], [`Error::Unsupported`]), and
    /// [`Error::LimitReached`].
    pub async fn open_at(&self, base: &Dir, path: &str, last: Symlinks) -> Result<Node, Error> {
        self.open_within(base, path, last, Within::Base).await
    }

    async fn open_within(
        &self,
        base: &Dir,
        path: &str,
        last: Symlinks,
        within: Within,
    ) -> Result<Node, Error> {
        if tracing::enabled!(tracing::Level::TRACE) {
            let span = tracing::trace_span!("open", path);
            // Boxed, so that the future of an open is small when tracing is off.
            return Box::pin(
                self.walk_and_open(base, path, last, within)
                    .instrument(span),
            )
            .await;
        }
        self.walk_and_open(base, path, last, within).await
    }

    async fn walk_and_open(
        &self,
        base: &Dir,
        path: &str,
        last: Symlinks,
        within: Within,
    ) -> Result<Node, Error> {
        let found = walk::walk(self, base, path, last, within).await?;
        found.open(self).await
    }

    /// Returns the metadata of the target of `path`, without opening it. A file of one raw block is not fetched for its
    /// length: if the block is not here, the length is what the link to it says, if that is possible. Its author may be
    /// wrong; an open file has the right one.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    pub async fn metadata_at(
        &self,
        base: &Dir,
        path: &str,
        last: Symlinks,
    ) -> Result<Metadata, Error> {
        let mut found = walk::walk(self, base, path, last, Within::Base).await?;
        found.metadata(self, RawLen::Claimed).await
    }

    /// Returns the identity of the target of `path`. With [`Symlinks::NoFollow`] the target itself is never fetched,
    /// since its link is enough.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    pub async fn identity_at(
        &self,
        base: &Dir,
        path: &str,
        last: Symlinks,
    ) -> Result<Identity, Error> {
        Ok(walk::walk(self, base, path, last, Within::Base)
            .await?
            .identity())
    }
}

impl Visited {
    /// Returns the metadata of the node, without opening it.
    async fn metadata(&mut self, session: &Session, raw: RawLen) -> Result<Metadata, Error> {
        self.look_at(session).await?;
        match (&self.place, &self.node) {
            (Place::Ipfs | Place::Ipns, _) => Ok(Dir::NAMESPACE),
            (Place::Name(fixed), _) => Ok(fixed.metadata()),
            (Place::Link(_), Some(decoded)) => {
                let node = &decoded.node;
                let (kind, len) = match node {
                    unixfs::Node::File(file) => (Kind::File, file.len()),
                    unixfs::Node::Directory(_) | unixfs::Node::Shard(_) => (Kind::Dir, 0),
                    unixfs::Node::Symlink(link) => (Kind::Symlink, link.target().len() as u64),
                };
                Ok(Metadata {
                    kind,
                    len,
                    mode: node.mode(),
                    mtime: node.mtime(),
                })
            }
            (Place::Link(linked), None) => Ok(Metadata {
                kind: Kind::File,
                len: raw.of(linked, session).await?,
                mode: None,
                mtime: None,
            }),
        }
    }

    /// Loads the node that stands here, if there is one and the walk has not loaded it.
    async fn look_at(&mut self, session: &Session) -> Result<(), Error> {
        if let Place::Link(linked) = &self.place
            && self.node.is_none()
            && !linked.is_raw()
        {
            let node = match session.engine().node_at_hand(&linked.link.target) {
                Some(node) => node,
                None => Box::pin(Needed::Node(linked.clone()).have(session)).await?,
            };
            self.node = Some(node);
        }
        Ok(())
    }

    /// Opens the node as a handle of the session.
    pub(crate) async fn open(mut self, session: &Session) -> Result<Node, Error> {
        if let Place::Link(linked) = &self.place {
            // Before anything is fetched for it.
            session.allowance().count_target(&linked.link.target)?;
        }
        let metadata = self.metadata(session, RawLen::Proven).await?;
        let linked = match &self.place {
            Place::Ipfs => return Dir::namespace(session).map(Node::Dir),
            Place::Ipns => return Dir::names(session).map(Node::Dir),
            Place::Name(fixed) => {
                return Ok(Node::Symlink(Symlink {
                    target: fixed.link_target().into(),
                    cid: None,
                    mode: metadata.mode,
                    mtime: metadata.mtime,
                    identity: fixed.identity(),
                    made_by: MadeBy::Host,
                    _handle: Arc::new(session.allowance().count_handle()?),
                }));
            }
            Place::Link(linked) => linked,
        };
        let target = &linked.link.target;
        let handle = session.allowance().count_handle()?;
        let pin = self
            .node
            .as_ref()
            .and_then(|decoded| session.engine().pins.opened(target, decoded));
        Ok(match self.node.as_ref().map(|decoded| &decoded.node) {
            // Without a node it is a raw block.
            None | Some(unixfs::Node::File(_)) => {
                Node::File(File::new(session, handle, linked.clone(), metadata, pin))
            }
            Some(unixfs::Node::Directory(_) | unixfs::Node::Shard(_)) => {
                Node::Dir(Dir::new(session, handle, self.place, metadata, pin))
            }
            Some(unixfs::Node::Symlink(link)) => Node::Symlink(Symlink {
                target: link.target().into(),
                cid: Some(Box::new(RootCid::of(target))),
                mode: metadata.mode,
                mtime: metadata.mtime,
                identity: self.place.identity(),
                made_by: MadeBy::Content,
                _handle: Arc::new(handle),
            }),
        })
    }
}

/// Where the length of a file of one raw block comes from, if the block is not here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RawLen {
    /// From its link, unless no block can have that length, or the link says that the file is empty.
    Claimed,
    /// From the block.
    Proven,
}

impl RawLen {
    async fn of(self, linked: &Linked, session: &Session) -> Result<u64, Error> {
        let (engine, target) = (session.engine(), &linked.link.target);
        let here = engine.at_hand(target).map(|held| held.len() as u64);
        let claimed = linked.link.tsize.filter(|_| self == Self::Claimed);
        let possible = claimed.filter(|len| (1..=MAX_BLOCK as u64).contains(len));
        if let Some(len) = here.or(possible) {
            return Ok(len);
        }
        let mut ask = session.ask(&linked.origin);
        ask.expected = linked.link.tsize;
        let held = Box::pin(engine.obtain(target, ask)).await;
        let held = held.map_err(|error| linked.unknown_if_root(error))?;
        Ok(held.len() as u64)
    }
}
