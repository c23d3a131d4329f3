//! Missing names, requested in every way.
//!
//! Arguments: `DIR FILE [PATH…]`: `FILE` is a file in `DIR`, and every `PATH` is something else that is missing, such
//! as an invalid CID. Prints how many attempts failed with "no such entry".

use std::{
    fs::{self, File},
    io,
};

use guest::{
    arguments::Arguments,
    outcome::{self, quietly_fails, succeeds},
    posix::{self, Directory, Mode, Open},
};

type Attempt = fn(&str) -> io::Result<()>;

const ATTEMPTS: [(&str, Attempt); 10] = [
    ("open", |path| File::open(path).map(drop)),
    ("metadata", |path| fs::metadata(path).map(drop)),
    ("symlink_metadata", |path| {
        fs::symlink_metadata(path).map(drop)
    }),
    ("read_dir", |path| fs::read_dir(path).map(drop)),
    ("opendir", |path| Directory::open(path).map(drop)),
    ("read_link", |path| fs::read_link(path).map(drop)),
    ("canonicalize", |path| fs::canonicalize(path).map(drop)),
    ("chdir", |path| std::env::set_current_dir(path)),
    ("access", |path| posix::access(path, Mode::Exists)),
    ("open as directory", |path| {
        posix::open(path, Open::Directory).map(drop)
    }),
];

fn main() {
    let mut arguments = Arguments::of("missing_names DIR FILE [PATH…]");
    let (dir, file) = (arguments.word(), arguments.word());
    succeeds("what is there", fs::metadata(format!("{dir}/{file}")));

    let swapped: String = file
        .chars()
        .map(|c| match c.is_uppercase() {
            true => c.to_ascii_lowercase(),
            false => c.to_ascii_uppercase(),
        })
        .collect();
    let mut missing: Vec<String> = [
        "nope",
        ".nope",
        "with space",
        "Größe",
        "\u{1F4A9}",
        "*",
        "a\\b",
        "line\nbreak",
        "%2e%2e",
        "...",
        "nope/below",
        "nope/../nope",
        "nope/.",
        "nope/",
        &"n".repeat(255),
        &format!("{file} "),
        &format!(" {file}"),
        &format!("{file}\u{301}"),
        &swapped,
        &file[..file.char_indices().next_back().map_or(0, |(at, _)| at)],
    ]
    .iter()
    .filter(|name| !name.is_empty() && **name != file)
    .map(|name| format!("{dir}/{name}"))
    .collect();
    missing.push(String::new());
    missing.extend(arguments.rest());

    let mut answered = 0;
    for path in &missing {
        for (what, attempt) in ATTEMPTS {
            quietly_fails(
                &format!("{what} {path:?}"),
                attempt(path),
                outcome::NO_ENTRY,
            );
            answered += 1;
        }
        assert!(!succeeds(path, fs::exists(path)), "{path:?} exists");
    }
    let dir = succeeds(&dir, posix::open(&dir, Open::Directory));
    let below = posix::open_at(&dir, "nope", Open::Read);
    quietly_fails("nope, by descriptor", below, outcome::NO_ENTRY);
    println!("{answered} attempts");
}
