//! Trees: lists, walks, reads and copies them.

use guest::content::Fnv;
use wasip3::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, DirectoryEntry, ErrorCode, OpenFlags, PathFlags,
};

use crate::{
    errno::{letter, name, outcome},
    place::{Place, open},
};

/// Reads a whole file in pieces of at most `piece` bytes. Returns its length and digest, or how the stream ended.
pub(crate) async fn digest(file: &Descriptor, piece: usize) -> Result<(u64, Fnv), ErrorCode> {
    let (mut bytes, ended) = file.read_via_stream(0);
    let (mut len, mut fnv) = (0, Fnv::default());
    loop {
        let (_, read) = bytes.read(Vec::with_capacity(piece)).await;
        if read.is_empty() {
            drop(bytes);
            return ended.await.map(|()| (len, fnv));
        }
        len += read.len() as u64;
        fnv.update(&read);
    }
}

/// Returns all entries, in the order of the listing.
async fn entries(dir: &Descriptor) -> Result<Vec<DirectoryEntry>, ErrorCode> {
    let (entries, ended) = dir.read_directory();
    let entries = entries.collect().await;
    ended.await.map(|()| entries)
}

/// The type of an entry, which a listing may leave open.
async fn kind(dir: &Descriptor, entry: &DirectoryEntry) -> Result<char, ErrorCode> {
    match letter(&entry.type_) {
        '?' => {
            let stat = dir.stat_at(PathFlags::empty(), entry.name.clone()).await?;
            Ok(letter(&stat.type_))
        }
        known => Ok(known),
    }
}

/// Prints what `list_dir` prints. Two listings at once, one entry at a time, and one that is given up do not affect it.
pub(crate) async fn list(place: &Place, path: &str) {
    let dir = place.opened(path).await;
    let all = entries(&dir).await;
    let all = all.unwrap_or_else(|code| panic!("{path}: {}", name(&code)));
    let (mut left, left_ended) = dir.read_directory();
    let (mut right, right_ended) = dir.read_directory();
    for entry in &all {
        for stream in [&mut left, &mut right] {
            let next = stream.next().await.expect("a listing ended early");
            assert_eq!(next.name, entry.name, "{path}: another order");
        }
    }
    assert!(left.next().await.is_none() && right.next().await.is_none());
    assert!(left_ended.await.is_ok() && right_ended.await.is_ok());
    let (mut abandoned, ended) = dir.read_directory();
    abandoned.next().await;
    drop(abandoned);
    assert!(ended.await.is_ok(), "{path}: a listing was given up");

    let mut shown = Vec::new();
    for entry in &all {
        let kind = kind(&dir, entry).await;
        let kind = kind.unwrap_or_else(|code| panic!("{}: {}", entry.name, name(&code)));
        shown.push((&entry.name, kind));
    }
    shown.sort();
    println!("count {}", shown.len());
    for (name, kind) in shown {
        println!("{kind} {name:?}");
    }
}

/// Prints what `walk_hash` prints.
pub(crate) async fn walk(place: &Place, root: &str) {
    let (dir, path) = place.of(root);
    Box::pin(walk_below(dir, path.to_owned(), String::new())).await;
}

async fn walk_below(base: &Descriptor, path: String, below: String) {
    let line = line(base, &path).await;
    let is_dir = match line {
        Ok(line) => {
            println!("{line} {below:?}");
            line == "d"
        }
        Err(code) => return println!("e {} {below:?}", name(&code)),
    };
    if !is_dir {
        return;
    }
    let listed = async {
        let dir = open(base, &path).await?;
        let mut names: Vec<_> = entries(&dir).await?.into_iter().map(|it| it.name).collect();
        names.sort();
        Ok(names)
    };
    match listed.await {
        Err(code) => println!("e {} {below:?}", name(&code)),
        Ok(names) => {
            for entry in names {
                let below = match below.as_str() {
                    "" => entry.clone(),
                    below => format!("{below}/{entry}"),
                };
                Box::pin(walk_below(base, format!("{path}/{entry}"), below)).await;
            }
        }
    }
}

async fn line(base: &Descriptor, path: &str) -> Result<String, ErrorCode> {
    let stat = base.stat_at(PathFlags::empty(), path.to_owned()).await?;
    match stat.type_ {
        DescriptorType::Directory => Ok("d".to_owned()),
        DescriptorType::SymbolicLink => {
            Ok(format!("l {:?}", base.readlink_at(path.to_owned()).await?))
        }
        _ => {
            let (len, fnv) = digest(&open(base, path).await?, 64 * 1024).await?;
            assert_eq!(len, stat.size, "{path}: stat tells another length");
            Ok(format!("f len={len} fnv={fnv}"))
        }
    }
}

/// Prints what `open_read_whole` prints, after reads in pieces of several sizes.
pub(crate) async fn read(place: &Place, files: &[&str]) {
    for path in files {
        let file = place.opened(path).await;
        let mut digests = Vec::new();
        for piece in [4096, 7777, 64 * 1024, 300_001] {
            let read = digest(&file, piece).await;
            digests.push(read.unwrap_or_else(|code| panic!("{path}: {}", name(&code))));
        }
        let wanted = digests[0];
        assert!(
            digests.iter().all(|it| *it == wanted),
            "{path}: {digests:?}"
        );
        println!("{path} len={} fnv={}", wanted.0, wanted.1);
    }
}

/// Hands each file's stream on to standard output: no byte of it comes into the guest's memory.
pub(crate) async fn cat(place: &Place, files: &[&str]) {
    for path in files {
        let file = place.opened(path).await;
        let (bytes, ended) = file.read_via_stream(0);
        let written = wasip3::cli::stdout::write_via_stream(bytes).await;
        assert!(written.is_ok(), "{path}: {written:?}");
        let ended = ended.await;
        assert!(ended.is_ok(), "{path}: {}", outcome(&ended));
    }
}

/// Hands a file's stream on to a file that it makes.
pub(crate) async fn copy(place: &Place, from: &str, to: &str) {
    let file = place.opened(from).await;
    let (dir, below) = place.of(to);
    let made = dir.open_at(
        PathFlags::empty(),
        below.to_owned(),
        OpenFlags::CREATE,
        DescriptorFlags::WRITE,
    );
    let made = made.await;
    let made = made.unwrap_or_else(|code| panic!("{to}: {}", name(&code)));
    let (bytes, ended) = file.read_via_stream(0);
    let written = made.write_via_stream(bytes, 0).await;
    let ended = ended.await;
    println!("written {}, read {}", outcome(&written), outcome(&ended));
}
