//! Listings of directories: lazy, shard by shard, without a look at any child.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use cid::Cid;
use futures_core::Stream;
use pinner_api::Origin;

use crate::{
    block::cid_of,
    cache::nodes::Decoded,
    error::Error,
    grant::access::Access,
    path::{fixed_name::FixedName, place::Place, root_cid::RootCid},
    read::dir::Dir,
    session::Session,
    task::{Answer, Task},
    unixfs::{self, Codec, Link, Prefix, ShardEntry, Target},
};

/// How many shards a listing fetches ahead of where it is.
const SHARDS_AHEAD: usize = 16;

impl Dir {
    /// Its listing, from the start.
    pub fn entries(&self) -> Entries {
        Entries {
            dir: self.clone(),
            state: State::Start,
            loading: None,
        }
    }
}

/// What an entry's link says of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A raw block: a file.
    File,
    /// A name in `/ipns`.
    Symlink,
    /// File, directory or symlink: its own block would have to be fetched to know.
    Unknown,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    name: String,
    kind: EntryKind,
    cid: Cid,
    size_bytes: Option<u64>,
}

impl Entry {
    /// A path segment: not empty, no `/`, neither `.` nor `..`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The [`name`](Self::name) alone.
    pub fn into_name(self) -> String {
        self.name
    }

    /// What the link says of its kind.
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// The CID of what it names, of which an identity CID has at most its first 64 bytes here.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The cumulative size in bytes of the DAG behind it, as the directory's author claims.
    pub fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    fn new(name: &str, link: &Link) -> Self {
        Self {
            name: name.to_owned(),
            kind: match link.target.codec() {
                Codec::Raw => EntryKind::File,
                Codec::DagPb | Codec::Other(_) => EntryKind::Unknown,
            },
            cid: cid_of(&link.target),
            size_bytes: link.tsize,
        }
    }
}

/// A listing under way: shards are fetched as it gets there, a few ahead; children are not.
///
/// A stream of its entries, which is over after an error. Memory does not grow with the directory (I9). The order is
/// that of the directory's blocks: stable for one CID.
#[derive(Debug)]
pub struct Entries {
    dir: Dir,
    state: State,
    /// The node that the listing has come to.
    loading: Option<Answer<Arc<Decoded>>>,
}

enum State {
    Start,
    Plain {
        node: Arc<Decoded>,
        next: usize,
    },
    Sharded {
        levels: Vec<Level>,
    },
    /// The roots or names that were granted.
    Granted {
        entries: std::vec::IntoIter<Entry>,
    },
    /// It ended, or failed.
    Over,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Start => "Start",
            Self::Plain { .. } => "Plain",
            Self::Sharded { .. } => "Sharded",
            Self::Granted { .. } => "Granted",
            Self::Over => "Over",
        })
    }
}

/// One shard on the way down.
struct Level {
    node: Arc<Decoded>,
    at: Prefix,
    next: usize,
    /// Where to look for the next shard to fetch ahead.
    next_ahead: usize,
    /// Shards being fetched ahead, in order; dropped with the listing.
    ahead: VecDeque<Task>,
}

impl Entries {
    fn poll_entry(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Entry>, Error>> {
        loop {
            match &mut self.state {
                State::Over => return Poll::Ready(Ok(None)),
                State::Start => match self.dir.place() {
                    Place::Ipfs => self.state = granted(roots(self.dir.session())),
                    Place::Ipns => self.state = granted(names(self.dir.session())),
                    // coverage: a link is never open as a directory.
                    Place::Name(_) => self.state = granted(Vec::new()),
                    Place::Link(linked) => {
                        let node = load(&mut self.loading, &self.dir, &linked.link.target);
                        let node = ready!(node.poll(context))?;
                        self.loading = None;
                        self.state = match &node.node {
                            unixfs::Node::Shard(_) => State::Sharded {
                                levels: vec![Level::new(node, Prefix::ROOT)],
                            },
                            _ => State::Plain { node, next: 0 },
                        };
                    }
                },
                State::Granted { entries } => return Poll::Ready(Ok(entries.next())),
                State::Plain { node, next } => {
                    let unixfs::Node::Directory(dir) = &node.node else {
                        // coverage: a directory is listed by its kind.
                        return Poll::Ready(Ok(None));
                    };
                    let entry = dir.entry(*next);
                    *next += 1;
                    let entry = entry.map_err(|e| malformed(&self.dir, &e))?;
                    return Poll::Ready(Ok(entry.map(|(name, link)| Entry::new(name, &link))));
                }
                State::Sharded { levels } => {
                    let Some(level) = levels.last_mut() else {
                        return Poll::Ready(Ok(None));
                    };
                    level.fetch_ahead(&self.dir);
                    let unixfs::Node::Shard(shard) = &level.node.node else {
                        return Poll::Ready(Ok(None));
                    };
                    let found = shard.next_from(level.next, level.at);
                    match found.map_err(|e| malformed(&self.dir, &e))? {
                        None => {
                            levels.pop();
                        }
                        Some((ShardEntry::Entry { name, link }, next)) => {
                            let entry = Entry::new(name, &link);
                            level.next = next;
                            return Poll::Ready(Ok(Some(entry)));
                        }
                        Some((ShardEntry::Shard { link, at, .. }, next)) => {
                            let node = load(&mut self.loading, &self.dir, &link.target);
                            let node = ready!(node.poll(context))?;
                            self.loading = None;
                            let node = as_shard(node, &link.target)?;
                            level.next = next;
                            level.ahead.pop_front();
                            levels.push(Level::new(node, at));
                        }
                    }
                }
            }
        }
    }
}

impl Stream for Entries {
    type Item = Result<Entry, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let entry = ready!(self.poll_entry(context));
        if !matches!(entry, Ok(Some(_))) {
            self.state = State::Over;
            self.loading = None;
        }
        Poll::Ready(entry.transpose())
    }
}

