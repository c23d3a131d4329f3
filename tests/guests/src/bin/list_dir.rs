//! Lists a directory, plain or sharded: whole, again, from the middle, two at once, and abandoned early. Each entry comes
//! with its type.
//!
//! Arguments: `DIR`. Prints `count N`, then `KIND NAME` for each entry, sorted by name; the name is quoted as
//! Rust's `{:?}` does.

use std::{collections::BTreeSet, fs, io};

use guest::{
    arguments::Arguments,
    content::letter,
    outcome::succeeds,
    posix::{Directory, Entry},
};

fn main() {
    let path = Arguments::of("list_dir DIR").word();
    let mut entries = succeeds(&path, listing(&path));
    let again = succeeds(&path, listing(&path));
    assert!(
        entries == again,
        "{path}: a second listing differs in what or in order"
    );

    positions(&path, entries.len());
    types(&path, &entries);
    interleaved(&path, &entries);

    // An abandoned listing must leave the next one complete.
    drop(fs::read_dir(&path).map(|mut listing| listing.next()));
    let after = succeeds(&path, listing(&path));
    assert!(
        entries == after,
        "{path}: the listing after one given up differs"
    );

    entries.sort();
    println!("count {}", entries.len());
    for (name, kind) in &entries {
        println!("{kind} {name:?}");
    }
    let distinct: BTreeSet<_> = entries.iter().map(|(name, _)| name).collect();
    assert_eq!(
        distinct.len(),
        entries.len(),
        "{path}: a name is there twice"
    );
}

/// Returns names and kinds, in the order of the listing.
fn listing(path: &str) -> io::Result<Vec<(String, char)>> {
    fs::read_dir(path)?
        .map(|entry| {
            let entry = entry?;
            let kind = letter(entry.file_type()?);
            let name = entry.file_name().into_string();
            Ok((name.expect("names are UTF-8 on WASI"), kind))
        })
        .collect()
}

/// Tests rewinding, and seeking to a remembered position.
fn positions(path: &str, count: usize) {
    let mut stream = succeeds(path, Directory::open(path));
    let all = stream.remaining();
    let dots = |entry: &&Entry| entry.name == "." || entry.name == "..";
    assert_eq!(
        all.len() - all.iter().filter(dots).count(),
        count,
        "{path}: readdir has another count than std"
    );
    stream.rewind();
    assert!(
        stream.remaining() == all,
        "{path}: rewinding gives another listing"
    );

    for stop in [0, 1, all.len() / 2, all.len()] {
        stream.rewind();
        for wanted in &all[..stop] {
            assert_eq!(stream.next_entry().as_ref(), Some(wanted), "{path}");
        }
        let place = stream.tell();
        let rest = stream.remaining();
        assert!(
            rest == all[stop..],
            "{path}: the rest behind {stop} differs"
        );
        stream.seek(place);
        let rest = stream.remaining();
        assert!(
            rest == all[stop..],
            "{path}: going back to {stop} gives another rest"
        );
    }
}

/// The listing itself tells each entry's type.
fn types(path: &str, entries: &[(String, char)]) {
    let stream = succeeds(path, Directory::open(path)).remaining();
    let listed = stream
        .into_iter()
        .filter(|entry| entry.name != "." && entry.name != "..");
    let listed: Vec<_> = listed.map(|entry| (entry.name, entry.kind)).collect();
    assert!(
        listed == entries,
        "{path}: {listed:?} instead of {entries:?}"
    );
}

/// Two listings of one directory do not affect each other.
fn interleaved(path: &str, entries: &[(String, char)]) {
    let mut left = succeeds(path, fs::read_dir(path));
    let mut right = succeeds(path, fs::read_dir(path));
    for (name, _) in entries {
        for stream in [&mut left, &mut right] {
            let entry = stream.next().expect("a listing ended early");
            assert_eq!(succeeds(path, entry).file_name(), name.as_str(), "{path}");
        }
    }
    assert!(left.next().is_none() && right.next().is_none(), "{path}");
}
