//! `/ipns`: granted names are links into `/ipfs`; other names do not exist.
//!
//! Arguments, any number of each:
//! - `link NAME`: prints `link NAME -> TARGET => CANONICAL` for the link `/ipns/NAME`, with the canonical
//!   path of its target;
//! - `read PATH`: reads it by its path, relative to its directory, and by its canonical path; prints `read PATH: TEXT`;
//! - `absent PATH`: no such entry, by any call;
//! - `leaves PATH`: leads out of `/ipfs`: not permitted;
//! - `list DIR`: prints `list KIND NAME` for each name in `DIR`, sorted.

use std::{
    env,
    fs::{self, File},
    io,
    path::Path,
};

use guest::{
    arguments::Arguments,
    content::{letter, sorted_names},
    outcome::{self, quietly_fails, succeeds},
    posix::{self, Open},
};

fn main() {
    let mut arguments =
        Arguments::of("names (link NAME | read PATH | absent PATH | leaves PATH | list DIR)…");
    while let Some(word) = arguments.next_if_any() {
        let what = arguments.word();
        match word.as_str() {
            "link" => link(&what),
            "read" => read(&what),
            "absent" => absent(&what),
            "leaves" => {
                quietly_fails(&what, File::open(&what), outcome::NOT_PERMITTED);
                quietly_fails(&what, fs::metadata(&what), outcome::NOT_PERMITTED);
                println!("leaves {what}");
            }
            "list" => list(&what),
            unknown => arguments.unknown(unknown),
        }
    }
}

fn link(name: &str) {
    let path = format!("/ipns/{name}");
    let target = succeeds(&path, fs::read_link(&path));
    let own = succeeds(&path, fs::symlink_metadata(&path));
    assert!(own.is_symlink(), "{path} is a link");
    assert_eq!(own.len(), target.as_os_str().len() as u64, "{path}");
    let canonical = succeeds(&path, fs::canonicalize(&path));
    let canonical = canonical.to_str().expect("paths are UTF-8 on WASI");
    let through = succeeds(&path, fs::metadata(&path));
    let direct = succeeds(canonical, fs::metadata(canonical));
    assert_eq!(
        (through.is_dir(), through.len()),
        (direct.is_dir(), direct.len()),
        "{path}"
    );
    let same = (
        posix::identity_of_path(&path),
        posix::identity_of_path(canonical),
    );
    let same = (succeeds(&path, same.0), succeeds(canonical, same.1));
    assert!(same.0 == same.1 || !posix::NUMBER_IS_FOLLOWED, "{path}");
    // The guest cannot make the host open the link itself, or change it.
    let names = succeeds("/ipns", posix::open("/ipns", Open::Directory));
    let opened = posix::open_at_verbatim(&names, name, Open::NoFollow);
    quietly_fails("the link itself", opened, outcome::LOOP);
    quietly_fails("remove", fs::remove_file(&path), outcome::NOT_PERMITTED);
    let other = "/ipns/other";
    quietly_fails("rename", fs::rename(&path, other), outcome::NOT_PERMITTED);
    quietly_fails("create", File::create(other), outcome::NOT_PERMITTED);
    quietly_fails("mkdir", fs::create_dir(other), outcome::NOT_PERMITTED);
    println!(
        "link {name} -> {} => {} {canonical}",
        target.display(),
        letter(through.file_type())
    );
}

fn read(path: &str) {
    let text = succeeds(path, fs::read_to_string(path));
    let canonical = succeeds(path, fs::canonicalize(path));
    assert!(canonical.starts_with("/ipfs"), "{canonical:?}");
    assert_eq!(succeeds(path, fs::read_to_string(&canonical)), text);
    let path_itself = Path::new(path);
    if let (Some(parent), Some(name)) = (path_itself.parent(), path_itself.file_name()) {
        succeeds(path, env::set_current_dir(parent));
        assert_eq!(succeeds("from here", fs::read_to_string(name)), text);
        let open = succeeds(path, File::open(parent));
        let name = name.to_str().expect("paths are UTF-8 on WASI");
        let below = posix::open_at_verbatim(&open, name, Open::Read);
        let below = io::read_to_string(succeeds("from the open directory", below));
        assert_eq!(succeeds("from the open directory", below), text);
    }
    println!("read {path}: {text}");
}

fn absent(path: &str) {
    let wanted = outcome::NO_ENTRY;
    quietly_fails(path, File::open(path), wanted);
    quietly_fails(path, fs::read_dir(path), wanted);
    quietly_fails(path, fs::metadata(path), wanted);
    quietly_fails(path, fs::symlink_metadata(path), wanted);
    quietly_fails(path, fs::read_link(path), wanted);
    quietly_fails(path, fs::canonicalize(path), wanted);
    quietly_fails(path, File::open(format!("{path}/below")), wanted);
    println!("absent {path}");
}

fn list(dir: &str) {
    for name in succeeds(dir, sorted_names(Path::new(dir))) {
        let entry = succeeds(dir, fs::read_dir(dir))
            .filter_map(Result::ok)
            .find(|entry| entry.file_name() == name);
        let kind = succeeds(dir, entry.expect("it was listed before").file_type());
        println!("list {} {}", letter(kind), name.display());
    }
}
