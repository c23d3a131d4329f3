//! Walks by look-up, beside those of IPFS, and a host's tree within a guest's limits.

use std::{future::poll_fn, os::unix::fs::symlink, path::Path};

use pinner_car::Profile;
use pinner_mock::MockNode;
use pinset::{Access, IpfsPath, Limits, PinsetBuilder};
use test_support::content::add;

use super::*;
use crate::{
    IpfsCtx,
    errno::{Code, code},
    listing::Listing,
};

/// A context over content, with the CID of its root.
async fn content(tree: impl FnOnce(&Path), limits: Limits) -> (IpfsCtx, tempfile::TempDir) {
    let temporary = tempfile::tempdir().unwrap();
    let source = temporary.path().join("source");
    std::fs::create_dir(&source).unwrap();
    tree(&source);
    let node = MockNode::new();
    let root = add(&node, &source, Profile::default());
    let cache = PinsetBuilder::new(Arc::new(node), 64 << 20)
        .lock_dir(temporary.path().join("lock"))
        .shared()
        .await
        .unwrap();
    let ctx = IpfsCtx::builder(cache, Access::roots([root])).limits(limits);
    let ctx = ctx.mount("/content", IpfsPath::root(root));
    let ctx = ctx.mount_tree("/own", Arc::new(Own)).build().await.unwrap();
    (ctx, temporary)
}

/// Returns what the guest finds open under a name.
fn preopened(ctx: &IpfsCtx, name: &str) -> Arc<dyn DirNode> {
    let mut all = ctx.preopens().unwrap().into_iter();
    all.find(|(guest, _)| guest == name).unwrap().1
}

/// A directory that has the methods alone that must be there.
struct ByName(Arc<dyn DirNode>);

#[async_trait]
impl DirNode for ByName {
    fn metadata(&self) -> Metadata {
        self.0.metadata()
    }

    fn identity(&self) -> Identity {
        self.0.identity()
    }

    async fn look_up(&self, name: &str) -> Result<Node, Error> {
        assert!(!name.is_empty() && !name.contains('/') && !matches!(name, "." | ".."));
        Ok(match self.0.look_up(name).await? {
            Node::Dir(dir) => Node::Dir(Arc::new(Self(dir))),
            other => other,
        })
    }

    fn list(&self, skipped: u64) -> Result<Entries, Error> {
        self.0.list(skipped)
    }
}

/// The three answers about a path, or the code of the error.
async fn found(
    dir: &dyn DirNode,
    path: &str,
    last: Symlinks,
) -> Result<(Metadata, Identity), Code> {
    let opened = dir.open_at(path, last).await.map_err(|error| code(&error));
    let opened = opened.map(|found| match found {
        Some(node) => (node.metadata(), node.identity()),
        None => (dir.metadata(), dir.identity()),
    });
    let metadata = dir.metadata_at(path, last).await;
    let metadata = metadata.map_err(|error| code(&error));
    assert_eq!(metadata, opened.map(|(metadata, _)| metadata), "{path}");
    let identity = dir.identity_at(path, last).await;
    let identity = identity.map_err(|error| code(&error));
    assert_eq!(identity, opened.map(|(_, identity)| identity), "{path}");
    opened
}

