//! A host's rules, from the side of a session, on a clock that stands still while there is anything to do.

use std::{os::unix::fs::symlink, path::Path, sync::atomic::AtomicUsize, sync::atomic::Ordering};

use pinner_car::Profile;
use pinner_mock::MockNode;
use pinset::{
    CacheMode, Dir, Error, IpfsPath, Kind, Limits, Node, PinsetBuilder, Session, Symlinks,
};
use test_support::content::add;

use super::*;
use crate::{ipfs::IpfsDir, listing::Listing};

const HOUR: Duration = Duration::from_secs(3600);

struct Host {
    node: MockNode,
    cache: CacheMode,
    temporary: tempfile::TempDir,
}

impl Host {
    async fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let node = MockNode::new();
        let cache = PinsetBuilder::new(Arc::new(node.clone()), 64 << 20)
            .lock_dir(temporary.path().join("lock"))
            .block_deadline(Duration::from_secs(30))
            .shared()
            .await
            .unwrap();
        Self {
            node,
            cache,
            temporary,
        }
    }

    /// Adds a directory with a file `name`, and whatever `more` writes.
    fn add(&self, name: &str, more: impl FnOnce(&Path)) -> Cid {
        let source = self.temporary.path().join(name);
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join(name), name).unwrap();
        more(&source);
        add(&self.node, &source, Profile::UnixfsV0_2015)
    }

    fn session(&self, rules: AccessRules) -> Session {
        self.cache.session(rules.into(), Limits::default())
    }
}

async fn open(session: &Session, path: &str) -> Result<Node, Error> {
    let root = session.root()?;
    session.open_at(&root, path, Symlinks::Follow).await
}

fn is_refused<T: fmt::Debug>(result: Result<T, Error>) -> bool {
    match result {
        Err(Error::NotGranted { .. }) => true,
        other => panic!("it is not refused: {other:?}"),
    }
}

