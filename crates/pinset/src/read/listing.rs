//! Listings of directories: lazy, shard by shard, without a look at any child.

use std::{collections::VecDeque, sync::Arc};

use cid::Cid;
use pinner_api::Origin;

use crate::{
    block::cid_of,
    cache::nodes::Decoded,
    error::Error,
    grant::access::Access,
    path::{fixed_name::FixedName, place::Place},
    read::dir::Dir,
    session::Session,
    task::Task,
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
    /// A path segment: not empty, no `/`, neither `.` nor `..`.
    pub name: String,
    /// What the link says of its kind.
    pub kind: EntryKind,
    /// What it names.
    pub cid: Cid,
    /// The cumulative size in bytes of the DAG behind it, as the directory's author claims.
    pub size_bytes: Option<u64>,
}

impl Entry {
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
/// Memory does not grow with the directory (I9). The order is that of the directory's blocks: stable for one CID.
#[derive(Debug)]
pub struct Entries {
    dir: Dir,
    state: State,
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
    /// It ended, or failed: an error is not followed by an end (I7).
    Done(Option<Error>),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Start => "Start",
            Self::Plain { .. } => "Plain",
            Self::Sharded { .. } => "Sharded",
            Self::Granted { .. } => "Granted",
            Self::Done(_) => "Done",
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
    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// Those of fetching a shard. The next call gives the same error again, not an end.
    pub async fn next(&mut self) -> Result<Option<Entry>, Error> {
        match self.advance().await {
            Ok(entry) => {
                if entry.is_none() {
                    self.state = State::Done(None);
                }
                Ok(entry)
            }
            Err(error) => {
                self.state = State::Done(Some(error.clone()));
                Err(error)
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            match &mut self.state {
                State::Done(Some(error)) => return Err(error.clone()),
                State::Done(None) => return Ok(None),
                State::Start => self.state = start(&self.dir).await?,
                State::Granted { entries } => return Ok(entries.next()),
                State::Plain { node, next } => {
                    let unixfs::Node::Directory(dir) = &node.node else {
                        // coverage: a directory is listed by its kind.
                        return Ok(None);
                    };
                    let entry = dir.entry(*next);
                    *next += 1;
                    let entry = entry.map_err(|e| malformed(&self.dir, &e))?;
                    return Ok(entry.map(|(name, link)| Entry::new(name, &link)));
                }
                State::Sharded { levels } => {
                    let Some(level) = levels.last_mut() else {
                        return Ok(None);
                    };
                    level.fetch_ahead(&self.dir);
                    let unixfs::Node::Shard(shard) = &level.node.node else {
                        return Ok(None);
                    };
                    let found = shard.next_from(level.next, level.at);
                    match found.map_err(|e| malformed(&self.dir, &e))? {
                        None => {
                            levels.pop();
                        }
                        Some((ShardEntry::Entry { name, link }, next)) => {
                            let entry = Entry::new(name, &link);
                            level.next = next;
                            return Ok(Some(entry));
                        }
                        Some((ShardEntry::Shard { link, at, .. }, next)) => {
                            let node = shard_below(&self.dir, &link.target).await?;
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

async fn start(dir: &Dir) -> Result<State, Error> {
    let linked = match dir.place() {
        Place::Ipfs => return Ok(granted(roots(dir.session()))),
        Place::Ipns => return Ok(granted(names(dir.session()))),
        // coverage: a link is never open as a directory.
        Place::Name(_) => return Ok(granted(Vec::new())),
        Place::Link(linked) => linked,
    };
    let node = load(dir, &linked.link.target).await?;
    Ok(match &node.node {
        unixfs::Node::Shard(_) => State::Sharded {
            levels: vec![Level::new(node, Prefix::ROOT)],
        },
        _ => State::Plain { node, next: 0 },
    })
}

fn granted(entries: Vec<Entry>) -> State {
    let entries = entries.into_iter();
    State::Granted { entries }
}

fn roots(session: &Session) -> Vec<Entry> {
    let mut cids: Vec<Cid> = match session.access() {
        Access::Roots(roots) => roots.iter().copied().collect(),
        Access::Any => Vec::new(),
    };
    cids.sort_unstable();
    let entry = |cid: Cid| Entry {
        name: cid.to_string(),
        kind: EntryKind::Unknown,
        cid,
        size_bytes: None,
    };
    cids.into_iter().map(entry).collect()
}

fn names(session: &Session) -> Vec<Entry> {
    let entry = |fixed: &FixedName| Entry {
        name: fixed.name().to_string(),
        kind: EntryKind::Symlink,
        cid: *fixed.target(),
        size_bytes: None,
    };
    session.names().map(entry).collect()
}

async fn load(dir: &Dir, target: &Target) -> Result<Arc<Decoded>, Error> {
    let origin = origin(dir);
    let session = dir.session();
    session.engine().node(target, session.ask(&origin)).await
}

async fn shard_below(dir: &Dir, target: &Target) -> Result<Arc<Decoded>, Error> {
    let node = load(dir, target).await?;
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
