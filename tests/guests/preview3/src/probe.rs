//! Every method, with many paths and all flags. Prints one line for each answer.

use std::ops::BitOr;

use wasip3::{
    filesystem::types::{
        Advice, Descriptor, DescriptorFlags, DescriptorType, ErrorCode, NewTimestamp, OpenFlags,
        PathFlags,
    },
    wit_stream,
};

use crate::{
    errno::{letter, name, outcome},
    place::{Place, open as open_below},
};

const FOLLOWING: [PathFlags; 2] = [PathFlags::empty(), PathFlags::SYMLINK_FOLLOW];

/// Returns all combinations of flags.
fn all_of<T: Copy + BitOr<Output = T>>(none: T, flags: &[T]) -> Vec<T> {
    let mut all = vec![none];
    for flag in flags {
        all.extend(all.clone().into_iter().map(|some| some | *flag));
    }
    all
}

/// Opens each path below `root` in every way.
pub(crate) async fn open(place: &Place, root: &str, paths: &[&str]) {
    let root = place.opened(root).await;
    let open_flags = [
        OpenFlags::CREATE,
        OpenFlags::DIRECTORY,
        OpenFlags::EXCLUSIVE,
        OpenFlags::TRUNCATE,
    ];
    let flags = [
        DescriptorFlags::READ,
        DescriptorFlags::WRITE,
        DescriptorFlags::MUTATE_DIRECTORY,
        DescriptorFlags::DATA_INTEGRITY_SYNC,
    ];
    for path in paths {
        for path_flags in FOLLOWING {
            for open_flags in all_of(OpenFlags::empty(), &open_flags) {
                for flags in all_of(DescriptorFlags::empty(), &flags) {
                    let opened = root.open_at(path_flags, (*path).to_owned(), open_flags, flags);
                    let answer = match opened.await {
                        Err(code) => name(&code),
                        Ok(opened) => {
                            let kind = opened.get_type().await.map(|kind| letter(&kind));
                            let flags = opened.get_flags().await;
                            format!("{kind:?} {flags:?}")
                        }
                    };
                    println!("{path:?} {path_flags:?} {open_flags:?} {flags:?}: {answer}");
                }
            }
        }
    }
}

/// Asks everything that can be asked of a path.
pub(crate) async fn paths(place: &Place, root: &str, paths: &[&str]) {
    let root = place.opened(root).await;
    for path in paths {
        for flags in FOLLOWING {
            let path = || (*path).to_owned();
            let stat = root.stat_at(flags, path()).await;
            let stat = match &stat {
                // A directory in a DAG has no size.
                Ok(stat) if matches!(stat.type_, DescriptorType::Directory) => "d".to_owned(),
                Ok(stat) => format!("{} {}", letter(&stat.type_), stat.size),
                Err(code) => name(code),
            };
            let hash = root.metadata_hash_at(flags, path()).await;
            let target = match root.readlink_at(path()).await {
                Ok(target) => target,
                Err(code) => name(&code),
            };
            let path = path();
            println!("{path:?} {flags:?}: {stat}, {}, {target}", outcome(&hash));
        }
    }
}

/// Prints the whole stat and the hash of each path. The open node must say the same.
pub(crate) async fn stat(place: &Place, paths: &[&str]) {
    for path in paths {
        let (dir, below) = place.of(path);
        let follow = PathFlags::SYMLINK_FOLLOW;
        let stat = dir.stat_at(follow, below.to_owned()).await;
        let stat = stat.unwrap_or_else(|code| panic!("{path}: {}", name(&code)));
        let open = place.opened(path).await;
        let again = open.stat().await.map(|it| format!("{it:?}"));
        assert_eq!(again.ok(), Some(format!("{stat:?}")), "{path}");
        let hash = dir.metadata_hash_at(follow, below.to_owned()).await;
        let hash = hash.unwrap_or_else(|code| panic!("{path}: {}", name(&code)));
        let again = open.metadata_hash().await.map(|it| (it.lower, it.upper));
        assert_eq!(again.ok(), Some((hash.lower, hash.upper)), "{path}");
        let modified = stat.data_modification_timestamp.expect("a time");
        println!(
            "{} len={} links={} mtime={}.{:09} hash={:016x}{:016x} {path}",
            letter(&stat.type_),
            stat.size,
            stat.link_count,
            modified.seconds,
            modified.nanoseconds,
            hash.upper,
            hash.lower
        );
    }
}

/// Tries every way to write, on the file `dir/file` and on the directory.
pub(crate) async fn write(place: &Place, dir: &str, file: &str) {
    let dir = place.opened(dir).await;
    let opened = open_below(&dir, file).await;
    let opened = opened.unwrap_or_else(|code| panic!("{file}: {}", name(&code)));
    for (kind, node) in [("file", &opened), ("directory", &dir)] {
        println!("{kind}:");
        through_it(node).await;
        below_it(node, &dir, &opened, file).await;
    }
}

fn say(call: &str, answer: Result<(), ErrorCode>) {
    println!("  {call}: {}", outcome(&answer));
}

async fn through_it(node: &Descriptor) {
    let now = || NewTimestamp::Now;
    say("set_size", node.set_size(1).await);
    say("set_times", node.set_times(now(), now()).await);
    // The data of a refused write is dropped, so the writer learns that nobody reads it.
    let (mut writer, data) = wit_stream::new();
    let ended = node.write_via_stream(data, 0);
    let left = writer.write_all(vec![1, 2, 3]).await;
    drop(writer);
    say("write_via_stream", ended.await);
    println!("  not written: {}", left.len());
    let (mut writer, data) = wit_stream::new();
    let ended = node.append_via_stream(data);
    let left = writer.write_all(vec![1, 2, 3]).await;
    drop(writer);
    say("append_via_stream", ended.await);
    println!("  not appended: {}", left.len());
    say("sync", node.sync().await);
    say("sync_data", node.sync_data().await);
    for advice in [
        Advice::Normal,
        Advice::Sequential,
        Advice::Random,
        Advice::WillNeed,
        Advice::DontNeed,
        Advice::NoReuse,
    ] {
        say("advise", node.advise(0, 4, advice).await);
    }
    let (entries, ended) = node.read_directory();
    drop(entries.collect().await);
    say("read_directory", ended.await);
    let (bytes, ended) = node.read_via_stream(0);
    drop(bytes.collect().await);
    say("read_via_stream", ended.await);
}

async fn below_it(node: &Descriptor, dir: &Descriptor, opened: &Descriptor, file: &str) {
    let (old, new) = (|| file.to_owned(), || "new".to_owned());
    let now = || NewTimestamp::Now;
    for flags in FOLLOWING {
        let set = node.set_times_at(flags, old(), now(), now()).await;
        say("set_times_at", set);
        say("link_at", node.link_at(flags, old(), dir, new()).await);
    }
    say("create_directory_at", node.create_directory_at(new()).await);
    say("remove_directory_at", node.remove_directory_at(old()).await);
    say("unlink_file_at", node.unlink_file_at(old()).await);
    say("symlink_at", node.symlink_at(old(), new()).await);
    say("rename_at", node.rename_at(old(), dir, new()).await);
    say(
        "rename_at to a file",
        node.rename_at(old(), opened, new()).await,
    );
}
