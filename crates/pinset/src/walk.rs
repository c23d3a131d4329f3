//! From a path to what it names: segment by segment through verified directory blocks.
//!
//! `..` and symlinks resolve as in a native preopen: physically, and never out of the directory that the walk
//! started in. Nothing of a path ever reaches the host's file system (I4). A root is looked at only if the session
//! was granted it (I10).
//!
//! One kind of link leads from one directory of ours into another: a name in `/ipns`, which the host made, to the
//! CID below `/ipfs` that it granted with the name. A link that content brings along never does.

use std::{borrow::Cow, sync::Arc};

use cid::Cid;
use pinner_api::{Origin, PinnerError};

use crate::{
    block::{cid_of, target_of},
    dir::Dir,
    engine::Ask,
    error::Error,
    file::File,
    names::FixedName,
    node::{Identity, Kind, MadeBy, Metadata, Node, Symlink},
    nodes::Decoded,
    path::{Segment, segments, shown, wants_directory},
    session::{Session, Symlinks},
    unixfs::{self, Codec, Found as InShard, Link, Prefix},
};

/// The most symlinks on one path, as Linux has it.
pub const MAX_SYMLINKS: usize = 40;

/// The most levels of shards: fanout 8 takes 3 of the hash's 64 bits a level. [`unixfs`] checks the bits.
const MAX_SHARD_LEVELS: usize = 22;

/// Where a walk stands: `/ipfs` or `/ipns` itself, a name in the latter, or what a link names.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all places are links: a box for each would cost more than it saves"
)]
pub(crate) enum Place {
    /// `/ipfs`: the directory of all roots.
    Ipfs,
    /// `/ipns`: the directory of the names that were granted.
    Ipns,
    /// A name in it: a link into `/ipfs`.
    Name(Arc<FixedName>),
    /// Something with a CID.
    Link {
        link: Link,
        origin: Origin,
        /// Whether this is the path's first CID.
        is_root: bool,
    },
}

/// What a path names.
pub(crate) struct Found {
    place: Place,
}

/// Walks `path` from `base`.
pub(crate) async fn walk(
    session: &Session,
    base: &Dir,
    path: &str,
    last: Symlinks,
) -> Result<Found, Error> {
    let limit = session.limits().path_bytes;
    if path.len() > limit {
        let len = path.len();
        return Err(Error::PathTooLong { len, limit });
    }
    let place = base.place();
    if path.is_empty() {
        return Err(absent("", &place));
    }
    let mut walk = Walk {
        session,
        path,
        last,
        stack: vec![place],
        todo: Vec::new(),
        directory: false,
        symlinks: 0,
    };
    walk.push(Cow::Borrowed(path))?;
    walk.run().await
}

struct Walk<'a> {
    session: &'a Session,
    /// As it was given, for messages.
    path: &'a str,
    last: Symlinks,
    /// The directories from the base down to where the walk stands; never empty.
    stack: Vec<Place>,
    /// The segments to go, the next one last.
    todo: Vec<Step<'a>>,
    /// Whether the path's end must be a directory.
    directory: bool,
    symlinks: usize,
}

enum Step<'a> {
    Up,
    Name(Cow<'a, str>),
}

impl<'a> Walk<'a> {
    /// Puts the segments of `path` before what is still to go.
    fn push(&mut self, path: Cow<'a, str>) -> Result<(), Error> {
        if path.starts_with('/') {
            return Err(self.escapes());
        }
        if self.todo.is_empty() {
            self.directory |= wants_directory(&path);
        }
        match path {
            Cow::Borrowed(path) => {
                let steps = segments(path).rev().map(|segment| match segment {
                    Segment::Up => Step::Up,
                    Segment::Name(name) => Step::Name(Cow::Borrowed(name)),
                });
                self.todo.extend(steps);
            }
            Cow::Owned(path) => {
                let steps = segments(&path).rev().map(|segment| match segment {
                    Segment::Up => Step::Up,
                    Segment::Name(name) => Step::Name(Cow::Owned(name.to_owned())),
                });
                self.todo.extend(steps);
            }
        }
        Ok(())
    }

    async fn run(mut self) -> Result<Found, Error> {
        while let Some(step) = self.todo.pop() {
            let name = match step {
                Step::Up => {
                    self.stack.pop();
                    if self.stack.is_empty() {
                        return Err(self.escapes());
                    }
                    continue;
                }
                Step::Name(name) => name,
            };
            let mut place = look_up(self.session, self.top(), &name).await?;
            let ends_here = self.todo.is_empty() && !self.directory;
            if let Place::Name(name) = &place
                && !(ends_here && self.last == Symlinks::NoFollow)
            {
                let target = Place::of_name(name);
                self.count_symlink()?;
                // Physically: what is above the target is `/ipfs`, and above that nothing.
                self.stack = vec![Place::Ipfs];
                place = target;
            }
            if ends_here && (self.last == Symlinks::NoFollow || place.is_raw()) {
                return Ok(Found { place });
            }
            if place.is_raw() {
                return Err(Error::NotDirectory {
                    path: shown(self.path),
                });
            }
            let node = place.node(self.session).await?;
            match &node.node {
                unixfs::Node::Symlink(link) => self.follow(link.target())?,
                unixfs::Node::Directory(_) | unixfs::Node::Shard(_) => self.stack.push(place),
                unixfs::Node::File(_) if ends_here => return Ok(Found { place }),
                unixfs::Node::File(_) => {
                    return Err(Error::NotDirectory {
                        path: shown(self.path),
                    });
                }
            }
        }
        let place = self.stack.pop().unwrap_or(Place::Ipfs);
        Ok(Found { place })
    }

