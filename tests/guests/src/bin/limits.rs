//! Continues until the host refuses: an error must come, and the guest must survive it.
//!
//! Arguments, any number of them:
//! - `handles FILE`: opens one file until that fails; prints `handles N ERROR`;
//! - `directories DIR`: the same with a directory, with its listings open;
//! - `targets DIR`: opens and closes every file of `DIR`; prints `targets N`, and ` ERROR` if one failed;
//! - `bytes FILE`: reads all of it; prints `bytes N`, and ` ERROR` if that failed;
//! - `path DIR`: ever longer paths, of one name and of many; prints `path LEN ERROR` and
//!   `name LEN ERROR` for the first that is too long.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use guest::{
    arguments::Arguments,
    content::sorted_names,
    outcome::{self, name, succeeds, text},
    posix::Directory,
};

/// More than any host allows. If this many succeed, there is no limit, and the guest fails.
const ENDLESS: usize = 2_000_000;

fn main() {
    let mut arguments = Arguments::of(
        "limits (handles FILE | directories DIR | targets DIR | bytes FILE | path DIR)…",
    );
    while let Some(word) = arguments.next_if_any() {
        let path = arguments.word();
        match word.as_str() {
            "handles" => until_refused("handles", &path, |path| File::open(path)),
            "directories" => until_refused("directories", &path, |path| {
                let mut stream = Directory::open(path)?;
                stream.next_entry();
                Ok(stream)
            }),
            "targets" => targets(&path),
            "bytes" => bytes(&path),
            "path" => paths(&path),
            unknown => arguments.unknown(unknown),
        }
    }
}

fn until_refused<T>(what: &str, path: &str, open: fn(&str) -> io::Result<T>) {
    let mut held = Vec::new();
    let error = loop {
        match open(path) {
            Ok(handle) => held.push(handle),
            Err(error) => break error,
        }
        assert!(held.len() < ENDLESS, "{what}: no limit in sight");
    };
    println!("{what} {} {}", held.len(), name(&error));
    // The limit counts files that are open, not files that were opened.
    for _ in 0..100 {
        assert!(held.pop().is_some(), "{what}: not even one");
        held.push(succeeds("one closed, one opened", open(path)));
    }
    drop(held);
    succeeds("all closed, one opened", open(path));
}

fn targets(dir: &str) {
    let dir = Path::new(dir);
    let mut opened = 0;
    for entry in succeeds("list", sorted_names(dir)) {
        match File::open(dir.join(entry)) {
            Ok(_) => opened += 1,
            Err(error) => return println!("targets {opened} {}", name(&error)),
        }
    }
    println!("targets {opened}");
}

fn bytes(path: &str) {
    let mut file = succeeds(path, File::open(path));
    let mut buffer = vec![0; 4096];
    let mut total = 0_u64;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return println!("bytes {total}"),
            Ok(n) => total += n as u64,
            Err(error) => return println!("bytes {total} {}", name(&error)),
        }
    }
}

/// A path to an existing file works until it is too long. A long name is only ever missing or too long.
fn paths(dir: &str) {
    let too_long = |error: &io::Error| {
        let code = error.raw_os_error();
        assert_eq!(
            code,
            Some(libc::ENAMETOOLONG),
            "a long path: {}",
            name(error)
        );
    };
    let mut step = 64;
    let long = loop {
        let path = format!("{dir}/{}", "./".repeat(step));
        match fs::metadata(&path) {
            Ok(metadata) => assert!(metadata.is_dir()),
            Err(error) => {
                too_long(&error);
                break (path.len(), name(&error));
            }
        }
        step *= 2;
        assert!(step < ENDLESS, "no limit of paths in sight");
    };
    println!("path {} {}", long.0, long.1);

    let mut length = 64;
    let long = loop {
        let path = format!("{dir}/{}", "n".repeat(length));
        match fs::metadata(&path) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => {
                too_long(&error);
                break (length, name(&error));
            }
            Ok(metadata) => panic!("a name of {length} bytes: {}", text(&Ok(metadata))),
        }
        length *= 2;
        assert!(length < ENDLESS, "no limit of names in sight");
    };
    println!("name {} {}", long.0, long.1);
    let missing = fs::metadata(format!("{dir}/nope"));
    outcome::quietly_fails("an ordinary path, afterwards", missing, outcome::NO_ENTRY);
}
