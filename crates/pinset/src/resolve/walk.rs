//! From a path to its target: segment by segment through verified directory blocks.
//!
//! `..` and symlinks resolve as in a native preopen: physically, and never out of the directory that the walk
//! started in. Nothing of a path ever reaches the host's file system (I4). A root is resolved only if it was granted to
//! the session (I10).
//!
//! One kind of link leads from one preopened directory into another: a name in `/ipns`, which the host made, leads to
//! the CID below `/ipfs` that was granted with the name. A symlink in the content never does.

use std::{borrow::Cow, pin::Pin, sync::Arc};

use smallvec::SmallVec;
use tokio::time::timeout;

use crate::{
    block::cid_of,
    cache::nodes::Decoded,
    error::Error,
    grant::access::RootRequest,
    metadata::Identity,
    path::{
        ipfs_path::{Segment, Symlinks, Within, segments, shown, wants_directory},
        place::{Linked, Place},
        root_cid::RootCid,
        walked::Known,
    },
    read::dir::Dir,
    session::Session,
    unixfs::{self, Found, Prefix, Target},
};

/// The most symlinks on one path, as on Linux.
pub const MAX_SYMLINKS: usize = 40;

/// A place on a walk, with the node that stands there once it has been loaded: the target of a path, or a directory on
/// the way.
pub(crate) struct Visited {
    pub(super) place: Place,
    pub(super) node: Option<Arc<Decoded>>,
}

/// Walks `path` from `base`, and returns the place that it leads to.
pub(crate) async fn walk(
    session: &Session,
    base: &Dir,
    path: &str,
    last: Symlinks,
    within: Within,
) -> Result<Visited, Error> {
    match start(session, base.place(), path, last, within)? {
        Started::AtHand(found) => Ok(found),
        Started::Waits(rest) => rest.await,
    }
}

/// A walk that went as far as it gets without waiting.
enum Started<'a> {
    AtHand(Visited),
    /// Boxed, like every wait here: nearly all walks wait for nothing, and so their futures stay small.
    Waits(Pin<Box<dyn Future<Output = Result<Visited, Error>> + Send + 'a>>),
}

fn start<'a>(
    session: &'a Session,
    base: &'a Place,
    path: &'a str,
    last: Symlinks,
    within: Within,
) -> Result<Started<'a>, Error> {
    let known = match session.has_rules() {
        true => Known::New,
        false => session.walked().look(base, path, last, within),
    };
    let keep = match known {
        Known::LedTo(place) => {
            session.engine().ensure_open()?;
            return Ok(Started::AtHand(Visited { place, node: None }));
        }
        Known::Again(way) => Some(way),
        Known::New => None,
    };
    let ended = move |found: &Visited| {
        if let Some(way) = keep {
            session.walked().keep(way, &found.place);
        }
    };
    let mut walk = Walk::new(session, base, path, last, within);
    walk.begin()?;
    Ok(match walk.turn()? {
        Turn::Arrived(found) => {
            ended(&found);
            Started::AtHand(found)
        }
        turn => Started::Waits(Box::pin(async move {
            let found = walk.wait(turn).await?;
            ended(&found);
            Ok(found)
        })),
    })
}

struct Walk<'a> {
    session: &'a Session,
    /// The path as it was given, for messages.
    path: &'a str,
    last: Symlinks,
    /// The directory that the walk cannot leave.
    base: &'a Place,
    /// The directories from below the base down to the walk's current one. Only the last one's node is kept, since a
    /// path may have thousands of them (I9).
    stack: Vec<Place>,
    /// The number of these that the walk cannot leave either.
    floor: usize,
    /// The node of the last directory in the stack, unless the walk came back to it by `..`.
    node: Option<Arc<Decoded>>,
    /// The remaining segments, the next one last.
    todo: SmallVec<[Move<'a>; 6]>,
    /// The shard that the look-up of the next segment has reached, in a sharded directory.
    shard: Option<(Target, Prefix)>,
    /// The place that the last segment leads to, before its node is loaded.
    reached: Option<Place>,
    /// The node that the last turn needed, loaded for this one.
    had: Option<Arc<Decoded>>,
    /// The root that the last turn had to ask for, granted for this one.
    granted: Option<RootCid>,
    /// Whether the path's end must be a directory.
    directory: bool,
    symlinks: usize,
}

/// One remaining step of a path.
enum Move<'a> {
    Up,
    To(Cow<'a, str>),
}

/// How far a walk got without waiting.
#[allow(
    clippy::large_enum_variant,
    reason = "it lives only for a moment, so a box would cost more than it saves"
)]
enum Turn {
    Arrived(Visited),
    /// This node has to be loaded first.
    Needs(Needed),
    /// The host's rules have to grant this root first.
    Asks(RootCid),
}

/// The result of looking up one segment in a directory.
enum LookedUp {
    Place(Place),
    /// This node has to be loaded first.
    Needs(Needed),
    /// The host's rules have to grant this root first.
    Asks(RootCid),
}

pub(super) enum Needed {
    /// The target of the link.
    Node(Arc<Linked>),
    /// A shard of the directory that the link points to.
    Shard(Arc<Linked>, Target),
}

