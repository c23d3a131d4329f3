//! Listings with types over a mock node, on a clock that stands still while there is anything to do.

use std::{collections::HashSet, future::poll_fn, os::unix::fs::symlink, path::Path};

use cid::Cid;
use pinner_car::Profile;
use pinner_mock::{Call, Fault, MockNode, When};
use pinset::{Access, IpfsPath, Limits, Node, PinsetBuilder};
use test_support::content::add;

use super::*;
use crate::{IpfsCtx, IpfsCtxBuilder};

const LATENCY: Duration = Duration::from_millis(42);

/// All entries of these trees are dag-pb nodes.
const DAG_PB: Profile = Profile::UnixfsV0_2015;

/// A guest with the directory that it lists.
struct Guest {
    node: MockNode,
    ctx: IpfsCtx,
    dir: Dir,
    _temporary: tempfile::TempDir,
}

/// Writes `files` files with names of `name_bytes` bytes, and directories and symlinks beside them.
fn write(root: &Path, files: usize, name_bytes: usize) {
    for n in 0..files {
        std::fs::write(root.join(format!("{n:0name_bytes$}")), format!("file {n}")).unwrap();
    }
}

impl Guest {
    async fn new(profile: Profile, tree: impl FnOnce(&Path)) -> Self {
        Self::with(profile, tree, |builder| builder).await
    }

    /// Imports a tree, and mounts it for a guest. Then the node takes [`LATENCY`] for each block.
    async fn with(
        profile: Profile,
        tree: impl FnOnce(&Path),
        set: impl FnOnce(IpfsCtxBuilder) -> IpfsCtxBuilder,
    ) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let source = temporary.path().join("source");
        std::fs::create_dir(&source).unwrap();
        tree(&source);
        let node = MockNode::new();
        let root = add(&node, &source, profile);
        let cache = PinsetBuilder::new(Arc::new(node.clone()), 64 << 20)
            .lock_dir(temporary.path().join("lock"))
            .shared()
            .await
            .unwrap();
        let builder = IpfsCtx::builder(cache, Access::roots([root]));
        let builder = set(builder).mount("/data", IpfsPath::root(root));
        let ctx = builder.build().await.unwrap();
        let Node::Dir(dir) = ctx.session().open(&IpfsPath::root(root)).await.unwrap() else {
            panic!("no directory");
        };
        node.clear_log();
        node.script(When::any_block(), Fault::Delay(LATENCY));
        Self {
            node,
            ctx,
            dir,
            _temporary: temporary,
        }
    }

    fn list(&self) -> Listing {
        Listing::new(&self.dir, self.ctx.types(), 0).unwrap()
    }

    /// Lists the directory. Returns the names with the types, sorted.
    async fn all(&self) -> Vec<(String, Option<Kind>)> {
        rest(&mut self.list()).await
    }

    /// The CIDs of the first `n` entries.
    async fn cids(&self, n: usize) -> Vec<Cid> {
        let mut entries = self.dir.entries().unwrap();
        let mut cids = Vec::new();
        while cids.len() < n {
            let next = poll_fn(|context| Pin::new(&mut entries).poll_next(context)).await;
            cids.push(next.unwrap().unwrap().cid().cid().unwrap());
        }
        cids
    }

    fn asked(&self) -> Vec<Cid> {
        let log = self.node.log().into_iter();
        log.filter_map(|call| match call {
            Call::Block { cid, .. } => Some(cid),
            _ => None,
        })
        .collect()
    }
}

impl Listing {
    async fn next(&mut self) -> Result<Option<Listed>, Error> {
        poll_fn(|context| self.poll_listed(context)).await
    }
}

async fn rest(listing: &mut Listing) -> Vec<(String, Option<Kind>)> {
    let mut all = Vec::new();
    while let Some(listed) = listing.next().await.unwrap() {
        all.push((listed.entry.into_name(), listed.kind));
    }
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    all
}

