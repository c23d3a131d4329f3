//! Listings of directories. They are lazy, go shard by shard, and load no children.
//!
//! Between two polls a listing holds a few entries and positions in blocks, but no block and no decoded node (I9). A
//! node that is gone by the next poll is loaded again; content does not change, so its positions still hold.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use crate::{
    block::cid_of,
    cache::nodes::Decoded,
    error::Error,
    fetch::ask::Rank,
    grant::allowance::HandleGuard,
    metadata::Kind,
    path::{
        fixed_name::FixedName,
        place::{Linked, Place},
        root_cid::RootCid,
    },
    read::dir::Dir,
    session::Session,
    task::{Answer, Task},
    unixfs::{self, Codec, Link, Prefix, ShardEntry, ShardNode, Target},
};

/// The number of shards that a listing fetches ahead of its position.
const SHARDS_AHEAD: usize = 16;

/// The most entries that are taken out of a node at once. A node that is not kept is decoded once for as many.
const ENTRIES: usize = 32;

/// The number of bytes of names beyond which no further entry is taken at once.
const NAMES_BYTES: usize = 4096;

impl Dir {
    /// Returns a listing of the directory, from the start. It counts as an open handle of the directory's session until
    /// it is dropped.
    ///
    /// # Errors
    /// [`Error::LimitReached`] with too many open handles.
    pub fn entries(&self) -> Result<Entries, Error> {
        let start = match self.place() {
            Place::Ipfs => Position::Roots(0),
            Place::Ipns => Position::Names(0),
            Place::Name(_) => Position::Tree(Vec::new()),
            Place::Link(linked) => {
                Position::Tree(vec![Level::new(linked.link.target.clone(), Prefix::ROOT)])
            }
        };
        Ok(Entries {
            _handle: self.session().allowance().count_handle()?,
            dir: self.clone(),
            taken: VecDeque::new(),
            left_out: LeftOut::default(),
            state: State::At(start),
        })
    }
}

/// Returns the kind of an entry, as far as its link tells: if it leads to a raw block, or holds the node itself.
fn kind_by(target: &Target) -> Option<Kind> {
    let kind = match target {
        Target::Inline { codec, bytes } => unixfs::kind(*codec, bytes).ok(),
        Target::Block(_) if target.codec() == Codec::Raw => Some(unixfs::Kind::File),
        Target::Block(_) => None,
    };
    kind.map(Kind::from)
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    name: String,
    kind: Option<Kind>,
    cid: RootCid,
    size_bytes: Option<u64>,
}

impl Entry {
    /// The entry's name, which is a valid path segment: not empty, without `/`, and neither `.` nor `..`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the [`name`](Self::name), and drops the rest.
    pub fn into_name(self) -> String {
        self.name
    }

    /// The entry's kind, as far as the link tells. The entry's own block tells the rest ([`Dir::kind_of`]).
    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// The CID of the entry's target.
    pub fn cid(&self) -> &RootCid {
        &self.cid
    }

    /// The total size of the DAG below the entry, in bytes, as the directory's author claims.
    pub fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    fn new(name: &str, link: &Link) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind_by(&link.target),
            cid: RootCid::of(&link.target),
            size_bytes: link.tsize,
        }
    }

    fn of_root(root: &RootCid) -> Self {
        Self {
            name: root.to_string(),
            kind: kind_by(&root.target()),
            cid: *root,
            size_bytes: None,
        }
    }

    fn of_name(fixed: &FixedName) -> Self {
        Self {
            name: fixed.name().to_string(),
            kind: Some(Kind::Symlink),
            cid: *fixed.target(),
            size_bytes: None,
        }
    }
}

/// The number of bytes that a listing keeps at most of links that are left out.
const LEFT_OUT_BYTES: usize = 256 << 10;

/// The links of a directory that are not among its entries, since no path can name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// The number of them.
    pub count: u64,
    /// The first of them: their names as they are stored, and their targets. Empty unless they are
    /// [kept](Entries::keep_left_out).
    pub links: Vec<(Vec<u8>, RootCid)>,
    room_bytes: usize,
}

impl LeftOut {
    fn add(&mut self, node: &unixfs::Node) {
        for (name, link) in node.unusable() {
            self.count += 1;
            let bytes = size_of::<(Vec<u8>, RootCid)>() + name.len();
            if let Some(room) = self.room_bytes.checked_sub(bytes) {
                self.room_bytes = room;
                let cid = RootCid::of(&link.target);
                self.links.push((name.to_owned(), cid));
            }
        }
    }
}