impl Needed {
    pub(super) async fn have(self, session: &Session) -> Result<Arc<Decoded>, Error> {
        match &self {
            Self::Node(linked) => {
                let node = session
                    .engine()
                    .node(&linked.link.target, session.ask(&linked.origin));
                node.await.map_err(|error| linked.unknown_if_root(error))
            }
            Self::Shard(linked, shard) => {
                session
                    .engine()
                    .node(shard, session.ask(&linked.origin))
                    .await
            }
        }
    }
}

/// `/ipfs`, as the base of a walk that a name led there.
static IPFS: Place = Place::Ipfs;

impl<'a> Walk<'a> {
    fn new(
        session: &'a Session,
        base: &'a Place,
        path: &'a str,
        last: Symlinks,
        within: Within,
    ) -> Self {
        Self {
            session,
            path,
            last,
            base,
            stack: Vec::new(),
            floor: match within {
                Within::Base => 0,
                Within::Root => 1,
            },
            node: None,
            todo: SmallVec::new(),
            shard: None,
            reached: None,
            had: None,
            granted: None,
            directory: false,
            symlinks: 0,
        }
    }

    /// Starts the walk; called once, before the first turn. This is separate from [`new`](Self::new), so that a walk is
    /// created in the place where it stays.
    fn begin(&mut self) -> Result<(), Error> {
        let limit = self.session.limits().path_bytes;
        if self.path.len() > limit {
            let len = self.path.len();
            return Err(Error::PathTooLong { len, limit });
        }
        if self.path.is_empty() {
            return Err(absent("", self.base));
        }
        self.check(self.base)?;
        self.push(Cow::Borrowed(self.path))
    }

    /// Completes a walk after this turn.
    async fn wait(mut self, mut turn: Turn) -> Result<Visited, Error> {
        loop {
            match turn {
                Turn::Arrived(found) => return Ok(found),
                Turn::Needs(needed) => self.had = Some(needed.have(self.session).await?),
                Turn::Asks(root) => {
                    self.ask_for(root).await?;
                    self.granted = Some(root);
                }
            }
            turn = self.turn()?;
        }
    }

    /// Asks the host's rules for a root. An answer that does not come in time is a refusal.
    async fn ask_for(&self, root: RootCid) -> Result<(), Error> {
        if let Some(rules) = self.session.access().asks(&root) {
            let answer = rules.ask(RootRequest {
                root: root.canonical(),
                path: self.path.to_owned(),
                symlinks: self.symlinks,
            });
            if let Ok(true) = timeout(self.session.engine().block_deadline(), answer).await {
                return Ok(());
            }
        }
        Err(Error::NotGranted { root })
    }

    /// Refuses a place that the host's rules withhold.
    fn check(&self, place: &Place) -> Result<(), Error> {
        match place {
            Place::Link(linked) => self.session.access().check(&linked.link.target),
            _ => Ok(()),
        }
    }

