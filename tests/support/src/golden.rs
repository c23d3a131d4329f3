//! Rebuilds the content behind the golden tables of CIDs, of Kubo's and of IPIP-499's, by the names in their third column.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use multihash_codetable::{Code, MultihashDigest};

use crate::chacha20::ChaCha20;

/// The letters of the names in IPIP-499.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz01234567890-_";

/// The seeds of IPIP-499.
const SEEDS: [&str; 6] = [
    "chunk-v0-seed",
    "chunk-v1-seed",
    "v0-seed",
    "v1-2025-seed",
    "hamt-unixfs-v0-2015",
    "hamt-unixfs-v1-2025",
];

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
    /// The file `hello world`.
    Text,
    /// A file of this many bytes of ChaCha20.
    Keyed(&'static str, u64),
    /// A directory of so many files, with names of so many letters of ChaCha20, the last of so many. In each is an `x`.
    Named(&'static str, usize, usize, usize),
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
            "text" => Self::Text,
            "chacha20" | "names" => {
                let mut rest = number.split(',');
                let seed = rest.next().unwrap();
                let seed = SEEDS.iter().find(|it| **it == seed).unwrap();
                let numbers: Vec<u64> = rest.map(|number| number.parse().unwrap()).collect();
                match numbers[..] {
                    [bytes] => Self::Keyed(seed, bytes),
                    [files, letters, last] => {
                        let [files, letters, last] = [files, letters, last].map(|it| it as usize);
                        Self::Named(seed, files, letters, last)
                    }
                    _ => panic!("one number is wanted, or three: {name}"),
                }
            }
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
            Self::Text => fs::write(path, "hello world").unwrap(),
            Self::Keyed(seed, size) => keyed(path, seed, *size),
            Self::Named(seed, files, letters, last) => {
                fs::create_dir(path).unwrap();
                let mut stream = ChaCha20::of_seed(seed);
                for number in 1..=*files {
                    let letters = if number == *files { last } else { letters };
                    let mut name = vec![0; *letters];
                    stream.fill(&mut name);
                    for letter in &mut name {
                        *letter = LETTERS[usize::from(*letter) % LETTERS.len()];
                    }
                    put(&path.join(String::from_utf8(name).unwrap()), "x");
                }
            }
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

fn keyed(path: &Path, seed: &str, size: u64) {
    let (mut file, mut stream) = (File::create(path).unwrap(), ChaCha20::of_seed(seed));
    let mut left = size;
    while left > 0 {
        let mut piece = vec![0; left.min(1 << 20) as usize];
        stream.fill(&mut piece);
        file.write_all(&piece).unwrap();
        left -= piece.len() as u64;
    }
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