/// Grants with this answer. Keeps the requests.
fn keeping(grant: Grant) -> (AccessRules, Arc<Mutex<Vec<RootRequest>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = requests.clone();
    let rules = AccessRules::asking(move |request| {
        lock(&kept).push(request);
        async move { Ok(grant) }
    });
    (rules, requests)
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_asked_before_any_look_up() {
    let host = Host::new().await;
    let root = host.add("a", |_| {});
    let (rules, requests) = keeping(Grant::Refused);
    let session = host.session(rules);
    assert!(is_refused(open(&session, &format!("{root}/a")).await));
    assert_eq!(host.node.distinct_blocks_asked(), 0);
    // A name that is not a CID is not asked for.
    let error = open(&session, "a").await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let request = lock(&requests).pop().unwrap();
    assert!(lock(&requests).is_empty());
    // It is given as CIDv1, though the guest gave it as CIDv0.
    assert_eq!(request.root, Cid::new_v1(0x70, *root.hash()));
    assert_eq!((request.path, request.symlinks), (format!("{root}/a"), 0));
}

#[tokio::test(start_paused = true)]
async fn an_error_a_panic_and_silence_refuse() {
    let host = Host::new().await;
    let path = host.add("a", |_| {}).to_string();
    let failing = AccessRules::asking(|_| async { Err("no answer".into()) });
    let panicking = AccessRules::asking(|_| async { panic!("the callback has this call panic") });
    let at_once = AccessRules::asking(|_| -> std::future::Ready<Answer> {
        panic!("the callback has this call panic")
    });
    let silent = AccessRules::asking(|_| std::future::pending());
    for rules in [failing, panicking, at_once] {
        assert!(is_refused(open(&host.session(rules), &path).await));
    }
    let begun = Instant::now();
    assert!(is_refused(open(&host.session(silent), &path).await));
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(host.node.distinct_blocks_asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_grant_lasts_as_long_as_the_answer_says() {
    let host = Host::new().await;
    let path = format!("{}/a", host.add("a", |_| {}));
    for (grant, asked) in [(Grant::Once, 5), (Grant::For(HOUR), 1)] {
        let (rules, requests) = keeping(grant);
        let session = host.session(rules);
        for _ in 0..5 {
            open(&session, &path).await.unwrap();
        }
        assert_eq!(lock(&requests).len(), asked, "{grant:?}");
        let Node::Dir(dir) = open(&session, &path.replace("/a", "")).await.unwrap() else {
            panic!("no directory");
        };
        tokio::time::sleep(HOUR).await;
        let before = lock(&requests).len();
        open(&session, &path).await.unwrap();
        assert_eq!(lock(&requests).len(), before + 1, "{grant:?}");
        // An open directory stays.
        session.open_at(&dir, "a", Symlinks::Follow).await.unwrap();
        assert_eq!(lock(&requests).len(), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_grants_that_are_remembered_are_bounded() {
    let mut granted = HashMap::new();
    for n in 0..3 * MOST_GRANTS as u64 {
        let hash = Multihash::wrap(0x12, &[n.to_le_bytes(); 4].concat()).unwrap();
        let root = RootCid::from(Cid::new_v1(0x55, hash));
        remember(&mut granted, root, HOUR);
        assert!(granted.contains_key(&root) && granted.len() <= MOST_GRANTS);
    }
    // One that never ends is asked for again.
    let root = RootCid::from(Cid::default());
    remember(&mut granted, root, Duration::MAX);
    assert!(!granted.contains_key(&root));
}

#[tokio::test(start_paused = true)]
async fn an_identity_cid_is_granted_only_by_a_list() {
    let host = Host::new().await;
    let hash = Multihash::wrap(0, b"text").unwrap();
    let inline = Cid::new_v1(0x55, hash);
    let (rules, requests) = keeping(Grant::Once);
    let listed = keeping(Grant::Once).0.roots([inline]);
    assert!(is_refused(
        open(&host.session(rules), &inline.to_string()).await
    ));
    assert!(lock(&requests).is_empty());
    open(&host.session(listed), &inline.to_string())
        .await
        .unwrap();
}

async fn listed(session: &Session, dir: Dir) -> Vec<(String, Option<Kind>)> {
    let dir = IpfsDir::new(dir, session, &Arc::default());
    let mut listing = Listing::new(&dir, 0).unwrap();
    let mut all = Vec::new();
    while let Some(entry) = listing.next().await.unwrap() {
        all.push((entry.name().to_owned(), entry.kind()));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn beside_a_callback_nothing_is_listed() {
    let host = Host::new().await;
    let root = host.add("a", |_| {});
    let (rules, _) = keeping(Grant::Once);
    let asked = host.session(rules.roots([root]));
    assert!(listed(&asked, asked.root().unwrap()).await.is_empty());
    let granted = host.session(AccessRules::of(&Access::roots([root])));
    assert_eq!(listed(&granted, granted.root().unwrap()).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_symlink_to_another_root_is_asked_for() {
    let host = Host::new().await;
    let one = host.add("one", |_| {});
    let other = host.add("other", |root| {
        symlink(format!("../{one}/one"), root.join("link")).unwrap();
    });
    let (rules, requests) = keeping(Grant::Once);
    let session = host.session(rules);
    let path = format!("{other}/link");
    open(&session, &path).await.unwrap();
    let asked: Vec<_> = lock(&requests)
        .iter()
        .map(|request| (request.root, request.path.clone(), request.symlinks))
        .collect();
    let canonical = |cid: Cid| RootCid::from(Cid::new_v1(0x70, *cid.hash()));
    let expected = [
        (canonical(other), path.clone(), 0),
        (canonical(one), path, 1),
    ];
    assert_eq!(asked, expected);
}

/// Each callback waits for the other, and a walk that needs no answer goes on beside them.
#[tokio::test(start_paused = true)]
async fn callbacks_run_side_by_side() {
    let host = Host::new().await;
    let (one, other) = (host.add("one", |_| {}), host.add("other", |_| {}));
    let free = host.add("free", |_| {});
    let (arrived, both) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(tokio::sync::Notify::new()),
    );
    let rules = AccessRules::asking(move |_| {
        let (arrived, both) = (arrived.clone(), both.clone());
        async move {
            if arrived.fetch_add(1, Ordering::SeqCst) == 1 {
                both.notify_waiters();
            } else {
                both.notified().await;
            }
            Ok(Grant::Once)
        }
    });
    let session = host.session(rules.roots([free]));
    let waiting = {
        let (session, path) = (session.clone(), one.to_string());
        tokio::spawn(async move { open(&session, &path).await })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    open(&session, &free.to_string()).await.unwrap();
    assert!(!waiting.is_finished());
    open(&session, &other.to_string()).await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_withheld_does_not_exist_below_granted_roots() {
    let host = Host::new().await;
    let root = host.add("a", |root| {
        std::fs::create_dir(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/bad"), "bad").unwrap();
        std::fs::write(root.join("sub/good"), "good").unwrap();
        symlink("sub/bad", root.join("link")).unwrap();
    });
    let free = host.session(AccessRules::of(&Access::Any));
    let Node::File(bad) = open(&free, &format!("{root}/sub/bad")).await.unwrap() else {
        panic!("no file");
    };
    let Node::Dir(sub) = open(&free, &format!("{root}/sub")).await.unwrap() else {
        panic!("no directory");
    };
    let bad = bad.cid().cid().unwrap();
    let sub = sub.cid().unwrap().cid().unwrap();
    let asking = || AccessRules::asking(|_| async { Ok(Grant::Once) });
    let granted = || AccessRules::of(&Access::roots([root, bad]));
    let any = || AccessRules::of(&Access::Any);
    for rules in [asking(), granted(), any()] {
        // The same block by another codec is withheld too.
        let session = host.session(rules.without([Cid::new_v1(0x55, *bad.hash())]));
        for path in ["sub/bad", "link", "sub/../sub/bad"] {
            for _ in 0..3 {
                assert!(is_refused(open(&session, &format!("{root}/{path}")).await));
            }
        }
        assert!(is_refused(open(&session, &bad.to_string()).await));
        let good = open(&session, &format!("{root}/sub/good")).await;
        assert_eq!(good.unwrap().kind(), Kind::File);
        let Node::Dir(dir) = open(&session, &format!("{root}/sub")).await.unwrap() else {
            panic!("no directory");
        };
        // A listing shows its name, and looks no further.
        let all = [("bad".into(), None), ("good".into(), Some(Kind::File))];
        assert_eq!(listed(&session, dir.clone()).await, all);
        assert!(is_refused(
            session.open_at(&dir, "bad", Symlinks::Follow).await
        ));
    }
    // Below a withheld directory there is nothing, for a mount of it either.
    let session = host.session(granted().without([sub]));
    assert!(is_refused(
        open(&session, &format!("{root}/sub/good")).await
    ));
    let ctx = crate::IpfsCtx::builder(host.cache.clone(), granted().without([root]).into());
    let refused = ctx.mount("/data", IpfsPath::root(root)).build().await;
    assert!(matches!(refused, Err(crate::Error::Mount { .. })));
}