/// A stream of a directory's entries. Shards are fetched as the listing reaches them, and a few ahead of it; children
/// are not fetched.
///
/// The stream ends after an error, unless the caller [passes over](Self::pass_over) it. Its memory does not grow with the
/// directory (I9), and it holds no block while it is not polled. The entries come in the order of the directory's blocks,
/// which is the same for the same CID.
pub struct Entries {
    dir: Dir,
    _handle: HandleGuard,
    /// Entries to be returned before the listing goes on.
    taken: VecDeque<Entry>,
    left_out: LeftOut,
    state: State,
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries")
            .field("dir", &self.dir)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

enum State {
    At(Position),
    /// The next entries are being taken. They come with the state after them.
    Taking(Answer<(Taken, State)>),
    /// The listing fails with this error, and stops at this position.
    Fails(Error, Position),
    /// The listing failed at this position.
    Stopped(Position),
    /// The listing ended.
    Over,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::At(_) => "At",
            Self::Taking(_) => "Taking",
            Self::Fails(..) => "Fails",
            Self::Stopped(_) => "Stopped",
            Self::Over => "Over",
        })
    }
}

/// A listing's position.
enum Position {
    /// The index of the next granted root.
    Roots(usize),
    /// The index of the next granted name.
    Names(usize),
    /// The directory's blocks from the top down to the current one.
    Tree(Vec<Level>),
}

/// A block of the directory: the whole of it, or a shard.
struct Level {
    target: Target,
    /// The node, as long as something else keeps it.
    node: Weak<Decoded>,
    at: Prefix,
    /// The index of the next entry.
    next: usize,
    /// The position from which to search for the next shard to fetch ahead.
    next_ahead: usize,
    /// Shards being fetched ahead, in order; dropped with the listing.
    ahead: VecDeque<Task>,
    /// The fetch of this shard, if it was begun ahead. It is kept, since dropping it would cancel a fetch that nobody
    /// else waits for yet.
    _fetch: Option<Task>,
}

impl Entries {
    /// Keeps the links that are left out, 256 KiB of them, for [`left_out`](Self::left_out).
    #[must_use]
    pub fn keep_left_out(mut self) -> Self {
        self.left_out.room_bytes = LEFT_OUT_BYTES;
        self
    }

    /// The links that are not entries. It is complete when the stream has ended.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// After an error: goes on behind the block that could not be read, with the rest of a sharded directory. Returns
    /// whether there may be more.
    pub fn pass_over(&mut self) -> bool {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Stopped(Position::Tree(mut levels)) => {
                levels.pop();
                match levels.is_empty() {
                    true => State::Over,
                    false => State::At(Position::Tree(levels)),
                }
            }
            other => other,
        };
        !matches!(self.state, State::Over | State::Stopped(_))
    }

    fn poll_entry(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Entry>, Error>> {
        loop {
            if let Some(entry) = self.taken.pop_front() {
                return Poll::Ready(Ok(Some(entry)));
            }
            self.state = match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(Ok(None)),
                State::Stopped(position) => {
                    self.state = State::Stopped(position);
                    return Poll::Ready(Ok(None));
                }
                State::At(position) => {
                    let dir = self.dir.clone();
                    let left_out = std::mem::take(&mut self.left_out);
                    State::Taking(Answer::of(async {
                        Ok(take(dir, position, left_out).await)
                    }))
                }
                State::Taking(mut taking) => match Pin::new(&mut taking).poll(context)? {
                    Poll::Pending => {
                        self.state = State::Taking(taking);
                        return Poll::Pending;
                    }
                    Poll::Ready((taken, state)) => {
                        self.taken = taken.entries;
                        self.left_out = taken.left_out;
                        state
                    }
                },
                State::Fails(error, position) => {
                    self.state = State::Stopped(position);
                    return Poll::Ready(Err(error));
                }
            };
        }
    }
}

impl Stream for Entries {
    type Item = Result<Entry, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.poll_entry(context)).transpose())
    }
}

/// Takes the next few entries. Returns them with the state of the listing after them.
async fn take(dir: Dir, mut position: Position, left_out: LeftOut) -> (Taken, State) {
    let mut taken = Taken {
        left_out,
        ..Taken::default()
    };
    let session = dir.session();
    let more = match &mut position {
        Position::Roots(next) => {
            if let Some(roots) = session.access().listed() {
                taken.fill_from(roots.iter().skip(*next), Entry::of_root);
            }
            *next += taken.entries.len();
            Ok(!taken.entries.is_empty())
        }
        Position::Names(next) => {
            taken.fill_from(session.names().skip(*next), Entry::of_name);
            *next += taken.entries.len();
            Ok(!taken.entries.is_empty())
        }
        Position::Tree(levels) => {
            let filled = match dir.place() {
                Place::Link(linked) => taken.fill(session, linked, levels).await,
                Place::Ipfs | Place::Ipns | Place::Name(_) => Ok(()),
            };
            filled.map(|()| !levels.is_empty())
        }
    };
    let state = match more {
        Ok(true) => State::At(position),
        Ok(false) => State::Over,
        Err(error) => State::Fails(error, position),
    };
    (taken, state)
}

/// The entries that are taken at once.
#[derive(Default)]
struct Taken {
    entries: VecDeque<Entry>,
    names_bytes: usize,
    left_out: LeftOut,
}