    fn count_symlink(&mut self) -> Result<(), Error> {
        self.symlinks += 1;
        if self.symlinks > MAX_SYMLINKS {
            return Err(Error::TooManySymlinks {
                path: shown(self.path),
            });
        }
        Ok(())
    }

    fn follow(&mut self, target: &str) -> Result<(), Error> {
        self.count_symlink()?;
        let limit = self.session.limits().path_bytes;
        if target.len() > limit {
            let len = target.len();
            return Err(Error::PathTooLong { len, limit });
        }
        if target.is_empty() {
            return Err(absent("", self.top()));
        }
        self.push(Cow::Owned(target.to_owned()))
    }

    fn top(&self) -> &Place {
        self.stack.last().unwrap_or(&Place::Ipfs)
    }

    fn escapes(&self) -> Error {
        Error::Escapes {
            path: shown(self.path),
        }
    }
}

fn absent(name: &str, directory: &Place) -> Error {
    Error::NotFound {
        name: shown(name),
        directory: match directory {
            Place::Ipfs => "/ipfs".to_owned(),
            Place::Ipns => "/ipns".to_owned(),
            Place::Name(fixed) => fixed.target().to_string(),
            Place::Link { link, .. } => cid_of(&link.target).to_string(),
        },
    }
}

/// One segment: what `name` is in the directory at `place`.
async fn look_up(session: &Session, place: &Place, name: &str) -> Result<Place, Error> {
    let (link, origin) = match place {
        Place::Ipfs => return root(session, name),
        Place::Ipns => {
            // From what was granted and fixed: nobody is asked.
            let fixed = session
                .fixed_name(name)
                .ok_or_else(|| absent(name, place))?;
            return Ok(Place::Name(fixed.clone()));
        }
        Place::Name(_) => return Err(Error::NotDirectory { path: shown(name) }),
        Place::Link { link, origin, .. } => (link, origin),
    };
    let ask = Ask { session, origin };
    let malformed = |target, malformed: unixfs::Malformed| Error::Malformed {
        cid: cid_of(target),
        reason: malformed.to_string(),
    };
    let mut target = link.target.clone();
    let mut at = Prefix::ROOT;
    for _ in 0..=MAX_SHARD_LEVELS {
        let node = session.engine().node(&target, ask).await?;
        let found = match &node.node {
            unixfs::Node::Directory(dir) => dir.lookup(name),
            unixfs::Node::Shard(shard) => match shard.lookup(name, at) {
                Ok(InShard::Entry(link)) => Ok(Some(link)),
                Ok(InShard::Absent) => Ok(None),
                Ok(InShard::Shard { link, at: below }) => {
                    target = link.target;
                    at = below;
                    continue;
                }
                Err(error) => Err(error),
            },
            unixfs::Node::File(_) | unixfs::Node::Symlink(_) if at.is_root() => {
                return Err(Error::NotDirectory { path: shown(name) });
            }
            unixfs::Node::File(_) | unixfs::Node::Symlink(_) => Err(unixfs::Malformed::new(
                "it stands where a HAMT shard has to be, and is none",
            )),
        };
        let link = found
            .map_err(|error| malformed(&target, error))?
            .ok_or_else(|| absent(name, place))?;
        let path: Arc<str> = match &*origin.path {
            "" => name.into(),
            above => format!("{above}/{name}").into(),
        };
        return Ok(Place::Link {
            link,
            origin: Origin::new(origin.root, path),
            is_root: false,
        });
    }
    Err(malformed(
        &target,
        unixfs::Malformed::new("too many levels of shards"),
    ))
}

/// The first segment below `/ipfs`: a CID that was granted.
fn root(session: &Session, name: &str) -> Result<Place, Error> {
    // What is no CID is simply not there, as far as a guest is concerned.
    let cid = session.granted_root(name)?;
    let cid = cid.ok_or_else(|| absent(name, &Place::Ipfs))?;
    Ok(Place::of_root(&cid))
}

impl Place {
    pub(crate) fn of_root(cid: &Cid) -> Self {
        Self::rooted(cid, Origin::root(*cid))
    }

    fn of_name(fixed: &FixedName) -> Self {
        Self::rooted(fixed.target(), fixed.origin())
    }

