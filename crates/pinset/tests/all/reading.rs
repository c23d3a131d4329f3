//! Every byte of every shape of file comes out as it went in, at every offset, and only the blocks it lies in are
//! fetched.

use futures_util::TryStreamExt;
use pinner_car::Profile;
use pinner_mock::MockNode;
use pinset::{Access, Error, Kind, Limits, Node, Symlinks};
use test_support::content::{MIB, add, add_file, stream};

use crate::{host::Host, pinsets::ipfs, pinsets::read_all};

const BUDGET: u64 = 64 << 20;

/// Sizes around the chunks of both profiles, and sizes with one more level of the tree.
const INTERESTING_SIZES: [usize; 12] = [
    0,
    1,
    255,
    256 * 1024 - 1,
    256 * 1024,
    256 * 1024 + 1,
    MIB - 1,
    MIB,
    MIB + 1,
    2 * MIB,
    3 * MIB + 7,
    46 * MIB + 3,
];

#[tokio::test]
async fn files_of_all_sizes_read_back_equal() {
    for profile in Profile::ALL {
        for size in INTERESTING_SIZES {
            let node = MockNode::new();
            let bytes = stream(size);
            let cid = add_file(&node, &bytes, profile);
            let host = Host::new(&node, BUDGET).await;
            let file = host.file(&format!("/ipfs/{cid}")).await;
            assert_eq!(file.len(), size as u64, "{profile} {size}");
            // In the middle first: only the blocks on the way there are fetched.
            let fetched = host.mode.stats().blocks_fetched;
            let middle = size / 2;
            let len = (size - middle).min(4096);
            let piece = file.read_at(middle as u64, 4096).await.unwrap();
            assert_eq!(piece, bytes[middle..middle + len], "{profile} {size}");
            let on_the_way = host.mode.stats().blocks_fetched - fetched;
            assert!(on_the_way <= 4, "{profile} {size}: {on_the_way}");
            file.ready(middle as u64).await.unwrap();
            // At the end and beyond it.
            for offset in [size as u64, size as u64 + 1, u64::MAX] {
                file.ready(offset).await.unwrap();
                assert!(file.read_at(offset, 10).await.unwrap().is_empty());
                assert!(file.try_read_at(offset, 10).unwrap().unwrap().is_empty());
            }
            assert_eq!(read_all(&file).await.unwrap(), bytes, "{profile} {size}");
            // Now that all blocks are staged, no read has to wait.
            for offset in (0..size).step_by(100_003) {
                let len = (size - offset).min(70_000);
                let ready = file.try_read_at(offset as u64, 70_000);
                assert_eq!(ready.unwrap().unwrap(), bytes[offset..offset + len]);
            }
        }
    }
}

#[tokio::test]
async fn a_tree_is_listed_and_followed() {
    let node = MockNode::new();
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("readme.txt", "hello\n");
    put("a/b/c.txt", "deep\n");
    put("ünïcødé-漢字.txt", "unicode\n");
    std::os::unix::fs::symlink("../readme.txt", dir.path().join("a/up")).unwrap();
    std::os::unix::fs::symlink("a/b", dir.path().join("to-dir")).unwrap();
    let cid = add(&node, dir.path(), Profile::default());
    let host = Host::new(&node, BUDGET).await;
    for (path, text) in [
        ("readme.txt", "hello\n"),
        ("a/b/c.txt", "deep\n"),
        ("a/up", "hello\n"),
        ("to-dir/c.txt", "deep\n"),
        ("to-dir/../up", "hello\n"),
        ("a//b/./c.txt", "deep\n"),
        ("ünïcødé-漢字.txt", "unicode\n"),
    ] {
        let path = format!("/ipfs/{cid}/{path}");
        // The third time, it is remembered where the path leads.
        for _ in 0..3 {
            assert_eq!(host.read(&path).await, text.as_bytes(), "{path}");
        }
    }
    let Node::Dir(root) = host
        .mode
        .open(&ipfs(&format!("/ipfs/{cid}/")))
        .await
        .unwrap()
    else {
        panic!("no directory");
    };
    let mut names = Vec::new();
    let mut entries = root.entries().unwrap();
    while let Some(entry) = entries.try_next().await.unwrap() {
        names.push(entry.name().to_owned());
    }
    names.sort();
    assert_eq!(names, ["a", "readme.txt", "to-dir", "ünïcødé-漢字.txt"]);
    let link = host
        .mode
        .stat(&ipfs(&format!("/ipfs/{cid}/to-dir")))
        .await
        .unwrap();
    assert_eq!(link.kind(), Kind::Symlink);
}