fn with_limits(set: impl FnOnce(&mut Limits)) -> impl FnOnce(IpfsCtxBuilder) -> IpfsCtxBuilder {
    let mut limits = Limits::default();
    set(&mut limits);
    |builder| builder.limits(limits)
}

#[tokio::test(start_paused = true)]
async fn a_link_to_a_raw_block_is_a_file_without_a_fetch() {
    let guest = Guest::new(Profile::default(), |root| write(root, 100, 3)).await;
    let all = guest.all().await;
    assert_eq!(all.len(), 100);
    assert!(all.iter().all(|(_, kind)| *kind == Some(Kind::File)));
    assert_eq!((guest.asked(), guest.ctx.unknown_types()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn every_entry_has_its_type() {
    let guest = Guest::new(DAG_PB, |root| {
        std::fs::write(root.join("empty"), "").unwrap();
        // Two levels of blocks: the root block of the file is long, and has no content.
        std::fs::write(root.join("large"), vec![7; 1 << 20]).unwrap();
        std::fs::write(root.join("leaf"), vec![7; 200 << 10]).unwrap();
        std::fs::create_dir(root.join("none")).unwrap();
        std::fs::create_dir(root.join("sharded")).unwrap();
        write(&root.join("sharded"), 3000, 100);
        symlink("empty", root.join("link")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
    });
    let guest = guest.await;
    let expected = [
        ("dangling", Kind::Symlink),
        ("empty", Kind::File),
        ("large", Kind::File),
        ("leaf", Kind::File),
        ("link", Kind::Symlink),
        ("none", Kind::Dir),
        ("sharded", Kind::Dir),
    ];
    let expected = expected.map(|(name, kind)| (name.to_owned(), Some(kind)));
    assert_eq!(guest.all().await, expected);
    // One block for each entry, and none of them again.
    assert_eq!(guest.asked().len(), expected.len());
    assert_eq!(guest.all().await, expected);
    assert_eq!(guest.asked().len(), expected.len());
    assert_eq!(guest.ctx.unknown_types(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_entries_of_a_sharded_directory_have_their_types() {
    let guest = Guest::new(DAG_PB, |root| {
        write(root, 3000, 100);
        std::fs::create_dir(root.join("sub")).unwrap();
        symlink("sub", root.join("to-sub")).unwrap();
    });
    let guest = guest.await;
    let begun = Instant::now();
    let all = guest.all().await;
    assert_eq!(all.len(), 3002);
    for (name, kind) in &all {
        let expected = match &**name {
            "sub" => Kind::Dir,
            "to-sub" => Kind::Symlink,
            _ => Kind::File,
        };
        assert_eq!(*kind, Some(expected), "{name}");
    }
    // Three quarters of the session's 32 fetches are for read-ahead, of entries and shards.
    let took = begun.elapsed();
    let ideal = LATENCY * 3002 / 24;
    assert!(took < ideal * 2, "{took:?} for {ideal:?}");
}

#[tokio::test(start_paused = true)]
async fn no_block_is_fetched_beyond_32_entries() {
    let tree = |root: &Path| write(root, 200, 3);
    let guest = Guest::with(DAG_PB, tree, with_limits(|it| it.fetches_in_flight = 500)).await;
    let first: HashSet<Cid> = guest.cids(AHEAD + 1).await.into_iter().collect();
    assert_eq!(first.len(), AHEAD + 1);
    let mut listing = guest.list();
    for n in 0..2 {
        assert!(listing.next().await.unwrap().unwrap().kind.is_some());
        tokio::time::sleep(10 * LATENCY).await;
        // Nothing was fetched for entries that the guest has not come near.
        assert_eq!(guest.asked().len(), AHEAD + n);
        assert!(guest.asked().iter().all(|cid| first.contains(cid)));
    }
    assert_eq!(rest(&mut listing).await.len(), 198);
    assert_eq!(guest.node.stats().in_flight_max, AHEAD as u64);
    assert_eq!(guest.asked().len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_missing_block_has_an_unknown_type_and_delays_nobody_for_long() {
    let guest = Guest::new(DAG_PB, |root| write(root, 1000, 3)).await;
    let cids = guest.cids(4).await;
    guest.node.script(When::block(&cids[1]), Fault::Missing);
    guest.node.script(When::block(&cids[2]), Fault::WrongBytes);
    let begun = Instant::now();
    let all = guest.all().await;
    let unknown: Vec<_> = all.iter().filter(|(_, kind)| kind.is_none()).collect();
    assert_eq!((all.len(), unknown.len()), (1000, 2), "{unknown:?}");
    assert!(begun.elapsed() < LATENCY * (1000 / 24 + 5));

    let guest = Guest::new(DAG_PB, |root| write(root, 1000, 3)).await;
    guest.node.script(When::block(&cids[3]), Fault::Hang);
    let begun = Instant::now();
    let unknown = guest.all().await.into_iter();
    let unknown: Vec<_> = unknown.filter(|(_, kind)| kind.is_none()).collect();
    assert_eq!((unknown.len(), guest.ctx.unknown_types()), (1, 1));
    assert!(begun.elapsed() < DEADLINE + LATENCY * (1000 / 24 + 5));
}

#[tokio::test(start_paused = true)]
async fn a_listing_waits_in_vain_for_a_few_seconds_only() {
    let guest = Guest::new(DAG_PB, |root| write(root, 1000, 3)).await;
    guest.node.script(When::any_block(), Fault::Hang);
    let begun = Instant::now();
    let all = guest.all().await;
    assert!(all.len() == 1000 && all.iter().all(|(_, kind)| kind.is_none()));
    assert_eq!(guest.ctx.unknown_types(), 1000);
    let took = begun.elapsed();
    assert!(took >= PATIENCE, "{took:?}");
    assert!(
        took < PATIENCE + DEADLINE + SHORT_DEADLINE * (1000 / 8),
        "{took:?}"
    );
    // The fetches that were given up are over.
    tokio::time::sleep(LATENCY).await;
    assert_eq!(guest.node.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn lazy_types_fetch_nothing() {
    let tree = |root: &Path| {
        write(root, 50, 3);
        std::fs::create_dir(root.join("sub")).unwrap();
    };
    let guest = Guest::with(DAG_PB, tree, IpfsCtxBuilder::lazy_types).await;
    let all = guest.all().await;
    assert!(all.len() == 51 && all.iter().all(|(_, kind)| kind.is_none()));
    assert_eq!((guest.asked(), guest.ctx.unknown_types()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn types_end_at_the_limits_of_the_session_and_the_listing_goes_on() {
    let tree = |root: &Path| write(root, 200, 3);
    // The mount's own block is fetched by the host.
    let guest = Guest::with(DAG_PB, tree, with_limits(|it| it.fetched_bytes = 1000)).await;
    let all = guest.all().await;
    let unknown = all.iter().filter(|(_, kind)| kind.is_none()).count();
    assert_eq!(all.len(), 200);
    assert!((50..200).contains(&unknown), "{unknown}");
    assert_eq!(guest.ctx.unknown_types(), unknown as u64);
    let fetched = guest.ctx.session().stats().fetched_blocks;
    assert_eq!(fetched, 200 - unknown as u64);

    let guest = Guest::with(DAG_PB, tree, with_limits(|it| it.fetches_in_flight = 2)).await;
    let all = guest.all().await;
    assert!(all.len() == 200 && all.iter().all(|(_, kind)| kind.is_some()));
    assert_eq!(guest.node.stats().in_flight_max, 2);
}

#[tokio::test(start_paused = true)]
async fn a_type_is_no_use_of_a_block_and_pins_nothing() {
    let mut seen = Vec::new();
    for lazy in [true, false] {
        let tree = |root: &Path| write(root, 100, 3);
        let set = |builder: IpfsCtxBuilder| match lazy {
            true => builder.lazy_types(),
            false => builder,
        };
        let guest = Guest::with(DAG_PB, tree, set).await;
        for _ in 0..3 {
            guest.all().await;
        }
        let stats = guest.ctx.cache().stats();
        let handles = guest.ctx.session().stats().open_handles;
        seen.push((stats.hits, stats.p_bytes, stats.pins_held, handles));
        assert_eq!(stats.blocks_staged, if lazy { 1 } else { 101 });
    }
    assert_eq!(seen[0], seen[1]);
}

/// A session whose reads never end has its fetches queued all the time, so read-ahead never finds room.
#[tokio::test(start_paused = true)]
async fn a_listing_beside_waiting_demand_still_gets_its_types() {
    let temporary = tempfile::tempdir().unwrap();
    let source = temporary.path().join("source");
    std::fs::create_dir(&source).unwrap();
    write(&source, 20, 3);
    let node = MockNode::builder().concurrency(8).build();
    let root = add(&node, &source, DAG_PB);
    let stuck: Vec<Cid> = (0..32_u8).map(|n| node.put(0x70, vec![n; 100])).collect();
    for cid in &stuck {
        node.script(When::block(cid), Fault::Hang);
    }
    let cache = PinsetBuilder::new(Arc::new(node.clone()), 64 << 20)
        .lock_dir(temporary.path().join("lock"))
        .shared()
        .await
        .unwrap();
    let other = cache.session(Access::Any, Limits::default());
    let waiting = stuck.iter().map(|cid| {
        let (other, path) = (other.clone(), IpfsPath::root(*cid));
        tokio::spawn(async move { other.open(&path).await.map(drop) })
    });
    let waiting: Vec<_> = waiting.collect();
    let ctx = IpfsCtx::builder(cache, Access::roots([root]));
    let ctx = ctx.build().await.unwrap();
    let Node::Dir(dir) = ctx.session().open(&IpfsPath::root(root)).await.unwrap() else {
        panic!("no directory");
    };
    let all = rest(&mut Listing::new(&dir, ctx.types(), 0).unwrap()).await;
    assert!(waiting.iter().all(|read| !read.is_finished()));
    assert!(all.len() == 20 && all.iter().all(|(_, kind)| kind.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_loses_no_entry() {
    let guest = Guest::new(DAG_PB, |root| write(root, 60, 3)).await;
    let mut listing = guest.list();
    let mut names = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_millis(5), listing.next());
        match next.await {
            Err(_) => continue,
            Ok(listed) => match listed.unwrap() {
                Some(listed) => names.push(listed.entry.into_name()),
                None => break,
            },
        }
    }
    let expected: Vec<_> = (0..60).map(|n| format!("{n:03}")).collect();
    names.sort_unstable();
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_directory_comes_behind_its_entries_and_again() {
    let guest = Guest::new(DAG_PB, |root| write(root, 3000, 100)).await;
    let gone = When::any_block().from_nth(100);
    guest.node.script(gone, Fault::Missing);
    let mut listing = guest.list();
    let mut listed = 0;
    let error = loop {
        match listing.next().await {
            Ok(Some(_)) => listed += 1,
            Ok(None) => panic!("it ended after {listed}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Fetch { .. }), "{error}");
    assert!((1..3000).contains(&listed), "{listed}");
    assert!(listing.next().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_roots_in_ipfs_have_their_types() {
    let guest = Guest::new(DAG_PB, |root| write(root, 3, 3)).await;
    let root = guest.ctx.session().root().unwrap();
    let mut listing = Listing::new(&root, guest.ctx.types(), 0).unwrap();
    let kinds: Vec<_> = rest(&mut listing).await;
    assert_eq!(kinds.len(), 1);
    assert_eq!(kinds[0].1, Some(Kind::Dir));
}