    fn rooted(cid: &Cid, origin: Origin) -> Self {
        Self::Link {
            link: Link {
                target: target_of(cid),
                tsize: None,
            },
            origin,
            is_root: true,
        }
    }

    fn is_raw(&self) -> bool {
        matches!(self, Self::Link { link, .. } if link.target.codec() == Codec::Raw)
    }

    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Ipfs => Identity::of_bytes(b"/ipfs"),
            Self::Ipns => Identity::of_bytes(b"/ipns"),
            Self::Name(fixed) => fixed.identity(),
            Self::Link { link, .. } => match &link.target {
                unixfs::Target::Block(cid) => Identity::of(cid),
                unixfs::Target::Inline { bytes, .. } => Identity::of_bytes(bytes),
            },
        }
    }

    async fn node(&self, session: &Session) -> Result<Arc<Decoded>, Error> {
        let Self::Link {
            link,
            origin,
            is_root,
        } = self
        else {
            return Err(match self {
                Self::Ipns => is_directory("/ipns"),
                // A walk follows a name, or ends at it; nobody asks for its block.
                Self::Name(fixed) => Error::NotDirectory {
                    path: format!("/ipns/{}", fixed.name()),
                },
                Self::Ipfs | Self::Link { .. } => is_directory("/ipfs"),
            });
        };
        let ask = Ask { session, origin };
        let node = session.engine().node(&link.target, ask).await;
        node.map_err(|error| if *is_root { unknown_root(error) } else { error })
    }

    /// The length of what is one raw block.
    async fn raw_len(&self, session: &Session) -> Result<u64, Error> {
        let Self::Link {
            link,
            origin,
            is_root,
        } = self
        else {
            return Ok(0);
        };
        if let (Some(tsize), unixfs::Target::Block(_)) = (link.tsize, &link.target) {
            // Checked against the block at the first read.
            return Ok(tsize);
        }
        let ask = Ask { session, origin };
        let held = session.engine().obtain(&link.target, ask).await;
        let held = held.map_err(|error| if *is_root { unknown_root(error) } else { error })?;
        Ok(held.len() as u64)
    }
}

fn is_directory(path: &str) -> Error {
    Error::IsDirectory {
        path: path.to_owned(),
    }
}

/// An absence is one of the path's only where it is the root that is absent: below it, a block is missing (I7).
fn unknown_root(error: Error) -> Error {
    match error {
        Error::Fetch {
            cid,
            source: PinnerError::NotFound { .. },
        } => Error::RootNotFound { cid },
        other => other,
    }
}

impl Found {
    pub(crate) fn identity(&self) -> Identity {
        self.place.identity()
    }

    /// What is known of it, without opening it.
    pub(crate) async fn metadata(&self, session: &Session) -> Result<Metadata, Error> {
        match &self.place {
            Place::Ipfs | Place::Ipns => return Ok(Dir::NAMESPACE),
            Place::Name(fixed) => return Ok(fixed.metadata()),
            Place::Link { .. } => {}
        }
        if self.place.is_raw() {
            return Ok(Metadata {
                kind: Kind::File,
                len: self.place.raw_len(session).await?,
                mode: None,
                mtime: None,
            });
        }
        let node = &self.place.node(session).await?.node;
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

    /// Opens it: a handle of the session's.
    pub(crate) async fn open(self, session: &Session) -> Result<Node, Error> {
        let metadata = self.metadata(session).await?;
        let (link, origin) = match &self.place {
            Place::Ipfs => return Dir::namespace(session).map(Node::Dir),
            Place::Ipns => return Dir::names(session).map(Node::Dir),
            Place::Name(fixed) => {
                return Ok(Node::Symlink(Symlink {
                    target: fixed.link_target().into(),
                    mode: metadata.mode,
                    mtime: metadata.mtime,
                    identity: fixed.identity(),
                    made_by: MadeBy::Host,
                    _handle: Arc::new(session.handle()?),
                }));
            }
            Place::Link { link, origin, .. } => (link, origin),
        };
        session.target(&link.target)?;
        let handle = session.handle()?;
        if self.place.is_raw() {
            let tree = (link.target.clone(), origin.clone());
            return Ok(Node::File(File::new(handle, tree, metadata, None)));
        }
        let decoded = self.place.node(session).await?;
        let pin = session.engine().pins.opened(&link.target, &decoded);
        Ok(match &decoded.node {
            unixfs::Node::File(_) => {
                let tree = (link.target.clone(), origin.clone());
                Node::File(File::new(handle, tree, metadata, pin))
            }
            unixfs::Node::Directory(_) | unixfs::Node::Shard(_) => {
                Node::Dir(Dir::new(handle, self.place, metadata, pin))
            }
            unixfs::Node::Symlink(link) => Node::Symlink(Symlink {
                target: link.target().into(),
                mode: metadata.mode,
                mtime: metadata.mtime,
                identity: self.place.identity(),
                made_by: MadeBy::Content,
                _handle: Arc::new(handle),
            }),
        })
    }
}
