//! Relative paths, and changing into a directory of `/ipfs`.
//!
//! Arguments: `DIR SUB FILE`, where `DIR` is absolute, `SUB` a directory in it and `FILE` a file in `SUB`.
//! Prints `FILE len=BYTES fnv=DIGEST` once every path to it gave the same result.

use std::{env, fs, path::Path};

use guest::{
    arguments::Arguments,
    content::{Fnv, sorted_names},
    outcome::{self, quietly_fails, succeeds},
};

fn main() {
    let mut arguments = Arguments::of("relative_chdir DIR SUB FILE");
    let (dir, sub, file) = (arguments.word(), arguments.word(), arguments.word());
    let wanted = succeeds("by absolute path", fs::read(format!("{dir}/{sub}/{file}")));
    let names = succeeds("list", sorted_names(format!("{dir}/{sub}").as_ref()));
    let reads = |path: String| {
        let read = succeeds(&path, fs::read(&path));
        assert!(
            read == wanted,
            "{path}: another content than by absolute path"
        );
    };

    // The guest starts in `/`, where relative paths begin.
    let start = succeeds("current_dir", env::current_dir());
    if start == Path::new("/") {
        let bare = dir.trim_start_matches('/');
        reads(format!("{bare}/{sub}/{file}"));
        reads(format!("./{bare}/{sub}/{file}"));
        reads(format!("{bare}//{sub}///{file}"));
    }

    enter(&dir, &dir);
    reads(format!("{sub}/{file}"));
    reads(format!("./{sub}/./{file}"));
    reads(format!("{sub}/../{sub}/{file}"));

    enter(&sub, &format!("{dir}/{sub}"));
    reads(file.clone());
    reads(format!("./{file}"));
    reads(format!("../{sub}/{file}"));
    reads(format!("{dir}/{sub}/{file}"));
    assert_eq!(succeeds("list .", sorted_names(Path::new("."))), names);
    assert!(succeeds("stat .", fs::metadata(".")).is_dir());

    quietly_fails(
        "chdir, missing",
        env::set_current_dir("no-such-name"),
        outcome::NO_ENTRY,
    );
    quietly_fails(
        "chdir, a file",
        env::set_current_dir(&file),
        outcome::NOT_A_DIRECTORY,
    );
    reads(file.clone());
    quietly_fails(
        "a missing name",
        fs::read("no-such-name"),
        outcome::NO_ENTRY,
    );

    succeeds("chdir ..", env::set_current_dir(".."));
    reads(format!("{sub}/{file}"));
    // `/` is a directory only if the host preopened one there.
    if fs::metadata(&start).is_ok() {
        succeeds("chdir back", env::set_current_dir(&start));
    }
    reads(format!("{dir}/{sub}/{file}"));

    println!("{file} len={} fnv={}", wanted.len(), Fnv::of(&wanted));
}

fn enter(path: &str, wanted: &str) {
    succeeds(path, env::set_current_dir(path));
    let now = succeeds("current_dir", env::current_dir());
    assert_eq!(now, Path::new(wanted), "after chdir {path}");
}