#[tokio::test]
async fn a_walk_by_look_ups_leads_where_one_in_ipfs_leads() {
    let tree = |root: &Path| {
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("file"), "text").unwrap();
        std::fs::write(root.join("a/b/deep"), "more text").unwrap();
        for (link, target) in [
            ("to-file", "file"),
            ("to-dir", "a//b/."),
            ("to-link", "to-dir/"),
            ("to-root", "."),
            ("a/up", "../file"),
            ("a/b/out", "../../.."),
            ("a/b/roundabout", "../../a/../to-link/deep"),
            ("absolute", "/file"),
            ("dangling", "nowhere"),
            ("loop", "pool"),
            ("pool", "loop"),
            ("file-as-dir", "file/"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        for n in 0..50 {
            symlink(format!("chain-{}", n + 1), root.join(format!("chain-{n}"))).unwrap();
        }
        std::fs::write(root.join("chain-50"), "the end").unwrap();
    };
    let (ctx, _temporary) = content(tree, Limits::default()).await;
    let ipfs = preopened(&ctx, "/content");
    let by_name = ByName(ipfs.clone());
    let names = [
        "",
        ".",
        "./",
        "/",
        "/a",
        "..",
        "a",
        "a/",
        "a/.",
        "a/b",
        "a//b/./deep",
        "a/..",
        "a/../..",
        "a/b/..",
        "a/b/../../file",
        "file",
        "file/",
        "file/.",
        "file/..",
        "file/x",
        "missing",
        "missing/",
        "missing/..",
        "to-file",
        "to-file/",
        "to-dir",
        "to-dir/",
        "to-dir/deep",
        "to-dir/..",
        "to-link",
        "to-link/deep",
        "to-root",
        "to-root/to-root/a",
        "a/up",
        "a/b/out",
        "a/b/out/..",
        "a/b/roundabout",
        "absolute",
        "dangling",
        "loop",
        "loop/x",
        "file-as-dir",
        "chain-0",
        "chain-10",
        "chain-11",
        "chain-9",
    ];
    let mut codes = Vec::new();
    for path in names {
        for last in [Symlinks::Follow, Symlinks::NoFollow] {
            let wanted = found(&*ipfs, path, last).await;
            assert_eq!(found(&by_name, path, last).await, wanted, "{path} {last:?}");
            codes.extend(wanted.err().filter(|code| !codes.contains(code)));
        }
    }
    // Each way to fail is among them.
    assert_eq!(
        codes,
        [
            Code::NoEntry,
            Code::NotPermitted,
            Code::NotDirectory,
            Code::Loop
        ]
    );
}

/// A directory with one file, whose author counts wrongly.
struct Own;

struct Wrong;

const TEXT: &[u8] = b"a file of the host's own";

#[async_trait]
impl DirNode for Own {
    fn metadata(&self) -> Metadata {
        Metadata::new(Kind::Dir, 0)
    }

    fn identity(&self) -> Identity {
        Identity([1; 16])
    }

    async fn look_up(&self, name: &str) -> Result<Node, Error> {
        match name {
            "file" => Ok(Node::File(Arc::new(Wrong))),
            _ => Err(Error::NotFound { name: name.into() }),
        }
    }

    fn list(&self, skipped: u64) -> Result<Entries, Error> {
        struct Failing(u64);
        impl Stream for Failing {
            type Item = Result<Entry, Error>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                self.0 += 1;
                Poll::Ready(match self.0 {
                    1 => Some(Ok(Entry::new("file", None, None))),
                    2 => Some(Err(Error::failed(std::io::Error::other("torn")))),
                    _ => None,
                })
            }
        }
        Ok(Box::pin(Failing(skipped)))
    }
}

#[async_trait]
impl FileNode for Wrong {
    fn metadata(&self) -> Metadata {
        Metadata::new(Kind::File, TEXT.len() as u64)
    }

    fn identity(&self) -> Identity {
        Identity([2; 16])
    }

    async fn read(&self, offset: u64, _: usize) -> Result<Bytes, Error> {
        Ok(Bytes::from_static(&TEXT[offset as usize..]))
    }

    fn try_read_into(&self, _: u64, into: &mut [u8]) -> Option<Result<usize, Error>> {
        Some(Ok(into.len() + 1))
    }
}

/// Returns the error of what is refused.
fn refused<T>(result: Result<T, Error>) -> Code {
    match result {
        Ok(_) => panic!("it is not refused"),
        Err(error) => code(&error),
    }
}

