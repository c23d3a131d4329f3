//! Requests the metadata of paths in every way: by path, without following, by open file, by listing.
//!
//! Arguments: `PATH…`. Prints `KIND len=BYTES mtime=SECONDS.NANOSECONDS ino=NUMBER PATH` for each. The kind is that of
//! the path itself (`l` for a symlink); the rest describes its target.

use std::{
    fs::{self, File, Metadata},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use guest::{
    arguments::Arguments,
    content::letter,
    outcome::succeeds,
    posix::{self, Directory},
};

fn main() {
    for path in Arguments::of("stat PATH…").rest() {
        let what = |call: &str| format!("{path}: {call}");
        let followed = succeeds(&what("metadata"), fs::metadata(&path));
        let own = succeeds(&what("symlink_metadata"), fs::symlink_metadata(&path));
        assert_eq!(
            facts(&followed),
            facts(&succeeds("again", fs::metadata(&path)))
        );
        assert!(!followed.is_symlink(), "{path}: metadata did not follow");

        let identity = succeeds(&what("stat"), posix::identity_of_path(&path));
        if own.is_symlink() {
            let target = succeeds(&what("read_link"), fs::read_link(&path));
            let length = target.to_str().expect("targets are UTF-8 on WASI").len();
            assert_eq!(own.len(), length as u64, "{path}: the length of the link");
        } else {
            assert_eq!(
                facts(&followed),
                facts(&own),
                "{path}: no link, yet following differs"
            );
            let same = succeeds(&what("lstat"), posix::identity_of_link(&path));
            assert_eq!(identity, same, "{path}: no link, yet another identity");
            listed(&path, identity.inode);
        }
        assert!(identity.links > 0, "{path}: nobody names it");

        let open = succeeds(&what("open"), File::open(&path));
        let opened = succeeds(&what("fstat"), open.metadata());
        assert_eq!(
            facts(&followed),
            facts(&opened),
            "{path}: the open file differs"
        );
        let by_file = succeeds(&what("fstat"), posix::identity_of_file(&open));
        if posix::NUMBER_IS_FOLLOWED || !own.is_symlink() {
            assert_eq!(
                identity, by_file,
                "{path}: the open file has another identity"
            );
        }

        let (seconds, nanoseconds) = since_epoch(succeeds(&what("modified"), followed.modified()));
        println!(
            "{} len={} mtime={seconds}.{nanoseconds:09} ino={} {path}",
            letter(own.file_type()),
            followed.len(),
            by_file.inode
        );
    }
}

/// The directory that holds the path shows the same inode number for it, or none.
fn listed(path: &str, inode: u64) {
    let path = Path::new(path);
    // `/ipfs` itself and the mounts are in no directory that can be listed, and `..` is not a name.
    let (Some(name), Some(parent)) = (path.file_name(), path.parent().and_then(Path::to_str))
    else {
        return;
    };
    let parent = if parent.is_empty() { "." } else { parent };
    let Ok(mut stream) = Directory::open(parent) else {
        return;
    };
    for entry in stream.remaining() {
        if name == entry.name.as_str() {
            assert!(
                entry.inode == inode || entry.inode == 0,
                "{}: the listing says {}, stat {inode}",
                path.display(),
                entry.inode
            );
        }
    }
}

/// Returns all metadata except the time of the last access, which reading may change.
fn facts(metadata: &Metadata) -> (char, u64, Option<SystemTime>) {
    // Previews 1 and 2 have no time of creation. A time of access must exist, with any value.
    succeeds("accessed", metadata.accessed());
    (
        letter(metadata.file_type()),
        metadata.len(),
        metadata.modified().ok(),
    )
}

fn since_epoch(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
        // UnixFS also has times before 1970. Their nanoseconds count forwards from the full second before.
        Err(before) => {
            let before = before.duration();
            let whole = -(before.as_secs() as i64);
            match before.subsec_nanos() {
                0 => (whole, 0),
                nanoseconds => (whole - 1, 1_000_000_000 - nanoseconds),
            }
        }
    }
}