fn granted(entries: Vec<Entry>) -> State {
    let entries = entries.into_iter();
    State::Granted { entries }
}

fn roots(session: &Session) -> Vec<Entry> {
    let mut roots: Vec<RootCid> = match session.access() {
        Access::Roots(roots) => roots.iter().copied().collect(),
        Access::Any => Vec::new(),
    };
    roots.sort_unstable();
    let entry = |root: RootCid| Entry {
        name: root.to_string(),
        kind: EntryKind::Unknown,
        cid: cid_of(&root.target()),
        size_bytes: None,
    };
    roots.into_iter().map(entry).collect()
}

fn names(session: &Session) -> Vec<Entry> {
    let entry = |fixed: &FixedName| Entry {
        name: fixed.name().to_string(),
        kind: EntryKind::Symlink,
        cid: cid_of(&fixed.target().target()),
        size_bytes: None,
    };
    session.names().map(entry).collect()
}

/// The way to the node that `target` names, begun if it was not.
fn load<'l>(
    loading: &'l mut Option<Answer<Arc<Decoded>>>,
    dir: &Dir,
    target: &Target,
) -> Pin<&'l mut Answer<Arc<Decoded>>> {
    let begin = || {
        let (session, origin, target) = (dir.session().clone(), origin(dir), target.clone());
        Answer::of(async move { session.engine().node(&target, session.ask(&origin)).await })
    };
    Pin::new(loading.get_or_insert_with(begin))
}

fn as_shard(node: Arc<Decoded>, target: &Target) -> Result<Arc<Decoded>, Error> {
    match &node.node {
        unixfs::Node::Shard(_) => Ok(node),
        _ => Err(Error::Malformed {
            cid: cid_of(target),
            reason: "it stands where a HAMT shard has to be, and is none".to_owned(),
        }),
    }
}

fn origin(dir: &Dir) -> Origin {
    match dir.place() {
        // coverage: nothing is fetched for them.
        Place::Ipfs | Place::Ipns | Place::Name(_) => Origin::root(Cid::default()),
        Place::Link(linked) => linked.origin.clone(),
    }
}

fn malformed(dir: &Dir, error: &unixfs::Malformed) -> Error {
    // coverage: whoever decodes a directory looks at all of its links.
    Error::Malformed {
        cid: dir.cid().copied().unwrap_or_default(),
        reason: error.to_string(),
    }
}

impl Level {
    fn new(node: Arc<Decoded>, at: Prefix) -> Self {
        Self {
            node,
            at,
            next: 0,
            next_ahead: 0,
            ahead: VecDeque::new(),
        }
    }

    /// Keeps the next few shards of this level on their way. A failure is not seen here: the listing meets it
    /// when it gets there.
    fn fetch_ahead(&mut self, dir: &Dir) {
        let unixfs::Node::Shard(shard) = &self.node.node else {
            // coverage: a level is one of shards.
            return;
        };
        while self.ahead.len() < SHARDS_AHEAD {
            let Ok(Some((entry, next))) = shard.next_from(self.next_ahead, self.at) else {
                return;
            };
            self.next_ahead = next;
            if let ShardEntry::Shard { link, .. } = entry {
                let (session, origin) = (dir.session().clone(), origin(dir));
                // One that is decoded already costs nothing.
                if session.engine().is_at_hand(&link.target) {
                    self.ahead.push_back(Task::none());
                    continue;
                }
                self.ahead.push_back(Task::spawn(async move {
                    let ask = session.ask(&origin);
                    _ = session.engine().obtain(&link.target, ask).await;
                }));
            }
        }
    }
}
