//! Symlinks that lead to files and directories, nowhere, in a circle, and out of the preopen.
//!
//! Arguments: `file LINK TARGET | dir LINK TARGET | dangles LINK | loops LINK | through-file LINK | leaves LINK`, any
//! number of them. For `file` and `dir`, the link and its target must show the same. For the others, every way to
//! follow the link must fail with the right error. Prints one line each.

use std::{
    fs::{self, File},
    io,
};

use guest::{
    arguments::Arguments,
    content::sorted_names,
    outcome::{self, name, quietly_fails, succeeds},
    posix::{self, Open},
};

fn main() {
    let mut arguments = Arguments::of(
        "symlinks (file LINK TARGET | dir LINK TARGET | dangles LINK | loops LINK | through-file LINK | leaves LINK)…",
    );
    while let Some(word) = arguments.next_if_any() {
        let link = arguments.word();
        itself(&link);
        match word.as_str() {
            "file" => file(&link, &arguments.word()),
            "dir" => dir(&link, &arguments.word()),
            "dangles" => fails(&link, outcome::NO_ENTRY),
            "loops" => fails(&link, outcome::LOOP),
            "through-file" => fails(&link, outcome::NOT_A_DIRECTORY),
            "leaves" => fails(&link, outcome::NOT_PERMITTED),
            unknown => arguments.unknown(unknown),
        }
        println!("{word} {link}");
    }
}

/// Checks what holds for every symlink, wherever it leads.
fn itself(link: &str) {
    let metadata = succeeds(link, fs::symlink_metadata(link));
    assert!(metadata.is_symlink(), "{link} is no symlink");
    // wasmtime-wasi does not even show the target of an absolute symlink.
    if let Err(error) = fs::read_link(link) {
        assert_eq!(name(&error), "EPERM", "read_link {link}");
    }
    quietly_fails(link, posix::open(link, Open::NoFollow), outcome::LOOP);
}

fn file(link: &str, target: &str) {
    let content = |path: &str| succeeds(path, fs::read(path));
    assert!(
        content(link) == content(target),
        "{link}: another content than {target}"
    );
    same(link, target);
    let below = format!("{link}/x");
    quietly_fails(&below, File::open(&below), outcome::NOT_A_DIRECTORY);
}

fn dir(link: &str, target: &str) {
    let names = |path: &str| succeeds(path, sorted_names(path.as_ref()));
    assert_eq!(
        names(link),
        names(target),
        "{link}: another listing than {target}"
    );
    same(link, target);
    for name in names(target) {
        let name = name.to_str().expect("names are UTF-8 on WASI");
        let (through, direct) = (format!("{link}/{name}"), format!("{target}/{name}"));
        let identity = |path: &str| succeeds(path, posix::identity_of_link(path));
        assert_eq!(identity(&through), identity(&direct), "{through}");
    }
    // With a trailing slash, even calls that do not follow must follow.
    let slash = format!("{link}/");
    assert!(succeeds(&slash, fs::metadata(&slash)).is_dir(), "{slash}");
}

fn same(link: &str, target: &str) {
    let identity = |path: &str| {
        let open = succeeds(path, File::open(path));
        succeeds(path, posix::identity_of_file(&open))
    };
    let wanted = identity(target);
    assert_eq!(
        identity(link),
        wanted,
        "{link}: another identity than {target}"
    );
    if posix::NUMBER_IS_FOLLOWED {
        let by_path = succeeds(link, posix::identity_of_path(link));
        assert_eq!(
            by_path, wanted,
            "{link}: another identity than {target}, by path"
        );
    }
    let canonical = |path: &str| succeeds(path, fs::canonicalize(path));
    assert_eq!(
        canonical(link),
        canonical(target),
        "{link}: another path than {target}"
    );
}

fn fails(link: &str, wanted: &[i32]) {
    type Attempt = fn(&str) -> io::Result<()>;
    let attempts: [(&str, Attempt); 6] = [
        ("open", |path| File::open(path).map(drop)),
        ("metadata", |path| fs::metadata(path).map(drop)),
        ("read_dir", |path| fs::read_dir(path).map(drop)),
        ("canonicalize", |path| fs::canonicalize(path).map(drop)),
        ("open below", |path| {
            File::open(format!("{path}/x")).map(drop)
        }),
        ("read_link below", |path| {
            fs::read_link(format!("{path}/x")).map(drop)
        }),
    ];
    for (what, attempt) in attempts {
        // libc itself walks links to find the canonical path. If `..` leads above the preopens, it finds none that
        // holds the rest.
        let in_guest = what == "canonicalize" && wanted == outcome::NOT_PERMITTED;
        let wanted = if in_guest {
            &[libc::EPERM, libc::ENOENT]
        } else {
            wanted
        };
        quietly_fails(&format!("{what} {link}"), attempt(link), wanted);
    }
}