impl Taken {
    fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES || self.names_bytes >= NAMES_BYTES
    }

    fn push(&mut self, entry: Entry) {
        self.names_bytes += entry.name.len();
        self.entries.push_back(entry);
    }

    fn fill_from<T>(&mut self, all: impl Iterator<Item = T>, entry: impl Fn(T) -> Entry) {
        for one in all {
            if self.is_full() {
                return;
            }
            self.push(entry(one));
        }
    }

    /// Takes entries of the directory that `linked` leads to. At its end there are no levels left.
    async fn fill(
        &mut self,
        session: &Session,
        linked: &Linked,
        levels: &mut Vec<Level>,
    ) -> Result<(), Error> {
        while !self.is_full() {
            let under_way = levels.iter().flat_map(|level| &level.ahead);
            let under_way = under_way.filter(|task| !task.is_over()).count();
            let Some(level) = levels.last_mut() else {
                return Ok(());
            };
            let node = level.node(session, linked).await?;
            if let unixfs::Node::Shard(shard) = &node.node {
                level.fetch_ahead(shard, session, linked, under_way);
            }
            let stopped = level
                .take(&node.node, self)
                .map_err(|malformed| Error::Malformed {
                    cid: cid_of(&level.target),
                    reason: malformed.to_string(),
                })?;
            match stopped {
                Stopped::Full => return Ok(()),
                Stopped::AtEnd => {
                    self.left_out.add(&node.node);
                    drop(levels.pop());
                }
                Stopped::AtShard(below) => levels.push(below),
            }
            // Shards without a single usable name can follow each other for long.
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    }
}

/// Why no further entry was taken out of a node.
enum Stopped {
    /// Enough were taken.
    Full,
    /// There are no more.
    AtEnd,
    /// This shard comes next.
    AtShard(Level),
}

impl Level {
    fn new(mut target: Target, at: Prefix) -> Self {
        if let Target::Inline { bytes, .. } = &mut target {
            // A slice of the parent's block would keep the whole block in memory.
            *bytes = Bytes::copy_from_slice(bytes);
        }
        Self {
            target,
            node: Weak::new(),
            at,
            next: 0,
            next_ahead: 0,
            ahead: VecDeque::new(),
            _fetch: None,
        }
    }

    async fn node(&mut self, session: &Session, linked: &Linked) -> Result<Arc<Decoded>, Error> {
        if let Some(node) = self.node.upgrade() {
            return Ok(node);
        }
        let node = session
            .engine()
            .node(&self.target, session.ask(&linked.origin))
            .await?;
        self.node = Arc::downgrade(&node);
        Ok(node)
    }

    /// Takes the next entries of this level's node.
    fn take(
        &mut self,
        node: &unixfs::Node,
        taken: &mut Taken,
    ) -> Result<Stopped, unixfs::Malformed> {
        while !taken.is_full() {
            match node {
                unixfs::Node::Directory(directory) if self.at.is_root() => {
                    let Some((name, link)) = directory.entry(self.next)? else {
                        return Ok(Stopped::AtEnd);
                    };
                    taken.push(Entry::new(name, &link));
                    self.next += 1;
                }
                unixfs::Node::Shard(shard) => {
                    let Some((entry, next)) = shard.next_from(self.next, self.at)? else {
                        return Ok(Stopped::AtEnd);
                    };
                    self.next = next;
                    match entry {
                        ShardEntry::Entry { name, link } => taken.push(Entry::new(name, &link)),
                        ShardEntry::Shard { link, at, .. } => {
                            let mut below = Self::new(link.target, at);
                            below._fetch = self.ahead.pop_front();
                            return Ok(Stopped::AtShard(below));
                        }
                    }
                }
                _ if self.at.is_root() => return Ok(Stopped::AtEnd),
                _ => {
                    return Err(unixfs::Malformed::new(
                        "it is not a HAMT shard, but its parent links to it as one",
                    ));
                }
            }
        }
        Ok(Stopped::Full)
    }

    /// Starts to fetch the next few shards of this level, beside those of other levels that are `under_way`. A failure
    /// is ignored here; the listing meets it when it reaches the shard.
    fn fetch_ahead(
        &mut self,
        shard: &ShardNode,
        session: &Session,
        linked: &Linked,
        mut under_way: usize,
    ) {
        self.next_ahead = self.next_ahead.max(self.next);
        while self.ahead.len() < SHARDS_AHEAD && under_way < SHARDS_AHEAD {
            let Ok(Some((entry, next))) = shard.next_from(self.next_ahead, self.at) else {
                return;
            };
            self.next_ahead = next;
            let ShardEntry::Shard { link, .. } = entry else {
                continue;
            };
            // A shard that is already decoded needs no fetch.
            if session.engine().is_at_hand(&link.target) {
                self.ahead.push_back(Task::none());
                continue;
            }
            let (session, origin) = (session.clone(), linked.origin.clone());
            under_way += 1;
            self.ahead.push_back(Task::spawn(async move {
                let mut ask = session.ask(&origin);
                ask.rank = Rank::Ahead;
                _ = session.engine().obtain(&link.target, ask).await;
            }));
        }
    }
}
