//! Rebuilds the content behind the golden table of Kubo's CIDs, by the names in the table's third column.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use multihash_codetable::{Code, MultihashDigest};

/// The content of a row.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// A file of this many bytes, no two chunks equal.
    Stream(u64),
    /// A file of this many zeros.
    Zeros(u64),
    /// A directory of this many small files.
    Flat(u32),
    /// An empty directory.
    Empty,
    /// A tree with names, symlinks and sizes that need care.
    Nested,
    /// A tree with modes and times of modification.
    Dated,
}

impl Content {
    /// The content that the table calls `name`.
    ///
    /// # Panics
    /// If no content has that name.
    pub fn parse(name: &str) -> Self {
        let (kind, number) = name.split_once('(').unwrap_or((name, ")"));
        let number = number.trim_end_matches(')');
        match kind {
            "stream" => Self::Stream(number.parse().unwrap()),
            "zeros" => Self::Zeros(number.parse().unwrap()),
            "flat" => Self::Flat(number.parse().unwrap()),
            "empty" => Self::Empty,
            "nested" => Self::Nested,
            "dated" => Self::Dated,
            _ => panic!("content this test does not know: {name}"),
        }
    }

    /// Makes it at `path`, where nothing may exist yet.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn make(&self, path: &Path) {
        match self {
            Self::Stream(size) => stream(path, *size),
            Self::Zeros(size) => File::create(path).unwrap().set_len(*size).unwrap(),
            Self::Flat(count) => {
                fs::create_dir(path).unwrap();
                for number in 0..*count {
                    put(
                        &path.join(format!("{number:05}.txt")),
                        &format!("{number}\n"),
                    );
                }
            }
            Self::Empty => fs::create_dir(path).unwrap(),
            Self::Nested => nested(path),
            Self::Dated => dated(path),
        }
    }
}

/// SHA-256("stream" || le64(0)) || SHA-256("stream" || le64(1)) || …, as long as any small row needs.
static STREAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..46_137_344u64 / 32)
        .flat_map(|counter| {
            let mut input = *b"stream\0\0\0\0\0\0\0\0";
            input[6..].copy_from_slice(&counter.to_le_bytes());
            <[u8; 32]>::try_from(Code::Sha2_256.digest(&input).digest()).unwrap()
        })
        .collect()
});

fn stream(path: &Path, size: u64) {
    fs::write(path, &STREAM[..usize::try_from(size).unwrap()]).unwrap();
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn nested(path: &Path) {
    let at = |name: &str| path.join(name);
    put(&at("readme.txt"), "hello\n");
    put(&at("a/b/c.txt"), "deep\n");
    put(&at("a/empty-file"), "");
    fs::create_dir(at("a/empty-dir")).unwrap();
    put(&at("with space and %20.txt"), "space\n");
    put(&at("ünïcødé-Ω-漢字.txt"), "unicode\n");
    put(&at(".hidden"), "hidden\n");
    put(&at("Case.txt"), "upper\n");
    put(&at("case.txt"), "lower\n");
    symlink("readme.txt", at("link-file")).unwrap();
    symlink("a/b", at("link-dir")).unwrap();
    symlink("../readme.txt", at("a/link-up")).unwrap();
    symlink("nowhere", at("link-dangling")).unwrap();
    symlink("../../outside", at("link-outside")).unwrap();
    stream(&at("a/big.bin"), 2 * 1_048_576 + 5);
}

fn dated(path: &Path) {
    put(&path.join("ro"), "ro\n");
    put(&path.join("sub/exec"), "exec\n");
    put(&path.join("sub/before-epoch"), "old\n");
    let before_epoch = UNIX_EPOCH - Duration::from_secs(1000) + Duration::from_nanos(500_000_000);
    let after_epoch = |seconds, nanoseconds| UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    let all: [(&str, u32, SystemTime); 5] = [
        ("ro", 0o444, after_epoch(1_600_000_000, 0)),
        ("sub/exec", 0o755, after_epoch(1_234_567_890, 123_456_789)),
        ("sub/before-epoch", 0o600, before_epoch),
        ("sub", 0o750, after_epoch(1_500_000_000, 1)),
        (".", 0o755, after_epoch(1_700_000_000, 999_999_999)),
    ];
    for (name, mode, mtime) in all {
        let path = path.join(name);
        File::open(&path).unwrap().set_modified(mtime).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
}