#[tokio::test]
async fn a_hosts_tree_is_within_the_limits_of_the_guest() {
    let mut limits = Limits::default();
    limits.open_handles = 5;
    limits.memory_bytes = 100;
    let (ctx, _temporary) = content(|_| (), limits).await;
    // The two mounts are handles.
    let handles = || ctx.session().stats().open_handles;
    assert_eq!(handles(), 2);
    let own = preopened(&ctx, "/own");
    let open = async |path| own.open_at(path, Symlinks::Follow).await;
    let Ok(Some(Node::File(file))) = open("./file").await else {
        panic!("no file");
    };
    let again = open(".").await;
    let listing = own.list(0);
    assert_eq!(handles(), 5);
    for path in ["file", "."] {
        assert_eq!(refused(open(path).await), Code::InsufficientMemory);
    }
    assert_eq!(refused(own.look_up("file").await), Code::InsufficientMemory);
    assert_eq!(refused(own.list(0)), Code::InsufficientMemory);
    drop((again, listing));
    assert_eq!(handles(), 3);

    let read = file.clone().begin_read(2, 90).unwrap();
    let memory = || ctx.session().stats().memory_bytes;
    assert_eq!(memory(), 90);
    assert!(file.clone().begin_read(0, 90).is_err());
    let mut read = read.await.unwrap();
    assert_eq!(read, TEXT[2..]);
    drop(read.split_to(5));
    assert_eq!(memory(), 90);
    drop(read);
    assert_eq!((memory(), handles()), (0, 3));

    let long = "x/".repeat(limits_of(&ctx).path_bytes);
    assert_eq!(refused(open(&long).await), Code::NameTooLong);
    let last = Symlinks::Follow;
    assert_eq!(
        refused(own.metadata_at(&long, last).await),
        Code::NameTooLong
    );
    assert_eq!(
        refused(own.identity_at(&long, last).await),
        Code::NameTooLong
    );
    ctx.session().close();
    assert_eq!(refused(open("file").await), Code::Io);
}

fn limits_of(ctx: &IpfsCtx) -> &Limits {
    ctx.session().limits()
}

#[tokio::test]
async fn no_read_of_a_hosts_tree_is_longer_than_asked_for() {
    let (ctx, _temporary) = content(|_| (), Limits::default()).await;
    let own = preopened(&ctx, "/own");
    let Ok(Node::File(file)) = own.look_up("file").await else {
        panic!("no file");
    };
    assert_eq!(file.read(0, 3).await.unwrap(), TEXT[..3]);
    assert_eq!(file.try_read_into(0, &mut [0; 7]).unwrap().unwrap(), 7);
    assert_eq!(file.try_read(0, 7).unwrap().unwrap().len(), 7);
    let read = file.begin_read(0, 3).unwrap().await;
    assert_eq!(read.unwrap(), TEXT[..3]);
}

/// An error is never the end of a listing (I7), even if the tree's own listing ends behind it.
#[tokio::test]
async fn an_error_of_a_hosts_listing_comes_again() {
    let (ctx, _temporary) = content(|_| (), Limits::default()).await;
    let mut listing = Listing::new(&*preopened(&ctx, "/own"), 0).unwrap();
    let first = listing.next().await.unwrap().unwrap();
    assert_eq!((first.name(), first.identity()), ("file", None));
    for _ in 0..3 {
        assert_eq!(refused(listing.next().await), Code::Io);
    }
}

#[tokio::test]
async fn a_listing_of_what_is_there_goes_on_behind_what_is_skipped() {
    let entries = ["a", "b", "c"].map(|name| Entry::new(name, Some(Kind::Dir), None));
    let mut listing = listed(entries.into_iter().skip(1));
    let mut names = Vec::new();
    while let Some(entry) = poll_fn(|context| listing.as_mut().poll_next(context)).await {
        names.push(entry.unwrap().into_name());
    }
    assert_eq!(names, ["b", "c"]);
}
