//! The tree that most tests read: one of everything that a file system can hold.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;
use cid::Cid;
use pinner_car::{ImportOptions, Imported};
use pinset::IpfsPath;
use tempfile::TempDir;

use crate::{Content, content::blocks_of};

/// A local tree and the same tree on a mock node.
///
/// * `hello.txt`, `empty`, `large.bin` (2.5 MiB and 13 bytes: three blocks), `umlaut-ä.txt`
/// * `docs/readme.md`, `docs/deep/er/still.txt`, `empty-dir/`
/// * `many/f000` to `f199`: small files, a plain directory
/// * `sharded/`: 3,000 names, a sharded directory
/// * `links/`: `file` and `dir` lead to existing targets, `up` to one by `..`, `nowhere` to nothing, `loop` to itself,
///   `through-file` below a file, `out` out of the tree, `absolute` to `/etc/passwd`
#[derive(Debug)]
pub struct Sample {
    /// The content as imported, on a node of its own.
    pub content: Content,
    tree: Arc<Tree>,
}

/// The tree itself: thousands of files. Tests that run at the same time in one process share it.
#[derive(Debug)]
struct Tree {
    /// The host's directory, which is removed when the last test drops it.
    local: TempDir,
    imported: Imported,
    blocks: Vec<(Cid, Bytes)>,
}

impl Tree {
    fn shared() -> Arc<Self> {
        static TREE: Mutex<Weak<Tree>> = Mutex::new(Weak::new());
        let mut shared = TREE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = shared.upgrade() {
            return tree;
        }
        let local = TempDir::new().expect("a temporary directory");
        write(local.path()).expect("writing the sample tree");
        let (imported, blocks) = blocks_of(local.path(), &ImportOptions::default());
        let tree = Arc::new(Self {
            local,
            imported,
            blocks,
        });
        *shared = Arc::downgrade(&tree);
        tree
    }
}

impl Sample {
    /// How many names `sharded/` has.
    pub const SHARDED: usize = 3000;
    /// The length of `large.bin`, in bytes.
    pub const LARGE_BYTES: usize = 5 * 512 * 1024 + 13;

    /// Returns the tree, imported.
    #[expect(
        clippy::new_without_default,
        reason = "it writes files: no default value"
    )]
    pub fn new() -> Self {
        let tree = Tree::shared();
        Self {
            content: Content::of(tree.imported, &tree.blocks),
            tree,
        }
    }

    /// The tree's directory on the host. Do not write to it.
    pub fn local(&self) -> &Path {
        self.tree.local.path()
    }

    /// The host's path of `below`.
    pub fn local_path(&self, below: &str) -> PathBuf {
        self.tree.local.path().join(below)
    }

    /// The guest's path of `below`: `/ipfs/<root>/below`.
    pub fn path(&self, below: &str) -> String {
        self.content.path(below)
    }

    /// The typed path of `below` in the sample.
    pub fn ipfs_path(&self, below: &str) -> IpfsPath {
        let root = IpfsPath::root(self.content.root);
        root.join(below).expect("a relative path")
    }

    /// The bytes of `large.bin`: no two blocks are equal.
    pub fn large() -> Vec<u8> {
        let mut series = 88_172_645_463_325_252_u64;
        let mut bytes = Vec::with_capacity(Self::LARGE_BYTES + 8);
        while bytes.len() < Self::LARGE_BYTES {
            series ^= series << 13;
            series ^= series >> 7;
            series ^= series << 17;
            bytes.extend_from_slice(&series.to_le_bytes());
        }
        bytes.truncate(Self::LARGE_BYTES);
        bytes
    }
}

fn write(root: &Path) -> std::io::Result<()> {
    fs::write(root.join("hello.txt"), "hello, /ipfs\n")?;
    fs::write(root.join("empty"), "")?;
    fs::write(root.join("large.bin"), Sample::large())?;
    fs::write(root.join("umlaut-ä.txt"), "ä\n")?;

    fs::create_dir_all(root.join("docs/deep/er"))?;
    fs::write(root.join("docs/readme.md"), "# Read me\n\nsecond\n")?;
    fs::write(root.join("docs/deep/er/still.txt"), "still here\n")?;
    fs::create_dir(root.join("empty-dir"))?;

    fs::create_dir(root.join("many"))?;
    for i in 0..200_u32 {
        fs::write(
            root.join(format!("many/f{i:03}")),
            format!("{i}\n").repeat(i as usize + 1),
        )?;
    }
    fs::create_dir(root.join("sharded"))?;
    for i in 0..Sample::SHARDED {
        // Long names make the directory too large for one block.
        let name = format!("sharded/entry-{i:05}-{}", "x".repeat(50));
        fs::write(root.join(name), format!("{}", i % 7))?;
    }

    let links = root.join("links");
    fs::create_dir(&links)?;
    for (name, target) in [
        ("file", "../hello.txt"),
        ("dir", "../docs"),
        ("up", "../docs/../docs/deep/../readme.md"),
        ("chain", "file"),
        ("nowhere", "no-such-name"),
        ("loop", "loop"),
        ("through-file", "../hello.txt/x"),
        ("out", "../../../../outside"),
        ("absolute", "/etc/passwd"),
    ] {
        symlink(target, links.join(name))?;
    }
    Ok(())
}
