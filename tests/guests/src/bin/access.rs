//! Tries to reach what was not granted: by path, by `..`, by symlink, and from open directories.
//!
//! Arguments, any number of each, processed in order:
//! - `granted DIR`: a directory that may be opened; the later paths are tried from it too;
//! - `ungranted PATH`: an absolute path to a root that was not granted, or below it: no such entry;
//! - `leaves PATH`: an absolute path that leaves its preopen or mount by `..`: not permitted;
//! - `link PATH`: a symlink in a granted tree to an ungranted target: refused, followed or not;
//! - `roots DIR`: prints `root NAME` for each name in `DIR`, sorted.
//!
//! Prints `refused N PATH` for each path, where N is the number of attempts, all of which were refused.

use std::{
    env,
    fs::{self, File},
    io,
    path::Path,
};

use guest::{
    arguments::Arguments,
    content::sorted_names,
    outcome::{self, quietly_fails, succeeds},
    posix::{self, Directory, Mode, Open},
};

/// The errors for a path that leaves an open directory or follows a symlink. A native preopen answers that the path
/// leaves it. "No such entry" is as good if the path stays in `/ipfs`. No other error is allowed.
const REFUSED: &[i32] = &[libc::EPERM, libc::ENOENT];

type Attempt = fn(&str) -> io::Result<()>;

const ATTEMPTS: [(&str, Attempt); 11] = [
    ("open", |path| File::open(path).map(drop)),
    ("open below", |path| {
        File::open(format!("{path}/x")).map(drop)
    }),
    ("metadata", |path| fs::metadata(path).map(drop)),
    ("metadata below", |path| {
        fs::metadata(format!("{path}/x")).map(drop)
    }),
    ("symlink_metadata below", |path| {
        fs::symlink_metadata(format!("{path}/x")).map(drop)
    }),
    ("read_dir", |path| fs::read_dir(path).map(drop)),
    ("opendir", |path| Directory::open(path).map(drop)),
    ("canonicalize", |path| fs::canonicalize(path).map(drop)),
    ("chdir", |path| env::set_current_dir(path)),
    ("access", |path| posix::access(path, Mode::Read)),
    ("open as directory", |path| {
        posix::open(path, Open::Directory).map(drop)
    }),
];

fn main() {
    let mut arguments = Arguments::of(
        "access (granted DIR | ungranted PATH | leaves PATH | link PATH | roots DIR)…",
    );
    let mut granted: Vec<(String, File)> = Vec::new();
    while let Some(word) = arguments.next_if_any() {
        let path = arguments.word();
        let refused = match word.as_str() {
            "granted" => {
                succeeds(&path, fs::read_dir(&path).map(drop));
                let open = succeeds(&path, posix::open(&path, Open::Directory));
                granted.push((path, open));
                continue;
            }
            "roots" => {
                for name in succeeds(&path, sorted_names(Path::new(&path))) {
                    println!("root {}", name.display());
                }
                continue;
            }
            "ungranted" => ungranted(&granted, &path),
            "leaves" => all(&path, outcome::NOT_PERMITTED),
            "link" => all(&path, REFUSED) + from_inside(&granted, &path),
            unknown => arguments.unknown(unknown),
        };
        println!("refused {refused} {path}");
    }
    for (path, open) in &granted {
        let still = posix::open_at(open, ".", Open::Directory);
        succeeds(path, still);
    }
}

/// Makes every attempt on one path. Returns their number.
fn all(path: &str, wanted: &[i32]) -> usize {
    for (what, attempt) in ATTEMPTS {
        // Both resolve `..` inside the guest, and then find no preopen for the rest.
        let wanted = match what {
            "canonicalize" | "chdir" => REFUSED,
            _ => wanted,
        };
        quietly_fails(&format!("{what} {path}"), attempt(path), wanted);
    }
    ATTEMPTS.len()
}

fn ungranted(granted: &[(String, File)], path: &str) -> usize {
    let mut made = 0;
    let (parent, name) = path.rsplit_once('/').expect("an absolute path");
    let relative = path.trim_start_matches('/');
    // The same path in spellings that a check of its text would miss.
    for spelling in [
        path.to_owned(),
        relative.to_owned(),
        format!("./{relative}"),
        format!("{path}/"),
        format!("{path}/."),
        format!("{parent}//{name}"),
        format!("{parent}/./{name}"),
    ] {
        made += all(&spelling, outcome::NO_ENTRY);
    }
    quietly_fails("read_link", fs::read_link(path), outcome::NO_ENTRY);
    quietly_fails(
        "symlink_metadata",
        fs::symlink_metadata(path),
        outcome::NO_ENTRY,
    );
    made += 2;
    // A path through a missing directory must not lead back to an existing one.
    if let Some((dir, _)) = granted.first() {
        let back = format!("{path}/../{}", dir.rsplit('/').next().unwrap_or_default());
        made += all(&back, outcome::NO_ENTRY);
    }
    made + from_inside(granted, path)
}

/// Tries the path from the granted directories, by `..` and by descriptor.
fn from_inside(granted: &[(String, File)], path: &str) -> usize {
    let mut made = 0;
    for (dir, open) in granted {
        let depth = dir.trim_matches('/').split('/').count();
        let below_first = path.trim_start_matches('/').split_once('/');
        let mut ways = vec![
            path.to_owned(),
            format!("{}{}", "../".repeat(depth), path.trim_start_matches('/')),
            format!("{}etc/passwd", "../".repeat(depth + 3)),
            "..".to_owned(),
            "../..".to_owned(),
            "/".to_owned(),
            "/etc/passwd".to_owned(),
        ];
        if let Some((_, rest)) = below_first {
            ways.push(format!(
                "{}{rest}",
                "../".repeat(depth.saturating_sub(1).max(1))
            ));
        }
        for way in &ways {
            // A path that the host itself resolves on the descriptor must never leave it.
            for how in [Open::Read, Open::Directory, Open::NoFollow] {
                let wanted = &[libc::EPERM, libc::ENOENT, libc::ELOOP][..];
                let what = format!("{way} from {dir}, {how:?}");
                quietly_fails(&what, posix::open_at_verbatim(open, way, how), wanted);
                made += 1;
            }
        }
        if let Some((_, rest)) = below_first {
            let up = format!(
                "{dir}/{}{rest}",
                "../".repeat(depth.saturating_sub(1).max(1))
            );
            made += all(&up, REFUSED);
        }
        made += all(&format!("{dir}/{}etc", "../".repeat(depth + 1)), REFUSED);
    }
    made
}