    /// Puts the segments of `path` before the remaining ones.
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
                    Segment::Up => Move::Up,
                    Segment::Name(name) => Move::To(Cow::Borrowed(name)),
                });
                self.todo.extend(steps);
            }
            Cow::Owned(path) => {
                let steps = segments(&path).rev().map(|segment| match segment {
                    Segment::Up => Move::Up,
                    Segment::Name(name) => Move::To(Cow::Owned(name.to_owned())),
                });
                self.todo.extend(steps);
            }
        }
        Ok(())
    }

    /// Goes as far as possible with cached nodes. The next turn goes on from there.
    fn turn(&mut self) -> Result<Turn, Error> {
        loop {
            let mut place = match self.reached.take() {
                Some(place) => place,
                None => match self.todo.pop() {
                    None => {
                        let place = self.stack.pop().unwrap_or_else(|| self.base.clone());
                        let node = self.node.take();
                        return Ok(Turn::Arrived(Visited { place, node }));
                    }
                    Some(Move::Up) => {
                        if self.stack.len() <= self.floor {
                            return Err(self.escapes());
                        }
                        self.stack.pop();
                        self.node = None;
                        continue;
                    }
                    Some(Move::To(name)) => match self.look_up(&name)? {
                        LookedUp::Place(place) => place,
                        LookedUp::Needs(needed) => {
                            self.todo.push(Move::To(name));
                            return Ok(Turn::Needs(needed));
                        }
                        LookedUp::Asks(root) => {
                            self.todo.push(Move::To(name));
                            return Ok(Turn::Asks(root));
                        }
                    },
                },
            };
            let ends_here = self.todo.is_empty() && !self.directory;
            if let Place::Name(name) = &place
                && !(ends_here && self.last == Symlinks::NoFollow)
            {
                let target = Place::of_name(name);
                self.count_symlink()?;
                // The name resolves physically: its target's parent is `/ipfs`, which has no parent.
                self.stack.clear();
                self.node = None;
                self.base = &IPFS;
                place = target;
            }
            self.check(&place)?;
            let Place::Link(linked) = &place else {
                return Ok(Turn::Arrived(Visited { place, node: None }));
            };
            let raw = linked.is_raw();
            if ends_here && (self.last == Symlinks::NoFollow || raw) {
                return Ok(Turn::Arrived(Visited { place, node: None }));
            }
            if raw {
                return Err(Error::NotDirectory {
                    path: shown(self.path),
                });
            }
            let had = self.had.take();
            let Some(node) =
                had.or_else(|| self.session.engine().node_at_hand(&linked.link.target))
            else {
                let needed = Needed::Node(linked.clone());
                self.reached = Some(place);
                return Ok(Turn::Needs(needed));
            };
            match &node.node {
                unixfs::Node::Symlink(link) => self.follow(link.target())?,
                unixfs::Node::Directory(_) | unixfs::Node::Shard(_) => {
                    self.stack.push(place);
                    self.node = Some(node);
                }
                unixfs::Node::File(_) if ends_here => {
                    let node = Some(node);
                    return Ok(Turn::Arrived(Visited { place, node }));
                }
                unixfs::Node::File(_) => {
                    return Err(Error::NotDirectory {
                        path: shown(self.path),
                    });
                }
            }
        }
    }

    fn count_symlink(&mut self) -> Result<(), Error> {
        self.symlinks += 1;
        if self.symlinks > MAX_SYMLINKS {
            return Err(Error::TooManySymlinks {
                path: shown(self.path),
                limit: MAX_SYMLINKS,
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
        self.stack.last().unwrap_or(self.base)
    }

    /// Looks up `name` in the walk's current directory. Returns its place, or the node of the directory that has to be
    /// loaded first.
    ///
    /// A sharded directory has no more levels than the hash has bits; [`unixfs`] guarantees that.
    fn look_up(&mut self, name: &str) -> Result<LookedUp, Error> {
        let (shard, had) = (self.shard.take(), self.had.take());
        let place = self.stack.last().unwrap_or(self.base);
        let linked = match place {
            // A root that is a symlink.
            Place::Ipfs if self.symlinks > 0 && self.floor > 0 => return Err(self.escapes()),
            Place::Ipfs => return root(self.session, name, self.granted.take()),
            Place::Ipns => {
                // The granted names are fixed, so the backend is not asked.
                let fixed = self.session.fixed_name(name);
                let fixed = fixed.ok_or_else(|| absent(name, place))?;
                return Ok(LookedUp::Place(Place::Name(fixed.clone())));
            }
            Place::Name(_) => return Err(Error::NotDirectory { path: shown(name) }),
            Place::Link(linked) => linked,
        };
        let engine = self.session.engine();
        let mut below;
        let (mut target, mut at, mut node) = match shard {
            Some((shard, at)) => {
                below = shard;
                (&below, at, had)
            }
            None => (
                &linked.link.target,
                Prefix::ROOT,
                had.or_else(|| self.node.clone()),
            ),
        };
        let found = loop {
            let Some(decoded) = node.take().or_else(|| engine.node_at_hand(target)) else {
                let needed = Needed::Shard(linked.clone(), target.clone());
                self.shard = Some((target.clone(), at));
                return Ok(LookedUp::Needs(needed));
            };
            break match &decoded.node {
                unixfs::Node::Directory(dir) => dir.lookup(name),
                unixfs::Node::Shard(shard) => match shard.lookup(name, at) {
                    Ok(Found::Entry(link)) => Ok(Some(link)),
                    Ok(Found::Absent) => Ok(None),
                    Ok(Found::Shard { link, at: deeper }) => {
                        below = link.target;
                        target = &below;
                        at = deeper;
                        continue;
                    }
                    Err(error) => Err(error),
                },
                unixfs::Node::File(_) | unixfs::Node::Symlink(_) if at.is_root() => {
                    return Err(Error::NotDirectory { path: shown(name) });
                }
                unixfs::Node::File(_) | unixfs::Node::Symlink(_) => {
                    Err(unixfs::Malformed::new("it must be a HAMT shard and is not"))
                }
            };
        };
        let link = found
            .map_err(|malformed| Error::Malformed {
                cid: cid_of(target),
                reason: malformed.to_string(),
            })?
            .ok_or_else(|| absent(name, place))?;
        let place = Place::below(linked, name, link);
        Ok(LookedUp::Place(place))
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
            Place::Link(linked) => RootCid::of(&linked.link.target).to_string(),
        },
    }
}

/// Resolves the first segment below `/ipfs`: a CID that was granted, to the session or just now.
fn root(session: &Session, name: &str, just: Option<RootCid>) -> Result<LookedUp, Error> {
    let root = match session.granted_root(name) {
        Err(Error::NotGranted { root }) if just == Some(root) => Some(root),
        Err(Error::NotGranted { root }) if session.access().asks(&root).is_some() => {
            return Ok(LookedUp::Asks(root));
        }
        root => root?,
    };
    // To a guest, a name that is not a CID just does not exist.
    let root = root.ok_or_else(|| absent(name, &Place::Ipfs))?;
    Ok(LookedUp::Place(Place::of_root(&root)))
}

impl Visited {
    pub(crate) fn identity(&self) -> Identity {
        self.place.identity()
    }
}