#[tokio::test]
async fn a_path_that_was_walked_before_keeps_to_the_same_rules() {
    let node = MockNode::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "text").unwrap();
    std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
    let cid = add(&node, dir.path(), Profile::default());
    let host = Host::new(&node, BUDGET).await;
    let mut limits = Limits::default();
    limits.open_handles = 3;
    let granted = host.mode.session(Access::roots([cid]), limits.clone());
    let other = host.mode.session(Access::none(), limits);
    let (root, others) = (granted.root().unwrap(), other.root().unwrap());
    let (file, link) = (format!("{cid}/file"), format!("{cid}/link"));
    for _ in 0..3 {
        let first = granted.open_at(&root, &file, Symlinks::Follow).await;
        let second = granted.open_at(&root, &link, Symlinks::Follow).await;
        assert_eq!(first.unwrap().kind(), Kind::File);
        let second = second.unwrap();
        assert_eq!(second.kind(), Kind::File);
        // Every handle counts, however it was opened. The root is the third.
        let third = granted.open_at(&root, &file, Symlinks::Follow).await;
        let fourth = granted.open_at(&root, &file, Symlinks::Follow).await;
        assert!(third.is_ok());
        assert!(matches!(fourth, Err(Error::LimitReached { .. })));
        drop((second, third));
        let symlink = granted.open_at(&root, &link, Symlinks::NoFollow).await;
        assert_eq!(symlink.unwrap().kind(), Kind::Symlink);
        let refused = other.open_at(&others, &file, Symlinks::Follow).await;
        assert!(matches!(refused, Err(Error::NotGranted { .. })));
    }
    host.mode.close().await.unwrap();
    for path in [&file, &link] {
        let closed = granted.open_at(&root, path, Symlinks::Follow).await;
        assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
    }
}

#[tokio::test]
async fn a_sharded_directory_is_looked_up_by_the_shards_on_the_way_and_listed_whole() {
    let node = MockNode::new();
    let dir = tempfile::tempdir().unwrap();
    for n in 0..5000 {
        std::fs::write(dir.path().join(format!("{n:05}.txt")), format!("{n}\n")).unwrap();
    }
    let cid = add(&node, dir.path(), Profile::default());
    let host = Host::new(&node, BUDGET).await;
    assert_eq!(
        host.read(&format!("/ipfs/{cid}/04321.txt")).await,
        b"4321\n"
    );
    // The root, one or two shards, and the file.
    assert!(host.mode.stats().blocks_fetched <= 4);
    let Node::Dir(root) = host
        .mode
        .open(&ipfs(&format!("/ipfs/{cid}")))
        .await
        .unwrap()
    else {
        panic!("no directory");
    };
    let mut names = Vec::new();
    let mut entries = root.entries().unwrap();
    assert!(entries.try_next().await.unwrap().is_some());
    assert!(format!("{entries:?}").contains("At"), "{entries:?}");
    let mut entries = root.entries().unwrap();
    while let Some(entry) = entries.try_next().await.unwrap() {
        names.push(entry.name().to_owned());
    }
    names.sort();
    assert!((0..5000).map(|n| format!("{n:05}.txt")).eq(names));
    assert!(
        host.mode
            .open(&ipfs(&format!("/ipfs/{cid}/05000.txt")))
            .await
            .is_err()
    );
}
